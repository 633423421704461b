//! Rows of the table that `cargo xtask bench` prints: each case in WebAssembly under Node, natively, and their ratio.
//!
//! `bench-wasm [--rounds N] [wire|wasm|growth]...`, after the WebAssembly half was built into `target/node` and
//! `target/browser`. Rounds of both sides alternate, each of the one side in a process of its own. Growth is measured
//! natively only.

use std::process::Command;
use std::time::Instant;

use bench_wasm::growth::{self, Growth};
use bench_wasm::{Measured, round};

/// As in `shore`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the WebAssembly is, and which it is: what the npm package loads in Node, and what a browser downloads.
const MODULES: [(&str, &str); 2] = [("node", "wasm built for speed"), ("browser", "wasm built for size")];

/// What is asked of a whole node, as part of native speed, in the order of its cases: small batches and large ones.
const GOALS: [&str; 2] = [">= 0.6x", ">= 0.45x"];

/// What is asked of the exponents.
const FLAT: &str = "about 0";

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut rounds = 7;
    if let Some(at) = arguments.iter().position(|argument| argument == "--rounds") {
        let number = arguments.get(at + 1).and_then(|text| text.parse().ok()).filter(|&number| number > 0);
        rounds = number.unwrap_or_else(|| exit("--rounds takes a number above 0"));
        arguments.drain(at..at + 2);
    }
    for bench in &arguments {
        match bench.as_str() {
            "growth" => grow(rounds),
            bench => MODULES.iter().for_each(|module| compare(bench, *module, rounds)),
        }
    }
}

/// A row for each kind of cost: its exponent, and what the last costs to what the first costs. Of the rounds that of
/// the median exponent.
fn grow(rounds: usize) {
    let start = Instant::now();
    let mut kinds: Vec<Vec<Growth>> = Vec::new();
    for number in 1..=rounds {
        eprintln!("growth: round {number} of {rounds}");
        for (index, growth) in growth::round(&|| start.elapsed().as_secs_f64() * 1e3).into_iter().enumerate() {
            if kinds.len() == index {
                kinds.push(Vec::new());
            }
            kinds[index].push(growth);
        }
    }
    for mut kind in kinds {
        kind.sort_by(|one, other| one.exponent().total_cmp(&other.exponent()));
        let Growth { name, of, .. } = &kind[kind.len() / 2];
        let (exponent, factor) = (kind[kind.len() / 2].exponent(), kind[kind.len() / 2].factor());
        let goal = if *name == growth::COPIED { "" } else { FLAT };
        println!(
            "| growth of what {name} costs, from {of}: exponent, last to first | {exponent:.2} | | {factor:.2}x | {goal} |"
        );
    }
}

fn compare(bench: &str, (module, wasm_name): (&str, &str), rounds: usize) {
    let start = Instant::now();
    let mut cases: Vec<(String, Vec<f64>, Vec<f64>)> = Vec::new();
    for number in 1..=rounds {
        eprintln!("{bench}, {wasm_name}: round {number} of {rounds}");
        let wasm = in_node(bench, module).unwrap_or_else(|why| exit(&why));
        let native = round(bench, &|| start.elapsed().as_secs_f64() * 1e3);
        for (index, (wasm, native)) in wasm.into_iter().zip(native).enumerate() {
            assert_eq!(wasm.name, native.name, "both sides do the same");
            if cases.len() == index {
                cases.push((native.name, Vec::new(), Vec::new()));
            }
            cases[index].1.push(wasm.megabytes_per_second);
            cases[index].2.push(native.megabytes_per_second);
        }
    }
    let goals: &[&str] = if bench == "wasm" { &GOALS } else { &[] };
    let goals = goals.iter().copied().chain(std::iter::repeat(""));
    for ((name, mut wasm, mut native), goal) in cases.into_iter().zip(goals) {
        let (wasm, native) = (median(&mut wasm), median(&mut native));
        let ratio = wasm / native;
        println!(
            "| {name}: {wasm_name}, in Node, to native | {wasm:.0} MB/s | {native:.0} MB/s | {ratio:.2}x | {goal} |"
        );
    }
}

fn in_node(bench: &str, module: &str) -> Result<Vec<Measured>, String> {
    let script = format!("process.stdout.write(require('./target/{module}/bench_wasm.js').round('{bench}'))");
    let node = Command::new("node").args(["-e", &script]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = node.map_err(|error| format!("node: {error}"))?;
    if !output.status.success() {
        return Err(format!("node: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (name, rate) = line.split_once(';')?;
        Some(Measured { name: name.to_owned(), megabytes_per_second: rate.parse().ok()? })
    };
    text.lines().map(|text| line(text).ok_or(format!("not a measurement: {text}"))).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn exit(why: &str) -> ! {
    eprintln!("bench: {why}");
    std::process::exit(2)
}
