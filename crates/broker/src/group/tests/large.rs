//! What grows with a group grows with its members, not with their square.

use bytes::Bytes;
use shore_base::{Duration, Instant, Random, Wall};
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;
use shore_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use shore_wire::messages::{HeartbeatRequest, JoinGroupRequest, SyncGroupRequest};

use super::super::call::{Caller, GroupOutput, GroupResponse, RequestId};
use super::super::config::GroupConfig;
use super::super::coordinator::GroupCoordinator;

const MEMBERS: u64 = 5_000;

#[test]
fn five_thousand_members_take_one_generation_and_one_answer_each() {
    let config = GroupConfig {
        initial_rebalance_delay: Duration::from_millis(1),
        offsets_topic_partitions: 1,
        ..GroupConfig::default()
    };
    let mut groups = GroupCoordinator::new(config, Random::stream(1, "members"));
    let (mut now, wall) = (Instant::ZERO, Wall::from_millis(1));
    groups.load_begin(0);
    groups.load_end(now, wall, 0);
    let mut protocol = JoinGroupRequestProtocol::default();
    protocol.name = "range".into();
    protocol.metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
    let mut join = JoinGroupRequest::default();
    join.group_id = "g".into();
    join.session_timeout_ms = 10_000;
    join.rebalance_timeout_ms = 60_000;
    join.protocol_type = "consumer".into();
    join.protocols.push(protocol);
    for request in 0..MEMBERS {
        groups.join_group(now, wall, &caller(request, 3), &join);
    }
    while let Some((due, _)) = groups.next_wake().filter(|(due, _)| *due < Instant::from_millis(100)) {
        now = due;
        groups.wake(now, wall);
    }
    let mut members = Vec::new();
    let mut leader = None;
    for response in responses(&mut groups, now, wall) {
        let GroupResponse::JoinGroup(response) = response else { panic!("{response:?}") };
        assert_eq!((response.error_code, response.generation_id), (0, 1));
        if response.leader == response.member_id {
            assert_eq!(response.members.len() as u64, MEMBERS);
            assert!(leader.replace(response.member_id.clone()).is_none(), "one leader");
        }
        members.push(response.member_id);
    }
    assert_eq!(members.len() as u64, MEMBERS);

    let leader = leader.expect("a leader");
    for (index, member) in members.iter().enumerate() {
        let mut sync = SyncGroupRequest::default();
        sync.group_id = "g".into();
        sync.generation_id = 1;
        sync.member_id = member.clone();
        if *member == leader {
            sync.assignments = members.iter().map(assignment).collect();
        }
        groups.sync_group(now, wall, &caller(MEMBERS + index as u64, 3), &sync);
    }
    assert_eq!(responses(&mut groups, now, wall).len() as u64, MEMBERS);

    for (index, member) in members.iter().enumerate() {
        let mut heartbeat = HeartbeatRequest::default();
        heartbeat.group_id = "g".into();
        heartbeat.generation_id = 1;
        heartbeat.member_id = member.clone();
        groups.heartbeat(now, wall, &caller(2 * MEMBERS + index as u64, 3), &heartbeat);
    }
    assert_eq!(responses(&mut groups, now, wall).len() as u64, MEMBERS);
}

fn assignment(member: &shore_wire::messages::StrBytes) -> SyncGroupRequestAssignment {
    let mut assignment = SyncGroupRequestAssignment::default();
    assignment.member_id = member.clone();
    assignment.assignment = Bytes::from_static(b"x");
    assignment
}

fn caller(request: u64, version: i16) -> Caller<'static> {
    Caller { request: RequestId(request), version, client_id: "client", client_host: "127.0.0.1" }
}

/// Everything that is answered once all writes are safe.
fn responses(groups: &mut GroupCoordinator, now: Instant, wall: Wall) -> Vec<GroupResponse> {
    let mut responses = Vec::new();
    while let Some(output) = groups.poll() {
        match output {
            GroupOutput::Append { write, .. } => groups.written(now, wall, write, Ok(0)),
            GroupOutput::Respond { response, .. } => responses.push(response),
            GroupOutput::AppendMarker { .. } | GroupOutput::MarkerWritten { .. } | GroupOutput::Event(_) => {}
        }
    }
    responses
}
