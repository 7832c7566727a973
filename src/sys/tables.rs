//! All tables of pmtr, in one place: what it has for its work, however much
//! there is of that. There is nothing else: after the start nothing is allocated.
//!
//! They are all zeros at first, so the kernel gives a page of memory when it is
//! written to for the first time, and not before. A small configuration is to
//! take few pages, so each table has what is always used next to its first
//! rows, and no row is touched without need.

use super::config_file::Text;
use super::log::Log;
use super::std::sync::{Mutex, MutexGuard, PoisonError};
use super::streams::Streams;
use super::watch::Watch;
use crate::limits::DATAGRAM_BYTES;
use crate::supervise::Supervisor;

/// The tables.
pub(super) static TABLES: Tables = Tables {
    files: Mutex::new(Files { watch: Watch::new(), text: Text::new() }),
    log: Mutex::new(Log::new()),
    supervisor: Mutex::new(Supervisor::new()),
    streams: Mutex::new(Streams::new()),
    datagram: Mutex::new([0; DATAGRAM_BYTES]),
};

/// See [`TABLES`]. The smallest is the first: it shares a page with what stands before all of them.
#[repr(C)]
pub(super) struct Tables {
    pub files: Mutex<Files>,
    pub log: Mutex<Log>,
    pub supervisor: Mutex<Supervisor>,
    pub streams: Mutex<Streams>,
    /// The datagram that was read, or the one that is being written; and the stack of a
    /// process that is being started.
    pub datagram: Mutex<[u8; DATAGRAM_BYTES]>,
}

/// What is watched, and what is read.
#[repr(C)]
pub struct Files {
    pub watch: Watch,
    pub text: Text,
}

/// Takes a table. There is one thread: whoever has it already is further up in it.
pub(super) fn take<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
