//! The group coordinator behind the node: found, written to a log, loaded again.

use bytes::Bytes;
use shore_base::Duration;
use shore_log::storage::ReadRange;
use shore_wire::error::ErrorCode;
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;
use shore_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use shore_wire::messages::offset_commit_response::OffsetCommitResponseTopic;
use shore_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use shore_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use shore_wire::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};

use crate::harness::{Disk, Server};

fn find(server: &mut Server) -> (i16, i32) {
    let mut request = FindCoordinatorRequest::default();
    request.key = "g".into();
    let response = server.ask(2, &request);
    (response.error_code, response.node_id)
}

fn server_with_coordinator() -> Server {
    let mut server = Server::start();
    server.create_topic("t", 2, &[]);
    assert_eq!(find(&mut server), (ErrorCode::CoordinatorNotAvailable.code(), -1));
    assert_eq!(find(&mut server), (0, 1));
    server
}

#[test]
fn the_first_search_for_a_coordinator_creates_the_offsets_topic() {
    let mut server = server_with_coordinator();
    let metadata = server.metadata(9, Some(&["__consumer_offsets"]));
    assert_eq!(metadata.topics[0].partitions.len(), 4);
    assert!(metadata.topics[0].is_internal);
    let view = server.node.view();
    let topic = view.topics.iter().find(|topic| topic.is_internal).expect("the offsets topic");
    assert_eq!(topic.configs["cleanup.policy"], "compact");
    assert_eq!(topic.configs["segment.bytes"], "104857600");
}

fn join(server: &mut Server) -> JoinGroupResponse {
    let mut protocol = JoinGroupRequestProtocol::default();
    protocol.name = "range".into();
    protocol.metadata = Bytes::from_static(&[0, 0]);
    let mut request = JoinGroupRequest::default();
    request.group_id = "g".into();
    request.session_timeout_ms = 30_000;
    request.rebalance_timeout_ms = 30_000;
    request.protocol_type = "consumer".into();
    request.protocols = vec![protocol];
    let conn = server.connect();
    server.send(conn, 2, &request);
    server.advance(Duration::from_millis(10));
    server.answer::<JoinGroupResponse>(conn, 2).expect("an answer").1
}

fn commit(server: &mut Server, member: &str, generation: i32, offset: i64) -> i16 {
    let mut partition = OffsetCommitRequestPartition::default();
    partition.committed_offset = offset;
    partition.committed_metadata = Some("m".into());
    let mut topic = OffsetCommitRequestTopic::default();
    topic.name = "t".into();
    topic.partitions = vec![partition];
    let mut request = OffsetCommitRequest::default();
    request.group_id = "g".into();
    request.member_id = member.into();
    request.generation_id_or_member_epoch = generation;
    request.topics = vec![topic];
    server.ask(6, &request).topics[0].partitions[0].error_code
}

fn commit_topic(name: &str, partitions: &[i32]) -> OffsetCommitRequestTopic {
    let mut topic = OffsetCommitRequestTopic::default();
    topic.name = name.into();
    for &index in partitions {
        let mut partition = OffsetCommitRequestPartition::default();
        partition.partition_index = index;
        topic.partitions.push(partition);
    }
    topic
}

#[test]
fn the_results_of_a_commit_stand_by_topics_however_many_there_are() {
    let mut server = server_with_coordinator();
    server.create_topic("u", 1, &[]);
    let mut request = OffsetCommitRequest::default();
    (request.group_id, request.generation_id_or_member_epoch) = ("g".into(), -1);
    let mut named = vec![commit_topic("t", &[0, 9]), commit_topic("gone", &[0]), commit_topic("u", &[0])];
    named.extend((0..30_000).map(|n| commit_topic(&format!("gone-{n}"), &[0])));
    named.extend([commit_topic("gone", &[1]), commit_topic("t", &[8])]);
    request.topics = named;
    let response = server.ask(6, &request);
    let results = |at: usize| {
        let topic: &OffsetCommitResponseTopic = &response.topics[at];
        let partitions = topic.partitions.iter().map(|partition| (partition.partition_index, partition.error_code));
        (topic.name.to_string(), partitions.collect::<Vec<_>>())
    };
    let gone = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(results(0), ("t".to_owned(), vec![(9, gone), (8, gone), (0, 0)]));
    assert_eq!(results(1), ("gone".to_owned(), vec![(0, gone), (1, gone)]));
    assert_eq!(results(2), ("gone-0".to_owned(), vec![(0, gone)]));
    assert_eq!(results(30_002), ("u".to_owned(), vec![(0, 0)]));
    assert_eq!(response.topics.len(), 30_003);
}

fn committed(server: &mut Server) -> (i16, i64) {
    let mut topic = OffsetFetchRequestTopic::default();
    topic.name = "t".into();
    topic.partition_indexes = vec![0];
    let mut request = OffsetFetchRequest::default();
    request.group_id = "g".into();
    request.topics = Some(vec![topic]);
    let response = server.ask(5, &request);
    (response.error_code, response.topics[0].partitions[0].committed_offset)
}

#[test]
fn a_member_lives_and_its_commits_survive_a_kill() {
    let mut server = server_with_coordinator();
    let joined = join(&mut server);
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let mut assignment = SyncGroupRequestAssignment::default();
    assignment.member_id = joined.member_id.clone();
    assignment.assignment = Bytes::from_static(b"all");
    let mut sync = SyncGroupRequest::default();
    sync.group_id = "g".into();
    sync.member_id = joined.member_id.clone();
    sync.generation_id = 1;
    sync.assignments = vec![assignment];
    let synced = server.ask(2, &sync);
    assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]));
    let mut heartbeat = HeartbeatRequest::default();
    heartbeat.group_id = "g".into();
    heartbeat.member_id = joined.member_id.clone();
    heartbeat.generation_id = 1;
    assert_eq!(server.ask(3, &heartbeat).error_code, 0);
    assert_eq!(commit(&mut server, &joined.member_id, 1, 42), 0);
    assert_eq!(committed(&mut server), (0, 42));
    let mut server = server.crash();
    assert_eq!(committed(&mut server), (0, 42));
    assert_eq!(server.ask(3, &heartbeat).error_code, 0);
    assert_eq!(server.node.view().groups[0].members.len(), 1);
}

#[test]
fn a_commit_that_cannot_be_stored_is_taken_back() {
    let mut server = server_with_coordinator();
    assert_eq!(commit(&mut server, "", -1, 1), 0);
    server.set_disk(Disk::Fails);
    assert_ne!(commit(&mut server, "", -1, 2), 0);
    server.set_disk(Disk::Works);
    server.advance(Duration::from_secs(2));
    assert_eq!(committed(&mut server), (0, 1));
    assert_eq!(commit(&mut server, "", -1, 3), 0);
    let mut server = server.crash();
    assert_eq!(committed(&mut server), (0, 3));
}

#[test]
fn batches_of_the_offsets_topic_count_their_records_as_in_apache_kafka() {
    let mut server = server_with_coordinator();
    assert_eq!(commit(&mut server, "", -1, 7), 0);
    let files = server.store.list(&"n1/d0".into());
    let is_log = |name: &str| name.contains("__consumer_offsets-") && name.ends_with(".log");
    let mut batches = 0;
    for entry in files.into_iter().filter(|entry| is_log(entry.file.as_str()) && entry.len > 0) {
        let range = ReadRange { file: entry.file, position: 0, len: entry.len };
        for batch in shore_wire::batch::batches(&server.store.read(&range).expect("a file")) {
            let batch = batch.expect("a batch");
            assert_eq!((batch.producer_id(), batch.base_sequence()), (-1, 0));
            batches += 1;
        }
    }
    assert_eq!(batches, 1);
}
