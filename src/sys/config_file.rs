//! The configuration file: read, parsed, and what is wrong with it told.

use super::errno::Meaning;
use super::exposure::{directory_of, exposure, Exposure};
use super::opened::Opened;
use super::pages;
use super::stat::{lstat, stat};
use super::std::ffi::{CStr, CString, OsStr};
use super::std::os::fd::OwnedFd;
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
use nix::sys::stat::Mode;
use nix::unistd::{faccessat, AccessFlags};

/// Where the configuration is, and what its file was when it was last read.
pub struct ConfigFile {
    path: CString,
    directory: CString,
    bytes: usize,
    exposure: Option<Exposure>,
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
        ConfigFile { path, directory, bytes: 0, exposure: None }
    }

    /// Where it is.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// How many bytes it had when it was last read.
    pub fn bytes(&self) -> usize {
        self.bytes
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

    /// Opens it to be [loaded](Self::load).
    pub(super) fn open(&self) -> Result<Opened, Errno> {
        Opened::new(&self.path)
    }

    /// Reads the opened file into `text` and parses it; every problem goes to `found`, with the
    /// file's name, and every word to `read`.
    pub(super) fn load(
        &mut self,
        opened: &Result<Opened, Errno>,
        text: &mut Text,
        into: &mut Config,
        found: &mut dyn FnMut(&Problem<'_>, &CStr),
        read: &mut dyn FnMut(&Token<'_>),
    ) -> Result<(), Refused> {
        (self.bytes, self.exposure) = (0, None);
        let opened = opened.as_ref().map_err(|&errno| Refused::Unreadable(errno))?;
        let text = pages::whole(&mut text.0);
        let len = self.read(opened, &mut text[..=TEXT_BYTES])?;
        if len > TEXT_BYTES {
            return Err(Refused::TooLong);
        }
        let mut found = |problem: &Problem<'_>| found(problem, &self.path);
        let parsed = config::parse_traced(&text[..len], into, &mut found, read);
        parsed.map_err(Refused::Errors)
    }

    /// Reads as much of the file as there is room for.
    fn read(&mut self, opened: &Opened, text: &mut [u8]) -> Result<usize, Refused> {
        self.bytes = usize::try_from(opened.stat.st_size).unwrap_or(0);
        self.exposure = exposure(&opened.stat, &self.directory);
        if opened.is_pipe() {
            return Err(Refused::Pipe);
        }
        read_all(&opened.file, text).map_err(Refused::Unreadable)
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

/// Its name.
impl fmt::Display for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lossy(f, self.path.to_bytes())
    }
}

impl Refused {
    /// Returns true if it can be another time though the file stays as it is.
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
