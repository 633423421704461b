//! The states of a classic group.

use std::sync::Arc;

use shore_base::Duration;
use shore_base::collections::BTreeSet;

use super::timer::TimerId;

/// Allowed transitions, to the right from any of the left:
///
/// | from | to |
/// |---|---|
/// | Stable, CompletingRebalance, Empty | PreparingRebalance |
/// | PreparingRebalance | CompletingRebalance, Empty |
/// | CompletingRebalance | Stable |
/// | any | Dead |
#[derive(Clone, Debug)]
pub(super) enum GroupState {
    /// No members; lives on while it has offsets. Groups that only commit are always so.
    Empty,
    /// Members are asked to rejoin; their JoinGroup requests wait.
    PreparingRebalance {
        /// Only while the group grows out of Empty: how its delay goes on.
        initial: Option<InitialDelay>,
        timer: Option<TimerId>,
    },
    /// A generation has begun and its leader owes the assignment.
    CompletingRebalance(Syncs),
    /// Everybody may have its assignment.
    Stable(Syncs),
    /// Gone: unloaded, or deleted.
    Dead,
}

/// Joining is put off while new members keep coming, up to the rebalance timeout.
#[derive(Clone, Debug)]
pub(super) struct InitialDelay {
    pub current: Duration,
    pub remaining: Duration,
    pub member_added: bool,
}

/// Members of this generation that have not sent SyncGroup, and until when they may. A static member
/// that is replaced before it did leaves its old id here, as in Kafka: the group rebalances at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Syncs {
    pub pending: BTreeSet<Arc<str>>,
    pub timer: Option<TimerId>,
}

/// A state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateName {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl GroupState {
    pub const fn name(&self) -> StateName {
        match self {
            Self::Empty => StateName::Empty,
            Self::PreparingRebalance { .. } => StateName::PreparingRebalance,
            Self::CompletingRebalance(_) => StateName::CompletingRebalance,
            Self::Stable(_) => StateName::Stable,
            Self::Dead => StateName::Dead,
        }
    }

    /// The one way from a state to the next. Returns the one that was left.
    pub fn transition(&mut self, to: Self) -> Self {
        assert!(self.name().may_become(to.name()), "a group went from {:?} to {:?}", self.name(), to.name());
        std::mem::replace(self, to)
    }
}

impl StateName {
    pub const fn may_become(self, to: Self) -> bool {
        match to {
            Self::PreparingRebalance => matches!(self, Self::Stable | Self::CompletingRebalance | Self::Empty),
            Self::CompletingRebalance | Self::Empty => matches!(self, Self::PreparingRebalance),
            Self::Stable => matches!(self, Self::CompletingRebalance),
            Self::Dead => true,
        }
    }

    /// As Kafka writes it in responses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}
