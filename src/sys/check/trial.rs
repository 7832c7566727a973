//! A start that ends where the program would begin.
//!
//! What execve(2) refuses is known for certain only to the kernel: the format of a program, which
//! of its loaders, how much of memory and how many processes the limits leave, a security module.
//! So the program is executed, by a process that is traced, and that therefore stops before the
//! first instruction of the new program (ptrace(2), `PTRACE_TRACEME`). There it is killed.

use core::fmt::{self, Display};

use super::super::errno::Meaning;
use super::super::spawn::{self, Spawner};
use super::super::std::prelude::v1::*;
use super::{exit, User};
use crate::config::JobView;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult, Pid};

/// Why a program was not begun.
pub(super) enum Failure {
    /// execve(2), or what comes right before it.
    Refused(Errno),
    /// The kernel ended it on the way.
    Killed(Signal),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(errno) => f.write_str(&errno.meaning()),
            Failure::Killed(signal) => write!(f, "ended by {signal} before it begins"),
        }
    }
}

/// Tries to begin the program of a job, from its limits on. Where nothing can be traced, as in
/// an emulator, all is taken to be well. The job's own directory is to be the present one.
pub(super) fn try_start(job: JobView<'_>, user: Option<&mut User<'_>>) -> Result<(), Failure> {
    // SAFETY: `pmtr -t` has one thread, so no lock is held by another one.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => judge(child),
        Ok(ForkResult::Child) => {
            let _no_way_back = spawn::NoWayBack;
            begin(job, user)
        }
        Err(errno) => Err(Failure::Refused(errno)),
    }
}

/// Exits with the number of the error; with 0 if there is no tracing.
fn begin(job: JobView<'_>, user: Option<&mut User<'_>>) -> ! {
    let null = core::ptr::null_mut::<libc::c_void>();
    // SAFETY: takes no more than its first word, and changes nothing that Rust knows of.
    let traced = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null, null) };
    if traced != 0 {
        exit(0);
    }
    match Spawner::new(spawn::raise_limits()) {
        Ok(spawner) => exit(spawner.become_job(job, user).reason().code),
        Err(_) => exit(libc::EMFILE),
    }
}

fn judge(child: Pid) -> Result<(), Failure> {
    match waitpid(child, None).map_err(Failure::Refused)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, code) => Err(Failure::Refused(Errno::from_raw(code))),
        WaitStatus::Signaled(_, signal, _) => Err(Failure::Killed(signal)),
        WaitStatus::Stopped(_, signal) => {
            // It is ours, and not reaped.
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
            match signal {
                Signal::SIGTRAP => Ok(()),
                signal => Err(Failure::Killed(signal)),
            }
        }
        _ => Ok(()),
    }
}
