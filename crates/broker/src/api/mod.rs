//! The APIs that a broker serves: one file per API, one table for all of them.
//!
//! ApiVersions, docs/apis.md and the dispatch read the same table, so that what is advertised is what
//! is served. The versions that Apache Kafka 4 dropped are answered as its 3.9 did.

mod k00_produce;
mod k01_fetch;
mod k02_list_offsets;
mod k03_metadata;
pub(crate) mod k08_offset_commit;
pub(crate) mod k09_offset_fetch;
pub(crate) mod k10_find_coordinator;
pub(crate) mod k11_join_group;
pub(crate) mod k12_heartbeat;
pub(crate) mod k13_leave_group;
pub(crate) mod k14_sync_group;
pub(crate) mod k15_describe_groups;
pub(crate) mod k16_list_groups;
mod k18_api_versions;
mod k20_delete_topics;
mod k21_delete_records;
mod k22_init_producer_id;
mod k23_offset_for_leader_epoch;
mod k24_add_partitions_to_txn;
mod k25_add_offsets_to_txn;
mod k26_end_txn;
mod k27_write_txn_markers;
pub(crate) mod k28_txn_offset_commit;
mod k32_describe_configs;
mod k34_alter_replica_log_dirs;
mod k35_describe_log_dirs;
pub(crate) mod k42_delete_groups;
mod k44_incremental_alter_configs;
pub(crate) mod k47_offset_delete;
mod k48_describe_client_quotas;
mod k60_describe_cluster;
mod k61_describe_producers;
mod k74_list_config_resources;
mod k75_describe_topic_partitions;
mod produce_verification;
mod security;

pub(crate) use k00_produce::ParkedProduce;
pub(crate) use k01_fetch::ParkedFetch;
pub(crate) use k02_list_offsets::ParkedListOffsets;
pub(crate) use k10_find_coordinator::Coordinators;
pub(crate) use k22_init_producer_id::ParkedProducerId;
pub(crate) use k27_write_txn_markers::ParkedMarkers;
pub(crate) use k28_txn_offset_commit::UnverifiedOffsets;
pub(crate) use k44_incremental_alter_configs::PreparedAlteration;
pub(crate) use produce_verification::UnverifiedProduce;

use std::sync::Arc;

use bytes::Bytes;
use shore_base::{ConnId, Instant, Uuid};
use shore_wire::api::{ApiKey, Versions};
use shore_wire::codec::DecodeError;
use shore_wire::frame::{self, Frame};
use shore_wire::messages::{
    self, AlterClientQuotasRequest, AlterPartitionReassignmentsRequest, CreatePartitionsRequest, CreateTopicsRequest,
    DescribeQuorumRequest, ElectLeadersRequest, KafkaRequest, KafkaResponse, ListPartitionReassignmentsRequest,
    StrBytes, UnregisterBrokerRequest, UpdateFeaturesRequest,
};

use crate::broker::Broker;

/// A request that has not been answered yet. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Who asks, and how the answer has to look.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub id: RequestId,
    pub conn: ConnId,
    pub api: ApiKey,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
    /// The address that it calls from: `127.0.0.1`.
    pub client_host: Arc<str>,
    pub received_at: Instant,
}

impl RequestContext {
    /// The response's frame. Our own responses fit their version: anything else is a bug.
    pub fn respond<M: KafkaResponse>(&self, response: &M) -> Frame {
        frame::encode_response(self.correlation_id, self.api_version, response)
            .unwrap_or_else(|error| panic!("{} v{}: {error}", self.api, self.api_version))
    }

    pub fn client_id(&self) -> &str {
        self.client_id.as_ref().map_or("", |id| id.as_str())
    }

    /// Whether Produce and Fetch of this version give topics by id.
    pub(crate) fn gives_topic_ids(&self) -> bool {
        self.api_version >= 13
    }

    pub(crate) fn decode<M: KafkaRequest>(&self, body: Bytes) -> Result<M, DecodeError> {
        frame::decode_request(body, self.api_version)
    }

    /// Decodes a copy, for a request that is kept while it waits: its strings are slices of what they are read from, and
    /// that may be all that a host has read at once.
    pub(crate) fn decode_to_keep<M: KafkaRequest>(&self, body: &[u8]) -> Result<M, DecodeError> {
        self.decode(Bytes::copy_from_slice(body))
    }
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Served {
    Answer(Frame),
    /// It is kept by the broker under its id, and answered later.
    Parked,
    /// Produce with acks=0: there is no response.
    Silent,
    /// The connection has to be closed, for this reason.
    Close(String),
}

type Handler = fn(&mut Broker, RequestContext, Bytes) -> Result<Served, DecodeError>;

/// One row of the table.
pub(crate) struct Api {
    pub key: ApiKey,
    pub versions: Versions,
    handler: Handler,
}

const fn api(key: ApiKey, min: i16, max: i16, handler: Handler) -> Api {
    Api { key, versions: Versions::new(min, max), handler }
}

/// Every API that a broker serves, by key.
pub(crate) const APIS: &[Api] = &[
    api(ApiKey::Produce, 0, 13, k00_produce::handle),
    api(ApiKey::Fetch, 0, 18, k01_fetch::handle),
    api(ApiKey::ListOffsets, 0, 11, k02_list_offsets::handle),
    api(ApiKey::Metadata, 0, 13, k03_metadata::handle),
    api(ApiKey::OffsetCommit, 0, 10, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        if ctx.api_version == 0 {
            let response = k08_offset_commit::without_zookeeper(&request, &*broker.image);
            return Ok(Served::Answer(ctx.respond(&response)));
        }
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, topics| {
            k08_offset_commit::handle(groups, now, wall, caller, request, topics);
        });
        Ok(Served::Parked)
    }),
    api(ApiKey::OffsetFetch, 0, 10, |broker, ctx, body| {
        let request = ctx.decode_to_keep(&body)?;
        if ctx.api_version == 0 {
            return Ok(Served::Answer(ctx.respond(&k09_offset_fetch::without_zookeeper(request))));
        }
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, topics| {
            k09_offset_fetch::handle(groups, now, wall, caller, request, topics);
        });
        Ok(Served::Parked)
    }),
    api(ApiKey::FindCoordinator, 0, 6, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let response = k10_find_coordinator::handle(ctx.api_version, &request, broker);
        Ok(Served::Answer(ctx.respond(&response)))
    }),
    api(ApiKey::JoinGroup, 0, 9, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, _| k11_join_group::handle(groups, now, wall, caller, request));
        Ok(Served::Parked)
    }),
    api(ApiKey::Heartbeat, 0, 4, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, _| k12_heartbeat::handle(groups, now, wall, caller, request));
        Ok(Served::Parked)
    }),
    api(ApiKey::LeaveGroup, 0, 5, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, _| k13_leave_group::handle(groups, now, wall, caller, request));
        Ok(Served::Parked)
    }),
    api(ApiKey::SyncGroup, 0, 5, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, _| k14_sync_group::handle(groups, now, wall, caller, request));
        Ok(Served::Parked)
    }),
    api(ApiKey::DescribeGroups, 0, 6, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, _| k15_describe_groups::handle(groups, now, wall, caller, request));
        Ok(Served::Parked)
    }),
    api(ApiKey::ListGroups, 0, 5, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, _| k16_list_groups::handle(groups, now, wall, caller, request));
        Ok(Served::Parked)
    }),
    api(ApiKey::SaslHandshake, 0, 1, security::sasl_handshake),
    api(ApiKey::ApiVersions, 0, 4, k18_api_versions::handle),
    api(ApiKey::CreateTopics, 0, 7, forward::<CreateTopicsRequest>),
    api(ApiKey::DeleteTopics, 0, 6, k20_delete_topics::handle),
    api(ApiKey::DeleteRecords, 0, 2, k21_delete_records::handle),
    api(ApiKey::InitProducerId, 0, 5, k22_init_producer_id::handle),
    api(ApiKey::OffsetForLeaderEpoch, 0, 4, k23_offset_for_leader_epoch::handle),
    api(ApiKey::AddPartitionsToTxn, 0, 5, k24_add_partitions_to_txn::handle),
    api(ApiKey::AddOffsetsToTxn, 0, 4, k25_add_offsets_to_txn::handle),
    api(ApiKey::EndTxn, 0, 5, k26_end_txn::handle),
    api(ApiKey::WriteTxnMarkers, 1, 2, k27_write_txn_markers::handle),
    api(ApiKey::TxnOffsetCommit, 0, 5, k28_txn_offset_commit::handle),
    api(ApiKey::DescribeAcls, 0, 3, security::describe_acls),
    api(ApiKey::CreateAcls, 0, 3, security::create_acls),
    api(ApiKey::DeleteAcls, 0, 3, security::delete_acls),
    api(ApiKey::DescribeConfigs, 0, 4, k32_describe_configs::handle),
    api(ApiKey::AlterConfigs, 0, 2, k44_incremental_alter_configs::handle_legacy),
    api(ApiKey::AlterReplicaLogDirs, 0, 2, k34_alter_replica_log_dirs::handle),
    api(ApiKey::DescribeLogDirs, 0, 5, k35_describe_log_dirs::handle),
    api(ApiKey::SaslAuthenticate, 0, 2, security::sasl_authenticate),
    api(ApiKey::CreatePartitions, 0, 3, forward::<CreatePartitionsRequest>),
    api(ApiKey::CreateDelegationToken, 0, 3, security::create_token),
    api(ApiKey::RenewDelegationToken, 0, 2, security::renew_token),
    api(ApiKey::ExpireDelegationToken, 0, 2, security::expire_token),
    api(ApiKey::DescribeDelegationToken, 0, 3, security::describe_tokens),
    api(ApiKey::DeleteGroups, 0, 2, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, _| k42_delete_groups::handle(groups, now, wall, caller, request));
        Ok(Served::Parked)
    }),
    api(ApiKey::ElectLeaders, 0, 2, forward::<ElectLeadersRequest>),
    api(ApiKey::IncrementalAlterConfigs, 0, 1, k44_incremental_alter_configs::handle),
    api(ApiKey::AlterPartitionReassignments, 0, 1, forward::<AlterPartitionReassignmentsRequest>),
    api(ApiKey::ListPartitionReassignments, 0, 0, forward::<ListPartitionReassignmentsRequest>),
    api(ApiKey::OffsetDelete, 0, 0, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        let (now, wall) = (broker.now, broker.wall);
        broker.ask_groups(ctx, |groups, caller, topics| {
            k47_offset_delete::handle(groups, now, wall, caller, request, topics);
        });
        Ok(Served::Parked)
    }),
    api(ApiKey::DescribeClientQuotas, 0, 1, k48_describe_client_quotas::handle),
    api(ApiKey::AlterClientQuotas, 0, 1, forward::<AlterClientQuotasRequest>),
    api(ApiKey::DescribeUserScramCredentials, 0, 0, security::describe_scram_credentials),
    api(ApiKey::DescribeQuorum, 0, 2, forward::<DescribeQuorumRequest>),
    api(ApiKey::UpdateFeatures, 0, 2, forward::<UpdateFeaturesRequest>),
    api(ApiKey::DescribeCluster, 0, 2, k60_describe_cluster::handle),
    api(ApiKey::DescribeProducers, 0, 0, k61_describe_producers::handle),
    api(ApiKey::UnregisterBroker, 0, 0, forward::<UnregisterBrokerRequest>),
    api(ApiKey::DescribeTransactions, 0, 0, |broker, ctx, body| {
        let request: messages::DescribeTransactionsRequest = ctx.decode(body)?;
        let mut response = messages::DescribeTransactionsResponse::default();
        response.transaction_states =
            request.transactional_ids.iter().map(|id| broker.transactions.describe(id)).collect();
        Ok(Served::Answer(ctx.respond(&response)))
    }),
    api(ApiKey::ListTransactions, 0, 2, |broker, ctx, body| {
        let request = ctx.decode(body)?;
        Ok(Served::Answer(ctx.respond(&broker.transactions.list(broker.wall, &request))))
    }),
    api(ApiKey::ListConfigResources, 0, 1, k74_list_config_resources::handle),
    api(ApiKey::DescribeTopicPartitions, 0, 0, k75_describe_topic_partitions::handle),
];

/// A request that only the controller can answer, and that can be read.
fn forward<M: KafkaRequest>(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    ctx.decode::<M>(body.clone())?;
    Ok(broker.forward(&ctx, &body))
}

fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key.key() == key)
}

/// Serves one request. What cannot be read, or is not served, closes the connection, as in Kafka;
/// ApiVersions alone answers in version 0 that it does not know the version.
pub(crate) fn serve(
    broker: &mut Broker,
    id: RequestId,
    conn: ConnId,
    client_host: &Arc<str>,
    request: &Bytes,
) -> (Option<RequestContext>, Served) {
    let (head, body) = match frame::decode_request_head(request) {
        Ok(head) => head,
        Err(error) => return (None, Served::Close(format!("a request that cannot be read: {error}"))),
    };
    let Some(api) = find(head.api_key) else {
        let name = ApiKey::from_key(head.api_key).map_or("unknown", ApiKey::name);
        return (None, Served::Close(format!("{name} (API key {}) is not served", head.api_key)));
    };
    let mut ctx = RequestContext {
        id,
        conn,
        api: api.key,
        api_version: head.api_version,
        correlation_id: head.correlation_id,
        client_id: head.client_id,
        client_host: client_host.clone(),
        received_at: broker.now,
    };
    if !api.versions.contains(head.api_version) {
        if api.key != ApiKey::ApiVersions {
            let why = format!("{} version {} is not served", api.key, head.api_version);
            return (Some(ctx), Served::Close(why));
        }
        ctx.api_version = 0;
        let answer = k18_api_versions::unsupported(&ctx);
        return (Some(ctx), Served::Answer(answer));
    }
    let served = match (api.handler)(broker, ctx.clone(), body) {
        Ok(served) => served,
        Err(error) => Served::Close(format!("{} version {} cannot be read: {error}", ctx.api, ctx.api_version)),
    };
    (Some(ctx), served)
}

/// docs/apis.md: what is served, from the table that serves it.
pub fn apis_markdown() -> String {
    let mut text = String::from(
        "# APIs that are served\n\n\
         Generated from the table in `crates/broker/src/api/mod.rs` by `cargo xtask docs`; do not edit.\n\n\
         | key | API | versions |\n|---:|---|---|\n",
    );
    for api in APIS {
        text += &format!("| {} | {} | {}-{} |\n", api.key.key(), api.key, api.versions.min, api.versions.max);
    }
    text
}

/// What is served, as (key, first version, last version).
pub fn served_apis() -> impl Iterator<Item = (ApiKey, Versions)> {
    APIS.iter().map(|api| (api.key, api.versions))
}

/// What may be done with a topic where no authorizer says otherwise, as a set of operation bits.
const TOPIC_OPERATIONS: i32 = 3576;
/// Likewise with the cluster.
const CLUSTER_OPERATIONS: i32 = 8096;
/// The operations of which the request did not ask.
const NOT_ASKED: i32 = i32::MIN;

pub(crate) fn to_wire(id: Uuid) -> messages::Uuid {
    messages::Uuid::from_bytes(id.0)
}

pub(crate) fn from_wire(id: messages::Uuid) -> Uuid {
    Uuid(id.to_bytes())
}

/// A null client or topic string as its text.
pub(crate) fn text(string: &str) -> StrBytes {
    StrBytes::from(string)
}
