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

/// In the order in which a new cluster records them.
pub(crate) const FEATURES: &[Feature] = &[
    feature("metadata.version", 7, 30, Some(30)),
    feature("eligible.leader.replicas.version", 0, 1, Some(1)),
    feature("group.version", 0, 1, Some(1)),
    feature("share.version", 0, 1, Some(1)),
    feature("streams.version", 0, 1, Some(1)),
    feature("transaction.version", 0, 2, Some(2)),
    feature("kraft.version", 0, 1, None),
];
