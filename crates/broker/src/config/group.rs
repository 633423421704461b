//! The configs of groups and of client metrics subscriptions, as Apache Kafka 4.3.1 has them.

use super::Kind::{self, *};

/// A config of a group.
#[derive(Debug)]
pub(crate) struct GroupConfig {
    pub name: &'static str,
    pub kind: Kind,
    /// Of the group config itself; the broker config that it falls back to has the same.
    pub default: &'static str,
    pub synonym: Option<&'static str>,
}

const fn group(name: &'static str, kind: Kind, default: &'static str, synonym: &'static str) -> GroupConfig {
    GroupConfig { name, kind, default, synonym: Some(synonym) }
}

const fn own(name: &'static str, kind: Kind, default: &'static str) -> GroupConfig {
    GroupConfig { name, kind, default, synonym: None }
}

/// Sorted by name.
#[rustfmt::skip]
pub(crate) const GROUP_CONFIGS: &[GroupConfig] = &[
    group("consumer.assignment.interval.ms", Int, "1000", "group.consumer.assignment.interval.ms"),
    group("consumer.heartbeat.interval.ms", Int, "5000", "group.consumer.heartbeat.interval.ms"),
    group("consumer.session.timeout.ms", Int, "45000", "group.consumer.session.timeout.ms"),
    group("share.assignment.interval.ms", Int, "1000", "group.share.assignment.interval.ms"),
    own("share.auto.offset.reset", Text, "latest"),
    group("share.delivery.count.limit", Int, "5", "group.share.delivery.count.limit"),
    group("share.heartbeat.interval.ms", Int, "5000", "group.share.heartbeat.interval.ms"),
    own("share.isolation.level", Text, "read_uncommitted"),
    group("share.partition.max.record.locks", Int, "2000", "group.share.partition.max.record.locks"),
    group("share.record.lock.duration.ms", Int, "30000", "group.share.record.lock.duration.ms"),
    own("share.renew.acknowledge.enable", Boolean, "true"),
    group("share.session.timeout.ms", Int, "45000", "group.share.session.timeout.ms"),
    group("streams.assignment.interval.ms", Int, "1000", "group.streams.assignment.interval.ms"),
    group("streams.heartbeat.interval.ms", Int, "5000", "group.streams.heartbeat.interval.ms"),
    group("streams.initial.rebalance.delay.ms", Int, "3000", "group.streams.initial.rebalance.delay.ms"),
    group("streams.num.standby.replicas", Int, "0", "group.streams.num.standby.replicas"),
    group("streams.session.timeout.ms", Int, "45000", "group.streams.session.timeout.ms"),
];

/// What a client metrics subscription can know a client by.
pub(crate) const CLIENT_METRICS_MATCHES: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// The configs of a client metrics subscription: name, type, default. Sorted by name.
pub(crate) const CLIENT_METRICS_CONFIGS: &[(&str, Kind, &str)] =
    &[("interval.ms", Int, "300000"), ("match", List, ""), ("metrics", List, "")];
