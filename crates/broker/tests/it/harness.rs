//! A node on a memory store, and clients that speak frames to it.

use std::collections::VecDeque;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Duration, Instant, NodeId, Uuid, Wall};
use shore_broker::{Durability, Input, Node, NodeConfig, Output, Role};
use shore_log::memory::MemoryStore;
use shore_log::storage::{ReadRange, StoreError, StoreOp, StoreReply, StoreRequest};
use shore_wire::batch::{BatchBuilder, BatchOptions};
use shore_wire::frame;
use shore_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, KafkaRequest, KafkaResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse, RequestResponsePair, create_topics_request::CreatableTopic,
    metadata_request::MetadataRequestTopic, produce_request::PartitionProduceData, produce_request::TopicProduceData,
};

/// What a store does with writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Works,
    /// Requests are kept until it works again.
    Hangs,
    Fails,
}

pub struct Server {
    pub node: Node,
    pub store: MemoryStore,
    pub disk: Disk,
    pub now: Instant,
    pub log: Vec<String>,
    pub events: Vec<shore_broker::event::Event>,
    pub writes: usize,
    /// How many writes the disk takes before it hangs.
    most_writes: usize,
    kept: VecDeque<StoreRequest>,
    answers: BTreeMap<ConnId, VecDeque<Bytes>>,
    pub closed: BTreeMap<ConnId, String>,
    pub is_ready: bool,
    pub is_stopped: bool,
    next_conn: u64,
    next_correlation_id: i32,
}

pub fn config() -> NodeConfig {
    let configs = [
        ("offsets.topic.num.partitions", "4"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.num.partitions", "3"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
    ];
    NodeConfig {
        node_id: NodeId(1),
        cluster_id: Uuid::parse("kafkashoreAAAAAAAAAAAw").expect("a uuid"),
        directory: "n1/d0".into(),
        advertised_host: "localhost".to_owned(),
        advertised_port: 9092,
        static_configs: configs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        durability: Durability::Written,
        cache_bytes: 64 << 20,
        memory_ceiling_bytes: None,
        seed: 7,
    }
}

pub const WALL: i64 = 1_700_000_000_000;

impl Server {
    pub fn start() -> Self {
        Self::with(config())
    }

    pub fn with(config: NodeConfig) -> Self {
        Self::on(config, MemoryStore::default())
    }

    pub fn on(config: NodeConfig, store: MemoryStore) -> Self {
        let mut server = Self::boot(config, store, Disk::Works);
        server.run();
        assert!(server.is_ready, "{:?}", server.log);
        server
    }

    pub fn boot(config: NodeConfig, store: MemoryStore, disk: Disk) -> Self {
        let now = Instant::from_millis(1_000);
        let node = Node::new(config, now, Wall::from_millis(WALL));
        let mut server = Self {
            node,
            store,
            disk,
            now,
            log: Vec::new(),
            events: Vec::new(),
            writes: 0,
            most_writes: usize::MAX,
            kept: VecDeque::new(),
            answers: BTreeMap::new(),
            closed: BTreeMap::new(),
            is_ready: false,
            is_stopped: false,
            next_conn: 0,
            next_correlation_id: 0,
        };
        server.drain();
        server
    }

    pub fn input(&mut self, input: Input) {
        self.node.handle(self.now, input);
        self.drain();
    }

    /// Carries out what the node wants until it wants nothing more.
    pub fn drain(&mut self) {
        while let Some(output) = self.node.poll() {
            match output {
                Output::Respond { conn, frame } => self.answers.entry(conn).or_default().push_back(frame.body()),
                Output::Close { conn, reason } => {
                    self.closed.insert(conn, reason);
                }
                Output::Store(request) => {
                    self.kept.push_back(request);
                    if self.disk != Disk::Hangs {
                        self.answer_store();
                    }
                }
                Output::Event(event) => self.events.push(event),
                Output::Log(line) => self.log.push(line),
                Output::Ready => self.is_ready = true,
                Output::Stopped => self.is_stopped = true,
            }
        }
    }

    pub fn answer_store(&mut self) {
        while self.answer_one() {}
        self.drain();
    }

    /// The disk hangs once it has taken so many writes since the start.
    pub fn stop_disk_after(&mut self, writes: usize) {
        self.most_writes = writes;
    }

    /// The ops of the oldest request that is kept.
    pub fn kept_ops(&self) -> &[StoreOp] {
        match self.kept.front() {
            Some(StoreRequest::Store { ops, .. }) => ops,
            _ => &[],
        }
    }

    /// What the oldest request that is kept wants loaded.
    pub fn kept_reads(&self) -> &[ReadRange] {
        match self.kept.front() {
            Some(StoreRequest::Load { reads, .. }) => reads,
            _ => &[],
        }
    }

    /// Answers the oldest request that is kept, unless there is none or the disk hangs from now on.
    pub fn answer_one(&mut self) -> bool {
        let is_write = !self.kept_ops().is_empty();
        if is_write && self.writes >= self.most_writes {
            self.disk = Disk::Hangs;
            return false;
        }
        let Some(request) = self.kept.pop_front() else { return false };
        self.writes += usize::from(is_write);
        let reply = match request {
            StoreRequest::Store { token, .. } if self.disk == Disk::Fails => {
                StoreReply::Stored { token, result: Err(StoreError::Full("the test's disk".to_owned())) }
            }
            request => self.store.carry_out(request),
        };
        self.node.handle(self.now, Input::Store(reply));
        true
    }

    /// Answers one request of those that were kept.
    pub fn store_once(&mut self) {
        let request = self.kept.pop_front().expect("a request was kept");
        let reply = self.store.carry_out(request);
        self.node.handle(self.now, Input::Store(reply));
        self.drain();
    }

    pub fn set_disk(&mut self, disk: Disk) {
        self.disk = disk;
        if disk != Disk::Hangs {
            self.answer_store();
        }
    }

    /// Lets time pass in which nothing arrives, until nothing is due within a second.
    pub fn run(&mut self) {
        for _ in 0..50 {
            match self.node.next_wake() {
                Some((at, _)) if !self.is_ready && at <= self.now + Duration::from_secs(1) => {
                    self.now = self.now.max(at);
                    self.input(Input::Wake);
                }
                _ => return,
            }
        }
    }

    pub fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.node.next_wake().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Wake);
        }
        self.now = end;
        self.input(Input::Wake);
    }

    pub fn connect(&mut self) -> ConnId {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        self.input(Input::Connected { conn, role: Role::Broker, peer: "/127.0.0.1".to_owned() });
        conn
    }

    /// Sends a request without waiting for its answer.
    pub fn send<M: KafkaRequest>(&mut self, conn: ConnId, version: i16, request: &M) -> i32 {
        self.next_correlation_id += 1;
        let id = self.next_correlation_id;
        let frame = frame::encode_request(id, Some("test"), version, request)
            .unwrap_or_else(|error| panic!("request {} v{version}: {error}", M::API_KEY.value()));
        self.input(Input::Request { conn, frame: frame.body() });
        id
    }

    /// The next answer on a connection, if it is there.
    pub fn answer<R: KafkaResponse>(&mut self, conn: ConnId, version: i16) -> Option<(i32, R)> {
        let bytes = self.answers.get_mut(&conn)?.pop_front()?;
        let decoded = frame::decode_response(bytes, version)
            .unwrap_or_else(|error| panic!("response {} v{version}: {error}", R::API_KEY.value()));
        Some(decoded)
    }

    pub fn raw_answer(&mut self, conn: ConnId) -> Option<Bytes> {
        self.answers.get_mut(&conn)?.pop_front()
    }

    pub fn ask<M>(&mut self, version: i16, request: &M) -> M::Response
    where
        M: KafkaRequest + RequestResponsePair,
        M::Response: KafkaResponse,
    {
        let conn = self.connect();
        let answer = self.ask_on(conn, version, request);
        self.input(Input::Disconnected { conn });
        answer
    }

    pub fn ask_on<M>(&mut self, conn: ConnId, version: i16, request: &M) -> M::Response
    where
        M: KafkaRequest + RequestResponsePair,
        M::Response: KafkaResponse,
    {
        let sent = self.send(conn, version, request);
        let (id, response) = self
            .answer(conn, version)
            .unwrap_or_else(|| panic!("no answer to {} v{version}: {:?}", M::API_KEY.value(), self.closed.get(&conn)));
        assert_eq!(id, sent);
        response
    }

    /// Stops in good order and starts again on the same store.
    pub fn restart(mut self) -> Self {
        let config = self.node.config().clone();
        self.input(Input::Stop);
        assert!(self.is_stopped);
        Self::on(config, self.store)
    }

    /// Starts again on the same store without having stopped.
    pub fn crash(self) -> Self {
        let config = self.node.config().clone();
        Self::on(config, self.store)
    }

    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsResponse {
        let mut topic = new_topic(name);
        topic.num_partitions = partitions;
        for (name, value) in configs {
            let mut config = shore_wire::messages::create_topics_request::CreatableTopicConfig::default();
            config.name = (*name).into();
            config.value = Some((*value).into());
            topic.configs.push(config);
        }
        let mut request = CreateTopicsRequest::default();
        request.topics = vec![topic];
        request.timeout_ms = 1_000;
        self.ask(7, &request)
    }

    pub fn metadata(&mut self, version: i16, topics: Option<&[&str]>) -> MetadataResponse {
        let mut request = MetadataRequest::default();
        request.topics = topics.map(|topics| {
            let named = |name: &&str| {
                let mut topic = MetadataRequestTopic::default();
                topic.name = Some((*name).into());
                topic
            };
            topics.iter().map(named).collect()
        });
        if version == 0 {
            request.topics.get_or_insert_default();
        }
        request.allow_auto_topic_creation = true;
        self.ask(version, &request)
    }

    /// Produces one batch of these values and returns its base offset and error code.
    pub fn produce(&mut self, topic: &str, partition: i32, values: &[&str]) -> (i64, i16) {
        let response = self.ask(9, &produce_request(topic, partition, -1, batch(values)));
        produced(&response)
    }
}

/// A topic with the broker's defaults.
pub fn new_topic(name: &str) -> CreatableTopic {
    let mut topic = CreatableTopic::default();
    topic.name = name.into();
    topic.num_partitions = -1;
    topic.replication_factor = -1;
    topic
}

pub fn produced(response: &ProduceResponse) -> (i64, i16) {
    let partition = &response.responses[0].partition_responses[0];
    (partition.base_offset, partition.error_code)
}

pub fn batch(values: &[&str]) -> Bytes {
    batch_with(BatchOptions::default(), values)
}

pub fn batch_with(options: BatchOptions, values: &[&str]) -> Bytes {
    let mut batch = BatchBuilder::new(options);
    for value in values {
        batch.append(WALL, None, Some(value.as_bytes()), []);
    }
    batch.finish()
}

pub fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let mut data = PartitionProduceData::default();
    data.index = partition;
    data.records = Some(records);
    let mut topic_data = TopicProduceData::default();
    topic_data.name = topic.into();
    topic_data.partition_data = vec![data];
    let mut request = ProduceRequest::default();
    request.acks = acks;
    request.timeout_ms = 30_000;
    request.topic_data = vec![topic_data];
    request
}
