//! Ended children and signals to living ones (waitid(2), kill(2)).

use core::mem;
use core::ptr;

use crate::supervise::{Errno, ExitStatus};
use nix::libc;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

/// A child that has ended, and how. It stays a zombie, so nobody else can get
/// its pid, until it is [reaped](reap); until then this may return it again.
///
/// nix's `waitid` and `waitpid` lose a child that a real-time signal ended.
pub fn peek() -> Result<Option<(i32, ExitStatus)>, nix::errno::Errno> {
    look(libc::P_ALL, 0)
}

/// How this child has ended; None if it has not, or is no child.
pub fn peek_at(pid: i32) -> Result<Option<ExitStatus>, nix::errno::Errno> {
    look(libc::P_PID, pid).map(|ended| ended.map(|(_, status)| status))
}

/// Returns true if pmtr has a child in a process group, ended or not.
pub fn has_child_in(pgid: i32) -> Result<bool, nix::errno::Errno> {
    match wait(libc::P_PGID, pgid) {
        Err(nix::errno::Errno::ECHILD) => Ok(false),
        result => result.map(|_| true),
    }
}

fn look(kind: libc::idtype_t, id: i32) -> Result<Option<(i32, ExitStatus)>, nix::errno::Errno> {
    match wait(kind, id) {
        // There is no such child.
        Err(nix::errno::Errno::ECHILD) => Ok(None),
        result => result,
    }
}

fn wait(kind: libc::idtype_t, id: i32) -> Result<Option<(i32, ExitStatus)>, nix::errno::Errno> {
    // SAFETY: all zeros is a valid siginfo_t; waitid(2) leaves it so when no child has ended.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is ours to be written to.
    let result = unsafe { libc::waitid(kind, id as libc::id_t, &mut info, options) };
    nix::errno::Errno::result(result)?;
    // SAFETY: waitid(2) fills in these two fields, or leaves the zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid > 0).then(|| (pid, exit_status(info.si_code, status))))
}

/// Forgets an ended child: from now on its pid may be given to another process.
/// Does nothing to a living one, nor to one that is forgotten already.
pub fn reap(pid: i32) -> Result<(), nix::errno::Errno> {
    if pid <= 0 {
        return Ok(());
    }
    // SAFETY: a null pointer asks for no status (waitpid(2)).
    let result = unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG) };
    match nix::errno::Errno::result(result) {
        Err(nix::errno::Errno::ECHILD) => Ok(()),
        result => result.map(drop),
    }
}

/// Sends a signal to one process, which has to be a child that is not reaped.
pub fn signal(pid: i32, signal: Signal) -> Result<(), Errno> {
    kill(one(pid)?, signal).map_err(super::errno)
}

/// Sends a signal to what is left of a process group; whether there was
/// anything. A zombie counts, so the group of a job whose first process is not
/// reaped always has something. `EPERM`: there is, but nothing that may be killed.
pub fn kill_group(pgid: i32, signal: Signal) -> Result<bool, Errno> {
    let group = Pid::from_raw(-one(pgid)?.as_raw());
    match kill(group, signal) {
        Ok(()) => Ok(true),
        Err(nix::errno::Errno::ESRCH) => Ok(false),
        Err(error) => Err(super::errno(error)),
    }
}

/// A number below 2 would mean process 1, pmtr's own group, or everything (kill(2)).
fn one(pid: i32) -> Result<Pid, Errno> {
    if pid > 1 {
        Ok(Pid::from_raw(pid))
    } else {
        Err(super::errno(nix::errno::Errno::EINVAL))
    }
}

fn exit_status(code: i32, status: i32) -> ExitStatus {
    match code {
        libc::CLD_EXITED => ExitStatus::Code(status),
        _ => ExitStatus::Signal(status), // CLD_KILLED, CLD_DUMPED
    }
}
