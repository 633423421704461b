//! ElectLeaders, and the reassignment of partitions to other brokers.
//!
//! Replicas are moved by following a leader, which takes several brokers. Until there are, every assignment that can be
//! asked for is the one that a partition has, so none is ever under way.

use shore_wire::error::ErrorCode;
use shore_wire::messages::alter_partition_reassignments_request::ReassignablePartition;
use shore_wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use shore_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use shore_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use shore_wire::records::metadata::{MetadataRecord, PartitionChangeRecord, PartitionRecord};

use super::{Call, Controller, NOT_STORED, Refusal, told};
use crate::api::text;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Controller {
    pub(super) fn elect_leaders(&mut self, call: Call, request: ElectLeadersRequest) {
        // Version 0 knows no other than preferred leaders.
        let election = if call.version == 0 { PREFERRED } else { request.election_type };
        let unknown = !matches!(election, PREFERRED | UNCLEAN);
        let asked: Vec<(String, Vec<i32>)> = match &request.topic_partitions {
            Some(topics) => topics.iter().map(|topic| (topic.topic.to_string(), topic.partitions.clone())).collect(),
            None => {
                let all = self.image.named_topics().filter(|_| !unknown);
                all.map(|(name, _, topic)| (name.to_string(), (0..topic.partitions.len() as i32).collect())).collect()
            }
        };
        let mut response = ElectLeadersResponse::default();
        let mut failed = ElectLeadersResponse::default();
        let asks_for_none = request.topic_partitions.as_ref().is_some_and(Vec::is_empty);
        if unknown && !asks_for_none && call.version >= 1 {
            response.error_code = ErrorCode::InvalidRequest.code();
        }
        let mut records = Vec::new();
        for (topic, partitions) in asked {
            let mut results = Vec::with_capacity(partitions.len());
            for partition in partitions {
                let elected = if unknown {
                    Err((ErrorCode::InvalidRequest, format!("Unknown election type {election}")))
                } else {
                    self.elected(&topic, partition, election).map(|record| records.push(record))
                };
                // Whoever asks for all is not told of those that need none.
                let is_told =
                    request.topic_partitions.is_some() || !matches!(elected, Err((ErrorCode::ElectionNotNeeded, _)));
                if is_told {
                    results.push((partition, elected));
                }
            }
            let result = |results: Vec<PartitionResult>| {
                let mut result = ReplicaElectionResult::default();
                result.topic = text(&topic);
                result.partition_result = results;
                result
            };
            let not_stored = results.iter().map(|(partition, elected)| {
                let failed = elected.clone().and(Err(default_refusal(NOT_STORED)));
                partition_result(*partition, failed)
            });
            failed.replica_election_results.push(result(not_stored.collect()));
            let told = results.into_iter().map(|(partition, elected)| partition_result(partition, elected));
            response.replica_election_results.push(result(told.collect()));
        }
        self.propose(&records);
        self.respond_when_committed(call, &response, &failed);
    }

    /// The change that makes the preferred replica lead, or, unclean, any that lives.
    fn elected(&self, topic: &str, partition: i32, election: i8) -> Result<MetadataRecord, Refusal> {
        let unknown = |what: String| (ErrorCode::UnknownTopicOrPartition, what);
        let topic_id = self.image.topic_id(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
        let record = self
            .image
            .partition(topic_id, partition)
            .ok_or_else(|| unknown(format!("No such partition as {topic}-{partition}")))?;
        let is_led = record.leader >= 0;
        let preferred = record.replicas.first().copied();
        if (election == PREFERRED && Some(record.leader) == preferred) || (election == UNCLEAN && is_led) {
            return Err(default_refusal(ErrorCode::ElectionNotNeeded));
        }
        let is_live = |id: &i32| self.image.brokers.get(id).is_some_and(|broker| !broker.fenced);
        let (leader, refusal) = if election == PREFERRED {
            let leader = preferred.filter(|id| record.isr.contains(id) && is_live(id));
            (leader, ErrorCode::PreferredLeaderNotAvailable)
        } else {
            (record.replicas.iter().copied().find(is_live), ErrorCode::EligibleLeadersNotAvailable)
        };
        let leader = leader.ok_or_else(|| default_refusal(refusal))?;
        // A leader that was not in sync makes the others follow from its own log.
        let isr = (!record.isr.contains(&leader)).then(|| vec![leader]);
        Ok(MetadataRecord::PartitionChange(PartitionChangeRecord {
            partition,
            topic_id,
            isr,
            leader: Some(leader),
            ..PartitionChangeRecord::default()
        }))
    }

    pub(super) fn alter_reassignments(&mut self, call: Call, request: AlterPartitionReassignmentsRequest) {
        let mut response = AlterPartitionReassignmentsResponse::default();
        response.error_message = None;
        if call.version >= 1 && !request.topics.is_empty() {
            response.allow_replication_factor_change = request.allow_replication_factor_change;
        }
        for topic in &request.topics {
            let mut result = ReassignableTopicResponse::default();
            result.name = topic.name.clone();
            for asked in &topic.partitions {
                let mut partition = ReassignablePartitionResponse::default();
                partition.partition_index = asked.partition_index;
                partition.error_message = None;
                let allowed = request.allow_replication_factor_change || call.version == 0;
                if let Err((error, why)) = self.reassigned(&topic.name, asked, allowed) {
                    partition.error_code = error.code();
                    partition.error_message = told(&why);
                }
                result.partitions.push(partition);
            }
            response.responses.push(result);
        }
        self.respond(call, &response);
    }

    fn reassigned(&self, topic: &str, asked: &ReassignablePartition, other_factor: bool) -> Result<(), Refusal> {
        let unknown = |what: String| (ErrorCode::UnknownTopicOrPartition, what);
        let index = asked.partition_index;
        let topic_id =
            self.image.topic_id(topic).ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
        let partition: &PartitionRecord = self
            .image
            .partition(topic_id, index)
            .ok_or_else(|| unknown(format!("Unable to find partition {topic}:{index}.")))?;
        let Some(replicas) = &asked.replicas else {
            return Err((ErrorCode::NoReassignmentInProgress, String::new()));
        };
        self.check_replicas(replicas, None)?;
        let (is, becomes) = (partition.replicas.len(), replicas.len());
        if !other_factor && is != becomes {
            let why = format!("The replication factor is changed from {is} to {becomes}");
            return Err((ErrorCode::InvalidReplicationFactor, why));
        }
        if *replicas != partition.replicas {
            let why = "Partitions cannot move between brokers yet.".to_owned();
            return Err((ErrorCode::InvalidReplicaAssignment, why));
        }
        Ok(())
    }

    pub(super) fn list_reassignments(&mut self, call: Call, _: ListPartitionReassignmentsRequest) {
        let mut response = ListPartitionReassignmentsResponse::default();
        response.error_message = None;
        self.respond(call, &response);
    }
}

fn partition_result(partition: i32, elected: Result<(), Refusal>) -> PartitionResult {
    let mut result = PartitionResult::default();
    result.partition_id = partition;
    result.error_message = None;
    if let Err((error, why)) = elected {
        result.error_code = error.code();
        result.error_message = Some(text(&why));
    }
    result
}

fn default_refusal(error: ErrorCode) -> Refusal {
    (error, error.message().to_owned())
}
