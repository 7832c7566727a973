//! All descriptors from some number on: closed, or left for execve(2) to close.
//!
//! close_range(2) takes one call for all. Where it is refused (before Linux 5.9, or by a filter,
//! as some containers have one: seccomp(2)) /proc/self/fd lists what is open, and without that
//! poll(2) finds it. Never is there a call for each number below the limit, which is 10⁹ in some
//! containers.

use core::ffi::{c_int, c_long, c_uint, CStr};
use core::mem::size_of;
use core::sync::atomic::{AtomicI32, Ordering};

use super::spawn;
use super::std::os::fd::{AsRawFd, OwnedFd};
use super::std::prelude::v1::*;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::libc;
use nix::sys::stat::Mode;

/// The first descriptor that is not standard input, output or error.
pub(super) const FIRST_OTHER: c_int = 3;

/// The numbers that are tried at the start where nothing lists what is open.
const MOST_INHERITED: u64 = 1 << 20;

/// The highest descriptor that was open at the start; 0 where it was of no interest.
static HIGHEST: AtomicI32 = AtomicI32::new(0);

/// Something to be done with all descriptors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Close,
    /// `FD_CLOEXEC` (fcntl(2)).
    CloseOnExec,
}

/// Closes what pmtr was started with above 2. For start-up, when nothing else is open.
pub(super) fn close_inherited() {
    apply(Fate::Close, FIRST_OTHER, end_at_start);
}

/// Keeps what pmtr was started with above 2 for itself: whoever started it may wait for a
/// lock or the end of a pipe, but jobs are not to have it. For start-up.
pub(super) fn keep_inherited() {
    apply(Fate::CloseOnExec, FIRST_OTHER, end_at_start);
}

/// Closes all from `first` on. For a child: allocates nothing.
pub(super) fn close_from(first: c_int) {
    apply(Fate::Close, first, end_in_child);
}

/// Has execve(2) close all above 2. For a child: allocates nothing.
pub(super) fn close_others_on_exec() {
    apply(Fate::CloseOnExec, FIRST_OTHER, end_in_child);
}

fn apply(fate: Fate, first: c_int, end: fn() -> c_int) {
    let flags = match fate {
        Fate::Close => 0,
        Fate::CloseOnExec => libc::CLOSE_RANGE_CLOEXEC as c_long,
    };
    let (from, to) = (c_long::from(first), c_uint::MAX as c_long);
    // SAFETY: nobody uses these descriptors any more, or they are marked only.
    let done = unsafe { libc::syscall(libc::SYS_close_range, from, to, flags) };
    if done != 0 && apply_to_listed(fate, first).is_err() {
        apply_to_polled(fate, first, end());
    }
}

/// Neither list nor range: all that pmtr may have been started with is tried.
fn end_at_start() -> c_int {
    c_int::try_from(spawn::soft_file_limit().min(MOST_INHERITED)).unwrap_or(c_int::MAX)
}

/// The same later: what has been opened since has the lowest free numbers.
fn end_in_child() -> c_int {
    HIGHEST.load(Ordering::Relaxed).saturating_add(spawn::FILES as c_int)
}

fn apply_to(fate: Fate, fd: c_int) {
    let result = match fate {
        // SAFETY: as in `apply`.
        Fate::Close => unsafe { libc::close(fd) },
        // SAFETY: as in `apply`.
        Fate::CloseOnExec => unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) },
    };
    if result == 0 && fate == Fate::CloseOnExec {
        HIGHEST.fetch_max(fd, Ordering::Relaxed);
    }
}

const LIST: &CStr = match CStr::from_bytes_with_nul(b"/proc/self/fd\0") {
    Ok(path) => path,
    Err(_) => unreachable!(),
};

/// As aligned as the entries are (getdents64(2)).
type Entries = [u64; 128];

/// Looks for what is open, 256 numbers at a time.
fn apply_to_polled(fate: Fate, first: c_int, end: c_int) {
    const MOST: usize = 256;
    let unknown = libc::pollfd { fd: -1, events: 0, revents: 0 };
    let mut looked_at = [unknown; MOST];
    // More than there may be open are not polled.
    let most = usize::try_from(spawn::soft_file_limit()).unwrap_or(MOST).clamp(1, MOST);
    for from in (first..end).step_by(most) {
        looked_at.iter_mut().zip(from..).for_each(|(slot, fd)| slot.fd = fd);
        // SAFETY: an array that is ours, of at least as many.
        unsafe { libc::poll(looked_at.as_mut_ptr(), most as libc::nfds_t, 0) };
        let is_open = |slot: &&libc::pollfd| slot.revents & libc::POLLNVAL == 0;
        looked_at[..most].iter().filter(is_open).for_each(|slot| apply_to(fate, slot.fd));
    }
}

/// Fails where there is no /proc, or no descriptor left to read it with.
fn apply_to_listed(fate: Fate, first: c_int) -> Result<(), Errno> {
    let list = open(LIST, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut entries: Entries = [0; 128];
    loop {
        let bytes = read(&list, &mut entries)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let listed = numbers(bytes).filter(|&fd| fd >= first && fd != list.as_raw_fd());
        listed.for_each(|fd| apply_to(fate, fd));
    }
}

/// The next entries of a directory.
fn read<'a>(dir: &OwnedFd, entries: &'a mut Entries) -> Result<&'a [u8], Errno> {
    let (number, at) = (dir.as_raw_fd(), entries.as_mut_ptr());
    // SAFETY: the kernel writes no more than there is room for.
    let len = unsafe { libc::syscall(libc::SYS_getdents64, number, at, size_of::<Entries>()) };
    let len = Errno::result(len)? as usize;
    // SAFETY: bytes of a buffer that is borrowed for as long.
    Ok(unsafe { core::slice::from_raw_parts(at.cast(), len) })
}

/// The names of entries that are numbers.
fn numbers(mut entries: &[u8]) -> impl Iterator<Item = c_int> + '_ {
    core::iter::from_fn(move || loop {
        let (name, rest) = split_entry(entries)?;
        entries = rest;
        if let Some(number) = number(name) {
            return Some(number);
        }
    })
}

/// The name of the first entry, and the entries behind it: `struct linux_dirent64`.
fn split_entry(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let len = entries.get(LENGTH..LENGTH + 2)?.try_into().ok().map(u16::from_ne_bytes)?;
    let name = entries.get(NAME..usize::from(len))?;
    Some((name.split(|&byte| byte == 0).next()?, entries.get(usize::from(len)..)?))
}

fn number(name: &[u8]) -> Option<c_int> {
    core::str::from_utf8(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::std::{assert, assert_eq, io::stdin, prelude::v1::*};
    use super::*;
    use nix::fcntl::{fcntl, FcntlArg::F_GETFD, FdFlag};
    use nix::unistd::pipe;

    #[test]
    fn what_is_listed_as_open_is_marked() {
        let (read, write) = pipe().unwrap();
        assert!(read.as_raw_fd() > 2 && write.as_raw_fd() > 2);
        apply_to_listed(Fate::CloseOnExec, FIRST_OTHER).unwrap();
        for fd in [&read, &write] {
            assert_eq!(fcntl(fd, F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
        }
        assert_eq!(fcntl(stdin(), F_GETFD), Ok(0));
    }

    #[test]
    fn what_poll_finds_open_is_marked() {
        let (read, write) = pipe().unwrap();
        apply_to_polled(Fate::CloseOnExec, FIRST_OTHER, 2000);
        for fd in [&read, &write] {
            assert_eq!(fcntl(fd, F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
        }
    }

    #[test]
    fn entries_that_are_no_numbers_are_left_out() {
        let entry = |name: &[u8]| {
            let len = (19 + name.len() + 1).next_multiple_of(8);
            let mut bytes = [&[0; 16], &(len as u16).to_ne_bytes()[..], &[4], name].concat();
            bytes.resize(len, 0);
            bytes
        };
        let entries = [&b"."[..], b"..", b"0", b"17", b"4x", b"1000000000"].map(entry).concat();
        assert!(numbers(&entries).eq([0, 17, 1_000_000_000]));
        assert!(numbers(&entries[..entries.len() - 1]).eq([0, 17]));
    }
}
