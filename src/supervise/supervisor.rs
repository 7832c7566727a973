//! The supervisor: all decisions about all jobs.

use core::time::Duration;

use crate::config::{Config, JobView};
use crate::name::Name;
use crate::supervise::job::{self, Depends, Idle, State, Step, Then, Turn};
use crate::supervise::notice::Notice;
use crate::supervise::table::Table;
use crate::supervise::{Action, Errno, Event, ExitStatus, Failure, JobId, StopSignal, Unreadable};
use crate::time::Instant;

/// A job that exits with this status asks not to be restarted (compat.md, "Running").
pub const DO_NOT_RESTART: i32 = 33;

/// Keeps the jobs of the live configuration as it says.
///
/// Tell it what happens with [`handle`](Self::handle), then do what
/// [`poll`](Self::poll) says until it says nothing, then wait for an event or
/// for [`next_deadline`](Self::next_deadline). It is large, and all zeros at
/// first: keep it in a static.
#[repr(C)]
pub struct Supervisor {
    /// Which of `configs` is the live one.
    pub(super) live: usize,
    /// All jobs before this position have a row. The others get one when a
    /// job that was taken out is gone.
    pub(super) seated: u16,
    /// All jobs before this position have had their turn.
    pub(super) turn: u16,
    /// No start is tried before this.
    pause: Option<Instant>,
    /// The last start failed for want of a process, and this was told.
    starved: bool,
    /// All jobs are to be stopped for good.
    pub(super) leaving: bool,
    gone: bool,
    /// Its first rows are next to what stands above, in the same page.
    pub(super) table: Table,
    pub(super) configs: [Config; 2],
}

impl Supervisor {
    /// A supervisor without jobs.
    pub const fn new() -> Self {
        Supervisor {
            live: 0,
            seated: 0,
            turn: 0,
            pause: None,
            starved: false,
            leaving: false,
            gone: false,
            table: Table::new(),
            configs: [Config::new(), Config::new()],
        }
    }

    /// The configuration to parse the next file into; [`Event::Reloaded`] makes it the live one.
    pub fn standby(&mut self) -> &mut Config {
        &mut self.configs[1 - self.live]
    }

    /// The live configuration.
    pub fn config(&self) -> &Config {
        &self.configs[self.live]
    }

    /// The configuration that was live before the last [`Event::Reloaded`], as
    /// long as nothing else was parsed into [`standby`](Self::standby).
    pub fn previous(&self) -> &Config {
        &self.configs[1 - self.live]
    }

    /// Whether all jobs are to be stopped for good: no configuration is taken any more.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The job at a position of the live configuration; none while it waits for
    /// a row, and once it was stopped for good.
    pub fn job_at(&self, position: usize) -> Option<JobId> {
        let row = self.config().row(position).checked_sub(1)?;
        Some(self.table.id(row)).filter(|&job| self.table.slot(job).is_some())
    }

    /// What the live configuration says of a job; none if it was taken out.
    pub fn spec(&self, job: JobId) -> Option<JobView<'_>> {
        self.spec_of(self.table.slot(job)?)
    }

    /// The name of a job; [`Name::NONE`] once it is gone.
    pub fn name(&self, job: JobId) -> Name {
        self.table.slot(job).map_or(Name::NONE, |slot| self.table.job(slot).name)
    }

    /// The job whose first process this is.
    pub fn job_of(&self, pid: i32) -> Option<JobId> {
        self.table.slot_of_pid(pid).map(|slot| self.table.id(slot))
    }

    /// Whether the process is one that was told to go: what is left of its
    /// group is to be killed before it is reaped, while its number is still its own.
    pub fn kills_group_of(&self, pid: i32) -> bool {
        let slot = self.table.slot_of_pid(pid);
        slot.is_some_and(|slot| matches!(self.table.state(slot), State::Stopping { .. }))
    }

    /// When [`poll`](Self::poll) is to be called if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let paused = self.pause.filter(|_| self.is_turn_open());
        [self.table.next_deadline(), paused].into_iter().flatten().min()
    }

    /// Takes notice of something that happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Reloaded => self.reconcile(),
            Event::Spawned { job, pid } => self.on_spawned(now, job, pid),
            Event::SpawnFailed { job, errno } => self.on_spawn_failed(now, job, errno),
            Event::ExecFailed(failure) => self.on_exec_failed(failure),
            Event::Exited { pid, status } => self.on_exited(now, pid, status),
            Event::GroupGone { job } => self.on_group_gone(now, job),
            Event::Depends { job, digest } => self.on_depends(now, job, digest),
            Event::Enable { job } => self.on_enable(job),
            Event::Disable { job } => self.on_disable(job),
            Event::Shutdown { signal } => self.on_shutdown(now, signal),
        }
    }

    /// The next thing to do, if there is any at this time.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        while let Some(slot) = self.table.due(now) {
            if let Some(action) = self.on_deadline(now, slot) {
                return Some(action);
            }
        }
        self.next_in_turn(now).or_else(|| self.leave())
    }

    // Deadlines.

    fn on_deadline(&mut self, now: Instant, slot: u16) -> Option<Action> {
        match self.table.state(slot) {
            State::BackingOff { .. } => self.start_after_delay(now, slot),
            State::Running { .. } => self.bounce(slot),
            State::Stopping { pid, step, .. } => self.escalate(now, slot, pid, step),
            State::Clearing { pgid, delay, then, .. } => self.clear(now, slot, pgid, delay, then),
            // States without a deadline: to enter one again takes out a stray deadline.
            state @ (State::Vacant | State::Idle(_) | State::Queued | State::Blocked { .. })
            | state @ (State::Starting { .. } | State::Failing { .. }) => {
                self.table.enter(slot, state);
                None
            }
        }
    }

    fn start_after_delay(&mut self, now: Instant, slot: u16) -> Option<Action> {
        match self.pause.filter(|&until| until > now) {
            Some(until) => {
                self.table.enter(slot, State::BackingOff { until });
                None
            }
            None => self.start(slot, Turn::Restart),
        }
    }

    fn bounce(&mut self, slot: u16) -> Option<Action> {
        Notice::Bouncing { name: self.table.job(slot).name }.log();
        self.stop(slot, Then::Bounce);
        None
    }

    /// SIGTERM, SIGKILL, and then words.
    fn escalate(&mut self, now: Instant, slot: u16, pid: i32, step: Step) -> Option<Action> {
        let name = self.table.job(slot).name;
        match step {
            Step::Term => {
                Notice::SendingTerm { name, pid }.log();
                self.step(slot, Step::Kill { at: now + job::KILL_DELAY });
                Some(Action::Signal { pid, signal: StopSignal::Term })
            }
            Step::Kill { .. } => {
                Notice::SendingKill { name, pid }.log();
                self.step(slot, Step::Tell { at: now + job::TELL_DELAY });
                Some(Action::Signal { pid, signal: StopSignal::Kill })
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

    /// SIGKILL to a group, again and again but ever more rarely, and then words.
    fn clear(
        &mut self,
        now: Instant,
        slot: u16,
        pgid: i32,
        delay: Duration,
        then: Then,
    ) -> Option<Action> {
        if delay > job::TELL_DELAY {
            Notice::GroupUndead { name: self.table.job(slot).name, pgid }.log();
            self.on_stopped(now, slot, then);
            return None;
        }
        let (check_at, delay) = (now + delay, delay * 2);
        self.table.enter(slot, State::Clearing { pgid, check_at, delay, then });
        Some(Action::KillGroup { job: self.table.id(slot), pgid })
    }

    fn step(&mut self, slot: u16, step: Step) {
        if let State::Stopping { pid, since, turn, then, .. } = self.table.state(slot) {
            self.table.enter(slot, State::Stopping { pid, since, turn, step, then });
        }
    }

    // Starting.

    /// Whether the next job in the order of the configuration may start.
    fn is_turn_open(&self) -> bool {
        self.row_in_turn().is_some_and(|slot| self.table.state(slot) == State::Queued)
    }

    fn row_in_turn(&self) -> Option<u16> {
        self.config().row(usize::from(self.turn)).checked_sub(1)
    }

    /// Starts the next job whose turn it is, in the order of the configuration.
    fn next_in_turn(&mut self, now: Instant) -> Option<Action> {
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
        while usize::from(self.turn) < self.config().len() {
            let slot = self.row_in_turn();
            let state = slot.map(|slot| self.table.state(slot));
            if state == Some(State::Queued) {
                return slot;
            }
            let spec = self.config().job(usize::from(self.turn));
            // One without a row has yet to be started, too.
            let holds = state.map_or(!spec.is_disabled(), State::holds);
            if spec.waits() && holds {
                return None;
            }
            self.turn += 1;
        }
        None
    }

    fn start(&mut self, slot: u16, turn: Turn) -> Option<Action> {
        let job = self.table.id(slot);
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

    fn on_spawned(&mut self, now: Instant, job: JobId, pid: i32) {
        self.pause = None;
        self.starved = false;
        // Numbers in use are not handed out: the group that had this one is gone.
        if let Some(old) = self.table.slot_of_group(pid) {
            self.on_group_gone(now, self.table.id(old));
        }
        let Some(slot) = self.table.slot(job) else { return };
        let State::Starting { turn } = self.table.state(slot) else { return };
        let (name, spec) = (self.table.job(slot).name, self.spec_of(slot));
        let bounce_at = spec.and_then(|spec| spec.bounce_every()).map(|every| now + every);
        Notice::Started { name, pid }.log();
        if self.holds_others(slot, turn) {
            Notice::Pausing { name }.log();
        }
        self.table.enter(slot, State::Running { pid, since: now, turn, bounce_at });
    }

    /// Nothing can be started now, whichever job it is.
    fn on_spawn_failed(&mut self, now: Instant, job: JobId, errno: Errno) {
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
            State::Blocked { .. } | State::Running { .. } | State::Failing { .. } => {}
            State::Stopping { .. } | State::Clearing { .. } => {}
        }
    }

    /// A start that could not be made is made in its turn, or at a moment of its own.
    fn start_later(&mut self, slot: u16, turn: Turn, until: Instant) {
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

    fn turn_back(&mut self, slot: u16) {
        if let Some(position) = self.table.job(slot).spec {
            self.turn = self.turn.min(position);
        }
    }

    // Ending.

    fn on_exec_failed(&mut self, failure: Failure) {
        let Failure { pid, stage, errno } = failure;
        let Some(slot) = self.table.slot_of_pid(pid) else { return };
        let (name, spec) = (self.table.job(slot).name, self.spec_of(slot));
        Notice::CannotExec { name, stage, errno, spec }.log();
        if let State::Running { pid, since, turn, .. } = self.table.state(slot) {
            self.table.enter(slot, State::Failing { pid, since, turn });
        }
    }

    fn on_exited(&mut self, now: Instant, pid: i32, status: ExitStatus) {
        let Some(slot) = self.table.slot_of_pid(pid) else { return };
        match self.table.state(slot) {
            State::Running { since, turn, .. } => {
                self.tell_exit(now, slot, pid, since, status);
                self.tell_finished(slot, turn);
                let next = self.after_own_exit(now, slot, since, status);
                self.table.enter(slot, next);
            }
            State::Failing { since, turn, .. } => {
                self.tell_exit(now, slot, pid, since, status);
                self.tell_finished(slot, turn);
                self.table.enter(slot, State::BackingOff { until: now + job::RESTART_DELAY });
            }
            State::Stopping { since, turn, then, .. } => {
                self.tell_exit(now, slot, pid, since, status);
                if then != Then::Queue {
                    self.tell_finished(slot, turn);
                }
                let then = if self.is_final(slot, status) { then.finally() } else { then };
                self.table.enter(slot, State::clearing(pid, then));
            }
            // States without a process: nothing to do with this one.
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => {}
            State::Blocked { .. } | State::Starting { .. } | State::Clearing { .. } => {}
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

    /// Whether a run that was begun so holds back the jobs behind this one.
    fn holds_others(&self, slot: u16, turn: Turn) -> bool {
        turn == Turn::InOrder && self.spec_of(slot).is_some_and(|spec| spec.waits())
    }

    /// What follows when a job exits that was not told to (manual, "Job exits").
    fn after_own_exit(&self, now: Instant, slot: u16, since: Instant, status: ExitStatus) -> State {
        if self.is_final(slot, status) {
            State::Idle(Idle::Done)
        } else if now.since(since) < job::RESTART_DELAY {
            State::BackingOff { until: now + job::RESTART_DELAY }
        } else {
            State::BackingOff { until: now }
        }
    }

    fn is_final(&self, slot: u16, status: ExitStatus) -> bool {
        let is_once = self.spec_of(slot).is_some_and(|spec| spec.is_once());
        is_once || status == ExitStatus::Code(DO_NOT_RESTART)
    }

    fn on_group_gone(&mut self, now: Instant, job: JobId) {
        let Some(slot) = self.table.slot(job) else { return };
        if let State::Clearing { then, .. } = self.table.state(slot) {
            self.on_stopped(now, slot, then);
        }
    }

    /// A job that was told to go is gone.
    fn on_stopped(&mut self, now: Instant, slot: u16, then: Then) {
        let then = if self.leaving { Then::Remove } else { then };
        match then {
            Then::Bounce | Then::Restart => {
                self.table.enter(slot, State::BackingOff { until: now });
            }
            Then::Queue => self.queue(slot),
            Then::Disable => self.table.enter(slot, State::Idle(Idle::Disabled)),
            Then::Finish => self.table.enter(slot, State::Idle(Idle::Done)),
            Then::Remove => {
                self.table.vacate(slot);
                self.seat();
            }
        }
    }

    // Being told to stop, or to start.

    /// Makes a job go; whoever has no process is where it goes already.
    pub(super) fn stop(&mut self, slot: u16, then: Then) {
        let stopped = self.table.state(slot).stopped(then);
        self.table.enter(slot, stopped);
        // A wait job holds those behind it while it is being stopped to be started anew.
        if then == Then::Queue {
            self.turn_back(slot);
        }
    }

    fn on_depends(&mut self, now: Instant, job: JobId, digest: Result<u64, Unreadable>) {
        let Some(slot) = self.table.slot(job) else { return };
        if self.table.state(slot) == State::Idle(Idle::Disabled) {
            return; // They are looked at when it is enabled.
        }
        let known = self.table.job(slot).depends;
        let (learnt, changed) = known.after(digest.ok());
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
        let path = path.map_or(&b""[..], core::ffi::CStr::to_bytes);
        let name = self.table.job(slot).name;
        Notice::DependsMissing { name, path, errno: missing.errno }.log();
    }

    /// The content of a file that the job depends on has changed.
    fn restart(&mut self, now: Instant, slot: u16) {
        match self.table.state(slot) {
            State::Running { turn, .. }
            | State::Failing { turn, .. }
            | State::Stopping { turn, then: Then::Bounce | Then::Finish, .. } => {
                // What the jobs behind it wait for has not been done.
                let again = self.holds_others(slot, turn);
                self.stop(slot, if again { Then::Queue } else { Then::Restart });
            }
            State::Clearing { then: Then::Bounce | Then::Finish, .. } => {
                self.stop(slot, Then::Restart);
            }
            State::Blocked { turn } => self.start_later(slot, turn, now),
            State::BackingOff { .. } | State::Idle(Idle::Done) => {
                self.table.enter(slot, State::BackingOff { until: now });
            }
            // On its way already, or not to run.
            State::Stopping { .. } | State::Clearing { .. } | State::Starting { .. } => {}
            State::Vacant | State::Idle(Idle::Disabled) | State::Queued => {}
        }
    }

    fn on_shutdown(&mut self, now: Instant, signal: i32) {
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

    fn leave(&mut self) -> Option<Action> {
        let is_over = self.leaving && !self.gone && !self.table.is_any_alive();
        self.gone |= is_over;
        is_over.then_some(Action::Exit)
    }

    pub(super) fn spec_of(&self, slot: u16) -> Option<JobView<'_>> {
        let position = self.table.job(slot).spec?;
        Some(self.config().job(usize::from(position)))
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Then {
    /// What a stop ends in when the job is not to be restarted: only a mere
    /// bounce asks for that.
    fn finally(self) -> Then {
        match self {
            Then::Bounce => Then::Finish,
            Then::Restart | Then::Queue | Then::Disable | Then::Finish | Then::Remove => self,
        }
    }
}

impl Depends {
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
