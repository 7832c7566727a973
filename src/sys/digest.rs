//! A digest of the files that a job depends on (manual, "depends").

use super::stat::{fstat, Stat};
use super::std::collections::hash_map::DefaultHasher;
use super::std::ffi::CStr;
use super::std::hash::Hasher;
use super::std::os::fd::OwnedFd;
use super::std::prelude::v1::*;
use crate::config::JobView;
use crate::limits::PATH_BYTES;
use crate::supervise::Unreadable;
use heapless::Vec;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::{Mode, SFlag};

/// Of a file longer than this, size and time of change count and not all of its
/// content, which would hold up the supervisor for too long to read. Some
/// files have no end that their size would tell.
pub const CONTENT_BYTES: u64 = 16 << 20;

/// The digest of the content of all files that `job` depends on, or the first
/// one that cannot be read. Relative ones: see [`with_path`]. Reads them; does
/// not block, does not allocate.
pub fn digest(job: JobView<'_>, cwd: &CStr) -> Result<u64, Unreadable> {
    let mut hasher = DefaultHasher::new();
    for (file, path) in job.depends().enumerate() {
        let added = with_path(job, cwd, path, |path| add_file(&mut hasher, path));
        added.map_err(|errno| Unreadable { file: file as u16, errno: super::errno(errno) })?;
    }
    Ok(hasher.finish())
}

/// Calls `with` with a `depends` path made absolute: a relative one starts at
/// the job's `dir`, without one at pmtr's own directory `cwd`, as the paths of
/// `in`, `out` and `err` do.
pub fn with_path<R>(
    job: JobView<'_>,
    cwd: &CStr,
    path: &CStr,
    with: impl FnOnce(&CStr) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let bytes = path.to_bytes_with_nul();
    if bytes.starts_with(b"/") {
        return with(path);
    }
    with_joined(job, cwd, bytes, with)
}

/// Not inlined: only a relative path needs the room.
#[inline(never)]
fn with_joined<R>(
    job: JobView<'_>,
    cwd: &CStr,
    bytes: &[u8],
    with: impl FnOnce(&CStr) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let mut whole = Vec::<u8, PATH_BYTES>::new();
    let dir = job.dir().map_or(&b""[..], CStr::to_bytes);
    let cwd = if dir.starts_with(b"/") { b"" } else { cwd.to_bytes() };
    for part in [cwd, b"/", dir, b"/", bytes] {
        whole.extend_from_slice(part).map_err(|()| Errno::ENAMETOOLONG)?;
    }
    with(CStr::from_bytes_with_nul(&whole).map_err(|_| Errno::EINVAL)?)
}

/// Adds one file: its length as well, so that bytes cannot wander between files.
fn add_file(hasher: &mut DefaultHasher, path: &CStr) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC
        | OFlag::O_NOCTTY
        | OFlag::O_LARGEFILE;
    let file = open(path, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => {}
        SFlag::S_IFDIR => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    if stat.st_size > CONTENT_BYTES {
        add_stamp(hasher, &stat);
        return Ok(());
    }
    add_content(hasher, &file, &stat)
}

fn add_stamp(hasher: &mut DefaultHasher, stat: &Stat) {
    hasher.write_u64(stat.st_size);
    hasher.write_i64(stat.st_mtime);
    hasher.write_u32(stat.st_mtime_nsec);
}

fn add_content(hasher: &mut DefaultHasher, file: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let mut chunk = [0; 4096];
    let mut len = 0;
    while len <= CONTENT_BYTES {
        match nix::unistd::read(file, &mut chunk) {
            Ok(0) => {
                hasher.write_u64(len);
                return Ok(());
            }
            Ok(read) => {
                hasher.write(&chunk[..read]);
                len += read as u64;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    add_stamp(hasher, stat);
    Ok(())
}
