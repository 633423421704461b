//! AddPartitionsToTxn and AddOffsetsToTxn: what a transaction will write to, and whether it may.

use std::sync::Arc;

use shore_base::collections::BTreeSet;
use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use shore_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use shore_wire::messages::{AddOffsetsToTxnResponse, AddPartitionsToTxnResponse};

use super::call::TxnResponse;
use super::coordinator::TxnCoordinator;
use super::init::known_error;
use super::metadata::{Partitions, TransactionMetadata, TransactionVersion};
use super::shard::{AddReply, Effects, Shard, Then};
use super::state::TransactionState;
use crate::api::RequestId;

/// Before this version clients know no PRODUCER_FENCED.
const FENCED_VERSION: i16 = 2;
/// From this version on brokers ask, for several transactions at once.
const BATCH_VERSION: i16 = 4;

/// A response whose transactions are not all decided yet.
#[derive(Clone, Debug)]
pub(super) struct GatheredAdd {
    version: i16,
    results: Vec<AddPartitionsToTxnResult>,
    waiting: usize,
}

impl TxnCoordinator {
    /// A request in the shape of version 4 and later, whatever its version. `decided` holds the results
    /// of those transactions that were refused already.
    pub fn add_partitions(
        &mut self,
        now: Instant,
        wall: Wall,
        (request, version): (RequestId, i16),
        transactions: &[AddPartitionsToTxnTransaction],
        decided: Vec<Option<AddPartitionsToTxnResult>>,
    ) {
        self.at(now, wall);
        let waiting = decided.iter().filter(|result| result.is_none()).count();
        let undecided: Vec<usize> = (0..decided.len()).filter(|&slot| decided[slot].is_none()).collect();
        let results = decided.into_iter().zip(transactions);
        let results = results.map(|(result, asked)| result.unwrap_or_else(|| result_of(asked, |_, _| ErrorCode::None)));
        let gathered = GatheredAdd { version, results: results.collect(), waiting };
        if waiting == 0 {
            return self.fx.respond(request, gathered.response());
        }
        self.fx.gathered.insert(request, gathered);
        let client = if version >= BATCH_VERSION { TransactionVersion::V2 } else { TransactionVersion::V0 };
        for slot in undecided {
            let asked = &transactions[slot];
            let reply = AddReply::Partitions { request, slot };
            if asked.verify_only {
                let result = self.verify(asked);
                self.fx.decided(request, slot, result);
                continue;
            }
            let partitions = partitions_of(asked);
            let producer = (asked.producer_id, asked.producer_epoch);
            self.add(&asked.transactional_id, producer, &partitions, client, reply);
        }
    }

    /// The offsets of a group will be written: `partition` of `__consumer_offsets`. Only clients before
    /// KIP-890 say so.
    pub fn add_offsets(
        &mut self,
        now: Instant,
        wall: Wall,
        (request, version): (RequestId, i16),
        transactional_id: &str,
        producer: (i64, i16),
        (topic, partition): (&str, i32),
    ) {
        self.at(now, wall);
        let partitions = Partitions::from([(Arc::from(topic), BTreeSet::from([partition]))]);
        let reply = AddReply::Offsets { request, version };
        self.add(transactional_id, producer, &partitions, TransactionVersion::V0, reply);
    }

    fn add(
        &mut self,
        id: &str,
        producer: (i64, i16),
        partitions: &Partitions,
        client: TransactionVersion,
        reply: AddReply,
    ) {
        let result = if id.is_empty() {
            Err(ErrorCode::InvalidRequest)
        } else {
            self.shard_of(id).and_then(|(shard, fx)| shard.add(fx, id, producer, partitions, client, reply))
        };
        if let Err(error) = result {
            self.fx.added(reply, error);
        }
    }

    /// Whether partitions are in the transaction already. What is pending does not matter: the log looks
    /// once more when it appends.
    fn verify(&self, asked: &AddPartitionsToTxnTransaction) -> AddPartitionsToTxnResult {
        let id = asked.transactional_id.as_str();
        let found = if id.is_empty() {
            Err(ErrorCode::InvalidRequest)
        } else {
            self.peek_shard_of(id).and_then(|shard| {
                let transaction = shard.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
                transaction.metadata.check_producer((asked.producer_id, asked.producer_epoch))?;
                Ok(&transaction.metadata)
            })
        };
        result_by_partition(asked, |topic, partition| match found {
            Ok(metadata) if metadata.has(topic, partition) => ErrorCode::None,
            Ok(_) => ErrorCode::TransactionAbortable,
            Err(error) => error,
        })
    }
}

impl Shard {
    fn add(
        &mut self,
        fx: &mut Effects,
        id: &str,
        producer: (i64, i16),
        partitions: &Partitions,
        client: TransactionVersion,
        reply: AddReply,
    ) -> Result<(), ErrorCode> {
        let Some((id, transaction)) = self.transactions.get_key_value(id) else {
            return Err(ErrorCode::InvalidProducerIdMapping);
        };
        let (id, metadata) = (id.clone(), &transaction.metadata);
        // A transition may be the one that gives the producer its new id: it is waited for first.
        if transaction.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        metadata.check_producer(producer)?;
        if metadata.state == TransactionState::Ongoing && metadata.has_all(partitions) {
            fx.added(reply, ErrorCode::None);
        } else {
            let next = metadata.add_partitions(partitions, client, fx.now_ms());
            self.propose(fx, &id, next, Then::Added(reply));
        }
        Ok(())
    }
}

impl TransactionMetadata {
    fn check_producer(&self, (producer_id, epoch): (i64, i16)) -> Result<(), ErrorCode> {
        if self.producer_id != producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if self.producer_epoch != epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if self.state.is_prepared() { Err(ErrorCode::ConcurrentTransactions) } else { Ok(()) }
    }
}

impl Effects {
    /// Whoever wanted partitions to be added is told.
    pub fn added(&mut self, reply: AddReply, error: ErrorCode) {
        match reply {
            AddReply::Offsets { request, version } => {
                let mut response = AddOffsetsToTxnResponse::default();
                response.error_code = known_error(error, version, FENCED_VERSION).code();
                self.respond(request, TxnResponse::AddOffsetsToTxn(response));
            }
            AddReply::Partitions { request, slot } => {
                let Some(gathered) = self.gathered.get_mut(&request) else { return };
                let code = known_error(error, gathered.version, FENCED_VERSION).code();
                let mut result = std::mem::take(&mut gathered.results[slot]);
                for partition in result.topic_results.iter_mut().flat_map(|topic| &mut topic.results_by_partition) {
                    partition.partition_error_code = code;
                }
                self.decided(request, slot, result);
            }
        }
    }

    fn decided(&mut self, request: RequestId, slot: usize, result: AddPartitionsToTxnResult) {
        let Some(gathered) = self.gathered.get_mut(&request) else { return };
        gathered.results[slot] = result;
        gathered.waiting -= 1;
        if gathered.waiting == 0
            && let Some(done) = self.gathered.remove(&request)
        {
            self.respond(request, done.response());
        }
    }
}

impl GatheredAdd {
    fn response(self) -> TxnResponse {
        let mut response = AddPartitionsToTxnResponse::default();
        if self.version >= BATCH_VERSION {
            response.results_by_transaction = self.results;
        } else {
            response.results_by_topic_v3_and_below =
                self.results.into_iter().flat_map(|result| result.topic_results).collect();
        }
        TxnResponse::AddPartitionsToTxn(response)
    }
}

fn partitions_of(asked: &AddPartitionsToTxnTransaction) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in &asked.topics {
        partitions.entry(Arc::from(topic.name.as_str())).or_default().extend(topic.partitions.iter().copied());
    }
    partitions
}

/// As [`result_of`], where partitions have errors of their own: topics without any are left out.
pub(crate) fn result_by_partition(
    asked: &AddPartitionsToTxnTransaction,
    error: impl Fn(&str, i32) -> ErrorCode,
) -> AddPartitionsToTxnResult {
    let mut result = result_of(asked, error);
    result.topic_results.retain(|topic| !topic.results_by_partition.is_empty());
    result
}

/// One result per partition that was asked for.
fn result_of(
    asked: &AddPartitionsToTxnTransaction,
    error: impl Fn(&str, i32) -> ErrorCode,
) -> AddPartitionsToTxnResult {
    let mut result = AddPartitionsToTxnResult::default();
    result.transactional_id = asked.transactional_id.clone();
    for topic in &asked.topics {
        let mut answer = AddPartitionsToTxnTopicResult::default();
        answer.name = topic.name.clone();
        for &index in &topic.partitions {
            let mut partition = AddPartitionsToTxnPartitionResult::default();
            partition.partition_index = index;
            partition.partition_error_code = error(&topic.name, index).code();
            answer.results_by_partition.push(partition);
        }
        result.topic_results.push(answer);
    }
    result
}
