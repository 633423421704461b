//! Kafka's clients as state machines on wire bytes: [`Producer`], [`Consumer`], [`Admin`].
//!
//! Each is driven alike: give it what happened with `handle` or a call of its own, then `poll` until it
//! returns `None`, then wait until `next_wake`. None of them sees a socket, a clock or a broker's types.

pub mod admin;
mod cluster;
mod config;
pub mod consumer;
mod error;
mod io;
mod network;
pub mod producer;

pub use admin::{Admin, AdminCall, AdminEvent, AdminResult, CallId, NewTopic};
pub use cluster::{Cluster, Partition, Topic, TopicPartition};
pub use config::ClientConfig;
pub use consumer::{
    Assignor, ConsumedRecord, Consumer, ConsumerConfig, ConsumerEvent, GroupMetadata, Isolation, OffsetReset, Records,
};
pub use error::ClientError;
pub use io::{Input, Output};
pub use producer::{
    Acks, Producer, ProducerConfig, ProducerEvent, Record, SendError, SendId, TransactionCall, TransactionError,
    TransactionState,
};
