//! What a coordinator is asked, in which order, and how it is found.

use shore_base::Instant;
use shore_base::collections::BTreeMap;
use shore_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use shore_wire::messages::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use shore_wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest,
    KafkaRequest, StrBytes, TxnOffsetCommitRequest,
};

use super::super::{Producer, Purpose};
use super::{Adding, Transactions};
use crate::cluster::TopicPartition;
use crate::consumer::GroupMetadata;
use crate::error::ClientError;
use crate::network::Target;

/// A question that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub question: Question,
    pub not_before: Instant,
}

/// What a coordinator is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::producer) enum Question {
    FindCoordinator,
    FindGroupCoordinator(StrBytes),
    InitProducerId,
    AddPartitions,
    AddOffsets(GroupMetadata),
    CommitOffsets(GroupMetadata),
    /// By the protocol version with which the transaction began.
    End {
        commit: bool,
        version_2: bool,
    },
    /// InitProducerId with this id and epoch, to get the next one.
    BumpEpoch(i64, i16),
}

impl Question {
    /// Kafka's priorities: the smaller is asked first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::FindCoordinator | Self::FindGroupCoordinator(_) => 0,
            Self::InitProducerId => 1,
            Self::AddPartitions | Self::AddOffsets(_) | Self::CommitOffsets(_) => 2,
            Self::End { .. } => 3,
            Self::BumpEpoch(..) => 4,
        }
    }

    pub(super) fn finds_coordinator(&self) -> bool {
        matches!(self, Self::FindCoordinator | Self::FindGroupCoordinator(_))
    }

    /// Whether the owner's call ends with it if it fails.
    pub(super) fn answers_call(&self) -> bool {
        !self.finds_coordinator() && !matches!(self, Self::AddPartitions)
    }
}

impl Transactions {
    pub(super) fn ask(&mut self, question: Question, not_before: Instant) {
        let rank = question.rank();
        let place = self.questions.iter().position(|waiting| waiting.question.rank() > rank);
        self.questions.insert(place.unwrap_or(self.questions.len()), Waiting { question, not_before });
    }

    pub(super) fn coordinator_of(&mut self, question: &Question) -> &mut Option<i32> {
        match question {
            Question::CommitOffsets(_) => &mut self.group_coordinator,
            _ => &mut self.coordinator,
        }
    }

    /// Asks where the coordinator is whom this question is for.
    pub(super) fn find_coordinator_of(&mut self, question: &Question, not_before: Instant) {
        *self.coordinator_of(question) = None;
        let find = match question {
            Question::CommitOffsets(group) => Question::FindGroupCoordinator(StrBytes::from(group.group_id.as_str())),
            _ => Question::FindCoordinator,
        };
        if !self.questions.iter().any(|waiting| waiting.question == find) {
            self.ask(find, not_before);
        }
    }
}

impl Producer {
    /// Sends a question to whom it is for. False if that has to wait.
    pub(super) fn ask_next(&mut self, question: &Question) -> bool {
        let Some(transactions) = &mut self.transactions else { return false };
        let target = if question.finds_coordinator() {
            self.network.any_ready(self.now)
        } else if let Some(id) = *transactions.coordinator_of(question) {
            let target = Target::Broker(id);
            let ready = self.network.ready_below(self.now, target, self.config.max_in_flight);
            if !ready && self.network.is_failing(target) {
                // It may be elsewhere by now.
                let not_before = self.now + self.config.client.retry_backoff;
                transactions.find_coordinator_of(question, not_before);
                return true;
            }
            ready.then_some(target)
        } else {
            transactions.find_coordinator_of(question, Instant::ZERO);
            return true;
        };
        let Some(target) = target else { return false };
        if target_coordinates(question) {
            let newest = self.network.version::<InitProducerIdRequest>(target, i16::MAX);
            transactions.coordinator_bumps = newest.is_some_and(|version| version >= 3);
        }
        transactions.questions.remove(0);
        match self.send_question(target, question) {
            Ok(()) => {
                if let Some(transactions) = &mut self.transactions {
                    transactions.under_way = true;
                }
            }
            Err(error) => self.transactions_fail(error),
        }
        true
    }

    pub(super) fn send_question(&mut self, target: Target, question: &Question) -> Result<(), ClientError> {
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        let id = transactions.id();
        let (producer_id, producer_epoch) = self.identity.known().unwrap_or((-1, -1));
        match question {
            Question::FindCoordinator => self.send_find_coordinator(target, question, id, 1),
            Question::FindGroupCoordinator(group) => {
                let group = group.clone();
                self.send_find_coordinator(target, question, group, 0)
            }
            Question::InitProducerId | Question::BumpEpoch(..) => {
                let mut request = InitProducerIdRequest::default();
                request.transactional_id = Some(id);
                request.transaction_timeout_ms = transactions.timeout.as_millis() as i32;
                if let Question::BumpEpoch(producer_id, epoch) = *question {
                    (request.producer_id, request.producer_epoch) = (producer_id, epoch);
                }
                self.put_question(target, question, &request, 5)
            }
            Question::AddPartitions => {
                let mut request = AddPartitionsToTxnRequest::default();
                request.v3_and_below_transactional_id = id;
                request.v3_and_below_producer_id = producer_id;
                request.v3_and_below_producer_epoch = producer_epoch;
                for (at, adding) in transactions.partitions.iter_mut().filter(|(_, adding)| **adding != Adding::Added) {
                    *adding = Adding::Asked;
                    match request.v3_and_below_topics.last_mut().filter(|topic| *topic.name == *at.topic) {
                        Some(topic) => topic.partitions.push(at.partition),
                        None => {
                            let mut topic = AddPartitionsToTxnTopic::default();
                            topic.name = StrBytes::from(at.topic.as_str());
                            topic.partitions = vec![at.partition];
                            request.v3_and_below_topics.push(topic);
                        }
                    }
                }
                // Later versions are for brokers.
                self.put_question(target, question, &request, 3)
            }
            Question::AddOffsets(group) => {
                let mut request = AddOffsetsToTxnRequest::default();
                request.transactional_id = id;
                (request.producer_id, request.producer_epoch) = (producer_id, producer_epoch);
                request.group_id = StrBytes::from(group.group_id.as_str());
                self.put_question(target, question, &request, 4)
            }
            Question::CommitOffsets(group) => {
                let mut request = TxnOffsetCommitRequest::default();
                request.transactional_id = id;
                (request.producer_id, request.producer_epoch) = (producer_id, producer_epoch);
                request.group_id = StrBytes::from(group.group_id.as_str());
                request.generation_id_or_member_epoch = group.generation;
                request.member_id = StrBytes::from(group.member_id.as_str());
                request.group_instance_id = group.instance_id.as_deref().map(StrBytes::from);
                request.topics = offsets_by_topic(&transactions.offsets);
                let cap = if transactions.version_2 { 5 } else { 4 };
                self.put_question(target, question, &request, cap)
            }
            Question::End { commit, version_2 } => {
                let mut request = EndTxnRequest::default();
                request.transactional_id = id;
                (request.producer_id, request.producer_epoch) = (producer_id, producer_epoch);
                request.committed = *commit;
                self.put_question(target, question, &request, if *version_2 { 5 } else { 4 })
            }
        }
    }

    pub(super) fn send_find_coordinator(
        &mut self,
        target: Target,
        question: &Question,
        key: StrBytes,
        key_type: i8,
    ) -> Result<(), ClientError> {
        let mut request = FindCoordinatorRequest::default();
        request.key_type = key_type;
        match self.network.version::<FindCoordinatorRequest>(target, 6) {
            Some(4..) => request.coordinator_keys = vec![key],
            _ => request.key = key,
        }
        self.put_question(target, question, &request, 6)
    }

    pub(super) fn put_question<M: KafkaRequest>(
        &mut self,
        target: Target,
        question: &Question,
        request: &M,
        cap: i16,
    ) -> Result<(), ClientError> {
        let version = self.network.version::<M>(target, cap).ok_or(ClientError::Unsupported(M::NAME))?;
        self.network.send(self.now, target, version, request, Purpose::Transaction(question.clone()))
    }
}

/// Whether the answer comes from the coordinator of transactions.
fn target_coordinates(question: &Question) -> bool {
    !question.finds_coordinator() && !matches!(question, Question::CommitOffsets(_))
}

fn offsets_by_topic(offsets: &BTreeMap<TopicPartition, i64>) -> Vec<TxnOffsetCommitRequestTopic> {
    let mut topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new();
    for (at, offset) in offsets {
        let mut partition = TxnOffsetCommitRequestPartition::default();
        partition.partition_index = at.partition;
        partition.committed_offset = *offset;
        partition.committed_metadata = Some(StrBytes::from(""));
        match topics.last_mut().filter(|topic| *topic.name == *at.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                let mut topic = TxnOffsetCommitRequestTopic::default();
                topic.name = StrBytes::from(at.topic.as_str());
                topic.partitions.push(partition);
                topics.push(topic);
            }
        }
    }
    topics
}
