//! Fetching: one request at a time to each broker, in sessions; what comes is kept until the owner asks.

use bytes::Bytes;
use shore_base::Instant;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::error::ErrorCode;
use shore_wire::frame::decode_response;
use shore_wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use shore_wire::messages::fetch_response::PartitionData;
use shore_wire::messages::{FetchRequest, FetchResponse, StrBytes, Uuid};

use super::position::Position;
use super::records::{Aborted, read_records};
use super::{Consumer, ConsumerEvent, Isolation, Purpose, Records};
use crate::cluster::TopicPartition;
use crate::error::{ClientError, is_stale_metadata};
use crate::network::Target;

/// The fetch session with each broker.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    by_node: BTreeMap<i32, Session>,
}

/// What a broker remembers of the last fetch, so that only changes are sent.
#[derive(Clone, Debug, Default)]
struct Session {
    id: i32,
    /// 0 begins a new session.
    epoch: i32,
    /// Fetch offset and leader epoch as the broker has them.
    known: BTreeMap<TopicPartition, (i64, i32)>,
    in_flight: bool,
    not_before: Instant,
    /// Other partitions are read now: a broker that only tells changes would leave out where they end.
    outdated: bool,
}

impl Sessions {
    pub fn renew(&mut self) {
        for session in self.by_node.values_mut() {
            session.outdated = true;
        }
    }

    /// No answer came: nobody knows what the broker remembers.
    pub fn lost(&mut self, node: i32) {
        if let Some(session) = self.by_node.get_mut(&node) {
            session.in_flight = false;
            session.restart();
        }
    }
}

impl Session {
    fn restart(&mut self) {
        self.outdated = false;
        self.epoch = 0;
        self.known.clear();
    }
}

impl Consumer {
    pub(super) fn pump_fetches(&mut self) {
        let mut wanted: BTreeMap<i32, Vec<(TopicPartition, i64, i32)>> = BTreeMap::new();
        let mut busy: BTreeSet<i32> = BTreeSet::new();
        for (at, slot) in &self.partitions {
            let Position::Fetching { fetch, not_before, .. } = slot.state else { continue };
            let Some(partition) = self.network.cluster.leader(&at.topic, at.partition) else {
                self.network.refresh_metadata();
                continue;
            };
            if slot.has_records() {
                // As Java's consumer since 4.0: a broker is asked again when all it gave is used, so that
                // its session does not churn.
                busy.insert(partition.leader);
            } else if !slot.paused && not_before <= self.now && slot.buffer.is_empty() {
                wanted.entry(partition.leader).or_default().push((at.clone(), fetch, partition.leader_epoch));
            }
        }
        for (node, partitions) in wanted {
            if !busy.contains(&node) {
                self.fetch_from(node, partitions);
            }
        }
    }

    fn fetch_from(&mut self, node: i32, partitions: Vec<(TopicPartition, i64, i32)>) {
        let session = self.sessions.by_node.entry(node).or_default();
        if session.in_flight || session.not_before > self.now {
            return;
        }
        let target = Target::Broker(node);
        if !self.network.ready(self.now, target) {
            return;
        }
        let ids_known = partitions.iter().all(|(at, ..)| !self.network.cluster.topic_id(&at.topic).is_zero());
        // From version 13 on topics go by id.
        let cap = if ids_known { 17 } else { 12 };
        let Some(version) = self.network.version::<FetchRequest>(target, cap) else { return };
        if session.outdated {
            session.restart();
        }
        let mut request = FetchRequest::default();
        if version < 15 {
            request.replica_id = -1;
        }
        request.max_wait_ms = self.config.fetch_max_wait.as_millis() as i32;
        request.min_bytes = self.config.fetch_min_bytes;
        request.max_bytes = self.config.fetch_max_bytes;
        request.isolation_level = self.config.isolation.code();
        let asked: BTreeMap<TopicPartition, i64> =
            partitions.iter().map(|(at, fetch, _)| (at.clone(), *fetch)).collect();
        let cluster = &self.network.cluster;
        let by_id = version >= 13;
        let name = |topic: &str| if by_id { StrBytes::default() } else { StrBytes::from(topic) };
        let id = |topic: &str| if by_id { cluster.topic_id(topic) } else { Uuid::ZERO };
        if version >= 7 {
            request.session_id = session.id;
            request.session_epoch = session.epoch;
            let gone: Vec<TopicPartition> =
                session.known.keys().filter(|at| !asked.contains_key(at)).cloned().collect();
            for at in gone {
                session.known.remove(&at);
                match request.forgotten_topics_data.iter_mut().find(|topic| forgets(topic, &at, id(&at.topic))) {
                    Some(topic) => topic.partitions.push(at.partition),
                    None => {
                        let mut topic = ForgottenTopic::default();
                        topic.topic = name(&at.topic);
                        topic.topic_id = id(&at.topic);
                        topic.partitions = vec![at.partition];
                        request.forgotten_topics_data.push(topic);
                    }
                }
            }
        }
        let mut last: Option<String> = None;
        for (at, fetch, epoch) in partitions {
            if version >= 7 && session.epoch != 0 && session.known.get(&at) == Some(&(fetch, epoch)) {
                continue;
            }
            session.known.insert(at.clone(), (fetch, epoch));
            let mut partition = FetchPartition::default();
            partition.partition = at.partition;
            if version >= 9 {
                partition.current_leader_epoch = epoch;
            }
            partition.fetch_offset = fetch;
            if version >= 5 {
                partition.log_start_offset = -1;
            }
            partition.partition_max_bytes = self.config.max_partition_fetch_bytes;
            if last.as_deref() != Some(at.topic.as_str()) {
                let mut topic = FetchTopic::default();
                topic.topic = name(&at.topic);
                topic.topic_id = id(&at.topic);
                request.topics.push(topic);
                last = Some(at.topic);
            }
            request.topics.last_mut().expect("just added").partitions.push(partition);
        }
        let purpose = Purpose::Fetch { node, asked };
        match self.network.send(self.now, target, version, &request, purpose) {
            Ok(()) => session.in_flight = true,
            Err(error) => self.fail("fetching", error),
        }
    }

    pub(super) fn fetched(&mut self, node: i32, asked: BTreeMap<TopicPartition, i64>, version: i16, frame: Bytes) {
        let response = decode_response::<FetchResponse>(frame, version);
        let session = self.sessions.by_node.entry(node).or_default();
        session.in_flight = false;
        let Ok((_, response)) = response else {
            session.restart();
            session.not_before = self.now + self.network.backoff(1);
            return;
        };
        if response.error_code != 0 {
            session.restart();
            if response.error_code == ErrorCode::FetchSessionIdNotFound.code() {
                session.id = 0;
            } else {
                session.not_before = self.now + self.network.backoff(1);
            }
            if is_stale_metadata(response.error_code)
                || response.error_code == ErrorCode::FetchSessionTopicIdError.code()
            {
                self.network.refresh_metadata();
            }
            return;
        }
        if session.epoch == 0 {
            session.id = response.session_id;
        }
        session.epoch = match session.id {
            // The broker keeps no session: the next fetch says everything again.
            0 => 0,
            _ if session.epoch == i32::MAX => 1,
            _ => session.epoch + 1,
        };
        let mut is_outdated = false;
        for topic in response.responses {
            let name = match version {
                13.. => self.network.cluster.topic_name(topic.topic_id).map(str::to_owned),
                _ => Some(topic.topic.into_string()),
            };
            let Some(name) = name else {
                is_outdated = true;
                continue;
            };
            for data in topic.partitions {
                let at = TopicPartition::new(name.clone(), data.partition_index);
                if let Some(fetch) = asked.get(&at) {
                    self.partition_fetched(&at, *fetch, data);
                }
            }
        }
        if is_outdated {
            // The broker's session has an id under which the topic is no longer known, and answers at once.
            let session = self.sessions.by_node.entry(node).or_default();
            session.restart();
            session.not_before = self.now + self.network.backoff(1);
        }
    }

    fn partition_fetched(&mut self, at: &TopicPartition, asked: i64, data: PartitionData) {
        let backoff = self.network.backoff(1);
        let Some(slot) = self.partitions.get_mut(at) else { return };
        let Position::Fetching { fetch, next, not_before } = &mut slot.state else { return };
        if *fetch != asked || !slot.buffer.is_empty() {
            // It was moved meanwhile.
            return;
        }
        match ErrorCode::from_code(data.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::OffsetOutOfRange) => return self.reset(at),
            _ => {
                *not_before = self.now + backoff;
                if is_stale_metadata(data.error_code) {
                    self.network.refresh_metadata();
                } else if data.error_code != ErrorCode::UnknownLeaderEpoch.code() {
                    let error = ClientError::from_code(data.error_code);
                    self.events.push_back(ConsumerEvent::Failed { what: "fetching", error });
                }
                return;
            }
        }
        slot.end = Some(match self.config.isolation {
            Isolation::ReadUncommitted => data.high_watermark,
            Isolation::ReadCommitted => data.last_stable_offset,
        });
        let aborted = Aborted::new(match self.config.isolation {
            Isolation::ReadUncommitted => Vec::new(),
            Isolation::ReadCommitted => data.aborted_transactions.unwrap_or_default(),
        });
        match read_records(&data.records.unwrap_or_default(), asked, aborted) {
            Ok((records, end)) => {
                slot.buffer.extend(records);
                *fetch = end;
                if slot.buffer.is_empty() {
                    // Nothing but what no owner sees.
                    *next = end;
                }
            }
            Err(error) => {
                *not_before = self.now + backoff;
                self.events.push_back(ConsumerEvent::Failed { what: "reading records", error });
            }
        }
    }

    pub(super) fn take_records(&mut self, max: usize) -> Vec<Records> {
        let mut taken = Vec::new();
        let mut left = max;
        for (at, slot) in &mut self.partitions {
            if left == 0 {
                break;
            }
            if !slot.has_records() {
                continue;
            }
            let records = slot.take(left);
            left -= records.len();
            taken.push(Records { at: at.clone(), records });
        }
        taken
    }

    pub(super) fn fetch_wake(&self) -> Option<(Instant, &'static str)> {
        let waits = self.partitions.values().filter_map(|slot| match slot.state {
            Position::Fetching { not_before, .. } if not_before > self.now => Some(not_before),
            _ => None,
        });
        let sessions =
            self.sessions.by_node.values().filter(|session| !session.in_flight).map(|session| session.not_before);
        waits.chain(sessions.filter(|at| *at > self.now)).min().map(|at| (at, "fetch again"))
    }
}

fn forgets(topic: &ForgottenTopic, at: &TopicPartition, id: Uuid) -> bool {
    if id.is_zero() { *topic.topic == *at.topic } else { topic.topic_id == id }
}
