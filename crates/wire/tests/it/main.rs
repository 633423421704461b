//! The wire against others: frames of real clients, and an independent codec.

mod apis;
mod batches;
mod fetch;
mod golden;
mod message_sets;
mod messages;
mod recorded;
mod records;
mod vectors;
