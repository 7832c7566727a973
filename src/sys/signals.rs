//! Signals as something to read (signalfd(2)).
//!
//! Every signal is blocked for the whole life of the supervisor: none can
//! interrupt it or end it but by being read here, save those that cannot be
//! blocked. The ones without a meaning stay pending for ever.

use super::std::os::fd::{AsFd, BorrowedFd};
use super::std::prelude::v1::*;
use nix::errno::Errno;
use nix::sys::signal::{signal, SigHandler, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGCHLD: some children, any number of them, have ended.
    Reap,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM, SIGINT or SIGQUIT, with its number: stop all jobs and leave.
    Leave(i32),
}

/// Makes writing to a pipe that nobody reads an error only, for the whole process.
pub fn ignore_sigpipe() {
    // SAFETY: nothing of ours runs when a signal is ignored.
    let ignored = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    // It cannot fail: there is such a signal, and it can be ignored.
    let _ = ignored;
}

/// The signals that mean something, ready to be read.
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks all signals and opens the descriptor; close-on-exec, non-blocking.
    pub fn new() -> Result<Self, Errno> {
        SigSet::all().thread_block()?;
        let mut heard = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGHUP] {
            heard.add(signal);
        }
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
            heard.add(signal);
        }
        let fd = SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { fd })
    }

    /// The next one that is pending. An error reads as none: the loop comes back.
    pub fn next(&self) -> Option<Request> {
        let info = self.fd.read_signal().ok().flatten()?;
        let number = info.ssi_signo as i32;
        match Signal::try_from(number) {
            Ok(Signal::SIGCHLD) => Some(Request::Reap),
            Ok(Signal::SIGHUP) => Some(Request::Reload),
            _ => Some(Request::Leave(number)),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
