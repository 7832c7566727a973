//! The one timer, armed only while something is due (timerfd_create(2)).

use super::std::os::fd::{AsFd, BorrowedFd};
use super::std::prelude::v1::*;
use crate::time::Instant;
use core::time::Duration;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A timer on the clock of [`Instant`].
pub struct Timer {
    fd: TimerFd,
    armed: Option<Instant>,
}

impl Timer {
    /// A timer that is not armed; close-on-exec, non-blocking.
    pub fn new() -> Result<Self, Errno> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Timer { fd: TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?, armed: None })
    }

    /// Makes the timer go off at `at`, or never; no system call if it would anyway.
    pub fn arm(&mut self, at: Option<Instant>) {
        if self.armed == at {
            return;
        }
        let done = match at {
            // An all-zero time would disarm the timer: one nanosecond is as much past.
            Some(at) => self.fd.set(
                Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(
                    at.as_nanos().max(1),
                ))),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            ),
            None => self.fd.unset(),
        };
        // After a failure the next turn of the loop tries again.
        self.armed = if done.is_ok() { at } else { None };
    }

    /// Takes notice that the timer has gone off.
    pub fn clear(&mut self) {
        // Reading an expired timer does not block; if it fails, poll says so again.
        let _ = nix::unistd::read(self.fd.as_fd(), &mut [0; 8]);
        self.armed = None;
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
