//! Digests of the files that a job depends on (manual, "depends").

use super::opened::Opened;
use super::stat::Stat;
use super::std::collections::hash_map::DefaultHasher;
use super::std::ffi::CStr;
use super::std::hash::Hasher;
use super::std::os::fd::OwnedFd;
use super::std::prelude::v1::*;
use crate::config::JobView;
use crate::limits::PATH_BYTES;
use heapless::Vec;
use nix::errno::Errno;
use nix::libc::off_t;
use nix::sys::uio::pread;

/// Of a file longer than this, size and time of change count and not all of its
/// content, which would hold up the supervisor for too long to read. Some
/// files have no end that their size would tell.
pub const CONTENT_BYTES: u64 = 16 << 20;

/// The digest of the contents of several files, from those of each.
pub struct Combined(DefaultHasher);

impl Combined {
    /// Of no file.
    pub fn new() -> Self {
        Combined(DefaultHasher::new())
    }

    /// Adds one file.
    pub fn add(&mut self, digest: u64) {
        self.0.write_u64(digest);
    }

    /// The digest.
    pub fn digest(&self) -> u64 {
        self.0.finish()
    }
}

/// The digest of the content of an open file, which is read from its beginning and left there. Does not block, does
/// not allocate.
pub fn of_content(opened: &Opened) -> Result<u64, Errno> {
    let mut hasher = DefaultHasher::new();
    if opened.stat.st_size > CONTENT_BYTES {
        add_stamp(&mut hasher, &opened.stat);
    } else {
        add_content(&mut hasher, &opened.file, &opened.stat)?;
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

fn add_stamp(hasher: &mut DefaultHasher, stat: &Stat) {
    hasher.write_u64(stat.st_size);
    hasher.write_i64(stat.st_mtime);
    hasher.write_u32(stat.st_mtime_nsec);
}

fn add_content(hasher: &mut DefaultHasher, file: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let mut chunk = [0; 4096];
    let mut len = 0;
    while len <= CONTENT_BYTES {
        // Whoever reads the file afterwards begins where it begins.
        match pread(file, &mut chunk, len as off_t) {
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
