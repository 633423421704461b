//! Booting: a node finds out what its files say, and makes the first ones if there are none.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Random, Uuid, Wall};
use shore_log::storage::{FileEntry, FileName, ReadRange, StoreOp, StoreReply, StoreRequest, Token};
use shore_log::{CLEANER_OFFSET_CHECKPOINT, Log, LogConfig, OffsetCheckpoint, Recovery, START_OFFSET_CHECKPOINT};

use crate::broker::DiskState;
use crate::controller::{METADATA_TOPIC_ID, MetadataReplay, RecoveredMetadata, ReplayStep, bootstrap_checkpoint};
use crate::image::MetadataImage;
use crate::node::NodeConfig;

/// Listing -> Reading -> Recovering (-> Snapshot) -> Replaying. A step that fails is begun again.
#[derive(Clone)]
pub(crate) struct Boot {
    node: Arc<NodeConfig>,
    stage: Stage,
    /// Whether the stage's request is on its way.
    is_waiting: bool,
    files: Vec<FileEntry>,
    identity: Identity,
    base: MetadataReplay,
    error: Option<String>,
    requests: VecDeque<StoreRequest>,
}

#[derive(Clone)]
enum Stage {
    Listing,
    Reading,
    Recovering(Box<Recovery>),
    /// The metadata log begins later than the cluster: what came before is in a snapshot.
    Snapshot {
        log: Box<Log>,
        file: FileName,
        end: i64,
    },
    Replaying {
        log: Box<Log>,
        replay: Box<MetadataReplay>,
        wanted: Vec<ReadRange>,
    },
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
    pub metadata: RecoveredMetadata,
    pub disk: DiskState,
    /// What a new node writes besides its logs.
    pub ops: Vec<StoreOp>,
}

const META_PROPERTIES: &str = "meta.properties";
const METADATA_DIR: &str = "__cluster_metadata-0";
/// More than the metadata of a cluster comes to.
const SNAPSHOT_BYTES: u64 = 256 << 20;
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
            base: MetadataReplay::default(),
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
                        self.stage = self.begin_replay(log)?;
                        continue;
                    }
                    self.requests.push_back(ask(&|token| StoreRequest::Load { token, reads: reads.clone() }));
                }
                Stage::Snapshot { file, .. } => {
                    let read = ReadRange { file: file.clone(), position: 0, len: SNAPSHOT_BYTES };
                    self.requests.push_back(ask(&|token| StoreRequest::Load { token, reads: vec![read.clone()] }));
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
                        return self.booted(*log, replay.image, wall).map(Some);
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
            Stage::Snapshot { file, end, .. } => {
                let read = MetadataReplay::from_snapshot(loaded.first().map_or(&[], |bytes| bytes), *end);
                match read {
                    Ok(base) => self.base = base,
                    Err(why) => return self.error = Some(format!("{file}: {why}")),
                }
                let Stage::Snapshot { log, .. } = std::mem::replace(&mut self.stage, Stage::Done) else {
                    unreachable!("it was matched")
                };
                self.stage = self.replay(log);
            }
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

    /// Replays from the log's beginning, or from the newest snapshot that leads up to what is left of it.
    fn begin_replay(&self, log: Log) -> Result<Stage, String> {
        let log = Box::new(log);
        // A whole log needs none, but for the one that a cluster was formatted with, which tells of its voters.
        let start = log.start_offset();
        let fitting = if start == 0 { 0..=0 } else { start..=log.end_offset() };
        let ends =
            self.files.iter().filter_map(|entry| Some((snapshot_end(log.directory(), &entry.file)?, &entry.file)));
        match ends.filter(|(end, _)| fitting.contains(end)).max() {
            Some((end, file)) => Ok(Stage::Snapshot { file: file.clone(), end, log }),
            None if start == 0 => Ok(self.replay(log)),
            None => Err(format!("the metadata log begins at {} and has no snapshot of that", log.start_offset())),
        }
    }

    fn replay(&self, log: Box<Log>) -> Stage {
        Stage::Replaying { log, replay: Box::new(self.base.clone()), wanted: Vec::new() }
    }

    fn booted(&self, log: Log, image: MetadataImage, wall: Wall) -> Result<Booted, String> {
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
        self.check_directories(&image, directory_id)?;
        let metadata = RecoveredMetadata { log, image, base: self.base.clone(), last_epoch };
        Ok(Booted { metadata, disk, ops })
    }

    /// A node has one directory here. One of Apache Kafka's may have several, and a partition whose files
    /// are in another must not begin anew in this one.
    fn check_directories(&self, image: &MetadataImage, own: Uuid) -> Result<(), String> {
        for (name, _, topic) in image.named_topics() {
            for partition in &topic.partitions {
                let at = partition.replicas.iter().position(|&replica| replica == self.node.node_id.0);
                let found = at.and_then(|at| partition.directories.get(at)).copied();
                if let Some(other) = found.filter(|&id| id != own && id.0[..15] != [0; 15]) {
                    let number = partition.partition;
                    return Err(format!("{name}-{number} is in the log directory {other}, and this is {own}"));
                }
            }
        }
        Ok(())
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

/// The offset that a snapshot of the metadata log leads up to: `OFFSET-EPOCH.checkpoint`.
fn snapshot_end(directory: &FileName, file: &FileName) -> Option<i64> {
    let (end, epoch) = file.base_name().strip_suffix(".checkpoint")?.split_once('-')?;
    let is_one = file.is_below(directory) && end.len() == 20 && epoch.len() == 10;
    is_one.then(|| end.parse().ok()).flatten()
}

/// The metadata log is never deleted by age or size while there are no snapshots.
fn metadata_log_config() -> LogConfig {
    LogConfig { retention_ms: -1, retention_bytes: -1, max_message_bytes: 8 << 20, ..LogConfig::default() }
}
