//! The APIs that the broker serves or speaks with itself, as types.

use shore_wire::api::{ApiKey, Versions};
use shore_wire::messages::{KafkaRequest, KafkaResponse};

/// Something to do with every API.
pub trait Visitor {
    fn api<Q: KafkaRequest + PartialEq + std::fmt::Debug, S: KafkaResponse + PartialEq + std::fmt::Debug>(
        &mut self,
        api: ApiKey,
        versions: Versions,
    );
}

macro_rules! apis {
    ($($api:ident: $request:ident, $response:ident;)*) => {
        pub fn visit(visitor: &mut impl Visitor) {
            use shore_wire::messages::*;
            $(visitor.api::<$request, $response>(ApiKey::$api, Versions::of::<$request>());)*
        }
    };
}

apis! {
    Produce: ProduceRequest, ProduceResponse;
    Fetch: FetchRequest, FetchResponse;
    ListOffsets: ListOffsetsRequest, ListOffsetsResponse;
    Metadata: MetadataRequest, MetadataResponse;
    OffsetCommit: OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch: OffsetFetchRequest, OffsetFetchResponse;
    FindCoordinator: FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup: JoinGroupRequest, JoinGroupResponse;
    Heartbeat: HeartbeatRequest, HeartbeatResponse;
    LeaveGroup: LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup: SyncGroupRequest, SyncGroupResponse;
    DescribeGroups: DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups: ListGroupsRequest, ListGroupsResponse;
    ApiVersions: ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics: CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse;
    InitProducerId: InitProducerIdRequest, InitProducerIdResponse;
    DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse;
    ListPartitionReassignments: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    DescribeCluster: DescribeClusterRequest, DescribeClusterResponse;
    BrokerRegistration: BrokerRegistrationRequest, BrokerRegistrationResponse;
    BrokerHeartbeat: BrokerHeartbeatRequest, BrokerHeartbeatResponse;
    AllocateProducerIds: AllocateProducerIdsRequest, AllocateProducerIdsResponse;
    ConsumerGroupDescribe: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
}
