//! Seeds and the hashes of their traces, the same on every machine.

use shore_check::{Settings, run};

/// What `cargo xtask sim hashes` prints. A change of what a node or a client does changes it: write it anew with
/// `cargo xtask sim hashes > crates/check/tests/hashes/table.txt`, and all targets must agree again.
const TABLE: &str = include_str!("table.txt");

pub fn every_seed_has_its_hash() {
    assert!(TABLE.lines().count() >= 4, "a table with seeds");
    for line in TABLE.lines() {
        let seed = line.split(' ').next().and_then(|seed| seed.parse().ok()).expect("a line begins with its seed");
        let found = format!("{seed} {:016x}", run(seed, Settings::of_seed(seed)).hash);
        assert_eq!(found, line, "the trace of seed {seed}, against crates/check/tests/hashes/table.txt");
    }
}
