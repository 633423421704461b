//! Produce: acks, batch checks, idempotence, durability, a failing disk.

use bytes::Bytes;
use shore_base::Duration;
use shore_broker::{Durability, Input};
use shore_wire::batch::BatchOptions;
use shore_wire::compress::Codec;
use shore_wire::error::ErrorCode;
use shore_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, InitProducerIdRequest, MetadataRequest, MetadataResponse,
    ProduceResponse, produce_request::PartitionProduceData,
};

use crate::fetch::fetch_values;
use crate::harness::{Disk, Server, batch, batch_with, config, new_topic, produce_request, produced};

#[test]
fn offsets_are_dense_and_values_come_back() {
    let mut server = Server::start();
    server.create_topic("t", 2, &[]);
    assert_eq!(server.produce("t", 0, &["a", "b"]), (0, 0));
    assert_eq!(server.produce("t", 0, &["c"]), (2, 0));
    assert_eq!(server.produce("t", 1, &["d"]), (0, 0));
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["a", "b", "c"]);
    assert_eq!(fetch_values(&mut server, "t", 0, 2), ["c"]);
}

#[test]
fn what_cannot_be_produced_is_refused_with_kafkas_codes() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[("max.message.bytes", "100")]);
    server.create_topic("__consumer_offsets", 1, &[]);
    let mut damaged = batch(&["a"]).to_vec();
    *damaged.last_mut().expect("bytes") ^= 1;
    let zstd = batch_with(BatchOptions { codec: Codec::Zstd, ..BatchOptions::default() }, &["a"]);
    let transactional = BatchOptions {
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    let cases = [
        (9, "nowhere", 0, -1, batch(&["a"]), ErrorCode::UnknownTopicOrPartition),
        (9, "t", 7, -1, batch(&["a"]), ErrorCode::UnknownTopicOrPartition),
        (9, "t", 0, 2, batch(&["a"]), ErrorCode::InvalidRequiredAcks),
        (9, "t", 0, -1, Bytes::from(damaged), ErrorCode::CorruptMessage),
        (9, "t", 0, -1, batch(&["a".repeat(200).as_str()]), ErrorCode::MessageTooLarge),
        (6, "t", 0, 1, zstd.clone(), ErrorCode::UnsupportedCompressionType),
        (7, "t", 0, 1, zstd, ErrorCode::None),
        (9, "__consumer_offsets", 0, -1, batch(&["a"]), ErrorCode::InvalidTopicException),
        (9, "t", 0, -1, batch_with(transactional, &["a"]), ErrorCode::TransactionalIdAuthorizationFailed),
        (9, "t", 0, -1, Bytes::new(), ErrorCode::InvalidRecord),
        (9, "t", 0, -1, [batch(&["a"]), batch(&["b"])].concat().into(), ErrorCode::InvalidRecord),
        // What is not there counts before what is wrong with the batch.
        (9, "t", 7, -1, Bytes::new(), ErrorCode::UnknownTopicOrPartition),
    ];
    for (version, topic, partition, acks, records, error) in cases {
        let response = server.ask(version, &produce_request(topic, partition, acks, records));
        assert_eq!(produced(&response).1, error.code(), "{topic} {partition} acks={acks} v{version}");
    }
}

#[test]
fn a_batch_that_is_none_is_refused_before_the_log_has_a_look() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut short = batch(&["a"]).to_vec();
    short[8..12].copy_from_slice(&10_i32.to_be_bytes());
    let torn = batch(&["a"]).slice(..40);
    let cases = [
        (Bytes::from(short), ErrorCode::CorruptMessage, "Record size 10 is less than the minimum record overhead (14)"),
        (torn, ErrorCode::InvalidRecord, ""),
    ];
    for (records, error, message) in cases {
        let response = server.ask(9, &produce_request("t", 0, -1, records));
        let refused = &response.responses[0].partition_responses[0];
        let text = refused.error_message.as_ref().map_or("", |text| text.as_str());
        assert_eq!((refused.error_code, text, refused.log_start_offset), (error.code(), message, -1));
    }
}

#[test]
fn what_cannot_be_a_batch_spoils_the_whole_request() {
    let mut server = Server::start();
    server.create_topic("t", 2, &[]);
    let mut unknown = batch(&["a"]).to_vec();
    unknown[16] = 9;
    let mut request = produce_request("t", 0, -1, batch(&["a"]));
    request.topic_data.extend(produce_request("t", 1, -1, unknown.into()).topic_data);
    let response = server.ask(9, &request);
    let refused: Vec<(i16, &str)> = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .map(|partition| (partition.error_code, partition.error_message.as_ref().map_or("", |text| text.as_str())))
        .collect();
    assert_eq!(refused, [(ErrorCode::CorruptMessage.code(), "Invalid magic found in record: 9"); 2]);
    assert!(fetch_values(&mut server, "t", 0, 0).is_empty());
}

#[test]
fn a_topic_without_partitions_is_left_out_of_the_answer() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut request = produce_request("t", 0, -1, batch(&["a"]));
    request.topic_data[0].partition_data.clear();
    assert!(server.ask(9, &request).responses.is_empty());
}

#[test]
fn acks_0_is_silent_and_an_error_closes_the_connection() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let conn = server.connect();
    server.send(conn, 9, &produce_request("t", 0, 0, batch(&["a"])));
    assert!(server.answer::<ProduceResponse>(conn, 9).is_none());
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["a"]);
    server.send(conn, 9, &produce_request("nowhere", 0, 0, batch(&["a"])));
    assert!(server.closed.contains_key(&conn));
}

#[test]
fn an_ack_waits_for_the_store_and_holds_what_follows_on_its_connection() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.set_disk(Disk::Hangs);
    let conn = server.connect();
    server.send(conn, 9, &produce_request("t", 0, 1, batch(&["a"])));
    server.send(conn, 9, &MetadataRequest::default());
    assert!(server.answer::<ProduceResponse>(conn, 9).is_none());
    // Nobody sees what a kill could take back.
    assert!(fetch_values(&mut server, "t", 0, 0).is_empty());
    server.set_disk(Disk::Works);
    let (_, response) = server.answer::<ProduceResponse>(conn, 9).expect("an answer");
    assert_eq!(produced(&response), (0, 0));
    assert!(server.answer::<MetadataResponse>(conn, 9).is_some());
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["a"]);
}

#[test]
fn writes_of_one_turn_coalesce_while_a_store_is_under_way() {
    let mut server = Server::start();
    server.create_topic("t", 8, &[]);
    server.set_disk(Disk::Hangs);
    let before = server.writes;
    let conns: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for (partition, &conn) in conns.iter().enumerate() {
        server.send(conn, 9, &produce_request("t", partition as i32, -1, batch(&["a"])));
    }
    server.set_disk(Disk::Works);
    assert_eq!(server.writes - before, 2);
    assert!(conns.iter().all(|&conn| server.answer::<ProduceResponse>(conn, 9).is_some()));
}

#[test]
fn produce_requests_that_follow_one_another_share_a_store_and_are_answered_in_order() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.set_disk(Disk::Hangs);
    let before = server.writes;
    let conn = server.connect();
    let sent: Vec<i32> = (0..10).map(|_| server.send(conn, 9, &produce_request("t", 0, -1, batch(&["a"])))).collect();
    // Refused at once, and told in its turn.
    let refused = server.send(conn, 9, &produce_request("nowhere", 0, -1, batch(&["a"])));
    assert!(server.answer::<ProduceResponse>(conn, 9).is_none());
    server.set_disk(Disk::Works);
    assert_eq!(server.writes - before, 2);
    for (offset, id) in sent.into_iter().enumerate() {
        let (answered, response) = server.answer::<ProduceResponse>(conn, 9).expect("an answer");
        assert_eq!((answered, produced(&response)), (id, (offset as i64, 0)));
    }
    assert_eq!(server.answer::<ProduceResponse>(conn, 9).expect("an answer").0, refused);
}

#[test]
fn without_durability_an_ack_does_not_wait() {
    let mut config = config();
    config.durability = Durability::Memory;
    let mut server = Server::with(config);
    server.create_topic("t", 1, &[]);
    server.set_disk(Disk::Hangs);
    assert_eq!(server.produce("t", 0, &["a"]), (0, 0));
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["a"]);
}

#[test]
fn a_store_slower_than_the_clients_timeout_leaves_the_batch_in_doubt() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.set_disk(Disk::Hangs);
    let conn = server.connect();
    let mut request = produce_request("t", 0, -1, batch(&["a"]));
    request.timeout_ms = 100;
    server.send(conn, 9, &request);
    server.advance(Duration::from_millis(150));
    let (_, response) = server.answer::<ProduceResponse>(conn, 9).expect("an answer");
    assert_eq!(produced(&response).1, ErrorCode::RequestTimedOut.code());
    server.set_disk(Disk::Works);
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["a"]);
}

#[test]
fn a_failing_disk_is_kafka_storage_error_until_it_heals() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    assert_eq!(server.produce("t", 0, &["kept"]), (0, 0));
    server.set_disk(Disk::Fails);
    assert_eq!(server.produce("t", 0, &["lost"]).1, ErrorCode::KafkaStorageError.code());
    let conn = server.connect();
    server.send(conn, 9, &produce_request("t", 0, -1, batch(&["lost too"])));
    server.advance(Duration::from_secs(2));
    let (_, response) = server.answer::<ProduceResponse>(conn, 9).expect("an answer");
    assert_eq!(produced(&response).1, ErrorCode::KafkaStorageError.code());
    let mut create = CreateTopicsRequest::default();
    create.topics = vec![new_topic("u")];
    server.send(conn, 7, &create);
    server.advance(Duration::from_secs(1));
    let (_, refused) = server.answer::<CreateTopicsResponse>(conn, 7).expect("an answer");
    assert_eq!(refused.topics[0].error_code, ErrorCode::KafkaStorageError.code());
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["kept"]);
    server.set_disk(Disk::Works);
    server.advance(Duration::from_secs(2));
    assert_eq!(server.produce("t", 0, &["again"]), (1, 0));
    assert_eq!(server.create_topic("u", 1, &[]).topics[0].error_code, 0);
    let mut server = server.crash();
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["kept", "again"]);
    assert_eq!(server.metadata(9, None).topics.len(), 2);
}

#[test]
fn an_idempotent_producers_retry_gets_its_old_offset_and_a_gap_is_refused() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut init = InitProducerIdRequest::default();
    init.transactional_id = None;
    init.producer_id = -1;
    init.producer_epoch = -1;
    let first = server.ask(4, &init);
    let second = server.ask(4, &init);
    assert_eq!((first.error_code, first.producer_id, first.producer_epoch), (0, 0, 0));
    assert_eq!(second.producer_id, 1);
    let send = |server: &mut Server, base_sequence| {
        let options = BatchOptions {
            producer_id: first.producer_id,
            producer_epoch: 0,
            base_sequence,
            ..BatchOptions::default()
        };
        produced(&server.ask(9, &produce_request("t", 0, -1, batch_with(options, &["a", "b"]))))
    };
    assert_eq!(send(&mut server, 0), (0, 0));
    assert_eq!(send(&mut server, 2), (2, 0));
    assert_eq!(send(&mut server, 0), (0, 0));
    assert_eq!(send(&mut server, 9).1, ErrorCode::OutOfOrderSequenceNumber.code());
    let mut server = server.crash();
    assert_eq!(send(&mut server, 2), (2, 0));
    assert_eq!(send(&mut server, 4), (4, 0));
    // Ids of a block are not handed out twice.
    assert!(server.ask(4, &init).producer_id >= 1000);
}

#[test]
fn a_request_of_hundreds_of_partitions_is_one_store() {
    let mut server = Server::start();
    server.create_topic("t", 500, &[]);
    let mut request = produce_request("t", 0, -1, batch(&["a"]));
    request.topic_data[0].partition_data = (0..500)
        .map(|index| {
            let mut data = PartitionProduceData::default();
            data.index = index;
            data.records = Some(batch(&["a"]));
            data
        })
        .collect();
    let before = server.writes;
    let response = server.ask(9, &request);
    assert_eq!(response.responses[0].partition_responses.len(), 500);
    assert!(response.responses[0].partition_responses.iter().all(|partition| partition.error_code == 0));
    assert_eq!(server.writes - before, 1);
}

#[test]
fn whoever_disconnects_is_forgotten_and_its_batch_stays() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.set_disk(Disk::Hangs);
    let conn = server.connect();
    server.send(conn, 9, &produce_request("t", 0, -1, batch(&["a"])));
    server.input(Input::Disconnected { conn });
    server.set_disk(Disk::Works);
    assert!(server.answer::<ProduceResponse>(conn, 9).is_none());
    assert_eq!(fetch_values(&mut server, "t", 0, 0), ["a"]);
}
