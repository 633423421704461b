//! Real time, fed to the cluster in bounded steps.
//!
//! A stopped process or a sleeping machine must not expire a session: of a time in which nobody ran,
//! the cluster sees at most one step. Its wall clock is set anew afterwards.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shore_base::Wall;

/// More than this beyond the time it meant to sleep, and the process was not running.
pub const STEP: Duration = Duration::from_millis(250);

pub struct Clock {
    last: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { last: Instant::now() }
    }

    /// How much time passes for the cluster after a sleep that was to last `intended`, and whether time
    /// was left out.
    pub fn step(&mut self, intended: Duration) -> (Duration, bool) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.last);
        self.last = now;
        let limit = intended + STEP;
        (elapsed.min(limit), elapsed > limit)
    }
}

/// The wall clock of this machine.
pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(since.as_millis() as i64)
}
