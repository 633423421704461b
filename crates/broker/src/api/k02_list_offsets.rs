//! ListOffsets (2): the offset at a timestamp, or at an end of the log.
//!
//! Special timestamps: -1 latest (the last stable offset for read_committed), -2 earliest, -3 the record
//! with the largest timestamp (version 7 on), -4 earliest on the broker's disk (8 on), -5 latest in the
//! remote tier (9 on), -6 earliest not yet copied there (11 on); there is no remote tier.
//!
//! Version 0 is another question: which segments begin before a time, the newest first, and at most so many.

use bytes::Bytes;
use shore_base::collections::BTreeSet;
use shore_base::{Uuid, Wall};
use shore_log::storage::ReadRange;
use shore_log::{Log, Lookup, SegmentInfo, TimestampOffset};
use shore_wire::codec::{DecodeError, Reader, Writer};
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::messages::list_offsets_request::ListOffsetsPartition;
use shore_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use shore_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{RequestContext, RequestId, Served};
use crate::broker::{Broker, LoadFor, Parked};
use crate::replica::{Partition, PartitionId};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// A request that waits for bytes which are not in memory.
#[derive(Clone, Debug)]
pub(crate) struct ParkedListOffsets {
    ctx: RequestContext,
    request: ListOffsetsRequest,
}

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    if ctx.api_version == 0 {
        return list_segments(broker, &ctx, &body);
    }
    let request: ListOffsetsRequest = ctx.decode(body)?;
    if ctx.api_version >= 2 && !matches!(request.isolation_level, 0 | 1) {
        return Ok(Served::Answer(ctx.respond(&refuse_all(ctx.api_version, &request, ErrorCode::UnknownServerError))));
    }
    let parked = ParkedListOffsets { ctx, request };
    match broker.list_offsets(&parked) {
        Ok(response) => Ok(Served::Answer(parked.ctx.respond(&response))),
        Err(ranges) => {
            broker.park_list_offsets(parked, ranges);
            Ok(Served::Parked)
        }
    }
}

/// The answer to a request that cannot be served at all.
fn refuse_all(version: i16, request: &ListOffsetsRequest, error: ErrorCode) -> ListOffsetsResponse {
    let refuse = |asked: &ListOffsetsPartition| {
        let mut partition = ListOffsetsPartitionResponse::default();
        partition.partition_index = asked.partition_index;
        partition.error_code = error.code();
        (partition.timestamp, partition.offset) = (NOTHING.timestamp, NOTHING.offset);
        if version >= 4 {
            partition.leader_epoch = NOTHING.leader_epoch;
        }
        partition
    };
    let mut response = ListOffsetsResponse::default();
    for topic in &request.topics {
        let mut answer = ListOffsetsTopicResponse::default();
        answer.name = topic.name.clone();
        answer.partitions = topic.partitions.iter().map(refuse).collect();
        response.topics.push(answer);
    }
    response
}

type Wants = Vec<(PartitionId, ReadRange)>;

/// An offset, or why there is none.
enum Found {
    Offset(TimestampOffset),
    Refused(ErrorCode),
    Load(Vec<ReadRange>),
}

const NOTHING: TimestampOffset = TimestampOffset { timestamp: -1, offset: -1, leader_epoch: -1 };

impl Broker {
    fn list_offsets(&self, parked: &ParkedListOffsets) -> Result<ListOffsetsResponse, Wants> {
        let mut response = ListOffsetsResponse::default();
        let mut wants = Vec::new();
        for topic in &parked.request.topics {
            let id = self.image.topic_id(topic.name.as_str());
            let mut answer = ListOffsetsTopicResponse::default();
            answer.name = topic.name.clone();
            let repeated = repeated(&topic.partitions);
            let mut told = BTreeSet::new();
            for asked in &topic.partitions {
                let is_repeated = repeated.contains(&asked.partition_index);
                if is_repeated && !told.insert(asked.partition_index) {
                    continue;
                }
                let refused = if is_repeated {
                    Some(ErrorCode::InvalidRequest)
                } else {
                    unknown_timestamp(parked.ctx.api_version, asked.timestamp)
                };
                let found = match (refused, id) {
                    (Some(error), _) => Found::Refused(error),
                    (None, None) => Found::Refused(ErrorCode::UnknownTopicOrPartition),
                    (None, Some(topic)) => self.list_offset(parked.request.isolation_level, topic, asked),
                };
                let mut partition = ListOffsetsPartitionResponse::default();
                partition.partition_index = asked.partition_index;
                let found = match found {
                    Found::Offset(found) => found,
                    Found::Refused(error) => {
                        partition.error_code = error.code();
                        NOTHING
                    }
                    Found::Load(ranges) => {
                        let topic = id.unwrap_or(Uuid::ZERO);
                        let id = PartitionId { topic, partition: asked.partition_index };
                        wants.extend(ranges.into_iter().map(|range| (id, range)));
                        NOTHING
                    }
                };
                (partition.timestamp, partition.offset) = (found.timestamp, found.offset);
                if parked.ctx.api_version >= 4 {
                    partition.leader_epoch = found.leader_epoch;
                }
                answer.partitions.push(partition);
            }
            // A topic without partitions is left out.
            if !answer.partitions.is_empty() {
                response.topics.push(answer);
            }
        }
        if wants.is_empty() { Ok(response) } else { Err(wants) }
    }

    fn list_offset(&self, isolation: i8, topic: Uuid, asked: &ListOffsetsPartition) -> Found {
        let id = PartitionId { topic, partition: asked.partition_index };
        match self.leading(id).and_then(|partition| {
            partition.check_epoch(asked.current_leader_epoch)?;
            Ok(partition)
        }) {
            Ok(partition) => find(partition, isolation, asked.timestamp),
            Err(error) => Found::Refused(error),
        }
    }

    fn park_list_offsets(&mut self, parked: ParkedListOffsets, ranges: Wants) {
        let request = parked.ctx.id;
        let reads = ranges.iter().map(|(_, range)| range.clone()).collect();
        self.parked.insert(request, Parked::ListOffsets(parked));
        self.load(LoadFor::Request { request, ranges }, reads);
    }

    pub(crate) fn resume_list_offsets(&mut self, request: RequestId) {
        let Some(Parked::ListOffsets(parked)) = self.parked.remove(&request) else { return };
        match self.list_offsets(&parked) {
            Ok(response) => self.respond(request, parked.ctx.respond(&response)),
            Err(ranges) => self.park_list_offsets(parked, ranges),
        }
    }

    /// Bytes that it needs cannot be read.
    pub(crate) fn fail_list_offsets(&mut self, request: RequestId, error: ErrorCode) {
        let Some(Parked::ListOffsets(parked)) = self.parked.remove(&request) else { return };
        let mut response = ListOffsetsResponse::default();
        for topic in &parked.request.topics {
            let mut answer = ListOffsetsTopicResponse::default();
            answer.name = topic.name.clone();
            for asked in &topic.partitions {
                let mut partition = ListOffsetsPartitionResponse::default();
                partition.partition_index = asked.partition_index;
                partition.error_code = error.code();
                (partition.timestamp, partition.offset) = (-1, -1);
                answer.partitions.push(partition);
            }
            response.topics.push(answer);
        }
        self.respond(request, parked.ctx.respond(&response));
    }
}

fn find(partition: &Partition, isolation: i8, timestamp: i64) -> Found {
    let log = &partition.log;
    let readable_end = if isolation == 1 { log.last_stable_offset() } else { log.high_watermark() };
    let epoch_at = |offset| log.epoch_at(offset).unwrap_or(-1);
    let at = |offset, leader_epoch| Found::Offset(TimestampOffset { timestamp: -1, offset, leader_epoch });
    let found = match timestamp {
        LATEST => return at(readable_end, partition.leader_epoch),
        EARLIEST | EARLIEST_LOCAL => return at(log.start_offset(), epoch_at(log.start_offset())),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Found::Offset(NOTHING),
        MAX_TIMESTAMP => log.max_timestamp(),
        timestamp => log.offset_for_timestamp(timestamp),
    };
    match found {
        Ok(Lookup::Ready(found)) => {
            // What lies above cannot be read yet.
            Found::Offset(found.filter(|found| found.offset < readable_end).unwrap_or(NOTHING))
        }
        Ok(Lookup::Load(ranges)) => Found::Load(ranges),
        Err(error) => Found::Refused(error.code()),
    }
}

/// A request that names a partition of many segments again and again gets no answer.
const LARGEST_LIST: usize = 16 << 20;

/// Serves version 0, whose messages are read and written here: it has little in common with its successors.
fn list_segments(broker: &Broker, ctx: &RequestContext, body: &Bytes) -> Result<Served, DecodeError> {
    let mut reader = Reader::new(body);
    let mut writer = Writer::new();
    // -1 for a consumer, which does not get to see what is above the high watermark.
    let is_consumer = reader.i32()? == -1;
    let topics = reader.array_len()?;
    writer.array_len(topics);
    for _ in 0..topics {
        let name = reader.string()?;
        let topic = broker.image.topic_id(name).ok_or(ErrorCode::UnknownTopicOrPartition);
        writer.string(name);
        let partitions = reader.array_len()?;
        writer.array_len(partitions);
        for _ in 0..partitions {
            let (partition, timestamp, most) = (reader.i32()?, reader.i64()?, reader.i32()?);
            let known = if timestamp < EARLIEST { Err(ErrorCode::UnsupportedVersion) } else { topic };
            let found = known.and_then(|topic| {
                let log = &broker.leading(PartitionId { topic, partition })?.log;
                Ok(segments_before(log, timestamp, most, is_consumer, broker.wall))
            });
            writer.i32(partition);
            writer.i16(found.as_ref().err().unwrap_or(&ErrorCode::None).code());
            writer.array(&found.unwrap_or_default(), |writer, offset| writer.i64(*offset));
            if writer.len() > LARGEST_LIST {
                return Err(DecodeError::Invalid { what: "count of partitions", value: partitions as i64 });
            }
        }
    }
    reader.finish()?;
    let frame = frame::response_with_body(ctx.api, ctx.correlation_id, 0, writer.as_slice());
    Ok(Served::Answer(frame.expect("an answer as long as its question")))
}

/// Where segments begin that were written last at `timestamp` or before, and the log's end for the present, newest first.
fn segments_before(log: &Log, timestamp: i64, most: i32, is_consumer: bool, now: Wall) -> Vec<i64> {
    // A file's time is not known here: its newest record's stands for it, and the present where there is none.
    let written =
        |segment: &SegmentInfo| if segment.max_timestamp < 0 { now.as_millis() } else { segment.max_timestamp };
    let begin = |segment: SegmentInfo| (segment.base_offset.max(log.start_offset()), written(&segment));
    let mut begins: Vec<(i64, i64)> = log.segments().map(begin).collect();
    if log.segments().last().is_some_and(|segment| segment.size > 0) {
        begins.push((log.end_offset(), now.as_millis()));
    }
    let count = match timestamp {
        LATEST => begins.len(),
        EARLIEST => 1,
        _ => begins.iter().rposition(|(_, written)| *written <= timestamp).map_or(0, |last| last + 1),
    };
    let most = usize::try_from(most).unwrap_or(0);
    let mut offsets: Vec<i64> =
        begins[..count.min(begins.len())].iter().rev().take(most).map(|begin| begin.0).collect();
    let readable_end = log.high_watermark();
    if is_consumer && offsets.iter().any(|&offset| offset > readable_end) {
        offsets.retain(|&offset| offset <= readable_end);
        offsets.insert(0, readable_end);
    }
    offsets
}

/// Negative timestamps that this version does not know.
fn unknown_timestamp(version: i16, timestamp: i64) -> Option<ErrorCode> {
    let since = match timestamp {
        0.. | LATEST | EARLIEST => 0,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => i16::MAX,
    };
    (version < since).then_some(ErrorCode::UnsupportedVersion)
}

fn repeated(partitions: &[ListOffsetsPartition]) -> BTreeSet<i32> {
    let mut seen = BTreeSet::new();
    partitions.iter().map(|asked| asked.partition_index).filter(|&index| !seen.insert(index)).collect()
}
