//! Appending: checked once, copied once.

use std::fmt;

use shore_base::Wall;
use shore_wire::error::ErrorCode;

use crate::log::Log;
use crate::validate;
use crate::verification::VerificationGuard;

/// Where records come from, and what is taken on trust because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Produce request: every check is made, offsets are assigned. The first records of a transaction
    /// need the guard of [`Log::begin_verification`].
    Client { leader_epoch: i32, guard: Option<VerificationGuard> },
    /// The node itself: group, transaction and metadata records. Offsets are assigned.
    Coordinator { leader_epoch: i32, guard: Option<VerificationGuard> },
    /// A transaction's coordinator ends it, by the rules of this transaction version.
    Marker { leader_epoch: i32, transaction_version: i16 },
    /// The leader of this partition: offsets and epochs are kept.
    Replica,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    pub last_offset: i64,
    /// What the records were stamped with, or -1 where they kept their own timestamps.
    pub log_append_time: i64,
    pub log_start_offset: i64,
    /// The batch was there already: a retry. Nothing was appended.
    pub duplicate: bool,
    /// Bytes that were appended.
    pub bytes: usize,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendError {
    pub code: ErrorCode,
    /// For the log. A Produce response carries it only where single records were refused.
    pub message: String,
    pub records: Vec<RecordError>,
}

/// Why a record was refused, by its place in the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    pub index: i32,
    pub message: String,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordError(batchIndex={}, message='{}')", self.index, self.message)
    }
}

impl AppendError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), records: Vec::new() }
    }
}

impl Log {
    /// Appends batches, all of them or none.
    pub fn append(&mut self, records: &[u8], origin: Origin, now: Wall) -> Result<Appended, AppendError> {
        match origin {
            Origin::Client { leader_epoch, .. }
            | Origin::Coordinator { leader_epoch, .. }
            | Origin::Marker { leader_epoch, .. } => self.append_as_leader(records, leader_epoch, origin, now),
            Origin::Replica => self.append_as_follower(records, now),
        }
    }

    fn append_as_leader(
        &mut self,
        records: &[u8],
        leader_epoch: i32,
        origin: Origin,
        now: Wall,
    ) -> Result<Appended, AppendError> {
        let from_client = matches!(origin, Origin::Client { .. });
        let checked = validate::leader_batch(self, records, leader_epoch, from_client, now)?;
        let header = checked.header;
        if header.size > self.config.segment_bytes {
            return Err(AppendError::new(
                ErrorCode::RecordListTooLarge,
                format!(
                    "Message batch size is {} bytes in append to partition {}, which exceeds the maximum configured segment size of {}.",
                    header.size,
                    self.dir.base_name(),
                    self.config.segment_bytes
                ),
            ));
        }
        if header.producer_id >= 0 {
            if let Some(known) = self.producers.duplicate_of(&header).filter(|_| from_client) {
                return Ok(Appended {
                    base_offset: known.first_offset(),
                    last_offset: known.last_offset,
                    log_append_time: known.timestamp,
                    log_start_offset: self.start_offset,
                    duplicate: true,
                    bytes: 0,
                });
            }
            self.producers
                .check(&header, checked.marker, origin, self.config.transaction_verification)
                .map_err(|refused| AppendError::new(refused.code, refused.message))?;
        }
        self.commit(
            &[(header, checked.marker)],
            |room| room.copy(&checked.bytes, |copy| checked.change.apply(copy, &header)),
            now,
        );
        Ok(Appended {
            base_offset: header.base_offset,
            last_offset: header.last_offset,
            log_append_time: checked.log_append_time,
            log_start_offset: self.start_offset,
            duplicate: false,
            bytes: header.size as usize,
        })
    }

    fn append_as_follower(&mut self, records: &[u8], now: Wall) -> Result<Appended, AppendError> {
        let batches = validate::replica_batches(records, self.end_offset)?;
        let size: usize = batches.iter().map(|(batch, _)| batch.size as usize).sum();
        let (base_offset, last_offset) = match (batches.first(), batches.last()) {
            (Some((first, _)), Some((last, _))) => (first.base_offset, last.last_offset),
            _ => (self.end_offset, self.end_offset - 1),
        };
        self.commit(&batches, |room| room.copy(&records[..size], |_| {}), now);
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time: -1,
            log_start_offset: self.start_offset,
            duplicate: false,
            bytes: size,
        })
    }
}
