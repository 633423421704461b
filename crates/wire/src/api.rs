//! API keys and what their numbers decide: the shape of request and response headers.

/// Declares [`ApiKey`] from one table: name, key, and the first version with tagged fields
/// (`i16::MAX` where there is none).
macro_rules! api_keys {
    ($($variant:ident = $key:literal, flexible from $flexible:expr;)*) => {
        /// Every API of Kafka's protocol, removed ones included.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $($variant = $key,)*
        }

        impl ApiKey {
            /// Every key, in ascending order.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$variant,)*];

            pub const fn from_key(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(ApiKey::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name: `DescribeTopicPartitions`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$variant => stringify!($variant),)*
                }
            }

            /// The first version whose bodies and headers carry tagged fields.
            const fn first_flexible_version(self) -> i16 {
                match self {
                    $(ApiKey::$variant => $flexible,)*
                }
            }
        }
    };
}

api_keys! {
    Produce = 0, flexible from 9;
    Fetch = 1, flexible from 12;
    ListOffsets = 2, flexible from 6;
    Metadata = 3, flexible from 9;
    LeaderAndIsr = 4, flexible from 4;
    StopReplica = 5, flexible from 2;
    UpdateMetadata = 6, flexible from 6;
    ControlledShutdown = 7, flexible from 3;
    OffsetCommit = 8, flexible from 8;
    OffsetFetch = 9, flexible from 6;
    FindCoordinator = 10, flexible from 3;
    JoinGroup = 11, flexible from 6;
    Heartbeat = 12, flexible from 4;
    LeaveGroup = 13, flexible from 4;
    SyncGroup = 14, flexible from 4;
    DescribeGroups = 15, flexible from 5;
    ListGroups = 16, flexible from 3;
    SaslHandshake = 17, flexible from i16::MAX;
    ApiVersions = 18, flexible from 3;
    CreateTopics = 19, flexible from 5;
    DeleteTopics = 20, flexible from 4;
    DeleteRecords = 21, flexible from 2;
    InitProducerId = 22, flexible from 2;
    OffsetForLeaderEpoch = 23, flexible from 4;
    AddPartitionsToTxn = 24, flexible from 3;
    AddOffsetsToTxn = 25, flexible from 3;
    EndTxn = 26, flexible from 3;
    WriteTxnMarkers = 27, flexible from 0;
    TxnOffsetCommit = 28, flexible from 3;
    DescribeAcls = 29, flexible from 2;
    CreateAcls = 30, flexible from 2;
    DeleteAcls = 31, flexible from 2;
    DescribeConfigs = 32, flexible from 4;
    AlterConfigs = 33, flexible from 2;
    AlterReplicaLogDirs = 34, flexible from 2;
    DescribeLogDirs = 35, flexible from 2;
    SaslAuthenticate = 36, flexible from 2;
    CreatePartitions = 37, flexible from 2;
    CreateDelegationToken = 38, flexible from 2;
    RenewDelegationToken = 39, flexible from 2;
    ExpireDelegationToken = 40, flexible from 2;
    DescribeDelegationToken = 41, flexible from 2;
    DeleteGroups = 42, flexible from 2;
    ElectLeaders = 43, flexible from 2;
    IncrementalAlterConfigs = 44, flexible from 1;
    AlterPartitionReassignments = 45, flexible from 0;
    ListPartitionReassignments = 46, flexible from 0;
    OffsetDelete = 47, flexible from i16::MAX;
    DescribeClientQuotas = 48, flexible from 1;
    AlterClientQuotas = 49, flexible from 1;
    DescribeUserScramCredentials = 50, flexible from 0;
    AlterUserScramCredentials = 51, flexible from 0;
    Vote = 52, flexible from 0;
    BeginQuorumEpoch = 53, flexible from 1;
    EndQuorumEpoch = 54, flexible from 1;
    DescribeQuorum = 55, flexible from 0;
    AlterPartition = 56, flexible from 0;
    UpdateFeatures = 57, flexible from 0;
    Envelope = 58, flexible from 0;
    FetchSnapshot = 59, flexible from 0;
    DescribeCluster = 60, flexible from 0;
    DescribeProducers = 61, flexible from 0;
    BrokerRegistration = 62, flexible from 0;
    BrokerHeartbeat = 63, flexible from 0;
    UnregisterBroker = 64, flexible from 0;
    DescribeTransactions = 65, flexible from 0;
    ListTransactions = 66, flexible from 0;
    AllocateProducerIds = 67, flexible from 0;
    ConsumerGroupHeartbeat = 68, flexible from 0;
    ConsumerGroupDescribe = 69, flexible from 0;
    ControllerRegistration = 70, flexible from 0;
    GetTelemetrySubscriptions = 71, flexible from 0;
    PushTelemetry = 72, flexible from 0;
    AssignReplicasToDirs = 73, flexible from 0;
    ListConfigResources = 74, flexible from 0;
    DescribeTopicPartitions = 75, flexible from 0;
    ShareGroupHeartbeat = 76, flexible from 0;
    ShareGroupDescribe = 77, flexible from 0;
    ShareFetch = 78, flexible from 0;
    ShareAcknowledge = 79, flexible from 0;
    AddRaftVoter = 80, flexible from 0;
    RemoveRaftVoter = 81, flexible from 0;
    UpdateRaftVoter = 82, flexible from 0;
    InitializeShareGroupState = 83, flexible from 0;
    ReadShareGroupState = 84, flexible from 0;
    WriteShareGroupState = 85, flexible from 0;
    DeleteShareGroupState = 86, flexible from 0;
    ReadShareGroupStateSummary = 87, flexible from 0;
    StreamsGroupHeartbeat = 88, flexible from 0;
    StreamsGroupDescribe = 89, flexible from 0;
    DescribeShareGroupOffsets = 90, flexible from 0;
    AlterShareGroupOffsets = 91, flexible from 0;
    DeleteShareGroupOffsets = 92, flexible from 0;
    StreamsGroupTopologyDescriptionUpdate = 93, flexible from 0;
    UnregisterController = 94, flexible from 0;
}

impl ApiKey {
    /// The key on the wire.
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// Whether this version's strings and arrays are compact and its structures carry tagged fields.
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.first_flexible_version()
    }
}

impl TryFrom<i16> for ApiKey {
    type Error = UnknownApiKey;

    fn try_from(key: i16) -> Result<Self, UnknownApiKey> {
        Self::from_key(key).ok_or(UnknownApiKey(key))
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A key that no Kafka up to 4.3 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownApiKey(pub i16);

impl std::fmt::Display for UnknownApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown API key {}", self.0)
    }
}

impl std::error::Error for UnknownApiKey {}

/// An inclusive range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

impl Versions {
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions of this message that the wire can read and write. What a node advertises is
    /// its own choice within it.
    pub fn of<M: crate::messages::KafkaMessage>() -> Self {
        let range = M::SUPPORTED_VERSIONS;
        Self { min: range.min().value(), max: range.max().value() }
    }
}

/// The request header's version: 2 adds tagged fields, 1 has a client id, and 0, which has none, is
/// only spoken by the oldest ControlledShutdown.
pub const fn request_header_version(api: ApiKey, version: i16) -> i16 {
    if matches!(api, ApiKey::ControlledShutdown) && version == 0 {
        0
    } else if api.is_flexible(version) {
        2
    } else {
        1
    }
}

/// The response header's version: 1 adds tagged fields. ApiVersions stays at 0, because its client
/// does not know yet which versions the broker speaks.
pub const fn response_header_version(api: ApiKey, version: i16) -> i16 {
    if api.is_flexible(version) && !matches!(api, ApiKey::ApiVersions) { 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dense_and_found_again() {
        for (index, &api) in ApiKey::ALL.iter().enumerate() {
            assert_eq!(usize::try_from(api.key()), Ok(index));
            assert_eq!(ApiKey::try_from(api.key()), Ok(api));
        }
        assert_eq!(ApiKey::ALL.len(), 95);
        assert_eq!(ApiKey::try_from(95), Err(UnknownApiKey(95)));
        assert_eq!(ApiKey::try_from(-1), Err(UnknownApiKey(-1)));
    }

    /// The generated messages know on their own from which version they are flexible.
    #[test]
    fn flexible_versions_agree_with_the_messages() {
        for descriptor in crate::messages::API_DESCRIPTORS {
            let api = ApiKey::try_from(descriptor.api_key.value()).expect("a known key");
            let supported = descriptor.supported_versions;
            for version in supported.min().value()..=supported.max().value() {
                let flexible = descriptor
                    .flexible_versions
                    .is_some_and(|range| range.min().value() <= version && version <= range.max().value());
                assert_eq!(api.is_flexible(version), flexible, "{api} v{version}");
            }
        }
    }

    #[test]
    fn headers_follow_flexibility_with_two_exceptions() {
        assert_eq!(request_header_version(ApiKey::ControlledShutdown, 0), 0);
        assert_eq!(request_header_version(ApiKey::ControlledShutdown, 1), 1);
        assert_eq!(request_header_version(ApiKey::ApiVersions, 3), 2);
        assert_eq!(response_header_version(ApiKey::ApiVersions, 3), 0);
        assert_eq!(response_header_version(ApiKey::Produce, 8), 0);
        assert_eq!(response_header_version(ApiKey::Produce, 9), 1);
        assert_eq!(request_header_version(ApiKey::SaslHandshake, 1), 1);
    }
}
