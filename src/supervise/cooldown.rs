//! The pause after a restart that a changed `depends` file has caused.
//!
//! A job that writes one of its own `depends` files would restart itself without
//! end. A job that such a change has restarted is not restarted by another one
//! within [`COOLDOWN`] of its start; at the end of that time its files are read
//! once more, and it is restarted if their content then differs from the content
//! that it was started with.

use core::time::Duration;

use crate::supervise::job::{Idle, State};
use crate::supervise::supervisor::Supervisor;
use crate::supervise::Action;
use crate::time::Instant;

/// The time after its start in which a job that `depends` has restarted is not restarted by it again.
pub const COOLDOWN: Duration = Duration::from_secs(10);

/// The share of `depends` in the starts of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cooldown {
    /// The last start had another cause.
    None,
    /// A changed file causes the next start, which comes no sooner than this.
    NextStart { not_before: Instant },
    /// A changed file caused the last start. Another one restarts the job at this time.
    Until(Instant),
}

impl Cooldown {
    /// Returns the value after a start.
    pub(super) fn after_start(self, now: Instant) -> Self {
        match self {
            Cooldown::NextStart { .. } => Cooldown::Until(now + COOLDOWN),
            Cooldown::None | Cooldown::Until(_) => Cooldown::None,
        }
    }

    /// The value before a start that a changed file causes.
    pub(super) fn before_start(self) -> Self {
        Cooldown::NextStart { not_before: self.end() }
    }

    /// The time before which no changed file restarts the job.
    pub(super) fn end(self) -> Instant {
        match self {
            Cooldown::Until(end) | Cooldown::NextStart { not_before: end } => end,
            Cooldown::None => Instant::BOOT,
        }
    }
}

impl Supervisor {
    /// Returns true if a changed file does not count now, and notes that it is to be looked
    /// for at the end of the cooldown. The caller keeps the old digest.
    pub(super) fn cools_down(&mut self, now: Instant, slot: u16) -> bool {
        let is_cooling = self.table.job(slot).cooldown.end() > now;
        let is_cooled = is_cooling && is_restarted_by_change(self.table.state(slot));
        if is_cooled {
            self.unread.add(slot.into());
        }
        is_cooled
    }

    /// The next end of a cooldown in which a file has changed.
    pub(super) fn cooldown_deadline(&self) -> Option<Instant> {
        self.cooling().map(|(_, until)| until).min()
    }

    /// Asks for the files of a job whose cooldown is over.
    pub(super) fn after_cooldown(&mut self, now: Instant) -> Option<Action> {
        let (slot, _) = self.cooling().find(|&(_, until)| until <= now)?;
        self.unread.remove(slot.into());
        Some(Action::Look { job: self.table.id(slot) })
    }

    /// Returns true if the files of a job that is to be started have changed since they were read.
    pub(super) fn take_unread(&mut self, slot: u16) -> bool {
        let is_unread = self.unread.contains(slot.into());
        self.unread.remove(slot.into());
        is_unread
    }

    /// The jobs that wait for the end of a cooldown to have their files read, and that end.
    fn cooling(&self) -> impl Iterator<Item = (u16, Instant)> + '_ {
        let next = |slot: usize| self.unread.first_from(slot);
        let rows = core::iter::successors(next(0), move |&slot| next(slot + 1));
        rows.filter_map(|slot| {
            let slot = slot as u16;
            let is_waiting = match self.table.state(slot) {
                State::BackingOff { .. } => true,
                state => is_restarted_by_change(state),
            };
            match self.table.job(slot).cooldown {
                Cooldown::Until(until) if is_waiting => Some((slot, until)),
                Cooldown::Until(_) | Cooldown::None | Cooldown::NextStart { .. } => None,
            }
        })
    }
}

/// Returns true for a state that only a changed file would end.
fn is_restarted_by_change(state: State) -> bool {
    match state {
        State::Running { .. } | State::Failing { .. } | State::Idle(Idle::Done) => true,
        State::Vacant | State::Idle(Idle::Disabled) | State::Queued | State::Yielding => false,
        State::BackingOff { .. } | State::Blocked { .. } | State::Starting { .. } => false,
        State::Stopping { .. } | State::Clearing { .. } => false,
    }
}
