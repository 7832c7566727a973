//! Reports and control by UDP (manual, "UDP control").
//!
//! Every `report to` and `listen on` has a row, in which it is on its way to a
//! socket: its name is looked up, by a child; its socket is opened; and what
//! fails is told once, and tried again, ever more rarely. Jobs know nothing of
//! all that. An address that a new configuration has as well keeps its row.
//!
//! # What others can do
//!
//! Whoever reaches a socket can make pmtr read. So a listener hands over a
//! bounded number of datagrams in a turn of the loop, and rests when a burst turns
//! out to be a flood; what comes meanwhile waits in the kernel or is lost there.
//! What is said about bad datagrams is rationed. The sender of a datagram can be forged (udp(7) has no
//! more to offer): `from` keeps honest hosts out, a firewall the others.

mod control;
mod lookup;
mod pace;
mod quota;
mod row;
mod socket;
mod trouble;

use super::poll::Poller;
use super::std::net::IpAddr;
use super::std::prelude::v1::*;
use super::tables::{take, TABLES};
use crate::config::{AddressUse, Config};
use crate::limits::MAX_ADDRESSES;
use crate::report::{self, Line, Sender};
use crate::supervise::{Status, Supervisor};
use crate::time::Instant;
use control::Complaints;
use core::time::Duration;
use row::{Row, Way};

/// How often is reported (compat.md, "UDP").
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How soon after a change is reported: late enough to see what has become of
/// the job, and so that many changes are one report.
const REPORT_SOON: Duration = Duration::from_millis(500);

/// The addresses of the live configuration.
pub struct Udp {
    /// In the order of the file.
    rows: [Row; MAX_ADDRESSES],
    /// When to report next, if there is anywhere to report to.
    report_at: Instant,
    complaints: Complaints,
}

impl Udp {
    /// Without addresses.
    pub const fn new() -> Self {
        const VACANT: Row = Row::VACANT;
        Udp {
            rows: [VACANT; MAX_ADDRESSES],
            report_at: Instant::BOOT,
            complaints: Complaints::new(),
        }
    }

    /// Goes over to a new configuration from the one that was live before.
    /// Nothing is opened before the next [`turn`](Self::turn).
    pub fn follow(&mut self, now: Instant, new: &Config, old: &Config, poller: &Poller) {
        const VACANT: Row = Row::VACANT;
        let mut before = core::mem::replace(&mut self.rows, [VACANT; MAX_ADDRESSES]);
        for (position, address) in new.addresses().enumerate() {
            let same = old.addresses().enumerate().find(|&(other, known)| {
                !before[other].is_vacant() && row::is_same(new, address, old, known)
            });
            self.rows[position] = match same {
                Some((other, _)) => core::mem::replace(&mut before[other], Row::VACANT),
                None => Row::due(now),
            };
            self.rows[position].moved_to(now, position, new, address, poller);
        }
        // What is left of `before` is closed here: its ports may be wanted again.
        drop(before);
        self.report_by(now + REPORT_SOON);
    }

    /// Does what is due. Nothing is reported while the supervisor is busy: what
    /// it is about to do is worth waiting for.
    pub fn turn(&mut self, now: Instant, supervisor: &Supervisor, poller: &Poller, is_busy: bool) {
        let config = supervisor.config();
        for (position, address) in config.addresses().enumerate() {
            let was_open = self.rows[position].is_open();
            self.rows[position].turn(now, position, config, address, poller);
            let is_opened = !was_open && self.rows[position].is_open();
            if is_opened && address.used_for == AddressUse::Report {
                self.report_by(now);
            }
        }
        self.complaints.turn(now);
        if !is_busy && self.report_deadline().is_some_and(|at| at <= now) {
            self.report(now, supervisor);
        }
    }

    /// When [`turn`](Self::turn) is to be called if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let rows = self.rows.iter().filter_map(Row::deadline);
        rows.chain(self.report_deadline()).chain(self.complaints.deadline()).min()
    }

    /// The poller has told of [`Token::Udp`](super::poll::Token::Udp) with this position.
    pub fn ready(&mut self, position: u16, supervisor: &mut Supervisor, now: Instant) {
        let position = usize::from(position);
        let Some(address) = supervisor.config().address(position).copied() else { return };
        if self.rows[position].hear_answer(now, supervisor.config(), &address) {
            return;
        }
        let mut buffer = take(&TABLES.datagram);
        let (rows, complaints) = (&mut self.rows, &mut self.complaints);
        let heard = rows[position].listen(now, &mut buffer[..], |datagram, from| {
            complaints.obey(now, datagram, from, &address, supervisor)
        });
        rows[position].has_heard(heard.result, supervisor.config(), &address);
        if heard.is_changed {
            self.report_by(now + REPORT_SOON);
        }
    }

    /// A child was reaped, which may have been a look-up.
    pub fn ended(&mut self, pid: i32) {
        self.rows.iter_mut().for_each(|row| row.ended(pid));
    }

    fn report_by(&mut self, at: Instant) {
        self.report_at = self.report_at.min(at);
    }

    /// When to report; not at all if there is nowhere to.
    fn report_deadline(&self) -> Option<Instant> {
        let is_wanted = self.rows.iter().any(|row| matches!(row.way, Way::Reporting(_)));
        is_wanted.then_some(self.report_at)
    }

    /// Not inlined: what it takes of the stack is needed every 10 seconds, if at all.
    #[inline(never)]
    fn report(&mut self, now: Instant, supervisor: &Supervisor) {
        self.report_at = now + REPORT_EVERY;
        let mut buffer = take(&TABLES.datagram);
        let mut name = [0; HOST_NAME_BYTES];
        let host = socket::host_name(&mut name);
        let config = supervisor.config();
        for (row, address) in self.rows.iter_mut().zip(config.addresses()) {
            row.report(now, config, address, &mut |ip, send| {
                let interface = ip.as_ref().map(|ip| ip as &dyn core::fmt::Display);
                let lines = supervisor.statuses().map(|status| line(now, status));
                report::write(Sender { host, interface }, lines, &mut buffer[..], send);
            });
        }
    }
}

impl Default for Udp {
    fn default() -> Self {
        Self::new()
    }
}

/// Linux has host names of up to 64 bytes (gethostname(2)).
const HOST_NAME_BYTES: usize = 65;

fn line(now: Instant, status: Status<'_>) -> Line<'_> {
    Line {
        name: status.spec.name(),
        is_enabled: status.is_enabled,
        seconds: status.run.map_or(0, |run| now.since(run.since).as_secs()),
        pid: status.run.map_or(0, |run| run.pid),
        program: status.spec.program().to_bytes(),
    }
}

/// Any address as IPv6 has it (RFC 4291, 2.5.5.2).
fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
