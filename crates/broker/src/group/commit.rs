//! OffsetCommit.

use shore_base::{Instant, Uuid, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use shore_wire::messages::{OffsetCommitRequest, OffsetCommitResponse, StrBytes};
use shore_wire::records::group::{GroupRecord, OffsetCommitValue};

use super::call::{Caller, GroupResponse};
use super::classic::{Group, text};
use super::coordinator::GroupCoordinator;
use super::event::GroupEvent;
use super::shard::{Answer, Effects, Proposal, Shard, Then};
use super::state::StateName;

/// From this version on an unknown group has an error of its own.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 9;

impl GroupCoordinator {
    /// Every topic has its name and id; `response` holds what was refused already.
    pub fn commit_offsets(
        &mut self,
        now: Instant,
        wall: Wall,
        caller: &Caller<'_>,
        request: &OffsetCommitRequest,
        mut response: OffsetCommitResponse,
    ) {
        self.at(now, wall);
        if request.topics.is_empty() {
            // Nothing is left to commit, so nobody is asked whether it may.
            return self.fx.respond(caller.request, finish(response, caller.version));
        }
        match self.shard_of(&request.group_id) {
            Ok((shard, fx)) => shard.commit(fx, caller, request, response),
            Err(error) => {
                refuse_all(&mut response, request, error);
                self.fx.respond(caller.request, finish(response, caller.version));
            }
        }
    }
}

impl Shard {
    fn commit(
        &mut self,
        fx: &mut Effects,
        caller: &Caller<'_>,
        request: &OffsetCommitRequest,
        mut response: OffsetCommitResponse,
    ) {
        let admitted = match self.groups.get_mut(request.group_id.as_str()) {
            Some(group) => group.admit_commit(fx, request),
            // A client without a group, or an administrator: the group comes about with the offset.
            None if request.generation_id_or_member_epoch < 0 => Ok(()),
            None if caller.version >= GROUP_ID_NOT_FOUND_VERSION => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        };
        if let Err(error) = admitted {
            refuse_all(&mut response, request, error);
            return fx.respond(caller.request, finish(response, caller.version));
        }
        let records = commit_records(fx, request, &mut response);
        let partitions = records.len() as u32;
        fx.event(|| GroupEvent::OffsetsCommitted {
            group: text(&request.group_id),
            member: text(&request.member_id),
            partitions,
        });
        let then = Then::Respond {
            request: caller.request,
            response: Answer { response: finish(response, caller.version), on_failure: fail },
        };
        if records.is_empty() {
            self.after_writes(fx, then);
        } else {
            self.propose(fx, Proposal { records, then });
        }
    }
}

impl Group {
    /// Who may commit: a member of this generation once it has its assignment, and anybody while the
    /// group is empty. A commit keeps a member's session alive.
    fn admit_commit(&mut self, fx: &mut Effects, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let (generation, instance) = (request.generation_id_or_member_epoch, request.group_instance_id.as_deref());
        if generation < 0 && self.is(StateName::Empty) {
            return Ok(());
        }
        if generation < 0 && request.member_id.is_empty() && instance.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.validate_member(&request.member_id, instance)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.is(StateName::CompletingRebalance) {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.reset_session(fx, &request.member_id);
        Ok(())
    }
}

fn commit_records(
    fx: &Effects,
    request: &OffsetCommitRequest,
    response: &mut OffsetCommitResponse,
) -> Vec<GroupRecord> {
    let now = fx.wall.as_millis();
    // -1: the broker decides. What no long can hold wraps, as in Kafka.
    let expire_timestamp =
        if request.retention_time_ms == -1 { -1 } else { now.wrapping_add(request.retention_time_ms) };
    let mut records = Vec::new();
    for topic in &request.topics {
        let topic_id = Uuid(topic.topic_id.to_bytes());
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
                        commit_timestamp: now,
                        expire_timestamp,
                        topic_id,
                    }),
                });
                ErrorCode::None
            };
            add_partition(response, &topic.name, topic.topic_id, partition.partition_index, error);
        }
    }
    records
}

/// The limit is named in bytes and counts what Java calls a string's length.
pub(super) fn metadata_units(metadata: Option<&str>) -> usize {
    metadata.map_or(0, |metadata| metadata.encode_utf16().count())
}

fn refuse_all(response: &mut OffsetCommitResponse, request: &OffsetCommitRequest, error: ErrorCode) {
    for topic in &request.topics {
        for partition in &topic.partitions {
            add_partition(response, &topic.name, topic.topic_id, partition.partition_index, error);
        }
    }
}

/// Adds one result, for `fit` to put with the others of its topic.
pub(crate) fn add_partition(
    response: &mut OffsetCommitResponse,
    name: &StrBytes,
    id: shore_wire::messages::Uuid,
    partition: i32,
    error: ErrorCode,
) {
    let topics = &mut response.topics;
    if topics.last().is_none_or(|last| last.name != *name || last.topic_id != id) {
        let mut topic = OffsetCommitResponseTopic::default();
        // A copy: the answer waits for the store, and a slice would keep the whole frame.
        topic.name = StrBytes::from(name.as_str());
        topic.topic_id = id;
        topics.push(topic);
    }
    let mut result = OffsetCommitResponsePartition::default();
    result.partition_index = partition;
    result.error_code = error.code();
    topics.last_mut().expect("one was pushed").partitions.push(result);
}

/// A topic is named or has its id, as the version has it.
fn finish(response: OffsetCommitResponse, version: i16) -> GroupResponse {
    GroupResponse::OffsetCommit(crate::api::k08_offset_commit::fit(response, version))
}

fn fail(response: GroupResponse, error: ErrorCode) -> GroupResponse {
    let GroupResponse::OffsetCommit(mut response) = response else { return response };
    for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == ErrorCode::None.code() {
            partition.error_code = error.code();
        }
    }
    GroupResponse::OffsetCommit(response)
}
