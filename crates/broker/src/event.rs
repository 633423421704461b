//! What happened inside a node, for whoever watches: the page, a test, a log.

use std::sync::Arc;

use shore_base::{ConnId, Uuid};
use shore_log::{Cleaned, Dirt};
use shore_wire::api::ApiKey;
use shore_wire::error::ErrorCode;
use shore_wire::records::metadata::MetadataRecord;

use crate::group::GroupEvent;
use crate::txn::TxnEvent;

/// Something worth showing or asserting. Built only while somebody watches.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    RequestReceived {
        conn: ConnId,
        api: ApiKey,
        version: i16,
        correlation_id: i32,
        client_id: String,
        bytes: usize,
    },
    RequestAnswered {
        conn: ConnId,
        api: ApiKey,
        version: i16,
        correlation_id: i32,
        bytes: usize,
    },
    /// A batch was appended; it is not durable yet.
    Appended {
        topic: Arc<str>,
        partition: i32,
        base_offset: i64,
        last_offset: i64,
        bytes: usize,
    },
    AppendRefused {
        topic: Arc<str>,
        partition: i32,
        error: ErrorCode,
        message: String,
    },
    HighWatermarkMoved {
        topic: Arc<str>,
        partition: i32,
        from: i64,
        to: i64,
    },
    /// Old segments were deleted: the log begins later.
    LogStartMoved {
        topic: Arc<str>,
        partition: i32,
        from: i64,
        to: i64,
    },
    /// The log cleaner begins a round.
    CleaningBegan {
        topic: Arc<str>,
        partition: i32,
        dirt: Dirt,
    },
    /// It has cleaned a log.
    LogCleaned {
        topic: Arc<str>,
        partition: i32,
        cleaned: Cleaned,
    },
    TopicCreated {
        topic: Arc<str>,
        id: Uuid,
        partitions: i32,
    },
    TopicDeleted {
        topic: Arc<str>,
        id: Uuid,
    },
    /// The controller proposed this.
    MetadataRecord {
        record: MetadataRecord,
    },
    Group(GroupEvent),
    Transaction(TxnEvent),
    StoreFailed {
        reason: String,
    },
    StoreHealed,
}
