//! Control datagrams obeyed, and complaints about bad ones.

use super::super::std::net::SocketAddr;
use super::super::std::prelude::v1::*;
use super::super::tell;
use super::mapped;
use super::quota::{Quota, WINDOW};
use crate::config::Address;
use crate::control::{commands, Command};
use crate::limits::CONTROL_BYTES;
use crate::name::Lossy;
use crate::supervise::{Event, Supervisor};
use crate::time::Instant;

/// What bad datagrams are told of, each kind so often that none hides another.
pub(super) struct Complaints {
    invalid: Quota,
    unknown: Quota,
    refused: Quota,
}

impl Complaints {
    pub(super) const fn new() -> Self {
        Complaints { invalid: Quota::new(), unknown: Quota::new(), refused: Quota::new() }
    }

    /// Does what a datagram says; whether that has changed anything.
    pub(super) fn obey(
        &mut self,
        now: Instant,
        datagram: &[u8],
        from: SocketAddr,
        address: &Address,
        supervisor: &mut Supervisor,
    ) -> bool {
        let senders = supervisor.config().senders(address);
        let ip = mapped(from.ip());
        if !senders.is_empty() && !senders.iter().any(|sender| sender.contains(ip)) {
            if self.refused.allows(now) {
                tell::warning!("refused control msg from {}", from.ip());
            }
            return false;
        }
        let shown = &datagram[..datagram.len().min(CONTROL_BYTES)];
        tell::debug!("received [{}] from {from}", Lossy(shown));
        if datagram.len() > CONTROL_BYTES {
            self.invalid(now);
            return false;
        }
        let mut is_changed = false;
        for command in commands(datagram) {
            is_changed |= self.perform(now, command, supervisor);
        }
        is_changed
    }

    fn perform(&mut self, now: Instant, command: Command<'_>, supervisor: &mut Supervisor) -> bool {
        let (name, is_to_run) = match command {
            Command::Enable(name) => (name, true),
            Command::Disable(name) => (name, false),
            Command::Invalid => {
                self.invalid(now);
                return false;
            }
        };
        let Some(position) = supervisor.config().find(name) else {
            self.unknown(now, name);
            return false;
        };
        let Some(job) = supervisor.job_at(position) else { return false };
        let before = is_enabled(supervisor, position);
        let event = if is_to_run { Event::Enable { job } } else { Event::Disable { job } };
        supervisor.handle(now, event);
        before != is_enabled(supervisor, position)
    }

    fn invalid(&mut self, now: Instant) {
        if self.invalid.allows(now) {
            tell::error!("invalid control msg");
        }
    }

    fn unknown(&mut self, now: Instant, name: &[u8]) {
        if self.unknown.allows(now) {
            tell::info!("control msg for unknown job {}", Lossy(name));
        }
    }

    /// When [`turn`](Self::turn) has something to tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let all = [&self.invalid, &self.unknown, &self.refused];
        all.into_iter().filter_map(Quota::deadline).min()
    }

    /// Tells how often something was not told.
    pub(super) fn turn(&mut self, now: Instant) {
        let seconds = WINDOW.as_secs();
        if let Some(count) = self.invalid.overdue(now) {
            tell::error!("{count} more invalid control msgs in {seconds} s");
        }
        if let Some(count) = self.unknown.overdue(now) {
            tell::info!("{count} more control msgs for unknown jobs in {seconds} s");
        }
        if let Some(count) = self.refused.overdue(now) {
            tell::warning!("{count} more refused control msgs in {seconds} s");
        }
    }
}

fn is_enabled(supervisor: &Supervisor, position: usize) -> Option<bool> {
    supervisor.status_at(position).map(|status| status.is_enabled)
}
