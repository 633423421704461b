//! Groups whose members keep what they have while the group rebalances.

#![cfg(not(target_arch = "wasm32"))]

mod acting;

use shore_base::NodeId;
use shore_base::collections::BTreeMap;
use shore_client::Assignor;
use shore_sim::{Action, ActorEvent, ConsumerSpec, Event, EventKind, Generator, ProducerSpec};

use acting::Run;

impl Run {
    fn start() -> Self {
        let mut run = Self::boot();
        let configs = BTreeMap::new();
        run.act(Action::CreateTopic { topic: "t".into(), partitions: 6, replication: 1, configs });
        let producer = ProducerSpec::new("north", "t");
        run.act(Action::AddProducer(ProducerSpec { generator: Generator::Numbered, millirate: 5_000, ..producer }));
        run.pass(2);
        run
    }

    fn join(&mut self, name: &str, assignors: &[Assignor]) {
        let spec = ConsumerSpec { assignors: assignors.to_vec(), ..ConsumerSpec::new(name, "readers", "t") };
        self.act(Action::AddConsumer(spec));
        self.pass(15);
    }

    /// What a member was told of its partitions, in order.
    fn told(&self, name: &str) -> Vec<String> {
        let id = self.events.iter().find_map(|event| match &event.kind {
            EventKind::ActorAdded { actor, name: added } if added == name => Some(*actor),
            _ => None,
        });
        let shown = |what: &str, partitions: &[(String, i32)]| {
            let indexes: Vec<String> = partitions.iter().map(|(_, index)| index.to_string()).collect();
            format!("{what} {}", indexes.join(" "))
        };
        let told = |event: &Event| match &event.kind {
            EventKind::Actor { actor, event } if Some(*actor) == id => match event {
                ActorEvent::Assigned { partitions, .. } => Some(shown("has", partitions)),
                ActorEvent::Revoked { partitions } => Some(shown("gave back", partitions)),
                ActorEvent::Lost { partitions } => Some(shown("lost", partitions)),
                _ => None,
            },
            _ => None,
        };
        self.events.iter().filter_map(told).collect()
    }
}

const COOPERATIVE: [Assignor; 1] = [Assignor::CooperativeSticky];

#[test]
fn a_member_that_comes_takes_only_what_moves_and_gets_it_when_it_was_given_back() {
    let mut run = Run::start();
    run.join("one", &COOPERATIVE);
    run.join("two", &COOPERATIVE);
    // The first rebalance leaves the newcomer without, the second gives it what was given back.
    assert_eq!(run.told("one"), ["has 0 1 2 3 4 5", "gave back 3 4 5", "has 0 1 2", "has 0 1 2"]);
    assert_eq!(run.told("two"), ["has ", "has 3 4 5"]);
    run.act(Action::Stop { actor: "one".into() });
    run.pass(15);
    assert_eq!(run.told("two")[2..], ["has 0 1 2 3 4 5"], "it keeps what it had");
}

#[test]
fn who_stays_goes_on_reading_while_others_come() {
    let mut run = Run::start();
    run.join("one", &COOPERATIVE);
    let joined = run.events.len();
    run.join("two", &COOPERATIVE);
    let kept = |event: &&Event| match &event.kind {
        EventKind::Actor { event: ActorEvent::Positioned { partition, .. }, .. } => *partition < 3,
        _ => false,
    };
    assert_eq!(run.events[joined..].iter().filter(kept).count(), 0, "nobody looked for where to begin");
}

#[test]
fn with_an_eager_assignor_beside_it_everything_is_given_back() {
    let mut run = Run::start();
    let both = [Assignor::Range, Assignor::CooperativeSticky];
    run.join("one", &both);
    run.join("two", &both);
    assert_eq!(run.told("one"), ["has 0 1 2 3 4 5", "gave back 0 1 2 3 4 5", "has 0 1 2"]);
}

#[test]
fn what_a_member_was_cast_out_with_is_lost() {
    let mut run = Run::start();
    run.join("one", &COOPERATIVE);
    run.join("two", &COOPERATIVE);
    let node = NodeId(1);
    run.act(Action::CutLink { actor: "one".into(), node });
    run.pass(60);
    run.act(Action::HealLink { actor: "one".into(), node });
    run.pass(60);
    let told = run.told("one");
    assert_eq!(told[4..5], ["lost 0 1 2"], "{told:?}");
    assert!(told.last().is_some_and(|last| last.split(' ').count() == 4), "it has three again: {told:?}");
}

/// As two consumers of Apache Kafka 4.3.1 do on a broker of 4.3.1: the coordinator gives who comes back its predecessor's
/// share without a rebalance, and who has nothing to give back has no reason to join again.
#[test]
fn what_a_static_member_gave_back_before_it_was_replaced_is_nobodys_until_the_next_rebalance() {
    let mut run = Run::start();
    let fixed = |name: &str| {
        let instance_id = Some(format!("instance-{name}"));
        let assignors = COOPERATIVE.to_vec();
        Action::AddConsumer(ConsumerSpec { instance_id, assignors, ..ConsumerSpec::new(name, "readers", "t") })
    };
    run.act(fixed("one"));
    run.pass(15);
    run.act(fixed("two"));
    let is_revoked = |event: &Event| matches!(event.kind, EventKind::Actor { event: ActorEvent::Revoked { .. }, .. });
    while !run.events.iter().any(is_revoked) {
        run.step();
    }
    // Its wish to join again is lost with it.
    run.act(Action::DropConnections { actor: "one".into(), node: NodeId(1), answers: 0 });
    run.act(Action::Vanish { actor: "one".into() });
    run.pass(1);
    run.act(fixed("one"));
    run.pass(100);
    let shares = |run: &Run| -> Vec<usize> {
        let groups = run.world.node(NodeId(1)).expect("it is up").view().groups;
        groups[0].members.iter().map(|member| member.assignment.len()).collect()
    };
    assert_eq!(shares(&run).into_iter().sum::<usize>(), 3, "{:?}", shares(&run));
    run.join("three", &COOPERATIVE);
    assert_eq!(shares(&run), [2, 2, 2]);
}
