//! The supervisor: all decisions about all jobs.

use core::mem::size_of;

use crate::config::{Config, JobView};
use crate::limits::SMALL_PAGE_BYTES;
use crate::name::Name;
use crate::supervise::job::State;
use crate::supervise::marks::Marks;
use crate::supervise::table::Table;
use crate::supervise::unsent::Unsent;
use crate::supervise::{Action, Event, JobId};
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
    /// The positions of the configuration that did not have their turn yet, or are to have it again.
    pub(super) turns: Marks,
    /// The signals that are to be sent once more.
    pub(super) unsent: Unsent,
    /// The rows whose files have changed during their cooldown.
    pub(super) unread: Marks,
    /// No start is tried before this.
    pub(super) pause: Option<Instant>,
    /// The last start failed for want of a process, and this was told.
    pub(super) starved: bool,
    /// All jobs are to be stopped for good.
    pub(super) leaving: bool,
    pub(super) gone: bool,
    /// Its first rows are next to what stands above, in the same page.
    pub(super) table: Table,
    unused: [u8; UNUSED_BYTES],
    pub(super) configs: [Config; 2],
}

/// Makes each configuration begin in its page as the supervisor does in its own, about.
const UNUSED_BYTES: usize = SMALL_PAGE_BYTES - size_of::<Table>() % SMALL_PAGE_BYTES;

impl Supervisor {
    /// A supervisor without jobs.
    pub const fn new() -> Self {
        Supervisor {
            live: 0,
            seated: 0,
            turns: Marks::new(),
            unsent: Unsent::new(),
            unread: Marks::new(),
            pause: None,
            starved: false,
            leaving: false,
            gone: false,
            table: Table::new(),
            unused: [0; UNUSED_BYTES],
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

    /// Returns true if all jobs are to be stopped for good: no configuration is taken any more.
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

    /// All jobs of which something runs, or waits to be reaped, each with the id of its session.
    pub fn sessions(&self) -> impl Iterator<Item = (JobId, i32)> + '_ {
        let sessions = self.table.slots().map(|slot| (slot, self.table.state(slot).number()));
        sessions.filter_map(|(slot, number)| Some((self.table.id(slot), number?)))
    }

    /// Returns true if the process is the ended first one of a session of which something is left:
    /// until it is reaped nobody else can have its number.
    pub fn keeps(&self, pid: i32) -> bool {
        self.table.slot_of_session(pid).is_some()
    }

    /// Returns true if the process is the first one of a job, ended or not.
    pub fn knows(&self, pid: i32) -> bool {
        self.table.slot_of_pid(pid).is_some() || self.keeps(pid)
    }

    /// When [`poll`](Self::poll) is to be called if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let paused = self.pause.filter(|_| self.is_turn_open());
        let cooldown = self.cooldown_deadline();
        let all = [self.table.next_deadline(), paused, self.unsent.deadline(), cooldown];
        all.into_iter().flatten().min()
    }

    /// Takes notice of something that happened. The answer to an action comes
    /// before anything else: a job whose start was asked for answers to nothing
    /// but its outcome.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Reloaded => self.reconcile(),
            Event::Spawned { job, pid } => self.on_spawned(now, job, pid),
            Event::SpawnFailed { job, errno } => self.on_spawn_failed(now, job, errno),
            Event::ExecFailed(failure) => self.on_exec_failed(failure),
            Event::Unsent { pid } => self.on_unsent(now, pid),
            Event::Exited { pid, status, is_alone } => self.on_exited(now, pid, status, is_alone),
            Event::SessionGone { job } => self.on_session_gone(now, job),
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
        let again = self.send_again(now).or_else(|| self.after_cooldown(now));
        again.or_else(|| self.next_in_turn(now)).or_else(|| self.leave())
    }

    fn on_deadline(&mut self, now: Instant, slot: u16) -> Option<Action> {
        match self.table.state(slot) {
            State::BackingOff { .. } => self.start_after_delay(now, slot),
            State::Running { .. } => self.bounce(slot),
            State::Stopping { pid, step, .. } => self.escalate(now, slot, pid, step),
            State::Clearing { sid, step, .. } => self.clear(now, slot, sid, step),
            // States without a deadline: to enter one again takes out a stray deadline.
            state @ (State::Vacant | State::Idle(_) | State::Queued | State::Blocked { .. })
            | state @ (State::Yielding | State::Starting { .. } | State::Failing { .. }) => {
                self.table.enter(slot, state);
                None
            }
        }
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
