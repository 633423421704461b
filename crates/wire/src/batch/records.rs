//! The records of a batch, one after the other, without an allocation for each.

use std::borrow::Cow;

use super::{BatchError, BatchView, TimestampType};
use crate::compress::{Codec, inflation_cap};

/// A batch's records, inflated if they were compressed. Iterate `&records`.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    payload: Cow<'a, [u8]>,
    base_offset: i64,
    base_timestamp: i64,
    /// What every record's timestamp is, if the broker stamped the batch.
    log_append_time: Option<i64>,
    count: i32,
}

impl<'a> Records<'a> {
    pub(super) fn open(batch: BatchView<'a>, cap: usize) -> Result<Self, BatchError> {
        let codec = batch.codec().ok_or(BatchError::UnknownCodec { id: batch.attributes() & super::CODEC_MASK })?;
        let payload = match codec {
            Codec::None => Cow::Borrowed(batch.payload()),
            codec => Cow::Owned(
                codec
                    .decompress(batch.payload(), cap.min(inflation_cap(batch.payload().len())))
                    .map_err(BatchError::Compression)?,
            ),
        };
        // A record is at least a length and six fields of a byte each.
        let fits = usize::try_from(batch.count()).is_ok_and(|count| count <= payload.len() / SHORTEST_RECORD);
        if !fits {
            return Err(BatchError::BadCount { count: batch.count() });
        }
        Ok(Self {
            payload,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            log_append_time: match batch.timestamp_type() {
                TimestampType::LogAppendTime => Some(batch.max_timestamp()),
                TimestampType::CreateTime => None,
            },
            count: batch.count(),
        })
    }

    /// How many there are, by the batch's header.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// The bytes of the records, inflated.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { rest: Cursor { bytes: &self.payload }, records: self, index: 0 }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, BatchError>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

/// The shortest record: length, attributes, two deltas, null key, null value, no headers.
const SHORTEST_RECORD: usize = 7;

/// One record in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: i64,
    pub timestamp: i64,
    pub offset_delta: i32,
    pub attributes: i8,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// UTF-8 by convention; a broker does not look.
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The key as text; bytes that are not UTF-8 become replacement characters.
    pub fn key_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// A record's headers in order; a key may come more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Invariant: holds exactly `count` well-formed headers, as [`RecordIter`] has checked.
    bytes: &'a [u8],
    count: i32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.count == 0 {
            return None;
        }
        let mut cursor = Cursor { bytes: self.bytes };
        let header = cursor.header().expect("headers are checked before they are handed out");
        self.bytes = cursor.bytes;
        self.count -= 1;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Reads records one by one. Ends after its first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'r> {
    rest: Cursor<'r>,
    records: &'r Records<'r>,
    index: i32,
}

impl<'r> Iterator for RecordIter<'r> {
    type Item = Result<Record<'r>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.records.count {
            if self.rest.bytes.is_empty() {
                return None;
            }
            self.rest = Cursor { bytes: &[] };
            return Some(Err(BatchError::BadCount { count: self.records.count }));
        }
        let record = self.read();
        match record {
            Ok(_) => self.index += 1,
            Err(_) => {
                self.rest = Cursor { bytes: &[] };
                self.index = self.records.count;
            }
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some((self.records.count - self.index) as usize + 1))
    }
}

impl<'r> RecordIter<'r> {
    #[inline]
    fn read(&mut self) -> Result<Record<'r>, BatchError> {
        let bad = |what| BatchError::BadRecord { index: self.index, what };
        if self.rest.bytes.is_empty() {
            return Err(BatchError::BadCount { count: self.records.count });
        }
        let length = self.rest.varint().ok_or_else(|| bad("its length is cut off"))?;
        let length = usize::try_from(length).map_err(|_| bad("its length is negative"))?;
        let mut body = Cursor { bytes: self.rest.take(length).ok_or_else(|| bad("it ends after the batch"))? };
        let attributes = body.take(1).ok_or_else(|| bad("its attributes are cut off"))?[0] as i8;
        let timestamp_delta = body.varlong().ok_or_else(|| bad("its timestamp is malformed"))?;
        let offset_delta = body.varint().ok_or_else(|| bad("its offset is malformed"))?;
        let key = body.nullable().ok_or_else(|| bad("its key is malformed"))?;
        let value = body.nullable().ok_or_else(|| bad("its value is malformed"))?;
        let count = body.varint().ok_or_else(|| bad("its header count is cut off"))?;
        if count < 0 {
            return Err(bad("its header count is negative"));
        }
        let headers = Headers { bytes: body.bytes, count };
        for _ in 0..count {
            body.header().ok_or_else(|| bad("a header is malformed"))?;
        }
        if !body.bytes.is_empty() {
            return Err(bad("it is longer than its fields"));
        }
        let records = self.records;
        Ok(Record {
            offset: records.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: records.log_append_time.unwrap_or_else(|| records.base_timestamp.wrapping_add(timestamp_delta)),
            offset_delta,
            attributes,
            key,
            value,
            headers,
        })
    }
}

/// The fields of records, where a reader that words its errors would cost more than the fields.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    #[inline]
    fn varint(&mut self) -> Option<i32> {
        let value = u32::try_from(self.unsigned(5)?).ok()?;
        Some((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline]
    fn varlong(&mut self) -> Option<i64> {
        let value = self.unsigned(10)?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Most take a byte or two: lengths, and deltas within a batch.
    #[inline]
    fn unsigned(&mut self, longest: usize) -> Option<u64> {
        match *self.bytes {
            [first @ 0..0x80, ref rest @ ..] => {
                self.bytes = rest;
                Some(u64::from(first))
            }
            [first, second @ 0..0x80, ref rest @ ..] => {
                self.bytes = rest;
                Some(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => self.long_unsigned(longest),
        }
    }

    #[cold]
    fn long_unsigned(&mut self, longest: usize) -> Option<u64> {
        let mut value = 0_u64;
        for (index, &byte) in self.bytes.iter().take(longest).enumerate() {
            // The tenth byte has room for one bit only.
            if index == 9 && byte > 0x01 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.bytes = &self.bytes[index + 1..];
                return Some(value);
            }
        }
        None
    }

    /// Bytes after their length; -1 is null.
    #[inline]
    fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    fn header(&mut self) -> Option<Header<'a>> {
        let key = self.nullable()??;
        let value = self.nullable()?;
        Some(Header { key, value })
    }
}
