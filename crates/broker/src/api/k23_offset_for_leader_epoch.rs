//! OffsetForLeaderEpoch (23): where a leader epoch ends in the log, by which a reader finds out that it was cut.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use shore_wire::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use shore_wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{RequestContext, Served};
use crate::broker::Broker;
use crate::replica::PartitionId;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: OffsetForLeaderEpochRequest = ctx.decode(body)?;
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in request.topics {
        let mut result = OffsetForLeaderTopicResult::default();
        for asked in &topic.partitions {
            let mut partition = EpochEndOffset::default();
            partition.partition = asked.partition;
            match end_of_epoch(broker, &topic.topic, asked) {
                Ok((epoch, end)) => (partition.leader_epoch, partition.end_offset) = (epoch, end),
                Err(error) => partition.error_code = error.code(),
            }
            result.partitions.push(partition);
        }
        result.topic = topic.topic;
        response.topics.push(result);
    }
    Ok(Served::Answer(ctx.respond(&response)))
}

fn end_of_epoch(broker: &Broker, topic: &str, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode> {
    let topic = broker.image.topic_id(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = broker.leading(PartitionId { topic, partition: asked.partition })?;
    partition.check_epoch(asked.current_leader_epoch)?;
    Ok(partition.log.end_offset_for_epoch(asked.leader_epoch))
}
