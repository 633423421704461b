//! The transaction coordinator: which producer speaks for a transactional id, and where its
//! transaction stands.
//!
//! One [`TxnCoordinator`] holds the transactional ids of the `__transaction_state` partitions that this
//! broker leads. It knows nothing of logs: it asks for records to be appended ([`TxnOutput::Append`]) and
//! is told when they are safe ([`TxnCoordinator::written`]). Unlike the group coordinator, and as in
//! Kafka, a transition counts only once its record is safe; until then the transactional id is pending
//! and whoever asks for another transition is told CONCURRENT_TRANSACTIONS. A failed write takes nothing
//! back but that. Markers leave as [`TxnOutput::SendMarkers`] and come back with
//! [`TxnCoordinator::markers_answered`].
//!
//! A transaction goes so: InitProducerId (Empty), partitions are added (Ongoing), EndTxn (PrepareCommit
//! or PrepareAbort, from here on its fate is settled), markers in all partitions (CompleteCommit or
//! CompleteAbort). With KIP-890, version 2 here, each end bumps the epoch, so that what belongs to one
//! transaction cannot be taken for the next.
//!
//! Drive it so: call one method with the time, then [`TxnCoordinator::poll`] until it returns `None`, then
//! call [`TxnCoordinator::wake`] no later than [`TxnCoordinator::next_wake`].
//!
//! - `state`, `metadata`: one transactional id and its transitions
//! - `coordinator`, `shard`: the machine, its shards (one per partition), the writes under way
//! - `init`, `add`, `end`, `markers`, `expire`: what happens to a transactional id
//! - `describe`, `view`, `event`: what others see of it

mod add;
mod call;
mod config;
mod coordinator;
mod describe;
mod end;
mod event;
mod expire;
mod init;
mod markers;
mod metadata;
mod pattern;
mod shard;
mod state;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use add::result_by_partition as add_result;
pub use call::{Markers, TxnOutput, TxnResponse};
pub use config::TxnConfig;
pub use coordinator::TxnCoordinator;
pub use event::TxnEvent;
pub use state::TransactionState;
pub use view::TransactionView;
