//! A node: the machine that a host drives.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet, sort_by};
use shore_base::{ConnId, Duration, Instant, NodeId, Uuid, Wall};
use shore_log::Read;
use shore_log::storage::{StoreError, StoreOp, StoreReply, StoreRequest, Token};
use shore_wire::frame::Frame;

use crate::api::{RequestContext, RequestId};
use crate::boot::{Boot, Booted};
use crate::broker::{Broker, BrokerOutput, LoadFor};
use crate::config::Settings;
use crate::connection::{Connections, End};
use crate::controller::{Controller, ControllerOutput, Peer};
use crate::event::Event;
use crate::replica::{PartitionId, Stored};
use crate::view::{self, ConnectionView, ControllerView, NodeView, StoreView, TopicConfigView};

/// A node as it is configured before it boots.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub node_id: NodeId,
    pub cluster_id: Uuid,
    /// Where the node's files live: `n1/d0`.
    pub directory: shore_log::storage::FileName,
    pub advertised_host: String,
    pub advertised_port: u16,
    /// Static broker configs (`server.properties`), reported by DescribeConfigs as such.
    pub static_configs: BTreeMap<String, String>,
    pub durability: Durability,
    /// Bytes of log that may stay in memory; what is older is loaded when it is read.
    pub cache_bytes: u64,
    /// For a store that keeps everything in memory: where all logs together grow beyond this, the
    /// oldest segments are dropped, whatever retention says.
    pub memory_ceiling_bytes: Option<u64>,
    /// Seeds ids and everything else that is random.
    pub seed: u64,
}

impl NodeConfig {
    /// Its static configs, and those that say what a node is whether they are given or not.
    fn server_properties(&self) -> BTreeMap<String, String> {
        let host = if self.advertised_host.contains(':') {
            format!("[{}]", self.advertised_host)
        } else {
            self.advertised_host.clone()
        };
        let mut properties = self.static_configs.clone();
        if !properties.contains_key("broker.id") {
            properties.entry("node.id".to_owned()).or_insert_with(|| self.node_id.0.to_string());
        }
        for (name, value) in [
            ("advertised.listeners", format!("PLAINTEXT://{host}:{}", self.advertised_port)),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("process.roles", "broker,controller".to_owned()),
        ] {
            properties.entry(name.to_owned()).or_insert(value);
        }
        properties
    }
}

/// Whether a node would start with these static configs, whoever it is; if not, why.
pub fn check_static_configs(configs: &BTreeMap<String, String>) -> Result<(), String> {
    match OF_HOSTS.iter().find(|name| configs.contains_key(**name)) {
        Some(name) => Err(format!("{name} is not a config here: where a node listens and stores is its host's to say")),
        None => Settings::new(configs.clone()).map(drop),
    }
}

/// The configs of Kafka that a host has options for.
const OF_HOSTS: [&str; 5] = ["advertised.listeners", "listeners", "log.dir", "log.dirs", "metadata.log.dir"];

/// What an acknowledgement and the high watermark wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the append in memory.
    Memory,
    /// The host has written it: a killed process loses nothing.
    #[default]
    Written,
    /// The host has synced it: a loss of power loses nothing.
    Synced,
}

/// Which half of a combined node is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Broker,
    Controller,
}

/// What can happen to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody connected; `peer` is the address it comes from, which DescribeGroups shows.
    Connected { conn: ConnId, role: Role, peer: String },
    /// A whole request arrived, without its length prefix.
    Request { conn: ConnId, frame: Bytes },
    /// The peer is gone. What it waited for is dropped.
    Disconnected { conn: ConnId },
    /// An answer to something the node asked of its store.
    Store(StoreReply),
    /// The wall clock's reading at [`Instant::ZERO`] changed: at boot and after a resume.
    WallClock { offset: Wall },
    /// Take no more requests, write what recovery would have to scan for, then emit [`Output::Stopped`].
    Stop,
    /// Time passed: `next_wake` may be due.
    Wake,
}

/// What a node wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// A whole response. Responses of one connection are in the order of its requests.
    Respond {
        conn: ConnId,
        frame: Frame,
    },
    /// Close this connection; the reason goes to the log.
    Close {
        conn: ConnId,
        reason: String,
    },
    Store(StoreRequest),
    /// Something worth showing or asserting. Only built after [`Node::observe`].
    Event(Event),
    /// A line for the operator: a segment dropped at the ceiling, a disk that fails or heals.
    Log(String),
    /// The broker is registered, unfenced and serves clients.
    Ready,
    /// The answer to [`Input::Stop`]: everything is on disk.
    Stopped,
}

/// One node, controller and broker. Drive it so: one [`Node::handle`], then [`Node::poll`] until it
/// returns `None`, then sleep until [`Node::next_wake`].
#[derive(Clone)]
pub struct Node {
    config: Arc<NodeConfig>,
    settings: Arc<Settings>,
    now: Instant,
    wall_offset: Wall,
    observed: bool,
    phase: Phase,
    connections: Connections,
    store: Store,
    outputs: VecDeque<Output>,
}

/// Booting -> Running -> Stopping -> Stopped.
#[derive(Clone)]
enum Phase {
    Booting(Box<Boot>),
    Running(Box<Machines>),
    /// No requests are taken any more; the logs are closed once the broker is fenced.
    Stopping {
        machines: Box<Machines>,
        is_fenced: bool,
    },
    Stopped,
}

#[derive(Clone)]
struct Machines {
    controller: Controller,
    broker: Broker,
    is_ready: bool,
    /// Requests that the broker asked of itself.
    own: BTreeSet<RequestId>,
}

/// What was asked of the store and not answered yet. One write set is in flight; the rest coalesces.
#[derive(Clone, Default)]
struct Store {
    next_token: u64,
    flight: Option<Flight>,
    loads: BTreeMap<Token, LoadFor>,
    /// Ops that belong to no log. They are repeated until they are stored.
    loose: Vec<StoreOp>,
    /// The number of the cleaner's last store, which is among them.
    cleaner: Option<u64>,
    /// Why the last write failed, until one succeeds.
    failing: Option<String>,
    retry_at: Option<Instant>,
}

#[derive(Clone)]
struct Flight {
    token: Token,
    metadata_end: i64,
    covered: Vec<Stored>,
    loose: Vec<StoreOp>,
    cleaner: Option<u64>,
}

/// What the broker asks of itself comes over no connection.
const OWN_CONNECTION: ConnId = ConnId(u64::MAX);
const OWN_HOST: &str = "127.0.0.1";
const STORE_RETRY: Duration = Duration::from_millis(500);

impl Store {
    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }
}

impl Node {
    /// A node that begins to read its files. Refuses a config that Kafka would not start with.
    pub fn try_new(config: NodeConfig, now: Instant, wall_offset: Wall) -> Result<Self, String> {
        check_static_configs(&config.static_configs)?;
        let settings = Arc::new(Settings::new(config.server_properties())?);
        let (id, given) = (config.node_id, settings.int("node.id"));
        if given != id.0 {
            return Err(format!("node.id cannot be {given}: this node's id is {id}"));
        }
        let config = Arc::new(config);
        let mut node = Self {
            phase: Phase::Booting(Box::new(Boot::new(config.clone()))),
            config,
            settings,
            now,
            wall_offset,
            observed: false,
            connections: Connections::default(),
            store: Store::default(),
            outputs: VecDeque::new(),
        };
        node.go_on_booting();
        Ok(node)
    }

    /// As [`Node::try_new`], for configs that are known to be good.
    pub fn new(config: NodeConfig, now: Instant, wall_offset: Wall) -> Self {
        Self::try_new(config, now, wall_offset).unwrap_or_else(|why| panic!("the node's config: {why}"))
    }

    /// Whether events are built.
    pub fn observe(&mut self, observed: bool) {
        self.observed = observed;
    }

    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        self.tell_time();
        match input {
            Input::Connected { conn, role, peer } => self.connections.open(conn, role, &peer),
            Input::Request { conn, frame } => self.connections.push(conn, frame),
            Input::Disconnected { conn } => self.disconnected(conn),
            Input::Store(reply) => self.store_replied(reply),
            Input::WallClock { offset } => {
                self.wall_offset = offset;
                self.tell_time();
            }
            Input::Stop => self.stop(),
            Input::Wake => {}
        }
        self.wake();
        self.pump();
    }

    /// The batch that holds an offset of this node's replica, if it is in memory.
    pub fn batch_at(&self, topic: Uuid, partition: i32, offset: i64) -> Option<Bytes> {
        let (Phase::Running(machines) | Phase::Stopping { machines, .. }) = &self.phase else { return None };
        let log = &machines.broker.replicas.get(PartitionId { topic, partition })?.log;
        match log.read(offset, log.end_offset(), 1, true).ok()? {
            Read::Ready { slices, .. } => Some(slices.concat().into()),
            Read::Load(_) => None,
        }
    }

    /// The configs of a topic, or of one that is to be made.
    pub fn topic_configs(&self, topic: Option<&str>) -> Vec<TopicConfigView> {
        match &self.phase {
            Phase::Running(machines) | Phase::Stopping { machines, .. } => view::topic_configs(&machines.broker, topic),
            Phase::Booting(_) | Phase::Stopped => Vec::new(),
        }
    }

    /// The node as it is now. Before it has read its files there is nothing to see but its connections.
    pub fn view(&self) -> NodeView {
        let machines = match &self.phase {
            Phase::Running(machines) | Phase::Stopping { machines, .. } => Some(machines),
            Phase::Booting(_) | Phase::Stopped => None,
        };
        let connections = self.connections.iter().map(|(conn, role, peer, waiting, is_serving)| ConnectionView {
            conn,
            role,
            peer: peer.clone(),
            waiting,
            is_serving,
        });
        NodeView {
            node_id: self.config.node_id,
            cluster_id: self.config.cluster_id,
            is_ready: matches!(&self.phase, Phase::Running(machines) if machines.is_ready),
            controller: machines.map_or(ControllerView { epoch: 0, high_watermark: 0, end_offset: 0 }, |machines| {
                view::controller(&machines.controller)
            }),
            brokers: machines.map(|machines| view::brokers(&machines.broker.image)).unwrap_or_default(),
            features: machines.map(|machines| machines.broker.image.features.clone()).unwrap_or_default(),
            topics: machines.map(|machines| view::topics(&machines.broker)).unwrap_or_default(),
            groups: machines.map(|machines| machines.broker.groups.view()).unwrap_or_default(),
            transactions: machines.map(|machines| machines.broker.transactions.view()).unwrap_or_default(),
            connections: connections.collect(),
            store: StoreView { is_writing: self.store.flight.is_some(), failing: self.store.failing.clone() },
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the node wants to be woken, and what for.
    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let retry = self.store.retry_at.map(|at| (at, "the store is tried again"));
        let machines = match &self.phase {
            Phase::Running(machines) | Phase::Stopping { machines, .. } => Some(machines),
            Phase::Booting(_) | Phase::Stopped => None,
        };
        let controller = machines.and_then(|machines| machines.controller.next_wake());
        let broker = machines.and_then(|machines| machines.broker.next_wake());
        [retry, controller, broker].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn wall(&self) -> Wall {
        self.wall_offset.at(self.now)
    }

    fn machines(&mut self) -> Option<&mut Machines> {
        match &mut self.phase {
            Phase::Running(machines) | Phase::Stopping { machines, .. } => Some(machines),
            Phase::Booting(_) | Phase::Stopped => None,
        }
    }

    fn tell_time(&mut self) {
        let (now, wall, observed) = (self.now, self.wall(), self.observed);
        if let Some(machines) = self.machines() {
            (machines.controller.now, machines.controller.wall, machines.controller.observed) = (now, wall, observed);
            (machines.broker.now, machines.broker.wall, machines.broker.observed) = (now, wall, observed);
            machines.broker.groups.observe(observed);
            machines.broker.transactions.observe(observed);
        }
    }

    fn wake(&mut self) {
        if self.store.retry_at.is_some_and(|at| at <= self.now) {
            self.store.retry_at = None;
            if matches!(self.phase, Phase::Booting(_)) {
                self.go_on_booting();
            }
        }
        if let Some(machines) = self.machines() {
            machines.controller.wake();
            machines.broker.wake();
        }
    }

    /// Passes everything on until nothing moves.
    fn pump(&mut self) {
        loop {
            while self.exchange() || self.serve_next() {}
            if !self.flush() {
                break;
            }
        }
        // A store that fails is not waited for.
        let is_failing = self.store.failing.is_some();
        let is_stored = self.store.flight.is_none() && (self.store.retry_at.is_none() || is_failing);
        if matches!(self.phase, Phase::Stopping { is_fenced: true, .. }) && is_stored {
            self.phase = Phase::Stopped;
            self.outputs.push_back(Output::Stopped);
        }
    }

    /// Carries what the machines have for each other and for the outside. Says whether there was anything.
    fn exchange(&mut self) -> bool {
        let mut moved = false;
        while let Some(output) = self.machines().and_then(|machines| machines.controller.poll()) {
            moved = true;
            match output {
                ControllerOutput::Respond { peer: Peer::Link, frame } => {
                    let machines = self.machines().expect("they run");
                    machines.broker.link_answered(frame.body());
                }
                ControllerOutput::Respond { peer: Peer::Remote(request), frame } => self.respond(request, frame),
                ControllerOutput::Close { peer: Peer::Link, reason } => {
                    panic!("the controller cannot read its broker: {reason}")
                }
                ControllerOutput::Close { peer: Peer::Remote(request), reason } => self.close(request, reason),
                ControllerOutput::Event(event) => self.outputs.push_back(Output::Event(event)),
            }
        }
        if let Some(machines) = self.machines() {
            if machines.broker.is_starting() && machines.controller.is_active() {
                machines.broker.register();
            }
            while let Some(request) = machines.broker.link().poll() {
                moved = true;
                machines.controller.handle(Peer::Link, &request);
            }
        }
        moved |= self.serve_own();
        while let Some(output) = self.machines().and_then(|machines| machines.broker.poll()) {
            moved = true;
            self.broker_said(output);
        }
        moved
    }

    /// Serves what the broker asks of itself, as it would be served to another one.
    fn serve_own(&mut self) -> bool {
        let own = self.config.node_id.0;
        let mut moved = false;
        let connections = &mut self.connections;
        let (Phase::Running(machines) | Phase::Stopping { machines, .. }) = &mut self.phase else { return false };
        while let Some((to, frame)) = machines.broker.peers.poll() {
            assert_eq!(to, own, "a cluster has one node");
            moved = true;
            let id = connections.number();
            machines.own.insert(id);
            machines.broker.serve(id, OWN_CONNECTION, &Arc::from(OWN_HOST), &frame);
        }
        moved
    }

    fn broker_said(&mut self, output: BrokerOutput) {
        match output {
            BrokerOutput::Respond { request, frame } => self.respond(request, frame),
            BrokerOutput::Close { request, reason } => self.close(request, reason),
            BrokerOutput::Silent { request } => self.end(request, End::Silent),
            BrokerOutput::Hold { request, holds } => self.connections.hold(request, holds),
            BrokerOutput::Load { purpose, reads } => {
                let token = self.store.token();
                self.store.loads.insert(token, purpose);
                self.outputs.push_back(Output::Store(StoreRequest::Load { token, reads }));
            }
            BrokerOutput::Store(op) => self.store.loose.push(op),
            BrokerOutput::Clean { ops, asked } => {
                self.store.loose.extend(ops);
                self.store.cleaner = Some(asked);
            }
            BrokerOutput::Event(event) => self.outputs.push_back(Output::Event(event)),
            BrokerOutput::Log(line) => self.outputs.push_back(Output::Log(line)),
            BrokerOutput::Ready => {
                let machines = self.machines().expect("they run");
                if !machines.is_ready {
                    machines.is_ready = true;
                    self.outputs.push_back(Output::Ready);
                }
            }
            BrokerOutput::ShutDown => {
                if let Phase::Stopping { machines, is_fenced: is_fenced @ false } = &mut self.phase {
                    *is_fenced = true;
                    machines.broker.close_logs();
                    machines.controller.log.close();
                }
            }
        }
    }

    /// Takes up one request of a connection that has none in service.
    fn serve_next(&mut self) -> bool {
        let Phase::Running(machines) = &mut self.phase else { return false };
        if !machines.is_ready {
            return false;
        }
        let Some(next) = self.connections.next() else { return false };
        match next.role {
            Role::Controller => machines.controller.handle(Peer::Remote(next.id), &next.frame),
            Role::Broker => {
                let ctx = machines.broker.serve(next.id, next.conn, &next.peer, &next.frame);
                if let Some(ctx) = ctx.filter(|_| self.observed) {
                    self.outputs.push_back(Output::Event(received(&ctx, next.frame.len())));
                    self.connections.note(next.id, ctx);
                }
            }
        }
        true
    }

    fn respond(&mut self, request: RequestId, frame: Frame) {
        self.end(request, End::Answer(frame));
    }

    fn close(&mut self, request: RequestId, reason: String) {
        self.end(request, End::Close(reason));
    }

    /// A request has come to its end: it leaves, and so do those behind it that only waited for it.
    fn end(&mut self, request: RequestId, end: End) {
        let own = self.config.node_id.0;
        if let Some(machines) = self.machines()
            && machines.own.remove(&request)
        {
            match end {
                End::Answer(frame) => machines.broker.peer_answered(own, frame.body()),
                End::Silent => {}
                End::Close(reason) => panic!("the broker cannot read what it asks of itself: {reason}"),
            }
            return;
        }
        let Some(conn) = self.connections.end(request, end) else { return };
        while let Some((end, ctx)) = self.connections.leave(conn) {
            match end {
                End::Answer(frame) => {
                    if let Some(ctx) = ctx.filter(|_| self.observed) {
                        self.outputs.push_back(Output::Event(answered(&ctx, frame.len())));
                    }
                    self.outputs.push_back(Output::Respond { conn, frame });
                }
                End::Silent => {}
                End::Close(reason) => {
                    self.disconnected(conn);
                    self.outputs.push_back(Output::Close { conn, reason });
                }
            }
        }
    }

    fn disconnected(&mut self, conn: ConnId) {
        for request in self.connections.close(conn) {
            if let Some(machines) = self.machines() {
                machines.broker.forget(request);
                machines.controller.disconnected(request);
            }
        }
    }

    fn stop(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Running(mut machines) => {
                machines.broker.shut_down();
                self.phase = Phase::Stopping { machines, is_fenced: false };
            }
            Phase::Booting(_) => self.outputs.push_back(Output::Stopped),
            phase @ (Phase::Stopping { .. } | Phase::Stopped) => self.phase = phase,
        }
    }

    /// Emits what has to be stored, unless a store is under way. Says whether anything moved by it.
    fn flush(&mut self) -> bool {
        let is_memory = self.config.durability == Durability::Memory;
        let is_synced = self.config.durability == Durability::Synced;
        let mut moved = false;
        if let Some(machines) = self.machines().filter(|_| is_memory) {
            moved = machines.memory_is_durable();
        }
        if self.store.flight.is_some() || self.store.retry_at.is_some() {
            return moved;
        }
        let mut ops = std::mem::take(&mut self.store.loose);
        let loose = ops.clone();
        let Some(machines) = self.machines() else {
            self.store.loose = loose;
            return moved;
        };
        ops.append(&mut machines.controller.log.take_ops());
        let metadata_end = machines.controller.log.end_offset();
        let covered = machines.broker.replicas.take_ops(&mut ops);
        if ops.is_empty() {
            // Nothing to write, as after a batch that was there already.
            machines.broker.stored(&covered);
            return moved || !covered.is_empty();
        }
        if is_synced {
            ops.push(StoreOp::Sync);
        }
        let (token, cleaner) = (self.store.token(), self.store.cleaner.take());
        self.store.flight = Some(Flight { token, metadata_end, covered, loose, cleaner });
        self.outputs.push_back(Output::Store(StoreRequest::Store { token, ops }));
        moved
    }

    fn store_replied(&mut self, reply: StoreReply) {
        if let Phase::Booting(boot) = &mut self.phase {
            boot.replied(reply);
            return self.go_on_booting();
        }
        match reply {
            StoreReply::Stored { token, result } => {
                let Some(flight) = self.store.flight.take_if(|flight| flight.token == token) else { return };
                match result {
                    Ok(()) => self.store_succeeded(flight),
                    Err(error) => self.store_failed(flight, &error),
                }
            }
            StoreReply::Loaded { token, result } => {
                let Some(purpose) = self.store.loads.remove(&token) else { return };
                if let Some(machines) = self.machines() {
                    machines.broker.loaded(purpose, result.map_err(|error| error.to_string()));
                }
                self.bound_memory();
            }
            StoreReply::Listed { .. } => {}
        }
    }

    fn store_succeeded(&mut self, flight: Flight) {
        if self.store.failing.take().is_some() {
            self.outputs.push_back(Output::Log("the store works again".to_owned()));
            if self.observed {
                self.outputs.push_back(Output::Event(Event::StoreHealed));
            }
        }
        if let Some(machines) = self.machines() {
            machines.controller.stored(flight.metadata_end);
            machines.broker.stored(&flight.covered);
            if let Some(asked) = flight.cleaner {
                machines.broker.cleaner_stored(asked);
            }
        }
        self.bound_memory();
    }

    /// Takes back what is not durable: what the store refused, and what was appended on top of it. What
    /// counts as durable is emitted again.
    fn store_failed(&mut self, flight: Flight, error: &StoreError) {
        let reason = error.to_string();
        if self.store.failing.as_ref() != Some(&reason) {
            self.outputs.push_back(Output::Log(format!("the store fails: {reason}")));
            if self.observed {
                self.outputs.push_back(Output::Event(Event::StoreFailed { reason: reason.clone() }));
            }
            self.store.failing = Some(reason);
        }
        let later = std::mem::take(&mut self.store.loose);
        self.store.loose = flight.loose;
        self.store.loose.extend(later);
        self.store.cleaner = self.store.cleaner.or(flight.cleaner);
        // What mends the files waits a little; a request that has to be stored comes back with an error
        // until then.
        self.store.retry_at = Some(self.now + STORE_RETRY);
        if let Some(machines) = self.machines() {
            let mut covered: Vec<PartitionId> = flight.covered.iter().map(|stored| stored.id).collect();
            covered.extend(machines.broker.replicas.dirty_ids());
            sort_by(&mut covered, Ord::cmp);
            covered.dedup();
            machines.controller.store_failed();
            machines.broker.store_failed(&covered);
        }
    }

    /// Keeps the logs within what may be held in memory.
    fn bound_memory(&mut self) {
        let (cache, ceiling) = (self.config.cache_bytes, self.config.memory_ceiling_bytes);
        if let Some(machines) = self.machines() {
            machines.broker.bound_memory(cache, ceiling);
        }
    }

    fn go_on_booting(&mut self) {
        let (now, wall) = (self.now, self.wall());
        let Phase::Booting(boot) = &mut self.phase else { return };
        match boot.step(&mut self.store.next_token, wall) {
            Ok(None) => {}
            Ok(Some(Booted { metadata, disk, ops })) => {
                let (config, settings) = (self.config.clone(), self.settings.clone());
                let base = metadata.base.clone();
                let controller = Controller::new(config.clone(), settings.clone(), metadata, now, wall);
                self.store.loose = ops;
                self.store.loose.push(controller.quorum_state());
                let broker = Broker::new(config, settings, disk, base, controller.epoch, now, wall);
                self.phase =
                    Phase::Running(Box::new(Machines { controller, broker, is_ready: false, own: BTreeSet::new() }));
                return self.tell_time();
            }
            Err(why) => {
                self.outputs.push_back(Output::Log(format!("the node cannot start: {why}")));
                self.store.retry_at = Some(self.now + STORE_RETRY);
            }
        }
        if let Phase::Booting(boot) = &mut self.phase {
            while let Some(request) = boot.poll() {
                self.outputs.push_back(Output::Store(request));
            }
        }
    }
}

impl Machines {
    /// Without durability everything counts as durable at once. Says whether anything moved by that.
    fn memory_is_durable(&mut self) -> bool {
        let end = self.controller.log.end_offset();
        let metadata_moves = self.controller.log.durable_end() < end;
        if metadata_moves {
            self.controller.durable(end);
        }
        let covered = self.broker.replicas.dirty_marks();
        let logs_move = covered.iter().any(|stored| self.broker.replicas.is_behind(stored));
        if logs_move {
            self.broker.durable(&covered);
        }
        metadata_moves || logs_move
    }
}

fn answered(ctx: &RequestContext, bytes: usize) -> Event {
    Event::RequestAnswered {
        conn: ctx.conn,
        api: ctx.api,
        version: ctx.api_version,
        correlation_id: ctx.correlation_id,
        bytes,
    }
}

fn received(ctx: &RequestContext, bytes: usize) -> Event {
    Event::RequestReceived {
        conn: ctx.conn,
        api: ctx.api,
        version: ctx.api_version,
        correlation_id: ctx.correlation_id,
        client_id: ctx.client_id().to_owned(),
        bytes,
    }
}
