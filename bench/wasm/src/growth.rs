//! How costs grow: what one record, one request or one member costs a node, by how many there are of something. On a
//! log-log scale the costs lie near a line; its slope is the exponent, and 0 is flat.

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

/// As many records in one partition, as often as it takes to see something.
fn records(count: usize, now: &dyn Fn() -> f64) -> Vec<(&'static str, f64)> {
    at_once(async {
        let batch = batch(10 << 10, Codec::None);
        let frame = produce(&batch);
        let batches = count / records_in(&batch) + 1;
        let rounds = (1_000_000 / count).clamp(1, 200);
        let (mut appending, mut reading) = (0.0, 0.0);
        for _ in 0..rounds {
            let mut node = Node::boot(MemoryStore::new()).await;
            let start = now();
            for _ in 0..batches {
                base_offset(&node.ask(frame.clone()).await);
            }
            let middle = now();
            read_all(&mut node, 1, (batches * records_in(&batch)) as i64).await;
            appending += middle - start;
            reading += now() - middle;
        }
        let all = (rounds * batches * records_in(&batch)) as f64;
        vec![("a record appended", appending / all), ("a record read", reading / all)]
    })
}

/// As many partitions, each with the same number of batches but for rounding, written and read in turn.
fn partitions(count: usize, now: &dyn Fn() -> f64) -> Vec<(&'static str, f64)> {
    const BATCHES: usize = 20_000;
    at_once(async {
        let batch = batch(10 << 10, Codec::None);
        let frames: Vec<Bytes> = (0..count).map(|partition| produce_to(partition as i32, &batch)).collect();
        let mut node = Node::with_partitions(MemoryStore::new(), count as i32).await;
        let start = now();
        for frame in frames.iter().cycle().take(BATCHES) {
            base_offset(&node.ask(frame.clone()).await);
        }
        let middle = now();
        read_all(&mut node, count as i32, (BATCHES / count * records_in(&batch)) as i64).await;
        let all = (BATCHES * records_in(&batch)) as f64;
        vec![("a record appended", (middle - start) / all), ("a record read", (now() - middle) / all)]
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

/// Reads `count` records from every partition.
async fn read_all(node: &mut Node<MemoryStore>, partitions: i32, count: i64) {
    let mut offsets = vec![0_i64; partitions as usize];
    while offsets.iter().any(|&offset| offset < count) {
        let mut topic = fetch_request::FetchTopic::default();
        topic.topic = StrBytes::from(TOPIC);
        for (index, &offset) in offsets.iter().enumerate().filter(|(_, offset)| **offset < count) {
            let mut wanted = fetch_request::FetchPartition::default();
            wanted.partition = index as i32;
            wanted.fetch_offset = offset;
            wanted.partition_max_bytes = 1 << 20;
            topic.partitions.push(wanted);
        }
        let mut request = FetchRequest::default();
        request.max_bytes = 50 << 20;
        request.session_epoch = -1;
        request.topics.push(topic);
        let frame = encode_request(1, Some("bench"), FETCH_VERSION, &request).expect("our own request").body();
        let answer = node.ask(frame).await;
        let (_, response) = decode_response::<FetchResponse>(answer.body(), FETCH_VERSION).expect("a Fetch answer");
        for partition in &response.responses[0].partitions {
            assert_eq!(partition.error_code, 0, "the fetch was refused");
            for batch in shore_wire::batch::batches(partition.records.as_deref().unwrap_or_default()) {
                let Ok(batch) = batch else { break };
                offsets[partition.partition_index as usize] = batch.next_offset();
            }
        }
    }
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
