//! The ring, what goes in, and the two ways out.

use super::super::poll::{Poller, Token};
use super::super::std::os::fd::BorrowedFd;
use super::super::std::path::PathBuf;
use super::super::std::prelude::v1::*;
use super::record::{self, LocalTime, Rfc3164, PREFIX_BYTES};
use super::stderr::{is_journal, Stderr};
use super::syslog::Syslog;
use super::{Echo, Setup};
use crate::limits::LINE_BYTES;
use crate::lines::clean;
use crate::name::Name;
use crate::ring::{Class, Full, Mode, Reader, Ring};
use crate::time::Instant;
use core::fmt::{self, Arguments, Write as _};
use heapless::{String, Vec};
use syslog::{Facility, LogFormat, Severity};

/// The longest line that tells of lost records, as it is sent to syslog.
pub(super) const NOTE_BYTES: usize = PREFIX_BYTES + 32;

/// The log: records on their way to syslog and stderr (see the [module](super)
/// for what is kept for whom). All zeros before [`start`](Self::start): records
/// wait in the ring, whose beginning is in the same page as all else.
#[repr(C)]
pub struct Log {
    syslog: Syslog,
    stderr: Stderr,
    time: LocalTime,
    pid: i32,
    /// The child that writes stderr; 0 if there is none.
    stderr_writer: i32,
    /// Messages of pmtr that did not fit, and lost lines of jobs, that are not told of yet.
    missed: u32,
    /// What stood before the last line of a job.
    prefix: Prefix,
    ring: Ring,
}

impl Log {
    /// A log that goes nowhere yet. All zeros.
    pub const fn new() -> Self {
        Log {
            syslog: Syslog::new(),
            stderr: Stderr::new(),
            time: LocalTime::new(),
            pid: 0,
            stderr_writer: 0,
            missed: 0,
            prefix: Prefix::new(),
            ring: Ring::new(),
        }
    }

    /// Connects to syslog, and echoes to `stderr` where `setup` wants that.
    /// `pid` is the process in the tag of pmtr's own messages.
    pub fn start(&mut self, setup: &Setup, stderr: BorrowedFd<'_>, pid: i32, now: Instant) {
        self.pid = pid;
        self.syslog.start(setup.socket.as_deref(), now);
        let echo = match setup.echo {
            Echo::Off => false,
            Echo::Forced => true,
            Echo::Auto => !(self.syslog.is_connected() && is_journal(stderr)),
        };
        if echo {
            self.stderr.open(stderr);
        }
        self.choose_modes();
    }

    /// Echoes to what standard error is now, if it is echoed at all.
    pub fn stderr_is(&mut self, stderr: BorrowedFd<'_>) {
        if self.stderr.is_open() {
            self.stderr.open(stderr);
            self.choose_modes();
        }
    }

    /// The process in the tag of pmtr's own messages has changed: it has forked.
    pub fn pid_is(&mut self, pid: i32) {
        self.pid = pid;
    }

    /// stderr is a pipe to this child.
    pub fn stderr_writer_is(&mut self, pid: i32) {
        self.stderr_writer = pid;
    }

    /// Returns true if stderr is written by this child.
    pub fn is_stderr_writer(&self, pid: i32) -> bool {
        pid > 0 && pid == self.stderr_writer
    }

    /// A child has ended. Returns whether it was the one that writes stderr, which is closed then.
    pub fn ended(&mut self, pid: i32) -> bool {
        let is_writer = self.is_stderr_writer(pid);
        if is_writer {
            self.stderr_writer = 0;
            self.stderr.close();
            self.choose_modes();
        }
        is_writer
    }

    /// Reads the time zone again for the next record.
    pub fn zone_may_have_changed(&mut self) {
        self.time.zone_may_have_changed();
    }

    /// Adds a line of a job's output, which is clean (see [`crate::lines`]), as
    /// daemon.info. It is not taken when there is no room for it.
    pub fn line(&mut self, name: &Name, pid: i32, text: &[u8]) -> Result<(), Full> {
        self.tell_missed();
        let stamp = self.time.stamp();
        if !self.prefix.is_of(stamp, name, pid) {
            let facility = Facility::LOG_DAEMON;
            let writer = Rfc3164 { facility, stamp, name: name.as_bytes(), pid };
            self.prefix.write(&writer, Severity::LOG_INFO);
            (self.prefix.stamp, self.prefix.name, self.prefix.pid) = (*stamp, *name, pid);
        }
        push(&mut self.ring, Class::Job, &self.prefix, text)
    }

    /// Adds a message of pmtr as local0; every line of it is a record. What
    /// does not fit is counted.
    ///
    /// Not inlined, as it needs room for a message.
    #[inline(never)]
    pub fn message(&mut self, severity: Severity, message: Arguments<'_>) {
        self.tell_missed();
        let mut text = Text(Vec::new());
        // Text never fails, and neither should the message's parts.
        let _ = text.write_fmt(message);
        let mut prefix = Prefix::new();
        prefix.write(&own(self.time.stamp(), self.pid), severity);
        for line in text.0.split_mut(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            clean(line);
            // After a loss nothing comes before the sentence that tells of it.
            if self.missed > 0 || push(&mut self.ring, Class::Own, &prefix, line).is_err() {
                self.missed = self.missed.saturating_add(1);
            }
        }
    }

    /// Counts messages or lines that nobody can log any more.
    pub fn lose(&mut self, count: u64) {
        self.missed = self.missed.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Returns true if a job's line of `bytes` bytes would be taken now.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.ring.has_room(Class::Job, PREFIX_BYTES + bytes + 1)
    }

    /// Hands on what syslog and stderr take now. Never waits; without a poller
    /// it is to be called again for what they did not take.
    pub fn flush(&mut self, now: Instant, poller: Option<&Poller>) {
        self.hand_on(now, poller);
        if self.missed > 0 {
            self.tell_missed();
            self.hand_on(now, poller);
        }
    }

    /// The poller has told of one of the log's descriptors; other tokens are ignored.
    pub fn ready(&mut self, token: Token, now: Instant, poller: &Poller) {
        match token {
            Token::Syslog => self.syslog.writable(),
            Token::Stderr => self.stderr.writable(),
            Token::Lookout => self.syslog.hinted(),
            _ => return,
        }
        self.flush(now, Some(poller));
    }

    /// When to [`flush`](Self::flush) though no descriptor becomes ready.
    pub fn deadline(&self) -> Option<Instant> {
        let (syslog, stderr) = (self.syslog.deadline(&self.ring), self.stderr.deadline(&self.ring));
        syslog.into_iter().chain(stderr).min()
    }

    /// Where syslog was looked for in vain; none if it is there. For start-up: allocates.
    pub fn missing_syslog(&self) -> Option<PathBuf> {
        (!self.syslog.is_connected()).then(|| self.syslog.path().to_path_buf())
    }

    /// Returns true if anyone takes the log, or did so a moment ago.
    pub fn is_taken(&self) -> bool {
        self.is_syslog_near() || self.stderr.is_open()
    }

    fn is_syslog_near(&self) -> bool {
        self.syslog.is_connected() || self.syslog.is_coming_back()
    }

    /// Returns true if all is handed on, or lost and counted. Nothing is on its way to
    /// a syslog that was not there so far, or for ten seconds.
    pub fn is_empty(&self) -> bool {
        let is_taken = self.ring.is_empty(Reader::Syslog) || !self.is_syslog_near();
        is_taken && self.ring.is_empty(Reader::Stderr) && self.stderr.is_empty() && self.missed == 0
    }

    fn hand_on(&mut self, now: Instant, poller: Option<&Poller>) {
        let mut note = [0; NOTE_BYTES];
        let mut left = &mut note[..];
        let lost = self.ring.lost(Reader::Syslog);
        if lost > 0 {
            let writer = own(self.time.stamp(), self.pid);
            // It fits: see the size.
            let _ = writer.format(&mut left, Severity::LOG_WARNING, lost_text(lost).as_bytes());
        }
        let len = NOTE_BYTES - left.len();
        self.syslog.flush(&mut self.ring, &note[..len], now, poller);
        self.stderr.flush(&mut self.ring, self.pid, now, poller);
        self.choose_modes();
    }

    /// Who keeps what when the ring is full; see the [module](super).
    fn choose_modes(&mut self) {
        let echo = self.stderr.is_open();
        let first = self.syslog.is_known();
        let syslog = if first || !echo { Mode::Hold } else { Mode::Yield };
        let stderr = match (echo, first) {
            (false, _) => Mode::Off,
            (true, true) => Mode::Yield,
            (true, false) => Mode::Hold,
        };
        self.ring.set_mode(Reader::Syslog, syslog);
        self.ring.set_mode(Reader::Stderr, stderr);
    }

    /// Says how many messages of pmtr did not fit, as soon as any message would
    /// fit: a ring that is nearly full is not to be filled with such sentences.
    fn tell_missed(&mut self) {
        let longest = PREFIX_BYTES + LINE_BYTES + 1;
        if self.missed == 0 || !self.ring.has_room(Class::Own, 2 * longest) {
            return;
        }
        let mut prefix = Prefix::new();
        prefix.write(&own(self.time.stamp(), self.pid), Severity::LOG_WARNING);
        if push(&mut self.ring, Class::Own, &prefix, lost_text(self.missed).as_bytes()).is_ok() {
            self.missed = 0;
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes pmtr's own records.
fn own(stamp: &[u8; 15], pid: i32) -> Rfc3164<'_> {
    Rfc3164 { facility: Facility::LOG_LOCAL0, stamp, name: b"pmtr", pid }
}

/// The sentence of all that is lost, here and on stderr.
pub(super) fn lost_text(count: u32) -> String<32> {
    let mut text = String::new();
    // It fits: the number has 10 digits.
    let _ = write!(text, "{count} log messages lost");
    text
}

fn push(ring: &mut Ring, class: Class, prefix: &Prefix, text: &[u8]) -> Result<(), Full> {
    let (start, len) = (prefix.bytes.len(), prefix.bytes.len() + text.len());
    // As `has_room` counts, whatever the prefix.
    let slot = ring.reserve(class, PREFIX_BYTES + text.len() + 1)?;
    slot[..start].copy_from_slice(&prefix.bytes);
    slot[start..len].copy_from_slice(text);
    slot[len] = b'\n';
    ring.commit(class, len + 1, prefix.echo_at);
    Ok(())
}

/// What stands before the text of a record. Kept from one line of a job to the
/// next, which is mostly of the same job and the same second. All zeros when
/// there is none.
struct Prefix {
    bytes: Vec<u8, PREFIX_BYTES>,
    echo_at: usize,
    stamp: [u8; 15],
    name: Name,
    pid: i32,
}

impl Prefix {
    const fn new() -> Self {
        Prefix { bytes: Vec::new(), echo_at: 0, stamp: [0; 15], name: Name::NONE, pid: 0 }
    }

    fn is_of(&self, stamp: &[u8; 15], name: &Name, pid: i32) -> bool {
        !self.bytes.is_empty() && self.pid == pid && self.stamp == *stamp && self.name == *name
    }

    fn write(&mut self, writer: &Rfc3164<'_>, severity: Severity) {
        let mut bytes = [0; PREFIX_BYTES];
        let mut left = &mut bytes[..];
        // It fits: that is the size of the longest.
        let _ = writer.format(&mut left, severity, b"");
        let len = PREFIX_BYTES - left.len();
        self.bytes.clear();
        // The same size.
        let _ = self.bytes.extend_from_slice(&bytes[..len]);
        self.echo_at = record::echo_at(&self.bytes);
    }
}

/// The text of a message of pmtr; what is longer than a line may be is cut off.
struct Text(Vec<u8, LINE_BYTES>);

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let mut end = part.len().min(LINE_BYTES - self.0.len());
        while !part.is_char_boundary(end) {
            end -= 1;
        }
        self.0.extend_from_slice(&part.as_bytes()[..end]).map_err(|()| fmt::Error)
    }
}
