//! A lock on a file that says who holds it, and that no child inherits
//! (fcntl(2), "Traditional record locks").
//!
//! The kernel drops such a lock when its process ends, however it ends, and
//! when the process closes *any* descriptor of that file. flock(2) would not
//! do: its lock belongs to the open file, and a child that has not yet reached
//! its exec shares that.

use super::std::os::fd::BorrowedFd;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// It is this process's, until it ends or closes the file.
    Taken,
    /// Another process has it.
    Held {
        /// Which; 0 if it is not of this process's PID namespace.
        pid: i32,
    },
    /// There is none to be had: a file system without locks, or a file that
    /// somebody reads and locks to be a nuisance.
    Impossible(Errno),
}

/// Locks the whole of `file`, which is open for writing; does not wait.
pub fn lock(file: BorrowedFd<'_>) -> Lock {
    /// Who had it when it was asked for may have ended before it was asked who that is.
    const TRIES: usize = 3;
    let mut result = try_lock(file);
    for _ in 1..TRIES {
        if !matches!(result, Lock::Impossible(Errno::EACCES | Errno::EAGAIN)) {
            break;
        }
        result = try_lock(file);
    }
    result
}

fn try_lock(file: BorrowedFd<'_>) -> Lock {
    match fcntl(file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))) {
        Ok(_) => Lock::Taken,
        Err(error @ (Errno::EACCES | Errno::EAGAIN)) => match holder(file) {
            Some(pid) => Lock::Held { pid },
            None => Lock::Impossible(error),
        },
        Err(error) => Lock::Impossible(error),
    }
}

/// Returns the process that has a write lock: 0 if it is not of this process's PID namespace, negative for a lock
/// that belongs to no process. A read lock, which whoever may read the file can take, counts for nothing.
pub fn holder(file: BorrowedFd<'_>) -> Option<i32> {
    let mut found = whole_file(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut found)).ok()?;
    (i32::from(found.l_type) != libc::F_UNLCK).then_some(found.l_pid)
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    // SAFETY: a structure of numbers, for which all zeros are valid; zeros mean the whole file.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}
