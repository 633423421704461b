//! InitProducerId (22): an id for an idempotent producer.
//!
//! Transactions are not served: a request with a transactional id is answered UNSUPPORTED_VERSION,
//! which clients take as final.

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

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: InitProducerIdRequest = ctx.decode(body)?;
    let refusal = match &request.transactional_id {
        Some(id) if id.is_empty() => Some(ErrorCode::InvalidRequest),
        Some(_) => Some(ErrorCode::UnsupportedVersion),
        // An id and an epoch belong together.
        None if (request.producer_id == -1) != (request.producer_epoch == -1) => Some(ErrorCode::InvalidRequest),
        None => None,
    };
    if let Some(error) = refusal {
        return Ok(Served::Answer(answer(&ctx, Err(error))));
    }
    match broker.producer_ids.next() {
        Some(id) => Ok(Served::Answer(answer(&ctx, Ok(id)))),
        None => {
            broker.parked.insert(ctx.id, Parked::ProducerId(ctx));
            broker.ask_for_producer_ids();
            Ok(Served::Parked)
        }
    }
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
    fn ask_for_producer_ids(&mut self) {
        let waiting = self.parked.values().filter(|parked| matches!(parked, Parked::ProducerId(_))).count();
        let Some(epoch) = self.epoch().filter(|_| waiting == 1) else { return };
        let mut request = AllocateProducerIdsRequest::default();
        request.broker_id = self.id();
        request.broker_epoch = epoch;
        let node = self.id();
        self.link().send(node, 0, &request, Asked::ProducerIds);
    }

    /// The controller gave a block of ids, or could not.
    pub(crate) fn producer_ids_allocated(&mut self, version: i16, response: Bytes) {
        let block = shore_wire::frame::decode_response::<AllocateProducerIdsResponse>(response, version);
        let error = match block {
            Ok((_, block)) if block.error_code == 0 => {
                let start = block.producer_id_start;
                self.producer_ids = start..start + i64::from(block.producer_id_len);
                None
            }
            _ => Some(ErrorCode::CoordinatorLoadInProgress),
        };
        let waiting = self.parked.iter().filter(|(_, parked)| matches!(parked, Parked::ProducerId(_)));
        for request in waiting.map(|(&request, _)| request).collect::<Vec<_>>() {
            let id = match error {
                Some(error) => Err(error),
                None => self.producer_ids.next().ok_or(ErrorCode::CoordinatorLoadInProgress),
            };
            if let Some(Parked::ProducerId(ctx)) = self.parked.remove(&request) {
                self.respond(request, answer(&ctx, id));
            }
        }
    }
}
