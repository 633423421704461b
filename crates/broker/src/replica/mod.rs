//! The partitions of this broker.

pub(crate) mod partition;
pub(crate) mod session;

use std::sync::Arc;

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_log::storage::{FileName, StoreOp};
use shore_log::{OffsetCheckpoint, START_OFFSET_CHECKPOINT};

pub(crate) use partition::{Partition, PartitionId, Stored, Waiter, directory_name};

/// Shared with clones of the node until they are written to.
#[derive(Clone, Debug)]
pub(crate) struct Replicas {
    /// The disk's.
    directory: FileName,
    partitions: BTreeMap<PartitionId, Arc<Partition>>,
    /// Those with ops that no store has taken yet.
    dirty: BTreeSet<PartitionId>,
    /// Where logs begin that begin within a segment, as it is recorded for the next start.
    starts: OffsetCheckpoint,
    is_start_unsaved: bool,
}

impl Replicas {
    pub fn new(directory: FileName, starts: OffsetCheckpoint) -> Self {
        Self { directory, partitions: BTreeMap::new(), dirty: BTreeSet::new(), starts, is_start_unsaved: false }
    }

    /// Where a log begins at the earliest.
    pub fn recorded_start(&self, name: &str) -> i64 {
        self.starts.get(name).unwrap_or(0)
    }

    /// A store failed: the record may not be there.
    pub fn starts_were_lost(&mut self) {
        self.is_start_unsaved = true;
    }

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
        let removed = self.partitions.remove(&id)?;
        self.is_start_unsaved |= self.starts.set(removed.log.directory().base_name(), None);
        Some(removed)
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
        // A log that begins with offset 0 is new: what is recorded of its name is another's. Otherwise the
        // record comes after what it tells of, or a crash in between would bring deleted records back.
        for id in &dirty {
            let log = &self.partitions[id].log;
            if log.start_offset() == 0 && self.starts.set(log.directory().base_name(), None) {
                self.is_start_unsaved = true;
            }
        }
        self.save_starts(ops);
        for id in dirty {
            let partition = Arc::make_mut(self.partitions.get_mut(&id).expect("dirty partitions exist"));
            ops.append(&mut partition.log.take_ops());
            covered.push(partition.mark());
            let (name, start) = (partition.log.directory().base_name(), partition.log.start_within_segment());
            self.is_start_unsaved |= self.starts.set(name, start);
        }
        self.save_starts(ops);
        covered
    }

    fn save_starts(&mut self, ops: &mut Vec<StoreOp>) {
        if std::mem::take(&mut self.is_start_unsaved) {
            let file = self.directory.join(START_OFFSET_CHECKPOINT);
            ops.push(StoreOp::Replace { file, bytes: self.starts.encode() });
        }
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
