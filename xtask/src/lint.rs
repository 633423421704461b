//! Formatting, clippy, and what the dependencies are allowed to be.
//!
//! The dependency rules are read from `cargo metadata`: a hundred lines here instead of a tool that takes longer to
//! build than the project. Security advisories are asked of cargo-deny where it is installed, because their database
//! has to be reached anyway.

use crate::crates::{Package, duplicates, packages};
use crate::runner::{Outcome, Run, root};
use crate::setup;

/// Licences whose terms the project can keep; one of a crate's alternatives has to be here.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that are there more than once, and who brings the older one.
const DUPLICATES: &[(&str, &str)] = &[
    ("getrandom", "gloo wants 0.2, builds of C code 0.4"),
    ("syn", "macros of yew want 1, of pin-project 2, of serde 3; none of it is in what we ship"),
    ("thiserror", "gloo wants 1, postcard 2"),
    ("thiserror-impl", "as thiserror"),
];

/// A workspace of its own, which no other part of the test command builds.
struct Apart {
    directory: &'static str,
    options: &'static str,
    /// What keeps the build scripts of dependencies from compiling libFuzzer and librdkafka: clippy links nothing.
    settings: &'static [(&'static str, &'static str)],
}

const APART: &[Apart] = &[
    Apart { directory: "fuzz", options: "", settings: &[("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a")] },
    Apart {
        directory: "bench",
        options: "",
        settings: &[("CARGO_FEATURE_STATIC_EXTERNAL", "1"), ("DEP_LIBRDKAFKA_STATIC_ROOT", "/nowhere")],
    },
    Apart { directory: "bench/wasm", options: "", settings: &[] },
    Apart { directory: "bench/wasm", options: "--lib --target wasm32-unknown-unknown", settings: &[] },
];

/// The crates that only a browser can run.
const BROWSER_CRATES: &[&str] = &["kafka-shore", "shore-web", "shore-js"];

pub fn run(_: &[String]) -> Outcome {
    Run::line("cargo fmt --all --check").go().map_err(|why| format!("{why}; run `cargo fmt --all`"))?;
    dependencies()?;
    clippy()?;
    clippy_apart()
}

fn clippy() -> Outcome {
    let packages = packages()?;
    let excluded = BROWSER_CRATES.iter().flat_map(|name| ["--exclude", name]);
    Run::line("cargo clippy --locked --quiet --workspace --all-targets")
        .args(excluded)
        .args(["--", "-D", "warnings"])
        .go()?;
    setup::wasm_target()?;
    let present = BROWSER_CRATES.iter().filter(|name| packages.iter().any(|package| package.name == **name));
    Run::line("cargo clippy --locked --quiet --all-targets --target wasm32-unknown-unknown")
        .args(present.flat_map(|name| ["-p", name]))
        .args(["--", "-D", "warnings"])
        .go()
}

fn clippy_apart() -> Outcome {
    let target = root().join("target/apart");
    for Apart { directory, options, settings } in APART {
        Run::line("cargo fmt --check").within(directory).go().map_err(|why| format!("{why}; run `cargo fmt` there"))?;
        let clippy = Run::line("cargo clippy --locked --quiet").args(options.split_whitespace()).within(directory);
        let clippy = settings.iter().fold(clippy, |run, (name, value)| run.env(name, value));
        clippy.env("CARGO_TARGET_DIR", &target).args(["--", "-D", "warnings"]).go()?;
    }
    Ok(())
}

fn dependencies() -> Outcome {
    let packages = packages()?;
    let theirs: Vec<&Package> = packages.iter().filter(|package| !package.is_ours()).collect();
    let mut wrong = Vec::new();
    for package in &theirs {
        let Package { name, version, .. } = package;
        let licence = package.license.as_deref().unwrap_or("none");
        if !is_allowed(licence) {
            wrong.push(format!("{name} {version} has the licence {licence}"));
        }
        if package.source.as_deref() != Some(SOURCE) {
            wrong.push(format!("{name} {version} comes from {}", package.source.as_deref().unwrap_or("nowhere")));
        }
    }
    for (name, versions) in duplicates()? {
        if !DUPLICATES.iter().any(|(known, _)| *known == name) {
            wrong.push(format!("{name} is there as {}", versions.join(" and ")));
        }
    }
    if setup::find("cargo-deny").is_some() {
        Run::line("cargo deny check advisories").go()?;
    } else {
        println!("lint: advisories were not checked (`cargo install cargo-deny` to have them checked)");
    }
    if wrong.is_empty() {
        println!("lint: {} crates, their licences and sources are allowed", theirs.len());
        return Ok(());
    }
    Err(format!("dependencies:\n  {}", wrong.join("\n  ")))
}

/// Whether one of a licence expression's alternatives holds only licences that are allowed.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" OR ").any(|alternative| alternative.split(" AND ").all(|licence| LICENCES.contains(&licence.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions() {
        let cases = [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT/Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("none", false),
        ];
        for (expression, allowed) in cases {
            assert_eq!(is_allowed(expression), allowed, "{expression}");
        }
    }
}
