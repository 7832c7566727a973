//! Resource limits (prlimit(2)), 64 bits wide on every machine.

use core::ptr;

use super::super::std::os::fd::{AsRawFd, OwnedFd};
use super::super::std::prelude::v1::*;
use crate::config::Resource;
use crate::limits::{MAX_ADDRESSES, MAX_STREAMS};
use nix::errno::Errno;
use nix::libc::{self, c_long};

/// A soft and a hard limit; `u64::MAX` is infinity. Laid out as the kernel's
/// `struct rlimit64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// What the soft limit can be raised to.
    pub hard: u64,
}

impl Limit {
    /// Soft and hard limit the same (manual, "ulimit").
    pub(in crate::sys) fn both(value: u64) -> Self {
        Limit { soft: value, hard: value }
    }
}

/// The limits that pmtr was started with, which its jobs get unless they have an `ulimit`.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    files: Limit,
    /// Those of [`RAISED`] that pmtr has raised for itself.
    raised: [Option<Limit>; RAISED.len()],
}

/// The limits that end a pmtr that runs for long and writes files of its own: the size of files, CPU
/// time, memory.
const RAISED: [Resource; 5] =
    [Resource::Fsize, Resource::Cpu, Resource::As, Resource::Data, Resource::Stack];

impl From<Limit> for Inherited {
    /// Only the limit on open files differs from that of this process.
    fn from(files: Limit) -> Self {
        Inherited { files, raised: [None; RAISED.len()] }
    }
}

impl Inherited {
    /// Puts the limits back, but for those that `is_set` says were set already. Async-signal-safe.
    pub(super) fn restore(&self, is_set: impl Fn(Resource) -> bool) -> Result<(), Errno> {
        for (resource, limit) in RAISED.into_iter().zip(self.raised) {
            match limit {
                Some(limit) if !is_set(resource) => set(resource, limit)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The limit on open files.
    pub(super) fn files(&self) -> Limit {
        self.files
    }
}

/// Raises the limits that pmtr would suffer from, as far as it may; returns what they were. For start-up.
pub fn raise_limits() -> Inherited {
    let mut raised = [None; RAISED.len()];
    for (resource, raised) in RAISED.into_iter().zip(&mut raised) {
        *raised = raise(resource);
    }
    Inherited { files: raise_file_limit(), raised }
}

/// The limit as it was, if it was raised.
fn raise(resource: Resource) -> Option<Limit> {
    let before = get(resource).ok().filter(|limit| *limit != Limit::both(u64::MAX))?;
    let all = set(resource, Limit::both(u64::MAX));
    // Not root: as far as the hard limit goes.
    let raised = all.or_else(|_| set(resource, Limit::both(before.hard)));
    raised.is_ok().then_some(before)
}

/// The hard limit; None if there is none.
pub(in crate::sys) fn hard_limit(resource: Resource) -> Option<u64> {
    get(resource).ok().map(|limit| limit.hard).filter(|&hard| hard != u64::MAX)
}

/// The number of descriptors that pmtr needs: a pipe for each stream, its sockets, and a few
/// more for itself and for what it opens for a moment.
pub(in crate::sys) const FILES: u64 = MAX_STREAMS as u64 + OTHER_FILES + KEPT_FREE + 1;

/// The most descriptors that pmtr has open besides its ends of pipes.
const OTHER_FILES: u64 = 64;

const _: () = assert!(MAX_ADDRESSES < OTHER_FILES as usize / 2);

/// Raises the limit on open files to what pmtr needs, as far as it may.
/// Returns the limit as it was: what its jobs are to get.
pub fn raise_file_limit() -> Limit {
    // Reading it fails only where a filter forbids it; these are the kernel's own.
    let before = get(Resource::Nofile).unwrap_or(Limit { soft: 1024, hard: 4096 });
    let needed = before.soft.max(FILES);
    let raised = set(Resource::Nofile, Limit { soft: needed, hard: before.hard.max(needed) });
    if raised.is_err() {
        // Not root. What does not fit is refused later, pipe by pipe.
        let _ = set(Resource::Nofile, Limit { soft: needed.min(before.hard), ..before });
    }
    before
}

/// How many descriptors are never taken for the output of jobs, so that the
/// configuration can still be read, and a name be looked up, when there are no more.
const KEPT_FREE: u64 = 4;

/// The number of descriptors that this process may have.
pub(in crate::sys) fn soft_file_limit() -> u64 {
    get(Resource::Nofile).map_or(1024, |limit| limit.soft)
}

/// Checks that a new pipe for the output of a job leaves some descriptors free. `EMFILE`: too few
/// would be left.
pub(in crate::sys) fn leaves_some(pipe: [&OwnedFd; 2]) -> Result<(), Errno> {
    let limit = soft_file_limit();
    let numbers = pipe.map(|end| u64::try_from(end.as_raw_fd()).unwrap_or(0));
    // The kernel gives the lowest number, so what is above these is free.
    if numbers.into_iter().all(|number| number + KEPT_FREE < limit) {
        Ok(())
    } else {
        Err(Errno::EMFILE)
    }
}

/// What stands for this process (prlimit(2)).
const SELF: c_long = 0;

/// The limit of this process.
pub(super) fn get(resource: Resource) -> Result<Limit, Errno> {
    let mut limit = Limit::both(0);
    let number = c_long::from(number(resource));
    // SAFETY: nothing is read where the new limit would be, and `limit` is ours to be written to.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, SELF, number, ptr::null::<Limit>(), &mut limit)
    };
    Errno::result(result).map(|_| limit)
}

/// Sets the limit of this process.
pub(in crate::sys) fn set(resource: Resource, limit: Limit) -> Result<(), Errno> {
    let number = c_long::from(number(resource));
    // SAFETY: `limit` is what the kernel expects, and nothing is written to a null pointer.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, SELF, number, &limit, ptr::null_mut::<Limit>())
    };
    Errno::result(result).map(drop)
}

/// The kernel's number of a resource (getrlimit(2)).
fn number(resource: Resource) -> i32 {
    let number = match resource {
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Stack => libc::RLIMIT_STACK,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::As => libc::RLIMIT_AS,
    };
    number as i32
}
