//! What a coordinator's answers mean, as Kafka's `TransactionManager` takes them.

use bytes::Bytes;
use core::time::Duration;
use shore_base::Instant;
use shore_wire::error::ErrorCode;
use shore_wire::frame::decode_response;
use shore_wire::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnResponse, FindCoordinatorResponse,
    InitProducerIdResponse, TxnOffsetCommitResponse,
};

use super::super::Producer;
use super::super::sender::Identity;
use super::{Adding, Question, TransactionState, Transactions};
use crate::cluster::TopicPartition;
use crate::error::ClientError;

/// How soon the first partition of a transaction is tried again while the last transaction still ends.
const ADD_PARTITIONS_BACKOFF: Duration = Duration::from_millis(20);

/// What an error means for the question and its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Ask again after `retry.backoff.ms`.
    Retry,
    /// The coordinator is elsewhere: find it, and ask again.
    Elsewhere,
    /// The transaction has to be aborted.
    Abortable,
    /// It has to be aborted if the epoch can be bumped; else the producer is of no use any more.
    Recoverable,
    /// The id is not ours to use; it may be asked for again.
    Denied,
    Fatal,
}

fn verdict(question: &Question, code: ErrorCode) -> Verdict {
    use ErrorCode::*;
    use Question::*;
    let is_init = matches!(question, InitProducerId | BumpEpoch(..));
    match (code, question) {
        (CoordinatorNotAvailable | NotCoordinator, question) if !question.finds_coordinator() => Verdict::Elsewhere,
        (RequestTimedOut, CommitOffsets(_)) => Verdict::Elsewhere,
        _ if code.is_retriable() => Verdict::Retry,
        (TransactionalIdAuthorizationFailed | ClusterAuthorizationFailed, _) if is_init => Verdict::Denied,
        (UnknownProducerId, AddPartitions | AddOffsets(_) | End { .. }) => Verdict::Recoverable,
        // Aborting again would come to the same.
        (TransactionAbortable, End { commit: false, .. }) => Verdict::Fatal,
        (TransactionAbortable, _) => Verdict::Abortable,
        (GroupAuthorizationFailed, FindGroupCoordinator(_) | AddOffsets(_) | CommitOffsets(_)) => Verdict::Abortable,
        (FencedInstanceId | UnknownMemberId | IllegalGeneration, CommitOffsets(_)) => Verdict::Abortable,
        (
            InvalidProducerEpoch
            | ProducerFenced
            | TransactionalIdAuthorizationFailed
            | InvalidTxnState
            | InvalidProducerIdMapping,
            AddPartitions,
        ) => Verdict::Fatal,
        // A partition that could not be added.
        (_, AddPartitions) => Verdict::Abortable,
        _ => Verdict::Fatal,
    }
}

impl Producer {
    /// No answer will come: the connection is gone.
    pub(in crate::producer) fn question_lost(&mut self, question: Question) {
        let not_before = self.now + self.config.client.retry_backoff;
        let Some(transactions) = self.transactions_awaiting() else { return };
        if !question.finds_coordinator() {
            transactions.find_coordinator_of(&question, Instant::ZERO);
        }
        transactions.ask(question, not_before);
    }

    pub(in crate::producer) fn question_answered(&mut self, question: Question, version: i16, frame: Bytes) {
        if self.transactions_awaiting().is_none() {
            return;
        }
        let read = match &question {
            Question::FindCoordinator | Question::FindGroupCoordinator(_) => {
                self.coordinator_found(&question, version, frame)
            }
            Question::InitProducerId | Question::BumpEpoch(..) => self.id_given(&question, version, frame),
            Question::AddPartitions => self.partitions_added(version, frame),
            Question::AddOffsets(_) => self.offsets_added(&question, version, frame),
            Question::CommitOffsets(_) => self.offsets_committed(&question, version, frame),
            Question::End { .. } => self.end_written(&question, version, frame),
        };
        if let Err(error) = read {
            self.transactions_fail(error);
        }
    }

    /// The one question under way is settled. `None` if nothing depends on its answer any more.
    fn transactions_awaiting(&mut self) -> Option<&mut Transactions> {
        let transactions = self.transactions.as_mut()?;
        transactions.under_way = false;
        (!matches!(transactions.state, TransactionState::FatalError(_))).then_some(transactions)
    }

    fn coordinator_found(&mut self, question: &Question, version: i16, frame: Bytes) -> Result<(), ClientError> {
        let mut response = answer::<FindCoordinatorResponse>(version, frame)?;
        let (code, node) = match response.coordinators.pop() {
            Some(coordinator) => (coordinator.error_code, coordinator.node_id),
            None => (response.error_code, response.node_id),
        };
        if code != 0 {
            self.refused(question, code);
            return Ok(());
        }
        if let Some(transactions) = &mut self.transactions {
            match question {
                Question::FindGroupCoordinator(_) => transactions.group_coordinator = Some(node),
                _ => transactions.coordinator = Some(node),
            }
        }
        if !self.network.cluster.brokers.contains_key(&node) {
            self.network.refresh_metadata();
        }
        Ok(())
    }

    fn id_given(&mut self, question: &Question, version: i16, frame: Bytes) -> Result<(), ClientError> {
        let response = answer::<InitProducerIdResponse>(version, frame)?;
        if response.error_code != 0 {
            self.refused(question, response.error_code);
            return Ok(());
        }
        self.identity = Identity::Known { producer_id: response.producer_id, epoch: response.producer_epoch };
        let features = self.network.features();
        if let Some(transactions) = &mut self.transactions {
            transactions.become_state(TransactionState::Ready);
            if *question == Question::InitProducerId {
                transactions.learn_version(features, true);
            }
        }
        self.end_call(Ok(()));
        Ok(())
    }

    fn partitions_added(&mut self, version: i16, frame: Bytes) -> Result<(), ClientError> {
        let response = answer::<AddPartitionsToTxnResponse>(version, frame)?;
        let results = response.results_by_topic_v3_and_below.iter();
        let codes = results.flat_map(|topic| &topic.results_by_partition).map(|result| result.partition_error_code);
        let mut failed = None;
        for code in codes.filter(|code| *code != 0) {
            let decides = ErrorCode::from_code(code).is_none_or(|code| {
                !matches!(verdict(&Question::AddPartitions, code), Verdict::Abortable)
                    || code == ErrorCode::TransactionAbortable
            });
            if decides {
                self.refused(&Question::AddPartitions, code);
                return Ok(());
            }
            // Others were not attempted because of one: that one is the reason.
            if failed.is_none_or(|failed| failed == ErrorCode::OperationNotAttempted.code()) {
                failed = Some(code);
            }
        }
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        match failed {
            Some(code) => self.transaction_is_abortable(ClientError::from_code(code)),
            None => {
                for adding in transactions.partitions.values_mut().filter(|adding| **adding == Adding::Asked) {
                    *adding = Adding::Added;
                }
                transactions.started = true;
            }
        }
        Ok(())
    }

    fn offsets_added(&mut self, question: &Question, version: i16, frame: Bytes) -> Result<(), ClientError> {
        let response = answer::<AddOffsetsToTxnResponse>(version, frame)?;
        if response.error_code != 0 {
            self.refused(question, response.error_code);
        } else if let (Some(transactions), Question::AddOffsets(group)) = (&mut self.transactions, question) {
            transactions.started = true;
            transactions.ask(Question::CommitOffsets(group.clone()), Instant::ZERO);
        }
        Ok(())
    }

    fn offsets_committed(&mut self, question: &Question, version: i16, frame: Bytes) -> Result<(), ClientError> {
        let response = answer::<TxnOffsetCommitResponse>(version, frame)?;
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        let mut again = None;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                match ErrorCode::from_code(partition.error_code) {
                    Some(ErrorCode::None) => {
                        transactions.offsets.remove(&at);
                    }
                    Some(code) if verdict(question, code) == Verdict::Elsewhere => again = Some(code),
                    Some(code) if verdict(question, code) == Verdict::Retry => again = again.or(Some(code)),
                    _ => {
                        transactions.offsets.clear();
                        self.refused(question, partition.error_code);
                        return Ok(());
                    }
                }
            }
        }
        match again {
            _ if transactions.offsets.is_empty() => self.end_call(Ok(())),
            Some(code) => self.refused(question, code.code()),
            None => self.refused(question, ErrorCode::NetworkException.code()),
        }
        Ok(())
    }

    fn end_written(&mut self, question: &Question, version: i16, frame: Bytes) -> Result<(), ClientError> {
        let response = answer::<EndTxnResponse>(version, frame)?;
        if response.error_code != 0 {
            self.refused(question, response.error_code);
            return Ok(());
        }
        if response.producer_id >= 0 {
            self.identity = Identity::Known { producer_id: response.producer_id, epoch: response.producer_epoch };
        }
        self.transaction_ended();
        Ok(())
    }

    /// The coordinator answered with an error.
    fn refused(&mut self, question: &Question, code: i16) {
        let error = ClientError::from_code(code);
        let Some(code) = ErrorCode::from_code(code) else { return self.transactions_fail(error) };
        let mut backoff = self.config.client.retry_backoff;
        let Some(transactions) = &mut self.transactions else { return };
        let verdict = verdict(question, code);
        match verdict {
            Verdict::Retry | Verdict::Elsewhere => {
                let is_first = transactions.partitions.values().all(|adding| *adding != Adding::Added);
                if code == ErrorCode::ConcurrentTransactions && *question == Question::AddPartitions && is_first {
                    backoff = backoff.min(ADD_PARTITIONS_BACKOFF);
                }
                if verdict == Verdict::Elsewhere {
                    transactions.find_coordinator_of(question, Instant::ZERO);
                }
                transactions.ask(question.clone(), self.now + backoff);
            }
            Verdict::Abortable => self.question_fails(question, error),
            Verdict::Recoverable => {
                self.abortable_if_recoverable(error.clone());
                self.end_failed_call(question, error);
            }
            Verdict::Denied => {
                self.question_fails(question, error);
                if let Some(transactions) = &mut self.transactions {
                    transactions.become_state(TransactionState::Uninitialized);
                }
            }
            Verdict::Fatal => self.transactions_fail(match code {
                // Old coordinators say the one, newer ones the other.
                ErrorCode::InvalidProducerEpoch => ClientError::Broker(ErrorCode::ProducerFenced),
                _ => error,
            }),
        }
    }

    fn question_fails(&mut self, question: &Question, error: ClientError) {
        self.transaction_is_abortable(error.clone());
        self.end_failed_call(question, error);
    }

    fn end_failed_call(&mut self, question: &Question, error: ClientError) {
        if question.answers_call() {
            self.end_call(Err(error));
        }
    }
}

fn answer<M: shore_wire::messages::KafkaMessage + shore_wire::messages::KafkaResponse>(
    version: i16,
    frame: Bytes,
) -> Result<M, ClientError> {
    let (_, response) =
        decode_response::<M>(frame, version).map_err(|error| ClientError::BadResponse(error.to_string()))?;
    Ok(response)
}
