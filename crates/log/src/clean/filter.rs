//! What of a batch survives cleaning, and how it is written then.

use bytes::Bytes;
use shore_base::Wall;
use shore_wire::batch::{self, BatchBuilder, BatchError, BatchOptions, BatchView, Record};

use super::offset_map::OffsetMap;
use super::transactions::{CleanedTransactions, ControlBatch};
use crate::producers::{ProducerEntry, ProducerStates};
use crate::txn_index::AbortedTransaction;
use crate::validate::{self, INFLATED_MAX};

/// The rules of one round of cleaning.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub map: OffsetMap,
    pub transactions: CleanedTransactions,
    /// When the round began.
    pub now: Wall,
    pub delete_retention_ms: i64,
    /// The batch that ends here is kept whatever becomes of it, so that the log keeps its end.
    pub first_uncleanable: i64,
    /// Which records of the batch at hand are kept.
    kept: Vec<bool>,
}

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    Nothing,
    /// The batch as it is.
    All,
    Rewritten(Bytes),
}

/// A batch that was filtered.
#[derive(Clone, Debug)]
pub(crate) struct Filtered {
    pub remains: Remains,
    pub records_kept: u64,
    /// What the transaction index still has to tell of.
    pub aborted: Option<AbortedTransaction>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Retention {
    Delete,
    DeleteIfEmpty,
    KeepEvenIfEmpty,
}

impl Filter {
    pub fn new(
        map: OffsetMap,
        transactions: CleanedTransactions,
        now: Wall,
        delete_retention_ms: i64,
        first_uncleanable: i64,
    ) -> Self {
        Self { map, transactions, now, delete_retention_ms, first_uncleanable, kept: Vec::new() }
    }

    pub fn filter(&mut self, batch: &BatchView<'_>, producers: &ProducerStates) -> Result<Filtered, BatchError> {
        let (last_offset, producer_id) = (batch.last_offset(), batch.producer_id());
        let (may_go, aborted) = if batch.is_control() {
            self.transactions.met_control(last_offset, producer_id, control_of(batch))
        } else {
            (self.transactions.met_records(last_offset, producer_id, batch.is_transactional()), None)
        };
        let is_past_horizon = batch.delete_horizon().is_some_and(|horizon| horizon <= self.now.as_millis());
        // A marker stays as long as a tombstone would: its transaction may still be being read.
        let records_go = may_go && (!batch.is_control() || is_past_horizon);
        let retention = self.retention(batch, producers, records_go);
        let filtered = |remains, records_kept| Ok(Filtered { remains, records_kept, aborted });
        if retention == Retention::Delete {
            return filtered(Remains::Nothing, 0);
        }
        let records = batch.records(INFLATED_MAX)?;
        self.kept.clear();
        let (mut kept, mut has_tombstone) = (0, false);
        for record in &records {
            let record = record?;
            let keep = !records_go && (batch.is_control() || self.keeps(&record, is_past_horizon));
            kept += u64::from(keep);
            has_tombstone |= keep && record.value.is_none();
            self.kept.push(keep);
        }
        if kept == 0 {
            return match retention {
                Retention::KeepEvenIfEmpty => {
                    let header = Bytes::copy_from_slice(&batch::emptied(batch));
                    filtered(if batch.bytes() == header { Remains::All } else { Remains::Rewritten(header) }, 0)
                }
                _ => filtered(Remains::Nothing, 0),
            };
        }
        let begins_horizon = (has_tombstone || (may_go && batch.is_control())) && batch.delete_horizon().is_none();
        if kept == self.kept.len() as u64 && !begins_horizon {
            return filtered(Remains::All, kept);
        }
        let horizon = if begins_horizon {
            Some(self.now.as_millis().saturating_add(self.delete_retention_ms))
        } else {
            batch.delete_horizon()
        };
        filtered(Remains::Rewritten(self.rewritten(batch, &records, horizon)?), kept)
    }

    fn retention(&self, batch: &BatchView<'_>, producers: &ProducerStates, records_go: bool) -> Retention {
        let is_last = |producer: &ProducerEntry| match producer.last_batch() {
            Some(last) => batch.last_offset() == last.last_offset,
            // Only markers are left of it: the epoch must not be forgotten.
            None => batch.is_control() && batch.producer_epoch() == producer.epoch,
        };
        let is_last_of_producer = batch.has_producer_id() && producers.get(batch.producer_id()).is_some_and(is_last);
        if is_last_of_producer || batch.next_offset() == self.first_uncleanable {
            Retention::KeepEvenIfEmpty
        } else if records_go {
            Retention::Delete
        } else {
            Retention::DeleteIfEmpty
        }
    }

    fn keeps(&self, record: &Record<'_>, is_past_horizon: bool) -> bool {
        if record.offset > self.map.latest() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_newest = self.map.get(key).is_none_or(|newest| record.offset >= newest);
        is_newest && (record.value.is_some() || !is_past_horizon)
    }

    /// The batch with the records that are kept, at their offsets.
    fn rewritten(
        &self,
        batch: &BatchView<'_>,
        records: &batch::Records<'_>,
        delete_horizon: Option<i64>,
    ) -> Result<Bytes, BatchError> {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: batch.base_offset(),
            leader_epoch: batch.leader_epoch(),
            codec: batch.codec().expect("its records were read"),
            level: None,
            timestamp_type: batch.timestamp_type(),
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            transactional: batch.is_transactional(),
            control: batch.is_control(),
            delete_horizon,
        });
        for (record, _) in records.iter().zip(&self.kept).filter(|(_, keep)| **keep) {
            let record = record?;
            builder.append_at(record.offset_delta, record.timestamp, record.key, record.value, record.headers);
        }
        Ok(builder.finish_as(batch.last_offset_delta()))
    }
}

/// What of a batch the map has to know. `false`: the map is full, and the batch only known in part.
pub(crate) fn map_keys(
    map: &mut OffsetMap,
    transactions: &mut CleanedTransactions,
    batch: &BatchView<'_>,
    from: i64,
) -> Result<bool, BatchError> {
    let (last_offset, producer_id) = (batch.last_offset(), batch.producer_id());
    if batch.is_control() {
        transactions.met_control(last_offset, producer_id, control_of(batch));
    } else if !transactions.met_records(last_offset, producer_id, batch.is_transactional()) {
        for record in &batch.records(INFLATED_MAX)? {
            let record = record?;
            let Some(key) = record.key.filter(|_| record.offset >= from) else { continue };
            if map.is_full() {
                return Ok(false);
            }
            map.put(key, record.offset);
        }
    }
    if last_offset >= from {
        map.set_latest(last_offset);
    }
    Ok(true)
}

fn control_of(batch: &BatchView<'_>) -> ControlBatch {
    match validate::marker_in(batch) {
        Some(marker) => ControlBatch::Marker(marker),
        None if batch.count() == 0 => ControlBatch::Empty,
        None => ControlBatch::Other,
    }
}
