//! AddPartitionsToTxn (24): what a transaction will write to.
//!
//! Up to version 3 a client asks for its own transaction; from 4 on a broker asks for those that write to
//! its partitions, to add them or only to verify that they are there. If one partition cannot be added,
//! none is.

use std::mem::take;

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::AddPartitionsToTxnRequest;
use shore_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use shore_wire::messages::add_partitions_to_txn_response::AddPartitionsToTxnResult;

use super::{RequestContext, Served};
use crate::broker::Broker;
use crate::txn::add_result;

const BATCH_VERSION: i16 = 4;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let mut request: AddPartitionsToTxnRequest = ctx.decode(body)?;
    if ctx.api_version < BATCH_VERSION {
        let mut transaction = AddPartitionsToTxnTransaction::default();
        transaction.transactional_id = take(&mut request.v3_and_below_transactional_id);
        transaction.producer_id = request.v3_and_below_producer_id;
        transaction.producer_epoch = request.v3_and_below_producer_epoch;
        transaction.topics = take(&mut request.v3_and_below_topics);
        request.transactions = vec![transaction];
    }
    let decided = request.transactions.iter().map(|transaction| refused(broker, transaction)).collect();
    let caller = (ctx.id, ctx.api_version);
    broker.ask_transactions(ctx, |transactions, now, wall, _| {
        transactions.add_partitions(now, wall, caller, &request.transactions, decided);
    });
    Ok(Served::Parked)
}

/// The answer to a transaction with partitions that are not there.
fn refused(broker: &Broker, asked: &AddPartitionsToTxnTransaction) -> Option<AddPartitionsToTxnResult> {
    let is_there = |topic: &str, partition| {
        broker.image.topic_id(topic).is_some_and(|id| broker.image.partition(id, partition).is_some())
    };
    let mut partitions =
        asked.topics.iter().flat_map(|topic| topic.partitions.iter().map(|&index| (&*topic.name, index)));
    if partitions.all(|(topic, partition)| is_there(topic, partition)) {
        return None;
    }
    Some(add_result(asked, |topic, partition| match is_there(topic, partition) {
        true => ErrorCode::OperationNotAttempted,
        false => ErrorCode::UnknownTopicOrPartition,
    }))
}
