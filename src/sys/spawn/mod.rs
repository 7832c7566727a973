//! Starts jobs (fork(2), execve(2)).
//!
//! The supervisor only forks; everything else happens in the child, see
//! `child`. All children tell what they failed in over one pipe.

mod child;
mod env;
mod limit;
mod user;

use super::std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use super::std::{io, prelude::v1::*};
use super::{clock, state::Entry};

use crate::config::JobView;
use crate::supervise::{Errno, Failure, Stage};
use child::Start;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::unistd::{fork, getpid, pipe2, read, ForkResult};

pub(super) use child::{affinity, enter_dir, nice, ulimits, NoWayBack};
pub(super) use user::User;

pub(super) use limit::set as set_limit;
pub use limit::{raise_file_limit, Limit};

/// What a process tells before it runs its program, or instead.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    /// It did not get that far, and is about to exit.
    Failed(Failure),
    /// None of the CPUs of its `cpu` exists, or is pmtr's to use: it runs on any.
    AnyCpu {
        /// The process.
        pid: i32,
    },
}

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
            if let Some(report) = decode(&record) {
                return Some(report);
            }
        }
        None
    }

    /// Starts a job; returns the pid of its process, which is the id of its
    /// session and group, too. `log` is where stdout and stderr go that have no
    /// file of their own: the write end of a pipe, and none of 0, 1, 2. `entry`
    /// is where the process is recorded before it does anything else.
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

/// A report on its way through the pipe: pid, stage, error number. Far less
/// than `PIPE_BUF`, so records of several children do not mix (pipe(7)).
const RECORD_BYTES: usize = 12;

/// Stands where the stage would be, for [`Report::AnyCpu`].
const ANY_CPU: i32 = -1;

fn encode(stage: i32, code: i32) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    let fields = [getpid().as_raw(), stage, code];
    for (bytes, field) in record.chunks_exact_mut(4).zip(fields) {
        bytes.copy_from_slice(&field.to_ne_bytes());
    }
    record
}

fn decode(record: &[u8; RECORD_BYTES]) -> Option<Report> {
    let field = |n: usize| record.chunks_exact(4).nth(n)?.try_into().ok().map(i32::from_ne_bytes);
    let pid = field(0)?;
    if field(1)? == ANY_CPU {
        return Some(Report::AnyCpu { pid });
    }
    let stage = *Stage::ALL.get(usize::try_from(field(1)?).ok()?)?;
    Some(Report::Failed(Failure { pid, stage, errno: reason(field(2)?) }))
}

/// The text of an error number from a child, of which 0 is an unknown user.
fn reason(code: i32) -> Errno {
    match code {
        0 => Errno { code, text: "no such user" },
        _ => Errno { code, text: nix::errno::Errno::from_raw(code).desc() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::prelude::v1::*;
    use super::super::std::{assert_eq, panic};
    use super::*;
    use nix::sys::wait::{waitpid, WaitStatus};

    #[test]
    fn a_record_says_who_where_and_why() {
        let record = encode(Failed { stage: Stage::Nice, code: 13 });
        let failure = decode(&record).unwrap();
        assert_eq!((failure.pid, failure.stage), (getpid().as_raw(), Stage::Nice));
        assert_eq!((failure.errno.code, failure.errno.text), (13, "Permission denied"));
    }

    #[test]
    fn every_stage_comes_back_as_itself() {
        for stage in Stage::ALL {
            assert_eq!(decode(&encode(Failed { stage, code: 1 })).unwrap().stage, stage);
        }
    }

    #[test]
    fn what_is_no_record_is_passed_over() {
        let spawner = Spawner::new(Limit { soft: 1, hard: 1 }).unwrap();
        let good = encode(Failed { stage: Stage::Exec, code: 2 });
        nix::unistd::write(&spawner.reports, &[0xff; RECORD_BYTES]).unwrap();
        nix::unistd::write(&spawner.reports, &good).unwrap();
        assert_eq!(spawner.next_failure().unwrap().stage, Stage::Exec);
        assert!(spawner.next_failure().is_none());
    }

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
