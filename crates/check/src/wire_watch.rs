//! Promises that can be seen on the wire: what a node answered once binds its later answers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use shore_base::ConnId;
use shore_wire::api::ApiKey;
use shore_wire::batch::BatchView;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{decode_request, decode_request_head, decode_response, response_correlation_id};
use shore_wire::messages::{
    InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse, MetadataResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, ProduceRequest, ProduceResponse,
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
    topics: BTreeMap<[u8; 16], String>,
    /// How far each log was seen to be committed.
    high_watermarks: BTreeMap<(String, i32), i64>,
    /// Produce answers that said KAFKA_STORAGE_ERROR, by partition.
    pub storage_errors: u64,
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
    Commit {
        group: String,
        offsets: Vec<(String, i32, i64)>,
    },
    Offsets {
        group: String,
    },
    Join {
        group: String,
    },
    /// How many offsets each partition's batch takes, if everybody has to have it.
    Produce {
        lengths: BTreeMap<(String, i32), i64>,
        acks: i16,
    },
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
            ApiKey::Produce => self.produce_asked(body, version),
            ApiKey::InitProducerId | ApiKey::Metadata => What::Other,
            _ => return,
        };
        self.asked.insert((conn, head.correlation_id), Asked { api, version, what });
    }

    fn produce_asked(&self, body: Bytes, version: i16) -> What {
        let Ok(request) = decode_request::<ProduceRequest>(body, version) else { return What::Other };
        let mut lengths = BTreeMap::new();
        for topic in request.topic_data {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for data in topic.partition_data {
                let batch = BatchView::parse(data.records.as_deref().unwrap_or_default());
                let length = batch.map_or(0, |batch| i64::from(batch.last_offset_delta()) + 1);
                lengths.insert((name.clone(), data.index), length);
            }
        }
        What::Produce { lengths, acks: request.acks }
    }

    /// A topic's name; later versions have its id alone.
    fn topic_name(&self, name: &str, id: [u8; 16]) -> String {
        match name {
            "" => self.topics.get(&id).cloned().unwrap_or_default(),
            name => name.to_owned(),
        }
    }

    /// A log is committed up to here.
    pub fn committed_to(&mut self, topic: &str, partition: i32, high_watermark: i64) {
        let before = self.high_watermarks.entry((topic.to_owned(), partition)).or_default();
        *before = high_watermark.max(*before);
    }

    /// A group is gone; one of its name begins anew.
    pub fn group_is_gone(&mut self, group: &str) {
        self.generations.remove(group);
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
            (_, What::Produce { lengths, acks }) => match decode_response::<ProduceResponse>(frame, version) {
                Ok((_, response)) => self.produced(&lengths, acks, response),
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

    fn produced(
        &mut self,
        lengths: &BTreeMap<(String, i32), i64>,
        acks: i16,
        response: ProduceResponse,
    ) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in response.responses {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for answer in topic.partition_responses {
                let place = (name.clone(), answer.index);
                self.storage_errors += u64::from(answer.error_code == ErrorCode::KafkaStorageError.code());
                // A duplicate that is no longer remembered has no offset.
                if acks != -1 || answer.error_code != 0 || answer.base_offset < 0 {
                    continue;
                }
                let end = answer.base_offset + lengths.get(&place).copied().unwrap_or(1);
                let committed = self.high_watermarks.get(&place).copied().unwrap_or(0);
                if committed < end {
                    let what = format!("{name}-{} is acknowledged to {end} and committed to {committed}", place.1);
                    broken.push(("10: what all have acknowledged is committed", what));
                }
            }
        }
        broken
    }

    fn metadata(&mut self, response: MetadataResponse) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in response.topics {
            if let Some(name) = &topic.name {
                self.topics.insert(topic.topic_id.to_bytes(), name.as_str().to_owned());
            }
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
