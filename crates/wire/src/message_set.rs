//! Message sets: what records were before format 2 put them into batches.
//!
//! ```text
//!  0 offset       i64
//!  8 message size i32   bytes after this field
//! 12 CRC          u32   CRC-32 of everything from the magic on
//! 16 magic        i8    0 or 1
//! 17 attributes   i8    bits 0-2 codec, in format 1 also 3 timestamp type
//! 18 timestamp    i64   format 1 only
//!    key          i32 length and bytes; -1 is null
//!    value        likewise
//! ```
//!
//! Compressed messages are the value of another, a wrapper, whose offset is that of the last of them. Inside it
//! offsets are absolute in format 0, and relative to the first in format 1. A set may end within a message.

mod down;

use std::borrow::Cow;

use shore_base::checksum::crc32;

use crate::batch::{BatchError, LOG_OVERHEAD, Record, TimestampType};
use crate::codec::{Reader, Writer};
use crate::compress::{Codec, inflation_cap};

pub use down::{DownConvertError, down_convert};

/// CRC, magic, attributes and the lengths of key and value: the shortest message.
const SHORTEST: i32 = 14;
const CRC_AT: usize = 12;
const MAGIC_AT: usize = 16;
const LOG_APPEND_TIME: i8 = 0x08;

/// The format of the first entry, if that much of it is there.
pub fn first_magic(bytes: &[u8]) -> Option<i8> {
    bytes.get(MAGIC_AT).map(|&magic| magic as i8)
}

/// Whether not even one message or batch is whole.
pub fn is_torn(bytes: &[u8]) -> bool {
    let size = Reader::new(bytes.get(8..LOG_OVERHEAD).unwrap_or_default()).i32();
    size.map_or(true, |size| size >= SHORTEST && bytes.len() - LOG_OVERHEAD < size as usize)
}

/// One message in place. Its CRC was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub offset: i64,
    pub magic: i8,
    pub attributes: i8,
    /// -1 in format 0.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl Message<'_> {
    /// Its bytes, offset and size included.
    pub fn size(&self) -> usize {
        let timestamp = if self.magic == 0 { 0 } else { 8 };
        let [key, value] = [self.key, self.value].map(|field| field.map_or(0, <[u8]>::len));
        LOG_OVERHEAD + SHORTEST as usize + timestamp + key + value
    }

    /// The codec of a wrapper, or `None` if its bits name none.
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_attributes(self.attributes.into())
    }

    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes & LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            // Format 0 does not have the bit.
            _ if self.magic == 0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }
}

/// The messages that follow one another in `bytes`, wrappers unopened. Ends after its first error, and before a
/// message that is torn.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: Reader<'a>,
    index: i32,
}

pub fn messages(bytes: &[u8]) -> Messages<'_> {
    Messages { rest: Reader::new(bytes), index: 0 }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut ahead = self.rest.clone();
        let offset = ahead.i64().ok()?;
        let size = ahead.i32().ok()?;
        let message = if size < SHORTEST {
            Err(BatchError::BadLength { length: size })
        } else {
            let body = ahead.take(size as usize).ok()?;
            parse(offset, body, self.index)
        };
        self.index += 1;
        self.rest = if message.is_ok() { ahead } else { Reader::new(&[]) };
        Some(message)
    }
}

fn parse(offset: i64, body: &[u8], index: i32) -> Result<Message<'_>, BatchError> {
    let magic = body[MAGIC_AT - CRC_AT] as i8;
    if !(0..=1).contains(&magic) {
        return Err(BatchError::Magic { magic });
    }
    let stored = u32::from_be_bytes(*body.first_chunk().expect("longer than a CRC"));
    let computed = crc32(&body[MAGIC_AT - CRC_AT..]);
    if stored != computed {
        return Err(BatchError::Crc { stored, computed });
    }
    let mut reader = Reader::new(&body[MAGIC_AT - CRC_AT + 1..]);
    let mut fields = || {
        let attributes = reader.i8()?;
        let timestamp = if magic == 0 { -1 } else { reader.i64()? };
        let (key, value) = (reader.nullable_bytes()?, reader.nullable_bytes()?);
        Ok(Message { offset, magic, attributes, timestamp, key, value })
    };
    fields().map_err(|_: crate::codec::DecodeError| BatchError::BadRecord { index, what: "it ends within a field" })
}

fn write_message(out: &mut Writer, message: &Message<'_>) {
    let mut body = Writer::with_capacity(message.size());
    body.i8(message.magic);
    body.i8(message.attributes);
    if message.magic > 0 {
        body.i64(message.timestamp);
    }
    body.nullable_bytes(message.key);
    body.nullable_bytes(message.value);
    out.i64(message.offset);
    out.i32(i32::try_from(4 + body.len()).expect("a message within an int32 size"));
    out.u32(crc32(body.as_slice()));
    out.raw(body.as_slice());
}

/// A message set with its wrapper opened: either any number of messages or one wrapper.
#[derive(Clone, Debug)]
pub struct MessageSet<'a> {
    /// The messages, one after the other.
    payload: Cow<'a, [u8]>,
    pub magic: i8,
    pub codec: Codec,
    pub timestamp_type: TimestampType,
    /// What the broker stamped the wrapper with counts for all messages in it.
    stamped: Option<i64>,
}

impl<'a> MessageSet<'a> {
    /// Opens a set of at least one whole message, inflated to at most `cap` bytes.
    pub fn open(bytes: &'a [u8], cap: usize) -> Result<Self, BatchError> {
        let bad = |what| BatchError::BadRecord { index: 0, what };
        let first = messages(bytes).next().ok_or(bad("there is no message"))??;
        let mut codec = Codec::None;
        for message in messages(bytes) {
            let message = message?;
            if message.magic != first.magic {
                return Err(bad("the messages are of different formats"));
            }
            let unknown = BatchError::UnknownCodec { id: i16::from(message.attributes & 0x07) };
            codec = codec.max(message.codec().ok_or(unknown)?);
        }
        let mut set = Self {
            payload: Cow::Borrowed(bytes),
            magic: first.magic,
            codec,
            timestamp_type: first.timestamp_type(),
            stamped: None,
        };
        if codec == Codec::None {
            return Ok(set);
        }
        if messages(bytes).nth(1).is_some() {
            return Err(bad("a compressed message is not alone"));
        }
        if codec == Codec::Zstd {
            return Err(bad("zstd is not of its format"));
        }
        let value = first.value.ok_or(bad("a wrapper has no value"))?;
        let cap = cap.min(inflation_cap(value.len()));
        let inflate = if first.magic == 0 { Codec::decompress_format_0 } else { Codec::decompress };
        set.payload = Cow::Owned(inflate(codec, value, cap).map_err(BatchError::Compression)?);
        set.stamped = (set.timestamp_type == TimestampType::LogAppendTime).then_some(first.timestamp);
        let last = messages(&set.payload).last().ok_or(bad("a wrapper is empty"))??;
        // Some clients leave the offset of the wrapper at 0.
        if set.magic == 1 && first.offset != 0 && first.offset < last.offset {
            return Err(bad("a wrapper's offset is below that of its last message"));
        }
        Ok(set)
    }

    pub fn is_compressed(&self) -> bool {
        self.codec != Codec::None
    }

    /// The messages, one after the other, taken out of their wrapper.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The messages as records, with offsets from 0 on: what they say themselves does not count.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, BatchError>> {
        messages(&self.payload).zip(0..).map(|(message, index)| {
            let message = message?;
            let bad = |what| BatchError::BadRecord { index, what };
            if message.magic != self.magic {
                return Err(bad("it is of another format than its wrapper"));
            }
            if message.codec() != Some(Codec::None) && self.is_compressed() {
                return Err(bad("it is compressed inside of a compressed message"));
            }
            Ok(Record {
                offset: index.into(),
                timestamp: self.stamped.unwrap_or(message.timestamp),
                offset_delta: index,
                attributes: 0,
                key: message.key,
                value: message.value,
                headers: Default::default(),
            })
        })
    }
}
