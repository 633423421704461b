//! The transactions that the cleaner has met on its way through a log: the records of aborted ones go, and
//! a marker may go when nothing is left of its transaction.

use shore_base::collections::{BTreeMap, BTreeSet, sort_by};

use crate::producers::EndMarker;
use crate::txn_index::AbortedTransaction;

#[derive(Clone, Debug)]
pub(crate) struct CleanedTransactions {
    /// By first offset; those before `met` have begun.
    aborted: Vec<AbortedTransaction>,
    met: usize,
    /// By producer, with whether any of its batches was seen.
    ongoing_aborted: BTreeMap<i64, (AbortedTransaction, bool)>,
    ongoing_committed: BTreeSet<i64>,
}

/// What a control batch is to the cleaner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlBatch {
    Marker(EndMarker),
    /// The cleaner has been here: only the header is left.
    Empty,
    Other,
}

impl CleanedTransactions {
    pub fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        sort_by(&mut aborted, |left, right| left.first_offset.cmp(&right.first_offset));
        Self { aborted, met: 0, ongoing_aborted: BTreeMap::new(), ongoing_committed: BTreeSet::new() }
    }

    fn begin_up_to(&mut self, offset: i64) {
        while let Some(next) = self.aborted.get(self.met).filter(|next| next.first_offset <= offset) {
            self.ongoing_aborted.entry(next.producer_id).or_insert((*next, false));
            self.met += 1;
        }
    }

    /// A batch of records was met. Says whether it was aborted.
    pub fn met_records(&mut self, last_offset: i64, producer_id: i64, is_transactional: bool) -> bool {
        self.begin_up_to(last_offset);
        if !is_transactional {
            return false;
        }
        match self.ongoing_aborted.get_mut(&producer_id) {
            Some((_, is_seen)) => {
                *is_seen = true;
                true
            }
            None => {
                self.ongoing_committed.insert(producer_id);
                false
            }
        }
    }

    /// A control batch was met. Says whether nothing is left of its transaction, and which aborted
    /// transaction the index still has to tell of.
    pub fn met_control(
        &mut self,
        last_offset: i64,
        producer_id: i64,
        control: ControlBatch,
    ) -> (bool, Option<AbortedTransaction>) {
        self.begin_up_to(last_offset);
        match control {
            ControlBatch::Empty => (true, None),
            ControlBatch::Other => (false, None),
            ControlBatch::Marker(marker) if marker.commit => (!self.ongoing_committed.remove(&producer_id), None),
            ControlBatch::Marker(_) => match self.ongoing_aborted.remove(&producer_id) {
                Some((transaction, true)) => (false, Some(transaction)),
                _ => (true, None),
            },
        }
    }
}
