//! One run: a node, producers and a group under faults, all drawn from a seed; then everything heals and
//! must come to rest; then everything is read and compared with what was promised.

use std::fmt;

use bytes::Bytes;
use core::time::Duration;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, NodeId, Random, Uuid};
use shore_broker::{Durability, NodeConfig};
use shore_client::{Acks, Assignor, OffsetReset};
use shore_sim::snapshot::{Doing, NodeState};
use shore_sim::{
    Action, ActorEvent, ActorId, ConsumerSpec, Disk, DiskModel, Event, EventKind, Generator, ProducerSpec, World,
};
use shore_wire::compress::Codec;

use crate::checker::{Checker, Violation};
use crate::counts::Counts;

/// What a run is made of, apart from its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Crash while the disk carries out this call, counted from the start; later crashes are random.
    pub crash_at_call: Option<u64>,
    pub durability: Durability,
    pub crash: Crash,
    /// Keeps the trace and the events in words.
    pub lines: bool,
}

/// How a node comes to its end meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its process is killed.
    Kill,
    /// Its power goes away, and with it what its disk has not synced.
    Power,
    /// It does not crash: it is stopped and started when everything has healed.
    Never,
}

/// Runs 0 to this crash at their own number of calls; those after it at random ones.
pub const CALLS_IN_TURN: u64 = 150;

impl Settings {
    /// The settings of the run called `seed`: durability and kind of crash match, so nothing acknowledged may go.
    pub fn of_seed(seed: u64) -> Self {
        let power = seed % 2 == 1;
        Self {
            crash_at_call: (seed < CALLS_IN_TURN).then_some(seed + 1),
            durability: if power { Durability::Synced } else { Durability::Written },
            crash: if power { Crash::Power } else { Crash::Kill },
            lines: false,
        }
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    pub hash: u64,
    pub virtual_time: Instant,
    pub events: u64,
    pub disk_calls: u64,
    pub counts: Counts,
    pub violations: Vec<Violation>,
    /// The trace in words, and the events, if the settings asked for them.
    pub lines: Vec<String>,
    pub story: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} in {} events, {} disk calls, trace {:016x}; {}",
            self.seed, self.virtual_time, self.events, self.disk_calls, self.hash, self.counts
        )?;
        for violation in self.violations.iter().take(10) {
            write!(f, "\n  broken at {violation}")?;
        }
        if !self.violations.is_empty() {
            write!(f, "\n  again: cargo xtask sim seed {}", self.seed)?;
        }
        Ok(())
    }
}

const NODE: NodeId = NodeId(1);
const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;
/// The member that reads everything at the end.
const AUDITOR: &str = "auditor";

/// How long the faults go on, and how long everything may take to come to rest after them.
const UNREST: Duration = Duration::from_secs(20);
const REST: Duration = Duration::from_secs(300);

pub fn run(seed: u64, settings: Settings) -> Report {
    let mut random = Random::stream(seed, "run");
    let mut run = Run {
        world: World::new(seed),
        checker: Checker::default(),
        read: BTreeMap::new(),
        auditor: None,
        events: 0,
        to_produce: 0,
        story: Vec::new(),
        crashes_left: 1 + random.below(3),
        random,
        settings,
    };
    if settings.lines {
        run.world.keep_trace_lines();
    } else {
        run.world.start_trace();
    }
    run.world.subscribe();
    run.begin(seed);
    run.until(Instant::ZERO + UNREST, |_| false);
    let rested = run.heal_and_rest();
    let at = run.world.now();
    let mut violations = run.checker.violations().to_vec();
    if violations.is_empty() {
        match rested {
            Ok(()) => run.checker.finish(at, &run.read),
            Err(what) => violations.push(Violation { at, rule: "55: what has healed comes to rest", what }),
        }
        violations.extend(run.checker.violations().iter().cloned());
    }
    Report {
        seed,
        hash: run.world.trace_hash(),
        virtual_time: at,
        events: run.events,
        disk_calls: run.world.disk_calls(NODE),
        counts: run.checker.counts,
        violations,
        lines: run.world.take_trace_lines(),
        story: run.story,
    }
}

struct Run {
    world: World,
    checker: Checker,
    /// What the auditor read.
    read: BTreeMap<(String, i32), BTreeMap<i64, Bytes>>,
    auditor: Option<ActorId>,
    events: u64,
    /// How many records the producers make before they are done.
    to_produce: u64,
    story: Vec<String>,
    crashes_left: u64,
    random: Random,
    settings: Settings,
}

impl Run {
    fn begin(&mut self, seed: u64) {
        self.world.boot(node_config(seed, self.settings.durability), Disk::Model(DiskModel::default()));
        self.plan_crash();
        let create = Action::CreateTopic {
            topic: TOPIC.into(),
            partitions: PARTITIONS,
            replication: 1,
            configs: BTreeMap::new(),
        };
        self.act(create);
        for name in ["north", "south"] {
            let spec = self.producer(name);
            self.to_produce += spec.limit.unwrap_or(0);
            let later = Duration::from_millis(self.random.below(2_000));
            self.world.act_at(Instant::ZERO + later, Action::AddProducer(spec));
        }
        let assignor = Assignor::ALL[self.random.below(4) as usize];
        for name in ["one", "two", "three"] {
            let spec = ConsumerSpec {
                records_per_second: [0, 50, 400][self.random.below(3) as usize],
                assignors: vec![assignor],
                auto_commit: Some(Duration::from_millis(200 + self.random.below(2_000))),
                session_timeout: Duration::from_secs(6 + self.random.below(10)),
                ..ConsumerSpec::new(name, "readers", TOPIC)
            };
            let later = Duration::from_millis(500 + self.random.below(8_000));
            self.world.act_at(Instant::ZERO + later, Action::AddConsumer(spec));
        }
        let end = Duration::from_millis(10_000 + self.random.below(8_000));
        let leaves = if self.random.percent(50) {
            Action::Stop { actor: "one".into() }
        } else {
            Action::Vanish { actor: "one".into() }
        };
        self.world.act_at(Instant::ZERO + end, leaves);
        self.plan_troubles();
        self.plan_disk_faults(seed);
    }

    fn producer(&mut self, name: &str) -> ProducerSpec {
        let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        ProducerSpec {
            millirate: 20_000 + self.random.below(80_000),
            generator: Generator::Numbered,
            keys: [0, 7][self.random.below(2) as usize],
            limit: Some(200 + self.random.below(300)),
            acks: Acks::All,
            idempotence: true,
            linger: Duration::from_millis(self.random.below(20)),
            batch_bytes: [200, 1_000, 16_384][self.random.below(3) as usize],
            compression: codecs[self.random.below(5) as usize],
            ..ProducerSpec::new(name, TOPIC)
        }
    }

    /// Troubles of links and disks, each with its end before the unrest ends.
    fn plan_troubles(&mut self) {
        let millis = |random: &mut Random, from: u64, to: u64| Duration::from_millis(from + random.below(to - from));
        let latency = Action::SetLatency {
            actor: None,
            latency: Duration::from_micros(self.random.below(20_000)),
            jitter: Duration::from_micros(self.random.below(10_000)),
        };
        self.act(latency);
        if self.random.percent(40) {
            let latency = millis(&mut self.random, 1, 50);
            let at = millis(&mut self.random, 1_000, 10_000);
            self.world.act_at(Instant::ZERO + at, Action::SlowDisk { node: NODE, latency });
        }
        if self.random.percent(40) {
            let actor = ["north", "two"][self.random.below(2) as usize].to_owned();
            let at = millis(&mut self.random, 2_000, 12_000);
            let until = at + millis(&mut self.random, 100, 6_000);
            self.world.act_at(Instant::ZERO + at, Action::CutLink { actor: actor.clone(), node: NODE });
            self.world.act_at(Instant::ZERO + until, Action::HealLink { actor, node: NODE });
        }
    }

    /// In some runs the disk is full or fails for a while, once or twice, and heals. Drawn apart from the rest:
    /// the other runs go as they would without.
    fn plan_disk_faults(&mut self, seed: u64) {
        let mut random = Random::stream(seed, "disk faults");
        if !random.percent(40) {
            return;
        }
        let mut at = Duration::from_millis(500 + random.below(8_000));
        for _ in 0..1 + random.below(2) {
            let full = random.percent(50);
            let fault = if full { Action::FillDisk { node: NODE } } else { Action::FailDisk { node: NODE } };
            self.world.act_at(Instant::ZERO + at, fault);
            at += Duration::from_millis(20 + random.below(5_000));
            self.world.act_at(Instant::ZERO + at, Action::HealDisk { node: NODE });
            at += Duration::from_millis(1 + random.below(3_000));
        }
    }

    /// The next crash: at the call the settings name, or at a random one.
    fn plan_crash(&mut self) {
        if self.crashes_left == 0 {
            return;
        }
        self.crashes_left -= 1;
        let calls = match self.settings.crash_at_call {
            Some(calls) if self.checker.counts.crashes == 0 => calls,
            _ => 1 + self.random.below(400),
        };
        let power = match self.settings.crash {
            Crash::Kill => false,
            Crash::Power => true,
            Crash::Never => return,
        };
        self.act(Action::CrashInCalls { node: NODE, calls, power });
    }

    fn act(&mut self, action: Action) {
        self.world.act(action.clone()).unwrap_or_else(|why| panic!("{action}: {why}"));
        self.observe();
    }

    /// Lets the world go on until a time, or until something holds (looked at now and then). True if it does.
    fn until(&mut self, end: Instant, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let mut look_at = self.world.now();
        while self.checker.violations().is_empty() && self.world.next_due().is_some_and(|(at, _)| at <= end) {
            self.world.step();
            self.observe();
            while self.world.poll().is_some() {}
            if look_at <= self.world.now() {
                look_at = self.world.now() + Duration::from_millis(50);
                if let Some(node) = self.world.node(NODE) {
                    self.checker.look_at(self.world.now(), self.world.wall(), &node.view());
                }
                if holds(self) {
                    return true;
                }
            }
        }
        false
    }

    /// Hands the world's new events to the checker.
    fn observe(&mut self) {
        let events = self.world.events();
        for event in &events {
            self.events += 1;
            if self.settings.lines {
                self.story.push(told(event));
            }
            self.checker.observe(event);
            self.note_auditor(event);
            // What was committed before it was killed is, without being said again.
            if matches!(event.kind, EventKind::NodeReady { .. })
                && let Some(node) = self.world.node(NODE)
            {
                self.checker.look_at(self.world.now(), self.world.wall(), &node.view());
            }
            if matches!(event.kind, EventKind::NodeKilled { .. }) {
                let down = Duration::from_millis(1 + self.random.below(3_000));
                self.world.act_at(self.world.now() + down, Action::StartNode { node: NODE });
            }
            if matches!(event.kind, EventKind::NodeStarted { .. }) && self.checker.counts.crashes > 0 {
                self.plan_crash();
            }
        }
    }

    fn note_auditor(&mut self, event: &Event) {
        match &event.kind {
            EventKind::ActorAdded { actor, name } if name == AUDITOR => self.auditor = Some(*actor),
            EventKind::Actor { actor, event: ActorEvent::Consumed { topic, partition, records } }
                if Some(*actor) == self.auditor =>
            {
                let log = self.read.entry((topic.clone(), *partition)).or_default();
                log.extend(records.iter().map(|(offset, value)| (*offset, value.clone().unwrap_or_default())));
            }
            _ => {}
        }
    }

    /// No more faults: everything sent is answered, the group is stable and without lag, the auditor has read all.
    fn heal_and_rest(&mut self) -> Result<(), String> {
        self.crashes_left = 0;
        // A crash that is still to come is put off beyond the end.
        self.act(Action::CrashInCalls { node: NODE, calls: u64::MAX / 2, power: false });
        self.act(Action::HealDisk { node: NODE });
        let end = self.world.now() + REST;
        let rested = self.until(end, |run| run.is_quiet() && run.has_no_lag(&["two", "three"]));
        if !self.checker.violations().is_empty() {
            return Ok(());
        }
        if !rested {
            return Err(format!("{} after all faults: {}", shown(REST), self.state()));
        }
        if self.settings.crash == Crash::Never {
            self.restart();
        }
        let auditor = ConsumerSpec { reset: OffsetReset::Earliest, ..ConsumerSpec::new(AUDITOR, "audit", TOPIC) };
        self.act(Action::AddConsumer(auditor));
        let end = self.world.now() + REST;
        let read = self.until(end, |run| run.has_no_lag(&[AUDITOR]));
        match read || !self.checker.violations().is_empty() {
            true => Ok(()),
            false => Err(format!("the auditor does not get to the end: {}", self.state())),
        }
    }

    /// Stops the node in order and starts it: what it had in memory alone has to be in its files.
    fn restart(&mut self) {
        let is = |run: &Self, state| run.world.snapshot().nodes.iter().all(|node| node.state == state);
        self.act(Action::StopNode { node: NODE });
        self.until(self.world.now() + REST, |run| is(run, NodeState::Down));
        self.act(Action::StartNode { node: NODE });
        self.until(self.world.now() + REST, |run| is(run, NodeState::Ready));
    }

    fn is_quiet(&self) -> bool {
        let snapshot = self.world.snapshot();
        let up = snapshot.nodes.iter().all(|node| node.state == NodeState::Ready);
        up && snapshot.actors.iter().all(|actor| match &actor.doing {
            Doing::Producing { unfinished, made, acknowledged, failed, .. } => {
                *unfinished == 0 && *made == acknowledged + failed
            }
            _ => true,
        }) && self.checker.unanswered() == 0
            && self.checker.counts.produced == self.to_produce
    }

    /// Whether these members read every partition between them and are at its end.
    fn has_no_lag(&self, names: &[&str]) -> bool {
        let snapshot = self.world.snapshot();
        let mut read = 0;
        for actor in snapshot.actors.iter().filter(|actor| names.contains(&actor.name.as_str())) {
            let Doing::Consuming { partitions, state: "stable", .. } = &actor.doing else { return false };
            if partitions.iter().any(|partition| partition.lag != Some(0)) {
                return false;
            }
            read += partitions.len();
        }
        read == PARTITIONS as usize
    }

    fn state(&self) -> String {
        let snapshot = self.world.snapshot();
        let actors = snapshot.actors.iter().map(|actor| format!("{}: {:?}", actor.name, actor.doing));
        let nodes = snapshot.nodes.iter().map(|node| format!("node {}: {:?}", node.id, node.state));
        nodes.chain(actors).collect::<Vec<_>>().join("; ")
    }
}

/// An event in a line that can be read.
fn told(event: &Event) -> String {
    let cause = event.cause.map_or(String::new(), |cause| format!(" after {}", cause.0));
    let mut line = format!("{} #{}{cause} {:?}", event.at, event.id.0, event.kind);
    if let Some((end, _)) = line.char_indices().nth(400) {
        line.truncate(end);
    }
    line
}

fn shown(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

/// A node of its own: what one node needs, and few offsets partitions, so that a run is short.
pub fn node_config(seed: u64, durability: Durability) -> NodeConfig {
    let configs = [
        ("num.partitions", "3"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "3"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "100"),
    ];
    NodeConfig {
        node_id: NODE,
        cluster_id: Uuid::random(&mut Random::stream(seed, "cluster")),
        directory: "n1/d0".into(),
        advertised_host: "n1".into(),
        advertised_port: 9092,
        static_configs: configs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        durability,
        cache_bytes: 64 << 20,
        memory_ceiling_bytes: None,
        seed,
    }
}
