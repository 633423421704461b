//! What the auditors of a run with transactions have read, changed: the rules of transactions must notice.

#![cfg(not(target_arch = "wasm32"))]

use std::sync::LazyLock;

use bytes::Bytes;
use shore_base::Instant;
use shore_check::{Checker, Read, Report, Settings, run};

/// The first seed that draws transactions.
static REPORT: LazyLock<Report> = LazyLock::new(|| {
    let reports = (0..).map(|seed| run(seed, Settings { lines: true, ..Settings::of_seed(seed) }));
    let report = reports.into_iter().find(|report| report.counts.transactions_aborted > 0).expect("half of them do");
    assert!(report.violations.is_empty(), "{report}");
    assert!(report.counts.transactions_committed > 5, "{report}");
    report
});

/// Compares what was read of a run once more, changed. The rules of transactions that fire.
fn broken(report: &Report, change: impl FnOnce(&mut Read)) -> Vec<String> {
    let mut checker = Checker::default();
    report.story.iter().for_each(|event| checker.observe(event));
    let mut committed = report.committed.clone();
    change(&mut committed);
    checker.finish(Instant::ZERO, &report.read, &committed, &[]);
    let mut rules: Vec<String> = checker.violations().iter().map(|broken| broken.rule[..2].to_owned()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn who_reads_everything_breaks_the_promise_of_those_who_read_committed() {
    let rules = broken(&REPORT, |read| *read = REPORT.read.clone());
    assert!(rules.contains(&"42".to_owned()), "an aborted record was read: {rules:?}");
}

#[test]
fn what_is_lost_comes_twice_or_in_another_order_is_found() {
    assert_eq!(broken(&REPORT, |_| {}), [""; 0]);
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
    assert_eq!(broken(&REPORT, lose("copy")), ["39", "41"], "a transaction is torn, and the copy is not whole");
    assert!(broken(&REPORT, lose("source")).contains(&"39".to_owned()), "the copy has what its source has not");
    let twice = |read: &mut Read| {
        let (place, first) = of("copy", read);
        let log = read.get_mut(&place).expect("it is there");
        let value = log[&first].clone();
        log.insert(i64::MAX, value);
    };
    assert_eq!(broken(&REPORT, twice), ["28", "39"]);
    let swapped = |read: &mut Read| {
        let (place, _) = of("copy", read);
        let log = read.get_mut(&place).expect("it is there");
        let offsets: Vec<i64> = log.keys().copied().collect();
        let mut values: Vec<Bytes> = log.values().cloned().collect();
        values.reverse();
        *log = offsets.into_iter().zip(values).collect();
    };
    assert_eq!(broken(&REPORT, swapped), ["28"]);
}
