//! What must hold, checked on every event of a world. The rules are numbered as in the project's list of
//! invariants of a Kafka cluster; those here are the ones that apply to a single node.

use std::fmt;

use bytes::Bytes;
use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Instant, Wall};
use shore_broker::NodeView;
use shore_broker::event::Event as NodeEvent;
use shore_broker::group::{GroupEvent, StateName};
use shore_sim::{Action, ActorEvent, ActorId, Event, EventKind};

use crate::counts::Counts;
use crate::wire_watch::WireWatch;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub at: Instant,
    pub rule: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.at, self.what, self.rule)
    }
}

type Place = (String, i32);

/// Follows a world by its events and notes what must not be.
#[derive(Default)]
pub struct Checker {
    violations: Vec<Violation>,
    wire: WireWatch,
    names: BTreeMap<ActorId, String>,
    /// The group of each member, by its name.
    groups: BTreeMap<String, String>,
    idempotent: BTreeMap<String, bool>,
    /// Records handed to a producer and neither acknowledged nor failed.
    sent: BTreeMap<(ActorId, u64), Sent>,
    logs: BTreeMap<Place, Log>,
    /// Acknowledged without an offset: by a retry whose first answer got lost.
    acked_somewhere: BTreeSet<Bytes>,
    partition_of_key: BTreeMap<(String, Bytes), i32>,
    members: BTreeMap<ActorId, MemberView>,
    /// Owners per group and generation.
    owners: BTreeMap<(String, i32), BTreeMap<Place, ActorId>>,
    marks: BTreeMap<Place, Marks>,
    pub counts: Counts,
}

#[derive(Clone, Debug)]
struct Sent {
    key: Option<Bytes>,
    value: Bytes,
}

/// What is known of a partition's records.
#[derive(Clone, Debug, Default)]
struct Log {
    /// By what was acknowledged or read: never anything else later.
    records: BTreeMap<i64, Bytes>,
    acked: BTreeSet<i64>,
}

#[derive(Clone, Debug, Default)]
struct MemberView {
    /// The next offset it has to be given.
    next: BTreeMap<Place, i64>,
    assigned: BTreeSet<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    high_watermark: i64,
    log_start: i64,
}

impl Checker {
    /// The node's `offsets.retention.minutes` and `offsets.retention.check.interval.ms`, where they are not
    /// Kafka's defaults.
    pub fn set_offsets_retention(&mut self, retention: Duration, check_interval: Duration) {
        self.wire.groups.set_retention(retention, check_interval);
    }

    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub fn observe(&mut self, event: &Event) {
        let at = event.at;
        match &event.kind {
            EventKind::Acted(Action::AddConsumer(spec)) => {
                self.groups.insert(spec.name.clone(), spec.group.clone());
            }
            EventKind::Acted(Action::AddProducer(spec)) => {
                self.idempotent.insert(spec.name.clone(), spec.idempotence);
            }
            EventKind::Acted(action) => self.count_fault(action),
            EventKind::ActorAdded { actor, name } => {
                self.names.insert(*actor, name.clone());
            }
            EventKind::Actor { actor, event } => self.actor_event(at, *actor, event),
            EventKind::Node { event, .. } => self.node_event(at, event),
            EventKind::NodeKilled { why, .. } => {
                self.counts.crashes += 1;
                self.counts.power_losses += u64::from(*why == "without power");
                self.wire.node_is_down();
                // What a follower of the log sees after a restart begins anew.
                self.marks.clear();
            }
            EventKind::NodeStopped { .. } => {
                self.wire.node_is_down();
                self.marks.clear();
            }
            EventKind::Request { conn, frame } => self.wire.request(at, *conn, frame),
            EventKind::Response { conn, frame, .. } => {
                for (rule, what) in self.wire.response(at, *conn, &frame.body()) {
                    self.violations.push(Violation { at, rule, what });
                }
                self.counts.storage_errors = self.wire.storage_errors;
                self.counts.out_of_range = self.wire.out_of_range;
            }
            EventKind::StoreDone { error: Some(_), .. } => self.wire.store_failed(),
            EventKind::Closed { conn, .. } => self.wire.closed(*conn),
            _ => {}
        }
    }

    fn count_fault(&mut self, action: &Action) {
        let counts = &mut self.counts;
        match action {
            Action::FillDisk { .. } => counts.full_disks += 1,
            Action::FailDisk { .. } => counts.failing_disks += 1,
            Action::SlowDisk { .. } => counts.slow_disks += 1,
            Action::CutLink { .. } => counts.cut_links += 1,
            Action::SetLatency { actor: Some(_), .. } => counts.slow_links += 1,
            _ => {}
        }
    }

    fn broken(&mut self, at: Instant, rule: &'static str, what: String) {
        self.violations.push(Violation { at, rule, what });
    }

    fn actor_event(&mut self, at: Instant, actor: ActorId, event: &ActorEvent) {
        match event {
            ActorEvent::Produced { first, values, keys, .. } => {
                self.counts.produced += values.len() as u64;
                for (number, (key, value)) in (*first..).zip(keys.iter().zip(values)) {
                    self.sent.insert((actor, number), Sent { key: key.clone(), value: value.clone() });
                }
            }
            ActorEvent::Acknowledged { topic, partition, base_offset, numbers } => {
                self.acknowledged(at, actor, (topic.clone(), *partition), *base_offset, numbers);
            }
            ActorEvent::Failed { numbers, .. } => {
                self.counts.failed += numbers.len() as u64;
                for number in numbers {
                    self.sent.remove(&(actor, *number));
                }
            }
            ActorEvent::Consumed { topic, partition, records } => {
                self.consumed(at, actor, (topic.clone(), *partition), records);
            }
            ActorEvent::Assigned { generation, partitions } => self.assigned(at, actor, *generation, partitions),
            ActorEvent::Revoked { partitions } | ActorEvent::Lost { partitions } => {
                let member = self.members.entry(actor).or_default();
                for place in partitions {
                    member.assigned.remove(place);
                    member.next.remove(place);
                }
            }
            ActorEvent::Gone => {
                self.members.remove(&actor);
                // A static member may come back to what it had, in the same generation.
                for owners in self.owners.values_mut() {
                    owners.retain(|_, owner| *owner != actor);
                }
            }
            ActorEvent::Positioned { topic, partition, offset, .. } => {
                let member = self.members.entry(actor).or_default();
                member.next.insert((topic.clone(), *partition), *offset);
            }
            ActorEvent::Committed { .. } => self.counts.commits += 1,
            ActorEvent::CommitFailed { .. }
            | ActorEvent::Transaction(_)
            | ActorEvent::Done { .. }
            | ActorEvent::Said(_) => {}
        }
    }

    fn acknowledged(&mut self, at: Instant, actor: ActorId, place: Place, base_offset: i64, numbers: &[u64]) {
        self.counts.acknowledged += numbers.len() as u64;
        for (index, number) in numbers.iter().enumerate() {
            let Some(sent) = self.sent.remove(&(actor, *number)) else {
                self.broken(at, "an answer answers a record once", format!("record {number} was acknowledged twice"));
                continue;
            };
            if let Some(key) = sent.key {
                let before = self.partition_of_key.insert((place.0.clone(), key.clone()), place.1);
                if before.is_some_and(|before| before != place.1) {
                    self.broken(
                        at,
                        "26: one key, one partition",
                        format!("key {key:?} went to {before:?} and {}", place.1),
                    );
                }
            }
            if base_offset < 0 {
                self.acked_somewhere.insert(sent.value);
                continue;
            }
            let offset = base_offset + index as i64;
            if !self.logs.entry(place.clone()).or_default().acked.insert(offset) {
                let what = format!("offset {offset} of {}-{} was given to two records", place.0, place.1);
                self.broken(at, "2: dense offsets", what);
            }
            self.is_at(at, &place, offset, &sent.value);
        }
    }

    /// A record was seen at an offset: it must be the only one that ever is.
    fn is_at(&mut self, at: Instant, place: &Place, offset: i64, value: &Bytes) {
        let log = self.logs.entry(place.clone()).or_default();
        let before = log.records.entry(offset).or_insert_with(|| value.clone());
        if before != value {
            let what = format!("offset {offset} of {}-{} was {before:?} and is {value:?}", place.0, place.1);
            self.broken(at, "8: what was read stays", what);
        }
    }

    fn consumed(&mut self, at: Instant, actor: ActorId, place: Place, records: &[(i64, Option<Bytes>)]) {
        self.counts.consumed += records.len() as u64;
        let name = self.names.get(&actor).cloned().unwrap_or_default();
        if !self.members.get(&actor).is_some_and(|member| member.assigned.contains(&place)) {
            let what = format!("{name} was given records of {}-{}, which it does not have", place.0, place.1);
            self.broken(at, "30: one owner", what);
        }
        for (offset, value) in records {
            let member = self.members.entry(actor).or_default();
            let expected = member.next.insert(place.clone(), offset + 1);
            if expected != Some(*offset) {
                let what = format!("{name} was given offset {offset} of {}-{} after {expected:?}", place.0, place.1);
                self.broken(at, "38: offsets in order, none left out", what);
            }
            self.is_at(at, &place, *offset, &value.clone().unwrap_or_default());
        }
    }

    fn assigned(&mut self, at: Instant, actor: ActorId, generation: i32, partitions: &[Place]) {
        self.counts.rebalances += 1;
        let name = self.names.get(&actor).cloned().unwrap_or_default();
        let group = self.groups.get(&name).cloned().unwrap_or_default();
        let member = self.members.entry(actor).or_default();
        member.assigned = partitions.iter().cloned().collect();
        // What a cooperative member keeps it goes on with.
        member.next.retain(|place, _| partitions.contains(place));
        for place in partitions {
            let owners = self.owners.entry((group.clone(), generation)).or_default();
            let other = owners.insert(place.clone(), actor).filter(|other| *other != actor);
            if let Some(other) = other {
                let what =
                    format!("{}-{} belongs to {other:?} and {actor:?} in generation {generation}", place.0, place.1);
                self.broken(at, "30: one owner", what);
            }
        }
    }

    fn node_event(&mut self, at: Instant, event: &NodeEvent) {
        match event {
            NodeEvent::HighWatermarkMoved { topic, partition, from, to } => {
                let marks = self.marks.entry((topic.to_string(), *partition)).or_default();
                let before = marks.high_watermark;
                marks.high_watermark = *to;
                self.wire.committed_to(topic, *partition, *to);
                if to < from || *to < before {
                    let what = format!("the high watermark of {topic}-{partition} fell from {before} to {to}");
                    self.broken(at, "1: log start <= high watermark <= log end", what);
                }
            }
            NodeEvent::LogStartMoved { topic, partition, from, to } => {
                let marks = self.marks.entry((topic.to_string(), *partition)).or_default();
                marks.log_start = *to;
                self.wire.log_begins_at(topic, *partition, *to);
                if to < from || (marks.high_watermark > 0 && *to > marks.high_watermark) {
                    let what = format!("the start of {topic}-{partition} moved from {from} to {to}");
                    self.broken(at, "47: retention removes what is committed and goes forward", what);
                }
            }
            NodeEvent::RequestReceived { conn, correlation_id, .. } => self.wire.serves(*conn, *correlation_id),
            NodeEvent::Appended { topic, partition, last_offset, .. } => {
                self.wire.appended(topic, *partition, *last_offset);
            }
            NodeEvent::Group(event) => {
                for (rule, what) in self.wire.groups.event(at, event) {
                    self.broken(at, rule, what);
                }
                match event {
                    GroupEvent::StateChanged { group, to: StateName::Dead, .. }
                    | GroupEvent::GroupDeleted { group } => {
                        self.wire.group_is_gone(group);
                    }
                    GroupEvent::GenerationStarted { group, generation, members: 0, .. } => {
                        self.wire.group_is_empty(group, *generation);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Looks into a node: the marks of every partition stand in their order, and nothing that a consumer may
    /// read can still be lost.
    pub fn look_at(&mut self, at: Instant, wall: Wall, node: &NodeView) {
        let mut broken = self.wire.groups.look(at, wall, node);
        for topic in &node.topics {
            for (partition, log) in topic.partitions.iter().filter_map(|p| Some((p.partition, p.log.as_ref()?))) {
                let marks =
                    [log.start_offset, log.last_stable_offset, log.high_watermark, log.durable_end, log.end_offset];
                self.wire.committed_to(&topic.name, partition, log.high_watermark);
                self.wire.log_begins_at(&topic.name, partition, log.start_offset);
                if !marks.is_sorted() {
                    let what = format!(
                        "{}-{partition} has its start, stable, committed, durable and last offset at {marks:?}",
                        topic.name
                    );
                    broken.push(("1: log start <= stable <= high watermark <= log end", what));
                }
            }
        }
        for (rule, what) in broken {
            self.broken(at, rule, what);
        }
    }

    /// The end: `read` has every partition as somebody read it from its start after everything healed.
    pub fn finish(&mut self, at: Instant, read: &BTreeMap<Place, BTreeMap<i64, Bytes>>) {
        let mut broken = Vec::new();
        for (place, log) in &self.logs {
            let empty = BTreeMap::new();
            let found = read.get(place).unwrap_or(&empty);
            for offset in &log.acked {
                if !found.contains_key(offset) {
                    let what = format!(
                        "{:?} was acknowledged at {offset} of {}-{} and is gone",
                        log.records[offset], place.0, place.1
                    );
                    broken.push(("6: what is acknowledged stays", what));
                }
            }
        }
        let mut seen: BTreeMap<&Bytes, (&Place, i64)> = BTreeMap::new();
        for (place, log) in read {
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            for (expected, (offset, value)) in (0..).zip(log) {
                if *offset != expected {
                    broken.push((
                        "2: dense offsets",
                        format!("{}-{} has {offset} where {expected} comes next", place.0, place.1),
                    ));
                    break;
                }
                let Some((name, number)) = core::str::from_utf8(value).ok().and_then(|text| text.rsplit_once('-'))
                else {
                    continue;
                };
                if !self.idempotent.get(name).copied().unwrap_or(false) {
                    continue;
                }
                if let Some((other, at)) = seen.insert(value, (place, *offset)) {
                    let what = format!(
                        "{value:?} is at {at} of {}-{} and at {offset} of {}-{}",
                        other.0, other.1, place.0, place.1
                    );
                    broken.push(("27: an idempotent producer's record is there once", what));
                }
                let number = number.parse().unwrap_or(0);
                if last.insert(name, number).is_some_and(|before| before > number) {
                    let what = format!("{value:?} at {offset} of {}-{} comes after a later one", place.0, place.1);
                    broken.push(("28: a producer's records are in its order", what));
                }
            }
        }
        for value in self.acked_somewhere.iter().filter(|value| !seen.contains_key(value)) {
            broken.push(("6: what is acknowledged stays", format!("{value:?} was acknowledged and is nowhere")));
        }
        for (rule, what) in broken {
            self.broken(at, rule, what);
        }
    }

    /// Records that nobody has answered for.
    pub fn unanswered(&self) -> usize {
        self.sent.len()
    }
}
