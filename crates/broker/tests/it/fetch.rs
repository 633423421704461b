//! Fetch and ListOffsets: limits, waiting, epochs, sessions, timestamps.

use shore_base::{ConnId, Duration};
use shore_broker::Input;
use shore_wire::batch::batches;
use shore_wire::error::ErrorCode;
use shore_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use shore_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use shore_wire::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, Uuid};

use crate::harness::{Disk, Server, WALL, batch, produce_request};

pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let mut asked = FetchPartition::default();
    asked.partition = partition;
    asked.fetch_offset = offset;
    asked.partition_max_bytes = 1 << 20;
    asked.current_leader_epoch = -1;
    asked.last_fetched_epoch = -1;
    asked.log_start_offset = -1;
    let mut wanted = FetchTopic::default();
    wanted.topic = topic.into();
    wanted.partitions = vec![asked];
    let mut request = FetchRequest::default();
    request.replica_id = -1;
    request.max_bytes = 50 << 20;
    request.min_bytes = 1;
    request.session_epoch = -1;
    request.topics = vec![wanted];
    request
}

pub fn values(response: &FetchResponse) -> Vec<String> {
    let mut values = Vec::new();
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        for batch in batches(partition.records.as_deref().unwrap_or_default()) {
            let records = batch.expect("a batch").records(1 << 20).expect("records");
            values.extend(records.iter().map(|record| {
                let value = record.expect("a record").value.expect("a value");
                String::from_utf8_lossy(value).into_owned()
            }));
        }
    }
    values
}

/// The values from an offset on, without waiting.
pub fn fetch_values(server: &mut Server, topic: &str, partition: i32, offset: i64) -> Vec<String> {
    let mut request = fetch_request(topic, partition, offset);
    request.max_wait_ms = 0;
    let response = server.ask(12, &request);
    let all = values(&response);
    let first = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .find_map(|partition| batches(partition.records.as_deref()?).next()?.ok().map(|batch| batch.base_offset()));
    // A batch is given whole, though it begins before the offset.
    all.into_iter().skip(first.map_or(0, |first| (offset - first).max(0) as usize)).collect()
}

fn error_of(response: &FetchResponse) -> i16 {
    response.responses[0].partitions[0].error_code
}

fn waits(server: &mut Server, conn: ConnId) -> Option<Vec<String>> {
    server.answer::<FetchResponse>(conn, 12).map(|(_, response)| values(&response))
}

#[test]
fn a_fetch_waits_for_records_and_is_answered_when_they_are_stored() {
    let mut server = Server::start();
    server.create_topic("t", 2, &[]);
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 10_000;
    let conn = server.connect();
    server.send(conn, 12, &request);
    assert_eq!(waits(&mut server, conn), None);
    server.produce("t", 1, &["elsewhere"]);
    assert_eq!(waits(&mut server, conn), None);
    server.produce("t", 0, &["here"]);
    assert_eq!(waits(&mut server, conn), Some(vec!["here".to_owned()]));
}

#[test]
fn a_fetch_that_gets_nothing_is_answered_when_its_time_is_up() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 500;
    let conn = server.connect();
    server.send(conn, 12, &request);
    server.advance(Duration::from_millis(499));
    assert_eq!(waits(&mut server, conn), None);
    server.advance(Duration::from_millis(2));
    assert_eq!(waits(&mut server, conn), Some(vec![]));
}

#[test]
fn min_bytes_are_gathered_over_several_appends() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let one = batch(&["aaaa"]).len() as i32;
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 60_000;
    request.min_bytes = 3 * one;
    let conn = server.connect();
    server.send(conn, 12, &request);
    server.produce("t", 0, &["aaaa"]);
    server.produce("t", 0, &["bbbb"]);
    assert_eq!(waits(&mut server, conn), None);
    server.produce("t", 0, &["cccc"]);
    assert_eq!(waits(&mut server, conn).map(|values| values.len()), Some(3));
}

#[test]
fn the_first_batch_is_given_whole_whatever_the_limits_and_only_that() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.produce("t", 0, &["a long enough value", "and another"]);
    server.produce("t", 0, &["third"]);
    let mut request = fetch_request("t", 0, 0);
    request.max_bytes = 1;
    request.topics[0].partitions[0].partition_max_bytes = 1;
    assert_eq!(values(&server.ask(12, &request)), ["a long enough value", "and another"]);
}

#[test]
fn a_partition_with_more_to_read_uses_up_the_limit() {
    let mut server = Server::start();
    server.create_topic("t", 2, &[]);
    server.produce("t", 0, &["first"]);
    server.produce("t", 0, &[&"x".repeat(500)]);
    server.produce("t", 1, &["small"]);
    let mut request = fetch_request("t", 0, 0);
    let mut other = request.topics[0].partitions[0].clone();
    other.partition = 1;
    request.topics[0].partitions.push(other);
    request.max_bytes = 300;
    assert_eq!(values(&server.ask(12, &request)), ["first"]);
    request.max_bytes = 3000;
    assert_eq!(values(&server.ask(12, &request)).len(), 3);
}

#[test]
fn what_no_consumer_asks_is_refused() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.produce("t", 0, &["a"]);
    let mut negative = fetch_request("t", 0, 0);
    negative.topics[0].partitions[0].partition_max_bytes = -1;
    assert_eq!(error_of(&server.ask(12, &negative)), ErrorCode::UnknownServerError.code());
    let mut follower = fetch_request("t", 0, 0);
    follower.replica_id = 7;
    assert_eq!(error_of(&server.ask(12, &follower)), ErrorCode::NotLeaderOrFollower.code());
    let mut isolated = fetch_request("t", 0, 0);
    isolated.isolation_level = 2;
    for (version, partitions) in [(12, 1), (13, 0)] {
        let response = server.ask(version, &isolated);
        assert_eq!(response.error_code, ErrorCode::UnknownServerError.code());
        assert_eq!(response.responses.len(), partitions, "v{version}");
    }
}

#[test]
fn what_is_not_there_is_answered_last() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut request = fetch_request("nowhere", 0, 0);
    request.topics.extend(fetch_request("t", 0, 0).topics);
    let names: Vec<String> = server.ask(12, &request).responses.iter().map(|topic| topic.topic.to_string()).collect();
    assert_eq!(names, ["t", "nowhere"]);
}

#[test]
fn offsets_and_epochs_that_do_not_fit_are_refused() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.produce("t", 0, &["a"]);
    assert_eq!(error_of(&server.ask(12, &fetch_request("t", 0, 9))), ErrorCode::OffsetOutOfRange.code());
    assert_eq!(error_of(&server.ask(12, &fetch_request("u", 0, 0))), ErrorCode::UnknownTopicOrPartition.code());
    let mut request = fetch_request("t", 0, 0);
    request.topics[0].partitions[0].current_leader_epoch = 5;
    assert_eq!(error_of(&server.ask(12, &request)), ErrorCode::UnknownLeaderEpoch.code());
    // Every restart is a new leader epoch.
    let mut server = server.restart();
    request.topics[0].partitions[0].current_leader_epoch = 0;
    assert_eq!(error_of(&server.ask(12, &request)), ErrorCode::FencedLeaderEpoch.code());
    let mut by_id = fetch_request("t", 0, 0);
    by_id.topics[0].topic = Default::default();
    by_id.topics[0].topic_id = Uuid::from_bytes([3; 16]);
    assert_eq!(error_of(&server.ask(13, &by_id)), ErrorCode::UnknownTopicId.code());
}

#[test]
fn a_session_is_asked_once_and_answers_what_is_new() {
    let mut server = Server::start();
    server.create_topic("t", 3, &[]);
    let mut request = fetch_request("t", 0, 0);
    let first = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..3)
        .map(|index| {
            let mut partition = first.clone();
            partition.partition = index;
            partition
        })
        .collect();
    request.session_epoch = 0;
    let opened = server.ask(12, &request);
    assert_ne!(opened.session_id, 0);
    assert_eq!(opened.responses[0].partitions.len(), 3);
    server.produce("t", 1, &["new"]);
    let mut next = FetchRequest::default();
    next.replica_id = -1;
    next.max_bytes = 1 << 20;
    next.min_bytes = 1;
    next.session_id = opened.session_id;
    next.session_epoch = 1;
    let second = server.ask(12, &next);
    assert_eq!(second.responses[0].partitions.len(), 1);
    assert_eq!(values(&second), ["new"]);
    assert_eq!(server.ask(12, &next).error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    next.session_id = 12345;
    assert_eq!(server.ask(12, &next).error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[test]
fn whoever_disconnects_while_it_waits_is_forgotten() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 10_000;
    let conn = server.connect();
    server.send(conn, 12, &request);
    assert_eq!(server.node.view().topics[0].partitions[0].log.as_ref().map(|log| log.waiting_fetches), Some(1));
    server.input(Input::Disconnected { conn });
    assert_eq!(server.node.view().topics[0].partitions[0].log.as_ref().map(|log| log.waiting_fetches), Some(0));
    server.produce("t", 0, &["a"]);
    assert_eq!(waits(&mut server, conn), None);
}

/// A node that keeps nothing in its cache that need not be there, and a topic with so much in each partition.
fn uncached(partitions: i32, batches: usize, value: &str) -> Server {
    let mut config = crate::harness::config();
    config.cache_bytes = 0;
    let mut server = Server::with(config);
    server.create_topic("t", partitions, &[]);
    for partition in 0..partitions {
        for _ in 0..batches {
            server.produce("t", partition, &[value]);
        }
    }
    server
}

fn cached_bytes(server: &Server) -> u64 {
    let view = server.node.view();
    view.topics[0].partitions.iter().filter_map(|partition| Some(partition.log.as_ref()?.cached_bytes)).sum()
}

#[test]
fn what_left_the_cache_is_loaded() {
    let value = "x".repeat(100_000);
    let mut server = uncached(1, 30, &value);
    assert!(cached_bytes(&server) < 2 << 20, "{}", cached_bytes(&server));
    assert_eq!(fetch_values(&mut server, "t", 0, 0)[0], value);
    assert_eq!(list_offset(&mut server, 7, "t", WALL), (0, WALL, 0));
}

#[test]
fn what_was_loaded_does_not_stay_in_memory() {
    let value = "x".repeat(100_000);
    let mut server = uncached(1, 60, &value);
    let before = cached_bytes(&server);
    let mut offset = 0;
    while offset < 60 {
        let values = fetch_values(&mut server, "t", 0, offset);
        assert!(!values.is_empty() && values.iter().all(|found| *found == value));
        offset += values.len() as i64;
        assert!(cached_bytes(&server) <= before, "{} at {offset}", cached_bytes(&server));
    }
}

#[test]
fn no_more_is_loaded_than_a_fetch_can_be_given() {
    let mut server = uncached(20, 2, &"x".repeat(100_000));
    let mut request = fetch_request("t", 0, 0);
    let first = request.topics[0].partitions[0].clone();
    for partition in 1..20 {
        let mut other = first.clone();
        other.partition = partition;
        request.topics[0].partitions.push(other);
    }
    request.max_bytes = 300_000;
    server.set_disk(Disk::Hangs);
    let conn = server.connect();
    server.send(conn, 12, &request);
    let asked: u64 = server.kept_reads().iter().map(|range| range.len).sum();
    assert!((100_000..600_000).contains(&asked), "{asked} bytes");
    server.set_disk(Disk::Works);
    assert_eq!(waits(&mut server, conn).map(|values| values.len()), Some(2));
}

#[test]
fn a_partition_twice_or_an_unknown_isolation_level_lists_no_offsets() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut partition = ListOffsetsPartition::default();
    (partition.timestamp, partition.current_leader_epoch) = (-1, -1);
    let mut topic = ListOffsetsTopic::default();
    (topic.name, topic.partitions) = ("t".into(), vec![partition.clone(), partition]);
    let mut request = ListOffsetsRequest::default();
    (request.replica_id, request.topics) = (-1, vec![topic]);
    let codes = |response: ListOffsetsResponse| {
        response.topics[0].partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>()
    };
    assert_eq!(codes(server.ask(6, &request)), [ErrorCode::InvalidRequest.code()]);
    request.isolation_level = 2;
    assert_eq!(codes(server.ask(6, &request)), [ErrorCode::UnknownServerError.code(); 2]);
}

fn list_offset(server: &mut Server, version: i16, topic: &str, timestamp: i64) -> (i16, i64, i64) {
    let mut asked = ListOffsetsPartition::default();
    asked.timestamp = timestamp;
    asked.current_leader_epoch = -1;
    let mut wanted = ListOffsetsTopic::default();
    wanted.name = topic.into();
    wanted.partitions = vec![asked];
    let mut request = ListOffsetsRequest::default();
    request.replica_id = -1;
    request.topics = vec![wanted];
    let response = server.ask(version, &request);
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.timestamp, found.offset)
}

#[test]
fn offsets_are_listed_by_timestamp() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    assert_eq!(list_offset(&mut server, 7, "t", -3), (0, -1, -1));
    server.produce("t", 0, &["a", "b"]);
    let unsupported = ErrorCode::UnsupportedVersion.code();
    for (version, timestamp, expected) in [
        (1, -1, (0, -1, 2)),
        (1, -2, (0, -1, 0)),
        (1, WALL, (0, WALL, 0)),
        (1, WALL + 1, (0, -1, -1)),
        (7, -3, (0, WALL, 0)),
        (6, -3, (unsupported, -1, -1)),
        (8, -4, (0, -1, 0)),
        (9, -5, (0, -1, -1)),
        (11, -6, (0, -1, -1)),
        (10, -6, (unsupported, -1, -1)),
        (11, -7, (unsupported, -1, -1)),
    ] {
        assert_eq!(list_offset(&mut server, version, "t", timestamp), expected, "v{version} {timestamp}");
    }
    assert_eq!(list_offset(&mut server, 1, "u", -1).0, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn retention_moves_the_log_start() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[("segment.bytes", "1048576"), ("retention.bytes", "1500000")]);
    let value = "x".repeat(300_000);
    for _ in 0..12 {
        let conn = server.connect();
        server.send(conn, 9, &produce_request("t", 0, -1, batch(&[&value])));
    }
    server.advance(Duration::from_secs(31));
    let (_, _, earliest) = list_offset(&mut server, 7, "t", -2);
    assert!(earliest > 0);
    assert_eq!(error_of(&server.ask(12, &fetch_request("t", 0, 0))), ErrorCode::OffsetOutOfRange.code());
    let mut server = server.restart();
    assert_eq!(list_offset(&mut server, 7, "t", -2).2, earliest);
}

#[test]
fn the_files_of_dropped_segments_go_after_their_delay_not_at_the_next_round_of_retention() {
    let mut server = Server::start();
    let configs = [("segment.bytes", "1048576"), ("retention.bytes", "1500000"), ("file.delete.delay.ms", "5000")];
    server.create_topic("t", 1, &configs);
    let value = "x".repeat(300_000);
    for _ in 0..12 {
        server.produce("t", 0, &[&value]);
    }
    let deleted = |server: &Server| {
        let files = server.store.list(&server.node.config().directory);
        files.iter().filter(|entry| entry.file.as_str().ends_with(".deleted")).count()
    };
    server.advance(Duration::from_secs(31));
    assert!(deleted(&server) > 0);
    server.advance(Duration::from_secs(5));
    assert_eq!(deleted(&server), 0);
}

#[test]
fn a_memory_ceiling_drops_the_oldest_segments_and_says_so() {
    let mut config = crate::harness::config();
    config.memory_ceiling_bytes = Some(3 << 20);
    let mut server = Server::with(config);
    server.create_topic("t", 1, &[("segment.bytes", "1048576")]);
    let value = "x".repeat(300_000);
    for _ in 0..40 {
        server.produce("t", 0, &[&value]);
    }
    let view = server.node.view();
    let log = view.topics[0].partitions[0].log.as_ref().expect("a log");
    assert!(log.size_bytes <= 4 << 20, "{}", log.size_bytes);
    assert_eq!(log.end_offset, 40);
    assert!(server.log.iter().any(|line| line.contains("memory is at its ceiling")), "{:?}", server.log);
}
