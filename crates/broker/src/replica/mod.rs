//! The partitions of this broker.

pub(crate) mod partition;
pub(crate) mod session;

use std::sync::Arc;

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_log::storage::StoreOp;

pub(crate) use partition::{Partition, PartitionId, Stored, Waiter, directory_name};

/// Shared with clones of the node until they are written to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replicas {
    partitions: BTreeMap<PartitionId, Arc<Partition>>,
    /// Those with ops that no store has taken yet.
    dirty: BTreeSet<PartitionId>,
}

impl Replicas {
    pub fn get(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(&id).map(Arc::as_ref)
    }

    /// To be changed: what it emits goes into the next store.
    pub fn get_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        let partition = self.partitions.get_mut(&id)?;
        self.dirty.insert(id);
        Some(Arc::make_mut(partition))
    }

    /// To be changed in what is not on disk.
    pub fn get_soft(&mut self, id: PartitionId) -> Option<&mut Partition> {
        self.partitions.get_mut(&id).map(Arc::make_mut)
    }

    pub fn insert(&mut self, partition: Partition) {
        self.dirty.insert(partition.id);
        self.partitions.insert(partition.id, Arc::new(partition));
    }

    pub fn remove(&mut self, id: PartitionId) -> Option<Arc<Partition>> {
        self.dirty.remove(&id);
        self.partitions.remove(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.values().map(Arc::as_ref)
    }

    /// The ids after `after`, for work that goes on step by step.
    pub fn ids_after(&self, after: Option<PartitionId>) -> impl Iterator<Item = PartitionId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.partitions.range((from, Unbounded)).map(|(&id, _)| id)
    }

    pub fn of_topic(&self, topic: Uuid) -> impl Iterator<Item = &Partition> {
        let all = PartitionId { topic, partition: i32::MIN }..=PartitionId { topic, partition: i32::MAX };
        self.partitions.range(all).map(|(_, partition)| partition.as_ref())
    }

    /// Everything that has to be stored, and what storing it will cover.
    pub fn take_ops(&mut self, ops: &mut Vec<StoreOp>) -> Vec<Stored> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut covered = Vec::with_capacity(dirty.len());
        for id in dirty {
            let partition = Arc::make_mut(self.partitions.get_mut(&id).expect("dirty partitions exist"));
            ops.append(&mut partition.log.take_ops());
            covered.push(partition.mark());
        }
        covered
    }

    /// Whether the log is not durable up to what a store of this would cover.
    pub fn is_behind(&self, stored: &Stored) -> bool {
        self.get(stored.id).is_some_and(|partition| partition.is_behind(stored))
    }

    /// What has changed and not been stored yet.
    pub fn dirty_marks(&self) -> Vec<Stored> {
        self.dirty.iter().map(|id| self.partitions[id].mark()).collect()
    }

    pub fn dirty_ids(&self) -> Vec<PartitionId> {
        self.dirty.iter().copied().collect()
    }
}
