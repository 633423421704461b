//! What every other crate agrees on: virtual time, seeded randomness, typed ids.
//!
//! Nothing here reads a clock, draws entropy or allocates an id from the environment: a host feeds
//! time and seeds in, so a run can be replayed from its inputs.

pub mod collections;
mod id;
mod random;
mod time;

pub use id::{ConnId, NodeId, Uuid};
pub use random::Random;
pub use time::{Instant, Wall};

pub use core::time::Duration;
