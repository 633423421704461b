//! Writing a batch record by record.

use bytes::Bytes;

use super::{
    ATTRIBUTES_AT, BATCH_HEADER, CONTROL, CRC_AT, DELETE_HORIZON, Header, LOG_APPEND_TIME, LOG_OVERHEAD, MAGIC,
    TRANSACTIONAL, TimestampType,
};
use crate::codec::Writer;
use crate::compress::Codec;
use crate::crc32c::crc32c;

/// What a batch says in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    pub base_offset: i64,
    pub leader_epoch: i32,
    pub codec: Codec,
    /// The codec's level; `None` is Kafka's default.
    pub level: Option<i32>,
    pub timestamp_type: TimestampType,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub transactional: bool,
    pub control: bool,
    /// When compaction may drop the batch's tombstones: it takes the place of the base timestamp.
    pub delete_horizon: Option<i64>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: 0,
            leader_epoch: -1,
            codec: Codec::None,
            level: None,
            timestamp_type: TimestampType::CreateTime,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
            delete_horizon: None,
        }
    }
}

/// Builds one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// The header's room, then the records, not yet compressed.
    buffer: Writer,
    count: i32,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    pub fn new(options: BatchOptions) -> Self {
        let mut buffer = Writer::with_capacity(1024);
        buffer.raw(&[0; BATCH_HEADER]);
        Self { options, buffer, count: 0, last_offset_delta: -1, base_timestamp: -1, max_timestamp: -1 }
    }

    /// How many records were appended.
    pub fn count(&self) -> i32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch's bytes if it were finished now without compression.
    pub fn estimated_size(&self) -> usize {
        self.buffer.len()
    }

    pub fn base_timestamp(&self) -> i64 {
        self.base_timestamp
    }

    pub fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// Appends a record at the next offset.
    pub fn append<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>, IntoIter: ExactSizeIterator + Clone>,
    ) {
        self.append_at(self.last_offset_delta + 1, timestamp, key, value, headers);
    }

    /// Appends a record at an offset relative to the batch's base: compaction leaves gaps.
    pub fn append_at<'h>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>, IntoIter: ExactSizeIterator + Clone>,
    ) {
        assert!(offset_delta > self.last_offset_delta, "offsets ascend");
        if self.count == 0 {
            self.base_timestamp = self.options.delete_horizon.unwrap_or(timestamp);
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let headers = headers.into_iter();
        let length = 1
            + varlong_len(timestamp_delta)
            + varlong_len(i64::from(offset_delta))
            + nullable_len(key)
            + nullable_len(value)
            + varlong_len(headers.len() as i64)
            + headers.clone().map(|header| nullable_len(Some(header.key)) + nullable_len(header.value)).sum::<usize>();
        let buffer = &mut self.buffer;
        buffer.varint(i32::try_from(length).expect("a record within an int32 length"));
        buffer.i8(0);
        buffer.varlong(timestamp_delta);
        buffer.varint(offset_delta);
        buffer.varint_nullable_bytes(key);
        buffer.varint_nullable_bytes(value);
        buffer.varint(i32::try_from(headers.len()).expect("headers within an int32 count"));
        for header in headers {
            buffer.varint_nullable_bytes(Some(header.key));
            buffer.varint_nullable_bytes(header.value);
        }
        self.count += 1;
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// The whole batch.
    pub fn finish(self) -> Bytes {
        let last_offset_delta = self.last_offset_delta;
        self.finish_as(last_offset_delta)
    }

    /// The whole batch, where compaction took records out of it: it keeps its last offset, and with that its
    /// last sequence number, whatever its last record is now.
    pub fn finish_as(self, last_offset_delta: i32) -> Bytes {
        let Self { options, buffer, count, base_timestamp, max_timestamp, .. } = self;
        let mut batch = buffer.into_vec();
        if options.codec != Codec::None {
            let payload = options
                .codec
                .compress(&batch[BATCH_HEADER..], options.level)
                .expect("every codec takes whatever bytes there are");
            batch.truncate(BATCH_HEADER);
            batch.extend_from_slice(&payload);
        }
        let mut attributes = options.codec.id();
        for (bit, set) in [
            (LOG_APPEND_TIME, options.timestamp_type == TimestampType::LogAppendTime),
            (TRANSACTIONAL, options.transactional),
            (CONTROL, options.control),
            (DELETE_HORIZON, options.delete_horizon.is_some()),
        ] {
            attributes |= if set { bit } else { 0 };
        }
        let length = i32::try_from(batch.len() - LOG_OVERHEAD).expect("a batch within an int32 length");
        let mut header = Writer::with_capacity(BATCH_HEADER);
        header.i64(options.base_offset);
        header.i32(length);
        header.i32(options.leader_epoch);
        header.i8(MAGIC);
        header.u32(0);
        header.i16(attributes);
        header.i32(last_offset_delta);
        header.i64(base_timestamp);
        header.i64(max_timestamp);
        header.i64(options.producer_id);
        header.i16(options.producer_epoch);
        header.i32(options.base_sequence);
        header.i32(count);
        batch[..BATCH_HEADER].copy_from_slice(header.as_slice());
        let crc = crc32c(&batch[ATTRIBUTES_AT..]);
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        batch.into()
    }
}

/// The bytes of a zigzag varint or varlong.
fn varlong_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => varlong_len(bytes.len() as i64) + bytes.len(),
        None => 1,
    }
}
