//! Finds the tools that a part needs, installs those that are missing, and names the one command to run where it
//! cannot.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::crates::locked_version;
use crate::runner::{Outcome, Run, root};

/// Newer ones want a newer Rust than `rust-toolchain.toml` pins.
const TRUNK: &str = "0.21.14";

/// PATH with the tools of this checkout first.
pub fn search_path() -> OsString {
    let ours = [root().join("target/tools/bin"), root().join("xtask/tools/node_modules/.bin")];
    let theirs = env::var_os("PATH").unwrap_or_default();
    env::join_paths(ours.into_iter().chain(env::split_paths(&theirs))).unwrap_or(theirs)
}

/// Where a program is, if it is on the path.
pub fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// The program, or the one command that brings it.
pub fn require(program: &str, remedy: &str) -> Outcome {
    find(program).map(drop).ok_or_else(|| format!("`{program}` is not there; {remedy}"))
}

pub fn wasm_target() -> Outcome {
    let installed = root_of_target().is_some_and(|directory| directory.is_dir());
    if installed {
        return Ok(());
    }
    println!("Installing the Rust target wasm32-unknown-unknown (half a minute)");
    Run::line("rustup target add wasm32-unknown-unknown")
        .go()
        .map_err(|why| format!("{why}; run `rustup target add wasm32-unknown-unknown`"))
}

fn root_of_target() -> Option<PathBuf> {
    let sysroot = Run::line("rustc --print sysroot").output().ok()?;
    Some(Path::new(sysroot.trim()).join("lib/rustlib/wasm32-unknown-unknown/lib"))
}

pub fn trunk() -> Outcome {
    if find("trunk").is_some() {
        return Ok(());
    }
    println!("Installing Trunk {TRUNK}, which builds and serves the page (5 to 10 minutes, once)");
    let install = format!("cargo install --locked trunk@{TRUNK}");
    Run::line(&install).go().map_err(|why| format!("{why}; run `{install}`"))
}

/// The CLI of exactly the version that Cargo.lock has for the crate: another one refuses to work.
pub fn wasm_bindgen() -> Outcome {
    let wanted = locked_version("wasm-bindgen")?;
    let there = Run::line("wasm-bindgen --version").output().is_ok_and(|text| text.trim().ends_with(&wanted));
    if there && find("wasm-bindgen-test-runner").is_some() {
        return Ok(());
    }
    println!("Installing the wasm-bindgen CLI {wanted} into target/tools (2 to 4 minutes, once)");
    let install = format!("cargo install --root target/tools wasm-bindgen-cli@{wanted}");
    Run::line(&install).go().map_err(|why| format!("{why}; run `{install}` at the root of the checkout"))
}

/// `npm ci` where the packages that the lock file names are not there yet.
pub fn npm_packages(directory: &str) -> Outcome {
    require("npm", "install Node.js 18 or newer (https://nodejs.org)")?;
    let lock = root().join(directory).join("package-lock.json");
    let installed = root().join(directory).join("node_modules/.package-lock.json");
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    if modified(&installed).is_some_and(|then| Some(then) >= modified(&lock)) {
        return Ok(());
    }
    println!("Installing the npm packages of {directory} (seconds)");
    Run::line("npm ci --no-audit --no-fund").within(directory).go()
}

/// wasm-opt, which Trunk's release build calls.
pub fn wasm_opt() -> Outcome {
    if find("wasm-opt").is_some() { Ok(()) } else { npm_packages("xtask/tools") }
}

/// Chromium and its driver, for the tests that need a real browser.
pub fn chromium() -> Outcome {
    const REMEDY: &str = "apt-get install -y chromium chromium-driver";
    if find("chromium").is_some() && find("chromedriver").is_some() {
        return Ok(());
    }
    let is_root = Run::line("id -u").output().is_ok_and(|id| id.trim() == "0");
    if find("apt-get").is_none() || !is_root {
        return Err(format!("Chromium and its driver are not there; as root, run `{REMEDY}`"));
    }
    println!("Installing Chromium and its driver with apt (1 to 2 minutes, once)");
    let apt = |line: &str| Run::line(line).env("DEBIAN_FRONTEND", "noninteractive").go();
    apt("apt-get update -q")
        .and_then(|()| apt("apt-get install -q -y chromium chromium-driver"))
        .map_err(|why| format!("{why}; run `{REMEDY}`"))
}
