//! A node as screens and tests see it: plain data, at one moment.

use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_base::{ConnId, NodeId, Uuid};
use shore_log::{AbortedTransaction, BatchHeader, Dirt, SegmentInfo};

use crate::broker::Broker;
use crate::config::{Check, ConfigMap, Kind, Source, TOPIC_CONFIGS, topic_value};
use crate::controller::Controller;
use crate::group::GroupView;
use crate::image::MetadataImage;
use crate::node::Role;
use crate::replica::{Partition, PartitionId};
use crate::topic_name;
use crate::txn::TransactionView;

/// How many of a partition's newest batches a view shows.
const BATCHES: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    pub node_id: NodeId,
    pub cluster_id: Uuid,
    /// Serves clients.
    pub is_ready: bool,
    pub controller: ControllerView,
    pub brokers: Vec<BrokerView>,
    pub features: BTreeMap<String, i16>,
    /// By name.
    pub topics: Vec<TopicView>,
    pub groups: Vec<GroupView>,
    pub transactions: Vec<TransactionView>,
    pub connections: Vec<ConnectionView>,
    pub store: StoreView,
}

/// The metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerView {
    pub epoch: i32,
    pub high_watermark: i64,
    pub end_offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerView {
    pub id: i32,
    pub epoch: i64,
    pub host: String,
    pub port: u16,
    pub is_fenced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TopicView {
    pub name: Arc<str>,
    pub id: Uuid,
    pub is_internal: bool,
    /// The topic's own configs.
    pub configs: BTreeMap<String, String>,
    pub partitions: Vec<PartitionView>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PartitionView {
    pub partition: i32,
    /// -1 is no leader.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// What this node's replica holds.
    pub log: Option<LogView>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogView {
    pub start_offset: i64,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    /// Up to here it is stored as the durability level wants it.
    pub durable_end: i64,
    pub end_offset: i64,
    /// Leader epochs and the offsets at which they began, oldest first.
    pub epochs: Vec<(i32, i64)>,
    pub size_bytes: u64,
    pub cached_bytes: u64,
    pub segments: Vec<SegmentInfo>,
    /// The newest, oldest first.
    pub batches: Vec<BatchHeader>,
    pub producers: Vec<ProducerView>,
    /// Transactions with records in these batches that were aborted.
    pub aborted: Vec<AbortedTransaction>,
    /// `None` for a log that is not compacted.
    pub cleaning: Option<CleaningView>,
    /// Fetches that wait here for records.
    pub waiting_fetches: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerView {
    pub producer_id: i64,
    pub epoch: i16,
    pub last_sequence: i32,
    pub last_offset: i64,
    pub last_timestamp: i64,
    /// The first offset of its open transaction.
    pub transaction_start: Option<i64>,
}

/// A compacted log as the log cleaner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleaningView {
    pub dirt: Dirt,
    pub is_under_way: bool,
}

/// A config of a topic, set or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfigView {
    pub name: &'static str,
    pub value: String,
    /// The topic has it of its own; otherwise the broker's is what counts.
    pub is_own: bool,
    /// The only values that are allowed, where they can be listed.
    pub choices: &'static [&'static str],
    pub documentation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    pub conn: ConnId,
    pub role: Role,
    pub peer: Arc<str>,
    /// Requests behind the one in service.
    pub waiting: usize,
    pub is_serving: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreView {
    pub is_writing: bool,
    /// Why the last write failed.
    pub failing: Option<String>,
}

pub(crate) fn controller(controller: &Controller) -> ControllerView {
    ControllerView {
        epoch: controller.epoch,
        high_watermark: controller.log.high_watermark(),
        end_offset: controller.log.end_offset(),
    }
}

pub(crate) fn brokers(image: &MetadataImage) -> Vec<BrokerView> {
    let view = |(&id, broker): (&i32, &crate::image::BrokerRegistration)| {
        let end_point = broker.end_points.first();
        BrokerView {
            id,
            epoch: broker.epoch,
            host: end_point.map_or_else(String::new, |end_point| end_point.host.clone()),
            port: end_point.map_or(0, |end_point| end_point.port),
            is_fenced: broker.fenced,
        }
    };
    image.brokers.iter().map(view).collect()
}

pub(crate) fn topics(broker: &Broker) -> Vec<TopicView> {
    let image = &broker.image;
    image
        .named_topics()
        .map(|(name, id, topic)| TopicView {
            name: name.clone(),
            id,
            is_internal: topic_name::is_internal(name),
            configs: image.topic_configs(name).cloned().unwrap_or_default(),
            partitions: topic
                .partitions
                .iter()
                .map(|record| PartitionView {
                    partition: record.partition,
                    leader: record.leader,
                    leader_epoch: record.leader_epoch,
                    replicas: record.replicas.clone(),
                    isr: record.isr.clone(),
                    log: broker
                        .replicas
                        .get(PartitionId { topic: id, partition: record.partition })
                        .map(|partition| log(broker, partition)),
                })
                .collect(),
        })
        .collect()
}

/// Every config that a topic has; `None` is one that does not exist yet and has none of its own.
pub(crate) fn topic_configs(broker: &Broker, topic: Option<&str>) -> Vec<TopicConfigView> {
    let own: Option<&ConfigMap> = topic.and_then(|name| broker.image.topic_configs(name));
    let dynamic = broker.image.dynamic_configs(broker.id());
    let view = |config: &'static crate::config::TopicConfig| {
        let (value, source) = topic_value(config, own, dynamic, &broker.settings);
        TopicConfigView {
            name: config.name,
            value,
            is_own: source == Source::DynamicTopic,
            choices: match (&config.check, config.kind) {
                (Check::OneOf(choices), _) => choices,
                (_, Kind::Boolean) => &["true", "false"],
                _ => &[],
            },
            documentation: config.documentation,
        }
    };
    TOPIC_CONFIGS.iter().map(view).collect()
}

fn log(broker: &Broker, partition: &Partition) -> LogView {
    let log = &partition.log;
    let batches = partition.newest_batches(BATCHES);
    let aborted = match batches.first() {
        Some(first) if batches.iter().any(BatchHeader::is_transactional) => {
            log.aborted_transactions(first.base_offset, log.end_offset())
        }
        _ => Vec::new(),
    };
    LogView {
        start_offset: log.start_offset(),
        high_watermark: log.high_watermark(),
        last_stable_offset: log.last_stable_offset(),
        durable_end: log.durable_end(),
        end_offset: log.end_offset(),
        epochs: log.epochs().to_vec(),
        size_bytes: log.size_bytes(),
        cached_bytes: log.cached_bytes(),
        segments: log.segments().collect(),
        batches,
        aborted,
        cleaning: broker.cleaning_view(partition),
        producers: log
            .producers()
            .iter()
            .map(|(producer_id, producer)| ProducerView {
                producer_id,
                epoch: producer.epoch,
                last_sequence: producer.last_batch().map_or(-1, |batch| batch.last_sequence),
                last_offset: producer.last_batch().map_or(-1, |batch| batch.last_offset),
                last_timestamp: producer.last_timestamp,
                transaction_start: producer.transaction_start,
            })
            .collect(),
        waiting_fetches: partition.fetches.len(),
    }
}
