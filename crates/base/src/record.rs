//! The fields of one record of a batch (format 2), in place. They are read here and not where batches are, because
//! records are what there is most of, and this crate is built for speed where the others are built for size.

/// A record without what its batch adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    pub attributes: i8,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// The shortest record: length, attributes, two deltas, null key, null value, no headers.
    pub const SHORTEST: usize = 7;

    /// Takes the first record off `rest`; an error is what is wrong with it. What is inlined is built as its caller.
    #[cfg_attr(not(target_arch = "wasm32"), inline)]
    pub fn take_from(rest: &mut &'a [u8]) -> Result<Self, &'static str> {
        Self::take(rest)
    }

    #[inline(always)]
    fn take(rest: &mut &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Cursor { bytes: rest };
        let length = fields.varint().ok_or("its length is cut off")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let mut body = Cursor { bytes: fields.take(length).ok_or("it ends after the batch")? };
        let attributes = body.take(1).ok_or("its attributes are cut off")?[0] as i8;
        let timestamp_delta = body.varlong().ok_or("its timestamp is malformed")?;
        let offset_delta = body.varint().ok_or("its offset is malformed")?;
        let key = body.nullable().ok_or("its key is malformed")?;
        let value = body.nullable().ok_or("its value is malformed")?;
        let count = body.varint().ok_or("its header count is cut off")?;
        if count < 0 {
            return Err("its header count is negative");
        }
        let headers = Headers { bytes: body.bytes, count };
        for _ in 0..count {
            body.header().ok_or("a header is malformed")?;
        }
        if !body.bytes.is_empty() {
            return Err("it is longer than its fields");
        }
        *rest = fields.bytes;
        Ok(Self { attributes, timestamp_delta, offset_delta, key, value, headers })
    }
}

/// What the records of a batch have in common: one walk tells whether any of them needs a closer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Of the timestamps that are not -1, which stands for none.
    pub lowest_timestamp: i64,
    /// -1 if no record has a timestamp above that.
    pub highest_timestamp: i64,
    pub every_record_has_a_key: bool,
    /// 0, 1, 2 and so on.
    pub offsets_in_order: bool,
}

impl Survey {
    /// `None` if these are not `count` whole records and nothing else.
    pub fn of(mut records: &[u8], count: i32, base_timestamp: i64) -> Option<Self> {
        let mut survey = Self {
            lowest_timestamp: i64::MAX,
            highest_timestamp: -1,
            every_record_has_a_key: true,
            offsets_in_order: true,
        };
        for index in 0..count {
            let record = RawRecord::take(&mut records).ok()?;
            let timestamp = base_timestamp.wrapping_add(record.timestamp_delta);
            if timestamp != -1 {
                survey.lowest_timestamp = survey.lowest_timestamp.min(timestamp);
            }
            survey.highest_timestamp = survey.highest_timestamp.max(timestamp);
            survey.every_record_has_a_key &= record.key.is_some();
            survey.offsets_in_order &= record.offset_delta == index;
        }
        records.is_empty().then_some(survey)
    }
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
    pub fn key_text(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// A record's headers in order; a key may come more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Invariant: holds exactly `count` well-formed headers, as [`RawRecord::take_from`] has checked.
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

/// Reads fields, where a reader that words its errors would cost more than they do.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    #[inline(always)]
    fn varint(&mut self) -> Option<i32> {
        let value = u32::try_from(self.unsigned(5)?).ok()?;
        Some((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline(always)]
    fn varlong(&mut self) -> Option<i64> {
        let value = self.unsigned(10)?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Most take a byte or two: lengths, and deltas within a batch.
    #[inline(always)]
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
    #[inline(always)]
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
