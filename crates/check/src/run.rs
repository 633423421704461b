//! One run: a node and workloads under faults, all drawn from a seed; then everything heals and must come to rest;
//! then everything is read and compared with what was promised.

use std::fmt;

use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Instant, NodeId, Random, Uuid};
use shore_broker::view::PartitionView;
use shore_broker::{Durability, NodeConfig};
use shore_client::OffsetReset;
use shore_sim::snapshot::{Doing, NodeState};
use shore_sim::{Action, ActorEvent, ActorId, ConsumerSpec, Disk, DiskModel, Event, EventKind, World};

use crate::auditor::{AUDITOR, Auditor};
use crate::checker::{Checker, Violation};
use crate::counts::Counts;
use crate::faults;
use crate::workloads::{Plan, WORKLOADS};

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

/// A group and its topics.
pub type Reader = (String, BTreeSet<String>);

/// How long the faults go on, and how long everything may take to come to rest after them.
const UNREST: Duration = Duration::from_secs(20);
/// A consumer hears of new partitions when its metadata is old (`metadata.max.age.ms`, 300 s).
const REST: Duration = Duration::from_secs(600);

/// A look into a node costs as much as some hundred of its events.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub fn run(seed: u64, settings: Settings) -> Report {
    let mut random = Random::stream(seed, "run");
    let mut run = Run {
        world: World::new(seed),
        checker: Checker::default(),
        auditor: Auditor::default(),
        events: 0,
        to_produce: 0,
        clients: Vec::new(),
        members: BTreeMap::new(),
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
    let rested = run.heal_and_rest(seed);
    let at = run.world.now();
    let mut violations = run.checker.violations().to_vec();
    if violations.is_empty() {
        match rested {
            Ok(readers) => run.checker.finish(at, &run.auditor.read, &readers),
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
    auditor: Auditor,
    events: u64,
    /// How many records the producers make before they are done.
    to_produce: u64,
    clients: Vec<String>,
    /// The members that there are or were, by name.
    members: BTreeMap<String, ConsumerSpec>,
    story: Vec<String>,
    crashes_left: u64,
    random: Random,
    settings: Settings,
}

impl Run {
    fn begin(&mut self, seed: u64) {
        let mut draw = Random::stream(seed, "node");
        let mut config = node_config(seed, self.settings.durability);
        let mut set = |name: &str, value: &str| {
            config.static_configs.insert(name.to_owned(), value.to_owned());
        };
        // Intervals that pass in a run.
        set("log.retention.check.interval.ms", "1000");
        set("log.cleaner.backoff.ms", "700");
        set("offsets.retention.check.interval.ms", "5000");
        set("offsets.topic.num.partitions", ["1", "3", "5"][draw.below(3) as usize]);
        set("group.initial.rebalance.delay.ms", ["0", "100", "1000"][draw.below(3) as usize]);
        set("auto.create.topics.enable", if draw.percent(50) { "true" } else { "false" });
        if self.offsets_expire(seed) {
            set("offsets.retention.minutes", "1");
        }
        let retention = if self.offsets_expire(seed) { 60 } else { 7 * 86_400 };
        self.checker.set_offsets_retention(Duration::from_secs(retention), Duration::from_secs(5));
        self.world.boot(config, Disk::Model(DiskModel::default()));
        self.plan_crash();
        for workload in &WORKLOADS {
            let mut plan = self.plan(seed, workload.name);
            if plan.percent(workload.percent) {
                (workload.begin)(&mut plan);
            }
        }
        faults::plan(&mut self.plan(seed, "faults"), NODE);
    }

    fn plan(&mut self, seed: u64, name: &str) -> Plan<'_> {
        Plan { world: &mut self.world, random: Random::stream(seed, name), clients: &mut self.clients }
    }

    /// In some runs the offsets of groups that are left expire.
    fn offsets_expire(&self, seed: u64) -> bool {
        seed % 5 == 4
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
                look_at = self.world.now() + LOOK_EVERY;
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
            self.auditor.observe(event);
            match &event.kind {
                EventKind::Acted(Action::AddProducer(spec)) => self.to_produce += spec.limit.unwrap_or(0),
                EventKind::Acted(Action::AddConsumer(spec)) => {
                    self.members.insert(spec.name.clone(), spec.clone());
                }
                EventKind::Actor { event: ActorEvent::Said(what), actor } if what.contains("FENCED_INSTANCE_ID") => {
                    self.start_anew(*actor);
                }
                _ => {}
            }
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

    /// A static member's id is known when it has joined, and safe when the leader has shared out: a crash in between
    /// brings its former id back, as in Apache Kafka, and the member is fenced. Its owner starts it again.
    fn start_anew(&mut self, actor: ActorId) {
        let snapshot = self.world.snapshot();
        let name = snapshot.actors.iter().find(|other| other.id == actor).map(|actor| actor.name.clone());
        let Some(spec) = name.and_then(|name| self.members.get(&name)) else { return };
        let now = self.world.now();
        let (gone, back) = (Duration::from_millis(200), Duration::from_millis(1_000));
        self.world.act_at(now + gone, Action::Vanish { actor: spec.name.clone() });
        self.world.act_at(now + back, Action::AddConsumer(spec.clone()));
    }

    /// No more faults: everything sent is answered, the groups are stable and without lag, the auditor has read all.
    /// Returns the groups that were at the end of all that there is, and their topics.
    fn heal_and_rest(&mut self, seed: u64) -> Result<Vec<Reader>, String> {
        self.crashes_left = 0;
        // A crash that is still to come is put off beyond the end.
        self.act(Action::CrashInCalls { node: NODE, calls: u64::MAX / 2, power: false });
        self.act(Action::HealDisk { node: NODE });
        let end = self.world.now() + REST;
        let rested = self.until(end, |run| run.is_quiet() && run.has_no_lag());
        if !self.checker.violations().is_empty() {
            return Ok(Vec::new());
        }
        if !rested {
            return Err(format!("{} after all faults: {}", shown(REST), self.state()));
        }
        let readers = self.readers();
        if self.offsets_expire(seed) {
            self.until(self.world.now() + Duration::from_secs(75), |_| false);
        }
        // What was done is in the files: in order, or as a crash leaves it.
        match (self.settings.crash, self.random.below(3)) {
            (Crash::Never, _) | (_, 0) => self.restart(),
            (crash, 1) => self.crash(crash),
            _ => {}
        }
        let topics = self.topics().into_keys().collect();
        let auditor = ConsumerSpec { reset: OffsetReset::Earliest, topics, ..ConsumerSpec::new(AUDITOR, AUDITOR, "") };
        self.act(Action::AddConsumer(auditor));
        let end = self.world.now() + REST;
        let read = self.until(end, |run| run.has_no_lag());
        match read || !self.checker.violations().is_empty() {
            true => Ok(readers),
            false => Err(format!("the auditor does not get to the end: {}", self.state())),
        }
    }

    fn crash(&mut self, crash: Crash) {
        let action = match crash {
            Crash::Power => Action::LosePower { node: NODE },
            _ => Action::KillNode { node: NODE },
        };
        self.act(action);
        self.until(self.world.now() + REST, |run| run.nodes_are(NodeState::Ready));
    }

    /// Stops the node in order and starts it: what it had in memory alone has to be in its files.
    fn restart(&mut self) {
        self.act(Action::StopNode { node: NODE });
        self.until(self.world.now() + REST, |run| run.nodes_are(NodeState::Down));
        self.act(Action::StartNode { node: NODE });
        self.until(self.world.now() + REST, |run| run.nodes_are(NodeState::Ready));
    }

    fn nodes_are(&self, state: NodeState) -> bool {
        self.world.snapshot().nodes.iter().all(|node| node.state == state)
    }

    /// The topics that clients have made, and the ends of their partitions.
    fn topics(&self) -> BTreeMap<String, Vec<i64>> {
        let view = self.world.node(NODE).map(|node| node.view());
        let topics = view.into_iter().flat_map(|view| view.topics).filter(|topic| !topic.is_internal);
        let end = |partition: &PartitionView| partition.log.as_ref().map_or(-1, |log| log.high_watermark);
        topics.map(|topic| (topic.name.to_string(), topic.partitions.iter().map(end).collect())).collect()
    }

    /// The groups that have members, and the topics of these.
    fn readers(&self) -> Vec<Reader> {
        let mut readers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for actor in self.world.snapshot().actors {
            if let Doing::Consuming { group, topics, .. } = actor.doing {
                readers.entry(group).or_default().extend(topics);
            }
        }
        readers.into_iter().collect()
    }

    fn is_quiet(&self) -> bool {
        let snapshot = self.world.snapshot();
        let up = snapshot.nodes.iter().all(|node| node.state == NodeState::Ready);
        up && snapshot.actors.iter().all(|actor| match &actor.doing {
            Doing::Producing { unfinished, made, acknowledged, failed, .. } => {
                *unfinished == 0 && *made == acknowledged + failed
            }
            Doing::Administrating { unanswered } => *unanswered == 0,
            _ => true,
        }) && self.checker.unanswered() == 0
            && self.checker.counts.produced == self.to_produce
    }

    /// Whether every group's members read all partitions of their topics between them and are at the end of each.
    fn has_no_lag(&self) -> bool {
        let mut read: BTreeMap<(String, String, i32), Option<i64>> = BTreeMap::new();
        for actor in self.world.snapshot().actors {
            let Doing::Consuming { group, partitions, state, .. } = actor.doing else { continue };
            if state != "stable" {
                return false;
            }
            read.extend(partitions.into_iter().map(|at| ((group.clone(), at.topic, at.partition), at.position)));
        }
        let topics = self.topics();
        self.readers().into_iter().all(|(group, wanted)| {
            wanted.into_iter().all(|topic| {
                let ends = topics.get(&topic).map_or(&[][..], Vec::as_slice);
                // What a member knows of the end is as old as its last fetch.
                (0..)
                    .zip(ends)
                    .all(|(partition, end)| read.get(&(group.clone(), topic.clone(), partition)) == Some(&Some(*end)))
            })
        })
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
