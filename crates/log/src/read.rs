//! Reading a log: by offset, by timestamp, and as a picture for screens.

use bytes::Bytes;
use shore_wire::error::ErrorCode;

use crate::header::BatchHeader;
use crate::log::Log;
use crate::segment::{Need, Segment};
use crate::storage::{FileName, ReadRange};

/// Records, or what has to be loaded first. After a load was given to [`Log::loaded`] the same call
/// is made again; until then nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Ready {
        /// Whole batches, one after the other; a batch may lie in several slices.
        slices: Vec<Bytes>,
        bytes: usize,
        /// Where to read on.
        next_offset: i64,
    },
    Load(Vec<ReadRange>),
}

/// As [`Read`], for answers that are not records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    Ready(T),
    Load(Vec<ReadRange>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    OutOfRange {
        start: i64,
        end: i64,
    },
    /// What the disk gave back is not what was written.
    Corrupt {
        file: FileName,
        position: u64,
    },
}

impl ReadError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Corrupt { .. } => ErrorCode::CorruptMessage,
        }
    }
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: i64,
    pub offset: i64,
    pub leader_epoch: i32,
}

/// A segment as screens show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    pub base_offset: i64,
    pub end_offset: i64,
    pub size: u64,
    pub max_timestamp: i64,
    pub cached_bytes: u64,
}

impl Log {
    /// Batches from the one that holds `from`, up to `end` (exclusive: the high watermark, the last
    /// stable offset or the log's end) and to `max_bytes`. One batch is given even where it is larger,
    /// if `whole_first_batch`. As in Kafka, one read stays within one segment.
    pub fn read(&self, from: i64, end: i64, max_bytes: usize, whole_first_batch: bool) -> Result<Read, ReadError> {
        if from < self.start_offset || from > self.end_offset {
            return Err(ReadError::OutOfRange { start: self.start_offset, end: self.end_offset });
        }
        match self.find_records(from, end.min(self.end_offset), max_bytes as u64, whole_first_batch) {
            Ok((slices, next_offset)) => {
                let bytes = slices.iter().map(Bytes::len).sum();
                Ok(Read::Ready { slices, bytes, next_offset })
            }
            Err(Need::Load(ranges)) => Ok(Read::Load(ranges)),
            Err(Need::Corrupt { file, position }) => Err(ReadError::Corrupt { file, position }),
        }
    }

    fn find_records(&self, from: i64, end: i64, max_bytes: u64, whole: bool) -> Result<(Vec<Bytes>, i64), Need> {
        let nothing = (Vec::new(), from);
        if from >= end || (max_bytes == 0 && !whole) {
            return Ok(nothing);
        }
        for segment in &self.segments[self.segment_at(from)..] {
            let sought = segment.seek(&self.dir, from).map_err(|need| segment.load_more(need, None, max_bytes))?;
            let Some((position, first)) = sought else { continue };
            let limit = if whole { max_bytes.max(first.size.into()) } else { max_bytes };
            if first.base_offset >= end || u64::from(first.size) > limit {
                return Ok(nothing);
            }
            return self
                .extent(segment, position, end, position.saturating_add(limit))
                .and_then(|(stop, next_offset)| Ok((segment.slices(position, stop)?, next_offset)))
                .map_err(|need| segment.load_more(need, Some(position), limit));
        }
        Ok(nothing)
    }

    /// Where whole batches end that begin at `position`, stay below offset `end`, and below position
    /// `limit`; and the offset after them.
    fn extent(&self, segment: &Segment, position: u64, end: i64, limit: u64) -> Result<(u64, i64), Need> {
        if segment.size <= limit && segment.end_offset <= end {
            return Ok((segment.size, segment.end_offset));
        }
        // The index is a shortcut past batches that surely fit; no more than an interval is walked.
        let (offsets, _) = segment.indexes(&self.dir)?;
        let last = end - 1 - segment.base_offset;
        let hint =
            offsets.last_where(|entry| u64::from(entry.position) <= limit && i64::from(entry.relative_offset) <= last);
        match segment.position_of(hint.filter(|hint| u64::from(hint.position) > position))? {
            Some(hinted) => self.walk(segment, hinted, end, limit),
            None => self.walk(segment, position, end, limit),
        }
    }

    fn walk(&self, segment: &Segment, mut position: u64, end: i64, limit: u64) -> Result<(u64, i64), Need> {
        let mut next_offset = segment.base_offset;
        while position < segment.size {
            let header = segment.header(position)?;
            let after = position + u64::from(header.size);
            if header.base_offset >= end {
                break;
            }
            if after > limit {
                // Walked from a hint, not even one batch may fit; what precedes it ends here.
                next_offset = next_offset.max(header.base_offset);
                break;
            }
            position = after;
            next_offset = header.last_offset + 1;
        }
        Ok((position, next_offset))
    }

    /// The first record, by offset, with a timestamp of at least `timestamp`.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Lookup<Option<TimestampOffset>>, ReadError> {
        lookup(self.find_timestamp(timestamp))
    }

    fn find_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, Need> {
        let Some(segment) = self.segments.iter().find(|segment| segment.largest_timestamp() >= timestamp) else {
            return Ok(None);
        };
        let (_, times) = segment.indexes(&self.dir)?;
        // No record up to the entry's offset is as late as its successors; those up to it may be as late
        // as its own timestamp.
        let earlier = times.last_where(|entry| entry.timestamp <= timestamp);
        let hint = earlier.map_or(0, |entry| segment.base_offset + i64::from(entry.relative_offset));
        let mut from = hint.max(self.start_offset);
        while let Some((position, batch)) = segment.seek(&self.dir, from)? {
            if batch.max_timestamp >= timestamp
                && let Some(found) = self.record_in(segment, position, &batch, timestamp, self.start_offset)?
            {
                return Ok(Some(found));
            }
            from = batch.last_offset + 1;
        }
        Ok(None)
    }

    /// The record with the largest timestamp, the first one if there are several. As in Kafka it may lie below the log's
    /// start, while its segment is there.
    pub fn max_timestamp(&self) -> Result<Lookup<Option<TimestampOffset>>, ReadError> {
        lookup(self.find_max_timestamp())
    }

    fn find_max_timestamp(&self) -> Result<Option<TimestampOffset>, Need> {
        let latest = self.segments.iter().map(|segment| segment.max_timestamp).max().unwrap_or(-1);
        let Some(segment) = self.segments.iter().find(|segment| segment.max_timestamp == latest && latest >= 0) else {
            return Ok(None);
        };
        match segment.seek(&self.dir, segment.max_timestamp_offset)? {
            Some((position, batch)) => self.record_in(segment, position, &batch, latest, segment.base_offset),
            None => Ok(None),
        }
    }

    /// The first record of a batch with at least this timestamp and offset.
    fn record_in(
        &self,
        segment: &Segment,
        position: u64,
        batch: &BatchHeader,
        timestamp: i64,
        offset: i64,
    ) -> Result<Option<TimestampOffset>, Need> {
        let bytes = segment.slices(position, position + u64::from(batch.size))?.concat();
        let corrupt = || Need::Corrupt { file: segment.log.clone(), position };
        let found = crate::validate::first_record_at(&bytes, timestamp, offset).map_err(|_| corrupt())?;
        Ok(found.map(|(offset, timestamp)| TimestampOffset { timestamp, offset, leader_epoch: batch.leader_epoch }))
    }

    /// Index of the segment that holds `offset`, or would.
    pub(crate) fn segment_at(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1)
    }

    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> {
        self.segments.iter().map(|segment| SegmentInfo {
            base_offset: segment.base_offset,
            end_offset: segment.end_offset,
            size: segment.size,
            max_timestamp: segment.max_timestamp,
            cached_bytes: segment.cache.bytes(),
        })
    }

    /// The batches of `from..to`, at most `most` of them, as far as they are in memory.
    pub fn batches(&self, from: i64, to: i64, most: usize) -> Vec<BatchHeader> {
        let mut found = Vec::new();
        let mut from = from.max(self.start_offset);
        for segment in &self.segments[self.segment_at(from)..] {
            let Ok(Some((mut position, _))) = segment.seek(&self.dir, from) else { continue };
            while position < segment.size && found.len() < most {
                let Ok(batch) = segment.header(position) else { break };
                if batch.base_offset >= to {
                    return found;
                }
                position += u64::from(batch.size);
                found.push(batch);
            }
            from = segment.end_offset;
        }
        found
    }
}

fn lookup<T>(result: Result<T, Need>) -> Result<Lookup<T>, ReadError> {
    match result {
        Ok(found) => Ok(Lookup::Ready(found)),
        Err(Need::Load(ranges)) => Ok(Lookup::Load(ranges)),
        Err(Need::Corrupt { file, position }) => Err(ReadError::Corrupt { file, position }),
    }
}
