//! One thread, one loop: sockets in, one pass of the cluster, one flush of the store, sockets out.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use shore_base::{ConnId, NodeId};
use shore_log::storage::StoreReply;
use shore_sim::{Action, Outward, World};
use shore_wire::frame::Frame;

use crate::buffers::Buffers;
use crate::clock::{self, Clock};
use crate::connection::{Connection, FIRST_REQUEST, Held};
use crate::say;
use crate::store::Store;
use crate::topics::TopicMaker;

/// Tokens from here on down are listeners and the waker; connections are their number.
const WAKER: Token = Token(usize::MAX);
const FIRST_LISTENER: usize = usize::MAX - 64;
/// With clients attached, the longest sleep: a longer one could not be told from a stopped process.
const ATTENTIVE: Duration = Duration::from_millis(200);
const ASLEEP: Duration = Duration::from_secs(3600);
/// After this without a request, memory kept for reuse goes back.
const QUIET: Duration = Duration::from_secs(2);
/// How long accepting pauses when the process is out of file descriptors.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(100);
/// How long closing may take before it is given up.
const CLOSING: Duration = Duration::from_secs(30);

/// What a host bounds; each is a broker config of Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `socket.request.max.bytes`
    pub max_request_bytes: usize,
    /// `max.connections`
    pub max_connections: usize,
    /// `connections.max.idle.ms`; `None` for never.
    pub max_idle: Option<Duration>,
    /// `queued.max.request.bytes`
    pub max_queued_bytes: usize,
}

/// What outlives a node that broke: the sockets that listen, the store, the wish to stop.
pub struct Ground {
    pub poll: Poll,
    pub listeners: Vec<TcpListener>,
    pub store: Store,
    pub buffers: Buffers,
    pub stop: Arc<AtomicBool>,
    pub limits: Limits,
}

impl Ground {
    pub fn new(
        poll: Poll,
        mut listeners: Vec<TcpListener>,
        store: Store,
        buffers: Buffers,
        stop: Arc<AtomicBool>,
        limits: Limits,
    ) -> std::io::Result<Self> {
        for (index, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(FIRST_LISTENER + index), Interest::READABLE)?;
        }
        Ok(Self { poll, listeners, store, buffers, stop, limits })
    }

    pub fn waker(poll: &Poll) -> std::io::Result<Arc<Waker>> {
        Waker::new(poll.registry(), WAKER).map(Arc::new)
    }
}

pub struct Host<'a> {
    ground: &'a mut Ground,
    world: World,
    node: NodeId,
    clock: Clock,
    connections: HashMap<ConnId, Connection>,
    /// Connections that have more to say, or were allowed to say more, since the last turn.
    turn: Vec<ConnId>,
    /// Connections that are owed something new or can be written to again.
    owed: Vec<ConnId>,
    closing: Vec<(ConnId, String)>,
    /// What the requests of all connections take.
    held: Held,
    accept_again: Option<Instant>,
    next_idle_check: Instant,
    last_request: Instant,
    replies: Vec<StoreReply>,
    topics: TopicMaker,
    on_ready: Option<Box<dyn FnOnce()>>,
    stopping: Option<Instant>,
    stopped: bool,
}

impl<'a> Host<'a> {
    pub fn new(
        ground: &'a mut Ground,
        world: World,
        node: NodeId,
        topics: TopicMaker,
        on_ready: impl FnOnce() + 'static,
    ) -> Self {
        let now = Instant::now();
        Self {
            ground,
            world,
            node,
            clock: Clock::start(),
            connections: HashMap::new(),
            turn: Vec::new(),
            owed: Vec::new(),
            closing: Vec::new(),
            held: Held::default(),
            accept_again: None,
            next_idle_check: now,
            last_request: now,
            replies: Vec::new(),
            topics,
            on_ready: Some(Box::new(on_ready)),
            stopping: None,
            stopped: false,
        }
    }

    /// Runs until it is told to stop. An error is a reason to give up.
    pub fn run(mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(1024);
        self.drain()?;
        while !self.stopped {
            let sleep = self.sleep();
            match self.ground.poll.poll(&mut events, Some(sleep)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(format!("cannot wait for sockets: {error}"));
                }
                _ => {}
            }
            let now = Instant::now();
            self.pass_time(sleep);
            for event in &events {
                self.note(event, now);
            }
            self.accept_if_paused(now);
            self.receive(now);
            self.drain()?;
            self.send(now);
            self.close_what_is_due(now);
            self.stop_if_told(now);
        }
        for (_, connection) in self.connections.drain() {
            connection.close(&self.ground.buffers);
        }
        Ok(())
    }

    /// How long nothing is to be done.
    fn sleep(&self) -> Duration {
        if !self.turn.is_empty() && !self.is_full() {
            return Duration::ZERO;
        }
        let mut sleep = if self.connections.is_empty() { ASLEEP } else { ATTENTIVE };
        if let Some((due, _)) = self.world.next_due() {
            // Rounded up, because waking a moment early would only mean sleeping again.
            sleep = sleep.min(due.since(self.world.now()));
        }
        if let Some(again) = self.accept_again {
            sleep = sleep.min(again.saturating_duration_since(Instant::now()));
        }
        sleep
    }

    fn pass_time(&mut self, slept: Duration) {
        let (step, stood_still) = self.clock.step(slept);
        self.world.advance(self.world.now() + step);
        if stood_still {
            self.world.set_wall(clock::wall());
        }
    }

    fn note(&mut self, event: &mio::event::Event, now: Instant) {
        match event.token() {
            WAKER => {}
            Token(token) if token >= FIRST_LISTENER => self.accept(token - FIRST_LISTENER, now),
            Token(token) => {
                let conn = ConnId(token as u64);
                let Some(connection) = self.connections.get_mut(&conn) else { return };
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    connection.readable = true;
                    self.turn.push(conn);
                }
                if event.is_writable() {
                    connection.writable = true;
                    self.owed.push(conn);
                }
            }
        }
    }

    fn accept_if_paused(&mut self, now: Instant) {
        if self.accept_again.is_some_and(|again| again <= now) {
            self.accept_again = None;
            (0..self.ground.listeners.len()).for_each(|index| self.accept(index, now));
        }
    }

    fn accept(&mut self, index: usize, now: Instant) {
        if self.on_ready.is_some() || self.stopping.is_some() {
            return;
        }
        loop {
            let (mut socket, peer) = match self.ground.listeners[index].accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(error) => {
                    say(format_args!("cannot accept a connection: {error}"));
                    self.accept_again = Some(now + OUT_OF_FILES_PAUSE);
                    return;
                }
            };
            if self.connections.len() >= self.ground.limits.max_connections {
                say(format_args!("refused {peer}: max.connections={} are open", self.connections.len()));
                continue;
            }
            let conn = self.world.connect(self.node, &peer.ip().to_canonical().to_string());
            let interest = Interest::READABLE | Interest::WRITABLE;
            let _ = socket.set_nodelay(true);
            if let Err(error) = self.ground.poll.registry().register(&mut socket, Token(conn.0 as usize), interest) {
                say(format_args!("refused {peer}: {error}"));
                self.world.disconnect(conn);
                continue;
            }
            let max_request = self.ground.limits.max_request_bytes;
            self.connections.insert(conn, Connection::new(socket, peer, max_request, now));
        }
    }

    /// Takes what the sockets brought into the cluster.
    fn receive(&mut self, now: Instant) {
        if self.is_full() {
            return;
        }
        let mut turn = std::mem::take(&mut self.turn);
        turn.sort_unstable();
        turn.dedup();
        for &conn in &turn {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            let before = connection.held();
            let received = connection.receive(&self.ground.buffers, now, |frame| self.world.receive(conn, frame));
            self.held.change(before, connection.held());
            self.last_request = now;
            let reason = match received {
                Err(why) => why.to_string(),
                Ok(()) if connection.is_done() => String::new(),
                Ok(()) if self.held.unfinished > self.ground.limits.max_queued_bytes => {
                    format!("unfinished requests hold {} bytes (queued.max.request.bytes)", self.held.unfinished)
                }
                Ok(()) => {
                    if connection.wants_turn() {
                        self.turn.push(conn);
                    }
                    continue;
                }
            };
            self.closing.push((conn, reason));
        }
    }

    /// Whether so much waits for its answer that nothing more is taken in.
    fn is_full(&self) -> bool {
        self.held.in_flight > self.ground.limits.max_queued_bytes
    }

    /// Lets the cluster do what it can, and its store with it.
    fn drain(&mut self) -> Result<(), String> {
        loop {
            while let Some(outward) = self.world.poll() {
                self.carry_out(outward)?;
            }
            self.ground.store.flush(&mut self.replies);
            if self.replies.is_empty() {
                return Ok(());
            }
            for reply in self.replies.drain(..) {
                self.world.store_reply(self.node, reply);
            }
        }
    }

    fn carry_out(&mut self, outward: Outward) -> Result<(), String> {
        match outward {
            Outward::Respond { conn, frame } => self.answer(conn, &frame)?,
            Outward::Close { conn, reason } => self.closing.push((conn, reason)),
            Outward::Store { request, .. } => self.ground.store.ask(request, &mut self.replies),
            Outward::Log { line, .. } => say(format_args!("{line}")),
            Outward::Ready { .. } => {
                self.topics.start(&mut self.world, self.node);
                self.ready_if_topics_are();
            }
            Outward::Stopped { .. } => self.stopped = true,
        }
        Ok(())
    }

    fn answer(&mut self, conn: ConnId, frame: &Frame) -> Result<(), String> {
        if let Some(connection) = self.connections.get_mut(&conn) {
            let before = connection.held();
            connection.answer(frame.parts());
            self.held.change(before, connection.held());
            self.owed.push(conn);
        } else if self.topics.is_mine(conn) {
            self.topics.answered(&mut self.world, frame)?;
            self.ready_if_topics_are();
        }
        Ok(())
    }

    fn ready_if_topics_are(&mut self) {
        if self.topics.are_there()
            && let Some(ready) = self.on_ready.take()
        {
            ready();
            self.accept_again = Some(Instant::now());
        }
    }

    /// Gives the peers what they are owed.
    fn send(&mut self, now: Instant) {
        let mut owed = std::mem::take(&mut self.owed);
        owed.sort_unstable();
        owed.dedup();
        for conn in owed.drain(..) {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            match connection.send(now) {
                Err(error) => self.closing.push((conn, error.to_string())),
                Ok(()) if connection.is_done() => self.closing.push((conn, String::new())),
                Ok(()) if connection.wants_turn() => self.turn.push(conn),
                Ok(()) => {}
            }
        }
        self.owed = owed;
    }

    fn close_what_is_due(&mut self, now: Instant) {
        self.find_idle(now);
        while let Some((conn, reason)) = self.closing.pop() {
            let Some(mut connection) = self.connections.remove(&conn) else { continue };
            if !reason.is_empty() {
                say(format_args!("closed {}: {reason}", connection.peer));
            }
            self.held.change(connection.held(), Held::default());
            let _ = connection.send(now);
            let _ = self.ground.poll.registry().deregister(&mut connection.socket);
            connection.close(&self.ground.buffers);
            self.world.disconnect(conn);
        }
        if now.duration_since(self.last_request) > QUIET {
            self.ground.buffers.trim();
        }
    }

    /// Those who have had their time are looked for a few times in that span.
    fn find_idle(&mut self, now: Instant) {
        if now < self.next_idle_check {
            return;
        }
        let max_idle = self.ground.limits.max_idle;
        self.next_idle_check = now + max_idle.unwrap_or(FIRST_REQUEST).min(FIRST_REQUEST) / 4;
        for (&conn, connection) in &self.connections {
            if let Some(reason) = connection.overstayed(now, max_idle) {
                self.closing.push((conn, reason));
            }
        }
    }

    fn stop_if_told(&mut self, now: Instant) {
        match self.stopping {
            None if self.ground.stop.load(Ordering::Relaxed) => {
                say(format_args!("closing"));
                self.stopping = Some(now);
                let _ = self.world.act(Action::StopNode { node: self.node });
            }
            Some(since) if now.duration_since(since) > CLOSING => {
                say(format_args!("closing takes too long and is given up; the next start recovers"));
                self.stopped = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
