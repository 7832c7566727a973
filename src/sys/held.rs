//! A descriptor in a row of a table whose unused rows are all zeros, which an
//! `Option<OwnedFd>` would not be: the table would be a part of the file.

use super::std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use super::std::prelude::v1::*;

/// A descriptor, or none. Closed when dropped.
pub(super) struct Held {
    /// The descriptor's number and one.
    successor: i32,
}

impl Held {
    /// No descriptor. All zeros.
    pub const NONE: Held = Held { successor: 0 };

    /// Holds `fd`.
    pub fn new(fd: OwnedFd) -> Self {
        Held { successor: fd.into_raw_fd() + 1 }
    }

    /// The descriptor, if there is one.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: `new` made it ours; it stays open until `self` is dropped.
        (self.successor > 0).then(|| unsafe { BorrowedFd::borrow_raw(self.successor - 1) })
    }

    /// Whether there is one.
    pub fn is_some(&self) -> bool {
        self.successor > 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_some() {
            // SAFETY: `new` made it ours, and nothing uses it after this.
            drop(unsafe { OwnedFd::from_raw_fd(self.successor - 1) });
        }
    }
}
