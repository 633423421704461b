//! Record batches of format 2, read where they lie.
//!
//! ```text
//!  0 base offset            i64   not under the CRC: the broker assigns it
//!  8 batch length           i32   bytes after this field
//! 12 partition leader epoch i32   not under the CRC: the broker assigns it
//! 16 magic                  i8    2
//! 17 CRC                    u32   CRC-32C of everything from the attributes on
//! 21 attributes             i16   bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//! 23 last offset delta      i32
//! 27 base timestamp         i64   or the delete horizon, if bit 6 is set
//! 35 max timestamp          i64
//! 43 producer id            i64
//! 51 producer epoch         i16
//! 53 base sequence          i32
//! 57 record count           i32
//! 61 records, compressed as one
//! ```

mod build;
mod control;
mod records;
#[cfg(test)]
mod tests;

use std::fmt;

pub use build::{BatchBuilder, BatchOptions};
pub use control::{ControlKind, end_transaction_marker};
pub use records::{Header, Headers, Record, RecordIter, Records, Survey};

use crate::compress::{Codec, CompressError};
use crate::crc32c::crc32c;

/// The bytes before the batch length's end: base offset and batch length.
pub const LOG_OVERHEAD: usize = 12;
/// The bytes of a batch before its records.
pub const BATCH_HEADER: usize = 61;
/// The format that is written.
pub const MAGIC: i8 = 2;

const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const COUNT_AT: usize = 57;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// The smallest batch length that any format has: a message of format 0 without key and value.
const SHORTEST_LENGTH: i32 = 14;

/// Why bytes are not a batch, or a batch not what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end before the batch does: a torn tail.
    Torn {
        needed: usize,
        remaining: usize,
    },
    /// The batch length is shorter than any batch.
    BadLength {
        length: i32,
    },
    /// A message set of the formats before 2, or of none.
    Magic {
        magic: i8,
    },
    Crc {
        stored: u32,
        computed: u32,
    },
    UnknownCodec {
        id: i16,
    },
    Compression(CompressError),
    /// The record at this index is not well formed.
    BadRecord {
        index: i32,
        what: &'static str,
    },
    /// The header counts other records than there are.
    BadCount {
        count: i32,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { needed, remaining } => write!(f, "a batch of {needed} bytes where {remaining} remain"),
            Self::BadLength { length } => write!(f, "batch length {length} is shorter than any batch"),
            Self::Magic { magic } => write!(f, "record format {magic} where 2 is read"),
            Self::Crc { stored, computed } => {
                write!(f, "the batch says CRC {stored:#010x} where its bytes give {computed:#010x}")
            }
            Self::UnknownCodec { id } => write!(f, "unknown compression codec {id}"),
            Self::Compression(error) => error.fmt(f),
            Self::BadRecord { index, what } => write!(f, "record {index}: {what}"),
            Self::BadCount { count } => write!(f, "the batch says that it has {count} records and has others"),
        }
    }
}

impl std::error::Error for BatchError {}

/// A batch in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BatchView<'a> {
    /// The whole batch, header first. Invariant: at least [`BATCH_HEADER`] long, as long as its
    /// batch length says, and of format 2.
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the front of `bytes`, if all of it is there. Neither the CRC nor the records
    /// are looked at.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let Some(length) = bytes.get(8..LOG_OVERHEAD) else {
            return Err(BatchError::Torn { needed: LOG_OVERHEAD, remaining: bytes.len() });
        };
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        if length < SHORTEST_LENGTH {
            return Err(BatchError::BadLength { length });
        }
        let size = LOG_OVERHEAD + length as usize;
        let Some(batch) = bytes.get(..size) else {
            return Err(BatchError::Torn { needed: size, remaining: bytes.len() });
        };
        let magic = batch[MAGIC_AT] as i8;
        if magic != MAGIC {
            return Err(BatchError::Magic { magic });
        }
        if size < BATCH_HEADER {
            return Err(BatchError::BadLength { length });
        }
        Ok(Self { bytes: batch })
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The records as they are stored: compressed, if a codec is set.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[BATCH_HEADER..]
    }

    pub fn base_offset(&self) -> i64 {
        self.i64_at(0)
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset().wrapping_add(i64::from(self.last_offset_delta()))
    }

    /// The offset after the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    pub fn last_offset_delta(&self) -> i32 {
        self.i32_at(LAST_OFFSET_DELTA_AT)
    }

    pub fn leader_epoch(&self) -> i32 {
        self.i32_at(LEADER_EPOCH_AT)
    }

    pub fn magic(&self) -> i8 {
        self.bytes[MAGIC_AT] as i8
    }

    pub fn crc(&self) -> u32 {
        self.i32_at(CRC_AT) as u32
    }

    pub fn attributes(&self) -> i16 {
        self.i16_at(ATTRIBUTES_AT)
    }

    /// The codec, or `None` if its bits name none.
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_attributes(self.attributes())
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & LOG_APPEND_TIME != 0 { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// When compaction may drop the tombstones of this batch.
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes() & DELETE_HORIZON != 0).then(|| self.i64_at(BASE_TIMESTAMP_AT))
    }

    pub fn base_timestamp(&self) -> i64 {
        self.i64_at(BASE_TIMESTAMP_AT)
    }

    pub fn max_timestamp(&self) -> i64 {
        self.i64_at(MAX_TIMESTAMP_AT)
    }

    /// -1 if the producer is not idempotent.
    pub fn producer_id(&self) -> i64 {
        self.i64_at(PRODUCER_ID_AT)
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id() >= 0
    }

    pub fn producer_epoch(&self) -> i16 {
        self.i16_at(PRODUCER_EPOCH_AT)
    }

    /// -1 if the producer is not idempotent, and in control batches.
    pub fn base_sequence(&self) -> i32 {
        self.i32_at(BASE_SEQUENCE_AT)
    }

    /// The sequence of the last record. Sequences wrap from the greatest `i32` to zero.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            -1 => -1,
            base => increment_sequence(base, self.last_offset_delta()),
        }
    }

    /// How many records the header says there are.
    pub fn count(&self) -> i32 {
        self.i32_at(COUNT_AT)
    }

    pub fn computed_crc(&self) -> u32 {
        crc32c(&self.bytes[ATTRIBUTES_AT..])
    }

    pub fn crc_matches(&self) -> bool {
        self.crc() == self.computed_crc()
    }

    /// The records, inflated to at most `cap` bytes.
    pub fn records(&self, cap: usize) -> Result<Records<'a>, BatchError> {
        Records::open(*self, cap)
    }

    #[inline]
    fn i16_at(&self, at: usize) -> i16 {
        i16::from_be_bytes(*self.array_at(at))
    }

    #[inline]
    fn i32_at(&self, at: usize) -> i32 {
        i32::from_be_bytes(*self.array_at(at))
    }

    #[inline]
    fn i64_at(&self, at: usize) -> i64 {
        i64::from_be_bytes(*self.array_at(at))
    }

    #[inline]
    fn array_at<const N: usize>(&self, at: usize) -> &'a [u8; N] {
        self.bytes[at..].first_chunk().expect("within the header")
    }
}

impl fmt::Debug for BatchView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchView")
            .field("base_offset", &self.base_offset())
            .field("last_offset", &self.last_offset())
            .field("leader_epoch", &self.leader_epoch())
            .field("attributes", &self.attributes())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .field("count", &self.count())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

/// What a record's timestamp says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// When the producer made it.
    #[default]
    CreateTime,
    /// When the broker appended it.
    LogAppendTime,
}

/// `sequence` moved on by `increment`; the greatest `i32` is followed by zero.
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    sequence.wrapping_add(increment) & i32::MAX
}

/// The batches that follow one another in `bytes`. The iterator ends after its first error.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes, position: 0 }
}

#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    position: usize,
}

impl Batches<'_> {
    /// Where the next batch begins: the bytes of the whole batches before it.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = BatchView::parse(self.rest);
        match &batch {
            Ok(batch) => {
                self.rest = &self.rest[batch.size()..];
                self.position += batch.size();
            }
            Err(_) => self.rest = &[],
        }
        Some(batch)
    }
}

/// Gives the batch at the front of `bytes` its base offset and leader epoch. Neither is under the CRC.
///
/// # Panics
/// If `bytes` is shorter than a batch's header.
pub fn patch(bytes: &mut [u8], base_offset: i64, leader_epoch: i32) {
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Stamps the batch that `bytes` is with the broker's time, and mends its CRC. The base timestamp
/// stays: the records' deltas refer to it and mean nothing from here on.
///
/// # Panics
/// If `bytes` is shorter than a batch's header.
pub fn set_log_append_time(bytes: &mut [u8], millis: i64) {
    set_timestamps(bytes, LOG_APPEND_TIME, millis);
}

/// Sets the max timestamp of a batch whose records keep their own timestamps, and mends its CRC.
///
/// # Panics
/// If `bytes` is shorter than a batch's header.
pub fn set_max_timestamp(bytes: &mut [u8], millis: i64) {
    set_timestamps(bytes, 0, millis);
}

/// The header of a batch without its records: what compaction leaves where the batch still tells of its
/// producer. As in Kafka it has no codec, no delete horizon and no base timestamp.
pub fn emptied(batch: &BatchView<'_>) -> [u8; BATCH_HEADER] {
    let mut header: [u8; BATCH_HEADER] = *batch.bytes.first_chunk().expect("a batch has a header");
    let attributes = batch.attributes() & (LOG_APPEND_TIME | TRANSACTIONAL | CONTROL);
    header[8..LOG_OVERHEAD].copy_from_slice(&((BATCH_HEADER - LOG_OVERHEAD) as i32).to_be_bytes());
    header[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.to_be_bytes());
    header[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&(-1_i64).to_be_bytes());
    header[COUNT_AT..].copy_from_slice(&[0; 4]);
    let crc = crc32c(&header[ATTRIBUTES_AT..]);
    header[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    header
}

fn set_timestamps(bytes: &mut [u8], type_bit: i16, max_timestamp: i64) {
    let attributes = i16::from_be_bytes([bytes[ATTRIBUTES_AT], bytes[ATTRIBUTES_AT + 1]]);
    let attributes = (attributes & !LOG_APPEND_TIME) | type_bit;
    bytes[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&max_timestamp.to_be_bytes());
    let crc = crc32c(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}
