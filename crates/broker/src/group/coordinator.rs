//! The machine: which partitions it leads, what is due, who is asked.

use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_base::{Instant, Random, Uuid, Wall};
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::records::group::GroupRecord;

use super::call::{GroupOutput, WriteId};
use super::classic::Group;
use super::config::GroupConfig;
use super::java;
use super::shard::{Effects, Shard};
use super::timer::{Timer, TimerId};

/// All groups of the `__consumer_offsets` partitions that this broker leads.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    pub(super) fx: Effects,
    /// Shared with clones of the coordinator until it is written to.
    pub(super) shards: BTreeMap<i32, Arc<Shard>>,
    pub(super) retention: Option<TimerId>,
}

impl GroupCoordinator {
    /// `random` names new members.
    pub fn new(config: GroupConfig, random: Random) -> Self {
        Self { fx: Effects::new(config, random), shards: BTreeMap::new(), retention: None }
    }

    /// What is to be done next. Drain it after every call.
    pub fn poll(&mut self) -> Option<GroupOutput> {
        self.fx.outputs.pop_front()
    }

    /// Events are only built once this was called with `true`.
    pub const fn observe(&mut self, observed: bool) {
        self.fx.observed = observed;
    }

    /// Where a group's records go.
    pub fn partition_for(&self, group: &str) -> i32 {
        java::partition_for(group, self.fx.config.offsets_topic_partitions)
    }

    /// How many partitions `__consumer_offsets` really has, once it is there.
    pub const fn set_partitions(&mut self, partitions: i32) {
        self.fx.config.offsets_topic_partitions = partitions;
    }

    // Loading

    /// This broker leads the partition from here on. Until [`Self::load_end`] its groups answer
    /// COORDINATOR_LOAD_IN_PROGRESS.
    pub fn load_begin(&mut self, partition: i32) {
        self.shards.insert(partition, Arc::new(Shard::new(partition, true)));
    }

    /// One record of the partition's log, which may be part of a producer's transaction. A record that
    /// cannot be read changes nothing.
    pub fn apply(
        &mut self,
        partition: i32,
        producer_id: Option<i64>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), DecodeError> {
        let record = GroupRecord::decode(key, value)?;
        if let Some(shard) = self.shards.get_mut(&partition) {
            Arc::make_mut(shard).apply(&mut self.fx, record, producer_id, None);
        }
        Ok(())
    }

    /// The end of a producer's transaction in the partition's log.
    pub fn apply_marker(&mut self, partition: i32, producer_id: i64, commit: bool) {
        if let Some(shard) = self.shards.get_mut(&partition) {
            Arc::make_mut(shard).apply_marker(producer_id, commit, None);
        }
    }

    /// Everything is replayed: sessions start anew.
    pub fn load_end(&mut self, now: Instant, wall: Wall, partition: i32) {
        self.at(now, wall);
        let Some(shard) = self.shards.get_mut(&partition) else { return };
        let shard = Arc::make_mut(shard);
        shard.loading = false;
        for group in shard.groups.values_mut() {
            group.resume(&mut self.fx);
        }
        if self.retention.is_none() {
            self.schedule_retention();
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

    /// What became of a [`GroupOutput::Append`]: committed, with the offset of its last record, or
    /// failed. The later writes of a partition fail with the first.
    pub fn written(&mut self, now: Instant, wall: Wall, write: WriteId, result: Result<i64, ErrorCode>) {
        self.at(now, wall);
        if let Some(shard) = self.shards.get_mut(&write.partition) {
            Arc::make_mut(shard).written(&mut self.fx, write, result.map(|_| ()));
        }
    }

    /// When [`Self::wake`] is due, and for what.
    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        self.fx.timers.next_due()
    }

    pub fn wake(&mut self, now: Instant, wall: Wall) {
        self.at(now, wall);
        while let Some((id, timer)) = self.fx.timers.pop_due(now) {
            let (Timer::Session { partition, .. } | Timer::Join { partition, .. } | Timer::Sync { partition, .. }) =
                timer
            else {
                self.expire();
                continue;
            };
            if let Some(shard) = self.shards.get_mut(&partition) {
                Arc::make_mut(shard).fire(&mut self.fx, id, timer);
            }
        }
    }

    /// A topic is gone, and with it what groups committed for it.
    pub fn topic_deleted(&mut self, now: Instant, wall: Wall, name: &str, id: Uuid) {
        self.at(now, wall);
        for shard in self.shards.values_mut() {
            if shard.has_topic(name, id) {
                Arc::make_mut(shard).delete_topic(&mut self.fx, name, id);
            }
        }
    }

    pub(super) const fn at(&mut self, now: Instant, wall: Wall) {
        self.fx.now = now;
        self.fx.wall = wall;
    }

    /// The shard that answers for a group, or why none does.
    pub(super) fn shard_of(&mut self, group: &str) -> Result<(&mut Shard, &mut Effects), ErrorCode> {
        match self.shards.get_mut(&java::partition_for(group, self.fx.config.offsets_topic_partitions)) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(shard) => Ok((Arc::make_mut(shard), &mut self.fx)),
        }
    }

    /// The same, to look only.
    pub(super) fn peek_shard_of(&self, group: &str) -> Result<&Shard, ErrorCode> {
        match self.shards.get(&self.partition_for(group)) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(shard) => Ok(shard),
        }
    }
}

impl Shard {
    fn fire(&mut self, fx: &mut Effects, id: TimerId, timer: Timer) {
        let (Timer::Session { group, .. } | Timer::Join { group, .. } | Timer::Sync { group, .. }) = &timer else {
            return;
        };
        let Some(group) = self.groups.get_mut(group) else { return };
        let proposal = match timer {
            Timer::Session { member, .. } => group.session_timed_out(fx, id, &member),
            Timer::Join { .. } => group.join_due(fx),
            Timer::Sync { .. } => group.sync_timed_out(fx),
            Timer::Retention => None,
        };
        if let Some(proposal) = proposal {
            self.propose(fx, proposal);
        }
    }

    fn unload(mut self, fx: &mut Effects) {
        for group in self.groups.values_mut() {
            group.dissolve(fx, ErrorCode::NotCoordinator, "the coordinator moved");
        }
        self.groups.clear();
        self.abandon_writes(fx, ErrorCode::NotLeaderOrFollower);
    }
}

impl Group {
    /// A coordinator that has just loaded the group knows nothing of when members were last heard of.
    fn resume(&mut self, fx: &mut Effects) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            self.reset_session(fx, &id);
        }
        if self.members.len() > fx.config.max_size {
            // The last to rejoin are turned away. Nobody has joined yet, so nothing follows at once.
            self.prepare_rebalance(fx, || "it is larger than group.max.size allows".to_owned());
        }
    }
}
