//! Whether a file can be used without waiting for anything.

use core::ffi::CStr;

use super::super::stat::fstat_cached;
use nix::errno::Errno;
use nix::fcntl::{openat2, OFlag, OpenHow, ResolveFlag, AT_FDCWD};
use nix::libc;

/// Whether the kernel finds the file without asking a disk or another host (`RESOLVE_CACHED`,
/// openat2(2)), and it is on a disk of this machine. Never waits.
///
/// It is not before somebody has used it, on a file system without a block device, as those of
/// other hosts and of processes are, and before Linux 5.12.
pub(super) fn is_at_hand(path: &CStr) -> bool {
    device_of(path).is_ok_and(|device| libc::major(device) != 0)
}

fn device_of(path: &CStr) -> Result<libc::dev_t, Errno> {
    let cached = ResolveFlag::from_bits_retain(libc::RESOLVE_CACHED);
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(cached);
    let file = openat2(AT_FDCWD, path, how)?;
    Ok(fstat_cached(file)?.st_dev)
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{
        assert, ffi::CString, fs, os::unix::fs::MetadataExt, prelude::v1::*,
    };
    use super::*;

    #[test]
    fn a_file_of_a_disk_is_at_hand_when_it_was_used() {
        let program = fs::canonicalize("/bin/true").unwrap();
        let device = fs::metadata(&program).unwrap().dev();
        let path = CString::new(program.into_os_string().into_encoded_bytes()).unwrap();
        match device_of(&path) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {} // an old kernel, or an emulator
            found => {
                assert!(found == Ok(device) && is_at_hand(&path) == (libc::major(device) != 0))
            }
        }
    }

    #[test]
    fn a_file_of_no_disk_and_one_that_is_missing_are_not() {
        for path in ["/proc/version", "/sys", "/nonexistent"] {
            assert!(!is_at_hand(&CString::new(path).unwrap()), "{path}");
        }
    }
}
