//! The syslog socket (unix(7), `SOCK_DGRAM`): never waits, comes back after a
//! restart of the receiver, and sends many records in one call.

use super::super::held::Held;
use super::super::poll::{Poller, Token};
use super::super::std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use super::super::std::{path::Path, prelude::v1::*};
use super::wait::Wait;
use crate::limits::LOG_BATCH;
use crate::ring::{Reader, Record, Ring};
use crate::time::Instant;
use core::time::Duration;
use heapless::Vec;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    connect, send, socket, AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr,
};

/// Where receivers are found, in this order.
const PATHS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// How long a receiver that is not there is waited for.
pub(super) const GRACE: Duration = Duration::from_secs(10);

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What a record is cut to that is too long for its receiver (RFC 3164 asks for as much).
const SHORT_BYTES: usize = 1024;

const FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

/// The way to the receiver. All zeros: not connected, and never was.
pub(super) struct Syslog {
    /// Where the user wants it; one of [`PATHS`] otherwise.
    address: Option<UnixAddr>,
    socket: Held,
    wait: Wait,
    /// The kernel has no sendmmsg(2), or does not let us use it.
    single: bool,
    /// Whether it was there once.
    known: bool,
    /// Since when it is not there.
    gone_at: Instant,
    /// It was not there for [`GRACE`]: nothing is kept for it.
    given_up: bool,
    /// Not to be tried before.
    retry_at: Instant,
    /// Zero while all goes well.
    retry_delay: Duration,
}

/// Why sending has come to an end.
enum Stop {
    /// The socket is full.
    Full,
    /// The kernel is short of memory: later.
    Later,
    /// The receiver is gone.
    Gone,
}

/// How many records went, and whether those were fewer than were to go.
struct Sent {
    count: usize,
    is_partial: bool,
}

impl Syslog {
    pub const fn new() -> Self {
        Syslog {
            address: None,
            socket: Held::NONE,
            wait: Wait::NONE,
            single: false,
            known: false,
            gone_at: Instant::BOOT,
            given_up: false,
            retry_at: Instant::BOOT,
            retry_delay: Duration::ZERO,
        }
    }

    /// Connects for the first time, to `path` if one is given.
    pub fn start(&mut self, path: Option<&Path>, now: Instant) {
        self.address = path.and_then(|path| UnixAddr::new(path).ok());
        self.gone_at = now;
        if self.connect(now) {
            self.retry_delay = Duration::ZERO;
        }
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether everything is to be kept for a receiver that was there a moment ago.
    pub fn is_coming_back(&self) -> bool {
        self.known && !self.is_connected() && !self.given_up
    }

    /// Whether it is not there, and nothing is kept for it any more.
    pub fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// The socket can be written again.
    pub fn writable(&mut self) {
        self.wait.over();
    }

    /// When [`flush`](Self::flush) is to be called though nothing else has happened.
    pub fn deadline(&self, ring: &Ring) -> Option<Instant> {
        if self.wait.is_waiting() || ring.is_empty(Reader::Syslog) {
            None
        } else if self.is_connected() || self.given_up {
            Some(self.retry_at)
        } else {
            Some(self.retry_at.min(self.gone_at + GRACE))
        }
    }

    /// Sends what the receiver takes now; before it `note`, which tells of lost records.
    pub fn flush(&mut self, ring: &mut Ring, note: &[u8], now: Instant, poller: Option<&Poller>) {
        if self.wait.is_waiting() || ring.is_empty(Reader::Syslog) {
            return;
        }
        while now >= self.retry_at && (self.is_connected() || self.connect(now)) {
            match self.send(ring, note, poller.is_some()) {
                Ok(()) => {
                    self.retry_delay = Duration::ZERO;
                    return;
                }
                Err(Stop::Full) => return self.wait(now, poller),
                Err(Stop::Later) => return self.put_off(now),
                Err(Stop::Gone) => self.disconnect(now),
            }
        }
        if !self.is_connected() {
            self.given_up |= now >= self.gone_at + GRACE;
            if self.given_up {
                ring.lose(Reader::Syslog, ring.records(Reader::Syslog).count());
            }
        }
    }

    fn connect(&mut self, now: Instant) -> bool {
        self.put_off(now);
        let Some(socket) = connect_to(self.address.as_ref()) else { return false };
        self.socket = Held::new(socket);
        self.known = true;
        self.given_up = false;
        self.retry_at = now;
        true
    }

    fn disconnect(&mut self, now: Instant) {
        self.socket = Held::NONE;
        self.wait = Wait::NONE;
        if self.retry_delay.is_zero() {
            self.gone_at = now;
        } else {
            self.put_off(now);
        }
    }

    /// Not again before a pause, which is longer every time until all goes well.
    fn put_off(&mut self, now: Instant) {
        self.retry_delay = (self.retry_delay * 2).clamp(FIRST_RETRY, LAST_RETRY);
        self.retry_at = now + self.retry_delay;
    }

    fn wait(&mut self, now: Instant, poller: Option<&Poller>) {
        self.retry_delay = Duration::ZERO;
        let Some(socket) = self.socket.fd() else { return };
        if self.wait.begin(socket, Token::Syslog, poller).is_err() {
            self.put_off(now);
        }
    }

    fn send(&mut self, ring: &mut Ring, note: &[u8], polled: bool) -> Result<(), Stop> {
        let Some(socket) = self.socket.fd() else { return Err(Stop::Gone) };
        if !note.is_empty() {
            send_one(socket, note).or_else(stop)?;
            ring.told(Reader::Syslog, ring.lost(Reader::Syslog));
        }
        while !ring.is_empty(Reader::Syslog) {
            let sent = if self.single { send_next(socket, ring) } else { send_many(socket, ring) };
            match sent {
                Ok(sent) => {
                    ring.advance(Reader::Syslog, sent.count);
                    if sent.is_partial && polled {
                        // Whatever stopped it, trying again at once would most
                        // likely find the socket full: the poller knows.
                        return Err(Stop::Full);
                    }
                }
                Err(Errno::ENOSYS | Errno::EPERM) if !self.single => self.single = true,
                Err(Errno::EMSGSIZE) => send_short(socket, ring).or_else(stop)?,
                Err(errno) => stop(errno)?,
            }
        }
        Ok(())
    }
}

fn stop(errno: Errno) -> Result<(), Stop> {
    match errno {
        Errno::EINTR => Ok(()),
        Errno::EAGAIN => Err(Stop::Full),
        Errno::ENOBUFS | Errno::ENOMEM => Err(Stop::Later),
        _ => Err(Stop::Gone),
    }
}

/// A socket connected to `address`, or else to the first receiver that is there.
fn connect_to(address: Option<&UnixAddr>) -> Option<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).ok()?;
    let connected = match address {
        Some(address) => connect(socket.as_raw_fd(), address).is_ok(),
        None => PATHS
            .iter()
            .filter_map(|path| UnixAddr::new(*path).ok())
            .any(|address| connect(socket.as_raw_fd(), &address).is_ok()),
    };
    connected.then_some(socket)
}

fn send_one(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    send(socket.as_raw_fd(), bytes, FLAGS).map(drop)
}

fn send_next(socket: BorrowedFd<'_>, ring: &Ring) -> Result<Sent, Errno> {
    ring.records(Reader::Syslog)
        .next()
        .map_or(Ok(0), |record| send_one(socket, text(record)).map(|()| 1))
        .map(|count| Sent { count, is_partial: false })
}

/// Sends the next record cut short, or loses it if not even that is taken.
fn send_short(socket: BorrowedFd<'_>, ring: &mut Ring) -> Result<(), Errno> {
    let Some(record) = ring.records(Reader::Syslog).next() else { return Ok(()) };
    let text = text(record);
    match send_one(socket, &text[..text.len().min(SHORT_BYTES)]) {
        Ok(()) => ring.advance(Reader::Syslog, 1),
        Err(Errno::EMSGSIZE) => ring.lose(Reader::Syslog, 1),
        Err(errno) => return Err(errno),
    }
    Ok(())
}

/// Sends up to [`LOG_BATCH`] records in one call (sendmmsg(2)); returns how many went.
///
/// Not inlined: the tables for the call are on the stack.
#[inline(never)]
fn send_many(socket: BorrowedFd<'_>, ring: &Ring) -> Result<Sent, Errno> {
    let mut parts: Vec<libc::iovec, LOG_BATCH> = Vec::new();
    let mut messages: Vec<libc::mmsghdr, LOG_BATCH> = Vec::new();
    // Not collected, which makes a second table to return the first one.
    parts.extend(ring.records(Reader::Syslog).take(LOG_BATCH).map(part));
    messages.extend(parts.iter_mut().map(message));
    let (at, count) = (messages.as_mut_ptr(), messages.len() as u32);
    // SAFETY: `count` messages, each with one part, which points into the ring; it is only read.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), at, count, FLAGS.bits() as _) };
    Errno::result(sent).map(|sent| Sent { count: sent as usize, is_partial: sent < count as i32 })
}

fn part(record: Record<'_>) -> libc::iovec {
    let text = text(record);
    libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() }
}

fn message(part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: all zeros is a value of the struct: no address, no parts, no control messages.
    let mut message: libc::mmsghdr = unsafe { core::mem::zeroed() };
    message.msg_hdr.msg_iov = part;
    message.msg_hdr.msg_iovlen = 1;
    message
}

/// What of a record is sent: all but its newline.
fn text(record: Record<'_>) -> &[u8] {
    match record.bytes() {
        [text @ .., b'\n'] => text,
        all => all,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{os::unix::net::UnixDatagram, vec::Vec};
    use super::*;
    use crate::ring::Class;

    #[test]
    fn many_records_go_in_one_call() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new();
        syslog.start(Some(&path), Instant::BOOT);
        let mut ring = Ring::new();
        for number in 0..LOG_BATCH as u8 {
            ring.reserve(Class::Own, 2).unwrap().copy_from_slice(&[number, b'\n']);
            ring.commit(Class::Own, 2, 0);
        }
        let sent = send_many(syslog.socket.fd().unwrap(), &ring).unwrap();
        // As many as the socket takes (unix(7), max_dgram_qlen), each a datagram of its own.
        assert!(sent.count > 5 || sent.count == LOG_BATCH, "{}", sent.count);
        let mut bytes = [0; 10];
        for number in 0..sent.count as u8 {
            assert_eq!((receiver.recv(&mut bytes).unwrap(), bytes[0]), (1, number));
        }
        // And that is how it goes here.
        syslog.flush(&mut ring, b"", Instant::BOOT, None);
        assert!(!syslog.single);
    }

    /// An old kernel, or a sandbox.
    #[test]
    fn without_sendmmsg_records_go_one_by_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut syslog = Syslog::new();
        syslog.start(Some(&path), Instant::BOOT);
        syslog.single = true;
        let mut ring = Ring::new();
        for number in 0..50u8 {
            ring.reserve(Class::Own, 2).unwrap().copy_from_slice(&[number, b'\n']);
            ring.commit(Class::Own, 2, 0);
        }
        let (mut got, mut bytes) = (Vec::new(), [0; 10]);
        while got.len() < 50 {
            syslog.flush(&mut ring, b"", Instant::BOOT, None);
            while let Ok(len) = receiver.recv(&mut bytes) {
                assert_eq!(len, 1);
                got.push(bytes[0]);
            }
        }
        assert!(got.iter().copied().eq(0..50));
    }
}
