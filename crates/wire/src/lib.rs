//! Kafka's protocol: frames, messages, record batches, checksums and compression.
//!
//! Nothing here does I/O. Whatever a peer sent is data: it is refused with an error, and neither
//! panics nor makes us allocate more than the bytes at hand can justify.

pub mod api;
pub mod batch;
pub mod codec;
pub mod compress;
pub mod crc32c;
mod dropped;
pub mod error;
pub mod fetch;
pub mod frame;
pub mod message_set;
pub mod messages;
pub mod records;
