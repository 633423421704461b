//! What Cargo knows of the workspace and of the crates it uses.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::runner::{Outcome, Run, root};

/// A package: one of ours or a dependency.
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    /// Where it comes from; `None` for the crates of this workspace.
    pub source: Option<String>,
    /// The crates it names, with the kind of the dependency: normal, dev or build.
    pub dependencies: Vec<(String, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Dev,
    Build,
}

impl Package {
    pub fn is_ours(&self) -> bool {
        self.source.is_none()
    }
}

/// Every package of the dependency graph, of all targets.
pub fn packages() -> Outcome<Vec<Package>> {
    let text = Run::line("cargo metadata --format-version 1 --locked").output()?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata["packages"].as_array().into_iter().flatten().map(package).collect())
}

fn package(value: &Value) -> Package {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let dependencies = value["dependencies"].as_array().into_iter().flatten().map(|dependency| {
        let kind = match dependency["kind"].as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        };
        (dependency["name"].as_str().unwrap_or_default().to_owned(), kind)
    });
    Package {
        name: text("name").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        license: text("license"),
        source: text("source"),
        dependencies: dependencies.collect(),
    }
}

/// The version of a crate that Cargo.lock holds.
pub fn locked_version(name: &str) -> Outcome<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    let mut lines = lock.lines();
    let heading = format!("name = \"{name}\"");
    lines
        .find(|line| *line == heading)
        .and_then(|_| lines.next())
        .and_then(|line| line.strip_prefix("version = \""))
        .and_then(|version| version.strip_suffix('"'))
        .map(str::to_owned)
        .ok_or_else(|| format!("Cargo.lock has no crate `{name}`"))
}

/// The normal dependencies of every crate, by name, over all targets, as Cargo resolves them.
pub fn normal_tree(name: &str) -> Outcome<Vec<String>> {
    let tree =
        Run::line("cargo tree --locked --target all -e normal --prefix none --format {p} -p").args([name]).output()?;
    let mut names: Vec<String> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The versions of each crate that is built more than once, over all targets.
pub fn duplicates() -> Outcome<BTreeMap<String, Vec<String>>> {
    let tree = Run::line("cargo tree --locked --workspace --target all -e normal,build,dev --prefix none --format {p}")
        .output()?;
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let known = versions.entry(name.to_owned()).or_default();
        if !known.iter().any(|there| there == version) {
            known.push(version.to_owned());
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    Ok(versions)
}
