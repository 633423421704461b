//! One seed, one trace: here on the machine itself, twice in one process and against the fixed table.

#![cfg(not(target_arch = "wasm32"))]

mod hashes;

use shore_check::{Settings, run};

#[test]
fn every_seed_has_its_hash() {
    hashes::every_seed_has_its_hash();
}

#[test]
fn the_same_seed_runs_the_same_way_twice() {
    let settings = Settings { lines: true, ..Settings::of_seed(7) };
    let (first, second) = (run(7, settings), run(7, settings));
    for (index, (one, other)) in first.lines.iter().zip(&second.lines).enumerate() {
        assert_eq!(one, other, "entry {index} of the trace");
    }
    assert_eq!(first.lines.len(), second.lines.len());
    assert_eq!(first.hash, second.hash);
    assert_ne!(first.hash, run(8, Settings::of_seed(8)).hash);
}
