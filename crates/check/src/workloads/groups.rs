//! Several groups of one topic: static members that come and go, members that commit when they are told to, and a
//! group that is left for good.

use core::time::Duration;
use shore_client::Acks;
use shore_sim::{Action, ConsumerSpec};

use super::Plan;

const TOPIC: &str = "events";

pub(super) fn begin(plan: &mut Plan<'_>) {
    let partitions = 1 + plan.below(6) as i32;
    let create = plan.create(TOPIC, partitions, &[]);
    plan.within(0..500, create);
    let east = plan.producer("east", TOPIC);
    plan.within(0..3_000, Action::AddProducer(east));
    let west = plan.producer("west", TOPIC);
    // A retry of its batches may be there twice.
    let acks = plan.one_of(&[Acks::All, Acks::Leader]);
    plan.within(0..3_000, Action::AddProducer(shore_sim::ProducerSpec { acks, idempotence: false, ..west }));
    static_members(plan);
    told_to_commit(plan);
    left_for_good(plan);
    late_and_of_two_topics(plan);
}

/// They come back under their instance ids, in time or after their session.
fn static_members(plan: &mut Plan<'_>) {
    let assignor = plan.assignor();
    for name in ["fixed-a", "fixed-b", "fixed-c"] {
        let spec = plan.member(name, "fixed", TOPIC, assignor);
        let spec = ConsumerSpec { instance_id: Some(format!("instance-{name}")), ..spec };
        let mut at = plan.millis(500..4_000);
        plan.at(at, Action::AddConsumer(spec.clone()));
        for _ in 0..plan.below(3) {
            at += plan.millis(2_000..6_000);
            let actor = name.to_owned();
            let leaves = if plan.percent(50) { Action::Stop { actor } } else { Action::Vanish { actor } };
            plan.at(at, leaves);
            at += plan.millis(100..8_000);
            plan.at(at, Action::AddConsumer(spec.clone()));
        }
    }
}

fn told_to_commit(plan: &mut Plan<'_>) {
    let assignor = plan.assignor();
    for name in ["told-a", "told-b"] {
        let spec = plan.member(name, "told", TOPIC, assignor);
        plan.within(500..6_000, Action::AddConsumer(ConsumerSpec { auto_commit: None, ..spec }));
        for _ in 0..plan.below(8) {
            plan.within(1_000..19_000, Action::Commit { actor: name.to_owned() });
        }
    }
}

/// Its offsets are there until they expire.
fn left_for_good(plan: &mut Plan<'_>) {
    let assignor = plan.assignor();
    let spec = plan.member("guest", "guests", TOPIC, assignor);
    let from = plan.millis(500..6_000);
    plan.at(from, Action::AddConsumer(ConsumerSpec { session_timeout: Duration::from_secs(6), ..spec }));
    let until = from + plan.millis(2_000..8_000);
    let actor = "guest".to_owned();
    let leaves = if plan.percent(70) { Action::Stop { actor } } else { Action::Vanish { actor } };
    plan.at(until, leaves);
}

fn late_and_of_two_topics(plan: &mut Plan<'_>) {
    let assignor = plan.assignor();
    let topics = vec![TOPIC.to_owned(), "orders".to_owned()];
    let both = plan.member("both", "late", TOPIC, assignor);
    plan.within(6_000..14_000, Action::AddConsumer(ConsumerSpec { topics: topics.clone(), ..both }));
    // A member may be subscribed to less than another.
    let one = plan.member("one-of-both", "late", TOPIC, assignor);
    plan.within(6_000..18_000, Action::AddConsumer(one));
}
