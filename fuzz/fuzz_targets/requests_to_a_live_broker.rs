//! The bytes are what a client sends to a broker that serves two topics. It answers or hangs up, and
//! goes on; a second client is then served as ever. The first byte says how the stream is cut.
#![no_main]

use std::cell::LazyCell;
use std::time::Duration;

use bytes::Bytes;
use shore_base::{ConnId, Instant, NodeId, Uuid, Wall};
use shore_broker::node::{Durability, Input, Node, NodeConfig, Output, Role};
use shore_log::memory::MemoryStore;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{FrameSplitter, decode_response, encode_request};
use shore_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, KafkaRequest, KafkaResponse, MetadataRequest, MetadataResponse,
    StrBytes, create_topics_request::CreatableTopic,
};

thread_local! {
    static BOOTED: LazyCell<Server> = LazyCell::new(Server::boot);
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let mut server = BOOTED.with(|booted| (**booted).clone());
    server.feed(stream, usize::from(cut) * 16 + 1);
    server.let_pass(Duration::from_secs(45));
    let metadata = server.ask::<_, MetadataResponse>(12, &MetadataRequest::default());
    assert!(metadata.brokers.len() == 1);
});

/// Kafka's `socket.request.max.bytes` is more than a fuzzer sends.
const MAX_FRAME: usize = 1 << 20;

#[derive(Clone)]
struct Server {
    node: Node,
    store: MemoryStore,
    now: Instant,
    connections: u64,
    is_open: bool,
    answers: Vec<Bytes>,
}

impl Server {
    fn boot() -> Self {
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
        let mut server =
            Self { node, store: MemoryStore::new(), now, connections: 0, is_open: false, answers: Vec::new() };
        server.drain();
        server.let_pass(Duration::from_secs(5));
        let mut create = CreateTopicsRequest::default();
        create.timeout_ms = 1_000;
        // The names that the recorded clients use.
        for name in ["life", "orders"] {
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

    fn connect(&mut self) -> ConnId {
        self.connections += 1;
        self.is_open = true;
        let conn = ConnId(self.connections);
        self.input(Input::Connected { conn, role: Role::Broker, peer: "/127.0.0.1".to_owned() });
        conn
    }

    /// Sends a stream as a host would: frame by frame, until the broker hangs up.
    fn feed(&mut self, stream: &[u8], step: usize) {
        let conn = self.connect();
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        for chunk in stream.chunks(step) {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Ok(Some(frame)) = splitter.next() {
                if !self.is_open {
                    return;
                }
                self.input(Input::Request { conn, frame });
            }
            self.let_pass(Duration::from_millis(10));
        }
        if self.is_open {
            self.input(Input::Disconnected { conn });
        }
    }

    fn ask<Q: KafkaRequest, S: KafkaResponse>(&mut self, version: i16, request: &Q) -> S {
        let conn = self.connect();
        self.answers.clear();
        let frame = encode_request(9, None, version, request).expect("our own request").body();
        self.input(Input::Request { conn, frame });
        self.let_pass(Duration::from_secs(1));
        let answer = self.answers.pop().expect("an answer");
        decode_response(answer, version).expect("our own response").1
    }

    fn input(&mut self, input: Input) {
        self.node.handle(self.now, input);
        self.drain();
    }

    fn let_pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.node.next_wake().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Wake);
        }
        self.now = end;
        self.input(Input::Wake);
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll() {
            match output {
                Output::Respond { frame, .. } => self.answers.push(frame.body()),
                Output::Close { .. } => self.is_open = false,
                Output::Store(request) => {
                    let reply = self.store.carry_out(request);
                    self.node.handle(self.now, Input::Store(reply));
                }
                Output::Event(_) | Output::Log(_) | Output::Ready | Output::Stopped => {}
            }
        }
    }
}
