//! Connections: their requests wait in line and are answered in line.
//!
//! One request of a connection is in service at a time, as in Kafka, with one exception that cannot be
//! told from outside: Produce requests that follow one another are all taken up, so that one store
//! covers them. Their answers leave in the order in which they came. A request that is not appended yet
//! holds back those behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::ConnId;
use shore_base::collections::BTreeMap;
use shore_wire::frame::Frame;

use crate::api::{RequestContext, RequestId};
use crate::node::Role;

/// Produce requests of one connection that are in service together.
const PIPELINE: usize = 64;
const PRODUCE_KEY: [u8; 2] = [0, 0];

#[derive(Clone, Default)]
pub(crate) struct Connections {
    all: BTreeMap<ConnId, Connection>,
    /// Whose each request in service is. Invariant: it is in that connection's `in_service`.
    owners: BTreeMap<RequestId, ConnId>,
    /// Connections that may have a request to take up, in the order in which they came to have one.
    ready: VecDeque<ConnId>,
    next_request: u64,
}

#[derive(Clone)]
struct Connection {
    role: Role,
    peer: Arc<str>,
    waiting: VecDeque<Bytes>,
    /// Oldest first.
    in_service: VecDeque<InService>,
}

#[derive(Clone)]
struct InService {
    id: RequestId,
    is_produce: bool,
    /// Nothing behind it may be taken up.
    holds: bool,
    /// What it is, for the event of its answer.
    ctx: Option<RequestContext>,
    end: Option<End>,
}

/// How a request ends.
#[derive(Clone)]
pub(crate) enum End {
    Answer(Frame),
    /// Nothing is sent.
    Silent,
    Close(String),
}

/// A request to serve.
pub(crate) struct Next {
    pub id: RequestId,
    pub conn: ConnId,
    pub role: Role,
    pub peer: Arc<str>,
    pub frame: Bytes,
}

impl Connection {
    /// Whether the first request that waits may be taken up.
    fn may_serve(&self) -> bool {
        let Some(next) = self.waiting.front() else { return false };
        let pipelined = || {
            next.starts_with(&PRODUCE_KEY) && self.in_service.iter().all(|request| request.is_produce && !request.holds)
        };
        self.in_service.is_empty() || (self.in_service.len() < PIPELINE && self.role == Role::Broker && pipelined())
    }
}

impl Connections {
    pub fn open(&mut self, conn: ConnId, role: Role, peer: &str) {
        let connection = Connection { role, peer: peer.into(), waiting: VecDeque::new(), in_service: VecDeque::new() };
        self.all.insert(conn, connection);
    }

    /// A request arrived. It is dropped if the connection is gone, or was closed by us.
    pub fn push(&mut self, conn: ConnId, frame: Bytes) {
        if let Some(connection) = self.all.get_mut(&conn) {
            connection.waiting.push_back(frame);
            if connection.waiting.len() == 1 {
                self.ready.push_back(conn);
            }
        }
    }

    /// Takes up the next request.
    pub fn next(&mut self) -> Option<Next> {
        while let Some(conn) = self.ready.pop_front() {
            let Some(connection) = self.all.get_mut(&conn).filter(|connection| connection.may_serve()) else {
                continue;
            };
            let frame = connection.waiting.pop_front().expect("it may be served");
            self.next_request += 1;
            let id = RequestId(self.next_request);
            let is_produce = frame.starts_with(&PRODUCE_KEY);
            connection.in_service.push_back(InService { id, is_produce, holds: false, ctx: None, end: None });
            self.owners.insert(id, conn);
            if connection.may_serve() {
                self.ready.push_back(conn);
            }
            return Some(Next { id, conn, role: connection.role, peer: connection.peer.clone(), frame });
        }
        None
    }

    /// Remembers what a request is, for the event of its answer.
    pub fn note(&mut self, request: RequestId, ctx: RequestContext) {
        let connection = self.owners.get(&request).and_then(|conn| self.all.get_mut(conn));
        let mut in_service = connection.into_iter().flat_map(|connection| &mut connection.in_service);
        if let Some(known) = in_service.find(|known| known.id == request) {
            known.ctx = Some(ctx);
        }
    }

    /// From here on, or no longer, nothing behind a request is taken up.
    pub fn hold(&mut self, request: RequestId, holds: bool) {
        let Some(&conn) = self.owners.get(&request) else { return };
        let connection = self.all.get_mut(&conn).expect("requests in service have a connection");
        for known in connection.in_service.iter_mut().filter(|known| known.id == request) {
            known.holds = holds;
        }
        if connection.may_serve() {
            self.ready.push_back(conn);
        }
    }

    /// A number for a request that comes from no connection.
    pub fn number(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// A request has come to its end. Those that may leave now are taken with [`Connections::leave`].
    pub fn end(&mut self, request: RequestId, end: End) -> Option<ConnId> {
        let conn = self.owners.remove(&request)?;
        let connection = self.all.get_mut(&conn).expect("requests in service have a connection");
        let known = connection.in_service.iter_mut().find(|known| known.id == request);
        known.expect("it is in service").end = Some(end);
        Some(conn)
    }

    /// The oldest request of a connection, if it has come to its end.
    pub fn leave(&mut self, conn: ConnId) -> Option<(End, Option<RequestContext>)> {
        let connection = self.all.get_mut(&conn)?;
        connection.in_service.front()?.end.as_ref()?;
        let InService { ctx, end, .. } = connection.in_service.pop_front().expect("there is one");
        if connection.may_serve() {
            self.ready.push_back(conn);
        }
        end.map(|end| (end, ctx))
    }

    /// Forgets a connection and returns the requests that it had in service.
    pub fn close(&mut self, conn: ConnId) -> Vec<RequestId> {
        let Some(connection) = self.all.remove(&conn) else { return Vec::new() };
        let open = connection.in_service.into_iter().filter(|request| request.end.is_none());
        let open: Vec<RequestId> = open.map(|request| request.id).collect();
        for request in &open {
            self.owners.remove(request);
        }
        open
    }

    /// Connections with their peer, requests waiting, and whether one is in service.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, Role, &Arc<str>, usize, bool)> {
        self.all.iter().map(|(&conn, connection)| {
            (conn, connection.role, &connection.peer, connection.waiting.len(), !connection.in_service.is_empty())
        })
    }
}
