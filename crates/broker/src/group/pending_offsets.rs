//! Offsets that transactions which have not ended want to commit.

use std::sync::Arc;

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, BTreeSet};

use super::offset_store::{OffsetKey, StoredOffset};

/// Invariant: `open` holds exactly the keys of `producers`, and never an empty map.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingOffsets {
    producers: BTreeMap<i64, BTreeMap<OffsetKey, StoredOffset>>,
    /// By group: the producers with a transaction that may commit each partition.
    open: BTreeMap<Arc<str>, OpenTopics>,
}

/// By topic and partition.
type OpenTopics = BTreeMap<Arc<str>, BTreeMap<i32, BTreeSet<i64>>>;

/// Takes one change back.
#[derive(Clone, Debug)]
pub(super) struct PendingUndo {
    pub producer_id: i64,
    pub key: OffsetKey,
    pub before: Option<StoredOffset>,
}

impl PendingOffsets {
    pub fn put(&mut self, producer_id: i64, key: OffsetKey, value: StoredOffset) -> PendingUndo {
        let topics = self.open.entry(key.group.clone()).or_default();
        let producers = topics.entry(key.topic.clone()).or_default().entry(key.partition).or_default();
        producers.insert(producer_id);
        let before = self.producers.entry(producer_id).or_default().insert(key.clone(), value);
        PendingUndo { producer_id, key, before }
    }

    /// A tombstone takes what transactions have for the same partition along.
    pub fn remove(&mut self, key: &OffsetKey) -> Vec<PendingUndo> {
        let producers = self.producers_of(&key.group, &key.topic, key.partition).cloned().unwrap_or_default();
        let removed = producers.into_iter().map(|producer_id| {
            let before = self.remove_of(producer_id, key);
            PendingUndo { producer_id, key: key.clone(), before }
        });
        removed.collect()
    }

    /// The transaction has ended.
    pub fn take(&mut self, producer_id: i64) -> BTreeMap<OffsetKey, StoredOffset> {
        let taken = self.producers.remove(&producer_id).unwrap_or_default();
        for key in taken.keys() {
            self.close(producer_id, key);
        }
        taken
    }

    pub fn undo(&mut self, undo: PendingUndo) {
        match undo.before {
            Some(value) => drop(self.put(undo.producer_id, undo.key, value)),
            None => drop(self.remove_of(undo.producer_id, &undo.key)),
        }
    }

    pub fn has(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.producers_of(group, topic, partition).is_some()
    }

    pub fn has_group(&self, group: &str) -> bool {
        self.open.contains_key(group)
    }

    /// The partitions for which the group has pending offsets.
    pub fn of_group(&self, group: &str) -> impl Iterator<Item = (&Arc<str>, i32)> {
        let topics = self.open.get(group).into_iter().flatten();
        topics.flat_map(|(topic, partitions)| partitions.keys().map(move |partition| (topic, *partition)))
    }

    /// What is pending for a topic under this id, or under none.
    pub fn of_topic(&self, name: &str, id: Uuid) -> impl Iterator<Item = OffsetKey> {
        let is_of_topic = move |(key, value): &(&OffsetKey, &StoredOffset)| {
            *key.topic == *name && (value.topic_id == Uuid::ZERO || value.topic_id == id)
        };
        let keys = self.producers.values().flatten().filter(is_of_topic).map(|(key, _)| key.clone());
        keys.collect::<Vec<_>>().into_iter()
    }

    fn producers_of(&self, group: &str, topic: &str, partition: i32) -> Option<&BTreeSet<i64>> {
        self.open.get(group)?.get(topic)?.get(&partition)
    }

    fn remove_of(&mut self, producer_id: i64, key: &OffsetKey) -> Option<StoredOffset> {
        let keys = self.producers.get_mut(&producer_id)?;
        let removed = keys.remove(key);
        if keys.is_empty() {
            self.producers.remove(&producer_id);
        }
        self.close(producer_id, key);
        removed
    }

    fn close(&mut self, producer_id: i64, key: &OffsetKey) {
        let Some(topics) = self.open.get_mut(&key.group) else { return };
        let Some(partitions) = topics.get_mut(&key.topic) else { return };
        let Some(producers) = partitions.get_mut(&key.partition) else { return };
        producers.remove(&producer_id);
        if producers.is_empty() {
            partitions.remove(&key.partition);
        }
        if partitions.is_empty() {
            topics.remove(&key.topic);
        }
        if topics.is_empty() {
            self.open.remove(&key.group);
        }
    }
}
