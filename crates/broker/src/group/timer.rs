//! Timers by due time.

use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_base::{Duration, Instant};

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A member, or one that was given an id and has not joined yet, was not heard of for its session.
    Session { partition: i32, group: Arc<str>, member: Arc<str> },
    /// Members had their time to rejoin.
    Join { partition: i32, group: Arc<str> },
    /// Members had their time to send SyncGroup.
    Sync { partition: i32, group: Arc<str> },
    /// Offsets are looked through for expired ones.
    Retention,
}

impl Timer {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Session { .. } => "session timeout",
            Self::Join { .. } => "rebalance delay or timeout",
            Self::Sync { .. } => "sync timeout",
            Self::Retention => "offset retention check",
        }
    }
}

/// A timer that was set; equal due times fire in the order they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerId {
    due: Instant,
    number: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<TimerId, Timer>,
    next: u64,
}

impl Timers {
    pub fn set(&mut self, due: Instant, timer: Timer) -> TimerId {
        let id = TimerId { due, number: self.next };
        self.next += 1;
        self.queue.insert(id, timer);
        id
    }

    /// Puts off a timer that may have been set before.
    pub fn reset(&mut self, id: &mut Option<TimerId>, due: Instant, timer: impl FnOnce() -> Timer) {
        let timer = id.take().and_then(|id| self.queue.remove(&id)).unwrap_or_else(timer);
        *id = Some(self.set(due, timer));
    }

    pub fn cancel(&mut self, id: &mut Option<TimerId>) {
        if let Some(id) = id.take() {
            self.queue.remove(&id);
        }
    }

    pub fn pop_due(&mut self, now: Instant) -> Option<(TimerId, Timer)> {
        self.queue.first_key_value().filter(|(id, _)| id.due <= now)?;
        self.queue.pop_first()
    }

    pub fn next_due(&self) -> Option<(Instant, &'static str)> {
        self.queue.first_key_value().map(|(id, timer)| (id.due, timer.reason()))
    }
}

pub(super) fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
