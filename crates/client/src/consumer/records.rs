//! Which records an owner is given of what was fetched.

use bytes::Bytes;
use shore_base::collections::{BTreeSet, sort_by};
use shore_wire::batch::{BatchError, BatchView, Header, batches};
use shore_wire::error::ErrorCode;
use shore_wire::messages::fetch_response::AbortedTransaction;

use super::ConsumedRecord;
use crate::error::ClientError;

/// Decompressed bytes of one batch that a consumer is ready to hold.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// The transactions that were aborted among what was fetched, while it is read from front to back.
#[derive(Default)]
pub(super) struct Aborted {
    /// Those that begin later, the soonest last.
    to_come: Vec<AbortedTransaction>,
    /// Producers whose open transaction is one of them.
    producers: BTreeSet<i64>,
}

impl Aborted {
    /// Empty for a consumer that reads everything.
    pub fn new(mut transactions: Vec<AbortedTransaction>) -> Self {
        sort_by(&mut transactions, |a, b| b.first_offset.cmp(&a.first_offset));
        Self { to_come: transactions, producers: BTreeSet::new() }
    }

    /// Whether a batch belongs to an aborted transaction. Batches have to come in order.
    fn has(&mut self, batch: &BatchView<'_>) -> bool {
        let producer = batch.producer_id();
        if producer < 0 {
            return false;
        }
        while let Some(begun) = self.to_come.pop_if(|next| next.first_offset <= batch.last_offset()) {
            self.producers.insert(begun.producer_id);
        }
        if is_abort_marker(batch) {
            self.producers.remove(&producer);
        }
        batch.is_transactional() && self.producers.contains(&producer)
    }
}

/// The key of a marker is its version and its type: 0 aborts, 1 commits.
fn is_abort_marker(batch: &BatchView<'_>) -> bool {
    let aborts = |records: shore_wire::batch::Records<'_>| {
        let first = records.into_iter().next()?.ok()?;
        Some(first.key?.get(2..4)? == [0, 0])
    };
    batch.is_control() && batch.records(MAX_BATCH_BYTES).ok().is_some_and(|records| aborts(records) == Some(true))
}

/// The records from `from` on, and the offset after the last batch. Markers and what was aborted are passed over.
pub(super) fn read_records(
    bytes: &[u8],
    from: i64,
    mut aborted: Aborted,
) -> Result<(Vec<ConsumedRecord>, i64), ClientError> {
    let bad = |error: &dyn core::fmt::Display| ClientError::BadResponse(error.to_string());
    let mut records = Vec::new();
    let mut end = from;
    for batch in batches(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            // A broker cuts the last batch where the response is full.
            Err(BatchError::Torn { .. }) => break,
            Err(error) => return Err(bad(&error)),
        };
        if !batch.crc_matches() {
            return Err(ClientError::Broker(ErrorCode::CorruptMessage));
        }
        end = end.max(batch.last_offset() + 1);
        if aborted.has(&batch) || batch.is_control() {
            continue;
        }
        for record in &batch.records(MAX_BATCH_BYTES).map_err(|error| bad(&error))? {
            let record = record.map_err(|error| bad(&error))?;
            if record.offset < from {
                continue;
            }
            let header =
                |header: Header<'_>| (header.key_text().into_owned(), header.value.map(Bytes::copy_from_slice));
            records.push(ConsumedRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(Bytes::copy_from_slice),
                value: record.value.map(Bytes::copy_from_slice),
                headers: record.headers.map(header).collect(),
            });
        }
    }
    Ok((records, end))
}

#[cfg(test)]
mod tests {
    use shore_wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    enum Entry {
        /// A batch of one record in a transaction of this producer.
        Data(i64),
        /// A record outside of any.
        Plain,
        Abort(i64),
        Commit(i64),
    }

    /// The log of these entries, each one offset long.
    fn log(entries: &[Entry]) -> Vec<u8> {
        let batch = |(offset, entry): (i64, &Entry)| {
            let (producer_id, marker) = match *entry {
                Entry::Data(producer) => (producer, None),
                Entry::Plain => (-1, None),
                Entry::Abort(producer) => (producer, Some(0)),
                Entry::Commit(producer) => (producer, Some(1)),
            };
            let mut builder = BatchBuilder::new(BatchOptions {
                base_offset: offset,
                producer_id,
                producer_epoch: if producer_id < 0 { -1 } else { 0 },
                transactional: producer_id >= 0,
                control: marker.is_some(),
                ..BatchOptions::default()
            });
            let (key, value) = match marker {
                Some(kind) => (vec![0, 0, 0, kind], vec![0; 6]),
                None => (vec![], vec![b'v']),
            };
            builder.append(0, Some(&key), Some(&value), []);
            builder.finish()
        };
        (0..).zip(entries).flat_map(batch).collect()
    }

    fn offsets(entries: &[Entry], from: i64, aborted: &[(i64, i64)]) -> (Vec<i64>, i64) {
        let transaction = |&(producer_id, first_offset): &(i64, i64)| {
            let mut transaction = AbortedTransaction::default();
            (transaction.producer_id, transaction.first_offset) = (producer_id, first_offset);
            transaction
        };
        let aborted = Aborted::new(aborted.iter().map(transaction).collect());
        let (records, end) = read_records(&log(entries), from, aborted).expect("a good log");
        (records.iter().map(|record| record.offset).collect(), end)
    }

    #[test]
    fn what_was_aborted_is_passed_over_and_the_position_goes_past_markers() {
        use Entry::*;
        let entries = [Data(1), Data(2), Plain, Abort(1), Data(1), Commit(2), Data(2), Commit(1), Abort(2)];
        assert_eq!(offsets(&entries, 0, &[]), (vec![0, 1, 2, 4, 6], 9), "who reads everything gets everything");
        assert_eq!(offsets(&entries, 0, &[(1, 0), (2, 6)]), (vec![1, 2, 4], 9));
        assert_eq!(offsets(&entries, 0, &[(2, 6), (1, 0)]), (vec![1, 2, 4], 9), "in any order");
        assert_eq!(offsets(&entries, 4, &[(2, 6)]), (vec![4], 9));
        assert_eq!(offsets(&[Data(3), Abort(3)], 0, &[(3, 0)]), (vec![], 2), "nothing is left, and it goes on");
        assert_eq!(offsets(&[Data(3), Data(4)], 0, &[(3, -5)]), (vec![1], 2), "it began before what was fetched");
    }
}
