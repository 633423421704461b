//! Connections: their requests wait in line, one of each is in service at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use shore_base::ConnId;

use crate::api::{RequestContext, RequestId};
use crate::node::Role;

#[derive(Clone, Default)]
pub(crate) struct Connections {
    all: BTreeMap<ConnId, Connection>,
    /// Invariant: each is the request that its connection has in service.
    in_service: BTreeMap<RequestId, (ConnId, Option<RequestContext>)>,
    /// Connections that may have a request to take up, in the order in which they came to have one.
    ready: VecDeque<ConnId>,
    next_request: u64,
}

#[derive(Clone)]
struct Connection {
    role: Role,
    peer: Arc<str>,
    waiting: VecDeque<Bytes>,
    in_service: Option<RequestId>,
}

/// A request to serve.
pub(crate) struct Next {
    pub id: RequestId,
    pub conn: ConnId,
    pub role: Role,
    pub peer: Arc<str>,
    pub frame: Bytes,
}

impl Connections {
    pub fn open(&mut self, conn: ConnId, role: Role, peer: &str) {
        let connection = Connection { role, peer: peer.into(), waiting: VecDeque::new(), in_service: None };
        self.all.insert(conn, connection);
    }

    /// A request arrived. It is dropped if the connection is gone, or was closed by us.
    pub fn push(&mut self, conn: ConnId, frame: Bytes) {
        if let Some(connection) = self.all.get_mut(&conn) {
            connection.waiting.push_back(frame);
            if connection.in_service.is_none() && connection.waiting.len() == 1 {
                self.ready.push_back(conn);
            }
        }
    }

    /// Takes up the next request.
    pub fn next(&mut self) -> Option<Next> {
        while let Some(conn) = self.ready.pop_front() {
            let Some(connection) = self.all.get_mut(&conn) else { continue };
            if connection.in_service.is_some() {
                continue;
            }
            let Some(frame) = connection.waiting.pop_front() else { continue };
            self.next_request += 1;
            let id = RequestId(self.next_request);
            connection.in_service = Some(id);
            self.in_service.insert(id, (conn, None));
            return Some(Next { id, conn, role: connection.role, peer: connection.peer.clone(), frame });
        }
        None
    }

    /// Remembers what a request is, for the event of its answer.
    pub fn note(&mut self, request: RequestId, ctx: RequestContext) {
        if let Some((_, known)) = self.in_service.get_mut(&request) {
            *known = Some(ctx);
        }
    }

    /// A request is done with: whose it was, if the connection is still there.
    pub fn done(&mut self, request: RequestId) -> Option<(ConnId, Option<RequestContext>)> {
        let (conn, ctx) = self.in_service.remove(&request)?;
        let connection = self.all.get_mut(&conn).expect("requests in service have a connection");
        connection.in_service = None;
        if !connection.waiting.is_empty() {
            self.ready.push_back(conn);
        }
        Some((conn, ctx))
    }

    /// Forgets a connection and returns the request that it had in service.
    pub fn close(&mut self, conn: ConnId) -> Option<RequestId> {
        let connection = self.all.remove(&conn)?;
        let request = connection.in_service?;
        self.in_service.remove(&request);
        Some(request)
    }

    /// Connections with their peer, requests waiting, and whether one is in service.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, Role, &Arc<str>, usize, bool)> {
        self.all.iter().map(|(&conn, connection)| {
            (conn, connection.role, &connection.peer, connection.waiting.len(), connection.in_service.is_some())
        })
    }
}
