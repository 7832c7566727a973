//! The program: see the library.
//!
//! libc calls `main` as it would that of a C program. What Rust's runtime does before
//! it calls one of its own (room for a handler of stack overflows, which
//! reads /proc/self/maps to find the stack; a thread's name) takes 8 kB of
//! memory for good; the rest is done in `start`.

#![no_main]

use std::alloc::System;
use std::ffi::{c_char, c_int};
use std::panic;

use pmtr::sys::heap::Heap;

/// Its bytes are hardly ever needed: they stand with the tables (see `sys::tables`).
#[global_allocator]
#[link_section = ".llvm.linkonce.b.tables"]
static HEAP: Heap<System> = Heap::new(System);

/// The exit status of a program that has panicked.
const PANICKED: c_int = 101;

/// What libc calls.
///
/// # Safety
///
/// `words` are `count` strings with a NUL each, as libc has them (execve(2)).
#[no_mangle]
pub unsafe extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // SAFETY: as the caller says.
    let arguments = unsafe { pmtr::sys::arguments::Arguments::new(count, words) };
    // As Rust's runtime does it, where a panic does not abort.
    let ended = panic::catch_unwind(|| pmtr::sys::start::main(arguments));
    ended.map_or(PANICKED, c_int::from)
}
