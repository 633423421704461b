//! Promises that can be seen on the wire: what a node answered once binds its later answers.

use bytes::Bytes;
use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{ConnId, Instant, Uuid};
use shore_broker::view::TopicView;
use shore_client::Assignor;
use shore_client::consumer::protocol::{Subscription, decode_assignment};
use shore_sim::EventId;
use shore_wire::api::ApiKey;
use shore_wire::batch::{BatchView, batches};
use shore_wire::error::ErrorCode;
use shore_wire::frame::{decode_request, decode_request_head, decode_response, response_correlation_id};
use shore_wire::messages::fetch_response::PartitionData;
use shore_wire::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponsePartitions};
use shore_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use shore_wire::messages::{
    DeleteRecordsResponse, EndTxnRequest, EndTxnResponse, FetchRequest, FetchResponse, HeartbeatRequest,
    HeartbeatResponse, InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    MetadataResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    ProduceRequest, ProduceResponse, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest,
};

use crate::group_watch::{Claim, GroupWatch};
use crate::topics::Topics;
use crate::txn_logs::TxnLogs;

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
    epochs: BTreeMap<(Uuid, i32), i32>,
    /// Commits per place: the last one that was answered well, and those since whose answer is not known.
    commits: BTreeMap<Spot, Commits>,
    generations: BTreeMap<String, i32>,
    /// The generation that a group was told to have begun. Its members may all be gone before they are answered.
    begun: BTreeMap<String, i32>,
    pub topics: Topics,
    /// What was answered to be in the log, by topic id, partition and offset, whoever got the answer.
    promised: BTreeMap<(Uuid, i32), BTreeMap<i64, Bytes>>,
    /// Where a log was answered to begin at the earliest.
    promised_starts: BTreeMap<(Uuid, i32), i64>,
    /// Batches that were read, by topic id, partition and base offset, and their checksums.
    read: BTreeMap<(Uuid, i32), BTreeMap<i64, u32>>,
    /// How far each log was seen to be committed.
    high_watermarks: BTreeMap<Place, i64>,
    /// Where each log was seen to begin and to end.
    log_starts: BTreeMap<Place, i64>,
    log_ends: BTreeMap<Place, i64>,
    /// The request that the node serves and the event by which it came, and what requests have appended: the log end
    /// after it. One that waits is served under another event, and is not known any more.
    serving: Option<(ConnId, i32, Option<EventId>)>,
    appended: BTreeMap<(ConnId, i32), BTreeMap<Place, i64>>,
    pub groups: GroupWatch,
    pub txn_logs: TxnLogs,
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
    /// Offsets of the group, or with the topic, were taken away.
    may_be_gone: bool,
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
        claim: Claim,
    },
    Sync {
        /// What its sharing out breaks, if it is taken.
        broken: Option<Broken>,
    },
    Heartbeat {
        at: Instant,
        group: String,
        member: String,
    },
    Fetch(FetchAsked),
    EndTxn {
        /// The epoch that it names, if a later one was given out, and that.
        fenced: Option<(i16, i16)>,
    },
    /// The values of each partition's batch.
    Produce {
        values: BTreeMap<Place, Vec<Bytes>>,
        acks: i16,
        /// It waits until its partitions are in the transaction.
        waits: bool,
    },
    Other,
}

/// What was known when a Fetch was asked. What is about a topic that has another id by then is not looked at.
struct FetchAsked {
    /// Where the logs began that do not begin at 0.
    starts: BTreeMap<(Uuid, i32), i64>,
    /// Partitions that it wants from before their start.
    below: Vec<(Uuid, i32, i64)>,
    /// Partitions of which it knows an older epoch than the leader's, and both.
    stale: Vec<(Uuid, i32, i32, i32)>,
    by_name: BTreeMap<String, Option<Uuid>>,
}

/// What a commit is answered that was not stored as it should be: a crash may yet find it on the disk.
const STORE_REFUSED: [ErrorCode; 4] = [
    ErrorCode::CoordinatorNotAvailable,
    ErrorCode::NotCoordinator,
    ErrorCode::KafkaStorageError,
    ErrorCode::UnknownServerError,
];

/// Decompressed bytes of one batch that a checker is ready to hold.
const MAX_BATCH_BYTES: usize = 64 << 20;

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
                What::Join { claim: claim(&request), group: request.group_id.into_string(), session, rebalance }
            }
            ApiKey::SyncGroup => {
                let request = decode_request::<SyncGroupRequest>(body, version).ok()?;
                self.groups.heard(at, &request.group_id, &request.member_id);
                let share = |share: &SyncGroupRequestAssignment| {
                    let partitions = decode_assignment(&share.assignment).unwrap_or_default();
                    (share.member_id.as_str().to_owned(), partitions)
                };
                let shares: Vec<_> = request.assignments.iter().map(share).collect();
                What::Sync { broken: self.groups.shared_out(&request.group_id, request.generation_id, &shares) }
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
            ApiKey::EndTxn => {
                let request = decode_request::<EndTxnRequest>(body, version).ok()?;
                What::EndTxn { fenced: self.txn_logs.fenced(&request) }
            }
            ApiKey::InitProducerId | ApiKey::Metadata | ApiKey::DeleteRecords => What::Other,
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
        let mut asked =
            FetchAsked { starts: BTreeMap::new(), below: Vec::new(), stale: Vec::new(), by_name: BTreeMap::new() };
        for topic in request.topics {
            let name = topic.topic.as_str();
            let id = self.topic_id(name, topic.topic_id.to_bytes());
            if !name.is_empty() {
                asked.by_name.insert(name.to_owned(), id);
            }
            let Some((id, name)) = id.and_then(|id| Some((id, self.topics.name(id)?))) else { continue };
            for partition in topic.partitions {
                let (index, known) = (partition.partition, partition.current_leader_epoch);
                let start = self.log_starts.get(&(name.to_owned(), index)).copied().unwrap_or(0);
                if partition.fetch_offset < start {
                    asked.below.push((id, index, partition.fetch_offset));
                }
                let epoch = self.epochs.get(&(id, index)).copied().unwrap_or(-1);
                if (0..epoch).contains(&known) {
                    asked.stale.push((id, index, known, epoch));
                }
            }
        }
        for ((name, partition), start) in self.log_starts.iter().filter(|(_, start)| **start > 0) {
            if let Some(id) = self.topics.id(name) {
                asked.starts.insert((id, *partition), *start);
            }
        }
        What::Fetch(asked)
    }

    fn fetched(&mut self, asked: &FetchAsked, response: FetchResponse) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in response.responses {
            let name = topic.topic.as_str();
            let id = self.topic_id(name, topic.topic_id.to_bytes());
            let is_another = !name.is_empty() && asked.by_name.get(name).is_some_and(|before| *before != id);
            for answer in &topic.partitions {
                self.out_of_range += u64::from(answer.error_code == ErrorCode::OffsetOutOfRange.code());
                let records = answer.records.as_deref().unwrap_or_default();
                if answer.diverging_epoch.epoch >= 0 && !records.is_empty() {
                    broken
                        .push(("18: who is of another epoch gets no records", format!("{name} diverges: {answer:?}")));
                }
                let Some(id) = id.filter(|_| !is_another) else { continue };
                broken.extend(self.partition_fetched(asked, (id, answer.partition_index), answer));
            }
        }
        broken
    }

    fn partition_fetched(&mut self, asked: &FetchAsked, at: (Uuid, i32), answer: &PartitionData) -> Vec<Broken> {
        const START: &str = "49: nothing is read from before a log's start";
        let (code, records) = (answer.error_code, answer.records.as_deref().unwrap_or_default());
        let mut broken = Vec::new();
        let name = self.topics.name(at.0).unwrap_or_default();
        let place = format!("{name}-{}", at.1);
        let below = asked.below.iter().find(|(id, index, _)| (*id, *index) == at).filter(|_| code == 0);
        if let Some((_, _, offset)) = below {
            broken.push((START, format!("{place} is read from {offset} on without an error")));
        }
        let stale = asked.stale.iter().find(|(id, index, ..)| (*id, *index) == at);
        if let Some((.., known, epoch)) = stale.filter(|_| !records.is_empty()) {
            let what = format!("{place} is of epoch {epoch} and gives records to who knows {known}");
            broken.push(("18: who is of another epoch gets no records", what));
        }
        let Ok(first) = BatchView::parse(records) else { return broken };
        let promised = self.promised_starts.get(&at).copied().unwrap_or(0);
        let start = asked.starts.get(&at).copied().unwrap_or(0).max(promised);
        if first.last_offset() < start {
            broken.push((START, format!("{place} begins at {start} and gave {}", first.last_offset())));
        }
        if self.topics.asked(name).compact {
            return broken;
        }
        let read = self.read.entry(at).or_default();
        let mut last = None;
        for batch in batches(records).map_while(Result::ok) {
            let before = *read.entry(batch.base_offset()).or_insert_with(|| batch.crc());
            if before != batch.crc() {
                let what = format!("the batch at {} of {place} is another than it was", batch.base_offset());
                broken.push(("8: what was read stays", what));
            }
            self.txn_logs.read(at, &batch);
            last = Some(batch.last_offset());
        }
        if let Some(last) = last {
            self.txn_logs.answered(at, first.base_offset(), last, answer);
        }
        broken
    }

    /// The node takes up a request: what it appends now belongs to it.
    pub fn serves(&mut self, conn: ConnId, correlation_id: i32, cause: Option<EventId>) {
        self.serving = Some((conn, correlation_id, cause));
    }

    pub fn appended(&mut self, topic: &str, partition: i32, last_offset: i64, cause: Option<EventId>) {
        let (place, end) = ((topic.to_owned(), partition), last_offset + 1);
        let before = self.log_ends.entry(place.clone()).or_default();
        *before = end.max(*before);
        if let Some((conn, id, _)) = self.serving.filter(|(.., came)| *came == cause) {
            self.appended.entry((conn, id)).or_default().insert(place, end);
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

    fn produce_asked(&mut self, body: Bytes, version: i16) -> What {
        let Ok(request) = decode_request::<ProduceRequest>(body, version) else { return What::Other };
        let mut values = BTreeMap::new();
        let mut waits = false;
        for topic in request.topic_data {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for data in topic.partition_data {
                let Ok(batch) = BatchView::parse(data.records.as_deref().unwrap_or_default()) else { continue };
                if batch.is_transactional() {
                    self.topics.has_markers(&name);
                    waits = true;
                }
                values.insert((name.clone(), data.index), values_of(&batch));
            }
        }
        What::Produce { values, acks: request.acks, waits }
    }

    /// A topic's name; later versions have its id alone.
    fn topic_name(&self, name: &str, id: [u8; 16]) -> String {
        match name {
            "" => self.topics.name(Uuid(id)).unwrap_or_default().to_owned(),
            name => name.to_owned(),
        }
    }

    /// A topic's id; earlier versions have its name alone.
    fn topic_id(&self, name: &str, id: [u8; 16]) -> Option<Uuid> {
        match name {
            "" => Some(Uuid(id)),
            name => self.topics.id(name),
        }
    }

    /// A log is committed up to here.
    pub fn committed_to(&mut self, topic: &str, partition: i32, high_watermark: i64) {
        let before = self.high_watermarks.entry((topic.to_owned(), partition)).or_default();
        *before = high_watermark.max(*before);
    }

    /// Looks at what a node that is up says of its topics.
    pub fn look(&mut self, topics: &[TopicView]) -> Vec<Broken> {
        let (gone, mut broken) = self.topics.seen(topics);
        for name in gone {
            self.topic_is_gone(&name);
        }
        for topic in topics {
            for partition in &topic.partitions {
                let (index, epoch) = (partition.partition, partition.leader_epoch);
                let before = self.epochs.insert((topic.id, index), epoch);
                if let Some(before) = before.filter(|before| *before > epoch) {
                    let what = format!("{}-{index} fell from {before} to {epoch}", topic.name);
                    broken.push(("4: leader epochs never fall", what));
                }
                let Some(log) = &partition.log else { continue };
                self.committed_to(&topic.name, index, log.high_watermark);
                self.log_begins_at(&topic.name, index, log.start_offset);
                let promised = self.promised_starts.get(&(topic.id, index)).copied().unwrap_or(0);
                if log.start_offset < promised {
                    let what = format!("{}-{index} begins at {} after {promised}", topic.name, log.start_offset);
                    broken.push(("49: deleted records stay deleted", what));
                }
            }
        }
        broken
    }

    /// A topic is gone, or another has its name. What is known of its logs ends here; groups may lose their offsets.
    pub fn topic_is_gone(&mut self, topic: &str) {
        for known in [&mut self.high_watermarks, &mut self.log_starts, &mut self.log_ends] {
            known.retain(|(name, _), _| name != topic);
        }
        self.offsets_may_be_gone(|(_, name, _)| name == topic);
        self.groups.topic_is_gone(topic);
    }

    /// Offsets of a group expired or were deleted.
    pub fn offsets_are_gone(&mut self, group: &str) {
        self.offsets_may_be_gone(|(name, ..)| name == group);
    }

    fn offsets_may_be_gone(&mut self, which: impl Fn(&Spot) -> bool) {
        for (_, commits) in self.commits.iter_mut().filter(|(spot, _)| which(spot)) {
            commits.may_be_gone = true;
        }
    }

    /// A group is gone; one of its name begins anew.
    pub fn group_is_gone(&mut self, group: &str) {
        self.generations.remove(group);
        self.begun.remove(group);
    }

    /// 31: generations rise by one.
    pub fn generation_begins(&mut self, group: &str, generation: i32) -> Option<Broken> {
        let before = self.begun.insert(group.to_owned(), generation)?;
        (generation != before + 1)
            .then(|| ("31: generations rise by one", format!("{group} went from {before} to {generation}")))
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
                Ok((_, response)) => {
                    self.txn_logs.given(&response);
                    self.producer_id(&response)
                }
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
            (ApiKey::DeleteRecords, _) => match decode_response::<DeleteRecordsResponse>(frame, version) {
                Ok((_, response)) => self.records_deleted(response),
                Err(_) => unreadable(),
            },
            (_, What::Produce { values, acks, waits }) => match decode_response::<ProduceResponse>(frame, version) {
                Ok((_, response)) => {
                    let mut broken = if waits { Vec::new() } else { self.refusals(&appended, &response) };
                    broken.extend(self.produced(&values, acks, response));
                    broken
                }
                Err(_) => unreadable(),
            },
            (_, What::Sync { broken }) => match decode_response::<SyncGroupResponse>(frame, version) {
                Ok((_, response)) => broken.filter(|_| response.error_code == 0).into_iter().collect(),
                Err(_) => unreadable(),
            },
            (_, What::Join { group, session, rebalance, claim }) => {
                match decode_response::<JoinGroupResponse>(frame, version) {
                    Ok((_, response)) => {
                        if response.error_code == 0 {
                            self.groups.claims(&group, response.generation_id, &response.member_id, claim);
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
            (_, What::EndTxn { fenced }) => match decode_response::<EndTxnResponse>(frame, version) {
                Ok((_, response)) => self.txn_logs.ended(fenced, response.error_code).into_iter().collect(),
                Err(_) => unreadable(),
            },
            (_, What::Fetch(asked)) => match decode_response::<FetchResponse>(frame, version) {
                Ok((_, response)) => self.fetched(&asked, response),
                Err(_) => unreadable(),
            },
            _ => Vec::new(),
        }
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.asked.retain(|(other, _), _| *other != conn);
        self.appended.retain(|(other, _), _| *other != conn);
    }

    /// The answer to DeleteRecords does not wait for the store, as Apache Kafka writes down once a minute where logs
    /// begin: a crash may bring records back.
    pub fn node_has_crashed(&mut self) {
        self.promised_starts.clear();
    }

    /// A join that was not written is forgotten with the node.
    pub fn node_is_down(&mut self) {
        self.asked.clear();
        self.generations.clear();
        self.begun.clear();
        self.log_starts.clear();
        self.log_ends.clear();
        self.serving = None;
        self.appended.clear();
        self.groups.node_is_down();
        self.txn_logs.node_is_down();
    }

    fn producer_id(&mut self, response: &InitProducerIdResponse) -> Vec<Broken> {
        let fresh = response.error_code != 0 || response.producer_epoch != 0;
        if fresh || self.producer_ids.insert(response.producer_id) {
            return Vec::new();
        }
        vec![("29: producer ids are given once", format!("{} was given twice", response.producer_id))]
    }

    fn produced(&mut self, values: &BTreeMap<Place, Vec<Bytes>>, acks: i16, response: ProduceResponse) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in response.responses {
            let id = self.topic_id(topic.name.as_str(), topic.topic_id.to_bytes());
            // Of a topic that is gone nothing more is promised.
            let id = id.filter(|id| self.topics.name(*id).is_some_and(|name| self.topics.id(name) == Some(*id)));
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for answer in topic.partition_responses {
                let place = (name.clone(), answer.index);
                self.storage_errors += u64::from(answer.error_code == ErrorCode::KafkaStorageError.code());
                // A duplicate that is no longer remembered has no offset.
                if acks == 0 || answer.error_code != 0 || answer.base_offset < 0 {
                    continue;
                }
                let values = values.get(&place).map_or(&[][..], Vec::as_slice);
                let end = answer.base_offset + values.len() as i64;
                let committed = self.high_watermarks.get(&place).copied().unwrap_or(0);
                if acks == -1 && committed < end {
                    let what = format!("{name}-{} is acknowledged to {end} and committed to {committed}", place.1);
                    broken.push(("10: what all have acknowledged is committed", what));
                }
                broken.extend(self.promise(id, &place, answer.base_offset, values));
            }
        }
        broken
    }

    /// What is answered to be at an offset is there from now on.
    fn promise(&mut self, id: Option<Uuid>, place: &Place, base_offset: i64, values: &[Bytes]) -> Option<Broken> {
        let promised = self.promised.entry((id?, place.1)).or_default();
        for (offset, value) in (base_offset..).zip(values) {
            let before = promised.entry(offset).or_insert_with(|| value.clone());
            if before != value {
                let what =
                    format!("offset {offset} of {}-{} is promised to {before:?} and {value:?}", place.0, place.1);
                return Some(("2: an offset is given once", what));
            }
        }
        None
    }

    fn records_deleted(&mut self, response: DeleteRecordsResponse) -> Vec<Broken> {
        for topic in response.topics {
            let Some(id) = self.topics.id(topic.name.as_str()) else { continue };
            for partition in topic.partitions.iter().filter(|partition| partition.error_code == 0) {
                let start = self.promised_starts.entry((id, partition.partition_index)).or_default();
                *start = partition.low_watermark.max(*start);
            }
        }
        Vec::new()
    }

    /// The first offset that a log of a topic may have lost nothing from: where it was last seen to begin.
    pub fn log_start(&self, topic: &str, partition: i32) -> i64 {
        self.log_starts.get(&(topic.to_owned(), partition)).copied().unwrap_or(0)
    }

    /// What was answered to be in the logs of topics that are there, by name.
    pub fn promised(&self) -> impl Iterator<Item = (Place, &BTreeMap<i64, Bytes>)> {
        self.promised.iter().filter_map(|((id, partition), promised)| {
            let name = self.topics.name(*id).filter(|name| self.topics.id(name) == Some(*id))?;
            Some(((name.to_owned(), *partition), promised))
        })
    }

    fn refusals(&self, appended: &BTreeMap<Place, i64>, response: &ProduceResponse) -> Vec<Broken> {
        let mut broken = Vec::new();
        for topic in &response.responses {
            let name = self.topic_name(topic.name.as_str(), topic.topic_id.to_bytes());
            for answer in &topic.partition_responses {
                let place = (name.clone(), answer.index);
                broken.extend(self.refused(&place, answer.error_code, appended.get(&place).copied()));
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
            // Before version 10 it does not say which topic of a name it is.
            let id = Some(Uuid(topic.topic_id.to_bytes())).filter(|id| *id != Uuid::ZERO);
            for partition in topic.partitions {
                // Before version 7 it does not say.
                let told = (partition.leader_epoch >= 0).then_some(partition.leader_epoch);
                let told = id.and_then(|id| Some(((id, partition.partition_index), told?)));
                let before = told.and_then(|(at, epoch)| self.epochs.insert(at, epoch));
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
                        commits.may_be_gone = false;
                    } else if !STORE_REFUSED.iter().any(|error| error.code() == partition.error_code) {
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
            let may_be = commits.open.contains(&offset)
                || commits.accepted.unwrap_or(-1) == offset
                || (offset == -1 && commits.may_be_gone);
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
        let begun = self.begun.get(&group);
        if before.is_some_and(|before| before > generation) || begun.is_some_and(|begun| *begun != generation) {
            let what = format!("{group} answers with {generation} after {before:?} where {begun:?} has begun");
            broken.push(("31: who joins is in the newest generation", what));
        }
        broken
    }
}

/// What a cooperative member says that it has.
fn claim(request: &JoinGroupRequest) -> Claim {
    let offers = request.protocols.iter();
    let offer = offers.filter(|offer| &*offer.name == Assignor::CooperativeSticky.name());
    let said = offer.filter_map(|offer| Subscription::decode(&offer.metadata).ok()).next().unwrap_or_default();
    Claim { generation: said.generation, owned: said.owned }
}

/// The values of a batch's records; nothing if they cannot be read.
fn values_of(batch: &BatchView<'_>) -> Vec<Bytes> {
    let Ok(records) = batch.records(MAX_BATCH_BYTES) else { return Vec::new() };
    let value = |record: shore_wire::batch::Record<'_>| Bytes::copy_from_slice(record.value.unwrap_or_default());
    records.iter().map_while(Result::ok).map(value).collect()
}
