//! How a process comes into being (clone(2)): as a copy, or as a guest.
//!
//! A copy (fork(2)) has memory of its own. It may wait and allocate as it likes, but
//! that its memory and its descriptors are copied, and are let go of when it becomes
//! its program, is most of what a start costs.
//!
//! A guest runs in pmtr's memory, on a stack that is lent to it, while pmtr waits until
//! it has become its program or has exited: as after vfork(2). It shares the
//! descriptors, too, until it takes the few that it needs with it ([`leave_files`]).
//! Nothing that it does may take long, so it is for jobs
//!
//! - without `user`, `in`, `out` and `err`: name services and FIFOs are waited for by copies;
//! - without `cpu`, and no nicer than others: it could be kept from running for long;
//! - whose program and `dir` are at hand (see `at_hand`): slow disks, and file systems of
//!   other hosts, which may not answer at all, are waited for by copies, too;
//! - and only if the pipe of failures has room for what all jobs can tell, as pmtr
//!   does not read it meanwhile, and what the process needs has a low number.
//!
//! There are none before Linux 5.16: if a process dumps core there, the kernel ends all that share its
//! memory (core(5)). Somebody's SIGQUIT to a job that is just starting would end pmtr.

use core::ffi::{c_int, c_uint, c_void};

use super::super::std::os::fd::{AsRawFd, BorrowedFd};
use super::super::std::prelude::v1::*;
use super::at_hand::is_at_hand;
use super::child::{self, Start};
use super::limit::LOW_FILES;
use crate::config::JobView;
use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sched::{unshare, CloneFlags};
use nix::sys::utsname::uname;
use nix::unistd::{fork, ForkResult};

/// A sanitizer takes what guests leave on their stack for broken memory: with this variable set, a
/// build has none (`ci/sanitizers`).
const HAS_GUESTS: bool = option_env!("PMTR_ONLY_COPIES").is_none();

/// The first kernel that ends nobody else when a process dumps core.
const FIRST_KERNEL: [u32; 2] = [5, 16];

/// Whether there can be guests at all. For start-up.
pub(super) fn has_guests() -> bool {
    HAS_GUESTS && uname().is_ok_and(|kernel| is_new(kernel.release().as_encoded_bytes()))
}

/// Whether a kernel with this release is one with which there are guests.
fn is_new(release: &[u8]) -> bool {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits
            .iter()
            .fold(0u32, |n, &digit| n.saturating_mul(10).saturating_add((digit - b'0').into()))
    });
    [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)] >= FIRST_KERNEL
}

/// Whether what a process for this job does until it is its program takes no time.
pub(super) fn can_be_guest(job: JobView<'_>) -> bool {
    let opens = job.stdin().or(job.out()).or(job.err());
    let waits = opens.is_some() || job.user().is_some();
    let starves = job.nice() > 0 || !job.cpus().is_empty();
    !waits && !starves && job.dir().map_or(true, is_at_hand) && is_at_hand(job.program())
}

/// Whether a guest takes this descriptor with it, which is so for all that it needs unless pmtr was started
/// with many, or may have only few.
pub(super) fn goes_along(fd: BorrowedFd<'_>) -> bool {
    fd.as_raw_fd() < LOW_FILES
}

/// Starts a guest, which runs on `stack`; returns when it needs that no more.
/// `EINVAL`, `ENOSYS` or `EPERM`: there are no guests here (an emulator, a sandbox).
pub(super) fn guest(start: &Start<'_>, stack: &mut [u8]) -> Result<i32, Errno> {
    const FLAGS: c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // From the end of a page on, as most guests need no more than one.
    let end = stack.as_mut_ptr_range().end;
    let top = end.wrapping_sub(end as usize % 4096).cast();
    let start = (start as *const Start<'_>).cast_mut().cast();
    // SAFETY: the process has the stack for itself, only reads what `start` refers to, and
    // ends, as far as this memory is concerned, before this call does.
    Errno::result(unsafe { libc::clone(enter, top, FLAGS, start) })
}

extern "C" fn enter(start: *mut c_void) -> c_int {
    // SAFETY: what `guest` has been given.
    child::run(unsafe { &*start.cast::<Start<'_>>() })
}

/// Starts a copy.
pub(super) fn copy(start: &Start<'_>) -> Result<i32, Errno> {
    // SAFETY: the supervisor has one thread, so no lock is held by another one.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => child::run(start),
    }
}

/// Makes the descriptors that a guest goes with its own; from here on it may open and close.
pub(super) fn leave_files() -> Result<(), Errno> {
    const LAST: c_long = c_uint::MAX as c_long;
    const UNSHARE: c_long = libc::CLOSE_RANGE_UNSHARE as c_long;
    let first = c_long::from(LOW_FILES);
    // SAFETY: closes descriptors of this process alone, which is about to become another program.
    match unsafe { libc::syscall(libc::SYS_close_range, first, LAST, UNSHARE) } {
        0 => Ok(()),
        _ => unshare(CloneFlags::CLONE_FILES), // before Linux 5.9
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::assert;
    use super::*;

    #[test]
    fn guests_need_a_kernel_that_ends_nobody_else_for_a_core_dump() {
        for new in ["5.16", "5.16.0-rc1", "5.100.1", "6.1.0-18-amd64", "10.0", "6.18.44-fc"] {
            assert!(is_new(new.as_bytes()), "{new}");
        }
        for old in ["5.15.999", "5.4.0-42-generic", "4.19.0", "2.6.78", "3.10", "5", "", "x", "."] {
            assert!(!is_new(old.as_bytes()), "{old}");
        }
    }

    /// One that runs as if the kernel was an old one (personality(2)): this thread alone.
    #[test]
    fn an_old_kernel_has_none() {
        const UNAME26: libc::c_ulong = 0x0002_0000;
        // SAFETY: takes and returns numbers only.
        if unsafe { libc::personality(UNAME26) } < 0 {
            return; // An emulator that knows of none.
        }
        assert!(!has_guests());
    }
}
