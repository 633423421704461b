//! OffsetFetch.

use shore_base::collections::BTreeMap;
use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use shore_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use shore_wire::messages::{OffsetFetchRequest, StrBytes};

use super::call::{Caller, Topics};
use super::coordinator::GroupCoordinator;
use super::gather::Answers;
use super::offset_store::{OffsetSlot, StoredOffset};
use super::shard::Shard;
use crate::api::k09_offset_fetch;

impl GroupCoordinator {
    /// `request` is in the shape of version 8 and later, whatever its version, and topics have their
    /// names where the metadata knows them.
    ///
    /// A plain fetch sees what is safe. One that asks for stable offsets sees what was last written, and
    /// waits until that is safe.
    pub fn fetch_offsets(
        &mut self,
        now: Instant,
        wall: Wall,
        caller: &Caller<'_>,
        request: &OffsetFetchRequest,
        topics: &dyn Topics,
    ) {
        self.at(now, wall);
        let stable = request.require_stable;
        let mut groups = Vec::with_capacity(request.groups.len());
        let mut shards: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (index, group) in request.groups.iter().enumerate() {
            groups.push(match self.peek_shard_of(&group.group_id) {
                Ok(shard) => {
                    shards.entry(shard.partition).or_default().push(index);
                    shard.fetch(group, caller.version, stable, topics)
                }
                Err(error) => k09_offset_fetch::group_error(group, error),
            });
        }
        if !stable {
            shards.clear();
        }
        self.gather(caller, Answers::Fetched(groups), shards);
    }
}

impl Shard {
    fn fetch(
        &self,
        request: &OffsetFetchRequestGroup,
        version: i16,
        stable: bool,
        metadata: &dyn Topics,
    ) -> OffsetFetchResponseGroup {
        let stored = self.offsets.of_group(&request.group_id);
        // A transaction may still change it: only who asks for stable offsets is told so.
        let is_unstable = |topic: &str, index: i32| stable && self.pending.has(&request.group_id, topic, index);
        let visible = |slot: &OffsetSlot| if stable { slot.latest().cloned() } else { slot.safe().cloned() };
        let mut response = OffsetFetchResponseGroup::default();
        response.group_id = request.group_id.clone();
        let uses_ids = version >= k09_offset_fetch::TOPIC_ID_VERSION;
        let Some(asked) = &request.topics else {
            for (name, partitions) in stored.into_iter().flatten() {
                let mut topic = OffsetFetchResponseTopics::default();
                topic.name = StrBytes::from(&**name);
                if uses_ids {
                    // What has no id any more cannot be told of.
                    let Some(id) = metadata.topic_id(name) else { continue };
                    topic.topic_id = shore_wire::messages::Uuid::from_bytes(id.0);
                }
                let known = partitions.iter().filter_map(|(index, slot)| Some((*index, visible(slot)?)));
                topic.partitions = known
                    .map(|(index, stored)| match is_unstable(name, index) {
                        true => k09_offset_fetch::no_offset(index, ErrorCode::UnstableOffsetCommit),
                        false => partition(index, Some(&stored)),
                    })
                    .collect();
                if !topic.partitions.is_empty() {
                    response.topics.push(topic);
                }
            }
            return response;
        };
        let mut refused = Vec::new();
        for asked in asked {
            let mut topic = OffsetFetchResponseTopics::default();
            topic.name = asked.name.clone();
            topic.topic_id = asked.topic_id;
            if uses_ids && asked.name.is_empty() {
                topic.partitions = asked
                    .partition_indexes
                    .iter()
                    .map(|index| k09_offset_fetch::no_offset(*index, ErrorCode::UnknownTopicId))
                    .collect();
                refused.push(topic);
                continue;
            }
            let slots = stored.and_then(|topics| topics.get(asked.name.as_str()));
            let of_topic = |stored: &StoredOffset| {
                asked.topic_id.is_zero()
                    || stored.topic_id == shore_base::Uuid::ZERO
                    || stored.topic_id.0 == asked.topic_id.to_bytes()
            };
            let answer = |index: &i32| {
                if is_unstable(&asked.name, *index) {
                    return k09_offset_fetch::no_offset(*index, ErrorCode::UnstableOffsetCommit);
                }
                let stored = slots.and_then(|slots| slots.get(index)).and_then(visible);
                partition(*index, stored.filter(of_topic).as_ref())
            };
            topic.partitions = asked.partition_indexes.iter().map(answer).collect();
            response.topics.push(topic);
        }
        response.topics.append(&mut refused);
        response
    }
}

fn partition(index: i32, stored: Option<&StoredOffset>) -> OffsetFetchResponsePartitions {
    let mut partition = k09_offset_fetch::no_offset(index, ErrorCode::None);
    if let Some(stored) = stored {
        partition.committed_offset = stored.offset;
        partition.committed_leader_epoch = stored.leader_epoch;
        partition.metadata = Some(stored.metadata());
    }
    partition
}
