//! Who votes on the metadata log: DescribeQuorum, which also says how far each has come, and the records of the log that
//! tell of its voters, once `kraft.version` is 1. There is one voter, this node.

use shore_base::Uuid;
use shore_wire::batch::{BatchBuilder, BatchOptions, ControlKind};
use shore_wire::codec::Writer;
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_quorum_response::{Node, PartitionData, ReplicaState, TopicData};
use shore_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};

use super::{Call, Controller, apply_batches};
use crate::api::{text, to_wire};
use crate::features::KRAFT_VERSION;
use crate::topic_name::METADATA_TOPIC;

impl Controller {
    pub(super) fn describe_quorum(&mut self, call: Call, request: DescribeQuorumRequest) {
        let is_asked = matches!(request.topics.as_slice(), [topic]
            if topic.topic_name.as_bytes() == METADATA_TOPIC.as_bytes()
                && matches!(topic.partitions.as_slice(), [partition] if partition.partition_index == 0));
        let response = if is_asked { self.quorum(call.version) } else { unknown(call.version, &request) };
        self.respond(call, &response);
    }

    pub(super) fn kraft_version(&self) -> i16 {
        self.image.feature(KRAFT_VERSION)
    }

    /// Writes down that voters are told in the log from now on (that is version 1), and who they are.
    pub(super) fn raise_kraft_version(&mut self) {
        const LEVEL: i16 = 1;
        const ONE: u32 = 2;
        let mut version = Writer::new();
        version.i16(0);
        version.i16(LEVEL);
        version.no_tagged_fields();
        let mut voters = Writer::new();
        voters.i16(0);
        voters.unsigned_varint(ONE);
        voters.i32(self.node.node_id.0);
        voters.uuid(self.directory());
        // Nobody else is there to connect to its listener.
        voters.unsigned_varint(ONE);
        voters.compact_string("CONTROLLER");
        voters.compact_string(&self.node.advertised_host);
        voters.u16(0);
        voters.no_tagged_fields();
        // The versions that it knows.
        voters.i16(0);
        voters.i16(LEVEL);
        for _ in 0..3 {
            voters.no_tagged_fields();
        }
        let mut batch = BatchBuilder::new(BatchOptions { control: true, ..BatchOptions::default() });
        for (kind, value) in [(ControlKind::KRaftVersion, version), (ControlKind::KRaftVoters, voters)] {
            batch.append(self.wall.as_millis(), Some(&kind.key()), Some(value.as_slice()), []);
        }
        let batch = batch.finish();
        self.append(&batch);
        apply_batches(&mut self.image, &batch).expect("our own records");
    }

    /// The directory that the node's broker keeps its logs in, which is the controller's as well.
    fn directory(&self) -> Uuid {
        let own = self.image.brokers.get(&self.node.node_id.0);
        own.and_then(|broker| broker.log_dirs.first().copied()).unwrap_or(Uuid::ZERO)
    }

    fn quorum(&self, version: i16) -> DescribeQuorumResponse {
        let id = self.node.node_id.0;
        let mut voter = ReplicaState::default();
        voter.replica_id = id;
        voter.log_end_offset = self.log.end_offset();
        if version >= 2 && self.kraft_version() > 0 {
            voter.replica_directory_id = to_wire(self.directory());
        }
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
