//! What goes in and comes out: callers, responses, writes.

use bytes::Bytes;
use shore_base::{Uuid, Wall};
use shore_log::VerificationGuard;
use shore_wire::batch::{ControlKind, end_transaction_marker};
use shore_wire::error::ErrorCode;
use shore_wire::frame::{self, EncodeError, Frame};
use shore_wire::messages::{
    DeleteGroupsResponse, DescribeGroupsResponse, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse,
    ListGroupsResponse, OffsetCommitResponse, OffsetDeleteResponse, OffsetFetchResponse, SyncGroupResponse,
    TxnOffsetCommitResponse,
};

use super::event::GroupEvent;

/// A request that waits for its response, as the broker numbers it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Records on their way to a partition of `__consumer_offsets`. Never used twice; numbers rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId {
    pub partition: i32,
    pub number: u64,
}

/// Who asks, and in which version.
#[derive(Clone, Debug)]
pub struct Caller<'a> {
    pub request: RequestId,
    pub version: i16,
    pub client_id: &'a str,
    /// The address that it calls from: `127.0.0.1`.
    pub client_host: &'a str,
}

/// What a coordinator asks of the metadata image.
pub trait Topics {
    fn topic_id(&self, name: &str) -> Option<Uuid>;
    fn topic_name(&self, id: Uuid) -> Option<&str>;
    fn has_partition(&self, name: &str, partition: i32) -> bool;
}

/// Key and value, where `None` is a tombstone.
pub type Records = Vec<(Bytes, Option<Bytes>)>;

/// Who commits offsets in a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// What the first append of the transaction has to come with.
    pub guard: Option<VerificationGuard>,
}

/// The end of a transaction in a partition of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMarker {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
    pub commit: bool,
    pub transaction_version: i16,
}

impl GroupMarker {
    /// As it stands in the log, of any partition that took part.
    pub fn batch(&self, wall: Wall) -> Bytes {
        let kind = if self.commit { ControlKind::Commit } else { ControlKind::Abort };
        end_transaction_marker(kind, self.producer_id, self.producer_epoch, self.coordinator_epoch, wall.as_millis())
    }
}

/// What the coordinator wants done.
#[derive(Clone, Debug)]
pub enum GroupOutput {
    /// Append these to this partition of `__consumer_offsets`, as one batch, and call
    /// [`written`](super::GroupCoordinator::written) once it is committed or has failed. A failed write
    /// fails all later ones of its partition: the log goes back to its durable end.
    Append {
        records: Records,
        write: WriteId,
        /// Whose transaction the records are part of.
        producer: Option<Producer>,
    },
    /// Likewise, for a marker.
    AppendMarker {
        marker: GroupMarker,
        write: WriteId,
    },
    /// What became of a marker that WriteTxnMarkers brought.
    MarkerWritten {
        request: RequestId,
        slot: usize,
        result: Result<(), ErrorCode>,
    },
    /// The response to a request; to be dropped if the connection is gone meanwhile.
    Respond {
        request: RequestId,
        response: GroupResponse,
    },
    Event(GroupEvent),
}

/// A response, already in the shape that the request's version can carry.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupResponse {
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponse),
    JoinGroup(JoinGroupResponse),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse),
    SyncGroup(SyncGroupResponse),
    DescribeGroups(DescribeGroupsResponse),
    ListGroups(ListGroupsResponse),
    TxnOffsetCommit(TxnOffsetCommitResponse),
    DeleteGroups(DeleteGroupsResponse),
    OffsetDelete(OffsetDeleteResponse),
}

impl GroupResponse {
    pub fn encode(&self, correlation_id: i32, version: i16) -> Result<Frame, EncodeError> {
        match self {
            Self::OffsetCommit(body) => frame::encode_response(correlation_id, version, body),
            Self::OffsetFetch(body) => frame::encode_response(correlation_id, version, body),
            Self::JoinGroup(body) => frame::encode_response(correlation_id, version, body),
            Self::Heartbeat(body) => frame::encode_response(correlation_id, version, body),
            Self::LeaveGroup(body) => frame::encode_response(correlation_id, version, body),
            Self::SyncGroup(body) => frame::encode_response(correlation_id, version, body),
            Self::DescribeGroups(body) => frame::encode_response(correlation_id, version, body),
            Self::ListGroups(body) => frame::encode_response(correlation_id, version, body),
            Self::TxnOffsetCommit(body) => frame::encode_response(correlation_id, version, body),
            Self::DeleteGroups(body) => frame::encode_response(correlation_id, version, body),
            Self::OffsetDelete(body) => frame::encode_response(correlation_id, version, body),
        }
    }
}
