//! Points in time of the one clock that pmtr uses.
//!
//! The clock is `CLOCK_BOOTTIME` (clock_gettime(2)): it cannot be set, and goes
//! on while the machine is suspended. Time is always handed in; only
//! `sys::clock` reads it.

#![forbid(unsafe_code)]

use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since the machine booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The moment of booting; due, whatever the time is.
    pub const BOOT: Instant = Instant(0);

    /// The instant `nanos` nanoseconds after booting.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// The instant `secs` seconds after booting.
    pub const fn from_secs(secs: u64) -> Self {
        Instant(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since booting.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The same moment on a clock that is `nanos` nanoseconds ahead of this one's.
    pub const fn on_clock(self, nanos: i64) -> Self {
        Instant(self.0.saturating_add_signed(nanos))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates: the end of time, 584 years after booting, is never reached.
impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, delay: Duration) -> Instant {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}
