//! Signals that the kernel did not take (kill(2)): a job that did not get its SIGKILL would be waited
//! for without end. All are tried again every second, until they are taken or not needed any more.

use core::time::Duration;

use crate::supervise::job::{State, Step};
use crate::supervise::marks::Marks;
use crate::supervise::supervisor::Supervisor;
use crate::supervise::{Action, StopSignal};
use crate::time::Instant;

/// How soon a signal is sent again that could not be sent.
pub const SEND_AGAIN: Duration = Duration::from_secs(1);

/// All zeros: there are none.
pub(super) struct Unsent {
    /// The rows of the jobs.
    rows: Marks,
    /// When all are tried again.
    at: Option<Instant>,
    /// While they are being tried: the row with which it goes on.
    next: Option<u16>,
}

impl Unsent {
    pub(super) const fn new() -> Self {
        Unsent { rows: Marks::new(), at: None, next: None }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at
    }

    /// The next row to be tried at this time; it is not to be tried any more then.
    fn take(&mut self, now: Instant) -> Option<u16> {
        if self.at.is_some_and(|at| at <= now) {
            (self.at, self.next) = (Some(now + SEND_AGAIN), Some(0));
        }
        let row = self.rows.first_from(self.next?.into());
        self.next = row.map(|row| row as u16 + 1);
        match row {
            Some(row) => self.rows.remove(row),
            None => self.at = self.at.filter(|_| self.rows.first().is_some()),
        }
        row.map(|row| row as u16)
    }
}

impl Supervisor {
    pub(super) fn on_unsent(&mut self, now: Instant, pid: i32) {
        let Some(slot) = self.table.slot_of_pid(pid) else { return };
        self.unsent.rows.add(slot.into());
        self.unsent.at.get_or_insert(now + SEND_AGAIN);
    }

    /// Sends a signal for the first time, instead of one that could not be sent.
    pub(super) fn send(&mut self, slot: u16, pid: i32, signal: StopSignal) -> Option<Action> {
        self.unsent.rows.remove(slot.into());
        Some(Action::Signal { pid, signal, again: false })
    }

    pub(super) fn send_again(&mut self, now: Instant) -> Option<Action> {
        while let Some(slot) = self.unsent.take(now) {
            if let Some((pid, signal)) = self.last_signal(slot) {
                return Some(Action::Signal { pid, signal, again: true });
            }
        }
        None
    }

    /// What the process of a job was to be sent last.
    fn last_signal(&self, slot: u16) -> Option<(i32, StopSignal)> {
        match self.table.state(slot) {
            State::Stopping { pid, step, .. } => match step {
                Step::Term => None,
                Step::Kill { .. } => Some((pid, StopSignal::Term)),
                Step::Tell { .. } | Step::Wait => Some((pid, StopSignal::Kill)),
            },
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => None,
            State::Blocked { .. } | State::Yielding => None,
            State::Starting { .. } | State::Running { .. } => None,
            State::Failing { .. } | State::Clearing { .. } => None,
        }
    }
}
