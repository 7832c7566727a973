//! The configuration file: read, parsed, and what is wrong with it told.

use super::errno::Meaning;
use super::exposure::{directory_of, exposure, Exposure};
use super::pages;
use super::stat::{fstat, lstat, stat, Stat};
use super::std::ffi::{CStr, CString, OsStr};
use super::std::os::fd::{AsRawFd, OwnedFd};
use super::std::os::unix::ffi::OsStrExt;
use super::std::path::Path;
use super::std::prelude::v1::*;
use super::tell;
use crate::config::{self, Config, Problem, Token};
use crate::limits::{PAGE_BYTES, TEXT_BYTES};
use crate::name::write_lossy;
use core::fmt;
use nix::errno::Errno;
use nix::fcntl::{open, AtFlags, OFlag, AT_FDCWD};
use nix::libc;
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{faccessat, AccessFlags};

/// Where the configuration is, and which file it was when it was last read.
pub struct ConfigFile {
    path: CString,
    directory: CString,
    stamp: Option<Stamp>,
    exposure: Option<Exposure>,
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, u32),
}

/// For the bytes of the file while it is being parsed, and one more to notice that
/// it is too long: as many whole pages as that takes. All zeros at first.
pub struct Text([u8; TEXT_BYTES + 2 * PAGE_BYTES]);

impl Text {
    /// No bytes.
    pub const fn new() -> Self {
        Text([0; TEXT_BYTES + 2 * PAGE_BYTES])
    }

    /// Gives back the memory in which the file was while it was parsed.
    pub fn forget(&mut self) {
        pages::give_back_bytes(&mut self.0);
    }
}

/// Why a file did not become a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It cannot be read.
    Unreadable(Errno),
    /// It is a FIFO.
    Pipe,
    /// It has more bytes than `TEXT_BYTES`.
    TooLong,
    /// It has errors; each was told.
    Errors(config::Refused),
}

impl ConfigFile {
    /// The configuration at `path`, which is absolute.
    pub fn new(path: CString) -> Self {
        let directory = directory_of(&path);
        ConfigFile { path, directory, stamp: None, exposure: None }
    }

    /// Where it is.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// How many bytes it had when it was last read.
    pub fn bytes(&self) -> usize {
        self.stamp.map_or(0, |stamp| usize::try_from(stamp.size).unwrap_or(0))
    }

    /// How somebody else could have changed it when it was last read.
    pub(super) fn exposure(&self) -> Option<Exposure> {
        self.exposure
    }

    /// Creates an empty file, readable by its owner only, where there is none
    /// (compat.md, "Running").
    pub fn create_if_missing(&self) -> Result<(), Errno> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        match open(self.path.as_c_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(_) => {
                tell::info!("creating empty {self}");
                Ok(())
            }
            Err(Errno::EEXIST) => Ok(()),
            Err(_) if self.is_there() => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Whether [`create_if_missing`](Self::create_if_missing) would work. Allocates.
    pub fn can_be_created(&self) -> Result<(), Errno> {
        let path = Path::new(OsStr::from_bytes(self.path.to_bytes()));
        let directory = path.parent().unwrap_or(path);
        // A name that ends in a slash is no file's, and a dangling link leads elsewhere.
        if lstat(path).is_ok() || self.path.to_bytes().ends_with(b"/") {
            return Err(Errno::ENOENT);
        }
        let needed = AccessFlags::W_OK | AccessFlags::X_OK;
        faccessat(AT_FDCWD, directory, needed, AtFlags::AT_EACCESS)
    }

    /// A file on a read-only root is refused with another error than EEXIST.
    fn is_there(&self) -> bool {
        stat(self.path.as_c_str()).is_ok()
    }

    /// Reads the file into `text` and parses it; every problem goes to `found`, with the
    /// file's name, and every word to `read`.
    pub fn load(
        &mut self,
        text: &mut Text,
        into: &mut Config,
        found: &mut dyn FnMut(&Problem<'_>, &CStr),
        read: &mut dyn FnMut(&Token<'_>),
    ) -> Result<(), Refused> {
        let text = pages::whole(&mut text.0);
        let len = self.read(&mut text[..=TEXT_BYTES])?;
        if len > TEXT_BYTES {
            return Err(Refused::TooLong);
        }
        let mut found = |problem: &Problem<'_>| found(problem, &self.path);
        let parsed = config::parse_traced(&text[..len], into, &mut found, read);
        parsed.map_err(Refused::Errors)
    }

    /// Whether the file is another one than the one last read, or has changed.
    pub fn has_changed(&self) -> bool {
        let stat = self.open().and_then(fstat);
        stat.ok().map(|stat| Stamp::of(&stat)) != self.stamp
    }

    /// Whether a file that was just created is there as a whole: a link to
    /// what existed before.
    pub fn is_link(&self) -> bool {
        lstat(self.path.as_c_str()).is_ok_and(|stat| {
            let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
            kind == SFlag::S_IFLNK || stat.st_nlink > 1
        })
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        open(self.path.as_c_str(), flags | OFlag::O_LARGEFILE, Mode::empty())
    }

    /// Whether somebody has the file open for writing: half of it may be there,
    /// or nothing. The end of that is a change, too.
    pub fn is_being_written(&self) -> bool {
        self.open().is_ok_and(|file| keep_writers_out(&file) == Err(Errno::EAGAIN))
    }

    /// Reads as much of the file as there is room for.
    fn read(&mut self, text: &mut [u8]) -> Result<usize, Refused> {
        (self.stamp, self.exposure) = (None, None);
        let file = self.open().map_err(Refused::Unreadable)?;
        // At the start, and when told to, it is read even so.
        let _ = keep_writers_out(&file);
        let stat = fstat(&file).map_err(Refused::Unreadable)?;
        self.stamp = Some(Stamp::of(&stat));
        self.exposure = exposure(&stat, &self.directory);
        if is_pipe(&stat) {
            return Err(Refused::Pipe);
        }
        read_all(&file, text).map_err(|errno| {
            // What was not read is another content whenever it is looked at.
            self.stamp = None;
            Refused::Unreadable(errno)
        })
    }
}

fn read_all(file: &OwnedFd, text: &mut [u8]) -> Result<usize, Errno> {
    let mut len = 0;
    while len < text.len() {
        match nix::unistd::read(file, &mut text[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(len)
}

/// Makes whoever opens the file for writing wait until it is closed here
/// (fcntl(2), "Leases"). `EAGAIN`: somebody has it open for writing. Other
/// errors: the file system, or its owner, does not let us.
fn keep_writers_out(file: &OwnedFd) -> Result<(), Errno> {
    // Whoever opens it would have this process sent SIGIO, which would end `pmtr -t`.
    set(file, F_SETSIG, libc::SIGURG)?;
    set(file, libc::F_SETLEASE, libc::F_RDLCK)
}

/// Of fcntl(2); on all that Linux runs on but PA-RISC.
const F_SETSIG: libc::c_int = 10;

fn set(file: &OwnedFd, what: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
    // SAFETY: takes a descriptor and two numbers.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), what, value) };
    Errno::result(result).map(|_| ())
}

/// A FIFO is never at its end, or at once.
fn is_pipe(stat: &Stat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO
}

/// Its name.
impl fmt::Display for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lossy(f, self.path.to_bytes())
    }
}

impl Refused {
    /// Whether it can be another time though the file stays as it is.
    pub fn is_passing(&self) -> bool {
        match self {
            Refused::Unreadable(errno) => super::is_passing(*errno),
            Refused::Pipe | Refused::TooLong | Refused::Errors(_) => false,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unreadable(errno) => f.write_str(&errno.meaning()),
            Refused::Pipe => f.write_str("it is a FIFO, not a file"),
            Refused::TooLong => write!(f, "longer than TEXT_BYTES ({TEXT_BYTES} bytes)"),
            Refused::Errors(refused) => refused.fmt(f),
        }
    }
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}
