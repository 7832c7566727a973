//! What signals do to this process (rt_sigaction(2)).
//!
//! Not sigaction(3), which refuses the few that libc keeps for its threads. To a process whose parent
//! has not ignored these they are as deadly as any other: fork(2) and execve(2) leave them so,
//! posix_spawn(3) does not.

use core::ptr;

use super::std::prelude::v1::*;
use nix::libc::{self, c_long};

/// How many signals there are.
const SIGNALS: c_long = 64;

/// Enough for the kernel's `struct sigaction` of any machine: all zeros is
/// `SIG_DFL`, no flags, and nothing blocked.
type Disposition = [usize; 8];

const DEFAULT: Disposition = [0; 8];

/// The handler comes first on all that pmtr is built for.
const IGNORE: Disposition = [libc::SIG_IGN, 0, 0, 0, 0, 0, 0, 0];

/// A set of signals: bit `n` is signal `n + 1`.
#[derive(Clone, Copy)]
pub(super) struct Signals(u64);

/// Has the kernel drop a signal; whether that can be.
pub(super) fn ignore(signal: i32) -> bool {
    // SAFETY: the kernel reads less than IGNORE has, and writes nothing to a null pointer.
    unsafe { sigaction(signal.into(), &IGNORE, ptr::null_mut()) == 0 }
}

/// The signals whose dispositions are not the default ones in this process.
pub(super) fn disposed() -> Signals {
    let is_disposed = |signal: &c_long| {
        let mut now = DEFAULT;
        // SAFETY: the kernel reads nothing from a null pointer, and writes less than `now` has.
        unsafe { sigaction(*signal, ptr::null(), &mut now) };
        now != DEFAULT
    };
    Signals((1..=SIGNALS).filter(is_disposed).fold(0, |set, signal| set | 1 << (signal - 1)))
}

/// Makes signals do what they do by default. Async-signal-safe.
pub(super) fn make_default(Signals(disposed): Signals) {
    let is_disposed = |signal: &i32| disposed >> (signal - 1) & 1 == 1;
    (1..=SIGNALS as i32).filter(is_disposed).for_each(make_default_one);
}

/// Makes one signal do what it does by default. Async-signal-safe.
pub(super) fn make_default_one(signal: i32) {
    // SAFETY: the kernel reads less than DEFAULT has, and writes nothing to a null pointer.
    unsafe { sigaction(signal.into(), &DEFAULT, ptr::null_mut()) };
}

unsafe fn sigaction(signal: c_long, new: *const Disposition, old: *mut Disposition) -> c_long {
    // SAFETY: as the caller says.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, SIGNALS / 8) }
}
