//! Offsets that are no longer wanted: expired, or of a deleted topic. Groups that are empty and have
//! none left go too.

use std::sync::Arc;

use shore_base::collections::BTreeSet;
use shore_base::{Duration, Uuid, Wall};
use shore_wire::records::group::GroupRecord;

use super::classic::Group;
use super::coordinator::GroupCoordinator;
use super::delete::{group_tombstone, offset_tombstone};
use super::event::GroupEvent;
use super::offset_store::{OffsetKey, StoredOffset};
use super::shard::{Effects, Proposal, Shard, Then};
use super::state::StateName;
use super::timer::Timer;

/// Tombstones in one batch: well below any `max.message.bytes`.
const TOMBSTONES_PER_WRITE: usize = 1_000;

impl GroupCoordinator {
    pub(super) fn schedule_retention(&mut self) {
        let due = self.fx.now + self.fx.config.offsets_retention_check_interval;
        self.retention = Some(self.fx.timers.set(due, Timer::Retention));
    }

    pub(super) fn expire(&mut self) {
        for shard in self.shards.values_mut().filter(|shard| !shard.loading) {
            let tombstones = shard.expired(&mut self.fx);
            if !tombstones.is_empty() {
                Arc::make_mut(shard).propose_all(&mut self.fx, tombstones);
            }
        }
        self.schedule_retention();
    }
}

impl Shard {
    pub fn delete_topic(&mut self, fx: &mut Effects, name: &str, id: Uuid) {
        let keys: BTreeSet<OffsetKey> =
            self.offsets.of_topic(name, id).chain(self.pending.of_topic(name, id)).collect();
        let tombstones = keys.iter().map(|key| offset_tombstone(&key.group, &key.topic, key.partition)).collect();
        self.propose_all(fx, tombstones);
    }

    pub fn has_topic(&self, name: &str, id: Uuid) -> bool {
        self.offsets.of_topic(name, id).chain(self.pending.of_topic(name, id)).next().is_some()
    }

    fn expired(&self, fx: &mut Effects) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for group in self.groups.values() {
            let before = records.len();
            let all_gone = self.expired_of_group(fx, group, &mut records);
            let partitions = (records.len() - before) as u32;
            if partitions > 0 {
                fx.event(|| GroupEvent::OffsetsExpired { group: group.id.clone(), partitions });
            }
            if all_gone && group.is(StateName::Empty) {
                records.push(group_tombstone(group));
            }
        }
        records
    }

    /// Adds tombstones for what expired; true if nothing is left.
    fn expired_of_group(&self, fx: &Effects, group: &Group, records: &mut Vec<GroupRecord>) -> bool {
        // A group stays while a transaction may still commit offsets for it.
        let is_in_transaction = self.pending.has_group(&group.id);
        let Some(topics) = self.offsets.of_group(&group.id) else { return !is_in_transaction };
        let Some(clock) = RetentionClock::of(group) else { return false };
        let mut all_gone = !is_in_transaction;
        for (topic, partitions) in topics {
            let wanted = group.is_subscribed_to(topic);
            for (partition, slot) in partitions {
                let Some(stored) = slot.latest() else { continue };
                let is_pending = is_in_transaction && self.pending.has(&group.id, topic, *partition);
                if wanted || is_pending || !clock.is_over(stored, fx.wall, fx.config.offsets_retention) {
                    all_gone = false;
                    continue;
                }
                records.push(offset_tombstone(&group.id, topic, *partition));
            }
        }
        all_gone
    }

    pub fn propose_all(&mut self, fx: &mut Effects, mut records: Vec<GroupRecord>) {
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(TOMBSTONES_PER_WRITE));
            let records = std::mem::replace(&mut records, rest);
            self.propose(fx, Proposal { records, then: Then::Nothing });
        }
    }
}

/// From when on an offset's retention counts.
enum RetentionClock {
    SinceCommit,
    /// All offsets of a group that lost its last member.
    Since(Wall),
}

impl RetentionClock {
    /// `None`: nothing of this group expires.
    fn of(group: &Group) -> Option<Self> {
        match (&group.protocol_type, group.state.name()) {
            (None, _) => Some(Self::SinceCommit),
            (Some(_), StateName::Empty) => Some(group.since.map_or(Self::SinceCommit, Self::Since)),
            // Topics that the group no longer reads.
            (Some(_), StateName::Stable) if group.uses_consumer_protocol() && group.subscribed.is_some() => {
                Some(Self::SinceCommit)
            }
            (Some(_), _) => None,
        }
    }

    fn is_over(&self, stored: &StoredOffset, now: Wall, retention: Duration) -> bool {
        if let Some(expires_at) = stored.expires_at {
            return now >= expires_at;
        }
        let since = match self {
            Self::SinceCommit => stored.committed_at,
            Self::Since(since) => *since,
        };
        now.as_millis() - since.as_millis() >= i64::try_from(retention.as_millis()).unwrap_or(i64::MAX)
    }
}
