//! Committed offsets, as they were last written and as they are safe.

use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_base::{Uuid, Wall};
use shore_wire::messages::StrBytes;
use shore_wire::records::group::OffsetCommitValue;

use super::call::WriteId;

/// The offsets of all groups of a shard.
#[derive(Clone, Debug, Default)]
pub(super) struct OffsetStore {
    groups: BTreeMap<Arc<str>, GroupOffsets>,
}

/// By topic and partition.
pub(super) type GroupOffsets = BTreeMap<Arc<str>, BTreeMap<i32, OffsetSlot>>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OffsetKey {
    pub group: Arc<str>,
    pub topic: Arc<str>,
    pub partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredOffset {
    pub offset: i64,
    /// -1 where the client gave none.
    pub leader_epoch: i32,
    pub metadata: Arc<str>,
    pub committed_at: Wall,
    /// Only of clients that asked for a retention of their own.
    pub expires_at: Option<Wall>,
    /// Zero in records of old brokers.
    pub topic_id: Uuid,
    /// Its place among the records of its shard: of two commits the later record counts.
    pub order: u64,
}

/// One offset through time. Invariant: `unsafe_values` is in the order of its writes.
#[derive(Clone, Debug, Default)]
pub(super) struct OffsetSlot {
    safe: Option<StoredOffset>,
    /// What writes under way make of it, oldest first; `None` is a tombstone.
    unsafe_values: Vec<(WriteId, Option<StoredOffset>)>,
}

impl OffsetSlot {
    /// What was last written, safe or not.
    pub fn latest(&self) -> Option<&StoredOffset> {
        match self.unsafe_values.last() {
            Some((_, value)) => value.as_ref(),
            None => self.safe.as_ref(),
        }
    }

    /// What no failure can take back.
    pub const fn safe(&self) -> Option<&StoredOffset> {
        self.safe.as_ref()
    }

    fn is_vacant(&self) -> bool {
        self.safe.is_none() && self.unsafe_values.is_empty()
    }
}

impl OffsetStore {
    pub fn put(&mut self, key: &OffsetKey, value: Option<StoredOffset>, write: Option<WriteId>) {
        let topics = match self.groups.get_mut(&key.group) {
            Some(topics) => topics,
            None => self.groups.entry(key.group.clone()).or_default(),
        };
        let partitions = match topics.get_mut(&key.topic) {
            Some(partitions) => partitions,
            None => topics.entry(key.topic.clone()).or_default(),
        };
        let slot = partitions.entry(key.partition).or_default();
        match write {
            Some(write) => slot.unsafe_values.push((write, value)),
            None => {
                slot.safe = value;
                self.prune(key);
            }
        }
    }

    /// The write is safe, and with it what it wrote.
    pub fn settle(&mut self, key: &OffsetKey, write: WriteId) {
        if let Some(slot) = self.slot(key) {
            while slot.unsafe_values.first().is_some_and(|(id, _)| *id <= write) {
                slot.safe = slot.unsafe_values.remove(0).1;
            }
            self.prune(key);
        }
    }

    /// The write failed, and all later ones with it.
    pub fn take_back(&mut self, key: &OffsetKey, write: WriteId) {
        if let Some(slot) = self.slot(key) {
            slot.unsafe_values.retain(|(id, _)| *id < write);
            self.prune(key);
        }
    }

    /// What was last written.
    pub fn latest(&self, key: &OffsetKey) -> Option<&StoredOffset> {
        self.groups.get(&key.group)?.get(&key.topic)?.get(&key.partition)?.latest()
    }

    pub fn of_group(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group)
    }

    /// What is stored for a topic under this id, or under none.
    pub fn of_topic(&self, name: &str, id: Uuid) -> impl Iterator<Item = OffsetKey> {
        let of_group = move |(group, topics): (&Arc<str>, &GroupOffsets)| {
            let (topic, partitions) = topics.get_key_value(name)?;
            let is_of_topic = |slot: &OffsetSlot| {
                slot.latest().is_some_and(|stored| stored.topic_id == Uuid::ZERO || stored.topic_id == id)
            };
            let key = |partition: i32| OffsetKey { group: group.clone(), topic: topic.clone(), partition };
            let keys = partitions.iter().filter(|(_, slot)| is_of_topic(slot)).map(|(partition, _)| key(*partition));
            Some(keys.collect::<Vec<_>>())
        };
        self.groups.iter().filter_map(of_group).flatten()
    }

    fn slot(&mut self, key: &OffsetKey) -> Option<&mut OffsetSlot> {
        self.groups.get_mut(&key.group)?.get_mut(&key.topic)?.get_mut(&key.partition)
    }

    /// Nothing is kept for what is gone.
    fn prune(&mut self, key: &OffsetKey) {
        let Some(topics) = self.groups.get_mut(&key.group) else { return };
        let Some(partitions) = topics.get_mut(&key.topic) else { return };
        if partitions.get(&key.partition).is_some_and(OffsetSlot::is_vacant) {
            partitions.remove(&key.partition);
            if partitions.is_empty() {
                topics.remove(&key.topic);
            }
            if topics.is_empty() {
                self.groups.remove(&key.group);
            }
        }
    }
}

impl From<OffsetCommitValue> for StoredOffset {
    fn from(value: OffsetCommitValue) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: Arc::from(value.metadata.as_str()),
            committed_at: Wall::from_millis(value.commit_timestamp),
            expires_at: (value.expire_timestamp != -1).then(|| Wall::from_millis(value.expire_timestamp)),
            topic_id: value.topic_id,
            order: 0,
        }
    }
}

impl StoredOffset {
    pub fn metadata(&self) -> StrBytes {
        if self.metadata.is_empty() { StrBytes::default() } else { StrBytes::from(&*self.metadata) }
    }
}
