//! Sending: which batches may go, what an answer means, what is sent again.

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

use super::batch::{Batch, BatchId};
use super::queue::{PartitionQueue, Resolved};
use super::{Acks, Producer, Purpose};
use crate::cluster::TopicPartition;
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
pub(super) struct Sent {
    pub at: TopicPartition,
    pub batch: BatchId,
}

impl Producer {
    /// Does everything that can be done now.
    pub(super) fn pump(&mut self) {
        self.expire();
        self.resolve_sequences();
        self.network.maybe_ask_metadata(self.now);
        let coordinator_first = self.pump_transactions();
        if self.unfinished == 0 {
            self.flushing = self.closing;
        } else if !coordinator_first {
            if self.transactions.is_none() && self.config.idempotence {
                self.begin_epoch();
                self.ask_producer_id();
            }
            if !self.config.idempotence || self.identity.known().is_some() {
                self.send_ready();
            }
        }
        if self.is_closed() {
            self.network.close();
        }
        self.wake = self.next_due();
    }

    /// Begins another epoch if partitions need one. Their batches go under it, with sequences from 0 on; others
    /// keep to the old epoch until all that has a sequence there is settled.
    fn begin_epoch(&mut self) {
        if self.epoch_wanted.is_empty() {
            return;
        }
        if self.identity.known().is_some() {
            self.identity.bump();
        }
        let identity = self.identity.known();
        for at in core::mem::take(&mut self.epoch_wanted) {
            self.queue(&at).start_over(identity);
        }
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
            let mut by_leader: BTreeMap<i32, Vec<(TopicPartition, usize)>> = BTreeMap::new();
            for (topic, queue) in &self.topics {
                for (partition, queue) in (0..).zip(&queue.partitions) {
                    let Some(index) = self.ready_batch(topic, partition, queue) else { continue };
                    match self.network.cluster.leader(topic, partition) {
                        Some(leader) => {
                            let at = TopicPartition::new(topic.clone(), partition);
                            by_leader.entry(leader.leader).or_default().push((at, index));
                        }
                        None => self.network.refresh_metadata(),
                    }
                }
            }
            let mut sent = false;
            for (leader, batches) in by_leader {
                let target = Target::Broker(leader);
                if self.network.ready_below(self.now, target, self.config.max_in_flight) {
                    sent |= self.send_to(target, batches);
                }
            }
            if !sent {
                self.network.maybe_ask_metadata(self.now);
                return;
            }
        }
    }

    /// The batch of a partition that can be sent now.
    fn ready_batch(&self, topic: &str, partition: i32, queue: &PartitionQueue) -> Option<usize> {
        let index = queue.candidate()?;
        let batch = &queue.batches[index];
        let in_turn = self.config.max_in_flight > 1 || index == 0;
        if batch.not_before > self.now || !in_turn {
            return None;
        }
        if self.config.idempotence && !queue.may_send(index, self.identity.known()) {
            return None;
        }
        if self.transactions.as_ref().is_some_and(|transactions| !transactions.has_partition(topic, partition)) {
            return None;
        }
        let ready = batch.full
            || batch.attempts > 0
            || batch.stamp.is_some()
            || queue.batches.len() > index + 1
            || self.flushing
            || self.transactions.as_ref().is_some_and(|transactions| transactions.is_completing())
            || batch.size >= u64::from(self.config.batch_size)
            || batch.created + self.config.linger <= self.now
            || self.buffered * 10 >= self.config.buffer_memory * 9;
        ready.then_some(index)
    }

    /// Sends one request with a batch of each partition. True if one was sent.
    fn send_to(&mut self, target: Target, batches: Vec<(TopicPartition, usize)>) -> bool {
        let ids_known = batches.iter().all(|(at, _)| !self.network.cluster.topic_id(&at.topic).is_zero());
        // From version 13 on topics go by id; from 12 on a partition is added to its transaction implicitly.
        let by_version = if ids_known { 13 } else { 12 };
        let explicit = self.transactions.as_ref().is_some_and(|transactions| !transactions.adds_implicitly());
        let cap = if explicit { 11 } else { by_version };
        let Some(version) = self.network.version::<ProduceRequest>(target, cap) else {
            for (at, _) in batches {
                while let Some(batch) = self.queue(&at).batches.pop_front() {
                    self.fail(&at, batch, ClientError::Unsupported(ProduceRequest::NAME), false);
                }
            }
            return false;
        };
        let identity = self.identity.known();
        let (codec, transactional) = (self.config.compression, self.transactions.is_some());
        let mut request = ProduceRequest::default();
        request.transactional_id = self.transactions.as_ref().map(|transactions| transactions.id());
        request.acks = self.config.acks.code();
        request.timeout_ms = self.config.client.request_timeout.as_millis() as i32;
        let mut sent: Vec<Sent> = Vec::new();
        let mut bytes = 0;
        for (at, index) in batches {
            let size = self.queue(&at).batches[index].size;
            if !sent.is_empty() && bytes + size > u64::from(self.config.max_request_size) {
                break;
            }
            bytes += size;
            let batch = self.queue(&at).begin_sending(index, identity);
            let mut data = PartitionProduceData::default();
            data.index = at.partition;
            data.records = Some(batch.encode(codec, transactional));
            let batch = batch.id;
            self.put_into(&mut request, version, &at.topic, data);
            sent.push(Sent { at, batch });
        }
        if self.config.acks == Acks::None {
            let result = self.network.send_and_forget(target, version, &request);
            for sent in sent {
                if let Some(batch) = self.take(&sent) {
                    self.finish(&sent.at, batch, result.clone().map(|()| (-1, -1)));
                }
            }
        } else if let Err(error) =
            self.network.send(self.now, target, version, &request, Purpose::Produce(sent.clone()))
        {
            self.fail_sent(sent, &error);
        }
        true
    }

    fn put_into(&self, request: &mut ProduceRequest, version: i16, topic: &str, data: PartitionProduceData) {
        let id = if version >= 13 { self.network.cluster.topic_id(topic) } else { Uuid::ZERO };
        let name = if version >= 13 { "" } else { topic };
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

    pub(super) fn produced(&mut self, sent: Vec<Sent>, version: i16, frame: Bytes) {
        let response = match decode_response::<ProduceResponse>(frame, version) {
            Ok((_, response)) => response,
            Err(error) => return self.fail_sent(sent, &ClientError::BadResponse(error.to_string())),
        };
        for sent in sent {
            let id = self.network.cluster.topic_id(&sent.at.topic);
            let same = |name: &StrBytes, topic_id: Uuid| {
                if version >= 13 { topic_id == id } else { name.as_bytes() == sent.at.topic.as_bytes() }
            };
            let answers = response.responses.iter().filter(|answer| same(&answer.name, answer.topic_id));
            let mut answers = answers.flat_map(|answer| &answer.partition_responses);
            match answers.find(|answer| answer.index == sent.at.partition) {
                Some(answer) => self.settle(&sent, answer),
                // The topic was made anew meanwhile, under another id.
                None => self.not_sent(&sent, ErrorCode::UnknownTopicId),
            }
        }
    }

    pub(super) fn connection_lost(&mut self, sent: Vec<Sent>) {
        for sent in sent {
            self.not_sent(&sent, ErrorCode::NetworkException);
        }
    }

    fn not_sent(&mut self, sent: &Sent, error: ErrorCode) {
        let mut answer = PartitionProduceResponse::default();
        (answer.error_code, answer.log_start_offset) = (error.code(), -1);
        self.settle(sent, &answer);
    }

    /// What an answer means for a batch. One that was given up meanwhile is no longer there.
    fn settle(&mut self, sent: &Sent, answer: &PartitionProduceResponse) {
        let (at, code) = (&sent.at, answer.error_code);
        let Some(index) = self.queue(at).find(sent.batch) else { return };
        self.queue(at).batches[index].under_way = false;
        if is_stale_metadata(code) {
            self.network.refresh_metadata();
        }
        let error = ErrorCode::from_code(code);
        match error {
            Some(ErrorCode::None) => self.acknowledge(at, index, answer.base_offset, answer.log_append_time_ms),
            Some(ErrorCode::MessageTooLarge) if self.queue(at).batches[index].records.len() > 1 => {
                self.split(at, index);
            }
            _ if self.may_retry(at, index, answer) => {
                let attempts = self.queue(at).batches[index].attempts;
                let not_before = self.now + self.network.backoff(attempts);
                self.queue(at).batches[index].not_before = not_before;
            }
            // It was appended before, by a request whose answer got lost.
            Some(ErrorCode::DuplicateSequenceNumber) => self.acknowledge(at, index, -1, -1),
            _ => {
                // Only a broker's own word says that the sequence was not used.
                let refused = self.queue(at).batches[index].attempts <= self.config.retries;
                if let Some(batch) = self.queue(at).batches.remove(index) {
                    self.fail(at, batch, ClientError::from_code(code), refused);
                }
            }
        }
    }

    fn acknowledge(&mut self, at: &TopicPartition, index: usize, base_offset: i64, log_append_time: i64) {
        if let Some(batch) = self.queue(at).acknowledge(index, base_offset) {
            self.finish(at, batch, Ok((base_offset, log_append_time)));
        }
    }

    fn split(&mut self, at: &TopicPartition, index: usize) {
        let Some(batch) = self.queue(at).batches.remove(index) else { return };
        let next_batch = &mut self.next_batch;
        let pieces = batch.split(u64::from(self.config.batch_size), || {
            *next_batch += 1;
            BatchId(*next_batch)
        });
        self.queue(at).replace(index, pieces);
    }

    /// Whether a batch that was refused is sent again. Asks for another epoch where its sequence calls for one.
    fn may_retry(&mut self, at: &TopicPartition, index: usize, answer: &PartitionProduceResponse) -> bool {
        let transactional = self.transactions.is_some();
        let (identity, now) = (self.identity.known(), self.now);
        let (retries, timeout) = (self.config.retries, self.config.delivery_timeout);
        let queue = self.queue(at);
        let batch = &queue.batches[index];
        if batch.attempts > retries || batch.created + timeout <= now {
            return false;
        }
        let Some(stamp) = batch.stamp else { return is_retriable(answer.error_code) };
        let restamped = batch.restamped;
        match ErrorCode::from_code(answer.error_code) {
            // The broker has forgotten the producer. Without a log start it does not know why.
            Some(ErrorCode::UnknownProducerId) if answer.log_start_offset < 0 || restamped => true,
            Some(ErrorCode::UnknownProducerId) if transactional => {
                let forgotten = queue.is_forgotten(answer.log_start_offset);
                if forgotten {
                    queue.start_over(identity);
                }
                forgotten
            }
            // A batch that is not the next one waits for those before it. If it is the next one, there is a gap.
            Some(ErrorCode::OutOfOrderSequenceNumber)
                if !queue.is_unresolved() && (restamped || !queue.is_next(stamp)) =>
            {
                true
            }
            Some(ErrorCode::OutOfOrderSequenceNumber) if transactional => false,
            Some(ErrorCode::OutOfOrderSequenceNumber) if queue.is_unresolved() && !queue.follows_unresolved(stamp) => {
                true
            }
            Some(ErrorCode::UnknownProducerId | ErrorCode::OutOfOrderSequenceNumber) => {
                self.epoch_wanted.insert(at.clone());
                true
            }
            _ => is_retriable(answer.error_code),
        }
    }

    /// Takes a batch out of its queue.
    fn take(&mut self, sent: &Sent) -> Option<Batch> {
        let queue = self.queue(&sent.at);
        let index = queue.find(sent.batch)?;
        queue.batches.remove(index)
    }

    fn fail_sent(&mut self, sent: Vec<Sent>, error: &ClientError) {
        for sent in sent {
            if let Some(batch) = self.take(&sent) {
                self.fail(&sent.at, batch, error.clone(), true);
            }
        }
    }

    /// Gives a batch up that is out of its queue. `refused`: it is known not to be in the log.
    fn fail(&mut self, at: &TopicPartition, batch: Batch, error: ClientError, refused: bool) {
        self.transaction_suffers(&error);
        if batch.stamp.is_some() {
            let transactional = self.transactions.is_some();
            match error.code() {
                Some(ErrorCode::OutOfOrderSequenceNumber) if !transactional => {
                    self.epoch_wanted.insert(at.clone());
                }
                Some(ErrorCode::UnknownProducerId) => self.queue(at).forget_sequences(),
                _ if refused && transactional => self.queue(at).close_gap(&batch),
                _ if refused => {
                    self.epoch_wanted.insert(at.clone());
                }
                _ => {}
            }
        }
        self.finish(at, batch, Err(error));
    }

    /// Gives everything up.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        self.drop_batches(error, |_| true);
    }

    /// Gives up what was never sent.
    pub(super) fn fail_unsent(&mut self, error: &ClientError) {
        self.drop_batches(error, |batch| batch.stamp.is_none());
    }

    fn drop_batches(&mut self, error: &ClientError, drops: fn(&Batch) -> bool) {
        let mut dropped: Vec<(TopicPartition, Batch)> = Vec::new();
        for (topic, queue) in &mut self.topics {
            for (_, queued) in queue.waiting.drain(..) {
                let at = TopicPartition::new(topic.clone(), queued.record.partition.unwrap_or(-1));
                dropped.push((at, Batch::new(BatchId(0), self.now, queued)));
            }
            for (partition, queue) in (0..).zip(&mut queue.partitions) {
                let (gone, kept) = core::mem::take(&mut queue.batches).into_iter().partition(drops);
                queue.batches = kept;
                let gone: std::collections::VecDeque<Batch> = gone;
                dropped.extend(gone.into_iter().map(|batch| (TopicPartition::new(topic.clone(), partition), batch)));
            }
        }
        for (at, batch) in dropped {
            self.finish(&at, batch, Err(error.clone()));
        }
    }

    fn queue(&mut self, at: &TopicPartition) -> &mut PartitionQueue {
        let topic = self.topics.get_mut(&at.topic).expect("the topic of a batch is there");
        &mut topic.partitions[at.partition as usize]
    }

    /// Fails what has waited longer than `delivery.timeout.ms`, or `max.block.ms` for metadata.
    fn expire(&mut self) {
        let now = self.now;
        let mut unplaced: Vec<(TopicPartition, Batch)> = Vec::new();
        let mut expired: Vec<(TopicPartition, Batch)> = Vec::new();
        for (topic, queue) in &mut self.topics {
            while queue.waiting.front().is_some_and(|(deadline, _)| *deadline <= now) {
                let Some((_, queued)) = queue.waiting.pop_front() else { break };
                let at = TopicPartition::new(topic.clone(), queued.record.partition.unwrap_or(-1));
                unplaced.push((at, Batch::new(BatchId(0), now, queued)));
            }
            for (partition, queue) in (0..).zip(&mut queue.partitions) {
                let late = |batch: &mut Batch| batch.created + self.config.delivery_timeout <= now;
                while let Some(batch) = queue.batches.pop_front_if(late) {
                    queue.leave_unresolved(&batch);
                    expired.push((TopicPartition::new(topic.clone(), partition), batch));
                }
            }
        }
        for (at, batch) in unplaced {
            let error = ClientError::Timeout("metadata of the topic");
            self.transaction_suffers(&error);
            self.finish(&at, batch, Err(error));
        }
        for (at, batch) in expired {
            self.fail(&at, batch, ClientError::Timeout("delivery.timeout.ms"), false);
        }
    }

    fn resolve_sequences(&mut self) {
        if !self.config.idempotence {
            return;
        }
        let mut gap = false;
        for (topic, queue) in &mut self.topics {
            for (partition, queue) in (0..).zip(&mut queue.partitions) {
                if queue.resolve() == Resolved::Gap {
                    gap = true;
                    if self.transactions.is_none() {
                        self.epoch_wanted.insert(TopicPartition::new(topic.clone(), partition));
                    }
                }
            }
        }
        if gap {
            self.transaction_has_gap();
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
        if let Some(until) = self.transactions.as_ref().and_then(|transactions| transactions.next_try())
            && until > self.now
        {
            at(until, "ask the coordinator again");
        }
        for queue in self.topics.values() {
            if let Some((deadline, _)) = queue.waiting.front() {
                at(*deadline, "a topic stays unknown");
            }
            for queue in &queue.partitions {
                if let Some(batch) = queue.batches.front() {
                    at(batch.created + self.config.delivery_timeout, "delivery.timeout.ms");
                }
                let Some(batch) = queue.candidate().map(|index| &queue.batches[index]) else { continue };
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
