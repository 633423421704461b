//! What goes wrong in a run, drawn from its seed. Everything heals, most of it before the unrest ends.

use core::time::Duration;
use shore_base::NodeId;
use shore_sim::Action;

use crate::workloads::Plan;

/// The client behind actions on topics.
pub(crate) const ADMIN: &str = "admin";

pub(crate) fn plan(plan: &mut Plan<'_>, node: NodeId) {
    links(plan, node);
    drops(plan, node);
    disk(plan, node);
}

/// Every link has some latency; some are slow for a while, some are cut.
fn links(plan: &mut Plan<'_>, node: NodeId) {
    let latency = Duration::from_micros(plan.below(20_000));
    let jitter = Duration::from_micros(plan.below(10_000));
    plan.at(Duration::ZERO, Action::SetLatency { actor: None, latency, jitter });
    if plan.percent(50) {
        for _ in 0..1 + plan.below(2) {
            let actor = any_client(plan);
            let from = plan.millis(2_000..12_000);
            // Longer than a request waits for its answer, now and then: it arrives when its client has given up.
            let longest = if plan.percent(10) { 45_000 } else { 6_000 };
            let until = from + plan.millis(100..longest);
            plan.at(from, Action::CutLink { actor: actor.clone(), node });
            plan.at(until, Action::HealLink { actor, node });
        }
    }
    if plan.percent(40) {
        let actor = any_client(plan);
        let from = plan.millis(1_000..12_000);
        let until = from + plan.millis(500..7_000);
        let slow = plan.millis(50..1_500);
        plan.at(from, Action::SetLatency { actor: Some(actor.clone()), latency: slow, jitter: slow });
        plan.at(until, Action::SetLatency { actor: Some(actor), latency, jitter });
    }
}

/// Connections break: at some moment, or with an answer on its way, so that what was asked is done and nobody is told.
fn drops(plan: &mut Plan<'_>, node: NodeId) {
    if !plan.percent(60) {
        return;
    }
    for _ in 0..1 + plan.below(12) {
        let actor = any_client(plan);
        let answers = if plan.percent(70) { 1 + plan.below(30) } else { 0 };
        plan.within(0..18_000, Action::DropConnections { actor, node, answers });
    }
}

fn any_client(plan: &mut Plan<'_>) -> String {
    if plan.percent(15) {
        return ADMIN.to_owned();
    }
    let index = plan.below(plan.clients.len() as u64) as usize;
    plan.clients[index].clone()
}

/// The disk is slow, and full or failing for a while, once or twice.
fn disk(plan: &mut Plan<'_>, node: NodeId) {
    if plan.percent(40) {
        let latency = plan.millis(1..50);
        plan.within(1_000..10_000, Action::SlowDisk { node, latency });
    }
    if !plan.percent(40) {
        return;
    }
    let mut at = plan.millis(500..8_500);
    for _ in 0..1 + plan.below(2) {
        let full = plan.percent(50);
        let fault = if full { Action::FillDisk { node } } else { Action::FailDisk { node } };
        plan.at(at, fault);
        at += plan.millis(20..5_020);
        plan.at(at, Action::HealDisk { node });
        at += plan.millis(1..3_001);
    }
}
