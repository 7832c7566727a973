//! Notices that somebody removes, moves or writes to a state file while pmtr runs (inotify(7)).
//!
//! A descriptor of a removed file goes on working, and so does its lock, but nobody finds it any more.
//! Watched are the file (a removal changes its number of links), its directory and all directories
//! above for being moved. pmtr's own writes are events too: who only sees these has nothing to do.

use super::super::std::ffi::CStr;
use super::super::std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use super::super::std::prelude::v1::*;
use core::mem::size_of;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::read;

/// What events say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    /// Nothing.
    Quiet,
    /// The file was written to, or cut: this pmtr and its children do that too.
    Written,
    /// Its path may lead elsewhere, or another process has written to it.
    Touched,
}

const FILE: u32 = libc::IN_ATTRIB
    | libc::IN_MOVE_SELF
    | libc::IN_DELETE_SELF
    | libc::IN_CLOSE_WRITE
    | libc::IN_MODIFY;

/// The directory of a file: that it is moved, removed, or made writable again.
const DIR: u32 = libc::IN_MOVE_SELF | libc::IN_DELETE_SELF | libc::IN_ATTRIB | libc::IN_ONLYDIR;

/// A directory above.
const ABOVE: u32 = libc::IN_MOVE_SELF | libc::IN_ONLYDIR;

/// Longer than any path that the kernel takes.
const PATH_BYTES: usize = libc::PATH_MAX as usize + 1;

/// The watches on state files.
pub(super) struct Presence {
    inotify: OwnedFd,
}

impl Presence {
    /// Watches nothing yet. Allocates nothing.
    pub(super) fn new() -> Result<Self, Errno> {
        // SAFETY: takes and returns numbers only.
        let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        // SAFETY: the kernel has just made it, for nobody else.
        Errno::result(fd).map(|fd| Presence { inotify: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Watches a file, which is there, and the directories of its absolute path. Allocates nothing.
    pub(super) fn lay(&self, file: &CStr) -> Result<(), Errno> {
        self.add(file, FILE)?;
        let mut above = [0; PATH_BYTES];
        let bytes = file.to_bytes();
        let mut mask = DIR;
        for at in (1..bytes.len()).rev().filter(|&at| bytes[at] == b'/') {
            let Some(path) = above.get_mut(..=at) else { return Err(Errno::ENAMETOOLONG) };
            path[..at].copy_from_slice(&bytes[..at]);
            path[at] = 0;
            self.add(CStr::from_bytes_until_nul(path).unwrap_or_default(), mask)?;
            mask = ABOVE;
        }
        Ok(())
    }

    fn add(&self, path: &CStr, mask: u32) -> Result<(), Errno> {
        let mask = mask | libc::IN_MASK_ADD;
        // SAFETY: a NUL-terminated path that outlives the call.
        let watch =
            unsafe { libc::inotify_add_watch(self.inotify.as_raw_fd(), path.as_ptr(), mask) };
        Errno::result(watch).map(drop)
    }

    /// Reads all events. To be called when the descriptor is ready. Allocates nothing.
    pub(super) fn read(&self) -> Result<Hint, Errno> {
        /// There are no names in events of files and of directories themselves.
        const EVENTS_BYTES: usize = 16 * size_of::<libc::inotify_event>();
        let mut hint = Hint::Quiet;
        let mut events = [0; EVENTS_BYTES];
        loop {
            match read(&self.inotify, &mut events) {
                Ok(0) | Err(Errno::EAGAIN) => return Ok(hint),
                Ok(len) => hint = hint.max(hint_of(&events[..len])),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Presence {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Each event is a watch, a mask, a cookie, a length and, of that length, a name.
fn hint_of(events: &[u8]) -> Hint {
    let mask_of = |event: &[u8]| event.get(4..8)?.try_into().ok().map(u32::from_ne_bytes);
    let masks = events.chunks(size_of::<libc::inotify_event>()).filter_map(mask_of);
    let of_mask = |mask| match mask {
        libc::IN_MODIFY => Hint::Written,
        // A watch that is gone with its file.
        libc::IN_IGNORED => Hint::Quiet,
        _ => Hint::Touched,
    };
    masks.map(of_mask).max().unwrap_or(Hint::Quiet)
}
