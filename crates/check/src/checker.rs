//! What must hold, checked on every event of a world. The rules are numbered as in the project's list of
//! invariants of a Kafka cluster; those here are the ones that apply to a single node.

use std::fmt;

use core::time::Duration;
use shore_base::collections::BTreeSet;
use shore_base::{Instant, Wall};
use shore_broker::NodeView;
use shore_broker::event::Event as NodeEvent;
use shore_broker::group::{GroupEvent, StateName};
use shore_sim::{Action, ActorEvent, ActorId, Event, EventId, EventKind};
use shore_wire::error::ErrorCode;

use crate::counts::Counts;
use crate::node_watch::NodeWatch;
use crate::records::{Read, Records};
use crate::rest::Reader;
use crate::txn_watch::TxnWatch;
use crate::wire_watch::{Broken, WireWatch};

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

/// Follows a world by its events and notes what must not be.
#[derive(Default)]
pub struct Checker {
    violations: Vec<Violation>,
    wire: WireWatch,
    node: NodeWatch,
    records: Records,
    transactions: TxnWatch,
    pub counts: Counts,
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

    /// Records that nobody has answered for.
    pub fn unanswered(&self) -> usize {
        self.records.unanswered()
    }

    /// Groups in which partitions are nobody's until the next rebalance, as they would be in Apache Kafka.
    pub fn left_to_nobody(&self) -> &BTreeSet<String> {
        self.wire.groups.left_to_nobody()
    }

    pub fn observe(&mut self, event: &Event) {
        let at = event.at;
        let broken = self.transactions.observe(event, &mut self.counts);
        self.broken(at, broken);
        match &event.kind {
            EventKind::Acted(action) => self.acted(action),
            EventKind::ActorAdded { actor, name } => self.records.named(*actor, name),
            EventKind::Actor { actor, event } => self.actor_event(at, *actor, event),
            EventKind::Node { event: told, .. } => self.node_event(at, event.cause, told),
            EventKind::NodeStarted { .. } => self.node.started(),
            EventKind::NodeKilled { why, .. } => {
                self.counts.crashes += 1;
                self.counts.power_losses += u64::from(*why == "without power");
                self.wire.node_has_crashed();
                self.node_is_down();
            }
            EventKind::NodeStopped { .. } => self.node_is_down(),
            EventKind::Request { conn, frame } => self.wire.request(at, *conn, frame),
            EventKind::Response { conn, frame, .. } => {
                let broken = self.wire.response(at, *conn, &frame.body());
                self.broken(at, broken);
                self.counts.storage_errors = self.wire.storage_errors;
                self.counts.out_of_range = self.wire.out_of_range;
            }
            EventKind::StoreDone { error: Some(_), .. } => self.wire.store_failed(),
            EventKind::Dropped { .. } => self.counts.dropped_connections += 1,
            EventKind::Closed { conn, .. } => self.wire.closed(*conn),
            _ => {}
        }
    }

    fn broken(&mut self, at: Instant, broken: impl IntoIterator<Item = Broken>) {
        self.violations.extend(broken.into_iter().map(|(rule, what)| Violation { at, rule, what }));
    }

    fn node_is_down(&mut self) {
        self.wire.node_is_down();
        self.node.is_down();
    }

    fn acted(&mut self, action: &Action) {
        self.wire.topics.acted(action);
        let counts = &mut self.counts;
        match action {
            Action::AddConsumer(spec) => self.records.consumer(spec),
            Action::AddCopier(spec) => self.records.copier(spec),
            Action::AddProducer(spec) => self.records.producer(spec),
            Action::FillDisk { .. } => counts.full_disks += 1,
            Action::FailDisk { .. } => counts.failing_disks += 1,
            Action::LimitVersion { .. } => counts.old_versions += 1,
            Action::SlowDisk { .. } => counts.slow_disks += 1,
            Action::CutLink { .. } => counts.cut_links += 1,
            Action::SetLatency { actor: Some(_), .. } => counts.slow_links += 1,
            _ => {}
        }
    }

    fn actor_event(&mut self, at: Instant, actor: ActorId, event: &ActorEvent) {
        let topics = &self.wire.topics;
        let broken = match event {
            ActorEvent::Produced { first, values, keys, .. } => {
                self.counts.produced += values.len() as u64;
                self.records.produced(actor, *first, keys, values);
                Vec::new()
            }
            ActorEvent::Acknowledged { topic, partition, base_offset, numbers } => {
                self.counts.acknowledged += numbers.len() as u64;
                self.records.acknowledged(topics, actor, &(topic.clone(), *partition), *base_offset, numbers)
            }
            ActorEvent::Failed { numbers, .. } => {
                self.counts.failed += numbers.len() as u64;
                self.records.failed(actor, numbers);
                Vec::new()
            }
            ActorEvent::Consumed { topic, partition, records } => {
                self.counts.consumed += records.len() as u64;
                self.records.consumed(topics, actor, &(topic.clone(), *partition), records)
            }
            ActorEvent::Assigned { generation, partitions } => {
                self.counts.rebalances += 1;
                self.records.assigned(actor, *generation, partitions)
            }
            ActorEvent::Revoked { partitions } | ActorEvent::Lost { partitions } => {
                self.records.unassigned(actor, partitions);
                Vec::new()
            }
            ActorEvent::Gone => {
                self.records.gone(actor);
                Vec::new()
            }
            ActorEvent::Positioned { topic, partition, offset, .. } => {
                self.records.positioned(actor, (topic.clone(), *partition), *offset);
                Vec::new()
            }
            ActorEvent::Committed { .. } => {
                self.counts.commits += 1;
                Vec::new()
            }
            ActorEvent::Done { error: None, .. } => {
                self.counts.admin_calls += 1;
                Vec::new()
            }
            ActorEvent::CommitFailed { .. }
            | ActorEvent::Transaction(_)
            | ActorEvent::Done { .. }
            | ActorEvent::Said(_) => Vec::new(),
        };
        self.broken(at, broken);
    }

    fn node_event(&mut self, at: Instant, cause: Option<EventId>, event: &NodeEvent) {
        match event {
            NodeEvent::HighWatermarkMoved { topic, partition, from, to } => {
                self.wire.committed_to(topic, *partition, *to);
                let broken = self.node.high_watermark_moved(topic, *partition, *from, *to);
                self.broken(at, broken);
            }
            NodeEvent::LogStartMoved { topic, partition, from, to } => {
                self.wire.log_begins_at(topic, *partition, *to);
                self.counts.log_starts += 1;
                let broken = self.node.log_start_moved(topic, *partition, *from, *to);
                self.broken(at, broken);
            }
            NodeEvent::RequestReceived { conn, correlation_id, .. } => {
                self.wire.serves(*conn, *correlation_id, cause);
            }
            NodeEvent::Appended { topic, partition, last_offset, .. } => {
                self.wire.appended(topic, *partition, *last_offset, cause);
            }
            NodeEvent::TopicCreated { topic, id, .. } => {
                self.topic_is_gone(topic);
                self.wire.topics.created(topic, *id);
            }
            NodeEvent::TopicDeleted { topic, id } => {
                self.counts.topics_deleted += 1;
                self.wire.topics.deleted(topic, *id);
                self.topic_is_gone(topic);
            }
            NodeEvent::AppendRefused { topic, partition, error: ErrorCode::OutOfOrderSequenceNumber, .. }
                if self.counts.crashes > 0 =>
            {
                self.records.sequence_is_lost((topic.to_string(), *partition));
            }
            NodeEvent::Transaction(event) => {
                let broken = self.wire.txn_logs.event(event);
                self.broken(at, broken);
            }
            NodeEvent::LogCleaned { .. } => self.counts.cleanings += 1,
            NodeEvent::Group(event) => {
                let broken = self.wire.groups.event(at, event);
                self.broken(at, broken);
                let broken = self.group_event(event);
                self.broken(at, broken);
            }
            _ => {}
        }
    }

    fn topic_is_gone(&mut self, topic: &str) {
        self.wire.topic_is_gone(topic);
        self.node.forget(topic);
    }

    fn group_event(&mut self, event: &GroupEvent) -> Option<Broken> {
        match event {
            GroupEvent::StateChanged { group, to: StateName::Dead, .. } | GroupEvent::GroupDeleted { group } => {
                self.wire.group_is_gone(group);
                self.wire.offsets_are_gone(group);
            }
            GroupEvent::GenerationStarted { group, generation, .. } => {
                return self.wire.generation_begins(group, *generation);
            }
            GroupEvent::OffsetsExpired { group, .. } => {
                self.counts.expiries += 1;
                self.wire.offsets_are_gone(group);
            }
            GroupEvent::OffsetsDeleted { group, .. } => self.wire.offsets_are_gone(group),
            GroupEvent::MemberReplaced { .. } => self.counts.static_returns += 1,
            _ => {}
        }
        None
    }

    /// Looks into a node: the marks of every partition stand in their order, and nothing that a consumer may
    /// read can still be lost.
    pub fn look_at(&mut self, at: Instant, wall: Wall, node: &NodeView) {
        let mut broken = self.wire.groups.look(at, wall, node, &self.wire.topics);
        if node.is_ready {
            broken.extend(self.wire.look(&node.topics));
        }
        broken.extend(self.node.look(node));
        self.broken(at, broken);
    }

    /// The end: `read` has every partition as somebody read it from its start after everything healed, `committed`
    /// as somebody did who reads what is committed, and these groups were at the end of all their partitions.
    pub fn finish(&mut self, at: Instant, read: &Read, committed: &Read, readers: &[Reader]) {
        let mut broken = self.records.finish(&self.wire, read, committed, readers);
        broken.extend(self.transactions.finish(committed));
        broken.extend(self.wire.txn_logs.finish());
        self.broken(at, broken);
    }
}
