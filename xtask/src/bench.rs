//! `cargo xtask bench [--rounds N] [--megabytes N] [NAME]...`: how fast this is, as one table of ratios to peers that
//! were measured in the same run. The benchmarks live in workspaces of their own, because the peers of some are C and
//! Java; each prints rows of the table and says on stderr how far it is.

use crate::runner::{Outcome, Run};
use crate::{parts, setup};

struct Bench {
    name: &'static str,
    about: &'static str,
    /// Runs it with these options and returns its rows.
    run: fn(&Options) -> Outcome<String>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "start",
        about: "How soon `shore serve` is ready, and what it holds then",
        run: |options| brokers("start", options),
    },
    Bench {
        name: "produce",
        about: "librdkafka producing to `shore serve`, to its own mock broker, to tansu and to Apache Kafka",
        run: |options| brokers("produce", options),
    },
    Bench {
        name: "consume",
        about: "librdkafka consuming from `shore serve`, from tansu and from Apache Kafka",
        run: |options| brokers("consume", options),
    },
    Bench {
        name: "send",
        about: "kafkajs awaiting every send to `shore serve`, to librdkafka's mock broker and to Apache Kafka",
        run: |options| setup::npm_packages("tests/clients/kafkajs").and_then(|()| brokers("send", options)),
    },
    Bench {
        name: "java",
        about: "ProducerPerformance and ConsumerPerformance, on `shore serve` and on Apache Kafka, both with files",
        run: |options| brokers("java", options),
    },
    Bench {
        name: "wasm",
        about: "A whole node appending, in WebAssembly under Node to natively",
        run: |options| wasm("wasm", options),
    },
    Bench {
        name: "growth",
        about: "How costs grow with records, partitions and members of a group, as exponents",
        run: |options| core("growth", options),
    },
    Bench {
        name: "tab",
        about: "A node in Chromium appending to IndexedDB, to plain puts of the same bytes",
        run: tab,
    },
    Bench {
        name: "wire",
        about: "Checksums, batches, messages and codecs, in WebAssembly under Node to natively",
        run: |options| wasm("wire", options),
    },
];

/// Numbers as they were given; each benchmark has its own defaults.
#[derive(Debug, Default, PartialEq)]
struct Options {
    /// How many rounds are measured.
    rounds: Option<String>,
    /// How much goes to each broker in a round.
    megabytes: Option<String>,
}

pub fn run(arguments: &[String]) -> Outcome {
    let (options, names) = parse(arguments)?;
    if names.contains(&"help") {
        println!("cargo xtask bench [--rounds N] [--megabytes N] [NAME]...\n");
        BENCHES.iter().for_each(|bench| println!("  {:<10} {}", bench.name, bench.about));
        return Ok(());
    }
    let mut rows = String::new();
    let chosen = BENCHES.iter().filter(|bench| names.is_empty() || names.contains(&bench.name));
    let outcome = chosen.map(|bench| (bench.run)(&options)).try_for_each(|measured| {
        rows.push_str(&measured?);
        Ok(())
    });
    println!("\n| | ours | peer | ratio | goal |\n|---|---|---|---|---|\n{rows}");
    outcome
}

fn parse(arguments: &[String]) -> Outcome<(Options, Vec<&str>)> {
    let (mut options, mut names) = (Options::default(), Vec::new());
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--rounds" => options.rounds = Some(number(argument, rest.next())?),
            "--megabytes" => options.megabytes = Some(number(argument, rest.next())?),
            "-h" | "--help" | "help" => names.push("help"),
            name if BENCHES.iter().any(|bench| bench.name == name) => names.push(name),
            unknown => {
                let known: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
                return Err(format!("there is no benchmark `{unknown}`; there are {}", known.join(", ")));
            }
        }
    }
    Ok((options, names))
}

fn number(option: &str, given: Option<&str>) -> Outcome<String> {
    let number = given.filter(|text| text.parse::<u32>().is_ok_and(|number| number > 0));
    number.map(str::to_owned).ok_or_else(|| format!("{option} takes a number above 0"))
}

/// Benchmarks of `bench/`, on `shore` as it is released.
fn brokers(name: &str, options: &Options) -> Outcome<String> {
    Run::line("cargo build --locked --release -p shore").go()?;
    let mut run = Run::line("cargo run --locked --quiet --release --manifest-path bench/Cargo.toml --");
    run = run.args(options.rounds.iter().flat_map(|rounds| ["--rounds", rounds]));
    run = run.args(options.megabytes.iter().flat_map(|megabytes| ["--megabytes", megabytes]));
    run.args([name]).stdout()
}

/// Benchmarks of `bench/wasm` in Node.
fn wasm(name: &str, options: &Options) -> Outcome<String> {
    build_wasm("nodejs", "node", "target/node")?;
    build_wasm("nodejs", "web", "target/browser")?;
    core(name, options)
}

/// The native half of `bench/wasm`, which starts the other where a benchmark has two sides.
fn core(name: &str, options: &Options) -> Outcome<String> {
    let run = Run::line("cargo run --locked --quiet --release --").within("bench/wasm");
    run.args(options.rounds.iter().flat_map(|rounds| ["--rounds", rounds])).args([name]).stdout()
}

fn tab(options: &Options) -> Outcome<String> {
    build_wasm("web", "web", "target/web-page")?;
    setup::npm_packages("tests/web")?;
    Run::line("node tests/web/bench.mjs bench/wasm/target/web-page").args(&options.rounds).stdout()
}

/// Builds the WebAssembly half as the npm package is built, through wasm-opt (`js/scripts/build.mjs`); names are kept.
fn build_wasm(target: &str, profile: &str, directory: &str) -> Outcome {
    parts::wasm_tools()?;
    setup::wasm_opt()?;
    let build = Run::line("cargo build --locked --lib --target wasm32-unknown-unknown --profile").args([profile]);
    build.within("bench/wasm").go()?;
    let built = format!("target/wasm32-unknown-unknown/{profile}/bench_wasm.wasm");
    let bindgen = ["--target", target, "--out-dir", directory, &built];
    Run::new("wasm-bindgen").args(bindgen).within("bench/wasm").go()?;
    let wasm = format!("{directory}/bench_wasm_bg.wasm");
    let level = if profile == "node" { "-O3" } else { "-O1" };
    Run::new("wasm-opt").args([level, "-g", &wasm, "-o", &wasm]).within("bench/wasm").go()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Outcome<(Options, Vec<String>)> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let (options, names) = parse(&arguments)?;
        Ok((options, names.into_iter().map(str::to_owned).collect()))
    }

    #[test]
    fn options_and_names_come_in_any_order() {
        let options = Options { rounds: Some("3".to_owned()), megabytes: None };
        assert_eq!(parsed("tab --rounds 3 wire"), Ok((options, vec!["tab".to_owned(), "wire".to_owned()])));
        assert_eq!(parsed(""), Ok((Options::default(), Vec::new())));
        assert_eq!(parsed("--help"), Ok((Options::default(), vec!["help".to_owned()])));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, expected) in [
            (
                "tabs",
                "there is no benchmark `tabs`; there are start, produce, consume, send, java, wasm, growth, tab, wire",
            ),
            ("--rounds", "--rounds takes a number above 0"),
            ("--rounds 0 tab", "--rounds takes a number above 0"),
            ("--megabytes tab", "--megabytes takes a number above 0"),
        ] {
            assert_eq!(parsed(line), Err(expected.to_owned()));
        }
    }
}
