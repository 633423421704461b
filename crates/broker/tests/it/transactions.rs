//! Transactions behind the node: found, verified, marked, seen by those who read what is committed, and
//! still there after a kill.

use bytes::Bytes;
use shore_base::{ConnId, Duration};
use shore_broker::Input;
use shore_broker::group::partition_for;
use shore_wire::batch::{BatchBuilder, BatchOptions, BatchView, batches};
use shore_wire::error::ErrorCode;
use shore_wire::frame::encode_request;
use shore_wire::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use shore_wire::messages::describe_producers_request::TopicRequest;
use shore_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use shore_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use shore_wire::messages::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use shore_wire::messages::txn_offset_commit_response::TxnOffsetCommitResponseTopic;
use shore_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use shore_wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, EndTxnResponse, FetchResponse, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    ListTransactionsRequest, OffsetFetchRequest, ProduceRequest, ProduceResponse, TxnOffsetCommitRequest,
    WriteTxnMarkersRequest,
};
use shore_wire::records::transaction::{TransactionRecord, TransactionValue};

use crate::fetch::{fetch_request, values};
use crate::harness::{Disk, Server, WALL, batch_with, config, produce_request, produced};

/// A producer as it knows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Producer {
    id: i64,
    epoch: i16,
}

fn find(server: &mut Server, key: &str, key_type: i8) -> i16 {
    let mut request = FindCoordinatorRequest::default();
    request.key = key.into();
    request.key_type = key_type;
    server.ask(2, &request).error_code
}

/// A server with a topic of two partitions and both coordinators.
fn server() -> Server {
    with_coordinators(Server::with(config()))
}

fn with_coordinators(mut server: Server) -> Server {
    server.create_topic("t", 2, &[]);
    for key_type in [0, 1] {
        assert_eq!(find(&mut server, "g", key_type), ErrorCode::CoordinatorNotAvailable.code());
        assert_eq!(find(&mut server, "g", key_type), 0);
    }
    server
}

fn init_request(id: &str) -> InitProducerIdRequest {
    let mut request = InitProducerIdRequest::default();
    request.transactional_id = Some(id.into());
    request.transaction_timeout_ms = 60_000;
    (request.producer_id, request.producer_epoch) = (-1, -1);
    request
}

fn init(server: &mut Server, id: &str) -> Result<Producer, i16> {
    let response = server.ask(5, &init_request(id));
    match response.error_code {
        0 => Ok(Producer { id: response.producer_id, epoch: response.producer_epoch }),
        error => Err(error),
    }
}

fn transactional(producer: Producer, sequence: i32, values: &[&str]) -> Bytes {
    let options = BatchOptions {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    batch_with(options, values)
}

fn produce_in(partition: i32, producer: Producer, sequence: i32, values: &[&str]) -> ProduceRequest {
    let mut request = produce_request("t", partition, -1, transactional(producer, sequence, values));
    request.transactional_id = Some("x".into());
    request
}

/// Produces as clients of KIP-890 do, without saying anything before.
fn produce(server: &mut Server, partition: i32, producer: Producer, sequence: i32, values: &[&str]) -> (i64, i16) {
    produced(&server.ask(12, &produce_in(partition, producer, sequence, values)))
}

fn add(server: &mut Server, version: i16, producer: Producer, partition: i32) -> i16 {
    let mut topic = AddPartitionsToTxnTopic::default();
    topic.name = "t".into();
    topic.partitions = vec![partition];
    let mut request = AddPartitionsToTxnRequest::default();
    request.v3_and_below_transactional_id = "x".into();
    request.v3_and_below_producer_id = producer.id;
    request.v3_and_below_producer_epoch = producer.epoch;
    request.v3_and_below_topics = vec![topic];
    server.ask(version, &request).results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
}

fn end_request(producer: Producer, commit: bool) -> EndTxnRequest {
    let mut request = EndTxnRequest::default();
    request.transactional_id = "x".into();
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.committed = commit;
    request
}

fn end(server: &mut Server, producer: Producer, commit: bool) -> Result<Producer, i16> {
    let response: EndTxnResponse = server.ask(5, &end_request(producer, commit));
    match response.error_code {
        0 => Ok(Producer { id: response.producer_id, epoch: response.producer_epoch }),
        error => Err(error),
    }
}

/// What somebody reads who reads what is committed: values, aborted transactions, and the last stable
/// offset.
type Seen = (Vec<String>, Vec<(i64, i64)>, i64);

fn read(server: &mut Server, partition: i32, offset: i64) -> Seen {
    let mut request = fetch_request("t", partition, offset);
    request.max_wait_ms = 0;
    request.isolation_level = 1;
    seen(&server.ask(12, &request))
}

fn seen(response: &FetchResponse) -> Seen {
    let partition = &response.responses[0].partitions[0];
    let aborted = partition.aborted_transactions.as_deref().unwrap_or_default();
    let aborted: Vec<(i64, i64)> = aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect();
    let mut open: Vec<(i64, i64)> = aborted.clone();
    // As consumers do: drop what is of an aborted transaction, up to its marker.
    let mut found = Vec::new();
    let mut dropped = Vec::new();
    for batch in batches(partition.records.as_deref().unwrap_or_default()) {
        let batch: BatchView<'_> = batch.expect("a batch");
        open.retain(|&(producer, first)| {
            let begins = first <= batch.last_offset();
            if begins {
                dropped.push(producer);
            }
            !begins
        });
        if batch.is_control() {
            dropped.retain(|producer| *producer != batch.producer_id());
        } else if !(batch.is_transactional() && dropped.contains(&batch.producer_id())) {
            let records = batch.records(1 << 20).expect("records");
            found.extend(
                records.iter().map(|record| {
                    String::from_utf8_lossy(record.expect("a record").value.expect("a value")).into_owned()
                }),
            );
        }
    }
    (found, aborted, partition.last_stable_offset)
}

fn state_of(server: &mut Server) -> String {
    let mut request = DescribeTransactionsRequest::default();
    request.transactional_ids = vec!["x".into()];
    server.ask(0, &request).transaction_states[0].transaction_state.as_str().to_owned()
}

#[test]
fn the_internal_topic_is_made_as_kafka_makes_it() {
    let mut server = server();
    let metadata = server.metadata(9, Some(&["__transaction_state"]));
    assert_eq!(metadata.topics[0].partitions.len(), 3);
    assert!(metadata.topics[0].is_internal);
    let view = server.node.view();
    let topic = view.topics.iter().find(|topic| &*topic.name == "__transaction_state").expect("the topic");
    let configs: Vec<(&str, &str)> =
        topic.configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        configs,
        [
            ("cleanup.policy", "compact"),
            ("compression.type", "uncompressed"),
            ("min.insync.replicas", "1"),
            ("segment.bytes", "104857600"),
            ("unclean.leader.election.enable", "false"),
        ]
    );
}

#[test]
fn a_commit_shows_everything_and_an_abort_nothing() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a", "b"]), (0, 0));
    assert_eq!(produce(&mut server, 1, producer, 0, &["c"]), (0, 0));
    assert_eq!(produce(&mut server, 0, producer, 2, &["d"]), (2, 0));
    // Others wait: what is open is not stable.
    assert_eq!(read(&mut server, 0, 0), (vec![], vec![], 0));
    let next = end(&mut server, producer, true).expect("a commit");
    assert_eq!(next, Producer { epoch: producer.epoch + 1, ..producer });
    assert_eq!(read(&mut server, 0, 0), (vec!["a".into(), "b".into(), "d".into()], vec![], 4));
    assert_eq!(read(&mut server, 1, 0), (vec!["c".into()], vec![], 2));
    assert_eq!(state_of(&mut server), "CompleteCommit");

    assert_eq!(produce(&mut server, 0, next, 0, &["e"]), (4, 0));
    let last = end(&mut server, next, false).expect("an abort");
    assert_eq!(read(&mut server, 0, 0), (vec!["a".into(), "b".into(), "d".into()], vec![(next.id, 4)], 6));
    assert_eq!(server.produce("t", 0, &["f"]), (6, 0));
    assert_eq!(read(&mut server, 0, 4), (vec!["f".into()], vec![(next.id, 4)], 7));
    assert_eq!(last.epoch, 2);
    // Who reads everything is told of no aborted transactions.
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 0;
    let response = server.ask(12, &request);
    assert!(response.responses[0].partitions[0].aborted_transactions.is_none());
}

#[test]
fn clients_of_the_old_protocol_add_their_partitions_first() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    // One that was not added is refused: old clients are told so as INVALID_TXN_STATE.
    for (version, error) in [(9, ErrorCode::InvalidTxnState), (11, ErrorCode::TransactionAbortable)] {
        let response = server.ask(version, &produce_in(0, producer, 0, &["a"]));
        assert_eq!(produced(&response).1, error.code(), "v{version}");
        let message = response.responses[0].partition_responses[0].error_message.clone();
        let expected = (version == 9).then_some("Partition was not added to the transaction");
        assert_eq!(message.as_ref().map(|message| message.as_str()), expected);
    }
    assert_eq!(add(&mut server, 3, producer, 0), 0);
    assert_eq!(add(&mut server, 3, producer, 9), ErrorCode::UnknownTopicOrPartition.code());
    // What is internal is not for clients.
    let mut topic = AddPartitionsToTxnTopic::default();
    topic.name = "__consumer_offsets".into();
    topic.partitions = vec![0];
    let mut request = AddPartitionsToTxnRequest::default();
    request.v3_and_below_transactional_id = "x".into();
    request.v3_and_below_topics = vec![topic];
    let result = server.ask(3, &request).results_by_topic_v3_and_below.remove(0);
    let error = result.results_by_partition[0].partition_error_code;
    assert_eq!(error, ErrorCode::TopicAuthorizationFailed.code());
    assert_eq!(produced(&server.ask(9, &produce_in(0, producer, 0, &["a"]))), (0, 0));
    // The transaction is asked before the acks are looked at.
    let mut strange = produce_in(1, producer, 0, &["a"]);
    strange.acks = 2;
    assert_eq!(produced(&server.ask(9, &strange)).1, ErrorCode::InvalidTxnState.code());
    assert_eq!(server.ask(4, &end_request(producer, true)).error_code, 0);
    assert_eq!(read(&mut server, 0, 0), (vec!["a".into()], vec![], 2));
    // The epoch stays, and a partition of the last transaction is not one of the next.
    assert_eq!(produced(&server.ask(9, &produce_in(0, producer, 1, &["b"]))).1, ErrorCode::InvalidTxnState.code());
    assert_eq!(add(&mut server, 0, producer, 0), 0);
    assert_eq!(produced(&server.ask(9, &produce_in(0, producer, 1, &["b"]))), (2, 0));
    assert_eq!(server.ask(0, &end_request(producer, false)).error_code, 0);
    assert_eq!(read(&mut server, 0, 0), (vec!["a".into()], vec![(producer.id, 2)], 4));
}

#[test]
fn a_zombie_is_fenced_everywhere() {
    let mut server = server();
    let zombie = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, zombie, 0, &["a"]), (0, 0));
    // The transaction of the first is aborted, and the second comes back for its epoch.
    assert_eq!(init(&mut server, "x"), Err(ErrorCode::ConcurrentTransactions.code()));
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(producer, Producer { epoch: zombie.epoch + 2, ..zombie });
    assert_eq!(produce(&mut server, 0, zombie, 1, &["b"]).1, ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(produce(&mut server, 1, zombie, 0, &["b"]).1, ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(end(&mut server, zombie, true), Err(ErrorCode::ProducerFenced.code()));
    assert_eq!(server.ask(1, &end_request(zombie, true)).error_code, ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(add(&mut server, 3, zombie, 0), ErrorCode::ProducerFenced.code());
    assert_eq!(read(&mut server, 0, 0), (vec![], vec![(zombie.id, 0)], 2));
}

#[test]
fn what_is_no_transaction_of_the_producer_is_refused() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    let stranger = Producer { id: producer.id + 500, ..producer };
    assert_eq!(produce(&mut server, 0, stranger, 0, &["a"]).1, ErrorCode::InvalidProducerIdMapping.code());
    let future = Producer { epoch: producer.epoch + 1, ..producer };
    assert_eq!(produce(&mut server, 0, future, 0, &["a"]).1, ErrorCode::InvalidProducerEpoch.code());
    // A producer that nothing is known of begins with sequence 0, because each transaction does.
    assert_eq!(produce(&mut server, 0, producer, 5, &["a"]).1, ErrorCode::OutOfOrderSequenceNumber.code());
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    // Within a transaction everything is transactional.
    let plain = BatchOptions {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: 1,
        ..BatchOptions::default()
    };
    let response = server.ask(12, &produce_request("t", 0, -1, batch_with(plain, &["b"])));
    assert_eq!(produced(&response).1, ErrorCode::InvalidTxnState.code());
    // A transactional batch needs a transactional id, and all of a request have one producer.
    let response = server.ask(12, &produce_request("t", 0, -1, transactional(producer, 1, &["b"])));
    assert_eq!(produced(&response).1, ErrorCode::TransactionalIdAuthorizationFailed.code());
    let mut both = produce_in(0, producer, 1, &["b"]);
    let other = produce_in(1, stranger, 0, &["b"]).topic_data.remove(0).partition_data.remove(0);
    both.topic_data[0].partition_data.push(other);
    let response = server.ask(12, &both);
    let errors: Vec<i16> =
        response.responses[0].partition_responses.iter().map(|partition| partition.error_code).collect();
    assert_eq!(errors, [ErrorCode::InvalidProducerIdMapping.code(); 2]);
    let message = response.responses[0].partition_responses[0].error_message.as_ref().map(|text| text.as_str());
    assert_eq!(message, Some("Transactional records contained more than one producer ID"));
}

#[test]
fn a_request_behind_one_that_is_verified_does_not_overtake_it() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    server.set_disk(Disk::Hangs);
    let conn = server.connect();
    for sequence in 0..4 {
        server.send(conn, 12, &produce_in(0, producer, sequence, &["a"]));
    }
    assert!(server.answer::<ProduceResponse>(conn, 12).is_none());
    server.set_disk(Disk::Works);
    for sequence in 0..4 {
        let (_, response) = server.answer::<ProduceResponse>(conn, 12).expect("an answer");
        assert_eq!(produced(&response), (sequence, 0));
    }
}

#[test]
fn the_broker_itself_waits_a_little_for_the_transaction_before() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    // The decision is stored, the markers are not.
    server.set_disk(Disk::Hangs);
    let ending = server.connect();
    server.send(ending, 5, &end_request(producer, true));
    let next = Producer { epoch: producer.epoch + 1, ..producer };
    let producing = server.connect();
    server.send(producing, 12, &produce_in(0, next, 0, &["b"]));
    server.advance(Duration::from_millis(60));
    assert!(server.answer::<ProduceResponse>(producing, 12).is_none());
    server.set_disk(Disk::Works);
    server.advance(Duration::from_millis(20));
    let (_, response) = server.answer::<ProduceResponse>(producing, 12).expect("an answer");
    assert_eq!(produced(&response), (2, 0));
    // After 100 ms it is the client's turn to wait.
    server.set_disk(Disk::Hangs);
    server.send(ending, 5, &end_request(next, true));
    let last = Producer { epoch: next.epoch + 1, ..next };
    server.send(producing, 12, &produce_in(0, last, 0, &["c"]));
    server.advance(Duration::from_millis(120));
    let (_, response) = server.answer::<ProduceResponse>(producing, 12).expect("an answer");
    assert_eq!(produced(&response).1, ErrorCode::ConcurrentTransactions.code());
}

fn waiting(server: &mut Server, conn: ConnId) -> Option<Seen> {
    server.answer::<FetchResponse>(conn, 12).map(|(_, response)| seen(&response))
}

#[test]
fn a_fetch_of_what_is_committed_waits_for_the_marker() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 10_000;
    request.isolation_level = 1;
    let conn = server.connect();
    server.send(conn, 12, &request);
    assert_eq!(waiting(&mut server, conn), None);
    // More records, of the transaction and of others, change nothing.
    assert_eq!(produce(&mut server, 0, producer, 1, &["b"]), (1, 0));
    assert_eq!(server.produce("t", 0, &["plain"]), (2, 0));
    assert_eq!(waiting(&mut server, conn), None);
    end(&mut server, producer, true).expect("a commit");
    let expected = ["a", "b", "plain"].map(String::from).to_vec();
    assert_eq!(waiting(&mut server, conn), Some((expected, vec![], 4)));
    // The latest offset is the last stable one for who reads what is committed.
    let next = Producer { epoch: producer.epoch + 1, ..producer };
    assert_eq!(produce(&mut server, 0, next, 0, &["c"]), (4, 0));
    for (isolation, latest) in [(0, 5), (1, 4)] {
        let mut partition = ListOffsetsPartition::default();
        partition.timestamp = -1;
        partition.current_leader_epoch = -1;
        let mut topic = ListOffsetsTopic::default();
        topic.name = "t".into();
        topic.partitions = vec![partition];
        let mut request = ListOffsetsRequest::default();
        request.replica_id = -1;
        request.isolation_level = isolation;
        request.topics = vec![topic];
        assert_eq!(server.ask(7, &request).topics[0].partitions[0].offset, latest);
    }
}

fn offsets(producer: Producer, offset: i64) -> TxnOffsetCommitRequest {
    let mut partition = TxnOffsetCommitRequestPartition::default();
    partition.committed_offset = offset;
    let mut topic = TxnOffsetCommitRequestTopic::default();
    topic.name = "t".into();
    topic.partitions = vec![partition];
    let mut request = TxnOffsetCommitRequest::default();
    request.transactional_id = "x".into();
    request.group_id = "g".into();
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.topics = vec![topic];
    request
}

#[test]
fn the_results_of_a_transactions_commit_stand_by_topics_however_many_there_are() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    let mut request = offsets(producer, 7);
    let there = request.topics.remove(0);
    let gone = |name: String| {
        let mut topic = there.clone();
        topic.name = name.into();
        topic
    };
    request.topics.push(gone("gone".to_owned()));
    request.topics.push(there.clone());
    request.topics.extend((0..30_000).map(|n| gone(format!("gone-{n}"))));
    request.topics.push(gone("gone".to_owned()));
    let response = server.ask(5, &request);
    let results = |at: usize| {
        let topic: &TxnOffsetCommitResponseTopic = &response.topics[at];
        (topic.name.to_string(), topic.partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>())
    };
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(results(0), ("gone".to_owned(), vec![unknown, unknown]));
    assert_eq!(results(1), ("gone-0".to_owned(), vec![unknown]));
    assert_eq!(results(30_001), ("t".to_owned(), vec![0]));
    assert_eq!(response.topics.len(), 30_002);
}

#[test]
fn topics_without_partitions_are_answered_for_where_kafka_does() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    let mut request = offsets(producer, 7);
    for (name, answered) in [("t", 0), ("nowhere", 1)] {
        request.topics[0].name = name.into();
        request.topics[0].partitions.clear();
        assert_eq!(server.ask(3, &request).topics.len(), answered, "{name}");
    }
    let topic = |name: &str, partitions: &[i32]| {
        let mut topic = AddPartitionsToTxnTopic::default();
        (topic.name, topic.partitions) = (name.into(), partitions.to_vec());
        topic
    };
    let mut asked = AddPartitionsToTxnTransaction::default();
    asked.transactional_id = "x".into();
    (asked.producer_id, asked.producer_epoch) = (producer.id, producer.epoch);
    for (topics, verify_only, answered) in [
        (vec![topic("t", &[])], false, 1),
        (vec![topic("t", &[])], true, 0),
        (vec![topic("t", &[]), topic("nowhere", &[0])], false, 1),
    ] {
        (asked.topics, asked.verify_only) = (topics, verify_only);
        let mut request = AddPartitionsToTxnRequest::default();
        request.transactions = vec![asked.clone()];
        let response = server.ask(4, &request);
        assert_eq!(response.results_by_transaction[0].topic_results.len(), answered, "{:?}", asked.topics);
    }
}

fn commit_offsets(server: &mut Server, version: i16, producer: Producer, offset: i64) -> i16 {
    server.ask(version, &offsets(producer, offset)).topics[0].partitions[0].error_code
}

/// Error and offset of a group's partition, for who asks for stable ones.
fn committed(server: &mut Server) -> (i16, i64) {
    let mut topic = OffsetFetchRequestTopics::default();
    topic.name = "t".into();
    topic.partition_indexes = vec![0];
    let mut group = OffsetFetchRequestGroup::default();
    group.group_id = "g".into();
    group.topics = Some(vec![topic]);
    let mut request = OffsetFetchRequest::default();
    request.groups = vec![group];
    request.require_stable = true;
    let response = server.ask(8, &request);
    let partition = &response.groups[0].topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

#[test]
fn offsets_of_a_group_are_committed_with_the_transaction() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(commit_offsets(&mut server, 5, producer, 7), 0);
    assert_eq!(committed(&mut server), (ErrorCode::UnstableOffsetCommit.code(), -1));
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    let mut server = server.crash();
    assert_eq!(committed(&mut server), (ErrorCode::UnstableOffsetCommit.code(), -1));
    let next = end(&mut server, producer, true).expect("a commit");
    assert_eq!(committed(&mut server), (0, 7));
    assert_eq!(commit_offsets(&mut server, 5, next, 9), 0);
    let last = end(&mut server, next, false).expect("an abort");
    assert_eq!(committed(&mut server), (0, 7));
    let mut server = server.crash();
    assert_eq!(committed(&mut server), (0, 7));
    // A zombie's are refused.
    assert_eq!(commit_offsets(&mut server, 5, producer, 11), ErrorCode::InvalidProducerEpoch.code());
    let _ = last;
}

#[test]
fn each_commit_of_a_transaction_begins_at_sequence_zero() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    for offset in [7, 8] {
        assert_eq!(commit_offsets(&mut server, 5, producer, offset), 0);
    }
    let mut topic = TopicRequest::default();
    topic.name = "__consumer_offsets".into();
    topic.partition_indexes = (0..50).collect();
    let mut request = DescribeProducersRequest::default();
    request.topics = vec![topic];
    let described = server.ask(0, &request);
    let producers: Vec<_> =
        described.topics[0].partitions.iter().flat_map(|partition| &partition.active_producers).collect();
    let [state] = producers[..] else { panic!("{producers:?}") };
    assert_eq!((state.producer_id, state.last_sequence, state.current_txn_start_offset), (producer.id, 0, 0));
}

#[test]
fn old_clients_add_the_group_first() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(commit_offsets(&mut server, 3, producer, 7), ErrorCode::InvalidTxnState.code());
    assert_eq!(commit_offsets(&mut server, 4, producer, 7), ErrorCode::TransactionAbortable.code());
    let mut request = AddOffsetsToTxnRequest::default();
    request.transactional_id = "x".into();
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.group_id = "g".into();
    assert_eq!(server.ask(3, &request).error_code, 0);
    assert_eq!(commit_offsets(&mut server, 3, producer, 7), 0);
    assert_eq!(server.ask(3, &end_request(producer, true)).error_code, 0);
    assert_eq!(committed(&mut server), (0, 7));
    // No group, no topic.
    let mut nowhere = offsets(producer, 1);
    nowhere.topics[0].name = "nowhere".into();
    let error = server.ask(3, &nowhere).topics[0].partitions[0].error_code;
    assert_eq!(error, ErrorCode::UnknownTopicOrPartition.code());
    let mut nobody = offsets(producer, 1);
    nobody.group_id = Default::default();
    assert_eq!(server.ask(3, &nobody).topics[0].partitions[0].error_code, ErrorCode::InvalidGroupId.code());
}

#[test]
fn a_kill_at_any_moment_leaves_all_of_a_transaction_or_nothing() {
    // The disk stops taking writes after so many; whatever was told to the client before holds.
    for stored in 0..14 {
        let mut server = server();
        let producer = init(&mut server, "x").expect("a producer");
        let before = server.writes;
        server.stop_disk_after(before + stored);
        let conn = server.connect();
        server.send(conn, 12, &produce_in(0, producer, 0, &["a"]));
        server.send(conn, 12, &produce_in(1, producer, 0, &["b"]));
        server.send(conn, 5, &end_request(producer, true));
        server.advance(Duration::from_millis(200));
        let is_produced = (0..2)
            .all(|_| server.answer::<ProduceResponse>(conn, 12).is_some_and(|(_, answer)| produced(&answer).1 == 0));
        let is_committed =
            is_produced && server.answer::<EndTxnResponse>(conn, 5).is_some_and(|(_, answer)| answer.error_code == 0);
        let mut server = server.crash();
        server.advance(Duration::from_secs(1));
        let state = state_of(&mut server);
        if is_committed {
            assert_eq!(state, "CompleteCommit", "after {stored} writes");
        }
        // Whoever comes next ends what was left open.
        let mut next = init(&mut server, "x");
        for _ in 0..5 {
            if next.is_ok() {
                break;
            }
            server.advance(Duration::from_millis(100));
            next = init(&mut server, "x");
        }
        assert!(next.is_ok(), "after {stored} writes: {next:?} in {}", state_of(&mut server));
        let (first, second) = (read(&mut server, 0, 0).0, read(&mut server, 1, 0).0);
        let all = (vec!["a".to_owned()], vec!["b".to_owned()]);
        let expected = if state == "CompleteCommit" { all } else { (vec![], vec![]) };
        assert_eq!((first, second), expected, "after {stored} writes: {state}");
    }
}

#[test]
fn a_failing_disk_is_survived() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    server.set_disk(Disk::Fails);
    assert_eq!(end(&mut server, producer, true), Err(ErrorCode::NotCoordinator.code()));
    assert_eq!(state_of(&mut server), "Ongoing");
    server.set_disk(Disk::Works);
    server.advance(Duration::from_secs(1));
    // The decision is stored and nothing after it, for a while.
    server.set_disk(Disk::Hangs);
    let conn = server.connect();
    server.send(conn, 5, &end_request(producer, true));
    server.store_once();
    server.set_disk(Disk::Fails);
    let (_, response) = server.answer::<EndTxnResponse>(conn, 5).expect("an answer");
    assert_eq!(response.error_code, 0);
    server.advance(Duration::from_secs(5));
    assert_eq!(state_of(&mut server), "PrepareCommit");
    server.set_disk(Disk::Works);
    server.advance(Duration::from_secs(2));
    assert_eq!(state_of(&mut server), "CompleteCommit");
    assert_eq!(read(&mut server, 0, 0).0, ["a"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let mut server = server();
    let mut request = init_request("x");
    request.transaction_timeout_ms = 5_000;
    let response = server.ask(5, &request);
    let producer = Producer { id: response.producer_id, epoch: response.producer_epoch };
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    server.advance(Duration::from_secs(4));
    assert_eq!(state_of(&mut server), "Ongoing");
    server.advance(Duration::from_secs(20));
    assert_eq!(state_of(&mut server), "CompleteAbort");
    assert_eq!(produce(&mut server, 0, producer, 1, &["b"]).1, ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(read(&mut server, 0, 0), (vec![], vec![(producer.id, 0)], 2));
}

#[test]
fn a_deleted_topic_holds_no_transaction_up() {
    let mut server = server();
    server.create_topic("u", 1, &[]);
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    let mut request = produce_in(0, producer, 0, &["b"]);
    request.topic_data[0].name = "u".into();
    assert_eq!(produced(&server.ask(12, &request)), (0, 0));
    let mut delete = shore_wire::messages::DeleteTopicsRequest::default();
    delete.topic_names = vec!["u".into()];
    delete.timeout_ms = 1_000;
    assert_eq!(server.ask(5, &delete).responses[0].error_code, 0);
    end(&mut server, producer, true).expect("a commit");
    assert_eq!(state_of(&mut server), "CompleteCommit");
    assert_eq!(read(&mut server, 0, 0).0, ["a"]);
}

fn marker(producer: Producer, commit: bool, topics: &[(&str, &[i32])]) -> WritableTxnMarker {
    let mut marker = WritableTxnMarker::default();
    marker.producer_id = producer.id;
    marker.producer_epoch = producer.epoch;
    marker.transaction_result = commit;
    for (name, partitions) in topics {
        let mut topic = WritableTxnMarkerTopic::default();
        topic.name = (*name).into();
        topic.partition_indexes = partitions.to_vec();
        marker.topics.push(topic);
    }
    marker
}

fn write_markers(server: &mut Server, version: i16, markers: Vec<WritableTxnMarker>) -> Vec<(i64, String, i32, i16)> {
    let mut request = WriteTxnMarkersRequest::default();
    request.markers = markers;
    let response = server.ask(version, &request);
    let mut results = Vec::new();
    for marker in &response.markers {
        for topic in &marker.topics {
            for partition in &topic.partitions {
                let name = topic.name.as_str().to_owned();
                results.push((marker.producer_id, name, partition.partition_index, partition.error_code));
            }
        }
    }
    results
}

#[test]
fn an_administrator_may_end_what_hangs() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    let markers = vec![marker(producer, false, &[("t", &[0, 9]), ("nowhere", &[0])])];
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(
        write_markers(&mut server, 1, markers),
        [
            (producer.id, "nowhere".to_owned(), 0, unknown),
            (producer.id, "t".to_owned(), 0, 0),
            (producer.id, "t".to_owned(), 9, unknown),
        ]
    );
    assert_eq!(read(&mut server, 0, 0), (vec![], vec![(producer.id, 0)], 2));
    assert!(write_markers(&mut server, 2, vec![]).is_empty());
}

#[test]
fn a_marker_of_version_2_has_a_larger_epoch() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    let of = |epoch: i16, version: i8| {
        let mut marker = marker(Producer { epoch, ..producer }, true, &[("t", &[0])]);
        marker.transaction_version = version;
        vec![marker]
    };
    let write = |server: &mut Server, epoch, version| write_markers(server, 2, of(epoch, version))[0].3;
    assert_eq!(write(&mut server, producer.epoch, 2), ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(write(&mut server, producer.epoch + 1, 2), 0);
    // A retry of it finds no transaction, and is written again.
    assert_eq!(write(&mut server, producer.epoch + 1, 2), 0);
    assert_eq!(write(&mut server, producer.epoch, 0), ErrorCode::InvalidProducerEpoch.code());
    // One of an older coordinator is refused.
    let mut newer = of(producer.epoch + 2, 0);
    newer[0].coordinator_epoch = 7;
    assert_eq!(write_markers(&mut server, 2, newer)[0].3, 0);
    assert_eq!(write(&mut server, producer.epoch + 3, 0), ErrorCode::TransactionCoordinatorFenced.code());
}

#[test]
fn producers_and_transactions_can_be_looked_at() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 1, producer, 0, &["a", "b"]), (0, 0));
    let mut topics = Vec::new();
    for (name, partitions) in [("t", vec![0, 1, 7]), ("nowhere", vec![0]), ("not a name", vec![0])] {
        let mut topic = TopicRequest::default();
        topic.name = name.into();
        topic.partition_indexes = partitions;
        topics.push(topic);
    }
    let mut request = DescribeProducersRequest::default();
    request.topics = topics;
    let response = server.ask(0, &request);
    let errors: Vec<(i16, bool)> = response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| (partition.error_code, partition.error_message.is_some()))
        .collect();
    assert_eq!(errors, [(0, false), (0, false), (3, false), (3, true), (17, true)]);
    let active = &response.topics[0].partitions[1].active_producers;
    let [state] = &active[..] else { panic!("{active:?}") };
    assert_eq!((state.producer_id, state.producer_epoch, state.last_sequence), (producer.id, 0, 1));
    assert_eq!((state.coordinator_epoch, state.current_txn_start_offset), (-1, 0));

    let listed = server.ask(1, &ListTransactionsRequest::default());
    let [transaction] = &listed.transaction_states[..] else { panic!("{listed:?}") };
    assert_eq!((transaction.transactional_id.as_str(), transaction.transaction_state.as_str()), ("x", "Ongoing"));
    let view = server.node.view();
    assert_eq!(view.transactions[0].partitions, [("t".into(), 1)]);
}

#[test]
fn a_transaction_is_known_after_a_clean_restart() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    let mut server = server.restart();
    assert_eq!(state_of(&mut server), "Ongoing");
    assert_eq!(produce(&mut server, 0, producer, 1, &["b"]), (1, 0));
    end(&mut server, producer, true).expect("a commit");
    assert_eq!(read(&mut server, 0, 0).0, ["a", "b"]);
    let mut server = server.restart();
    assert_eq!(state_of(&mut server), "CompleteCommit");
    assert_eq!(read(&mut server, 0, 0).0, ["a", "b"]);
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 0;
    assert_eq!(values(&server.ask(12, &request)).len(), 3, "two records and a marker");
}

/// Writes another epoch of `x` into the coordinator's log, as only Kafka's own administrator may, and
/// starts again.
fn forge(mut server: Server, producer: Producer) -> Server {
    let value = TransactionValue {
        producer_id: producer.id,
        previous_producer_id: producer.id,
        next_producer_id: -1,
        producer_epoch: producer.epoch,
        next_producer_epoch: -1,
        timeout_ms: 60_000,
        status: 0,
        partitions: None,
        last_update_timestamp: WALL,
        start_timestamp: -1,
        client_transaction_version: 0,
    };
    let record = TransactionRecord::Transaction { transactional_id: "x".into(), value: Some(value) };
    let (key, value) = record.encode().expect("it fits");
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(WALL, Some(&key), value.as_deref(), []);
    let request = produce_request("__transaction_state", partition_for("x", 3), -1, batch.finish());
    let frame = encode_request(1, Some("__admin_client"), 9, &request).expect("a request");
    let conn = server.connect();
    server.input(Input::Request { conn, frame: frame.body() });
    assert_eq!(produced(&server.answer::<ProduceResponse>(conn, 9).expect("an answer").1).1, 0);
    server.crash()
}

#[test]
fn a_producer_whose_epochs_are_used_up_goes_on_with_another_id() {
    let mut server = server();
    let producer = init(&mut server, "x").expect("a producer");
    let producer = Producer { epoch: i16::MAX - 1, ..producer };
    let mut server = forge(server, producer);
    assert_eq!(produce(&mut server, 0, producer, 0, &["a"]), (0, 0));
    // All ids of the block are given out: the client is to come back while the next one is asked for.
    let mut plain = InitProducerIdRequest::default();
    (plain.transactional_id, plain.producer_id, plain.producer_epoch) = (None, -1, -1);
    let given = (0..1_000).map(|_| server.ask(5, &plain).producer_id).find(|id| id % 1_000 == 999);
    assert!(given.is_some(), "the last id of a block");
    assert_eq!(end(&mut server, producer, true), Err(ErrorCode::CoordinatorLoadInProgress.code()));
    let next = end(&mut server, producer, true).expect("a commit");
    assert_eq!((next.epoch, next.id % 1_000), (0, 0));
    assert_ne!(next.id, producer.id);
    assert_eq!(end(&mut server, producer, true), Ok(next), "a retry");
    assert_eq!(produce(&mut server, 0, next, 0, &["b"]), (2, 0));
    end(&mut server, next, true).expect("a commit");
    assert_eq!(read(&mut server, 0, 0), (vec!["a".into(), "b".into()], vec![], 4));
}
