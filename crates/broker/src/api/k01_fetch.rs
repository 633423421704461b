//! Fetch (1): records from partitions, waiting for them if there are not enough.
//!
//! An answer waits until `min_bytes` can be had, an error is known, or `max_wait_ms` has passed. The
//! first batch of the first partition that has one is given whole, whatever the limits (from version 3 on). From
//! version 13 on topics are given by id.
//!
//! Versions 0 and 1 get message sets of format 0, versions 2 and 3 of format 1. They are made when the answer is
//! written, one partition after the other.

use bytes::Bytes;
use shore_base::{Duration, Instant};
use shore_log::Read;
use shore_log::storage::ReadRange;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::fetch::{
    AbortedTransaction, CurrentLeader, EpochEnd, FetchResponseBuilder, FetchedPartition, FetchedTopic, NodeEndpoint,
};
use shore_wire::frame::Frame;
use shore_wire::message_set::{DownConvertError, down_convert};
use shore_wire::messages::FetchRequest;

use super::{RequestContext, RequestId, Served, text, to_wire};
use crate::broker::{Broker, LoadFor, Parked, Timer};
use crate::replica::session::{Answered, FetchContext, TopicKey, Wanted};
use crate::replica::{Partition, PartitionId};

/// A fetch that waits: for records, for its time, or for bytes to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct ParkedFetch {
    ctx: RequestContext,
    session: FetchContext,
    read_committed: bool,
    /// It says that it is this replica; -1 is a consumer.
    replica: i32,
    min_bytes: u64,
    /// Below zero, reading is refused.
    max_bytes: i32,
    pub deadline: Instant,
    /// Bytes that have become readable so far.
    gathered: u64,
    /// Its time is up, or it has enough: it is answered with what is there.
    is_due: bool,
    is_loading: bool,
}

impl ParkedFetch {
    pub(crate) fn is_loading(&self) -> bool {
        self.is_loading
    }
}

/// What a reading gave.
enum Reading {
    Done { answers: Vec<FetchedPartition>, bytes: u64, has_error: bool },
    Load(Vec<(PartitionId, ReadRange)>),
}

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: FetchRequest = ctx.decode(body)?;
    if !matches!(request.isolation_level, 0 | 1) {
        return Ok(Served::Answer(refuse_all(&ctx, &request, ErrorCode::UnknownServerError)));
    }
    let most = broker.settings.int("fetch.max.bytes");
    let session = broker.sessions.begin(broker.now, &request, ctx.api_version);
    let parked = ParkedFetch {
        session,
        read_committed: request.isolation_level == 1,
        replica: if ctx.api_version >= 15 { request.replica_state.replica_id } else { request.replica_id },
        min_bytes: request.min_bytes.clamp(0, most) as u64,
        max_bytes: request.max_bytes.min(most),
        deadline: ctx.received_at + Duration::from_millis(request.max_wait_ms.max(0) as u64),
        gathered: 0,
        is_due: request.max_wait_ms <= 0,
        is_loading: false,
        ctx,
    };
    let id = parked.ctx.id;
    broker.parked.insert(id, Parked::Fetch(parked));
    broker.try_fetch(id);
    Ok(Served::Parked)
}

/// The answer to a request that cannot be served at all: up to version 12 every partition has the error too.
fn refuse_all(ctx: &RequestContext, request: &FetchRequest, error: ErrorCode) -> Frame {
    let mut response =
        FetchResponseBuilder { error, session_id: request.session_id, ..FetchResponseBuilder::default() };
    if !ctx.gives_topic_ids() {
        for topic in &request.topics {
            let partitions = topic.partitions.iter();
            response.topics.push(FetchedTopic {
                name: topic.topic.clone(),
                partitions: partitions
                    .map(|asked| FetchedPartition {
                        aborted_transactions: Some(Vec::new()),
                        ..refused(asked.partition, error)
                    })
                    .collect(),
                ..FetchedTopic::default()
            });
        }
    }
    response.finish(ctx.correlation_id, ctx.api_version)
}

impl Broker {
    /// Answers a fetch if it can be answered, else sees to it that it is tried again.
    fn try_fetch(&mut self, request: RequestId) {
        let Some(Parked::Fetch(mut parked)) = self.parked.remove(&request) else { return };
        match self.read_fetch(&parked) {
            Reading::Load(ranges) => {
                parked.is_loading = true;
                let reads = ranges.iter().map(|(_, range)| range.clone()).collect();
                self.set_timer(parked.deadline, Timer::Request(request));
                self.parked.insert(request, Parked::Fetch(parked));
                self.load(LoadFor::Request { request, ranges }, reads);
            }
            Reading::Done { answers, bytes, has_error } => {
                let is_done = parked.is_due || has_error || bytes >= parked.min_bytes || answers.is_empty();
                if is_done {
                    self.cancel_timer(parked.deadline, Timer::Request(request));
                    self.answer_fetch(&parked, answers);
                } else {
                    parked.gathered = bytes;
                    for id in self.fetched_ids(&parked) {
                        if let Some(partition) = self.replicas.get_soft(id) {
                            partition.fetches.insert(request);
                        }
                    }
                    self.set_timer(parked.deadline, Timer::Request(request));
                    self.parked.insert(request, Parked::Fetch(parked));
                }
            }
        }
    }

    /// More of a partition that the fetch waits for can be read. How much of it is committed is only
    /// known by reading again, if the last stable offset has moved.
    pub(crate) fn fetch_advanced(&mut self, request: RequestId, bytes: u64, is_stable_moved: bool) {
        let Some(Parked::Fetch(parked)) = self.parked.get_mut(&request) else { return };
        if parked.read_committed {
            if is_stable_moved && !parked.is_loading {
                let parked = parked.clone();
                self.unwatch(request, &parked);
                self.try_fetch(request);
            }
            return;
        }
        parked.gathered += bytes;
        if parked.gathered >= parked.min_bytes {
            self.finish_fetch(request);
        }
    }

    /// Answers a fetch with what is there.
    pub(crate) fn finish_fetch(&mut self, request: RequestId) {
        let Some(Parked::Fetch(mut parked)) = self.parked.remove(&request) else { return };
        parked.is_due = true;
        if !parked.is_loading {
            self.unwatch(request, &parked);
        }
        let is_loading = parked.is_loading;
        self.parked.insert(request, Parked::Fetch(parked));
        if !is_loading {
            self.try_fetch(request);
        }
    }

    /// The bytes that it waited for are there.
    pub(crate) fn resume_fetch(&mut self, request: RequestId) {
        if let Some(Parked::Fetch(parked)) = self.parked.get_mut(&request) {
            parked.is_loading = false;
        }
        self.try_fetch(request);
    }

    /// The bytes that it waited for cannot be read.
    pub(crate) fn fail_fetch(&mut self, request: RequestId, error: ErrorCode) {
        let Some(Parked::Fetch(parked)) = self.parked.remove(&request) else { return };
        self.cancel_timer(parked.deadline, Timer::Request(request));
        let refuse =
            |wanted: &Wanted| FetchedPartition { partition: wanted.partition, error, ..FetchedPartition::default() };
        let answers = parked.session.wanted().iter().map(refuse).collect();
        self.answer_fetch(&parked, answers);
    }

    pub(crate) fn unwatch(&mut self, request: RequestId, parked: &ParkedFetch) {
        for id in self.fetched_ids(parked) {
            if let Some(partition) = self.replicas.get_soft(id) {
                partition.fetches.remove(&request);
            }
        }
    }

    fn fetched_ids(&self, parked: &ParkedFetch) -> Vec<PartitionId> {
        parked.session.wanted().iter().filter_map(|wanted| self.fetched_id(wanted).ok()).collect()
    }

    fn fetched_id(&self, wanted: &Wanted) -> Result<PartitionId, ErrorCode> {
        let topic = match &wanted.topic {
            TopicKey::Name(name) => self.image.topic_id(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
            TopicKey::Id(id) if self.image.topics.contains_key(id) => *id,
            TopicKey::Id(_) => return Err(ErrorCode::UnknownTopicId),
        };
        Ok(PartitionId { topic, partition: wanted.partition })
    }

    fn read_fetch(&self, parked: &ParkedFetch) -> Reading {
        let wanted = parked.session.wanted();
        let mut answers = Vec::with_capacity(wanted.len());
        let mut loads = Vec::new();
        let (mut bytes, mut has_error) = (0, false);
        let mut left = parked.max_bytes;
        for wanted in wanted {
            let whole = bytes == 0 && parked.ctx.api_version >= WHOLE_BATCH_VERSION;
            let read = self.fetched_id(wanted).and_then(|id| Ok((id, self.leading(id)?)));
            let answer = match read {
                Ok((id, partition)) => match read_partition(partition, wanted, parked, left, whole) {
                    Ok((answer, spent)) => {
                        left = if spent > 0 { left.saturating_sub_unsigned(spent).max(0) } else { left };
                        answer
                    }
                    // What is loaded uses up the limit, or a request could have more loaded than it can be given.
                    Err(ranges) => {
                        let asked: u64 = ranges.iter().map(|range| range.len).sum();
                        bytes += asked as usize;
                        left = left.saturating_sub_unsigned(u32::try_from(asked).unwrap_or(u32::MAX)).max(0);
                        loads.extend(ranges.into_iter().map(|range| (id, range)));
                        continue;
                    }
                },
                // Kafka has an empty list here where it has none for other errors.
                Err(error) => {
                    FetchedPartition { aborted_transactions: Some(Vec::new()), ..refused(wanted.partition, error) }
                }
            };
            bytes += answer.records.iter().map(Bytes::len).sum::<usize>();
            has_error |= answer.error != ErrorCode::None || answer.diverging_epoch.is_some();
            answers.push(answer);
        }
        if loads.is_empty() { Reading::Done { answers, bytes: bytes as u64, has_error } } else { Reading::Load(loads) }
    }

    fn answer_fetch(&mut self, parked: &ParkedFetch, mut answers: Vec<FetchedPartition>) {
        let wanted = parked.session.wanted();
        if parked.ctx.api_version < BATCHES_VERSION {
            for (answer, wanted) in answers.iter_mut().zip(wanted) {
                convert(answer, wanted, parked.ctx.api_version);
            }
        }
        // Each with its place, from which its topic is known.
        let mut answers: Vec<(usize, FetchedPartition)> = answers.into_iter().enumerate().collect();
        let verdict = self.sessions.finish(self.now, &parked.session, &mut answers, |(_, answer)| Answered {
            high_watermark: answer.high_watermark,
            log_start_offset: answer.log_start_offset,
            has_records: !answer.records.is_empty(),
            must_tell: answer.error != ErrorCode::None
                || answer.preferred_read_replica >= 0
                || answer.diverging_epoch.is_some(),
            is_error: answer.error != ErrorCode::None,
        });
        let mut response = FetchResponseBuilder {
            error: verdict.error,
            session_id: verdict.session_id,
            ..FetchResponseBuilder::default()
        };
        let names_leader = answers.iter().any(|(_, answer)| answer.current_leader.is_some());
        if names_leader && parked.ctx.api_version >= 16 {
            response.node_endpoints = vec![NodeEndpoint {
                node_id: self.id(),
                host: self.node.advertised_host.clone(),
                port: self.node.advertised_port.into(),
                rack: self.settings.given("broker.rack").map(str::to_owned),
            }];
        }
        // What is not there comes last, as in Kafka: first topics that are unknown by their id.
        let rank = |answer: &FetchedPartition| match answer.error {
            ErrorCode::UnknownTopicId => 1,
            ErrorCode::UnknownTopicOrPartition => 2,
            _ => 0,
        };
        for missing in 1..=2 {
            let (there, last): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| rank(answer) != missing);
            answers = there;
            answers.extend(last);
        }
        let mut last = None;
        for (place, answer) in answers {
            let topic = &wanted[place].topic;
            if last != Some(topic) {
                response.topics.push(match topic {
                    TopicKey::Name(name) => FetchedTopic { name: text(name), ..FetchedTopic::default() },
                    TopicKey::Id(id) => FetchedTopic { id: to_wire(*id), ..FetchedTopic::default() },
                });
                last = Some(topic);
            }
            response.topics.last_mut().expect("one was pushed").partitions.push(answer);
        }
        let frame = response.finish(parked.ctx.correlation_id, parked.ctx.api_version);
        self.respond(parked.ctx.id, frame);
    }
}

/// From this version on one batch may be larger than any limit.
const WHOLE_BATCH_VERSION: i16 = 3;
/// Before this version there were no batches.
const BATCHES_VERSION: i16 = 4;
/// Before this version messages had no timestamps.
const TIMESTAMPS_VERSION: i16 = 2;

/// Makes a message set of a partition's batches.
fn convert(answer: &mut FetchedPartition, wanted: &Wanted, version: i16) {
    let batches = match &mut answer.records[..] {
        [] => return,
        [slice] => std::mem::take(slice),
        slices => slices.concat().into(),
    };
    let magic = i8::from(version >= TIMESTAMPS_VERSION);
    match down_convert(&batches, magic, wanted.fetch_offset) {
        Ok(messages) => answer.records = vec![messages.into()],
        Err(DownConvertError::Zstd) => *answer = refused(wanted.partition, ErrorCode::UnsupportedCompressionType),
        Err(DownConvertError::Batch(_)) => *answer = refused(wanted.partition, ErrorCode::CorruptMessage),
    }
}

/// Reads one partition within `left` bytes; `is_first` lets one batch be larger than any limit. Says also what that takes
/// off the limit: Kafka cuts within a batch, so that a partition with more to read uses up what it may.
fn read_partition(
    partition: &Partition,
    wanted: &Wanted,
    parked: &ParkedFetch,
    left: i32,
    is_first: bool,
) -> Result<(FetchedPartition, u32), Vec<ReadRange>> {
    let log = &partition.log;
    let refuse = |error| Ok((refused(wanted.partition, error), 0));
    if let Err(error) = partition.check_epoch(wanted.current_leader_epoch) {
        let mut answer = refused(wanted.partition, error);
        if error == ErrorCode::FencedLeaderEpoch {
            answer.current_leader =
                Some(CurrentLeader { leader_id: partition.leader_id, leader_epoch: partition.leader_epoch });
        }
        return Ok((answer, 0));
    }
    if parked.replica >= 0 {
        // A single node has no followers.
        return refuse(ErrorCode::NotLeaderOrFollower);
    }
    let end = if parked.read_committed { log.last_stable_offset() } else { log.high_watermark() };
    let mut answer = FetchedPartition {
        partition: wanted.partition,
        high_watermark: log.high_watermark(),
        last_stable_offset: log.last_stable_offset(),
        log_start_offset: log.start_offset(),
        aborted_transactions: parked.read_committed.then(Vec::new),
        ..FetchedPartition::default()
    };
    if wanted.last_fetched_epoch >= 0 {
        let (epoch, end_offset) = log.end_offset_for_epoch(wanted.last_fetched_epoch);
        if epoch < 0 {
            return refuse(ErrorCode::OffsetOutOfRange);
        }
        if epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset {
            answer.diverging_epoch = Some(EpochEnd { epoch, end_offset });
            return Ok((answer, 0));
        }
    }
    let limit = left.min(wanted.max_bytes);
    if limit < 0 && (log.start_offset()..end).contains(&wanted.fetch_offset) {
        return refuse(ErrorCode::UnknownServerError);
    }
    let limit = limit.max(0) as u32;
    match log.read(wanted.fetch_offset, end, limit as usize, is_first) {
        Ok(Read::Ready { slices, bytes, next_offset }) => {
            if parked.read_committed && !slices.is_empty() {
                let aborted = log.aborted_transactions(wanted.fetch_offset, next_offset);
                answer.aborted_transactions = Some(aborted.iter().map(to_wire_aborted).collect());
            }
            answer.records = slices;
            let bytes = bytes as u32;
            Ok((answer, if next_offset < end { bytes.max(limit) } else { bytes }))
        }
        Ok(Read::Load(ranges)) => Err(ranges),
        Err(error) => refuse(error.code()),
    }
}

fn to_wire_aborted(aborted: &shore_log::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction { producer_id: aborted.producer_id, first_offset: aborted.first_offset }
}

fn refused(partition: i32, error: ErrorCode) -> FetchedPartition {
    FetchedPartition { partition, error, ..FetchedPartition::default() }
}
