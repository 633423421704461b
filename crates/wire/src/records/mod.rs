//! Records that brokers write for themselves.

pub mod group;
