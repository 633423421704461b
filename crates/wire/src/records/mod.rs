//! Records that brokers write for themselves.

pub mod group;
pub mod metadata;
pub mod transaction;
