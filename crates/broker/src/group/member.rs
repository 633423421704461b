//! One member of a classic group.

use std::sync::Arc;

use bytes::Bytes;
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;

use super::call::{Caller, RequestId};
use super::timer::TimerId;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub id: Arc<str>,
    pub instance: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In the order of its preference.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// In its first join: it has no id to send heartbeats with, so its session runs though its request
    /// waits.
    pub is_new: bool,
    /// Its JoinGroup request, while that waits. Set by [`super::classic::Group::set_join`] alone, which counts them.
    pub join: Option<Waiting>,
    /// Its SyncGroup request, while that waits.
    pub sync: Option<Waiting>,
    pub session: Option<TimerId>,
}

/// An assignor that a member offers, with what it has to say to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    pub name: Arc<str>,
    pub metadata: Bytes,
}

/// A request that waits, and the version that its response is to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub request: RequestId,
    pub version: i16,
}

impl Member {
    /// A request that waits counts as a heartbeat, but for a first join.
    pub const fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// The same protocols in the same order with the same metadata.
    pub fn offers(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        self.protocols.len() == protocols.len()
            && self
                .protocols
                .iter()
                .zip(protocols)
                .all(|(mine, theirs)| *mine.name == *theirs.name && mine.metadata == theirs.metadata)
    }

    /// What it said to a protocol.
    pub fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let chosen = self.protocols.iter().find(|mine| Some(&*mine.name) == protocol);
        chosen.map(|chosen| chosen.metadata.clone()).unwrap_or_default()
    }
}

impl Protocol {
    /// Copied out of the request: state never keeps a frame alive.
    pub fn copy_all(protocols: &[JoinGroupRequestProtocol]) -> Vec<Self> {
        let copy = |theirs: &JoinGroupRequestProtocol| Self {
            name: Arc::from(theirs.name.as_str()),
            metadata: Bytes::copy_from_slice(&theirs.metadata),
        };
        protocols.iter().map(copy).collect()
    }
}

impl Waiting {
    pub const fn of(caller: &Caller<'_>) -> Self {
        Self { request: caller.request, version: caller.version }
    }
}
