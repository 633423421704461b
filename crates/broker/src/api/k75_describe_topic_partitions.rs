//! DescribeTopicPartitions (75): topics and their partitions by name, a bounded number of partitions at a time; a
//! cursor says where the next request goes on.

use bytes::Bytes;
use shore_base::Uuid;
use shore_base::collections::BTreeSet;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use shore_wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use shore_wire::records::metadata::PartitionRecord;

use super::{RequestContext, Served, TOPIC_OPERATIONS, text, to_wire};
use crate::broker::Broker;
use crate::topic_name;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DescribeTopicPartitionsRequest = ctx.decode(body)?;
    Ok(Served::Answer(ctx.respond(&describe(broker, &request))))
}

fn describe(broker: &Broker, request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let asks_for_all = request.topics.is_empty();
    let (from, first) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
        None => ("", 0),
    };
    let known = broker.image.named_topics().map(|(name, ..)| &**name);
    let asked = request.topics.iter().map(|topic| topic.name.as_str());
    let names: BTreeSet<&str> = if asks_for_all { known.collect() } else { asked.collect() };
    let is_lost = request.cursor.is_some() && !asks_for_all && !names.contains(from);
    if is_lost || first < 0 {
        response.topics =
            request.topics.iter().map(|topic| missing(&topic.name, Uuid::ZERO, ErrorCode::InvalidRequest)).collect();
        return response;
    }
    // Kafka trips over a topic without a name: it takes it for the one where no cursor is.
    if request.cursor.is_none() && !asks_for_all && names.contains("") {
        let error = ErrorCode::UnknownServerError;
        response.topics = request.topics.iter().map(|topic| missing(&topic.name, Uuid::ZERO, error)).collect();
        return response;
    }
    let limit = request.response_partition_limit.min(broker.settings.int("max.request.partition.size.limit"));
    let mut room = usize::try_from(limit).unwrap_or(0).max(1);
    for &name in names.range(from..) {
        if room == 0 {
            response.next_cursor = Some(cursor(name, 0));
            break;
        }
        let Some((id, topic)) = broker.image.topic(name) else {
            if !asks_for_all {
                let is_valid = topic_name::check(name).is_ok();
                let unknown = ErrorCode::UnknownTopicOrPartition;
                response.topics.push(refused(name, if is_valid { unknown } else { ErrorCode::InvalidTopicException }));
            }
            continue;
        };
        let first = if name == from { first as usize } else { 0 };
        let partitions = topic.partitions.get(first..).unwrap_or_default();
        let shown = &partitions[..room.min(partitions.len())];
        let mut described = missing(name, id, ErrorCode::None);
        described.partitions = shown.iter().map(partition).collect();
        described.topic_authorized_operations = TOPIC_OPERATIONS;
        response.topics.push(described);
        if shown.len() < partitions.len() {
            response.next_cursor = Some(cursor(name, (first + shown.len()) as i32));
            break;
        }
        room -= shown.len();
    }
    response
}

fn cursor(topic: &str, partition: i32) -> Cursor {
    let mut cursor = Cursor::default();
    cursor.topic_name = text(topic);
    cursor.partition_index = partition;
    cursor
}

fn refused(name: &str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    let mut topic = missing(name, Uuid::ZERO, error);
    topic.topic_authorized_operations = TOPIC_OPERATIONS;
    topic
}

fn missing(name: &str, id: Uuid, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    let mut topic = DescribeTopicPartitionsResponseTopic::default();
    topic.error_code = error.code();
    topic.name = Some(text(name));
    topic.topic_id = to_wire(id);
    topic.is_internal = topic_name::is_internal(name);
    topic
}

fn partition(record: &PartitionRecord) -> DescribeTopicPartitionsResponsePartition {
    let mut partition = DescribeTopicPartitionsResponsePartition::default();
    partition.partition_index = record.partition;
    partition.leader_id = record.leader;
    partition.leader_epoch = record.leader_epoch;
    if record.leader < 0 {
        partition.error_code = ErrorCode::LeaderNotAvailable.code();
    }
    partition.replica_nodes = record.replicas.clone();
    partition.isr_nodes = record.isr.clone();
    partition.eligible_leader_replicas = Some(record.eligible_leader_replicas.clone().unwrap_or_default());
    partition.last_known_elr = Some(record.last_known_elr.clone().unwrap_or_default());
    partition
}
