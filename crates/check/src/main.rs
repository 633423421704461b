//! Runs seeds from the command line (`cargo xtask sim`): `seed N` one, `seeds COUNT [FROM]` many, `hashes`
//! prints what the replay tests compare with, `trace N` and `events N` tell one run line by line. What it prints depends on
//! the seeds alone, not on how many run side by side.

#![expect(clippy::disallowed_macros, reason = "a command prints")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::{panic, thread};

use shore_base::collections::BTreeMap;
use shore_check::{Counts, Report, Settings, run};
use shore_sim::Event;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().map_err(|_| format!("\"{word}\" is not a seed: a whole number is"));
    let outcome = match words[..] {
        ["seed", seed] => number(seed).map(|seed| seeds(seed, seed + 1, true)),
        ["seeds", count] => number(count).map(|count| seeds(0, count, false)),
        ["seeds", count, from] => number(count)
            .and_then(|count| Ok((count, number(from)?)))
            .map(|(count, from)| seeds(from, from + count, false)),
        ["hashes"] => Ok(hashes()),
        ["trace", seed] => number(seed).map(|seed| retell(seed, |report| report.lines.clone())),
        ["events", seed] => number(seed).map(|seed| retell(seed, |report| report.story.iter().map(told).collect())),
        _ => Err("usage: cargo xtask sim seed N | seeds COUNT [FROM] | hashes | trace N | events N".to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Runs these seeds, one for each core at a time, and tells of them in their order. True if nothing was broken.
fn seeds(from: u64, to: u64, each: bool) -> bool {
    let mut broken = 0;
    let mut counts = Counts::default();
    in_order(from, to, |seed, report| {
        let Some(report) = report else {
            broken += 1;
            return println!(
                "seed {seed}: the code panicked, its message is above\n  again: cargo xtask sim seed {seed}"
            );
        };
        counts.add(&report.counts);
        if each || !report.violations.is_empty() {
            println!("{report}");
        }
        broken += u64::from(!report.violations.is_empty());
    });
    println!("{} runs: {counts}\n{broken} runs broke a promise", to - from);
    broken == 0
}

/// Runs the seeds side by side and hands over how each went, in their order; nothing where the code panicked.
fn in_order(from: u64, to: u64, mut hand_over: impl FnMut(u64, Option<Report>)) {
    let next = AtomicU64::new(from);
    let (done, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (next, done) = (&next, done.clone());
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let report = panic::catch_unwind(|| run(seed, Settings::of_seed(seed))).ok();
                    if done.send((seed, report)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut waiting = BTreeMap::new();
        let mut turn = from;
        for (seed, report) in outcomes {
            waiting.insert(seed, report);
            while let Some(report) = waiting.remove(&turn) {
                hand_over(turn, report);
                turn += 1;
            }
        }
    });
}

/// Prints the table that `tests/hashes` holds every target against: both kinds of crash, early and late.
fn hashes() -> bool {
    for seed in [3, 40, 151, 160] {
        println!("{seed} {:016x}", run(seed, Settings::of_seed(seed)).hash);
    }
    true
}

/// Prints a run line by line.
fn retell(seed: u64, lines: fn(&Report) -> Vec<String>) -> bool {
    let report = run(seed, Settings { lines: true, ..Settings::of_seed(seed) });
    for line in lines(&report) {
        println!("{line}");
    }
    println!("{report}");
    report.violations.is_empty()
}

/// An event in a line that can be read.
fn told(event: &Event) -> String {
    let cause = event.cause.map_or(String::new(), |cause| format!(" after {}", cause.0));
    let mut line = format!("{} #{}{cause} {:?}", event.at, event.id.0, event.kind);
    if let Some((end, _)) = line.char_indices().nth(400) {
        line.truncate(end);
    }
    line
}
