//! The running cluster: a world with a real store behind it, paced by real time.

use std::cell::RefCell;
use std::rc::Rc;

use shore_base::collections::BTreeMap;
use shore_base::{Duration, Instant, NodeId, Uuid, Wall};
use shore_broker::{Durability, NodeConfig};
use shore_log::storage::{FileName, StoreError, StoreOp, StoreReply, StoreRequest};
use shore_sim::action::{Isolation, OneRecord};
use shore_sim::event::TransactionStep;
use shore_sim::{Action, ActorEvent, Disk, Event, EventKind, Outward, World};
use shore_view::decode;
use shore_view::message::{Command, Details, FromWorker, Question, Record};
use shore_view::model::{Screen, Storage};
use shore_view::screen::{self, Host};
use shore_view::watch::Watch;
use shore_web::lock::StoreLock;
use shore_web::pace::Pace;
use shore_web::store::TabStore;
use wasm_bindgen_futures::spawn_local;

use super::clients::{self, CLIENTS_NOTE, Clients, DEMO_TOPIC};
use super::history::{self, History};
use super::opening::Opened;
use super::port;

const NODE: NodeId = NodeId(1);
const DIRECTORY: &str = "n1/d0";
/// Log that stays in memory.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// The page gets no more than one delta in so long, however fast its screen is.
const DELTA_MICROS: u64 = 45_000;
/// Faster than this (in percent of real time) the clock waits for the store: it would seem to take minutes.
const STORE_KEEPS_UP: u32 = 2_000;
/// So slow the store seems then.
const STORE_SEEMS: Duration = Duration::from_millis(500);
/// A turn of hurried time lasts no longer: the page wants to be answered.
const HURRY_MICROS: u64 = 12_000;
/// A step goes on until something happens that can be seen, but not for ever.
const STEPS: usize = 500;

/// What one node needs that Kafka's defaults, made for many, do not give it.
const STATIC_CONFIGS: [(&str, &str); 4] = [
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "500"),
];

#[derive(Clone)]
pub struct Cluster(Rc<RefCell<Inner>>);

struct Inner {
    world: World,
    cluster_id: Uuid,
    pace: Pace,
    watch: Watch,
    /// `None` while a write set is under way.
    store: Option<TabStore>,
    asked: Vec<StoreRequest>,
    /// Since when the store has something to do.
    busy_since: Option<Instant>,
    _lock: Option<StoreLock>,
    /// Requests of the admin client that a command of the page waits for, by their words.
    awaited: Vec<(String, u32)>,
    clients: Clients,
    clients_changed: bool,
    /// They could not be written: they go with the next write set.
    clients_unsaved: bool,
    /// What begins once the demo topic is there.
    demo: bool,
    history: History,
    /// The node serves, and what it found has not been read yet.
    history_due: bool,
    host: Host,
    sent: Screen,
    sent_at: u64,
    frame_wanted: bool,
    /// A timer of an older number is void.
    timer: u64,
    stopped: bool,
}

impl Cluster {
    pub fn start(opened: Opened) -> Self {
        let mut world = World::new(port::entropy());
        world.subscribe();
        world.set_wall(Wall::from_millis(js_sys::Date::now() as i64));
        let config = NodeConfig {
            node_id: NODE,
            cluster_id: opened.cluster_id,
            directory: FileName::from(DIRECTORY),
            advertised_host: "localhost".into(),
            advertised_port: 9092,
            static_configs: STATIC_CONFIGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            durability: Durability::Written,
            cache_bytes: CACHE_BYTES,
            memory_ceiling_bytes: None,
            seed: port::entropy(),
        };
        world.boot(config, Disk::External);
        let demo = opened.clients.is_none();
        let kind = if opened.volatile.is_some() { "memory" } else { "IndexedDB" };
        let used = opened.store.bytes();
        let storage = Storage { kind: kind.into(), volatile: opened.volatile, used, ..Storage::default() };
        let cluster = Self(Rc::new(RefCell::new(Inner {
            world,
            cluster_id: opened.cluster_id,
            pace: Pace::new(port::now_micros()),
            watch: Watch::default(),
            store: Some(opened.store),
            asked: Vec::new(),
            busy_since: None,
            awaited: Vec::new(),
            _lock: opened.lock,
            clients: opened.clients.unwrap_or_default(),
            clients_changed: false,
            clients_unsaved: false,
            demo,
            history: History::default(),
            history_due: false,
            host: Host { percent: 100, storage, ..Host::default() },
            sent: Screen::default(),
            sent_at: 0,
            frame_wanted: false,
            timer: 0,
            stopped: false,
        })));
        cluster.turn();
        cluster
    }

    /// Lets what is being written be written, and lets go of the store.
    pub async fn stop(self) {
        self.0.borrow_mut().stopped = true;
        loop {
            let store = self.0.borrow_mut().store.take();
            match store {
                Some(store) => return store.close(),
                None => port::sleep(10).await,
            }
        }
    }

    /// Moves virtual time to now, does what is due, passes on what came of it, and sleeps until the next
    /// thing is due.
    fn turn(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.stopped {
            return;
        }
        let step = inner.pace.step(port::now_micros());
        let until = inner.world.now() + step;
        inner.pass(until);
        drop(inner);
        self.write();
        self.sleep();
        if self.0.borrow().frame_wanted {
            self.frame();
        }
    }

    /// Wakes at the next thing that is due.
    fn sleep(&self) {
        let mut inner = self.0.borrow_mut();
        inner.timer += 1;
        let due = inner.world.next_due().map_or(Instant::MAX, |(at, _)| at);
        let Some(wait) = inner.pace.sleep(inner.world.now(), due) else { return };
        let (cluster, timer) = (self.clone(), inner.timer);
        port::after(wait.as_millis() as i32, move || {
            if cluster.0.borrow().timer == timer {
                cluster.turn();
            }
        });
    }

    /// Sends everything that was asked of the store since the last write set went out.
    fn write(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.asked.is_empty() && !inner.clients_changed && !inner.history_due {
            return;
        }
        let Some(mut store) = inner.store.take() else { return };
        let requests = std::mem::take(&mut inner.asked);
        let due = std::mem::take(&mut inner.clients_changed) | std::mem::take(&mut inner.clients_unsaved);
        let clients = due.then(|| inner.clients.text());
        let history = std::mem::take(&mut inner.history_due).then(|| inner.history_wanted());
        let cluster = self.clone();
        spawn_local(async move {
            let frees = frees_space(&requests);
            let replies = store.carry_out(requests).await;
            if let Some(clients) = clients {
                let kept = store.put_note(CLIENTS_NOTE, clients.as_bytes()).await;
                cluster.0.borrow_mut().clients_unsaved |= kept.is_err();
            }
            if let Some(wanted) = history {
                let found = History::read(&mut store, wanted).await;
                cluster.0.borrow_mut().history = found;
            }
            cluster.written(store, replies, frees);
        });
    }

    fn written(&self, store: TabStore, replies: Vec<StoreReply>, freed: bool) {
        let mut inner = self.0.borrow_mut();
        inner.host.storage.used = inner.host.storage.used.max(store.bytes());
        inner.store = Some(store);
        inner.busy_since = (!inner.asked.is_empty()).then(|| inner.world.now());
        for reply in replies {
            inner.note_space(&reply, freed);
            inner.world.store_reply(NODE, reply);
        }
        drop(inner);
        self.turn();
    }

    /// The page is about to draw. It hears of a change at once if it has not just heard of another, and
    /// of nothing while nothing changes.
    pub fn frame(&self) {
        let mut inner = self.0.borrow_mut();
        let since = port::now_micros().saturating_sub(inner.sent_at);
        inner.frame_wanted = true;
        if since >= DELTA_MICROS {
            inner.send_delta();
            return;
        }
        let cluster = self.clone();
        port::after(((DELTA_MICROS - since) / 1_000) as i32 + 1, move || {
            let mut inner = cluster.0.borrow_mut();
            if inner.frame_wanted {
                inner.send_delta();
            }
        });
    }

    pub fn space(&self, used: u64, quota: u64, persisted: bool) {
        let mut inner = self.0.borrow_mut();
        let storage = &mut inner.host.storage;
        if storage.volatile.is_some() {
            return;
        }
        (storage.used, storage.quota, storage.persisted) = (used, quota, persisted);
    }

    /// Every file, if they lie in memory. Nothing is being written there once a turn is over.
    pub fn memory_files(&self) -> Option<BTreeMap<String, Vec<u8>>> {
        self.0.borrow().store.as_ref()?.memory_files(&FileName::from(DIRECTORY))
    }

    pub fn cluster_id(&self) -> String {
        self.0.borrow().cluster_id.to_string()
    }

    pub fn command(&self, id: u32, command: Command) {
        // Up to here time has passed at the old pace.
        self.turn();
        let done = self.0.borrow_mut().carry_out(id, command);
        if let Some(result) = done.transpose() {
            port::post(&FromWorker::Done { id, result: result.map(Into::into).map_err(Into::into) });
        }
        self.turn();
    }

    pub fn ask(&self, id: u32, question: Question) {
        let details = self.0.borrow().answer(&question);
        port::post(&FromWorker::Details { id, details });
    }
}

impl Inner {
    /// Lets time pass. At high speed it waits for a store that is busy, and ends when the turn has lasted long
    /// enough: what is left of the way is not made up for.
    fn pass(&mut self, until: Instant) {
        if self.pace.percent() <= STORE_KEEPS_UP {
            self.world.advance(until);
            return self.settle();
        }
        let begun = port::now_micros();
        loop {
            self.settle();
            let most = self.busy_since.map_or(Instant::MAX, |since| since + STORE_SEEMS);
            let until = until.min(most);
            match self.world.next_due() {
                Some((due, _)) if due <= until && port::now_micros() - begun < HURRY_MICROS => drop(self.world.step()),
                Some((due, _)) if due <= until => return,
                _ => return self.world.advance(until),
            }
        }
    }

    /// Hands on what the world wants of its host, and looks at what happened in it.
    fn settle(&mut self) {
        while let Some(outward) = self.world.poll() {
            match outward {
                Outward::Store { request, .. } => {
                    self.busy_since.get_or_insert(self.world.now());
                    self.asked.push(request);
                }
                Outward::Ready { .. } => {
                    self.history_due = true;
                    self.begin_clients();
                }
                Outward::Log { line, .. } => web_sys::console::info_1(&line.into()),
                Outward::Respond { .. } | Outward::Close { .. } | Outward::Stopped { .. } => {}
            }
        }
        for event in self.world.events() {
            self.look_at(&event);
        }
    }

    fn look_at(&mut self, event: &Event) {
        self.watch.note(event);
        match &event.kind {
            EventKind::Request { .. } => self.host.requests += 1,
            EventKind::Actor { event: ActorEvent::Done { what, error }, .. } => {
                if self.demo && what.contains(DEMO_TOPIC) {
                    self.demo = false;
                    self.clients = clients::demo_clients();
                    self.clients_changed = true;
                    self.add_clients();
                    return;
                }
                let result = match error {
                    None => Ok(format!("{}: done.", capital(what)).into()),
                    Some(error) => Err(error.as_str().into()),
                };
                let awaited = self.awaited.iter().position(|(known, _)| known == what);
                let id = awaited.map_or(0, |place| self.awaited.remove(place).1);
                port::post(&FromWorker::Done { id, result });
            }
            EventKind::Actor { actor, event } => self.note_errors(*actor, event),
            _ => {}
        }
    }

    /// A client's last error stands on its card until it gets something done.
    fn note_errors(&mut self, actor: shore_sim::ActorId, event: &ActorEvent) {
        let error = match event {
            ActorEvent::Failed { error, .. } | ActorEvent::CommitFailed { error } | ActorEvent::Said(error) => {
                Some(error)
            }
            ActorEvent::Transaction(TransactionStep::Failed { error, .. } | TransactionStep::Fatal { error }) => {
                Some(error)
            }
            ActorEvent::Acknowledged { .. } | ActorEvent::Assigned { .. } | ActorEvent::Consumed { .. }
                if !self.host.errors.is_empty() =>
            {
                None
            }
            _ => return,
        };
        let Some(name) = self.actor_name(actor) else { return };
        self.host.errors.retain(|(known, _)| *known != name);
        self.host.errors.extend(error.map(|error| (name, error.as_str().into())));
    }

    fn history_wanted(&self) -> Vec<history::Wanted> {
        let node = self.world.node(NODE).map(|node| node.view());
        node.map_or_else(Vec::new, |node| history::wanted(&node, &FileName::from(DIRECTORY)))
    }

    fn actor_name(&self, id: shore_sim::ActorId) -> Option<String> {
        let actors = self.world.snapshot().actors;
        actors.into_iter().find(|actor| actor.id == id).map(|actor| actor.name)
    }

    /// The node serves: clients may come.
    fn begin_clients(&mut self) {
        if self.demo {
            let _ = self.world.act(clients::demo_topic());
        } else {
            self.add_clients();
        }
    }

    fn add_clients(&mut self) {
        for action in self.clients.actions() {
            // One of a name that is taken is there already: the node was started anew, not the clients.
            let _ = self.world.act(action);
        }
    }

    /// What is to be said of it; `None` if the broker has to be asked first.
    fn carry_out(&mut self, id: u32, command: Command) -> Result<Option<String>, String> {
        if let Some(request) = clients::request(&command) {
            if let Command::DeleteTopic { name } = &command {
                self.history.forget(name);
            }
            self.awaited.extend(request.request().map(|what| (what, id)));
            return self.world.act(request).map(|()| None);
        }
        self.carry_out_here(command).map(Some)
    }

    fn carry_out_here(&mut self, command: Command) -> Result<String, String> {
        let silent = |()| String::new();
        match command {
            Command::AddProducer { topic, rate_milli, transactions } => {
                let action = self.clients.new_producer(&topic, u64::from(rate_milli), transactions);
                self.add_client(action).map(silent)
            }
            Command::AddMember { group, topic, assignors, read_committed, pace, instance } => {
                let mut spec = self.clients.new_member(&group, &topic);
                spec.set_assignors(&assignors)?;
                spec.isolation = if read_committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
                spec.records_per_second = pace.into();
                spec.instance_id = instance.map(|instance| instance.to_string());
                self.add_client(Action::AddConsumer(spec)).map(silent)
            }
            Command::AddCopier { from, to, .. } if from == to => {
                Err(format!("A copier of {from} into itself would read what it writes, for ever."))
            }
            Command::AddCopier { group, from, to, pace, transactions } => {
                let action = self.clients.new_copier(&group, &from, &to, pace, transactions);
                self.add_client(action).map(silent)
            }
            Command::SetRate { actor, rate_milli } => {
                let millirate = u64::from(rate_milli);
                self.world.act(Action::SetRate { actor: actor.to_string(), millirate })?;
                self.clients.set_rate(&actor, millirate);
                self.clients_changed = true;
                Ok(String::new())
            }
            Command::PauseMember { actor, paused } => {
                let name = actor.to_string();
                let action = match paused {
                    true => Action::PauseConsumer { actor: name },
                    false => Action::ResumeConsumer { actor: name },
                };
                self.world.act(action)?;
                self.clients.set_paused(&actor, paused);
                self.clients_changed = true;
                Ok(String::new())
            }
            Command::Remove { actor } => {
                self.world.act(Action::Stop { actor: actor.to_string() })?;
                self.clients.remove(&actor);
                self.clients_changed = true;
                Ok(String::new())
            }
            Command::Send(record) => self.send(record),
            Command::Pause | Command::Resume => {
                let paused = command == Command::Pause;
                self.pace.set_paused(paused);
                self.host.paused = paused;
                Ok(String::new())
            }
            Command::Step => self.step().map(silent),
            Command::Speed { percent } => {
                self.pace.set_percent(percent);
                self.host.percent = self.pace.percent();
                Ok(String::new())
            }
            Command::Export | Command::Reset => Err("That is for the store, not for the cluster.".into()),
            Command::CreateTopic { .. }
            | Command::DeleteTopic { .. }
            | Command::AlterConfigs { .. }
            | Command::CreatePartitions { .. }
            | Command::DeleteRecords { .. } => unreachable!("they are requests of the admin client"),
        }
    }

    fn add_client(&mut self, action: Action) -> Result<(), String> {
        self.world.act(action.clone())?;
        self.clients.insert(action);
        self.clients_changed = true;
        Ok(())
    }

    fn send(&mut self, record: Record) -> Result<String, String> {
        let text = |text: Rc<str>| text.to_string();
        self.world.act(Action::Send(OneRecord {
            topic: text(record.topic.clone()),
            partition: record.partition,
            key: record.key.map(text),
            value: record.value.map(text),
            headers: record.headers.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
        }))?;
        Ok(format!("Sent to {}.", record.topic))
    }

    /// Goes from one due thing to the next until something can be seen.
    fn step(&mut self) -> Result<(), String> {
        if !self.host.paused {
            return Err("Pause first: time passes on its own.".into());
        }
        for _ in 0..STEPS {
            if self.world.step().is_none() {
                return Err("Nothing is due.".into());
            }
            let events = self.world.events();
            let seen = !events.is_empty();
            for event in events {
                self.look_at(&event);
            }
            if seen {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, question: &Question) -> Details {
        let gone = |why: &str| Details::Gone { why: why.into() };
        let Some(node) = self.world.node(NODE) else { return gone("The broker is down.") };
        match question {
            Question::Exchange { id } => self.watch.details(*id),
            Question::Batch { topic, partition, offset } => {
                let found = screen::find(&node.view(), topic, *partition).map(|(id, _)| id);
                let stored = || self.history.batch_at(topic, *partition, *offset);
                match found.and_then(|id| node.batch_at(id, *partition, *offset)).or_else(stored) {
                    Some(bytes) => Details::Batch(decode::batch_details(&bytes)),
                    None => gone("It is no longer in memory."),
                }
            }
            Question::Partition { topic, partition } => match screen::find(&node.view(), topic, *partition) {
                Some((_, log)) => {
                    let directory = FileName::from(DIRECTORY).join(&format!("{topic}-{partition}"));
                    let files = self.store.as_ref().map_or_else(Vec::new, |store| store.list(&directory));
                    let files: Vec<_> =
                        files.iter().map(|entry| (entry.file.base_name().to_owned(), entry.len)).collect();
                    Details::Partition(screen::partition_details(directory.as_str(), log, &files))
                }
                None => gone("This node does not hold it."),
            },
            Question::Configs { topic } => Details::Configs {
                topic: topic.clone(),
                configs: node.topic_configs(topic.as_deref()).iter().map(screen::config).collect(),
            },
        }
    }

    fn send_delta(&mut self) {
        let Some(node) = self.world.node(NODE) else { return };
        let view = node.view();
        for topic in &view.topics {
            self.watch.know_topic(topic.id.0, &topic.name.as_ref().into());
        }
        let mut next = screen::screen(&self.world.snapshot(), &view, &self.host);
        self.history.complete(&mut next);
        self.watch.complete(&mut next);
        let mut delta = self.sent.delta_to(&next);
        delta.exchanges = self.watch.take_news();
        delta.happenings = self.watch.take_happenings();
        self.sent = next;
        self.sent_at = port::now_micros();
        self.frame_wanted = false;
        port::post(&FromWorker::Delta(Box::new(delta)));
    }

    /// A store without room says so until a write that needs some has succeeded.
    fn note_space(&mut self, reply: &StoreReply, freed: bool) {
        let StoreReply::Stored { result, .. } = reply else { return };
        match result {
            Err(StoreError::Full(why)) => self.host.storage.full = Some(why.as_str().into()),
            Err(StoreError::Failed(why)) => web_sys::console::warn_1(&format!("store: {why}").into()),
            Ok(()) if !freed => self.host.storage.full = None,
            _ => {}
        }
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Whether requests only give space back: their success says nothing about room.
fn frees_space(requests: &[StoreRequest]) -> bool {
    let mut ops = requests.iter().flat_map(|request| match request {
        StoreRequest::Store { ops, .. } => ops.as_slice(),
        _ => &[],
    });
    !ops.any(|op| matches!(op, StoreOp::Append { .. } | StoreOp::Replace { .. }))
}
