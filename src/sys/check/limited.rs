//! Looks at files in a process of their own that gets a limited time.
//!
//! A file system that does not answer holds up whoever asks it, and no signal but SIGKILL ends that.
//! So `pmtr -t` asks in a child, which leads a process group: after ten seconds, or at Ctrl-C, SIGKILL
//! goes to the group, and nothing is left behind.

use super::super::spawn::NoWayBack;
use super::super::std::io::{self, Read, Write};
use super::super::std::os::fd::{AsFd, OwnedFd};
use super::super::std::time::{Duration, Instant};
use super::super::std::{fs::File, prelude::v1::*};
use super::exit;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{killpg, SigSet, SigmaskHow, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, pipe2, setpgid, ForkResult, Pid};

/// How long a look at the files of a job may take.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How long a child that was killed is waited for: the kernel may not let it go.
const REAP_LIMIT: Duration = Duration::from_secs(1);

/// How often it is looked whether somebody wants this program to end, in milliseconds.
const LOOK_EVERY: u16 = 50;

/// Signals by which a person ends a program.
const ENDINGS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// What begins a line that says what the child does next.
const NEXT: char = '\t';

/// What a child has answered.
pub(super) struct Answer {
    /// Its lines.
    pub(super) text: String,
    /// What it was doing when its time was over.
    pub(super) hung: Option<String>,
}

/// Writes what is done next: that is named if it does not end.
pub(super) fn next(out: &mut File, what: impl core::fmt::Display) {
    // A reader that has gone wants to hear no more.
    let _ = writeln!(out, "{NEXT}{what}");
}

/// Runs `step` in a child, for ten seconds at most; what it has written.
pub(super) fn ask(step: impl FnOnce(File)) -> io::Result<Answer> {
    let (answer, out) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&answer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let endings = ENDINGS.into_iter().collect::<SigSet>();
    let before = endings.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    // SAFETY: `pmtr -t` has one thread, so no lock is held by another one.
    let ForkResult::Parent { child } = (unsafe { fork() })? else {
        let _no_way_back = NoWayBack;
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        step(File::from(out));
        exit(0)
    };
    // Whichever of both comes first: the group is there before it is killed.
    let _ = setpgid(child, child);
    drop(out);
    let answered = hear(answer, child);
    before.thread_set_mask()?;
    answered
}

fn hear(answer: OwnedFd, child: Pid) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let is_done = read_all(File::from(answer), &mut bytes)?;
    if !is_done {
        // It is ours, and not reaped.
        let _ = killpg(child, Signal::SIGKILL);
    }
    let status = if is_done { waitpid(child, None)? } else { reap_killed(child)? };
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rev().find_map(|line| line.strip_prefix(NEXT)).map(String::from);
    let text =
        text.lines().filter(|line| !line.starts_with(NEXT)).map(|line| line.to_string() + "\n");
    match status {
        _ if !is_done => Ok(Answer { text: text.collect(), hung: Some(last.unwrap_or_default()) }),
        WaitStatus::Exited(_, 0) => Ok(Answer { text: text.collect(), hung: None }),
        _ => Err(io::Error::other("the examining process failed")),
    }
}

/// Reads up to the end; false if the time is over before, or this program is to end.
fn read_all(mut answer: File, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let end = Instant::now() + LIMIT;
    loop {
        let mut ready = [PollFd::new(answer.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(LOOK_EVERY)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match answer.read_to_end(bytes) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= end || is_to_end() {
            return Ok(false);
        }
    }
}

fn reap_killed(child: Pid) -> io::Result<WaitStatus> {
    let end = Instant::now() + REAP_LIMIT;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive if Instant::now() < end => {
                let _ = poll(&mut [], PollTimeout::from(5u8));
            }
            status => return Ok(status),
        }
    }
}

/// Returns true if a signal waits that will end this program once it is not blocked any more.
fn is_to_end() -> bool {
    let mut pending = core::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a set of signals is numbers, and the kernel fills it.
    let pending = unsafe {
        libc::sigpending(pending.as_mut_ptr());
        SigSet::from_sigset_t_unchecked(pending.assume_init())
    };
    ENDINGS.into_iter().any(|signal| pending.contains(signal))
}
