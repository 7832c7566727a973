//! Starts jobs (fork(2), execve(2)).
//!
//! The supervisor only forks; everything else happens in the child, see `child`. The
//! child has memory of its own, so nothing that it waits for holds the supervisor up: a
//! name service, a FIFO, a file system that does not answer, a program that execve(2)
//! may not run before somebody permits it (fanotify(7)). All children report what they
//! failed in over one pipe.

mod child;
mod credentials;
mod env;
mod limit;
mod report;
mod stdio;
mod user;

use super::disposition::{disposed, Signals};
use super::std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use super::std::{io, prelude::v1::*};
use super::{clock, state::Entry};

use crate::config::JobView;
use child::Start;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::unistd::{fork, getpid, pipe2, read, ForkResult};
use report::RECORD_BYTES;

pub(super) use child::{affinity, enter_dir, nice, Failed, NoWayBack};
pub(super) use stdio::{own_number, DEV_NULL};
pub(super) use user::User;

pub(super) use limit::{hard_limit, leaves_some, set as set_limit, soft_file_limit, FILES};
pub use limit::{raise_file_limit, raise_limits, Inherited, Limit};
pub use report::Report;

/// The exit status of a process that could not become its program.
pub const FAILED: i32 = 127;

/// Starts processes.
pub struct Spawner {
    /// Where the failures come out; non-blocking.
    failures: OwnedFd,
    /// Where children write them to; blocking, so that none is lost.
    reports: OwnedFd,
    /// The limits that jobs get.
    limits: Inherited,
    /// The signals whose disposition is not the default one: the same for all processes, and looked up once.
    disposed: Signals,
    /// Where a child puts its environment together.
    room: env::Room,
}

impl Spawner {
    /// A spawner whose jobs get these limits, unless they have an `ulimit`: what
    /// [`raise_limits`] or [`raise_file_limit`] returned. From here on neither the environment, which is
    /// what jobs get of it now, nor the disposition of a signal may change.
    pub fn new(limits: impl Into<Inherited>) -> io::Result<Self> {
        let limits = limits.into();
        let (failures, reports) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&failures, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        env::prune();
        let (disposed, room) = (disposed(), env::Room::new());
        Ok(Spawner { failures, reports, limits, disposed, room })
    }

    /// What becomes readable when there is a [report](Self::next_report).
    pub fn failures(&self) -> BorrowedFd<'_> {
        self.failures.as_fd()
    }

    /// What a process has to tell of its way to its program. It is written
    /// before that process exits, so whoever reads until `None` before reaping
    /// knows why. Never blocks.
    pub fn next_report(&self) -> Result<Option<Report>, nix::errno::Errno> {
        let mut record = [0; RECORD_BYTES];
        loop {
            match read(&self.failures, &mut record) {
                Ok(RECORD_BYTES) => {
                    if let Some(report) = report::decode(&record) {
                        return Ok(Some(report));
                    }
                }
                Ok(_) | Err(nix::errno::Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
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
    ) -> Result<i32, crate::supervise::Errno> {
        let start = self.start(job, log, entry);
        // SAFETY: the supervisor has one thread, so no lock is held by another one.
        match unsafe { fork() }.map_err(super::errno)? {
            ForkResult::Parent { child } => Ok(child.as_raw()),
            ForkResult::Child => child::run(&start),
        }
    }

    /// Has the calling process become the job, without its files, from the limits on; only why
    /// not is returned. For a trial of a start.
    pub(super) fn become_job(&self, job: JobView<'_>, user: Option<&mut User<'_>>) -> Failed {
        child::last_steps(&self.start(job, None, None), user)
    }

    fn start<'a>(
        &'a self,
        job: JobView<'a>,
        log: Option<BorrowedFd<'a>>,
        entry: Option<Entry<'a>>,
    ) -> Start<'a> {
        Start {
            job,
            log,
            reports: self.reports.as_fd(),
            limits: self.limits,
            entry,
            supervisor: getpid().as_raw(),
            before: clock::now(),
            disposed: self.disposed,
            room: &self.room,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::{assert_eq, boxed::Box, panic, prelude::v1::*};
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
