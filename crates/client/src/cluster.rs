//! What a client knows of the cluster.

use shore_base::collections::BTreeMap;
use shore_wire::messages::{MetadataResponse, Uuid};

/// A topic's partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl core::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Brokers, and the topics that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub cluster_id: Option<String>,
    pub controller: i32,
    pub brokers: BTreeMap<i32, (String, u16)>,
    pub topics: BTreeMap<String, Topic>,
}

#[derive(Clone, Debug, Default)]
pub struct Topic {
    pub id: Uuid,
    /// Why the broker could not describe it; then there are no partitions.
    pub error: i16,
    /// By index.
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// -1 where there is none.
    pub leader: i32,
    pub leader_epoch: i32,
}

impl Cluster {
    pub fn partition_count(&self, topic: &str) -> Option<i32> {
        self.topics.get(topic).filter(|topic| topic.error == 0).map(|topic| topic.partitions.len() as i32)
    }

    /// The partition, if it has a leader.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<Partition> {
        let topic = self.topics.get(topic)?;
        topic.partitions.get(usize::try_from(partition).ok()?).copied().filter(|partition| partition.leader >= 0)
    }

    pub fn topic_id(&self, topic: &str) -> Uuid {
        self.topics.get(topic).map_or(Uuid::ZERO, |topic| topic.id)
    }

    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name.as_str())
    }

    /// Takes in an answer. What it does not speak of stays as it was. True if everything it speaks of was
    /// described without error and with leaders.
    pub(crate) fn update(&mut self, response: MetadataResponse) -> bool {
        self.cluster_id = response.cluster_id.map(|id| id.into_string());
        self.controller = response.controller_id;
        let broker = |broker: shore_wire::messages::metadata_response::MetadataResponseBroker| {
            (broker.node_id, (broker.host.into_string(), broker.port as u16))
        };
        self.brokers = response.brokers.into_iter().map(broker).collect();
        let mut whole = true;
        for topic in response.topics {
            let Some(name) = topic.name.map(|name| name.into_string()) else { continue };
            let known = self.topics.entry(name).or_default();
            let recreated = !topic.topic_id.is_zero() && topic.topic_id != known.id;
            known.error = topic.error_code;
            whole &= topic.error_code == 0;
            if topic.error_code != 0 {
                // A leader that is only out of reach for now is still the best guess.
                if !crate::error::is_retriable(topic.error_code) {
                    known.partitions.clear();
                }
                continue;
            }
            known.id = topic.topic_id;
            let none = Partition { leader: -1, leader_epoch: -1 };
            let old = core::mem::take(&mut known.partitions);
            known.partitions = vec![none; topic.partitions.len()];
            for partition in topic.partitions {
                let index = partition.partition_index as usize;
                let Some(slot) = known.partitions.get_mut(index) else { continue };
                let before = old.get(index).filter(|_| !recreated);
                let stale = before.is_some_and(|before| before.leader_epoch > partition.leader_epoch);
                *slot = match before {
                    // An older broker's view must not take back a newer leader.
                    Some(before) if stale && partition.leader_epoch >= 0 => *before,
                    _ => Partition { leader: partition.leader_id, leader_epoch: partition.leader_epoch },
                };
                whole &= slot.leader >= 0;
            }
        }
        whole
    }
}
