//! What a cluster of one answers to those who ask for elections, reassignments and the quorum.

use shore_wire::error::ErrorCode;
use shore_wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use shore_wire::messages::describe_quorum_request::{PartitionData, TopicData};
use shore_wire::messages::elect_leaders_request::TopicPartitions;
use shore_wire::messages::{
    AlterPartitionReassignmentsRequest, CreateAclsRequest, CreateDelegationTokenRequest, DeleteAclsRequest,
    DescribeAclsRequest, DescribeQuorumRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest,
    create_acls_request, delete_acls_request,
};

use crate::harness::Server;

#[test]
fn who_leads_already_is_not_elected() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    let mut wanted = TopicPartitions::default();
    (wanted.topic, wanted.partitions) = ("orders".into(), vec![0, 1]);
    for version in 0..=2 {
        let mut request = ElectLeadersRequest::default();
        request.topic_partitions = Some(vec![wanted.clone()]);
        let response = server.ask(version, &request);
        let codes: Vec<i16> =
            response.replica_election_results[0].partition_result.iter().map(|result| result.error_code).collect();
        let expected = [ErrorCode::ElectionNotNeeded, ErrorCode::UnknownTopicOrPartition];
        assert_eq!(codes, expected.map(ErrorCode::code));
        request.topic_partitions = None;
        let all = server.ask(version, &request);
        assert_eq!(all.replica_election_results[0].partition_result, []);
    }
    // Whoever asks for nothing is not told that there is no such election.
    for (asked, code) in [(None, ErrorCode::InvalidRequest), (Some(Vec::new()), ErrorCode::None)] {
        let mut request = ElectLeadersRequest::default();
        (request.election_type, request.topic_partitions) = (7, asked);
        let response = server.ask(2, &request);
        assert_eq!((response.error_code, response.replica_election_results), (code.code(), Vec::new()));
    }
}

#[test]
fn partitions_stay_where_they_are() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    use ErrorCode::{InvalidReplicaAssignment, NoReassignmentInProgress, UnknownTopicOrPartition};
    for (topic, partition, replicas, code) in [
        ("orders", 0, Some(vec![1]), 0),
        ("orders", 0, None, NoReassignmentInProgress.code()),
        ("orders", 0, Some(vec![2]), InvalidReplicaAssignment.code()),
        ("orders", 0, Some(vec![]), InvalidReplicaAssignment.code()),
        ("orders", 1, Some(vec![1]), UnknownTopicOrPartition.code()),
        ("nowhere", 0, Some(vec![1]), UnknownTopicOrPartition.code()),
    ] {
        for version in 0..=1 {
            let mut asked = ReassignablePartition::default();
            (asked.partition_index, asked.replicas) = (partition, replicas.clone());
            let mut wanted = ReassignableTopic::default();
            (wanted.name, wanted.partitions) = (topic.into(), vec![asked]);
            let mut request = AlterPartitionReassignmentsRequest::default();
            request.topics = vec![wanted];
            let response = server.ask(version, &request);
            assert_eq!(response.responses[0].partitions[0].error_code, code, "{topic}-{partition} {replicas:?}");
        }
    }
    let mut nothing = AlterPartitionReassignmentsRequest::default();
    nothing.allow_replication_factor_change = false;
    assert!(server.ask(1, &nothing).allow_replication_factor_change);
    let mut request = ListPartitionReassignmentsRequest::default();
    request.topics = None;
    assert_eq!(server.ask(0, &request).topics, []);
}

#[test]
fn the_quorum_is_one_voter() {
    let mut server = Server::start();
    for (name, code) in [("__cluster_metadata", 0), ("orders", ErrorCode::UnknownTopicOrPartition.code())] {
        let mut topic = TopicData::default();
        (topic.topic_name, topic.partitions) = (name.into(), vec![PartitionData::default()]);
        let mut request = DescribeQuorumRequest::default();
        request.topics = vec![topic];
        for version in 0..=2 {
            let response = server.ask(version, &request);
            let partition = &response.topics[0].partitions[0];
            assert_eq!(partition.error_code, code);
            if code == 0 {
                let voters: Vec<i32> = partition.current_voters.iter().map(|voter| voter.replica_id).collect();
                assert_eq!((partition.leader_id, voters), (1, vec![1]));
                assert_eq!(partition.high_watermark, partition.current_voters[0].log_end_offset);
            }
        }
    }
}

#[test]
fn there_is_no_authorizer_to_keep_acls() {
    let mut server = Server::start();
    let mut request = CreateAclsRequest::default();
    request.creations = vec![create_acls_request::AclCreation::default(); 2];
    for creation in &mut request.creations {
        (creation.resource_type, creation.resource_pattern_type) = (2, 3);
        (creation.operation, creation.permission_type) = (3, 3);
    }
    for version in 1..=3 {
        let response = server.ask(version, &request);
        let codes: Vec<i16> = response.results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [ErrorCode::SecurityDisabled.code(); 2]);
    }
}

#[test]
fn acls_of_an_unknown_kind_close_the_connection() {
    let mut server = Server::start();
    let mut creation = CreateAclsRequest::default();
    creation.creations = vec![create_acls_request::AclCreation::default()];
    let mut deletion = DeleteAclsRequest::default();
    deletion.filters = vec![delete_acls_request::DeleteAclsFilter::default()];
    let conns = [server.connect(), server.connect(), server.connect()];
    server.send(conns[0], 1, &DescribeAclsRequest::default());
    server.send(conns[1], 1, &creation);
    server.send(conns[2], 1, &deletion);
    for conn in conns {
        assert!(server.closed.contains_key(&conn));
    }
}

#[test]
fn the_owner_of_a_token_has_a_type_and_a_name() {
    let mut server = Server::start();
    let mut request = CreateDelegationTokenRequest::default();
    request.owner_principal_name = Some("a".into());
    for (kind, code, owner) in [
        (Some("User".into()), ErrorCode::DelegationTokenRequestNotAllowed, "a"),
        (None, ErrorCode::UnknownServerError, "ANONYMOUS"),
    ] {
        request.owner_principal_type = kind;
        let response = server.ask(3, &request);
        assert_eq!((response.error_code, response.principal_name.as_str()), (code.code(), owner));
    }
}
