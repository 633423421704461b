//! OffsetCommit (key 8, versions 0 to 10): how far a group has read.
//!
//! v0 went to ZooKeeper, which is not there. v1 gave each commit a time of its own. v2 to v4 carry a retention of the client's own, v6 adds leader epochs, v7 group.instance.id, v9
//! GROUP_ID_NOT_FOUND for unknown groups, v10 names topics by id.

use shore_base::collections::join_alike;
use shore_base::{Instant, Uuid, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use shore_wire::messages::offset_commit_response::OffsetCommitResponseTopic;
use shore_wire::messages::{self, OffsetCommitRequest, OffsetCommitResponse};

use crate::group::{Caller, GroupCoordinator, Topics, add_commit_result};

const TOPIC_ID_VERSION: i16 = 10;

/// Answers for topics and partitions that are not there, and passes on the others.
pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    mut request: OffsetCommitRequest,
    topics: &dyn Topics,
) {
    let mut response = OffsetCommitResponse::default();
    for topic in &mut request.topics {
        let missing = if caller.version >= TOPIC_ID_VERSION {
            match topics.topic_name(Uuid(topic.topic_id.to_bytes())) {
                Some(name) => {
                    topic.name = name.into();
                    None
                }
                None => Some(ErrorCode::UnknownTopicId),
            }
        } else {
            match topics.topic_id(&topic.name) {
                Some(id) => {
                    topic.topic_id = messages::Uuid::from_bytes(id.0);
                    None
                }
                None => Some(ErrorCode::UnknownTopicOrPartition),
            }
        };
        let (name, id) = (topic.name.clone(), topic.topic_id);
        if missing.is_some() && topic.partitions.is_empty() {
            // It is named in the answer all the same.
            let mut result = OffsetCommitResponseTopic::default();
            (result.name, result.topic_id) = (name.clone(), id);
            response.topics.push(result);
        }
        topic.partitions.retain(|partition| {
            let there = missing.is_none() && topics.has_partition(&name, partition.partition_index);
            if !there {
                let error = missing.unwrap_or(ErrorCode::UnknownTopicOrPartition);
                add_commit_result(&mut response, &name, id, partition.partition_index, error);
            }
            there
        });
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    groups.commit_offsets(now, wall, caller, &request, response);
}

/// Answers version 0, whose offsets went to ZooKeeper: nothing is committed.
pub(crate) fn without_zookeeper(request: &OffsetCommitRequest, topics: &dyn Topics) -> OffsetCommitResponse {
    let is_there = |topic: &OffsetCommitRequestTopic| {
        topic.partitions.iter().any(|partition| topics.has_partition(&topic.name, partition.partition_index))
    };
    // Only a commit that has somewhere to go fails for want of ZooKeeper.
    let has_place = request.topics.iter().any(is_there);
    let error = if has_place { ErrorCode::UnsupportedVersion } else { ErrorCode::UnknownTopicOrPartition };
    let mut response = OffsetCommitResponse::default();
    for topic in &request.topics {
        // A topic without partitions is wrong only if it is not there, or all is.
        if topic.partitions.is_empty() && (has_place || !topics.has_partition(&topic.name, 0)) {
            let mut named = OffsetCommitResponseTopic::default();
            named.name = topic.name.clone();
            response.topics.push(named);
        }
        for partition in &topic.partitions {
            add_commit_result(&mut response, &topic.name, messages::Uuid::ZERO, partition.partition_index, error);
        }
    }
    fit(response, 0)
}

/// Puts the results of one topic together, and gives it its name or its id, as the version has it.
pub(crate) fn fit(mut response: OffsetCommitResponse, version: i16) -> OffsetCommitResponse {
    join_alike(
        &mut response.topics,
        |one, other| one.name.cmp(&other.name).then_with(|| one.topic_id.as_bytes().cmp(other.topic_id.as_bytes())),
        |first, again| first.partitions.append(&mut again.partitions),
    );
    for topic in &mut response.topics {
        if version >= TOPIC_ID_VERSION {
            topic.name = Default::default();
        } else {
            topic.topic_id = messages::Uuid::ZERO;
        }
    }
    response
}
