//! Kafka's primitive encodings, for records and headers that are read and written by hand.

use std::fmt;

use bytes::Bytes;
use shore_base::Uuid;

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    UnknownApiKey(i16),
    UnsupportedVersion {
        api: &'static str,
        version: i16,
    },
    /// The input ends before `what` does.
    UnexpectedEnd {
        what: &'static str,
        needed: usize,
        remaining: usize,
    },
    /// `what` holds a value that the protocol does not allow.
    Invalid {
        what: &'static str,
        value: i64,
    },
    InvalidUtf8 {
        what: &'static str,
    },
    TrailingBytes {
        remaining: usize,
    },
    /// A generated message refused its body.
    Message(kafka_wire_core::DecodeError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownApiKey(key) => write!(f, "unknown API key {key}"),
            Self::UnsupportedVersion { api, version } => write!(f, "{api} has no version {version}"),
            Self::UnexpectedEnd { what, needed, remaining } => {
                write!(f, "{what} needs {needed} bytes where {remaining} remain")
            }
            Self::Invalid { what, value } => write!(f, "{value} is no valid {what}"),
            Self::InvalidUtf8 { what } => write!(f, "{what} is not UTF-8"),
            Self::TrailingBytes { remaining } => write!(f, "{remaining} bytes are left over"),
            Self::Message(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<kafka_wire_core::DecodeError> for DecodeError {
    fn from(error: kafka_wire_core::DecodeError) -> Self {
        Self::Message(error)
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads primitives from the front of a slice. What it returns borrows from that slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Demands that everything was read.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes { remaining: self.rest.len() }) }
    }

    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        self.take_as("a field", count)
    }

    #[inline]
    fn take_as(&mut self, what: &'static str, count: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(DecodeError::UnexpectedEnd { what, needed: count, remaining: self.rest.len() }),
        }
    }

    #[inline]
    fn array_of<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(DecodeError::UnexpectedEnd { what, needed: N, remaining: self.rest.len() }),
        }
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        self.array_of("a byte").map(|[byte]| byte)
    }

    #[inline]
    pub fn i8(&mut self) -> Result<i8> {
        self.array_of("an int8").map(i8::from_be_bytes)
    }

    #[inline]
    pub fn i16(&mut self) -> Result<i16> {
        self.array_of("an int16").map(i16::from_be_bytes)
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16> {
        self.array_of("a uint16").map(u16::from_be_bytes)
    }

    #[inline]
    pub fn i32(&mut self) -> Result<i32> {
        self.array_of("an int32").map(i32::from_be_bytes)
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32> {
        self.array_of("a uint32").map(u32::from_be_bytes)
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64> {
        self.array_of("an int64").map(i64::from_be_bytes)
    }

    /// A boolean. Kafka takes every byte but zero for true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.u8()? != 0)
    }

    pub fn uuid(&mut self) -> Result<Uuid> {
        self.array_of("a uuid").map(Uuid)
    }

    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0_u32;
        for (index, &byte) in self.rest.iter().take(5).enumerate() {
            let digit = u32::from(byte & 0x7f);
            // The fifth byte has room for four bits only.
            if index == 4 && byte > 0x0f {
                return Err(DecodeError::Invalid { what: "varint", value: i64::from(byte) });
            }
            value |= digit << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::UnexpectedEnd { what: "a varint", needed: self.rest.len() + 1, remaining: self.rest.len() })
    }

    #[inline]
    pub fn unsigned_varlong(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit only.
            if index == 9 && byte > 0x01 {
                return Err(DecodeError::Invalid { what: "varlong", value: i64::from(byte) });
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::UnexpectedEnd { what: "a varlong", needed: self.rest.len() + 1, remaining: self.rest.len() })
    }

    /// A zigzag varint.
    #[inline]
    pub fn varint(&mut self) -> Result<i32> {
        let value = self.unsigned_varint()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// A zigzag varlong.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64> {
        let value = self.unsigned_varlong()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn string(&mut self) -> Result<&'a str> {
        let length = self.i16()?;
        self.nullable_text(i64::from(length))?.ok_or(DecodeError::Invalid { what: "string length", value: -1 })
    }

    pub fn nullable_string(&mut self) -> Result<Option<&'a str>> {
        let length = self.i16()?;
        self.nullable_text(i64::from(length))
    }

    pub fn compact_string(&mut self) -> Result<&'a str> {
        self.compact_nullable_string()?.ok_or(DecodeError::Invalid { what: "string length", value: -1 })
    }

    pub fn compact_nullable_string(&mut self) -> Result<Option<&'a str>> {
        let length = i64::from(self.unsigned_varint()?) - 1;
        self.nullable_text(length)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        self.nullable_bytes()?.ok_or(DecodeError::Invalid { what: "bytes length", value: -1 })
    }

    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        let length = self.i32()?;
        self.nullable_slice("bytes", i64::from(length))
    }

    pub fn compact_bytes(&mut self) -> Result<&'a [u8]> {
        self.compact_nullable_bytes()?.ok_or(DecodeError::Invalid { what: "bytes length", value: -1 })
    }

    pub fn compact_nullable_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        let length = i64::from(self.unsigned_varint()?) - 1;
        self.nullable_slice("bytes", length)
    }

    /// Bytes after a zigzag varint length, as keys and values of records have it; -1 is null.
    #[inline]
    pub fn varint_nullable_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        let length = self.varint()?;
        self.nullable_slice("bytes", i64::from(length))
    }

    /// An array's length. No element of Kafka's takes less than a byte, so a count above the bytes
    /// that remain is refused before anybody reserves room for it.
    pub fn array_len(&mut self) -> Result<usize> {
        self.nullable_array_len()?.ok_or(DecodeError::Invalid { what: "array length", value: -1 })
    }

    pub fn nullable_array_len(&mut self) -> Result<Option<usize>> {
        let length = self.i32()?;
        self.checked_count(i64::from(length))
    }

    pub fn compact_array_len(&mut self) -> Result<usize> {
        self.compact_nullable_array_len()?.ok_or(DecodeError::Invalid { what: "array length", value: -1 })
    }

    pub fn compact_nullable_array_len(&mut self) -> Result<Option<usize>> {
        let length = i64::from(self.unsigned_varint()?) - 1;
        self.checked_count(length)
    }

    /// A whole array: `reader.array(|reader| reader.i32())`.
    pub fn array<T>(&mut self, element: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.array_len()?;
        self.elements(count, element)
    }

    pub fn compact_array<T>(&mut self, element: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.compact_array_len()?;
        self.elements(count, element)
    }

    pub fn compact_nullable_array<T>(&mut self, element: impl FnMut(&mut Self) -> Result<T>) -> Result<Option<Vec<T>>> {
        match self.compact_nullable_array_len()? {
            Some(count) => self.elements(count, element).map(Some),
            None => Ok(None),
        }
    }

    fn elements<T>(&mut self, count: usize, mut element: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        // Grows with what is really there: an element may be far larger in memory than on the wire.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// A structure's tagged fields. `known` is given each tag with a reader confined to its value
    /// and says whether it knows it; a known value must be read whole, an unknown one is skipped.
    pub fn tagged_fields(&mut self, mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool>) -> Result<()> {
        let count = self.unsigned_varint()?;
        let mut previous = None;
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            if previous.is_some_and(|previous| tag <= previous) {
                return Err(DecodeError::Invalid { what: "order of tagged fields", value: i64::from(tag) });
            }
            previous = Some(tag);
            let length = self.unsigned_varint()?;
            let mut value = Reader::new(self.take_as("a tagged field", to_usize(length))?);
            if known(tag, &mut value)? {
                value.finish()?;
            }
        }
        Ok(())
    }

    /// Skips a structure's tagged fields, none of which are known.
    pub fn skip_tagged_fields(&mut self) -> Result<()> {
        self.tagged_fields(|_, _| Ok(false))
    }

    #[inline]
    fn nullable_slice(&mut self, what: &'static str, length: i64) -> Result<Option<&'a [u8]>> {
        match usize::try_from(length) {
            Ok(length) => self.take_as(what, length).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::Invalid { what: "length", value: length }),
        }
    }

    fn nullable_text(&mut self, length: i64) -> Result<Option<&'a str>> {
        match self.nullable_slice("a string", length)? {
            Some(bytes) => {
                std::str::from_utf8(bytes).map(Some).map_err(|_| DecodeError::InvalidUtf8 { what: "a string" })
            }
            None => Ok(None),
        }
    }

    fn checked_count(&self, count: i64) -> Result<Option<usize>> {
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(Some(count)),
            Ok(count) => {
                Err(DecodeError::UnexpectedEnd { what: "an array", needed: count, remaining: self.rest.len() })
            }
            Err(_) if count == -1 => Ok(None),
            Err(_) => Err(DecodeError::Invalid { what: "array length", value: count }),
        }
    }
}

/// Widens a 32-bit length; no target of ours has narrower addresses.
fn to_usize(length: u32) -> usize {
    length as usize
}

/// Writes primitives to the end of a buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: Vec::with_capacity(capacity) }
    }

    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.buffer
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.buffer
    }

    pub fn into_bytes(self) -> Bytes {
        self.buffer.into()
    }

    /// The bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub fn u8(&mut self, value: u8) {
        self.buffer.push(value);
    }

    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.raw(&value.0);
    }

    pub fn unsigned_varint(&mut self, value: u32) {
        self.unsigned_varlong(u64::from(value));
    }

    pub fn unsigned_varlong(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// A zigzag varint.
    pub fn varint(&mut self, value: i32) {
        self.unsigned_varint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// A zigzag varlong.
    pub fn varlong(&mut self, value: i64) {
        self.unsigned_varlong(((value << 1) ^ (value >> 63)) as u64);
    }

    /// # Panics
    /// If the string is longer than the 32767 bytes that its length can say.
    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    /// # Panics
    /// If the string is longer than the 32767 bytes that its length can say.
    pub fn nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => {
                self.i16(i16::try_from(value.len()).expect("a string within an int16 length"));
                self.raw(value.as_bytes());
            }
            None => self.i16(-1),
        }
    }

    pub fn compact_string(&mut self, value: &str) {
        self.compact_nullable_string(Some(value));
    }

    pub fn compact_nullable_string(&mut self, value: Option<&str>) {
        self.compact_nullable_bytes(value.map(str::as_bytes));
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.nullable_bytes(Some(value));
    }

    pub fn nullable_bytes(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                self.array_len(value.len());
                self.raw(value);
            }
            None => self.i32(-1),
        }
    }

    pub fn compact_bytes(&mut self, value: &[u8]) {
        self.compact_nullable_bytes(Some(value));
    }

    pub fn compact_nullable_bytes(&mut self, value: Option<&[u8]>) {
        self.compact_nullable_array_len(value.map(<[u8]>::len));
        self.raw(value.unwrap_or_default());
    }

    /// Bytes after a zigzag varint length, as keys and values of records have it; null is -1.
    pub fn varint_nullable_bytes(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                self.varint(i32::try_from(value.len()).expect("bytes within an int32 length"));
                self.raw(value);
            }
            None => self.varint(-1),
        }
    }

    pub fn array_len(&mut self, count: usize) {
        self.i32(i32::try_from(count).expect("a count within an int32"));
    }

    pub fn nullable_array_len(&mut self, count: Option<usize>) {
        match count {
            Some(count) => self.array_len(count),
            None => self.i32(-1),
        }
    }

    pub fn compact_array_len(&mut self, count: usize) {
        self.compact_nullable_array_len(Some(count));
    }

    pub fn compact_nullable_array_len(&mut self, count: Option<usize>) {
        let encoded = match count {
            Some(count) => i32::try_from(count).expect("a count within an int32") as u32 + 1,
            None => 0,
        };
        self.unsigned_varint(encoded);
    }

    /// A whole array: `writer.array(&ids, |writer, id| writer.i32(*id))`.
    pub fn array<T>(&mut self, elements: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.array_len(elements.len());
        elements.iter().for_each(|value| element(self, value));
    }

    pub fn compact_array<T>(&mut self, elements: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.compact_array_len(elements.len());
        elements.iter().for_each(|value| element(self, value));
    }

    pub fn compact_nullable_array<T>(&mut self, elements: Option<&[T]>, element: impl FnMut(&mut Self, &T)) {
        match elements {
            Some(elements) => self.compact_array(elements, element),
            None => self.compact_nullable_array_len(None),
        }
    }

    /// A structure's tagged fields, in ascending order of their tags.
    pub fn tagged_fields(&mut self, fields: &[(u32, &[u8])]) {
        debug_assert!(fields.is_sorted_by(|left, right| left.0 < right.0));
        self.unsigned_varint(u32::try_from(fields.len()).expect("few tagged fields"));
        for (tag, value) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(u32::try_from(value.len()).expect("a value within a uint32 length"));
            self.raw(value);
        }
    }

    pub fn no_tagged_fields(&mut self) {
        self.u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new();
        writer.i8(-1);
        writer.i16(-2);
        writer.i32(-3);
        writer.i64(-4);
        writer.u16(5);
        writer.bool(true);
        writer.uuid(Uuid([6; 16]));
        writer.string("text");
        writer.nullable_string(None);
        writer.compact_string("compact");
        writer.compact_nullable_string(None);
        writer.bytes(b"bytes");
        writer.nullable_bytes(None);
        writer.compact_bytes(b"");
        writer.compact_nullable_bytes(None);
        writer.varint_nullable_bytes(Some(b"value"));
        writer.varint_nullable_bytes(None);
        writer.array(&[1, 2], |writer, value| writer.i32(*value));
        writer.compact_array(&["a", "b"], |writer, value| writer.compact_string(value));
        writer.compact_nullable_array(None::<&[i8]>, |writer, value| writer.i8(*value));
        writer.tagged_fields(&[(0, b"zero"), (300, b"")]);
        writer.no_tagged_fields();

        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.i8(), Ok(-1));
        assert_eq!(reader.i16(), Ok(-2));
        assert_eq!(reader.i32(), Ok(-3));
        assert_eq!(reader.i64(), Ok(-4));
        assert_eq!(reader.u16(), Ok(5));
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.uuid(), Ok(Uuid([6; 16])));
        assert_eq!(reader.string(), Ok("text"));
        assert_eq!(reader.nullable_string(), Ok(None));
        assert_eq!(reader.compact_string(), Ok("compact"));
        assert_eq!(reader.compact_nullable_string(), Ok(None));
        assert_eq!(reader.bytes(), Ok(&b"bytes"[..]));
        assert_eq!(reader.nullable_bytes(), Ok(None));
        assert_eq!(reader.compact_bytes(), Ok(&b""[..]));
        assert_eq!(reader.compact_nullable_bytes(), Ok(None));
        assert_eq!(reader.varint_nullable_bytes(), Ok(Some(&b"value"[..])));
        assert_eq!(reader.varint_nullable_bytes(), Ok(None));
        assert_eq!(reader.array(Reader::i32), Ok(vec![1, 2]));
        assert_eq!(reader.compact_array(Reader::compact_string), Ok(vec!["a", "b"]));
        assert_eq!(reader.compact_nullable_array(Reader::i8), Ok(None));
        let mut tags = Vec::new();
        let known = reader.tagged_fields(|tag, value| {
            tags.push((tag, value.remaining()));
            Ok(tag == 0 && value.take(4).is_ok())
        });
        assert_eq!((known, tags), (Ok(()), vec![(0, 4), (300, 0)]));
        assert_eq!(reader.skip_tagged_fields(), Ok(()));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn varints_of_every_length_come_back() {
        for shift in 0..64 {
            for value in [i64::MAX >> shift, i64::MIN >> shift, 1 << shift] {
                let mut writer = Writer::new();
                writer.varlong(value);
                assert_eq!(Reader::new(writer.as_slice()).varlong(), Ok(value));
                let value = value as i32;
                let mut writer = Writer::new();
                writer.varint(value);
                assert_eq!(Reader::new(writer.as_slice()).varint(), Ok(value));
            }
        }
    }

    #[test]
    fn overlong_and_unfinished_varints_are_refused() {
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint().is_err());
        assert!(Reader::new(&[0x80; 5]).unsigned_varint().is_err());
        assert!(Reader::new(&[0x80; 4]).unsigned_varint().is_err());
        assert!(Reader::new(&[0xff; 10]).unsigned_varlong().is_err());
        assert!(Reader::new(&[0x80; 9]).unsigned_varlong().is_err());
        assert!(Reader::new(&[]).varint().is_err());
    }

    #[test]
    fn claims_beyond_the_bytes_at_hand_are_refused() {
        let claims: [&[u8]; 4] =
            [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xfe], &[0, 0, 0, 2, 1], &[0x80, 0, 0, 0]];
        for bytes in claims {
            assert!(Reader::new(bytes).array(Reader::i8).is_err(), "{bytes:?}");
            assert!(Reader::new(bytes).nullable_bytes().is_err(), "{bytes:?}");
        }
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).compact_array(Reader::i8).is_err());
        assert!(Reader::new(&[0x00, 0x01, 0xff]).string().is_err());
        // Tags have to ascend, and a known value has to be read whole.
        assert!(Reader::new(&[2, 1, 0, 1, 0]).skip_tagged_fields().is_err());
        assert!(Reader::new(&[1, 0, 1, 7]).tagged_fields(|_, _| Ok(true)).is_err());
    }
}
