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

#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub records: Vec<Queued>,
    pub size: u64,
    pub created: Instant,
    /// Takes no more records.
    pub full: bool,
    pub attempts: u32,
    /// Not to be sent again before this.
    pub not_before: Instant,
    /// Producer id, epoch and first sequence, from the first sending on.
    pub stamp: Option<Stamp>,
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
    pub fn new(now: Instant, first: Queued) -> Self {
        let size = OVERHEAD + first.size;
        Self {
            records: vec![first],
            size,
            created: now,
            full: false,
            attempts: 0,
            not_before: Instant::ZERO,
            stamp: None,
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
        self.encoded = None;
    }

    /// The batch in Kafka's format.
    pub fn encode(&mut self, codec: Codec) -> Bytes {
        if let Some(bytes) = &self.encoded {
            return bytes.clone();
        }
        let mut options = BatchOptions { codec, ..BatchOptions::default() };
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

    /// Cuts a batch that the broker found too large in two; gives it back if it is one record.
    pub fn split(mut self) -> Result<(Self, Self), Self> {
        if self.records.len() < 2 {
            return Err(self);
        }
        let rest = self.records.split_off(self.records.len() / 2);
        let second = self.stamp.map(|stamp| Stamp { order: stamp.order + self.records.len() as u64, ..stamp });
        let created = self.created;
        let part = |records: Vec<Queued>, stamp| Self {
            size: OVERHEAD + records.iter().map(|record| record.size).sum::<u64>(),
            records,
            stamp,
            created,
            full: true,
            // As if they had not been tried: a split is no retry.
            attempts: 0,
            not_before: Instant::ZERO,
            encoded: None,
        };
        Ok((part(self.records, self.stamp), part(rest, second)))
    }
}
