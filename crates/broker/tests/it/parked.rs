//! A request that waits keeps what it needs and not the bytes it came in: a frame may be a megabyte, and many wait.

use bytes::Bytes;
use shore_broker::Input;
use shore_wire::frame::encode_request;
use shore_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;
use shore_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use shore_wire::messages::{FetchRequest, JoinGroupRequest, KafkaRequest, OffsetCommitRequest};

use crate::harness::{Disk, Server, batch, new_topic, produce_request};
use shore_wire::messages::CreateTopicsRequest;

/// Sends a request and says whether the node holds on to its frame.
fn keeps_frame<M: KafkaRequest>(server: &mut Server, version: i16, request: &M) -> bool {
    let conn = server.connect();
    let frame = encode_request(1, Some("a client id"), version, request).expect("encodes").body();
    let frame = Bytes::copy_from_slice(&frame);
    server.input(Input::Request { conn, frame: frame.clone() });
    assert!(server.raw_answer(conn).is_none(), "it does not wait");
    !frame.is_unique()
}

#[test]
fn requests_that_wait_for_the_store_let_go_of_their_frames() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    // Makes the topic of the offsets.
    server.ask(2, &find());
    server.ask(2, &find());
    server.set_disk(Disk::Hangs);
    for version in [3, 8, 9, 12] {
        assert!(!keeps_frame(&mut server, version, &produce_request("t", 0, -1, batch(&["a"]))), "Produce {version}");
    }
    let mut partition = FetchPartition::default();
    partition.fetch_offset = 0;
    partition.partition_max_bytes = 1 << 20;
    let mut topic = FetchTopic::default();
    topic.topic = "t".into();
    topic.partitions = vec![partition];
    let mut fetch = FetchRequest::default();
    (fetch.max_wait_ms, fetch.min_bytes, fetch.max_bytes) = (30_000, 1, 1 << 20);
    fetch.topics = vec![topic];
    for version in [4, 11, 12] {
        assert!(!keeps_frame(&mut server, version, &fetch), "Fetch {version}");
    }
    let mut partition = OffsetCommitRequestPartition::default();
    partition.committed_metadata = Some("what a client notes with its offset".into());
    let mut topic = OffsetCommitRequestTopic::default();
    topic.name = "t".into();
    topic.partitions = vec![partition];
    let mut commit = OffsetCommitRequest::default();
    commit.group_id = "g".into();
    commit.topics = vec![topic];
    assert!(!keeps_frame(&mut server, 7, &commit), "OffsetCommit");
    let mut create = CreateTopicsRequest::default();
    create.topics = vec![new_topic("u")];
    create.timeout_ms = 30_000;
    assert!(!keeps_frame(&mut server, 5, &create), "CreateTopics");
}

#[test]
fn members_that_wait_for_the_others_let_go_of_their_frames() {
    let mut server = Server::start();
    server.ask(2, &find());
    server.ask(2, &find());
    server.set_disk(Disk::Hangs);
    let mut protocol = JoinGroupRequestProtocol::default();
    protocol.name = "range".into();
    protocol.metadata = Bytes::from(vec![7; 500]);
    let mut join = JoinGroupRequest::default();
    join.group_id = "g".into();
    (join.session_timeout_ms, join.rebalance_timeout_ms) = (10_000, 30_000);
    join.protocol_type = "consumer".into();
    join.protocols = vec![protocol];
    assert!(!keeps_frame(&mut server, 3, &join), "JoinGroup");
}

fn find() -> shore_wire::messages::FindCoordinatorRequest {
    let mut request = shore_wire::messages::FindCoordinatorRequest::default();
    request.key = "g".into();
    request
}
