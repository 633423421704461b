//! AddOffsetsToTxn (25): a transaction will commit the offsets of a group.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::messages::AddOffsetsToTxnRequest;

use super::{RequestContext, Served};
use crate::broker::{Broker, Coordinator};
use crate::group::partition_for;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: AddOffsetsToTxnRequest = ctx.decode(body)?;
    let partition = partition_for(&request.group_id, broker.partition_count(Coordinator::Groups));
    let (caller, producer) = ((ctx.id, ctx.api_version), (request.producer_id, request.producer_epoch));
    broker.ask_transactions(ctx, |transactions, now, wall, _| {
        let offsets = (Coordinator::Groups.topic(), partition);
        transactions.add_offsets(now, wall, caller, &request.transactional_id, producer, offsets);
    });
    Ok(Served::Parked)
}
