//! The records of a batch, one after the other, without an allocation for each.

use std::borrow::Cow;

use shore_base::record::RawRecord;
pub use shore_base::record::{Header, Headers, Survey};

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
        let fits = usize::try_from(batch.count()).is_ok_and(|count| count <= payload.len() / RawRecord::SHORTEST);
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

    /// What the records that were stamped by their producer have in common; `None` if one is malformed.
    pub fn survey(&self) -> Option<Survey> {
        Survey::of(&self.payload, self.count, self.base_timestamp)
    }

    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { rest: &self.payload, records: self, index: 0 }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, BatchError>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

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

/// Reads records one by one. Ends after its first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'r> {
    rest: &'r [u8],
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
            self.rest = &[];
            return Some(Err(BatchError::BadCount { count: self.records.count }));
        }
        let record = self.read();
        match record {
            Ok(_) => self.index += 1,
            Err(_) => {
                self.rest = &[];
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
        if self.rest.is_empty() {
            return Err(BatchError::BadCount { count: self.records.count });
        }
        let bad = |what| BatchError::BadRecord { index: self.index, what };
        let RawRecord { attributes, timestamp_delta, offset_delta, key, value, headers } =
            RawRecord::take_from(&mut self.rest).map_err(bad)?;
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
