//! The way to the syslog receiver: never waits, comes back after a restart of the receiver,
//! and goes to a new one that is bound in the place of one that does not read.
//!
//! A receiver that is not there is looked for when an event of its directory says that
//! something came ([`Lookout`]), and ever more rarely besides: a mount makes no such event.
//! While a receiver is there, [`Peer`] says before each sending whether the path still leads to it.

use super::super::held::Held;
use super::super::poll::{Poller, Token};
use super::super::stat::stat;
use super::super::std::{os::unix::ffi::OsStrExt, path::Path, prelude::v1::*};
use super::lookout::Lookout;
use super::sinks::NOTE_BYTES;
use super::socket::{
    connect_to, send_many, send_next, send_one, send_short, send_stream, stream_len, text, Framing,
};
use super::wait::Wait;
use crate::ring::{Reader, Ring};
use crate::time::Instant;
use core::time::Duration;
use heapless::Vec;
use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

/// Where receivers are found, in this order.
const PATHS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// The longest path of a socket (unix(7)), without its NUL.
pub const MAX_PATH_BYTES: usize = 107;

/// How long a receiver that is not there is waited for at the end of pmtr.
const GRACE: Duration = Duration::from_secs(10);

const FIRST_RETRY: Duration = Duration::from_millis(100);

/// The longest pause after a failure that says nothing of the receiver.
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The longest pauses between two looks for a receiver, without and with a look-out.
const LAST_LOOK: Duration = Duration::from_secs(60);
const LAST_LOOK_WATCHED: Duration = Duration::from_secs(3600);

/// The pause between two looks for a receiver when the loop is awake anyway.
const LOOK_AWAKE: Duration = Duration::from_secs(5);

/// How long a receiver may not read before pmtr looks whether there is another one.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long one look at the path of a receiver that reads is believed.
const BELIEVED: Duration = Duration::from_millis(10);

/// The way to the receiver. All zeros: not connected, and never was.
pub(super) struct Syslog {
    /// Where the user wants it; one of [`PATHS`] otherwise.
    address: Option<UnixAddr>,
    socket: Held,
    is_stream: bool,
    peer: Peer,
    wait: Wait,
    /// The kernel has no sendmmsg(2), or does not let us use it.
    single: bool,
    /// Whether it was there once.
    known: bool,
    /// Since when it is not there.
    gone_at: Instant,
    /// It was not there for [`GRACE`].
    given_up: bool,
    /// Not to be tried before.
    retry_at: Instant,
    /// Zero while all goes well.
    retry_delay: Duration,
    /// When it was tried last.
    tried_at: Instant,
    lookout: Lookout,
    /// An event of the look-out has come.
    is_hinted: bool,
    /// When the path of a receiver that does not read is looked at.
    look_at: Instant,
    /// A line that counts lost records, as long as it is not sent, and what it counts.
    note: Vec<u8, NOTE_BYTES>,
    noted: u32,
    /// On a stream: the bytes of the note, or else of the oldest record, that are sent already.
    written: usize,
}

/// The file that a socket's path led to when it was connected: a number of [`Syslog::paths`],
/// and what no other file has. (An inode number alone is used again.) All zeros: none.
#[derive(Clone, Copy)]
struct Peer {
    path: usize,
    file: (u64, u64),
    made_at: (i64, u32),
    looked_at: Instant,
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

impl Syslog {
    pub const fn new() -> Self {
        Syslog {
            address: None,
            socket: Held::NONE,
            is_stream: false,
            peer: Peer::NONE,
            wait: Wait::NONE,
            single: false,
            known: false,
            gone_at: Instant::BOOT,
            given_up: false,
            retry_at: Instant::BOOT,
            retry_delay: Duration::ZERO,
            tried_at: Instant::BOOT,
            lookout: Lookout::NONE,
            is_hinted: false,
            look_at: Instant::BOOT,
            note: Vec::new(),
            noted: 0,
            written: 0,
        }
    }

    /// Connects for the first time, to `path` if one is given: of at most
    /// [`MAX_PATH_BYTES`], or it counts as none.
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

    /// Returns true if a receiver was ever there.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Returns true if a receiver that was there a moment ago may come back at any moment.
    pub fn is_coming_back(&self) -> bool {
        self.known && !self.is_connected() && !self.given_up
    }

    /// The path that a record would go to, for a message.
    pub fn path(&self) -> &Path {
        self.paths().next().unwrap_or(Path::new(PATHS[0]))
    }

    /// The socket can be written again.
    pub fn writable(&mut self) {
        self.wait.over();
    }

    /// The look-out has reported something.
    pub fn hinted(&mut self) {
        self.lookout.drain();
        self.is_hinted = true;
    }

    /// When [`flush`](Self::flush) is to be called though nothing else has happened.
    pub fn deadline(&self, ring: &Ring) -> Option<Instant> {
        if ring.is_empty(Reader::Syslog) {
            None
        } else if self.wait.is_waiting() {
            (!self.lookout.is_armed()).then_some(self.look_at)
        } else {
            Some(self.retry_at)
        }
    }

    /// Sends what the receiver takes now; before it `note`, which tells of lost records.
    pub fn flush(&mut self, ring: &mut Ring, note: &[u8], now: Instant, poller: Option<&Poller>) {
        if ring.is_empty(Reader::Syslog) {
            return;
        }
        self.look(now, poller);
        if self.wait.is_waiting() {
            return;
        }
        while self.is_due(now) && (self.is_connected() || self.connect(now)) {
            self.set_note(note, ring.lost(Reader::Syslog));
            match self.send(ring, poller.is_some()) {
                Ok(()) => {
                    self.retry_delay = Duration::ZERO;
                    self.lookout.disarm();
                    return;
                }
                Err(Stop::Full) => return self.wait(now, poller),
                Err(Stop::Later) => return self.put_off(now),
                Err(Stop::Gone) => self.disconnect(now),
            }
        }
        if !self.is_connected() {
            self.given_up |= now >= self.gone_at + GRACE;
            if self.tried_at == now && !self.lookout.is_armed() {
                self.arm(poller);
            }
        }
    }

    /// Looks whether there is another receiver than the one that is connected, or one at all.
    fn look(&mut self, now: Instant, poller: Option<&Poller>) {
        let is_hinted = core::mem::take(&mut self.is_hinted);
        if !self.is_connected() {
            // The directories may be others now.
            if is_hinted && self.arm(poller) && self.paths().any(|path| stat(path).is_ok()) {
                (self.retry_at, self.retry_delay) = (now, Duration::ZERO);
            }
        } else if !self.wait.is_waiting() {
            if now >= self.peer.looked_at + BELIEVED {
                self.leave_replaced(now);
            }
        } else if is_hinted || (now >= self.look_at && !self.lookout.is_armed()) {
            self.arm(poller);
            self.look_at = now + LAST_LOOK;
            self.leave_replaced(now);
        }
    }

    /// Disconnects if the path leads to another socket by now.
    fn leave_replaced(&mut self, now: Instant) {
        self.peer.looked_at = now;
        let path = self.paths().nth(self.peer.path);
        let is_replaced = path.and_then(file_of).is_some_and(|file| !self.peer.is(file));
        if is_replaced {
            (self.retry_at, self.retry_delay) = (now, Duration::ZERO);
            self.disconnect(now);
        }
    }

    fn arm(&mut self, poller: Option<&Poller>) -> bool {
        let address = self.address;
        self.lookout.arm(paths(address.as_ref()).map(|path| path.as_os_str().as_bytes()), poller)
    }

    /// Returns true if it is time to send, or to connect.
    fn is_due(&self, now: Instant) -> bool {
        now >= self.retry_at || (!self.is_connected() && now >= self.tried_at + LOOK_AWAKE)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        paths(self.address.as_ref())
    }

    fn connect(&mut self, now: Instant) -> bool {
        self.put_off(now);
        self.tried_at = now;
        let connected = self.paths().enumerate().find_map(|(number, path)| {
            // Before: a socket that comes in between is found to be another one then.
            let (file, made_at) = file_of(path)?;
            let (socket, framing) = connect_to(&UnixAddr::new(path).ok()?).ok()?;
            Some((socket, framing, Peer { path: number, file, made_at, looked_at: now }))
        });
        let Some((socket, framing, peer)) = connected else { return false };
        self.socket = Held::new(socket);
        self.is_stream = framing == Framing::Stream;
        self.peer = peer;
        self.known = true;
        self.given_up = false;
        self.retry_at = now;
        true
    }

    /// The next receiver gets a record that was interrupted as a whole.
    fn disconnect(&mut self, now: Instant) {
        self.socket = Held::NONE;
        self.wait = Wait::NONE;
        self.note.clear();
        self.written = 0;
        if self.retry_delay.is_zero() {
            self.gone_at = now;
        } else {
            self.put_off(now);
        }
    }

    /// Not again before a pause, which is longer every time until all goes well.
    fn put_off(&mut self, now: Instant) {
        let last = match (self.is_connected(), self.lookout.is_armed()) {
            (true, _) => LAST_RETRY,
            (false, false) => LAST_LOOK,
            (false, true) => LAST_LOOK_WATCHED,
        };
        self.retry_delay = (self.retry_delay * 2).clamp(FIRST_RETRY, last);
        self.retry_at = now + self.retry_delay;
    }

    fn wait(&mut self, now: Instant, poller: Option<&Poller>) {
        self.retry_delay = Duration::ZERO;
        self.lookout.disarm();
        if self.look_at <= now || self.look_at > now + PATIENCE {
            self.look_at = now + PATIENCE;
        }
        let Some(socket) = self.socket.fd() else { return };
        if self.wait.begin(socket, Token::Syslog, poller).is_err() {
            self.put_off(now);
        }
    }

    /// Takes the line that counts `lost` records; not in the middle of a record.
    fn set_note(&mut self, note: &[u8], lost: u32) {
        if self.written == 0 {
            // The same size.
            self.note = Vec::from_slice(note).unwrap_or_default();
            self.noted = lost;
        }
    }

    fn send(&mut self, ring: &mut Ring, polled: bool) -> Result<(), Stop> {
        if self.is_stream {
            self.stream(ring)
        } else {
            self.send_packets(ring, polled)
        }
    }

    fn send_packets(&mut self, ring: &mut Ring, polled: bool) -> Result<(), Stop> {
        let Some(socket) = self.socket.fd() else { return Err(Stop::Gone) };
        if !self.note.is_empty() {
            send_one(socket, &self.note).or_else(stop)?;
            ring.told(Reader::Syslog, self.noted);
            self.note.clear();
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

    fn stream(&mut self, ring: &mut Ring) -> Result<(), Stop> {
        while !ring.is_empty(Reader::Syslog) {
            let Some(socket) = self.socket.fd() else { return Err(Stop::Gone) };
            match send_stream(socket, &self.note, ring, self.written) {
                Ok(count) => self.pass(ring, count),
                Err(errno) => stop(errno)?,
            }
        }
        Ok(())
    }

    /// The stream has taken `count` more bytes.
    fn pass(&mut self, ring: &mut Ring, count: usize) {
        self.written += count;
        if !self.note.is_empty() {
            let len = stream_len(&self.note);
            if self.written < len {
                return;
            }
            self.written -= len;
            self.note.clear();
            ring.told(Reader::Syslog, self.noted);
        }
        let mut whole = 0;
        for record in ring.records(Reader::Syslog) {
            let len = stream_len(text(record));
            if self.written < len {
                break;
            }
            self.written -= len;
            whole += 1;
        }
        ring.advance(Reader::Syslog, whole);
    }
}

impl Peer {
    const NONE: Peer = Peer { path: 0, file: (0, 0), made_at: (0, 0), looked_at: Instant::BOOT };

    fn is(&self, (file, made_at): ((u64, u64), (i64, u32))) -> bool {
        (self.file, self.made_at) == (file, made_at)
    }
}

/// The paths where a receiver may be.
fn paths(address: Option<&UnixAddr>) -> impl Iterator<Item = &Path> {
    let given = address.and_then(UnixAddr::path);
    let usual = PATHS.iter().map(Path::new).filter(move |_| given.is_none());
    given.into_iter().chain(usual)
}

/// What tells the file at `path` from every other one: device, inode, and the time when it was made.
fn file_of(path: &Path) -> Option<((u64, u64), (i64, u32))> {
    let found = stat(path).ok()?;
    Some(((found.st_dev, found.st_ino), found.st_btime))
}

fn stop(errno: Errno) -> Result<(), Stop> {
    match errno {
        Errno::EINTR => Ok(()),
        Errno::EAGAIN => Err(Stop::Full),
        Errno::ENOBUFS | Errno::ENOMEM => Err(Stop::Later),
        _ => Err(Stop::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{os::unix::net::UnixDatagram, vec::Vec};
    use super::*;
    use crate::limits::LOG_BATCH;
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
