//! The records of a batch, one after the other, without an allocation for each.

use std::borrow::Cow;

use super::{BatchError, BatchView, TimestampType};
use crate::codec::Reader;
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
        RecordIter { rest: Reader::new(&self.payload), records: self, index: 0 }
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
        let mut reader = Reader::new(self.bytes);
        let header = read_header(&mut reader).expect("headers are checked before they are handed out");
        self.bytes = reader.rest();
        self.count -= 1;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

fn read_header<'a>(reader: &mut Reader<'a>) -> Option<Header<'a>> {
    let key = reader.varint_nullable_bytes().ok()??;
    let value = reader.varint_nullable_bytes().ok()?;
    Some(Header { key, value })
}

/// Reads records one by one. Ends after its first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'r> {
    rest: Reader<'r>,
    records: &'r Records<'r>,
    index: i32,
}

impl<'r> Iterator for RecordIter<'r> {
    type Item = Result<Record<'r>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.records.count {
            if self.rest.is_empty() {
                return None;
            }
            self.rest = Reader::new(&[]);
            return Some(Err(BatchError::BadCount { count: self.records.count }));
        }
        let record = self.read();
        match record {
            Ok(_) => self.index += 1,
            Err(_) => {
                self.rest = Reader::new(&[]);
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
        if self.rest.is_empty() {
            return Err(BatchError::BadCount { count: self.records.count });
        }
        let length = self.rest.varint().map_err(|_| bad("its length is cut off"))?;
        let length = usize::try_from(length).map_err(|_| bad("its length is negative"))?;
        let body = self.rest.take(length).map_err(|_| bad("it ends after the batch"))?;
        let mut body = Reader::new(body);
        let attributes = body.i8().map_err(|_| bad("its attributes are cut off"))?;
        let timestamp_delta = body.varlong().map_err(|_| bad("its timestamp is malformed"))?;
        let offset_delta = body.varint().map_err(|_| bad("its offset is malformed"))?;
        let key = body.varint_nullable_bytes().map_err(|_| bad("its key is malformed"))?;
        let value = body.varint_nullable_bytes().map_err(|_| bad("its value is malformed"))?;
        let count = body.varint().map_err(|_| bad("its header count is cut off"))?;
        if count < 0 {
            return Err(bad("its header count is negative"));
        }
        let headers = Headers { bytes: body.rest(), count };
        for _ in 0..count {
            read_header(&mut body).ok_or_else(|| bad("a header is malformed"))?;
        }
        if !body.is_empty() {
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
