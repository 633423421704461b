//! Asking a transaction coordinator whether partitions are in a transaction, or to add them to it, before
//! anything of it is appended to them.
//!
//! One request to a coordinator is under way at a time; what comes meanwhile goes together with the next.

use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use shore_wire::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, StrBytes};

use super::coordinators::Coordinator;
use super::{Broker, Parked};
use crate::api::{RequestId, text};
use crate::group::partition_for;
use crate::link::Asked;

const VERIFICATION_VERSION: i16 = 5;

/// How far a client speaks KIP-890, by the version of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionSupport {
    /// It adds partitions by itself, and knows no TRANSACTION_ABORTABLE.
    Old,
    Abortable,
    /// Its partitions are added for it.
    AddsPartitions,
}

impl TransactionSupport {
    pub fn adds_partitions(self) -> bool {
        self == Self::AddsPartitions
    }
}

/// Why partitions could not be verified; the others were.
pub(crate) type Unverified = BTreeMap<(Arc<str>, i32), ErrorCode>;

/// A request that waits until its partitions are verified.
#[derive(Clone, Debug)]
pub(crate) struct Verification {
    pub request: RequestId,
    pub transactional_id: StrBytes,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub support: TransactionSupport,
    pub partitions: Vec<(Arc<str>, i32)>,
}

/// By coordinator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verifications {
    waiting: BTreeMap<i32, Vec<Verification>>,
    under_way: BTreeSet<i32>,
}

impl Broker {
    /// [`Broker::verified`] follows.
    pub fn verify(&mut self, verification: Verification) {
        let partition = partition_for(&verification.transactional_id, self.partition_count(Coordinator::Transactions));
        let leader = self
            .internal_partition(Coordinator::Transactions, partition)
            .and_then(|id| self.image.partition(id.topic, id.partition))
            .map(|record| record.leader)
            .filter(|leader| self.image.brokers.contains_key(leader));
        let Some(coordinator) = leader else {
            return self.verified(&verification, verification.all(ErrorCode::CoordinatorNotAvailable));
        };
        let waiting = self.verifications.waiting.entry(coordinator).or_default();
        // One request per transaction: the newer epoch stays, and a retry replaces what it repeats.
        if let Some(at) = waiting.iter().position(|other| other.transactional_id == verification.transactional_id) {
            let known = waiting[at].producer_epoch;
            if verification.producer_epoch < known {
                return self.verified(&verification, verification.all(ErrorCode::InvalidProducerEpoch));
            }
            let error = if known < verification.producer_epoch {
                ErrorCode::InvalidProducerEpoch
            } else {
                ErrorCode::NetworkException
            };
            let replaced = std::mem::replace(&mut waiting[at], verification);
            self.verified(&replaced, replaced.all(error));
        } else {
            waiting.push(verification);
        }
        self.send_verifications(coordinator);
    }

    fn send_verifications(&mut self, coordinator: i32) {
        if self.verifications.under_way.contains(&coordinator) {
            return;
        }
        let Some(waiting) = self.verifications.waiting.remove(&coordinator) else { return };
        self.verifications.under_way.insert(coordinator);
        let mut request = AddPartitionsToTxnRequest::default();
        request.transactions = waiting.iter().map(Verification::to_wire).collect();
        let node = self.id();
        self.peers.to(coordinator).send(node, VERIFICATION_VERSION, &request, Asked::Verification(waiting));
    }

    pub(super) fn verification_answered(
        &mut self,
        coordinator: i32,
        version: i16,
        response: Bytes,
        asked: Vec<Verification>,
    ) {
        self.verifications.under_way.remove(&coordinator);
        let response = frame::decode_response::<AddPartitionsToTxnResponse>(response, version);
        let results = response.map(|(_, response)| response.results_by_transaction).unwrap_or_default();
        for verification in asked {
            let mut unverified = verification.all(ErrorCode::NetworkException);
            let result = results.iter().find(|result| result.transactional_id == verification.transactional_id);
            for topic in result.iter().flat_map(|result| &result.topic_results) {
                let name: Arc<str> = topic.name.as_str().into();
                for partition in &topic.results_by_partition {
                    let key = (name.clone(), partition.partition_index);
                    match ErrorCode::from_code(partition.partition_error_code) {
                        Some(ErrorCode::None) => drop(unverified.remove(&key)),
                        error => {
                            let error = error.unwrap_or(ErrorCode::UnknownServerError);
                            unverified.insert(key, verification.known_error(error));
                        }
                    }
                }
            }
            self.verified(&verification, unverified);
        }
        self.send_verifications(coordinator);
    }

    /// The request goes on with those partitions that were verified.
    fn verified(&mut self, verification: &Verification, unverified: Unverified) {
        match self.parked.get(&verification.request) {
            Some(Parked::UnverifiedProduce(_)) => self.produce_verified(verification.request, unverified),
            Some(Parked::UnverifiedOffsets(_)) => {
                self.offsets_verified(verification.request, unverified.into_values().next());
            }
            _ => {}
        }
    }
}

impl Verification {
    fn all(&self, error: ErrorCode) -> Unverified {
        self.partitions.iter().map(|partition| (partition.clone(), error)).collect()
    }

    /// What clients of this kind expect to be told.
    fn known_error(&self, error: ErrorCode) -> ErrorCode {
        match error {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::TransactionAbortable if self.support == TransactionSupport::Old => ErrorCode::InvalidTxnState,
            other => other,
        }
    }

    fn to_wire(&self) -> AddPartitionsToTxnTransaction {
        let mut transaction = AddPartitionsToTxnTransaction::default();
        transaction.transactional_id = self.transactional_id.clone();
        transaction.producer_id = self.producer_id;
        transaction.producer_epoch = self.producer_epoch;
        transaction.verify_only = !self.support.adds_partitions();
        for (topic, partition) in &self.partitions {
            match transaction.topics.iter_mut().find(|known| known.name.as_str() == &**topic) {
                Some(known) => known.partitions.push(*partition),
                None => {
                    let mut named = AddPartitionsToTxnTopic::default();
                    named.name = text(topic);
                    named.partitions.push(*partition);
                    transaction.topics.push(named);
                }
            }
        }
        transaction
    }
}
