//! DeleteRecords (21): lets partitions begin at a later offset; -1 is the high watermark.
//!
//! Segments that are wholly before it go with the next round of retention.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use shore_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::{RequestContext, Served};
use crate::broker::Broker;
use crate::event::Event;
use crate::replica::PartitionId;
use crate::topic_name;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DeleteRecordsRequest = ctx.decode(body)?;
    let mut response = DeleteRecordsResponse::default();
    // Kafka answers for partitions, and names a topic only if it has some.
    for topic in request.topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
        let mut result = DeleteRecordsTopicResult::default();
        for asked in &topic.partitions {
            let mut partition = DeleteRecordsPartitionResult::default();
            partition.partition_index = asked.partition_index;
            partition.low_watermark = -1;
            match delete(broker, &topic.name, asked.partition_index, asked.offset) {
                Ok(start) => partition.low_watermark = start,
                Err(error) => partition.error_code = error.code(),
            }
            result.partitions.push(partition);
        }
        result.name = topic.name;
        response.topics.push(result);
    }
    Ok(Served::Answer(ctx.respond(&response)))
}

fn delete(broker: &mut Broker, topic: &str, partition: i32, before: i64) -> Result<i64, ErrorCode> {
    let id = PartitionId { topic: broker.image.topic_id(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?, partition };
    broker.leading(id)?;
    if topic_name::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let log = &mut broker.leading_mut(id)?.log;
    let policy = log.config().cleanup_policy;
    if policy.compact && !policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let from = log.start_offset();
    let to = log.delete_records(before)?;
    if to > from {
        broker.emit(|| Event::LogStartMoved { topic: topic.into(), partition, from, to });
    }
    Ok(to)
}
