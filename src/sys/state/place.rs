//! Where the state file is, and that nobody else can have put it there.

use super::super::errno::Meaning;
use super::super::stat::fstat;
use super::super::std::{
    env,
    ffi::OsStr,
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
    path: PathBuf,
    dir: OwnedFd,
}

impl Place {
    /// Opens the `given` directory or this user's own; creates it, but not what it is in.
    pub(super) fn open(given: Option<&Path>) -> Result<Place, Warning> {
        let (path, links) = match given {
            // Who names a link wants what it points to.
            Some(path) => (path.to_path_buf(), OFlag::empty()),
            None => (default_dir(), OFlag::O_NOFOLLOW),
        };
        match open_dir(&path, links) {
            Ok(dir) => Ok(Place { path, dir }),
            Err(why) => Err(Warning::Unusable { path, why }),
        }
    }

    /// Opens or creates a file in it: a regular one of this user, with one name.
    pub(super) fn file(&self, name: &str) -> Result<OwnedFd, Warning> {
        self.open_file(name).map_err(|why| Warning::Unusable { path: self.path(name), why })
    }

    /// The path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Nobody else may read it: who may read can lock, and who locks keeps pmtr out.
    fn open_file(&self, name: &str) -> Result<OwnedFd, Why> {
        let create = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let never_wait = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(&self.dir, name, create | never_wait, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let found = fstat(&file)?;
        let is_regular = SFlag::from_bits_truncate(found.st_mode) == SFlag::S_IFREG;
        let is_ours = is_regular && found.st_nlink == 1 && found.st_uid == geteuid().as_raw();
        is_ours.then_some(file).ok_or(Why::NotOurs)
    }
}

/// Root's own is for all to see; nobody else needs to look into an ordinary user's.
fn open_dir(path: &Path, links: OFlag) -> Result<OwnedFd, Why> {
    let mode = if geteuid().is_root() { 0o755 } else { 0o700 };
    // If this fails for another reason than that it exists, opening will tell.
    let _ = mkdir(path, Mode::from_bits_truncate(mode));
    let dir = open(path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | links, Mode::empty())?;
    let found = fstat(&dir)?;
    let for_others = Mode::from_bits_truncate(found.st_mode) & (Mode::S_IWGRP | Mode::S_IWOTH);
    let is_ours = for_others.is_empty() && found.st_uid == geteuid().as_raw();
    is_ours.then_some(dir).ok_or(Why::NotOurs)
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

/// The file names for a configuration: by its path as given, which is to be
/// absolute, and by the one behind all links if that is another.
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
    format!("{tail}-{digest:016x}.state")
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

/// Why a directory or file cannot be used for the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A system call failed: open(2), fcntl(2).
    Failed(Errno),
    /// It belongs to somebody else, others may write to it, or it is a file
    /// of another kind or with several names.
    NotOurs,
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
                write!(f, "no state is kept, {}: ", path.display())?;
                match why {
                    Why::Failed(errno) => f.write_str(&errno.meaning())?,
                    Why::NotOurs => f.write_str("is not this user's alone")?,
                }
            }
            Warning::NoProc => f.write_str("no state is kept: there is no /proc")?,
        }
        f.write_str("; jobs will run twice if pmtr is killed and started again")
    }
}
