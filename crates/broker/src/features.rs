//! Features that a cluster can be at, as Apache Kafka 4.3.1 has them.

pub(crate) struct Feature {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
    /// The level that a new cluster is formatted with, if it is recorded.
    pub level: Option<i16>,
}

const fn feature(name: &'static str, min: i16, max: i16, level: Option<i16>) -> Feature {
    Feature { name, min, max, level }
}

pub(crate) const METADATA_VERSION: &str = "metadata.version";
pub(crate) const KRAFT_VERSION: &str = "kraft.version";
/// Whether partitions remember replicas that may lead though they are not in sync.
pub(crate) const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";

/// In the order in which a new cluster records them.
pub(crate) const FEATURES: &[Feature] = &[
    feature(METADATA_VERSION, 7, 30, Some(30)),
    feature(ELIGIBLE_LEADER_REPLICAS, 0, 1, Some(1)),
    feature("group.version", 0, 1, Some(1)),
    feature("share.version", 0, 1, Some(1)),
    feature("streams.version", 0, 1, Some(1)),
    feature("transaction.version", 0, 2, Some(2)),
    feature(KRAFT_VERSION, 0, 1, None),
];

/// The metadata versions that brought records or fields that an older one cannot read.
pub(crate) const METADATA_CHANGES: &[i16] = &[7, 8, 11, 13, 14, 15, 17, 23, 30];
