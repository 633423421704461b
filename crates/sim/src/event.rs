//! What happened in the world and why, for the page and for the checker.

use bytes::Bytes;
use shore_base::{ConnId, Instant, NodeId};
use shore_client::TransactionCall;
use shore_log::storage::Token;
use shore_wire::frame::Frame;

use crate::action::Action;
use crate::actor::ActorId;

/// Names an event within its world. Later events have greater ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(pub u64);

#[derive(Clone, Debug)]
pub struct Event {
    pub id: EventId,
    pub at: Instant,
    /// What led to it, if that was an event itself.
    pub cause: Option<EventId>,
    pub kind: EventKind,
}

/// The other end of a connection to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Actor(ActorId),
    /// Somebody outside of the world, by the address the host gave.
    Outside(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToNode,
    ToClient,
}

#[derive(Clone, Debug)]
pub enum EventKind {
    Acted(Action),
    /// An action of the script could not be done.
    Refused {
        why: String,
    },
    NodeStarted {
        node: NodeId,
    },
    /// It is registered and serves clients.
    NodeReady {
        node: NodeId,
    },
    NodeStopped {
        node: NodeId,
    },
    /// Killed, or without power.
    NodeKilled {
        node: NodeId,
        why: &'static str,
    },
    Connected {
        conn: ConnId,
        node: NodeId,
        peer: Peer,
    },
    Closed {
        conn: ConnId,
        reason: String,
    },
    /// The connection broke off. What was on its way over it is lost.
    Dropped {
        conn: ConnId,
    },
    /// A request left its client. It arrives at `due`.
    RequestSent {
        conn: ConnId,
        frame: Bytes,
        due: Instant,
    },
    /// A request reached its node. The frame is without its length prefix.
    Request {
        conn: ConnId,
        frame: Bytes,
    },
    /// A response left its node. It arrives at `due`.
    Response {
        conn: ConnId,
        frame: Frame,
        due: Instant,
    },
    /// A response reached its client.
    ResponseArrived {
        conn: ConnId,
        frame: Bytes,
    },
    Store {
        node: NodeId,
        token: Token,
        ops: u32,
        bytes: u64,
    },
    StoreDone {
        node: NodeId,
        token: Token,
        error: Option<String>,
    },
    /// What a node says about itself.
    Node {
        node: NodeId,
        event: shore_broker::event::Event,
    },
    Log {
        node: NodeId,
        line: String,
    },
    ActorAdded {
        actor: ActorId,
        name: String,
    },
    Actor {
        actor: ActorId,
        event: ActorEvent,
    },
}

/// What befell a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ActorEvent {
    /// Records were handed to the producer; `values` are theirs, `first` the number of the first.
    Produced {
        topic: String,
        first: u64,
        values: Vec<Bytes>,
        keys: Vec<Option<Bytes>>,
    },
    /// Records were acknowledged: `offsets[i]` is that of the record numbered `numbers[i]`, -1 where the broker
    /// did not say (`acks=0`, or a duplicate it no longer remembers).
    Acknowledged {
        topic: String,
        partition: i32,
        base_offset: i64,
        numbers: Vec<u64>,
    },
    /// Records were given up.
    Failed {
        topic: String,
        partition: i32,
        error: String,
        numbers: Vec<u64>,
    },
    /// Records were handed to the consumer's owner, in this order.
    Consumed {
        topic: String,
        partition: i32,
        records: Vec<(i64, Option<Bytes>)>,
    },
    Assigned {
        generation: i32,
        partitions: Vec<(String, i32)>,
    },
    Revoked {
        partitions: Vec<(String, i32)>,
    },
    /// The member was cast out of its group, or left it because its owner was too slow.
    Lost {
        partitions: Vec<(String, i32)>,
    },
    /// Where a partition's reading begins after it was assigned: at a committed offset, or where the
    /// reset policy says.
    Positioned {
        topic: String,
        partition: i32,
        offset: i64,
        committed: bool,
    },
    Committed {
        offsets: Vec<(String, i32, i64)>,
    },
    CommitFailed {
        error: String,
    },
    /// What a producer's transaction came to. Records that are produced between its beginning and its end are in it.
    Transaction(TransactionStep),
    /// An answer to an admin request, in words.
    Done {
        what: String,
        error: Option<String>,
    },
    /// Something the client's owner should know.
    Said(String),
    /// It stopped, or vanished.
    Gone,
}

/// A step of a transactional producer's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStep {
    /// It has its producer id; others with its `transactional.id` are fenced.
    Ready {
        producer_id: i64,
        epoch: i16,
    },
    Began,
    /// Its group has read up to here, once the transaction is committed.
    OffsetsSent {
        group: String,
        offsets: Vec<(String, i32, i64)>,
    },
    /// Its owner asked for the end.
    Committing,
    /// So it did because it wants to, or because of an error.
    Aborting {
        error: Option<String>,
    },
    Committed,
    Aborted,
    /// What its owner asked for did not come about.
    Failed {
        call: TransactionCall,
        error: String,
    },
    /// The producer is of no use any more: another one has its id, or the broker will not have it.
    Fatal {
        error: String,
    },
}

/// Collects events while somebody is subscribed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    events: Option<Vec<Event>>,
    next: u64,
    /// What is being handled now.
    pub cause: Option<EventId>,
}

impl Watch {
    pub fn subscribe(&mut self) {
        self.events.get_or_insert_default();
    }

    pub fn unsubscribe(&mut self) {
        self.events = None;
        self.cause = None;
    }

    pub fn is_on(&self) -> bool {
        self.events.is_some()
    }

    /// Adds an event if somebody watches; only then is it built.
    pub fn add(&mut self, at: Instant, kind: impl FnOnce() -> EventKind) -> Option<EventId> {
        let events = self.events.as_mut()?;
        let id = EventId(self.next);
        self.next += 1;
        events.push(Event { id, at, cause: self.cause, kind: kind() });
        Some(id)
    }

    pub fn take(&mut self) -> Vec<Event> {
        self.events.as_mut().map(core::mem::take).unwrap_or_default()
    }
}
