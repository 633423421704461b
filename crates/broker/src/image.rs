//! What the metadata log says: the cluster's brokers, topics, configs, features and producer ids.
//!
//! The controller and every broker hold one, each built by nothing but [`MetadataImage::apply`] and
//! [`MetadataImage::apply_control`].

use std::sync::Arc;

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, sort_by};
use shore_wire::batch::{ControlKind, Record};
use shore_wire::records::metadata::{
    ClientQuotaRecord, EndPoint, MetadataRecord, PartitionRecord, RegisterBrokerRecord,
};

use crate::config::alter::{BROKER, TOPIC};
use crate::config::{ConfigMap, Dynamic};
use crate::features::KRAFT_VERSION;

/// The state of the cluster at one offset of the metadata log.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetadataImage {
    pub features: BTreeMap<String, i16>,
    pub brokers: BTreeMap<i32, BrokerRegistration>,
    pub topics: BTreeMap<Uuid, Topic>,
    /// Invariant: holds exactly the names and ids of `topics`.
    names: BTreeMap<Arc<str>, Uuid>,
    /// By resource type and name.
    configs: BTreeMap<(i8, String), ConfigMap>,
    /// What an entity may use, by Kafka's name for it.
    pub quotas: BTreeMap<(QuotaEntity, String), f64>,
    pub next_producer_id: i64,
    /// What an abort goes back to, while there is a transaction of the controller.
    before: Option<Box<Self>>,
}

/// Whom a quota is about: kinds (`client-id`, `user`, `ip`) in their order, each with a name or, without one, as the
/// default of its kind.
pub(crate) type QuotaEntity = Vec<(String, Option<String>)>;

#[derive(Clone, Debug)]
pub(crate) struct BrokerRegistration {
    pub epoch: i64,
    pub incarnation_id: Uuid,
    pub end_points: Vec<EndPoint>,
    pub rack: Option<String>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub log_dirs: Vec<Uuid>,
}

#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub name: Arc<str>,
    /// Invariant: partition `n` is at index `n`.
    pub partitions: Vec<PartitionRecord>,
}

impl MetadataImage {
    /// The one way in which it changes.
    pub fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::RegisterBroker(record) => {
                self.brokers.insert(record.broker_id, BrokerRegistration::from(record));
            }
            MetadataRecord::UnregisterBroker { broker_id, .. } => {
                self.brokers.remove(broker_id);
            }
            MetadataRecord::BrokerRegistrationChange(change) => {
                if let Some(broker) = self.brokers.get_mut(&change.broker_id) {
                    broker.fenced = changed(broker.fenced, change.fenced);
                    broker.in_controlled_shutdown =
                        changed(broker.in_controlled_shutdown, change.in_controlled_shutdown);
                }
            }
            MetadataRecord::Topic { name, topic_id } => {
                let name: Arc<str> = name.as_str().into();
                self.names.insert(name.clone(), *topic_id);
                self.topics.insert(*topic_id, Topic { name, partitions: Vec::new() });
            }
            MetadataRecord::Partition(partition) => {
                if let Some(topic) = self.topics.get_mut(&partition.topic_id) {
                    let index = partition.partition.max(0) as usize;
                    match topic.partitions.get_mut(index) {
                        Some(known) => *known = partition.clone(),
                        None => topic.partitions.push(partition.clone()),
                    }
                }
            }
            MetadataRecord::PartitionChange(change) => {
                let topic = self.topics.get_mut(&change.topic_id);
                let index = change.partition.max(0) as usize;
                if let Some(partition) = topic.and_then(|topic| topic.partitions.get_mut(index)) {
                    partition.partition_epoch += 1;
                    if let Some(isr) = &change.isr {
                        partition.isr = isr.clone();
                    }
                    if let Some(leader) = change.leader {
                        partition.leader = leader;
                        partition.leader_epoch += 1;
                    }
                    if let Some(replicas) = &change.replicas {
                        partition.replicas = replicas.clone();
                    }
                    if let Some(removing) = &change.removing_replicas {
                        partition.removing_replicas = removing.clone();
                    }
                    if let Some(adding) = &change.adding_replicas {
                        partition.adding_replicas = adding.clone();
                    }
                    if let Some(state) = change.leader_recovery_state {
                        partition.leader_recovery_state = state;
                    }
                    if let Some(eligible) = &change.eligible_leader_replicas {
                        partition.eligible_leader_replicas = Some(eligible.clone());
                    }
                    if let Some(last_known) = &change.last_known_elr {
                        partition.last_known_elr = Some(last_known.clone());
                    }
                    if let Some(directories) = &change.directories {
                        partition.directories = directories.clone();
                    }
                }
            }
            MetadataRecord::Config(config) => {
                let resource = (config.resource_type, config.resource_name.clone());
                let configs = self.configs.entry(resource.clone()).or_default();
                match &config.value {
                    Some(value) => {
                        configs.insert(config.name.clone(), value.clone());
                    }
                    None => {
                        configs.remove(&config.name);
                    }
                }
                if configs.is_empty() {
                    self.configs.remove(&resource);
                }
            }
            MetadataRecord::RemoveTopic { topic_id } => {
                if let Some(topic) = self.topics.remove(topic_id) {
                    self.names.remove(&topic.name);
                    self.configs.remove(&(TOPIC, topic.name.to_string()));
                }
            }
            MetadataRecord::FeatureLevel { name, level: 0 } => {
                self.features.remove(name);
            }
            MetadataRecord::FeatureLevel { name, level } => {
                self.features.insert(name.clone(), *level);
            }
            MetadataRecord::ClientQuota(ClientQuotaRecord { entity, key, value }) => {
                let mut entity = entity.clone();
                sort_by(&mut entity, Ord::cmp);
                let key = (entity, key.clone());
                match value {
                    Some(value) => self.quotas.insert(key, *value),
                    None => self.quotas.remove(&key),
                };
            }
            MetadataRecord::ProducerIds { next_producer_id, .. } => self.next_producer_id = *next_producer_id,
            MetadataRecord::ClearElr { topic: name } => {
                for topic in self.topics.values_mut().filter(|topic| name.is_empty() || *topic.name == **name) {
                    for partition in &mut topic.partitions {
                        partition.eligible_leader_replicas = None;
                        partition.last_known_elr = None;
                    }
                }
            }
            MetadataRecord::BeginTransaction { .. } => self.before = Some(Box::new(self.clone())),
            MetadataRecord::EndTransaction => self.before = None,
            MetadataRecord::AbortTransaction { .. } => {
                if let Some(before) = self.before.take() {
                    *self = *before;
                }
            }
            MetadataRecord::NoOp | MetadataRecord::RegisterController(_) => {}
        }
    }

    /// The level that a feature is at; 0 is one that is not in use.
    /// Applies a record of the quorum's own, of which only the version and the number of its voters matter here.
    pub fn apply_control(&mut self, record: &Record<'_>) -> Result<(), String> {
        match (ControlKind::of(record), record.value.unwrap_or_default()) {
            (Some(ControlKind::KRaftVersion), &[_, _, high, low, ..]) => {
                self.features.insert(KRAFT_VERSION.to_owned(), i16::from_be_bytes([high, low]));
            }
            // The length of an array is written as one more.
            (Some(ControlKind::KRaftVoters), &[_, _, 3..=u8::MAX, ..]) => {
                return Err("the quorum has several voters: only a cluster of one node can be opened".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.names.get(name).copied()
    }

    pub fn topic(&self, name: &str) -> Option<(Uuid, &Topic)> {
        let id = self.topic_id(name)?;
        Some((id, &self.topics[&id]))
    }

    /// The topics by name.
    pub fn named_topics(&self) -> impl Iterator<Item = (&Arc<str>, Uuid, &Topic)> {
        self.names.iter().map(|(name, &id)| (name, id, &self.topics[&id]))
    }

    pub fn partition(&self, topic_id: Uuid, partition: i32) -> Option<&PartitionRecord> {
        self.topics.get(&topic_id)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// What was configured of a resource.
    pub fn configs(&self, resource_type: i8, name: &str) -> Option<&ConfigMap> {
        self.configs.get(&(resource_type, name.to_owned()))
    }

    /// The resources of a type that something was configured of, by name.
    pub fn configured(&self, resource_type: i8) -> impl Iterator<Item = &str> {
        let from = (resource_type, String::new());
        self.configs.range(from..).map_while(move |((kind, name), _)| (*kind == resource_type).then_some(name.as_str()))
    }

    pub fn topic_configs(&self, name: &str) -> Option<&ConfigMap> {
        self.configs(TOPIC, name)
    }

    /// A broker's dynamic configs: its own, and below them those that all brokers have.
    pub fn dynamic_configs(&self, broker: i32) -> Dynamic<'_> {
        Dynamic { own: self.configs(BROKER, &broker.to_string()), all: self.configs(BROKER, "") }
    }

    pub fn live_brokers(&self) -> impl Iterator<Item = (i32, &BrokerRegistration)> {
        self.brokers.iter().filter(|(_, broker)| !broker.fenced).map(|(&id, broker)| (id, broker))
    }
}

impl From<&RegisterBrokerRecord> for BrokerRegistration {
    fn from(record: &RegisterBrokerRecord) -> Self {
        Self {
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            end_points: record.end_points.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.clone(),
        }
    }
}

/// A flag after a change: 1 sets, -1 clears.
fn changed(flag: bool, change: i8) -> bool {
    match change {
        1 => true,
        -1 => false,
        _ => flag,
    }
}

#[cfg(test)]
mod tests {
    use shore_wire::records::metadata::PartitionChangeRecord;

    use super::*;

    const TOPIC_ID: Uuid = Uuid([1; 16]);

    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        image.apply(&MetadataRecord::Topic { name: "t".into(), topic_id: TOPIC_ID });
        image.apply(&MetadataRecord::Partition(PartitionRecord {
            topic_id: TOPIC_ID,
            replicas: vec![1, 2],
            isr: vec![1],
            leader: 1,
            eligible_leader_replicas: Some(vec![2]),
            ..PartitionRecord::default()
        }));
        image
    }

    #[test]
    fn an_aborted_transaction_of_the_controller_has_not_been() {
        let mut image = image();
        image.apply(&MetadataRecord::BeginTransaction { name: None });
        image.apply(&MetadataRecord::RemoveTopic { topic_id: TOPIC_ID });
        image.apply(&MetadataRecord::AbortTransaction { reason: None });
        assert_eq!(image.topic_id("t"), Some(TOPIC_ID));
        image.apply(&MetadataRecord::BeginTransaction { name: None });
        image.apply(&MetadataRecord::RemoveTopic { topic_id: TOPIC_ID });
        image.apply(&MetadataRecord::EndTransaction);
        image.apply(&MetadataRecord::AbortTransaction { reason: None });
        assert_eq!(image.topic_id("t"), None, "what has ended is not aborted");
    }

    #[test]
    fn a_change_says_only_what_is_new() {
        let mut image = image();
        image.apply(&MetadataRecord::PartitionChange(PartitionChangeRecord {
            topic_id: TOPIC_ID,
            replicas: Some(vec![1, 3]),
            adding_replicas: Some(vec![3]),
            ..PartitionChangeRecord::default()
        }));
        let changed = image.partition(TOPIC_ID, 0).expect("it is there");
        assert_eq!((&*changed.replicas, &*changed.adding_replicas, &*changed.isr), (&[1, 3][..], &[3][..], &[1][..]));
        assert_eq!((changed.leader, changed.leader_epoch, changed.partition_epoch), (1, 0, 1));
        image.apply(&MetadataRecord::ClearElr { topic: "t".into() });
        assert_eq!(image.partition(TOPIC_ID, 0).expect("it is there").eligible_leader_replicas, None);
    }
}
