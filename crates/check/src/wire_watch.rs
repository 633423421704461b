//! Promises that can be seen on the wire: what a node answered once binds its later answers.

use bytes::Bytes;
use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{ConnId, Instant};
use shore_wire::api::ApiKey;
use shore_wire::batch::BatchView;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{decode_request, decode_request_head, decode_response, response_correlation_id};
use shore_wire::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponsePartitions};
use shore_wire::messages::{
    FetchRequest, FetchResponse, HeartbeatRequest, HeartbeatResponse, InitProducerIdResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, MetadataResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, ProduceRequest, ProduceResponse, SyncGroupRequest, TxnOffsetCommitRequest,
};

use crate::group_watch::GroupWatch;

/// A rule and how it was broken.
pub(crate) type Broken = (&'static str, String);

type Place = (String, i32);

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
    /// The last generation of a group that began without members: nobody is answered with it.
    empty_generations: BTreeMap<String, i32>,
    topics: BTreeMap<[u8; 16], String>,
    /// How far each log was seen to be committed.
    high_watermarks: BTreeMap<Place, i64>,
    /// Where each log was seen to begin and to end.
    log_starts: BTreeMap<Place, i64>,
    log_ends: BTreeMap<Place, i64>,
    /// The request that the node serves, and what requests have appended: the log end after it.
    serving: Option<(ConnId, i32)>,
    appended: BTreeMap<(ConnId, i32), BTreeMap<Place, i64>>,
    pub groups: GroupWatch,
    /// Produce answers that said KAFKA_STORAGE_ERROR, by partition.
    pub storage_errors: u64,
    /// Partitions of Fetch answers that said OFFSET_OUT_OF_RANGE.
    pub out_of_range: u64,
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
        /// The generation that it names, if the group was known to be beyond it.
        stale: Option<i32>,
    },
    Offsets {
        group: String,
    },
    Join {
        group: String,
        session: Duration,
        rebalance: Duration,
    },
    Heartbeat {
        at: Instant,
        group: String,
        member: String,
    },
    Fetch {
        /// Where the logs began that do not begin at 0.
        starts: BTreeMap<Place, i64>,
        /// Partitions that it wants from before their start.
        below: Vec<(Place, i64)>,
    },
    /// How many offsets each partition's batch takes, if everybody has to have it.
    Produce {
        lengths: BTreeMap<(String, i32), i64>,
        acks: i16,
    },
    Other,
}

impl WireWatch {
    pub fn request(&mut self, at: Instant, conn: ConnId, frame: &Bytes) {
        let Ok((head, body)) = decode_request_head(frame) else { return };
        let Ok(api) = ApiKey::try_from(head.api_key) else { return };
        let version = head.api_version;
        if let Some(what) = self.asked(at, api, body, version) {
            self.asked.insert((conn, head.correlation_id), Asked { api, version, what });
        }
    }

    fn asked(&mut self, at: Instant, api: ApiKey, body: Bytes, version: i16) -> Option<What> {
        Some(match api {
            ApiKey::OffsetCommit => self.commit_asked(at, body, version),
            ApiKey::OffsetFetch => {
                let request = decode_request::<OffsetFetchRequest>(body, version).ok()?;
                let group = request.groups.first().map_or(&request.group_id, |group| &group.group_id);
                What::Offsets { group: group.as_str().to_owned() }
            }
            ApiKey::TxnOffsetCommit => {
                let request = decode_request::<TxnOffsetCommitRequest>(body, version).ok()?;
                self.transaction_commits(&request);
                return None;
            }
            ApiKey::JoinGroup => {
                let request = decode_request::<JoinGroupRequest>(body, version).ok()?;
                self.groups.heard(at, &request.group_id, &request.member_id);
                let millis = |millis: i32| Duration::from_millis(millis.max(0) as u64);
                let session = millis(request.session_timeout_ms);
                // Before version 1 there is one timeout for both.
                let rebalance = if version == 0 { session } else { millis(request.rebalance_timeout_ms) };
                What::Join { group: request.group_id.into_string(), session, rebalance }
            }
            ApiKey::SyncGroup => {
                let request = decode_request::<SyncGroupRequest>(body, version).ok()?;
                self.groups.heard(at, &request.group_id, &request.member_id);
                return None;
            }
            ApiKey::Heartbeat => {
                let request = decode_request::<HeartbeatRequest>(body, version).ok()?;
                self.groups.heard(at, &request.group_id, &request.member_id);
                What::Heartbeat { at, group: request.group_id.into_string(), member: request.member_id.into_string() }
            }
            ApiKey::LeaveGroup => {
                let request = decode_request::<LeaveGroupRequest>(body, version).ok()?;
                self.groups.wants_to_leave(&request.group_id, &request.member_id);
                for member in &request.members {
                    self.groups.wants_to_leave(&request.group_id, &member.member_id);
                }
                return None;
            }
            ApiKey::Produce => self.produce_asked(body, version),
            ApiKey::Fetch => self.fetch_asked(decode_request(body, version).ok()?),
            ApiKey::InitProducerId | ApiKey::Metadata => What::Other,
            _ => return None,
        })
    }

    /// Offsets that count once their transaction is committed, which may be never.
    fn transaction_commits(&mut self, request: &TxnOffsetCommitRequest) {
        for topic in &request.topics {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for partition in &topic.partitions {
                let spot = (request.group_id.as_str().to_owned(), name.clone(), partition.partition_index);
                self.commits.entry(spot).or_default().open.push(partition.committed_offset);
            }
        }
    }

    fn fetch_asked(&self, request: FetchRequest) -> What {
        let mut below = Vec::new();
        for topic in request.topics {
            let name = self.topic_name(topic.topic.as_str(), topic.topic_id.to_bytes());
            for partition in topic.partitions {
                let place = (name.clone(), partition.partition);
                let start = self.log_starts.get(&place).copied().unwrap_or(0);
                if partition.fetch_offset < start {
                    below.push((place, partition.fetch_offset));
                }
            }
        }
        let starts = self.log_starts.iter().filter(|(_, start)| **start > 0);
        What::Fetch { starts: starts.map(|(place, start)| (place.clone(), *start)).collect(), below }
    }

    /// 49: what retention took away is answered with an error, and is not given out.
    fn fetched(
        &mut self,
        starts: &BTreeMap<Place, i64>,
        below: &[(Place, i64)],
        response: FetchResponse,
    ) -> Vec<Broken> {
        const RULE: &str = "49: nothing is read from before a log's start";
        let mut broken = Vec::new();
        for topic in response.responses {
            let name = self.topic_name(topic.topic.as_str(), topic.topic_id.to_bytes());
            for answer in topic.partitions {
                let place = (name.clone(), answer.partition_index);
                self.out_of_range += u64::from(answer.error_code == ErrorCode::OffsetOutOfRange.code());
                let asked = below.iter().find(|(other, _)| *other == place).filter(|_| answer.error_code == 0);
                if let Some((_, offset)) = asked {
                    broken.push((RULE, format!("{name}-{} is read from {offset} on without an error", place.1)));
                }
                let Ok(first) = BatchView::parse(answer.records.as_deref().unwrap_or_default()) else { continue };
                let start = starts.get(&place).copied().unwrap_or(0);
                if first.last_offset() < start {
                    let what = format!("{name}-{} begins at {start} and gave {}", place.1, first.last_offset());
                    broken.push((RULE, what));
                }
            }
        }
        broken
    }

    /// The node takes up a request: what it appends now belongs to it.
    pub fn serves(&mut self, conn: ConnId, correlation_id: i32) {
        self.serving = Some((conn, correlation_id));
    }

    pub fn appended(&mut self, topic: &str, partition: i32, last_offset: i64) {
        let (place, end) = ((topic.to_owned(), partition), last_offset + 1);
        let before = self.log_ends.entry(place.clone()).or_default();
        *before = end.max(*before);
        if let Some(request) = self.serving {
            self.appended.entry(request).or_default().insert(place, end);
        }
    }

    /// What was not committed is gone.
    pub fn store_failed(&mut self) {
        self.log_ends = self.high_watermarks.clone();
        self.groups.store_failed();
    }

    pub fn log_begins_at(&mut self, topic: &str, partition: i32, start: i64) {
        self.log_starts.insert((topic.to_owned(), partition), start);
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
        self.empty_generations.remove(group);
    }

    /// The last member of a group is gone.
    pub fn group_is_empty(&mut self, group: &str, generation: i32) {
        self.empty_generations.insert(group.to_owned(), generation);
    }

    fn commit_asked(&mut self, at: Instant, body: Bytes, version: i16) -> What {
        let Ok(request) = decode_request::<OffsetCommitRequest>(body, version) else { return What::Other };
        self.groups.heard(at, &request.group_id, &request.member_id);
        let known = self.generations.get(request.group_id.as_str()).copied().unwrap_or(-1);
        let generation = request.generation_id_or_member_epoch;
        let stale = (generation >= 0 && generation < known).then_some(generation);
        let group = request.group_id.into_string();
        let mut offsets = Vec::new();
        for topic in request.topics {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for partition in topic.partitions {
                offsets.push((name.clone(), partition.partition_index, partition.committed_offset));
            }
        }
        for (topic, partition, offset) in &offsets {
            let spot = (group.clone(), topic.clone(), *partition);
            self.commits.entry(spot).or_default().open.push(*offset);
        }
        What::Commit { group, offsets, stale }
    }

    pub fn response(&mut self, at: Instant, conn: ConnId, frame: &Bytes) -> Vec<Broken> {
        let Some(id) = response_correlation_id(frame) else { return Vec::new() };
        let appended = self.appended.remove(&(conn, id)).unwrap_or_default();
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
            (_, What::Commit { group, offsets, stale }) => {
                match decode_response::<OffsetCommitResponse>(frame, version) {
                    Ok((_, response)) => self.committed(&group, &offsets, stale, &response),
                    Err(_) => unreadable(),
                }
            }
            (_, What::Offsets { group }) => match decode_response::<OffsetFetchResponse>(frame, version) {
                Ok((_, response)) => self.offsets(&group, response),
                Err(_) => unreadable(),
            },
            (_, What::Produce { lengths, acks }) => match decode_response::<ProduceResponse>(frame, version) {
                Ok((_, response)) => self.produced(&lengths, acks, &appended, response),
                Err(_) => unreadable(),
            },
            (_, What::Join { group, session, rebalance }) => {
                match decode_response::<JoinGroupResponse>(frame, version) {
                    Ok((_, response)) => {
                        if response.error_code == 0 {
                            self.groups.joined(at, &group, &response.member_id, session, rebalance);
                        }
                        self.joined(group, &response)
                    }
                    Err(_) => unreadable(),
                }
            }
            (_, What::Heartbeat { at, group, member }) => {
                match decode_response::<HeartbeatResponse>(frame, version) {
                    Ok((_, response)) => {
                        // A rebalance does not keep a heartbeat from counting.
                        if [0, ErrorCode::RebalanceInProgress.code()].contains(&response.error_code) {
                            self.groups.beat(at, &group, &member);
                        }
                        Vec::new()
                    }
                    Err(_) => unreadable(),
                }
            }
            (_, What::Fetch { starts, below }) => match decode_response::<FetchResponse>(frame, version) {
                Ok((_, response)) => self.fetched(&starts, &below, response),
                Err(_) => unreadable(),
            },
            _ => Vec::new(),
        }
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.asked.retain(|(other, _), _| *other != conn);
        self.appended.retain(|(other, _), _| *other != conn);
    }

    /// A join that was not written is forgotten with the node.
    pub fn node_is_down(&mut self) {
        self.asked.clear();
        self.generations.clear();
        self.empty_generations.clear();
        self.log_starts.clear();
        self.log_ends.clear();
        self.serving = None;
        self.appended.clear();
        self.groups.node_is_down();
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
        appended: &BTreeMap<Place, i64>,
        response: ProduceResponse,
    ) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in response.responses {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for answer in topic.partition_responses {
                let place = (name.clone(), answer.index);
                self.storage_errors += u64::from(answer.error_code == ErrorCode::KafkaStorageError.code());
                broken.extend(self.refused(&place, answer.error_code, appended.get(&place).copied()));
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

    /// 11: an error says whether the records are there.
    fn refused(&self, place: &Place, code: i16, appended: Option<i64>) -> Option<Broken> {
        let (name, partition) = place;
        let error = ErrorCode::from_code(code)?;
        match (error, appended) {
            (ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend, end) => {
                let is_there = end.is_some_and(|end| self.log_ends.get(place).is_some_and(|log| *log >= end));
                let what = format!("{name}-{partition} answered {} without the records", error.name());
                (!is_there).then_some(("11: who waited in vain has its records in the log", what))
            }
            // Appended, and taken back: by the store, or with the topic.
            (ErrorCode::None | ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower, _) | (_, None) => None,
            (error, Some(end)) => {
                let what = format!("{name}-{partition} answered {} and has the records to {end}", error.name());
                Some(("11: what is refused is not in the log", what))
            }
        }
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
                let (leader, isr) = (partition.leader_id, &partition.isr_nodes);
                let fits = isr.iter().all(|node| partition.replica_nodes.contains(node));
                if !fits || leader >= 0 && !isr.contains(&leader) {
                    let replicas = &partition.replica_nodes;
                    let what = format!(
                        "{:?}-{} has {leader} of {isr:?} of {replicas:?}",
                        topic.name, partition.partition_index
                    );
                    broken.push(("12: the leader is in sync, who is in sync is a replica", what));
                }
            }
        }
        broken
    }

    fn committed(
        &mut self,
        group: &str,
        offsets: &[(String, i32, i64)],
        stale: Option<i32>,
        response: &OffsetCommitResponse,
    ) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in &response.topics {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for partition in &topic.partitions {
                let spot = (group.to_owned(), name.clone(), partition.partition_index);
                let asked = offsets.iter().find(|(name, index, _)| *name == spot.1 && *index == spot.2);
                let (Some((_, _, offset)), Some(commits)) = (asked, self.commits.get_mut(&spot)) else { continue };
                // Commits of one connection are served in order; what was asked before is older.
                if let Some(index) = commits.open.iter().position(|open| open == offset) {
                    if let Some(generation) = stale.filter(|_| partition.error_code == 0) {
                        let what = format!("{group} took {offset} of generation {generation}, which was over");
                        broken.push(("35: only a current member commits", what));
                    }
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
        broken
    }

    fn offsets(&mut self, group: &str, response: OffsetFetchResponse) -> Vec<Broken> {
        let mut found = Vec::new();
        for group in response.groups.iter().filter(|group| group.error_code == 0) {
            for topic in &group.topics {
                let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
                let offset = |p: &OffsetFetchResponsePartitions| {
                    (name.clone(), p.partition_index, p.committed_offset, p.error_code)
                };
                found.extend(topic.partitions.iter().map(offset));
            }
        }
        if response.error_code == 0 {
            for topic in &response.topics {
                let name = topic.name.as_str();
                let offset = |p: &OffsetFetchResponsePartition| {
                    (name.to_owned(), p.partition_index, p.committed_offset, p.error_code)
                };
                found.extend(topic.partitions.iter().map(offset));
            }
        }
        let mut broken = Vec::new();
        for (topic, partition, offset, code) in found {
            if code != 0 {
                continue;
            }
            let spot = (group.to_owned(), topic.clone(), partition);
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
        let follows = |last: i32| generation == last + 1;
        let after_empty = self.empty_generations.get(&group).is_some_and(|empty| follows(*empty));
        // Members of one generation are answered one after the other.
        if before.is_some_and(|before| generation != before && !follows(before) && !after_empty) {
            broken.push(("31: generations rise by one", format!("{group} went from {before:?} to {generation}")));
        }
        broken
    }
}
