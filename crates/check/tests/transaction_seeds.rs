//! Runs of transactions under faults, and the rules that they are held to.

#![cfg(not(target_arch = "wasm32"))]

use bytes::Bytes;
use shore_base::Instant;
use shore_check::Read;
use shore_check::txn_run::{TxnReport, run_transactions};
use shore_check::txn_watch::TxnWatch;
use shore_client::Isolation;

#[test]
fn promises_of_transactions_hold_under_faults() {
    let mut lost = 0;
    for seed in 0..10 {
        let report = run_transactions(seed, Isolation::ReadCommitted);
        assert_eq!(report.violations, [], "seed {seed}");
        assert!(report.counts.committed > 5, "seed {seed}: {:?}", report.counts);
        lost += report.counts.fatal;
    }
    assert!(lost > 0, "some producers are fenced");
}

/// Compares a run once more, with what the auditor read changed. The rules that fire.
fn broken(report: &TxnReport, change: impl FnOnce(&mut Read)) -> Vec<&'static str> {
    let mut watch = TxnWatch::default();
    report.watch_events.iter().for_each(|event| watch.observe(event));
    let mut read = report.read.clone();
    change(&mut read);
    watch.finish(Instant::ZERO, &read);
    let mut rules: Vec<&str> = watch.violations().iter().map(|violation| &violation.rule[..2]).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn who_reads_everything_breaks_the_promise_of_those_who_read_committed() {
    let report = run_transactions(1, Isolation::ReadUncommitted);
    let rules: Vec<&str> = report.violations.iter().map(|violation| &violation.rule[..2]).collect();
    assert!(rules.contains(&"42"), "an aborted record was read: {rules:?}");
}

#[test]
fn what_is_lost_comes_twice_or_in_another_order_is_found() {
    let report = run_transactions(1, Isolation::ReadCommitted);
    assert_eq!(broken(&report, |_| {}), [""; 0]);
    let of = |topic: &str, read: &Read| {
        let place = read.keys().find(|(name, _)| name == topic).expect("it was read").clone();
        let first = *read[&place].keys().next().expect("there are records");
        (place, first)
    };
    let lose = |topic: &'static str| {
        move |read: &mut Read| {
            let (place, first) = of(topic, read);
            read.get_mut(&place).expect("it is there").remove(&first);
        }
    };
    assert_eq!(broken(&report, lose("copy")), ["39", "41"], "a transaction is torn, and the copy is not whole");
    assert!(broken(&report, lose("source")).contains(&"39"), "the copy has what its source has not");
    let twice = |read: &mut Read| {
        let (place, first) = of("copy", read);
        let log = read.get_mut(&place).expect("it is there");
        let value = log[&first].clone();
        log.insert(i64::MAX, value);
    };
    assert_eq!(broken(&report, twice), ["28", "39"]);
    let swapped = |read: &mut Read| {
        let (place, _) = of("copy", read);
        let log = read.get_mut(&place).expect("it is there");
        let offsets: Vec<i64> = log.keys().copied().collect();
        let mut values: Vec<Bytes> = log.values().cloned().collect();
        values.reverse();
        *log = offsets.into_iter().zip(values).collect();
    };
    assert_eq!(broken(&report, swapped), ["28"]);
}
