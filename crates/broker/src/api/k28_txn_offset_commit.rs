//! TxnOffsetCommit (28): how far a group has read, as part of a transaction. The offsets count once the
//! transaction is committed.
//!
//! v2 adds leader epochs, v3 the member, v4 knows TRANSACTION_ABORTABLE, and from v5 on the group's
//! partition is added to the transaction by the way.

use bytes::Bytes;
use shore_base::collections::join_alike;
use shore_log::VerificationGuard;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use shore_wire::messages::{StrBytes, TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::{RequestContext, RequestId, Served};
use crate::broker::{Broker, Coordinator, Parked, TransactionSupport, Verification};
use crate::group::{Producer, partition_for};

/// A request that waits for the coordinator of its transaction.
#[derive(Clone, Debug)]
pub(crate) struct UnverifiedOffsets {
    ctx: RequestContext,
    /// Without the partitions that are not there: these stand in `response`.
    request: TxnOffsetCommitRequest,
    response: TxnOffsetCommitResponse,
    guard: Option<VerificationGuard>,
}

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let mut request: TxnOffsetCommitRequest = ctx.decode_to_keep(&body)?;
    let mut response = TxnOffsetCommitResponse::default();
    for topic in &mut request.topics {
        let id = broker.image.topic_id(&topic.name);
        let name = topic.name.clone();
        // One that is not there is answered for even without partitions.
        if id.is_none() {
            topic_of(&mut response, &name);
        }
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let is_there = id.is_some_and(|id| broker.image.partition(id, index).is_some());
            if !is_there {
                add_partition(&mut response, &name, index, ErrorCode::UnknownTopicOrPartition);
            }
            is_there
        });
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    if request.topics.is_empty() {
        return Ok(Served::Answer(ctx.respond(&fit(response, ctx.api_version))));
    }
    let unverified = UnverifiedOffsets { ctx, request, response, guard: None };
    if unverified.request.group_id.is_empty() {
        return Ok(unverified.refuse(ErrorCode::InvalidGroupId));
    }
    Ok(broker.verify_offsets(unverified))
}

impl Broker {
    fn verify_offsets(&mut self, mut parked: UnverifiedOffsets) -> Served {
        let (request, version) = (&parked.request, parked.ctx.api_version);
        let support = match version {
            5.. => TransactionSupport::AddsPartitions,
            4 => TransactionSupport::Abortable,
            _ => TransactionSupport::Old,
        };
        let adds = support.adds_partitions();
        if !adds && !self.settings.flag("transaction.partition.verification.enable") {
            return self.commit_offsets_in_transaction(parked);
        }
        let partition = partition_for(&request.group_id, self.partition_count(Coordinator::Groups));
        let (producer_id, producer_epoch, wall) = (request.producer_id, request.producer_epoch, self.wall);
        let begun = self
            .internal_partition(Coordinator::Groups, partition)
            .ok_or(ErrorCode::UnknownTopicOrPartition)
            .and_then(|id| {
                self.leading(id)?;
                let replica = self.replicas.get_soft(id).ok_or(ErrorCode::NotLeaderOrFollower)?;
                let guard = replica.log.begin_verification(producer_id, producer_epoch, -1, adds, wall);
                guard.map_err(|refused| refused.code)
            });
        match begun {
            Err(error) => parked.refuse(error),
            // The transaction is open here already.
            Ok(None) => self.commit_offsets_in_transaction(parked),
            Ok(guard) => {
                parked.guard = guard;
                let (request, transactional_id) = (parked.ctx.id, parked.request.transactional_id.clone());
                let partitions = vec![(Coordinator::Groups.topic().into(), partition)];
                self.parked.insert(request, Parked::UnverifiedOffsets(parked));
                self.verify(Verification {
                    request,
                    transactional_id,
                    producer_id,
                    producer_epoch,
                    support,
                    partitions,
                });
                Served::Parked
            }
        }
    }

    /// The coordinator has spoken.
    pub(crate) fn offsets_verified(&mut self, request: RequestId, error: Option<ErrorCode>) {
        let Some(Parked::UnverifiedOffsets(parked)) = self.parked.remove(&request) else { return };
        let served = match error {
            Some(error) => parked.refuse(error),
            None => self.commit_offsets_in_transaction(parked),
        };
        self.conclude(request, served);
    }

    fn commit_offsets_in_transaction(&mut self, parked: UnverifiedOffsets) -> Served {
        let UnverifiedOffsets { ctx, request, response, guard } = parked;
        let (now, wall) = (self.now, self.wall);
        let producer = Producer { id: request.producer_id, epoch: request.producer_epoch, guard };
        self.ask_groups(ctx, |groups, caller, _| {
            groups.commit_offsets_in_transaction(now, wall, caller, &request, producer, response);
        });
        Served::Parked
    }
}

impl UnverifiedOffsets {
    fn refuse(mut self, error: ErrorCode) -> Served {
        refuse_all(&mut self.response, &self.request, response_error(error));
        Served::Answer(self.ctx.respond(&fit(self.response, self.ctx.api_version)))
    }
}

/// What became of the log or of the verification, as a group coordinator says it.
pub(crate) fn response_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        other => crate::group::response_error(other),
    }
}

pub(crate) fn refuse_all(response: &mut TxnOffsetCommitResponse, request: &TxnOffsetCommitRequest, error: ErrorCode) {
    for topic in &request.topics {
        for partition in &topic.partitions {
            add_partition(response, &topic.name, partition.partition_index, error);
        }
    }
}

/// Adds one result, for [`fit`] to put with the others of its topic.
pub(crate) fn add_partition(response: &mut TxnOffsetCommitResponse, name: &StrBytes, partition: i32, error: ErrorCode) {
    let mut result = TxnOffsetCommitResponsePartition::default();
    (result.partition_index, result.error_code) = (partition, error.code());
    topic_of(response, name).partitions.push(result);
}

fn topic_of<'a>(response: &'a mut TxnOffsetCommitResponse, name: &StrBytes) -> &'a mut TxnOffsetCommitResponseTopic {
    let topics = &mut response.topics;
    if topics.last().is_none_or(|last| last.name != *name) {
        let mut topic = TxnOffsetCommitResponseTopic::default();
        topic.name = name.clone();
        topics.push(topic);
    }
    topics.last_mut().expect("one was pushed")
}

/// Puts the results of one topic together. The oldest clients break on COORDINATOR_LOAD_IN_PROGRESS.
pub(crate) fn fit(mut response: TxnOffsetCommitResponse, version: i16) -> TxnOffsetCommitResponse {
    join_alike(
        &mut response.topics,
        |one, other| one.name.cmp(&other.name),
        |first, again| first.partitions.append(&mut again.partitions),
    );
    if version < 2 {
        for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            if partition.error_code == ErrorCode::CoordinatorLoadInProgress.code() {
                partition.error_code = ErrorCode::CoordinatorNotAvailable.code();
            }
        }
    }
    response
}
