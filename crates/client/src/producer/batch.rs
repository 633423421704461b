//! A batch while the producer holds it.

use bytes::Bytes;
use shore_base::Instant;
use shore_wire::batch::{BatchBuilder, BatchOptions, Header};
use shore_wire::compress::Codec;

use super::{Record, SendId};

/// Bytes of a batch before its first record.
pub(super) const OVERHEAD: u64 = 61;

/// What a record may take on top of its key, value and headers: lengths, attributes, deltas.
const RECORD_OVERHEAD: u64 = 21;

/// A record that waits, with the most bytes it can take in a batch.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub id: SendId,
    pub record: Record,
    pub size: u64,
}

impl Queued {
    pub fn new(id: SendId, record: Record) -> Self {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len) as u64;
        let headers: u64 = record.headers.iter().map(|(name, value)| 10 + name.len() as u64 + len(value)).sum();
        let size = RECORD_OVERHEAD + len(&record.key) + len(&record.value) + headers;
        Self { id, record, size }
    }
}

/// Names a batch within its producer. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchId(pub u64);

#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub id: BatchId,
    pub records: Vec<Queued>,
    pub size: u64,
    pub created: Instant,
    /// Takes no more records.
    pub full: bool,
    /// A piece of one that the broker found too large.
    pub is_piece: bool,
    /// It was sent and no answer came yet.
    pub under_way: bool,
    /// How often it was sent.
    pub attempts: u32,
    /// Not to be sent again before this.
    pub not_before: Instant,
    /// Producer id, epoch and first sequence, from the first sending on.
    pub stamp: Option<Stamp>,
    /// It got another sequence while it was under way.
    pub restamped: bool,
    /// As it was sent, to be sent again byte for byte.
    encoded: Option<Bytes>,
}

/// What makes a batch the producer's own and puts it in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub producer_id: i64,
    pub epoch: i16,
    /// How many records of this identity went to the partition before.
    pub order: u64,
}

impl Stamp {
    /// Kafka's sequence number: it wraps after 2^31 - 1.
    pub fn sequence(self) -> i32 {
        (self.order & 0x7fff_ffff) as i32
    }
}

impl Batch {
    pub fn new(id: BatchId, now: Instant, first: Queued) -> Self {
        Self {
            id,
            size: OVERHEAD + first.size,
            records: vec![first],
            created: now,
            full: false,
            is_piece: false,
            under_way: false,
            attempts: 0,
            not_before: Instant::ZERO,
            stamp: None,
            restamped: false,
            encoded: None,
        }
    }

    pub fn takes(&self, queued: &Queued, batch_size: u64) -> bool {
        !self.full && self.stamp.is_none() && self.attempts == 0 && self.size + queued.size <= batch_size
    }

    pub fn push(&mut self, queued: Queued) {
        self.size += queued.size;
        self.records.push(queued);
    }

    pub fn restamp(&mut self, stamp: Option<Stamp>) {
        self.stamp = stamp;
        self.restamped = self.under_way;
        self.encoded = None;
    }

    /// The order of the record after its last one.
    pub fn end(&self) -> Option<u64> {
        self.stamp.map(|stamp| stamp.order + self.records.len() as u64)
    }

    /// The batch in Kafka's format.
    pub fn encode(&mut self, codec: Codec, transactional: bool) -> Bytes {
        if let Some(bytes) = &self.encoded {
            return bytes.clone();
        }
        let mut options = BatchOptions { codec, transactional, ..BatchOptions::default() };
        if let Some(stamp) = self.stamp {
            options.producer_id = stamp.producer_id;
            options.producer_epoch = stamp.epoch;
            options.base_sequence = stamp.sequence();
        }
        let mut builder = BatchBuilder::new(options);
        for Queued { record, .. } in &self.records {
            let headers =
                record.headers.iter().map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() });
            builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
        }
        let bytes = builder.finish();
        self.encoded = Some(bytes.clone());
        bytes
    }

    /// Cuts a batch that the broker found too large into pieces of `batch.size`; a piece that is still too large,
    /// into halves. Each holds one record at least. They are as if nobody had tried to send them.
    pub fn split(self, batch_size: u64, mut next_id: impl FnMut() -> BatchId) -> Vec<Self> {
        let limit = match self.is_piece {
            true => self.records.iter().map(|record| OVERHEAD + record.size).max().unwrap_or(0).max(self.size / 2),
            false => batch_size,
        };
        let mut pieces: Vec<Self> = Vec::new();
        let mut order = self.stamp.map(|stamp| stamp.order);
        for queued in self.records {
            match pieces.last_mut() {
                Some(piece) if piece.size + queued.size <= limit => piece.push(queued),
                _ => {
                    let stamp = self.stamp.zip(order).map(|(stamp, order)| Stamp { order, ..stamp });
                    let piece = Self::new(next_id(), self.created, queued);
                    pieces.push(Self { full: true, is_piece: true, stamp, ..piece });
                }
            }
            order = order.map(|order| order + 1);
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: u64, stamp: Option<Stamp>) -> Batch {
        let queued =
            |id| Queued::new(SendId(id), Record { value: Some(Bytes::from_static(&[7; 79])), ..Record::default() });
        let mut batch = Batch::new(BatchId(0), Instant::ZERO, queued(0));
        (1..records).for_each(|id| batch.push(queued(id)));
        batch.stamp = stamp;
        batch
    }

    fn shape(pieces: &[Batch]) -> Vec<(usize, Option<i32>)> {
        pieces.iter().map(|piece| (piece.records.len(), piece.stamp.map(Stamp::sequence))).collect()
    }

    #[test]
    fn a_batch_is_cut_to_batch_size_and_its_pieces_into_halves() {
        let stamp = Stamp { producer_id: 9, epoch: 2, order: 40 };
        let mut ids = (1..).map(BatchId);
        let mut next_id = || ids.next().expect("there are more");
        // A record takes 100 bytes at most, what stands before the first one 61.
        let pieces = batch(8, Some(stamp)).split(400, &mut next_id);
        assert_eq!(shape(&pieces), [(3, Some(40)), (3, Some(43)), (2, Some(46))]);
        let halves = pieces.into_iter().next().expect("three pieces").split(400, &mut next_id);
        assert_eq!(shape(&halves), [(1, Some(40)), (1, Some(41)), (1, Some(42))]);
        let whole = batch(3, None).split(400, &mut next_id);
        assert_eq!(shape(&whole), [(3, None)], "one that was not larger is a piece from now on");
        assert!(whole[0].is_piece);
    }
}
