//! What is measured, the same on every target.

#[cfg(not(target_arch = "wasm32"))]
pub mod growth;
pub mod node;
#[cfg(target_arch = "wasm32")]
mod page;
pub mod wire;

/// A case and what it did in one round.
pub struct Measured {
    pub name: String,
    pub megabytes_per_second: f64,
}

/// One round of a benchmark by its name. `now` is a clock in milliseconds.
pub fn round(bench: &str, now: &dyn Fn() -> f64) -> Vec<Measured> {
    match bench {
        "wire" => wire::round(now),
        "wasm" => node::round(now),
        unknown => panic!("there is no benchmark `{unknown}`"),
    }
}
