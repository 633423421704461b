//! Development only: runs of the simulator drawn from a seed, and what must hold in every one of them.

pub mod checker;
pub mod run;
mod wire_watch;

pub use checker::{Checker, Counts, Violation};
pub use run::{Crash, Report, Settings, run};
