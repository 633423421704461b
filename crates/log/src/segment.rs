//! One segment: a `.log` file, its indexes, and what of them is in memory.

use bytes::Bytes;
use shore_base::Wall;
use shore_wire::batch::BATCH_HEADER;

use crate::cache::Cache;
use crate::header::BatchHeader;
use crate::index::{Index, OffsetEntry, TimeEntry};
use crate::storage::{FileName, ReadRange};
use crate::txn_index::TxnIndex;

/// The files of a segment are named after its first offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Log,
    Index,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Log, Self::Index, Self::TimeIndex, Self::TxnIndex, Self::Snapshot];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Index => "index",
            Self::TimeIndex => "timeindex",
            Self::TxnIndex => "txnindex",
            Self::Snapshot => "snapshot",
        }
    }

    pub fn file(self, dir: &FileName, offset: i64) -> FileName {
        dir.join(&format!("{offset:020}.{}", self.suffix()))
    }

    /// The offset and kind that a file's base name stands for.
    pub fn parse(name: &str) -> Option<(i64, Self)> {
        let (digits, suffix) = name.split_once('.')?;
        if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kind = Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        Some((digits.parse().ok()?, kind))
    }
}

/// Why something cannot be answered from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Load(Vec<ReadRange>),
    /// What the disk gave back is not a batch.
    Corrupt {
        file: FileName,
        position: u64,
    },
}

/// The indexes of a segment. A closed segment's are loaded when a read asks for them.
#[derive(Clone, Debug)]
pub(crate) enum Indexes {
    Held { offsets: Index<OffsetEntry>, times: Index<TimeEntry> },
    OnDisk { offsets_len: u64, times_len: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub base_offset: i64,
    pub log: FileName,
    pub size: u64,
    /// The offset after its last batch.
    pub end_offset: i64,
    /// -1 while no record has a timestamp.
    pub max_timestamp: i64,
    /// The last offset of the batch that brought it.
    pub max_timestamp_offset: i64,
    /// The largest timestamp of the first append: what rolling by time counts from.
    pub first_timestamp: Option<i64>,
    pub created: Wall,
    pub modified: Wall,
    /// Since the last entry of the offset index.
    pub unindexed_bytes: u64,
    pub indexes: Indexes,
    /// There are few of them: they stay in memory, and their file grows with them.
    pub aborted: TxnIndex,
    pub cache: Cache,
}

/// What [`Segment::append`] changes, apart from bytes.
#[derive(Clone, Debug)]
pub(crate) struct SegmentMark {
    size: u64,
    end_offset: i64,
    max_timestamp: i64,
    max_timestamp_offset: i64,
    first_timestamp: Option<i64>,
    modified: Wall,
    unindexed_bytes: u64,
    offsets: usize,
    times: usize,
    aborted: usize,
}

impl SegmentMark {
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// How much is asked for at once where a batch's place is not known yet.
const READ_AHEAD: u64 = 64 * 1024;

impl Segment {
    pub fn new(dir: &FileName, base_offset: i64, now: Wall) -> Self {
        Self {
            base_offset,
            log: Kind::Log.file(dir, base_offset),
            size: 0,
            end_offset: base_offset,
            max_timestamp: -1,
            max_timestamp_offset: -1,
            first_timestamp: None,
            created: now,
            modified: now,
            unindexed_bytes: 0,
            indexes: Indexes::Held { offsets: Index::default(), times: Index::default() },
            aborted: TxnIndex::default(),
            cache: Cache::default(),
        }
    }

    /// The timestamp that retention goes by.
    pub fn largest_timestamp(&self) -> i64 {
        if self.max_timestamp >= 0 { self.max_timestamp } else { self.modified.as_millis() }
    }

    pub fn relative(&self, offset: i64) -> Option<u32> {
        // Kafka reads them as signed.
        u32::try_from(offset - self.base_offset).ok().filter(|&relative| relative <= i32::MAX as u32)
    }

    /// Notes a batch that stands at the segment's end, and indexes it if it is due.
    pub fn note_batch(&mut self, batch: &BatchHeader, index_interval_bytes: u32, now: Wall) {
        if self.size == 0 {
            self.first_timestamp = Some(batch.max_timestamp);
        }
        if batch.max_timestamp > self.max_timestamp {
            self.max_timestamp = batch.max_timestamp;
            self.max_timestamp_offset = batch.last_offset;
        }
        if self.unindexed_bytes > u64::from(index_interval_bytes) {
            let relative_offset = self.relative(batch.last_offset).expect("rolled before offsets overflow");
            if let Indexes::Held { offsets, .. } = &mut self.indexes {
                offsets.push(OffsetEntry { relative_offset, position: self.size as u32 });
            }
            self.index_time();
            self.unindexed_bytes = 0;
        }
        self.unindexed_bytes += u64::from(batch.size);
        self.size += u64::from(batch.size);
        self.end_offset = batch.last_offset + 1;
        self.modified = now;
    }

    /// Adds the largest timestamp to the time index, if it is not there. Done at every entry of the
    /// offset index and when the segment is closed.
    pub fn index_time(&mut self) {
        let relative = self.relative(self.max_timestamp_offset);
        let Indexes::Held { times, .. } = &mut self.indexes else { return };
        let last = times.last().map_or(-1, |entry| entry.timestamp);
        if let Some(relative_offset) = relative.filter(|_| self.max_timestamp > last) {
            times.push(TimeEntry { timestamp: self.max_timestamp, relative_offset });
        }
    }

    pub fn mark(&self) -> SegmentMark {
        let (offsets, times) = self.index_lens();
        SegmentMark {
            size: self.size,
            end_offset: self.end_offset,
            max_timestamp: self.max_timestamp,
            max_timestamp_offset: self.max_timestamp_offset,
            first_timestamp: self.first_timestamp,
            modified: self.modified,
            unindexed_bytes: self.unindexed_bytes,
            offsets,
            times,
            aborted: self.aborted.len(),
        }
    }

    pub fn rewind(&mut self, mark: &SegmentMark) {
        self.size = mark.size;
        self.end_offset = mark.end_offset;
        self.max_timestamp = mark.max_timestamp;
        self.max_timestamp_offset = mark.max_timestamp_offset;
        self.first_timestamp = mark.first_timestamp;
        self.modified = mark.modified;
        self.unindexed_bytes = mark.unindexed_bytes;
        if let Indexes::Held { offsets, times } = &mut self.indexes {
            offsets.truncate(mark.offsets);
            times.truncate(mark.times);
        }
        self.aborted.truncate(mark.aborted);
        self.cache.truncate(mark.size);
    }

    /// Entries of the offset index and of the time index; none where they are not in memory.
    pub fn index_lens(&self) -> (usize, usize) {
        match &self.indexes {
            Indexes::Held { offsets, times } => (offsets.len(), times.len()),
            Indexes::OnDisk { .. } => (0, 0),
        }
    }

    pub fn indexes(&self, dir: &FileName) -> Result<(&Index<OffsetEntry>, &Index<TimeEntry>), Need> {
        match &self.indexes {
            Indexes::Held { offsets, times } => Ok((offsets, times)),
            Indexes::OnDisk { offsets_len, times_len } => Err(Need::Load(vec![
                ReadRange { file: Kind::Index.file(dir, self.base_offset), position: 0, len: *offsets_len },
                ReadRange { file: Kind::TimeIndex.file(dir, self.base_offset), position: 0, len: *times_len },
            ])),
        }
    }

    /// Takes an index that was loaded. One that is damaged counts as empty: the segment is then
    /// searched from its beginning.
    pub fn index_loaded(&mut self, kind: Kind, bytes: &[u8]) {
        if let Indexes::OnDisk { .. } = self.indexes {
            self.indexes = Indexes::Held { offsets: Index::default(), times: Index::default() };
        }
        let Indexes::Held { offsets, times } = &mut self.indexes else { return };
        match kind {
            Kind::Index => *offsets = Index::decode(bytes).unwrap_or_default(),
            Kind::TimeIndex => *times = Index::decode(bytes).unwrap_or_default(),
            Kind::Log | Kind::TxnIndex | Kind::Snapshot => {}
        }
    }

    /// The header of the batch at `position`, which is below `size`.
    pub fn header(&self, position: u64) -> Result<BatchHeader, Need> {
        let bytes =
            self.cache.gather::<BATCH_HEADER>(position).map_err(|missing| self.load(missing, position + READ_AHEAD))?;
        BatchHeader::parse(&bytes)
            .filter(|header| header.base_offset >= self.base_offset && position + u64::from(header.size) <= self.size)
            .ok_or_else(|| Need::Corrupt { file: self.log.clone(), position })
    }

    /// The first batch that has `offset` or lies after it, and where it stands.
    pub fn seek(&self, dir: &FileName, offset: i64) -> Result<Option<(u64, BatchHeader)>, Need> {
        let (offsets, _) = self.indexes(dir)?;
        let wanted = offset.saturating_sub(self.base_offset);
        let hint = offsets.last_where(|entry| i64::from(entry.relative_offset) <= wanted);
        if let Some(position) = self.position_of(hint)? {
            return self.seek_from(position, offset);
        }
        self.seek_from(0, offset)
    }

    /// Where an index entry points to, if the batch that it means stands there: an index that does not
    /// fit its segment is only a bad hint.
    pub fn position_of(&self, entry: Option<OffsetEntry>) -> Result<Option<u64>, Need> {
        let Some(entry) = entry.filter(|entry| u64::from(entry.position) < self.size) else { return Ok(None) };
        match self.header(entry.position.into()) {
            Ok(header) if self.relative(header.last_offset) == Some(entry.relative_offset) => {
                Ok(Some(entry.position.into()))
            }
            Err(Need::Load(ranges)) => Err(Need::Load(ranges)),
            Ok(_) | Err(Need::Corrupt { .. }) => Ok(None),
        }
    }

    fn seek_from(&self, mut position: u64, offset: i64) -> Result<Option<(u64, BatchHeader)>, Need> {
        while position < self.size {
            let header = self.header(position)?;
            if header.last_offset >= offset {
                return Ok(Some((position, header)));
            }
            position += u64::from(header.size);
        }
        Ok(None)
    }

    /// Bytes `from..to` of the `.log` file.
    pub fn slices(&self, from: u64, to: u64) -> Result<Vec<Bytes>, Need> {
        self.cache.slices(from, to).map_err(|missing| self.load(missing, to))
    }

    /// Where something has to be loaded to read `len` bytes from a batch's `position` on: asks for all of them at once, and
    /// for what is read beyond them to see where batches end. Without a position the batch is still sought.
    pub fn load_more(&self, need: Need, position: Option<u64>, len: u64) -> Need {
        let Need::Load(ranges) = &need else { return need };
        let Some(range) = ranges.first().filter(|range| range.file == self.log) else { return need };
        let from = position.unwrap_or(range.position);
        let to = from.saturating_add(len).saturating_add(READ_AHEAD).min(self.size);
        self.cache.first_missing(from, to).map_or(need, |missing| self.load(missing, to))
    }

    /// Asks for what is missing from `missing` on, at least up to `to` or the next piece that is there.
    fn load(&self, missing: u64, to: u64) -> Need {
        let end = to.max(missing + READ_AHEAD).min(self.size);
        let end = self.cache.gap_end(missing).map_or(end, |gap_end| gap_end.min(end));
        Need::Load(vec![ReadRange { file: self.log.clone(), position: missing, len: end - missing }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let dir = FileName::from("n1/d0/orders-0");
        for kind in Kind::ALL {
            let file = kind.file(&dir, 1234);
            assert_eq!(Kind::parse(file.base_name()), Some((1234, kind)));
        }
        assert_eq!(Kind::Log.file(&dir, 1234).as_str(), "n1/d0/orders-0/00000000000000001234.log");
        for other in ["123.log", "0000000000000000000x.log", "00000000000000000000.log.deleted", "partition.metadata"] {
            assert_eq!(Kind::parse(other), None, "{other}");
        }
    }
}
