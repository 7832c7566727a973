//! The look-out for a syslog receiver: inotify(7) on the directories where its socket appears.
//!
//! It is armed only while records wait for a receiver, and has a descriptor only since it was
//! armed for the first time. Directories that do not exist are represented by the nearest one
//! above that does. Where a path is a symbolic link, as /dev/log is for the journal, the
//! directory of its target is watched, too.

use super::super::held::Held;
use super::super::poll::{Interest, Poller, Token};
use super::super::std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use super::super::std::prelude::v1::*;
use heapless::Vec;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::read;
use nix::NixPath;

/// Whatever can make a path lead to another socket, or to one that this process may use.
const EVENTS: u32 = libc::IN_CREATE
    | libc::IN_MOVED_TO
    | libc::IN_ATTRIB
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF
    | libc::IN_ONLYDIR;

/// The most directories that are watched: those of three paths, and of some links.
const MAX_WATCHES: usize = 8;

/// The most links that are followed from a path.
const MAX_LINKS: usize = 4;

/// The longest path of a link's target.
const LINK_BYTES: usize = 512;

/// One reading of events; what they say does not matter. The longest one fits (inotify(7)).
const READ_BYTES: usize = 512;

/// The most readings at once: the kernel keeps 16,384 events, and the poller reports the rest.
const READS: usize = 64;

/// The watches of directories. All zeros: none.
pub(super) struct Lookout {
    inotify: Held,
    watches: Vec<i32, MAX_WATCHES>,
    is_armed: bool,
}

impl Lookout {
    pub const NONE: Lookout = Lookout { inotify: Held::NONE, watches: Vec::new(), is_armed: false };

    /// Returns true if an event will follow when any of the paths leads to another file.
    pub fn is_armed(&self) -> bool {
        self.is_armed
    }

    /// Watches the directories of `paths` as they are now, and no others. Returns whether
    /// the kernel reports every change.
    pub fn arm<'a>(
        &mut self,
        mut paths: impl Iterator<Item = &'a [u8]>,
        poller: Option<&Poller>,
    ) -> bool {
        self.disarm();
        let is_open = self.inotify.is_some() || poller.is_some_and(|poller| self.open(poller));
        self.is_armed = is_open && paths.all(|path| self.watch(path).is_some());
        self.is_armed
    }

    /// Watches nothing any more.
    pub fn disarm(&mut self) {
        self.is_armed = false;
        let Some(inotify) = self.inotify.fd() else { return };
        if self.watches.is_empty() {
            return;
        }
        for watch in &self.watches {
            // SAFETY: takes two numbers. A watch that the kernel removed itself is an error that means nothing.
            unsafe { libc::inotify_rm_watch(inotify.as_raw_fd(), *watch) };
        }
        self.watches.clear();
        self.drain();
    }

    /// Discards the events that are there.
    ///
    /// Not inlined: the buffer is on the stack.
    #[inline(never)]
    pub fn drain(&self) {
        let Some(inotify) = self.inotify.fd() else { return };
        let mut events = [0; READ_BYTES];
        let _ = (0..READS).find(|_| read(inotify, &mut events).is_err());
    }

    fn open(&mut self, poller: &Poller) -> bool {
        // SAFETY: takes flags.
        let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        if fd < 0 {
            return false;
        }
        // SAFETY: the descriptor was just made, and belongs to nobody else.
        let inotify = Held::new(unsafe { OwnedFd::from_raw_fd(fd) });
        let Some(fd) = inotify.fd() else { return false };
        let is_added = poller.add(fd, Token::Lookout, Interest::Read).is_ok();
        if is_added {
            self.inotify = inotify;
        }
        is_added
    }

    /// Watches the directory of `path`, and those of its targets where it is a link.
    ///
    /// Not inlined: paths are on the stack.
    #[inline(never)]
    fn watch(&mut self, path: &[u8]) -> Option<()> {
        let mut here: Vec<u8, LINK_BYTES> = Vec::from_slice(path).ok()?;
        for _ in 0..MAX_LINKS {
            self.watch_nearest(parent(&here))?;
            let Some(target) = read_link(&here) else { return Some(()) };
            let slash = here.iter().rposition(|&byte| byte == b'/');
            let kept = slash.filter(|_| !target.starts_with(b"/")).map_or(0, |slash| slash + 1);
            here.truncate(kept);
            here.extend_from_slice(&target).ok()?;
        }
        None
    }

    /// Watches `directory`, or the nearest one above it that exists.
    fn watch_nearest(&mut self, mut directory: &[u8]) -> Option<()> {
        let inotify = self.inotify.fd()?.as_raw_fd();
        loop {
            let added = directory.with_nix_path(|path| {
                // SAFETY: a string with its NUL, which outlives the call.
                Errno::result(unsafe { libc::inotify_add_watch(inotify, path.as_ptr(), EVENTS) })
            });
            match added.ok()? {
                Ok(watch) => return self.watches.push(watch).ok(),
                Err(Errno::ENOENT | Errno::ENOTDIR) if parent(directory) != directory => {
                    directory = parent(directory);
                }
                Err(_) => return None,
            }
        }
    }
}

/// The directory of a path.
fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => b"/",
        Some(slash) => &path[..slash],
        None => b".",
    }
}

/// The target of a link; none if `path` is not a link.
fn read_link(path: &[u8]) -> Option<Vec<u8, LINK_BYTES>> {
    let mut target = [0_u8; LINK_BYTES];
    let read = path.with_nix_path(|path| {
        // SAFETY: a string with its NUL, and as much room as the length says.
        unsafe { libc::readlink(path.as_ptr(), target.as_mut_ptr().cast(), target.len()) }
    });
    let len = usize::try_from(read.ok()?).ok()?;
    Vec::from_slice(&target[..len]).ok()
}
