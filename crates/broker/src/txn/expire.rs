//! What time does: transactions that take too long are aborted, transactional ids that nobody uses are
//! forgotten.

use std::ops::Range;
use std::sync::Arc;

use shore_base::{Duration, Instant};

use super::coordinator::TxnCoordinator;
use super::end::EndReply;
use super::event::TxnEvent;
use super::shard::{Effects, Shard, Timer, Transaction};
use super::state::TransactionState;

/// Tombstones in one batch: well below any `max.message.bytes`.
const TOMBSTONES_PER_WRITE: usize = 1_000;

impl TxnCoordinator {
    pub(super) fn abort_timed_out(&mut self, ids: &mut Range<i64>) {
        let mut is_any_ongoing = false;
        for shard in self.shards.values_mut().filter(|shard| !shard.loading) {
            let ongoing = |transaction: &Transaction| transaction.metadata.state == TransactionState::Ongoing;
            is_any_ongoing |= shard.transactions.values().any(ongoing);
            for id in shard.timed_out(&self.fx) {
                let shard = Arc::make_mut(shard);
                let metadata = &shard.transactions[&id].metadata;
                let (producer_id, producer_epoch) = (metadata.producer_id, metadata.producer_epoch);
                self.fx.event(|| TxnEvent::TimedOut { transactional_id: id.clone(), producer_id, producer_epoch });
                shard.fence(&mut self.fx, &id, ids, EndReply::Timeout);
            }
        }
        if is_any_ongoing {
            self.fx.schedule_abort();
        }
    }

    pub(super) fn expire(&mut self) {
        let mut is_any_left = false;
        for shard in self.shards.values_mut().filter(|shard| !shard.loading) {
            is_any_left |= !shard.transactions.is_empty();
            let mut expired = shard.expired(&self.fx);
            while !expired.is_empty() {
                let rest = expired.split_off(expired.len().min(TOMBSTONES_PER_WRITE));
                Arc::make_mut(shard).propose_dead(&mut self.fx, std::mem::replace(&mut expired, rest));
            }
        }
        if is_any_left {
            self.fx.schedule_expiry();
        }
    }
}

impl Shard {
    fn timed_out(&self, fx: &Effects) -> Vec<Arc<str>> {
        self.find(|transaction| {
            let metadata = &transaction.metadata;
            // The longest timeout of all is that of a two-phase commit, which never times out.
            metadata.state == TransactionState::Ongoing
                && metadata.timeout_ms != i32::MAX
                && metadata.start_timestamp.saturating_add(i64::from(metadata.timeout_ms)) < fx.now_ms()
        })
    }

    fn expired(&self, fx: &Effects) -> Vec<Arc<str>> {
        let age = i64::try_from(fx.config.id_expiration.as_millis()).unwrap_or(i64::MAX);
        let oldest = fx.now_ms().saturating_sub(age);
        self.find(|transaction| {
            transaction.metadata.state.may_expire() && transaction.metadata.last_update_timestamp <= oldest
        })
    }

    fn find(&self, is_wanted: impl Fn(&Transaction) -> bool) -> Vec<Arc<str>> {
        let idle = self.transactions.iter().filter(|(_, transaction)| transaction.pending.is_none());
        idle.filter(|(_, transaction)| is_wanted(transaction)).map(|(id, _)| id.clone()).collect()
    }
}

impl Effects {
    /// There is an ongoing transaction: it is looked at with the next round.
    pub fn schedule_abort(&mut self) {
        self.schedule(Timer::Abort, self.config.abort_interval);
    }

    pub fn schedule_expiry(&mut self) {
        self.schedule(Timer::Expire, self.config.expire_interval);
    }

    /// Rounds are at multiples of their interval, and only while there is something to look at.
    fn schedule(&mut self, timer: Timer, interval: Duration) {
        let step = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let next = (self.now.as_millis() / step + 1).saturating_mul(step);
        self.timers.insert((Instant::from_millis(next), timer));
    }
}
