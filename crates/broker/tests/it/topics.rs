//! Topics: created, described, deleted, refused.

use shore_base::Duration;
use shore_log::storage::{FileName, ReadRange};
use shore_wire::error::ErrorCode;
use shore_wire::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use shore_wire::messages::delete_topics_request::DeleteTopicState;
use shore_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use shore_wire::messages::metadata_request::MetadataRequestTopic;
use shore_wire::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeLogDirsRequest,
    DescribeTopicPartitionsRequest, MetadataRequest, OffsetForLeaderEpochRequest, delete_records_request,
    offset_for_leader_epoch_request,
};

use crate::harness::{Disk, Server};

#[test]
fn a_topic_is_there_as_soon_as_its_creation_is_answered() {
    let mut server = Server::start();
    let created = server.create_topic("orders", 3, &[("retention.ms", "1000")]);
    assert_eq!(created.topics[0].error_code, 0);
    assert_eq!(created.topics[0].num_partitions, 3);
    let metadata = server.metadata(12, Some(&["orders"]));
    let topic = &metadata.topics[0];
    assert_eq!((topic.error_code, topic.partitions.len()), (0, 3));
    assert_eq!(topic.topic_id, created.topics[0].topic_id);
    assert!(topic.partitions.iter().all(|partition| partition.leader_id == 1 && partition.isr_nodes == [1]));
    let all = server.metadata(0, None);
    assert_eq!(all.topics.len(), 1);
}

#[test]
fn metadata_creates_a_missing_topic_and_says_that_it_is_unknown() {
    let mut server = Server::start();
    let first = server.metadata(5, Some(&["fresh", "bad name"]));
    let codes: Vec<i16> = first.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [ErrorCode::UnknownTopicOrPartition.code(), ErrorCode::InvalidTopicException.code()]);
    let second = server.metadata(5, Some(&["fresh"]));
    assert_eq!((second.topics[0].error_code, second.topics[0].partitions.len()), (0, 1));
}

#[test]
fn metadata_is_found_by_id_and_ids_hide_names() {
    let mut server = Server::start();
    let id = server.create_topic("orders", 1, &[]).topics[0].topic_id;
    let mut by_id = MetadataRequestTopic::default();
    by_id.topic_id = id;
    let mut unknown = MetadataRequestTopic::default();
    unknown.topic_id = shore_wire::messages::Uuid::from_bytes([9; 16]);
    let mut named = MetadataRequestTopic::default();
    named.name = Some("orders".into());
    let mut request = MetadataRequest::default();
    request.topics = Some(vec![by_id, unknown, named]);
    let mut topics = server.ask(12, &request).topics;
    topics.sort_by_key(|topic| topic.error_code);
    let found: Vec<(i16, Option<&str>)> =
        topics.iter().map(|topic| (topic.error_code, topic.name.as_ref().map(|name| name.as_str()))).collect();
    assert_eq!(found, [(0, Some("orders")), (ErrorCode::UnknownTopicId.code(), None)]);
}

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic {
    let mut topic = CreatableTopic::default();
    topic.name = name.into();
    topic.num_partitions = partitions;
    topic.replication_factor = factor;
    topic
}

fn assigned(name: &str, replicas: &[&[i32]]) -> CreatableTopic {
    let mut topic = topic(name, -1, -1);
    for (index, ids) in replicas.iter().enumerate() {
        let mut assignment = CreatableReplicaAssignment::default();
        assignment.partition_index = index as i32;
        assignment.broker_ids = ids.to_vec();
        topic.assignments.push(assignment);
    }
    topic
}

fn configured(name: &str, config: &str, value: Option<&str>) -> CreatableTopic {
    also_configured(topic(name, 1, 1), config, value)
}

fn also_configured(mut topic: CreatableTopic, config: &str, value: Option<&str>) -> CreatableTopic {
    let mut entry = CreatableTopicConfig::default();
    entry.name = config.into();
    entry.value = value.map(Into::into);
    topic.configs.push(entry);
    topic
}

/// As Apache Kafka 4.3.1 answered a broker with id 1.
#[test]
fn refusals_have_kafkas_codes_and_words() {
    let mut server = Server::start();
    server.create_topic("here", 1, &[]);
    server.create_topic("a.b", 1, &[]);
    let cases = [
        (topic("here", 1, 1), 36, "Topic 'here' already exists."),
        (topic("a_b", 1, 1), 17, "Topic 'a_b' collides with existing topic: a.b"),
        (topic("", 1, 1), 17, "Topic name is invalid: the empty string is not allowed"),
        (topic("__cluster_metadata", 1, 1), 42, "Creation of internal topic __cluster_metadata is prohibited."),
        (topic("t", 0, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (topic("t", 1, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (
            topic("t", 1, 3),
            38,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because \
             only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
        ),
        (
            also_configured(configured("t", "max.compaction.lag.ms", Some("5")), "min.compaction.lag.ms", Some("10")),
            40,
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (configured("t", "nonsense", Some("1")), 40, "Unknown topic config name: nonsense"),
        (configured("t", "retention.ms", None), 40, "Null value not supported for topic configs: retention.ms"),
        (
            configured("t", "retention.ms", Some("soon")),
            40,
            "Invalid value soon for configuration retention.ms: Not a number of type LONG",
        ),
        (
            assigned("t", &[&[1], &[7]]),
            39,
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        ),
        (assigned("t", &[&[1, 1]]), 39, "The manual partition assignment includes the broker 1 more than once."),
    ];
    for (topic, code, message) in cases {
        let name = topic.name.clone();
        let mut request = CreateTopicsRequest::default();
        request.topics = vec![topic];
        let response = server.ask(7, &request);
        let refused = &response.topics[0];
        let text = refused.error_message.as_ref().map_or("", |text| text.as_str());
        assert_eq!((refused.error_code, text), (code, message), "{name}");
    }
    assert_eq!(server.metadata(9, None).topics.len(), 2);
}

#[test]
fn a_topic_without_name_and_id_spoils_its_request() {
    let mut server = Server::start();
    let mut request = MetadataRequest::default();
    let mut nameless = MetadataRequestTopic::default();
    nameless.name = None;
    request.topics = Some(vec![nameless]);
    for (version, error) in [(10, ErrorCode::InvalidRequest), (12, ErrorCode::UnknownServerError)] {
        let response = server.ask(version, &request);
        assert_eq!((response.topics[0].error_code, response.brokers.len()), (error.code(), 0), "v{version}");
    }
}

#[test]
fn no_time_and_too_many_partitions_refuse_the_whole_request() {
    let mut server = Server::start();
    let codes = |server: &mut Server, topics: Vec<CreatableTopic>, timeout| {
        let mut request = CreateTopicsRequest::default();
        (request.topics, request.timeout_ms) = (topics, timeout);
        let response = server.ask(7, &request);
        response.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>()
    };
    let late = ErrorCode::RequestTimedOut.code();
    assert_eq!(codes(&mut server, vec![topic("t", 0, 1), topic("u", 1, 1)], 0), [late; 2]);
    let too_many = ErrorCode::PolicyViolation.code();
    assert_eq!(codes(&mut server, vec![topic("t", 6000, 1), topic("u", 6000, 1)], 9), [too_many; 2]);
    assert_eq!(codes(&mut server, vec![topic("t", i32::MAX, 1), topic("u", i32::MIN, 1)], 9), [too_many; 2]);
    let mut delete = DeleteTopicsRequest::default();
    (delete.topic_names, delete.timeout_ms) = (vec!["t".into()], 0);
    assert_eq!(server.ask(5, &delete).responses[0].error_code, late);
}

#[test]
fn a_validated_topic_is_not_created_and_an_assigned_one_is() {
    let mut server = Server::start();
    let mut request = CreateTopicsRequest::default();
    request.topics = vec![assigned("t", &[&[1], &[1]])];
    request.validate_only = true;
    let response = server.ask(5, &request);
    assert_eq!((response.topics[0].error_code, response.topics[0].num_partitions), (0, 2));
    assert_eq!(server.metadata(9, None).topics.len(), 0);
    request.validate_only = false;
    assert_eq!(server.ask(2, &request).topics[0].error_code, 0);
    assert_eq!(server.metadata(9, Some(&["t"])).topics[0].partitions.len(), 2);
}

#[test]
fn one_name_twice_is_refused_and_two_colliding_names_are_not() {
    let mut server = Server::start();
    let mut request = CreateTopicsRequest::default();
    request.topics = vec![topic("x", 1, 1), topic("x", 2, 1), topic("c.d", 1, 1), topic("c_d", 1, 1)];
    let response = server.ask(7, &request);
    let results: Vec<(&str, i16)> =
        response.topics.iter().map(|topic| (topic.name.as_str(), topic.error_code)).collect();
    assert_eq!(results, [("c.d", 0), ("c_d", 0), ("x", ErrorCode::InvalidRequest.code())]);
}

#[test]
fn topics_are_deleted_by_name_and_by_id_and_can_come_again() {
    let mut server = Server::start();
    let first = server.create_topic("a", 1, &[]).topics[0].topic_id;
    server.create_topic("b", 1, &[]);
    server.produce("a", 0, &["old"]);
    let mut by_id = DeleteTopicState::default();
    by_id.topic_id = first;
    let mut by_name = DeleteTopicState::default();
    by_name.name = Some("b".into());
    let mut request = DeleteTopicsRequest::default();
    request.timeout_ms = 10_000;
    request.topics = vec![by_id, by_name];
    let response = server.ask(6, &request);
    assert!(response.responses.iter().all(|result| result.error_code == 0), "{response:?}");
    assert_eq!(server.metadata(9, None).topics.len(), 0);
    let mut old = DeleteTopicsRequest::default();
    old.timeout_ms = 10_000;
    old.topic_names = vec!["a".into()];
    assert_eq!(server.ask(1, &old).responses[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    let second = server.create_topic("a", 1, &[]).topics[0].topic_id;
    assert_ne!(first, second);
    assert_eq!(server.produce("a", 0, &["new"]), (0, 0));
    let server = server.restart();
    let _ = server;
}

/// A topic's name, code and partitions.
type Described = (String, i16, Vec<i32>);

/// What a request is told, and where the next goes on.
fn described(
    server: &mut Server,
    topics: &[&str],
    limit: i32,
    from: Option<(&str, i32)>,
) -> (Vec<Described>, Option<(String, i32)>) {
    let mut request = DescribeTopicPartitionsRequest::default();
    request.response_partition_limit = limit;
    for name in topics {
        let mut topic = TopicRequest::default();
        topic.name = (*name).into();
        request.topics.push(topic);
    }
    request.cursor = from.map(|(topic, partition)| {
        let mut cursor = Cursor::default();
        (cursor.topic_name, cursor.partition_index) = (topic.into(), partition);
        cursor
    });
    let response = server.ask(0, &request);
    let topics = response.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        (topic.name.as_ref().map(ToString::to_string).unwrap_or_default(), topic.error_code, partitions)
    });
    (topics.collect(), response.next_cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index)))
}

#[test]
fn partitions_are_described_page_by_page() {
    let mut server = Server::start();
    server.create_topic("a", 2, &[]);
    server.create_topic("b", 3, &[]);
    let found = |name: &str, partitions: &[i32]| (name.to_owned(), 0, partitions.to_vec());
    // A topic without a name is what Kafka fails over.
    let failed = |name: &str| (name.to_owned(), ErrorCode::UnknownServerError.code(), Vec::new());
    assert_eq!(described(&mut server, &["a", ""], 10, None), (vec![failed("a"), failed("")], None));
    let at = |name: &str, partition| Some((name.to_owned(), partition));
    for (topics, limit, from, expected, next) in [
        (&[][..], 2000, None, vec![found("a", &[0, 1]), found("b", &[0, 1, 2])], None),
        (&[], 2, None, vec![found("a", &[0, 1])], at("b", 0)),
        (&[], 3, None, vec![found("a", &[0, 1]), found("b", &[0])], at("b", 1)),
        (&[], 9, Some(("b", 1)), vec![found("b", &[1, 2])], None),
        (&[], 0, Some(("b", 2)), vec![found("b", &[2])], None),
        (&["b", "a"], 9, None, vec![found("a", &[0, 1]), found("b", &[0, 1, 2])], None),
        (&["b", "nowhere"], 9, None, vec![found("b", &[0, 1, 2]), ("nowhere".to_owned(), 3, vec![])], None),
        (&["b"], 9, Some(("a", 0)), vec![("b".to_owned(), 42, vec![])], None),
        (&["b"], 9, Some(("b", -1)), vec![("b".to_owned(), 42, vec![])], None),
    ] {
        assert_eq!(described(&mut server, topics, limit, from), (expected, next), "{topics:?} {limit} {from:?}");
    }
}

#[test]
fn a_directory_is_described_with_what_lies_in_it() {
    let mut server = Server::start();
    server.create_topic("orders", 2, &[]);
    server.produce("orders", 1, &["a"]);
    for version in 1..=5 {
        let mut request = DescribeLogDirsRequest::default();
        request.topics = None;
        let response = server.ask(version, &request);
        let partitions = &response.results[0].topics[0].partitions;
        assert_eq!((partitions[0].partition_size, partitions[1].partition_size > 60), (0, true));
        request.topics = Some(Vec::new());
        assert_eq!(server.ask(version, &request).results[0].topics, []);
    }
}

#[test]
fn an_epochs_end_tells_whether_the_log_was_cut() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    server.produce("orders", 0, &["a", "b"]);
    let mut server = server.restart();
    server.produce("orders", 0, &["c"]);
    let epoch = server.metadata(12, Some(&["orders"])).topics[0].partitions[0].leader_epoch;
    for (topic, known, asked, expected) in [
        ("orders", -1, 0, (0, 0, 2)),
        ("orders", epoch, epoch, (0, epoch, 3)),
        ("orders", -1, epoch + 1, (0, -1, -1)),
        ("orders", epoch + 1, epoch, (ErrorCode::UnknownLeaderEpoch.code(), -1, -1)),
        ("orders", 0, epoch, (ErrorCode::FencedLeaderEpoch.code(), -1, -1)),
        ("nowhere", -1, 0, (ErrorCode::UnknownTopicOrPartition.code(), -1, -1)),
    ] {
        for version in 2..=4 {
            let mut partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
            (partition.current_leader_epoch, partition.leader_epoch) = (known, asked);
            let mut wanted = offset_for_leader_epoch_request::OffsetForLeaderTopic::default();
            (wanted.topic, wanted.partitions) = (topic.into(), vec![partition]);
            let mut request = OffsetForLeaderEpochRequest::default();
            request.topics = vec![wanted];
            let response = server.ask(version, &request);
            let end = &response.topics[0].partitions[0];
            assert_eq!((end.error_code, end.leader_epoch, end.end_offset), expected, "{topic} {known} {asked}");
        }
    }
}

/// Lets a partition begin at `offset`, and returns where it begins and the code.
fn delete_records(server: &mut Server, version: i16, topic: &str, partition: i32, offset: i64) -> (i64, i16) {
    let mut asked = delete_records_request::DeleteRecordsPartition::default();
    (asked.partition_index, asked.offset) = (partition, offset);
    let mut wanted = delete_records_request::DeleteRecordsTopic::default();
    (wanted.name, wanted.partitions) = (topic.into(), vec![asked]);
    let mut request = DeleteRecordsRequest::default();
    request.topics = vec![wanted];
    let response = server.ask(version, &request);
    let partition = &response.topics[0].partitions[0];
    (partition.low_watermark, partition.error_code)
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    server.create_topic("latest", 1, &[("cleanup.policy", "compact")]);
    server.produce("orders", 0, &["a", "b", "c"]);
    use ErrorCode::{InvalidTopicException, OffsetOutOfRange, PolicyViolation, UnknownTopicOrPartition};
    server.metadata(12, Some(&["__consumer_offsets"]));
    for (topic, partition, offset, expected) in [
        ("orders", 0, 2, (2, 0)),
        ("orders", 0, 1, (2, 0)),
        ("orders", 0, 4, (-1, OffsetOutOfRange.code())),
        ("orders", 0, -2, (-1, OffsetOutOfRange.code())),
        ("orders", 1, 0, (-1, UnknownTopicOrPartition.code())),
        ("nowhere", 0, 0, (-1, UnknownTopicOrPartition.code())),
        ("latest", 0, 0, (-1, PolicyViolation.code())),
        ("__consumer_offsets", 0, 0, (-1, InvalidTopicException.code())),
    ] {
        for version in 0..=2 {
            let answer = delete_records(&mut server, version, topic, partition, offset);
            assert_eq!(answer, expected, "{topic}-{partition} before {offset}");
        }
    }
    let mut nothing = DeleteRecordsRequest::default();
    nothing.topics = vec![delete_records_request::DeleteRecordsTopic::default()];
    assert_eq!(server.ask(2, &nothing).topics, []);
    let mut server = server.restart();
    assert_eq!(delete_records(&mut server, 2, "orders", 0, 0), (2, 0));
    assert_eq!(delete_records(&mut server, 2, "orders", 0, -1), (3, 0));
}

#[test]
fn where_a_log_begins_is_on_disk_with_the_answer_and_gone_with_its_topic() {
    let checkpoint = |server: &Server| {
        let file = FileName::from("n1/d0/log-start-offset-checkpoint");
        let bytes = server.store.read(&ReadRange { file, position: 0, len: 1 << 10 }).expect("it was written");
        String::from_utf8(bytes.to_vec()).expect("text")
    };
    let mut server = Server::start();
    server.create_topic("orders", 2, &[]);
    server.produce("orders", 0, &["a", "b", "c"]);
    server.produce("orders", 1, &["d"]);
    assert_eq!(delete_records(&mut server, 2, "orders", 0, 2), (2, 0));
    assert_eq!(checkpoint(&server), "0\n1\norders 0 2\n");
    let mut server = server.crash();
    assert_eq!(delete_records(&mut server, 2, "orders", 0, 0), (2, 0));
    server.set_disk(Disk::Fails);
    delete_records(&mut server, 2, "orders", 1, 1);
    assert_eq!(checkpoint(&server), "0\n1\norders 0 2\n");
    server.set_disk(Disk::Works);
    server.advance(Duration::from_secs(2));
    assert_eq!(checkpoint(&server), "0\n2\norders 0 2\norders 1 1\n", "written again when the disk has healed");

    let mut request = DeleteTopicsRequest::default();
    request.topic_names = vec!["orders".into()];
    request.timeout_ms = 1_000;
    server.ask(3, &request);
    assert_eq!(checkpoint(&server), "0\n0\n");
    server.create_topic("orders", 2, &[]);
    server.produce("orders", 0, &["e"]);
    let mut server = server.crash();
    assert_eq!(delete_records(&mut server, 2, "orders", 0, 0), (0, 0));
}
