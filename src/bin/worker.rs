//! Runs the cluster, in a Web Worker.

fn main() {
    #[cfg(target_arch = "wasm32")]
    kafka_shore::worker::start();
}
