//! Where the state file is, and that nobody else can have put it there.

use super::super::errno::Meaning;
use super::super::is_passing;
use super::super::stat::{fstat, lstat, stat};
use super::super::std::{
    env,
    ffi::{CStr, CString, OsStr},
    fmt, format,
    os::fd::OwnedFd,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    prelude::v1::*,
};
use crate::state::Digest;
use nix::errno::Errno;
use nix::fcntl::{open, openat, OFlag};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{geteuid, mkdir};

/// A directory that belongs to this user, and in which nobody else can write.
pub(super) struct Place {
    path: CString,
    /// Whether it may be named by a symbolic link.
    links: OFlag,
}

impl Place {
    /// The `given` directory, or this user's own.
    pub(super) fn new(given: Option<&Path>) -> Place {
        let (path, links) = match given {
            // Who names a link wants what it points to.
            Some(path) => (path.to_path_buf(), OFlag::empty()),
            None => (default_dir(), OFlag::O_NOFOLLOW),
        };
        Place { path: c_string(&path), links }
    }

    /// Opens it; creates it, but not what it is in. Allocates nothing.
    ///
    /// Root's own is for all to see; nobody else needs to look into an ordinary user's.
    pub(super) fn open(&self) -> Result<OwnedFd, Why> {
        let mode = if geteuid().is_root() { 0o755 } else { 0o700 };
        // If this fails for another reason than that it exists, opening will show it.
        let _ = mkdir(self.path.as_c_str(), Mode::from_bits_truncate(mode));
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | self.links;
        let dir = open(self.path.as_c_str(), flags, Mode::empty())?;
        let found = fstat(&dir)?;
        let for_others = Mode::from_bits_truncate(found.st_mode) & (Mode::S_IWGRP | Mode::S_IWOTH);
        let is_ours = for_others.is_empty() && found.st_uid == geteuid().as_raw();
        is_ours.then_some(dir).ok_or(Why::NotOurs)
    }

    /// Returns true if its path leads to something.
    pub(super) fn is_there(&self) -> bool {
        stat(self.path.as_c_str()).is_ok()
    }

    /// A file in it of which nothing is known yet.
    pub(super) fn file(&self, name: &str) -> StateFile {
        let dir = Path::new(OsStr::from_bytes(self.path.to_bytes()));
        StateFile { name: c_string(Path::new(name)), path: c_string(&dir.join(name)), fd: None }
    }

    pub(super) fn unusable(&self, why: Why) -> Warning {
        Warning::unusable(&self.path, why)
    }
}

/// A path with a NUL, which no system call takes, is as good as none.
fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// A file in a [`Place`].
pub(super) struct StateFile {
    name: CString,
    path: CString,
    /// While it is held.
    pub(super) fd: Option<OwnedFd>,
}

impl StateFile {
    /// Its path.
    pub(super) fn path(&self) -> &CStr {
        &self.path
    }

    /// Opens it in the place's directory, or creates it with [`OFlag::O_CREAT`]: a regular file of this
    /// user, with one name. Allocates nothing.
    ///
    /// Nobody else may read it: who may read can lock, and who locks keeps pmtr out.
    pub(super) fn open(&self, dir: &OwnedFd, create: OFlag) -> Result<OwnedFd, Why> {
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | create;
        let never_wait = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = openat(dir, self.name.as_c_str(), flags | never_wait, mode)?;
        let found = fstat(&file)?;
        let is_regular = SFlag::from_bits_truncate(found.st_mode) == SFlag::S_IFREG;
        let is_ours = is_regular && found.st_nlink == 1 && found.st_uid == geteuid().as_raw();
        is_ours.then_some(file).ok_or(Why::NotOurs)
    }

    /// Returns true if its path leads to `file`. Fails where that cannot be seen at the moment.
    pub(super) fn leads_to(&self, file: &OwnedFd) -> Result<bool, Errno> {
        let held = fstat(file)?;
        match lstat(self.path.as_c_str()) {
            Ok(found) => Ok((found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)),
            Err(errno) if is_passing(errno) => Err(errno),
            Err(_) => Ok(false),
        }
    }

    pub(super) fn unusable(&self, why: Why) -> Warning {
        Warning::unusable(&self.path, why)
    }
}

fn default_dir() -> PathBuf {
    let user = geteuid();
    if user.is_root() {
        return PathBuf::from("/run/pmtr");
    }
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_absolute() => runtime.join("pmtr"),
        Some(_) | None => PathBuf::from(format!("/tmp/pmtr-{user}")),
    }
}

/// The file names for a configuration, without an ending: by its path as given, which is to
/// be absolute, and by the one behind all links if that is another.
pub(super) fn names(config: &Path) -> Vec<String> {
    // Without `.` and doubled slashes.
    let given: PathBuf = config.components().collect();
    let mut names = Vec::from([name(&given)]);
    names.extend(real(config).filter(|real| *real != given).map(|real| name(&real)));
    names
}

/// The path without links; of a file that does not exist yet, the directory's and the name.
fn real(config: &Path) -> Option<PathBuf> {
    config.canonicalize().ok().or_else(|| {
        let dir = config.parent()?.canonicalize().ok()?;
        Some(dir.join(config.file_name()?))
    })
}

/// Readable at first, then unmistakable.
fn name(config: &Path) -> String {
    /// What is left of 255 bytes is not needed.
    const READABLE: usize = 64;
    let harmless = |byte: &u8| match byte {
        b'.' | b'-' | b'_' => char::from(*byte),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte),
        _ => '_',
    };
    let tail = config.file_name().map_or(&[][..], OsStr::as_bytes);
    let tail: String = tail.iter().take(READABLE).map(harmless).collect();
    let digest = Digest::new().with(config.as_os_str().as_bytes()).value();
    format!("{tail}-{digest:016x}")
}

/// Why jobs that a killed pmtr leaves will not be found. As text, a line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The directory or file cannot be used.
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: Why,
    },
    /// There is no /proc of this PID namespace.
    NoProc,
}

impl Warning {
    fn unusable(path: &CStr, why: Why) -> Warning {
        Warning::Unusable { path: PathBuf::from(OsStr::from_bytes(path.to_bytes())), why }
    }
}

/// Why a directory or file cannot be used for the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A system call failed: open(2), fcntl(2).
    Failed(Errno),
    /// It belongs to somebody else, others may write to it, or it is a file
    /// of another kind or with several names.
    NotOurs,
    /// Too many others have a configuration of this path, as containers do, and their state
    /// files here.
    Crowded,
    /// Another pmtr has it.
    Held {
        /// Which; 0 if it is not of this process's PID namespace.
        pid: i32,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Failed(errno) => f.write_str(&errno.meaning()),
            Why::NotOurs => f.write_str("is not this user's alone"),
            Why::Crowded => f.write_str("too many others with a configuration of this path"),
            Why::Held { pid: 0 } => f.write_str("another pmtr has it"),
            Why::Held { pid } => write!(f, "another pmtr has it (pid {pid})"),
        }
    }
}

impl From<Errno> for Why {
    fn from(errno: Errno) -> Self {
        Why::Failed(errno)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Unusable { path, why } => {
                write!(f, "no state is kept, {}: {why}", path.display())?;
            }
            Warning::NoProc => f.write_str("no state is kept: there is no /proc")?,
        }
        f.write_str("; jobs will run twice if pmtr is killed and started again")
    }
}
