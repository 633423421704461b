//! Who may use whom (docs/ARCHITECTURE.md). Whatever is not allowed here is forbidden.

use crate::crates::{Kind, Package, normal_tree, packages};
use crate::runner::Outcome;

/// Each crate of the workspace with those it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("shore-base", &[]),
    ("shore-wire", &["shore-base"]),
    ("shore-log", &["shore-base", "shore-wire"]),
    ("shore-broker", &["shore-base", "shore-wire", "shore-log"]),
    ("shore-client", &["shore-base", "shore-wire"]),
    ("shore-sim", &["shore-base", "shore-wire", "shore-log", "shore-broker", "shore-client"]),
    ("shore-check", &["shore-base", "shore-wire", "shore-log", "shore-broker", "shore-client", "shore-sim"]),
    ("shore-view", &["shore-base", "shore-wire", "shore-log", "shore-broker", "shore-client", "shore-sim"]),
    ("shore-web", &["shore-base", "shore-wire", "shore-log", "shore-broker", "shore-client", "shore-sim"]),
    ("shore", &["shore-base", "shore-wire", "shore-log", "shore-broker", "shore-client", "shore-sim"]),
    ("shore-js", &["shore-base", "shore-wire", "shore-log", "shore-broker", "shore-client", "shore-sim", "shore-web"]),
    (
        "kafka-shore",
        &[
            "shore-base",
            "shore-wire",
            "shore-log",
            "shore-broker",
            "shore-client",
            "shore-sim",
            "shore-view",
            "shore-web",
        ],
    ),
];

/// Crates that do no I/O, on any target.
const SANS_IO: &[&str] = &[
    "shore-base",
    "shore-wire",
    "shore-log",
    "shore-broker",
    "shore-client",
    "shore-sim",
    "shore-check",
    "shore-view",
];

/// What brings a browser, an operating system, an executor or entropy with it.
const BANNED_BELOW_HOSTS: &[&str] = &[
    "async-std",
    "futures",
    "getrandom",
    "gloo",
    "js-sys",
    "mio",
    "polling",
    "rand",
    "smol",
    "socket2",
    "tokio",
    "wasm-bindgen",
    "wasm-bindgen-futures",
    "web-sys",
    "web-time",
    "yew",
];

pub fn run(_: &[String]) -> Outcome {
    let mut wrong = forbidden_edges(&packages()?);
    for name in SANS_IO {
        for used in normal_tree(name)? {
            if BANNED_BELOW_HOSTS.contains(&used.as_str()) {
                wrong.push(format!("{name} reaches {used}: only hosts may"));
            }
        }
    }
    if wrong.is_empty() {
        println!("layers: every crate uses only what it may");
        return Ok(());
    }
    Err(format!("forbidden:\n  {}", wrong.join("\n  ")))
}

/// Every dependency between crates of the workspace that [`MAY_USE`] does not allow. Tests may use what the code may,
/// and `shore-check`, which exists for them.
fn forbidden_edges(packages: &[Package]) -> Vec<String> {
    let ours = |name: &str| packages.iter().any(|package| package.is_ours() && package.name == name);
    let mut wrong = Vec::new();
    for package in packages.iter().filter(|package| package.is_ours() && package.name != "xtask") {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
            wrong.push(format!("{} has no place in the layers", package.name));
            continue;
        };
        for (used, kind) in package.dependencies.iter().filter(|(used, _)| ours(used)) {
            let for_tests = *kind == Kind::Dev && (used == "shore-check" || used == &package.name);
            if !allowed.contains(&used.as_str()) && !for_tests {
                wrong.push(format!("{} uses {used}", package.name));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            license: None,
            source: None,
            dependencies: dependencies.iter().map(|(used, kind)| ((*used).to_owned(), *kind)).collect(),
        }
    }

    fn wrong(dependencies: &[(&str, Kind)], user: &str) -> Vec<String> {
        let mut packages: Vec<Package> = MAY_USE.iter().map(|(name, _)| ours(name, &[])).collect();
        packages.retain(|package| package.name != user);
        packages.push(ours(user, dependencies));
        forbidden_edges(&packages)
    }

    #[test]
    fn allowed_edges_pass() {
        assert!(wrong(&[("shore-wire", Kind::Normal), ("shore-log", Kind::Normal)], "shore-broker").is_empty());
        assert!(wrong(&[("shore-check", Kind::Dev)], "shore-broker").is_empty());
    }

    #[test]
    fn forbidden_edges_are_named() {
        let cases = [
            ("shore-client", "shore-broker", Kind::Normal),
            ("shore-broker", "shore-client", Kind::Normal),
            ("shore-client", "shore-broker", Kind::Dev),
            ("shore-wire", "shore-log", Kind::Normal),
            ("shore-sim", "shore-check", Kind::Normal),
            ("shore-view", "shore-web", Kind::Normal),
            ("shore-web", "shore-view", Kind::Build),
        ];
        for (user, used, kind) in cases {
            assert_eq!(wrong(&[(used, kind)], user), [format!("{user} uses {used}")]);
        }
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        assert_eq!(forbidden_edges(&[ours("shore-new", &[])]), ["shore-new has no place in the layers"]);
    }
}
