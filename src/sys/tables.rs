//! All tables of pmtr, in one place: what it has for its work, however much
//! there is of that. There is nothing else: after the start nothing is allocated.
//!
//! They are all zeros at first, so the kernel gives a page of memory when it is
//! written to for the first time, and not before. A small configuration is to
//! take few pages, so each table has what is always used next to its first
//! rows, at the beginning of a page, and no row is touched without need.
//!
//! They have a section of their own. In `.bss` there would be whole pages of them between the few bytes of
//! the other statics, and that would begin with a page, as a table does: now it goes on where
//! `.data` ends, and both are one page. The name is one that makes a section of
//! zeros for LLVM, and that no linker puts into another section.

use super::config_file::Text;
use super::log::Log;
use super::pages;
use super::std::sync::{Mutex, MutexGuard, PoisonError};
use super::streams::Streams;
use super::watch::Watch;
use crate::limits::DATAGRAM_BYTES;
use crate::supervise::Supervisor;
use core::ops::Deref;

/// The tables of a few rows, which begin with a page each: with 24 jobs they take no more.
#[link_section = ".llvm.linkonce.b.tables"]
pub(super) static TABLES: Tables = Tables {
    log: Page(Mutex::new(Log::new())),
    supervisor: Page(Mutex::new(Supervisor::new())),
    streams: Page(Mutex::new(Streams::new())),
    datagram: Page(Mutex::new([0; DATAGRAM_BYTES])),
};

/// What is watched and read.
#[link_section = ".llvm.linkonce.b.tables"]
pub(super) static FILES: Mutex<Files> =
    Mutex::new(Files { watch: Watch::new(), text: Text::new() });

/// See [`TABLES`].
pub(super) struct Tables {
    pub log: Page<Mutex<Log>>,
    pub supervisor: Page<Mutex<Supervisor>>,
    pub streams: Page<Mutex<Streams>>,
    /// The datagram that was read, or the one that is being written.
    pub datagram: Page<Mutex<[u8; DATAGRAM_BYTES]>>,
}

/// Begins with a page, if pages are the smallest that there are.
#[repr(C, align(4096))]
pub(super) struct Page<T>(T);

impl<T> Deref for Page<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What is watched, and what is read.
#[repr(C)]
pub struct Files {
    pub watch: Watch,
    pub text: Text,
}

/// Gives back the memory of the datagram.
pub(super) fn give_back_datagram() {
    let is_free = TABLES.datagram.try_lock().is_ok();
    if is_free {
        // SAFETY: there is one thread, and a lock that nobody has is zeros, as its bytes may be.
        unsafe { pages::give_back_shared(&TABLES.datagram) };
    }
}

/// Takes a table. There is one thread: whoever has it already is further up in it.
pub(super) fn take<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
