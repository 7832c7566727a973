//! A path, walked one component after the other (path_resolution(7)).

use crate::limits::PATH_BYTES;
use crate::sys::is_passing;
use crate::sys::stat::lstat;
use crate::sys::std::ffi::CStr;
use crate::sys::std::prelude::v1::*;
use heapless::Vec;
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::SFlag;

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

/// A walk along an absolute path. There is one buffer only, as it stands on the stack.
pub(super) struct Walk {
    /// What was walked, links replaced by what they lead to, and what was not yet.
    path: Vec<u8, PATH_BYTES>,
    /// How much of `path` was walked; 0 is the root.
    here: usize,
    links: usize,
    /// What there is on the way could not be learned.
    failed: Option<Errno>,
}

impl Walk {
    /// A walk to nowhere; see [`along`](Self::along).
    pub(super) fn new() -> Self {
        Walk { path: Vec::new(), here: 0, links: 0, failed: None }
    }

    /// Begins at the root, to go along `path`. One that is too long leads nowhere.
    ///
    /// Apart from `new`, as a filled buffer that is returned is on the stack twice.
    pub(super) fn along(&mut self, path: &[u8]) {
        // Nothing is taken of what does not fit.
        let _ = self.path.extend_from_slice(path);
    }

    /// The next component.
    pub(super) fn step(&mut self) -> Step {
        let end = self.end();
        let name = name_hash(&self.path[self.start()..end]);
        let is_last = self.path[end..].iter().all(|&byte| byte == b'/');
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
    ///
    /// Not inlined: only who meets a link needs room for a second path.
    #[inline(never)]
    pub(super) fn follow(&mut self) -> bool {
        let mut target = [0; PATH_BYTES];
        let Some(len) = self.read_link(&mut target) else { return false };
        self.links += 1;
        let kept = if target[0] == b'/' { 0 } else { self.here };
        self.put_behind(kept, &target[..len]) && self.links <= MAX_LINKS
    }

    /// Goes on to the entry that the last step found.
    pub(super) fn enter(&mut self) {
        self.here = self.end();
    }

    /// Goes back to the directory above where the walk is. Returns the name there of what was left;
    /// None for the root, and for what has no name.
    pub(super) fn back(&mut self) -> Option<u32> {
        let end = self.here;
        let slash = self.path[..end].iter().rposition(|&byte| byte == b'/')?;
        let name = &self.path[slash + 1..end];
        self.here =
            self.path[..slash].iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
        let is_name = !matches!(name, b"" | b"." | b"..");
        is_name.then(|| name_hash(name))
    }

    /// Calls `with` with the path to where the walk is.
    pub(super) fn here<R>(&mut self, with: impl FnOnce(&CStr) -> R) -> Option<R> {
        let root: &[u8] = b"/\0";
        match self.here {
            0 => CStr::from_bytes_with_nul(root).ok().map(with),
            here => self.up_to(here, with),
        }
    }

    /// Why the walk may have ended too early.
    pub(super) fn failed(&self) -> Option<Errno> {
        self.failed
    }

    /// Where the next component begins.
    fn start(&self) -> usize {
        self.here + self.path[self.here..].iter().take_while(|&&byte| byte == b'/').count()
    }

    /// Where the next component ends.
    fn end(&self) -> usize {
        let start = self.start();
        let len = self.path[start..].iter().position(|&byte| byte == b'/');
        len.map_or(self.path.len(), |len| start + len)
    }

    /// Calls `with` with the beginning of the path; `None` where there is no room for a NUL.
    fn up_to<R>(&mut self, end: usize, with: impl FnOnce(&CStr) -> R) -> Option<R> {
        let behind = self.path.get(end).copied();
        match behind {
            Some(_) => self.path[end] = 0,
            None => self.path.push(0).ok()?,
        }
        let result = CStr::from_bytes_with_nul(&self.path[..=end]).ok().map(with);
        match behind {
            Some(byte) => self.path[end] = byte,
            None => self.path.truncate(end),
        }
        result
    }

    /// Puts `target` in place of the next component and of what was walked
    /// but for the first `kept` bytes. False: that is too long.
    fn put_behind(&mut self, kept: usize, target: &[u8]) -> bool {
        let (rest, at) = (self.end()..self.path.len(), kept + 1);
        let len = at + target.len() + rest.len();
        if self.path.resize_default(len.max(rest.end)).is_err() {
            return false;
        }
        self.path.copy_within(rest, at + target.len());
        self.path[kept] = b'/';
        self.path[at..][..target.len()].copy_from_slice(target);
        self.path.truncate(len);
        self.here = kept;
        true
    }

    fn kind_of_entry(&mut self) -> Option<SFlag> {
        match self.up_to(self.end(), lstat)? {
            Ok(found) => Some(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT),
            Err(errno) => {
                self.failed = self.failed.or(Some(errno).filter(|&errno| is_passing(errno)));
                None
            }
        }
    }

    fn read_link(&mut self, target: &mut [u8; PATH_BYTES]) -> Option<usize> {
        let len = self.up_to(self.end(), |link| {
            // SAFETY: a NUL-terminated path, and as many bytes as the buffer has. nix allocates here.
            unsafe { libc::readlink(link.as_ptr(), target.as_mut_ptr().cast(), target.len()) }
        })?;
        match Errno::result(len) {
            Ok(len) => usize::try_from(len).ok().filter(|&len| len > 0),
            Err(errno) => {
                self.failed = self.failed.or(Some(errno).filter(|&errno| is_passing(errno)));
                None
            }
        }
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

#[cfg(test)]
mod tests {
    use super::super::super::std::os::unix::{ffi::OsStrExt, fs::symlink};
    use super::super::super::std::path::{Path, PathBuf};
    use super::super::super::std::{fs, string::String, vec};
    use super::*;

    /// What the walk along `path` meets, links followed, and where it ends.
    fn walked(path: &Path) -> (vec::Vec<Step>, PathBuf) {
        let mut walk = Walk::new();
        walk.along(path.as_os_str().as_bytes());
        let mut steps = vec![];
        loop {
            let step = walk.step();
            steps.push(step);
            let goes_on = match step {
                Step::Directory => true,
                Step::Link { .. } => walk.follow(),
                Step::Missing { .. } | Step::File { .. } => false,
            };
            if !goes_on {
                let here = walk.here(|path| String::from_utf8_lossy(path.to_bytes()).into_owned());
                return (steps, PathBuf::from(here.unwrap()));
            }
        }
    }

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/file"), "").unwrap();
        (dir, path)
    }

    fn last_two(path: &Path) -> ([Step; 2], PathBuf) {
        let (steps, here) = walked(path);
        (steps[steps.len() - 2..].try_into().unwrap(), here)
    }

    fn name(name: &str) -> u32 {
        name_hash(name.as_bytes())
    }

    #[test]
    fn goes_through_directories_to_the_file() {
        let (_dir, path) = directory();
        let file = Step::File { name: name("file") };
        let found = ([Step::Directory, file], path.join("a/b"));
        assert_eq!(last_two(&path.join("a/b/file")), found);
        assert_eq!(last_two(&path.join("a//b///file")), found);
    }

    #[test]
    fn stops_where_nothing_is() {
        let (_dir, path) = directory();
        let missing = Step::Missing { name: name("none") };
        assert_eq!(
            last_two(&path.join("a/none/file")),
            ([Step::Directory, missing], path.join("a"))
        );
        let through_a_file = Step::Missing { name: name("file") };
        let found = last_two(&path.join("a/b/file/below"));
        assert_eq!(found, ([Step::Directory, through_a_file], path.join("a/b")));
    }

    #[test]
    fn follows_links_that_begin_here_and_at_the_root() {
        let (_dir, path) = directory();
        symlink("b", path.join("a/short")).unwrap();
        symlink(path.join("a/b"), path.join("long")).unwrap();
        symlink("../../a/b/file", path.join("a/b/up")).unwrap();
        let file = Step::File { name: name("file") };
        for link in ["a/short/file", "long/file", "a/short/up", "long/up"] {
            let (steps, here) = last_two(&path.join(link));
            assert_eq!(steps, [Step::Directory, file], "{link}");
            assert_eq!(here.canonicalize().unwrap(), path.join("a/b"), "{link}");
        }
    }

    #[test]
    fn gives_up_on_a_circle_and_on_what_is_too_long() {
        let (_dir, path) = directory();
        symlink("circle", path.join("circle")).unwrap();
        let (steps, _) = walked(&path.join("circle/file"));
        let links = steps.iter().filter(|step| matches!(step, Step::Link { .. })).count();
        assert_eq!(links, MAX_LINKS + 1);
        let (steps, here) = walked(&path.join("x/".repeat(PATH_BYTES / 2)));
        assert_eq!((steps.len(), here), (1, PathBuf::from("/")));
        let long = "./".repeat(PATH_BYTES / 2 - 8);
        symlink(&long[..4000], path.join("link")).unwrap();
        let (steps, _) = walked(&path.join("link").join(&long[..100]));
        assert_eq!(steps.last(), Some(&Step::Link { name: name("link") }));
    }
}
