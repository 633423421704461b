//! Transactions that the coordinator is being asked about. A partition takes the first records of a
//! transaction only when the coordinator has said that the transaction is open: otherwise a late request
//! could begin one that nobody ends.

use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;

use crate::header::BatchHeader;
use crate::log::Log;
use crate::producers::Refused;
use shore_base::Wall;

/// Shows that the append it comes with was verified, and when the verification began: an answer from
/// before the transaction ended does not begin the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(u64);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Verification {
    guard: VerificationGuard,
    since_ms: i64,
    epoch: i16,
    /// The lowest that was seen while verifying: what comes first must not be overtaken.
    lowest_sequence: i32,
    /// The producer uses transactions of version 2: each has an epoch of its own.
    supports_epoch_bump: bool,
}

/// By producer id. Not on disk: after a restart producers are verified anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verifications {
    entries: BTreeMap<i64, Verification>,
    given: u64,
}

impl Verifications {
    fn begin(&mut self, producer_id: i64, new: Verification) -> VerificationGuard {
        let given = &mut self.given;
        let known = self.entries.entry(producer_id).or_insert_with(|| {
            *given += 1;
            Verification { guard: VerificationGuard(*given), ..new }
        });
        if new.epoch == known.epoch {
            known.lowest_sequence = known.lowest_sequence.min(new.lowest_sequence);
        } else if new.epoch > known.epoch {
            (known.epoch, known.lowest_sequence) = (new.epoch, new.lowest_sequence);
        }
        known.guard
    }

    pub fn get(&self, producer_id: i64) -> Option<&Verification> {
        self.entries.get(&producer_id)
    }

    pub fn allows(&self, producer_id: i64, guard: Option<VerificationGuard>) -> bool {
        guard.is_some() && self.get(producer_id).map(|entry| entry.guard) == guard
    }

    /// A transactional batch was appended: what was being verified has begun, or is over.
    pub fn appended(&mut self, batch: &BatchHeader) {
        // With an epoch for each transaction, the marker may end one while the next is being verified.
        let is_next = |entry: &Verification| {
            entry.supports_epoch_bump && batch.is_control() && batch.producer_epoch == entry.epoch
        };
        if !self.get(batch.producer_id).is_some_and(is_next) {
            self.entries.remove(&batch.producer_id);
        }
    }

    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.entries.retain(|_, entry| now_ms.saturating_sub(entry.since_ms) < expiration_ms);
    }
}

impl Verification {
    /// Whether a batch with this sequence may come first. `is_new`: no batch of the producer is known.
    pub fn check_sequence(&self, producer_id: i64, sequence: i32, is_new: bool) -> Result<(), Refused> {
        let refused = |message| Err(Refused { code: ErrorCode::OutOfOrderSequenceNumber, message });
        if self.supports_epoch_bump && sequence != 0 && is_new {
            return refused(format!(
                "Invalid sequence number for producer {producer_id}: {sequence} (incoming seq. number). Expected sequence 0 for transactions v2 idempotent producer with no existing state."
            ));
        }
        if sequence > self.lowest_sequence {
            return refused(format!(
                "Out of order sequence number for producer {producer_id}: {sequence} (incoming seq. number), {} (earliest seen sequence)",
                self.lowest_sequence
            ));
        }
        Ok(())
    }
}

impl Log {
    /// Before records of a transaction are appended: the guard to append them with once the coordinator
    /// has confirmed the transaction; none where the partition knows already that it is open.
    pub fn begin_verification(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        sequence: i32,
        supports_epoch_bump: bool,
        now: Wall,
    ) -> Result<Option<VerificationGuard>, Refused> {
        self.producers.check_producer_epoch(producer_id, producer_epoch)?;
        if self.has_open_transaction(producer_id, producer_epoch) {
            return Ok(None);
        }
        let new = Verification {
            guard: VerificationGuard(0),
            since_ms: now.as_millis(),
            epoch: producer_epoch,
            lowest_sequence: sequence,
            supports_epoch_bump,
        };
        Ok(Some(self.producers.verifications.begin(producer_id, new)))
    }

    /// Whether a transaction of this producer and epoch has records here and no marker yet.
    pub fn has_open_transaction(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let entry = self.producers.get(producer_id);
        entry.is_some_and(|entry| entry.transaction_start.is_some() && entry.epoch == producer_epoch)
    }
}
