//! Connections and the links they run over.
//!
//! A connection of an actor takes its link's latency for every message, each way, in order. One of the
//! outside world has no link: what it brings is handed to the node at once.

use std::collections::VecDeque;

use core::time::Duration;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Instant, NodeId, Random};

use crate::actor::ActorId;
use crate::event::{Direction, EventId, Peer};
use crate::queue::{Pending, Queue};

/// One connection to a node.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub node: NodeId,
    pub end: End,
    /// Told by the client's side that it is gone; the node may not know yet.
    pub client_gone: bool,
    /// Told by the node's side, or the node is dead.
    pub node_gone: bool,
    /// It broke off: nothing arrives any more but, on either side, the news of that.
    pub dropped: bool,
    /// Requests whose responses are still to come, oldest first.
    pub asked: VecDeque<Asked>,
    last_to_node: Instant,
    last_to_client: Instant,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Outside { peer: String },
    Actor { actor: ActorId, local: ConnId },
}

/// A request that was sent and not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub correlation_id: i32,
    pub api_key: i16,
    pub api_version: i16,
    pub sent_at: Instant,
    pub bytes: u64,
}

/// How messages travel between an actor and a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub latency: Duration,
    /// Up to this much is added to every message's latency.
    pub jitter: Duration,
    pub cut: bool,
}

type Held = (Direction, Pending, Option<EventId>);

#[derive(Clone)]
pub(crate) struct Links {
    conns: BTreeMap<ConnId, Connection>,
    next_conn: u64,
    default: (Duration, Duration),
    links: BTreeMap<(ActorId, NodeId), Link>,
    /// What was sent since a link was cut, in order.
    held: BTreeMap<(ActorId, NodeId), Vec<Held>>,
    /// How many answers come to an actor until the connection of the last one breaks.
    answers_left: BTreeMap<(ActorId, NodeId), u64>,
    random: Random,
}

impl Links {
    pub fn new(seed: u64) -> Self {
        Self {
            conns: BTreeMap::new(),
            next_conn: 1,
            default: (Duration::from_millis(1), Duration::ZERO),
            links: BTreeMap::new(),
            held: BTreeMap::new(),
            answers_left: BTreeMap::new(),
            random: Random::stream(seed, "links"),
        }
    }

    pub fn open(&mut self, node: NodeId, end: End) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let connection = Connection {
            node,
            end,
            client_gone: false,
            node_gone: false,
            dropped: false,
            asked: VecDeque::new(),
            last_to_node: Instant::ZERO,
            last_to_client: Instant::ZERO,
        };
        self.conns.insert(conn, connection);
        conn
    }

    pub fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.conns.get(&conn)
    }

    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.conns.get_mut(&conn)
    }

    pub fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.conns.remove(&conn)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Connection)> {
        self.conns.iter().map(|(conn, connection)| (*conn, connection))
    }

    /// The connections to a node.
    pub fn of_node(&self, node: NodeId) -> Vec<ConnId> {
        self.iter().filter(|(_, connection)| connection.node == node).map(|(conn, _)| conn).collect()
    }

    /// Sends something over a connection of an actor: it arrives after the link's latency and never
    /// before what was sent earlier the same way. Returns when, or `None` where the link is cut.
    pub fn send(
        &mut self,
        queue: &mut Queue,
        now: Instant,
        conn: ConnId,
        direction: Direction,
        pending: Pending,
        cause: Option<EventId>,
    ) -> Option<Instant> {
        let connection = self.conns.get_mut(&conn)?;
        let End::Actor { actor, .. } = connection.end else { return None };
        let key = (actor, connection.node);
        let (mut latency, mut jitter) = self.default;
        if let Some(link) = self.links.get(&key) {
            if link.cut {
                self.held.entry(key).or_default().push((direction, pending, cause));
                return None;
            }
            (latency, jitter) = (link.latency, link.jitter);
        }
        let extra = Duration::from_micros(self.random.below(jitter.as_micros() as u64 + 1));
        let last = match direction {
            Direction::ToNode => &mut connection.last_to_node,
            Direction::ToClient => &mut connection.last_to_client,
        };
        let due = (now + latency + extra).max(*last);
        *last = due;
        queue.push(due, pending, cause);
        Some(due)
    }

    /// Sets the latency of one link, or of every link that has none of its own.
    pub fn set_latency(&mut self, between: Option<(ActorId, NodeId)>, latency: Duration, jitter: Duration) {
        match between {
            Some(key) => {
                let link = self.link(key);
                (link.latency, link.jitter) = (latency, jitter);
            }
            None => self.default = (latency, jitter),
        }
    }

    pub fn cut(&mut self, key: (ActorId, NodeId)) {
        self.link(key).cut = true;
    }

    /// Mends a link: what was sent meanwhile goes out now, as a network sends again what got lost.
    pub fn heal(&mut self, queue: &mut Queue, now: Instant, key: (ActorId, NodeId)) {
        self.link(key).cut = false;
        for (direction, pending, cause) in self.held.remove(&key).unwrap_or_default() {
            if let Some(conn) = pending.conn() {
                self.send(queue, now, conn, direction, pending, cause);
            }
        }
    }

    /// The connections between an actor and a node.
    pub fn between(&self, (actor, node): (ActorId, NodeId)) -> Vec<ConnId> {
        let is_theirs = |connection: &Connection| {
            connection.node == node && matches!(connection.end, End::Actor { actor: other, .. } if other == actor)
        };
        self.iter().filter(|(_, connection)| is_theirs(connection)).map(|(conn, _)| conn).collect()
    }

    /// Has the connection break that carries the answer this many ahead.
    pub fn drop_at_answer(&mut self, key: (ActorId, NodeId), answers: u64) {
        self.answers_left.insert(key, answers);
    }

    /// An answer was sent. Whether its connection is to break now.
    pub fn breaks_with_answer(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.conns.get(&conn) else { return false };
        let End::Actor { actor, .. } = connection.end else { return false };
        let key = (actor, connection.node);
        let Some(left) = self.answers_left.get_mut(&key) else { return false };
        *left = left.saturating_sub(1);
        let breaks = *left == 0;
        if breaks {
            self.answers_left.remove(&key);
        }
        breaks
    }

    pub fn is_cut(&self, key: (ActorId, NodeId)) -> bool {
        self.links.get(&key).is_some_and(|link| link.cut)
    }

    fn link(&mut self, key: (ActorId, NodeId)) -> &mut Link {
        let (latency, jitter) = self.default;
        self.links.entry(key).or_insert(Link { latency, jitter, cut: false })
    }
}

impl Connection {
    pub fn peer(&self) -> Peer {
        match &self.end {
            End::Outside { peer } => Peer::Outside(peer.clone()),
            End::Actor { actor, .. } => Peer::Actor(*actor),
        }
    }

    pub fn is_outside(&self) -> bool {
        matches!(self.end, End::Outside { .. })
    }

    /// Takes the request that this response answers. Responses come in order; requests before it that
    /// got none (`acks=0`) never will.
    pub fn answered(&mut self, correlation_id: i32) -> Option<Asked> {
        let index = self.asked.iter().position(|asked| asked.correlation_id == correlation_id)?;
        self.asked.drain(..=index).next_back()
    }
}
