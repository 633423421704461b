//! The world: nodes, disks, links and clients on one virtual clock.

use std::collections::VecDeque;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Instant, NodeId, Random, Wall};
use shore_broker::{Input, Node, NodeConfig, Output, Role};
use shore_log::storage::{StoreOp, StoreReply, StoreRequest};
use shore_wire::api::ApiKey;
use shore_wire::frame::{Frame, response_correlation_id};

use crate::acting::{self, ClientWork, Clients};
use crate::action::Action;
use crate::actor::{Actor, ActorId};
use crate::disk::{Disk, ModelDisk};
use crate::event::{Direction, Event, EventKind, Watch};
use crate::links::{Connection, End, Links};
use crate::node::{NodeDisk, NodeSlot, Run, Submission};
use crate::queue::{Due, Pending, Queue, Sleeper};
use crate::speed::Speed;
use crate::trace::{Mark, Trace};

/// What leaves the world for its host.
#[derive(Clone, Debug)]
pub enum Outward {
    /// A whole response for a connection of the outside. Responses of one connection are in the order
    /// of its requests.
    Respond { conn: ConnId, frame: Frame },
    /// The connection is over; the world has forgotten it.
    Close { conn: ConnId, reason: String },
    /// To be carried out and answered with [`World::store_reply`], in order. Only from external disks.
    Store { node: NodeId, request: StoreRequest },
    /// A line for the operator.
    Log { node: NodeId, line: String },
    /// The node is registered and serves clients.
    Ready { node: NodeId },
    /// The node has stopped cleanly.
    Stopped { node: NodeId },
}

/// Nodes, disks, links and clients on one virtual clock.
///
/// Drive it so: give it what happened (`advance`, `receive`, `store_reply`, `act`), then [`World::poll`]
/// until it returns `None`, then wait until [`World::next_due`]. Cloning it is cheap and gives a world
/// that goes its own way from here.
#[derive(Clone)]
pub struct World {
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    /// The wall clock's reading at [`Instant::ZERO`].
    pub(crate) wall: Wall,
    pub(crate) speed: Speed,
    pub(crate) nodes: BTreeMap<NodeId, NodeSlot>,
    pub(crate) links: Links,
    pub(crate) actors: BTreeMap<ActorId, Actor>,
    pub(crate) next_actor: u32,
    /// The newest versions of APIs that clients speak, by their names, where somebody limits them.
    pub(crate) version_limits: BTreeMap<String, Vec<(ApiKey, i16)>>,
    /// Nothing else leads to the clients' code, so a program whose worlds have none does not carry it.
    pub(crate) clients: Clients,
    pub(crate) queue: Queue,
    outward: VecDeque<Outward>,
    pub(crate) watch: Watch,
    pub(crate) trace: Trace,
    /// What a crash leaves of a disk.
    crashes: Random,
    /// Wakes of one machine in a row at one moment; a machine that asks for ever is broken.
    restless: (Option<Sleeper>, Instant, u32),
}

/// The wall clock of a world that nobody told the time: 2026-01-01T00:00:00Z.
const DEFAULT_WALL: Wall = Wall::from_millis(1_767_225_600_000);

impl World {
    pub fn new(seed: u64) -> Self {
        Self { clients: acting::clients, ..Self::without_clients(seed) }
    }

    /// A world whose clients are all outside: it has none of its own and takes no actions that are theirs.
    pub fn without_clients(seed: u64) -> Self {
        Self {
            seed,
            now: Instant::ZERO,
            wall: DEFAULT_WALL,
            speed: Speed::REAL_TIME,
            nodes: BTreeMap::new(),
            links: Links::new(seed),
            actors: BTreeMap::new(),
            next_actor: 1,
            version_limits: BTreeMap::new(),
            clients: |_, _| Err("this world has no clients of its own".to_owned()),
            queue: Queue::default(),
            outward: VecDeque::new(),
            watch: Watch::default(),
            trace: Trace::new(seed),
            crashes: Random::stream(seed, "crashes"),
            restless: (None, Instant::ZERO, 0),
        }
    }

    /// Adds a node and starts it.
    pub fn boot(&mut self, config: NodeConfig, disk: Disk) {
        let node = config.node_id;
        assert!(!self.nodes.contains_key(&node), "node {node} is there already");
        self.nodes.insert(node, NodeSlot::new(config, disk));
        self.start_node(node);
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the wall clock reads now.
    pub fn wall(&self) -> Wall {
        self.wall.at(self.now)
    }

    /// Sets the wall clock: at boot, and when a host resumes after a sleep.
    pub fn set_wall(&mut self, reading: Wall) {
        self.wall = reading.offset_from(self.now);
        self.trace.note(self.now, Mark::Wall, &[self.wall.as_millis() as u64], &[]);
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for node in nodes {
            self.drive(node, Input::WallClock { offset: self.wall });
        }
    }

    pub fn speed(&self) -> Speed {
        self.speed
    }

    pub fn set_speed(&mut self, speed: Speed) {
        self.speed = speed;
    }

    /// Lets time pass until `to`, doing on the way what is due, each thing at its own time.
    pub fn advance(&mut self, to: Instant) {
        while let Some((at, due)) = self.queue.pop(to) {
            self.now = self.now.max(at);
            self.do_due(due);
        }
        self.now = self.now.max(to);
    }

    /// Goes to the next thing that is due and does it. Returns the time, or `None` if nothing is.
    pub fn step(&mut self) -> Option<Instant> {
        let (at, due) = self.queue.pop(Instant::MAX)?;
        self.now = self.now.max(at);
        self.do_due(due);
        Some(self.now)
    }

    /// When the next thing is due, and what it is.
    pub fn next_due(&self) -> Option<(Instant, &'static str)> {
        self.queue.next_due()
    }

    /// Opens a connection from outside to a node. `peer` is the client's address as DescribeGroups shows it.
    pub fn connect(&mut self, node: NodeId, peer: &str) -> ConnId {
        let conn = self.links.open(node, End::Outside { peer: peer.to_owned() });
        if self.nodes.get(&node).is_none_or(NodeSlot::is_down) {
            self.close_for_client(conn, format!("node {node} is down"));
        } else {
            self.accept(conn);
        }
        conn
    }

    /// A whole request, without its length prefix, arrived on a connection of the outside.
    pub fn receive(&mut self, conn: ConnId, frame: Bytes) {
        let Some(connection) = self.links.get(conn) else { return };
        let node = connection.node;
        self.arrive(node, conn, frame);
    }

    /// The outside closed a connection.
    pub fn disconnect(&mut self, conn: ConnId) {
        if let Some(connection) = self.links.remove(conn) {
            self.watch.add(self.now, || EventKind::Closed { conn, reason: "the client closed it".into() });
            self.drive(connection.node, Input::Disconnected { conn });
        }
    }

    /// The host's answer to an [`Outward::Store`], in the order of the requests.
    pub fn store_reply(&mut self, node: NodeId, reply: StoreReply) {
        let Some(slot) = self.nodes.get_mut(&node) else { return };
        if slot.takes_reply() {
            self.stored(node, reply);
        }
    }

    /// The next thing that leaves the world.
    pub fn poll(&mut self) -> Option<Outward> {
        self.outward.pop_front()
    }

    /// Does something to the world.
    pub fn act(&mut self, action: Action) -> Result<(), String> {
        if self.trace.is_on() {
            self.trace.note(self.now, Mark::Action, &[], &[action.to_string().as_bytes()]);
        }
        let cause = self.watch.add(self.now, || EventKind::Acted(action.clone()));
        let before = self.watch.cause;
        self.watch.cause = cause.or(before);
        let result = self.perform(action);
        self.watch.cause = before;
        result
    }

    /// Has something done later.
    pub fn act_at(&mut self, at: Instant, action: Action) {
        self.queue.push(at.max(self.now), Pending::Act(action), self.watch.cause);
    }

    /// From now on [`World::events`] has what happens.
    pub fn subscribe(&mut self) {
        self.watch.subscribe();
        self.observe(true);
    }

    pub fn unsubscribe(&mut self) {
        self.watch.unsubscribe();
        self.observe(false);
    }

    /// The events since the last call, if subscribed.
    pub fn events(&mut self) -> Vec<Event> {
        self.watch.take()
    }

    /// Begins the trace. To be called before anything happens if two runs are to be compared.
    pub fn start_trace(&mut self) {
        self.trace.turn_on();
    }

    /// Keeps the trace in words too, for whoever looks for the first difference of two runs.
    pub fn keep_trace_lines(&mut self) {
        self.trace.keep_lines();
    }

    pub fn take_trace_lines(&mut self) -> Vec<String> {
        self.trace.take_lines()
    }

    /// Two runs whose traces were started have the same hash if they were the same.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// A running node, for tests and screens.
    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(&node)?.node()
    }

    /// How many requests a modelled disk was given so far.
    pub fn disk_calls(&self, node: NodeId) -> u64 {
        match self.nodes.get(&node).map(|slot| &slot.disk) {
            Some(NodeDisk::Model(disk)) => disk.calls(),
            _ => 0,
        }
    }

    fn observe(&mut self, on: bool) {
        for slot in self.nodes.values_mut() {
            if let Some(node) = slot.node_mut() {
                node.observe(on);
            }
        }
    }

    fn do_due(&mut self, due: Due) {
        match due {
            Due::Pending(pending, cause) => {
                self.watch.cause = cause;
                self.do_pending(pending);
            }
            Due::Wake(sleeper, reason) => {
                self.watch.cause = None;
                self.check_restless(sleeper, reason);
                match sleeper {
                    Sleeper::Node(node) => {
                        self.trace.note(self.now, Mark::Wake, &[0, node.0 as u64], &[]);
                        self.drive(node, Input::Wake);
                    }
                    Sleeper::Actor(actor) => {
                        self.trace.note(self.now, Mark::Wake, &[1, u64::from(actor.0)], &[]);
                        self.tell_clients(ClientWork::Wake(actor));
                    }
                }
            }
        }
        self.watch.cause = None;
    }

    fn tell_clients(&mut self, work: ClientWork) {
        // Only an action can be refused.
        let _ = (self.clients)(self, work);
    }

    fn check_restless(&mut self, sleeper: Sleeper, reason: &str) {
        let (who, at, times) = &mut self.restless;
        if *who == Some(sleeper) && *at == self.now {
            *times += 1;
            assert!(*times < 10_000, "{sleeper:?} asks to be woken at {} for ever: {reason}", self.now);
        } else {
            self.restless = (Some(sleeper), self.now, 0);
        }
    }

    fn do_pending(&mut self, pending: Pending) {
        match pending {
            Pending::Dialled { conn } => self.dialled(conn),
            Pending::Accepted { conn } => {
                if !self.is_dropped(conn) {
                    self.tell_clients(ClientWork::Connected(conn));
                }
            }
            Pending::Request { conn, frame, .. } => {
                let Some(connection) = self.links.get(conn) else { return };
                let node = connection.node;
                if !connection.node_gone && !connection.dropped {
                    self.arrive(node, conn, frame);
                }
            }
            Pending::Response { conn, frame, .. } => {
                if !self.is_dropped(conn) {
                    self.tell_clients(ClientWork::Answered(conn, frame));
                }
            }
            Pending::ClosedForClient { conn } => self.tell_clients(ClientWork::Closed(conn)),
            Pending::ClosedForNode { conn } => {
                let Some(connection) = self.links.get_mut(conn) else { return };
                let (node, dropped) = (connection.node, connection.dropped);
                let knew = core::mem::replace(&mut connection.node_gone, true);
                // The client may hear later that it broke off.
                if connection.client_gone {
                    self.links.remove(conn);
                }
                self.trace.note(self.now, Mark::Closed, &[0, conn.0], &[]);
                if !knew {
                    let why = if dropped { "the connection broke off" } else { "the client closed it" };
                    self.watch.add(self.now, || EventKind::Closed { conn, reason: why.into() });
                    self.drive(node, Input::Disconnected { conn });
                }
            }
            Pending::Disk { node, life } => {
                let Some(slot) = self.nodes.get_mut(&node).filter(|slot| slot.life == life && !slot.is_down()) else {
                    return;
                };
                if let Some(reply) = slot.complete(&mut self.crashes) {
                    self.stored(node, reply);
                }
            }
            Pending::Act(action) => {
                // What a script asks of something that has gone meanwhile is void, but said.
                if let Err(why) = self.act(action) {
                    self.watch.add(self.now, || EventKind::Refused { why });
                }
            }
        }
    }

    /// A dial reaches its node: it is accepted, or refused by a machine on which nobody listens.
    fn dialled(&mut self, conn: ConnId) {
        let Some(connection) = self.links.get_mut(conn) else { return };
        if connection.dropped {
            return;
        }
        let node = connection.node;
        self.trace.note(self.now, Mark::Dialled, &[conn.0, node.0 as u64], &[]);
        if self.nodes.get(&node).is_none_or(NodeSlot::is_down) {
            connection.node_gone = true;
            self.send_over(conn, Direction::ToClient, Pending::ClosedForClient { conn });
            return;
        }
        self.accept(conn);
        self.send_over(conn, Direction::ToClient, Pending::Accepted { conn });
    }

    fn accept(&mut self, conn: ConnId) {
        let Some(connection) = self.links.get(conn) else { return };
        let node = connection.node;
        let peer = match &connection.end {
            End::Outside { peer } => peer.clone(),
            End::Actor { actor, .. } => format!("10.0.{}.{}", actor.0 / 250, actor.0 % 250 + 1),
        };
        self.watch.add(self.now, || EventKind::Connected { conn, node, peer: connection.peer() });
        self.drive(node, Input::Connected { conn, role: Role::Broker, peer });
    }

    /// A request reaches its node.
    fn arrive(&mut self, node: NodeId, conn: ConnId, frame: Bytes) {
        self.trace.note(self.now, Mark::Request, &[conn.0], &[&frame]);
        if self.watch.is_on() {
            let cause = self.watch.add(self.now, || EventKind::Request { conn, frame: frame.clone() });
            self.watch.cause = cause;
        }
        self.drive(node, Input::Request { conn, frame });
    }

    fn stored(&mut self, node: NodeId, reply: StoreReply) {
        let (token, error) = match &reply {
            StoreReply::Stored { token, result } => (*token, result.as_ref().err()),
            StoreReply::Loaded { token, result } => (*token, result.as_ref().err()),
            StoreReply::Listed { token, result } => (*token, result.as_ref().err()),
        };
        self.trace.note(self.now, Mark::StoreDone, &[node.0 as u64, token.0, u64::from(error.is_some())], &[]);
        if self.watch.is_on() {
            let error = error.map(ToString::to_string);
            let cause = self.watch.add(self.now, || EventKind::StoreDone { node, token, error });
            self.watch.cause = cause;
        }
        self.drive(node, Input::Store(reply));
    }

    pub(crate) fn start_node(&mut self, node: NodeId) {
        let observed = self.watch.is_on();
        let Some(slot) = self.nodes.get_mut(&node) else { return };
        slot.start(self.now, self.wall, observed);
        self.trace.note(self.now, Mark::NodeUp, &[node.0 as u64], &[]);
        self.watch.add(self.now, || EventKind::NodeStarted { node });
        self.drain(node);
    }

    /// Ends a node where it stands: its connections break, its disk keeps what a crash leaves.
    pub(crate) fn kill_node(&mut self, node: NodeId, power: bool) {
        let Some(slot) = self.nodes.get_mut(&node) else { return };
        slot.kill(&mut self.crashes, power);
        let why = if power { "without power" } else { "killed" };
        self.watch.add(self.now, || EventKind::NodeKilled { node, why });
        self.node_is_down(node, why);
    }

    fn node_is_down(&mut self, node: NodeId, why: &'static str) {
        self.trace.note(self.now, Mark::NodeDown, &[node.0 as u64], &[why.as_bytes()]);
        self.queue.set_wake(Sleeper::Node(node), None);
        for conn in self.links.of_node(node) {
            self.close_for_client(conn, format!("node {node} is down"));
        }
    }

    /// The node's side of a connection is gone: the client hears of it.
    fn close_for_client(&mut self, conn: ConnId, reason: String) {
        let Some(connection) = self.links.get_mut(conn).filter(|connection| !connection.node_gone) else { return };
        connection.node_gone = true;
        let outside = connection.is_outside();
        self.watch.add(self.now, || EventKind::Closed { conn, reason: reason.clone() });
        if outside {
            self.links.remove(conn);
            self.outward.push_back(Outward::Close { conn, reason });
        } else {
            self.send_over(conn, Direction::ToClient, Pending::ClosedForClient { conn });
        }
    }

    fn is_dropped(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some_and(|connection| connection.dropped)
    }

    /// Breaks a connection off: what is on its way is lost, and each side hears that it is gone.
    pub(crate) fn drop_connection(&mut self, conn: ConnId) {
        let is_open = |c: &&mut Connection| !c.node_gone && !c.client_gone && !c.dropped && !c.is_outside();
        let Some(connection) = self.links.get_mut(conn).filter(is_open) else { return };
        connection.dropped = true;
        self.trace.note(self.now, Mark::Dropped, &[conn.0], &[]);
        self.watch.add(self.now, || EventKind::Dropped { conn });
        self.send_over(conn, Direction::ToClient, Pending::ClosedForClient { conn });
        self.send_over(conn, Direction::ToNode, Pending::ClosedForNode { conn });
    }

    pub(crate) fn send_over(&mut self, conn: ConnId, direction: Direction, pending: Pending) -> Option<Instant> {
        self.links.send(&mut self.queue, self.now, conn, direction, pending, self.watch.cause)
    }

    /// Hands something to a node and carries out what it wants done.
    pub(crate) fn drive(&mut self, node: NodeId, input: Input) {
        let Some(machine) = self.nodes.get_mut(&node).and_then(NodeSlot::node_mut) else { return };
        machine.handle(self.now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: NodeId) {
        let mut crash = false;
        while let Some(output) = self.nodes.get_mut(&node).and_then(NodeSlot::node_mut).and_then(Node::poll) {
            match output {
                Output::Respond { conn, frame } => self.respond(conn, frame),
                Output::Close { conn, reason } => self.close_for_client(conn, reason),
                Output::Store(request) => crash |= self.submit(node, request),
                Output::Event(event) => {
                    self.watch.add(self.now, || EventKind::Node { node, event });
                }
                Output::Log(line) => {
                    self.watch.add(self.now, || EventKind::Log { node, line: line.clone() });
                    self.outward.push_back(Outward::Log { node, line });
                }
                Output::Ready => {
                    if let Some(Run::Up { ready, .. }) = self.nodes.get_mut(&node).map(|slot| &mut slot.run) {
                        *ready = true;
                    }
                    self.watch.add(self.now, || EventKind::NodeReady { node });
                    self.outward.push_back(Outward::Ready { node });
                }
                Output::Stopped => {
                    if let Some(slot) = self.nodes.get_mut(&node) {
                        slot.run = Run::Down;
                    }
                    self.watch.add(self.now, || EventKind::NodeStopped { node });
                    self.outward.push_back(Outward::Stopped { node });
                    self.node_is_down(node, "stopped");
                }
            }
            if crash {
                let power = self.nodes.get(&node).is_some_and(|slot| slot.crash_takes_power);
                self.kill_node(node, power);
            }
        }
        let wake = self.nodes.get(&node).and_then(NodeSlot::node).and_then(Node::next_wake);
        self.queue.set_wake(Sleeper::Node(node), wake);
    }

    fn respond(&mut self, conn: ConnId, frame: Frame) {
        if self.trace.is_on() {
            let parts: Vec<&[u8]> = frame.parts().iter().map(AsRef::as_ref).collect();
            // How a frame is cut into parts is not part of what it says.
            self.trace.note(self.now, Mark::Response, &[conn.0, frame.len() as u64], &[&parts.concat()]);
        }
        let Some(connection) = self.links.get_mut(conn).filter(|connection| !connection.node_gone) else { return };
        if connection.is_outside() {
            let now = self.now;
            self.watch.add(now, || EventKind::Response { conn, frame: frame.clone(), due: now });
            self.outward.push_back(Outward::Respond { conn, frame });
            return;
        }
        let body = frame.body();
        let asked = response_correlation_id(&body).and_then(|id| connection.answered(id));
        let pending = Pending::Response { conn, frame: body, asked, sent_at: self.now };
        let due = self.links.send(&mut self.queue, self.now, conn, Direction::ToClient, pending, self.watch.cause);
        self.watch.add(self.now, || EventKind::Response { conn, frame, due: due.unwrap_or(Instant::MAX) });
        if self.links.breaks_with_answer(conn) {
            self.drop_connection(conn);
        }
    }

    /// Gives a store request to the node's disk. True if the machine is to crash over it.
    fn submit(&mut self, node: NodeId, request: StoreRequest) -> bool {
        let Some(slot) = self.nodes.get_mut(&node) else { return false };
        let life = slot.life;
        if self.trace.is_on() || self.watch.is_on() {
            let (token, ops, bytes) = match &request {
                StoreRequest::Store { token, ops } => (*token, ops.len() as u32, ops.iter().map(bytes_of).sum()),
                StoreRequest::Load { token, reads } => (*token, reads.len() as u32, 0),
                StoreRequest::List { token, .. } => (*token, 1, 0),
            };
            self.trace.note(self.now, Mark::Store, &[node.0 as u64, token.0, u64::from(ops), bytes], &[]);
            self.watch.add(self.now, || EventKind::Store { node, token, ops, bytes });
        }
        match slot.submit(self.now, request) {
            Submission::DoneAt(at) => self.queue.push(at, Pending::Disk { node, life }, self.watch.cause),
            Submission::Crash => return true,
            Submission::Outside(request) => self.outward.push_back(Outward::Store { node, request }),
        }
        false
    }

    pub(crate) fn model_disk(&mut self, node: NodeId) -> Result<&mut ModelDisk, String> {
        match self.nodes.get_mut(&node).map(|slot| &mut slot.disk) {
            Some(NodeDisk::Model(disk)) => Ok(disk),
            Some(NodeDisk::External { .. }) => {
                Err(format!("node {node}'s disk is real: only a modelled disk takes faults"))
            }
            None => Err(format!("there is no node {node}")),
        }
    }
}

fn bytes_of(op: &StoreOp) -> u64 {
    match op {
        StoreOp::Append { bytes, .. } | StoreOp::Replace { bytes, .. } => bytes.len() as u64,
        _ => 0,
    }
}
