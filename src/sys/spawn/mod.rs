//! Starts jobs (fork(2), execve(2)).
//!
//! The supervisor only forks; everything else happens in the child, see
//! `child`. All children tell what they failed in over one pipe.

mod child;
mod env;
mod limit;
mod report;
mod user;

use super::std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use super::std::{io, prelude::v1::*};
use super::{clock, state::Entry};

use crate::config::JobView;
use crate::supervise::Errno;
use child::Start;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::unistd::{fork, getpid, pipe2, read, ForkResult};
use report::RECORD_BYTES;

pub(super) use child::{affinity, enter_dir, nice, NoWayBack};
pub(super) use env::left_out;
pub(super) use user::User;

pub(super) use limit::set as set_limit;
pub use limit::{raise_file_limit, Limit};
pub use report::Report;

/// The exit status of a process that could not become its program.
pub const FAILED: i32 = 127;

/// Starts processes.
pub struct Spawner {
    /// Where the failures come out; non-blocking.
    failures: OwnedFd,
    /// Where children write them to; blocking, so that none is lost.
    reports: OwnedFd,
    /// The limit on open files that jobs get.
    files: Limit,
}

impl Spawner {
    /// A spawner whose jobs get `files` as their limit on open files, unless
    /// they have an `ulimit -n`: what [`raise_file_limit`] returned.
    pub fn new(files: Limit) -> io::Result<Self> {
        let (failures, reports) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&failures, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Spawner { failures, reports, files })
    }

    /// What becomes readable when there is a [report](Self::next_report).
    pub fn failures(&self) -> BorrowedFd<'_> {
        self.failures.as_fd()
    }

    /// What a process has to tell of its way to its program. It is written
    /// before that process exits, so whoever reads until `None` before reaping
    /// knows why. Never blocks.
    pub fn next_report(&self) -> Option<Report> {
        let mut record = [0; RECORD_BYTES];
        while let Ok(RECORD_BYTES) = read(&self.failures, &mut record) {
            if let Some(report) = report::decode(&record) {
                return Some(report);
            }
        }
        None
    }

    /// Starts a job; returns the pid of its process, which is the id of its
    /// session and group, too. `log` is where stdout and stderr go that have no
    /// file of their own: the write end of a pipe, blocking, and none of 0, 1, 2.
    /// `entry` is where the process is recorded before it does anything else.
    ///
    /// Fails when there can be no process (fork(2)). A process that cannot
    /// become its program is told by [`next_report`](Self::next_report), and
    /// exits with [`FAILED`].
    pub fn spawn(
        &self,
        job: JobView<'_>,
        log: Option<BorrowedFd<'_>>,
        entry: Option<Entry<'_>>,
    ) -> Result<i32, Errno> {
        let (reports, files) = (self.reports.as_fd(), self.files);
        let (supervisor, before) = (getpid().as_raw(), clock::now());
        let start = Start { job, log, reports, files, entry, supervisor, before };
        // SAFETY: the supervisor has one thread, so no lock is held by another one.
        match unsafe { fork() } {
            Ok(ForkResult::Parent { child }) => Ok(child.as_raw()),
            Ok(ForkResult::Child) => child::run(&start),
            Err(error) => Err(super::errno(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::prelude::v1::*;
    use super::super::std::{assert_eq, panic};
    use super::*;
    use nix::sys::wait::{waitpid, WaitStatus};

    #[test]
    fn a_child_that_panics_does_not_come_back() {
        // SAFETY: the child ends in its next lines.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let _no_way_back = NoWayBack;
                panic::resume_unwind(Box::new(()));
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 127)));
            }
        }
    }
}
