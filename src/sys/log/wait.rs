//! Waiting until a descriptor takes more.

use super::super::poll::{Interest, Poller, Token};
use super::super::std::{os::fd::BorrowedFd, prelude::v1::*};
use nix::errno::Errno;

/// Whether a descriptor is waited for. All zeros: it is not.
pub(super) struct Wait {
    waiting: bool,
    /// The poller has the descriptor, also where it is only expected to be full again.
    watched: bool,
}

impl Wait {
    /// Not waiting.
    pub const NONE: Wait = Wait { waiting: false, watched: false };

    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// `fd` is full. Before there is a poller, it is just tried again.
    pub fn begin(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        poller: Option<&Poller>,
    ) -> Result<(), Errno> {
        let Some(poller) = poller else { return Ok(()) };
        if !self.watched {
            poller.add(fd, token, Interest::Write)?;
            self.watched = true;
        }
        self.waiting = true;
        Ok(())
    }

    /// The poller has told that it can be written.
    pub fn over(&mut self) {
        self.waiting = false;
    }

    /// All is written: there is nothing to be told any more.
    pub fn end(&mut self, fd: BorrowedFd<'_>, poller: Option<&Poller>) {
        if let (true, Some(poller)) = (self.watched, poller) {
            // What the poller does not have need not be taken out.
            let _ = poller.remove(fd);
            *self = Wait::NONE;
        }
    }
}
