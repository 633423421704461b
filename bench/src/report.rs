//! Medians and ratios.

use crate::peers::{Kind, Peer};

pub struct Table {
    title: String,
    kinds: Vec<Kind>,
    rows: Vec<(String, Vec<f64>)>,
}

impl Table {
    pub fn new<'a>(title: String, peers: impl IntoIterator<Item = &'a Peer>) -> Self {
        Self { title, kinds: peers.into_iter().map(|peer| peer.kind).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, name: String, rounds: Vec<Vec<f64>>) {
        let medians: Vec<f64> = rounds.into_iter().map(|mut rates| median(&mut rates)).collect();
        eprintln!(
            "{}: {name}: {}",
            self.title,
            medians.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ")
        );
        self.rows.push((name, medians));
    }

    /// The medians, and for each pair of brokers that both ran their ratio and its goal.
    pub fn print(&self, goals: &[(Kind, Kind, f64)]) {
        println!("\n{}", self.title);
        let names: String = self.kinds.iter().map(|kind| format!("{:>16}", kind.name())).collect();
        println!("{:<18}{names}", "");
        for (name, medians) in &self.rows {
            println!("{name:<18}{}", medians.iter().map(|rate| format!("{rate:>16.0}")).collect::<String>());
        }
        let at = |kind: Kind| self.kinds.iter().position(|&other| other == kind);
        let known = [
            (Kind::Memory, Kind::Mock),
            (Kind::Files, Kind::Mock),
            (Kind::Kafka, Kind::Mock),
            (Kind::Memory, Kind::Kafka),
            (Kind::Files, Kind::Kafka),
        ];
        for (ours, theirs) in known {
            let (Some(our_column), Some(their_column)) = (at(ours), at(theirs)) else { continue };
            let ratios: Vec<String> = self
                .rows
                .iter()
                .map(|(name, medians)| format!("{name} {:.2}x", medians[our_column] / medians[their_column]))
                .collect();
            let goal = goals.iter().find(|goal| (goal.0, goal.1) == (ours, theirs));
            let goal = goal.map_or(String::new(), |(_, _, goal)| format!("  (goal {goal:.1}x)"));
            println!("{} / {}: {}{goal}", ours.name(), theirs.name(), ratios.join(", "));
        }
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
