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
use nix::sys::prctl::{get_pdeathsig, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal};
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

/// Undoes what execve(2) has kept for pmtr: an ignored SIGCHLD, for which the kernel reaps children
/// by itself (wait(2)), and timers that go off some day (setitimer(2)). Makes writing to a pipe that
/// nobody reads, and above the limit on the size of files, an error only.
pub fn sanitise() {
    for signal in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        disposition::ignore(signal as i32);
    }
    disposition::make_default_one(Signal::SIGCHLD as i32);
    let timers = [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF];
    let signals = [Signal::SIGALRM, Signal::SIGVTALRM, Signal::SIGPROF];
    for (timer, signal) in timers.into_iter().zip(signals) {
        disarm(timer as libc::c_long);
        // A pending one is forgotten when it is ignored.
        if disposition::ignore(signal as i32) {
            disposition::make_default_one(signal as i32);
        }
    }
}

fn disarm(timer: libc::c_long) {
    // SAFETY: all zeros is a time.
    let never: libc::itimerval = unsafe { core::mem::zeroed() };
    let old = core::ptr::null_mut::<libc::itimerval>();
    // SAFETY: the kernel reads a time, and writes nothing to a null pointer.
    unsafe { libc::syscall(libc::SYS_setitimer, timer, &never, old) };
}

/// Lets all signals in: for a process that reads none, and that Ctrl-C is to end.
pub fn unblock_all() {
    // It fails for no set.
    let _ = SigSet::empty().thread_set_mask();
}

/// Has the death of the parent (`PR_SET_PDEATHSIG`, prctl(2)) stop the jobs, too: a signal for it that
/// pmtr does not hear, such as SIGKILL, becomes SIGTERM.
pub fn hear_of_parents_death() {
    let asked = get_pdeathsig().ok().flatten();
    if asked.is_some_and(|signal| !HEARD.contains(&signal) || signal == Signal::SIGCHLD) {
        // It fails for no signal that there is.
        let _ = set_pdeathsig(Signal::SIGTERM);
    }
}

/// Makes the signals that mean nothing have no effect from now on. For start-up.
pub fn ignore_others() {
    others().for_each(|signal| {
        disposition::ignore(signal);
    });
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

/// The signals that mean nothing.
fn others() -> impl Iterator<Item = i32> {
    let is_other = |signal: &i32| HEARD.iter().all(|&heard| heard as i32 != *signal);
    (1..=libc::SIGRTMAX()).filter(is_other)
}

/// Makes signals that mean nothing have no effect. One that is blocked is kept even so: these are let in.
fn let_others_in() {
    // SAFETY: all zeros is a set, which is emptied before it is used.
    let mut let_in: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: a set of ours.
    unsafe { libc::sigemptyset(&mut let_in) };
    // What the kernel does not let go (SIGKILL, SIGSTOP) stays as it is.
    for signal in others().filter(|&signal| disposition::ignore(signal)) {
        // SAFETY: a set of ours, and a signal that there is.
        unsafe { libc::sigaddset(&mut let_in, signal) };
    }
    // SAFETY: reads the set, and writes nothing to a null pointer.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &let_in, core::ptr::null_mut()) };
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
