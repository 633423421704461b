//! One partition that this broker leads: its log, and who waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use shore_base::collections::BTreeSet;
use shore_base::{Uuid, Wall};
use shore_log::storage::FileName;
use shore_log::{AppendError, Appended, BatchHeader, Log, LogConfig, Origin, VerificationGuard};
use shore_wire::error::ErrorCode;

use crate::api::RequestId;
use crate::group::WriteId;

/// A partition by its topic's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartitionId {
    pub topic: Uuid,
    pub partition: i32,
}

/// Whoever waits until a log is durable up to an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A Produce request; `slot` is the place of this partition in its response.
    Produce { request: RequestId, slot: usize },
    /// A write of the group coordinator.
    Group { write: WriteId, last_offset: i64 },
    /// One of the transaction coordinator.
    Transaction { write: WriteId },
    /// A WriteTxnMarkers request; `slot` is the place of this marker in it.
    Marker { request: RequestId, slot: usize },
}

/// A partition of this broker. The high watermark of a single replica is its durable end.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub topic: Arc<str>,
    pub id: PartitionId,
    pub log: Log,
    pub leader_id: i32,
    pub leader_epoch: i32,
    /// By log end, ascending.
    waiters: VecDeque<(i64, Waiter)>,
    /// Fetches that wait for the high watermark to move.
    pub fetches: BTreeSet<RequestId>,
    /// Bytes ever appended, and how many of them had been when the last store began and ended: what
    /// the high watermark passes counts towards `fetch.min.bytes`.
    appended_bytes: u64,
    stored_bytes: u64,
}

/// What a store covered of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub id: PartitionId,
    end: i64,
    bytes: u64,
}

impl Partition {
    pub fn create(topic: Arc<str>, id: PartitionId, dir: FileName, config: LogConfig, wall: Wall) -> Self {
        let mut log = Log::create(dir, config, wall);
        log.set_topic_id(id.topic);
        Self::new(topic, id, log)
    }

    /// A partition whose log was recovered: all of it is durable, and with a single replica committed.
    pub fn recovered(topic: Arc<str>, id: PartitionId, mut log: Log) -> Self {
        log.set_high_watermark(log.end_offset());
        Self::new(topic, id, log)
    }

    fn new(topic: Arc<str>, id: PartitionId, log: Log) -> Self {
        Self {
            topic,
            id,
            log,
            leader_id: -1,
            leader_epoch: -1,
            waiters: VecDeque::new(),
            fetches: BTreeSet::new(),
            appended_bytes: 0,
            stored_bytes: 0,
        }
    }

    /// Begins to lead in this epoch.
    pub fn lead(&mut self, leader: i32, epoch: i32) {
        if epoch > self.leader_epoch {
            (self.leader_id, self.leader_epoch) = (leader, epoch);
            self.log.begin_epoch(epoch);
        }
    }

    /// Whether a client that knows this leader epoch may be served; -1 knows none.
    pub fn check_epoch(&self, known: i32) -> Result<(), ErrorCode> {
        match known {
            ..0 => Ok(()),
            _ if known < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            _ if known > self.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Appends a batch of a Produce request; the first of a transaction comes with its guard.
    pub fn append_produced(
        &mut self,
        records: &[u8],
        guard: Option<VerificationGuard>,
        wall: Wall,
    ) -> Result<Appended, AppendError> {
        self.append(records, Origin::Client { leader_epoch: self.leader_epoch, guard }, wall)
    }

    /// Appends records of a coordinator, likewise.
    pub fn append_internal(
        &mut self,
        records: &[u8],
        guard: Option<VerificationGuard>,
        wall: Wall,
    ) -> Result<Appended, AppendError> {
        self.append(records, Origin::Coordinator { leader_epoch: self.leader_epoch, guard }, wall)
    }

    /// Ends a transaction of a producer here.
    pub fn append_marker(
        &mut self,
        marker: &[u8],
        transaction_version: i16,
        wall: Wall,
    ) -> Result<Appended, AppendError> {
        self.append(marker, Origin::Marker { leader_epoch: self.leader_epoch, transaction_version }, wall)
    }

    fn append(&mut self, records: &[u8], origin: Origin, wall: Wall) -> Result<Appended, AppendError> {
        if self.log.overdue_bytes() >= MOST_OVERDUE_BYTES {
            let message = format!("The store of partition {} fails.", self.log.directory().base_name());
            return Err(AppendError::new(ErrorCode::KafkaStorageError, message));
        }
        let appended = self.log.append(records, origin, wall)?;
        self.appended_bytes += appended.bytes as u64;
        Ok(appended)
    }

    /// The newest batches that are in memory, oldest first.
    pub fn newest_batches(&self, most: usize) -> Vec<BatchHeader> {
        let end = self.log.end_offset();
        // A batch holds at least one record, and many hold more: look back further until there are enough.
        let mut reach = most as i64;
        loop {
            let from = (end - reach).max(self.log.start_offset());
            let mut found = self.log.batches(from, end, LOOK_BACK);
            if found.len() >= most || from <= self.log.start_offset() || reach >= LOOK_BACK as i64 {
                return found.split_off(found.len().saturating_sub(most));
            }
            reach *= 8;
        }
    }

    /// Whether the log is committed up to `end`.
    pub fn is_committed(&self, end: i64) -> bool {
        self.log.high_watermark() >= end
    }

    pub fn wait(&mut self, end: i64, waiter: Waiter) {
        // A retry of a batch that is still on its way waits for an end in the middle.
        let at = self.waiters.partition_point(|&(other, _)| other <= end);
        self.waiters.insert(at, (end, waiter));
    }

    pub fn forget(&mut self, request: RequestId) {
        self.waiters.retain(|(_, waiter)| match waiter {
            Waiter::Produce { request: by, .. } | Waiter::Marker { request: by, .. } => *by != request,
            Waiter::Group { .. } | Waiter::Transaction { .. } => true,
        });
        self.fetches.remove(&request);
    }

    /// What the next store covers.
    pub fn mark(&self) -> Stored {
        Stored { id: self.id, end: self.log.end_offset(), bytes: self.appended_bytes }
    }

    pub fn is_behind(&self, stored: &Stored) -> bool {
        self.log.durable_end() < stored.end
    }

    /// The log is durable as far as this says: moves the high watermark, and says who waited for that and by
    /// how many bytes it moved.
    pub fn durable(&mut self, stored: Stored) -> (Vec<Waiter>, u64) {
        self.log.mark_durable(stored.end);
        self.log.set_high_watermark(self.log.durable_end());
        let durable = self.log.durable_end();
        let due = self.waiters.partition_point(|&(end, _)| end <= durable);
        let done = self.waiters.drain(..due).map(|(_, waiter)| waiter).collect();
        let passed = stored.bytes.saturating_sub(self.stored_bytes);
        self.stored_bytes = self.stored_bytes.max(stored.bytes);
        (done, passed)
    }

    /// A store of this is done.
    pub fn stored(&mut self, stored: Stored) {
        self.log.mark_stored(stored.end);
    }

    /// A store failed: the log goes back to its durable end. Says whose records are gone.
    pub fn store_failed(&mut self) -> Vec<Waiter> {
        self.log.store_failed();
        self.appended_bytes = self.stored_bytes;
        self.waiters.drain(..).map(|(_, waiter)| waiter).collect()
    }
}

/// What a log whose store fails may hold in memory alone (where nothing waits for the store) before it
/// refuses more.
const MOST_OVERDUE_BYTES: u64 = 16 << 20;

/// The most records, and batches, that a look at the newest batches goes back.
const LOOK_BACK: usize = 1 << 15;

/// A partition's directory: `orders-0`.
pub(crate) fn directory_name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}
