//! Doing actions, and driving the clients.

use bytes::Bytes;
use shore_base::{ConnId, Instant, NodeId, Random};
use shore_broker::Input as NodeInput;
use shore_client::{AdminCall, ClientConfig, Input, NewTopic, Output, TopicPartition};
use shore_wire::frame::Frame;

use crate::action::{Action, OneRecord, ProducerSpec};
use crate::actor::{Actor, ActorId, AdminActor, Clock, ConsumerActor, ProducerActor, RoleOf};
use crate::copier::CopierActor;
use crate::disk::DiskFault;
use crate::event::{Direction, EventKind};
use crate::links::{Asked, End};
use crate::node::{NodeSlot, Run};
use crate::queue::{Pending, Sleeper};
use crate::world::World;

/// Clients that come into being when they are needed.
const ADMIN: &str = "admin";
const CONSOLE: &str = "console";

/// What happens to a world's own clients, or is asked of them.
pub(crate) enum ClientWork {
    Act(Action),
    Wake(ActorId),
    Connected(ConnId),
    Answered(ConnId, Bytes),
    Closed(ConnId),
}

/// Does it, or says why not.
pub(crate) type Clients = fn(&mut World, ClientWork) -> Result<(), String>;

pub(crate) fn clients(world: &mut World, work: ClientWork) -> Result<(), String> {
    match work {
        ClientWork::Act(action) => return world.act_on_clients(action),
        ClientWork::Wake(actor) => world.wake_actor(actor),
        ClientWork::Connected(conn) => world.actor_connected(conn),
        ClientWork::Answered(conn, frame) => world.actor_answered(conn, frame),
        ClientWork::Closed(conn) => world.actor_closed(conn),
    }
    Ok(())
}

impl World {
    pub(crate) fn perform(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::KillNode { node } => self.running(node).map(|()| self.kill_node(node, false))?,
            Action::LosePower { node } => self.running(node).map(|()| self.kill_node(node, true))?,
            Action::StopNode { node } => self.running(node).map(|()| self.stop_node(node))?,
            Action::StartNode { node } => match self.nodes.get(&node) {
                None => return Err(format!("there is no node {node}")),
                Some(slot) if !slot.is_down() => return Err(format!("node {node} runs already")),
                Some(_) => self.start_node(node),
            },
            Action::CrashInCalls { node, calls, power } => {
                self.model_disk(node)?.crash_in(calls);
                if let Some(slot) = self.nodes.get_mut(&node) {
                    slot.crash_takes_power = power;
                }
            }
            Action::SlowDisk { node, latency } => self.model_disk(node)?.model.latency = latency,
            Action::FillDisk { node } => self.model_disk(node)?.model.fault = Some(DiskFault::Full),
            Action::FailDisk { node } => self.model_disk(node)?.model.fault = Some(DiskFault::Failing),
            Action::HealDisk { node } => self.model_disk(node)?.model.fault = None,
            Action::SetSpeed(speed) => self.speed = speed,
            action => return (self.clients)(self, ClientWork::Act(action)),
        }
        Ok(())
    }

    fn act_on_clients(&mut self, action: Action) -> Result<(), String> {
        let clock = self.clock();
        if let Some(what) = action.request() {
            self.ask_admin(admin_call(action), what);
            return Ok(());
        }
        match action {
            Action::AddProducer(spec) => {
                let client = self.client_config(&spec.name);
                let name = spec.name.clone();
                self.add_actor(name, RoleOf::Producer(Box::new(ProducerActor::new(client, spec, self.now))))?;
            }
            Action::AddConsumer(spec) => {
                let client = self.client_config(&spec.name);
                let name = spec.name.clone();
                self.add_actor(name, RoleOf::Consumer(Box::new(ConsumerActor::new(client, spec, self.now))))?;
            }
            Action::AddCopier(spec) => {
                let (member, producer) = (self.client_config(&spec.name), self.client_config(&spec.name));
                let copier = CopierActor::new(member, producer, spec.clone(), self.now);
                self.add_actor(spec.name, RoleOf::Copier(Box::new(copier)))?;
            }
            Action::LimitVersion { actor, api, newest } => {
                self.version_limits.entry(actor).or_default().push((api, newest));
            }
            Action::SetRate { actor, millirate } => {
                self.with_producer(&actor, |producer| producer.set_rate(clock.now, millirate))?;
            }
            Action::SetPace { actor, records_per_second } => {
                self.with_consumer(&actor, |consumer| consumer.spec.records_per_second = records_per_second)?;
            }
            Action::PauseConsumer { actor } => {
                self.with_consumer(&actor, |consumer| consumer.set_paused(clock.now, true))?
            }
            Action::ResumeConsumer { actor } => {
                self.with_consumer(&actor, |consumer| consumer.set_paused(clock.now, false))?;
            }
            Action::Seek { actor, topic, partition, offset } => {
                let at = TopicPartition::new(topic, partition);
                let found = self.with_consumer(&actor, |consumer| consumer.consumer.seek(clock.now, &at, offset))?;
                if !found {
                    return Err(format!("{actor} does not have {at}"));
                }
            }
            Action::Commit { actor } => self.with_consumer(&actor, |consumer| consumer.consumer.commit(clock.now))?,
            Action::Stop { actor } => {
                let id = self.find_actor(&actor)?;
                if let Some(actor) = self.actors.get_mut(&id) {
                    actor.stop(clock);
                }
                self.drive_actor(id);
            }
            Action::Vanish { actor } => {
                let id = self.find_actor(&actor)?;
                self.remove_actor(id);
            }
            Action::Send(record) => self.send_from_console(clock, record)?,
            Action::CutLink { actor, node } => {
                let key = (self.find_actor(&actor)?, node);
                self.links.cut(key);
            }
            Action::HealLink { actor, node } => {
                let key = (self.find_actor(&actor)?, node);
                self.links.heal(&mut self.queue, self.now, key);
            }
            Action::DropConnections { actor, node, answers } => {
                let key = (self.find_actor(&actor)?, node);
                match answers {
                    0 => self.links.between(key).into_iter().for_each(|conn| self.drop_connection(conn)),
                    answers => self.links.drop_at_answer(key, answers),
                }
            }
            Action::SetLatency { actor, latency, jitter } => match actor {
                None => self.links.set_latency(None, latency, jitter),
                Some(actor) => {
                    let id = self.find_actor(&actor)?;
                    let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
                    for node in nodes {
                        self.links.set_latency(Some((id, node)), latency, jitter);
                    }
                }
            },
            _ => unreachable!("the others are not about clients"),
        }
        Ok(())
    }

    fn running(&self, node: NodeId) -> Result<(), String> {
        match self.nodes.get(&node) {
            None => Err(format!("there is no node {node}")),
            Some(slot) if slot.is_down() => Err(format!("node {node} is down")),
            Some(_) => Ok(()),
        }
    }

    fn stop_node(&mut self, node: NodeId) {
        let Some(slot) = self.nodes.get_mut(&node) else { return };
        let run = core::mem::replace(&mut slot.run, Run::Down);
        slot.run = match run {
            Run::Up { node, .. } => Run::Stopping { node },
            other => other,
        };
        self.drive(node, NodeInput::Stop);
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock { now: self.now, wall: self.wall.at(self.now) }
    }

    fn client_config(&self, name: &str) -> ClientConfig {
        let address = |slot: &NodeSlot| (slot.config.advertised_host.clone(), slot.config.advertised_port);
        ClientConfig {
            bootstrap: self.nodes.values().map(address).collect(),
            client_id: name.to_owned(),
            seed: Random::stream(self.seed, &format!("client {name}")).next_u64(),
            newest_versions: self.version_limits.get(name).cloned().unwrap_or_default(),
            ..ClientConfig::default()
        }
    }

    fn add_actor(&mut self, name: String, role: RoleOf) -> Result<ActorId, String> {
        if self.actors.values().any(|actor| actor.name == name) {
            return Err(format!("there is a client called {name} already"));
        }
        let id = ActorId(self.next_actor);
        self.next_actor += 1;
        self.watch.add(self.now, || EventKind::ActorAdded { actor: id, name: name.clone() });
        self.actors.insert(id, Actor::new(name, role));
        self.drive_actor(id);
        Ok(id)
    }

    pub(crate) fn find_actor(&self, name: &str) -> Result<ActorId, String> {
        let found = self.actors.iter().find(|(_, actor)| actor.name == name);
        found.map(|(id, _)| *id).ok_or_else(|| format!("there is no client called {name}"))
    }

    fn with_producer(&mut self, name: &str, change: impl FnOnce(&mut ProducerActor)) -> Result<(), String> {
        let id = self.find_actor(name)?;
        match self.actors.get_mut(&id).map(|actor| &mut actor.role) {
            Some(RoleOf::Producer(producer)) => change(producer),
            _ => return Err(format!("{name} is not a producer")),
        }
        self.drive_actor(id);
        Ok(())
    }

    fn with_consumer<T>(&mut self, name: &str, change: impl FnOnce(&mut ConsumerActor) -> T) -> Result<T, String> {
        let id = self.find_actor(name)?;
        let changed = match self.actors.get_mut(&id).map(|actor| &mut actor.role) {
            Some(RoleOf::Consumer(consumer)) => change(consumer),
            _ => return Err(format!("{name} is not a consumer")),
        };
        self.drive_actor(id);
        Ok(changed)
    }

    fn ask_admin(&mut self, call: AdminCall, what: String) {
        let id = match self.find_actor(ADMIN) {
            Ok(id) => id,
            Err(_) => {
                let role = RoleOf::Admin(Box::new(AdminActor::new(self.client_config(ADMIN))));
                self.add_actor(ADMIN.to_owned(), role).expect("the name is free")
            }
        };
        let now = self.now;
        if let Some(RoleOf::Admin(admin)) = self.actors.get_mut(&id).map(|actor| &mut actor.role) {
            admin.call(now, call, what);
        }
        self.drive_actor(id);
    }

    fn send_from_console(&mut self, clock: Clock, record: OneRecord) -> Result<(), String> {
        if self.find_actor(CONSOLE).is_err() {
            let spec = ProducerSpec { millirate: 0, ..ProducerSpec::new(CONSOLE, "") };
            let actor = ProducerActor::new(self.client_config(CONSOLE), spec, self.now);
            self.add_actor(CONSOLE.to_owned(), RoleOf::Producer(Box::new(actor)))?;
        }
        let mut sent = Ok(());
        self.with_producer(CONSOLE, |producer| sent = producer.send(clock, record))?;
        sent
    }

    fn wake_actor(&mut self, id: ActorId) {
        let clock = self.clock();
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.handle(clock, Input::Wake);
        }
        self.drive_actor(id);
    }

    /// Lets an actor do what it does, and carries out what it wants done.
    fn drive_actor(&mut self, id: ActorId) {
        let clock = self.clock();
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.live(clock);
        }
        while let Some(output) = self.actors.get_mut(&id).and_then(Actor::poll) {
            match output {
                Output::Dial { conn, host, port } => self.actor_dials(id, conn, &host, port),
                Output::Send { conn, frame } => self.actor_sends(id, conn, &frame),
                Output::Hangup { conn } => self.actor_hangs_up(id, conn),
                Output::Event(event) => {
                    self.watch.add(self.now, || EventKind::Actor { actor: id, event });
                }
            }
        }
        match self.actors.get(&id) {
            Some(actor) if actor.is_done() => self.remove_actor(id),
            Some(actor) => {
                // What it has just heard of may give it something to do now.
                let wake = actor.next_wake().map(|(at, reason)| (at.max(self.now), reason));
                self.queue.set_wake(Sleeper::Actor(id), wake);
            }
            None => {}
        }
    }

    fn remove_actor(&mut self, id: ActorId) {
        let Some(actor) = self.actors.remove(&id) else { return };
        self.queue.set_wake(Sleeper::Actor(id), None);
        for conn in actor.conns.into_values() {
            self.close_for_node(conn);
        }
        self.watch.add(self.now, || EventKind::Actor { actor: id, event: crate::event::ActorEvent::Gone });
    }

    fn actor_dials(&mut self, id: ActorId, local: ConnId, host: &str, port: u16) {
        let listens = |slot: &NodeSlot| slot.config.advertised_host == host && slot.config.advertised_port == port;
        let node = self.nodes.iter().find(|(_, slot)| listens(slot)).map(|(node, _)| *node);
        // An address at which no machine is answers as a machine does on which nobody listens.
        let node = node.unwrap_or(NodeId(-1));
        let conn = self.links.open(node, End::Actor { actor: id, local });
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.conns.insert(local, conn);
        }
        self.send_over(conn, Direction::ToNode, Pending::Dialled { conn });
    }

    fn actor_sends(&mut self, id: ActorId, local: ConnId, frame: &Frame) {
        let Some(conn) = self.actors.get(&id).and_then(|actor| actor.conns.get(&local)).copied() else { return };
        let body = frame.body();
        if let (Some(connection), Some(asked)) = (self.links.get_mut(conn), asked(&body, self.now)) {
            connection.asked.push_back(asked);
        }
        let pending = Pending::Request { conn, frame: body.clone(), sent_at: self.now };
        let due = self.send_over(conn, Direction::ToNode, pending).unwrap_or(Instant::MAX);
        self.watch.add(self.now, || EventKind::RequestSent { conn, frame: body, due });
    }

    fn actor_hangs_up(&mut self, id: ActorId, local: ConnId) {
        if let Some(conn) = self.actors.get_mut(&id).and_then(|actor| actor.conns.remove(&local)) {
            self.close_for_node(conn);
        }
    }

    /// The client's side of a connection is gone: the node hears of it.
    fn close_for_node(&mut self, conn: ConnId) {
        let Some(connection) = self.links.get_mut(conn).filter(|connection| !connection.client_gone) else { return };
        connection.client_gone = true;
        self.send_over(conn, Direction::ToNode, Pending::ClosedForNode { conn });
    }

    fn actor_connected(&mut self, conn: ConnId) {
        self.tell_actor(conn, |local| Input::Connected { conn: local });
    }

    fn actor_answered(&mut self, conn: ConnId, frame: Bytes) {
        if self.watch.is_on() {
            let cause = self.watch.add(self.now, || EventKind::ResponseArrived { conn, frame: frame.clone() });
            self.watch.cause = cause;
        }
        self.tell_actor(conn, |local| Input::Response { conn: local, frame });
    }

    fn actor_closed(&mut self, conn: ConnId) {
        self.tell_actor(conn, |local| Input::Closed { conn: local });
        let Some(connection) = self.links.get(conn) else { return };
        if let End::Actor { actor, local } = connection.end
            && let Some(actor) = self.actors.get_mut(&actor)
        {
            actor.conns.remove(&local);
        }
        match self.links.get_mut(conn) {
            // The node hears later that it broke off.
            Some(connection) if connection.dropped && !connection.node_gone => connection.client_gone = true,
            Some(connection) if !connection.client_gone => {
                self.links.remove(conn);
            }
            _ => {}
        }
    }

    fn tell_actor(&mut self, conn: ConnId, input: impl FnOnce(ConnId) -> Input) {
        let Some(connection) = self.links.get(conn).filter(|connection| !connection.client_gone) else { return };
        let End::Actor { actor: id, local } = connection.end else { return };
        let clock = self.clock();
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.handle(clock, input(local));
        }
        self.drive_actor(id);
    }
}

/// The call behind an action that is a request of the admin client.
fn admin_call(action: Action) -> AdminCall {
    match action {
        Action::CreateTopic { topic, partitions, replication, configs } => AdminCall::CreateTopics {
            topics: vec![NewTopic { name: topic, partitions, replication, configs }],
            validate_only: false,
        },
        Action::DeleteTopic { topic } => AdminCall::DeleteTopics { names: vec![topic] },
        Action::AlterConfigs { topic, set, reset } => {
            let set = set.into_iter().map(|(name, value)| (name, Some(value)));
            let configs = reset.into_iter().map(|name| (name, None)).chain(set).collect();
            AdminCall::AlterTopicConfigs { topic, configs }
        }
        Action::CreatePartitions { topic, total } => AdminCall::CreatePartitions { topic, total },
        Action::DeleteRecords { topic, partition, offset } => {
            AdminCall::DeleteRecords { partition: TopicPartition::new(topic, partition), offset }
        }
        _ => unreachable!("the others are not requests"),
    }
}

/// What stands at the head of a request.
pub(crate) fn asked(body: &Bytes, sent_at: Instant) -> Option<Asked> {
    let head: [u8; 8] = body.get(..8)?.try_into().ok()?;
    Some(Asked {
        api_key: i16::from_be_bytes([head[0], head[1]]),
        api_version: i16::from_be_bytes([head[2], head[3]]),
        correlation_id: i32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        sent_at,
        bytes: body.len() as u64,
    })
}
