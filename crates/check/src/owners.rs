//! The owners of clients: one that is lost, and of use under its old name or its transactional id, they start again.

use core::time::Duration;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, Random};
use shore_sim::{Action, ActorEvent, ActorId, ConsumerSpec, CopierSpec, Event, EventKind, ProducerSpec};
use shore_sim::{TransactionStep, World};

pub(crate) struct Owners {
    /// The members that there are or were, by name.
    members: BTreeMap<String, ConsumerSpec>,
    /// The transactional clients that hold their ids, by name.
    transactional: BTreeMap<String, Transactional>,
    /// How many of these were started again.
    again: u64,
    random: Random,
    /// Until then something is to come that they have planned.
    busy_until: Instant,
}

/// A client that has a transactional id.
#[derive(Clone)]
pub(crate) enum Transactional {
    Producer(ProducerSpec),
    Copier(CopierSpec),
}

impl Owners {
    pub fn new(random: Random) -> Self {
        let (members, transactional) = (BTreeMap::new(), BTreeMap::new());
        Self { members, transactional, again: 0, random, busy_until: Instant::ZERO }
    }

    pub fn is_idle(&self, now: Instant) -> bool {
        self.busy_until < now
    }

    /// What they do about it, in the world.
    pub fn observe(&mut self, world: &mut World, event: &Event) {
        match &event.kind {
            EventKind::Acted(Action::AddConsumer(spec)) => {
                self.members.insert(spec.name.clone(), spec.clone());
            }
            EventKind::Acted(Action::AddProducer(spec)) if spec.transactions.is_some() => {
                self.holds_its_id(Transactional::Producer(spec.clone()));
            }
            EventKind::Acted(Action::AddCopier(spec)) => self.holds_its_id(Transactional::Copier(spec.clone())),
            EventKind::Acted(Action::Vanish { actor } | Action::Stop { actor }) => self.take_over(world, actor),
            EventKind::Actor { actor, event: ActorEvent::Transaction(TransactionStep::Fatal { .. }) } => {
                let lost = name(world, *actor);
                self.plan(world, Duration::from_millis(100), Action::Vanish { actor: lost });
            }
            EventKind::Actor { actor, event: ActorEvent::Said(what) } if what.contains("FENCED_INSTANCE_ID") => {
                self.start_anew(world, &name(world, *actor));
            }
            _ => {}
        }
    }

    /// Whoever had its transactional id before is fenced, and is not started again.
    fn holds_its_id(&mut self, client: Transactional) {
        self.transactional.retain(|_, other| other.id() != client.id());
        self.transactional.insert(client.name().to_owned(), client);
    }

    /// Another takes over, under another name and with the same transactional id.
    fn take_over(&mut self, world: &mut World, lost: &str) {
        let Some(client) = self.transactional.remove(lost) else { return };
        self.again += 1;
        let mut client = client.again(&self.again.to_string());
        if let Transactional::Producer(spec) = &mut client {
            spec.limit = Some(40);
        }
        let pause = Duration::from_millis(1 + self.random.below(2_000));
        self.plan(world, pause, client.action());
    }

    /// A static member's id is known when it has joined, and safe when the leader has shared out: a crash in between
    /// brings its former id back, as in Apache Kafka, and the member is fenced.
    fn start_anew(&mut self, world: &mut World, fenced: &str) {
        let Some(spec) = self.members.get(fenced).cloned() else { return };
        self.plan(world, Duration::from_millis(200), Action::Vanish { actor: spec.name.clone() });
        self.plan(world, Duration::from_millis(1_000), Action::AddConsumer(spec));
    }

    /// One more member joins a group, so that all is shared out anew.
    pub fn join(&mut self, world: &mut World, group: &str) {
        let Some(spec) = self.members.values().find(|spec| spec.group == group).cloned() else { return };
        let spec = ConsumerSpec { name: format!("{group}-newcomer"), instance_id: None, ..spec };
        self.plan(world, Duration::ZERO, Action::AddConsumer(spec));
    }

    fn plan(&mut self, world: &mut World, after: Duration, action: Action) {
        let at = world.now() + after;
        self.busy_until = self.busy_until.max(at);
        world.act_at(at, action);
    }
}

fn name(world: &World, actor: ActorId) -> String {
    let actors = world.snapshot().actors;
    actors.into_iter().find(|other| other.id == actor).map(|actor| actor.name).unwrap_or_default()
}

impl Transactional {
    /// The same under another name: its first one, and this behind it.
    pub fn again(mut self, behind: &str) -> Self {
        let name = match &mut self {
            Self::Producer(spec) => &mut spec.name,
            Self::Copier(spec) => &mut spec.name,
        };
        let first = name.split('.').next().unwrap_or_default();
        *name = format!("{first}.{behind}");
        self
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Producer(spec) => &spec.name,
            Self::Copier(spec) => &spec.name,
        }
    }

    pub fn action(self) -> Action {
        match self {
            Self::Producer(spec) => Action::AddProducer(spec),
            Self::Copier(spec) => Action::AddCopier(spec),
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::Producer(spec) => spec.transactions.as_ref().map(|transactions| transactions.id.as_str()),
            Self::Copier(spec) => Some(&spec.transactions.id),
        }
    }
}
