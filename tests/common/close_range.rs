//! A kernel without close_range(2), as a filter makes it (seccomp(2)).

use std::io;

use nix::libc::{self, sock_filter, sock_fprog};

/// Where the call's number, and the lower half of an argument, are in what a filter looks at.
const NUMBER: u32 = 0;
const fn argument(n: u32) -> u32 {
    16 + 8 * n + if cfg!(target_endian = "big") { 4 } else { 0 }
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUALS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IS_ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const fn step(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// More than are ever open in a test.
pub const MOST_DESCRIPTORS: u32 = 4000;

#[cfg(target_pointer_width = "64")]
const FCNTL: u32 = libc::SYS_fcntl as u32;
#[cfg(target_pointer_width = "32")]
const FCNTL: u32 = libc::SYS_fcntl64 as u32;

/// For the calling process, which is about to become pmtr: close_range(2) is refused, and closing or
/// marking a number above [`MOST_DESCRIPTORS`] is deadly.
pub fn refuse_close_range() -> io::Result<()> {
    install(&[
        step(LOAD, NUMBER, 0, 0),
        step(EQUALS, libc::SYS_close_range as u32, 7, 0),
        step(EQUALS, libc::SYS_close as u32, 3, 0),
        step(EQUALS, FCNTL, 0, 6),
        step(LOAD, argument(1), 0, 0),
        step(EQUALS, libc::F_SETFD as u32, 0, 4),
        step(LOAD, argument(0), 0, 0),
        // No descriptor at all: -1.
        step(IS_ABOVE, i32::MAX as u32, 2, 0),
        step(IS_ABOVE, MOST_DESCRIPTORS, 2, 1),
        step(ANSWER, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0, 0),
        step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(ANSWER, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
    ])
}

/// Async-signal-safe.
fn install(filter: &[sock_filter]) -> io::Result<()> {
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes numbers only.
    let may = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: reads the filter.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
    if may < 0 || done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
