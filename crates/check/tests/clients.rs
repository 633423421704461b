//! The simulator's own clients in what the seeds leave out: batches that are too large, every level of acks,
//! static members.

#![cfg(not(target_arch = "wasm32"))]

mod acting;

use std::time::Duration;

use shore_base::NodeId;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_broker::event::Event as NodeEvent;
use shore_broker::group::{GroupEvent, GroupView, StateName};
use shore_client::{Acks, OffsetReset};
use shore_sim::{Action, ActorEvent, ConsumerSpec, Event, EventKind, Generator, ProducerSpec};
use shore_wire::api::ApiKey;
use shore_wire::frame::decode_request_head;

use acting::Run;

const NODE: NodeId = NodeId(1);

impl Run {
    fn start(partitions: i32, configs: &[(&str, &str)]) -> Self {
        let mut run = Self::boot();
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        run.act(Action::CreateTopic { topic: "t".into(), partitions, replication: 1, configs });
        run.pass(1);
        run
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

    /// The versions of each API that were asked for.
    fn versions(&self) -> BTreeMap<i16, BTreeSet<i16>> {
        let mut versions = BTreeMap::new();
        for event in &self.events {
            let EventKind::Request { frame, .. } = &event.kind else { continue };
            let (head, _) = decode_request_head(frame).expect("our own frame");
            versions.entry(head.api_key).or_insert_with(BTreeSet::new).insert(head.api_version);
        }
        versions
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
    run.act(Action::AddProducer(ProducerSpec { name: "south".into(), ..large }));
    run.act(Action::AddConsumer(reader("one")));
    run.act(Action::AddProducer(producer(Acks::All)));
    run.pass(60);
    assert_eq!((run.checker.counts.acknowledged, run.checker.counts.failed), (400, 3));
    assert_eq!(run.consumed(), in_order());
}

#[test]
fn acks_of_1_and_0_are_answered_as_they_ask_and_reach_the_log() {
    for acks in [Acks::Leader, Acks::None] {
        let mut run = Run::start(1, &[]);
        run.act(Action::AddConsumer(reader("one")));
        run.act(Action::AddProducer(producer(acks)));
        run.pass(30);
        assert_eq!(run.checker.counts.acknowledged, 400);
        assert_eq!(run.consumed(), in_order(), "acks={acks}");
        let offsets = run.base_offsets();
        match acks {
            // Nobody says where they are.
            Acks::None => assert!(offsets.iter().all(|offset| *offset == -1)),
            _ => assert!(offsets.is_sorted() && offsets[0] == 0),
        }
    }
}

#[test]
fn a_static_member_comes_back_to_what_it_had_without_a_rebalance() {
    let mut run = Run::start(4, &[]);
    for name in ["one", "two"] {
        run.act(Action::AddConsumer(ConsumerSpec { instance_id: Some(format!("instance-{name}")), ..reader(name) }));
    }
    run.pass(10);
    let shares = |group: &GroupView| -> BTreeMap<_, _> {
        group.members.iter().map(|member| (member.instance.clone(), member.assignment.clone())).collect()
    };
    let before = run.group();
    assert_eq!(shares(&before).values().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    for leaves in [Action::Vanish { actor: "one".into() }, Action::Stop { actor: "one".into() }] {
        run.act(leaves);
        run.pass(3);
        run.act(Action::AddConsumer(ConsumerSpec { instance_id: Some("instance-one".into()), ..reader("one") }));
        run.pass(10);
        let after = run.group();
        assert_eq!((after.generation, shares(&after)), (before.generation, shares(&before)));
    }
    let replaced = |event: &&Event| {
        matches!(&event.kind, EventKind::Node { event: NodeEvent::Group(GroupEvent::MemberReplaced { .. }), .. })
    };
    assert_eq!(run.events.iter().filter(replaced).count(), 2);
    // One that does not come back costs the others its session.
    run.act(Action::Vanish { actor: "one".into() });
    run.pass(60);
    assert_eq!(shares(&run.group()).values().map(Vec::len).collect::<Vec<_>>(), [4]);
}

/// Every answer is lost once: what was asked is done, and is asked again.
#[test]
fn an_answer_that_got_lost_costs_no_record_and_makes_none_twice() {
    for answers in 1..=20 {
        let mut run = Run::start(1, &[]);
        run.act(Action::AddProducer(producer(Acks::All)));
        run.act(Action::AddConsumer(reader("one")));
        for actor in ["north", "one"] {
            run.act(Action::DropConnections { actor: actor.into(), node: NODE, answers });
        }
        run.pass(60);
        assert_eq!(run.checker.counts.dropped_connections, 2, "the answer {answers} ahead");
        assert_eq!((run.checker.counts.acknowledged, run.checker.counts.failed), (400, 0));
        let read: BTreeSet<String> = run.consumed().into_iter().collect();
        assert_eq!(read, in_order().into_iter().collect(), "the answer {answers} ahead");
        let log = &run.world.node(NODE).expect("it is up").view().topics;
        let log = log.iter().find(|topic| &*topic.name == "t").and_then(|topic| topic.partitions[0].log.clone());
        assert_eq!(log.map(|log| log.end_offset), Some(400), "nothing is there twice");
        let group = run.group();
        assert_eq!((group.state, group.members.len()), (StateName::Stable, 1), "the answer {answers} ahead");
    }
}

#[test]
fn an_admin_whose_answer_got_lost_asks_again_and_hears_that_the_topic_is_there() {
    let mut run = Run::start(1, &[]);
    run.act(Action::DropConnections { actor: "admin".into(), node: NODE, answers: 1 });
    let configs = BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]);
    run.act(Action::CreateTopic { topic: "u".into(), partitions: 5, replication: 1, configs: configs.clone() });
    run.pass(10);
    assert_eq!(run.checker.counts.dropped_connections, 1);
    let told = |event: &Event| match &event.kind {
        EventKind::Actor { event: ActorEvent::Done { what, error }, .. } if what == "create topic u" => error.clone(),
        _ => None,
    };
    let told: Vec<String> = run.events.iter().filter_map(told).collect();
    assert_eq!(told, ["TOPIC_ALREADY_EXISTS: Topic 'u' already exists."]);
    let topics = run.world.node(NODE).expect("it is up").view().topics;
    let topic = topics.iter().find(|topic| &*topic.name == "u").expect("it was made");
    assert_eq!((topic.partitions.len(), &topic.configs), (5, &configs));
}

#[test]
fn a_connection_that_broke_off_carries_nothing_more_and_both_sides_hear_of_it() {
    let mut run = Run::start(1, &[]);
    run.act(Action::AddProducer(producer(Acks::All)));
    run.pass(1);
    run.events.clear();
    run.act(Action::DropConnections { actor: "north".into(), node: NODE, answers: 0 });
    run.pass(10);
    let of = |event: &Event| match &event.kind {
        EventKind::Dropped { conn } => Some(*conn),
        _ => None,
    };
    let dropped: BTreeSet<_> = run.events.iter().filter_map(of).collect();
    assert!(!dropped.is_empty());
    for event in &run.events {
        match &event.kind {
            EventKind::Request { conn, .. } | EventKind::ResponseArrived { conn, .. } => {
                assert!(!dropped.contains(conn), "{event:?}");
            }
            _ => {}
        }
    }
    let closed = |event: &&Event| matches!(&event.kind, EventKind::Closed { conn, .. } if dropped.contains(conn));
    assert_eq!(run.events.iter().filter(closed).count(), dropped.len());
    assert_eq!(run.checker.counts.acknowledged, 400);
}

#[test]
fn offsets_are_committed_and_asked_for_by_topic_id() {
    let mut run = Run::start(2, &[]);
    run.act(Action::AddConsumer(reader("one")));
    run.act(Action::AddProducer(producer(Acks::All)));
    run.pass(30);
    run.act(Action::Stop { actor: "one".into() });
    run.pass(3);
    run.act(Action::AddConsumer(reader("one")));
    run.pass(10);
    assert_eq!(run.consumed().len(), 400, "what is committed is not read again");
    let versions = run.versions();
    for api in [ApiKey::OffsetCommit, ApiKey::OffsetFetch] {
        assert_eq!(versions[&api.key()], BTreeSet::from([10]), "{api}");
    }
}

#[test]
fn clients_whose_versions_are_limited_speak_as_older_ones_do() {
    let limits = [
        (ApiKey::ApiVersions, 0),
        (ApiKey::Metadata, 1),
        (ApiKey::Produce, 3),
        (ApiKey::InitProducerId, 0),
        (ApiKey::FindCoordinator, 0),
        (ApiKey::JoinGroup, 2),
        (ApiKey::SyncGroup, 0),
        (ApiKey::Heartbeat, 0),
        (ApiKey::OffsetFetch, 1),
        (ApiKey::ListOffsets, 1),
        (ApiKey::Fetch, 4),
        (ApiKey::OffsetCommit, 2),
        (ApiKey::LeaveGroup, 0),
    ];
    let mut run = Run::start(2, &[]);
    run.events.clear();
    for actor in ["north", "one"] {
        for (api, newest) in limits {
            run.act(Action::LimitVersion { actor: actor.into(), api, newest });
        }
    }
    run.act(Action::AddConsumer(reader("one")));
    run.act(Action::AddProducer(producer(Acks::All)));
    run.pass(30);
    run.act(Action::Stop { actor: "one".into() });
    run.pass(3);
    assert_eq!(run.checker.counts.acknowledged, 400);
    assert_eq!(run.consumed().into_iter().collect::<BTreeSet<_>>(), in_order().into_iter().collect());
    let expected = limits.map(|(api, newest)| (api.key(), BTreeSet::from([newest])));
    assert_eq!(run.versions(), BTreeMap::from(expected));
}

#[test]
fn a_consumer_goes_on_with_a_topic_that_was_deleted_and_made_anew() {
    let mut run = Run::start(1, &[]);
    run.act(Action::AddConsumer(reader("one")));
    run.act(Action::AddProducer(ProducerSpec { limit: Some(10), ..producer(Acks::All) }));
    run.pass(30);
    run.act(Action::DeleteTopic { topic: "t".into() });
    let configs = BTreeMap::new();
    run.act(Action::CreateTopic { topic: "t".into(), partitions: 1, replication: 1, configs });
    run.events.clear();
    run.pass(30);
    // Its fetch session still has the old topic's id, to which the broker answers at once.
    let is_fetch = |event: &&Event| match &event.kind {
        EventKind::Request { frame, .. } => decode_request_head(frame).expect("our own frame").0.api_key == 1,
        _ => false,
    };
    let fetches = run.events.iter().filter(is_fetch).count();
    assert!((30..=90).contains(&fetches), "{fetches} fetches in 30 s of 500 ms each");
}
