//! Clients that speak as older ones do: of some APIs no newer version than the seed draws.

use shore_sim::Action;
use shore_wire::api::ApiKey;
use shore_wire::messages::API_DESCRIPTORS;

use super::Plan;

/// What a client is that is about to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Producer,
    Member,
    StaticMember,
    TransactionalProducer,
    Copier,
    Admin,
}

const OF_ALL: &[ApiKey] = &[ApiKey::ApiVersions, ApiKey::Metadata];
const OF_PRODUCERS: &[ApiKey] = &[ApiKey::Produce, ApiKey::InitProducerId];
const OF_MEMBERS: &[ApiKey] = &[
    ApiKey::FindCoordinator,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
];
const OF_TRANSACTIONS: &[ApiKey] = &[
    ApiKey::FindCoordinator,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
];
const OF_ADMINS: &[ApiKey] = &[
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::CreatePartitions,
    ApiKey::DeleteRecords,
    ApiKey::IncrementalAlterConfigs,
];

impl Kind {
    fn speaks(self) -> [&'static [ApiKey]; 4] {
        match self {
            Self::Producer => [OF_ALL, OF_PRODUCERS, &[], &[]],
            Self::Member | Self::StaticMember => [OF_ALL, OF_MEMBERS, &[], &[]],
            Self::TransactionalProducer => [OF_ALL, OF_PRODUCERS, OF_TRANSACTIONS, &[]],
            Self::Copier => [OF_ALL, OF_PRODUCERS, OF_TRANSACTIONS, OF_MEMBERS],
            Self::Admin => [OF_ALL, OF_ADMINS, &[], &[]],
        }
    }

    fn is_transactional(self) -> bool {
        matches!(self, Self::TransactionalProducer | Self::Copier)
    }

    /// The oldest version of an API with which such a client can do its work.
    fn needs(self, api: ApiKey) -> i16 {
        match api {
            // It writes and reads batches, no message sets.
            ApiKey::Produce => 3,
            ApiKey::Fetch => 4,
            ApiKey::ListOffsets | ApiKey::OffsetFetch => 1,
            ApiKey::FindCoordinator if self.is_transactional() => 1,
            ApiKey::JoinGroup if self == Self::StaticMember => 5,
            ApiKey::SyncGroup | ApiKey::Heartbeat if self == Self::StaticMember => 3,
            ApiKey::OffsetCommit if self == Self::StaticMember => 7,
            _ => 0,
        }
    }
}

/// What goes with `transaction.version` 2, of which a client hears in ApiVersions 3.
fn of_transaction_version_2(api: ApiKey) -> Option<i16> {
    match api {
        ApiKey::ApiVersions => Some(3),
        ApiKey::Produce => Some(12),
        ApiKey::EndTxn | ApiKey::TxnOffsetCommit => Some(5),
        _ => None,
    }
}

/// Lets a quarter of the clients be older. They go back as far as the messages do that they are made of.
pub(crate) fn draw(plan: &mut Plan<'_>, actor: &str, kind: Kind) {
    if !plan.percent(25) {
        return;
    }
    // One that hears of version 2 knows what goes with it.
    let knows_version_2 = plan.percent(50);
    let share = plan.one_of(&[20, 50, 90]);
    for api in kind.speaks().into_iter().flatten().copied() {
        let of_version_2 = of_transaction_version_2(api).filter(|_| kind.is_transactional());
        let must = api == ApiKey::ApiVersions && kind.is_transactional() && !knows_version_2;
        if !must && !plan.percent(share) {
            continue;
        }
        let versions = API_DESCRIPTORS.iter().find(|known| known.api_key.value() == api.key());
        let versions = versions.expect("the clients speak it").supported_versions;
        let topic_ids = if api == ApiKey::Metadata && plan.needs_topic_ids { 10 } else { 0 };
        let (mut oldest, mut newest) =
            (kind.needs(api).max(topic_ids).max(versions.min().value()), versions.max().value());
        match of_version_2 {
            Some(version) if knows_version_2 => oldest = version,
            Some(version) => newest = version - 1,
            // The later ones are for brokers.
            None if api == ApiKey::AddPartitionsToTxn => newest = 3,
            None => {}
        }
        let newest = oldest + plan.below(u64::from((newest - oldest).unsigned_abs()).max(1)) as i16;
        plan.now(Action::LimitVersion { actor: actor.to_owned(), api, newest });
    }
}
