//! TxnOffsetCommit, and the end of the transactions that it is part of.

use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use shore_wire::records::group::{GroupRecord, OffsetCommitValue};

use super::call::{Caller, GroupMarker, GroupResponse, Producer, RequestId};
use super::classic::{Group, text};
use super::commit::metadata_units;
use super::coordinator::GroupCoordinator;
use super::event::GroupEvent;
use super::shard::{Answer, Effects, Proposal, Shard, Then};
use super::state::StateName;
use crate::api::k28_txn_offset_commit::{add_partition, fit, refuse_all};

impl GroupCoordinator {
    /// All topics and partitions are there; `response` holds what was refused already.
    pub fn commit_offsets_in_transaction(
        &mut self,
        now: Instant,
        wall: Wall,
        caller: &Caller<'_>,
        request: &TxnOffsetCommitRequest,
        producer: Producer,
        mut response: TxnOffsetCommitResponse,
    ) {
        self.at(now, wall);
        match self.shard_of(&request.group_id) {
            Ok((shard, fx)) => shard.commit_in_transaction(fx, caller, request, producer, response),
            Err(error) => {
                refuse_all(&mut response, request, error);
                self.fx.respond(caller.request, finish(response, caller.version));
            }
        }
    }

    /// A transaction ends in a partition of `__consumer_offsets`. [`MarkerWritten`] follows for the slot of
    /// the request.
    ///
    /// [`MarkerWritten`]: super::GroupOutput::MarkerWritten
    pub fn complete_transaction(
        &mut self,
        now: Instant,
        wall: Wall,
        partition: i32,
        marker: GroupMarker,
        (request, slot): (RequestId, usize),
    ) {
        self.at(now, wall);
        let then = Then::MarkerWritten { request, slot };
        match self.shards.get_mut(&partition).filter(|shard| !shard.loading) {
            Some(shard) => std::sync::Arc::make_mut(shard).propose_marker(&mut self.fx, marker, then),
            None => {
                // A transaction coordinator takes this for a leader that is not ready yet.
                let result = Err(ErrorCode::NotLeaderOrFollower);
                self.fx.outputs.push_back(super::call::GroupOutput::MarkerWritten { request, slot, result });
            }
        }
    }
}

impl Shard {
    fn commit_in_transaction(
        &mut self,
        fx: &mut Effects,
        caller: &Caller<'_>,
        request: &TxnOffsetCommitRequest,
        producer: Producer,
        mut response: TxnOffsetCommitResponse,
    ) {
        let admitted = match self.groups.get(request.group_id.as_str()) {
            Some(group) => group.admit_txn_commit(request),
            // A client without a group: the group comes about with the offset.
            None if request.generation_id_or_member_epoch < 0 => Ok(()),
            None => Err(ErrorCode::IllegalGeneration),
        };
        if let Err(error) = admitted {
            refuse_all(&mut response, request, error);
            return fx.respond(caller.request, finish(response, caller.version));
        }
        let records = commit_records(fx, request, &mut response);
        let partitions = records.len() as u32;
        fx.event(|| GroupEvent::OffsetsPending {
            group: text(&request.group_id),
            producer_id: producer.id,
            partitions,
        });
        let then = Then::Respond {
            request: caller.request,
            response: Answer { response: finish(response, caller.version), on_failure: fail },
        };
        if records.is_empty() {
            self.after_writes(fx, then);
        } else {
            self.propose_by(fx, Proposal { records, then }, Some(producer));
        }
    }
}

impl Group {
    /// Who may commit in a transaction: whoever says nothing of a member, as clients before version 3 do,
    /// and a member of this generation. The group's state does not matter.
    fn admit_txn_commit(&self, request: &TxnOffsetCommitRequest) -> Result<(), ErrorCode> {
        let (generation, instance) = (request.generation_id_or_member_epoch, request.group_instance_id.as_deref());
        if generation < 0 && self.is(StateName::Empty) {
            return Ok(());
        }
        if generation >= 0 || !request.member_id.is_empty() || instance.is_some() {
            self.validate_member(&request.member_id, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        }
        Ok(())
    }
}

fn commit_records(
    fx: &Effects,
    request: &TxnOffsetCommitRequest,
    response: &mut TxnOffsetCommitResponse,
) -> Vec<GroupRecord> {
    let mut records = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let error = if metadata_units(partition.committed_metadata.as_deref()) > fx.config.offset_metadata_max_bytes
            {
                ErrorCode::OffsetMetadataTooLarge
            } else {
                records.push(GroupRecord::OffsetCommit {
                    group: request.group_id.clone(),
                    topic: topic.name.clone(),
                    partition: partition.partition_index,
                    value: Some(OffsetCommitValue {
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: partition.committed_metadata.clone().unwrap_or_default(),
                        commit_timestamp: fx.wall.as_millis(),
                        expire_timestamp: -1,
                        // As in Kafka: a transaction's offsets do not say of which topic by id.
                        topic_id: shore_base::Uuid::ZERO,
                    }),
                });
                ErrorCode::None
            };
            add_partition(response, &topic.name, partition.partition_index, error);
        }
    }
    records
}

fn finish(response: TxnOffsetCommitResponse, version: i16) -> GroupResponse {
    GroupResponse::TxnOffsetCommit(fit(response, version))
}

fn fail(response: GroupResponse, error: ErrorCode) -> GroupResponse {
    let GroupResponse::TxnOffsetCommit(mut response) = response else { return response };
    for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == ErrorCode::None.code() {
            partition.error_code = error.code();
        }
    }
    GroupResponse::TxnOffsetCommit(response)
}
