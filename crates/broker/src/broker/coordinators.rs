//! What both coordinators need of their broker: their partitions are loaded when this broker leads them,
//! let go when it does not, and appended to.

use bytes::Bytes;
use shore_base::Uuid;
use shore_log::storage::ReadRange;
use shore_log::{AppendError, Appended, Read, VerificationGuard};
use shore_wire::batch::{BatchBuilder, BatchOptions, BatchView, ControlKind, batches};
use shore_wire::error::ErrorCode;
use shore_wire::messages::StrBytes;

use super::{Broker, LoadFor};
use crate::api::{Coordinators, text};
use crate::event::Event;
use crate::group::Records;
use crate::replica::{Partition, PartitionId, Waiter};
use crate::topic_name::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};

const LOAD_BYTES: usize = 1 << 20;
const LARGEST_RECORDS: usize = 64 << 20;

/// Whose state an internal topic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coordinator {
    Groups,
    Transactions,
}

impl Coordinator {
    const ALL: [Self; 2] = [Self::Groups, Self::Transactions];

    pub const fn topic(self) -> &'static str {
        match self {
            Self::Groups => OFFSETS_TOPIC,
            Self::Transactions => TRANSACTIONS_TOPIC,
        }
    }
}

/// A partition whose records are being replayed.
#[derive(Clone, Debug)]
pub(crate) struct CoordinatorLoad {
    coordinator: Coordinator,
    id: PartitionId,
    next_offset: i64,
}

impl Broker {
    /// A partition of a coordinator's topic, if the topic is there.
    pub fn internal_partition(&self, coordinator: Coordinator, partition: i32) -> Option<PartitionId> {
        Some(PartitionId { topic: self.image.topic_id(coordinator.topic())?, partition })
    }

    fn coordinator_of(&self, id: PartitionId) -> Option<Coordinator> {
        Coordinator::ALL.into_iter().find(|&of| self.internal_partition(of, id.partition) == Some(id))
    }

    /// This broker leads a partition from here on. If it is a coordinator's, what it holds is loaded.
    pub(super) fn leads(&mut self, id: PartitionId) {
        let Some(coordinator) = self.coordinator_of(id) else { return };
        let Some(replica) = self.replicas.get(id) else { return };
        let (next_offset, epoch) = (replica.log.start_offset(), replica.leader_epoch);
        let partitions = self.image.topics[&id.topic].partitions.len() as i32;
        match coordinator {
            Coordinator::Groups => {
                self.groups.set_partitions(partitions);
                self.groups.load_begin(id.partition);
            }
            Coordinator::Transactions => {
                self.transactions.set_partitions(partitions);
                self.transactions.load_begin(id.partition, epoch);
            }
        }
        self.load_coordinator(CoordinatorLoad { coordinator, id, next_offset });
    }

    /// Another broker leads it, or none.
    pub(super) fn leads_no_more(&mut self, id: PartitionId) {
        if let Some(coordinator) = self.coordinator_of(id) {
            self.unload(coordinator, id.partition);
        }
    }

    fn unload(&mut self, coordinator: Coordinator, partition: i32) {
        match coordinator {
            Coordinator::Groups => {
                self.groups.unload(self.now, self.wall, partition);
                self.drain_groups();
            }
            Coordinator::Transactions => {
                self.transactions.unload(self.now, self.wall, partition);
                self.drain_transactions();
            }
        }
    }

    /// Replays a partition as far as it is in memory, and loads the rest.
    pub fn load_coordinator(&mut self, mut load: CoordinatorLoad) {
        let (coordinator, partition) = (load.coordinator, load.id.partition);
        while let Some(log) = self.replicas.get(load.id).map(|partition| &partition.log) {
            let end = log.high_watermark();
            if load.next_offset >= end {
                break;
            }
            match log.read(load.next_offset, end, LOAD_BYTES, true) {
                Ok(Read::Load(ranges)) => {
                    let reads = ranges.clone();
                    return self.load(LoadFor::Coordinator { load, ranges }, reads);
                }
                Ok(Read::Ready { slices, next_offset, .. }) if next_offset > load.next_offset => {
                    load.next_offset = next_offset;
                    self.replay(coordinator, partition, &slices.concat());
                }
                Ok(Read::Ready { .. }) => break,
                Err(error) => {
                    self.log_line(format!("{}-{partition} cannot be loaded: {error:?}", coordinator.topic()));
                    break;
                }
            }
        }
        match coordinator {
            Coordinator::Groups => {
                self.groups.load_end(self.now, self.wall, partition);
                self.drain_groups();
            }
            Coordinator::Transactions => {
                self.transactions.load_end(self.now, self.wall, partition);
                self.drain_transactions();
            }
        }
    }

    pub(super) fn coordinator_loaded(&mut self, load: CoordinatorLoad, ranges: Vec<ReadRange>, bytes: &[Bytes]) {
        if let Some(partition) = self.replicas.get_soft(load.id) {
            partition.log.loaded(&ranges, bytes);
            self.loads.keep(None, ranges.into_iter().map(|range| (load.id, range)).collect());
        }
        self.load_coordinator(load);
    }

    fn replay(&mut self, coordinator: Coordinator, partition: i32, bytes: &[u8]) {
        let mut unreadable = 0;
        for batch in batches(bytes).map_while(Result::ok) {
            unreadable += match batch.is_control() {
                true => i32::from(!self.replay_marker(coordinator, partition, &batch)),
                false => self.replay_records(coordinator, partition, &batch),
            };
        }
        if unreadable > 0 {
            self.log_line(format!("{unreadable} records of {}-{partition} cannot be read", coordinator.topic()));
        }
    }

    /// Says how many records cannot be read.
    fn replay_records(&mut self, coordinator: Coordinator, partition: i32, batch: &BatchView<'_>) -> i32 {
        let Ok(records) = batch.records(LARGEST_RECORDS) else { return batch.count() };
        let producer_id = (batch.producer_id() >= 0).then(|| batch.producer_id());
        let mut unreadable = 0;
        for record in records.iter().map_while(Result::ok) {
            let key = record.key.unwrap_or_default();
            let applied = match coordinator {
                Coordinator::Groups => self.groups.apply(partition, producer_id, key, record.value),
                Coordinator::Transactions => self.transactions.apply(partition, key, record.value),
            };
            unreadable += i32::from(applied.is_err());
        }
        unreadable
    }

    /// Transactions end in `__consumer_offsets` as elsewhere. Says whether the marker could be read.
    fn replay_marker(&mut self, coordinator: Coordinator, partition: i32, batch: &BatchView<'_>) -> bool {
        let Ok(records) = batch.records(LARGEST_RECORDS) else { return false };
        let kind = records.iter().next().and_then(Result::ok).and_then(|record| ControlKind::of(&record));
        match kind {
            Some(kind @ (ControlKind::Commit | ControlKind::Abort)) if coordinator == Coordinator::Groups => {
                self.groups.apply_marker(partition, batch.producer_id(), kind == ControlKind::Commit);
            }
            _ => {}
        }
        true
    }

    /// A deleted topic's committed offsets go with it, and a coordinator's state with its topic.
    pub(super) fn coordinators_forget_topic(&mut self, name: &str, id: Uuid) {
        let Some(coordinator) = Coordinator::ALL.into_iter().find(|coordinator| coordinator.topic() == name) else {
            self.groups.topic_deleted(self.now, self.wall, name, id);
            return self.drain_groups();
        };
        for partition in 0..self.partition_count(coordinator) {
            self.unload(coordinator, partition);
        }
    }

    /// How many partitions a coordinator's topic has, or will have.
    pub fn partition_count(&self, coordinator: Coordinator) -> i32 {
        let configured = || match coordinator {
            Coordinator::Groups => self.settings.int("offsets.topic.num.partitions"),
            Coordinator::Transactions => self.settings.int("transaction.state.log.num.partitions"),
        };
        self.image.topic(coordinator.topic()).map_or_else(configured, |(_, topic)| topic.partitions.len() as i32)
    }

    /// Appends a coordinator's records; `waiter` is told when they are safe.
    pub(super) fn append_for(
        &mut self,
        coordinator: Coordinator,
        partition: i32,
        waiter: impl FnOnce(i64) -> Waiter,
        append: impl FnOnce(&mut Partition) -> Result<Appended, AppendError>,
    ) -> Result<(), ErrorCode> {
        let id = self.internal_partition(coordinator, partition).ok_or(ErrorCode::NotCoordinator)?;
        let replica = self.leading_mut(id)?;
        let appended = append(replica).map_err(|error| error.code)?;
        replica.wait(appended.last_offset + 1, waiter(appended.last_offset));
        self.emit(|| Event::Appended {
            topic: coordinator.topic().into(),
            partition,
            base_offset: appended.base_offset,
            last_offset: appended.last_offset,
            bytes: appended.bytes,
        });
        Ok(())
    }

    /// Likewise, for plain records or those of a transaction.
    pub(super) fn append_records_for(
        &mut self,
        coordinator: Coordinator,
        partition: i32,
        records: &Records,
        (options, guard): (BatchOptions, Option<VerificationGuard>),
        waiter: impl FnOnce(i64) -> Waiter,
    ) -> Result<(), ErrorCode> {
        let wall = self.wall;
        let mut batch = BatchBuilder::new(options);
        for (key, value) in records {
            batch.append(wall.as_millis(), Some(key), value.as_deref(), []);
        }
        let batch = batch.finish();
        self.append_for(coordinator, partition, waiter, |replica| replica.append_internal(&batch, guard, wall))
    }
}

impl Coordinators for Broker {
    fn partitions(&mut self, coordinator: Coordinator) -> Option<i32> {
        if let Some((_, topic)) = self.image.topic(coordinator.topic()) {
            return Some(topic.partitions.len() as i32);
        }
        self.create_automatically(vec![coordinator.topic().to_owned()]);
        None
    }

    fn leader(&self, coordinator: Coordinator, partition: i32) -> Option<(i32, StrBytes, i32)> {
        let id = self.internal_partition(coordinator, partition)?;
        let leader = self.image.partition(id.topic, partition)?.leader;
        let end_point = self.image.brokers.get(&leader)?.end_points.first()?;
        Some((leader, text(&end_point.host), end_point.port.into()))
    }
}
