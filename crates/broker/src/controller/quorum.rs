//! DescribeQuorum: who votes on the metadata log, and how far each has come.

use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_quorum_response::{Node, PartitionData, ReplicaState, TopicData};
use shore_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};

use super::{Call, Controller};
use crate::api::text;
use crate::topic_name::METADATA_TOPIC;

impl Controller {
    pub(super) fn describe_quorum(&mut self, call: Call, request: DescribeQuorumRequest) {
        let is_asked = matches!(request.topics.as_slice(), [topic]
            if topic.topic_name.as_bytes() == METADATA_TOPIC.as_bytes()
                && matches!(topic.partitions.as_slice(), [partition] if partition.partition_index == 0));
        let response = if is_asked { self.quorum(call.version) } else { unknown(call.version, &request) };
        self.respond(call, &response);
    }

    fn quorum(&self, version: i16) -> DescribeQuorumResponse {
        let id = self.node.node_id.0;
        let mut voter = ReplicaState::default();
        voter.replica_id = id;
        voter.log_end_offset = self.log.end_offset();
        if version >= 1 {
            voter.last_fetch_timestamp = self.wall.as_millis();
            voter.last_caught_up_timestamp = self.wall.as_millis();
        }
        let mut partition = PartitionData::default();
        partition.error_message = None;
        partition.leader_id = id;
        partition.leader_epoch = self.epoch;
        partition.high_watermark = self.high_watermark();
        partition.current_voters = vec![voter];
        let mut topic = TopicData::default();
        topic.topic_name = text(METADATA_TOPIC);
        topic.partitions = vec![partition];
        let mut response = DescribeQuorumResponse::default();
        response.error_message = None;
        response.topics = vec![topic];
        if version >= 2 {
            let mut node = Node::default();
            node.node_id = id;
            response.nodes = vec![node];
        }
        response
    }
}

fn unknown(version: i16, request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let error = ErrorCode::UnknownTopicOrPartition;
    let mut response = DescribeQuorumResponse::default();
    response.error_message = None;
    for asked in &request.topics {
        let mut topic = TopicData::default();
        topic.topic_name = asked.topic_name.clone();
        for index in asked.partitions.iter().map(|partition| partition.partition_index) {
            let mut partition = PartitionData::default();
            partition.partition_index = index;
            partition.error_code = error.code();
            partition.error_message = (version >= 2).then(|| text(error.message()));
            topic.partitions.push(partition);
        }
        response.topics.push(topic);
    }
    response
}
