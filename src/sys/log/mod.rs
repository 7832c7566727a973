//! The log: pmtr's own messages and the output of its jobs, to syslog and to stderr.
//!
//! Everything goes through one ring of fixed size ([`crate::ring`]). Nothing
//! here ever waits; whoever has lines for the log asks whether there is room.
//!
//! # Who waits, and what is lost
//!
//! - **The output of jobs is not lost** while there is anyone to take it. When
//!   the ring is full a line is not taken, the job's pipe is not read, and the
//!   job waits in its write, as it does for any slow reader.
//! - **Messages of pmtr never wait.** A part of the ring is theirs alone; what
//!   does not fit even so is counted, and `N log messages lost` stands in its
//!   place as soon as there is room.
//! - **Syslog comes first** while it is connected: what it did not take stays in
//!   the ring. The echo on stderr may fall behind as far as the ring goes; what it
//!   misses then is counted, and told on stderr when that takes more.
//! - **A receiver that is away** (syslogd is restarted, or starts after pmtr) is waited for without
//!   a time limit: what fits is kept for it, and jobs wait. It is noticed at once, by inotify(7) on the
//!   directory of its socket, and looked for ever more rarely besides. When pmtr ends, one that is away
//!   for more than ten seconds is not waited for.
//! - **Without syslog from the start** stderr comes first, and syslog gets the newest that fits when
//!   it appears; messages of pmtr are kept apart, so that output of jobs does not push them out.
//! - **A new receiver in the place of one that is stopped** gets the log: before records are sent, and
//!   after a second without room, the path has to lead to the socket that is connected.
//! - **A stderr that is a file** is a pipe to a child that writes it
//!   (`sys::file_writer`).
//!
//! # Form
//!
//! Syslog gets, on a datagram, sequenced-packet or stream socket, `<PRI>Mmm dd hh:mm:ss TAG[PID]: text` in local time (RFC 3164),
//! stderr `TAG[PID]: text`. The tag is `pmtr` with facility local0, or the name of
//! a job with facility daemon and severity info; in it everything that would
//! end a tag becomes `_`. Control characters become `?`.
//!
//! This suits what listens on /dev/log:
//!
//! - journald skips a stamp of exactly this form, and takes the next word for
//!   identifier and process if it ends with a colon; a host name before it would be
//!   taken for text. It strips white space at the end of a text, and has its own time.
//! - rsyslog's imuxsock expects the same, and has its own time unless it is told otherwise.
//! - busybox syslogd prints the stamp as it comes: hence local time, and the day padded with a space.

mod lookout;
mod record;
mod sinks;
mod socket;
mod stderr;
mod syslog;
mod wait;
mod zone_file;

pub use sinks::Log;
pub(super) use stderr::is_journal;
pub use syslog::MAX_PATH_BYTES;

use super::poll::{Poller, Token};
use super::std::os::fd::AsFd;
use super::std::path::PathBuf;
use super::std::{io, prelude::v1::*, process};
use super::tables::{take, TABLES};
use crate::name::Name;
use crate::ring::Full;
use crate::time::Instant;
use ::log::{Level, LevelFilter, Metadata, Record};
use ::syslog::Severity;

/// The target of a message that is more than an error:
/// `log::error!(target: CRITICAL, …)` is sent with severity crit.
pub const CRITICAL: &str = "crit";

/// Whether what is logged is echoed to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// If there is a stderr, and it does not end in the journal anyway, as
    /// syslog does (systemd.exec(5), `$JOURNAL_STREAM`).
    Auto,
    /// If there is a stderr (option `-I`).
    Forced,
    /// No.
    Off,
}

/// How the log is to be set up.
#[derive(Debug)]
pub struct Setup {
    /// Where syslog listens; /dev/log, /var/run/syslog or /var/run/log if none is given.
    pub socket: Option<PathBuf>,
    /// Whether to echo to stderr.
    pub echo: Echo,
    /// The least important messages of pmtr that are logged.
    pub level: LevelFilter,
}

/// Starts the log, and takes the messages of the [`log`] facade from now
/// on. They go out with [`flush`]. To be called once, at start-up: it allocates.
pub fn start(setup: &Setup, now: Instant) {
    with(|log| log.start(setup, io::stderr().as_fd(), process::id() as i32, now));
    // It fails when it was set before, to the same.
    let _ = ::log::set_logger(&Facade);
    ::log::set_max_level(setup.level);
}

/// To be called when pmtr has forked and goes on in the child: its messages have the child's number.
pub fn forked() {
    with(|log| log.pid_is(process::id() as i32));
}

/// To be called when pmtr has replaced its stderr: the echo goes to the new one,
/// or ends if that is /dev/null.
pub fn stderr_replaced() {
    with(|log| log.stderr_is(io::stderr().as_fd()));
}

/// stderr is written by this child (`sys::file_writer`).
pub fn stderr_writer_is(pid: i32) {
    with(|log| log.stderr_writer_is(pid));
}

/// Returns true if stderr is written by this child, which is no job and left by none.
pub fn is_stderr_writer(pid: i32) -> bool {
    with(|log| log.is_stderr_writer(pid))
}

/// A child has ended. Returns whether it was the one that writes stderr.
pub fn ended(pid: i32) -> bool {
    with(|log| log.ended(pid))
}

/// Has the next stamp read the time zone again. To be called at every reload.
pub fn zone_may_have_changed() {
    with(|log| log.zone_may_have_changed());
}

/// Warns if no syslog receiver is there. For a daemon about to leave its terminal, after which
/// nobody sees that.
pub fn warn_if_unreachable(now: Instant) {
    // Formatted outside of `with`, as the facade needs the log.
    let missing = with(|log| log.missing_syslog());
    if let Some(path) = missing {
        super::tell::warning!(
            "no syslog at {}: the log is kept until there is one, as far as there is room",
            path.display()
        );
        flush(now, None);
    }
}

/// Adds a line of a job's output; see [`Log::line`].
pub fn line(name: &Name, pid: i32, text: &[u8]) -> Result<(), Full> {
    with(|log| log.line(name, pid, text))
}

/// Returns true if a job's line of `bytes` bytes would be taken now.
pub fn has_room(bytes: usize) -> bool {
    with(|log| log.has_room(bytes))
}

/// Hands on what syslog and stderr take now. To be called in every turn of the
/// loop, before it waits; and without a poller while there is none.
pub fn flush(now: Instant, poller: Option<&Poller>) {
    with(|log| log.flush(now, poller));
}

/// The poller has reported [`Token::Syslog`], [`Token::Stderr`] or [`Token::Lookout`].
pub fn ready(token: Token, now: Instant, poller: &Poller) {
    with(|log| log.ready(token, now, poller));
}

/// When to [`flush`] though no descriptor becomes ready; none if only
/// descriptors are waited for, or nothing.
pub fn deadline() -> Option<Instant> {
    with(|log| log.deadline())
}

/// Returns true if everything is handed on: what pmtr waits for, with a limit, before it leaves.
pub fn is_empty() -> bool {
    with(|log| log.is_empty())
}

/// Returns true if anyone takes the log, or did so a moment ago: if not, it is not waited for at the end.
pub fn is_taken() -> bool {
    with(|log| log.is_taken())
}

/// Does something with the log. Messages of the facade that are logged
/// meanwhile are lost: [`Log::message`] is for those.
pub(super) fn with<T>(action: impl FnOnce(&mut Log) -> T) -> T {
    action(&mut take(&TABLES.log))
}

/// The receiver of the `log` facade's messages.
struct Facade;

impl ::log::Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= ::log::max_level()
    }

    /// Never waits for the lock: pmtr has one thread, so that whoever has it is
    /// further up in this one, as a panic's last message would be.
    fn log(&self, record: &Record<'_>) {
        if let Ok(mut log) = TABLES.log.try_lock() {
            log.message(severity(record), *record.args());
        }
    }

    fn flush(&self) {
        flush(super::clock::now(), None);
    }
}

fn severity(record: &Record<'_>) -> Severity {
    match record.level() {
        Level::Error if record.target() == CRITICAL => Severity::LOG_CRIT,
        Level::Error => Severity::LOG_ERR,
        Level::Warn => Severity::LOG_WARNING,
        Level::Info => Severity::LOG_INFO,
        Level::Debug | Level::Trace => Severity::LOG_DEBUG,
    }
}
