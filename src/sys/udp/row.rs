//! One address on its way to a socket, and what is done with that.

use super::super::poll::{Interest, Poller, Token};
use super::super::std::net::{IpAddr, SocketAddr, UdpSocket};
use super::super::std::os::fd::{AsFd, BorrowedFd};
use super::super::std::prelude::v1::*;
use super::super::tell;
use super::lookup::Lookup;
use super::pace::Pace;
use super::socket::{self, Destination};
use super::trouble::{Told, Trouble};
use crate::config::{Address, AddressUse, Config};
use crate::limits::CONTROL_BYTES;
use crate::time::Instant;
use core::time::Duration;
use nix::errno::Errno;

/// How long after a failure it is tried again; doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// A port or an interface is a few system calls.
const LONGEST_RETRY: Duration = Duration::from_secs(8);

/// A look-up is a process, and asks others.
const LONGEST_LOOKUP_RETRY: Duration = Duration::from_secs(64);

/// One `report to` or `listen on`.
pub(super) struct Row {
    pub(super) way: Way,
    /// How often it failed since it worked.
    failures: u8,
    /// The last trouble that was told, until it works.
    told: Option<Trouble>,
}

/// How far it has come.
pub(super) enum Way {
    /// There is no such address.
    Vacant,
    /// It is to be opened.
    Due(Instant),
    /// Its name is being looked up.
    Looking(Lookup),
    /// Its name was looked up; it is to be opened now.
    Found(IpAddr),
    /// It takes datagrams.
    Listening(Listener),
    /// Reports go there.
    Reporting(Destination),
}

/// A socket for control datagrams.
pub(super) struct Listener {
    socket: UdpSocket,
    pace: Pace,
    /// Until when it is not waited for.
    rests_until: Option<Instant>,
}

/// What came of reading datagrams.
pub(super) struct Heard {
    /// One of them has changed something.
    pub(super) is_changed: bool,
    pub(super) result: Result<(), Errno>,
}

/// Whether two addresses of two configurations are the same; what may be sent
/// `from` where is looked up in the configuration whenever it is needed.
pub(super) fn is_same(a: &Config, one: &Address, b: &Config, other: &Address) -> bool {
    one.used_for == other.used_for
        && one.port == other.port
        && a.host(one) == b.host(other)
        && a.interface(one) == b.interface(other)
}

/// Hands what is to be reported, with the sender's address, to a function that sends it.
pub(super) type Write<'w> = dyn FnMut(Option<IpAddr>, &mut dyn FnMut(&[u8])) + 'w;

impl Row {
    pub(super) const VACANT: Row = Row { way: Way::Vacant, failures: 0, told: None };

    /// A new one.
    pub(super) fn due(now: Instant) -> Row {
        Row { way: Way::Due(now), ..Row::VACANT }
    }

    pub(super) fn is_vacant(&self) -> bool {
        matches!(self.way, Way::Vacant)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.way, Way::Listening(_) | Way::Reporting(_))
    }

    /// Its position in the configuration is another one.
    pub(super) fn moved_to(
        &mut self,
        now: Instant,
        position: usize,
        config: &Config,
        address: &Address,
        poller: &Poller,
    ) {
        let Some((fd, interest)) = self.waits_for() else { return };
        let Err(errno) = poller.change(fd, token(position), interest) else { return };
        match &mut self.way {
            // There may be a command in it already.
            Way::Listening(listener) => {
                listener.rests_until = Some(now + FIRST_RETRY);
                self.tell(Trouble::Receive(errno), config, address);
            }
            Way::Vacant | Way::Due(_) | Way::Looking(_) | Way::Found(_) | Way::Reporting(_) => {
                self.fail(now, Trouble::Open(errno), config, address);
            }
        }
    }

    fn waits_for(&self) -> Option<(BorrowedFd<'_>, Interest)> {
        match &self.way {
            Way::Looking(lookup) => Some((lookup.fd(), Interest::Read)),
            Way::Listening(Listener { socket, rests_until: None, .. }) => {
                Some((socket.as_fd(), Interest::ReadOnce))
            }
            // One that rests is waited for again when it has rested.
            Way::Listening(_) | Way::Reporting(_) => None,
            Way::Vacant | Way::Due(_) | Way::Found(_) => None,
        }
    }

    /// When [`turn`](Self::turn) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.way {
            Way::Due(at) => Some(*at),
            Way::Found(_) => Some(Instant::BOOT),
            Way::Listening(listener) => listener.rests_until,
            Way::Vacant | Way::Looking(_) | Way::Reporting(_) => None,
        }
    }

    /// Does what is due.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        position: usize,
        config: &Config,
        address: &Address,
        poller: &Poller,
    ) {
        if !self.deadline().is_some_and(|at| at <= now) {
            return;
        }
        let next = match &mut self.way {
            Way::Due(_) => begin(config, address),
            Way::Found(ip) => open(*ip, config, address),
            Way::Listening(listener) => {
                listener.rests_until = None;
                return self.moved_to(now, position, config, address, poller);
            }
            Way::Vacant | Way::Looking(_) | Way::Reporting(_) => return,
        };
        match next {
            Ok(way) => self.go(way, now, position, config, address, poller),
            Err(trouble) => self.fail(now, trouble, config, address),
        }
    }

    fn go(
        &mut self,
        way: Way,
        now: Instant,
        position: usize,
        config: &Config,
        address: &Address,
        poller: &Poller,
    ) {
        self.way = way;
        if let Some((fd, interest)) = self.waits_for() {
            if let Err(errno) = poller.add(fd, token(position), interest) {
                return self.fail(now, Trouble::Open(errno), config, address);
            }
        }
        if matches!(self.way, Way::Listening(_)) {
            self.works(config, address);
        }
    }

    /// Tells it once, and tries again later.
    fn fail(&mut self, now: Instant, trouble: Trouble, config: &Config, address: &Address) {
        self.tell(trouble, config, address);
        let longest = match trouble {
            Trouble::Lookup(_) | Trouble::Fork(_) => LONGEST_LOOKUP_RETRY,
            Trouble::Open(_) | Trouble::Bind(_) | Trouble::Send(_) => LONGEST_RETRY,
            Trouble::Interface(_) | Trouble::NoMulticast | Trouble::Receive(_) => LONGEST_RETRY,
        };
        let delay = FIRST_RETRY * 2u32.pow(u32::from(self.failures));
        self.failures = (self.failures + 1).min(6);
        self.way = Way::Due(now + delay.min(longest));
    }

    fn tell(&mut self, trouble: Trouble, config: &Config, address: &Address) {
        if self.told != Some(trouble) {
            self.told = Some(trouble);
            tell::warning!("{}", Told { config, address, trouble });
        }
    }

    /// It works, which is told to whom it was told that it did not.
    fn works(&mut self, config: &Config, address: &Address) {
        self.failures = 0;
        if self.told.take().is_some() {
            let text = config.address_text(address);
            match address.used_for {
                AddressUse::Report => tell::info!("reporting to {text}"),
                AddressUse::Listen => tell::info!("listening on {text}"),
            }
        }
    }

    /// Takes the answer of a look-up; whether it is one that is ready.
    pub(super) fn hear_answer(&mut self, now: Instant, config: &Config, address: &Address) -> bool {
        let Way::Looking(lookup) = &self.way else { return false };
        match lookup.answer() {
            Some(Ok(ip)) => self.way = Way::Found(ip),
            Some(Err(why)) => self.fail(now, Trouble::Lookup(why), config, address),
            None => {}
        }
        true
    }

    /// A child was reaped.
    pub(super) fn ended(&mut self, pid: i32) {
        if let Way::Looking(lookup) = &mut self.way {
            lookup.ended(pid);
        }
    }

    /// Reads datagrams, as many as there may be in a turn; whether one of them
    /// has changed anything. A longer one than there may be is one byte too long.
    pub(super) fn listen(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        mut obey: impl FnMut(&[u8], SocketAddr) -> bool,
    ) -> Heard {
        let mut heard = Heard { is_changed: false, result: Ok(()) };
        let Way::Listening(Listener { socket, pace, rests_until }) = &mut self.way else {
            return heard;
        };
        let mut read = 0;
        for _ in 0..pace.allowance(now) {
            match socket.recv_from(&mut buffer[..=CONTROL_BYTES]) {
                Ok((len, from)) => heard.is_changed |= obey(&buffer[..len], from),
                Err(error) => {
                    // Whether it lasts is seen in the next turn.
                    heard.result = passed(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
                    break;
                }
            }
            read += 1;
        }
        // A socket that cannot be read is as ready as before.
        let rest = pace.spend(now, read.max(1));
        *rests_until = Some(heard.result.map_or(now + FIRST_RETRY, |()| rest));
        heard
    }

    /// Takes notice of how the reading of datagrams went.
    pub(super) fn has_heard(
        &mut self,
        result: Result<(), Errno>,
        config: &Config,
        address: &Address,
    ) {
        match (result, &self.way) {
            (Err(errno), _) => self.tell(Trouble::Receive(errno), config, address),
            (Ok(()), Way::Listening(_)) => self.works(config, address),
            (Ok(()), _) => {}
        }
    }

    /// Sends a report.
    pub(super) fn report(
        &mut self,
        now: Instant,
        config: &Config,
        address: &Address,
        write: &mut Write<'_>,
    ) {
        let Way::Reporting(destination) = &self.way else { return };
        let interface = config.interface(address);
        let own = interface.map(|interface| destination.own_address(interface)).transpose();
        let mut result = own.map(drop).map_err(Trouble::Interface);
        if let Ok(ip) = own {
            write(ip, &mut |datagram| {
                let sent = destination.send(datagram).map_err(Trouble::Send);
                result = result.and(sent);
            });
        }
        match result {
            Ok(()) => self.works(config, address),
            // The interface may be a new one by the same name.
            Err(trouble) if interface.is_some() => self.fail(now, trouble, config, address),
            Err(trouble) => self.tell(trouble, config, address),
        }
    }
}

/// The way to an address: at once where that is a number.
fn begin(config: &Config, address: &Address) -> Result<Way, Trouble> {
    let host = config.host(address);
    match host.to_str().ok().and_then(|text| text.parse::<IpAddr>().ok()) {
        Some(ip) => open(ip.to_canonical(), config, address),
        None => Lookup::start(host).map(Way::Looking).map_err(Trouble::Fork),
    }
}

fn open(ip: IpAddr, config: &Config, address: &Address) -> Result<Way, Trouble> {
    match address.used_for {
        AddressUse::Report => {
            let interface = config.interface(address);
            Destination::open(ip, address.port, interface).map(Way::Reporting)
        }
        AddressUse::Listen => {
            let socket = socket::listener(ip, address.port)?;
            Ok(Way::Listening(Listener { socket, pace: Pace::new(), rests_until: None }))
        }
    }
}

/// What is no error: that there is no more, or that somebody did not take an answer.
fn passed(errno: Errno) -> Result<(), Errno> {
    match errno {
        Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED => Ok(()),
        errno => Err(errno),
    }
}

fn token(position: usize) -> Token {
    Token::Udp(position as u16)
}
