//! Every developer command of the project. CI runs the same ones.

mod bench;
mod crates;
mod docs;
mod layers;
mod lint;
mod parts;
mod runner;
mod seeds;
mod serve;
mod setup;

use std::process::ExitCode;

use runner::Outcome;

/// A command: its name, its arguments, what it does, and what carries it out.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Outcome,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        arguments: "[TRUNK OPTION]...",
        about: "Build the page and serve it; prints the address",
        run: serve::run,
    },
    Command {
        name: "test",
        arguments: "[--strict] [PART]...",
        about: "Run the tests, all parts or those named; --strict fails where a part cannot run",
        run: parts::run,
    },
    Command {
        name: "lint",
        arguments: "",
        about: "Formatting, clippy with the bans of crates/clippy.toml, licences, sources, duplicate crates",
        run: lint::run,
    },
    Command { name: "layers", arguments: "", about: "Check who uses whom", run: layers::run },
    Command {
        name: "sim",
        arguments: "seed N | seeds COUNT [FROM]",
        about: "Replay one simulated run, or many on all cores",
        run: parts::sim,
    },
    Command {
        name: "oracle",
        arguments: "[--record] [TRANSCRIPT]...",
        about: "Play requests to Apache Kafka and to us, and compare the answers; --record commits Kafka's",
        run: parts::oracle,
    },
    Command {
        name: "suites",
        arguments: "[--ours] [SUITE[:TEST]]...",
        about: "Play test suites of others to Apache Kafka and to us, and write docs/SUITES.md; `suites help` lists them",
        run: parts::suites,
    },
    Command {
        name: "bench",
        arguments: "[NAME]...",
        about: "Print how fast this is, as ratios to peers measured in the same run; `bench help` lists the names",
        run: bench::run,
    },
    Command {
        name: "kills",
        arguments: "[COUNT]",
        about: "`kill -9` a broker with files under load COUNT (100) times: nothing acknowledged is lost",
        run: parts::kills,
    },
    Command {
        name: "fuzz",
        arguments: "[SECONDS | keep] [TARGET]...",
        about: "Run the fuzz targets, each for SECONDS (60), or keep what they found; needs a nightly toolchain",
        run: parts::fuzz,
    },
    Command {
        name: "docs",
        arguments: "[--check]",
        about: "Write the documents that are made from code; --check only compares",
        run: docs::run,
    },
    Command { name: "help", arguments: "", about: "Print this", run: help },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = arguments.split_first().map_or(("help", &[][..]), |(name, rest)| (name.as_str(), rest));
    let name = if matches!(name, "-h" | "--help") { "help" } else { name };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("There is no command `{name}`. `cargo xtask help` lists them.");
        return ExitCode::from(2);
    };
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\ncargo xtask {name}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn help(_: &[String]) -> Outcome {
    println!("cargo xtask COMMAND\n");
    for Command { name, arguments, about, .. } in COMMANDS {
        println!("  {:<32} {about}", format!("{name} {arguments}"));
    }
    println!("\nParts of `test`:\n");
    for part in parts::PARTS {
        println!("  {:<32} {}", part.name, part.about);
    }
    Ok(())
}
