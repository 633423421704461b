//! Produce (0): batches into partitions.
//!
//! Exactly one batch of format 2 per partition. Versions 0 to 2 bring message sets of formats 0 and 1, which the log
//! makes a batch of; none at all is no error there. acks=0 has no response, and an error closes the
//! connection; acks=1 and acks=-1 wait until the batch is durable, which with a single replica is the
//! same. Topics are named up to version 12 and given by id from 13 on; zstd needs version 7.
//!
//! The first batch of a transaction in a partition is appended once the transaction's coordinator has
//! confirmed that the partition is in it (up to version 11) or has added it (from 12 on: KIP-890).

use bytes::Bytes;
use shore_base::{Duration, Instant, Uuid};
use shore_log::{AppendError, RecordError};
use shore_wire::batch::{BatchError, BatchView, batches};
use shore_wire::codec::DecodeError;
use shore_wire::compress::Codec;
use shore_wire::error::ErrorCode;
use shore_wire::message_set;
use shore_wire::messages::produce_request::PartitionProduceData;
use shore_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use shore_wire::messages::{ProduceRequest, ProduceResponse, StrBytes};

use super::produce_verification::{UnverifiedProduce, Verified, begins_transactions};
use super::{RequestContext, Served, from_wire, text};
use crate::broker::{Broker, Parked, Timer};
use crate::event::Event;
use crate::replica::{PartitionId, Waiter};
use crate::topic_name;

/// The one client that may write to internal topics: Kafka's own way to mend them.
const ADMIN_CLIENT: &str = "__admin_client";

/// A Produce request whose batches are appended and not all durable yet.
#[derive(Clone, Debug)]
pub(crate) struct ParkedProduce {
    ctx: RequestContext,
    topics: Vec<TopicProduceResponse>,
    /// Partitions that are waited for, by their slot: topic and partition of the response.
    slots: Vec<Slot>,
    waiting: usize,
    pub deadline: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    topic: usize,
    partition: usize,
    id: PartitionId,
    is_settled: bool,
}

impl ParkedProduce {
    /// The partitions that it may still wait for.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.slots.iter().filter(|slot| !slot.is_settled).map(|slot| slot.id)
    }
}

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: ProduceRequest = ctx.decode(body)?;
    if let Some((error, message)) = refuse_request(&request) {
        return Ok(refuse_all(&ctx, &request, error, message.as_deref()));
    }
    Ok(match begins_transactions(broker, &ctx, &request) {
        Ok(begun) if begun.is_empty() => produce(broker, ctx, &request, &Verified::default()),
        Ok(_) => broker.verify_produce(UnverifiedProduce { started: broker.now, ctx, request, known: Verified::new() }),
        Err((error, message)) => refuse_all(&ctx, &request, error, Some(message)),
    })
}

/// Appends what may be appended, and waits for it.
pub(super) fn produce(
    broker: &mut Broker,
    ctx: RequestContext,
    request: &ProduceRequest,
    verified: &Verified,
) -> Served {
    let mut parked = ParkedProduce {
        topics: Vec::with_capacity(request.topic_data.len()),
        slots: Vec::new(),
        waiting: 0,
        deadline: ctx.received_at + Duration::from_millis(request.timeout_ms.max(0) as u64),
        ctx,
    };
    let mut first_error = None;
    for data in &request.topic_data {
        let topic = broker.find_topic(&parked.ctx, &data.name, from_wire(data.topic_id));
        let mut answer = TopicProduceResponse::default();
        if parked.ctx.api_version >= 13 {
            answer.topic_id = data.topic_id;
        } else {
            // A copy: the answer waits, and a slice would keep the whole frame.
            answer.name = StrBytes::from(data.name.as_str());
        }
        answer.partition_responses.reserve_exact(data.partition_data.len());
        for partition in &data.partition_data {
            let result = match &topic {
                Err(error) => Err(Refusal::of(*error)),
                Ok(topic) => append(broker, &parked.ctx, request.acks, *topic, partition, verified),
            };
            let place = (parked.topics.len(), answer.partition_responses.len());
            let (response, waits_for) = answer_of(partition.index, parked.ctx.api_version, result);
            if let Some(error) = ErrorCode::from_code(response.error_code).filter(|error| *error != ErrorCode::None) {
                first_error.get_or_insert((partition.index, error));
            }
            answer.partition_responses.push(response);
            if let (Some((id, end)), true) = (waits_for, request.acks != 0) {
                parked.wait(broker, place, id, end);
            }
        }
        // A topic without partitions is left out.
        if !answer.partition_responses.is_empty() {
            parked.topics.push(answer);
        }
    }
    if request.acks == 0 {
        return match first_error {
            None => Served::Silent,
            Some((partition, error)) => {
                Served::Close(format!("acks=0 leaves no other way to say {} (partition {partition})", error.name()))
            }
        };
    }
    if parked.waiting == 0 {
        return Served::Answer(parked.answer());
    }
    let id = parked.ctx.id;
    broker.set_timer(parked.deadline, Timer::Request(id));
    broker.parked.insert(id, Parked::Produce(parked));
    Served::Parked
}

/// What was appended: the partition, base offset, log end, append time, log start.
struct Done {
    id: PartitionId,
    base_offset: i64,
    end: i64,
    log_append_time: i64,
    log_start_offset: i64,
}

fn append(
    broker: &mut Broker,
    ctx: &RequestContext,
    acks: i16,
    topic: Uuid,
    data: &PartitionProduceData,
    verified: &Verified,
) -> Result<Done, Refusal> {
    let id = PartitionId { topic, partition: data.index };
    let records = data.records.as_deref().ok_or(Refusal::of(ErrorCode::InvalidRecord))?;
    let (wall, observed) = (broker.wall, broker.observed);
    let partition = broker.leading_mut(id).map_err(Refusal::of)?;
    check_batch(ctx, records)?;
    let guard = match verified.get(&id) {
        Some(Ok(guard)) => *guard,
        Some(Err((code, message))) => return Err(Refusal { message: message.clone(), ..Refusal::of(*code) }),
        None => None,
    };
    if !matches!(acks, -1..=1) {
        return Err(Refusal::of(ErrorCode::InvalidRequiredAcks));
    }
    if topic_name::is_internal(&partition.topic) && ctx.client_id() != ADMIN_CLIENT {
        return Err(Refusal::of(ErrorCode::InvalidTopicException));
    }
    if ctx.api_version < BATCHES_VERSION && message_set::is_torn(records) {
        let log_start_offset = partition.log.start_offset();
        return Ok(Done { id, base_offset: -1, end: 0, log_append_time: -1, log_start_offset });
    }
    let appended = partition.append_produced(records, guard, wall);
    let log_start_offset = partition.log.start_offset();
    let name = observed.then(|| partition.topic.clone());
    let (topic, partition) = (name.unwrap_or_default(), id.partition);
    match appended {
        Ok(appended) => {
            broker.emit(|| Event::Appended {
                topic,
                partition,
                base_offset: appended.base_offset,
                last_offset: appended.last_offset,
                bytes: appended.bytes,
            });
            Ok(Done {
                id,
                base_offset: appended.base_offset,
                end: appended.last_offset + 1,
                log_append_time: appended.log_append_time,
                log_start_offset: appended.log_start_offset,
            })
        }
        Err(error) => {
            let (code, message) = (error.code, &error.message);
            broker.emit(|| Event::AppendRefused { topic, partition, error: code, message: message.clone() });
            Err(Refusal::by_log(error, log_start_offset))
        }
    }
}

/// Why the whole request is refused, whatever else may be said of its partitions. Kafka looks for a transactional batch,
/// partition by partition, and comes no further than to what cannot be a batch.
fn refuse_request(request: &ProduceRequest) -> Option<(ErrorCode, Option<String>)> {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    for records in partitions.filter_map(|partition| partition.records.as_deref()) {
        let Some(length) = records.get(8..12).map(|bytes| i32::from_be_bytes(bytes.try_into().expect("four"))) else {
            continue;
        };
        if length < SMALLEST_RECORD {
            let why = format!("Record size {length} is less than the minimum record overhead ({SMALLEST_RECORD})");
            return Some((ErrorCode::CorruptMessage, Some(why)));
        }
        let magic = records.get(MAGIC_POSITION).map(|&byte| byte as i8);
        if let Some(magic) = magic.filter(|magic| !(0..=2).contains(magic)) {
            return Some((ErrorCode::CorruptMessage, Some(format!("Invalid magic found in record: {magic}"))));
        }
        if BatchView::parse(records).is_ok_and(|batch| batch.is_transactional()) {
            return request.transactional_id.is_none().then_some((ErrorCode::TransactionalIdAuthorizationFailed, None));
        }
    }
    None
}

/// What depends on the request, before the log checks the batch itself: one batch that is all there, of the current
/// format, in a codec that the version has. Before there were batches, all of this is the log's.
pub(super) fn check_batch(ctx: &RequestContext, records: &[u8]) -> Result<(), Refusal> {
    let mut batches = batches(records);
    match batches.next() {
        _ if ctx.api_version < BATCHES_VERSION => {}
        None | Some(Err(BatchError::Torn { .. } | BatchError::Magic { .. })) => {
            return Err(Refusal::of(ErrorCode::InvalidRecord));
        }
        Some(Ok(batch)) if ctx.api_version < 7 && batch.codec() == Some(Codec::Zstd) => {
            return Err(Refusal::of(ErrorCode::UnsupportedCompressionType));
        }
        Some(Ok(_)) if matches!(batches.next(), Some(Ok(_))) => return Err(Refusal::of(ErrorCode::InvalidRecord)),
        // What is no batch is the log's to refuse.
        Some(_) => {}
    }
    Ok(())
}

/// What a message of format 0 takes without key and value.
const SMALLEST_RECORD: i32 = 14;
/// Where a batch, as a message of the old formats, says which format it has.
const MAGIC_POSITION: usize = 16;
/// Before this version there were no batches. A client may send one all the same.
const BATCHES_VERSION: i16 = 3;

/// Why a partition got nothing.
pub(super) struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    records: Vec<RecordError>,
    /// Known where the log had a look at the records, -1 else.
    log_start_offset: i64,
}

impl Refusal {
    fn of(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new(), log_start_offset: -1 }
    }

    fn by_log(error: AppendError, log_start_offset: i64) -> Self {
        let is_before_the_log = matches!(
            error.code,
            ErrorCode::CorruptMessage
                | ErrorCode::MessageTooLarge
                | ErrorCode::RecordListTooLarge
                | ErrorCode::KafkaStorageError
        );
        Self {
            code: error.code,
            message: (!error.records.is_empty()).then_some(error.message),
            records: error.records,
            log_start_offset: if is_before_the_log { -1 } else { log_start_offset },
        }
    }
}

/// The answer for a partition, and what it still waits for.
fn answer_of(
    index: i32,
    version: i16,
    result: Result<Done, Refusal>,
) -> (PartitionProduceResponse, Option<(PartitionId, i64)>) {
    let mut response = PartitionProduceResponse::default();
    response.index = index;
    match result {
        Ok(done) => {
            response.base_offset = done.base_offset;
            response.log_append_time_ms = done.log_append_time;
            if version >= 5 {
                response.log_start_offset = done.log_start_offset;
            }
            (response, Some((done.id, done.end)))
        }
        Err(error) => {
            refuse(&mut response, error.code);
            if version >= 5 {
                response.log_start_offset = error.log_start_offset;
            }
            if version >= 8 {
                response.error_message = error.message.as_deref().map(text);
                response.record_errors = error
                    .records
                    .iter()
                    .map(|record| {
                        let mut answer = BatchIndexAndErrorMessage::default();
                        answer.batch_index = record.index;
                        answer.batch_index_error_message = Some(text(&record.message));
                        answer
                    })
                    .collect();
            }
            (response, None)
        }
    }
}

fn refuse(response: &mut PartitionProduceResponse, error: ErrorCode) {
    response.error_code = error.code();
    response.base_offset = -1;
    response.log_append_time_ms = -1;
    response.log_start_offset = -1;
}

/// The first batch of each partition, where it can be read.
pub(super) fn batches_of(request: &ProduceRequest) -> impl Iterator<Item = BatchView<'_>> {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions.filter_map(|data| BatchView::parse(data.records.as_deref()?).ok())
}

/// One answer for the whole request.
fn refuse_all(ctx: &RequestContext, request: &ProduceRequest, error: ErrorCode, message: Option<&str>) -> Served {
    if request.acks == 0 {
        return Served::Close(format!("acks=0 leaves no other way to say {}", error.name()));
    }
    let mut response = ProduceResponse::default();
    for data in request.topic_data.iter().filter(|data| !data.partition_data.is_empty()) {
        let mut topic = TopicProduceResponse::default();
        (topic.name, topic.topic_id) = (data.name.clone(), data.topic_id);
        for partition in &data.partition_data {
            let refusal = Refusal { message: message.map(str::to_owned), ..Refusal::of(error) };
            topic.partition_responses.push(answer_of(partition.index, ctx.api_version, Err(refusal)).0);
        }
        response.responses.push(topic);
    }
    Served::Answer(ctx.respond(&response))
}

impl ParkedProduce {
    fn wait(&mut self, broker: &mut Broker, (topic, partition): (usize, usize), id: PartitionId, end: i64) {
        let Some(log) = broker.replicas.get_soft(id).filter(|partition| !partition.is_committed(end)) else { return };
        log.wait(end, Waiter::Produce { request: self.ctx.id, slot: self.slots.len() });
        self.slots.push(Slot { topic, partition, id, is_settled: false });
        self.waiting += 1;
    }

    fn answer(self) -> shore_wire::frame::Frame {
        let mut response = ProduceResponse::default();
        response.responses = self.topics;
        self.ctx.respond(&response)
    }
}

impl Broker {
    /// A batch that a Produce request waits for is durable, or gone.
    pub(crate) fn produce_settled(&mut self, request: crate::api::RequestId, slot: usize, error: ErrorCode) {
        let Some(Parked::Produce(parked)) = self.parked.get_mut(&request) else { return };
        let Slot { topic, partition, .. } = parked.slots[slot];
        parked.slots[slot].is_settled = true;
        parked.waiting -= 1;
        if error != ErrorCode::None {
            refuse(&mut parked.topics[topic].partition_responses[partition], error);
        }
        if parked.waiting == 0 {
            self.answer_produce(request);
        }
    }

    /// The store took longer than the client's timeout: the batches stay, and their fate is unknown.
    pub(crate) fn produce_timed_out(&mut self, request: crate::api::RequestId) {
        let Some(Parked::Produce(parked)) = self.parked.get_mut(&request) else { return };
        let mut left = Vec::new();
        for slot in parked.slots.iter_mut().filter(|slot| !slot.is_settled) {
            slot.is_settled = true;
            left.push(slot.id);
            let response = &mut parked.topics[slot.topic].partition_responses[slot.partition];
            refuse(response, ErrorCode::RequestTimedOut);
        }
        for id in left {
            if let Some(partition) = self.replicas.get_soft(id) {
                partition.forget(request);
            }
        }
        self.answer_produce(request);
    }

    fn answer_produce(&mut self, request: crate::api::RequestId) {
        if let Some(Parked::Produce(parked)) = self.parked.remove(&request) {
            self.cancel_timer(parked.deadline, Timer::Request(request));
            self.respond(request, parked.answer());
        }
    }

    /// The topic that a request names, or gives by id in the versions that do.
    pub(crate) fn find_topic(&self, ctx: &RequestContext, name: &StrBytes, id: Uuid) -> Result<Uuid, ErrorCode> {
        if ctx.gives_topic_ids() {
            return if self.image.topics.contains_key(&id) { Ok(id) } else { Err(ErrorCode::UnknownTopicId) };
        }
        self.image.topic_id(name.as_str()).ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}
