//! How costs grow: what one record, one request or one member costs a node, by how many there are of something. On a
//! log-log scale the costs lie near a line; its slope is the exponent, and 0 is flat.

use std::collections::VecDeque;

use bytes::Bytes;
use shore_base::ConnId;
use shore_log::memory::MemoryStore;
use shore_wire::compress::Codec;
use shore_wire::frame::{decode_response, encode_request};
use shore_wire::messages::*;

use crate::node::{Node, at_once, base_offset};
use crate::wire::{TOPIC, batch, produce, produce_to};

const FETCH_VERSION: i16 = 12;
const FIND_VERSION: i16 = 2;
/// The last in which a member joins with one request.
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
const COMMIT_VERSION: i16 = 7;
const GROUP: &str = "readers";

/// Costs of one kind, by how many there are of what might make them grow.
pub struct Growth {
    pub name: &'static str,
    pub of: &'static str,
    /// How many there are, and what one costs then, in any unit.
    pub costs: Vec<(f64, f64)>,
}

impl Growth {
    /// The slope of the line that fits best, in logarithms.
    pub fn exponent(&self) -> f64 {
        let points: Vec<(f64, f64)> = self.costs.iter().map(|(count, cost)| (count.ln(), cost.ln())).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        together / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
    }

    /// What the last costs, as multiples of what the first costs.
    pub fn factor(&self) -> f64 {
        self.costs[self.costs.len() - 1].1 / self.costs[0].1
    }
}

/// One round of everything. `now` is a clock in milliseconds.
pub fn round(now: &dyn Fn() -> f64) -> Vec<Growth> {
    let mut grown = Vec::new();
    for (of, counts, costs) in [
        ("10^3 to 10^7 records of a partition", &[1_000, 10_000, 100_000, 1_000_000, 10_000_000][..], records as Costs),
        ("10 to 10,000 partitions", &[10, 100, 1_000, 10_000], partitions),
        ("10 to 5,000 members", &[10, 100, 1_000, 5_000], members),
    ] {
        let mut kinds: Vec<Growth> = Vec::new();
        for &count in counts {
            for (index, (name, cost)) in costs(count, now).into_iter().enumerate() {
                if kinds.len() == index {
                    kinds.push(Growth { name, of, costs: Vec::new() });
                }
                kinds[index].costs.push((count as f64, cost));
            }
        }
        grown.append(&mut kinds);
    }
    grown
}

/// What one of each kind costs where there are so many of something.
type Costs = fn(usize, &dyn Fn() -> f64) -> Vec<(&'static str, f64)>;

/// Every fetch gets as much, however much there is: so many batches of one partition, or of several a part each.
const FETCHED_BATCHES: usize = 20;
const FETCHED_PARTITIONS: usize = 10;
const FROM_MEMORY: &str = "a record read from the node's memory";
const FROM_STORE: &str = "a record read from the node's store";
/// The machine's part in it: how much more what lies in fresh memory costs than what lies in its caches.
pub const COPIED: &str = "a record copied and nothing else";

/// As many records in one partition, as often as it takes to see something.
fn records(count: usize, now: &dyn Fn() -> f64) -> Vec<(&'static str, f64)> {
    at_once(async {
        let batch = batch(10 << 10, Codec::None);
        let frame = produce(&batch);
        let batches = count / records_in(&batch) + 1;
        let end = (batches * records_in(&batch)) as i64;
        let rounds = (1_000_000 / count).clamp(1, 200);
        let (mut appending, mut reading, mut loading, mut copying) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..rounds {
            let mut node = Node::with_partitions(MemoryStore::new(), 1, u64::MAX).await;
            let start = now();
            for _ in 0..batches {
                base_offset(&node.ask(frame.clone()).await);
            }
            appending += now() - start;
            let bytes = FETCHED_BATCHES * batch.len();
            reading += read_all(&mut node, 1, end, bytes, now).await;
            loading += read_all(&mut node.restarted().await, 1, end, bytes, now).await;
            copying += copy_all(&batch.repeat(batches), bytes, now);
        }
        let all = (rounds as i64 * end) as f64;
        let costs = [("a record appended", appending), (FROM_MEMORY, reading), (FROM_STORE, loading)];
        costs.into_iter().chain([(COPIED, copying)]).map(|(name, millis)| (name, millis / all)).collect()
    })
}

/// Copies all bytes, as much at once as a fetch gets.
fn copy_all(bytes: &[u8], at_once: usize, now: &dyn Fn() -> f64) -> f64 {
    let mut copy = Vec::with_capacity(at_once);
    let start = now();
    for part in bytes.chunks(at_once) {
        copy.clear();
        copy.extend_from_slice(part);
        std::hint::black_box(&copy);
    }
    now() - start
}

/// As many partitions, each with the same number of batches but for rounding, written and read in turn.
fn partitions(count: usize, now: &dyn Fn() -> f64) -> Vec<(&'static str, f64)> {
    const BATCHES: usize = 20_000;
    at_once(async {
        let batch = batch(10 << 10, Codec::None);
        let frames: Vec<Bytes> = (0..count).map(|partition| produce_to(partition as i32, &batch)).collect();
        let mut node = Node::with_partitions(MemoryStore::new(), count as i32, u64::MAX).await;
        let start = now();
        for frame in frames.iter().cycle().take(BATCHES) {
            base_offset(&node.ask(frame.clone()).await);
        }
        let appending = now() - start;
        let end = (BATCHES / count * records_in(&batch)) as i64;
        let bytes = FETCHED_BATCHES / FETCHED_PARTITIONS * batch.len();
        let reading = read_all(&mut node, count, end, bytes, now).await;
        let waiting = read_nothing(&mut node, count, end, now).await;
        let loading = read_all(&mut node.restarted().await, count, end, bytes, now).await;
        let all = (BATCHES * records_in(&batch)) as f64;
        let costs = [("a record appended", appending), (FROM_MEMORY, reading), (FROM_STORE, loading)];
        let waited = ("a partition of a fetch session that has nothing new", waiting);
        costs.map(|(name, millis)| (name, millis / all)).into_iter().chain([waited]).collect()
    })
}

/// A group of as many members, each with a connection of its own.
fn members(count: usize, now: &dyn Fn() -> f64) -> Vec<(&'static str, f64)> {
    const REQUESTS: usize = 20_000;
    at_once(async {
        let rounds = (5_000 / count).clamp(1, 50);
        let (mut forming, mut beating, mut committing) = (0.0, 0.0, 0.0);
        for _ in 0..rounds {
            let mut node = Node::boot(MemoryStore::new()).await;
            find_coordinator(&mut node).await;
            let conns: Vec<ConnId> = (0..count).map(|_| node.connect()).collect();
            let start = now();
            let (generation, members) = form(&mut node, &conns).await;
            forming += now() - start;
            let beats: Vec<_> = members.iter().map(|(conn, member)| (*conn, heartbeat(generation, member))).collect();
            let commits: Vec<_> = members.iter().map(|(conn, member)| (*conn, commit(generation, member))).collect();
            for (total, requests) in [(&mut beating, beats), (&mut committing, commits)] {
                let start = now();
                for (conn, request) in requests.iter().cycle().take(REQUESTS / rounds) {
                    node.send(*conn, request.clone()).await;
                    node.answer().await;
                }
                *total += now() - start;
            }
        }
        let (members, requests) = ((rounds * count) as f64, (REQUESTS / rounds * rounds) as f64);
        vec![
            ("a member taken into a group", forming / members),
            ("a member's heartbeat", beating / requests),
            ("a member's commit", committing / requests),
        ]
    })
}

fn records_in(batch: &Bytes) -> usize {
    i32::from_be_bytes(batch[57..61].try_into().expect("a batch has a header")) as usize
}

/// Reads `count` records from every partition. The milliseconds that the node took; what the reader does with an answer is
/// not counted.
async fn read_all(
    node: &mut Node<MemoryStore>,
    partitions: usize,
    count: i64,
    partition_bytes: usize,
    now: &dyn Fn() -> f64,
) -> f64 {
    let mut millis = 0.0;
    let mut offsets: VecDeque<(i32, i64)> = (0..partitions as i32).map(|partition| (partition, 0)).collect();
    while !offsets.is_empty() {
        let mut request = FetchRequest::default();
        request.session_epoch = -1;
        let asked: Vec<(i32, i64)> = offsets.drain(..offsets.len().min(FETCHED_PARTITIONS)).collect();
        let (answer, took) = fetch(node, request, &asked, partition_bytes, now).await;
        millis += took;
        for (partition, (_, from)) in answer.responses[0].partitions.iter().zip(asked) {
            let mut offset = from;
            for batch in shore_wire::batch::batches(partition.records.as_deref().unwrap_or_default()) {
                let Ok(batch) = batch else { break };
                offset = batch.next_offset();
            }
            assert!(offset > from, "every fetch gets something");
            if offset < count {
                offsets.push_back((partition.partition_index, offset));
            }
        }
    }
    millis
}

/// Asks within a session for what comes after the end of every partition: the milliseconds that each takes.
async fn read_nothing(node: &mut Node<MemoryStore>, partitions: usize, end: i64, now: &dyn Fn() -> f64) -> f64 {
    const PARTITIONS: usize = 100_000;
    let asked: Vec<(i32, i64)> = (0..partitions as i32).map(|partition| (partition, end)).collect();
    let mut open = FetchRequest::default();
    open.session_epoch = 0;
    let (opened, _) = fetch(node, open, &asked, 1, now).await;
    let rounds = PARTITIONS / partitions;
    let mut millis = 0.0;
    for epoch in 1..=rounds {
        let mut request = FetchRequest::default();
        (request.session_id, request.session_epoch) = (opened.session_id, epoch as i32);
        let (answer, took) = fetch(node, request, &[], 1, now).await;
        assert!(answer.responses.is_empty(), "nothing is new");
        millis += took;
    }
    millis / (rounds * partitions) as f64
}

/// Asks for partitions from offsets on: the answer, and the milliseconds until it was there.
async fn fetch(
    node: &mut Node<MemoryStore>,
    mut request: FetchRequest,
    asked: &[(i32, i64)],
    partition_bytes: usize,
    now: &dyn Fn() -> f64,
) -> (FetchResponse, f64) {
    let mut topic = fetch_request::FetchTopic::default();
    topic.topic = StrBytes::from(TOPIC);
    for &(partition, offset) in asked {
        let mut wanted = fetch_request::FetchPartition::default();
        (wanted.partition, wanted.fetch_offset) = (partition, offset);
        wanted.current_leader_epoch = -1;
        wanted.last_fetched_epoch = -1;
        wanted.partition_max_bytes = partition_bytes as i32;
        topic.partitions.push(wanted);
    }
    request.max_bytes = 50 << 20;
    if !asked.is_empty() {
        request.topics.push(topic);
    }
    let frame = encode_request(1, Some("bench"), FETCH_VERSION, &request).expect("our own request").body();
    let start = now();
    let answer = node.ask(frame).await;
    let millis = now() - start;
    let (_, response) = decode_response::<FetchResponse>(answer.body(), FETCH_VERSION).expect("a Fetch answer");
    assert_eq!(response.error_code, 0, "the fetch was refused");
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        assert_eq!(partition.error_code, 0, "a partition was refused");
    }
    (response, millis)
}

/// The first that asks has the log of offsets made, and waits for it.
async fn find_coordinator(node: &mut Node<MemoryStore>) {
    let mut request = FindCoordinatorRequest::default();
    request.key = StrBytes::from(GROUP);
    let request = encode_request(1, Some("bench"), FIND_VERSION, &request).expect("our own request").body();
    loop {
        let answer = node.ask(request.clone()).await;
        let (_, found) = decode_response::<FindCoordinatorResponse>(answer.body(), FIND_VERSION).expect("an answer");
        if found.error_code == 0 {
            return;
        }
    }
}

/// All join, and get what the leader assigns; the generation, and who is who.
async fn form(node: &mut Node<MemoryStore>, conns: &[ConnId]) -> (i32, Vec<(ConnId, StrBytes)>) {
    let mut protocol = join_group_request::JoinGroupRequestProtocol::default();
    protocol.name = StrBytes::from("range");
    protocol.metadata = Bytes::from_static(&[0; 20]);
    let mut join = JoinGroupRequest::default();
    join.group_id = StrBytes::from(GROUP);
    join.session_timeout_ms = 300_000;
    join.rebalance_timeout_ms = 300_000;
    join.protocol_type = StrBytes::from("consumer");
    join.protocols.push(protocol);
    let join = encode_request(1, Some("bench"), JOIN_VERSION, &join).expect("our own request").body();
    for &conn in conns {
        node.send(conn, join.clone()).await;
    }
    let mut members = Vec::new();
    let mut generation = 0;
    let mut assignments = Vec::new();
    for _ in conns {
        let (conn, frame) = node.answer().await;
        let (_, joined) = decode_response::<JoinGroupResponse>(frame.body(), JOIN_VERSION).expect("a JoinGroup answer");
        assert_eq!(joined.error_code, 0, "the member was refused");
        generation = joined.generation_id;
        for member in joined.members {
            let mut assignment = sync_group_request::SyncGroupRequestAssignment::default();
            assignment.member_id = member.member_id;
            assignment.assignment = Bytes::from_static(&[0; 20]);
            assignments.push(assignment);
        }
        members.push((conn, joined.member_id, joined.leader));
    }
    for (conn, member, leader) in &members {
        let mut sync = SyncGroupRequest::default();
        sync.group_id = StrBytes::from(GROUP);
        sync.generation_id = generation;
        sync.member_id = member.clone();
        if member == leader {
            sync.assignments = std::mem::take(&mut assignments);
        }
        let sync = encode_request(2, Some("bench"), SYNC_VERSION, &sync).expect("our own request").body();
        node.send(*conn, sync).await;
    }
    for _ in conns {
        let frame = node.answer().await.1;
        let (_, synced) = decode_response::<SyncGroupResponse>(frame.body(), SYNC_VERSION).expect("a SyncGroup answer");
        assert_eq!((synced.error_code, synced.assignment.len()), (0, 20));
    }
    (generation, members.into_iter().map(|(conn, member, _)| (conn, member)).collect())
}

fn heartbeat(generation: i32, member: &StrBytes) -> Bytes {
    let mut request = HeartbeatRequest::default();
    request.group_id = StrBytes::from(GROUP);
    request.generation_id = generation;
    request.member_id = member.clone();
    encode_request(3, Some("bench"), HEARTBEAT_VERSION, &request).expect("our own request").body()
}

fn commit(generation: i32, member: &StrBytes) -> Bytes {
    let mut partition = offset_commit_request::OffsetCommitRequestPartition::default();
    partition.committed_offset = 1;
    let mut topic = offset_commit_request::OffsetCommitRequestTopic::default();
    topic.name = StrBytes::from(TOPIC);
    topic.partitions.push(partition);
    let mut request = OffsetCommitRequest::default();
    request.group_id = StrBytes::from(GROUP);
    request.generation_id_or_member_epoch = generation;
    request.member_id = member.clone();
    request.topics.push(topic);
    encode_request(4, Some("bench"), COMMIT_VERSION, &request).expect("our own request").body()
}
