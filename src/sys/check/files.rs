//! Whether a file can be opened as a start would (open(2)), without opening it.

use core::ffi::CStr;

use super::super::stat::{stat, Stat};
use super::super::std::os::unix::ffi::{OsStrExt, OsStringExt};
use super::super::std::path::{Path, PathBuf};
use super::super::std::{ffi::CString, ffi::OsStr, fs, prelude::v1::*};
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::SFlag;
use nix::sys::statvfs::{statvfs, FsFlags};
use nix::unistd::{access, geteuid, AccessFlags};

pub(super) type Judgement = fn(&CStr) -> Result<(), Errno>;

/// Whether it can be opened for reading.
pub(super) fn readable(path: &CStr) -> Result<(), Errno> {
    access(path, AccessFlags::R_OK)?;
    not_special(path, &stat(path)?)
}

/// The same, and whether it has content.
pub(super) fn readable_file(path: &CStr) -> Result<(), Errno> {
    match kind(&stat(path)?) {
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        _ => readable(path),
    }
}

/// Whether it can be opened for appending, or created.
pub(super) fn appendable(path: &CStr) -> Result<(), Errno> {
    match stat(path) {
        Ok(file) if kind(&file) == SFlag::S_IFDIR => Err(Errno::EISDIR),
        Ok(file) => {
            access(path, AccessFlags::W_OK)?;
            not_special(path, &file)?;
            not_protected(path, &file)
        }
        Err(Errno::ENOENT) => creatable(path),
        Err(error) => Err(error),
    }
}

/// How many links the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// A link that points to nothing has its file created where it points to.
fn creatable(path: &CStr) -> Result<(), Errno> {
    let mut path = PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = parent(&path).join(target);
    }
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(Errno::EISDIR);
    }
    access(parent(&path), AccessFlags::W_OK | AccessFlags::X_OK)
}

/// The directory that a file is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        None => Path::new("/"),
        Some(parent) => parent,
    }
}

/// Permissions are not all that such a file takes.
fn not_special(path: &CStr, file: &Stat) -> Result<(), Errno> {
    /// The terminal of who opens it (tty(4)); a job has none.
    const TTY: (u32, u32) = (5, 0);
    match kind(file) {
        SFlag::S_IFSOCK => Err(Errno::ENXIO),
        SFlag::S_IFCHR if file.st_rdev == TTY => Err(Errno::ENXIO),
        SFlag::S_IFCHR | SFlag::S_IFBLK => match statvfs(path) {
            Ok(system) if system.flags().contains(FsFlags::ST_NODEV) => Err(Errno::EACCES),
            Ok(_) | Err(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What others have put into a directory such as /tmp is not opened where it might have to be
/// created (proc_sys_fs(5), `protected_regular` and `protected_fifos`).
fn not_protected(path: &CStr, file: &Stat) -> Result<(), Errno> {
    let level = match kind(file) {
        SFlag::S_IFREG => protection("/proc/sys/fs/protected_regular"),
        SFlag::S_IFIFO => protection("/proc/sys/fs/protected_fifos"),
        _ => 0,
    };
    let real = fs::canonicalize(OsStr::from_bytes(path.to_bytes()));
    let Some(dir) = real.ok().and_then(|path| directory(parent(&path))) else { return Ok(()) };
    let user = geteuid().as_raw();
    match is_protected(level, (dir.st_mode, dir.st_uid), file.st_uid, user) {
        true => Err(Errno::EACCES),
        false => Ok(()),
    }
}

/// Whether `user` may not open a file of `owner` in a directory of this mode and owner.
fn is_protected(level: u8, dir: (libc::mode_t, u32), owner: u32, user: u32) -> bool {
    const STICKY: libc::mode_t = 0o1000;
    let (mode, dir_owner) = dir;
    let is_writable = mode & 0o002 != 0 || (mode & 0o020 != 0 && level >= 2);
    level > 0 && mode & STICKY != 0 && is_writable && owner != user && owner != dir_owner
}

fn protection(file: &str) -> u8 {
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn directory(path: &Path) -> Option<Stat> {
    let path = CString::new(path.as_os_str().to_os_string().into_vec()).ok()?;
    stat(&*path).ok()
}

/// What sort of file it is (inode(7), "The file type and mode").
fn kind(file: &Stat) -> SFlag {
    SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{assert, prelude::v1::*};
    use super::is_protected;

    #[test]
    fn what_others_put_into_a_sticky_directory_is_protected() {
        let (root, me, other) = (0, 1, 2);
        let tmp = (0o041777, root);
        assert!(is_protected(1, tmp, other, me) && is_protected(1, tmp, other, root));
        assert!(!is_protected(0, tmp, other, me));
        assert!(!is_protected(1, tmp, me, me) && !is_protected(1, tmp, root, me));
        assert!(!is_protected(1, (0o040777, root), other, me));
        let of_a_group = (0o041770, root);
        assert!(!is_protected(1, of_a_group, other, me) && is_protected(2, of_a_group, other, me));
    }
}
