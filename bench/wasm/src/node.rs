//! The append path of a whole node: a Produce frame in, a store that answers, an acknowledgement out.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use shore_base::{ConnId, Duration, NodeId, Uuid};
use shore_broker::{Durability, NodeConfig};
use shore_log::memory::MemoryStore;
use shore_log::storage::{StoreReply, StoreRequest};
use shore_sim::{Disk, Outward, World};
use shore_wire::compress::Codec;
use shore_wire::frame::{Frame, decode_response, encode_request};
use shore_wire::messages::create_partitions_request::CreatePartitionsTopic;
use shore_wire::messages::create_topics_request::CreatableTopic;
use shore_wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, ProduceResponse,
    StrBytes,
};

use crate::Measured;
use crate::wire::{PRODUCE_VERSION, TOPIC, batch, produce};

/// A node is given so much, then another one takes its place.
const BYTES_PER_NODE: usize = 64 << 20;
/// What the page's node keeps of its logs in its own memory.
const CACHE_BYTES: u64 = 32 << 20;
/// So many nodes only warm up: an engine compiles what it often comes by while it runs, and some of it not before the
/// third node.
const WARMING: usize = 3;
const CREATE_TOPICS_VERSION: i16 = 7;
const CREATE_PARTITIONS_VERSION: i16 = 3;
/// A controller takes no request that would write more than 10,000 records.
const MOST_AT_ONCE: i32 = 5_000;
const NODE: NodeId = NodeId(1);
/// What the clock moves between two requests.
const TURN: Duration = Duration::from_micros(100);

/// What carries out the node's requests, in their order.
pub trait Store {
    fn carry_out(&mut self, requests: Vec<StoreRequest>) -> impl Future<Output = Vec<StoreReply>>;
}

impl Store for MemoryStore {
    async fn carry_out(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreReply> {
        requests.into_iter().map(|request| MemoryStore::carry_out(self, request)).collect()
    }
}

/// Appends batches of 100-byte records to a node in memory.
pub fn round(now: &dyn Fn() -> f64) -> Vec<Measured> {
    let case = |(label, size): (&str, usize)| {
        let batch = batch(size, Codec::None);
        let count = BYTES_PER_NODE / batch.len();
        for _ in 0..WARMING {
            at_once(fill(&batch, count, now));
        }
        let millis = at_once(fill(&batch, count, now));
        Measured {
            name: format!("a node appends batches of {label}"),
            megabytes_per_second: (count * batch.len()) as f64 / millis / 1e3,
        }
    };
    [("16 KiB", 16 << 10), ("1 MiB", 1 << 20)].map(case).into()
}

/// Milliseconds that a fresh node takes for `count` acknowledged batches.
async fn fill(batch: &Bytes, count: usize, now: &dyn Fn() -> f64) -> f64 {
    let mut node = Node::boot(MemoryStore::new()).await;
    let frame = produce(batch);
    let start = now();
    let mut answer = node.ask(frame.clone()).await;
    let records = {
        assert_eq!(base_offset(&answer), 0);
        i64::from(i32::from_be_bytes(batch[57..61].try_into().expect("a batch has a header")))
    };
    for _ in 1..count {
        answer = node.ask(frame.clone()).await;
    }
    let millis = now() - start;
    assert_eq!(base_offset(&answer), (count as i64 - 1) * records, "every batch was appended once");
    millis
}

/// A world of one node with one topic.
pub struct Node<S> {
    world: World,
    conn: ConnId,
    store: S,
    asked: Vec<StoreRequest>,
    answers: VecDeque<(ConnId, Frame)>,
    is_ready: bool,
}

impl<S: Store> Node<S> {
    /// A fresh node, as the page runs it, whose topic has one partition.
    pub async fn boot(store: S) -> Self {
        Self::with_partitions(store, 1, CACHE_BYTES).await
    }

    /// One whose topic has as many partitions, and which keeps so much of what is stored in its own memory.
    pub async fn with_partitions(store: S, partitions: i32, cache_bytes: u64) -> Self {
        let mut node = Self::start(store, cache_bytes).await;
        node.create_topic(partitions).await;
        node
    }

    /// A node that has nothing but what the store of this one holds.
    pub async fn restarted(self) -> Self {
        Self::start(self.store, CACHE_BYTES).await
    }

    async fn start(store: S, cache_bytes: u64) -> Self {
        let config = NodeConfig {
            node_id: NODE,
            cluster_id: Uuid([1; 16]),
            directory: "n1/d0".into(),
            advertised_host: "localhost".into(),
            advertised_port: 9092,
            static_configs: [("offsets.topic.replication.factor".to_owned(), "1".to_owned())].into_iter().collect(),
            durability: Durability::Written,
            cache_bytes,
            memory_ceiling_bytes: None,
            seed: 1,
        };
        let mut world = World::new(1);
        world.boot(config, Disk::External);
        let mut node =
            Self { world, conn: ConnId(0), store, asked: Vec::new(), answers: VecDeque::new(), is_ready: false };
        while !node.is_ready {
            node.turn().await;
        }
        node.conn = node.connect();
        node
    }

    pub fn connect(&mut self) -> ConnId {
        self.world.connect(NODE, "127.0.0.1")
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, frame: Bytes) -> Frame {
        self.send(self.conn, frame).await;
        self.answer().await.1
    }

    /// Sends a request and lets the node do what it can.
    pub async fn send(&mut self, conn: ConnId, frame: Bytes) {
        self.world.advance(self.world.now() + TURN);
        self.world.receive(conn, frame);
        self.drain().await;
    }

    /// Waits for the next answer of any connection.
    pub async fn answer(&mut self) -> (ConnId, Frame) {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            self.turn().await;
        }
    }

    async fn create_topic(&mut self, partitions: i32) {
        let mut topic = CreatableTopic::default();
        topic.name = StrBytes::from(TOPIC);
        topic.num_partitions = partitions.min(MOST_AT_ONCE);
        topic.replication_factor = 1;
        let mut request = CreateTopicsRequest::default();
        request.timeout_ms = 30_000;
        request.topics.push(topic);
        let request = encode_request(0, Some("bench"), CREATE_TOPICS_VERSION, &request).expect("our own request");
        let answer = self.ask(request.body()).await;
        let (_, response) = decode_response::<CreateTopicsResponse>(answer.body(), CREATE_TOPICS_VERSION)
            .expect("an answer of the version asked for");
        assert_eq!(response.topics[0].error_code, 0);
        if partitions > MOST_AT_ONCE {
            self.create_partitions(partitions).await;
        }
    }

    async fn create_partitions(&mut self, partitions: i32) {
        let mut topic = CreatePartitionsTopic::default();
        topic.name = StrBytes::from(TOPIC);
        topic.count = partitions;
        topic.assignments = None;
        let mut request = CreatePartitionsRequest::default();
        request.timeout_ms = 30_000;
        request.topics.push(topic);
        let request = encode_request(0, Some("bench"), CREATE_PARTITIONS_VERSION, &request).expect("our own request");
        let answer = self.ask(request.body()).await;
        let (_, response) = decode_response::<CreatePartitionsResponse>(answer.body(), CREATE_PARTITIONS_VERSION)
            .expect("an answer of the version asked for");
        assert_eq!(response.results[0].error_code, 0);
    }

    /// Goes to the next thing that is due.
    async fn turn(&mut self) {
        self.drain().await;
        let (due, _) = self.world.next_due().expect("a node that works waits for something");
        self.world.advance(due);
        self.drain().await;
    }

    /// Lets the node do what it can, and its store with it.
    async fn drain(&mut self) {
        loop {
            while let Some(outward) = self.world.poll() {
                match outward {
                    Outward::Store { request, .. } => self.asked.push(request),
                    Outward::Respond { conn, frame } => self.answers.push_back((conn, frame)),
                    Outward::Ready { .. } => self.is_ready = true,
                    Outward::Close { reason, .. } => panic!("the node closed the connection: {reason}"),
                    Outward::Log { line, .. } => panic!("the node complains: {line}"),
                    Outward::Stopped { .. } => panic!("nobody stopped the node"),
                }
            }
            if self.asked.is_empty() {
                return;
            }
            for reply in self.store.carry_out(std::mem::take(&mut self.asked)).await {
                self.world.store_reply(NODE, reply);
            }
        }
    }
}

/// Where an acknowledged batch was appended.
pub fn base_offset(answer: &Frame) -> i64 {
    let (_, response) = decode_response::<ProduceResponse>(answer.body(), PRODUCE_VERSION).expect("a Produce answer");
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, 0, "the batch was refused");
    partition.base_offset
}

/// Runs what never has to wait.
pub fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("a store in memory answers at once"),
    }
}
