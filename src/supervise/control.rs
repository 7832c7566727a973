//! Enabling and disabling jobs: by control datagrams (manual, "UDP control"),
//! and by the reload that ends their effect.

use crate::supervise::cooldown::Cooldown;
use crate::supervise::job::{Depends, Idle, State, Then};
use crate::supervise::notice::Notice;
use crate::supervise::supervisor::Supervisor;
use crate::supervise::JobId;

impl Supervisor {
    pub(super) fn on_enable(&mut self, job: JobId) {
        let Some(slot) = self.table.slot(job) else { return };
        if self.enable(slot) {
            Notice::Enabling { name: self.table.job(slot).name }.log();
        }
    }

    pub(super) fn on_disable(&mut self, job: JobId) {
        let Some(slot) = self.table.slot(job) else { return };
        // One that is done is down for good; enabling it later must not run it again.
        if !self.is_done(slot) && self.disable(slot) {
            Notice::Disabling { name: self.table.job(slot).name }.log();
        }
    }

    fn is_done(&self, slot: u16) -> bool {
        let state = self.table.state(slot);
        matches!(state, State::Idle(Idle::Done) | State::Clearing { then: Then::Finish, .. })
    }

    /// Gives a disabled job its turn; whether it was disabled.
    pub(super) fn enable(&mut self, slot: u16) -> bool {
        match self.table.state(slot) {
            State::Idle(Idle::Disabled) => {
                // Its files may have changed meanwhile: nobody looked.
                self.table.job_mut(slot).depends = Depends::Unknown;
                self.table.job_mut(slot).cooldown = Cooldown::None;
                self.queue(slot);
                true
            }
            State::Stopping { then: Then::Disable, .. }
            | State::Clearing { then: Then::Disable, .. } => {
                self.stop(slot, Then::Queue);
                true
            }
            State::Stopping { .. } | State::Clearing { .. } | State::Starting { .. } => false,
            State::Vacant | State::Idle(Idle::Done) | State::Queued => false,
            State::Blocked { .. } | State::Yielding | State::BackingOff { .. } => false,
            State::Running { .. } | State::Failing { .. } => false,
        }
    }

    /// Takes a job down; whether it was not disabled before.
    pub(super) fn disable(&mut self, slot: u16) -> bool {
        match self.table.state(slot) {
            State::Queued
            | State::BackingOff { .. }
            | State::Blocked { .. }
            | State::Yielding
            | State::Idle(Idle::Done) => {
                self.table.enter(slot, State::Idle(Idle::Disabled));
                true
            }
            State::Running { .. } | State::Failing { .. } => {
                self.stop(slot, Then::Disable);
                true
            }
            State::Stopping { then, .. } | State::Clearing { then, .. } => {
                let is_to_run = then != Then::Disable && then != Then::Remove;
                if is_to_run {
                    self.stop(slot, Then::Disable);
                }
                is_to_run
            }
            State::Vacant | State::Idle(Idle::Disabled) | State::Starting { .. } => false,
        }
    }
}
