//! A kernel that does not do what it is asked to (seccomp(2)).

// Not every program of tests uses all of it.
#![allow(dead_code)]

use nix::libc::{self, c_long, sock_filter, sock_fprog};

/// From now on this process's calls of `call` do nothing, and return 0.
pub fn pretend(call: &str) {
    refuse(call, 0);
}

/// From now on this process's calls of `call`, and those of its children, fail with `errno`; 0 is
/// no failure. Not in an emulator, and for calls of this machine's processor only.
pub fn refuse(call: &str, errno: u32) {
    let number = number(call) as u32;
    let word = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number of the call
        word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let mode = libc::SECCOMP_MODE_FILTER as libc::c_ulong;
    // SAFETY: the kernel reads a program of as many words as it says.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &program) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn number(call: &str) -> c_long {
    match call {
        "capset" => libc::SYS_capset,
        "keyctl" => libc::SYS_keyctl,
        #[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
        "setgroups" => libc::SYS_setgroups,
        #[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
        "setresgid" => libc::SYS_setresgid,
        #[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
        "setresuid" => libc::SYS_setresuid,
        #[cfg(any(target_arch = "arm", target_arch = "x86"))]
        "setgroups" => libc::SYS_setgroups32,
        #[cfg(any(target_arch = "arm", target_arch = "x86"))]
        "setresgid" => libc::SYS_setresgid32,
        #[cfg(any(target_arch = "arm", target_arch = "x86"))]
        "setresuid" => libc::SYS_setresuid32,
        _ => panic!("no number for {call}"),
    }
}
