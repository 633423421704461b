//! DescribeProducers (61): who writes to a partition, and since when in a transaction.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use shore_wire::messages::{DescribeProducersRequest, DescribeProducersResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;
use crate::replica::{Partition, PartitionId};
use crate::topic_name;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DescribeProducersRequest = ctx.decode(body)?;
    let mut response = DescribeProducersResponse::default();
    for asked in &request.topics {
        let mut topic = TopicResponse::default();
        topic.name = asked.name.clone();
        let id = match topic_name::check(&asked.name) {
            Err(why) => Err((ErrorCode::InvalidTopicException, why)),
            Ok(()) => broker.image.topic_id(&asked.name).ok_or_else(|| {
                let error = ErrorCode::UnknownTopicOrPartition;
                (error, error.message().to_owned())
            }),
        };
        for &index in &asked.partition_indexes {
            let mut partition = PartitionResponse::default();
            partition.partition_index = index;
            match &id {
                Err((error, why)) => {
                    partition.error_code = error.code();
                    partition.error_message = Some(text(why));
                }
                Ok(topic) => match broker.leading(PartitionId { topic: *topic, partition: index }) {
                    Ok(replica) => partition.active_producers = producers(replica),
                    Err(error) => partition.error_code = error.code(),
                },
            }
            topic.partitions.push(partition);
        }
        response.topics.push(topic);
    }
    Ok(Served::Answer(ctx.respond(&response)))
}

fn producers(partition: &Partition) -> Vec<ProducerState> {
    let states = partition.log.producers().iter().map(|(producer_id, producer)| {
        let mut state = ProducerState::default();
        state.producer_id = producer_id;
        state.producer_epoch = producer.epoch.into();
        state.last_sequence = producer.last_batch().map_or(-1, |batch| batch.last_sequence);
        state.last_timestamp = producer.last_timestamp;
        state.coordinator_epoch = producer.coordinator_epoch;
        state.current_txn_start_offset = producer.transaction_start.unwrap_or(-1);
        state
    });
    states.collect()
}
