//! Starts jobs (fork(2), execve(2)).
//!
//! The supervisor only makes a process; everything else happens in the child, see
//! `child`. All children tell what they failed in over one pipe.

mod at_hand;
mod child;
mod clone;
mod env;
mod limit;
mod report;
mod user;

use super::disposition::{disposed, ignored, Signals};
use super::std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use super::std::{io, prelude::v1::*};
use super::tables::{take, TABLES};
use super::{clock, pages, state::Entry};

use crate::config::JobView;
use child::Start;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::unistd::{getpid, pipe2, read};
use report::RECORD_BYTES;

pub(super) use child::{affinity, enter_dir, nice, NoWayBack, DEV_NULL};
pub(super) use env::left_out;
pub(super) use user::User;

pub use limit::{raise_file_limit, Limit};
pub(super) use limit::{set as set_limit, take_pipe};
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
    /// What is the same for all processes is asked once: the signals that are not as they are by default.
    disposed: Signals,
    /// Those of them that are not undone by execve(2), which is enough where that comes at once.
    ignored: Signals,
    /// Whether a process can begin in pmtr's own memory: what all of them can tell fits into the pipe of
    /// failures, and the kernel is not too old.
    has_guests: bool,
}

impl Spawner {
    /// A spawner whose jobs get `files` as their limit on open files, unless
    /// they have an `ulimit -n`: what [`raise_file_limit`] returned. From here on neither
    /// the environment, which is what jobs get of it now, nor the disposition of a signal may change.
    pub fn new(files: Limit) -> io::Result<Self> {
        let (failures, reports) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&failures, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        env::prune();
        let has_guests = report::has_room(&reports) && clone::has_guests();
        Ok(Spawner {
            failures,
            reports,
            files,
            disposed: disposed(),
            ignored: ignored(),
            has_guests,
        })
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
        let mut stack = take(&TABLES.datagram);
        let guest = self.spawn_guest(&start, pages::mostly_whole(&mut stack[..]));
        guest.unwrap_or_else(|| clone::copy(&start)).map_err(super::errno)
    }

    /// Has the calling process become the job, without its files, from the limits on; only why
    /// not is returned. For a trial of a start.
    pub(super) fn become_job(&self, job: JobView<'_>, user: Option<&User>) -> Errno {
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
            files: self.files,
            entry,
            supervisor: getpid().as_raw(),
            before: clock::now(),
            disposed: self.disposed,
            is_guest: false,
        }
    }

    /// None where it is to be a copy.
    fn spawn_guest(&self, start: &Start<'_>, stack: &mut [u8]) -> Option<nix::Result<i32>> {
        let files = start.entry.map_or([None; 2], |entry| entry.files());
        let kept = [Some(start.reports), start.log].into_iter().chain(files);
        if !self.has_guests
            || !clone::can_be_guest(start.job)
            || !kept.flatten().all(clone::goes_along)
        {
            return None;
        }
        let guest = Start { disposed: self.ignored, is_guest: true, ..*start };
        match clone::guest(&guest, stack) {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => None,
            pid => Some(pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::{assert, assert_eq, boxed::Box, format, panic, prelude::v1::*, vec};
    use super::*;
    use crate::config::{parse, Config};
    use crate::limits::{DATAGRAM_BYTES, MAX_ARGS, MAX_ENV};
    use nix::sys::wait::{waitpid, WaitStatus};
    use nix::unistd::{fork, ForkResult};

    fn job(options: &str) -> Box<Config> {
        let text = format!("job {{\n name test\n cmd /bin/true\n {options}\n}}\n");
        let mut config = Box::default();
        parse(text.as_bytes(), &mut config, &mut |_| ()).unwrap();
        config
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

    #[test]
    fn pmtr_waits_for_no_job_that_may_have_to_wait() {
        let opens = ["user root", "in /tmp/fifo", "out /tmp/fifo", "err /tmp/fifo"];
        let starves = ["nice 1", "cpu 0", "dir /proc"];
        for options in opens.into_iter().chain(starves) {
            assert!(!clone::can_be_guest(job(options).job(0)), "{options}");
        }
        let program = job("dir /\n env A=1\n nice -5\n ulimit -n 9");
        let is_at_hand = at_hand::is_at_hand(program.job(0).program());
        assert_eq!(clone::can_be_guest(program.job(0)), is_at_hand);
    }

    #[test]
    fn the_stack_of_a_guest_is_far_larger_than_what_it_needs() {
        let words = " word".repeat(MAX_ARGS - 1);
        let env: String = (0..MAX_ENV).map(|n| format!(" env V{n}=x\n")).collect();
        let config = job(&format!("ulimit -n 9\n{env}"));
        let many = format!("job {{\n name test\n cmd /bin/true{words}\n{env}}}\n");
        let mut largest: Box<Config> = Box::default();
        parse(many.as_bytes(), &mut largest, &mut |_| ()).unwrap();
        let spawner = Spawner::new(Limit::both(256)).unwrap();
        for config in [config, largest] {
            let mut stack = vec![0xa5; DATAGRAM_BYTES];
            let start = spawner.start(config.job(0), None, None);
            let Some(pid) = spawner.spawn_guest(&start, &mut stack) else { return };
            let pid = nix::unistd::Pid::from_raw(pid.unwrap());
            assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
            let untouched = stack.iter().take_while(|&&byte| byte == 0xa5).count();
            assert!((DATAGRAM_BYTES / 2..DATAGRAM_BYTES).contains(&untouched), "{untouched}");
        }
    }
}
