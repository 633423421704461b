//! Control batches: records that speak to the log itself.

use super::{BatchBuilder, BatchOptions, Record};
use crate::codec::{Reader, Writer};
use bytes::Bytes;

/// What a control record says, by the type in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    Abort,
    Commit,
    LeaderChange,
    SnapshotHeader,
    SnapshotFooter,
    KRaftVersion,
    KRaftVoters,
    /// Of a newer Kafka.
    Unknown(i16),
}

impl ControlKind {
    /// The kind of a record of a control batch, or `None` if its key is none of a control record.
    pub fn of(record: &Record<'_>) -> Option<Self> {
        let mut key = Reader::new(record.key?);
        let version = key.i16().ok()?;
        let id = key.i16().ok()?;
        (version >= 0).then(|| Self::from_id(id))
    }

    pub const fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            id => Self::Unknown(id),
        }
    }

    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// The key of a control record of this kind.
    pub fn key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }
}

/// The batch that ends a transaction in a partition.
pub fn end_transaction_marker(
    kind: ControlKind,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Bytes {
    let mut value = Writer::with_capacity(6);
    value.i16(0);
    value.i32(coordinator_epoch);
    let options =
        BatchOptions { producer_id, producer_epoch, transactional: true, control: true, ..BatchOptions::default() };
    let mut batch = BatchBuilder::new(options);
    batch.append(timestamp, Some(&kind.key()), Some(value.as_slice()), []);
    batch.finish()
}
