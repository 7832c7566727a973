//! The process that writes pmtr's stderr where that is a file.
//!
//! A write to a file waits as long as its file system hangs (FUSE, NFS, one that is frozen), and
//! `O_NONBLOCK` changes nothing about that; nor can whoever has such a file open be sure to end, as
//! close(2) may wait, too. So a child has the file, and pmtr and its jobs have a pipe to it instead,
//! which is written like every other pipe. The child ends when nobody has the pipe any more.
//!
//! There is none for the other kinds of stderr; for process 1, which could not tell it from what
//! jobs have left; and for a daemon, which lets go of its stderr before the loop.

use super::daemon::{is_process_one, nothing};
use super::log;
use super::stat::fstat;
use super::std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use super::std::prelude::v1::*;
use super::std::{io, process};
use core::ffi::{c_int, c_long};
use core::fmt::Write as _;
use core::time::Duration;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::stat::SFlag;
use nix::unistd::{
    dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, read, setsid, write, ForkResult,
};

/// How long the end of pmtr waits until all is written.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// One reading: as much as is written to a pipe in one piece (pipe(7)).
const READ_BYTES: usize = 4096;

/// The other end of the process.
pub struct FileWriter {
    pid: i32,
    /// Has its end when the process has ended.
    done: OwnedFd,
    is_stdout: bool,
}

impl FileWriter {
    /// Starts the process if stderr is a file, and puts its pipe in the place of the file. To
    /// be called at start-up, before anything else is open. Without a process pmtr goes on with the file.
    pub fn start() -> Option<FileWriter> {
        let is_file = |fd: BorrowedFd<'_>| {
            let stat = fstat(fd).ok()?;
            let is = |kind: SFlag| stat.st_mode & SFlag::S_IFMT.bits() == kind.bits();
            (is(SFlag::S_IFREG) || is(SFlag::S_IFBLK)).then_some((stat.st_dev, stat.st_ino))
        };
        let file = is_file(io::stderr().as_fd())?;
        if is_process_one() || log::is_journal(io::stderr().as_fd()) {
            return None;
        }
        let is_stdout = is_file(io::stdout().as_fd()) == Some(file);
        let (text, ours) = pipe2(OFlag::O_CLOEXEC).ok()?;
        let (done, theirs) = pipe2(OFlag::O_CLOEXEC).ok()?;
        let parent = process::id();
        // SAFETY: there is no other thread whose locks the new process could miss.
        let pid = match unsafe { fork() }.ok()? {
            ForkResult::Parent { child } => child.as_raw(),
            ForkResult::Child => run(&text, &theirs, parent),
        };
        let writer = FileWriter { pid, done, is_stdout };
        writer.replace(&ours).ok()?;
        Some(writer)
    }

    /// The process, which is a child.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until all is written, but not for long.
    pub fn finish(self) {
        if nothing().and_then(|nothing| self.replace(&nothing)).is_err() {
            return;
        }
        let is_all = log::is_empty();
        log::stderr_replaced();
        if is_all {
            let timeout = PollTimeout::try_from(LAST_WRITES).unwrap_or(PollTimeout::ZERO);
            // It is readable when it has its end. Nothing else can be done about an error.
            let _ = poll(&mut [PollFd::new(self.done.as_fd(), PollFlags::POLLIN)], timeout);
        }
    }

    fn replace(&self, by: &OwnedFd) -> io::Result<()> {
        if self.is_stdout {
            dup2_stdout(by)?;
        }
        Ok(dup2_stderr(by)?)
    }
}

/// The process: 0 is the pipe, 1 what tells its end, 2 the file.
#[inline(never)]
fn run(text: &OwnedFd, done: &OwnedFd, parent: u32) -> ! {
    let is_ready = dup2_stdin(text).is_ok() && dup2_stdout(done).is_ok();
    if is_ready {
        prepare();
        copy(parent);
    }
    // SAFETY: ends the process, and nothing else.
    unsafe { libc::_exit(c_int::from(!is_ready)) }
}

/// Makes the process one that ends only when its work is done, and keeps nothing else open.
fn prepare() {
    const NAME: &[u8] = b"pmtr-stderr\0";
    for signal in
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2]
    {
        // SAFETY: sets a disposition, and no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let _ = setsid();
    // SAFETY: a string with its NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
    let (first, last, flags): (c_long, c_long, c_long) = (3, c_int::MAX.into(), 0);
    // SAFETY: nothing of this process uses a descriptor above 2 any more.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } != 0 {
        // SAFETY: as above.
        (3..1024).for_each(|fd| _ = unsafe { libc::close(fd) });
    }
}

/// Copies until nobody has the other end of the pipe. Lines that the file does not take are counted.
fn copy(parent: u32) {
    let (stdin, stderr) = (io::stdin(), io::stderr());
    let mut bytes = [0; READ_BYTES];
    let mut lost = 0_usize;
    loop {
        let len = match read(stdin.as_fd(), &mut bytes) {
            Ok(0) => return,
            Ok(len) => len,
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        if lost > 0 {
            let mut note = heapless::String::<64>::new();
            // It fits: the numbers have 30 digits together.
            let _ = writeln!(note, "pmtr[{parent}]: {lost} log messages lost");
            if put(stderr.as_fd(), note.as_bytes()) == note.len() {
                lost = 0;
            }
        }
        let written = if lost > 0 { 0 } else { put(stderr.as_fd(), &bytes[..len]) };
        lost += bytes[written..len].iter().filter(|&&byte| byte == b'\n').count();
    }
}

/// Writes all, or as much as the file takes; returns how much.
fn put(file: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match write(file, &bytes[written..]) {
            Ok(count) => written += count,
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    written
}
