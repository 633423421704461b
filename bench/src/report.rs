//! Medians and ratios, as rows of the table that `cargo xtask bench` prints.

use crate::peers::{Kind, Peer};

/// What was measured in one case, a round each, for every broker.
pub struct Case {
    name: String,
    unit: &'static str,
    brokers: Vec<(Kind, Vec<f64>)>,
}

impl Case {
    pub fn new(name: String, unit: &'static str, peers: &[Peer]) -> Self {
        Self { name, unit, brokers: peers.iter().map(|peer| (peer.kind, Vec::new())).collect() }
    }

    pub fn round(&mut self, peer: usize, value: f64) {
        self.brokers[peer].1.push(value);
    }

    /// A row for each pair of brokers that both ran.
    pub fn print(mut self, pairs: &[(Kind, Kind, &str)]) {
        let medians: Vec<(Kind, f64)> = self.brokers.iter_mut().map(|(kind, rates)| (*kind, median(rates))).collect();
        let of = |kind: Kind| medians.iter().find(|(other, _)| *other == kind).map(|&(_, rate)| rate);
        for &(ours, theirs, goal) in pairs {
            let (Some(our_rate), Some(their_rate)) = (of(ours), of(theirs)) else { continue };
            let (name, unit, ours, theirs) = (&self.name, self.unit, ours.name(), theirs.name());
            let ratio = our_rate / their_rate;
            println!(
                "| {name}: {ours} to {theirs} | {our_rate:.0} {unit} | {their_rate:.0} {unit} | {ratio:.2}x | {goal} |"
            );
        }
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
