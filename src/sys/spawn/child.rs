//! Between fork and exec (fork(2), execve(2)): how the child of a supervisor
//! becomes a job. In this order:
//!
//! 0. its record in the state file, so that it is known if pmtr is killed
//! 1. **session**: a session and a process group of its own, so that pmtr's
//!    terminal is not the job's, and the group can be killed
//! 2. **signals**: all dispositions default, SIGPIPE too, which pmtr ignores, and
//!    whatever it was started with; then nothing is blocked, so from here on SIGTERM ends it
//! 3. umask 022
//! 4. **dir**, as pmtr's user; what is relative below is relative to it
//! 5. **user** and **groups** are looked up, while there are no limits yet
//! 6. **nice**
//! 7. **cpu**
//! 8. **ulimit**, while it may still raise them; that of open files is only
//!    raised here, not lowered, because files are still to be opened
//! 9. the log's pipe is given to the user, who may want to open /dev/stdout
//! 10. a session **keyring** of its own, **groups**, **gid**, **uid** and no **capabilities**, and
//!     all of it read back (see `credentials`); if that user has more processes than its
//!     `ulimit -u` by now, it is exec that fails (`EAGAIN`, execve(2))
//! 11. **in**, **out**, **err**, opened as that user, but for pmtr's own streams, which were
//!     duplicated before (see `stdio`)
//! 12. what is open above 2 will be closed by exec
//! 13. the **ulimit** of open files, and the limits that pmtr has raised for itself
//! 14. **env**, **exec**
//!
//! The first step that fails ends it all: it is written to the pipe of
//! failures, and the child exits with 127.
//!
//! A supervisor has one thread, so the child may do whatever pmtr may, and its memory is
//! its own: libc may allocate when it looks a user up. Nothing here can panic.

use core::convert::Infallible;
use core::ffi::{c_char, c_ulong, CStr};
use core::mem::size_of;

use super::super::std::os::fd::BorrowedFd;
use super::super::std::prelude::v1::*;
use super::env::{own_ptr, point, Environment, Pointers, Room, UserText};
use super::limit::{self, Inherited, Limit};
use super::report::{encode, Told};
use super::stdio::OwnStreams;
use super::user::User;
use crate::config::{JobView, Resource};
use crate::limits::MAX_ARGS;
use crate::supervise::Stage;
use crate::sys::descriptors::close_others_on_exec;
use crate::sys::disposition::{make_default, Signals};
use crate::sys::state::Entry;
use crate::time::Instant;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{sigprocmask, SigSet, SigmaskHow};
use nix::sys::stat::{fchmod, umask, Mode};
use nix::unistd::{chdir, fchown, setsid, write, Uid};

/// What the child starts from.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) job: JobView<'a>,
    /// For stdout and stderr that have no file.
    pub(super) log: Option<BorrowedFd<'a>>,
    /// Where a failure is told.
    pub(super) reports: BorrowedFd<'a>,
    /// What pmtr was started with, where the job has no limit of its own.
    pub(super) limits: Inherited,
    /// Where the process is recorded.
    pub(super) entry: Option<Entry<'a>>,
    /// The process that forked.
    pub(super) supervisor: i32,
    /// When it was about to.
    pub(super) before: Instant,
    /// The signals whose dispositions are to become those by default.
    pub(super) disposed: Signals,
    /// For its environment.
    pub(super) room: &'a Room,
}

/// Why it came to nothing.
#[derive(Clone, Copy)]
pub struct Failed {
    pub(super) stage: Stage,
    /// An error number, or what else it can be (see [`reason`](super::user::reason)).
    pub(super) code: i32,
}

/// Becomes the job, or tells why not and exits.
///
/// Not inlined: what it needs would be in the frame that pmtr forks from.
#[inline(never)]
pub(super) fn run(start: &Start<'_>) -> ! {
    let _no_way_back = NoWayBack;
    let failed = match become_job(start) {
        Ok(never) => match never {},
        Err(failed) => failed,
    };
    // A pipe that is full is waited for; one that nobody reads any more raises SIGPIPE.
    let _ = write(start.reports, &encode(Told::Failed(failed)));
    exit()
}

fn become_job(start: &Start<'_>) -> Result<Infallible, Failed> {
    let job = start.job;
    record(start);
    setsid().map_err(at(Stage::Session))?;
    default_signals(start.disposed).map_err(at(Stage::Signals))?;
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    enter_dir(job).map_err(at(Stage::Dir))?;
    let mut user = User::of(job)?;
    nice(job).map_err(at(Stage::Nice))?;
    any_affinity(start).map_err(at(Stage::Cpu))?;
    limits(job).map_err(at(Stage::Ulimit))?;
    let own = OwnStreams::of(job, |stage| report(start, Told::Nowhere(stage)))?;
    if let Some(user) = &mut user {
        switch_user(user, start.log)?;
    }
    own.redirect(job, start.log)?;
    close_others_on_exec();
    last_limits(start).map_err(at(Stage::Ulimit))?;
    execute(start, user.as_ref())
}

/// The steps from the limits on, without any that leaves a trace; what ends them.
pub(super) fn last_steps(start: &Start<'_>, mut user: Option<&mut User<'_>>) -> Failed {
    let mut steps = || -> Result<Infallible, Failed> {
        limits(start.job).map_err(at(Stage::Ulimit))?;
        user.as_deref_mut().map_or(Ok(()), |user| switch_user(user, None))?;
        last_limits(start).map_err(at(Stage::Ulimit))?;
        execute(start, user.as_deref())
    };
    match steps() {
        Ok(never) => match never {},
        Err(failed) => failed,
    }
}

/// Records the process, so that it is found if pmtr is killed. A record that
/// cannot be written keeps no job from starting.
fn record(start: &Start<'_>) {
    let recorded = start.entry.map(|entry| entry.write_own(start.supervisor, start.before));
    match recorded {
        None | Some(Ok(())) => {}
        // The supervisor was killed just now, so nobody would know of this process.
        Some(Err(Errno::ESRCH)) => exit(),
        Some(Err(errno)) => {
            report(start, Told::Unrecorded(errno));
        }
    }
}

/// Reports what does not end the start.
fn report(start: &Start<'_>, told: Told) {
    // If that cannot be, there is no supervisor any more.
    let _ = write(start.reports, &encode(told));
}

pub(super) fn at(stage: Stage) -> impl Fn(Errno) -> Failed {
    move |errno| Failed { stage, code: errno as i32 }
}

/// Makes all signals do what they do by default, then lets them in.
fn default_signals(disposed: Signals) -> Result<(), Errno> {
    make_default(disposed);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// `dir`.
pub(in crate::sys) fn enter_dir(job: JobView<'_>) -> Result<(), Errno> {
    job.dir().map_or(Ok(()), chdir)
}

/// `nice`. Going back to 0 is not asked for by name, so a pmtr that is nice
/// itself and may not go back has jobs that are as nice as it is.
pub(in crate::sys) fn nice(job: JobView<'_>) -> Result<(), Errno> {
    // SAFETY: takes and returns numbers only.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, i32::from(job.nice())) };
    match Errno::result(result) {
        Err(Errno::EACCES | Errno::EPERM) if job.nice() == 0 => Ok(()),
        result => result.map(drop),
    }
}

/// `cpu`; a set of which no CPU exists is no set, and told.
fn any_affinity(start: &Start<'_>) -> Result<(), Errno> {
    match affinity(start.job) {
        Err(Errno::EINVAL) => {
            let told = write(start.reports, &encode(Told::AnyCpu));
            told.map(|_| ())
        }
        result => result,
    }
}

/// `cpu`; `EINVAL` if no CPU of the set exists, or none that pmtr may use.
///
/// Not inlined, for its mask: see [`execute`].
#[inline(never)]
pub(in crate::sys) fn affinity(job: JobView<'_>) -> Result<(), Errno> {
    if job.cpus().is_empty() {
        return Ok(());
    }
    let mask = cpu_mask(job.cpus());
    // SAFETY: the kernel reads the CPUS / 8 bytes that `mask` has.
    let result = unsafe { libc::sched_setaffinity(0, CPUS / 8, mask.as_ptr().cast()) };
    Errno::result(result).map(drop)
}

/// As many CPUs as a kernel can be configured for.
const CPUS: usize = 8192;

/// A mask as the kernel has it: in words, of whatever byte order.
fn cpu_mask(cpus: &[u8]) -> [c_ulong; CPUS / 8 / WORD_BYTES] {
    let mut mask = [0; CPUS / 8 / WORD_BYTES];
    for (n, byte) in cpus.iter().enumerate() {
        if let Some(word) = mask.get_mut(n / WORD_BYTES) {
            *word |= c_ulong::from(*byte) << (n % WORD_BYTES * 8);
        }
    }
    mask
}

const WORD_BYTES: usize = size_of::<c_ulong>();

/// `ulimit`, but for open files, whose hard limit is at most raised.
fn limits(job: JobView<'_>) -> Result<(), Errno> {
    for ulimit in job.ulimits().iter().filter(|ulimit| ulimit.resource != Resource::Nofile) {
        limit::set(ulimit.resource, Limit::both(ulimit.value))?;
    }
    file_limit(job).map_or(Ok(()), |limit| allow_files(limit.hard))
}

/// That of open files, and those that pmtr has raised for itself.
fn last_limits(start: &Start<'_>) -> Result<(), Errno> {
    let is_set = |resource| start.job.ulimits().iter().any(|ulimit| ulimit.resource == resource);
    start.limits.restore(is_set)?;
    limit::set(Resource::Nofile, file_limit(start.job).unwrap_or(start.limits.files()))
}

/// The limit on open files that the job asks for.
fn file_limit(job: JobView<'_>) -> Option<Limit> {
    let files = job.ulimits().iter().find(|ulimit| ulimit.resource == Resource::Nofile);
    files.map(|ulimit| Limit::both(ulimit.value))
}

fn allow_files(hard: u64) -> Result<(), Errno> {
    let now = limit::get(Resource::Nofile)?;
    if hard <= now.hard {
        return Ok(());
    }
    limit::set(Resource::Nofile, Limit { hard, ..now })
}

fn switch_user(user: &mut User<'_>, log: Option<BorrowedFd<'_>>) -> Result<(), Failed> {
    if let Some(log) = log {
        give(log, user.uid());
    }
    user.take_on()
}

/// Lets a user open the log's pipe again, as /dev/stdout. Who may not give a file away lets all
/// write to this one, which only those find who may look into a process that has it open. A job
/// that cannot open it can still write to it.
fn give(log: BorrowedFd<'_>, uid: Uid) {
    let all = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IWGRP | Mode::S_IWOTH;
    let _ = fchown(log, Some(uid), None).or_else(|_| fchmod(log, all));
}

/// `env`, `cmd`.
///
/// Only a job that needs them pays for the tables of an environment of its own:
/// every page of the stack that is used here is one more that the child gets.
fn execute(start: &Start<'_>, user: Option<&User<'_>>) -> Result<Infallible, Failed> {
    match user {
        Some(user) => execute_as(start, user),
        None if start.job.env().next().is_some() => execute_in(start, core::iter::empty()),
        None => execute_with(start.job, own_ptr()),
    }
}

#[inline(never)]
fn execute_as(start: &Start<'_>, user: &User<'_>) -> Result<Infallible, Failed> {
    let mut text = UserText::new();
    text.write(user).map_err(at(Stage::Env))?;
    execute_in(start, text.variables())
}

#[inline(never)]
fn execute_in<'a>(
    start: &Start<'a>,
    user: impl Iterator<Item = &'a CStr>,
) -> Result<Infallible, Failed> {
    let mut environment = Environment::inherited(start.room).map_err(at(Stage::Env))?;
    environment.put(user).map_err(at(Stage::Env))?;
    environment.put(start.job.env()).map_err(at(Stage::Env))?;
    execute_with(start.job, environment.as_ptr())
}

fn execute_with(job: JobView<'_>, env: *const *const c_char) -> Result<Infallible, Failed> {
    let mut argv: Pointers<{ MAX_ARGS + 1 }> = Pointers::new();
    point(&mut argv, job.argv()).map_err(at(Stage::Exec))?;
    // SAFETY: strings that end with a NUL, and arrays of them that end with a null pointer.
    unsafe { libc::execve(job.program().as_ptr(), argv.as_ptr(), env) };
    Err(at(Stage::Exec)(Errno::last()))
}

/// Keeps a panic from unwinding into the supervisor's code, which this process
/// is not.
pub(in crate::sys) struct NoWayBack;

impl Drop for NoWayBack {
    fn drop(&mut self) {
        exit()
    }
}

/// Not exit(3): what pmtr wants done when it ends is not for its children to do.
fn exit() -> ! {
    // SAFETY: ends the process, and nothing else.
    unsafe { libc::_exit(super::FAILED) }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{assert, prelude::v1::*};
    use super::cpu_mask;
    use nix::libc::{cpu_set_t, CPU_ISSET};

    #[test]
    fn a_cpu_is_where_the_kernel_looks_for_it() {
        // As libc's own CPU_SET(3) has it, for the 1024 that it knows.
        for cpu in [0, 1, 7, 8, 31, 32, 63, 64, 1023] {
            let mut cpus = [0; 128];
            cpus[cpu / 8] = 1 << (cpu % 8);
            let mask = cpu_mask(&cpus);
            // SAFETY: `mask` is longer than a cpu_set_t, aligned as its words are, and plain numbers.
            let set = unsafe { mask.as_ptr().cast::<cpu_set_t>().read() };
            // SAFETY: takes a set, and a number below its size.
            assert!(unsafe { CPU_ISSET(cpu, &set) }, "CPU {cpu}");
        }
    }
}
