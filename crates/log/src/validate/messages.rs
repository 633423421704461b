//! Message sets of formats 0 and 1 from old clients: stored as one batch of format 2, as Apache Kafka 3.9 did.

use bytes::Bytes;
use shore_base::Wall;
use shore_wire::batch::{self, BatchBuilder, BatchError, BatchOptions};
use shore_wire::error::ErrorCode;
use shore_wire::message_set::{MessageSet, messages};

use super::{Found, INFLATED_MAX, Refused, Stamped, target_codec, too_large, unreadable};
use crate::append::AppendError;
use crate::config::LogConfig;

/// Checks a client's message set and makes a batch of it. The codec is that of its wrapper, unless the topic has its
/// own; messages that came one by one get into one batch as well. Their offsets count for nothing.
pub(super) fn converted(
    config: &LogConfig,
    records: &[u8],
    partition: &str,
    now: Wall,
) -> Result<(Bytes, Found), AppendError> {
    let refuse = |error: BatchError| refusal(&error, partition);
    for message in messages(records) {
        let size = message.map_err(refuse)?.size();
        if size as u64 > u64::from(config.max_message_bytes) {
            return Err(too_large(size as u32, partition, config.max_message_bytes));
        }
    }
    let set = MessageSet::open(records, INFLATED_MAX).map_err(refuse)?;
    let (codec, level) = target_codec(config.compression, set.codec);
    let mut batch = BatchBuilder::new(BatchOptions { codec, level, ..BatchOptions::default() });
    let mut found = Found { count: 0, max_timestamp: -1, offsets_in_order: true, marker: None };
    let mut refused = Refused::default();
    let stamped = Stamped::of(set.timestamp_type, false);
    for record in set.records() {
        let record = record.map_err(refuse)?;
        refused.check(config, &record, found.count, stamped, partition, now);
        if !set.is_compressed() && !refused.errors.is_empty() {
            // Each message is a batch of its own here: the first bad one decides.
            break;
        }
        if record.timestamp < -1 {
            let message = format!("Invalid negative timestamp {} in topic partition {partition}", record.timestamp);
            return Err(AppendError::new(ErrorCode::UnknownServerError, message));
        }
        batch.append(record.timestamp, record.key, record.value, []);
        found.max_timestamp = found.max_timestamp.max(record.timestamp);
        found.count += 1;
    }
    refused.finish()?;
    Ok((batch.finish(), found))
}

/// A message that is damaged, on its own or in a wrapper, is corrupt rather than invalid.
fn refusal(error: &BatchError, partition: &str) -> AppendError {
    let mut refused = unreadable(error, partition);
    refused.code = match error {
        BatchError::Crc { .. } | BatchError::BadLength { .. } => ErrorCode::CorruptMessage,
        // A batch among messages is a mixture, anything else is nothing.
        BatchError::Magic { magic } if *magic != batch::MAGIC => ErrorCode::CorruptMessage,
        _ => refused.code,
    };
    refused
}
