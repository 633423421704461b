//! Runs drawn from seeds: a crash at every storage call in turn, then at random ones; in some of them the disk
//! is full or fails for a while. Nothing that was acknowledged may be lost, and everything comes to rest. The test
//! command runs 2,000 of them in the profile `sim`; these are some, as a debug build runs them.

#![cfg(not(target_arch = "wasm32"))]

use shore_broker::Durability;
use shore_check::{Crash, Settings, run};

fn hold(seeds: std::ops::Range<u64>) {
    let count = seeds.end - seeds.start;
    let (mut crashes, mut acknowledged, mut consumed, mut commits) = (0, 0, 0, 0);
    let (mut faulty, mut refusing) = (0, 0);
    for seed in seeds {
        let report = run(seed, Settings::of_seed(seed));
        assert!(report.violations.is_empty(), "{report}");
        crashes += report.counts.crashes;
        acknowledged += report.counts.acknowledged;
        consumed += report.counts.consumed;
        commits += report.counts.commits;
        let (disk_faults, storage_errors) = (report.counts.disk_faults(), report.counts.storage_errors);
        assert!(disk_faults > 0 || storage_errors == 0, "a store that works refuses nothing: {report}");
        faulty += u64::from(disk_faults > 0);
        refusing += u64::from(storage_errors > 0);
    }
    // A run in which nothing happens proves nothing.
    assert!(crashes >= count, "{crashes} crashes in {count} runs");
    assert!(acknowledged >= 100 * count, "{acknowledged} records acknowledged in {count} runs");
    assert!(consumed >= acknowledged, "{consumed} records consumed, {acknowledged} acknowledged");
    assert!(commits >= count, "{commits} commits in {count} runs");
    assert!(faulty >= count / 4, "{faulty} of {count} runs with a full or failing disk");
    assert!(refusing >= faulty / 2, "producers heard of it in {refusing} of {faulty} runs");
}

#[test]
fn crashes_at_the_first_calls() {
    hold(0..12);
}

#[test]
fn crashes_at_the_next_calls() {
    hold(60..72);
}

#[test]
fn crashes_at_later_calls() {
    hold(120..132);
}

#[test]
fn crashes_at_random_calls() {
    hold(200..212);
}

/// Where nothing waits for the store, a disk that fails for a while costs nothing: what was acknowledged is
/// kept, and is in the files once the disk has healed.
#[test]
fn a_node_that_waits_for_no_disk_keeps_what_a_failing_one_refused() {
    let mut faulty = 0;
    for seed in 0..16 {
        let settings = Settings { durability: Durability::Memory, crash: Crash::Never, ..Settings::of_seed(seed) };
        let report = run(seed, settings);
        assert!(report.violations.is_empty(), "{report}");
        assert_eq!((report.counts.crashes, report.counts.storage_errors), (0, 0), "{report}");
        faulty += u32::from(report.counts.disk_faults() > 0);
    }
    assert!(faulty >= 5, "{faulty} runs with a full or failing disk");
}

/// The canary: a node that acknowledges before its disk has synced, on a machine that loses its power. A
/// checker that does not notice is no checker.
#[test]
fn a_node_that_acknowledges_too_early_is_caught() {
    let early = |seed| Settings { durability: Durability::Memory, crash: Crash::Power, ..Settings::of_seed(seed) };
    let caught = (0..20).filter(|seed| {
        let report = run(*seed, early(*seed));
        report.violations.iter().any(|violation| violation.rule.starts_with("6:") || violation.rule.starts_with("8:"))
    });
    assert!(caught.count() > 0, "records were lost and nobody noticed");
}
