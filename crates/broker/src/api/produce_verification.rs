//! Before Produce appends the first batch of a transaction to a partition, the transaction's coordinator
//! is asked for it.

use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_base::{Duration, Instant};
use shore_log::VerificationGuard;
use shore_wire::batch::BatchView;
use shore_wire::error::ErrorCode;
use shore_wire::messages::ProduceRequest;

use super::k00_produce::{batches_of, check_batch, produce};
use super::{RequestContext, RequestId, Served, from_wire};
use crate::broker::{Broker, Parked, Timer, TransactionSupport, Unverified, Verification};
use crate::replica::PartitionId;

/// What is known of the partitions that begin a transaction: a guard to append with, none where the
/// transaction is open there already, or why nothing may be appended.
pub(super) type Verified = BTreeMap<PartitionId, Result<Option<VerificationGuard>, (ErrorCode, Option<String>)>>;

/// A Produce request whose partitions have to be verified.
#[derive(Clone, Debug)]
pub(crate) struct UnverifiedProduce {
    pub ctx: RequestContext,
    pub request: ProduceRequest,
    pub started: Instant,
    /// What this broker found by itself, and the guards that wait for the coordinator's word.
    pub known: Verified,
}

/// A partition with a transactional batch that can be appended as far as the request goes.
pub(super) struct Begun {
    id: PartitionId,
    topic: Arc<str>,
    producer: (i64, i16),
    base_sequence: i32,
}

/// The partitions that a transactional request writes to. All of them must be of one producer.
pub(super) fn begins_transactions(
    broker: &Broker,
    ctx: &RequestContext,
    request: &ProduceRequest,
) -> Result<Vec<Begun>, (ErrorCode, &'static str)> {
    let mut begun: Vec<Begun> = Vec::new();
    if request.transactional_id.is_none() || !batches_of(request).any(|batch| batch.is_transactional()) {
        return Ok(begun);
    }
    for data in &request.topic_data {
        let Ok(topic) = broker.find_topic(ctx, &data.name, from_wire(data.topic_id)) else { continue };
        let name = &broker.image.topics[&topic].name;
        for partition in &data.partition_data {
            let records = partition.records.as_deref().unwrap_or_default();
            let Ok(batch) = BatchView::parse(records) else { continue };
            let is_there = broker.image.partition(topic, partition.index).is_some();
            let is_right = check_batch(ctx, records).is_ok();
            if is_there && is_right && batch.is_transactional() && batch.producer_id() >= 0 {
                begun.push(Begun {
                    id: PartitionId { topic, partition: partition.index },
                    topic: name.clone(),
                    producer: (batch.producer_id(), batch.producer_epoch()),
                    base_sequence: batch.base_sequence(),
                });
            }
        }
    }
    match begun.iter().all(|other| other.producer == begun[0].producer) {
        true => Ok(begun),
        false => {
            Err((ErrorCode::InvalidProducerIdMapping, "Transactional records contained more than one producer ID"))
        }
    }
}

fn support(version: i16) -> TransactionSupport {
    match version {
        12.. => TransactionSupport::AddsPartitions,
        11 => TransactionSupport::Abortable,
        _ => TransactionSupport::Old,
    }
}

impl Broker {
    /// Asks for what this broker does not know by itself, or appends at once if it knows all.
    pub(super) fn verify_produce(&mut self, mut parked: UnverifiedProduce) -> Served {
        let support = support(parked.ctx.api_version);
        let begun = begins_transactions(self, &parked.ctx, &parked.request).unwrap_or_default();
        let is_wanted = support.adds_partitions() || self.settings.flag("transaction.partition.verification.enable");
        let wall = self.wall;
        let mut partitions = Vec::new();
        let mut producer = None;
        for begun in begun.into_iter().filter(|_| is_wanted) {
            let (producer_id, epoch) = begun.producer;
            let (sequence, adds) = (begun.base_sequence, support.adds_partitions());
            let result = self.leading(begun.id).map(|_| ()).and_then(|()| {
                let replica = self.replicas.get_soft(begun.id).ok_or(ErrorCode::NotLeaderOrFollower)?;
                replica.log.begin_verification(producer_id, epoch, sequence, adds, wall).map_err(|refused| refused.code)
            });
            if let Ok(Some(_)) = result {
                partitions.push((begun.topic, begun.id.partition));
                producer = Some(begun.producer);
            }
            parked.known.insert(begun.id, result.map_err(|error| (error, None)));
        }
        let Some((producer_id, producer_epoch)) = producer else {
            return produce(self, parked.ctx, &parked.request, &parked.known);
        };
        let request = parked.ctx.id;
        let transactional_id = parked.request.transactional_id.clone().unwrap_or_default();
        self.parked.insert(request, Parked::UnverifiedProduce(parked));
        self.hold(request, true);
        self.verify(Verification { request, transactional_id, producer_id, producer_epoch, support, partitions });
        Served::Parked
    }

    /// The coordinator has spoken: the request goes on, or asks once more.
    pub(crate) fn produce_verified(&mut self, request: RequestId, unverified: Unverified) {
        let Some(Parked::UnverifiedProduce(mut parked)) = self.parked.remove(&request) else { return };
        let support = support(parked.ctx.api_version);
        // The end of the transaction before is under way: it is usually over before the client would be
        // back.
        let is_concurrent = unverified.values().any(|error| *error == ErrorCode::ConcurrentTransactions);
        if support.adds_partitions() && is_concurrent && self.now.since(parked.started) < self.retry_time() {
            let backoff = self.settings.millis("add.partitions.to.txn.retry.backoff.ms");
            self.set_timer(self.now + backoff, Timer::Request(request));
            self.parked.insert(request, Parked::UnverifiedProduce(parked));
            return;
        }
        for ((topic, partition), error) in unverified {
            let Some(topic) = self.image.topic_id(&topic) else { continue };
            parked.known.insert(PartitionId { topic, partition }, Err(append_error(error, support)));
        }
        let served = produce(self, parked.ctx, &parked.request, &parked.known);
        self.hold(request, false);
        self.conclude(request, served);
    }

    pub(crate) fn verify_produce_again(&mut self, request: RequestId) {
        let Some(Parked::UnverifiedProduce(mut parked)) = self.parked.remove(&request) else { return };
        parked.known.clear();
        match self.verify_produce(parked) {
            Served::Parked => {}
            served => {
                self.hold(request, false);
                self.conclude(request, served);
            }
        }
    }

    fn retry_time(&self) -> Duration {
        let most = self.settings.millis("add.partitions.to.txn.retry.backoff.max.ms");
        most.min(self.settings.millis("request.timeout.ms"))
    }
}

/// A coordinator's error as one of Produce's. Old clients do not come back for those that pass.
fn append_error(error: ErrorCode, support: TransactionSupport) -> (ErrorCode, Option<String>) {
    match error {
        ErrorCode::InvalidTxnState => (error, Some("Partition was not added to the transaction".to_owned())),
        ErrorCode::ConcurrentTransactions if support.adds_partitions() => (error, None),
        ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        | ErrorCode::ConcurrentTransactions => {
            let message = "Unable to verify the partition has been added to the transaction. Underlying error";
            (ErrorCode::NotEnoughReplicas, Some(format!("{message}: {}", error.name())))
        }
        _ => (error, None),
    }
}
