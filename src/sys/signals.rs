//! Signals as something to read (signalfd(2)).
//!
//! Those that mean something are blocked for the whole life of the supervisor, and none of the others
//! can end it, save those that nobody can do anything about. They are ignored and not blocked:
//! each real-time signal that is blocked and pending takes up one of those that its user may have
//! queued (signal(7), `RLIMIT_SIGPENDING`). They are not caught either: pmtr does not wake up for them.

use super::disposition;
use super::std::os::fd::{AsFd, BorrowedFd};
use super::std::prelude::v1::*;
use nix::errno::Errno;
use nix::libc;
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
    /// Blocks the signals that have a meaning, makes the others have no effect, and opens the
    /// descriptor; close-on-exec, non-blocking.
    pub fn new() -> Result<Self, Errno> {
        SigSet::all().thread_block()?;
        let heard = SigSet::from_iter(HEARD);
        let_others_in();
        let fd = SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { fd })
    }

    /// The next one that is pending. After an error the descriptor stays ready.
    pub fn next(&self) -> Result<Option<Request>, Errno> {
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        let number = info.ssi_signo as i32;
        Ok(Some(match Signal::try_from(number) {
            Ok(Signal::SIGCHLD) => Request::Reap,
            Ok(Signal::SIGHUP) => Request::Reload,
            _ => Request::Leave(number),
        }))
    }
}

/// The signals that mean something.
const HEARD: [Signal; 5] =
    [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// Makes signals that mean nothing have no effect. One that is blocked is kept even so: these are let in.
fn let_others_in() {
    // SAFETY: all zeros is a set, which is emptied before it is used.
    let mut others: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: a set of ours.
    unsafe { libc::sigemptyset(&mut others) };
    let is_other = |signal: &i32| HEARD.iter().all(|&heard| heard as i32 != *signal);
    // What the kernel does not let go (SIGKILL, SIGSTOP) stays as it is.
    for signal in
        (1..=libc::SIGRTMAX()).filter(is_other).filter(|&signal| disposition::ignore(signal))
    {
        // SAFETY: a set of ours, and a signal that there is.
        unsafe { libc::sigaddset(&mut others, signal) };
    }
    // SAFETY: reads the set, and writes nothing to a null pointer.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &others, core::ptr::null_mut()) };
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
