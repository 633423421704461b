//! The indexes of a segment, in Kafka's file formats: offsets to positions (8 bytes an entry) and
//! timestamps to offsets (12 bytes an entry). Both are sparse and only hints: a lookup answers where
//! to begin to look. The third, of aborted transactions, is neither: see the transaction index.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

/// An entry of one of the indexes.
pub(crate) trait Entry: Copy {
    const LEN: usize;
    fn encode(self, out: &mut BytesMut);
    fn decode(bytes: &[u8]) -> Self;
    /// Whether `self` may stand before `next`.
    fn precedes(self, next: Self) -> bool;
}

/// Offset `relative_offset` and what is before it lies at or before the end of the batch at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub relative_offset: u32,
    pub position: u32,
}

impl Entry for OffsetEntry {
    const LEN: usize = 8;

    fn encode(self, out: &mut BytesMut) {
        out.put_u32(self.relative_offset);
        out.put_u32(self.position);
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { relative_offset: be_u32(bytes), position: be_u32(&bytes[4..]) }
    }

    fn precedes(self, next: Self) -> bool {
        self.relative_offset < next.relative_offset && self.position < next.position
    }
}

/// Up to offset `relative_offset`, no record has a larger timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub timestamp: i64,
    pub relative_offset: u32,
}

impl Entry for TimeEntry {
    const LEN: usize = 12;

    fn encode(self, out: &mut BytesMut) {
        out.put_i64(self.timestamp);
        out.put_u32(self.relative_offset);
    }

    fn decode(bytes: &[u8]) -> Self {
        let timestamp = i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
        Self { timestamp, relative_offset: be_u32(&bytes[8..]) }
    }

    fn precedes(self, next: Self) -> bool {
        self.timestamp < next.timestamp && self.relative_offset <= next.relative_offset
    }
}

/// Entries in blocks, so that a clone shares all but the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Index<T> {
    full: Vec<Arc<[T]>>,
    tail: Vec<T>,
}

const BLOCK: usize = 512;

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { full: Vec::new(), tail: Vec::new() }
    }
}

impl<T: Entry> Index<T> {
    pub fn len(&self) -> usize {
        self.full.len() * BLOCK + self.tail.len()
    }

    /// The bytes of its file.
    pub fn file_len(&self) -> u64 {
        (self.len() * T::LEN) as u64
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn push(&mut self, entry: T) {
        self.tail.push(entry);
        if self.tail.len() == BLOCK {
            self.full.push(Arc::from(std::mem::take(&mut self.tail)));
        }
    }

    pub fn get(&self, index: usize) -> Option<T> {
        match self.full.get(index / BLOCK) {
            Some(block) => block.get(index % BLOCK).copied(),
            None => self.tail.get(index - self.full.len() * BLOCK).copied(),
        }
    }

    pub fn last(&self) -> Option<T> {
        self.get(self.len().checked_sub(1)?)
    }

    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        if len / BLOCK < self.full.len() {
            self.tail = self.full[len / BLOCK].to_vec();
            self.full.truncate(len / BLOCK);
        }
        self.tail.truncate(len % BLOCK);
    }

    /// The last entry for which `holds` is true, where it is true of a prefix of the index.
    pub fn last_where(&self, holds: impl Fn(&T) -> bool) -> Option<T> {
        self.get(self.count_where(holds).checked_sub(1)?)
    }

    /// How many entries `holds` is true of, where those are a prefix of the index.
    pub fn count_where(&self, holds: impl Fn(&T) -> bool) -> usize {
        let blocks = self.full.partition_point(|block| block.last().is_some_and(&holds));
        let rest = self.full.get(blocks).map_or(&self.tail[..], |block| &block[..]);
        blocks * BLOCK + rest.partition_point(&holds)
    }

    /// The file's bytes from entry `from` on.
    pub fn encode_from(&self, from: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len().saturating_sub(from) * T::LEN);
        (from..self.len()).filter_map(|index| self.get(index)).for_each(|entry| entry.encode(&mut out));
        out.freeze()
    }

    /// `None` where the bytes cannot be an index: a lookup would not be safe.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if !bytes.len().is_multiple_of(T::LEN) {
            return None;
        }
        let mut index = Self::default();
        let mut last: Option<T> = None;
        for entry in bytes.chunks_exact(T::LEN).map(T::decode) {
            if last.is_some_and(|last| !last.precedes(entry)) {
                return None;
            }
            last = Some(entry);
            index.push(entry);
        }
        Some(index)
    }
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(len: u32) -> Index<OffsetEntry> {
        let mut index = Index::default();
        (0..len).for_each(|n| index.push(OffsetEntry { relative_offset: n * 10 + 9, position: n * 5000 }));
        index
    }

    #[test]
    fn a_lookup_finds_the_last_entry_at_or_before() {
        for len in [0, 1, 2, BLOCK as u32 - 1, BLOCK as u32, BLOCK as u32 + 1, 3 * BLOCK as u32 + 7] {
            let index = filled(len);
            assert_eq!(index.len(), len as usize);
            for wanted in (0..len * 10 + 20).step_by(7) {
                let expected = (wanted + 1).checked_div(10).unwrap().min(len).checked_sub(1).map(|n| n * 5000);
                let found = index.last_where(|entry| entry.relative_offset <= wanted).map(|entry| entry.position);
                assert_eq!(found, expected, "{wanted} of {len}");
            }
        }
    }

    #[test]
    fn truncation_and_the_file_keep_what_is_before() {
        let len = 2 * BLOCK as u32 + 3;
        for kept in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, len as usize, len as usize + 5] {
            let mut index = filled(len);
            index.truncate(kept);
            assert_eq!(index.len(), kept.min(len as usize));
            assert_eq!(index.encode_from(0), filled(index.len() as u32).encode_from(0));
            let back = Index::<OffsetEntry>::decode(&index.encode_from(0)).expect("an index");
            assert_eq!(back.last(), index.last());
        }
    }

    #[test]
    fn what_is_not_an_index_is_refused() {
        let good = filled(3).encode_from(0);
        assert!(Index::<OffsetEntry>::decode(&good[..good.len() - 1]).is_none());
        let mut unsorted = good.to_vec();
        unsorted[8..16].fill(0);
        assert!(Index::<OffsetEntry>::decode(&unsorted).is_none());
    }
}
