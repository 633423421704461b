//! DeleteGroups and OffsetDelete.

use std::sync::Arc;

use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::delete_groups_response::DeletableGroupResult;
use shore_wire::messages::offset_delete_request::OffsetDeleteRequestTopic;
use shore_wire::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use shore_wire::messages::{DeleteGroupsRequest, OffsetDeleteRequest, OffsetDeleteResponse, StrBytes};
use shore_wire::records::group::GroupRecord;

use super::call::{Caller, GroupResponse, Topics};
use super::classic::{Group, text};
use super::coordinator::GroupCoordinator;
use super::event::GroupEvent;
use super::gather::Answers;
use super::shard::{Answer, Effects, Proposal, Shard, Then};
use super::state::StateName;

impl GroupCoordinator {
    /// A group that is named twice is answered once.
    pub fn delete_groups(&mut self, now: Instant, wall: Wall, caller: &Caller<'_>, request: &DeleteGroupsRequest) {
        self.at(now, wall);
        let mut seen = BTreeSet::new();
        let mut results: Vec<DeletableGroupResult> = Vec::new();
        let mut shards: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        let mut tombstones: BTreeMap<i32, Vec<GroupRecord>> = BTreeMap::new();
        for id in request.groups_names.iter().filter(|id| seen.insert(id.as_str())) {
            let deleted = self.peek_shard_of(id).and_then(|shard| {
                shards.entry(shard.partition).or_default().push(results.len());
                shard.delete_group(id, tombstones.entry(shard.partition).or_default())
            });
            let mut result = DeletableGroupResult::default();
            // A copy: the answer waits for the store, and a slice would keep the whole frame.
            result.group_id = StrBytes::from(id.as_str());
            result.error_code = deleted.err().map_or(0, ErrorCode::code);
            results.push(result);
        }
        for (partition, tombstones) in tombstones {
            if let Some(shard) = self.shards.get_mut(&partition).filter(|_| !tombstones.is_empty()) {
                Arc::make_mut(shard).propose_all(&mut self.fx, tombstones);
            }
        }
        self.gather(caller, Answers::Deleted(results), shards);
    }

    pub fn delete_offsets(
        &mut self,
        now: Instant,
        wall: Wall,
        caller: &Caller<'_>,
        request: &OffsetDeleteRequest,
        topics: &dyn Topics,
    ) {
        self.at(now, wall);
        let refused = if request.group_id.is_empty() {
            ErrorCode::InvalidGroupId
        } else {
            match self.shard_of(&request.group_id) {
                Ok((shard, fx)) => return shard.delete_offsets(fx, caller, request, topics),
                Err(error) => error,
            }
        };
        self.fx.respond(caller.request, refuse(refused));
    }
}

impl Shard {
    /// Adds what makes the group and its offsets go: the group last, so that it can be deleted again if
    /// only some of it went.
    fn delete_group(&self, id: &StrBytes, tombstones: &mut Vec<GroupRecord>) -> Result<(), ErrorCode> {
        let group = self.groups.get(id.as_str()).ok_or(ErrorCode::GroupIdNotFound)?;
        if !group.is(StateName::Empty) {
            return Err(ErrorCode::NonEmptyGroup);
        }
        for (topic, partitions) in self.offsets.of_group(&group.id).into_iter().flatten() {
            for (partition, _) in partitions.iter().filter(|(_, slot)| slot.latest().is_some()) {
                tombstones.push(offset_tombstone(&group.id, topic, *partition));
            }
        }
        let stored = |topic: &str, partition| self.has_offset(&group.id, topic, partition);
        for (topic, partition) in self.pending.of_group(&group.id).filter(|(topic, index)| !stored(topic, *index)) {
            tombstones.push(offset_tombstone(&group.id, topic, partition));
        }
        tombstones.push(group_tombstone(group));
        Ok(())
    }

    fn delete_offsets(
        &mut self,
        fx: &mut Effects,
        caller: &Caller<'_>,
        request: &OffsetDeleteRequest,
        metadata: &dyn Topics,
    ) {
        let group = self.groups.get(request.group_id.as_str()).ok_or(ErrorCode::GroupIdNotFound);
        let group = match group.and_then(|group| group.admit_offset_delete().map(|()| group)) {
            Ok(group) => group,
            Err(error) => return fx.respond(caller.request, refuse(error)),
        };
        let mut records = Vec::new();
        // As in Kafka, topics come first of which something is not there.
        let (mut topics, mut others) = (Vec::new(), Vec::new());
        for asked in &request.topics {
            let (answer, all_there) = self.delete_offsets_of(group, asked, metadata, &mut records);
            if !all_there {
                topics.push(answer);
            } else if !answer.partitions.is_empty() {
                others.push(answer);
            }
        }
        topics.append(&mut others);
        let mut response = OffsetDeleteResponse::default();
        response.topics = topics;
        if !records.is_empty() {
            let partitions = records.len() as u32;
            fx.event(|| GroupEvent::OffsetsDeleted { group: text(&request.group_id), partitions });
        }
        let answer = Answer { response: GroupResponse::OffsetDelete(response), on_failure: |_, error| refuse(error) };
        let then = Then::Respond { request: caller.request, response: answer };
        if records.is_empty() {
            self.after_writes(fx, then);
        } else {
            self.propose(fx, Proposal { records, then });
        }
    }

    fn has_offset(&self, group: &str, topic: &str, partition: i32) -> bool {
        let partitions = self.offsets.of_group(group).and_then(|topics| topics.get(topic));
        partitions.and_then(|partitions| partitions.get(&partition)).is_some_and(|slot| slot.latest().is_some())
    }

    /// What becomes of one topic's offsets, and whether the topic and all its partitions are there.
    fn delete_offsets_of(
        &self,
        group: &Group,
        asked: &OffsetDeleteRequestTopic,
        metadata: &dyn Topics,
        records: &mut Vec<GroupRecord>,
    ) -> (OffsetDeleteResponseTopic, bool) {
        let name = asked.name.as_str();
        let subscribed = group.is_subscribed_to(name);
        let (mut missing, mut there) = (Vec::new(), Vec::new());
        for partition in &asked.partitions {
            let index = partition.partition_index;
            if !metadata.has_partition(name, index) {
                missing.push(result(index, ErrorCode::UnknownTopicOrPartition));
            } else if subscribed {
                there.push(result(index, ErrorCode::GroupSubscribedToTopic));
            } else {
                if self.has_offset(&group.id, name, index) || self.pending.has(&group.id, name, index) {
                    records.push(offset_tombstone(&group.id, name, index));
                }
                there.push(result(index, ErrorCode::None));
            }
        }
        let all_there = missing.is_empty() && metadata.topic_id(name).is_some();
        missing.append(&mut there);
        let mut topic = OffsetDeleteResponseTopic::default();
        topic.name = StrBytes::from(name);
        topic.partitions = missing;
        (topic, all_there)
    }
}

impl Group {
    /// Members that read topics of their own choice keep the offsets of those alone; of any other kind of
    /// members nobody knows which offsets they need.
    fn admit_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.is(StateName::Empty) || self.uses_consumer_protocol() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }
}

/// A group's offset goes.
pub(super) fn offset_tombstone(group: &str, topic: &str, partition: i32) -> GroupRecord {
    GroupRecord::OffsetCommit { group: group.into(), topic: topic.into(), partition, value: None }
}

/// A group goes.
pub(super) fn group_tombstone(group: &Group) -> GroupRecord {
    GroupRecord::GroupMetadata { group: (&*group.id).into(), value: None }
}

fn result(index: i32, error: ErrorCode) -> OffsetDeleteResponsePartition {
    let mut result = OffsetDeleteResponsePartition::default();
    result.partition_index = index;
    result.error_code = error.code();
    result
}

fn refuse(error: ErrorCode) -> GroupResponse {
    let mut response = OffsetDeleteResponse::default();
    response.error_code = error.code();
    GroupResponse::OffsetDelete(response)
}
