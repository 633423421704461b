//! What happened to transactions, for whoever watches.

use std::sync::Arc;

use super::state::TransactionState;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnEvent {
    /// A transition is safe. `from` is `None` for a transactional id that was not known before.
    StateChanged {
        transactional_id: Arc<str>,
        from: Option<TransactionState>,
        to: TransactionState,
        producer_id: i64,
        producer_epoch: i16,
        partitions: u32,
    },
    /// An ongoing transaction took longer than its producer's `transaction.timeout.ms`.
    TimedOut { transactional_id: Arc<str>, producer_id: i64, producer_epoch: i16 },
    /// Nobody used it for `transactional.id.expiration.ms`.
    Expired { transactional_id: Arc<str> },
}
