//! What comes out: responses, writes, markers.

use std::sync::Arc;

use shore_wire::frame::{self, EncodeError, Frame};
use shore_wire::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnResponse, InitProducerIdResponse,
};

use super::event::TxnEvent;
use super::metadata::TransactionVersion;
use crate::api::RequestId;
use crate::group::{Records, WriteId};

/// What the coordinator wants done.
#[derive(Clone, Debug)]
pub enum TxnOutput {
    /// Append these to this partition of `__transaction_state`, as one batch, and call
    /// [`written`](super::TxnCoordinator::written) once it is committed or has failed. A failed write
    /// fails all later ones of its partition: the log goes back to its durable end.
    Append {
        records: Records,
        write: WriteId,
    },
    /// The response to a request; to be dropped if the connection is gone meanwhile.
    Respond {
        request: RequestId,
        response: TxnResponse,
    },
    /// Write these markers, wherever the partitions are led, and call
    /// [`markers_answered`](super::TxnCoordinator::markers_answered) with what became of each.
    SendMarkers(Markers),
    Event(TxnEvent),
}

/// The end of a transaction, for some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// Of `__transaction_state`.
    pub partition: i32,
    pub transactional_id: Arc<str>,
    /// The epoch in which this broker leads that partition.
    pub coordinator_epoch: i32,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub commit: bool,
    pub version: TransactionVersion,
    pub partitions: Vec<(Arc<str>, i32)>,
}

/// A response, already in the shape that the request's version can carry.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnResponse {
    InitProducerId(InitProducerIdResponse),
    AddPartitionsToTxn(AddPartitionsToTxnResponse),
    AddOffsetsToTxn(AddOffsetsToTxnResponse),
    EndTxn(EndTxnResponse),
}

impl TxnResponse {
    pub fn encode(&self, correlation_id: i32, version: i16) -> Result<Frame, EncodeError> {
        match self {
            Self::InitProducerId(body) => frame::encode_response(correlation_id, version, body),
            Self::AddPartitionsToTxn(body) => frame::encode_response(correlation_id, version, body),
            Self::AddOffsetsToTxn(body) => frame::encode_response(correlation_id, version, body),
            Self::EndTxn(body) => frame::encode_response(correlation_id, version, body),
        }
    }
}
