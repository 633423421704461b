//! The broker: serves clients from the partitions it leads, and follows the metadata log.

mod cleaner;
mod coordinators;
mod groups;
mod lifecycle;
mod loads;
mod metadata;
mod serving;
mod transactions;
mod verification;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{ConnId, Instant, Random, Uuid, Wall};
use shore_log::storage::{FileEntry, ReadRange, StoreOp};
use shore_log::{OffsetCheckpoint, Recovery};
use shore_wire::error::ErrorCode;
use shore_wire::frame::Frame;
use shore_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use shore_wire::messages::{CreateTopicsRequest, KafkaRequest};

use crate::api::{
    self, ParkedFetch, ParkedListOffsets, ParkedMarkers, ParkedProduce, ParkedProducerId, RequestContext, RequestId,
    Served, UnverifiedOffsets, UnverifiedProduce, text,
};
use crate::config::Settings;
use crate::controller::MetadataReplay;
use crate::event::Event;
use crate::group::GroupCoordinator;
use crate::image::MetadataImage;
use crate::link::{Asked, Link, Peers};
use crate::node::NodeConfig;
use crate::replica::session::FetchSessions;
use crate::replica::{Partition, PartitionId, Replicas};
use crate::topic_name::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::txn::TxnCoordinator;

pub(crate) use cleaner::Cleaner;
pub(crate) use coordinators::Coordinator;
pub(crate) use lifecycle::Lifecycle;
pub(crate) use verification::{TransactionSupport, Unverified, Verification};

#[derive(Clone)]
pub(crate) struct Broker {
    pub node: Arc<NodeConfig>,
    pub settings: Arc<Settings>,
    pub directory_id: Uuid,
    incarnation_id: Uuid,
    pub now: Instant,
    pub wall: Wall,
    pub observed: bool,
    lifecycle: Lifecycle,
    link: Link,
    pub peers: Peers,
    /// What the metadata log says up to `image_end`.
    pub image: Arc<MetadataImage>,
    image_end: i64,
    /// Whether the metadata log is being fetched: from the first registration on.
    follows: bool,
    pub replicas: Replicas,
    /// Files of partition directories that were there at the start and have not been claimed yet.
    found: BTreeMap<String, Vec<FileEntry>>,
    /// Logs that are being recovered.
    opening: BTreeMap<PartitionId, Recovery>,
    /// Whether a load for them is under way.
    is_recovering: bool,
    cleaner: Cleaner,
    pub groups: GroupCoordinator,
    pub transactions: TxnCoordinator,
    verifications: verification::Verifications,
    pub sessions: FetchSessions,
    pub parked: BTreeMap<RequestId, Parked>,
    timers: BTreeSet<(Instant, Timer)>,
    /// Producer ids that the controller gave to this broker.
    pub producer_ids: std::ops::Range<i64>,
    /// Whether it was asked for more.
    pub asks_for_producer_ids: bool,
    /// Topics whose creation was asked for and is under way.
    pub creating: BTreeSet<String>,
    /// Where retention goes on, while a round of it is under way.
    maintained: Option<PartitionId>,
    /// Bytes stored since it was last looked at how much memory is used.
    grown: u64,
    /// Records that were loaded and are still in memory.
    loads: loads::Loads,
    outputs: VecDeque<BrokerOutput>,
}

/// What a broker finds on its disk.
pub(crate) struct DiskState {
    pub directory_id: Uuid,
    /// The files of each partition directory.
    pub found: BTreeMap<String, Vec<FileEntry>>,
    /// Where logs begin that begin within a segment.
    pub starts: OffsetCheckpoint,
    /// Up to where logs are clean.
    pub cleaned: OffsetCheckpoint,
}

/// A request that waits for something.
#[derive(Clone, Debug)]
pub(crate) enum Parked {
    Produce(ParkedProduce),
    Fetch(ParkedFetch),
    ListOffsets(ParkedListOffsets),
    /// For the partitions of its transaction to be verified.
    UnverifiedProduce(UnverifiedProduce),
    UnverifiedOffsets(UnverifiedOffsets),
    /// WriteTxnMarkers: for the markers to be safe.
    Markers(ParkedMarkers),
    /// InitProducerId: for a block of ids.
    ProducerId(ParkedProducerId),
    /// For the controller's answer.
    Forwarded,
    /// For the group coordinator's.
    Group(RequestContext),
    /// For the transaction coordinator's.
    Transaction(RequestContext),
}

const CREATE_TOPICS_VERSION: i16 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Register,
    Heartbeat,
    Maintenance,
    /// The files of a partition's dropped segments have waited long enough.
    Deletion(PartitionId),
    /// The log cleaner's next turn.
    Cleaner,
    /// Partitions that could not be read are opened again.
    Recovery,
    /// A parked request's time is up.
    Request(RequestId),
}

/// What bytes are loaded for.
#[derive(Clone, Debug)]
pub(crate) enum LoadFor {
    Cleaner {
        asked: u64,
    },
    Recovery(Vec<(PartitionId, usize)>),
    /// A parked request goes on; the ranges are of these partitions, in order.
    Request {
        request: RequestId,
        ranges: Vec<(PartitionId, ReadRange)>,
    },
    Coordinator {
        load: coordinators::CoordinatorLoad,
        ranges: Vec<ReadRange>,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum BrokerOutput {
    Respond {
        request: RequestId,
        frame: Frame,
    },
    Close {
        request: RequestId,
        reason: String,
    },
    /// No response follows: the next request may be served.
    Silent {
        request: RequestId,
    },
    /// Whether what follows the request on its connection has to wait until it goes on.
    Hold {
        request: RequestId,
        holds: bool,
    },
    Load {
        purpose: LoadFor,
        reads: Vec<ReadRange>,
    },
    Store(StoreOp),
    /// Ops of the cleaner, which wants to know when they are stored.
    Clean {
        ops: Vec<StoreOp>,
        asked: u64,
    },
    Event(Event),
    Log(String),
    Ready,
    ShutDown,
}

impl Broker {
    pub fn new(
        node: Arc<NodeConfig>,
        settings: Arc<Settings>,
        disk: DiskState,
        base: MetadataReplay,
        epoch: i32,
        now: Instant,
        wall: Wall,
    ) -> Self {
        let mut random = Random::stream(node.seed, &format!("incarnation {epoch}"));
        let slots = settings.long("max.incremental.fetch.session.cache.slots").max(0) as usize;
        let DiskState { directory_id, found, starts, cleaned } = disk;
        let mut broker = Self {
            directory_id,
            incarnation_id: Uuid::random(&mut random),
            now,
            wall,
            observed: false,
            lifecycle: Lifecycle::Starting,
            link: Link::default(),
            peers: Peers::default(),
            image: Arc::new(base.image),
            image_end: base.next_offset,
            follows: false,
            replicas: Replicas::new(node.directory.clone(), starts),
            found,
            opening: BTreeMap::new(),
            is_recovering: false,
            cleaner: Cleaner::new(cleaned),
            groups: GroupCoordinator::new(
                groups::group_config(&settings),
                Random::stream(node.seed, &format!("members of epoch {epoch}")),
            ),
            transactions: TxnCoordinator::new(transactions::txn_config(&settings)),
            verifications: verification::Verifications::default(),
            sessions: FetchSessions::new(slots, Random::stream(node.seed, &format!("fetch sessions of epoch {epoch}"))),
            parked: BTreeMap::new(),
            timers: BTreeSet::new(),
            producer_ids: 0..0,
            asks_for_producer_ids: false,
            creating: BTreeSet::new(),
            maintained: None,
            grown: 0,
            loads: loads::Loads::default(),
            outputs: VecDeque::new(),
            node,
            settings,
        };
        broker.take_image();
        broker
    }

    pub fn id(&self) -> i32 {
        self.node.node_id.0
    }

    /// The offset after the last record of the metadata log that was applied.
    pub fn image_end(&self) -> i64 {
        self.image_end
    }

    /// Serves one request of a connection. What is left of it is parked under `id`.
    pub fn serve(
        &mut self,
        id: RequestId,
        conn: ConnId,
        client_host: &Arc<str>,
        request: &Bytes,
    ) -> Option<RequestContext> {
        let (ctx, served) = api::serve(self, id, conn, client_host, request);
        self.conclude(id, served);
        ctx
    }

    /// Does what has become of a request.
    pub fn conclude(&mut self, id: RequestId, served: Served) {
        match served {
            Served::Answer(frame) => self.respond(id, frame),
            Served::Parked => {}
            Served::Silent => self.outputs.push_back(BrokerOutput::Silent { request: id }),
            Served::Close(reason) => self.close(id, reason),
        }
    }

    /// A partition that this broker leads.
    pub fn leading(&self, id: PartitionId) -> Result<&Partition, ErrorCode> {
        self.check_leading(id)?;
        self.replicas.get(id).ok_or(ErrorCode::NotLeaderOrFollower)
    }

    /// Likewise, to be appended to.
    pub fn leading_mut(&mut self, id: PartitionId) -> Result<&mut Partition, ErrorCode> {
        self.check_leading(id)?;
        self.replicas.get_mut(id).ok_or(ErrorCode::NotLeaderOrFollower)
    }

    fn check_leading(&self, id: PartitionId) -> Result<(), ErrorCode> {
        match self.image.partition(id.topic, id.partition) {
            None => Err(ErrorCode::UnknownTopicOrPartition),
            Some(record) if record.leader != self.id() => Err(ErrorCode::NotLeaderOrFollower),
            Some(_) => Ok(()),
        }
    }

    /// Passes a client's request on to the controller; the answer goes to the client.
    pub fn forward(&mut self, ctx: &RequestContext, body: &[u8]) -> Served {
        self.parked.insert(ctx.id, Parked::Forwarded);
        let node = self.id();
        self.link.forward(node, ctx, body);
        Served::Parked
    }

    /// Likewise with what is left of a request; `asked` says what its answer is part of.
    pub fn forward_part<M: KafkaRequest>(&mut self, ctx: &RequestContext, request: &M, asked: Asked) -> Served {
        self.parked.insert(ctx.id, Parked::Forwarded);
        let node = self.id();
        self.link.send(node, ctx.api_version, request, asked);
        Served::Parked
    }

    /// Creates topics that a client asked for, with the defaults of the broker.
    pub fn create_automatically(&mut self, mut names: Vec<String>) {
        names.retain(|name| self.creating.insert(name.clone()));
        if names.is_empty() {
            return;
        }
        let mut request = CreateTopicsRequest::default();
        request.timeout_ms = self.settings.int("request.timeout.ms");
        request.topics = names.iter().map(|name| self.automatic_topic(name)).collect();
        let node = self.id();
        self.link.send(node, CREATE_TOPICS_VERSION, &request, Asked::AutoCreation { topics: names });
    }

    fn automatic_topic(&self, name: &str) -> CreatableTopic {
        let mut topic = CreatableTopic::default();
        topic.name = text(name);
        (topic.num_partitions, topic.replication_factor) = match name {
            OFFSETS_TOPIC => (
                self.settings.int("offsets.topic.num.partitions"),
                self.settings.int("offsets.topic.replication.factor") as i16,
            ),
            TRANSACTIONS_TOPIC => (
                self.settings.int("transaction.state.log.num.partitions"),
                self.settings.int("transaction.state.log.replication.factor") as i16,
            ),
            _ => (self.settings.int("num.partitions"), self.settings.int("default.replication.factor") as i16),
        };
        let of = |config: &str| self.settings.int(config).to_string();
        let configs = match name {
            OFFSETS_TOPIC => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "producer".to_owned()),
                ("segment.bytes", of("offsets.topic.segment.bytes")),
            ],
            TRANSACTIONS_TOPIC => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "uncompressed".to_owned()),
                ("min.insync.replicas", of("transaction.state.log.min.isr")),
                ("segment.bytes", of("transaction.state.log.segment.bytes")),
                ("unclean.leader.election.enable", "false".to_owned()),
            ],
            _ => Vec::new(),
        };
        for (name, value) in configs {
            let mut config = CreatableTopicConfig::default();
            config.name = text(name);
            config.value = Some(text(&value));
            topic.configs.push(config);
        }
        topic
    }

    pub fn respond(&mut self, request: RequestId, frame: Frame) {
        self.outputs.push_back(BrokerOutput::Respond { request, frame });
    }

    pub fn close(&mut self, request: RequestId, reason: String) {
        self.outputs.push_back(BrokerOutput::Close { request, reason });
    }

    /// What follows a request on its connection waits, or waits no longer, until it is answered.
    pub fn hold(&mut self, request: RequestId, holds: bool) {
        self.outputs.push_back(BrokerOutput::Hold { request, holds });
    }

    pub fn emit(&mut self, event: impl FnOnce() -> Event) {
        if self.observed {
            self.outputs.push_back(BrokerOutput::Event(event()));
        }
    }

    pub fn log_line(&mut self, line: String) {
        self.outputs.push_back(BrokerOutput::Log(line));
    }

    pub fn load(&mut self, purpose: LoadFor, reads: Vec<ReadRange>) {
        if self.holds_load(&purpose, &reads) {
            self.hold_load(purpose);
        } else {
            self.outputs.push_back(BrokerOutput::Load { purpose, reads });
        }
    }

    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    pub fn poll(&mut self) -> Option<BrokerOutput> {
        self.outputs.pop_front()
    }

    pub fn set_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub fn cancel_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let coordinators = [self.groups.next_wake(), self.transactions.next_wake()];
        let earliest = coordinators.into_iter().flatten().min_by_key(|(at, _)| *at);
        let Some((at, timer)) = self.timers.first().filter(|(at, _)| earliest.is_none_or(|(due, _)| *at <= due)) else {
            return earliest;
        };
        let reason = match timer {
            Timer::Register => "the broker registers again",
            Timer::Heartbeat => "the broker's heartbeat",
            Timer::Maintenance => "retention",
            Timer::Deletion(_) => "files of dropped segments",
            Timer::Cleaner => "the log cleaner",
            Timer::Recovery => "partitions are opened again",
            Timer::Request(_) => "a request's time is up",
        };
        Some((*at, reason))
    }

    pub fn wake(&mut self) {
        while let Some(&(at, timer)) = self.timers.first().filter(|(at, _)| *at <= self.now) {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Register => self.register(),
                Timer::Heartbeat => self.heartbeat(),
                Timer::Maintenance => self.maintain(),
                Timer::Deletion(id) => self.delete_due(id),
                Timer::Cleaner => self.clean(),
                Timer::Recovery => self.retry_recovery(),
                Timer::Request(id) => self.request_timed_out(id),
            }
        }
        self.wake_groups();
        self.wake_transactions();
    }
}
