//! The parts of the test command. Each does its own set-up; one that cannot run here says why and is skipped, or
//! fails under `--strict`.

use std::time::Instant;

use crate::runner::{Outcome, Run};
use crate::{docs, layers, lint, seeds, serve, setup};

pub struct Part {
    pub name: &'static str,
    pub about: &'static str,
    /// Brings what the part needs; an error is the reason to skip it.
    prepare: fn() -> Outcome,
    run: fn(strict: bool) -> Outcome,
}

pub const PARTS: &[Part] = &[
    Part { name: "layers", about: "Who uses whom", prepare: nothing, run: |_| layers::run(&[]) },
    Part {
        name: "lint",
        about: "Formatting, clippy, dependencies, documents made from code",
        prepare: setup::wasm_target,
        run: |_| lint::run(&[]).and_then(|()| docs::run(&["--check".to_owned()])),
    },
    Part {
        name: "unit",
        about: "Every native test, and 48 of the simulated runs as a debug build runs them",
        prepare: nothing,
        run: unit,
    },
    Part {
        name: "seeds",
        about: "2,000 simulated runs with crashes, torn writes, dropped answers, and disks and links at fault",
        prepare: nothing,
        run: |_| sim(&["seeds".to_owned(), "2000".to_owned()]),
    },
    Part { name: "wasm", about: "The core in Node and in Chromium, compiled to wasm", prepare: wasm_tools, run: wasm },
    Part {
        name: "npm",
        about: "The npm package: its tests, and its tarball in five homes",
        prepare: npm_tools,
        run: npm,
    },
    Part {
        name: "oracle",
        about: "Our answers to tests/oracle/transcripts against those of Apache Kafka that are committed",
        prepare: node,
        run: |_| oracle(&["--committed".to_owned()]),
    },
    Part { name: "clients", about: "Real Kafka clients against `shore serve`", prepare: node, run: clients },
    Part {
        name: "suites",
        about: "Test suites of others, our side of a part of them",
        prepare: node,
        run: suites_subset,
    },
    Part { name: "web", about: "Journeys through the page in Chromium", prepare: web_tools, run: web },
];

/// `cargo xtask test [--strict] [PART]...`
pub fn run(arguments: &[String]) -> Outcome {
    let strict = arguments.iter().any(|argument| argument == "--strict");
    let names: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != "--strict").collect();
    if let Some(unknown) = names.iter().find(|name| !PARTS.iter().any(|part| part.name == **name)) {
        let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        return Err(format!("there is no part `{unknown}`; the parts are {}", known.join(", ")));
    }
    let chosen = PARTS.iter().filter(|part| names.is_empty() || names.contains(&part.name));
    let mut report = Vec::new();
    let mut failed = false;
    for part in chosen {
        println!("\n=== {}: {}", part.name, part.about);
        let start = Instant::now();
        let (verdict, bad) = match (part.prepare)() {
            Err(why) => (format!("SKIPPED: {why}"), strict),
            Ok(()) => match (part.run)(strict) {
                Ok(()) => ("passed".to_owned(), false),
                Err(why) => (format!("FAILED: {why}"), true),
            },
        };
        failed |= bad;
        report.push(format!("{:<8} {:>4} s  {verdict}", part.name, start.elapsed().as_secs()));
    }
    println!("\n{}", report.join("\n"));
    if failed { Err("not every part passed".to_owned()) } else { Ok(()) }
}

fn nothing() -> Outcome {
    Ok(())
}

fn unit(_: bool) -> Outcome {
    Run::line("cargo test --locked --quiet --workspace --exclude kafka-shore --exclude shore-js").go()
}

pub fn wasm_tools() -> Outcome {
    setup::wasm_target()?;
    setup::wasm_bindgen()?;
    node()?;
    setup::chromium()
}

/// Test binaries are for Node or for a browser: those of the core run in Node, and those whose name begins with
/// `browser` in Chromium. Their runner does not know `--quiet`.
fn wasm(_: bool) -> Outcome {
    let driver = setup::find("chromedriver").unwrap_or_default();
    let test = |line: &str| {
        Run::line("cargo test --locked --target wasm32-unknown-unknown")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner")
            .env("CHROMEDRIVER", &driver)
            .env("WASM_BINDGEN_TEST_TIMEOUT", "300")
            .args(line.split_whitespace())
            .go()
    };
    test("-p shore-wire --lib")?;
    test("-p shore-check --test node")?;
    test("-p shore-check --test browser")?;
    test("-p shore-web --test store")
}

fn npm_tools() -> Outcome {
    wasm_tools()?;
    setup::wasm_opt()?;
    setup::npm_packages("js")
}

fn npm(strict: bool) -> Outcome {
    Run::line("npm test --").args(strict.then_some("--strict")).within("js").go()
}

fn node() -> Outcome {
    setup::require("node", "install Node.js 18 or newer (https://nodejs.org)")
}

/// `cargo xtask oracle [OPTION] [TRANSCRIPT]...`: tests/oracle/README.md tells of the options.
pub fn oracle(arguments: &[String]) -> Outcome {
    node()?;
    Run::line("cargo build --locked --quiet -p shore").go()?;
    Run::line("node tests/oracle/run.mjs").args(arguments).go()
}

/// Says itself which clients it skips for want of a toolchain.
fn clients(strict: bool) -> Outcome {
    Run::line("cargo build --locked --quiet --release -p shore").go()?;
    Run::line("node tests/clients/run.mjs").args(strict.then_some("--strict")).go()
}

/// `cargo xtask suites [OPTION] [SUITE[:TEST]]...`: tests/suites/README.md tells of the options.
pub fn suites(arguments: &[String]) -> Outcome {
    node()?;
    Run::line("cargo build --locked --quiet --release -p shore").go()?;
    Run::line("node tests/suites/run.mjs").args(arguments).go()
}

/// Says itself which suites it skips for want of a tool.
fn suites_subset(strict: bool) -> Outcome {
    let options = ["--ours", "--subset"].into_iter().chain(strict.then_some("--strict"));
    suites(&options.map(str::to_owned).collect::<Vec<_>>())
}

fn web_tools() -> Outcome {
    serve::prepare()?;
    setup::npm_packages("tests/web")?;
    setup::chromium()
}

fn web(_: bool) -> Outcome {
    Run::line("trunk build --release").go()?;
    // A copy that the page saves is a directory for it.
    Run::line("cargo build --locked --quiet -p shore").go()?;
    Run::line("node tests/web/run.mjs").go()
}

/// `cargo xtask sim seed N | seeds COUNT [FROM]`
pub fn sim(arguments: &[String]) -> Outcome {
    Run::line("cargo run --locked --quiet --profile sim -p shore-check --").args(arguments).go()
}

/// `cargo xtask kills [COUNT]`
pub fn kills(arguments: &[String]) -> Outcome {
    let count = arguments.first().map_or("100", String::as_str);
    if !count.parse::<u32>().is_ok_and(|count| count > 0) {
        return Err(format!("`{count}` is no number of kills"));
    }
    Run::line("cargo test --locked --quiet -p shore --test it crash -- --nocapture").env("SHORE_KILLS", count).go()
}

/// `cargo xtask fuzz [SECONDS | keep] [TARGET]...`
pub fn fuzz(arguments: &[String]) -> Outcome {
    if setup::find("cargo-fuzz").is_none() {
        println!("Installing cargo-fuzz (2 minutes, once)");
        Run::line("cargo install --locked cargo-fuzz").go()?;
    }
    if !Run::line("rustc +nightly --version").succeeds() {
        return Err("fuzzing needs a nightly toolchain; run `rustup toolchain install nightly`".to_owned());
    }
    let (seconds, targets) = match arguments.split_first() {
        Some((first, rest)) if first == "keep" || first.parse::<u32>().is_ok() => (first.as_str(), rest),
        _ => ("60", arguments),
    };
    let all = Run::line("cargo +nightly fuzz list").output()?;
    let known: Vec<&str> = all.split_whitespace().collect();
    if let Some(unknown) = targets.iter().find(|target| !known.contains(&target.as_str())) {
        return Err(format!("there is no fuzz target `{unknown}`; there are {}", known.join(", ")));
    }
    seeds::write()?;
    for target in known.iter().filter(|name| targets.is_empty() || targets.iter().any(|target| target == *name)) {
        if seconds == "keep" {
            Run::line("cargo +nightly fuzz cmin").args([*target]).go()?;
            seeds::keep(target)?;
        } else {
            Run::line("cargo +nightly fuzz run").args([*target, "--", &format!("-max_total_time={seconds}")]).go()?;
        }
    }
    Ok(())
}
