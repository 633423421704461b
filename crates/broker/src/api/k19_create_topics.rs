//! CreateTopics (19): forwarded to the controller in the client's version.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::messages::CreateTopicsRequest;

use super::{RequestContext, Served};
use crate::broker::Broker;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: CreateTopicsRequest = ctx.decode(body)?;
    broker.forward(&ctx, &request);
    Ok(Served::Parked)
}
