//! The page. `bin/app.rs` mounts it and `bin/worker.rs` runs the cluster behind it; both are thin, and
//! only a build for the browser has anything in it.

#[cfg(target_arch = "wasm32")]
pub mod ui;
#[cfg(target_arch = "wasm32")]
pub mod worker;

/// A hash of the sources: the page and its worker must be of one build.
#[cfg(target_arch = "wasm32")]
const BUILD: &str = env!("SHORE_BUILD");
