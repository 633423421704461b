//! Booting: a node finds out what its files say, and makes the first ones if there are none.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Random, Uuid, Wall};
use shore_log::storage::{FileEntry, FileName, ReadRange, StoreOp, StoreReply, StoreRequest, Token};
use shore_log::{CLEANER_OFFSET_CHECKPOINT, Log, LogConfig, OffsetCheckpoint, Recovery, START_OFFSET_CHECKPOINT};

use crate::broker::DiskState;
use crate::controller::{METADATA_TOPIC_ID, MetadataReplay, ReplayStep, bootstrap_checkpoint};
use crate::image::MetadataImage;
use crate::node::NodeConfig;

/// Listing -> Reading -> Recovering -> Replaying. A step that fails is begun again.
#[derive(Clone)]
pub(crate) struct Boot {
    node: Arc<NodeConfig>,
    stage: Stage,
    /// Whether the stage's request is on its way.
    is_waiting: bool,
    files: Vec<FileEntry>,
    identity: Identity,
    error: Option<String>,
    requests: VecDeque<StoreRequest>,
}

#[derive(Clone)]
enum Stage {
    Listing,
    Reading,
    Recovering(Box<Recovery>),
    Replaying { log: Box<Log>, replay: Box<MetadataReplay>, wanted: Vec<ReadRange> },
    Done,
}

/// What the small files say: `meta.properties`, `quorum-state`, the checkpoints of offsets.
#[derive(Clone, Debug, Default)]
struct Identity {
    directory_id: Option<Uuid>,
    last_epoch: i32,
    starts: OffsetCheckpoint,
    cleaned: OffsetCheckpoint,
}

/// What a node starts with.
pub(crate) struct Booted {
    pub log: Log,
    pub image: MetadataImage,
    pub last_epoch: i32,
    pub disk: DiskState,
    /// What a new node writes besides its logs.
    pub ops: Vec<StoreOp>,
}

const META_PROPERTIES: &str = "meta.properties";
const METADATA_DIR: &str = "__cluster_metadata-0";
/// A line for each of a hundred thousand partitions.
const SMALL_FILE: u64 = 16 << 20;

impl Boot {
    pub fn new(node: Arc<NodeConfig>) -> Self {
        Self {
            node,
            stage: Stage::Listing,
            is_waiting: false,
            files: Vec::new(),
            identity: Identity::default(),
            error: None,
            requests: VecDeque::new(),
        }
    }

    pub fn poll(&mut self) -> Option<StoreRequest> {
        self.requests.pop_front()
    }

    /// Goes on as far as it can without the store.
    pub fn step(&mut self, next_token: &mut u64, wall: Wall) -> Result<Option<Booted>, String> {
        if let Some(error) = self.error.take() {
            self.is_waiting = false;
            return Err(error);
        }
        let mut ask = |make: &dyn Fn(Token) -> StoreRequest| {
            *next_token += 1;
            make(Token(*next_token))
        };
        loop {
            if self.is_waiting {
                return Ok(None);
            }
            match &mut self.stage {
                Stage::Listing => {
                    let directory = self.node.directory.clone();
                    self.requests.push_back(ask(&|token| StoreRequest::List { token, directory: directory.clone() }));
                }
                Stage::Reading => {
                    let reads = self.small_reads();
                    if reads.is_empty() {
                        self.stage = self.recover_metadata(wall);
                        continue;
                    }
                    self.requests.push_back(ask(&|token| StoreRequest::Load { token, reads: reads.clone() }));
                }
                Stage::Recovering(recovery) => {
                    let reads = recovery.wants();
                    if reads.is_empty() {
                        let Stage::Recovering(recovery) = std::mem::replace(&mut self.stage, Stage::Done) else {
                            unreachable!("it was matched")
                        };
                        let (mut log, _) = recovery.finish();
                        // A single voter's log is committed as far as it is durable.
                        log.set_high_watermark(log.end_offset());
                        self.stage = Stage::Replaying { log: log.into(), replay: Box::default(), wanted: Vec::new() };
                        continue;
                    }
                    self.requests.push_back(ask(&|token| StoreRequest::Load { token, reads: reads.clone() }));
                }
                Stage::Replaying { log, replay, wanted } => match replay.step(log) {
                    ReplayStep::Load(ranges) => {
                        *wanted = ranges.clone();
                        self.requests.push_back(ask(&|token| StoreRequest::Load { token, reads: ranges.clone() }));
                    }
                    ReplayStep::Corrupt(why) => return Err(why),
                    ReplayStep::Done => {
                        let Stage::Replaying { log, replay, .. } = std::mem::replace(&mut self.stage, Stage::Done)
                        else {
                            unreachable!("it was matched")
                        };
                        return Ok(Some(self.booted(*log, replay.image, wall)));
                    }
                },
                Stage::Done => return Ok(None),
            }
            self.is_waiting = true;
        }
    }

    /// Takes the answer to the stage's request.
    pub fn replied(&mut self, reply: StoreReply) {
        self.is_waiting = false;
        let loaded = match reply {
            StoreReply::Listed { result: Ok(files), .. } => {
                self.files = files;
                self.stage = Stage::Reading;
                return;
            }
            StoreReply::Loaded { result: Ok(bytes), .. } => bytes,
            StoreReply::Listed { result: Err(error), .. } | StoreReply::Loaded { result: Err(error), .. } => {
                return self.error = Some(error.to_string());
            }
            StoreReply::Stored { .. } => return,
        };
        match &mut self.stage {
            Stage::Reading => {
                let names: Vec<FileName> = self.small_reads().into_iter().map(|read| read.file).collect();
                for (name, bytes) in names.iter().zip(&loaded) {
                    if let Err(why) = self.identity.read(name.base_name(), bytes, &self.node) {
                        return self.error = Some(why);
                    }
                }
                // The wall clock is only needed for a log that does not exist yet.
                self.stage = self.recover_metadata(Wall::default());
            }
            Stage::Recovering(recovery) => recovery.feed(loaded),
            Stage::Replaying { log, wanted, .. } => log.loaded(&std::mem::take(wanted), &loaded),
            Stage::Listing | Stage::Done => {}
        }
    }

    /// The files that say who this node is.
    fn small_reads(&self) -> Vec<ReadRange> {
        let directory = &self.node.directory;
        let wanted = [
            directory.join(META_PROPERTIES),
            directory.join(METADATA_DIR).join("quorum-state"),
            directory.join(START_OFFSET_CHECKPOINT),
            directory.join(CLEANER_OFFSET_CHECKPOINT),
        ];
        let there = wanted.into_iter().filter(|name| self.files.iter().any(|entry| entry.file == *name));
        there.map(|file| ReadRange { file, position: 0, len: SMALL_FILE }).collect()
    }

    fn recover_metadata(&self, wall: Wall) -> Stage {
        let dir = self.node.directory.join(METADATA_DIR);
        let files: Vec<FileEntry> = self.files.iter().filter(|entry| entry.file.is_below(&dir)).cloned().collect();
        if files.iter().any(|entry| entry.file.as_str().ends_with(".log")) {
            return Stage::Recovering(Box::new(Recovery::start(dir, metadata_log_config(), 0, &files, wall)));
        }
        let mut log = Log::create(dir, metadata_log_config(), wall);
        log.set_topic_id(METADATA_TOPIC_ID);
        Stage::Replaying { log: Box::new(log), replay: Box::default(), wanted: Vec::new() }
    }

    fn booted(&self, log: Log, image: MetadataImage, wall: Wall) -> Booted {
        let mut ops = Vec::new();
        let directory_id = self.identity.directory_id.unwrap_or_else(|| {
            let id = Uuid::random(&mut Random::stream(self.node.seed, "directory id"));
            let text = format!(
                "#\nnode.id={}\ndirectory.id={id}\nversion=1\ncluster.id={}\n",
                self.node.node_id, self.node.cluster_id
            );
            let file = self.node.directory.join(META_PROPERTIES);
            ops.push(StoreOp::Replace { file, bytes: Bytes::from(text) });
            let file = self.node.directory.join("bootstrap.checkpoint");
            ops.push(StoreOp::Replace { file, bytes: bootstrap_checkpoint(wall) });
            id
        });
        let last_epoch = self.identity.last_epoch.max(log.latest_epoch().unwrap_or(0));
        let disk = DiskState {
            directory_id,
            found: self.partition_files(),
            starts: self.identity.starts.clone(),
            cleaned: self.identity.cleaned.clone(),
        };
        Booted { log, image, last_epoch, disk, ops }
    }

    fn partition_files(&self) -> BTreeMap<String, Vec<FileEntry>> {
        let mut found: BTreeMap<String, Vec<FileEntry>> = BTreeMap::new();
        let prefix = format!("{}/", self.node.directory);
        for entry in &self.files {
            let Some((directory, _)) = entry.file.as_str().strip_prefix(&prefix).and_then(|rest| rest.split_once('/'))
            else {
                continue;
            };
            if directory != METADATA_DIR {
                found.entry(directory.to_owned()).or_default().push(entry.clone());
            }
        }
        found
    }
}

impl Identity {
    fn read(&mut self, file: &str, bytes: &[u8], node: &NodeConfig) -> Result<(), String> {
        let text = String::from_utf8_lossy(bytes);
        if file == META_PROPERTIES {
            let property =
                |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::trim);
            let (cluster, id) = (node.cluster_id.to_string(), node.node_id.to_string());
            for (name, expected) in [("cluster.id", &cluster), ("node.id", &id)] {
                if let Some(found) = property(name).filter(|found| found != expected) {
                    return Err(format!("{META_PROPERTIES} says {name}={found} where {expected} was expected"));
                }
            }
            self.directory_id = property("directory.id").and_then(Uuid::parse);
        } else if file == START_OFFSET_CHECKPOINT {
            self.starts = OffsetCheckpoint::decode(bytes).unwrap_or_default();
        } else if file == CLEANER_OFFSET_CHECKPOINT {
            self.cleaned = OffsetCheckpoint::decode(bytes).unwrap_or_default();
        } else if let Some(rest) = text.split("\"leaderEpoch\":").nth(1) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            self.last_epoch = digits.parse().unwrap_or(0);
        }
        Ok(())
    }
}

/// The metadata log is never deleted by age or size while there are no snapshots.
fn metadata_log_config() -> LogConfig {
    LogConfig { retention_ms: -1, retention_bytes: -1, max_message_bytes: 8 << 20, ..LogConfig::default() }
}
