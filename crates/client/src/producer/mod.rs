//! A producer: batches per partition, sent by leader, retried in order, each record once.

mod batch;
mod partitioner;
mod queue;
mod sender;
mod transactions;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Instant, Random};
use shore_wire::compress::Codec;

pub use partitioner::{murmur2, partition_for_key};
pub use transactions::{TransactionCall, TransactionError, TransactionState};

use crate::cluster::{Cluster, TopicPartition};
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::io::{Input, Output};
use crate::network::{Arrival, Network};
use batch::{Batch, BatchId, Queued};
use partitioner::Sticky;
use queue::PartitionQueue;
use sender::{Identity, Sent};
use transactions::{Question, Transactions};

/// How many replicas must have a record before it counts as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    All,
    Leader,
    None,
}

impl Acks {
    pub const fn code(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Leader => "1",
            Self::None => "0",
        })
    }
}

/// What a producer can be told. Defaults are those of Kafka's Java producer.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    pub client: ClientConfig,
    pub acks: Acks,
    /// `enable.idempotence`. Needs `acks` of all and at most 5 in flight, as in Kafka.
    pub idempotence: bool,
    pub batch_size: u32,
    pub linger: Duration,
    /// `max.in.flight.requests.per.connection`.
    pub max_in_flight: u32,
    pub max_request_size: u32,
    pub buffer_memory: u64,
    pub compression: Codec,
    pub delivery_timeout: Duration,
    pub retries: u32,
    /// How long a record may wait for its topic's metadata.
    pub max_block: Duration,
    /// `transactional.id`. Needs idempotence. A producer that has one sends in transactions only.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`: the coordinator aborts a transaction that is open for longer.
    pub transaction_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            acks: Acks::All,
            idempotence: true,
            batch_size: 16_384,
            linger: Duration::from_millis(5),
            max_in_flight: 5,
            max_request_size: 1_048_576,
            buffer_memory: 33_554_432,
            compression: Codec::None,
            delivery_timeout: Duration::from_secs(120),
            retries: i32::MAX as u32,
            max_block: Duration::from_secs(60),
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
        }
    }
}

/// A record to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub partition: Option<i32>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Numbers the records of a producer, in the order of `send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendId(pub u64);

/// What became of records.
#[derive(Clone, Debug, PartialEq)]
pub enum ProducerEvent {
    /// The record `records[i]` is at `base_offset + i`. `base_offset` is -1 where the broker did not say:
    /// with `acks=0`, or for a batch that it had already.
    Delivered {
        topic: String,
        partition: i32,
        base_offset: i64,
        log_append_time: i64,
        records: Vec<SendId>,
    },
    Failed {
        topic: String,
        partition: i32,
        error: ClientError,
        records: Vec<SendId>,
    },
    /// What the owner asked for has come to its end. After an error [`Producer::transaction_state`] says how it
    /// goes on.
    Transaction {
        call: TransactionCall,
        result: Result<(), ClientError>,
    },
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// `buffer.memory` is used up: try again after some deliveries.
    BufferFull,
    /// More than `max.request.size`.
    TooLarge {
        size: u64,
        limit: u64,
    },
    /// A partition below 0.
    BadPartition(i32),
    /// No transaction is open, or it has to be aborted.
    Transaction(TransactionError),
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferFull => f.write_str("the producer's buffer is full"),
            Self::TooLarge { size, limit } => write!(f, "a record of {size} bytes; a request holds {limit}"),
            Self::BadPartition(partition) => write!(f, "there is no partition {partition}"),
            Self::Transaction(error) => error.fmt(f),
            Self::Closed => f.write_str("the producer is closed"),
        }
    }
}

impl std::error::Error for SendError {}

/// A producer. Drive it so: one call or [`Producer::handle`], then [`Producer::poll`] until it returns
/// `None`, then sleep until [`Producer::next_wake`].
#[derive(Clone)]
pub struct Producer {
    config: ProducerConfig,
    network: Network<Purpose>,
    topics: BTreeMap<String, TopicQueue>,
    identity: Identity,
    /// Partitions whose sequences have to begin anew under another epoch.
    epoch_wanted: BTreeSet<TopicPartition>,
    transactions: Option<Transactions>,
    random: Random,
    events: VecDeque<ProducerEvent>,
    now: Instant,
    next_id: u64,
    next_batch: u64,
    /// Bytes of records that are neither delivered nor failed.
    buffered: u64,
    /// Records that are neither delivered nor failed.
    unfinished: u64,
    flushing: bool,
    closing: bool,
    /// Something may be sent now.
    stirred: bool,
    wake: Option<(Instant, &'static str)>,
}

/// What a response is for.
#[derive(Clone, Debug)]
enum Purpose {
    InitProducerId,
    Produce(Vec<Sent>),
    Transaction(Question),
}

/// Records of one topic that are not delivered yet.
#[derive(Clone, Debug, Default)]
struct TopicQueue {
    /// Records for which the number of partitions is needed first.
    waiting: VecDeque<(Instant, Queued)>,
    partitions: Vec<PartitionQueue>,
    sticky: Sticky,
}

impl Producer {
    pub fn new(config: ProducerConfig) -> Self {
        assert!(
            !config.idempotence || (config.acks == Acks::All && config.max_in_flight <= 5),
            "idempotence needs acks=all and at most 5 requests in flight"
        );
        let transactions = config.transactional_id.as_deref().map(|id| {
            assert!(config.idempotence, "transactions need idempotence");
            Transactions::new(id, config.transaction_timeout)
        });
        Self {
            network: Network::new(config.client.clone(), "producer network"),
            random: Random::stream(config.client.seed, "partitioner"),
            identity: Identity::None,
            epoch_wanted: BTreeSet::new(),
            transactions,
            config,
            topics: BTreeMap::new(),
            events: VecDeque::new(),
            now: Instant::ZERO,
            next_id: 0,
            next_batch: 0,
            buffered: 0,
            unfinished: 0,
            flushing: false,
            closing: false,
            stirred: false,
            wake: None,
        }
    }

    /// Takes a record to send. What becomes of it is an event.
    pub fn send(&mut self, now: Instant, topic: &str, record: Record) -> Result<SendId, SendError> {
        self.now = now;
        if self.closing {
            return Err(SendError::Closed);
        }
        if let Some(partition) = record.partition.filter(|partition| *partition < 0) {
            return Err(SendError::BadPartition(partition));
        }
        self.may_send_in_transaction().map_err(SendError::Transaction)?;
        let id = SendId(self.next_id);
        let queued = Queued::new(id, record);
        let size = batch::OVERHEAD + queued.size;
        if size > u64::from(self.config.max_request_size) {
            return Err(SendError::TooLarge { size, limit: u64::from(self.config.max_request_size) });
        }
        if self.buffered + queued.size > self.config.buffer_memory {
            return Err(SendError::BufferFull);
        }
        self.next_id += 1;
        self.unfinished += 1;
        self.buffered += queued.size;
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), TopicQueue::default());
            self.network.want_topic(topic);
        }
        if let Some(queued) = self.place(topic, queued) {
            let queue = self.topics.get_mut(topic).expect("just added");
            queue.waiting.push_back((now + self.config.max_block, queued));
        }
        self.stirred = true;
        Ok(id)
    }

    /// Sends what it holds without waiting for `linger`. Done when [`Producer::unfinished`] is 0.
    pub fn flush(&mut self, now: Instant) {
        self.now = now;
        self.flushing = true;
        self.stirred = true;
    }

    /// Takes no more records, sends what it holds, aborts the transaction that is open, then hangs up.
    pub fn close(&mut self, now: Instant) {
        self.closing = true;
        self.flush(now);
    }

    /// Whether it was closed, if not done yet.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether it was closed and is done.
    pub fn is_closed(&self) -> bool {
        let open = self.transactions.as_ref().is_some_and(Transactions::is_ongoing);
        self.closing && self.unfinished == 0 && !open
    }

    /// Records that are neither delivered nor failed.
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }

    pub fn buffered_bytes(&self) -> u64 {
        self.buffered
    }

    pub fn cluster(&self) -> &Cluster {
        &self.network.cluster
    }

    /// The producer id and epoch, once it has them.
    pub fn producer_id(&self) -> Option<(i64, i16)> {
        self.identity.known()
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.network.handle(now, input);
        while let Some(arrival) = self.network.next_arrival() {
            match arrival {
                Arrival::Metadata => self.place_waiting(),
                Arrival::Response { what: Purpose::InitProducerId, version, frame, .. } => {
                    self.producer_id_known(version, frame);
                }
                Arrival::Failed { what: Purpose::InitProducerId, .. } => self.identity_failed(),
                Arrival::Response { what: Purpose::Produce(sent), version, frame } => {
                    self.produced(sent, version, frame);
                }
                Arrival::Failed { what: Purpose::Produce(sent) } => self.connection_lost(sent),
                Arrival::Response { what: Purpose::Transaction(question), version, frame } => {
                    self.question_answered(question, version, frame);
                }
                Arrival::Failed { what: Purpose::Transaction(question) } => self.question_lost(question),
            }
        }
        self.stirred = true;
    }

    pub fn poll(&mut self) -> Option<Output<ProducerEvent>> {
        if core::mem::take(&mut self.stirred) {
            self.pump();
        }
        self.network.poll(&mut self.events)
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        self.wake.into_iter().chain(self.network.next_wake()).min_by_key(|(at, _)| *at)
    }

    /// Gives the records of topics that are known now to their partitions.
    fn place_waiting(&mut self) {
        let topics: Vec<String> =
            self.topics.iter().filter(|(_, queue)| !queue.waiting.is_empty()).map(|(topic, _)| topic.clone()).collect();
        for topic in topics {
            let queue = self.topics.get_mut(&topic).expect("it was just there");
            let mut waiting = core::mem::take(&mut queue.waiting);
            while let Some((deadline, queued)) = waiting.pop_front() {
                if let Some(queued) = self.place(&topic, queued) {
                    waiting.push_front((deadline, queued));
                    break;
                }
            }
            self.topics.get_mut(&topic).expect("it was just there").waiting = waiting;
        }
    }

    /// Puts a record into the batch of its partition, or gives it back if the partitions are not known yet.
    fn place(&mut self, topic: &str, queued: Queued) -> Option<Queued> {
        let Self { topics, network, random, config, now, next_batch, .. } = self;
        let queue = topics.get_mut(topic)?;
        let next_id = || {
            *next_batch += 1;
            BatchId(*next_batch)
        };
        match append(queue, (&network.cluster, topic), random, config, *now, queued, next_id) {
            Ok(partition) => {
                if let Some(transactions) = &mut self.transactions {
                    transactions.add_partition(TopicPartition::new(topic, partition));
                }
                None
            }
            Err(queued) => Some(queued),
        }
    }

    fn finish(&mut self, at: &TopicPartition, batch: Batch, result: Result<(i64, i64), ClientError>) {
        self.buffered -= batch.records.iter().map(|record| record.size).sum::<u64>();
        self.unfinished -= batch.records.len() as u64;
        let records = batch.records.iter().map(|record| record.id).collect();
        let (topic, partition) = (at.topic.clone(), at.partition);
        self.events.push_back(match result {
            Ok((base_offset, log_append_time)) => {
                ProducerEvent::Delivered { topic, partition, base_offset, log_append_time, records }
            }
            Err(error) => ProducerEvent::Failed { topic, partition, error, records },
        });
    }
}

/// Puts a record into the batch of a partition, or gives it back if the partitions are not known yet.
fn append(
    queue: &mut TopicQueue,
    (cluster, topic): (&Cluster, &str),
    random: &mut Random,
    config: &ProducerConfig,
    now: Instant,
    queued: Queued,
    next_id: impl FnOnce() -> BatchId,
) -> Result<i32, Queued> {
    let Some(count) = cluster.partition_count(topic).filter(|count| *count > 0) else { return Err(queued) };
    let batch_size = u64::from(config.batch_size);
    let partition = match (queued.record.partition, &queued.record.key) {
        // A partition that is not there (yet) waits for one that is, as in Kafka.
        (Some(partition), _) if partition >= count => return Err(queued),
        (Some(partition), _) => partition,
        (None, Some(key)) => partition_for_key(key, count),
        (None, None) => {
            let mut available: Vec<i32> = (0..count).filter(|index| cluster.leader(topic, *index).is_some()).collect();
            if available.is_empty() {
                available = (0..count).collect();
            }
            let partition = queue.sticky.choose(random, &available);
            queue.sticky.appended(queued.size, batch_size);
            partition
        }
    };
    if queue.partitions.len() <= partition as usize {
        queue.partitions.resize_with(count as usize, PartitionQueue::default);
    }
    let batches = &mut queue.partitions[partition as usize].batches;
    match batches.back_mut() {
        Some(batch) if batch.takes(&queued, batch_size) => batch.push(queued),
        last => {
            if let Some(last) = last {
                last.full = true;
            }
            batches.push_back(Batch::new(next_id(), now, queued));
        }
    }
    Ok(partition)
}
