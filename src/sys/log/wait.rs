//! Waiting until a descriptor takes more.

use super::super::poll::{Interest, Poller, Token};
use super::super::std::{os::fd::BorrowedFd, prelude::v1::*};
use nix::errno::Errno;

/// Whether a descriptor is waited for. All zeros: it is not.
pub(super) struct Wait {
    waiting: bool,
    /// The poller has the descriptor. It tells once each time that it is asked
    /// to: one that is not waited for wakes nobody, though it can be written.
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
        match self.watched {
            true => poller.change(fd, token, Interest::WriteOnce)?,
            false => poller.add(fd, token, Interest::WriteOnce)?,
        }
        (self.waiting, self.watched) = (true, true);
        Ok(())
    }

    /// The poller has told that it can be written.
    pub fn over(&mut self) {
        self.waiting = false;
    }
}
