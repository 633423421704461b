//! EndTxn, and what ends a transaction from within: a new producer, a timeout.

use std::ops::Range;
use std::sync::Arc;

use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::{EndTxnRequest, EndTxnResponse};

use super::call::TxnResponse;
use super::coordinator::TxnCoordinator;
use super::init::{self, known_error};
use super::metadata::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, TransactionMetadata, TransactionVersion};
use super::shard::{Effects, Shard, Then};
use super::state::TransactionState;
use crate::api::RequestId;

/// Before this version clients know no PRODUCER_FENCED.
const FENCED_VERSION: i16 = 2;
/// From this version on a client bumps its epoch with each transaction, and is told the new one.
const BUMP_VERSION: i16 = 5;

/// Who wants a transaction to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum EndReply {
    Client {
        request: RequestId,
        version: i16,
    },
    /// InitProducerId of another producer, which is to come back.
    Initialising {
        request: RequestId,
        version: i16,
    },
    Timeout,
}

/// What becomes of a request to end a transaction.
enum Verdict {
    /// To this state; the flag says that there is no transaction, only an epoch to bump.
    Prepare(TransactionState, bool),
    /// A retry of what is done.
    Done,
    Refuse(ErrorCode),
}

impl TxnCoordinator {
    /// `ids` are producer ids that may be given out.
    pub fn end_txn(
        &mut self,
        now: Instant,
        wall: Wall,
        (request_id, version): (RequestId, i16),
        request: &EndTxnRequest,
        ids: &mut Range<i64>,
    ) {
        self.at(now, wall);
        let reply = EndReply::Client { request: request_id, version };
        let id = request.transactional_id.as_str();
        let result = if id.is_empty() {
            Err(ErrorCode::InvalidRequest)
        } else {
            self.shard_of(id).and_then(|(shard, fx)| shard.end(fx, request, version, reply, ids))
        };
        if let Err(error) = result {
            self.fx.end_refused(reply, error);
        }
    }
}

impl Shard {
    fn end(
        &mut self,
        fx: &mut Effects,
        request: &EndTxnRequest,
        version: i16,
        reply: EndReply,
        ids: &mut Range<i64>,
    ) -> Result<(), ErrorCode> {
        let Some((id, transaction)) = self.transactions.get_key_value(request.transactional_id.as_str()) else {
            return Err(ErrorCode::InvalidProducerIdMapping);
        };
        let client = if version >= BUMP_VERSION { TransactionVersion::V2 } else { TransactionVersion::V0 };
        let (id, metadata, is_pending) = (id.clone(), &transaction.metadata, transaction.pending.is_some());
        let verdict = if client.bumps_epoch() {
            metadata.end_v2(is_pending, request)
        } else {
            metadata.end_v1(is_pending, request)
        };
        match verdict {
            Verdict::Refuse(error) => return Err(error),
            Verdict::Done => {
                let told = client.bumps_epoch().then_some((metadata.producer_id, metadata.producer_epoch));
                fx.end_done(reply, told);
            }
            Verdict::Prepare(state, is_empty) => {
                let next_producer_id = next_producer_id(metadata, client, ids)?;
                let next = metadata.prepare_end(state, client, next_producer_id, is_empty, fx.now_ms());
                self.propose(fx, &id, next, Then::Ended(reply));
            }
        }
        Ok(())
    }

    /// Aborts what a producer has going and takes its epoch from it, so that it is fenced.
    pub fn fence(&mut self, fx: &mut Effects, id: &Arc<str>, ids: &mut Range<i64>, reply: EndReply) {
        let metadata = &self.transactions[id].metadata;
        // The broker is at the newest version, whatever the client speaks.
        let version = TransactionVersion::V2;
        match next_producer_id(metadata, version, ids) {
            Ok(next_producer_id) => {
                let state = TransactionState::PrepareAbort;
                let next = metadata.prepare_end(state, version, next_producer_id, false, fx.now_ms());
                self.propose(fx, id, next, Then::Ended(reply));
            }
            Err(error) => fx.end_refused(reply, error),
        }
    }

    /// The record of a transaction's end is safe: who asked for it is answered, and markers are written.
    pub fn end_is_safe(&mut self, fx: &mut Effects, id: &Arc<str>, reply: EndReply) {
        let goes_on_with = self.begin_completion(fx, id);
        let is_v2 = matches!(reply, EndReply::Client { version, .. } if version >= BUMP_VERSION);
        fx.end_done(reply, is_v2.then_some(goes_on_with));
        self.send_markers(fx, id);
    }
}

/// A producer whose epochs are used up goes on with another id.
fn next_producer_id(
    metadata: &TransactionMetadata,
    version: TransactionVersion,
    ids: &mut Range<i64>,
) -> Result<i64, ErrorCode> {
    if version.bumps_epoch() && metadata.is_epoch_exhausted() {
        ids.next().ok_or(ErrorCode::CoordinatorLoadInProgress)
    } else {
        Ok(NO_PRODUCER_ID)
    }
}

impl TransactionMetadata {
    /// What clients before KIP-890 may do: the epoch is always the current one, and a retry is known by
    /// the state.
    fn end_v1(&self, is_pending: bool, request: &EndTxnRequest) -> Verdict {
        if self.producer_id != request.producer_id {
            return Verdict::Refuse(ErrorCode::InvalidProducerIdMapping);
        }
        if self.producer_epoch != request.producer_epoch {
            return Verdict::Refuse(ErrorCode::ProducerFenced);
        }
        if is_pending {
            return Verdict::Refuse(ErrorCode::ConcurrentTransactions);
        }
        match (self.state, request.committed) {
            (TransactionState::Ongoing, commit) => Verdict::Prepare(prepared(commit), false),
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => Verdict::Done,
            (TransactionState::PrepareCommit, true) | (TransactionState::PrepareAbort, false) => {
                Verdict::Refuse(ErrorCode::ConcurrentTransactions)
            }
            _ => Verdict::Refuse(ErrorCode::InvalidTxnState),
        }
    }

    /// With KIP-890 the epoch tells a retry, which has the one before, from the next request. An abort
    /// is always allowed: the client may not know whether its transaction came about.
    fn end_v2(&self, is_pending: bool, request: &EndTxnRequest) -> Verdict {
        use TransactionState::{
            CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence,
        };
        let (epoch, commit) = (request.producer_epoch, request.committed);
        // A producer that was given a new id by the transaction whose end it asks for again.
        let overflowed =
            self.previous_producer_id == request.producer_id && epoch == i16::MAX - 1 && self.producer_epoch == 0;
        let bumped = i32::from(self.producer_epoch) == i32::from(epoch) + 1;
        let is_current = epoch == self.producer_epoch;
        let is_valid_epoch = match self.state {
            Ongoing | Empty | Dead | PrepareEpochFence => is_current,
            PrepareCommit | PrepareAbort => bumped,
            CompleteCommit | CompleteAbort => bumped || overflowed || is_current,
        };
        // A transition may be the one that gives the producer its new id: it is waited for first.
        if is_pending {
            return Verdict::Refuse(ErrorCode::ConcurrentTransactions);
        }
        if self.producer_id != request.producer_id && !overflowed {
            return Verdict::Refuse(ErrorCode::InvalidProducerIdMapping);
        }
        if !is_valid_epoch {
            return Verdict::Refuse(ErrorCode::ProducerFenced);
        }
        let is_retry = bumped || overflowed;
        match (self.state, commit) {
            (Ongoing, commit) => Verdict::Prepare(prepared(commit), false),
            (CompleteCommit, true) | (CompleteAbort, false) if is_retry => Verdict::Done,
            (CompleteCommit | CompleteAbort, false) if !is_retry => Verdict::Prepare(PrepareAbort, true),
            (Empty, false) => Verdict::Prepare(PrepareAbort, true),
            (PrepareCommit, true) | (PrepareAbort, false) => Verdict::Refuse(ErrorCode::ConcurrentTransactions),
            _ => Verdict::Refuse(ErrorCode::InvalidTxnState),
        }
    }
}

const fn prepared(commit: bool) -> TransactionState {
    if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort }
}

impl Effects {
    /// `told` is the producer id and epoch that the client goes on with.
    fn end_done(&mut self, reply: EndReply, told: Option<(i64, i16)>) {
        match reply {
            EndReply::Client { request, version } => self.respond(request, response(version, ErrorCode::None, told)),
            EndReply::Initialising { request, version } => {
                self.respond(request, init::response(version, Err(ErrorCode::ConcurrentTransactions)));
            }
            EndReply::Timeout => {}
        }
    }

    pub fn end_refused(&mut self, reply: EndReply, error: ErrorCode) {
        match reply {
            EndReply::Client { request, version } => self.respond(request, response(version, error, None)),
            EndReply::Initialising { request, version } => {
                self.respond(request, init::response(version, Err(error)));
            }
            EndReply::Timeout => {}
        }
    }
}

fn response(version: i16, error: ErrorCode, told: Option<(i64, i16)>) -> TxnResponse {
    let mut response = EndTxnResponse::default();
    response.error_code = known_error(error, version, FENCED_VERSION).code();
    if version >= BUMP_VERSION {
        (response.producer_id, response.producer_epoch) = told.unwrap_or((NO_PRODUCER_ID, NO_PRODUCER_EPOCH));
    }
    TxnResponse::EndTxn(response)
}
