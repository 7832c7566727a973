//! The echo to standard error: never waits, and leaves the flags of a
//! description that others share as they are.
//!
//! A socket is written with `MSG_DONTWAIT`. A pipe or terminal is opened anew
//! through /proc, so that `O_NONBLOCK` is ours alone; where that is not allowed,
//! poll(2) is asked before every write, which is then small enough to fit. A
//! file takes all at once.

use super::super::held::Held;
use super::super::poll::{Poller, Token};
use super::super::stat::{fstat, Stat};
use super::super::std::io::IoSlice;
use super::super::std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use super::super::std::{env, format, prelude::v1::*};
use super::sinks::lost_text;
use super::wait::Wait;
use crate::limits::LOG_BATCH;
use crate::ring::{Reader, Ring};
use crate::time::Instant;
use core::fmt::Write;
use core::time::Duration;
use heapless::Vec;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{sendmsg, MsgFlags};
use nix::sys::stat::{Mode, SFlag};
use nix::sys::uio::writev;

/// What one write has at most: as much as a pipe takes whole (pipe(7), `PIPE_BUF`),
/// and as one does not block for that poll(2) calls writable. A longer record goes in parts.
const WRITE_BYTES: usize = 4096;

/// The null device (null(4)): an echo to it is none.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// How soon a descriptor is tried again that is full and cannot be polled.
const RETRY: Duration = Duration::from_millis(100);

/// The longest line that tells of lost records.
const NOTE_BYTES: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Off,
    Socket,
    /// Does not block by itself: a file, or what was opened anew.
    Plain,
    /// Might block: poll(2) before each write.
    Polled,
}

/// Standard error as a place for the log. All zeros: none.
pub(super) struct Stderr {
    kind: Kind,
    fd: Held,
    wait: Wait,
    /// Not to be tried before.
    retry_at: Instant,
    /// What of the oldest record is written already.
    written: usize,
    /// What of a line that tells of lost records is not written yet, and of how many it tells.
    note: Vec<u8, NOTE_BYTES>,
    noted: u32,
}

impl Stderr {
    pub const fn new() -> Self {
        Stderr {
            kind: Kind::Off,
            fd: Held::NONE,
            wait: Wait::NONE,
            retry_at: Instant::BOOT,
            written: 0,
            note: Vec::new(),
            noted: 0,
        }
    }

    /// Echoes to the file that `fd` is open for, from the next record on; to
    /// none if that is the null device, or cannot be held.
    pub fn open(&mut self, fd: BorrowedFd<'_>) {
        *self = Stderr::new();
        let Ok(stat) = fstat(fd) else { return };
        if let Some((kind, fd)) = hold(fd, &stat) {
            self.kind = kind;
            self.fd = Held::new(fd);
        }
    }

    /// Echoes no more.
    pub fn close(&mut self) {
        *self = Stderr::new();
    }

    pub fn is_open(&self) -> bool {
        self.kind != Kind::Off
    }

    /// Returns true if there is nothing to be written but what is in the ring.
    pub fn is_empty(&self) -> bool {
        self.note.is_empty()
    }

    /// It can be written again.
    pub fn writable(&mut self) {
        self.wait.over();
    }

    /// When [`flush`](Self::flush) is to be called though nothing else has happened.
    pub fn deadline(&self, ring: &Ring) -> Option<Instant> {
        let idle =
            self.wait.is_waiting() || (self.note.is_empty() && ring.is_empty(Reader::Stderr));
        (self.is_open() && !idle).then_some(self.retry_at)
    }

    /// Writes what is taken now. Lost records are told of under the id `pid`.
    pub fn flush(&mut self, ring: &mut Ring, pid: i32, now: Instant, poller: Option<&Poller>) {
        if !self.is_open() || self.wait.is_waiting() || now < self.retry_at {
            return;
        }
        loop {
            match self.write(ring, pid) {
                Ok(true) | Err(Errno::EINTR) => {}
                Ok(false) => return,
                Err(Errno::EAGAIN) => return self.wait(now, poller),
                Err(Errno::ENOBUFS | Errno::ENOMEM) => return self.retry_at = now + RETRY,
                Err(errno) if is_passing(errno) => return self.skip(ring),
                Err(_) => return self.close(),
            }
        }
    }

    /// One write; false if there is nothing to be written.
    ///
    /// Not inlined: the tables for the call are on the stack.
    #[inline(never)]
    fn write(&mut self, ring: &mut Ring, pid: i32) -> Result<bool, Errno> {
        let Some(fd) = self.fd.fd() else { return Ok(false) };
        if self.note.is_empty() && ring.lost(Reader::Stderr) > 0 {
            (self.note, self.noted) = note(ring.lost(Reader::Stderr), self.written > 0, pid);
            self.written = 0;
        }
        let (parts, is_note) = match self.note.is_empty() {
            true => (gather(ring, self.written), false),
            false => (Vec::from_iter([IoSlice::new(&self.note)]), true),
        };
        if parts.is_empty() {
            return Ok(false);
        }
        let count = put(fd, self.kind, &parts)?;
        drop(parts);
        if is_note {
            self.pass_note(ring, count);
        } else {
            self.pass(ring, count);
        }
        Ok(true)
    }

    /// `count` more bytes of the note are written.
    fn pass_note(&mut self, ring: &mut Ring, count: usize) {
        let left = self.note.len() - count;
        self.note.rotate_left(count);
        self.note.truncate(left);
        if left == 0 {
            ring.told(Reader::Stderr, self.noted);
        }
    }

    /// `count` more bytes of records are written.
    fn pass(&mut self, ring: &mut Ring, count: usize) {
        self.written += count;
        let mut whole = 0;
        for record in ring.records(Reader::Stderr) {
            let len = record.echo().len();
            if self.written < len {
                break;
            }
            self.written -= len;
            whole += 1;
        }
        ring.advance(Reader::Stderr, whole);
    }

    /// Does without what cannot be written now: a full disk. It is told of with the next record.
    fn skip(&mut self, ring: &mut Ring) {
        self.note.clear();
        ring.lose(Reader::Stderr, ring.records(Reader::Stderr).count());
    }

    fn wait(&mut self, now: Instant, poller: Option<&Poller>) {
        let Some(fd) = self.fd.fd() else { return };
        if self.wait.begin(fd, Token::Stderr, poller).is_err() {
            self.retry_at = now + RETRY;
        }
    }
}

/// Returns true if `fd` is the stream that systemd connected to the journal
/// (systemd.exec(5), `$JOURNAL_STREAM`). To be asked at start-up: it allocates.
pub(in super::super) fn is_journal(fd: BorrowedFd<'_>) -> bool {
    let stat = fstat(fd).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    matches!((env::var("JOURNAL_STREAM"), stat), (Ok(stream), Ok(stat)) if stream == stat)
}

/// What can be written without blocking to the file that `fd` is open for, and how.
fn hold(fd: BorrowedFd<'_>, stat: &Stat) -> Option<(Kind, OwnedFd)> {
    let is = |kind: SFlag| stat.st_mode & SFlag::S_IFMT.bits() == kind.bits();
    let copy = |kind| fd.try_clone_to_owned().ok().map(|copy| (kind, copy));
    if is(SFlag::S_IFCHR) && stat.st_rdev == NULL_DEVICE {
        None
    } else if is(SFlag::S_IFSOCK) {
        copy(Kind::Socket)
    } else if is(SFlag::S_IFCHR) || is(SFlag::S_IFIFO) {
        open_anew(fd).map(|own| (Kind::Plain, own)).or_else(|| copy(Kind::Polled))
    } else {
        copy(Kind::Plain)
    }
}

fn open_anew(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(&*path, flags, Mode::empty()).ok()
}

/// What is to be said of `lost` records, and how many that were; it ends the
/// line of a record that is lost half written.
fn note(lost: u32, half_written: bool, pid: i32) -> (Vec<u8, NOTE_BYTES>, u32) {
    let mut note = Vec::new();
    let end = if half_written { "\n" } else { "" };
    // It fits: the numbers have 21 digits and a sign together.
    let _ = writeln!(note, "{end}pmtr[{pid}]: {}", lost_text(lost));
    (note, lost)
}

/// As many records as one write may have, the first without what is `written` of it.
fn gather(ring: &Ring, written: usize) -> Vec<IoSlice<'_>, LOG_BATCH> {
    let mut parts = Vec::new();
    let (mut skip, mut room) = (written, WRITE_BYTES);
    for record in ring.records(Reader::Stderr) {
        let part = &record.echo()[skip..];
        if part.len() > room && !parts.is_empty() {
            break;
        }
        let part = &part[..part.len().min(room)];
        if parts.push(IoSlice::new(part)).is_err() {
            break;
        }
        (skip, room) = (0, room - part.len());
    }
    parts
}

fn put(fd: BorrowedFd<'_>, kind: Kind, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    match kind {
        Kind::Off => Err(Errno::EBADF),
        Kind::Socket => {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            sendmsg::<()>(fd.as_raw_fd(), parts, &[], flags, None)
        }
        Kind::Plain => writev(fd, parts),
        Kind::Polled => {
            match poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::ZERO)? {
                0 => Err(Errno::EAGAIN),
                _ => writev(fd, parts),
            }
        }
    }
}

/// Returns true if an error is about these bytes, or this moment, and not that nobody
/// will ever read again what is written.
fn is_passing(errno: Errno) -> bool {
    !matches!(errno, Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN | Errno::EBADF)
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{fs::File, io::Read, vec::Vec};
    use super::*;
    use crate::ring::{Class, Mode};
    use nix::unistd::pipe2;

    fn push(ring: &mut Ring, line: &[u8]) -> bool {
        let written = ring.reserve(Class::Job, line.len()).map(|slot| slot.copy_from_slice(line));
        if written.is_ok() {
            ring.commit(Class::Job, line.len(), 0);
        }
        written.is_ok()
    }

    /// Where /proc is not mounted, or the pipe belongs to another user.
    #[test]
    fn a_pipe_that_cannot_be_opened_anew_does_not_block_either() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut stderr = Stderr::new();
        (stderr.kind, stderr.fd) = (Kind::Polled, Held::new(writer));
        let mut ring = Ring::new();
        ring.set_mode(Reader::Syslog, Mode::Off);
        let mut count = 0;
        // More than the pipe and the ring have room for: the flush returns nevertheless.
        for _ in 0..20 {
            while push(&mut ring, b"a line of text\n") {
                count += 1;
            }
            stderr.flush(&mut ring, 1, Instant::BOOT, None);
        }
        assert!(!ring.is_empty(Reader::Stderr));
        let mut text = Vec::new();
        let (mut reader, mut bytes) = (File::from(reader), [0; 65536]);
        while !ring.is_empty(Reader::Stderr) {
            let len = reader.read(&mut bytes).unwrap();
            text.extend_from_slice(&bytes[..len]);
            stderr.flush(&mut ring, 1, Instant::BOOT, None);
        }
        stderr.close();
        reader.read_to_end(&mut text).unwrap();
        assert!(text == b"a line of text\n".repeat(count));
    }

    #[test]
    fn a_line_that_is_lost_half_written_is_ended() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut stderr = Stderr::new();
        (stderr.kind, stderr.fd) = (Kind::Plain, Held::new(writer));
        let mut ring = Ring::new();
        push(&mut ring, b"first\n");
        push(&mut ring, b"second\n");
        // As if a terminal had taken three bytes, and the ring had been filled since.
        stderr.written = 3;
        ring.lose(Reader::Stderr, 1);
        stderr.flush(&mut ring, 7, Instant::BOOT, None);
        stderr.close();
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "\npmtr[7]: 1 log messages lost\nsecond\n");
    }

    #[test]
    fn a_partial_write_goes_on_where_it_stopped() {
        let mut stderr = Stderr::new();
        let mut ring = Ring::new();
        push(&mut ring, b"first\n");
        push(&mut ring, b"second\n");
        stderr.pass(&mut ring, 8);
        assert_eq!(&*gather(&ring, stderr.written)[0], b"cond\n");
        stderr.pass(&mut ring, 5);
        assert!(ring.is_empty(Reader::Stderr) && stderr.written == 0);
    }
}
