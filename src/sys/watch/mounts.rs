//! Notices that something was mounted or unmounted (proc(5), "/proc/PID/mountinfo").

use super::super::held::Held;
use super::super::std::os::fd::BorrowedFd;
use super::super::std::prelude::v1::*;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::Mode;

/// The table of mounts of pmtr's mount namespace. It is ready, as of urgent data, once after each
/// change. All zeros: not open.
pub(super) struct Mounts(Held);

impl Mounts {
    /// Not open.
    pub const fn new() -> Self {
        Mounts(Held::NONE)
    }

    /// Opens the table; returns true if there is one. Without /proc there is none, and mounts are
    /// noticed when something else is.
    pub fn open(&mut self) -> bool {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        if let Ok(file) = open("/proc/self/mountinfo", flags, Mode::empty()) {
            self.0 = Held::new(file);
        }
        self.0.is_some()
    }

    /// The descriptor to wait for.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd()
    }
}
