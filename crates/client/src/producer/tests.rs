//! A producer and a broker that answers as a table says: what is asked, and what each error comes to.

use std::collections::VecDeque;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Instant};
use shore_wire::api::ApiKey;
use shore_wire::batch::BatchView;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{Frame, decode_request, decode_request_head, encode_response};
use shore_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use shore_wire::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use shore_wire::messages::find_coordinator_response::Coordinator;
use shore_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use shore_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use shore_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use shore_wire::messages::*;

use super::*;
use crate::consumer::GroupMetadata;

/// One broker, which leads the two partitions of `t`.
struct Bench {
    producer: Producer,
    now: Instant,
    transaction_version: i16,
    /// What the next requests of an API are answered with; 0 where there is nothing.
    refuses: BTreeMap<i16, VecDeque<ErrorCode>>,
    /// Every request but those that any client begins with, as `name version`.
    asked: Vec<String>,
    events: Vec<ProducerEvent>,
    /// Sequences of the batches that came, in order, with partition and epoch.
    sequences: Vec<(i32, i16, i32)>,
    epoch: i16,
    /// No request is answered.
    is_mute: bool,
}

impl Bench {
    fn new(transaction_version: i16, config: ProducerConfig) -> Self {
        let bootstrap = vec![("b".to_owned(), 1)];
        let config = ProducerConfig { client: crate::ClientConfig { bootstrap, ..config.client }, ..config };
        Self {
            producer: Producer::new(config),
            now: Instant::ZERO,
            transaction_version,
            refuses: BTreeMap::new(),
            asked: Vec::new(),
            events: Vec::new(),
            sequences: Vec::new(),
            epoch: -1,
            is_mute: false,
        }
    }

    fn transactional(transaction_version: i16) -> Self {
        let config = ProducerConfig { transactional_id: Some("bank".into()), ..ProducerConfig::default() };
        let mut bench = Self::new(transaction_version, config);
        bench.producer.init_transactions(bench.now).expect("it is new");
        bench.settle();
        bench.told(TransactionCall::Init, Ok(()));
        bench.asked.clear();
        bench
    }

    fn refuse(&mut self, api: ApiKey, error: ErrorCode) {
        self.refuses.entry(api.key()).or_default().push_back(error);
    }

    fn send(&mut self, partition: i32) {
        let record = Record { partition: Some(partition), value: Some(Bytes::from_static(b"x")), ..Record::default() };
        self.producer.send(self.now, "t", record).expect("it is taken");
    }

    /// Lets time pass until nothing is to be done within a minute.
    fn settle(&mut self) {
        let end = self.now + Duration::from_secs(60);
        loop {
            while let Some(output) = self.producer.poll() {
                match output {
                    Output::Dial { conn, .. } => self.producer.handle(self.now, Input::Connected { conn }),
                    Output::Send { conn, frame } => self.answer(conn, &frame),
                    Output::Hangup { .. } => {}
                    Output::Event(event) => self.events.push(event),
                }
            }
            match self.producer.next_wake() {
                Some((at, _)) if at <= end => {
                    self.now = self.now.max(at);
                    self.producer.handle(self.now, Input::Wake);
                }
                _ => return,
            }
        }
    }

    fn told(&mut self, call: TransactionCall, expected: Result<(), ClientError>) {
        let told = self.events.iter().position(|event| matches!(event, ProducerEvent::Transaction { .. }));
        let told = told.map(|index| self.events.remove(index));
        assert_eq!(told, Some(ProducerEvent::Transaction { call, result: expected }), "asked: {:?}", self.asked);
    }

    fn answer(&mut self, conn: ConnId, frame: &Frame) {
        let (head, body) = decode_request_head(&frame.body()).expect("our own frame");
        let api = ApiKey::from_key(head.api_key).expect("a known api");
        let version = head.api_version;
        let is_any_clients = matches!(api, ApiKey::ApiVersions | ApiKey::Metadata);
        if !is_any_clients {
            self.asked.push(format!("{} {version}", api.name()));
            if self.is_mute {
                return;
            }
        }
        let code = self.refuses.get_mut(&api.key()).and_then(VecDeque::pop_front).map_or(0, ErrorCode::code);
        let id = head.correlation_id;
        let answer = match api {
            ApiKey::ApiVersions => encode_response(id, version, &self.api_versions()),
            ApiKey::Metadata => encode_response(id, version, &metadata()),
            ApiKey::FindCoordinator => {
                let mut response = FindCoordinatorResponse::default();
                let mut coordinator = Coordinator::default();
                (coordinator.node_id, coordinator.error_code) = (1, code);
                response.coordinators.push(coordinator);
                encode_response(id, version, &response)
            }
            ApiKey::InitProducerId => {
                self.epoch += i16::from(code == 0);
                let mut response = InitProducerIdResponse::default();
                (response.error_code, response.producer_id, response.producer_epoch) = (code, 7, self.epoch);
                encode_response(id, version, &response)
            }
            ApiKey::AddPartitionsToTxn => encode_response(id, version, &partitions_added(body, version, code)),
            ApiKey::AddOffsetsToTxn => {
                let mut response = AddOffsetsToTxnResponse::default();
                response.error_code = code;
                encode_response(id, version, &response)
            }
            ApiKey::TxnOffsetCommit => {
                let mut response = TxnOffsetCommitResponse::default();
                let mut topic = TxnOffsetCommitResponseTopic::default();
                let mut partition = TxnOffsetCommitResponsePartition::default();
                partition.error_code = code;
                topic.name = StrBytes::from("in");
                topic.partitions.push(partition);
                response.topics.push(topic);
                encode_response(id, version, &response)
            }
            ApiKey::EndTxn => {
                let mut response = EndTxnResponse::default();
                response.error_code = code;
                if version >= 5 && code == 0 {
                    self.epoch += 1;
                    (response.producer_id, response.producer_epoch) = (7, self.epoch);
                }
                encode_response(id, version, &response)
            }
            ApiKey::Produce => encode_response(id, version, &self.produced(body, version, code)),
            other => panic!("nobody asks for {}", other.name()),
        };
        let frame = answer.expect("it encodes").body();
        self.producer.handle(self.now, Input::Response { conn, frame });
    }

    fn api_versions(&self) -> ApiVersionsResponse {
        let mut response = ApiVersionsResponse::default();
        for api in ApiKey::ALL {
            let mut version = ApiVersion::default();
            (version.api_key, version.max_version) = (api.key(), 30);
            response.api_keys.push(version);
        }
        let mut feature = FinalizedFeatureKey::default();
        feature.name = StrBytes::from("transaction.version");
        feature.max_version_level = self.transaction_version;
        response.finalized_features.push(feature);
        response.finalized_features_epoch = 1;
        response
    }

    fn produced(&mut self, body: Bytes, version: i16, code: i16) -> ProduceResponse {
        let request = decode_request::<ProduceRequest>(body, version).expect("our own request");
        let mut response = ProduceResponse::default();
        for data in request.topic_data {
            let mut topic = TopicProduceResponse::default();
            (topic.name, topic.topic_id) = (data.name, data.topic_id);
            for partition in data.partition_data {
                let records = partition.records.unwrap_or_default();
                let batch = BatchView::parse(&records).expect("a batch");
                self.sequences.push((partition.index, batch.producer_epoch(), batch.base_sequence()));
                let mut answer = PartitionProduceResponse::default();
                (answer.index, answer.error_code) = (partition.index, code);
                answer.base_offset = if code == 0 { self.sequences.len() as i64 } else { -1 };
                topic.partition_responses.push(answer);
            }
            response.responses.push(topic);
        }
        response
    }
}

fn metadata() -> MetadataResponse {
    let mut response = MetadataResponse::default();
    let mut broker = MetadataResponseBroker::default();
    (broker.node_id, broker.host, broker.port) = (1, StrBytes::from("b"), 1);
    response.brokers.push(broker);
    let mut topic = MetadataResponseTopic::default();
    (topic.name, topic.topic_id) = (Some(StrBytes::from("t")), Uuid::from_bytes([7; 16]));
    for index in 0..2 {
        let mut partition = MetadataResponsePartition::default();
        (partition.partition_index, partition.leader_id, partition.leader_epoch) = (index, 1, 0);
        topic.partitions.push(partition);
    }
    response.topics.push(topic);
    response
}

fn partitions_added(body: Bytes, version: i16, code: i16) -> AddPartitionsToTxnResponse {
    let request = decode_request::<AddPartitionsToTxnRequest>(body, version).expect("our own request");
    let mut response = AddPartitionsToTxnResponse::default();
    for topic in request.v3_and_below_topics {
        let mut result = AddPartitionsToTxnTopicResult::default();
        result.name = topic.name;
        for index in topic.partitions {
            let mut partition = AddPartitionsToTxnPartitionResult::default();
            (partition.partition_index, partition.partition_error_code) = (index, code);
            result.results_by_partition.push(partition);
        }
        response.results_by_topic_v3_and_below.push(result);
    }
    response
}

fn group() -> GroupMetadata {
    GroupMetadata { group_id: "g".into(), generation: 3, member_id: "m".into(), instance_id: None }
}

const COMMIT: TransactionCall = TransactionCall::Commit;
const ABORT: TransactionCall = TransactionCall::Abort;

/// A transaction with a record and an offset, up to its end.
fn transaction(bench: &mut Bench) {
    bench.producer.begin_transaction(bench.now).expect("it is ready");
    bench.send(0);
    bench.settle();
    let offsets = vec![(TopicPartition::new("in", 0), 5)];
    bench.producer.send_offsets_to_transaction(bench.now, offsets, group()).expect("it is in a transaction");
    bench.settle();
    bench.told(TransactionCall::SendOffsets, Ok(()));
    bench.producer.commit_transaction(bench.now).expect("it is in a transaction");
    bench.settle();
    bench.told(COMMIT, Ok(()));
}

#[test]
fn before_version_2_partitions_and_groups_are_added_and_the_epoch_stays() {
    let mut bench = Bench::transactional(1);
    transaction(&mut bench);
    let asked = [
        "AddPartitionsToTxn 3",
        "Produce 11",
        "AddOffsetsToTxn 4",
        "FindCoordinator 6",
        "TxnOffsetCommit 4",
        "EndTxn 4",
    ];
    assert_eq!(bench.asked, asked);
    transaction(&mut bench);
    assert_eq!(bench.sequences, [(0, 0, 0), (0, 0, 1)]);
}

#[test]
fn under_version_2_brokers_add_them_and_the_epoch_grows() {
    let mut bench = Bench::transactional(2);
    transaction(&mut bench);
    assert_eq!(bench.asked, ["Produce 13", "FindCoordinator 6", "TxnOffsetCommit 5", "EndTxn 5"]);
    transaction(&mut bench);
    assert_eq!(bench.sequences, [(0, 0, 0), (0, 1, 0)]);
}

#[test]
fn a_transaction_in_which_nothing_happened_is_not_told_of() {
    for version in [1, 2] {
        let mut bench = Bench::transactional(version);
        bench.producer.begin_transaction(bench.now).expect("it is ready");
        bench.producer.commit_transaction(bench.now).expect("it is in a transaction");
        bench.settle();
        bench.told(COMMIT, Ok(()));
        assert_eq!(bench.asked, [""; 0]);
    }
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let mut bench = Bench::transactional(2);
    assert_eq!(bench.producer.commit_transaction(bench.now), Err(TransactionError::State("ready")));
    let refused = bench.producer.send(bench.now, "t", Record::default());
    assert_eq!(refused, Err(SendError::Transaction(TransactionError::State("ready"))));
    bench.producer.begin_transaction(bench.now).expect("it is ready");
    assert_eq!(bench.producer.begin_transaction(bench.now), Err(TransactionError::State("in a transaction")));
    bench.producer.commit_transaction(bench.now).expect("it is in a transaction");
    assert_eq!(bench.producer.abort_transaction(bench.now), Err(TransactionError::Busy(COMMIT)));
    let mut plain = Bench::new(2, ProducerConfig::default());
    assert_eq!(plain.producer.init_transactions(plain.now), Err(TransactionError::NotTransactional));
}

/// What a transaction comes to when a request of it is answered with an error, once.
#[test]
fn errors_are_retried_abort_the_transaction_or_end_the_producer_as_in_java() {
    use ApiKey::*;
    use ErrorCode::*;
    const FINE: &str = "ready";
    const ABORTABLE: &str = "to be aborted";
    const FATAL: &str = "failed";
    let cases = [
        (InitProducerId, CoordinatorNotAvailable, FINE),
        (InitProducerId, NotCoordinator, FINE),
        (InitProducerId, ConcurrentTransactions, FINE),
        (InitProducerId, CoordinatorLoadInProgress, FINE),
        (InitProducerId, ProducerFenced, FATAL),
        (InitProducerId, InvalidProducerEpoch, FATAL),
        (InitProducerId, InvalidTransactionTimeout, FATAL),
        (InitProducerId, TransactionalIdAuthorizationFailed, "uninitialized"),
        (FindCoordinator, CoordinatorNotAvailable, FINE),
        (FindCoordinator, TransactionalIdAuthorizationFailed, FATAL),
        (AddPartitionsToTxn, ConcurrentTransactions, FINE),
        (AddPartitionsToTxn, NotCoordinator, FINE),
        (AddPartitionsToTxn, UnknownTopicOrPartition, FINE),
        (AddPartitionsToTxn, ProducerFenced, FATAL),
        (AddPartitionsToTxn, InvalidTxnState, FATAL),
        (AddPartitionsToTxn, InvalidProducerIdMapping, FATAL),
        (AddPartitionsToTxn, TopicAuthorizationFailed, ABORTABLE),
        (AddPartitionsToTxn, UnknownProducerId, ABORTABLE),
        (AddPartitionsToTxn, TransactionAbortable, ABORTABLE),
        (AddOffsetsToTxn, ConcurrentTransactions, FINE),
        (AddOffsetsToTxn, GroupAuthorizationFailed, ABORTABLE),
        (AddOffsetsToTxn, UnknownProducerId, ABORTABLE),
        (AddOffsetsToTxn, InvalidProducerEpoch, FATAL),
        (TxnOffsetCommit, UnknownTopicOrPartition, FINE),
        (TxnOffsetCommit, NotCoordinator, FINE),
        (TxnOffsetCommit, RequestTimedOut, FINE),
        (TxnOffsetCommit, IllegalGeneration, ABORTABLE),
        (TxnOffsetCommit, UnknownMemberId, ABORTABLE),
        (TxnOffsetCommit, FencedInstanceId, ABORTABLE),
        (TxnOffsetCommit, ProducerFenced, FATAL),
        (TxnOffsetCommit, InvalidTxnState, FATAL),
        (Produce, ConcurrentTransactions, FINE),
        (Produce, NotLeaderOrFollower, FINE),
        (Produce, InvalidProducerEpoch, ABORTABLE),
        (Produce, InvalidTxnState, ABORTABLE),
        (Produce, OutOfOrderSequenceNumber, ABORTABLE),
        (Produce, InvalidRecord, ABORTABLE),
        (Produce, TransactionAbortable, ABORTABLE),
        (Produce, ProducerFenced, FATAL),
        (Produce, InvalidProducerIdMapping, FATAL),
        (EndTxn, ConcurrentTransactions, FINE),
        (EndTxn, CoordinatorLoadInProgress, FINE),
        (EndTxn, TransactionAbortable, ABORTABLE),
        (EndTxn, UnknownProducerId, ABORTABLE),
        (EndTxn, InvalidTxnState, FATAL),
        (EndTxn, ProducerFenced, FATAL),
        (EndTxn, InvalidProducerEpoch, FATAL),
    ];
    for (api, error, expected) in cases {
        let config = ProducerConfig { transactional_id: Some("bank".into()), ..ProducerConfig::default() };
        // Version 1 asks for everything.
        let mut bench = Bench::new(1, config);
        bench.refuse(api, error);
        let _ = bench.producer.init_transactions(bench.now);
        bench.settle();
        if bench.producer.begin_transaction(bench.now).is_ok() {
            bench.send(0);
            bench.settle();
            let offsets = vec![(TopicPartition::new("in", 0), 5)];
            let _ = bench.producer.send_offsets_to_transaction(bench.now, offsets, group());
            bench.settle();
            let _ = bench.producer.commit_transaction(bench.now);
            bench.settle();
        }
        let state = bench.producer.transaction_state().expect("it has an id").clone();
        assert_eq!(state.name(), expected, "{} {}: {:?}", api.name(), error.name(), bench.asked);
        if expected == ABORTABLE {
            bench.producer.abort_transaction(bench.now).expect("it is abortable");
            bench.settle();
            let state = bench.producer.transaction_state().expect("it has an id").name();
            assert_eq!(state, FINE, "{} {}: aborted: {:?}", api.name(), error.name(), bench.asked);
            bench.events.clear();
            transaction(&mut bench);
        }
        assert_eq!(bench.producer.transaction_call(), Option::None, "{} {}", api.name(), error.name());
    }
}

#[test]
fn before_version_2_an_epoch_is_asked_for_after_a_failure_and_only_then() {
    for (version, bumps) in [(1, true), (2, false)] {
        let mut bench = Bench::transactional(version);
        bench.refuse(ApiKey::Produce, ErrorCode::InvalidRecord);
        bench.producer.begin_transaction(bench.now).expect("it is ready");
        bench.send(0);
        bench.settle();
        bench.producer.abort_transaction(bench.now).expect("it is abortable");
        bench.settle();
        bench.told(ABORT, Ok(()));
        let asked = bench.asked.iter().any(|asked| asked.starts_with("InitProducerId"));
        assert_eq!(asked, bumps, "{:?}", bench.asked);
        transaction(&mut bench);
        assert_eq!(bench.sequences.last(), Some(&(0, 1, 0)), "the next transaction begins anew");
    }
}

#[test]
fn the_first_partition_of_a_transaction_waits_20_ms_for_the_one_before() {
    let mut bench = Bench::transactional(1);
    transaction(&mut bench);
    bench.asked.clear();
    bench.refuse(ApiKey::AddPartitionsToTxn, ErrorCode::ConcurrentTransactions);
    bench.producer.begin_transaction(bench.now).expect("it is ready");
    let before = bench.now;
    bench.send(0);
    bench.producer.flush(bench.now);
    for _ in 0..20 {
        while let Some(output) = bench.producer.poll() {
            if let Output::Send { conn, frame } = output {
                bench.answer(conn, &frame);
            }
        }
        if bench.asked.len() > 1 {
            break;
        }
        let (at, _) = bench.producer.next_wake().expect("it asks again");
        bench.now = bench.now.max(at);
        bench.producer.handle(bench.now, Input::Wake);
    }
    assert_eq!(bench.asked[..2], ["AddPartitionsToTxn 3", "AddPartitionsToTxn 3"]);
    assert_eq!(bench.now.since(before), Duration::from_millis(20));
}

#[test]
fn a_producer_that_is_closed_aborts_what_is_open() {
    let mut bench = Bench::transactional(2);
    bench.producer.begin_transaction(bench.now).expect("it is ready");
    bench.send(0);
    bench.producer.close(bench.now);
    bench.settle();
    assert!(bench.producer.is_closed());
    bench.told(ABORT, Ok(()));
}

#[test]
fn an_idempotent_producer_begins_another_epoch_after_a_refused_batch() {
    let mut bench = Bench::new(2, ProducerConfig::default());
    bench.refuse(ApiKey::Produce, ErrorCode::InvalidRecord);
    for _ in 0..2 {
        bench.send(0);
        bench.send(1);
        bench.settle();
    }
    // Both partitions' first batches were one request and were refused.
    assert_eq!(bench.sequences, [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]);
    let failed = |event: &&ProducerEvent| matches!(event, ProducerEvent::Failed { .. });
    assert_eq!(bench.events.iter().filter(failed).count(), 2);
}

#[test]
fn a_batch_whose_answer_got_lost_keeps_its_sequence_when_another_partition_begins_an_epoch() {
    let mut bench = Bench::new(2, ProducerConfig::default());
    bench.send(1);
    bench.settle();
    // The answer to the next batch of partition 1 is lost; that of partition 0 is refused for good.
    bench.refuse(ApiKey::Produce, ErrorCode::NetworkException);
    bench.refuse(ApiKey::Produce, ErrorCode::InvalidRecord);
    bench.send(1);
    bench.producer.flush(bench.now);
    while let Some(output) = bench.producer.poll() {
        if let Output::Send { conn, frame } = output {
            bench.answer(conn, &frame);
        }
    }
    bench.send(0);
    bench.settle();
    bench.send(1);
    bench.settle();
    // It may be in the log already: under another epoch it would be there twice.
    assert_eq!(bench.sequences, [(1, 0, 0), (1, 0, 1), (0, 0, 0), (1, 0, 1), (1, 1, 0)]);
}
