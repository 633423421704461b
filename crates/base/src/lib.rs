//! What every other crate agrees on: virtual time, seeded randomness, typed ids,
//! checksums where the processor has no instruction for them, and the fields of records.
//!
//! Nothing here reads a clock, draws entropy or allocates an id from the environment: a host feeds
//! time and seeds in, so a run can be replayed from its inputs.

pub mod checksum;
pub mod collections;
mod id;
mod random;
pub mod record;
mod time;

pub use id::{ConnId, NodeId, Uuid};
pub use random::Random;
pub use time::{Instant, Wall};

pub use core::time::Duration;
