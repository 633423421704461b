//! The batches of one partition, in order, and their sequences.
//!
//! A batch gets its sequence when it is first sent, and keeps it: one whose answer got lost may be in the log
//! already. It stays in its place until it is settled. It is sent again only when every batch before it is settled.

use std::collections::VecDeque;

use super::batch::{Batch, BatchId, Stamp};

#[derive(Clone, Debug, Default)]
pub(super) struct PartitionQueue {
    /// Oldest first: those with a sequence in its order, then those without. Only the last one takes more records.
    pub batches: VecDeque<Batch>,
    /// Under which producer id and epoch its sequences count.
    identity: Option<(i64, i16)>,
    /// The order of the next record to get a sequence.
    next_order: u64,
    /// The order after the last record that was acknowledged.
    acknowledged: u64,
    /// The largest offset that was acknowledged.
    last_offset: Option<i64>,
    /// The order after the last batch that was sent and given up without an answer. Until it is known
    /// whether that batch is in the log nothing new gets a sequence.
    unresolved: Option<u64>,
}

/// What became of batches that were given up without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// Nothing is in doubt, or not yet decided.
    Nothing,
    /// There may be a gap in the sequences: the next one cannot be known.
    Gap,
}

impl PartitionQueue {
    /// The batch that is sent next, if it may be.
    pub fn candidate(&self) -> Option<usize> {
        self.batches.iter().position(|batch| !batch.under_way)
    }

    /// Whether idempotence allows to send this batch now.
    pub fn may_send(&self, index: usize, identity: Option<(i64, i16)>) -> bool {
        match self.batches[index].stamp {
            Some(_) => index == 0,
            // Another identity begins when everything under the old one is settled.
            None => self.unresolved.is_none() && !(self.has_sequenced() && self.identity != identity),
        }
    }

    /// Whether a batch with a sequence is not settled yet.
    pub fn has_sequenced(&self) -> bool {
        self.batches.front().is_some_and(|batch| batch.stamp.is_some())
    }

    /// Readies a batch to be sent, giving it its sequence if it has none.
    pub fn begin_sending(&mut self, index: usize, identity: Option<(i64, i16)>) -> &mut Batch {
        if let (None, Some((producer_id, epoch))) = (self.batches[index].stamp, identity) {
            if self.identity != identity {
                self.start_over(identity);
            }
            let batch = &mut self.batches[index];
            batch.restamp(Some(Stamp { producer_id, epoch, order: self.next_order }));
            self.next_order += batch.records.len() as u64;
        }
        let batch = &mut self.batches[index];
        (batch.under_way, batch.restamped) = (true, false);
        batch.attempts += 1;
        batch
    }

    pub fn find(&self, id: BatchId) -> Option<usize> {
        self.batches.iter().position(|batch| batch.id == id)
    }

    /// Takes a batch out that the broker has.
    pub fn acknowledge(&mut self, index: usize, base_offset: i64) -> Option<Batch> {
        let batch = self.batches.remove(index)?;
        self.acknowledged = self.acknowledged.max(batch.end().unwrap_or(0));
        if base_offset >= 0 {
            self.last_offset = self.last_offset.max(Some(base_offset + batch.records.len() as i64 - 1));
        }
        Some(batch)
    }

    /// Puts the pieces of a batch into its place.
    pub fn replace(&mut self, index: usize, pieces: Vec<Batch>) {
        for (offset, piece) in pieces.into_iter().enumerate() {
            self.batches.insert(index + offset, piece);
        }
    }

    /// Whether a batch follows right after what is acknowledged.
    pub fn is_next(&self, stamp: Stamp) -> bool {
        stamp.order == self.acknowledged
    }

    /// Whether the log begins after all that was acknowledged: then the broker has forgotten the producer.
    pub fn is_forgotten(&self, log_start: i64) -> bool {
        self.last_offset.is_none_or(|last| last < log_start)
    }

    pub fn is_unresolved(&self) -> bool {
        self.unresolved.is_some()
    }

    /// Whether a batch follows right after those that were given up without an answer.
    pub fn follows_unresolved(&self, stamp: Stamp) -> bool {
        self.unresolved == Some(stamp.order)
    }

    /// A batch was sent, and given up without an answer.
    pub fn leave_unresolved(&mut self, batch: &Batch) {
        self.unresolved = self.unresolved.max(batch.end());
    }

    /// Once everything is settled it shows whether batches that were given up are in the log.
    pub fn resolve(&mut self) -> Resolved {
        if self.unresolved.is_none() || self.has_sequenced() {
            return Resolved::Nothing;
        }
        self.unresolved = None;
        if self.next_order == self.acknowledged { Resolved::Nothing } else { Resolved::Gap }
    }

    /// Gives what has a sequence another one, from 0 on, under this identity. Without one, none.
    pub fn start_over(&mut self, identity: Option<(i64, i16)>) {
        (self.identity, self.next_order, self.acknowledged, self.unresolved) = (identity, 0, 0, None);
        for batch in self.batches.iter_mut().filter(|batch| batch.stamp.is_some()) {
            let stamp = identity.map(|(producer_id, epoch)| Stamp { producer_id, epoch, order: self.next_order });
            batch.restamp(stamp);
            self.next_order += if stamp.is_some() { batch.records.len() as u64 } else { 0 };
        }
    }

    /// Forgets its sequences: the next batch begins them anew.
    pub fn forget_sequences(&mut self) {
        (self.identity, self.next_order, self.acknowledged, self.unresolved) = (None, 0, 0, None);
    }

    /// The broker refused a batch for good: those after it move up to its place.
    pub fn close_gap(&mut self, refused: &Batch) {
        let Some(refused_stamp) = refused.stamp else { return };
        let count = refused.records.len() as u64;
        self.next_order = self.next_order.saturating_sub(count);
        for batch in &mut self.batches {
            if let Some(stamp) = batch.stamp.filter(|stamp| stamp.order > refused_stamp.order) {
                batch.restamp(Some(Stamp { order: stamp.order - count, ..stamp }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shore_base::Instant;

    use super::super::batch::Queued;
    use super::super::{Record, SendId};
    use super::*;

    const ID: Option<(i64, i16)> = Some((7, 0));
    const NEXT_ID: Option<(i64, i16)> = Some((7, 1));

    /// Batches of so many records, all sent.
    fn sent(counts: &[u64]) -> PartitionQueue {
        let mut queue = PartitionQueue::default();
        for (id, count) in (0..).zip(counts) {
            let record = || Queued::new(SendId(0), Record::default());
            let mut batch = Batch::new(BatchId(id), Instant::ZERO, record());
            (1..*count).for_each(|_| batch.push(record()));
            queue.batches.push_back(batch);
            queue.begin_sending(id as usize, ID);
        }
        queue
    }

    fn sequences(queue: &PartitionQueue) -> Vec<(i16, i32)> {
        let stamps = queue.batches.iter().filter_map(|batch| batch.stamp);
        stamps.map(|stamp| (stamp.epoch, stamp.sequence())).collect()
    }

    #[test]
    fn after_a_refused_batch_the_others_move_up() {
        let mut queue = sent(&[2, 3, 4]);
        assert_eq!(sequences(&queue), [(0, 0), (0, 2), (0, 5)]);
        let refused = queue.batches.remove(1).expect("three batches");
        queue.close_gap(&refused);
        assert_eq!(sequences(&queue), [(0, 0), (0, 2)]);
        assert!(queue.batches[1].restamped && !queue.batches[0].restamped);
        queue.batches.push_back(Batch::new(BatchId(9), Instant::ZERO, Queued::new(SendId(0), Record::default())));
        queue.begin_sending(2, ID);
        assert_eq!(sequences(&queue), [(0, 0), (0, 2), (0, 6)]);
    }

    #[test]
    fn what_was_given_up_without_an_answer_is_resolved_by_those_after_it() {
        for (second_is_there, expected) in [(true, Resolved::Nothing), (false, Resolved::Gap)] {
            let mut queue = sent(&[2, 3]);
            let first = queue.batches.pop_front().expect("two batches");
            queue.leave_unresolved(&first);
            assert_eq!(queue.resolve(), Resolved::Nothing, "one is under way");
            assert!(!queue.may_send_new(), "its sequence would be a guess");
            if second_is_there {
                queue.acknowledge(0, 10);
            } else {
                let second = queue.batches.pop_front().expect("another batch");
                queue.leave_unresolved(&second);
            }
            assert_eq!(queue.resolve(), expected);
            assert!(queue.may_send_new());
        }
    }

    #[test]
    fn another_epoch_begins_when_all_of_the_old_one_is_settled() {
        let mut queue = sent(&[1, 1]);
        queue.batches.push_back(Batch::new(BatchId(9), Instant::ZERO, Queued::new(SendId(0), Record::default())));
        assert!(queue.may_send(2, ID));
        assert!(!queue.may_send(2, NEXT_ID));
        queue.start_over(NEXT_ID);
        assert_eq!(sequences(&queue), [(1, 0), (1, 1)]);
        assert!(queue.may_send(2, NEXT_ID), "its own epoch was begun");
    }

    impl PartitionQueue {
        fn may_send_new(&mut self) -> bool {
            self.batches.push_back(Batch::new(BatchId(9), Instant::ZERO, Queued::new(SendId(0), Record::default())));
            let may = self.may_send(self.batches.len() - 1, ID);
            self.batches.pop_back();
            may
        }
    }
}
