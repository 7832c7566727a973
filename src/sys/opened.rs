//! A file that was opened to be read, and whether somebody else is writing it.

use super::stat::{fstat, Stat};
use super::std::ffi::CStr;
use super::std::os::fd::{AsRawFd, OwnedFd};
use super::std::prelude::v1::*;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::libc;
use nix::sys::stat::{Mode, SFlag};
use nix::sys::statfs::{fstatfs, NFS_SUPER_MAGIC};
use nix::sys::uio::pread;

/// An open file. Whoever opens it for writing waits until it is closed here, if
/// [`writers`](Self::writers) is `None` (fcntl(2), "Leases").
pub(super) struct Opened {
    pub file: OwnedFd,
    pub stat: Stat,
    pub writers: Writers,
}

/// Who else has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sys) enum Writers {
    /// Nobody, and nobody does until the file is closed here.
    None,
    /// Some process.
    Some,
    /// The file system, or the file's owner, does not let us know.
    Unknown,
}

impl Opened {
    /// Opens a file without waiting for anybody, and keeps writers out if that can be had.
    pub fn new(path: &CStr) -> Result<Self, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let file = open(path, flags | OFlag::O_LARGEFILE, Mode::empty())?;
        let writers = keep_writers_out(&file);
        // After the lease: before it somebody may have been writing.
        let stat = fstat(&file)?;
        Ok(Opened { file, stat, writers })
    }

    /// Returns true for a plain file.
    pub fn is_plain(&self) -> bool {
        kind(&self.stat) == SFlag::S_IFREG
    }

    /// Returns true for a directory.
    pub fn is_directory(&self) -> bool {
        kind(&self.stat) == SFlag::S_IFDIR
    }

    /// Returns true for a FIFO, which is never at its end, or at once.
    pub fn is_pipe(&self) -> bool {
        kind(&self.stat) == SFlag::S_IFIFO
    }

    /// Returns true if the file was written to since it was opened.
    pub fn has_changed(&self) -> bool {
        let is_same = |now: Stat| {
            let then = &self.stat;
            let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
            (now.st_size, time(&now)) == (then.st_size, time(then))
        };
        self.writers != Writers::None && !fstat(&self.file).is_ok_and(is_same)
    }

    /// Returns true if the last byte is the end of a line.
    pub fn ends_with_a_line(&self) -> bool {
        let Some(last) = self.stat.st_size.checked_sub(1) else { return false };
        let mut byte = [0];
        // An offset that is too large for the machine belongs to no configuration.
        let read = libc::off_t::try_from(last).map(|at| pread(&self.file, &mut byte, at));
        read == Ok(Ok(1)) && byte == [b'\n']
    }
}

pub(super) fn kind(stat: &Stat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn keep_writers_out(file: &OwnedFd) -> Writers {
    // Whoever opens it would have this process sent SIGIO, which would end `pmtr -t`.
    let set = set(file, F_SETSIG, libc::SIGURG);
    match set.and_then(|()| self::set(file, libc::F_SETLEASE, libc::F_RDLCK)) {
        Ok(()) => Writers::None,
        Err(Errno::EAGAIN) if !is_remote(file) => Writers::Some,
        Err(_) => Writers::Unknown,
    }
}

/// Returns true on file systems that refuse a lease as if there were a writer, whenever the server
/// has given no delegation.
fn is_remote(file: &OwnedFd) -> bool {
    const SMB: [u32; 2] = [0xff53_4d42, 0xfe53_4d42];
    fstatfs(file).is_ok_and(|found| {
        let kind = found.filesystem_type();
        kind == NFS_SUPER_MAGIC || SMB.contains(&(kind.0 as u32))
    })
}

/// Of fcntl(2); on all that Linux runs on but PA-RISC.
const F_SETSIG: libc::c_int = 10;

fn set(file: &OwnedFd, what: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
    // SAFETY: takes a descriptor and two numbers.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), what, value) };
    Errno::result(result).map(|_| ())
}
