//! A broker in memory that serves two topics.

use shore_base::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use shore_base::{ConnId, Instant, NodeId, Uuid, Wall};
use shore_broker::node::{Durability, Input, Node, NodeConfig, Output, Role};
use shore_log::memory::MemoryStore;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{FrameSplitter, decode_response, encode_request};
use shore_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, KafkaRequest, KafkaResponse, StrBytes,
    create_topics_request::CreatableTopic,
};

/// Kafka's `socket.request.max.bytes` is more than a fuzzer sends.
const MAX_FRAME: usize = 1 << 20;

#[derive(Clone)]
pub struct Server {
    pub now: Instant,
    node: Node,
    store: MemoryStore,
    last_connection: u64,
    /// What each open connection was answered and has not taken.
    open: BTreeMap<ConnId, Vec<Bytes>>,
}

impl Server {
    pub fn boot() -> Self {
        let configs = [("offsets.topic.num.partitions", "2"), ("group.initial.rebalance.delay.ms", "0")];
        let config = NodeConfig {
            node_id: NodeId(1),
            cluster_id: Uuid::parse("kafkashoreAAAAAAAAAAAw").expect("a uuid"),
            directory: "n1/d0".into(),
            advertised_host: "localhost".to_owned(),
            advertised_port: 9092,
            static_configs: configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            durability: Durability::Written,
            cache_bytes: 64 << 20,
            memory_ceiling_bytes: None,
            seed: 7,
        };
        let now = Instant::from_millis(1_000);
        let node = Node::new(config, now, Wall::from_millis(1_700_000_000_000));
        let mut server = Self { now, node, store: MemoryStore::new(), last_connection: 0, open: BTreeMap::new() };
        server.drain();
        server.let_pass(Duration::from_secs(5));
        let mut create = CreateTopicsRequest::default();
        create.timeout_ms = 1_000;
        // The names that the recorded clients use, and that of Kafka's own messages (tests/wire/messages).
        for name in ["life", "orders", "name"] {
            let mut topic = CreatableTopic::default();
            topic.name = StrBytes::from(name);
            topic.num_partitions = 3;
            topic.replication_factor = 1;
            create.topics.push(topic);
        }
        let created: CreateTopicsResponse = server.ask(7, &create);
        assert!(created.topics.iter().all(|topic| topic.error_code == ErrorCode::None.code()));
        server
    }

    pub fn connect(&mut self) -> ConnId {
        self.last_connection += 1;
        let conn = ConnId(self.last_connection);
        self.open.insert(conn, Vec::new());
        self.input(Input::Connected { conn, role: Role::Broker, peer: "/127.0.0.1".to_owned() });
        conn
    }

    pub fn is_open(&self, conn: ConnId) -> bool {
        self.open.contains_key(&conn)
    }

    pub fn hang_up(&mut self, conn: ConnId) {
        if self.open.remove(&conn).is_some() {
            self.input(Input::Disconnected { conn });
        }
    }

    /// One request, without its length prefix.
    pub fn send(&mut self, conn: ConnId, frame: Bytes) {
        if self.is_open(conn) {
            self.input(Input::Request { conn, frame });
        }
    }

    /// The answers that came on a connection since the last time.
    pub fn take_answers(&mut self, conn: ConnId) -> Vec<Bytes> {
        self.open.get_mut(&conn).map(std::mem::take).unwrap_or_default()
    }

    /// Sends a stream as a host would: frame by frame, until the broker hangs up.
    pub fn feed(&mut self, stream: &[u8], step: usize) {
        let conn = self.connect();
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        for chunk in stream.chunks(step) {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Ok(Some(frame)) = splitter.next() {
                self.send(conn, frame);
            }
            self.let_pass(Duration::from_millis(10));
        }
        self.hang_up(conn);
    }

    pub fn ask<Q: KafkaRequest, S: KafkaResponse>(&mut self, version: i16, request: &Q) -> S {
        let conn = self.connect();
        self.send(conn, encode_request(9, None, version, request).expect("our own request").body());
        self.let_pass(Duration::from_secs(1));
        let answer = self.take_answers(conn).pop().expect("an answer");
        decode_response(answer, version).expect("our own response").1
    }

    pub fn next_wake(&self) -> Option<Instant> {
        self.node.next_wake().map(|(at, _)| at)
    }

    pub fn let_pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.node.next_wake().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Wake);
        }
        self.now = end;
        self.input(Input::Wake);
    }

    fn input(&mut self, input: Input) {
        self.node.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll() {
            match output {
                Output::Respond { conn, frame, .. } => {
                    self.open.entry(conn).and_modify(|answers| answers.push(frame.body()));
                }
                Output::Close { conn, .. } => drop(self.open.remove(&conn)),
                Output::Store(request) => {
                    let reply = self.store.carry_out(request);
                    self.node.handle(self.now, Input::Store(reply));
                }
                Output::Event(_) | Output::Log(_) | Output::Ready | Output::Stopped => {}
            }
        }
    }
}
