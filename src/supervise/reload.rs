//! From one configuration to the next: keep, restart, start, stop (manual,
//! "Operator notes").

use crate::name::Name;
use crate::supervise::cooldown::Cooldown;
use crate::supervise::job::{Depends, Idle, State, Then};
use crate::supervise::supervisor::Supervisor;

impl Supervisor {
    /// Makes the standby configuration the live one. A job that is the same in
    /// both keeps its process; one that is not is stopped, and starts in its
    /// turn. What a control datagram had changed ends here.
    pub(super) fn reconcile(&mut self) {
        if self.leaving {
            return;
        }
        let new = self.standby();
        (0..new.len()).for_each(|position| new.set_row(position, 0));
        for slot in self.table.slots() {
            if self.table.state(slot) != State::Vacant {
                self.reconcile_row(slot);
            }
        }
        self.live = 1 - self.live;
        self.turns.begin(self.configs[self.live].len());
        self.seated = 0;
        self.seat();
    }

    fn reconcile_row(&mut self, slot: u16) {
        let job = self.table.job(slot);
        let (new, old_spec) = (&self.configs[1 - self.live], self.spec_of(slot));
        let Some(position) = new.find(job.name.as_bytes()) else {
            self.take_out(slot);
            return;
        };
        let spec = new.job(position);
        let is_same = old_spec.is_some_and(|old| old == spec);
        let is_disabled = spec.is_disabled();
        self.standby().set_row(position, slot + 1);
        let job = self.table.job_mut(slot);
        (job.spec, job.leaves) = (Some(position as u16), None);
        if is_same {
            self.undo_control(slot, is_disabled);
        } else {
            self.table.job_mut(slot).depends = Depends::Unknown;
            self.table.job_mut(slot).short_runs = 0;
            self.table.job_mut(slot).cooldown = Cooldown::None;
            self.change(slot, is_disabled);
        }
    }

    /// The job is in the file no more.
    fn take_out(&mut self, slot: u16) {
        if self.table.state(slot).is_alive() {
            let program = self.spec_of(slot).map(|spec| spec.program_digest());
            let job = self.table.job_mut(slot);
            (job.leaves, job.spec) = (job.leaves.or(program), None);
            self.stop(slot, Then::Remove);
        } else {
            self.table.vacate(slot);
        }
    }

    /// The job has a new definition.
    fn change(&mut self, slot: u16, is_disabled: bool) {
        if self.table.state(slot).is_alive() {
            self.stop(slot, if is_disabled { Then::Disable } else { Then::Queue });
        } else {
            self.table.enter(slot, first_state(is_disabled));
        }
    }

    /// The job has the same definition: it is to be as that says, whatever a
    /// control datagram made of it.
    fn undo_control(&mut self, slot: u16, is_disabled: bool) {
        if is_disabled {
            self.disable(slot);
        } else {
            self.enable(slot);
        }
    }

    /// Gives rows to the jobs that have none yet, as far as there are any.
    pub(super) fn seat(&mut self) {
        while !self.leaving && usize::from(self.seated) < self.config().len() {
            let position = usize::from(self.seated);
            if self.config().row(position) == 0 && !self.add_row(position) {
                return;
            }
            self.seated += 1;
        }
    }

    fn add_row(&mut self, position: usize) -> bool {
        let spec = self.config().job(position);
        let (name, state) = (Name::new(spec.name()), first_state(spec.is_disabled()));
        let Some(slot) = self.table.add(name, position as u16, state) else { return false };
        self.configs[self.live].set_row(position, slot + 1);
        self.turns.add(position);
        true
    }
}

/// What a job is in when it is new.
fn first_state(is_disabled: bool) -> State {
    if is_disabled {
        State::Idle(Idle::Disabled)
    } else {
        State::Queued
    }
}
