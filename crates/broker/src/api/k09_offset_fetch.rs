//! OffsetFetch (key 9, versions 0 to 10): where a group stands.
//!
//! v0 asked ZooKeeper, which is not there. v2 can ask for all topics and has an error for the whole group, v5 adds leader epochs, v7 stable
//! offsets, v8 several groups at once, v9 the member that asks, v10 names topics by id.

use shore_base::{Instant, Uuid, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use shore_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use shore_wire::messages::{self, OffsetFetchRequest, OffsetFetchResponse, StrBytes};

use crate::group::{Caller, GroupCoordinator, Topics};

const GROUP_ERROR_VERSION: i16 = 2;
const LEADER_EPOCH_VERSION: i16 = 5;
const BATCH_VERSION: i16 = 8;
pub(crate) const TOPIC_ID_VERSION: i16 = 10;

pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    mut request: OffsetFetchRequest,
    topics: &dyn Topics,
) {
    if caller.version < BATCH_VERSION {
        request.groups = vec![as_group(&mut request)];
    }
    if caller.version >= TOPIC_ID_VERSION {
        for topic in request.groups.iter_mut().filter_map(|group| group.topics.as_mut()).flatten() {
            let id = Uuid(topic.topic_id.to_bytes());
            topic.name = topics.topic_name(id).map(StrBytes::from).unwrap_or_default();
        }
    }
    groups.fetch_offsets(now, wall, caller, &request, topics);
}

/// Answers version 0, whose offsets were in ZooKeeper.
pub(crate) fn without_zookeeper(mut request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut response = OffsetFetchResponse::default();
    let mut group = group_error(&as_group(&mut request), ErrorCode::UnsupportedVersion);
    group.topics.retain(|topic| !topic.partitions.is_empty());
    response.groups = vec![group];
    fit(response, 0)
}

/// The one group of an old request.
fn as_group(request: &mut OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let mut group = OffsetFetchRequestGroup::default();
    group.group_id = std::mem::take(&mut request.group_id);
    group.topics = request.topics.take().map(|topics| {
        let translate = |old: OffsetFetchRequestTopic| {
            let mut topic = OffsetFetchRequestTopics::default();
            topic.name = old.name;
            topic.partition_indexes = old.partition_indexes;
            topic
        };
        topics.into_iter().map(translate).collect()
    });
    group
}

/// Nothing but an error. Version 1 has no room for it but in each partition.
pub(crate) fn group_error(request: &OffsetFetchRequestGroup, error: ErrorCode) -> OffsetFetchResponseGroup {
    let mut group = OffsetFetchResponseGroup::default();
    group.group_id = request.group_id.clone();
    group.error_code = error.code();
    for asked in request.topics.iter().flatten() {
        let mut topic = OffsetFetchResponseTopics::default();
        topic.name = asked.name.clone();
        topic.topic_id = asked.topic_id;
        topic.partitions = asked.partition_indexes.iter().map(|index| no_offset(*index, error)).collect();
        group.topics.push(topic);
    }
    group
}

/// Makes an error of a group that was answered already.
pub(crate) fn fail_group(group: &mut OffsetFetchResponseGroup, error: ErrorCode) {
    group.error_code = error.code();
    for partition in group.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        *partition = no_offset(partition.partition_index, error);
    }
}

/// -1: nothing is committed.
pub(crate) fn no_offset(index: i32, error: ErrorCode) -> OffsetFetchResponsePartitions {
    let mut partition = OffsetFetchResponsePartitions::default();
    partition.partition_index = index;
    partition.committed_offset = -1;
    partition.committed_leader_epoch = -1;
    partition.metadata = Some(StrBytes::default());
    partition.error_code = error.code();
    partition
}

/// Brings groups into the shape of the version.
pub(crate) fn fit(mut response: OffsetFetchResponse, version: i16) -> OffsetFetchResponse {
    for group in &mut response.groups {
        // Where the group itself has an error, its topics are left out.
        if version >= GROUP_ERROR_VERSION && group.error_code != ErrorCode::None.code() {
            group.topics.clear();
        }
        for topic in &mut group.topics {
            if version >= TOPIC_ID_VERSION {
                topic.name = StrBytes::default();
            } else {
                topic.topic_id = messages::Uuid::ZERO;
            }
        }
    }
    if version < BATCH_VERSION
        && let Some(group) = std::mem::take(&mut response.groups).into_iter().next()
    {
        if version >= GROUP_ERROR_VERSION {
            response.error_code = group.error_code;
        }
        response.topics = group.topics.into_iter().map(|topic| single(topic, version)).collect();
    }
    response
}

fn single(topic: OffsetFetchResponseTopics, version: i16) -> OffsetFetchResponseTopic {
    let translate = |new: OffsetFetchResponsePartitions| {
        let mut partition = OffsetFetchResponsePartition::default();
        partition.partition_index = new.partition_index;
        partition.committed_offset = new.committed_offset;
        if version >= LEADER_EPOCH_VERSION {
            partition.committed_leader_epoch = new.committed_leader_epoch;
        }
        partition.metadata = new.metadata;
        partition.error_code = new.error_code;
        partition
    };
    let mut old = OffsetFetchResponseTopic::default();
    old.name = topic.name;
    old.partitions = topic.partitions.into_iter().map(translate).collect();
    old
}
