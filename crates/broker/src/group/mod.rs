//! The group coordinator: classic consumer groups and committed offsets.
//!
//! One [`GroupCoordinator`] holds all groups of the `__consumer_offsets` partitions that this broker
//! leads. It knows nothing of logs: it asks for records to be appended ([`GroupOutput::Append`]) and
//! is told when they are safe ([`GroupCoordinator::written`]). Committed offsets and the existence of
//! groups are hard state: they change when a record is applied, at once when it is proposed and again
//! on reload, and a failed write takes them back. Members, joins and timers are soft state, as in
//! Kafka: a coordinator that comes back knows the last stable generation and restarts its sessions.
//!
//! Drive it so: call one method with the time, then [`GroupCoordinator::poll`] until it returns
//! `None`, then call [`GroupCoordinator::wake`] no later than [`GroupCoordinator::next_wake`].
//!
//! - `coordinator`: the machine, its shards (one per partition) and the writes that are under way
//! - `classic`, `member`, `state`: one classic group; `join`, `sync`, `session`: what happens to it
//! - `offset_store`, `commit`, `fetch`, `expire`: committed offsets; `delete`: how they and groups go on request
//! - `pending_offsets`, `txn_commit`: offsets of transactions that have not ended
//! - `gather`: answers about groups of several partitions
//! - `describe`, `view`, `event`: what others see of it

mod call;
mod classic;
mod commit;
mod config;
mod consumer_protocol;
mod coordinator;
mod delete;
mod describe;
mod event;
mod expire;
mod fetch;
mod gather;
mod java;
mod join;
mod member;
mod offset_store;
mod pending_offsets;
mod session;
mod shard;
mod state;
mod sync;
mod timer;
mod txn_commit;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use commit::add_partition as add_commit_result;
pub(crate) use shard::response_error;

pub use call::{Caller, GroupMarker, GroupOutput, GroupResponse, Producer, Records, RequestId, Topics, WriteId};
pub use config::GroupConfig;
pub use coordinator::GroupCoordinator;
pub use event::{Departure, GroupEvent};
pub use java::partition_for;
pub use state::StateName;
pub use view::{GroupView, MemberView, OffsetView};
