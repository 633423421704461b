//! Producers that commit and abort, copiers that move what was committed to another topic, and members that read
//! what is committed, or all of it. Clients are lost, or cut off while others take their transactional ids over.

use core::time::Duration;
use shore_client::Isolation;
use shore_sim::{Action, ConsumerSpec, CopierSpec, ProducerSpec, TransactionSpec};

use super::Plan;
use crate::owners::Transactional;
use crate::run::NODE;

const SOURCE: &str = "source";
const COPY: &str = "copy";

pub(super) fn begin(plan: &mut Plan<'_>) {
    for (topic, partitions) in [(SOURCE, 3), (COPY, 2)] {
        let create = plan.create(topic, partitions, &[]);
        plan.within(0..500, create);
    }
    let plain = ProducerSpec { limit: Some(100), ..numbered(plan, "plain") };
    plan.within(0..2_000, Action::AddProducer(plain));
    for name in ["bank-a", "bank-b"] {
        let transactions = Some(TransactionSpec { abort_percent: 25, ..transactions(plan, name) });
        let spec = ProducerSpec { limit: Some(150), transactions, ..numbered(plan, name) };
        plan.within(0..2_000, Action::AddProducer(spec.clone()));
        lost(plan, &Transactional::Producer(spec));
    }
    for name in ["copier-a", "copier-b"] {
        let spec = CopierSpec {
            transactions: TransactionSpec { abort_percent: 10, ..transactions(plan, name) },
            records_per_second: plan.one_of(&[0, 100, 400]),
            session_timeout: Duration::from_secs(6 + plan.below(6)),
            ..CopierSpec::new(name, "copiers", SOURCE, COPY)
        };
        plan.within(500..6_000, Action::AddCopier(spec.clone()));
        lost(plan, &Transactional::Copier(spec));
    }
    let assignor = plan.assignor();
    for (name, isolation) in [("strict", Isolation::ReadCommitted), ("curious", Isolation::ReadUncommitted)] {
        let spec = plan.member(name, name, SOURCE, assignor);
        plan.within(500..6_000, Action::AddConsumer(ConsumerSpec { isolation, ..spec }));
    }
}

/// Every record has a key: the order of a copy is that of each key.
fn numbered(plan: &mut Plan<'_>, name: &str) -> ProducerSpec {
    ProducerSpec { keys: 7, millirate: 10_000 + plan.below(40_000), ..plan.producer(name, SOURCE) }
}

fn transactions(plan: &mut Plan<'_>, id: &str) -> TransactionSpec {
    TransactionSpec {
        records: plan.one_of(&[1, 3, 10, 40]),
        timeout: Duration::from_secs(5 + plan.below(10)),
        ..TransactionSpec::new(id)
    }
}

fn lost(plan: &mut Plan<'_>, client: &Transactional) {
    let actor = client.name().to_owned();
    match plan.below(5) {
        0 => plan.within(3_000..15_000, Action::Vanish { actor: actor.clone() }),
        1 => plan.within(3_000..15_000, Action::Stop { actor: actor.clone() }),
        2 => {
            let from = plan.millis(3_000..12_000);
            let until = from + plan.millis(100..8_100);
            plan.at(from, Action::CutLink { actor: actor.clone(), node: NODE });
            plan.at(until, Action::HealLink { actor: actor.clone(), node: NODE });
        }
        // The one that runs is a zombie from now on.
        3 => plan.within(6_000..15_000, client.clone().again("heir").action()),
        _ => {}
    }
    for _ in 0..plan.below(3) {
        // A connection breaks with an answer on its way: what was asked for has come about or not.
        let answers = 1 + plan.below(30);
        plan.within(1_000..18_000, Action::DropConnections { actor: actor.clone(), node: NODE, answers });
    }
}
