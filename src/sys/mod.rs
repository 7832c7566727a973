//! Everything that touches Linux: the only place for `std`, nix, libc, inotify,
//! the transport of the log, and `unsafe`.

// Named here and nowhere above: whatever is outside of this module is `no_std`.
extern crate std;

pub mod clock;
mod held;
pub mod log;
pub mod poll;
pub mod streams;

use crate::supervise::Errno;

/// An error number with its text, as the pure modules have it.
pub fn errno(error: nix::errno::Errno) -> Errno {
    Errno { code: error as i32, text: error.desc() }
}
