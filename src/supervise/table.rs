//! The rows of the jobs, found by slot, by process and by place in the configuration.

use heapless::{FnvIndexMap, Vec};

use crate::limits::MAX_JOBS;
use crate::name::Name;
use crate::supervise::deadlines::Deadlines;
use crate::supervise::job::{Depends, Job, State};
use crate::supervise::JobId;
use crate::time::Instant;

/// Rows for the numbers of processes and groups: a power of two, at most half full.
const NUMBER_ROWS: usize = (2 * MAX_JOBS).next_power_of_two();

/// All jobs: those of the live configuration, and those taken out of it that
/// are still being stopped.
pub(super) struct Table {
    rows: Vec<Job, MAX_JOBS>,
    /// Vacant rows below `rows.len()`.
    vacant: Vec<u16, MAX_JOBS>,
    /// By the number of the first process, or of the group that outlives it.
    by_number: FnvIndexMap<i32, u16, NUMBER_ROWS>,
    deadlines: Deadlines,
    /// How many jobs have, or may have, processes.
    alive: u16,
}

impl Table {
    pub(super) const fn new() -> Self {
        Table {
            rows: Vec::new(),
            vacant: Vec::new(),
            by_number: FnvIndexMap::new(),
            deadlines: Deadlines::new(),
            alive: 0,
        }
    }

    /// Puts a job into a free row; `None`: there is none.
    pub(super) fn add(&mut self, name: Name, spec: u16, state: State) -> Option<u16> {
        let slot = self.free_row()?;
        let job = &mut self.rows[usize::from(slot)];
        job.name = name;
        job.spec = Some(spec);
        job.depends = Depends::Unknown;
        job.generation = job.generation.wrapping_add(1);
        self.enter(slot, state);
        Some(slot)
    }

    fn free_row(&mut self) -> Option<u16> {
        if let Some(slot) = self.vacant.pop() {
            return Some(slot);
        }
        let empty = Job {
            name: Name::NONE,
            generation: 0,
            spec: None,
            depends: Depends::Unknown,
            state: State::Vacant,
        };
        self.rows.push(empty).ok()?;
        Some(self.rows.len() as u16 - 1)
    }

    /// Frees a row.
    pub(super) fn vacate(&mut self, slot: u16) {
        self.enter(slot, State::Vacant);
        self.rows[usize::from(slot)].spec = None;
        // Every row is vacant at most once, so there is room.
        let _ = self.vacant.push(slot);
    }

    /// The one way from state to state: keeps the deadlines and the processes right.
    pub(super) fn enter(&mut self, slot: u16, state: State) {
        let job = &mut self.rows[usize::from(slot)];
        let (old_number, was_alive) = (job.state.number(), job.state.is_alive());
        job.state = state;
        let (new_number, is_alive) = (state.number(), state.is_alive());
        self.deadlines.set(slot, state.deadline());
        if old_number != new_number {
            self.forget_number(old_number);
            self.learn_number(new_number, slot);
        }
        self.alive = self.alive + u16::from(is_alive) - u16::from(was_alive);
    }

    fn forget_number(&mut self, number: Option<i32>) {
        if let Some(number) = number {
            self.by_number.remove(&number);
        }
    }

    fn learn_number(&mut self, number: Option<i32>, slot: u16) {
        if let Some(number) = number {
            // One number a row, and more places than rows.
            let _ = self.by_number.insert(number, slot);
        }
    }

    pub(super) fn job(&self, slot: u16) -> &Job {
        &self.rows[usize::from(slot)]
    }

    pub(super) fn job_mut(&mut self, slot: u16) -> &mut Job {
        &mut self.rows[usize::from(slot)]
    }

    pub(super) fn state(&self, slot: u16) -> State {
        self.job(slot).state
    }

    /// The slots of all jobs, and of vacant rows between them.
    pub(super) fn slots(&self) -> core::ops::Range<u16> {
        0..self.rows.len() as u16
    }

    pub(super) fn id(&self, slot: u16) -> JobId {
        JobId { slot, generation: self.job(slot).generation }
    }

    /// The slot of a job that is still there.
    pub(super) fn slot(&self, id: JobId) -> Option<u16> {
        let job = self.rows.get(usize::from(id.slot))?;
        (job.generation == id.generation && job.state != State::Vacant).then_some(id.slot)
    }

    /// The job whose first process this is.
    pub(super) fn slot_of_pid(&self, pid: i32) -> Option<u16> {
        let slot = *self.by_number.get(&pid)?;
        self.state(slot).pid().is_some().then_some(slot)
    }

    /// The job whose group this is, when its first process is gone.
    pub(super) fn slot_of_group(&self, pgid: i32) -> Option<u16> {
        let slot = *self.by_number.get(&pgid)?;
        self.state(slot).pid().is_none().then_some(slot)
    }

    pub(super) fn is_any_alive(&self) -> bool {
        self.alive > 0
    }

    pub(super) fn due(&self, now: Instant) -> Option<u16> {
        self.deadlines.due(now)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}
