//! What happened in groups, for whoever watches.

use std::sync::Arc;

use super::state::StateName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    StateChanged {
        group: Arc<str>,
        from: StateName,
        to: StateName,
        reason: String,
    },
    MemberJoined {
        group: Arc<str>,
        member: Arc<str>,
        client_id: Arc<str>,
        instance: Option<Arc<str>>,
    },
    /// A static member came back under a new member id.
    MemberReplaced {
        group: Arc<str>,
        instance: Arc<str>,
        old: Arc<str>,
        new: Arc<str>,
    },
    MemberGone {
        group: Arc<str>,
        member: Arc<str>,
        why: Departure,
    },
    GenerationStarted {
        group: Arc<str>,
        generation: i32,
        protocol: Option<Arc<str>>,
        leader: Option<Arc<str>>,
        members: u32,
    },
    /// The leader's assignment is stored and on its way to the members.
    Assigned {
        group: Arc<str>,
        generation: i32,
    },
    OffsetsCommitted {
        group: Arc<str>,
        member: Arc<str>,
        partitions: u32,
    },
    /// They count once the producer's transaction is committed.
    OffsetsPending {
        group: Arc<str>,
        producer_id: i64,
        partitions: u32,
    },
    /// By an administrator.
    OffsetsDeleted {
        group: Arc<str>,
        partitions: u32,
    },
    OffsetsExpired {
        group: Arc<str>,
        partitions: u32,
    },
    GroupDeleted {
        group: Arc<str>,
    },
}

/// Why a member is no longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    Left,
    SessionTimeout,
    /// It did not rejoin in time.
    RebalanceTimeout,
    /// It joined but did not send SyncGroup in time.
    SyncTimeout,
    GroupTooLarge,
}
