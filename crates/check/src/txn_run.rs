//! A run of transactions: producers that commit and abort, copiers that move what was committed to another topic, and
//! faults, all drawn from a seed. Clients that are lost come again under their transactional ids. Then everything
//! heals, must come to rest, and is read and compared with what was promised.

use core::time::Duration;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, NodeId, Random};
use shore_broker::view::{PartitionView, TopicView};
use shore_client::{Isolation, TransactionState};
use shore_sim::snapshot::{Doing, NodeState};
use shore_sim::{
    Action, ActorEvent, ConsumerSpec, CopierSpec, Disk, DiskModel, Event, EventKind, Generator, ProducerSpec,
    TransactionSpec, TransactionStep, World,
};

use crate::auditor::{AUDITOR, Auditor};
use crate::checker::Violation;
use crate::records::Read;
use crate::run::{Crash, Settings, node_config};
use crate::txn_watch::{TxnCounts, TxnWatch};

const NODE: NodeId = NodeId(1);
const SOURCE: &str = "source";
const COPY: &str = "copy";

const UNREST: Duration = Duration::from_secs(20);
/// In which transactions that were left open are aborted, too: after their timeout and the coordinator's next look.
const REST: Duration = Duration::from_secs(300);

/// How a run of transactions went.
#[derive(Clone, Debug)]
pub struct TxnReport {
    pub seed: u64,
    pub hash: u64,
    pub virtual_time: Instant,
    pub counts: TxnCounts,
    pub crashes: u64,
    pub violations: Vec<Violation>,
    /// What the auditor read, and who compares it: to be compared again with something taken away.
    pub read: Read,
    pub watch_events: Vec<Event>,
}

/// Runs a seed. The auditor reads committed, as it should; a test of the rules lets it read everything.
pub fn run_transactions(seed: u64, isolation: Isolation) -> TxnReport {
    let settings = Settings::of_seed(seed);
    let mut run = TxnRun {
        world: World::new(seed),
        watch: TxnWatch::default(),
        events: Vec::new(),
        auditor: Auditor::default(),
        specs: BTreeMap::new(),
        crashes: 0,
        crashes_left: 0,
        again: 0,
        random: Random::stream(seed, "transactions"),
        settings,
    };
    run.world.start_trace();
    run.world.subscribe();
    run.begin(seed);
    run.until(Instant::ZERO + UNREST, |_| false);
    let rested = run.heal_and_rest(isolation);
    let at = run.world.now();
    if run.watch.violations().is_empty() && rested.is_ok() {
        run.watch.finish(at, &run.auditor.read);
    }
    let mut violations = run.watch.violations().to_vec();
    if let Err(what) = rested {
        violations.push(Violation { at, rule: "55: what has healed comes to rest", what });
    }
    TxnReport {
        seed,
        hash: run.world.trace_hash(),
        virtual_time: at,
        counts: run.watch.counts,
        crashes: run.crashes,
        violations,
        read: run.auditor.read,
        watch_events: run.events,
    }
}

struct TxnRun {
    world: World,
    watch: TxnWatch,
    /// What transactions are judged by.
    events: Vec<Event>,
    auditor: Auditor,
    /// The transactional clients that there are, by name, to be started again.
    specs: BTreeMap<String, Spec>,
    crashes: u64,
    crashes_left: u64,
    /// How many clients were started again.
    again: u64,
    random: Random,
    settings: Settings,
}

#[derive(Clone)]
enum Spec {
    Producer(ProducerSpec),
    Copier(CopierSpec),
}

impl Spec {
    /// The same under another name, with the same transactional id.
    fn again(mut self, number: u64) -> Self {
        let name = match &mut self {
            Self::Producer(spec) => &mut spec.name,
            Self::Copier(spec) => &mut spec.name,
        };
        let first = name.split('.').next().unwrap_or_default();
        *name = format!("{first}.{number}");
        self
    }

    fn name(&self) -> &str {
        match self {
            Self::Producer(spec) => &spec.name,
            Self::Copier(spec) => &spec.name,
        }
    }

    fn transactional_id(&self) -> Option<&str> {
        match self {
            Self::Producer(spec) => spec.transactions.as_ref().map(|transactions| transactions.id.as_str()),
            Self::Copier(spec) => Some(&spec.transactions.id),
        }
    }

    fn action(&self) -> Action {
        match self.clone() {
            Self::Producer(spec) => Action::AddProducer(spec),
            Self::Copier(spec) => Action::AddCopier(spec),
        }
    }
}

impl TxnRun {
    fn begin(&mut self, seed: u64) {
        let mut config = node_config(seed, self.settings.durability);
        config.static_configs.insert("transaction.state.log.num.partitions".into(), "3".into());
        self.world.boot(config, Disk::Model(DiskModel::default()));
        self.crashes_left = 1 + self.random.below(3);
        self.plan_crash();
        for (topic, partitions) in [(SOURCE, 3), (COPY, 2)] {
            let configs = BTreeMap::new();
            self.act(Action::CreateTopic { topic: topic.into(), partitions, replication: 1, configs });
        }
        let latency = Duration::from_micros(self.random.below(20_000));
        let jitter = Duration::from_micros(self.random.below(10_000));
        self.act(Action::SetLatency { actor: None, latency, jitter });
        let plain = ProducerSpec { limit: Some(100), ..self.producer("plain", None) };
        self.within(0..2_000, Action::AddProducer(plain));
        let mut planned = Vec::new();
        for name in ["bank-a", "bank-b"] {
            let transactions = TransactionSpec { abort_percent: 25, ..self.transactions(name) };
            let spec = ProducerSpec { limit: Some(150), ..self.producer(name, Some(transactions)) };
            planned.push((name, Spec::Producer(spec.clone())));
            self.within(0..2_000, Action::AddProducer(spec));
        }
        for name in ["copier-a", "copier-b"] {
            let transactions = TransactionSpec { abort_percent: 10, ..self.transactions(name) };
            let pace = [0, 100, 400][self.random.below(3) as usize];
            let session_timeout = Duration::from_secs(6 + self.random.below(6));
            let spec = CopierSpec { transactions, records_per_second: pace, session_timeout, ..copier(name) };
            planned.push((name, Spec::Copier(spec.clone())));
            self.within(500..6_000, Action::AddCopier(spec));
        }
        for (name, isolation) in [("strict", Isolation::ReadCommitted), ("curious", Isolation::ReadUncommitted)] {
            let reader = ConsumerSpec { isolation, ..ConsumerSpec::new(name, name, SOURCE) };
            self.within(500..6_000, Action::AddConsumer(reader));
        }
        self.plan_faults(planned);
    }

    fn producer(&mut self, name: &str, transactions: Option<TransactionSpec>) -> ProducerSpec {
        ProducerSpec {
            millirate: 10_000 + self.random.below(40_000),
            generator: Generator::Numbered,
            keys: 7,
            linger: Duration::from_millis(self.random.below(20)),
            batch_bytes: [200, 1_000, 16_384][self.random.below(3) as usize],
            transactions,
            ..ProducerSpec::new(name, SOURCE)
        }
    }

    fn transactions(&mut self, id: &str) -> TransactionSpec {
        TransactionSpec {
            records: [1, 3, 10, 40][self.random.below(4) as usize],
            timeout: Duration::from_secs(5 + self.random.below(10)),
            ..TransactionSpec::new(id)
        }
    }

    /// Clients are lost, or cut off while others take their ids over; answers are dropped; disks fill and fail.
    fn plan_faults(&mut self, clients: Vec<(&str, Spec)>) {
        for (name, spec) in clients {
            let actor = name.to_owned();
            match self.random.below(5) {
                0 => self.within(3_000..15_000, Action::Vanish { actor }),
                1 => self.within(3_000..15_000, Action::Stop { actor }),
                2 => {
                    let at = Duration::from_millis(3_000 + self.random.below(9_000));
                    let until = at + Duration::from_millis(100 + self.random.below(8_000));
                    self.world.act_at(Instant::ZERO + at, Action::CutLink { actor: actor.clone(), node: NODE });
                    self.world.act_at(Instant::ZERO + until, Action::HealLink { actor, node: NODE });
                }
                // The one that runs is a zombie from now on.
                3 => self.within(6_000..15_000, spec.again(100).action()),
                _ => {}
            }
        }
        for name in ["bank-a", "bank-b", "copier-a", "copier-b"] {
            for _ in 0..self.random.below(3) {
                // A connection breaks with an answer on its way: what was asked for has come about or not.
                let (actor, answers) = (name.to_owned(), 1 + self.random.below(30));
                self.within(1_000..18_000, Action::DropConnections { actor, node: NODE, answers });
            }
        }
        if self.random.percent(40) {
            let at = Duration::from_millis(1_000 + self.random.below(12_000));
            let until = at + Duration::from_millis(20 + self.random.below(5_000));
            let full = self.random.percent(50);
            let fault = if full { Action::FillDisk { node: NODE } } else { Action::FailDisk { node: NODE } };
            self.world.act_at(Instant::ZERO + at, fault);
            self.world.act_at(Instant::ZERO + until, Action::HealDisk { node: NODE });
        }
    }

    fn within(&mut self, millis: core::ops::Range<u64>, action: Action) {
        let after = Duration::from_millis(millis.start + self.random.below(millis.end - millis.start));
        self.world.act_at(Instant::ZERO + after, action);
    }

    fn plan_crash(&mut self) {
        if self.crashes_left == 0 {
            return;
        }
        self.crashes_left -= 1;
        let calls = match self.settings.crash_at_call {
            Some(calls) if self.crashes == 0 => calls,
            _ => 1 + self.random.below(600),
        };
        self.act(Action::CrashInCalls { node: NODE, calls, power: self.settings.crash == Crash::Power });
    }

    fn act(&mut self, action: Action) {
        self.world.act(action.clone()).unwrap_or_else(|why| panic!("{action}: {why}"));
        self.observe();
    }

    /// Lets the world go on until a time, or until something holds (looked at now and then). True if it does.
    fn until(&mut self, end: Instant, holds: impl Fn(&Self) -> bool) -> bool {
        let mut look_at = self.world.now();
        while self.watch.violations().is_empty() && self.world.next_due().is_some_and(|(at, _)| at <= end) {
            self.world.step();
            self.observe();
            while self.world.poll().is_some() {}
            if look_at <= self.world.now() {
                look_at = self.world.now() + Duration::from_millis(250);
                if holds(self) {
                    return true;
                }
            }
        }
        false
    }

    fn observe(&mut self) {
        for event in self.world.events() {
            self.watch.observe(&event);
            self.auditor.observe(&event);
            self.note(&event);
            if matches!(event.kind, EventKind::Acted(_) | EventKind::Actor { .. } | EventKind::ActorAdded { .. }) {
                self.events.push(event);
            }
        }
    }

    fn note(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Acted(Action::AddProducer(spec)) if spec.transactions.is_some() => {
                self.has_begun(Spec::Producer(spec.clone()));
            }
            EventKind::Acted(Action::AddCopier(spec)) => self.has_begun(Spec::Copier(spec.clone())),
            EventKind::Acted(Action::Vanish { actor } | Action::Stop { actor }) => self.start_again(actor.clone()),
            EventKind::Actor { actor, event: ActorEvent::Transaction(TransactionStep::Fatal { .. }) } => {
                let snapshot = self.world.snapshot();
                if let Some(lost) = snapshot.actors.into_iter().find(|other| other.id == *actor) {
                    let now = self.world.now();
                    self.world.act_at(now + Duration::from_millis(100), Action::Vanish { actor: lost.name });
                }
            }
            EventKind::NodeKilled { .. } => {
                self.crashes += 1;
                let down = Duration::from_millis(1 + self.random.below(3_000));
                self.world.act_at(self.world.now() + down, Action::StartNode { node: NODE });
            }
            EventKind::NodeStarted { .. } if self.crashes > 0 => self.plan_crash(),
            _ => {}
        }
    }

    /// Whoever had its transactional id before is fenced, and is not started again.
    fn has_begun(&mut self, spec: Spec) {
        self.specs.retain(|_, other| other.transactional_id() != spec.transactional_id());
        self.specs.insert(spec.name().to_owned(), spec);
    }

    /// Somebody else takes over, under another name and the same transactional id.
    fn start_again(&mut self, actor: String) {
        let Some(spec) = self.specs.remove(&actor) else { return };
        self.again += 1;
        let spec = match spec.again(self.again) {
            Spec::Producer(spec) => Spec::Producer(ProducerSpec { limit: Some(40), ..spec }),
            copier => copier,
        };
        let pause = Duration::from_millis(1 + self.random.below(2_000));
        self.world.act_at(self.world.now() + pause, spec.action());
    }

    /// No more faults: all that was begun is ended, and the copy, its readers and the auditor are at the end.
    fn heal_and_rest(&mut self, isolation: Isolation) -> Result<(), String> {
        self.crashes_left = 0;
        self.act(Action::CrashInCalls { node: NODE, calls: u64::MAX / 2, power: false });
        self.act(Action::HealDisk { node: NODE });
        // What was planned for clients that come late is over.
        self.until(self.world.now() + Duration::from_secs(5), |_| false);
        for _ in 0..2 {
            if !self.until(self.world.now() + REST, Self::is_at_rest) && self.watch.violations().is_empty() {
                return Err(format!("{} s after all faults: {}", REST.as_secs(), self.state()));
            }
            if !self.auditor.is_there() {
                let topics = vec![COPY.to_owned(), SOURCE.to_owned()];
                self.act(Action::AddConsumer(ConsumerSpec {
                    topics,
                    isolation,
                    ..ConsumerSpec::new(AUDITOR, AUDITOR, "")
                }));
            }
        }
        Ok(())
    }

    fn is_at_rest(&self) -> bool {
        let Some(node) = self.world.node(NODE) else { return false };
        let view = node.view();
        let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
        for topic in view.topics.iter().filter(|topic| !topic.is_internal) {
            for partition in &topic.partitions {
                let Some(log) = &partition.log else { return false };
                // No transaction stays open.
                if log.last_stable_offset != log.high_watermark {
                    return false;
                }
                ends.insert((topic.name.to_string(), partition.partition), log.high_watermark);
            }
        }
        let snapshot = self.world.snapshot();
        let up = snapshot.nodes.iter().all(|node| node.state == NodeState::Ready);
        let mut read: BTreeMap<(String, String, i32), Option<i64>> = BTreeMap::new();
        let idle = snapshot.actors.into_iter().all(|actor| match actor.doing {
            Doing::Producing { made, acknowledged, failed, transactions, topic, .. } => {
                let ready = transactions.is_none_or(|it| it.state == TransactionState::Ready);
                ready && made == acknowledged + failed && (topic != SOURCE || made >= 40)
            }
            Doing::Consuming { group, state, partitions, .. } => {
                read.extend(partitions.into_iter().map(|at| ((group.clone(), at.topic, at.partition), at.position)));
                state == "stable"
            }
            Doing::Copying { group, state, partitions, transactions, .. } => {
                read.extend(partitions.into_iter().map(|at| ((group.clone(), at.topic, at.partition), at.position)));
                state == "stable" && transactions.state == TransactionState::Ready
            }
            Doing::Administrating { .. } => true,
        });
        let auditor = self.auditor.is_there().then_some(AUDITOR);
        let groups = ["copiers", "strict", "curious"].into_iter().chain(auditor);
        let at_end = groups.into_iter().all(|group| {
            let of_group = |((topic, partition), end): (&(String, i32), &i64)| {
                (topic != SOURCE && group != AUDITOR)
                    || read.get(&(group.to_owned(), topic.clone(), *partition)) == Some(&Some(*end))
            };
            ends.iter().all(of_group)
        });
        let both = [SOURCE, COPY].iter().all(|topic| ends.keys().any(|(name, _)| name == topic));
        up && idle && at_end && both
    }

    fn state(&self) -> String {
        let snapshot = self.world.snapshot();
        let actors = snapshot.actors.iter().map(|actor| format!("{}: {:?}", actor.name, actor.doing));
        let view = self.world.node(NODE).map(|node| node.view());
        let topics = view.iter().flat_map(|view| &view.topics).filter(|topic| !topic.is_internal);
        let logs = topics.flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)));
        let log = |(topic, partition): (&TopicView, &PartitionView)| {
            let marks = partition.log.as_ref().map(|log| (log.last_stable_offset, log.high_watermark, &log.producers));
            format!("{}-{}: {marks:?}", topic.name, partition.partition)
        };
        let transactions = view.iter().flat_map(|view| &view.transactions).map(|it| format!("{it:?}"));
        actors.chain(logs.map(log)).chain(transactions).collect::<Vec<_>>().join("; ")
    }
}

fn copier(name: &str) -> CopierSpec {
    CopierSpec::new(name, "copiers", SOURCE, COPY)
}
