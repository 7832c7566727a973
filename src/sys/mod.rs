//! Everything that touches Linux: the only place for `std`, nix, libc, inotify,
//! the transport of the log, and `unsafe`.

// Named here and nowhere above: whatever is outside of this module is `no_std`.
extern crate std;

pub mod arguments;
pub mod check;
pub mod clock;
mod config_file;
pub mod daemon;
mod descriptors;
mod digest;
mod disposition;
mod dry_run;
mod errno;
mod exposure;
mod file_writer;
pub mod heap;
mod held;
mod lock;
pub mod log;
mod looks;
mod opened;
pub mod options;
mod pages;
pub mod pidfile;
pub mod poll;
pub mod reap;
mod reload;
mod rest;
pub mod room;
mod run;
pub mod sessions;
pub mod signals;
pub mod spawn;
pub mod start;
mod stat;
pub mod state;
pub mod streams;
mod tables;
mod tell;
pub mod timer;
mod trouble;
pub mod udp;
#[cfg(all(panic = "abort", target_env = "gnu", not(target_feature = "crt-static")))]
mod unwind;
pub mod watch;

use self::errno::Meaning;
use crate::supervise::Errno;

/// Returns true if an error at opening or reading a file is one of the moment, and not
/// of the file: no change of a file tells that it is over.
pub(crate) fn is_passing(error: nix::errno::Errno) -> bool {
    use nix::errno::Errno as E;
    let is_of_the_file = matches!(error, E::ENOENT | E::ENOTDIR | E::EACCES | E::ELOOP)
        || matches!(error, E::ENAMETOOLONG | E::EISDIR | E::EINVAL | E::ENXIO | E::EOVERFLOW);
    !is_of_the_file
}

/// An error number with its text, as the pure modules have it.
pub fn errno(error: nix::errno::Errno) -> Errno {
    Errno { code: error as i32, text: error.meaning() }
}
