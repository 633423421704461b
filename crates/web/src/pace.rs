//! Real time becomes virtual time here. A step is capped, so that a tab which slept, was frozen or sat
//! at a breakpoint slows its cluster down and expires no session.

use shore_base::{Duration, Instant};

/// The most virtual time that one turn adds at speed 1.
pub const MAX_STEP: Duration = Duration::from_millis(250);

/// Follows the host's monotonic clock (`performance.now()`, in microseconds).
#[derive(Clone, Debug)]
pub struct Pace {
    last_real: u64,
    /// Virtual time per real time, in percent.
    percent: u32,
    paused: bool,
}

impl Pace {
    pub fn new(real_micros: u64) -> Self {
        Self { last_real: real_micros, percent: 100, paused: false }
    }

    /// How far the virtual clock moves, now that the real one shows `real_micros`.
    pub fn step(&mut self, real_micros: u64) -> Duration {
        let real = Duration::from_micros(real_micros.saturating_sub(self.last_real)).min(MAX_STEP);
        self.last_real = real_micros;
        if self.paused { Duration::ZERO } else { real * self.percent / 100 }
    }

    /// How long the host may sleep before virtual time is `due`; `None` while it stands still.
    pub fn sleep(&self, now: Instant, due: Instant) -> Option<Duration> {
        if self.paused || self.percent == 0 {
            return None;
        }
        let wait = due.since(now).min(Duration::from_secs(3_600));
        Some((wait * 100 / self.percent).min(MAX_STEP))
    }

    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub fn is_paused(&self) -> bool {
        self.paused
    }

    pub fn set_percent(&mut self, percent: u32) {
        self.percent = percent.clamp(1, 100_000);
    }

    pub fn percent(&self) -> u32 {
        self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_tab_adds_one_step_and_no_more() {
        let mut pace = Pace::new(0);
        assert_eq!(pace.step(16_000), Duration::from_millis(16));
        assert_eq!(pace.step(3_600_000_000), MAX_STEP);
        assert_eq!(pace.step(3_600_010_000), Duration::from_millis(10));
    }

    #[test]
    fn a_clock_that_runs_backwards_stands_still() {
        let mut pace = Pace::new(1_000_000);
        assert_eq!(pace.step(500_000), Duration::ZERO);
    }

    #[test]
    fn speed_scales_and_a_pause_stops() {
        let mut pace = Pace::new(0);
        pace.set_percent(1_000);
        assert_eq!(pace.step(10_000), Duration::from_millis(100));
        pace.set_paused(true);
        assert_eq!(pace.step(20_000), Duration::ZERO);
        assert_eq!(pace.sleep(Instant::ZERO, Instant::from_millis(5)), None);
        pace.set_paused(false);
        assert_eq!(pace.step(30_000), Duration::from_millis(100), "what passed in the pause is not made up for");
    }

    #[test]
    fn sleep_is_in_real_time_and_never_longer_than_a_step() {
        let mut pace = Pace::new(0);
        pace.set_percent(50);
        assert_eq!(pace.sleep(Instant::ZERO, Instant::from_millis(100)), Some(Duration::from_millis(200)));
        assert_eq!(pace.sleep(Instant::ZERO, Instant::MAX), Some(MAX_STEP));
    }
}
