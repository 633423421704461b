//! Promises that can be seen on the wire: what a node answered once binds its later answers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use shore_base::ConnId;
use shore_wire::api::ApiKey;
use shore_wire::frame::{decode_request, decode_request_head, decode_response, response_correlation_id};
use shore_wire::messages::{
    InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse, MetadataResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};

/// A rule and how it was broken.
type Broken = (&'static str, String);

/// A group's place in a partition.
type Spot = (String, String, i32);

#[derive(Default)]
pub(crate) struct WireWatch {
    asked: BTreeMap<(ConnId, i32), Asked>,
    producer_ids: BTreeSet<i64>,
    /// Leader epochs by topic id and partition.
    epochs: BTreeMap<([u8; 16], i32), i32>,
    /// Commits per place: the last one that was answered well, and those since whose answer is not known.
    commits: BTreeMap<Spot, Commits>,
    generations: BTreeMap<String, i32>,
}

#[derive(Clone, Debug, Default)]
struct Commits {
    accepted: Option<i64>,
    /// Asked for, maybe written, not answered.
    open: Vec<i64>,
}

struct Asked {
    api: ApiKey,
    version: i16,
    what: What,
}

enum What {
    Commit { group: String, offsets: Vec<(String, i32, i64)> },
    Offsets { group: String },
    Join { group: String },
    Other,
}

impl WireWatch {
    pub fn request(&mut self, conn: ConnId, frame: &Bytes) {
        let Ok((head, body)) = decode_request_head(frame) else { return };
        let Ok(api) = ApiKey::try_from(head.api_key) else { return };
        let version = head.api_version;
        let what = match api {
            ApiKey::OffsetCommit => self.commit_asked(body, version),
            ApiKey::OffsetFetch => match decode_request::<OffsetFetchRequest>(body, version) {
                Ok(request) => {
                    let group = request.groups.first().map_or(&request.group_id, |group| &group.group_id);
                    What::Offsets { group: group.as_str().to_owned() }
                }
                Err(_) => What::Other,
            },
            ApiKey::JoinGroup => match decode_request::<JoinGroupRequest>(body, version) {
                Ok(request) => What::Join { group: request.group_id.into_string() },
                Err(_) => What::Other,
            },
            ApiKey::InitProducerId | ApiKey::Metadata => What::Other,
            _ => return,
        };
        self.asked.insert((conn, head.correlation_id), Asked { api, version, what });
    }

    fn commit_asked(&mut self, body: Bytes, version: i16) -> What {
        let Ok(request) = decode_request::<OffsetCommitRequest>(body, version) else { return What::Other };
        let group = request.group_id.into_string();
        let mut offsets = Vec::new();
        for topic in request.topics {
            for partition in topic.partitions {
                offsets.push((topic.name.as_str().to_owned(), partition.partition_index, partition.committed_offset));
            }
        }
        for (topic, partition, offset) in &offsets {
            let spot = (group.clone(), topic.clone(), *partition);
            self.commits.entry(spot).or_default().open.push(*offset);
        }
        What::Commit { group, offsets }
    }

    pub fn response(&mut self, conn: ConnId, frame: &Bytes) -> Vec<Broken> {
        let Some(id) = response_correlation_id(frame) else { return Vec::new() };
        let Some(Asked { api, version, what }) = self.asked.remove(&(conn, id)) else { return Vec::new() };
        let frame = frame.clone();
        let unreadable = || vec![("a response can be read", format!("{} {version} cannot", api.name()))];
        match (api, what) {
            (ApiKey::InitProducerId, _) => match decode_response::<InitProducerIdResponse>(frame, version) {
                Ok((_, response)) => self.producer_id(&response),
                Err(_) => unreadable(),
            },
            (ApiKey::Metadata, _) => match decode_response::<MetadataResponse>(frame, version) {
                Ok((_, response)) => self.metadata(response),
                Err(_) => unreadable(),
            },
            (_, What::Commit { group, offsets }) => match decode_response::<OffsetCommitResponse>(frame, version) {
                Ok((_, response)) => {
                    self.committed(&group, &offsets, &response);
                    Vec::new()
                }
                Err(_) => unreadable(),
            },
            (_, What::Offsets { group }) => match decode_response::<OffsetFetchResponse>(frame, version) {
                Ok((_, response)) => self.offsets(&group, response),
                Err(_) => unreadable(),
            },
            (_, What::Join { group }) => match decode_response::<JoinGroupResponse>(frame, version) {
                Ok((_, response)) => self.joined(group, &response),
                Err(_) => unreadable(),
            },
            _ => Vec::new(),
        }
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.asked.retain(|(other, _), _| *other != conn);
    }

    /// A join that was not written is forgotten with the node.
    pub fn node_is_down(&mut self) {
        self.asked.clear();
        self.generations.clear();
    }

    fn producer_id(&mut self, response: &InitProducerIdResponse) -> Vec<Broken> {
        let fresh = response.error_code != 0 || response.producer_epoch != 0;
        if fresh || self.producer_ids.insert(response.producer_id) {
            return Vec::new();
        }
        vec![("29: producer ids are given once", format!("{} was given twice", response.producer_id))]
    }

    fn metadata(&mut self, response: MetadataResponse) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let key = (topic.topic_id.to_bytes(), partition.partition_index);
                let before = self.epochs.insert(key, partition.leader_epoch);
                if before.is_some_and(|before| before > partition.leader_epoch) {
                    let what = format!(
                        "{:?}-{} fell from {before:?} to {}",
                        topic.name, partition.partition_index, partition.leader_epoch
                    );
                    broken.push(("4: leader epochs never fall", what));
                }
            }
        }
        broken
    }

    fn committed(&mut self, group: &str, offsets: &[(String, i32, i64)], response: &OffsetCommitResponse) {
        for topic in &response.topics {
            for partition in &topic.partitions {
                let spot = (group.to_owned(), topic.name.as_str().to_owned(), partition.partition_index);
                let asked = offsets.iter().find(|(name, index, _)| *name == spot.1 && *index == spot.2);
                let (Some((_, _, offset)), Some(commits)) = (asked, self.commits.get_mut(&spot)) else { continue };
                // Commits of one connection are served in order; what was asked before is older.
                if let Some(index) = commits.open.iter().position(|open| open == offset) {
                    if partition.error_code == 0 {
                        commits.open.drain(..=index);
                        commits.accepted = Some(*offset);
                    } else {
                        // 35: a refused commit leaves no trace.
                        commits.open.remove(index);
                    }
                }
            }
        }
    }

    fn offsets(&mut self, group: &str, response: OffsetFetchResponse) -> Vec<Broken> {
        let mut found = Vec::new();
        for group in response.groups.iter().filter(|group| group.error_code == 0) {
            for topic in &group.topics {
                found.extend(
                    topic
                        .partitions
                        .iter()
                        .map(|p| (topic.name.clone(), p.partition_index, p.committed_offset, p.error_code)),
                );
            }
        }
        if response.error_code == 0 {
            for topic in &response.topics {
                found.extend(
                    topic
                        .partitions
                        .iter()
                        .map(|p| (topic.name.clone(), p.partition_index, p.committed_offset, p.error_code)),
                );
            }
        }
        let mut broken = Vec::new();
        for (topic, partition, offset, code) in found {
            if code != 0 {
                continue;
            }
            let spot = (group.to_owned(), topic.as_str().to_owned(), partition);
            let commits = self.commits.entry(spot).or_default();
            let may_be = commits.open.contains(&offset) || commits.accepted.unwrap_or(-1) == offset;
            if !may_be {
                let what = format!("{group} has {offset} at {topic}-{partition}, where it committed {commits:?}");
                broken.push(("36: what was committed comes back", what));
            }
        }
        broken
    }

    fn joined(&mut self, group: String, response: &JoinGroupResponse) -> Vec<Broken> {
        if response.error_code != 0 {
            return Vec::new();
        }
        let mut broken = Vec::new();
        let leads = response.leader == response.member_id;
        if !leads && !response.members.is_empty() {
            broken.push(("31: only the leader is told of the members", format!("{} was told too", response.member_id)));
        }
        let generation = response.generation_id;
        let before = self.generations.insert(group.clone(), generation);
        // Members of one generation are answered one after the other.
        if before.is_some_and(|before| generation != before && generation != before + 1) {
            broken.push(("31: generations rise by one", format!("{group} went from {before:?} to {generation}")));
        }
        broken
    }
}
