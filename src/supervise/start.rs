//! How jobs start: in their turn, or at a moment of their own.

use crate::config::JobView;
use crate::supervise::job::{self, Depends, State, Turn};
use crate::supervise::notice::Notice;
use crate::supervise::supervisor::Supervisor;
use crate::supervise::{Action, Errno, JobId};
use crate::time::Instant;

impl Supervisor {
    pub(super) fn start_after_delay(&mut self, now: Instant, slot: u16) -> Option<Action> {
        match self.pause.filter(|&until| until > now) {
            Some(until) => {
                self.table.enter(slot, State::BackingOff { until });
                None
            }
            None => self.start(slot, Turn::Restart),
        }
    }

    /// Returns true if the next job in the order of the configuration may start.
    pub(super) fn is_turn_open(&self) -> bool {
        let first = self.turns.first().and_then(|position| self.row_at(position));
        first.is_some_and(|slot| self.table.state(slot) == State::Queued)
    }

    fn row_at(&self, position: usize) -> Option<u16> {
        self.config().row(position).checked_sub(1)
    }

    /// Starts the next job whose turn it is, in the order of the configuration.
    pub(super) fn next_in_turn(&mut self, now: Instant) -> Option<Action> {
        // The turn moves on even if nothing can be started: `next_deadline` looks where it is.
        while let Some(slot) = self.advance_turn() {
            if self.pause.is_some_and(|until| until > now) {
                return None;
            }
            if let Some(action) = self.start(slot, Turn::InOrder) {
                return Some(action);
            }
        }
        None
    }

    /// The next job that is queued, unless one before it has to be waited for.
    fn advance_turn(&mut self) -> Option<u16> {
        while let Some(position) = self.turns.first() {
            let slot = self.row_at(position);
            let state = slot.map(|slot| self.table.state(slot));
            if state == Some(State::Queued) {
                return slot;
            }
            let spec = self.config().job(position);
            // One without a row has yet to be started, too.
            let holds = state.map_or(!spec.is_disabled(), State::holds);
            if spec.waits() && holds {
                return None;
            }
            self.turns.remove(position);
        }
        None
    }

    fn start(&mut self, slot: u16, turn: Turn) -> Option<Action> {
        if turn == Turn::InOrder && self.yields(slot) {
            return None;
        }
        let job = self.table.id(slot);
        if self.take_unread(slot) {
            self.table.job_mut(slot).depends = Depends::Unknown;
        }
        let depends = self.spec_of(slot).is_some_and(|spec| spec.depends().next().is_some());
        match self.table.job(slot).depends {
            Depends::Unknown if depends => Some(Action::Look { job }),
            Depends::Missing | Depends::Lost(_) if depends => {
                self.table.enter(slot, State::Blocked { turn });
                None
            }
            Depends::Unknown | Depends::Missing | Depends::Lost(_) | Depends::Readable(_) => {
                self.table.enter(slot, State::Starting { turn });
                Some(Action::Spawn { job })
            }
        }
    }

    /// Holds a job back while one that was taken out still runs its program, which may hold its port
    /// or its lock: mostly a job that got another name. Returns false if there is no such job.
    fn yields(&mut self, slot: u16) -> bool {
        let Some(program) = self.spec_of(slot).map(JobView::program_digest) else { return false };
        let is_old = |&old: &u16| {
            let job = self.table.job(old);
            job.leaves == Some(program) && job.state.is_alive()
        };
        let Some(old) = self.table.slots().find(is_old) else { return false };
        let (name, other) = (self.table.job(slot).name, self.table.job(old).name);
        Notice::Yielding { name, other }.log();
        self.table.enter(slot, State::Yielding);
        true
    }

    /// A job that was taken out is gone: those that it held back have their turn.
    pub(super) fn stop_yielding(&mut self) {
        for slot in self.table.slots() {
            if self.table.state(slot) == State::Yielding {
                self.queue(slot);
            }
        }
    }

    pub(super) fn on_spawned(&mut self, now: Instant, job: JobId, pid: i32) {
        self.pause = None;
        self.starved = false;
        // Numbers in use are not handed out: the session that had this one is gone.
        if let Some(old) = self.table.slot_of_session(pid) {
            self.on_session_gone(now, self.table.id(old));
        }
        let Some(slot) = self.table.slot(job) else { return };
        let State::Starting { turn } = self.table.state(slot) else { return };
        let (name, spec) = (self.table.job(slot).name, self.spec_of(slot));
        let bounce_at = spec.and_then(|spec| spec.bounce_every()).map(|every| now + every);
        Notice::Started { name, pid }.log();
        if self.holds_others(slot, turn) {
            Notice::Pausing { name }.log();
        }
        let cooldown = self.table.job(slot).cooldown.after_start(now);
        self.table.job_mut(slot).cooldown = cooldown;
        self.table.enter(slot, State::Running { pid, since: now, turn, bounce_at });
    }

    /// Nothing can be started now, whichever job it is.
    pub(super) fn on_spawn_failed(&mut self, now: Instant, job: JobId, errno: Errno) {
        let until = now + job::SPAWN_PAUSE;
        self.pause = Some(until);
        let Some(slot) = self.table.slot(job) else { return };
        if !self.starved {
            self.starved = true;
            Notice::CannotSpawn { name: self.table.job(slot).name, errno }.log();
        }
        match self.table.state(slot) {
            State::Starting { turn } => self.start_later(slot, turn, until),
            // Not what was asked for: there is no answer to wait for.
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => {}
            State::Blocked { .. } | State::Yielding | State::Running { .. } => {}
            State::Failing { .. } | State::Stopping { .. } | State::Clearing { .. } => {}
        }
    }

    /// A start that could not be made is made in its turn, or at a moment of its own.
    pub(super) fn start_later(&mut self, slot: u16, turn: Turn, until: Instant) {
        match turn {
            Turn::InOrder => self.queue(slot),
            Turn::Restart => self.table.enter(slot, State::BackingOff { until }),
        }
    }

    /// Gives a job its turn, be it behind jobs that had theirs already.
    pub(super) fn queue(&mut self, slot: u16) {
        self.table.enter(slot, State::Queued);
        self.turn_back(slot);
    }

    pub(super) fn turn_back(&mut self, slot: u16) {
        if let Some(position) = self.table.job(slot).spec {
            self.turns.add(position.into());
        }
    }

    /// Returns true if a run that was begun so holds back the jobs behind this one.
    pub(super) fn holds_others(&self, slot: u16, turn: Turn) -> bool {
        turn == Turn::InOrder && self.spec_of(slot).is_some_and(|spec| spec.waits())
    }
}
