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
