//! What a file is (statx(2)), 64 bits wide on every machine.
//!
//! stat(2) of a 32-bit C library fails with `EOVERFLOW` where a size, a date or
//! an inode number needs more: for a file above 2 GiB, one from after January
//! 2038, and any file of some large or stacked file systems.

use core::ffi::CStr;
use core::mem::MaybeUninit;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::libc::{self, c_int};
use nix::NixPath;

use super::std::os::fd::{AsFd, AsRawFd};

/// As in stat(3type).
#[derive(Clone, Copy)]
pub(super) struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_mode: libc::mode_t,
    pub st_nlink: u32,
    pub st_uid: libc::uid_t,
    pub st_gid: libc::gid_t,
    /// Which device it is: major and minor number.
    pub st_rdev: (u32, u32),
    pub st_size: u64,
    pub st_mtime: i64,
    pub st_mtime_nsec: u32,
    /// When it was made, seconds and nanoseconds; zeros where the file system does not know.
    pub st_btime: (i64, u32),
    pub st_ctime: i64,
    pub st_ctime_nsec: u32,
}

/// No path: the descriptor itself is meant. (A literal needs a newer Rust.)
const EMPTY: &CStr = match CStr::from_bytes_with_nul(b"\0") {
    Ok(empty) => empty,
    Err(_) => panic!(),
};

/// Of an open file.
pub(super) fn fstat(file: impl AsFd) -> Result<Stat, Errno> {
    statx(file.as_fd().as_raw_fd(), EMPTY, libc::AT_EMPTY_PATH)
}

/// Of the file that a path leads to.
pub(super) fn stat<P: ?Sized + NixPath>(path: &P) -> Result<Stat, Errno> {
    path.with_nix_path(|path| statx(AT_FDCWD.as_raw_fd(), path, 0))?
}

/// Of the symbolic link, where the path ends in one.
pub(super) fn lstat<P: ?Sized + NixPath>(path: &P) -> Result<Stat, Errno> {
    path.with_nix_path(|path| statx(AT_FDCWD.as_raw_fd(), path, libc::AT_SYMLINK_NOFOLLOW))?
}

fn statx(dir: c_int, path: &CStr, flags: c_int) -> Result<Stat, Errno> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let (path, wanted) = (path.as_ptr(), libc::STATX_BASIC_STATS | libc::STATX_BTIME);
    // C libraries have a function for it since glibc 2.28 only, and `cross` links with older ones.
    let call = libc::SYS_statx;
    // SAFETY: a string with its NUL, and room for the answer.
    let result = unsafe { libc::syscall(call, dir, path, flags, wanted, found.as_mut_ptr()) };
    Errno::result(result)?;
    // SAFETY: all zeros is a value of it, too.
    let found = unsafe { found.assume_init() };
    Ok(Stat {
        // As systemd writes it in $JOURNAL_STREAM.
        st_dev: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        st_ino: found.stx_ino,
        st_mode: libc::mode_t::from(found.stx_mode),
        st_nlink: found.stx_nlink,
        st_uid: found.stx_uid,
        st_gid: found.stx_gid,
        st_rdev: (found.stx_rdev_major, found.stx_rdev_minor),
        st_size: found.stx_size,
        st_mtime: found.stx_mtime.tv_sec,
        st_mtime_nsec: found.stx_mtime.tv_nsec,
        st_btime: (found.stx_btime.tv_sec, found.stx_btime.tv_nsec),
        st_ctime: found.stx_ctime.tv_sec,
        st_ctime_nsec: found.stx_ctime.tv_nsec,
    })
}
