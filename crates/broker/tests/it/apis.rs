//! What is advertised is served: every API in every version, and how the rest is refused.

use bytes::Bytes;
use shore_broker::{Input, api};
use shore_wire::api::{ApiKey, Versions};
use shore_wire::error::ErrorCode;
use shore_wire::frame::Frame;
use shore_wire::messages::{
    self, ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, DescribeConfigsRequest,
};

use crate::harness::Server;

/// Asks one API in one version, with a request that says as little as it may.
fn ask_least(server: &mut Server, api: ApiKey, version: i16) {
    macro_rules! least {
        ($request:ident) => {{
            server.ask(version, &messages::$request::default());
        }};
        ($request:ident, $($field:ident = $value:expr),+) => {{
            let mut request = messages::$request::default();
            $(request.$field = $value;)+
            server.ask(version, &request);
        }};
    }
    if version < oldest_message(api) {
        // No client here writes what Apache Kafka 4 dropped: dropped.rs asks for that.
        return;
    }
    match api {
        ApiKey::Produce => least!(ProduceRequest, acks = -1, transactional_id = None),
        ApiKey::Fetch => least!(FetchRequest, session_epoch = if version < 7 { -1 } else { 0 }),
        ApiKey::ListOffsets => least!(ListOffsetsRequest, replica_id = -1),
        ApiKey::Metadata => least!(MetadataRequest),
        ApiKey::OffsetCommit => least!(OffsetCommitRequest, group_id = "g".into()),
        ApiKey::OffsetFetch if version >= 8 => least!(OffsetFetchRequest),
        ApiKey::OffsetFetch => least!(OffsetFetchRequest, group_id = "g".into()),
        ApiKey::FindCoordinator => least!(FindCoordinatorRequest),
        ApiKey::JoinGroup => least!(JoinGroupRequest),
        ApiKey::Heartbeat => least!(HeartbeatRequest),
        ApiKey::LeaveGroup => least!(LeaveGroupRequest),
        ApiKey::SyncGroup => least!(SyncGroupRequest),
        ApiKey::DescribeGroups => least!(DescribeGroupsRequest, groups = vec!["g".into()]),
        ApiKey::ListGroups => least!(ListGroupsRequest),
        ApiKey::DeleteGroups => least!(DeleteGroupsRequest),
        ApiKey::OffsetDelete => least!(OffsetDeleteRequest),
        ApiKey::ApiVersions => least!(
            ApiVersionsRequest,
            client_software_name = if version >= 3 { "test".into() } else { Default::default() },
            client_software_version = if version >= 3 { "1".into() } else { Default::default() }
        ),
        ApiKey::CreateTopics => least!(CreateTopicsRequest),
        ApiKey::DeleteTopics => least!(DeleteTopicsRequest),
        ApiKey::InitProducerId => least!(InitProducerIdRequest, transactional_id = None),
        ApiKey::AddPartitionsToTxn => least!(AddPartitionsToTxnRequest),
        ApiKey::AddOffsetsToTxn => least!(AddOffsetsToTxnRequest),
        ApiKey::EndTxn => least!(EndTxnRequest),
        ApiKey::WriteTxnMarkers => least!(WriteTxnMarkersRequest),
        ApiKey::TxnOffsetCommit => least!(TxnOffsetCommitRequest),
        ApiKey::DescribeProducers => least!(DescribeProducersRequest),
        ApiKey::DescribeTransactions => least!(DescribeTransactionsRequest),
        ApiKey::ListTransactions => least!(ListTransactionsRequest),
        ApiKey::DescribeConfigs => least!(DescribeConfigsRequest),
        ApiKey::DescribeCluster => least!(DescribeClusterRequest),
        ApiKey::AlterConfigs => least!(AlterConfigsRequest),
        ApiKey::CreatePartitions => least!(CreatePartitionsRequest),
        ApiKey::IncrementalAlterConfigs => least!(IncrementalAlterConfigsRequest),
        ApiKey::OffsetForLeaderEpoch => least!(OffsetForLeaderEpochRequest),
        ApiKey::DescribeLogDirs => least!(DescribeLogDirsRequest),
        ApiKey::DescribeTopicPartitions => least!(DescribeTopicPartitionsRequest),
        ApiKey::SaslHandshake => least!(SaslHandshakeRequest),
        ApiKey::SaslAuthenticate => least!(SaslAuthenticateRequest),
        ApiKey::DescribeAcls => least!(
            DescribeAclsRequest,
            resource_type_filter = 1,
            pattern_type_filter = 3,
            operation = 1,
            permission_type = 1
        ),
        ApiKey::CreateAcls => least!(CreateAclsRequest),
        ApiKey::DeleteAcls => least!(DeleteAclsRequest),
        ApiKey::CreateDelegationToken => least!(CreateDelegationTokenRequest),
        ApiKey::RenewDelegationToken => least!(RenewDelegationTokenRequest),
        ApiKey::ExpireDelegationToken => least!(ExpireDelegationTokenRequest),
        ApiKey::DescribeDelegationToken => least!(DescribeDelegationTokenRequest),
        ApiKey::ElectLeaders => least!(ElectLeadersRequest),
        ApiKey::AlterPartitionReassignments => least!(AlterPartitionReassignmentsRequest),
        ApiKey::ListPartitionReassignments => least!(ListPartitionReassignmentsRequest),
        ApiKey::DescribeUserScramCredentials => least!(DescribeUserScramCredentialsRequest),
        ApiKey::DescribeQuorum => least!(DescribeQuorumRequest),
        ApiKey::DeleteRecords => least!(DeleteRecordsRequest),
        ApiKey::ListConfigResources => least!(ListConfigResourcesRequest),
        ApiKey::AlterReplicaLogDirs => least!(AlterReplicaLogDirsRequest),
        ApiKey::DescribeClientQuotas => least!(DescribeClientQuotasRequest),
        ApiKey::AlterClientQuotas => least!(AlterClientQuotasRequest),
        ApiKey::UpdateFeatures => least!(UpdateFeaturesRequest),
        ApiKey::UnregisterBroker => least!(UnregisterBrokerRequest),
        api => panic!("{api} is advertised and not tested"),
    }
}

/// The first version of an API that the generated messages have.
fn oldest_message(api: ApiKey) -> i16 {
    let mut descriptors = messages::API_DESCRIPTORS.iter();
    let descriptor = descriptors.find(|descriptor| descriptor.api_key.value() == api.key()).expect("a message");
    descriptor.supported_versions.min().value()
}

#[test]
fn every_advertised_api_answers_in_every_version() {
    let mut server = Server::start();
    for (api, versions) in api::served_apis() {
        for version in versions.min..=versions.max {
            ask_least(&mut server, api, version);
        }
    }
}

#[test]
fn api_versions_lists_what_is_served() {
    let mut server = Server::start();
    let mut request = ApiVersionsRequest::default();
    request.client_software_name = "test".into();
    request.client_software_version = "1.0".into();
    let response = server.ask(4, &request);
    for range in &response.api_keys {
        let api = ApiKey::try_from(range.api_key).expect("a known key");
        let served = api::served_apis().find(|(key, _)| *key == api).expect("a served key").1;
        assert_eq!(Versions::new(range.min_version, range.max_version), served, "{api}");
    }
    assert_eq!(response.api_keys.len(), api::served_apis().count());
    assert!(response.finalized_features_epoch > 0);
    let level = |name: &str| {
        let feature = response.finalized_features.iter().find(|feature| feature.name.as_str() == name);
        feature.map(|feature| feature.max_version_level)
    };
    assert_eq!((level("metadata.version"), level("group.version"), level("kraft.version")), (Some(30), Some(1), None));
    assert_eq!(response.supported_features.len(), 7);
    assert_eq!(server.ask(3, &request).supported_features.len(), 1);
}

fn raw(server: &mut Server, bytes: &[u8]) -> Result<Option<Bytes>, String> {
    let conn = server.connect();
    server.input(Input::Request { conn, frame: Bytes::copy_from_slice(bytes) });
    match server.closed.get(&conn) {
        Some(reason) => Err(reason.clone()),
        None => Ok(server.raw_answer(conn)),
    }
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let mut server = Server::start();
    let answer = raw(&mut server, &[0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff, 0]).expect("an answer").expect("an answer");
    // Correlation id, code 35, one range: key 18, versions 0 to 4.
    assert_eq!(&answer[..], [0, 0, 0, 5, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
}

#[test]
fn what_is_not_served_closes_the_connection_with_a_reason() {
    let mut server = Server::start();
    for (bytes, reason) in [
        (&[0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0][..], "Metadata version 99 is not served"),
        (&[0, 76, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0][..], "ShareGroupHeartbeat (API key 76) is not served"),
        (&[1, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff][..], "a request that cannot be read: unknown API key 256"),
        (&[0, 3][..], "a request that cannot be read"),
        (&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff][..], "Metadata version 1 cannot be read"),
    ] {
        let closed = raw(&mut server, bytes).expect_err("the connection is closed");
        assert!(closed.starts_with(reason), "{closed}");
    }
}

#[test]
fn software_without_a_proper_name_is_refused() {
    let mut server = Server::start();
    let mut request = ApiVersionsRequest::default();
    request.client_software_name = "no spaces".into();
    request.client_software_version = "1".into();
    let response: ApiVersionsResponse = server.ask(3, &request);
    assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
    assert!(response.api_keys.is_empty());
}

#[test]
fn the_cluster_describes_itself() {
    let mut server = Server::start();
    let mut request = DescribeClusterRequest::default();
    request.include_cluster_authorized_operations = true;
    let response = server.ask(2, &request);
    assert_eq!((response.cluster_id.as_str(), response.controller_id), ("kafkashoreAAAAAAAAAAAw", 1));
    assert_eq!(response.cluster_authorized_operations, 8096);
    let brokers: Vec<_> = response.brokers.iter().map(|node| (node.broker_id, node.host.as_str(), node.port)).collect();
    assert_eq!(brokers, [(1, "localhost", 9092)]);
}

#[test]
fn configs_say_where_they_come_from() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[("retention.ms", "1000")]);
    let mut topic = messages::describe_configs_request::DescribeConfigsResource::default();
    topic.resource_type = 2;
    topic.resource_name = "t".into();
    topic.configuration_keys = None;
    let mut broker = topic.clone();
    broker.resource_type = 4;
    broker.resource_name = "1".into();
    let mut request = DescribeConfigsRequest::default();
    request.resources = vec![topic, broker];
    request.include_synonyms = true;
    let response = server.ask(4, &request);
    let find = |resource: usize, name: &str| {
        let entry = response.results[resource].configs.iter().find(|entry| entry.name.as_str() == name);
        let entry = entry.unwrap_or_else(|| panic!("{name} is missing"));
        (entry.value.as_ref().map_or("", |value| value.as_str()), entry.config_source, entry.synonyms.len())
    };
    assert_eq!(response.results[0].configs.len(), 33);
    assert_eq!(response.results[1].configs.len(), 340);
    assert_eq!(find(0, "retention.ms"), ("1000", 1, 1));
    assert_eq!(find(0, "segment.bytes"), ("1073741824", 5, 1));
    assert_eq!(find(0, "min.insync.replicas"), ("1", 3, 2));
    assert_eq!(find(1, "offsets.topic.num.partitions"), ("4", 4, 2));
    assert_eq!(find(1, "num.partitions"), ("1", 5, 1));
}

#[test]
fn the_table_in_the_documentation_is_the_table_that_serves() {
    let text = api::apis_markdown();
    for (api, versions) in api::served_apis() {
        assert!(text.contains(&format!("| {} | {api} | {}-{} |\n", api.key(), versions.min, versions.max)));
    }
}

#[test]
fn a_response_is_one_whole_frame() {
    let mut server = Server::start();
    let answer = raw(&mut server, &[0, 18, 0, 0, 0, 0, 0, 9, 0xff, 0xff]).expect("an answer").expect("an answer");
    let frame = Frame::from_body(&answer);
    assert_eq!(frame.into_bytes()[..4], (answer.len() as i32).to_be_bytes());
}
