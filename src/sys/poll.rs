//! The one place where pmtr waits: an epoll instance (epoll(7)).

use super::std::{io, os::fd::BorrowedFd, prelude::v1::*};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What a descriptor is, for whoever is told that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The signalfd.
    Signals,
    /// The timerfd.
    Timer,
    /// The pipe on which children tell that they could not start.
    Failures,
    /// The inotify descriptor.
    Watch,
    /// The inotify descriptor of the state file.
    State,
    /// The table of mounts.
    Mounts,
    /// The syslog socket takes records again.
    Syslog,
    /// Standard error takes records again.
    Stderr,
    /// A syslog receiver may have come.
    Lookout,
    /// A UDP socket or a look-up, by the position of its address in the configuration.
    Udp(u16),
    /// A job's output, by its row in the table of streams.
    Stream(u16),
}

/// What to be told of a descriptor. Hang-ups and errors are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// That it can be read.
    Read,
    /// That it has urgent data, which a table of mounts has after a change.
    Urgent,
    /// Once that it can be written; as for `ReadOnce`.
    WriteOnce,
    /// Once that it can be read; to be told again it is to be [changed](Poller::change).
    ReadOnce,
}

/// Waits for descriptors.
pub struct Poller {
    epoll: Epoll,
}

impl Poller {
    /// A poller without descriptors; close-on-exec.
    pub fn new() -> io::Result<Self> {
        Ok(Poller { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Adds a descriptor. `EPERM` is a file or directory, which never blocks.
    pub fn add(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> Result<(), Errno> {
        self.epoll.add(fd, event(token, interest))
    }

    /// Changes what is to be told of a descriptor.
    pub fn change(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> Result<(), Errno> {
        self.epoll.modify(fd, &mut event(token, interest))
    }

    /// Takes a descriptor out. Closing the last copy of one does that as well.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        self.epoll.delete(fd)
    }

    /// Waits until a descriptor is ready, or not at all where `block` is false.
    /// Returns how many rows of `ready` are filled; none after a signal.
    pub fn wait(&self, ready: &mut Ready, block: bool) -> Result<usize, Errno> {
        let timeout = if block { EpollTimeout::NONE } else { EpollTimeout::ZERO };
        match self.epoll.wait(&mut ready.events, timeout) {
            // Being stopped, traced or frozen also interrupts it.
            Err(Errno::EINTR) => Ok(0),
            result => result,
        }
    }
}

/// What one call of [`Poller::wait`] found.
pub struct Ready {
    events: [EpollEvent; AT_ONCE],
}

/// How much one call finds: when there is more to do, what is left is found by the next one.
const AT_ONCE: usize = 32;

impl Ready {
    /// An empty one.
    ///
    /// Not inlined: it would be on the caller's stack twice, for as long as that has it.
    #[inline(never)]
    pub fn new() -> Self {
        Ready { events: [EpollEvent::empty(); AT_ONCE] }
    }

    /// Row `n`, below what `wait` returned.
    pub fn token(&self, n: usize) -> Token {
        decode(self.events[n].data())
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self::new()
    }
}

fn event(token: Token, interest: Interest) -> EpollEvent {
    let flags = match interest {
        Interest::Read => EpollFlags::EPOLLIN,
        Interest::Urgent => EpollFlags::EPOLLPRI,
        Interest::WriteOnce => EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT,
        Interest::ReadOnce => EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT,
    };
    EpollEvent::new(flags, encode(token))
}

const STREAM: u64 = 1 << 16;
const UDP: u64 = 1 << 17;

fn encode(token: Token) -> u64 {
    match token {
        Token::Signals => 0,
        Token::Timer => 1,
        Token::Failures => 2,
        Token::Watch => 3,
        Token::Syslog => 4,
        Token::Stderr => 5,
        Token::Lookout => 6,
        Token::State => 7,
        Token::Mounts => 8,
        Token::Udp(row) => UDP | u64::from(row),
        Token::Stream(row) => STREAM | u64::from(row),
    }
}

/// The inverse of [`encode`], which is the only source of these numbers.
fn decode(data: u64) -> Token {
    match data {
        0 => Token::Signals,
        1 => Token::Timer,
        2 => Token::Failures,
        3 => Token::Watch,
        4 => Token::Syslog,
        5 => Token::Stderr,
        6 => Token::Lookout,
        7 => Token::State,
        8 => Token::Mounts,
        udp if udp & UDP != 0 => Token::Udp(udp as u16),
        stream => Token::Stream((stream ^ STREAM) as u16),
    }
}
