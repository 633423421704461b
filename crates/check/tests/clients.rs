//! The simulator's own clients in what the seeds leave out: batches that are too large, every level of acks,
//! static members.

#![cfg(not(target_arch = "wasm32"))]

use std::time::Duration;

use shore_base::NodeId;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_broker::Durability;
use shore_broker::event::Event as NodeEvent;
use shore_broker::group::{GroupEvent, GroupView};
use shore_check::{Checker, run::node_config};
use shore_client::{Acks, OffsetReset};
use shore_sim::{Action, ActorEvent, ConsumerSpec, Disk, DiskModel, Event, EventKind, Generator, ProducerSpec, World};

const NODE: NodeId = NodeId(1);
use shore_wire::api::ApiKey;
use shore_wire::frame::decode_request_head;

/// A node with the topic `t`, and everything that happened.
struct Run {
    world: World,
    checker: Checker,
    events: Vec<Event>,
}

impl Run {
    fn start(partitions: i32, configs: &[(&str, &str)]) -> Self {
        let mut world = World::new(5);
        world.subscribe();
        world.boot(node_config(5, Durability::Written), Disk::Model(DiskModel::default()));
        let mut run = Self { world, checker: Checker::default(), events: Vec::new() };
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        run.act(Action::CreateTopic { topic: "t".into(), partitions, replication: 1, configs });
        run.pass(1);
        run
    }

    fn act(&mut self, action: Action) {
        self.world.act(action.clone()).unwrap_or_else(|why| panic!("{action}: {why}"));
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.world.now() + Duration::from_secs(seconds);
        while self.world.next_due().is_some_and(|(due, _)| due <= end) {
            self.world.step();
            for event in self.world.events() {
                self.checker.observe(&event);
                self.events.push(event);
            }
            while self.world.poll().is_some() {}
        }
        assert_eq!(self.checker.violations(), []);
    }

    fn group(&self) -> GroupView {
        self.world.node(NODE).expect("it is up").view().groups[0].clone()
    }

    fn base_offsets(&self) -> Vec<i64> {
        let offset = |event: &Event| match &event.kind {
            EventKind::Actor { event: ActorEvent::Acknowledged { base_offset, .. }, .. } => Some(*base_offset),
            _ => None,
        };
        self.events.iter().filter_map(offset).collect()
    }

    /// What the members were given, in order.
    fn consumed(&self) -> Vec<String> {
        let values = |event: &Event| match &event.kind {
            EventKind::Actor { event: ActorEvent::Consumed { records, .. }, .. } => {
                let text = |(_, value): &(i64, Option<bytes::Bytes>)| {
                    String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
                };
                records.iter().map(text).collect()
            }
            _ => Vec::new(),
        };
        self.events.iter().flat_map(values).collect()
    }
}

fn producer(acks: Acks) -> ProducerSpec {
    ProducerSpec {
        generator: Generator::Numbered,
        millirate: 1_000_000,
        limit: Some(400),
        acks,
        idempotence: acks == Acks::All,
        ..ProducerSpec::new("north", "t")
    }
}

fn reader(name: &str) -> ConsumerSpec {
    ConsumerSpec { reset: OffsetReset::Earliest, ..ConsumerSpec::new(name, "readers", "t") }
}

fn in_order() -> Vec<String> {
    (0..400).map(|number| format!("north-{number}")).collect()
}

#[test]
fn a_batch_that_is_too_large_is_cut_until_it_fits_and_stays_in_order() {
    let mut run = Run::start(1, &[("max.message.bytes", "300")]);
    run.act(Action::AddConsumer(reader("one")));
    run.act(Action::AddProducer(ProducerSpec { linger: Duration::from_millis(100), ..producer(Acks::All) }));
    run.pass(60);
    let refused = |event: &&Event| matches!(&event.kind, EventKind::Node { event: NodeEvent::AppendRefused { error, .. }, .. } if error.name() == "MESSAGE_TOO_LARGE");
    assert!(run.events.iter().filter(refused).count() >= 10, "batches of 100 records do not fit");
    assert_eq!((run.checker.counts.acknowledged, run.checker.counts.failed), (400, 0));
    assert_eq!(run.consumed(), in_order());
}

#[test]
fn a_record_that_is_too_large_alone_fails_and_the_others_go_on() {
    let mut run = Run::start(1, &[("max.message.bytes", "1000")]);
    let large = ProducerSpec { generator: Generator::Noise(2_000), limit: Some(3), ..producer(Acks::All) };
}
