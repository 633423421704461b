//! InitProducerId with a transactional id: a producer begins, and fences the one before it.

use std::ops::Range;
use std::sync::Arc;

use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::call::TxnResponse;
use super::coordinator::TxnCoordinator;
use super::end::EndReply;
use super::metadata::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, TransactionMetadata, is_exhausted};
use super::shard::{Effects, Shard, Then, Transaction};
use super::state::TransactionState;
use crate::api::RequestId;

/// Before this version clients know no PRODUCER_FENCED.
const FENCED_VERSION: i16 = 4;

impl TxnCoordinator {
    /// `ids` are producer ids that may be given out.
    pub fn init_producer_id(
        &mut self,
        now: Instant,
        wall: Wall,
        (request_id, version): (RequestId, i16),
        request: &InitProducerIdRequest,
        ids: &mut Range<i64>,
    ) {
        self.at(now, wall);
        let id = request.transactional_id.as_deref().unwrap_or_default();
        let result = if id.is_empty() {
            Err(ErrorCode::InvalidRequest)
        } else if !(1..=self.fx.config.max_timeout_ms).contains(&request.transaction_timeout_ms) {
            Err(ErrorCode::InvalidTransactionTimeout)
        } else {
            self.shard_of(id).and_then(|(shard, fx)| shard.init(fx, (request_id, version), id, request, ids))
        };
        if let Err(error) = result {
            self.fx.respond(request_id, response(version, Err(error)));
        }
    }
}

impl Shard {
    fn init(
        &mut self,
        fx: &mut Effects,
        (request_id, version): (RequestId, i16),
        id: &str,
        request: &InitProducerIdRequest,
        ids: &mut Range<i64>,
    ) -> Result<(), ErrorCode> {
        let (timeout_ms, now) = (request.transaction_timeout_ms, fx.now_ms());
        let id = match self.transactions.get_key_value(id) {
            Some((id, _)) => id.clone(),
            None => {
                let producer_id = ids.next().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
                let id: Arc<str> = Arc::from(id);
                let fresh = TransactionMetadata::new(producer_id, timeout_ms, now);
                self.transactions.insert(id.clone(), Transaction::new(fresh));
                id
            }
        };
        let transaction = &self.transactions[&id];
        let metadata = &transaction.metadata;
        // The producer goes on with what it has, after an error that only its coordinator can mend.
        let expected = (request.producer_id != NO_PRODUCER_ID || request.producer_epoch != NO_PRODUCER_EPOCH)
            .then_some((request.producer_id, request.producer_epoch));
        if transaction.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if expected.is_some_and(|(producer_id, epoch)| !metadata.may_be(producer_id, epoch)) {
            return Err(ErrorCode::ProducerFenced);
        }
        match metadata.state {
            TransactionState::PrepareAbort | TransactionState::PrepareCommit => Err(ErrorCode::ConcurrentTransactions),
            TransactionState::Ongoing => {
                // Its transaction is aborted first, and the client comes back for its epoch.
                self.fence(fx, &id, ids, EndReply::Initialising { request: request_id, version });
                Ok(())
            }
            _ => {
                let expected = expected.map(|(_, epoch)| epoch);
                let is_current = expected.is_none_or(|epoch| epoch == metadata.producer_epoch);
                let next = if metadata.is_epoch_exhausted() && is_current {
                    let producer_id = ids.next().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
                    metadata.rotate_producer_id(producer_id, timeout_ms, now, expected.is_some())
                } else {
                    metadata.increment_epoch(timeout_ms, expected, now)?
                };
                self.propose(fx, &id, next, Then::Initialised { request: request_id, version });
                Ok(())
            }
        }
    }
}

impl TransactionMetadata {
    /// Whether this can be the producer, as far as its id tells: its epoch is looked at when it is
    /// bumped. One whose epochs were used up may not know its new id yet.
    fn may_be(&self, producer_id: i64, epoch: i16) -> bool {
        self.producer_epoch == NO_PRODUCER_EPOCH
            || producer_id == self.producer_id
            || (producer_id == self.previous_producer_id && is_exhausted(epoch))
    }
}

/// The id and epoch, or why there is none.
pub(super) fn response(version: i16, result: Result<(i64, i16), ErrorCode>) -> TxnResponse {
    let mut response = InitProducerIdResponse::default();
    match result {
        Ok((producer_id, epoch)) => (response.producer_id, response.producer_epoch) = (producer_id, epoch),
        Err(error) => {
            response.error_code = known_error(error, version, FENCED_VERSION).code();
            (response.producer_id, response.producer_epoch) = (NO_PRODUCER_ID, NO_PRODUCER_EPOCH);
        }
    }
    TxnResponse::InitProducerId(response)
}

/// Old clients are told INVALID_PRODUCER_EPOCH, which they take in the same way.
pub(super) fn known_error(error: ErrorCode, version: i16, since: i16) -> ErrorCode {
    if error == ErrorCode::ProducerFenced && version < since { ErrorCode::InvalidProducerEpoch } else { error }
}
