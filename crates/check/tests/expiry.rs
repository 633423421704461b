//! Time takes things away: segments by `retention.ms`, offsets by `offsets.retention.minutes`. A node that lives
//! through that is held to the same rules as in every other run.

#![cfg(not(target_arch = "wasm32"))]

use std::time::Duration;

use shore_base::collections::BTreeMap;
use shore_base::{Instant, NodeId};
use shore_broker::Durability;
use shore_broker::event::Event as NodeEvent;
use shore_broker::group::GroupEvent;
use shore_check::{Checker, run::node_config};
use shore_client::OffsetReset;
use shore_sim::{Action, ConsumerSpec, Disk, DiskModel, EventKind, Generator, ProducerSpec, World};

const NODE: NodeId = NodeId(1);

#[test]
fn what_expires_goes_in_time_and_nothing_is_read_of_it() {
    let mut world = World::new(11);
    let mut config = node_config(11, Durability::Written);
    for (name, value) in [
        ("offsets.retention.minutes", "1"),
        ("offsets.retention.check.interval.ms", "5000"),
        ("log.retention.check.interval.ms", "1000"),
    ] {
        config.static_configs.insert(name.to_owned(), value.to_owned());
    }
    let mut checker = Checker::default();
    checker.set_offsets_retention(Duration::from_secs(60), Duration::from_secs(5));
    world.subscribe();
    world.boot(config, Disk::Model(DiskModel::default()));
    let configs = [("retention.ms", "4000"), ("segment.ms", "1000")];
    let configs = BTreeMap::from(configs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    world.act(Action::CreateTopic { topic: "t".into(), partitions: 2, replication: 1, configs }).expect("created");
    let producer = ProducerSpec {
        generator: Generator::Numbered,
        millirate: 20_000,
        limit: Some(1_500),
        ..ProducerSpec::new("north", "t")
    };
    let member = |name: &str, group: &str| {
        Action::AddConsumer(ConsumerSpec { reset: OffsetReset::Earliest, ..ConsumerSpec::new(name, group, "t") })
    };
    let actions = [
        (1, Action::AddProducer(producer)),
        (1, member("stays", "stable")),
        (1, member("goes", "empty")),
        (10, Action::Stop { actor: "goes".into() }),
        // What it comes back for is gone by then.
        (15, Action::PauseConsumer { actor: "stays".into() }),
        (40, Action::ResumeConsumer { actor: "stays".into() }),
        (50, Action::Seek { actor: "stays".into(), topic: "t".into(), partition: 0, offset: 0 }),
    ];
    for (seconds, action) in actions {
        world.act_at(at(seconds), action);
    }
    let (mut expired, mut moved, mut look_at) = (0, 0, Instant::ZERO);
    while world.next_due().is_some_and(|(due, _)| due <= at(180)) {
        world.step();
        for event in world.events() {
            match &event.kind {
                EventKind::Node { event: NodeEvent::Group(GroupEvent::OffsetsExpired { group, .. }), .. } => {
                    assert_eq!(group.as_ref(), "empty");
                    expired += 1;
                }
                EventKind::Node { event: NodeEvent::LogStartMoved { .. }, .. } => moved += 1,
                _ => {}
            }
            checker.observe(&event);
        }
        while world.poll().is_some() {}
        if let Some(node) = world.node(NODE).filter(|_| look_at <= world.now()) {
            look_at = world.now() + Duration::from_millis(50);
            checker.look_at(world.now(), world.wall(), &node.view());
        }
    }
    assert_eq!(checker.violations(), []);
    assert!(expired > 0 && moved > 20, "{expired} expiries of offsets, {moved} of segments");
    assert!(checker.counts.out_of_range >= 2, "{:?}", checker.counts);
    let groups = world.node(NODE).expect("it is up").view().groups;
    assert_eq!(
        groups.iter().map(|group| (group.group.as_ref(), group.offsets.len())).collect::<Vec<_>>(),
        [("stable", 2)]
    );
}
