//! What is known of a transactional id, and what each transition makes of it.

use std::sync::Arc;

use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::error::ErrorCode;
use shore_wire::messages::StrBytes;
use shore_wire::records::transaction::{TransactionPartitions, TransactionRecord, TransactionValue};

use super::state::TransactionState;

pub(super) const NO_PRODUCER_ID: i64 = -1;
pub(super) const NO_PRODUCER_EPOCH: i16 = -1;

/// The protocol that a client speaks: 0 is what came before KIP-890, 2 bumps the epoch with each
/// transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionVersion(pub i16);

impl TransactionVersion {
    pub const V0: Self = Self(0);
    pub const V2: Self = Self(2);

    pub const fn bumps_epoch(self) -> bool {
        self.0 >= 2
    }
}

/// By topic.
pub(super) type Partitions = BTreeMap<Arc<str>, BTreeSet<i32>>;

/// A transactional id as its last record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransactionMetadata {
    pub producer_id: i64,
    /// The producer id before the last transition.
    pub previous_producer_id: i64,
    /// What the producer goes on with once the transaction is complete, if its epochs are used up.
    pub next_producer_id: i64,
    pub producer_epoch: i16,
    /// The epoch before the last bump, by which a retry is known. It is not in the log.
    pub last_producer_epoch: i16,
    pub timeout_ms: i32,
    pub state: TransactionState,
    /// While it ends, those that have no marker yet.
    pub partitions: Partitions,
    /// -1 while there is no transaction.
    pub start_timestamp: i64,
    pub last_update_timestamp: i64,
    pub client_version: TransactionVersion,
}

impl TransactionMetadata {
    /// A transactional id that nobody has used. Nothing of it is in the log yet.
    pub fn new(producer_id: i64, timeout_ms: i32, now: i64) -> Self {
        Self {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: Partitions::new(),
            start_timestamp: -1,
            last_update_timestamp: now,
            client_version: TransactionVersion::V0,
        }
    }

    /// No producer is given the largest epoch, so that the coordinator can always fence one more time.
    pub fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }

    fn next(&self, state: TransactionState) -> Self {
        Self { previous_producer_id: self.producer_id, state, ..self.clone() }
    }

    /// A producer begins, or goes on after an error with the epoch that it expects.
    pub fn increment_epoch(&self, timeout_ms: i32, expected: Option<i16>, now: i64) -> Result<Self, ErrorCode> {
        if self.is_epoch_exhausted() {
            return Err(ErrorCode::UnknownServerError);
        }
        let bumped = self.producer_epoch + 1;
        let (producer_epoch, last_producer_epoch) = match expected {
            None => (bumped, NO_PRODUCER_EPOCH),
            Some(expected) if self.producer_epoch == NO_PRODUCER_EPOCH || expected == self.producer_epoch => {
                (bumped, self.producer_epoch)
            }
            // A retry of a request whose answer was lost. A new producer would have cleared the last epoch.
            Some(expected) if expected == self.last_producer_epoch => (self.producer_epoch, self.last_producer_epoch),
            Some(_) => return Err(ErrorCode::ProducerFenced),
        };
        Ok(Self { producer_epoch, last_producer_epoch, ..self.without_transaction(timeout_ms, now) })
    }

    /// Its epochs are used up: it goes on with a new producer id.
    pub fn rotate_producer_id(&self, producer_id: i64, timeout_ms: i32, now: i64, keeps_last_epoch: bool) -> Self {
        let last_producer_epoch = if keeps_last_epoch { self.producer_epoch } else { NO_PRODUCER_EPOCH };
        Self { producer_id, producer_epoch: 0, last_producer_epoch, ..self.without_transaction(timeout_ms, now) }
    }

    fn without_transaction(&self, timeout_ms: i32, now: i64) -> Self {
        Self {
            timeout_ms,
            partitions: Partitions::new(),
            start_timestamp: -1,
            last_update_timestamp: now,
            ..self.next(TransactionState::Empty)
        }
    }

    pub fn add_partitions(&self, added: &Partitions, version: TransactionVersion, now: i64) -> Self {
        let mut next = self.next(TransactionState::Ongoing);
        for (topic, partitions) in added {
            next.partitions.entry(topic.clone()).or_default().extend(partitions.iter().copied());
        }
        if self.state != TransactionState::Ongoing {
            next.start_timestamp = now;
        }
        next.last_update_timestamp = now;
        next.client_version = version;
        next
    }

    /// The transaction's fate is settled. `next_producer_id` is what the producer goes on with if its
    /// epochs are used up; `is_empty` if there was no transaction to abort.
    pub fn prepare_end(
        &self,
        state: TransactionState,
        version: TransactionVersion,
        next_producer_id: i64,
        is_empty: bool,
        now: i64,
    ) -> Self {
        let mut next = self.next(state);
        if version.bumps_epoch() {
            // An abort goes through even where a bug has used up the last epoch.
            next.producer_epoch = self.producer_epoch.saturating_add(1);
            next.last_producer_epoch = self.producer_epoch;
        }
        if is_empty {
            next.start_timestamp = now;
        }
        next.next_producer_id = next_producer_id;
        next.last_update_timestamp = now;
        next.client_version = version;
        next
    }

    /// All partitions have their marker.
    pub fn complete(&self, now: i64) -> Self {
        let mut next = self.next(match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        });
        if self.client_version.bumps_epoch() && self.next_producer_id != NO_PRODUCER_ID {
            next.producer_id = self.next_producer_id;
            next.producer_epoch = 0;
        }
        next.next_producer_id = NO_PRODUCER_ID;
        next.partitions = Partitions::new();
        next.last_update_timestamp = now;
        next
    }

    pub fn has_all(&self, partitions: &Partitions) -> bool {
        partitions.iter().all(|(topic, asked)| asked.iter().all(|partition| self.has(topic, *partition)))
    }

    pub fn has(&self, topic: &str, partition: i32) -> bool {
        self.partitions.get(topic).is_some_and(|known| known.contains(&partition))
    }

    pub fn remove(&mut self, topic: &str, partition: i32) {
        let Some(known) = self.partitions.get_mut(topic) else { return };
        known.remove(&partition);
        if known.is_empty() {
            self.partitions.remove(topic);
        }
    }

    pub fn record(&self, transactional_id: &str) -> TransactionRecord {
        let topic = |(topic, partitions): (&Arc<str>, &BTreeSet<i32>)| TransactionPartitions {
            topic: StrBytes::from(&**topic),
            partitions: partitions.iter().copied().collect(),
        };
        let value = TransactionValue {
            producer_id: self.producer_id,
            previous_producer_id: self.previous_producer_id,
            next_producer_id: self.next_producer_id,
            producer_epoch: self.producer_epoch,
            next_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms: self.timeout_ms,
            status: self.state.id(),
            partitions: (self.state != TransactionState::Empty).then(|| self.partitions.iter().map(topic).collect()),
            last_update_timestamp: self.last_update_timestamp,
            start_timestamp: self.start_timestamp,
            client_transaction_version: self.client_version.0,
        };
        TransactionRecord::Transaction { transactional_id: transactional_id.into(), value: Some(value) }
    }

    /// `None` for a state that no log holds.
    pub fn from_value(value: TransactionValue) -> Option<Self> {
        let state = TransactionState::from_id(value.status)
            .filter(|state| !matches!(state, TransactionState::Dead | TransactionState::PrepareEpochFence))?;
        let mut partitions = Partitions::new();
        for topic in value.partitions.unwrap_or_default() {
            partitions.entry(Arc::from(topic.topic.as_str())).or_default().extend(topic.partitions);
        }
        if state == TransactionState::Empty {
            partitions.clear();
        }
        Some(Self {
            producer_id: value.producer_id,
            previous_producer_id: value.previous_producer_id,
            next_producer_id: value.next_producer_id,
            producer_epoch: value.producer_epoch,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms: value.timeout_ms,
            state,
            partitions,
            start_timestamp: value.start_timestamp,
            last_update_timestamp: value.last_update_timestamp,
            client_version: TransactionVersion(value.client_transaction_version),
        })
    }
}

pub(super) fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}
