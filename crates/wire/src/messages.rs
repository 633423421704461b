//! Every message of the protocol, one struct for all its versions.
//!
//! The crates behind it are named here and nowhere else, so that they can be replaced.

pub use kafka_wire::*;
pub use kafka_wire_core::{KafkaDecode, KafkaEncode, StrBytes, TaggedField, TaggedFields, Uuid};
