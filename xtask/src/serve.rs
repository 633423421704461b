//! `cargo xtask serve`: the page, built and served by Trunk.

use crate::runner::{Outcome, Run};
use crate::setup;

pub fn run(arguments: &[String]) -> Outcome {
    prepare()?;
    println!("Building the page (two minutes the first time), then serving it; Ctrl-C ends it");
    Run::line("trunk serve --release").args(arguments).go()
}

/// What Trunk needs to build the page.
pub fn prepare() -> Outcome {
    setup::wasm_target()?;
    setup::trunk()?;
    setup::wasm_bindgen()?;
    setup::wasm_opt()
}
