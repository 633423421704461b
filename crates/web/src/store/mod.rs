//! Named files in IndexedDB.
//!
//! Layout, format 1, one database per store:
//! - `names`: a file's name to its id. A rename writes one key and moves no bytes.
//! - `chunks`: `[id, position]` to bytes. A file is the chunks of its id, without gaps. An append is a
//!   new key; nothing that was written grows. The append that makes a run of small neighbours long enough
//!   puts one value in the place of them all.
//! - `meta`: `format`, `epoch` (raised by whoever opens the store and checked in each transaction, so
//!   that a stale owner cannot write) and what the host keeps beside the cluster.

mod files;

#[cfg(target_arch = "wasm32")]
mod connection;
#[cfg(target_arch = "wasm32")]
mod idb_store;
#[cfg(target_arch = "wasm32")]
mod tab_store;

pub use files::{Change, ChunkKey, Files, WriteSet};

#[cfg(target_arch = "wasm32")]
pub use idb_store::{IdbStore, OpenError};
#[cfg(target_arch = "wasm32")]
pub use tab_store::TabStore;

/// The layout written here. A store of a higher number is refused.
pub const FORMAT: u32 = 1;
