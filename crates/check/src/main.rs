//! Runs seeds from the command line (`cargo xtask sim`): `seed N` one, `seeds COUNT [FROM]` many, `hashes`
//! prints what the replay tests compare with, `trace N` and `events N` tell one run line by line.

#![expect(clippy::disallowed_macros, reason = "a command prints")]

use std::process::ExitCode;

use shore_check::{Report, Settings, run};

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
        ["trace", seed] => number(seed).map(|seed| retell(seed, |report| &report.lines)),
        ["events", seed] => number(seed).map(|seed| retell(seed, |report| &report.story)),
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

/// Runs these seeds. True if nothing was broken.
fn seeds(from: u64, to: u64, each: bool) -> bool {
    let mut broken = 0;
    let (mut crashes, mut acknowledged) = (0, 0);
    for seed in from..to {
        let report = run(seed, Settings::of_seed(seed));
        crashes += report.counts.crashes;
        acknowledged += report.counts.acknowledged;
        if each || !report.violations.is_empty() {
            println!("{report}");
        }
        broken += u64::from(!report.violations.is_empty());
    }
    println!(
        "{} runs, {crashes} crashes, {acknowledged} records acknowledged, {broken} runs broke a promise",
        to - from
    );
    broken == 0
}

/// Prints the table that `tests/hashes` holds every target against: both kinds of crash, early and late.
fn hashes() -> bool {
    for seed in [3, 40, 151, 160] {
        println!("{seed} {:016x}", run(seed, Settings::of_seed(seed)).hash);
    }
    true
}

/// Prints a run line by line.
fn retell(seed: u64, lines: fn(&Report) -> &Vec<String>) -> bool {
    let report = run(seed, Settings { lines: true, ..Settings::of_seed(seed) });
    for line in lines(&report) {
        println!("{line}");
    }
    println!("{report}");
    report.violations.is_empty()
}
