//! One run: a node and workloads under faults, all drawn from a seed; then everything heals and must come to rest;
//! then everything is read and compared with what was promised.

use std::fmt;

use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Instant, NodeId, Random, Uuid};
use shore_broker::{Durability, NodeConfig, NodeView};
use shore_sim::snapshot::NodeState;
use shore_sim::{Action, Disk, DiskModel, Event, EventKind, World};

use crate::auditor::Auditor;
use crate::checker::{Checker, Violation};
use crate::counts::Counts;
use crate::faults::{self, ADMIN};
use crate::owners::Owners;
use crate::records::Read;
use crate::rest::{self, Reader};
use crate::workloads::versions::{self, Kind};
use crate::workloads::{Plan, WORKLOADS};

/// What a run is made of, apart from its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Crash while the disk carries out this call, counted from the start; later crashes are random.
    pub crash_at_call: Option<u64>,
    pub durability: Durability,
    pub crash: Crash,
    /// Keeps the events, and them and the trace in words.
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
    /// What there was to read in the end, and what of it was committed.
    pub read: Read,
    pub committed: Read,
    /// The trace in words, and the events, if the settings asked for them.
    pub lines: Vec<String>,
    pub story: Vec<Event>,
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

pub(crate) const NODE: NodeId = NodeId(1);

/// How long the faults go on, and how long everything may take to come to rest after them.
const UNREST: Duration = Duration::from_secs(20);
/// A consumer hears of new partitions when its metadata is old (`metadata.max.age.ms`, 300 s).
const REST: Duration = Duration::from_secs(600);

/// A look into a node costs as much as some hundred of its events. Once all has healed little happens.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_AT_REST_EVERY: Duration = Duration::from_millis(1_000);

pub fn run(seed: u64, settings: Settings) -> Report {
    let mut random = Random::stream(seed, "run");
    let mut run = Run {
        world: World::new(seed),
        checker: Checker::default(),
        auditors: [Auditor::of_everything(), Auditor::of_what_is_committed()],
        owners: Owners::new(Random::stream(seed, "owners")),
        events: 0,
        limits: BTreeMap::new(),
        clients: Vec::new(),
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
    run.until(Instant::ZERO + UNREST, |_, _| false);
    let rested = run.heal_and_rest(seed);
    let at = run.world.now();
    let mut violations = run.checker.violations().to_vec();
    if violations.is_empty() {
        match rested {
            Ok(readers) => run.checker.finish(at, &run.auditors[0].read, &run.auditors[1].read, &readers),
            Err(what) => violations.push(Violation { at, rule: "55: what has healed comes to rest", what }),
        }
        violations.extend(run.checker.violations().iter().cloned());
    }
    let [everything, committed] = run.auditors;
    Report {
        seed,
        hash: run.world.trace_hash(),
        virtual_time: at,
        events: run.events,
        disk_calls: run.world.disk_calls(NODE),
        counts: run.checker.counts,
        violations,
        read: everything.read,
        committed: committed.read,
        lines: run.world.take_trace_lines(),
        story: run.story,
    }
}

struct Run {
    world: World,
    checker: Checker,
    auditors: [Auditor; 2],
    owners: Owners,
    events: u64,
    /// How many records each producer makes before it is done.
    limits: BTreeMap<String, u64>,
    clients: Vec<String>,
    story: Vec<Event>,
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
        set("transaction.state.log.num.partitions", ["1", "3"][draw.below(2) as usize]);
        set("group.initial.rebalance.delay.ms", ["0", "100", "1000"][draw.below(3) as usize]);
        set("auto.create.topics.enable", if draw.percent(50) { "true" } else { "false" });
        if self.offsets_expire(seed) {
            set("offsets.retention.minutes", "1");
        }
        let retention = if self.offsets_expire(seed) { 60 } else { 7 * 86_400 };
        self.checker.set_offsets_retention(Duration::from_secs(retention), Duration::from_secs(5));
        self.world.boot(config, Disk::Model(DiskModel::default()));
        self.plan_crash();
        versions::draw(&mut self.plan(seed, ADMIN), ADMIN, Kind::Admin);
        for workload in &WORKLOADS {
            let mut plan = self.plan(seed, workload.name);
            if plan.percent(workload.percent) {
                (workload.begin)(&mut plan);
            }
        }
        faults::plan(&mut self.plan(seed, "faults"), NODE);
    }

    fn plan(&mut self, seed: u64, name: &str) -> Plan<'_> {
        Plan {
            world: &mut self.world,
            random: Random::stream(seed, name),
            clients: &mut self.clients,
            needs_topic_ids: false,
        }
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
    fn until(&mut self, end: Instant, holds: impl Fn(&Self, Option<&NodeView>) -> bool) -> bool {
        let every = if self.world.now() < Instant::ZERO + UNREST { LOOK_EVERY } else { LOOK_AT_REST_EVERY };
        let mut look_at = self.world.now();
        while self.checker.violations().is_empty() && self.world.next_due().is_some_and(|(at, _)| at <= end) {
            self.world.step();
            self.observe();
            while self.world.poll().is_some() {}
            if look_at <= self.world.now() {
                look_at = self.world.now() + every;
                let view = self.look();
                if holds(self, view.as_ref()) {
                    return true;
                }
            }
        }
        false
    }

    fn look(&mut self) -> Option<NodeView> {
        let view = self.world.node(NODE)?.view();
        self.checker.look_at(self.world.now(), self.world.wall(), &view);
        Some(view)
    }

    /// Hands the world's new events to the checker.
    fn observe(&mut self) {
        for event in self.world.events() {
            self.events += 1;
            self.checker.observe(&event);
            self.auditors.iter_mut().for_each(|auditor| auditor.observe(&event));
            self.owners.observe(&mut self.world, &event);
            if let EventKind::Acted(Action::AddProducer(spec)) = &event.kind {
                self.limits.extend(spec.limit.map(|limit| (spec.name.clone(), limit)));
            }
            // What was committed before it was killed is, without being said again.
            if matches!(event.kind, EventKind::NodeReady { .. }) {
                self.look();
            }
            if matches!(event.kind, EventKind::NodeKilled { .. }) {
                let down = Duration::from_millis(1 + self.random.below(3_000));
                self.world.act_at(self.world.now() + down, Action::StartNode { node: NODE });
            }
            if matches!(event.kind, EventKind::NodeStarted { .. }) && self.checker.counts.crashes > 0 {
                self.plan_crash();
            }
            if self.settings.lines {
                self.story.push(event);
            }
        }
    }

    /// No more faults: everything sent is answered, the groups are stable and without lag, the auditor has read all.
    /// Returns the groups that were at the end of all that there is, and their topics.
    fn heal_and_rest(&mut self, seed: u64) -> Result<Vec<Reader>, String> {
        self.crashes_left = 0;
        // A crash that is still to come is put off beyond the end.
        self.act(Action::CrashInCalls { node: NODE, calls: u64::MAX / 2, power: false });
        self.act(Action::HealDisk { node: NODE });
        let end = self.world.now() + REST;
        let mut joined: BTreeSet<String> = BTreeSet::new();
        let rested = loop {
            let stuck =
                |run: &Self| run.checker.left_to_nobody().iter().find(|group| !joined.contains(*group)).cloned();
            let rested = self.until(end, |run, view| stuck(run).is_some() || run.is_at_rest(view));
            let Some(group) = stuck(self) else { break rested };
            self.owners.join(&mut self.world, &group);
            joined.insert(group);
        };
        if !self.checker.violations().is_empty() {
            return Ok(Vec::new());
        }
        if !rested {
            return Err(format!("{} after all faults: {}", shown(REST), self.told()));
        }
        let readers = rest::readers(&self.world);
        if self.offsets_expire(seed) {
            self.until(self.world.now() + Duration::from_secs(75), |_, _| false);
        }
        // What was done is in the files: in order, or as a crash leaves it.
        match (self.settings.crash, self.random.below(3)) {
            (Crash::Never, _) | (_, 0) => self.restart(),
            (crash, 1) => self.crash(crash),
            _ => {}
        }
        let view = self.look();
        let topics = view.iter().flat_map(rest::topics).map(|topic| topic.name.to_string()).collect::<Vec<_>>();
        for index in 0..self.auditors.len() {
            self.act(self.auditors[index].begins(&topics));
        }
        let end = self.world.now() + REST;
        let read = self.until(end, |run, view| view.is_some_and(|view| rest::has_no_lag(&run.world, view)));
        match read || !self.checker.violations().is_empty() {
            true => Ok(readers),
            false => Err(format!("the auditors do not get to the end: {}", self.told())),
        }
    }

    fn is_at_rest(&self, view: Option<&NodeView>) -> bool {
        self.owners.is_idle(self.world.now())
            && self.checker.unanswered() == 0
            && view.is_some_and(|view| rest::is_at_rest(&self.world, view, &self.limits))
    }

    fn told(&self) -> String {
        rest::told(&self.world, self.world.node(NODE).map(|node| node.view()).as_ref())
    }

    fn crash(&mut self, crash: Crash) {
        let action = match crash {
            Crash::Power => Action::LosePower { node: NODE },
            _ => Action::KillNode { node: NODE },
        };
        self.act(action);
        self.until(self.world.now() + REST, |run, _| rest::nodes_are(&run.world, NodeState::Ready));
    }

    /// Stops the node in order and starts it: what it had in memory alone has to be in its files.
    fn restart(&mut self) {
        self.act(Action::StopNode { node: NODE });
        self.until(self.world.now() + REST, |run, _| rest::nodes_are(&run.world, NodeState::Down));
        self.act(Action::StartNode { node: NODE });
        self.until(self.world.now() + REST, |run, _| rest::nodes_are(&run.world, NodeState::Ready));
    }
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
