//! The processes of a session, found in /proc (setsid(2), proc_pid_stat(5)).
//!
//! A job is a session. Its first process stays a zombie until nothing else is left of
//! the session, so that the session's number cannot become that of another one. Signals
//! go to the process group of that number, and to every process of another group through
//! a descriptor of the process (pidfd_open(2)), after a second look at its session.
//!
//! Nothing here allocates: getdents64(2) reads the directory into a buffer on the stack.

use core::ffi::{c_int, CStr};
use core::fmt::{self, Write};

use super::reap;
use super::std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use super::std::prelude::v1::*;
use crate::process::Process;
use nix::errno::Errno;
use nix::fcntl::{open, openat, OFlag};
use nix::libc::{self, c_long};
use nix::sys::signal::{kill, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{getpid, lseek, read, Pid, Whence};

/// Ends what is left of a session, or only checks (None). Returns whether anything is left.
/// `leader`, whose id is the session's, has ended; without /proc this reaps it, and knows only
/// its process group.
pub fn end(leader: i32, signal: Option<Signal>) -> Result<bool, Errno> {
    let ended = match Processes::open() {
        Ok(processes) => processes.signal(leader, signal),
        Err(Errno::ENOENT) => return end_group(leader, signal),
        Err(errno) => Err(errno),
    };
    if let (Err(_), Some(signal)) = (ended, signal) {
        // Its own group at least: the zombie holds the number.
        let _ = reap::kill_group(leader, signal);
    }
    ended
}

fn end_group(pgid: i32, signal: Option<Signal>) -> Result<bool, Errno> {
    reap::reap(pgid)?;
    let is_left = reap::has_child_in(pgid)?;
    if let Some(signal) = signal.filter(|_| is_left) {
        let _ = reap::kill_group(pgid, signal);
    }
    Ok(is_left)
}

/// Returns true if nothing is left of the session of `leader`, which has ended. Where pmtr has
/// adopted no orphan there is nothing to look for: what a leader leaves has lost its parent.
pub fn is_alone(leader: i32, has_orphans: impl Fn() -> bool) -> Result<bool, Errno> {
    if has_orphans() {
        end(leader, None).map(|is_left| !is_left)
    } else {
        Ok(true)
    }
}

/// Returns true if pmtr has a child that is not `known`, or may have one.
pub fn has_other_child(known: impl Fn(i32) -> bool) -> bool {
    // A kernel without CONFIG_PROC_CHILDREN has no such list.
    let found = Processes::open().and_then(|processes| processes.has_other_child(known));
    found.unwrap_or(true)
}

/// How many ended children are found at once.
const ENDED_AT_ONCE: usize = 512;

/// Returns ended children of pmtr that are not `kept`, as many as it finds at once.
pub fn ended_children(
    kept: impl Fn(i32) -> bool,
) -> Result<heapless::Vec<i32, ENDED_AT_ONCE>, Errno> {
    let (this, mut ended) = (getpid().as_raw(), heapless::Vec::new());
    Processes::open()?.each(|process| {
        if process.parent == this && process.ended && !kept(process.pid) {
            // The next call finds those for which there is no room.
            let _ = ended.push(process.pid);
        }
    })?;
    Ok(ended)
}

/// All processes of pmtr's PID namespace, as /proc shows them.
pub struct Processes {
    proc: OwnedFd,
}

impl Processes {
    /// Opens /proc. `ENOENT`: it is not mounted, or belongs to another PID namespace.
    pub fn open() -> Result<Self, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let processes = Processes { proc: open("/proc", flags, Mode::empty())? };
        match processes.read("self")? {
            Some(this) if this.pid == getpid().as_raw() => Ok(processes),
            Some(_) | None => Err(Errno::ENOENT),
        }
    }

    /// Calls `see` with every process; may miss one that begins or ends meanwhile.
    pub fn each(&self, mut see: impl FnMut(Process)) -> Result<(), Errno> {
        lseek(&self.proc, 0, Whence::SeekSet)?;
        let mut entries = Entries::new();
        while entries.fill(&self.proc)? {
            while let Some(name) = entries.next() {
                // Other entries than those of processes have no number for a name.
                if name.parse::<i32>().is_ok() {
                    self.read(name)?.into_iter().for_each(&mut see);
                }
            }
        }
        Ok(())
    }

    /// Sends a signal to all that is left of a session, or only looks (None). Returns whether
    /// anything is left. `leader`, whose id is the session's, has to be there, as a zombie at least:
    /// otherwise its number may be that of another session, and nothing is left.
    pub fn signal(&self, leader: i32, signal: Option<Signal>) -> Result<bool, Errno> {
        if self.find(leader)?.is_none() {
            return Ok(false);
        }
        let mut is_left = false;
        self.each(|process| {
            if process.session == leader && process.pid != leader && !process.ended {
                is_left = true;
                if let Some(signal) = signal.filter(|_| process.group != leader) {
                    self.send(process, signal);
                }
            }
        })?;
        if let Some(signal) = signal.filter(|_| is_left) {
            // What may not be signalled shows in that it stays.
            let _ = reap::kill_group(leader, signal);
        }
        Ok(is_left)
    }

    /// Returns true if pmtr has a child that is not `known`: an orphan that it has adopted.
    /// `ENOENT`: the kernel has no list of children (`CONFIG_PROC_CHILDREN`).
    pub fn has_other_child(&self, known: impl Fn(i32) -> bool) -> Result<bool, Errno> {
        // pmtr has one thread, so its children are those of the thread (proc_tid_children(5)).
        let file = openat(&self.proc, "thread-self/children", READ, Mode::empty())?;
        let (mut bytes, mut pid) = ([0; STAT_BYTES], 0);
        loop {
            let len = read(&file, &mut bytes)?;
            for byte in &bytes[..len] {
                if byte.is_ascii_digit() {
                    pid = pid * 10 + i32::from(byte - b'0');
                } else if pid != 0 && !known(core::mem::take(&mut pid)) {
                    return Ok(true);
                }
            }
            if len == 0 {
                return Ok(false);
            }
        }
    }

    /// Signals one process, unless its number has become that of another one.
    pub(super) fn send(&self, process: Process, signal: Signal) {
        let held = pidfd_open(process.pid);
        let now = self.find(process.pid).ok().flatten();
        let is_same =
            now.is_some_and(|now| (now.session, now.started) == (process.session, process.started));
        match held {
            Ok(held) if is_same && pidfd_signal(&held, signal) => {}
            Ok(_) if is_same => drop(kill(Pid::from_raw(process.pid), signal)),
            // Before Linux 5.3, in a sandbox, or without a free descriptor.
            Err(_) if is_same => drop(kill(Pid::from_raw(process.pid), signal)),
            Ok(_) | Err(_) => {}
        }
    }

    fn find(&self, pid: i32) -> Result<Option<Process>, Errno> {
        self.read(&text::<12>(format_args!("{pid}"))?)
    }

    /// Returns the process of a directory of /proc; none if it has ended, or is hidden
    /// (`hidepid`).
    fn read(&self, directory: &str) -> Result<Option<Process>, Errno> {
        let path: heapless::String<24> = text(format_args!("{directory}/stat"))?;
        let file = openat(&self.proc, path.as_str(), READ, Mode::empty());
        let mut line = [0; STAT_BYTES];
        match file.and_then(|file| read(file, &mut line)) {
            Ok(len) => Ok(Process::parse(&line[..len])),
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// More than the fields that [`Process::parse`] reads can take: 22 numbers, and a name of 64 bytes.
const STAT_BYTES: usize = 640;

const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC);

fn text<const N: usize>(text: fmt::Arguments<'_>) -> Result<heapless::String<N>, Errno> {
    let mut path = heapless::String::new();
    path.write_fmt(text).map_err(|_| Errno::ENAMETOOLONG)?;
    Ok(path)
}

fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    const NO_FLAGS: c_long = 0;
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, c_long::from(pid), NO_FLAGS) };
    let fd = Errno::result(fd)? as c_int;
    // SAFETY: the descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns false where a sandbox or an emulator does not let a descriptor be used for it. A process
/// that has ended meanwhile needs no signal; one that may not be signalled stays.
fn pidfd_signal(process: &OwnedFd, signal: Signal) -> bool {
    const NO_INFO: c_long = 0;
    let (fd, signal) = (c_long::from(process.as_raw_fd()), signal as c_long);
    // SAFETY: a null pointer stands for the information that kill(2) would send.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, NO_INFO, NO_INFO) };
    sent == 0 || Errno::last() == Errno::ESRCH
}

/// Entries of a directory, a buffer full at a time (getdents64(2)).
struct Entries {
    buffer: Buffer,
    len: usize,
    next: usize,
}

/// Aligned as the kernel writes its `struct linux_dirent64`.
#[repr(align(8))]
struct Buffer([u8; 2048]);

/// Where in a `struct linux_dirent64` its length and its name begin.
const LENGTH_AT: usize = 16;
const NAME_AT: usize = 19;

impl Entries {
    fn new() -> Self {
        Entries { buffer: Buffer([0; 2048]), len: 0, next: 0 }
    }

    /// Reads the next entries. Returns false at the end of the directory.
    fn fill(&mut self, directory: &OwnedFd) -> Result<bool, Errno> {
        let (fd, size) = (c_long::from(directory.as_raw_fd()), self.buffer.0.len());
        let bytes = self.buffer.0.as_mut_ptr();
        // SAFETY: the kernel writes at most `size` bytes into the buffer, which has as many.
        let len = unsafe { libc::syscall(libc::SYS_getdents64, fd, bytes, size) };
        self.len = Errno::result(len)? as usize;
        self.next = 0;
        Ok(self.len > 0)
    }

    /// Returns the name of the next entry that was read, if it is text.
    fn next(&mut self) -> Option<&str> {
        let entry = self.buffer.0[..self.len].get(self.next..).filter(|rest| !rest.is_empty())?;
        let length = entry.get(LENGTH_AT..LENGTH_AT + 2)?;
        self.next += usize::from(u16::from_ne_bytes([length[0], length[1]]));
        let name = CStr::from_bytes_until_nul(entry.get(NAME_AT..)?).ok()?;
        Some(name.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::{assert_eq, os::unix::process::CommandExt, process::Command, vec};
    use super::*;
    use nix::unistd::setsid;

    #[test]
    fn this_process_is_there_once() {
        let (processes, mut found) = (Processes::open().unwrap(), vec![]);
        let this = getpid().as_raw();
        processes.each(|process| found.extend((process.pid == this).then_some(process))).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(processes.read("self").unwrap(), Some(found[0]));
    }

    #[test]
    fn a_child_that_nobody_knows_is_seen() {
        let processes = Processes::open().unwrap();
        let mut child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        assert_eq!(processes.has_other_child(|known| known != pid), Ok(true));
        assert_eq!(processes.has_other_child(|_| true), Ok(false));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_signal_reaches_all_groups_of_a_session_but_not_its_leader() {
        let processes = Processes::open().unwrap();
        let script = "set -m; sleep 1000 & sleep 1000 & set +m; sleep 1000 & echo; wait";
        let mut shell = Command::new("/bin/bash");
        shell.args(["-c", script]).stdout(super::super::std::process::Stdio::piped());
        // SAFETY: setsid(2) may be called between fork and exec.
        unsafe { shell.pre_exec(|| setsid().map(drop).map_err(Into::into)) };
        let mut shell = shell.spawn().unwrap();
        let leader = shell.id() as i32;
        let mut ready = [0];
        read(shell.stdout.as_ref().unwrap(), &mut ready).unwrap();
        assert_eq!(processes.signal(leader, Some(Signal::SIGKILL)), Ok(true));
        while processes.signal(leader, None).unwrap() {}
        let _ = shell.wait();
    }
}
