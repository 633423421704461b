//! Two clocks. [`Instant`] is monotonic and virtual and drives every timer. [`Wall`] is what records
//! are stamped with: an `Instant` plus an offset that only an input can change.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment of virtual time: microseconds since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(u64::MAX);

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// How long after `earlier` this is, or zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_micros().min(u64::MAX as u128) as u64))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_micros().min(u64::MAX as u128) as u64))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Wall-clock milliseconds since 1970, as Kafka stamps records with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(i64);

impl Wall {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The wall clock at `now`, where it read `self` at [`Instant::ZERO`].
    pub const fn at(self, now: Instant) -> Self {
        Self(self.0 + now.as_millis() as i64)
    }

    /// The reading at [`Instant::ZERO`] of a wall clock that reads `self` at `now`.
    pub const fn offset_from(self, now: Instant) -> Self {
        Self(self.0 - now.as_millis() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_follows_virtual_time() {
        let offset = Wall::from_millis(1_700_000_000_000).offset_from(Instant::from_millis(40));
        assert_eq!(offset.at(Instant::from_millis(40)), Wall::from_millis(1_700_000_000_000));
        assert_eq!(offset.at(Instant::from_millis(1_040)), Wall::from_millis(1_700_000_001_000));
    }

    #[test]
    fn instants_saturate_at_both_ends() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::ZERO.since(Instant::MAX), Duration::ZERO);
    }
}
