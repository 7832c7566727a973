//! Becoming a daemon whose start is known to have worked (daemon(7), "SysV Daemons").
//!
//! [`detach`] forks. The first process waits until the second has called
//! [`Launch::ready`], or is gone, and its exit status tells which: so an init
//! script knows whether the start has worked, and reads why not on stderr,
//! which the second process has until it is ready.
//!
//! There is no second fork. It would keep the daemon from ever getting a
//! controlling terminal, which a session leader gets by opening a terminal
//! without `O_NOCTTY`; pmtr opens what may be one only with it.

use super::signals::unblock_all;
use super::stat::fstat;
use super::std::{
    eprintln, io,
    os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
    os::unix::net::UnixStream,
    prelude::v1::*,
    process,
};
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::{umask, Mode, SFlag};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{
    dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, pipe2, read, setsid, write, ForkResult, Pid,
};

/// Opens /dev/null as each of the descriptors 0 to 2 that is closed, so that
/// nothing else gets such a number and takes what is meant for stdout or stderr.
pub fn sanitise_stdio() -> io::Result<()> {
    loop {
        let lowest = nothing()?;
        if lowest.as_raw_fd() > 2 {
            return Ok(());
        }
        let _kept_for_life = lowest.into_raw_fd();
    }
}

/// Returns true if there is a stderr that somebody may read: /dev/null is none. It is
/// also what stands there when pmtr was started with a closed one, once
/// [`sanitise_stdio`] has opened it.
pub fn has_stderr() -> bool {
    fstat(io::stderr()).is_ok() && !is_null(&io::stderr())
}

/// Returns true if the file is /dev/null.
pub(super) fn is_null(file: &impl AsFd) -> bool {
    fstat(file).is_ok_and(|file| {
        let is_device = file.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits();
        is_device && file.st_rdev == (1, 3)
    })
}

/// Returns true if this process is process 1, which cannot become a daemon.
pub fn is_process_one() -> bool {
    getpid() == Pid::from_raw(1)
}

/// A start that is under way, and in a daemon's case the process that waits for its end.
pub struct Launch {
    /// The pipe to the waiting process; none in the foreground.
    waiting: Option<OwnedFd>,
}

impl Launch {
    /// A start in the foreground: nobody waits.
    pub fn foreground() -> Self {
        Launch { waiting: None }
    }

    /// Returns true if a process waits for the end of the start, and the terminal is about to be left.
    pub fn is_daemon(&self) -> bool {
        self.waiting.is_some()
    }

    /// Tells the waiting process that the start has worked, and lets go of the
    /// terminal: descriptors 0 to 2 become /dev/null. Does nothing in the foreground.
    ///
    /// A start that does not work is not told here: print why to stderr and
    /// exit with the status that the waiting process is to hand on.
    pub fn ready(self) -> io::Result<()> {
        let Some(waiting) = self.waiting else { return Ok(()) };
        let nothing = nothing()?;
        dup2_stdin(&nothing)?;
        dup2_stdout(&nothing)?;
        dup2_stderr(&nothing)?;
        // Where nobody waits any more, nobody needs to know.
        let _ = write(&waiting, b"+");
        Ok(())
    }
}

/// Goes on in a new process: leader of a new session, in the same directory,
/// with umask 022. The caller's process never returns from here: it waits for
/// [`Launch::ready`] and exits with 0, or with 1 when the new process ended before.
///
/// To be called while there is no other thread; relative paths are to be made
/// [absolute](super::options::Options::absolute) before. Locks of fcntl(2),
/// as [`State`](super::state::State) and [`PidFile`](super::pidfile::PidFile)
/// hold them, do not come along: take them afterwards.
pub fn detach() -> Result<Launch, Errno> {
    let (told, waiting) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: there is no other thread whose locks the new process could miss.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(waiting);
            unblock_all();
            process::exit(outcome(&told, child))
        }
        ForkResult::Child => {
            setsid()?;
            umask(Mode::S_IWGRP | Mode::S_IWOTH);
            Ok(Launch { waiting: Some(waiting) })
        }
    }
}

/// Waits for the end of the start; returns the exit status that tells it.
fn outcome(told: &OwnedFd, child: Pid) -> i32 {
    loop {
        match read(told, &mut [0]) {
            Ok(1) => return 0,
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => break,
        }
    }
    match waitpid(child, None) {
        // It has told why.
        Ok(WaitStatus::Exited(_, 1..)) => {}
        Ok(WaitStatus::Signaled(_, signal, _)) => {
            eprintln!("pmtr: the start failed: ended by signal {}", signal as i32)
        }
        _ => eprintln!("pmtr: the start failed: ended too early"),
    }
    1
}

/// A descriptor that takes everything and gives nothing: /dev/null, or where
/// that is missing a socket whose other end is closed.
pub(super) fn nothing() -> io::Result<OwnedFd> {
    match open("/dev/null", OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty()) {
        Ok(null) => Ok(null),
        Err(_) => Ok(UnixStream::pair()?.0.into()),
    }
}
