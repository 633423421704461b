//! InitProducerId (22): an id for an idempotent producer, or id and epoch for a transactional one, which
//! fence the producer before it.
//!
//! v3 lets a producer go on with the epoch after its own, v4 knows PRODUCER_FENCED.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::frame::Frame;
use shore_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, InitProducerIdRequest, InitProducerIdResponse,
};

use super::{RequestContext, Served};
use crate::broker::{Broker, Parked};
use crate::link::Asked;

/// A request that waits for a block of producer ids.
#[derive(Clone, Debug)]
pub(crate) struct ParkedProducerId {
    ctx: RequestContext,
    request: InitProducerIdRequest,
}

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: InitProducerIdRequest = ctx.decode(body)?;
    // An id and an epoch belong together.
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return Ok(Served::Answer(answer(&ctx, Err(ErrorCode::InvalidRequest))));
    }
    // A transactional id may need a new id as well: there is one at hand before its coordinator is asked.
    let is_refused = request.transactional_id.as_deref() == Some("");
    if broker.producer_ids.is_empty() && !is_refused {
        broker.parked.insert(ctx.id, Parked::ProducerId(ParkedProducerId { ctx, request }));
        broker.restock_producer_ids();
        return Ok(Served::Parked);
    }
    Ok(init(broker, ctx, request))
}

fn init(broker: &mut Broker, ctx: RequestContext, request: InitProducerIdRequest) -> Served {
    if request.transactional_id.is_some() {
        let caller = (ctx.id, ctx.api_version);
        broker.ask_transactions(ctx, |transactions, now, wall, ids| {
            transactions.init_producer_id(now, wall, caller, &request, ids);
        });
        return Served::Parked;
    }
    let id = broker.producer_ids.next().ok_or(ErrorCode::CoordinatorLoadInProgress);
    Served::Answer(answer(&ctx, id))
}

fn answer(ctx: &RequestContext, id: Result<i64, ErrorCode>) -> Frame {
    let mut response = InitProducerIdResponse::default();
    match id {
        Ok(id) => response.producer_id = id,
        Err(error) => {
            response.error_code = error.code();
            response.producer_id = -1;
            response.producer_epoch = -1;
        }
    }
    ctx.respond(&response)
}

impl Broker {
    /// Asks for a block of ids when the last one is used up: a producer whose epochs are used up comes
    /// back for a new id.
    pub(crate) fn restock_producer_ids(&mut self) {
        let Some(epoch) = self.epoch().filter(|_| self.producer_ids.is_empty() && !self.asks_for_producer_ids) else {
            return;
        };
        self.asks_for_producer_ids = true;
        let mut request = AllocateProducerIdsRequest::default();
        request.broker_id = self.id();
        request.broker_epoch = epoch;
        let node = self.id();
        self.link().send(node, 0, &request, Asked::ProducerIds);
    }

    /// The controller gave a block of ids, or could not.
    pub(crate) fn producer_ids_allocated(&mut self, version: i16, response: Bytes) {
        self.asks_for_producer_ids = false;
        let block = shore_wire::frame::decode_response::<AllocateProducerIdsResponse>(response, version);
        let is_given = match block {
            Ok((_, block)) if block.error_code == 0 => {
                let start = block.producer_id_start;
                self.producer_ids = start..start + i64::from(block.producer_id_len);
                true
            }
            _ => false,
        };
        let waiting = self.parked.iter().filter(|(_, parked)| matches!(parked, Parked::ProducerId(_)));
        for id in waiting.map(|(&request, _)| request).collect::<Vec<_>>() {
            let Some(Parked::ProducerId(ParkedProducerId { ctx, request })) = self.parked.remove(&id) else { continue };
            let served = match is_given {
                true => init(self, ctx, request),
                false => Served::Answer(answer(&ctx, Err(ErrorCode::CoordinatorLoadInProgress))),
            };
            self.conclude(id, served);
        }
    }
}
