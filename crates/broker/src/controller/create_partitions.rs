//! CreatePartitions: more partitions for topics that are there.

use shore_base::collections::BTreeSet;
use shore_wire::error::ErrorCode;
use shore_wire::messages::create_partitions_request::CreatePartitionsTopic;
use shore_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use shore_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use shore_wire::records::metadata::MetadataRecord;

use super::create_topics::repeated_names;
use super::placement::partition_record;
use super::{Call, Controller, MAX_RECORDS_PER_REQUEST, NOT_STORED, Refusal, told};
use crate::api::text;

impl Controller {
    pub(super) fn create_partitions(&mut self, call: Call, request: CreatePartitionsRequest) {
        let repeated: BTreeSet<&str> = repeated_names(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut response = CreatePartitionsResponse::default();
        let mut failed = CreatePartitionsResponse::default();
        if request.timeout_ms <= 0 {
            // Its time is over before its turn comes.
            let late = Err((ErrorCode::RequestTimedOut, String::new()));
            response.results = request.topics.iter().map(|topic| result(&topic.name, &late)).collect();
            return self.respond(call, &response);
        }
        for name in &repeated {
            let refusal = Err((ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned()));
            response.results.push(result(name, &refusal));
            failed.results.push(result(name, &refusal));
        }
        let mut records = Vec::new();
        for topic in request.topics.iter().filter(|topic| !repeated.contains(topic.name.as_str())) {
            let added = self.added_partitions(topic).and_then(|mut added| {
                if records.len() + added.len() > MAX_RECORDS_PER_REQUEST {
                    return Err(too_many_partitions());
                }
                records.append(&mut added);
                Ok(())
            });
            response.results.push(result(&topic.name, &added));
            let not_stored = added.and(Err((NOT_STORED, NOT_STORED.message().to_owned())));
            failed.results.push(result(&topic.name, &not_stored));
        }
        if !request.validate_only {
            self.propose(&records);
        }
        self.respond_when_committed(call, &response, &failed);
    }

    fn added_partitions(&self, topic: &CreatePartitionsTopic) -> Result<Vec<MetadataRecord>, Refusal> {
        let name = topic.name.as_str();
        let Some((topic_id, known)) = self.image.topic(name) else {
            return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
        };
        let there = known.partitions.len();
        let wanted = usize::try_from(topic.count).unwrap_or(0);
        if wanted == there {
            return Err((ErrorCode::InvalidPartitions, format!("Topic already has {there} partition(s).")));
        }
        if wanted < there {
            let why = format!(
                "The topic {name} currently has {there} partition(s); {} would not be an increase.",
                topic.count
            );
            return Err((ErrorCode::InvalidPartitions, why));
        }
        let (added, factor) = (wanted - there, known.partitions[0].replicas.len());
        let placement = match &topic.assignments {
            // More of them than are ever placed.
            None if added > MAX_RECORDS_PER_REQUEST => return Err(too_many_partitions()),
            None => self.place(there, added, factor)?,
            Some(assignments) if assignments.len() != added => {
                let why = format!(
                    "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                );
                return Err((ErrorCode::InvalidReplicaAssignment, why));
            }
            Some(assignments) => {
                for (index, assignment) in assignments.iter().enumerate() {
                    self.check_assignment((there + index) as i32, &assignment.broker_ids, Some(factor))?;
                }
                assignments.iter().map(|assignment| assignment.broker_ids.clone()).collect()
            }
        };
        let partitions = (there..).zip(&placement);
        Ok(partitions
            .map(|(partition, replicas)| partition_record(topic_id, partition as i32, replicas, &self.image.brokers))
            .collect())
    }
}

/// Apache Kafka has no answer of its own for it, and adds as many as fit.
fn too_many_partitions() -> Refusal {
    (ErrorCode::UnknownServerError, String::new())
}

fn result(name: &str, outcome: &Result<(), Refusal>) -> CreatePartitionsTopicResult {
    let mut result = CreatePartitionsTopicResult::default();
    result.name = text(name);
    result.error_message = None;
    if let Err((error, why)) = outcome {
        result.error_code = error.code();
        result.error_message = told(why);
    }
    result
}
