//! A segment's `.txnindex`: the transactions whose abort marker lies in it, in the order of the markers.
//! It tells consumers that read only what is committed which records to pass over.

use bytes::{BufMut, BytesMut};

use crate::index::{Entry, Index};
use crate::log::Log;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
    /// That of the marker.
    pub last_offset: i64,
    /// What it became with the marker: no earlier transaction, aborted later, ends below it.
    pub last_stable_offset: i64,
}

const VERSION: i16 = 0;

impl Entry for AbortedTransaction {
    const LEN: usize = 34;

    fn encode(self, out: &mut BytesMut) {
        out.put_i16(VERSION);
        for field in [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset] {
            out.put_i64(field);
        }
    }

    fn decode(bytes: &[u8]) -> Self {
        let field = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Self { producer_id: field(2), first_offset: field(10), last_offset: field(18), last_stable_offset: field(26) }
    }

    fn precedes(self, next: Self) -> bool {
        self.last_offset < next.last_offset
    }
}

pub(crate) type TxnIndex = Index<AbortedTransaction>;

/// The index that a file holds, of a segment with the offsets `from..to`. `None` where it cannot be that.
pub(crate) fn decode(bytes: &[u8], from: i64, to: i64) -> Option<TxnIndex> {
    let is_known = |entry: &[u8]| entry.starts_with(&VERSION.to_be_bytes());
    if !bytes.chunks(AbortedTransaction::LEN).all(is_known) {
        return None;
    }
    let index = TxnIndex::decode(bytes)?;
    let is_sound = |entry: AbortedTransaction| {
        (from..to).contains(&entry.last_offset)
            && (0..entry.last_offset).contains(&entry.first_offset)
            && entry.producer_id >= 0
            && entry.last_stable_offset >= 0
    };
    (0..index.len()).filter_map(|at| index.get(at)).all(is_sound).then_some(index)
}

impl Log {
    /// The aborted transactions that a read of `from..next_offset` has to tell of, by their markers:
    /// those that may have records there, and as in Kafka also some that only come soon after, because
    /// the end of what was read is looked up in the sparse index. Ask only where the read found batches.
    pub fn aborted_transactions(&self, from: i64, next_offset: i64) -> Vec<AbortedTransaction> {
        self.aborted_between(from, self.index_bound(self.segment_at((next_offset - 1).max(from)), next_offset))
    }

    /// The aborted transactions that may have records in `from..upper`.
    pub(crate) fn aborted_between(&self, from: i64, upper: i64) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        for segment in &self.segments[self.segment_at(from)..] {
            let index = &segment.aborted;
            let past = index.count_where(|entry| entry.last_offset < from);
            for entry in (past..index.len()).filter_map(|at| index.get(at)) {
                if entry.first_offset < upper {
                    found.push(entry);
                }
                if entry.last_stable_offset >= upper {
                    return found;
                }
            }
        }
        found
    }

    /// The first offset at or after `offset` that the segment's index knows, or the segment's end.
    fn index_bound(&self, segment: usize, offset: i64) -> i64 {
        let base = self.segments[segment].base_offset;
        let indexed = self.segments[segment].indexes(&self.dir).ok().and_then(|(offsets, _)| {
            offsets.get(offsets.count_where(|entry| base + i64::from(entry.relative_offset) < offset))
        });
        match indexed {
            Some(entry) => base + i64::from(entry.relative_offset),
            None => self.segments.get(segment + 1).map_or(self.end_offset, |next| next.base_offset),
        }
    }
}
