//! The states of a transactional id.

/// Empty -> Ongoing -> PrepareCommit -> CompleteCommit, or Ongoing -> PrepareAbort -> CompleteAbort. From
/// both complete states a new producer leads to Empty and a new transaction to Ongoing. With KIP-890 an
/// abort needs no transaction: Empty and the complete states may go to PrepareAbort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionState {
    /// A producer has its id and no transaction.
    Empty,
    Ongoing,
    /// It will be committed, whatever happens.
    PrepareCommit,
    PrepareAbort,
    /// All partitions have their marker.
    CompleteCommit,
    CompleteAbort,
    /// It has expired and is about to be forgotten; never in the log.
    Dead,
    /// A producer is being fenced out; never in the log.
    PrepareEpochFence,
}

use TransactionState::{
    CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence,
};

impl TransactionState {
    const ALL: [Self; 8] =
        [Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, Dead, PrepareEpochFence];

    /// Its number in the log.
    pub const fn id(self) -> i8 {
        self as i8
    }

    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// Kafka's name, which DescribeTransactions shows.
    pub const fn name(self) -> &'static str {
        match self {
            Empty => "Empty",
            Ongoing => "Ongoing",
            PrepareCommit => "PrepareCommit",
            PrepareAbort => "PrepareAbort",
            CompleteCommit => "CompleteCommit",
            CompleteAbort => "CompleteAbort",
            Dead => "Dead",
            PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn may_become(self, next: Self) -> bool {
        let rests = matches!(self, Empty | CompleteCommit | CompleteAbort);
        match next {
            Empty | Dead => rests,
            Ongoing => rests || self == Ongoing,
            PrepareCommit => self == Ongoing,
            PrepareAbort => rests || matches!(self, Ongoing | PrepareEpochFence),
            CompleteCommit => self == PrepareCommit,
            CompleteAbort => self == PrepareAbort,
            PrepareEpochFence => self == Ongoing,
        }
    }

    pub(super) const fn may_expire(self) -> bool {
        matches!(self, Empty | CompleteCommit | CompleteAbort)
    }

    /// A transaction's fate is settled and not yet known everywhere.
    pub(super) const fn is_prepared(self) -> bool {
        matches!(self, PrepareCommit | PrepareAbort)
    }
}
