//! Reads the one clock (clock_gettime(2), `CLOCK_BOOTTIME`).

use crate::time::Instant;
use nix::time::{clock_gettime, ClockId};

/// Now. A clock that cannot be read, which no kernel since 2.6.39 has, reads as booting.
pub fn now() -> Instant {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(time) => {
            Instant::from_nanos(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
        }
        Err(_) => Instant::BOOT,
    }
}
