//! Two producers, and a group that one of three members leaves.

use shore_sim::Action;

use super::Plan;

const TOPIC: &str = "orders";

pub(super) fn begin(plan: &mut Plan<'_>) {
    let create = plan.create(TOPIC, 3, &[]);
    plan.within(0..1, create);
    for name in ["north", "south"] {
        let spec = plan.producer(name, TOPIC);
        plan.within(0..2_000, Action::AddProducer(spec));
    }
    let assignor = plan.assignor();
    for name in ["one", "two", "three"] {
        let spec = plan.member(name, "readers", TOPIC, assignor);
        plan.within(500..8_500, Action::AddConsumer(spec));
    }
    let actor = "one".to_owned();
    let leaves = if plan.percent(50) { Action::Stop { actor } } else { Action::Vanish { actor } };
    plan.within(10_000..18_000, leaves);
}
