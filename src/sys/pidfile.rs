//! The file that holds pmtr's process id (`-p`; manual, "Command line options").

use super::errno::Meaning;
use super::lock::{lock, Lock};
use super::stat::{fstat, lstat, Stat};
use super::std::{
    ffi::CString,
    fmt, format,
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::Path,
    prelude::v1::*,
    process,
};
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::{Mode, SFlag};
use nix::sys::uio::pread;
use nix::unistd::{ftruncate, geteuid, unlink, write};

/// The file while pmtr runs: locked, so that two pmtr do not take each other's.
pub struct PidFile {
    path: CString,
    file: OwnedFd,
}

impl PidFile {
    /// Writes this process's id and a newline to `path`; a new file has mode
    /// 0644, an old one is overwritten.
    ///
    /// Nothing is overwritten but a regular file with one name: a symbolic or
    /// hard link could make root overwrite any file. And no file of another
    /// user, who could later put another process id into it, which an init
    /// script then ends.
    pub fn write(path: &Path) -> Result<PidFile, Refused> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = open(path.as_c_str(), flags, Mode::from_bits_truncate(0o644))?;
        let found = fstat(&file)?;
        if !is_plain(&found) {
            return Err(Refused::NotPlain);
        }
        if found.st_uid != 0 && found.st_uid != geteuid().as_raw() {
            return Err(Refused::NotOurs { uid: found.st_uid });
        }
        if let Lock::Held { pid } = lock(file.as_fd()) {
            return Err(Refused::Held { pid });
        }
        let written = PidFile { path, file };
        written.fill().map_err(|error| {
            let _ = unlink(written.path.as_c_str());
            error
        })?;
        Ok(written)
    }

    fn fill(&self) -> Result<(), Errno> {
        ftruncate(&self.file, 0)?;
        let text = format!("{}\n", process::id());
        let len = write(&self.file, text.as_bytes())?;
        (len == text.len()).then_some(()).ok_or(Errno::ENOSPC)
    }

    /// Removes the file, if it is still there and holds this process's id.
    /// Allocates nothing; what goes wrong is of no consequence.
    pub fn remove(self) {
        if self.is_in_place().unwrap_or(false) && self.holds_our_pid() {
            let _ = unlink(self.path.as_c_str());
        }
    }

    /// Whether the path still leads to the file that was written.
    fn is_in_place(&self) -> Result<bool, Errno> {
        let found = lstat(self.path.as_c_str())?;
        let ours = fstat(&self.file)?;
        Ok((found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino))
    }

    fn holds_our_pid(&self) -> bool {
        let mut bytes = [0; 16];
        let len = pread(&self.file, &mut bytes, 0).unwrap_or(0);
        let text = core::str::from_utf8(&bytes[..len]).unwrap_or("");
        text.trim_end().parse() == Ok(process::id())
    }
}

fn is_plain(file: &Stat) -> bool {
    SFlag::from_bits_truncate(file.st_mode) == SFlag::S_IFREG && file.st_nlink == 1
}

/// Why a pid file cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another pmtr has it.
    Held {
        /// Which; 0 if it is not of this process's PID namespace.
        pid: i32,
    },
    /// It is something else than a regular file with one name.
    NotPlain,
    /// It belongs to a user who is neither root nor the one that this process runs as.
    NotOurs {
        /// Whose it is.
        uid: u32,
    },
    /// A system call failed: open(2), write(2).
    Failed(Errno),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Refused::Failed(errno)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Held { pid: 0 } => f.write_str("another pmtr holds it"),
            Refused::Held { pid } => write!(f, "another pmtr holds it (pid {pid})"),
            Refused::NotPlain => f.write_str("not a regular file with a single name"),
            Refused::NotOurs { uid } => write!(f, "belongs to user {uid}"),
            // open(2) with O_NOFOLLOW: the text of this one would mislead.
            Refused::Failed(Errno::ELOOP) => f.write_str("is a symbolic link"),
            Refused::Failed(errno) => f.write_str(&errno.meaning()),
        }
    }
}
