//! The cluster behind a handful of functions, for the npm package.
//!
//! A host collects what happened, hands it over as one buffer, and gets everything that follows back
//! as one buffer: one crossing per turn, however many connections there are.

mod cluster;
mod connection;
mod inputs;
mod options;
mod outputs;
mod panics;

use wasm_bindgen::prelude::*;

/// One cluster of one node.
#[wasm_bindgen]
pub struct Cluster(cluster::Cluster);

#[wasm_bindgen]
impl Cluster {
    /// `wall_offset` is what the wall clock read, in milliseconds, when the cluster's time was zero.
    #[wasm_bindgen(constructor)]
    pub fn new(options: Vec<u8>, wall_offset: f64) -> Result<Cluster, String> {
        panics::keep();
        let options = options::decode(options.into())?;
        Ok(Self(cluster::Cluster::new(options, wall(wall_offset))))
    }

    /// Takes the inputs at `now`, in microseconds of the cluster's own time.
    pub fn turn(&mut self, now: f64, wall_offset: f64, inputs: Vec<u8>) -> Result<Vec<u8>, String> {
        self.0.turn(shore_base::Instant::from_micros(now as u64), wall(wall_offset), inputs.into())
    }

    /// Starts another node over the files that are kept in memory.
    pub fn restart(&mut self, options: Vec<u8>, wall_offset: f64) -> Result<(), String> {
        self.0.restart(options::decode(options.into())?, wall(wall_offset));
        Ok(())
    }
}

fn wall(millis: f64) -> shore_base::Wall {
    shore_base::Wall::from_millis(millis as i64)
}

/// What the last panic said. A cluster that panicked is not to be used again; others of the same
/// instance go on.
#[wasm_bindgen]
pub fn take_panic() -> Option<String> {
    panics::take()
}
