//! Sending: which batches may go, what an answer means, what is sent again.
//!
//! Order is kept so: a batch gets its sequence when it is first sent; one that comes back is sent again
//! with the same bytes, and only when every batch before it is settled.

use bytes::Bytes;
use shore_base::Instant;
use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;
use shore_wire::frame::decode_response;
use shore_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use shore_wire::messages::produce_response::PartitionProduceResponse;
use shore_wire::messages::{
    InitProducerIdRequest, InitProducerIdResponse, KafkaMessage, ProduceRequest, ProduceResponse, StrBytes, Uuid,
};

use super::batch::{Batch, Stamp};
use super::{Acks, PartitionQueue, Producer, Purpose};
use crate::error::{ClientError, is_retriable, is_stale_metadata};
use crate::network::Target;

/// The producer id: None -> Asked -> Known, and back to None when its epochs are used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    None,
    Asked {
        attempts: u32,
    },
    /// The last answer was no; ask again then.
    Waiting {
        until: Instant,
        attempts: u32,
    },
    Known {
        producer_id: i64,
        epoch: i16,
    },
}

impl Identity {
    pub fn known(&self) -> Option<(i64, i16)> {
        match *self {
            Self::Known { producer_id, epoch } => Some((producer_id, epoch)),
            _ => None,
        }
    }

    /// What was in doubt under the old epoch cannot collide with what is sent under the new one.
    fn bump(&mut self) {
        *self = match *self {
            Self::Known { producer_id, epoch } if epoch < i16::MAX => Self::Known { producer_id, epoch: epoch + 1 },
            _ => Self::None,
        };
    }
}

/// A batch on its way.
#[derive(Clone, Debug)]
pub(super) struct InFlightBatch {
    pub topic: String,
    pub partition: i32,
    pub batch: Batch,
}

impl Producer {
    /// Does everything that can be done now.
    pub(super) fn pump(&mut self) {
        self.expire();
        self.network.maybe_ask_metadata(self.now);
        if self.unfinished > 0 {
            if self.config.idempotence && self.identity.known().is_none() {
                self.ask_producer_id();
            } else {
                self.send_ready();
            }
        } else {
            self.flushing = self.closing;
        }
        if self.is_closed() {
            self.network.close();
        }
        self.wake = self.next_due();
    }

    fn ask_producer_id(&mut self) {
        let attempts = match self.identity {
            Identity::Asked { .. } | Identity::Known { .. } => return,
            Identity::Waiting { until, .. } if until > self.now => return,
            Identity::Waiting { attempts, .. } => attempts,
            Identity::None => 0,
        };
        let Some(target) = self.network.any_ready(self.now) else { return };
        let Some(version) = self.network.version::<InitProducerIdRequest>(target, 5) else { return };
        let mut request = InitProducerIdRequest::default();
        // The schema's own default is an empty id, which a broker refuses.
        request.transactional_id = None;
        request.transaction_timeout_ms = i32::MAX;
        if version >= 3 {
            request.producer_id = -1;
            request.producer_epoch = -1;
        }
        if self.network.send(self.now, target, version, &request, Purpose::InitProducerId).is_ok() {
            self.identity = Identity::Asked { attempts };
        }
    }

    pub(super) fn producer_id_known(&mut self, version: i16, frame: Bytes) {
        match decode_response::<InitProducerIdResponse>(frame, version) {
            Ok((_, response)) if response.error_code == 0 => {
                let (producer_id, epoch) = (response.producer_id, response.producer_epoch);
                self.identity = Identity::Known { producer_id, epoch };
            }
            _ => self.identity_failed(),
        }
    }

    pub(super) fn identity_failed(&mut self) {
        let attempts = match self.identity {
            Identity::Asked { attempts } | Identity::Waiting { attempts, .. } => attempts + 1,
            _ => 1,
        };
        self.identity = Identity::Waiting { until: self.now + self.network.backoff(attempts), attempts };
    }

    /// Sends request after request until nothing more is ready or may go.
    fn send_ready(&mut self) {
        loop {
            let mut by_leader: BTreeMap<i32, Vec<(String, i32)>> = BTreeMap::new();
            for (topic, queue) in &self.topics {
                for (index, partition) in queue.partitions.iter().enumerate() {
                    if !self.is_ready(partition) {
                        continue;
                    }
                    match self.network.cluster.leader(topic, index as i32) {
                        Some(leader) => by_leader.entry(leader.leader).or_default().push((topic.clone(), index as i32)),
                        None => self.network.refresh_metadata(),
                    }
                }
            }
            let mut sent = false;
            for (leader, partitions) in by_leader {
                let target = Target::Broker(leader);
                if self.network.ready_below(self.now, target, self.config.max_in_flight) {
                    sent |= self.send_to(target, partitions);
                }
            }
            if !sent {
                self.network.maybe_ask_metadata(self.now);
                return;
            }
        }
    }

    fn is_ready(&self, partition: &PartitionQueue) -> bool {
        let Some(batch) = partition.batches.front() else { return false };
        if batch.not_before > self.now || (self.config.max_in_flight == 1 && partition.in_flight > 0) {
            return false;
        }
        if self.config.idempotence {
            let current = partition.identity == self.identity.known();
            let in_turn = batch.stamp.is_none_or(|stamp| partition.outstanding.first() == Some(&stamp.order));
            // Another identity begins when everything under the old one has come back.
            if partition.in_flight > 0 && !(current && in_turn) {
                return false;
            }
        }
        batch.full
            || batch.attempts > 0
            || batch.stamp.is_some()
            || partition.batches.len() > 1
            || self.flushing
            || batch.size >= u64::from(self.config.batch_size)
            || batch.created + self.config.linger <= self.now
            || self.buffered * 10 >= self.config.buffer_memory * 9
    }

    /// Sends one request with the first batch of each partition. True if one was sent.
    fn send_to(&mut self, target: Target, partitions: Vec<(String, i32)>) -> bool {
        let ids_known = partitions.iter().all(|(topic, _)| !self.network.cluster.topic_id(topic).is_zero());
        // From version 13 on topics go by id.
        let cap = if ids_known { 13 } else { 12 };
        let Some(version) = self.network.version::<ProduceRequest>(target, cap) else {
            self.fail_all(partitions, ClientError::Unsupported(ProduceRequest::NAME));
            return false;
        };
        let mut batches: Vec<InFlightBatch> = Vec::new();
        let mut bytes = 0;
        for (topic, partition) in partitions {
            let Some(queue) =
                self.topics.get_mut(&topic).and_then(|topic| topic.partitions.get_mut(partition as usize))
            else {
                continue;
            };
            let size = queue.batches.front().map_or(0, |batch| batch.size);
            if !batches.is_empty() && bytes + size > u64::from(self.config.max_request_size) {
                break;
            }
            bytes += size;
            let Some(mut batch) = queue.take_first(self.identity.known()) else { continue };
            batch.attempts += 1;
            batches.push(InFlightBatch { topic, partition, batch });
        }
        let request = self.produce_request(version, &mut batches);
        if self.config.acks == Acks::None {
            let sent = self.network.send_and_forget(target, version, &request);
            for InFlightBatch { topic, partition, batch } in batches {
                self.partition(&topic, partition).in_flight -= 1;
                self.finish(&topic, partition, batch, sent.clone().map(|()| (-1, -1)));
            }
            return true;
        }
        if let Err(error) = self.network.send(self.now, target, version, &request, Purpose::Produce(batches.clone())) {
            for InFlightBatch { topic, partition, batch } in batches {
                self.give_up(topic, partition, batch, error.clone());
            }
        }
        true
    }

    fn produce_request(&self, version: i16, batches: &mut [InFlightBatch]) -> ProduceRequest {
        let mut request = ProduceRequest::default();
        request.transactional_id = None;
        request.acks = self.config.acks.code();
        request.timeout_ms = self.config.client.request_timeout.as_millis() as i32;
        for InFlightBatch { topic, partition, batch } in batches {
            let mut data = PartitionProduceData::default();
            data.index = *partition;
            data.records = Some(batch.encode(self.config.compression));
            let id = if version >= 13 { self.network.cluster.topic_id(topic) } else { Uuid::ZERO };
            let name = if version >= 13 { "" } else { topic.as_str() };
            let same = |other: &&mut TopicProduceData| other.topic_id == id && *other.name == *name;
            match request.topic_data.last_mut().filter(same) {
                Some(topic) => topic.partition_data.push(data),
                None => {
                    let mut topic = TopicProduceData::default();
                    topic.name = StrBytes::from(name);
                    topic.topic_id = id;
                    topic.partition_data.push(data);
                    request.topic_data.push(topic);
                }
            }
        }
        request
    }

    pub(super) fn produced(&mut self, batches: Vec<InFlightBatch>, version: i16, frame: Bytes) {
        let response = match decode_response::<ProduceResponse>(frame, version) {
            Ok((_, response)) => response,
            Err(error) => {
                let error = ClientError::BadResponse(error.to_string());
                for InFlightBatch { topic, partition, batch } in batches {
                    self.give_up(topic, partition, batch, error.clone());
                }
                return;
            }
        };
        for InFlightBatch { topic, partition, batch } in batches {
            let id = self.network.cluster.topic_id(&topic);
            let same = |name: &StrBytes, topic_id: Uuid| {
                if version >= 13 { topic_id == id } else { name.as_bytes() == topic.as_bytes() }
            };
            let answers = response.responses.iter().filter(|answer| same(&answer.name, answer.topic_id));
            let mut answers = answers.flat_map(|answer| &answer.partition_responses);
            match answers.find(|answer| answer.index == partition).cloned() {
                Some(answer) => self.settle(topic, partition, batch, &answer),
                // The topic was made anew meanwhile, under another id.
                None => self.send_again(topic, partition, batch, ErrorCode::UnknownTopicId.code()),
            }
        }
    }

    pub(super) fn connection_lost(&mut self, batches: Vec<InFlightBatch>) {
        for InFlightBatch { topic, partition, batch } in batches {
            self.send_again(topic, partition, batch, ErrorCode::NetworkException.code());
        }
    }

    fn settle(&mut self, topic: String, partition: i32, batch: Batch, answer: &PartitionProduceResponse) {
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {
                self.delivered(topic, partition, batch, answer.base_offset, answer.log_append_time_ms)
            }
            // It was appended before, by a request whose answer got lost.
            Some(ErrorCode::DuplicateSequenceNumber) => self.delivered(topic, partition, batch, -1, -1),
            Some(ErrorCode::MessageTooLarge) => match batch.split() {
                Ok((first, second)) => {
                    let queue = self.partition(&topic, partition);
                    queue.in_flight -= 1;
                    if let Some(stamp) = second.stamp {
                        queue.outstanding.insert(stamp.order);
                    }
                    queue.put_back(second);
                    queue.put_back(first);
                }
                Err(batch) => self.give_up(topic, partition, batch, ClientError::Broker(ErrorCode::MessageTooLarge)),
            },
            Some(ErrorCode::OutOfOrderSequenceNumber) if !self.is_first_outstanding(&topic, partition, &batch) => {
                self.send_again(topic, partition, batch, answer.error_code);
            }
            Some(ErrorCode::UnknownProducerId) => {
                self.identity.bump();
                self.send_again(topic, partition, batch, answer.error_code);
            }
            _ if is_retriable(answer.error_code) => self.send_again(topic, partition, batch, answer.error_code),
            _ => self.give_up(topic, partition, batch, ClientError::from_code(answer.error_code)),
        }
    }

    fn is_first_outstanding(&mut self, topic: &str, partition: i32, batch: &Batch) -> bool {
        let first = self.partition(topic, partition).outstanding.first().copied();
        batch.stamp.is_some_and(|stamp| first == Some(stamp.order))
    }

    fn delivered(&mut self, topic: String, partition: i32, batch: Batch, base_offset: i64, log_append_time: i64) {
        let queue = self.partition(&topic, partition);
        queue.in_flight -= 1;
        queue.forget(&batch);
        self.finish(&topic, partition, batch, Ok((base_offset, log_append_time)));
    }

    fn give_up(&mut self, topic: String, partition: i32, batch: Batch, error: ClientError) {
        self.partition(&topic, partition).in_flight -= 1;
        self.fail(&topic, partition, batch, error);
    }

    /// Fails a batch that is not in flight. If it had a sequence, that is a gap now, which another epoch closes.
    fn fail(&mut self, topic: &str, partition: i32, batch: Batch, error: ClientError) {
        self.partition(topic, partition).forget(&batch);
        if batch.stamp.is_some() {
            self.identity.bump();
        }
        self.finish(topic, partition, batch, Err(error));
    }

    fn send_again(&mut self, topic: String, partition: i32, mut batch: Batch, code: i16) {
        if is_stale_metadata(code) {
            self.network.refresh_metadata();
        }
        if batch.attempts > self.config.retries || batch.created + self.config.delivery_timeout <= self.now {
            self.give_up(topic, partition, batch, ClientError::from_code(code));
            return;
        }
        batch.not_before = self.now + self.network.backoff(batch.attempts);
        let queue = self.partition(&topic, partition);
        queue.in_flight -= 1;
        queue.put_back(batch);
    }

    fn partition(&mut self, topic: &str, partition: i32) -> &mut PartitionQueue {
        let topic = self.topics.get_mut(topic).expect("the topic of a batch is there");
        &mut topic.partitions[partition as usize]
    }

    fn fail_all(&mut self, partitions: Vec<(String, i32)>, error: ClientError) {
        for (topic, partition) in partitions {
            while let Some(batch) = self.partition(&topic, partition).batches.pop_front() {
                self.fail(&topic, partition, batch, error.clone());
            }
        }
    }

    /// Fails what has waited longer than `delivery.timeout.ms`, or `max.block.ms` for metadata.
    fn expire(&mut self) {
        let now = self.now;
        let mut expired: Vec<(String, i32, Batch)> = Vec::new();
        for (topic, queue) in &mut self.topics {
            while queue.waiting.front().is_some_and(|(deadline, _)| *deadline <= now) {
                let Some((_, queued)) = queue.waiting.pop_front() else { break };
                let partition = queued.record.partition.unwrap_or(-1);
                expired.push((topic.clone(), partition, Batch::new(now, queued)));
            }
            for (index, partition) in queue.partitions.iter_mut().enumerate() {
                let late = |batch: &&Batch| batch.created + self.config.delivery_timeout <= now;
                while partition.batches.front().filter(late).is_some() {
                    let Some(batch) = partition.batches.pop_front() else { break };
                    expired.push((topic.clone(), index as i32, batch));
                }
            }
        }
        for (topic, partition, batch) in expired {
            let known = self.topics.get(&topic).is_some_and(|topic| (partition as usize) < topic.partitions.len());
            let what = if known { "delivery.timeout.ms" } else { "metadata of the topic" };
            if known {
                self.fail(&topic, partition, batch, ClientError::Timeout(what));
            } else {
                self.finish(&topic, partition, batch, Err(ClientError::Timeout(what)));
            }
        }
    }

    fn next_due(&self) -> Option<(Instant, &'static str)> {
        let mut due: Option<(Instant, &'static str)> = None;
        let mut at = |instant: Instant, reason| {
            if due.is_none_or(|(soonest, _)| instant < soonest) {
                due = Some((instant, reason));
            }
        };
        if let Identity::Waiting { until, .. } = self.identity
            && until > self.now
        {
            at(until, "ask for a producer id");
        }
        for queue in self.topics.values() {
            if let Some((deadline, _)) = queue.waiting.front() {
                at(*deadline, "a topic stays unknown");
            }
            for partition in &queue.partitions {
                let Some(batch) = partition.batches.front() else { continue };
                at(batch.created + self.config.delivery_timeout, "delivery.timeout.ms");
                // What is due now and does not go waits for an answer, not for the time.
                if batch.attempts > 0 && batch.not_before > self.now {
                    at(batch.not_before, "send again");
                } else if batch.attempts == 0 && batch.created + self.config.linger > self.now {
                    at(batch.created + self.config.linger, "linger.ms");
                }
            }
        }
        due
    }
}

impl PartitionQueue {
    /// Takes the first batch to send it, giving it its sequence if it has none.
    fn take_first(&mut self, identity: Option<(i64, i16)>) -> Option<Batch> {
        if self.identity != identity {
            // Nothing is in flight: start over under the new identity.
            self.identity = identity;
            self.next_order = 0;
            self.outstanding.clear();
            for batch in &mut self.batches {
                batch.restamp(None);
            }
        }
        let mut batch = self.batches.pop_front()?;
        if let (None, Some((producer_id, epoch))) = (batch.stamp, identity) {
            batch.restamp(Some(Stamp { producer_id, epoch, order: self.next_order }));
            self.outstanding.insert(self.next_order);
            self.next_order += batch.records.len() as u64;
        }
        self.in_flight += 1;
        Some(batch)
    }

    /// Puts a batch back in its place: before everything that was stamped later or not at all.
    fn put_back(&mut self, batch: Batch) {
        let order = |batch: &Batch| batch.stamp.map(|stamp| stamp.order);
        let place = match order(&batch) {
            None => 0,
            Some(mine) => {
                let later = |other: &Batch| order(other).is_none_or(|other| other > mine);
                self.batches.iter().position(later).unwrap_or(self.batches.len())
            }
        };
        self.batches.insert(place, batch);
    }

    fn forget(&mut self, batch: &Batch) {
        if let Some(stamp) = batch.stamp {
            self.outstanding.remove(&stamp.order);
        }
    }
}
