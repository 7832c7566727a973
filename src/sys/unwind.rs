//! What stands in for libgcc's unwinder in a program that is built with
//! `panic = "abort"`, in which nothing unwinds.
//!
//! std can print a backtrace of a panic, and has a reader of debug information
//! for that: two thirds of the code of a small program that has been stripped of
//! what it would read. Here a backtrace has no frames, the linker sees that
//! nobody reads their names, and leaves all of it out. What else std refers to
//! is called by an unwinder only; without those references libgcc_s is not
//! loaded. Together that is 210 kB of file, and 28 kB of memory of each process
//! (x86_64, Rust 1.95). A panic still says where it happened, and why.
//!
//! Where a target's std refers to more of libgcc than is here, libgcc_s is
//! loaded as always. A static link would find both, so this is not for those.

use core::ffi::{c_int, c_void};
use nix::libc;

// For this program only: a library that a child loads to look up a user may
// unwind, and finds the real ones then.
core::arch::global_asm!(
    ".hidden _Unwind_Backtrace",
    ".hidden _Unwind_Resume",
    ".hidden _Unwind_GetIP",
    ".hidden _Unwind_GetIPInfo",
    ".hidden _Unwind_GetLanguageSpecificData",
    ".hidden _Unwind_GetRegionStart",
    ".hidden _Unwind_GetTextRelBase",
    ".hidden _Unwind_GetDataRelBase",
    ".hidden _Unwind_SetGR",
    ".hidden _Unwind_SetIP",
);

/// `_URC_END_OF_STACK`: there is no frame to be shown.
const END_OF_STACK: c_int = 5;

#[export_name = "_Unwind_Backtrace"]
extern "C" fn backtrace(_show: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

#[export_name = "_Unwind_Resume"]
extern "C" fn resume() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_GetIP"]
extern "C" fn ip() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_GetIPInfo"]
extern "C" fn ip_info() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_GetLanguageSpecificData"]
extern "C" fn language_specific_data() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_GetRegionStart"]
extern "C" fn region_start() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_GetTextRelBase"]
extern "C" fn text_base() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_GetDataRelBase"]
extern "C" fn data_base() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_SetGR"]
extern "C" fn set_register() -> ! {
    nothing_unwinds()
}

#[export_name = "_Unwind_SetIP"]
extern "C" fn set_ip() -> ! {
    nothing_unwinds()
}

fn nothing_unwinds() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}
