//! The files that jobs depend on (manual, "depends").

use core::ffi::CStr;

use crate::supervise::job::{Depends, Idle, State, Then};
use crate::supervise::notice::Notice;
use crate::supervise::supervisor::Supervisor;
use crate::supervise::{JobId, Unreadable};
use crate::time::Instant;

impl Supervisor {
    pub(super) fn on_depends(&mut self, now: Instant, job: JobId, digest: Result<u64, Unreadable>) {
        let Some(slot) = self.table.slot(job) else { return };
        if self.table.state(slot) == State::Idle(Idle::Disabled) {
            return; // They are looked at when it is enabled.
        }
        let known = self.table.job(slot).depends;
        let (mut learnt, mut changed) = known.after(digest.ok());
        if changed && self.cools_down(now, slot) {
            (learnt, changed) = (known.readable(), false);
        }
        self.table.job_mut(slot).depends = learnt;
        if let Err(missing) = digest {
            if learnt != known {
                self.tell_missing(slot, missing);
            }
        } else if changed {
            Notice::DependsChanged { name: self.table.job(slot).name }.log();
            self.restart(now, slot);
        } else if let State::Blocked { turn } = self.table.state(slot) {
            self.start_later(slot, turn, now);
        }
    }

    fn tell_missing(&self, slot: u16, missing: Unreadable) {
        let Some(spec) = self.spec_of(slot) else { return };
        let path = spec.depends().nth(usize::from(missing.file));
        let path = path.map_or(&b""[..], CStr::to_bytes);
        let name = self.table.job(slot).name;
        Notice::DependsMissing { name, path, errno: missing.errno }.log();
    }

    /// The content of a file that the job depends on has changed.
    fn restart(&mut self, now: Instant, slot: u16) {
        let cooldown = self.table.job(slot).cooldown;
        match self.table.state(slot) {
            State::Running { turn, .. }
            | State::Failing { turn, .. }
            | State::Stopping { turn, then: Then::Bounce | Then::Finish, .. } => {
                self.table.job_mut(slot).cooldown = cooldown.before_start();
                // What the jobs behind it wait for has not been done.
                let again = self.holds_others(slot, turn);
                self.stop(slot, if again { Then::Queue } else { Then::Restart });
            }
            State::Clearing { then: Then::BackOff { until }, .. } => {
                let sooner = cooldown.end().max(now);
                if sooner < until {
                    self.table.job_mut(slot).cooldown = cooldown.before_start();
                    self.stop(slot, Then::BackOff { until: sooner });
                }
            }
            State::Clearing { then: Then::Bounce, .. } => self.stop(slot, Then::Restart),
            State::Clearing { then: Then::Finish, .. } => {
                self.table.job_mut(slot).cooldown = cooldown.before_start();
                self.stop(slot, Then::Restart);
            }
            State::Blocked { turn } => self.start_later(slot, turn, now),
            State::BackingOff { until } => {
                let sooner = cooldown.end().max(now);
                // A pause that nothing can be started in is not cut short.
                if sooner < until && self.pause != Some(until) {
                    self.table.job_mut(slot).cooldown = cooldown.before_start();
                    self.table.enter(slot, State::BackingOff { until: sooner });
                }
            }
            State::Idle(Idle::Done) => {
                self.table.job_mut(slot).cooldown = cooldown.before_start();
                self.table.enter(slot, State::BackingOff { until: now });
            }
            // On its way already, or not to run.
            State::Stopping { .. } | State::Clearing { .. } | State::Starting { .. } => {}
            State::Vacant | State::Idle(Idle::Disabled) | State::Queued | State::Yielding => {}
        }
    }
}

impl Depends {
    /// The same content, which can be read again.
    fn readable(self) -> Depends {
        match self {
            Depends::Lost(digest) | Depends::Readable(digest) => Depends::Readable(digest),
            Depends::Unknown | Depends::Missing => self,
        }
    }

    /// What is known after the files were looked at, and whether their content has changed.
    fn after(self, digest: Option<u64>) -> (Depends, bool) {
        match (self, digest) {
            (Depends::Unknown | Depends::Missing, Some(new)) => (Depends::Readable(new), false),
            (Depends::Readable(old) | Depends::Lost(old), Some(new)) => {
                (Depends::Readable(new), old != new)
            }
            (Depends::Unknown | Depends::Missing, None) => (Depends::Missing, false),
            (Depends::Readable(old) | Depends::Lost(old), None) => (Depends::Lost(old), false),
        }
    }
}
