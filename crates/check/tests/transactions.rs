//! Transactional producers and copiers of the simulator against the broker.

#![cfg(not(target_arch = "wasm32"))]

mod acting;

use std::time::Duration;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_client::{Isolation, TransactionState};
use shore_sim::snapshot::{Doing, TransactionsSnapshot};
use shore_sim::{
    Action, ActorEvent, ConsumerSpec, CopierSpec, Event, EventKind, Generator, ProducerSpec, TransactionSpec,
    TransactionStep,
};
use shore_wire::api::ApiKey;
use shore_wire::frame::decode_request_head;

use acting::Run;

impl Run {
    fn start() -> Self {
        let mut run = Self::boot();
        for topic in ["t", "u"] {
            let configs = BTreeMap::new();
            run.act(Action::CreateTopic { topic: topic.into(), partitions: 2, replication: 1, configs });
        }
        run.pass(1);
        run
    }

    fn transactions(&self, name: &str) -> TransactionsSnapshot {
        let actor = self.world.snapshot().actors.into_iter().find(|actor| actor.name == name).expect("it is there");
        match actor.doing {
            Doing::Producing { transactions: Some(transactions), .. } | Doing::Copying { transactions, .. } => {
                transactions
            }
            other => panic!("{name} has no transactions: {other:?}"),
        }
    }

    fn steps(&self) -> Vec<TransactionStep> {
        let step = |event: &Event| match &event.kind {
            EventKind::Actor { event: ActorEvent::Transaction(step), .. } => Some(step.clone()),
            _ => None,
        };
        self.events.iter().filter_map(step).collect()
    }

    /// How often a broker was asked for an API.
    fn requests(&self, api: ApiKey) -> usize {
        let asks = |event: &&Event| match &event.kind {
            EventKind::Request { frame, .. } => {
                decode_request_head(frame).is_ok_and(|(head, _)| head.api_key == api.key())
            }
            _ => false,
        };
        self.events.iter().filter(asks).count()
    }
}

/// What clients did, by name, in order.
impl Run {
    fn of(&self, name: &str) -> impl Iterator<Item = &ActorEvent> {
        let id = self.events.iter().find_map(|event| match &event.kind {
            EventKind::ActorAdded { actor, name: added } if added == name => Some(*actor),
            _ => None,
        });
        self.events.iter().filter_map(move |event| match &event.kind {
            EventKind::Actor { actor, event } if Some(*actor) == id => Some(event),
            _ => None,
        })
    }

    /// Values of the records in transactions that this producer committed, or of all of them.
    fn produced(&self, name: &str, committed: bool) -> Vec<Bytes> {
        let (mut open, mut all) = (Vec::new(), Vec::new());
        for event in self.of(name) {
            match event {
                ActorEvent::Produced { values, .. } => open.extend(values.iter().cloned()),
                ActorEvent::Transaction(TransactionStep::Committed) => all.append(&mut open),
                ActorEvent::Transaction(TransactionStep::Aborted) if committed => open.clear(),
                _ => {}
            }
        }
        all.append(&mut open);
        all.sort();
        all
    }

    fn consumed(&self, name: &str) -> Vec<Bytes> {
        let records = self.of(name).filter_map(|event| match event {
            ActorEvent::Consumed { records, .. } => Some(records),
            _ => None,
        });
        let mut values: Vec<Bytes> = records.flatten().filter_map(|(_, value)| value.clone()).collect();
        values.sort();
        values
    }
}

fn reader(name: &str, topic: &str, isolation: Isolation) -> ConsumerSpec {
    ConsumerSpec { isolation, ..ConsumerSpec::new(name, name, topic) }
}

fn numbered(name: &str, id: &str) -> ProducerSpec {
    ProducerSpec {
        generator: Generator::Numbered,
        millirate: 100_000,
        transactions: Some(TransactionSpec::new(id)),
        ..ProducerSpec::new(name, "t")
    }
}

#[test]
fn a_producer_commits_and_aborts_transactions_and_its_epoch_grows_with_each() {
    let mut run = Run::start();
    let mut spec = ProducerSpec { limit: Some(98), ..numbered("bank", "bank") };
    spec.transactions = Some(TransactionSpec { abort_percent: 30, ..TransactionSpec::new("bank") });
    run.act(Action::AddProducer(spec));
    run.pass(20);
    let transactions = run.transactions("bank");
    assert_eq!(transactions.committed + transactions.aborted, 20, "98 records, five to a transaction");
    assert!(transactions.committed > 0 && transactions.aborted > 0);
    assert_eq!(transactions.state, TransactionState::Ready);
    let snapshot = run.world.snapshot();
    let producing =
        |doing: &Doing| matches!(doing, Doing::Producing { acknowledged, failed, .. } if acknowledged + failed == 98);
    assert!(snapshot.actors.iter().any(|actor| producing(&actor.doing)));
    let epochs = snapshot.actors.iter().filter_map(|actor| match actor.doing {
        Doing::Producing { producer_id, .. } => producer_id.map(|(_, epoch)| epoch),
        _ => None,
    });
    assert_eq!(epochs.collect::<Vec<_>>(), [20], "an epoch for each transaction");
    assert_eq!(run.requests(ApiKey::AddPartitionsToTxn), 0, "brokers add partitions under version 2");
    assert_eq!(run.requests(ApiKey::EndTxn), 20);
}

#[test]
fn who_reads_committed_reads_what_was_committed_and_who_does_not_reads_all() {
    let mut run = Run::start();
    let mut spec = ProducerSpec { limit: Some(300), ..numbered("bank", "bank") };
    spec.transactions = Some(TransactionSpec { abort_percent: 40, ..TransactionSpec::new("bank") });
    run.act(Action::AddConsumer(reader("strict", "t", Isolation::ReadCommitted)));
    run.act(Action::AddConsumer(reader("curious", "t", Isolation::ReadUncommitted)));
    run.act(Action::AddProducer(spec));
    run.pass(2);
    run.act(Action::AddConsumer(reader("late", "t", Isolation::ReadCommitted)));
    run.pass(20);
    let committed = run.produced("bank", true);
    assert!((100..250).contains(&committed.len()), "{}", committed.len());
    assert_eq!(run.consumed("strict"), committed);
    assert_eq!(run.consumed("late"), committed);
    assert_eq!(run.consumed("curious"), run.produced("bank", false));
    for actor in run.world.snapshot().actors {
        if let Doing::Consuming { partitions, .. } = actor.doing {
            assert!(partitions.iter().all(|at| at.lag == Some(0)), "markers and what was aborted are behind it");
        }
    }
}

#[test]
fn of_two_producers_with_one_id_the_later_fences_the_earlier() {
    let mut run = Run::start();
    run.act(Action::AddProducer(numbered("old", "shared")));
    run.pass(2);
    assert!(run.transactions("old").committed > 10);
    run.act(Action::AddProducer(numbered("new", "shared")));
    run.pass(2);
    assert!(matches!(run.transactions("old").state, TransactionState::FatalError(_)), "{:?}", run.transactions("old"));
    let fatal = |step: &TransactionStep| matches!(step, TransactionStep::Fatal { error } if error == "PRODUCER_FENCED" || error == "INVALID_PRODUCER_EPOCH");
    assert!(run.steps().iter().any(fatal), "{:?}", run.steps());
    assert!(run.transactions("new").committed > 10);
}

#[test]
fn a_transaction_that_is_open_for_too_long_is_aborted_by_the_coordinator() {
    let mut run = Run::start();
    let mut spec = ProducerSpec { millirate: 1_000, ..numbered("slow", "slow") };
    spec.transactions =
        Some(TransactionSpec { records: 30, timeout: Duration::from_secs(10), ..TransactionSpec::new("slow") });
    run.act(Action::AddProducer(spec));
    run.pass(60);
    let transactions = run.transactions("slow");
    assert_eq!(transactions.committed, 0);
    let suffered = |step: &&TransactionStep| matches!(step, TransactionStep::Aborting { error: Some(error) } if error == "INVALID_PRODUCER_EPOCH");
    let steps = run.steps();
    assert!(steps.iter().filter(suffered).count() >= 2, "{steps:?}");
    assert!(transactions.aborted >= 2, "under version 2 it goes on with another epoch: {transactions:?}");
}

#[test]
fn a_producer_that_is_stopped_commits_what_it_has_begun() {
    let mut run = Run::start();
    let spec = ProducerSpec { millirate: 10_000, ..numbered("bank", "bank") };
    run.act(Action::AddProducer(ProducerSpec {
        transactions: Some(TransactionSpec { records: 1_000, ..TransactionSpec::new("bank") }),
        ..spec
    }));
    run.pass(5);
    run.act(Action::Stop { actor: "bank".into() });
    run.pass(5);
    assert_eq!(run.steps().last(), Some(&TransactionStep::Committed));
    assert!(run.world.snapshot().actors.iter().all(|actor| actor.name != "bank"), "it is gone");
}

#[test]
fn a_copier_writes_what_it_reads_and_sends_its_offsets_along() {
    let mut run = Run::start();
    let spec = ProducerSpec { transactions: None, limit: Some(200), ..numbered("shop", "") };
    run.act(Action::AddProducer(spec));
    run.act(Action::AddConsumer(reader("strict", "u", Isolation::ReadCommitted)));
    let transactions = TransactionSpec { records: 7, abort_percent: 20, ..TransactionSpec::new("copy-1") };
    run.act(Action::AddCopier(CopierSpec { transactions, ..CopierSpec::new("copy", "copies", "t", "u") }));
    run.pass(60);
    let copied = run.world.snapshot().actors.into_iter().find_map(|actor| match actor.doing {
        Doing::Copying { copied, partitions, .. } => Some((copied, partitions.iter().map(|at| at.lag).sum())),
        _ => None,
    });
    assert_eq!(copied, Some((200, Some(0))));
    assert!(run.transactions("copy").aborted > 0, "what was aborted was read again");
    assert_eq!(run.requests(ApiKey::AddOffsetsToTxn), 0, "the group's coordinator does it under version 2");
    assert!(run.requests(ApiKey::TxnOffsetCommit) > 20);
    assert_eq!(run.consumed("strict"), run.produced("shop", false), "each record once");
    run.act(Action::Stop { actor: "copy".into() });
    run.pass(5);
    assert!(run.world.snapshot().actors.iter().all(|actor| actor.name != "copy"), "it is gone");
}
