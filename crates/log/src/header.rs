//! The fixed part of a v2 batch, read from bytes that may lie in several pieces.

use shore_wire::batch::{BATCH_HEADER as HEADER_LEN, LOG_OVERHEAD, increment_sequence};

/// A batch as its header describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Of the whole batch, in bytes.
    pub size: u32,
    pub leader_epoch: i32,
    pub attributes: i16,
    pub last_offset: i64,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: i32,
}

impl BatchHeader {
    /// `None` if this cannot be the beginning of a v2 batch.
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let base_offset = i64::from_be_bytes(field(bytes, 0));
        let size = i64::from(i32::from_be_bytes(field(bytes, 8))) + LOG_OVERHEAD as i64;
        let last_offset_delta = i32::from_be_bytes(field(bytes, 23));
        if size < HEADER_LEN as i64 || bytes[16] != 2 || base_offset < 0 || last_offset_delta < 0 {
            return None;
        }
        Some(Self {
            base_offset,
            size: u32::try_from(size).ok()?,
            leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset: base_offset.checked_add(i64::from(last_offset_delta))?,
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            count: i32::from_be_bytes(field(bytes, 57)),
        })
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// Whether the broker's clock stamped the records.
    pub fn is_stamped(&self) -> bool {
        self.attributes & STAMPED != 0
    }

    pub(crate) fn set_stamped(&mut self, stamped: bool) {
        self.attributes = if stamped { self.attributes | STAMPED } else { self.attributes & !STAMPED };
    }

    /// Sequences wrap from `i32::MAX` to 0. -1 where the batch has none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        increment_sequence(self.base_sequence, (self.last_offset - self.base_offset) as i32)
    }
}

const STAMPED: i16 = 0x08;

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the header is fixed in size")
}
