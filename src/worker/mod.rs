//! Runs the cluster, in a Web Worker.

pub fn start() {}
