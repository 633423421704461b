//! Canaries: each rule is shown what breaks it and what only looks so. A checker that does not notice is none.

#![cfg(not(target_arch = "wasm32"))]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{ConnId, Instant, NodeId, Uuid, Wall};
use shore_broker::event::Event as NodeEvent;
use shore_broker::group::{Departure, GroupEvent, GroupView, MemberView, OffsetView, StateName};
use shore_broker::txn::{TransactionState, TxnEvent};
use shore_broker::view::{BrokerView, LogView, PartitionView, ProducerView, TopicView};
use shore_broker::{Node, NodeView};
use shore_check::{Checker, Read, run::node_config};
use shore_client::TopicPartition;
use shore_client::consumer::protocol::{Subscription, encode_assignment};
use shore_log::BatchHeader;
use shore_sim::{Action, ActorEvent, ActorId, ConsumerSpec, Event, EventId, EventKind};
use shore_wire::api::ApiKey;
use shore_wire::batch::{BatchBuilder, BatchOptions, ControlKind, end_transaction_marker};
use shore_wire::error::ErrorCode;
use shore_wire::frame::{encode_request, encode_response};
use shore_wire::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use shore_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use shore_wire::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;
use shore_wire::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use shore_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use shore_wire::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use shore_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use shore_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use shore_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use shore_wire::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, EndTxnRequest, EndTxnResponse, FetchRequest, FetchResponse,
    HeartbeatRequest, HeartbeatResponse, InitProducerIdRequest, InitProducerIdResponse, JoinGroupRequest,
    JoinGroupResponse, KafkaRequest, KafkaResponse, LeaveGroupRequest, MetadataRequest, MetadataResponse,
    OffsetCommitRequest, OffsetCommitResponse, ProduceRequest, ProduceResponse, SyncGroupRequest, SyncGroupResponse,
};

const CONN: ConnId = ConnId(7);
const NODE: NodeId = NodeId(1);

/// A checker and what it is told.
#[derive(Default)]
struct Told {
    checker: Checker,
    now: Instant,
    correlation_id: i32,
}

impl Told {
    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn event(&mut self, kind: EventKind) {
        self.checker.observe(&Event { id: EventId(0), at: self.now, cause: None, kind });
    }

    fn node(&mut self, event: NodeEvent) {
        self.event(EventKind::Node { node: NODE, event });
    }

    fn asks<M: KafkaRequest>(&mut self, version: i16, request: &M) {
        self.correlation_id += 1;
        let frame = encode_request(self.correlation_id, None, version, request).expect("encodes").body();
        self.event(EventKind::Request { conn: CONN, frame });
    }

    fn is_answered<M: KafkaResponse>(&mut self, version: i16, response: &M) {
        let frame = encode_response(self.correlation_id, version, response).expect("encodes");
        self.event(EventKind::Response { conn: CONN, frame, due: self.now });
    }

    /// The topic `t`, as the node makes it.
    fn topic_is_made(&mut self, id: u8) {
        self.node(NodeEvent::TopicCreated { topic: "t".into(), id: Uuid([id; 16]), partitions: 1 });
    }

    /// The end: what somebody read of `t-0` from its start, where the group `g` was at its end.
    fn ends(&mut self, read: &[(i64, &'static str)]) {
        let log: BTreeMap<i64, Bytes> = read.iter().map(|(offset, value)| (*offset, Bytes::from(*value))).collect();
        let readers = [("g".to_owned(), BTreeSet::from(["t".to_owned()]))];
        let read = Read::from([(("t".to_owned(), 0), log)]);
        self.checker.finish(self.now, &read, &read, &readers);
    }

    fn look(&mut self, view: &NodeView) {
        let wall = Wall::from_millis(1_700_000_000_000).at(self.now);
        self.checker.look_at(self.now, wall, view);
    }

    /// The numbers of the rules that were broken.
    fn broken(&self) -> Vec<&str> {
        self.checker.violations().iter().filter_map(|broken| broken.rule.split(':').next()).collect()
    }
}

/// A message of default values, changed.
fn with<M: Default>(change: impl FnOnce(&mut M)) -> M {
    let mut message = M::default();
    change(&mut message);
    message
}

fn batch() -> Bytes {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(1, None, Some(b"value"), []);
    batch.finish()
}

fn appended(last_offset: i64) -> NodeEvent {
    NodeEvent::Appended { topic: "t".into(), partition: 0, base_offset: last_offset, last_offset, bytes: 70 }
}

/// A batch for `t-0`, what the node does with it, and what it answers.
fn produce(told: &mut Told, appends: bool, error: ErrorCode) {
    produce_at(told, &["value"], appends.then_some(0), -1, error);
}

/// Records for `t-0` that are appended at an offset, or nowhere, and answered to be at another.
fn produce_at(told: &mut Told, values: &[&str], appended_at: Option<i64>, answer: i64, error: ErrorCode) {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for value in values {
        batch.append(1, None, Some(value.as_bytes()), []);
    }
    let data = with(|data: &mut PartitionProduceData| data.records = Some(batch.finish()));
    let topic = with(|topic: &mut TopicProduceData| {
        topic.name = "t".into();
        topic.partition_data = vec![data];
    });
    told.asks(
        9,
        &with(|request: &mut ProduceRequest| {
            request.acks = -1;
            request.topic_data = vec![topic];
        }),
    );
    let correlation_id = told.correlation_id;
    let (api, client_id) = (ApiKey::Produce, String::new());
    told.node(NodeEvent::RequestReceived { conn: CONN, api, version: 9, correlation_id, client_id, bytes: 1 });
    if let Some(offset) = appended_at {
        told.node(appended(offset + values.len() as i64 - 1));
    }
    if error == ErrorCode::None {
        let to = answer + values.len() as i64;
        told.node(NodeEvent::HighWatermarkMoved { topic: "t".into(), partition: 0, from: 0, to });
    }
    let answer = with(|partition: &mut PartitionProduceResponse| {
        partition.error_code = error.code();
        partition.base_offset = answer;
    });
    let topic = with(|topic: &mut TopicProduceResponse| {
        topic.name = "t".into();
        topic.partition_responses = vec![answer];
    });
    told.is_answered(9, &with(|response: &mut ProduceResponse| response.responses = vec![topic]));
}

#[test]
fn rule_2_an_offset_is_given_once() {
    for (second, expected) in [(1, &[][..]), (0, &["2"])] {
        let mut told = Told::default();
        told.topic_is_made(1);
        produce_at(&mut told, &["a"], Some(0), 0, ErrorCode::None);
        // The same records again, as a retry that is answered with what was answered first.
        produce_at(&mut told, &["a"], None, 0, ErrorCode::None);
        produce_at(&mut told, &["b"], Some(second), second, ErrorCode::None);
        assert_eq!(told.broken(), expected);
    }
}

#[test]
fn rule_2_a_topic_that_is_made_anew_gives_its_offsets_anew() {
    let mut told = Told::default();
    told.topic_is_made(1);
    produce_at(&mut told, &["a"], Some(0), 0, ErrorCode::None);
    told.event(EventKind::Acted(Action::DeleteTopic { topic: "t".into() }));
    told.node(NodeEvent::TopicDeleted { topic: "t".into(), id: Uuid([1; 16]) });
    told.topic_is_made(2);
    produce_at(&mut told, &["b"], Some(0), 0, ErrorCode::None);
    told.ends(&[(0, "b")]);
    assert_eq!(told.broken(), [""; 0]);
}

#[test]
fn rule_6_what_is_acknowledged_stays_whoever_heard_of_it() {
    for (read, expected) in
        [(&[(0, "a"), (1, "b")][..], &[][..]), (&[(0, "a")], &["6", "39"]), (&[(0, "a"), (1, "c")], &["6"])]
    {
        let mut told = Told::default();
        told.topic_is_made(1);
        produce_at(&mut told, &["a", "b"], Some(0), 0, ErrorCode::None);
        processes(&mut told, read);
        told.ends(read);
        assert_eq!(told.broken(), expected, "{read:?}");
    }
}

#[test]
fn rule_6_a_topic_stays_until_somebody_deletes_it() {
    for (deletes, expected) in [(true, &[][..]), (false, &["6"])] {
        let mut told = Told::default();
        told.topic_is_made(1);
        if deletes {
            told.event(EventKind::Acted(Action::DeleteTopic { topic: "t".into() }));
        }
        told.look(&empty_node());
        assert_eq!(told.broken(), expected);
    }
}

/// A member of `g` that is given these records of `t-0`.
fn processes(told: &mut Told, records: &[(i64, &'static str)]) {
    let (actor, t0) = (ActorId(1), ("t".to_owned(), 0));
    told.event(EventKind::Acted(Action::AddConsumer(ConsumerSpec::new("m", "g", "t"))));
    told.event(EventKind::ActorAdded { actor, name: "m".into() });
    let records: Vec<(i64, Option<Bytes>)> =
        records.iter().map(|(at, value)| (*at, Some(Bytes::from(*value)))).collect();
    for event in [
        ActorEvent::Assigned { generation: 1, partitions: vec![t0] },
        ActorEvent::Positioned { topic: "t".into(), partition: 0, offset: 0, committed: false },
        ActorEvent::Consumed { topic: "t".into(), partition: 0, records },
    ] {
        told.event(EventKind::Actor { actor, event });
    }
}

#[test]
fn rule_39_what_is_acknowledged_is_processed() {
    for (given, expected) in [(&[(0, "a"), (1, "b")][..], &[][..]), (&[(0, "a")], &["39"]), (&[], &["39", "39"])] {
        let mut told = Told::default();
        told.topic_is_made(1);
        produce_at(&mut told, &["a", "b"], Some(0), 0, ErrorCode::None);
        processes(&mut told, given);
        told.ends(&[(0, "a"), (1, "b")]);
        assert_eq!(told.broken(), expected, "{given:?}");
    }
}

#[test]
fn rule_48_the_last_record_of_a_key_stays() {
    for (left, expected) in [(&[(2, "n-2")][..], &[][..]), (&[(1, "n-1"), (2, "n-2")], &[]), (&[(1, "n-1")], &["48"])] {
        let mut told = Told::default();
        let configs = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let create = Action::CreateTopic { topic: "t".into(), partitions: 1, replication: 1, configs };
        told.event(EventKind::Acted(create));
        told.topic_is_made(1);
        let values = ["n-0", "n-1", "n-2"];
        let event = ActorEvent::Produced {
            topic: "t".into(),
            first: 0,
            values: values.map(Bytes::from).to_vec(),
            keys: vec![Some(Bytes::from("key")); 3],
        };
        told.event(EventKind::Actor { actor: ActorId(9), event });
        produce_at(&mut told, &values, Some(0), 0, ErrorCode::None);
        told.ends(left);
        assert_eq!(told.broken(), expected, "{left:?}");
    }
}

/// A node that leads `t-0` in an epoch, with a log that has these epochs and a batch of one of them.
fn leading(leader_epoch: i32, epochs: &[(i32, i64)], batch: (i64, i32)) -> NodeView {
    let batch = BatchHeader {
        base_offset: batch.0,
        size: 70,
        leader_epoch: batch.1,
        attributes: 0,
        last_offset: batch.0,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count: 1,
    };
    let log = LogView {
        start_offset: 0,
        high_watermark: 90,
        last_stable_offset: 90,
        durable_end: 90,
        end_offset: 90,
        epochs: epochs.to_vec(),
        size_bytes: 70,
        cached_bytes: 70,
        segments: Vec::new(),
        batches: vec![batch],
        producers: Vec::new(),
        aborted: Vec::new(),
        cleaning: None,
        waiting_fetches: 0,
    };
    let partition =
        PartitionView { partition: 0, leader: 1, leader_epoch, replicas: vec![1], isr: vec![1], log: Some(log) };
    NodeView { topics: vec![TopicView { partitions: vec![partition], ..topic() }], ..empty_node() }
}

#[test]
fn rule_4_leader_epochs_never_fall() {
    for (then, expected) in [(3, &[][..]), (2, &["4"])] {
        let mut told = Told::default();
        told.look(&leading(3, &[(2, 0)], (5, 2)));
        told.look(&leading(then, &[(2, 0)], (5, 2)));
        assert_eq!(told.broken(), expected);
    }
}

#[test]
fn rule_17_a_batch_is_of_the_epoch_in_which_it_lies() {
    type Case<'a> = (i32, &'a [(i32, i64)], (i64, i32), &'a [&'a str]);
    let cases: [Case<'_>; 8] = [
        (3, &[(1, 0), (3, 10)], (9, 1), &[]),
        (3, &[(1, 0), (3, 10)], (10, 3), &[]),
        (3, &[(1, 0), (3, 10)], (10, 1), &["17"]),
        (3, &[(1, 5)], (4, 1), &[]),
        (3, &[(1, 5)], (5, 3), &["17"]),
        (2, &[(1, 0), (3, 10)], (9, 1), &["17"]),
        (3, &[(1, 0), (1, 10)], (9, 1), &["17"]),
        (3, &[(1, 10), (3, 10)], (9, 1), &["17"]),
    ];
    for (leader_epoch, epochs, batch, expected) in cases {
        let mut told = Told::default();
        told.look(&leading(leader_epoch, epochs, batch));
        assert_eq!(told.broken(), expected, "{epochs:?} with {batch:?}");
    }
}

#[test]
fn rule_18_who_is_of_another_epoch_gets_no_records() {
    for (known, gives, diverges, expected) in [
        (3, true, -1, &[][..]),
        (-1, true, -1, &[]),
        (2, false, -1, &[]),
        (2, true, -1, &["18"]),
        (3, false, 2, &[]),
        (3, true, 2, &["18"]),
    ] {
        let mut told = Told::default();
        told.look(&leading(3, &[(1, 0)], (5, 1)));
        let topic = with(|topic: &mut FetchTopic| {
            topic.topic = "t".into();
            topic.partitions = vec![with(|partition: &mut FetchPartition| partition.current_leader_epoch = known)];
        });
        told.asks(12, &with(|request: &mut FetchRequest| request.topics = vec![topic]));
        let answer = with(|answer: &mut PartitionData| {
            answer.records = Some(if gives { batch() } else { Bytes::new() });
            answer.diverging_epoch.epoch = diverges;
        });
        let topic = with(|topic: &mut FetchableTopicResponse| {
            topic.topic = "t".into();
            topic.partitions = vec![answer];
        });
        told.is_answered(12, &with(|response: &mut FetchResponse| response.responses = vec![topic]));
        assert_eq!(told.broken(), expected, "{known}, {diverges}");
    }
}

#[test]
fn rule_24_a_brokers_epochs_rise_with_each_registration() {
    let registered = |epoch| {
        let broker = BrokerView { id: 1, epoch, host: "n1".into(), port: 9092, is_fenced: false };
        NodeView { brokers: vec![broker], ..empty_node() }
    };
    for (starts, epoch, expected) in
        [(false, 4, &[][..]), (false, 3, &["24"]), (true, 5, &[]), (true, 4, &["24"]), (true, 3, &["24"])]
    {
        let mut told = Told::default();
        told.event(EventKind::NodeStarted { node: NODE });
        told.look(&registered(4));
        if starts {
            told.event(EventKind::NodeStarted { node: NODE });
        }
        told.look(&registered(epoch));
        assert_eq!(told.broken(), expected, "{epoch} after 4, started anew: {starts}");
    }
}

#[test]
fn rule_49_deleted_records_stay_deleted() {
    for (error, expected) in [(ErrorCode::None, &["49"][..]), (ErrorCode::OffsetOutOfRange, &[])] {
        let mut told = Told::default();
        told.look(&leading(1, &[(1, 0)], (5, 1)));
        told.asks(2, &DeleteRecordsRequest::default());
        let partition = with(|partition: &mut DeleteRecordsPartitionResult| {
            (partition.low_watermark, partition.error_code) = (7, error.code());
        });
        let topic = with(|topic: &mut DeleteRecordsTopicResult| {
            topic.name = "t".into();
            topic.partitions = vec![partition];
        });
        told.is_answered(2, &with(|response: &mut DeleteRecordsResponse| response.topics = vec![topic]));
        // Its log begins at 0.
        told.look(&leading(1, &[(1, 0)], (5, 1)));
        assert_eq!(told.broken(), expected);
    }
}

#[test]
fn rule_49_a_crash_may_bring_deleted_records_back_and_a_stop_may_not() {
    for (crashes, expected) in [(true, &[][..]), (false, &["49"])] {
        let mut told = Told::default();
        told.look(&leading(1, &[(1, 0)], (5, 1)));
        told.asks(2, &DeleteRecordsRequest::default());
        let partition = with(|partition: &mut DeleteRecordsPartitionResult| partition.low_watermark = 7);
        let topic = with(|topic: &mut DeleteRecordsTopicResult| {
            topic.name = "t".into();
            topic.partitions = vec![partition];
        });
        told.is_answered(2, &with(|response: &mut DeleteRecordsResponse| response.topics = vec![topic]));
        told.event(match crashes {
            true => EventKind::NodeKilled { node: NODE, why: "killed" },
            false => EventKind::NodeStopped { node: NODE },
        });
        told.look(&leading(1, &[(1, 0)], (5, 1)));
        assert_eq!(told.broken(), expected);
    }
}

#[test]
fn rule_11_an_error_says_whether_the_records_are_there() {
    let cases: [(bool, ErrorCode, &[&str]); 6] = [
        (true, ErrorCode::RequestTimedOut, &[]),
        (false, ErrorCode::RequestTimedOut, &["11"]),
        (true, ErrorCode::NotEnoughReplicasAfterAppend, &[]),
        (false, ErrorCode::NotEnoughReplicas, &[]),
        (true, ErrorCode::NotEnoughReplicas, &["11"]),
        (true, ErrorCode::KafkaStorageError, &[]),
    ];
    for (appends, error, expected) in cases {
        let mut told = Told::default();
        produce(&mut told, appends, error);
        assert_eq!(told.broken(), expected, "{} where it was appended: {appends}", error.name());
    }
}

#[test]
fn rule_12_the_leader_is_in_sync_and_who_is_in_sync_is_a_replica() {
    for (leader, isr, broken) in
        [(1, vec![1], 0), (1, vec![], 1), (2, vec![1], 1), (1, vec![1, 3], 1), (-1, vec![1], 0)]
    {
        let mut told = Told::default();
        told.asks(9, &MetadataRequest::default());
        let partition = with(|partition: &mut MetadataResponsePartition| {
            (partition.leader_id, partition.isr_nodes, partition.replica_nodes) = (leader, isr, vec![1, 2]);
        });
        let topic = with(|topic: &mut MetadataResponseTopic| {
            topic.name = Some("t".into());
            topic.partitions = vec![partition];
        });
        told.is_answered(9, &with(|response: &mut MetadataResponse| response.topics = vec![topic]));
        assert_eq!(told.broken(), vec!["12"; broken]);
    }
}

#[test]
fn rule_49_nothing_is_read_from_before_a_logs_start() {
    let cases: [(i64, ErrorCode, bool, &[&str]); 5] = [
        (5, ErrorCode::None, false, &[]),
        (4, ErrorCode::OffsetOutOfRange, false, &[]),
        (4, ErrorCode::None, false, &["49"]),
        // The batch of offset 0.
        (5, ErrorCode::None, true, &["49"]),
        (4, ErrorCode::None, true, &["49", "49"]),
    ];
    for (offset, error, gives, expected) in cases {
        let mut told = Told::default();
        told.topic_is_made(1);
        told.node(NodeEvent::HighWatermarkMoved { topic: "t".into(), partition: 0, from: 0, to: 9 });
        told.node(NodeEvent::LogStartMoved { topic: "t".into(), partition: 0, from: 0, to: 5 });
        let topic = with(|topic: &mut FetchTopic| {
            topic.topic = "t".into();
            topic.partitions = vec![with(|partition: &mut FetchPartition| partition.fetch_offset = offset)];
        });
        told.asks(11, &with(|request: &mut FetchRequest| request.topics = vec![topic]));
        let answer = with(|answer: &mut PartitionData| {
            answer.error_code = error.code();
            answer.records = Some(if gives { batch() } else { Bytes::new() });
        });
        let topic = with(|topic: &mut FetchableTopicResponse| {
            topic.topic = "t".into();
            topic.partitions = vec![answer];
        });
        told.is_answered(11, &with(|response: &mut FetchResponse| response.responses = vec![topic]));
        assert_eq!(told.broken(), expected, "a fetch from {offset}, {}", error.name());
    }
}

/// A group `g` in a node that has a topic `t`.
fn group(state: StateName, protocol: &str, members: &[(&str, &[i32])]) -> NodeView {
    let member = |(id, partitions): &(&str, &[i32])| MemberView {
        member: Arc::from(*id),
        client_id: "c".into(),
        client_host: "/h".into(),
        instance: None,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        protocols: vec![protocol.into()],
        subscribed: vec!["t".into()],
        assignment: partitions.iter().map(|partition| (Arc::from("t"), *partition)).collect(),
        awaits_join: false,
        awaits_sync: false,
    };
    let group = GroupView {
        group: "g".into(),
        partition: 0,
        state,
        since: None,
        generation: 3,
        protocol_type: Some("consumer".into()),
        protocol: Some(protocol.into()),
        leader: None,
        members: members.iter().map(member).collect(),
        pending: 0,
        offsets: Vec::new(),
    };
    NodeView { groups: vec![group], topics: vec![topic()], ..empty_node() }
}

fn empty_node() -> NodeView {
    let node = Node::new(node_config(0, shore_broker::Durability::Memory), Instant::ZERO, Wall::from_millis(0));
    NodeView { is_ready: true, ..node.view() }
}

fn topic() -> shore_broker::view::TopicView {
    shore_broker::view::TopicView {
        name: "t".into(),
        id: shore_base::Uuid([1; 16]),
        is_internal: false,
        configs: Default::default(),
        partitions: Vec::new(),
    }
}

#[test]
fn rule_32_everything_is_assigned_once_and_evenly() {
    type Members<'a> = &'a [(&'a str, &'a [i32])];
    let cases: [(&str, Members<'_>, &[&str]); 6] = [
        ("range", &[("a", &[0, 1, 2, 3]), ("b", &[])], &[]),
        ("range", &[("a", &[0, 1]), ("b", &[1, 2, 3])], &["32"]),
        ("range", &[("a", &[0, 1]), ("b", &[3])], &["32"]),
        ("roundrobin", &[("a", &[0, 2]), ("b", &[1, 3])], &[]),
        ("roundrobin", &[("a", &[0, 2, 3]), ("b", &[1])], &["32"]),
        ("sticky", &[("a", &[0, 1, 2, 3]), ("b", &[])], &["32"]),
    ];
    for (protocol, members, expected) in cases {
        let mut told = Told::default();
        told.look(&group(StateName::Stable, "range", &[("a", &[0, 1, 2, 3])]));
        told.look(&group(StateName::CompletingRebalance, protocol, &[("a", &[]), ("b", &[])]));
        assert_eq!(told.broken(), [""; 0], "while the group is not stable nobody has anything");
        told.look(&group(StateName::Stable, protocol, members));
        assert_eq!(told.broken(), expected, "{protocol} {members:?}");
    }
}

#[test]
fn rule_32_what_changes_hands_between_cooperative_members_is_nobodys_for_a_while() {
    let replaced =
        || GroupEvent::MemberReplaced { group: "g".into(), instance: "i".into(), old: "a".into(), new: "b".into() };
    let started =
        || GroupEvent::GenerationStarted { group: "g".into(), generation: 3, protocol: None, leader: None, members: 1 };
    type Case<'a> = (u64, &'a [GroupEvent], &'a [&'a str], bool);
    let cases: [Case<'_>; 4] = [
        (59, &[], &[], false),
        (61, &[], &["32"], false),
        // Who gave it back was replaced before it could join again.
        (61, &[started(), replaced()], &[], true),
        (61, &[replaced(), started()], &["32"], false),
    ];
    for (seconds, events, expected, left) in cases {
        let mut told = Told::default();
        told.look(&group(StateName::Stable, "range", &[("a", &[0, 1, 2, 3])]));
        for event in events {
            told.node(NodeEvent::Group(event.clone()));
        }
        for _ in 0..2 {
            let mut node = group(StateName::Stable, "cooperative-sticky", &[("b", &[0, 1, 2])]);
            // It is heard of.
            node.groups[0].members[0].awaits_sync = true;
            told.look(&node);
            told.pass(seconds);
        }
        assert_eq!(told.broken(), expected, "after {seconds} s, {events:?}");
        assert_eq!(!told.checker.left_to_nobody().is_empty(), left);
    }
}

/// A member `m` of `g` with a session of 10 s that may take 30 s to rejoin.
fn joins(told: &mut Told) {
    told.asks(
        5,
        &with(|request: &mut JoinGroupRequest| {
            request.group_id = "g".into();
            request.member_id = "m".into();
            (request.session_timeout_ms, request.rebalance_timeout_ms) = (10_000, 30_000);
        }),
    );
    told.is_answered(
        5,
        &with(|response: &mut JoinGroupResponse| {
            response.generation_id = 3;
            response.member_id = "m".into();
        }),
    );
}

fn heartbeats(told: &mut Told) {
    told.asks(
        3,
        &with(|request: &mut HeartbeatRequest| {
            request.group_id = "g".into();
            request.member_id = "m".into();
        }),
    );
    told.is_answered(3, &HeartbeatResponse::default());
}

fn is_gone(told: &mut Told, why: Departure) {
    told.node(NodeEvent::Group(GroupEvent::MemberGone { group: "g".into(), member: "m".into(), why }));
}

#[test]
fn rule_34_a_member_is_let_go_when_its_time_is_over_and_not_before() {
    for (seconds, expected) in [(10, &[][..]), (9, &["34"])] {
        let mut told = Told::default();
        joins(&mut told);
        told.pass(5);
        heartbeats(&mut told);
        told.pass(seconds);
        is_gone(&mut told, Departure::SessionTimeout);
        assert_eq!(told.broken(), expected, "{seconds} s after a heartbeat");
    }
    for (seconds, why, expected) in [
        (30, Departure::RebalanceTimeout, &[][..]),
        (29, Departure::RebalanceTimeout, &["34"]),
        (29, Departure::SyncTimeout, &["34"]),
    ] {
        let mut told = Told::default();
        joins(&mut told);
        let (from, to) = (StateName::Stable, StateName::PreparingRebalance);
        let reason = String::new();
        told.node(NodeEvent::Group(GroupEvent::StateChanged { group: "g".into(), from, to, reason }));
        told.pass(seconds);
        is_gone(&mut told, why);
        assert_eq!(told.broken(), expected, "{why:?} after {seconds} s");
    }
    for (asks, expected) in [(true, &[][..]), (false, &["34"])] {
        let mut told = Told::default();
        joins(&mut told);
        if asks {
            told.asks(
                2,
                &with(|request: &mut LeaveGroupRequest| {
                    request.group_id = "g".into();
                    request.member_id = "m".into();
                }),
            );
        }
        is_gone(&mut told, Departure::Left);
        assert_eq!(told.broken(), expected);
    }
}

#[test]
fn rule_34_a_member_that_is_not_heard_of_is_not_kept() {
    let stable = group(StateName::Stable, "range", &[("m", &[0])]);
    let mut told = Told::default();
    joins(&mut told);
    told.look(&stable);
    told.pass(9);
    heartbeats(&mut told);
    told.pass(9);
    told.look(&stable);
    assert_eq!(told.broken(), [""; 0]);
    told.pass(4);
    told.look(&stable);
    assert_eq!(told.broken(), ["34"]);
}

#[test]
fn rule_35_only_a_current_member_commits() {
    for (generation, error, expected) in [
        (3, ErrorCode::None, &[][..]),
        (2, ErrorCode::IllegalGeneration, &[]),
        (2, ErrorCode::None, &["35"]),
        (-1, ErrorCode::None, &[]),
    ] {
        let mut told = Told::default();
        joins(&mut told);
        let topic = with(|topic: &mut OffsetCommitRequestTopic| {
            topic.name = "t".into();
            topic.partitions =
                vec![with(|partition: &mut OffsetCommitRequestPartition| partition.committed_offset = 4)];
        });
        told.asks(
            6,
            &with(|request: &mut OffsetCommitRequest| {
                request.group_id = "g".into();
                request.member_id = "m".into();
                request.generation_id_or_member_epoch = generation;
                request.topics = vec![topic];
            }),
        );
        let topic = with(|topic: &mut OffsetCommitResponseTopic| {
            topic.name = "t".into();
            let partition = with(|partition: &mut OffsetCommitResponsePartition| partition.error_code = error.code());
            topic.partitions = vec![partition];
        });
        told.is_answered(6, &with(|response: &mut OffsetCommitResponse| response.topics = vec![topic]));
        assert_eq!(told.broken(), expected, "generation {generation}, {}", error.name());
    }
}

/// `view`, with an offset that was committed at the beginning.
fn with_offset(mut view: NodeView) -> NodeView {
    view.groups[0].offsets = vec![OffsetView {
        topic: "t".into(),
        partition: 0,
        offset: 4,
        leader_epoch: 0,
        metadata: "".into(),
        committed_at: Wall::from_millis(1_700_000_000_000),
    }];
    view
}

#[test]
fn rule_37_offsets_stay_for_their_retention_and_not_much_longer() {
    const RETENTION: u64 = 60;
    const CHECK: u64 = 10;
    let told = || {
        let mut told = Told::default();
        told.checker.set_offsets_retention(Duration::from_secs(RETENTION), Duration::from_secs(CHECK));
        told
    };
    let empty = group(StateName::Empty, "range", &[]);
    for (after, expected) in [(RETENTION - 1, &["37"][..]), (RETENTION, &[])] {
        let mut told = told();
        told.look(&with_offset(empty.clone()));
        told.pass(after);
        told.look(&empty);
        assert_eq!(told.broken(), expected, "an empty group's offset is gone after {after} s");
    }
    for (after, expected) in [(RETENTION + CHECK, &[][..]), (RETENTION + CHECK + 3, &["37"])] {
        let mut told = told();
        told.pass(after);
        told.look(&with_offset(empty.clone()));
        assert_eq!(told.broken(), expected, "an empty group's offset is there after {after} s");
    }
    // A stable group's stays for ever.
    let stable = group(StateName::Stable, "range", &[("m", &[0])]);
    let mut told = told();
    told.pass(2 * RETENTION);
    told.look(&with_offset(stable.clone()));
    told.look(&stable);
    assert_eq!(told.broken(), ["37"]);
}

#[test]
fn rule_31_generations_rise_by_one_and_who_joins_is_in_the_newest() {
    let starts = |generation| {
        let (protocol, leader) = (None, None);
        NodeEvent::Group(GroupEvent::GenerationStarted { group: "g".into(), generation, protocol, leader, members: 1 })
    };
    // The member of `joins` is answered with generation 3.
    for (begun, expected) in [(&[2, 3][..], &[][..]), (&[1, 3], &["31"]), (&[3, 4], &["31"]), (&[], &[])] {
        let mut told = Told::default();
        begun.iter().for_each(|generation| told.node(starts(*generation)));
        joins(&mut told);
        assert_eq!(told.broken(), expected, "{begun:?}");
    }
}

/// A cooperative member that joins generation 3 of `g` with what it has, from an earlier generation.
fn joins_with(told: &mut Told, member: &'static str, generation: i32, owned: &[i32]) {
    let owned = owned.iter().map(|index| TopicPartition::new("t", *index)).collect();
    let said = Subscription { topics: vec!["t".into()], owned, generation, ..Subscription::default() };
    let offer = with(|offer: &mut JoinGroupRequestProtocol| {
        offer.name = "cooperative-sticky".into();
        offer.metadata = said.encode();
    });
    told.asks(
        9,
        &with(|request: &mut JoinGroupRequest| {
            request.group_id = "g".into();
            request.protocols = vec![offer];
        }),
    );
    told.is_answered(
        9,
        &with(|response: &mut JoinGroupResponse| {
            (response.generation_id, response.member_id) = (3, member.into());
        }),
    );
}

#[test]
fn rule_33_what_changes_hands_is_nobodys_in_between() {
    // What `a` has, and since when; what `b` has since generation 2; what `b` gets.
    type Case<'a> = (&'a [i32], i32, &'a [i32], &'a [i32], ErrorCode, &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        (&[0, 1], 2, &[], &[], ErrorCode::None, &[]),
        (&[0, 1], 2, &[], &[1], ErrorCode::None, &["33"]),
        (&[0], 2, &[], &[1], ErrorCode::None, &[]),
        // It was not there in generation 2.
        (&[0, 1], 1, &[], &[1], ErrorCode::None, &[]),
        (&[0, 1], 2, &[1], &[1], ErrorCode::None, &[]),
        // Nobody got it.
        (&[0, 1], 2, &[], &[1], ErrorCode::RebalanceInProgress, &[]),
    ];
    for (has, since, others, gets, error, expected) in cases {
        let mut told = Told::default();
        joins_with(&mut told, "a", since, has);
        joins_with(&mut told, "b", 2, others);
        let partitions: Vec<TopicPartition> = gets.iter().map(|index| TopicPartition::new("t", *index)).collect();
        let share = with(|share: &mut SyncGroupRequestAssignment| {
            (share.member_id, share.assignment) = ("b".into(), encode_assignment(&partitions));
        });
        told.asks(
            5,
            &with(|request: &mut SyncGroupRequest| {
                (request.group_id, request.generation_id, request.assignments) = ("g".into(), 3, vec![share]);
            }),
        );
        told.is_answered(5, &with(|response: &mut SyncGroupResponse| response.error_code = error.code()));
        assert_eq!(told.broken(), expected, "{has:?} since {since}, {gets:?}");
    }
}

#[test]
fn rule_40_a_transaction_goes_from_state_to_state_as_it_may() {
    use TransactionState::{CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
    let cases: [(&[TransactionState], &[&str]); 5] = [
        (&[Empty, Ongoing, PrepareCommit, CompleteCommit, Ongoing, PrepareAbort], &[]),
        (&[Empty, PrepareAbort], &[]),
        (&[Empty, PrepareCommit], &["40"]),
        (&[Empty, Ongoing, CompleteCommit], &["40"]),
        (&[Empty, Ongoing, PrepareCommit, PrepareAbort], &["40"]),
    ];
    let changed = |from, to| {
        NodeEvent::Transaction(TxnEvent::StateChanged {
            transactional_id: "x".into(),
            from,
            to,
            producer_id: 7,
            producer_epoch: 0,
            partitions: 1,
        })
    };
    for (states, expected) in cases {
        let mut told = Told::default();
        let mut from = None;
        for state in states {
            told.node(changed(from, *state));
            from = Some(*state);
        }
        assert_eq!(told.broken(), expected, "{states:?}");
    }
    // It is not where it was said to be.
    let mut told = Told::default();
    told.node(changed(None, Ongoing));
    told.node(changed(Some(Empty), Ongoing));
    assert_eq!(told.broken(), ["40"]);
}

#[test]
fn rule_43_what_is_stable_ends_at_the_first_open_transaction() {
    let producer = |transaction_start| ProducerView {
        producer_id: 7,
        epoch: 0,
        last_sequence: 0,
        last_offset: 60,
        last_timestamp: 0,
        transaction_start,
    };
    // The high watermark is 90.
    type Case<'a> = (&'a [Option<i64>], i64, i64, &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        (&[], 90, 90, &[]),
        (&[], 89, 90, &["43"]),
        (&[Some(40), None, Some(50)], 40, 90, &[]),
        (&[Some(40)], 41, 90, &["43"]),
        // The marker of one that began at 30 is not committed yet.
        (&[Some(40)], 30, 95, &[]),
        (&[Some(40)], 50, 95, &["43"]),
    ];
    for (open, stable, end, expected) in cases {
        let mut told = Told::default();
        let mut node = leading(1, &[(1, 0)], (5, 1));
        let log = node.topics[0].partitions[0].log.as_mut().expect("it leads");
        log.producers = open.iter().map(|start| producer(*start)).collect();
        (log.last_stable_offset, log.end_offset) = (stable, end);
        told.look(&node);
        assert_eq!(told.broken(), expected, "{open:?}, {stable}");
    }
}

/// A batch of producer 7 at an offset.
fn transactional(base_offset: i64, producer_epoch: i16) -> Bytes {
    let options = BatchOptions {
        base_offset,
        producer_id: 7,
        producer_epoch,
        transactional: true,
        base_sequence: 0,
        ..BatchOptions::default()
    };
    let mut batch = BatchBuilder::new(options);
    batch.append(1, None, Some(b"value"), []);
    batch.finish()
}

/// The end of its transaction, at an offset.
fn marker(base_offset: i64, producer_epoch: i16, kind: ControlKind) -> Bytes {
    let mut bytes = end_transaction_marker(kind, 7, producer_epoch, 0, 1).to_vec();
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes.into()
}

/// Somebody is given these batches of `t-0`, and told of transactions that were aborted, by their first offsets.
fn is_given(told: &mut Told, batches: &[Bytes], aborted: Option<&[i64]>) {
    let topic = with(|topic: &mut FetchTopic| {
        topic.topic = "t".into();
        topic.partitions = vec![FetchPartition::default()];
    });
    told.asks(11, &with(|request: &mut FetchRequest| request.topics = vec![topic]));
    let one = |first: &i64| {
        with(|aborted: &mut AbortedTransaction| (aborted.producer_id, aborted.first_offset) = (7, *first))
    };
    let answer = with(|answer: &mut PartitionData| {
        answer.records = Some(batches.concat().into());
        answer.aborted_transactions = aborted.map(|aborted| aborted.iter().map(one).collect());
    });
    let topic = with(|topic: &mut FetchableTopicResponse| {
        topic.topic = "t".into();
        topic.partitions = vec![answer];
    });
    told.is_answered(11, &with(|response: &mut FetchResponse| response.responses = vec![topic]));
}

#[test]
fn rule_44_a_reader_is_told_of_the_transactions_that_were_aborted_and_of_no_others() {
    let log = [
        transactional(0, 0),
        marker(1, 0, ControlKind::Abort),
        transactional(2, 1),
        marker(3, 1, ControlKind::Commit),
        transactional(4, 2),
        marker(5, 2, ControlKind::Abort),
    ];
    type Case<'a> = (core::ops::Range<usize>, Option<&'a [i64]>, &'a [&'a str]);
    let cases: [Case<'_>; 9] = [
        (0..6, Some(&[0, 4]), &[]),
        (0..6, Some(&[0]), &["44"]),
        (0..6, Some(&[0, 2, 4]), &["44"]),
        (0..3, Some(&[0]), &[]),
        // More might have been given.
        (0..3, Some(&[0, 4]), &[]),
        (1..3, Some(&[0]), &[]),
        (2..4, Some(&[]), &[]),
        (2..4, Some(&[0]), &["44"]),
        // Who reads everything is told of none.
        (0..6, None, &[]),
    ];
    for (range, aborted, expected) in cases {
        let mut told = Told::default();
        told.topic_is_made(1);
        is_given(&mut told, &log, None);
        is_given(&mut told, &log[range.clone()], aborted);
        told.ends(&[]);
        assert_eq!(told.broken(), expected, "{range:?}, {aborted:?}");
    }
}

#[test]
fn rule_45_an_earlier_epoch_writes_nothing_after_a_later_one() {
    for (last, expected) in [(2, &[][..]), (1, &[]), (0, &["45"])] {
        let mut told = Told::default();
        told.topic_is_made(1);
        let log = [transactional(0, 0), marker(1, 1, ControlKind::Abort), transactional(2, last)];
        is_given(&mut told, &log, None);
        told.ends(&[]);
        assert_eq!(told.broken(), expected, "epoch {last} after 1");
    }
}

#[test]
fn rule_45_who_was_fenced_out_ends_no_transaction() {
    for (epoch, error, expected) in [
        (4, ErrorCode::None, &[][..]),
        (3, ErrorCode::None, &["45"]),
        (3, ErrorCode::ProducerFenced, &[]),
        (5, ErrorCode::None, &[]),
    ] {
        let mut told = Told::default();
        told.asks(5, &InitProducerIdRequest::default());
        told.is_answered(
            5,
            &with(|response: &mut InitProducerIdResponse| (response.producer_id, response.producer_epoch) = (7, 4)),
        );
        told.asks(5, &with(|request: &mut EndTxnRequest| (request.producer_id, request.producer_epoch) = (7, epoch)));
        told.is_answered(5, &with(|response: &mut EndTxnResponse| response.error_code = error.code()));
        assert_eq!(told.broken(), expected, "epoch {epoch}, {}", error.name());
    }
}
