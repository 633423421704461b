//! The controller: the cluster's metadata log and the requests that change it.
//!
//! A handler proposes records and a response. The records are appended as one batch and applied at
//! once; the response waits until they are committed, which for a single voter means durable. A failed
//! store takes the uncommitted tail back: the image is built again from what is left of the log.

mod alter_configs;
mod brokers;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod elections;
mod fetch;
mod placement;
mod producer_ids;
mod quorum;
mod quotas;
mod update_features;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Duration, Instant, Random, Uuid, Wall};
use shore_log::storage::StoreOp;
use shore_log::{Log, Origin, Read};
use shore_wire::api::ApiKey;
use shore_wire::batch::{BatchBuilder, BatchOptions, ControlKind, batches};
use shore_wire::codec::{DecodeError, Writer};
use shore_wire::error::ErrorCode;
use shore_wire::frame::{self, Frame};
use shore_wire::messages::KafkaResponse;
use shore_wire::records::metadata::{ConfigRecord, MetadataRecord};

use crate::api::{RequestId, text};
use crate::config::Settings;
use crate::config::alter::BROKER;
use crate::event::Event;
use crate::features::FEATURES;
use crate::image::MetadataImage;
use crate::node::NodeConfig;

pub(crate) use alter_configs::{Altered, incremental_response, legacy_response};

use fetch::ParkedFetch;

/// The topic id that Kafka gives the metadata log.
pub(crate) const METADATA_TOPIC_ID: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

#[derive(Clone)]
pub(crate) struct Controller {
    node: Arc<NodeConfig>,
    settings: Arc<Settings>,
    /// `broker.session.timeout.ms`: every turn needs it.
    session_timeout: Duration,
    pub now: Instant,
    pub wall: Wall,
    pub observed: bool,
    pub log: Log,
    /// The state at the log's end, which may lie ahead of what is committed.
    image: MetadataImage,
    /// What the log's first record is applied to.
    base: MetadataReplay,
    /// The quorum's leader epoch; rises with each start.
    pub epoch: i32,
    /// The log's end once this epoch's first records are committed: from then on requests are served.
    active_from: i64,
    topic_ids: Random,
    /// When each broker was last heard of.
    contacts: BTreeMap<i32, Instant>,
    /// Replies by the log end that has to be committed first.
    waiting: VecDeque<Waiting>,
    fetches: Vec<ParkedFetch>,
    outputs: VecDeque<ControllerOutput>,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The broker of this node, over the link inside it.
    Link,
    /// Whoever connected to the controller's listener.
    Remote(RequestId),
}

#[derive(Clone, Debug)]
pub(crate) enum ControllerOutput {
    Respond { peer: Peer, frame: Frame },
    Close { peer: Peer, reason: String },
    Event(Event),
}

#[derive(Clone)]
struct Waiting {
    end: i64,
    peer: Peer,
    committed: Frame,
    failed: Frame,
}

/// A request on its way through the controller.
#[derive(Clone, Copy)]
struct Call {
    peer: Peer,
    version: i16,
    correlation_id: i32,
}

impl Call {
    fn frame<M: KafkaResponse>(self, response: &M) -> Frame {
        frame::encode_response(self.correlation_id, self.version, response)
            .unwrap_or_else(|error| panic!("a controller's response: {error}"))
    }
}

impl Controller {
    /// Claims leadership with the next epoch.
    pub fn new(
        node: Arc<NodeConfig>,
        settings: Arc<Settings>,
        metadata: RecoveredMetadata,
        now: Instant,
        wall: Wall,
    ) -> Self {
        let RecoveredMetadata { log, image, base, last_epoch } = metadata;
        let epoch = last_epoch + 1;
        let mut controller = Self {
            topic_ids: Random::stream(node.seed, &format!("topic ids of epoch {epoch}")),
            session_timeout: settings.millis("broker.session.timeout.ms"),
            node,
            settings,
            now,
            wall,
            observed: false,
            log,
            image,
            base,
            epoch,
            active_from: 0,
            contacts: BTreeMap::new(),
            waiting: VecDeque::new(),
            fetches: Vec::new(),
            outputs: VecDeque::new(),
        };
        controller.begin_epoch();
        controller
    }

    /// What the controller's files say besides the log: `quorum-state`.
    pub fn quorum_state(&self) -> StoreOp {
        let id = self.node.node_id;
        let text = format!(
            r#"{{"clusterId":"","leaderId":{id},"leaderEpoch":{},"votedId":-1,"appliedOffset":0,"currentVoters":[{{"voterId":{id}}}],"data_version":0}}"#,
            self.epoch
        );
        StoreOp::Replace { file: self.log.directory().join("quorum-state"), bytes: Bytes::from(text) }
    }

    /// The first records of an epoch: who leads, and in an empty log what a new cluster begins with.
    fn begin_epoch(&mut self) {
        let is_new = self.log.end_offset() == 0;
        let leader = self.node.node_id.0;
        let voters = |writer: &mut Writer| {
            writer.compact_array(&[leader], |writer, &voter| {
                writer.i32(voter);
                writer.no_tagged_fields();
            });
        };
        let mut value = Writer::new();
        value.i16(0);
        value.i32(leader);
        voters(&mut value);
        voters(&mut value);
        value.no_tagged_fields();
        let mut batch = BatchBuilder::new(BatchOptions { control: true, ..BatchOptions::default() });
        batch.append(self.wall.as_millis(), Some(&ControlKind::LeaderChange.key()), Some(value.as_slice()), []);
        self.append(&batch.finish());
        if is_new {
            self.propose(&bootstrap_records());
        }
        self.active_from = self.log.end_offset();
    }

    /// Appends records as one batch and applies them.
    fn propose(&mut self, records: &[MetadataRecord]) {
        if records.is_empty() {
            return;
        }
        let mut batch = BatchBuilder::new(BatchOptions::default());
        for record in records {
            batch.append(self.wall.as_millis(), None, Some(&record.encode()), []);
        }
        self.append(&batch.finish());
        for record in records {
            self.image.apply(record);
            self.tell(record);
        }
    }

    fn append(&mut self, batch: &[u8]) {
        self.log
            .append(batch, Origin::Coordinator { leader_epoch: self.epoch, guard: None }, self.wall)
            .unwrap_or_else(|error| panic!("the metadata log refused its own records: {}", error.message));
    }

    fn tell(&mut self, record: &MetadataRecord) {
        if self.observed {
            self.outputs.push_back(ControllerOutput::Event(Event::MetadataRecord { record: record.clone() }));
        }
    }

    /// Up to here the log is committed.
    fn high_watermark(&self) -> i64 {
        self.log.high_watermark()
    }

    pub fn is_active(&self) -> bool {
        self.high_watermark() >= self.active_from
    }

    /// Sends `committed` once everything proposed so far is committed, `failed` if that fails.
    fn respond_when_committed<M: KafkaResponse>(&mut self, call: Call, committed: &M, failed: &M) {
        let end = self.log.end_offset();
        let (peer, committed, failed) = (call.peer, call.frame(committed), call.frame(failed));
        if self.high_watermark() >= end {
            self.outputs.push_back(ControllerOutput::Respond { peer, frame: committed });
        } else {
            self.waiting.push_back(Waiting { end, peer, committed, failed });
        }
    }

    fn respond<M: KafkaResponse>(&mut self, call: Call, response: &M) {
        self.outputs.push_back(ControllerOutput::Respond { peer: call.peer, frame: call.frame(response) });
    }

    /// What was emitted while the log ended at `end` is stored.
    pub fn stored(&mut self, end: i64) {
        self.log.mark_stored(end);
        self.durable(end);
    }

    /// The log is durable up to `end`, and committed with that.
    pub fn durable(&mut self, end: i64) {
        self.log.mark_durable(end);
        self.log.set_high_watermark(self.log.durable_end());
        while self.waiting.front().is_some_and(|waiting| waiting.end <= self.high_watermark()) {
            let Waiting { peer, committed, .. } = self.waiting.pop_front().expect("there is one");
            self.outputs.push_back(ControllerOutput::Respond { peer, frame: committed });
        }
        self.wake_fetches();
    }

    /// A store failed: takes back what is not committed.
    pub fn store_failed(&mut self) {
        self.log.store_failed();
        for Waiting { peer, failed, .. } in std::mem::take(&mut self.waiting) {
            self.outputs.push_back(ControllerOutput::Respond { peer, frame: failed });
        }
        let mut replay = self.base.clone();
        match replay.step(&self.log) {
            ReplayStep::Done => self.image = replay.image,
            ReplayStep::Load(_) => panic!("the metadata log is never evicted from memory"),
            ReplayStep::Corrupt(why) => panic!("{why}"),
        }
        if !self.is_active() {
            self.begin_epoch();
        }
    }

    /// Serves one request frame.
    pub fn handle(&mut self, peer: Peer, request: &Bytes) {
        let served = frame::decode_request_head(request)
            .and_then(|(head, body)| {
                let call = Call { peer, version: head.api_version, correlation_id: head.correlation_id };
                self.dispatch(head.api_key, call, body)
            })
            .map_err(|error| error.to_string());
        if let Err(reason) = served {
            self.outputs.push_back(ControllerOutput::Close { peer, reason });
        }
    }

    fn dispatch(&mut self, api_key: i16, call: Call, body: Bytes) -> Result<(), DecodeError> {
        let version = call.version;
        match ApiKey::from_key(api_key) {
            Some(ApiKey::Fetch) => self.fetch(call, frame::decode_request(body, version)?),
            Some(ApiKey::CreateTopics) => self.create_topics(call, frame::decode_request(body, version)?),
            Some(ApiKey::DeleteTopics) => self.delete_topics(call, frame::decode_request(body, version)?),
            Some(ApiKey::CreatePartitions) => self.create_partitions(call, frame::decode_request(body, version)?),
            Some(ApiKey::AlterConfigs) => self.alter_configs(call, frame::decode_request(body, version)?),
            Some(ApiKey::IncrementalAlterConfigs) => {
                self.incremental_alter_configs(call, frame::decode_request(body, version)?);
            }
            Some(ApiKey::ElectLeaders) => self.elect_leaders(call, frame::decode_request(body, version)?),
            Some(ApiKey::AlterPartitionReassignments) => {
                self.alter_reassignments(call, frame::decode_request(body, version)?);
            }
            Some(ApiKey::ListPartitionReassignments) => {
                self.list_reassignments(call, frame::decode_request(body, version)?);
            }
            Some(ApiKey::DescribeQuorum) => self.describe_quorum(call, frame::decode_request(body, version)?),
            Some(ApiKey::UpdateFeatures) => self.update_features(call, frame::decode_request(body, version)?),
            Some(ApiKey::UnregisterBroker) => self.unregister_broker(call, &frame::decode_request(body, version)?),
            Some(ApiKey::AlterClientQuotas) => self.alter_client_quotas(call, frame::decode_request(body, version)?),
            Some(ApiKey::BrokerRegistration) => self.register_broker(call, frame::decode_request(body, version)?),
            Some(ApiKey::BrokerHeartbeat) => self.broker_heartbeat(call, frame::decode_request(body, version)?),
            Some(ApiKey::AllocateProducerIds) => {
                self.allocate_producer_ids(call, frame::decode_request(body, version)?);
            }
            _ => return Err(DecodeError::UnknownApiKey(api_key)),
        }
        Ok(())
    }

    pub fn disconnected(&mut self, id: RequestId) {
        let gone = Peer::Remote(id);
        self.waiting.retain(|waiting| waiting.peer != gone);
        self.fetches.retain(|fetch| fetch.call.peer != gone);
    }

    pub fn poll(&mut self) -> Option<ControllerOutput> {
        self.outputs.pop_front()
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let fetch = self.fetches.iter().map(|fetch| (fetch.deadline, "the controller answers a fetch"));
        fetch.chain(self.next_expiry().map(|at| (at, "a broker's session expires"))).min()
    }

    pub fn wake(&mut self) {
        self.expire_fetches();
        self.expire_brokers();
    }
}

/// What the first controller of a cluster writes, which is what the cluster was formatted with.
fn bootstrap_records() -> Vec<MetadataRecord> {
    let mut records = vec![MetadataRecord::BeginTransaction { name: Some("Bootstrap records".to_owned()) }];
    records.extend(format_records());
    // Eligible leader replicas need a cluster-wide minimum of replicas in sync.
    records.push(MetadataRecord::Config(ConfigRecord {
        resource_type: BROKER,
        resource_name: String::new(),
        name: "min.insync.replicas".to_owned(),
        value: Some("1".to_owned()),
    }));
    records.push(MetadataRecord::EndTransaction);
    records
}

fn format_records() -> impl Iterator<Item = MetadataRecord> {
    FEATURES.iter().filter_map(|feature| {
        Some(MetadataRecord::FeatureLevel { name: feature.name.to_owned(), level: feature.level? })
    })
}

/// `bootstrap.checkpoint`: the levels of features that a cluster was formatted with, as a snapshot.
pub(crate) fn bootstrap_checkpoint(wall: Wall) -> Bytes {
    let at = wall.as_millis();
    let control = |base_offset, kind: ControlKind, value: Writer| {
        let options = BatchOptions { base_offset, leader_epoch: 0, control: true, ..BatchOptions::default() };
        let mut batch = BatchBuilder::new(options);
        batch.append(at, Some(&kind.key()), Some(value.as_slice()), []);
        batch.finish()
    };
    let mut header = Writer::new();
    header.i16(0);
    header.i64(0);
    header.no_tagged_fields();
    let mut footer = Writer::new();
    footer.i16(0);
    footer.no_tagged_fields();
    let mut levels = BatchBuilder::new(BatchOptions { base_offset: 1, leader_epoch: 0, ..BatchOptions::default() });
    for record in format_records() {
        levels.append(at, None, Some(&record.encode()), []);
    }
    let end = 1 + i64::from(levels.count());
    [
        control(0, ControlKind::SnapshotHeader, header),
        levels.finish(),
        control(end, ControlKind::SnapshotFooter, footer),
    ]
    .concat()
    .into()
}

/// The metadata log as a start has found it.
pub(crate) struct RecoveredMetadata {
    pub log: Log,
    /// What the log says.
    pub image: MetadataImage,
    /// What its first record is applied to.
    pub base: MetadataReplay,
    pub last_epoch: i32,
}

/// Builds an image from a metadata log, piece by piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetadataReplay {
    pub image: MetadataImage,
    /// Everything before this is in the image.
    pub next_offset: i64,
}

pub(crate) enum ReplayStep {
    Load(Vec<shore_log::storage::ReadRange>),
    Done,
    Corrupt(String),
}

const REPLAY_BYTES: usize = 1 << 20;

impl MetadataReplay {
    /// Begins with a snapshot, which tells of everything before `end`.
    pub fn from_snapshot(bytes: &[u8], end: i64) -> Result<Self, String> {
        let mut image = MetadataImage::default();
        apply_batches(&mut image, bytes)?;
        Ok(Self { image, next_offset: end })
    }

    /// Goes on until the log's end or until something has to be loaded.
    pub fn step(&mut self, log: &Log) -> ReplayStep {
        loop {
            if self.next_offset >= log.end_offset() {
                return ReplayStep::Done;
            }
            match log.read(self.next_offset, log.end_offset(), REPLAY_BYTES, true) {
                Ok(Read::Load(ranges)) => return ReplayStep::Load(ranges),
                Ok(Read::Ready { slices, next_offset, .. }) if next_offset > self.next_offset => {
                    if let Err(why) = apply_batches(&mut self.image, &slices.concat()) {
                        return ReplayStep::Corrupt(why);
                    }
                    self.next_offset = next_offset;
                }
                Ok(Read::Ready { .. }) => return ReplayStep::Corrupt("the metadata log has a hole".to_owned()),
                Err(error) => return ReplayStep::Corrupt(format!("the metadata log: {error:?}")),
            }
        }
    }
}

/// Applies the records of whole batches and returns the offset after them.
pub(crate) fn apply_batches(image: &mut MetadataImage, bytes: &[u8]) -> Result<Option<i64>, String> {
    const LARGEST: usize = 64 << 20;
    let mut next_offset = None;
    for batch in batches(bytes) {
        let batch = batch.map_err(|error| format!("a batch of the metadata log: {error}"))?;
        next_offset = Some(batch.next_offset());
        let records = batch.records(LARGEST).map_err(|error| format!("records of the metadata log: {error}"))?;
        for record in &records {
            let record = record.map_err(|error| format!("a record of the metadata log: {error}"))?;
            if batch.is_control() {
                image.apply_control(&record)?;
                continue;
            }
            match MetadataRecord::decode(record.value.unwrap_or_default()) {
                Ok(record) => image.apply(&record),
                Err(error) => return Err(format!("the metadata record at offset {}: {error}", record.offset)),
            }
        }
    }
    Ok(next_offset)
}

/// The code of a reply whose records could not be stored.
const NOT_STORED: ErrorCode = ErrorCode::KafkaStorageError;

/// Why a part of a request is refused: the code, and Kafka's words, which may be none.
pub(crate) type Refusal = (ErrorCode, String);

/// The words of a refusal as answers have them.
fn told(why: &str) -> Option<shore_wire::messages::StrBytes> {
    (!why.is_empty()).then(|| text(why))
}

/// Kafka's bound on what one request may make the controller write.
const MAX_RECORDS_PER_REQUEST: usize = 10_000;

fn too_many_records() -> Refusal {
    (ErrorCode::PolicyViolation, "Unable to perform excessively large batch operation.".to_owned())
}
