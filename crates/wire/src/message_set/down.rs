//! Batches for clients that only know message sets.

use super::{LOG_APPEND_TIME, Message, write_message};
use crate::batch::{BatchError, BatchView, TimestampType, batches};
use crate::codec::Writer;
use crate::compress::{Codec, MAX_INFLATED};

/// Why batches could not become messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownConvertError {
    /// The first of them is compressed with zstd, which came after message sets.
    Zstd,
    Batch(BatchError),
}

impl From<BatchError> for DownConvertError {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

/// The batches in `bytes` as messages of format 0 or 1. Headers are lost, and so are control batches. Of a batch
/// without compression only the messages from `first_offset` on are given.
///
/// There are no more bytes of them than of the batches, or of the first batch's messages if that is more: the set
/// then ends within a message, which clients drop. It also ends before a batch that cannot be converted.
pub fn down_convert(bytes: &[u8], magic: i8, first_offset: i64) -> Result<Vec<u8>, DownConvertError> {
    let mut out = Writer::new();
    let mut limit = bytes.len();
    let mut is_empty = true;
    for view in batches(bytes) {
        let view = match view {
            Ok(view) => view,
            Err(BatchError::Torn { .. }) => break,
            Err(error) if out.is_empty() => return Err(error.into()),
            Err(_) => break,
        };
        is_empty = false;
        if view.is_control() {
            continue;
        }
        let is_first = out.is_empty();
        match write_batch(&mut out, &view, magic, first_offset) {
            Err(error) if is_first => return Err(error),
            Err(_) => break,
            Ok(()) => {}
        }
        if is_first {
            limit = limit.max(out.len());
        }
        if out.len() >= limit {
            break;
        }
    }
    if out.is_empty() && !is_empty {
        return Ok(MORE_THAN_FITS.to_vec());
    }
    let mut messages = out.into_vec();
    messages.truncate(limit);
    Ok(messages)
}

/// The beginning of a message that is larger than the answer. Where nothing is left of the batches, it tells a client
/// that it did not come to the log's end.
const MORE_THAN_FITS: [u8; 12] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 61];

fn write_batch(out: &mut Writer, view: &BatchView<'_>, magic: i8, first_offset: i64) -> Result<(), DownConvertError> {
    let codec = view.codec().unwrap_or_default();
    if codec == Codec::Zstd {
        return Err(DownConvertError::Zstd);
    }
    let is_stamped = magic > 0 && view.timestamp_type() == TimestampType::LogAppendTime;
    let attributes = if is_stamped { LOG_APPEND_TIME } else { 0 };
    let records = view.records(MAX_INFLATED)?;
    let mut inner = Writer::new();
    let (mut first, mut last, mut max_timestamp) = (None, 0, -1);
    for record in &records {
        let record = record?;
        if codec == Codec::None && record.offset < first_offset {
            continue;
        }
        let base = *first.get_or_insert(record.offset);
        let offset = if codec != Codec::None && magic > 0 { record.offset - base } else { record.offset };
        let (timestamp, key, value) = (record.timestamp, record.key, record.value);
        let target = if codec == Codec::None { &mut *out } else { &mut inner };
        write_message(target, &Message { offset, magic, attributes, timestamp, key, value });
        (last, max_timestamp) = (record.offset, timestamp.max(max_timestamp));
    }
    if !inner.is_empty() {
        let compressed = match magic {
            0 => codec.compress_format_0(inner.as_slice()),
            _ => codec.compress(inner.as_slice(), None),
        };
        let value = compressed.map_err(BatchError::Compression)?;
        let wrapper = Message {
            offset: last,
            magic,
            attributes: attributes | codec.id() as i8,
            timestamp: max_timestamp,
            key: None,
            value: Some(&value),
        };
        write_message(out, &wrapper);
    }
    Ok(())
}
