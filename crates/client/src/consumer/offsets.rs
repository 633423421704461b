//! Committing offsets, and finding where to begin.

use bytes::Bytes;
use core::time::Duration;
use shore_base::Instant;
use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;
use shore_wire::frame::decode_response;
use shore_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use shore_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use shore_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use shore_wire::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, StrBytes,
};

use super::position::Position;
use super::{Consumer, ConsumerEvent, OffsetReset, Purpose};
use crate::cluster::TopicPartition;
use crate::error::{ClientError, is_retriable, is_wrong_coordinator};
use crate::network::Target;

/// Commits that are wanted or under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Commits {
    /// The owner asked for one, or one has to be tried again.
    pub wanted: bool,
    pub in_flight: bool,
    /// When the next one comes on its own.
    next_auto: Option<Instant>,
    not_before: Instant,
    attempts: u32,
}

impl Commits {
    pub fn begin(&mut self, now: Instant, every: Option<Duration>) {
        self.next_auto = every.map(|every| now + every);
        (self.attempts, self.not_before) = (0, now);
    }
}

/// From this version on OffsetCommit and OffsetFetch give topics by id.
const TOPIC_ID_VERSION: i16 = 10;
/// How often the last commit before a rebalance or a close is tried.
const LAST_COMMIT_TRIES: u32 = 5;

impl Consumer {
    pub(super) fn pump_commits(&mut self) {
        if self.config.group_id.is_none() {
            return;
        }
        if self.in_poll && self.commits.next_auto.is_some_and(|at| at <= self.now) {
            self.commits.next_auto = self.config.auto_commit.map(|every| self.now + every);
            self.commits.wanted |= !self.uncommitted().is_empty();
        }
        if self.commits.wanted && self.may_commit() && !self.commits.in_flight && self.commits.not_before <= self.now {
            self.send_commit();
        }
    }

    /// Before partitions are given back: true once nothing is left to commit, or it was tried enough.
    pub(super) fn settle_commits(&mut self) -> bool {
        if self.commits.in_flight {
            return false;
        }
        let automatic = self.config.auto_commit.is_some() && !self.uncommitted().is_empty();
        if self.config.group_id.is_none()
            || !(automatic || self.commits.wanted)
            || self.commits.attempts >= LAST_COMMIT_TRIES
        {
            return true;
        }
        self.commits.wanted = true;
        if self.commits.not_before <= self.now {
            self.send_commit();
        }
        // Without anything to commit after all, nothing is under way and nothing wanted.
        !self.commits.in_flight && !self.commits.wanted
    }

    fn uncommitted(&self) -> Vec<(TopicPartition, i64)> {
        let moved = |(at, slot): (&TopicPartition, &super::Slot)| {
            let position = slot.position().filter(|position| slot.committed != Some(*position))?;
            Some((at.clone(), position))
        };
        self.partitions.iter().filter_map(moved).collect()
    }

    fn send_commit(&mut self) {
        let offsets = self.uncommitted();
        if offsets.is_empty() {
            self.commits.wanted = false;
            return;
        }
        let Some(target) = self.coordinator_ready() else { return };
        let newest = self.newest_by(offsets.iter().map(|(at, _)| &*at.topic));
        let Some(version) = self.network.version::<OffsetCommitRequest>(target, newest) else { return };
        let mut request = OffsetCommitRequest::default();
        request.group_id = StrBytes::from(self.config.group_id.as_deref().unwrap_or_default());
        let subscribed = !self.topics.is_empty();
        request.generation_id_or_member_epoch = if subscribed { self.generation } else { -1 };
        request.member_id = StrBytes::from(if subscribed { self.member_id.as_str() } else { "" });
        if version >= 7 && subscribed {
            request.group_instance_id = self.config.group_instance_id.as_deref().map(StrBytes::from);
        }
        for of_topic in offsets.chunk_by(|(left, _), (right, _)| left.topic == right.topic) {
            let name = &of_topic[0].0.topic;
            let mut topic = OffsetCommitRequestTopic::default();
            match version >= TOPIC_ID_VERSION {
                true => topic.topic_id = self.network.cluster.topic_id(name),
                false => topic.name = StrBytes::from(name.as_str()),
            }
            for (at, offset) in of_topic {
                let mut partition = OffsetCommitRequestPartition::default();
                partition.partition_index = at.partition;
                partition.committed_offset = *offset;
                partition.committed_metadata = Some(StrBytes::from(""));
                topic.partitions.push(partition);
            }
            request.topics.push(topic);
        }
        let purpose = Purpose::Commit { generation: self.generation, offsets };
        if self.network.send(self.now, target, version, &request, purpose).is_ok() {
            self.commits.in_flight = true;
            self.commits.wanted = false;
        }
    }

    pub(super) fn committed_answer(
        &mut self,
        generation: i32,
        offsets: Vec<(TopicPartition, i64)>,
        version: i16,
        frame: Bytes,
    ) {
        self.commits.in_flight = false;
        let response = match decode_response::<OffsetCommitResponse>(frame, version) {
            Ok((_, response)) => response,
            Err(error) => return self.commit_failed(ClientError::BadResponse(error.to_string())),
        };
        let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        let Some(code) = codes.into_iter().find(|code| *code != 0) else {
            self.commits.attempts = 0;
            for (at, offset) in &offsets {
                if let Some(slot) = self.partitions.get_mut(at) {
                    slot.committed = Some(*offset);
                }
            }
            self.events.push_back(ConsumerEvent::Committed { offsets });
            return;
        };
        if is_wrong_coordinator(code) {
            self.coordinator_lost();
            return self.retry_commit();
        }
        if code == ErrorCode::UnknownTopicId.code() {
            self.network.refresh_metadata();
        }
        let fenced = [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration, ErrorCode::RebalanceInProgress];
        if fenced.iter().any(|error| error.code() == code) {
            // Somebody else may have the partitions: what is not committed is read again, by them.
            self.commits.attempts = LAST_COMMIT_TRIES;
            self.commit_failed(ClientError::from_code(code));
            if generation == self.generation {
                self.group_refuses("committing", code);
            }
            return;
        }
        match is_retriable(code) {
            true => self.retry_commit(),
            false => self.commit_failed(ClientError::from_code(code)),
        }
    }

    fn commit_failed(&mut self, error: ClientError) {
        self.commits.wanted = false;
        self.events.push_back(ConsumerEvent::CommitFailed { error });
    }

    pub(super) fn retry_commit(&mut self) {
        self.commits.wanted = true;
        self.commits.attempts += 1;
        self.commits.not_before = self.now + self.network.backoff(self.commits.attempts);
    }

    pub(super) fn commit_wake(&self) -> Option<(Instant, &'static str)> {
        if self.commits.wanted && !self.commits.in_flight {
            return Some((self.commits.not_before, "commit again"));
        }
        let at = self.commits.next_auto.filter(|_| self.in_poll && !self.partitions.is_empty())?;
        Some((at, "auto.commit.interval.ms"))
    }

    /// Asks for what is needed before partitions can be read.
    pub(super) fn pump_offsets(&mut self) {
        let waits = |position: &Position| matches!(position, Position::NeedsCommitted);
        if self.partitions.values().any(|slot| waits(&slot.state)) {
            self.ask_committed();
        }
        if self.partitions.values().any(|slot| matches!(slot.state, Position::NeedsReset { .. })) {
            self.ask_ends();
        }
    }

    pub(super) fn offsets_wake(&self) -> Option<(Instant, &'static str)> {
        let soonest = |slot: &super::Slot| match slot.state {
            Position::NeedsReset { asked: false, not_before } => Some((not_before, "ask where to begin")),
            Position::NeedsCommitted if !self.offsets_asked => {
                Some((self.offsets_not_before, "ask for committed offsets"))
            }
            _ => None,
        };
        self.partitions.values().filter_map(soonest).min_by_key(|(at, _)| *at)
    }

    fn ask_committed(&mut self) {
        if self.offsets_asked || self.offsets_not_before > self.now {
            return;
        }
        let Some(target) = self.coordinator_ready() else { return };
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (at, slot) in &self.partitions {
            if matches!(slot.state, Position::NeedsCommitted) {
                topics.entry(&at.topic).or_default().push(at.partition);
            }
        }
        let newest = self.newest_by(topics.keys().copied());
        let Some(version) = self.network.version::<OffsetFetchRequest>(target, newest) else { return };
        let group_id = StrBytes::from(self.config.group_id.as_deref().unwrap_or_default());
        let mut request = OffsetFetchRequest::default();
        if version >= 7 {
            request.require_stable = true;
        }
        if version >= 8 {
            let mut group = OffsetFetchRequestGroup::default();
            group.group_id = group_id;
            let topic = |(name, indexes): (&str, Vec<i32>)| {
                let mut topic = OffsetFetchRequestTopics::default();
                match version >= TOPIC_ID_VERSION {
                    true => topic.topic_id = self.network.cluster.topic_id(name),
                    false => topic.name = StrBytes::from(name),
                }
                topic.partition_indexes = indexes;
                topic
            };
            group.topics = Some(topics.into_iter().map(topic).collect());
            if version >= 9 {
                group.member_epoch = -1;
            }
            request.groups = vec![group];
        } else {
            request.group_id = group_id;
            let topic = |(name, indexes): (&str, Vec<i32>)| {
                let mut topic = OffsetFetchRequestTopic::default();
                topic.name = StrBytes::from(name);
                topic.partition_indexes = indexes;
                topic
            };
            request.topics = Some(topics.into_iter().map(topic).collect());
        }
        self.offsets_asked = self.network.send(self.now, target, version, &request, Purpose::FetchOffsets).is_ok();
    }

    /// The newest version in which the coordinator can be told of these topics.
    fn newest_by<'a>(&self, mut topics: impl Iterator<Item = &'a str>) -> i16 {
        match topics.all(|topic| !self.network.cluster.topic_id(topic).is_zero()) {
            true => TOPIC_ID_VERSION,
            false => TOPIC_ID_VERSION - 1,
        }
    }

    pub(super) fn offsets_fetched(&mut self, version: i16, frame: Bytes) {
        self.offsets_asked = false;
        let Ok((_, mut response)) = decode_response::<OffsetFetchResponse>(frame, version) else {
            self.offsets_not_before = self.now + self.network.backoff(1);
            return;
        };
        let mut found: Vec<(TopicPartition, i64, i16)> = Vec::new();
        let mut code = response.error_code;
        if let Some(group) = response.groups.pop().filter(|_| version >= 8) {
            code = group.error_code;
            for topic in group.topics {
                let name = match version >= TOPIC_ID_VERSION {
                    true => self.network.cluster.topic_name(topic.topic_id).unwrap_or_default(),
                    false => topic.name.as_str(),
                };
                for partition in topic.partitions {
                    let at = TopicPartition::new(name, partition.partition_index);
                    found.push((at, partition.committed_offset, partition.error_code));
                }
            }
        } else {
            for topic in response.topics {
                for partition in topic.partitions {
                    let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    found.push((at, partition.committed_offset, partition.error_code));
                }
            }
        }
        let code =
            if code == 0 { found.iter().map(|(_, _, code)| *code).find(|code| *code != 0).unwrap_or(0) } else { code };
        if code != 0 {
            self.offsets_not_before = self.now + self.network.backoff(1);
            if is_wrong_coordinator(code) {
                self.coordinator_lost();
            } else if code == ErrorCode::UnknownTopicId.code() {
                self.network.refresh_metadata();
            } else if !is_retriable(code) && code != ErrorCode::UnstableOffsetCommit.code() {
                self.fail("asking for committed offsets", ClientError::from_code(code));
            }
            return;
        }
        for (at, offset, _) in found {
            let Some(slot) = self.partitions.get_mut(&at) else { continue };
            if !matches!(slot.state, Position::NeedsCommitted) {
                continue;
            }
            if offset >= 0 {
                slot.begin_at(offset);
                slot.committed = Some(offset);
                self.events.push_back(ConsumerEvent::Positioned { at, offset, committed: true });
            } else {
                self.reset(&at);
            }
        }
    }

    /// No offset to go by: what the policy says.
    pub(super) fn reset(&mut self, at: &TopicPartition) {
        let Some(slot) = self.partitions.get_mut(at) else { return };
        slot.buffer.clear();
        if self.config.auto_offset_reset == OffsetReset::None {
            slot.state = Position::Undefined;
            self.events.push_back(ConsumerEvent::NoOffset { at: at.clone() });
        } else {
            slot.state = Position::NeedsReset { asked: false, not_before: Instant::ZERO };
        }
    }

    pub(super) fn reset_later(&mut self, partitions: &[TopicPartition]) {
        let not_before = self.now + self.network.backoff(1);
        for at in partitions {
            if let Some(slot) = self.partitions.get_mut(at)
                && matches!(slot.state, Position::NeedsReset { .. })
            {
                slot.state = Position::NeedsReset { asked: false, not_before };
            }
        }
    }

    fn ask_ends(&mut self) {
        let timestamp = match self.config.auto_offset_reset {
            OffsetReset::Earliest => -2,
            _ => -1,
        };
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for (at, slot) in &self.partitions {
            if !matches!(slot.state, Position::NeedsReset { asked: false, not_before } if not_before <= self.now) {
                continue;
            }
            match self.network.cluster.leader(&at.topic, at.partition) {
                Some(partition) => by_leader.entry(partition.leader).or_default().push(at.clone()),
                None => self.network.refresh_metadata(),
            }
        }
        for (leader, partitions) in by_leader {
            let target = Target::Broker(leader);
            if !self.network.ready(self.now, target) {
                continue;
            }
            let Some(version) = self.network.version::<ListOffsetsRequest>(target, 10) else { continue };
            let mut request = ListOffsetsRequest::default();
            request.replica_id = -1;
            if version >= 2 {
                request.isolation_level = self.config.isolation.code();
            }
            if version >= 10 {
                request.timeout_ms = self.config.client.request_timeout.as_millis() as i32;
            }
            for at in &partitions {
                let mut partition = ListOffsetsPartition::default();
                partition.partition_index = at.partition;
                partition.timestamp = timestamp;
                match request.topics.last_mut().filter(|topic| *topic.name == *at.topic) {
                    Some(topic) => topic.partitions.push(partition),
                    None => {
                        let mut topic = ListOffsetsTopic::default();
                        topic.name = StrBytes::from(at.topic.as_str());
                        topic.partitions.push(partition);
                        request.topics.push(topic);
                    }
                }
            }
            let purpose = Purpose::ListOffsets { partitions: partitions.clone() };
            if self.network.send(self.now, target, version, &request, purpose).is_ok() {
                for at in &partitions {
                    if let Some(slot) = self.partitions.get_mut(at) {
                        slot.state = Position::NeedsReset { asked: true, not_before: self.now };
                    }
                }
            }
        }
    }

    pub(super) fn offsets_listed(&mut self, mut asked: Vec<TopicPartition>, version: i16, frame: Bytes) {
        if let Ok((_, response)) = decode_response::<ListOffsetsResponse>(frame, version) {
            for topic in response.topics {
                for partition in topic.partitions.iter().filter(|partition| partition.error_code == 0) {
                    let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    asked.retain(|other| *other != at);
                    let Some(slot) = self.partitions.get_mut(&at) else { continue };
                    if matches!(slot.state, Position::NeedsReset { asked: true, .. }) {
                        slot.begin_at(partition.offset);
                        let offset = partition.offset;
                        self.events.push_back(ConsumerEvent::Positioned { at, offset, committed: false });
                    }
                }
            }
        }
        if !asked.is_empty() {
            self.network.refresh_metadata();
            self.reset_later(&asked);
        }
    }
}
