//! How runs end: by themselves, because they were told to, and all at once at the end.

use crate::supervise::job::{self, ClearStep, Idle, State, Step, Then, Turn};
use crate::supervise::notice::Notice;
use crate::supervise::supervisor::{Supervisor, DO_NOT_RESTART};
use crate::supervise::{Action, ExitStatus, Failure, JobId, StopSignal};
use crate::time::Instant;

impl Supervisor {
    // Being told to go.

    /// Makes a job go; whoever has no process is where it goes already.
    pub(super) fn stop(&mut self, slot: u16, then: Then) {
        let stopped = self.table.state(slot).stopped(then);
        self.table.enter(slot, stopped);
        // A wait job holds those behind it while it is being stopped to be started anew.
        if then == Then::Queue {
            self.turn_back(slot);
        }
    }

    pub(super) fn bounce(&mut self, slot: u16) -> Option<Action> {
        Notice::Bouncing { name: self.table.job(slot).name }.log();
        self.stop(slot, Then::Bounce);
        None
    }

    /// SIGTERM, SIGKILL, and then words.
    pub(super) fn escalate(
        &mut self,
        now: Instant,
        slot: u16,
        pid: i32,
        step: Step,
    ) -> Option<Action> {
        let name = self.table.job(slot).name;
        match step {
            Step::Term => {
                Notice::SendingTerm { name, pid }.log();
                self.step(slot, Step::Kill { at: now + job::KILL_DELAY });
                self.send(slot, pid, StopSignal::Term)
            }
            Step::Kill { .. } => {
                Notice::SendingKill { name, pid }.log();
                self.step(slot, Step::Tell { at: now + job::TELL_DELAY });
                self.send(slot, pid, StopSignal::Kill)
            }
            Step::Tell { .. } => {
                Notice::Undead { name, pid }.log();
                self.step(slot, Step::Wait);
                if self.leaving {
                    self.table.vacate(slot);
                }
                None
            }
            Step::Wait => None,
        }
    }

    /// Ends the rest of a session: SIGTERM, SIGKILL until nothing is left, then a warning. In
    /// between it only checks whether anything is left.
    pub(super) fn clear(
        &mut self,
        now: Instant,
        slot: u16,
        sid: i32,
        step: ClearStep,
    ) -> Option<Action> {
        let (job, name) = (self.table.id(slot), self.table.job(slot).name);
        let signal = match step {
            ClearStep::Term { kill_at } if now < kill_at => {
                Notice::SendingTermToRest { name, sid }.log();
                self.clear_step(now, slot, ClearStep::Kill { at: kill_at });
                Some(StopSignal::Term)
            }
            ClearStep::Kill { at } if now < at => {
                self.clear_step(now, slot, step);
                None
            }
            ClearStep::Term { .. } | ClearStep::Kill { .. } => {
                Notice::SendingKillToRest { name, sid }.log();
                self.clear_step(now, slot, ClearStep::GiveUp { at: now + job::TELL_DELAY });
                Some(StopSignal::Kill)
            }
            ClearStep::GiveUp { at } if now < at => {
                self.clear_step(now, slot, step);
                Some(StopSignal::Kill)
            }
            ClearStep::GiveUp { .. } => {
                Notice::SessionUndead { name, sid }.log();
                return Some(Action::LeaveSession { job, sid });
            }
        };
        Some(Action::EndSession { job, sid, signal })
    }

    /// Enters a step of [`clear`](Self::clear); the checks of one step become rarer and rarer.
    fn clear_step(&mut self, now: Instant, slot: u16, step: ClearStep) {
        if let State::Clearing { sid, step: before, checks, then, .. } = self.table.state(slot) {
            let checks = if step == before { checks.saturating_add(1) } else { 0 };
            let check_at = (now + job::check_delay(checks)).min(step.until());
            self.table.enter(slot, State::Clearing { sid, step, check_at, checks, then });
        }
    }

    fn step(&mut self, slot: u16, step: Step) {
        if let State::Stopping { pid, since, turn, then, .. } = self.table.state(slot) {
            self.table.enter(slot, State::Stopping { pid, since, turn, step, then });
        }
    }

    // Ending.

    pub(super) fn on_exec_failed(&mut self, failure: Failure) {
        let Failure { pid, stage, errno } = failure;
        let Some(slot) = self.table.slot_of_pid(pid) else { return };
        let (name, spec) = (self.table.job(slot).name, self.spec_of(slot));
        Notice::CannotExec { name, stage, errno, spec }.log();
        if let State::Running { pid, since, turn, .. } = self.table.state(slot) {
            self.table.enter(slot, State::Failing { pid, since, turn });
        }
    }

    /// `is_alone`: nothing is left of the session but this process.
    pub(super) fn on_exited(&mut self, now: Instant, pid: i32, status: ExitStatus, is_alone: bool) {
        let Some(slot) = self.table.slot_of_pid(pid) else { return };
        match self.table.state(slot) {
            State::Running { since, turn, .. } => {
                self.tell_exit(now, slot, pid, since, status);
                self.count_short_runs(now, slot, since, status);
                self.tell_finished(slot, turn);
                match self.restart_at(now, slot, since, status) {
                    Some(until) => {
                        let then = Then::BackOff { until };
                        self.end_session(now, slot, pid, now + job::KILL_DELAY, then, is_alone);
                    }
                    // It may have left a daemon behind, on purpose.
                    None => self.table.enter(slot, State::Idle(Idle::Done)),
                }
            }
            State::Failing { since, turn, .. } => {
                self.tell_exit(now, slot, pid, since, status);
                self.tell_finished(slot, turn);
                self.table.enter(slot, State::BackingOff { until: now + job::RESTART_DELAY });
            }
            State::Stopping { since, turn, then, step, .. } => {
                self.tell_exit(now, slot, pid, since, status);
                if then != Then::Queue {
                    self.tell_finished(slot, turn);
                }
                let then = if self.is_final(slot, status) { then.finally() } else { then };
                self.end_session(now, slot, pid, step.kill_at(now), then, is_alone);
            }
            // States without a process: nothing to do with this one.
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => {}
            State::Blocked { .. } | State::Yielding | State::Starting { .. } => {}
            State::Clearing { .. } => {}
        }
    }

    fn tell_exit(&self, now: Instant, slot: u16, pid: i32, since: Instant, status: ExitStatus) {
        let (name, lived) = (self.table.job(slot).name, now.since(since));
        Notice::Exited { name, pid, lived, status }.log();
    }

    fn tell_finished(&self, slot: u16, turn: Turn) {
        if self.holds_others(slot, turn) {
            Notice::Finished { name: self.table.job(slot).name }.log();
        }
    }

    /// Returns when a job starts again that has exited by itself (manual, "Job exits"); None if it
    /// is not restarted.
    fn restart_at(
        &self,
        now: Instant,
        slot: u16,
        since: Instant,
        status: ExitStatus,
    ) -> Option<Instant> {
        let is_early = now.since(since) < job::RESTART_DELAY;
        let at = if is_early { now + job::RESTART_DELAY } else { now };
        (!self.is_final(slot, status)).then_some(at)
    }

    /// The first process of a job has ended, and the job goes on only without the rest of its session.
    fn end_session(
        &mut self,
        now: Instant,
        slot: u16,
        sid: i32,
        kill_at: Instant,
        then: Then,
        is_alone: bool,
    ) {
        if is_alone {
            self.on_stopped(now, slot, then);
        } else {
            self.table.enter(slot, State::clearing(sid, kill_at, then));
        }
    }

    pub(super) fn is_final(&self, slot: u16, status: ExitStatus) -> bool {
        let is_once = self.spec_of(slot).is_some_and(|spec| spec.is_once());
        is_once || status == ExitStatus::Code(DO_NOT_RESTART)
    }

    /// Returns true if the process is the first one of a job, and what it leaves of its session
    /// when it ends with `status` is to be ended, too.
    pub fn ends_session_of(&self, pid: i32, status: ExitStatus) -> bool {
        let Some(slot) = self.table.slot_of_pid(pid) else { return false };
        match self.table.state(slot) {
            State::Running { .. } => !self.is_final(slot, status),
            State::Stopping { .. } => true,
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => false,
            State::Blocked { .. } | State::Yielding | State::Starting { .. } => false,
            State::Failing { .. } | State::Clearing { .. } => false,
        }
    }

    pub(super) fn on_session_gone(&mut self, now: Instant, job: JobId) {
        let Some(slot) = self.table.slot(job) else { return };
        if let State::Clearing { then, .. } = self.table.state(slot) {
            self.on_stopped(now, slot, then);
        }
    }

    /// A job that was told to go is gone.
    fn on_stopped(&mut self, now: Instant, slot: u16, then: Then) {
        let then = if self.leaving { Then::Remove } else { then };
        match then {
            Then::BackOff { until } => self.table.enter(slot, State::BackingOff { until }),
            Then::Bounce | Then::Restart => {
                self.table.enter(slot, State::BackingOff { until: now });
            }
            Then::Queue => self.queue(slot),
            Then::Disable => self.table.enter(slot, State::Idle(Idle::Disabled)),
            Then::Finish => self.table.enter(slot, State::Idle(Idle::Done)),
            Then::Remove => {
                self.table.vacate(slot);
                self.seat();
                self.stop_yielding();
            }
        }
    }

    // Leaving.

    pub(super) fn on_shutdown(&mut self, now: Instant, signal: i32) {
        if self.leaving {
            return;
        }
        Notice::Leaving { signal }.log();
        self.leaving = true;
        for slot in self.table.slots() {
            let state = self.table.state(slot);
            if state.is_alive() {
                self.stop(slot, Then::Remove);
                self.wait_no_longer_than(now + job::TELL_DELAY, slot);
            } else if state != State::Vacant {
                self.table.vacate(slot);
            }
        }
    }

    /// A process that does not even go at SIGKILL must not hold up a shutdown.
    fn wait_no_longer_than(&mut self, at: Instant, slot: u16) {
        if let State::Stopping { step: Step::Wait, .. } = self.table.state(slot) {
            self.step(slot, Step::Tell { at });
        }
    }

    pub(super) fn leave(&mut self) -> Option<Action> {
        let is_over = self.leaving && !self.gone && !self.table.is_any_alive();
        self.gone |= is_over;
        is_over.then_some(Action::Exit)
    }
}

impl Then {
    /// What a stop ends in when the job is not to be restarted: only a mere
    /// bounce asks for that.
    fn finally(self) -> Then {
        match self {
            Then::Bounce => Then::Finish,
            Then::BackOff { .. } | Then::Restart | Then::Queue => self,
            Then::Disable | Then::Finish | Then::Remove => self,
        }
    }
}
