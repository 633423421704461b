//! How fast a host lets virtual time pass.

use core::time::Duration;

/// The pace of virtual time against real time. The world only keeps it; the host obeys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// Time stands; [`crate::World::step`] moves it from one thing to the next.
    Paused,
    /// Virtual time per 100 of real time: 100 is real time.
    Percent(u32),
    /// From one due thing to the next without waiting.
    Fast,
}

impl Speed {
    pub const REAL_TIME: Self = Self::Percent(100);

    /// How much virtual time passes in `real`; `None` where the host need not wait at all.
    pub fn scale(self, real: Duration) -> Option<Duration> {
        match self {
            Self::Paused => Some(Duration::ZERO),
            Self::Percent(percent) => Some(real * percent / 100),
            Self::Fast => None,
        }
    }
}
