//! A path, walked one component after the other (path_resolution(7)).

use crate::limits::PATH_BYTES;
use crate::sys::std::ffi::CStr;
use crate::sys::std::prelude::v1::*;
use heapless::Vec;
use nix::libc;
use nix::sys::stat::{lstat, SFlag};

/// How many symbolic links a path may lead over, as in the kernel.
const MAX_LINKS: usize = 40;

/// What one step along a path found. Names are those of entries of the
/// directory in which the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A directory, which the walk has entered.
    Directory,
    /// A symbolic link, to be [followed](Walk::follow).
    Link { name: u32 },
    /// Nothing of that name, or nothing that leads on.
    Missing { name: u32 },
    /// The last component, and no link.
    File { name: u32 },
}

/// A walk along an absolute path.
pub(super) struct Walk {
    /// Where the walk has come to; without a NUL, `/` alone is empty.
    here: Vec<u8, PATH_BYTES>,
    /// The whole path, of which what is behind `at` was not walked yet.
    path: Vec<u8, PATH_BYTES>,
    at: usize,
    links: usize,
}

impl Walk {
    /// A walk that begins at the root. A path that is too long leads nowhere.
    pub(super) fn new(path: &[u8]) -> Self {
        let path = Vec::from_slice(path).unwrap_or_default();
        Walk { here: Vec::new(), path, at: 0, links: 0 }
    }

    /// The next component.
    pub(super) fn step(&mut self) -> Step {
        let component = self.component();
        let name = name_hash(component);
        let is_last = self.rest_after(component.len()).iter().all(|&byte| byte == b'/');
        match self.kind_of_entry() {
            None => Step::Missing { name },
            Some(kind) if kind == SFlag::S_IFLNK => Step::Link { name },
            Some(_) if is_last => Step::File { name },
            Some(kind) if kind == SFlag::S_IFDIR => {
                self.enter();
                Step::Directory
            }
            Some(_) => Step::Missing { name },
        }
    }

    /// Goes on where the link leads that the last step found. False: nowhere.
    pub(super) fn follow(&mut self) -> bool {
        self.links += 1;
        let mut target = [0; PATH_BYTES];
        let Some(len) = self.read_link(&mut target) else { return false };
        let rest_at = self.start() + self.component().len();
        let mut path = Vec::<u8, PATH_BYTES>::new();
        let is_whole = path.extend_from_slice(&target[..len]).is_ok()
            && path.push(b'/').is_ok()
            && path.extend_from_slice(&self.path[rest_at..]).is_ok();
        if target[0] == b'/' {
            self.here.clear();
        }
        self.path = path;
        self.at = 0;
        is_whole && self.links <= MAX_LINKS
    }

    /// Goes on to the entry that the last step found.
    pub(super) fn enter(&mut self) {
        let (start, len) = (self.start(), self.component().len());
        // What does not fit was missing already.
        let _ = self.here.push(b'/');
        let _ = self.here.extend_from_slice(&self.path[start..start + len]);
        self.at = start + len;
    }

    /// Calls `with` with the path to where the walk is.
    pub(super) fn here<R>(&mut self, with: impl FnOnce(&CStr) -> R) -> Option<R> {
        let root: &[u8] = b"/\0";
        if self.here.is_empty() {
            return CStr::from_bytes_with_nul(root).ok().map(with);
        }
        self.here.push(0).ok()?;
        let result = CStr::from_bytes_with_nul(&self.here).ok().map(with);
        self.here.pop();
        result
    }

    fn start(&self) -> usize {
        self.at + self.path[self.at..].iter().take_while(|&&byte| byte == b'/').count()
    }

    fn component(&self) -> &[u8] {
        let rest = &self.path[self.start()..];
        let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        &rest[..len]
    }

    fn rest_after(&self, len: usize) -> &[u8] {
        &self.path[self.start() + len..]
    }

    fn with_entry<R>(&mut self, with: impl FnOnce(&CStr) -> R) -> Option<R> {
        let (at, len) = (self.at, self.here.len());
        self.enter();
        let result = self.here(with);
        self.at = at;
        self.here.truncate(len);
        result
    }

    fn kind_of_entry(&mut self) -> Option<SFlag> {
        let found = self.with_entry(lstat)?.ok()?;
        Some(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT)
    }

    fn read_link(&mut self, target: &mut [u8; PATH_BYTES]) -> Option<usize> {
        let len = self.with_entry(|link| {
            // SAFETY: a NUL-terminated path, and as many bytes as the buffer has. nix allocates here.
            unsafe { libc::readlink(link.as_ptr(), target.as_mut_ptr().cast(), target.len()) }
        })?;
        usize::try_from(len).ok().filter(|&len| len > 0)
    }
}

/// A directory entry's name as a number that is not 0 (FNV-1a). Two names that
/// share one cost a needless look, no more.
pub(super) fn name_hash(name: &[u8]) -> u32 {
    let hash = name
        .iter()
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}
