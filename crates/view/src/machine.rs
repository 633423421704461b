//! State machines as they are drawn: states at their places, and the ways between them.

/// A state's middle, in units of the drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub state: &'static str,
    /// The words in its box, as they are broken.
    pub lines: &'static [&'static str],
    pub x: f64,
    pub y: f64,
    /// Stands below a state to which no way is drawn: how one comes there.
    pub note: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    pub places: &'static [Place],
    /// Ways that are drawn.
    pub ways: &'static [(&'static str, &'static str)],
    pub width: f64,
    pub height: f64,
}

/// Half the size of a state's box.
pub const HALF: (f64, f64) = (47.0, 17.0);

const fn place(state: &'static str, lines: &'static [&'static str], x: f64, y: f64) -> Place {
    Place { state, lines, x, y, note: "" }
}

const fn dead(x: f64, y: f64, note: &'static str) -> Place {
    Place { note, ..place("Dead", &["Dead"], x, y) }
}

/// A classic group.
pub const GROUP: Machine = Machine {
    places: &[
        place("Empty", &["Empty"], 52.0, 24.0),
        place("PreparingRebalance", &["Preparing", "Rebalance"], 52.0, 102.0),
        place("CompletingRebalance", &["Completing", "Rebalance"], 250.0, 102.0),
        place("Stable", &["Stable"], 250.0, 24.0),
        dead(250.0, 172.0, "when it is deleted"),
    ],
    ways: &[
        ("Empty", "PreparingRebalance"),
        ("PreparingRebalance", "Empty"),
        ("PreparingRebalance", "CompletingRebalance"),
        ("CompletingRebalance", "PreparingRebalance"),
        ("CompletingRebalance", "Stable"),
        ("Stable", "PreparingRebalance"),
    ],
    width: 302.0,
    height: 206.0,
};

/// A transactional id.
pub const TRANSACTION: Machine = Machine {
    places: &[
        place("Empty", &["Empty"], 52.0, 92.0),
        place("Ongoing", &["Ongoing"], 176.0, 92.0),
        place("PrepareCommit", &["Prepare", "Commit"], 176.0, 20.0),
        place("CompleteCommit", &["Complete", "Commit"], 52.0, 20.0),
        place("PrepareAbort", &["Prepare", "Abort"], 176.0, 164.0),
        place("CompleteAbort", &["Complete", "Abort"], 52.0, 164.0),
        place("PrepareEpochFence", &["Prepare", "EpochFence"], 296.0, 128.0),
        dead(296.0, 38.0, "when it expires"),
    ],
    ways: &[
        ("Empty", "Ongoing"),
        ("Ongoing", "PrepareCommit"),
        ("Ongoing", "PrepareAbort"),
        ("Ongoing", "PrepareEpochFence"),
        ("PrepareEpochFence", "PrepareAbort"),
        ("PrepareCommit", "CompleteCommit"),
        ("PrepareAbort", "CompleteAbort"),
        ("CompleteCommit", "Ongoing"),
        ("CompleteAbort", "Ongoing"),
        ("CompleteCommit", "Empty"),
        ("CompleteAbort", "Empty"),
    ],
    width: 348.0,
    height: 186.0,
};

/// A way as a line from the edge of one box to that of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub from: (f64, f64),
    pub to: (f64, f64),
}

impl Machine {
    pub fn place(&self, state: &str) -> Option<&'static Place> {
        self.places.iter().find(|place| place.state == state)
    }

    /// Where the way lies; two that go there and back lie side by side.
    pub fn line(&self, from: &str, to: &str) -> Option<Line> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let back = self.ways.contains(&(to.state, from.state));
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let long = dx.hypot(dy).max(1.0);
        let aside = if back { 6.0 } else { 0.0 };
        let (ax, ay) = (-dy / long * aside, dx / long * aside);
        let edge = |place: &Place, towards: f64, gap: f64| {
            let (width, height) = (HALF.0 + gap, HALF.1 + gap);
            let share = (width / dx.abs().max(0.001)).min(height / dy.abs().max(0.001));
            (place.x + dx * share * towards + ax, place.y + dy * share * towards + ay)
        };
        Some(Line { from: edge(from, 1.0, 1.0), to: edge(to, -1.0, 3.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shore_broker::group::StateName;
    use shore_broker::txn::TransactionState;

    #[test]
    fn the_ways_of_a_group_are_the_brokers() {
        use StateName::*;
        for from in [Empty, PreparingRebalance, CompletingRebalance, Stable, Dead] {
            for to in [Empty, PreparingRebalance, CompletingRebalance, Stable] {
                let drawn = GROUP.ways.contains(&(from.as_str(), to.as_str()));
                assert_eq!(drawn, from.may_become(to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn the_ways_of_a_transaction_are_the_brokers() {
        for (from, to) in TRANSACTION.ways {
            let state = |name: &str| TransactionState::from_name(name).unwrap_or_else(|| panic!("{name} is a state"));
            assert!(state(from).may_become(state(to)), "{from} to {to}");
        }
    }

    #[test]
    fn everything_lies_within_the_drawing() {
        for machine in [GROUP, TRANSACTION] {
            for place in machine.places {
                assert!(place.x - HALF.0 > 0.0 && place.x + HALF.0 < machine.width, "{}", place.state);
                assert!(place.y - HALF.1 > 0.0 && place.y + HALF.1 < machine.height, "{}", place.state);
                let is_reached = machine.ways.iter().any(|(_, to)| *to == place.state);
                assert_eq!(is_reached, place.note.is_empty(), "{}", place.state);
            }
            for (from, to) in machine.ways {
                let line = machine.line(from, to).expect("both are places");
                assert!((line.from.0 - line.to.0).hypot(line.from.1 - line.to.1) > 8.0, "{from} to {to}");
            }
        }
    }
}
