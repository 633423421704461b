//! The machine: which partitions it leads, what is due, who is asked.

use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_base::{Instant, Wall};
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::records::transaction::TransactionRecord;

use super::call::TxnOutput;
use super::config::TxnConfig;
use super::metadata::TransactionMetadata;
use super::shard::{Effects, Shard, Timer};
use crate::group::{WriteId, partition_for};

/// All transactional ids of the `__transaction_state` partitions that this broker leads.
#[derive(Clone, Debug)]
pub struct TxnCoordinator {
    pub(super) fx: Effects,
    /// Shared with clones of the coordinator until it is written to.
    pub(super) shards: BTreeMap<i32, Arc<Shard>>,
}

impl TxnCoordinator {
    pub fn new(config: TxnConfig) -> Self {
        Self { fx: Effects::new(config), shards: BTreeMap::new() }
    }

    /// What is to be done next. Drain it after every call.
    pub fn poll(&mut self) -> Option<TxnOutput> {
        self.fx.outputs.pop_front()
    }

    /// Events are only built once this was called with `true`.
    pub const fn observe(&mut self, observed: bool) {
        self.fx.observed = observed;
    }

    /// Where a transactional id's records go.
    pub fn partition_for(&self, transactional_id: &str) -> i32 {
        partition_for(transactional_id, self.fx.config.partitions)
    }

    /// How many partitions `__transaction_state` really has, once it is there.
    pub const fn set_partitions(&mut self, partitions: i32) {
        self.fx.config.partitions = partitions;
    }

    // Loading

    /// This broker leads the partition from here on, in this epoch. Until [`Self::load_end`] its
    /// transactional ids answer COORDINATOR_LOAD_IN_PROGRESS.
    pub fn load_begin(&mut self, partition: i32, epoch: i32) {
        self.shards.insert(partition, Arc::new(Shard::new(partition, epoch, true)));
    }

    /// One record of the partition's log. A record that cannot be read changes nothing.
    pub fn apply(&mut self, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        let TransactionRecord::Transaction { transactional_id, value } = TransactionRecord::decode(key, value)? else {
            return Ok(());
        };
        let metadata = match value {
            Some(value) => {
                let status = i64::from(value.status);
                let invalid = DecodeError::Invalid { what: "state of a transaction", value: status };
                Some(TransactionMetadata::from_value(value).ok_or(invalid)?)
            }
            None => None,
        };
        if let Some(shard) = self.shards.get_mut(&partition) {
            Arc::make_mut(shard).apply(Arc::from(transactional_id.as_str()), metadata);
        }
        Ok(())
    }

    /// Everything is replayed. Transactions whose fate was settled go on to their end.
    pub fn load_end(&mut self, now: Instant, wall: Wall, partition: i32) {
        self.at(now, wall);
        if let Some(shard) = self.shards.get_mut(&partition) {
            Arc::make_mut(shard).resume(&mut self.fx);
        }
    }

    /// This broker no longer leads the partition: whoever waits is told NOT_COORDINATOR.
    pub fn unload(&mut self, now: Instant, wall: Wall, partition: i32) {
        self.at(now, wall);
        if let Some(shard) = self.shards.remove(&partition) {
            Arc::unwrap_or_clone(shard).unload(&mut self.fx);
        }
    }

    // Writes and time

    /// What became of a [`TxnOutput::Append`]. The later writes of a partition fail with the first.
    pub fn written(&mut self, now: Instant, wall: Wall, write: WriteId, result: Result<(), ErrorCode>) {
        self.at(now, wall);
        if let Some(shard) = self.shards.get_mut(&write.partition) {
            Arc::make_mut(shard).written(&mut self.fx, write, result);
        }
    }

    /// When [`Self::wake`] is due, and for what.
    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let (at, timer) = self.fx.timers.first()?;
        let reason = match timer {
            Timer::Abort => "transactions that take too long",
            Timer::Expire => "transactional ids that nobody uses",
            Timer::Retry { .. } => "markers are tried again",
        };
        Some((*at, reason))
    }

    /// `ids` are producer ids that may be given out.
    pub fn wake(&mut self, now: Instant, wall: Wall, ids: &mut std::ops::Range<i64>) {
        self.at(now, wall);
        while self.fx.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, timer)) = self.fx.timers.pop_first() else { break };
            match timer {
                Timer::Abort => self.abort_timed_out(ids),
                Timer::Expire => self.expire(),
                Timer::Retry { partition, transactional_id } => {
                    if let Some(shard) = self.shards.get_mut(&partition) {
                        Arc::make_mut(shard).retry(&mut self.fx, &transactional_id);
                    }
                }
            }
        }
    }

    pub(super) const fn at(&mut self, now: Instant, wall: Wall) {
        self.fx.now = now;
        self.fx.wall = wall;
    }

    /// The shard that answers for a transactional id, or why none does.
    pub(super) fn shard_of(&mut self, transactional_id: &str) -> Result<(&mut Shard, &mut Effects), ErrorCode> {
        match self.shards.get_mut(&partition_for(transactional_id, self.fx.config.partitions)) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(shard) => Ok((Arc::make_mut(shard), &mut self.fx)),
        }
    }

    /// The same, to look only.
    pub(super) fn peek_shard_of(&self, transactional_id: &str) -> Result<&Shard, ErrorCode> {
        match self.shards.get(&self.partition_for(transactional_id)) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(shard) => Ok(shard),
        }
    }
}
