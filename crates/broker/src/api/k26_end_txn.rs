//! EndTxn (26): commits or aborts a transaction. From version 5 on the epoch is bumped with it, and the
//! answer says what the producer goes on with.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::messages::EndTxnRequest;

use super::{RequestContext, Served};
use crate::broker::Broker;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: EndTxnRequest = ctx.decode(body)?;
    let caller = (ctx.id, ctx.api_version);
    broker.ask_transactions(ctx, |transactions, now, wall, ids| {
        transactions.end_txn(now, wall, caller, &request, ids);
    });
    broker.restock_producer_ids();
    Ok(Served::Parked)
}
