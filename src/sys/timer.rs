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

    /// Makes the timer go off at `at`, or never; no system call, and no result, if it
    /// would anyway. After an error it goes off at no time that is known.
    pub fn arm(&mut self, at: Option<Instant>) -> Option<Result<(), Errno>> {
        if self.armed == at {
            return None;
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
        self.armed = if done.is_ok() { at } else { None };
        Some(done)
    }

    /// Takes notice that the timer has gone off.
    pub fn clear(&mut self) -> Result<(), Errno> {
        self.armed = None;
        // If it fails, poll says so again.
        match nix::unistd::read(self.fd.as_fd(), &mut [0; 8]) {
            // It was set again, or has been read.
            Err(Errno::EAGAIN) => Ok(()),
            result => result.map(drop),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
