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
use crate::topic_name;
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
    let from_client = ctx.api_version < BATCH_VERSION;
    let decided = request.transactions.iter().map(|transaction| refused(broker, transaction, from_client)).collect();
    let caller = (ctx.id, ctx.api_version);
    broker.ask_transactions(ctx, |transactions, now, wall, _| {
        transactions.add_partitions(now, wall, caller, &request.transactions, decided);
    });
    Ok(Served::Parked)
}

/// The answer to a transaction with partitions that are not there, or are not for clients.
fn refused(
    broker: &Broker,
    asked: &AddPartitionsToTxnTransaction,
    from_client: bool,
) -> Option<AddPartitionsToTxnResult> {
    let error = |topic: &str, partition| {
        let id = broker.image.topic_id(topic);
        if from_client && topic_name::is_internal(topic) {
            Some(ErrorCode::TopicAuthorizationFailed)
        } else if id.is_some_and(|id| broker.image.partition(id, partition).is_some()) {
            None
        } else {
            Some(ErrorCode::UnknownTopicOrPartition)
        }
    };
    let mut partitions =
        asked.topics.iter().flat_map(|topic| topic.partitions.iter().map(|&index| (&*topic.name, index)));
    if partitions.all(|(topic, partition)| error(topic, partition).is_none()) {
        return None;
    }
    Some(add_result(asked, |topic, partition| error(topic, partition).unwrap_or(ErrorCode::OperationNotAttempted)))
}
