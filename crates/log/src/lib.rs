//! One partition's log, and the storage seam below it.

mod append;
mod cache;
mod checkpoint;
mod clean;
mod config;
mod epochs;
mod header;
mod index;
mod log;
pub mod memory;
mod mending;
mod producers;
mod read;
mod recovery;
mod retention;
mod room;
mod segment;
pub mod storage;
pub mod suite;
mod txn_index;
mod validate;
mod verification;

pub use append::{AppendError, Appended, Origin, RecordError};
pub use checkpoint::{CLEANER_OFFSET_CHECKPOINT, OffsetCheckpoint, START_OFFSET_CHECKPOINT};
pub use clean::{CleanError, CleanStep, Cleaned, Cleaning, Dirt, MapLimits};
pub use config::{CleanupPolicy, Compression, LogConfig};
pub use epochs::{EpochCache, UNDEFINED_EPOCH};
pub use header::BatchHeader;
pub use log::Log;
pub use producers::{BatchMetadata, EndMarker, ProducerEntry, ProducerStates, Refused};
pub use read::{Lookup, Read, ReadError, SegmentInfo, TimestampOffset};
pub use recovery::{Recovery, RecoveryReport};
pub use txn_index::AbortedTransaction;
pub use verification::VerificationGuard;
