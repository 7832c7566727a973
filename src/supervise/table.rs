//! The rows of the jobs, found by slot, by process and by place in the configuration.

use core::mem::size_of;

use crate::index::{Index, Link, Linked};
use crate::limits::{MAX_JOBS, ROW_BYTES};
use crate::list::List;
use crate::name::Name;
use crate::supervise::cooldown::Cooldown;
use crate::supervise::deadlines::{Deadlines, Due};
use crate::supervise::job::{Depends, Job, State};
use crate::supervise::JobId;
use crate::time::Instant;

/// All jobs: those of the live configuration, and those taken out of it that
/// are still being stopped.
///
/// Everything that there is one of for each job stands in one array: every
/// further one would have a first page, even where there is only one job.
#[repr(C)]
pub(super) struct Table {
    /// How many jobs have, or may have, processes.
    alive: u16,
    /// The vacant row that is to be used next, plus one; 0: none below `rows.len()`.
    vacant: u16,
    /// By the number of the first process, or of the session that outlives it.
    by_number: Index,
    deadlines: Deadlines,
    rows: List<Row, MAX_JOBS>,
}

/// A job, and columns of what finds it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    job: Job,
    pub(super) due: Due,
    by_number: Link,
    /// Of a vacant row: the next one, plus one.
    vacant: u16,
}

const _: () = assert!(size_of::<Row>() <= ROW_BYTES);

impl Row {
    pub(super) const VACANT: Row = Row {
        job: Job {
            name: Name::NONE,
            generation: 0,
            spec: None,
            leaves: None,
            depends: Depends::Unknown,
            short_runs: 0,
            cooldown: Cooldown::None,
            state: State::Vacant,
        },
        due: Due::NONE,
        by_number: Link::NONE,
        vacant: 0,
    };
}

impl Linked for Row {
    fn link(&self) -> &Link {
        &self.by_number
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.by_number
    }
}

impl Table {
    pub(super) const fn new() -> Self {
        Table {
            alive: 0,
            vacant: 0,
            by_number: Index::new(),
            deadlines: Deadlines::new(),
            rows: List::new(Row::VACANT),
        }
    }

    /// Puts a job into a free row; `None`: there is none.
    pub(super) fn add(&mut self, name: Name, spec: u16, state: State) -> Option<u16> {
        let slot = self.free_row()?;
        let job = &mut self.rows[usize::from(slot)].job;
        job.name = name;
        job.spec = Some(spec);
        job.leaves = None;
        job.depends = Depends::Unknown;
        job.short_runs = 0;
        job.cooldown = Cooldown::None;
        job.generation = job.generation.wrapping_add(1);
        self.enter(slot, state);
        Some(slot)
    }

    fn free_row(&mut self) -> Option<u16> {
        if let Some(slot) = self.vacant.checked_sub(1) {
            self.vacant = self.rows[usize::from(slot)].vacant;
            return Some(slot);
        }
        self.rows.push(Row::VACANT).ok()?;
        Some(self.rows.len() as u16 - 1)
    }

    /// Frees a row.
    pub(super) fn vacate(&mut self, slot: u16) {
        self.enter(slot, State::Vacant);
        let row = &mut self.rows[usize::from(slot)];
        row.job.spec = None;
        row.vacant = core::mem::replace(&mut self.vacant, slot + 1);
    }

    /// The one way from state to state: keeps the deadlines and the processes right.
    pub(super) fn enter(&mut self, slot: u16, state: State) {
        let job = &mut self.rows[usize::from(slot)].job;
        let (old_number, was_alive) = (job.state.number(), job.state.is_alive());
        job.state = state;
        let (new_number, is_alive) = (state.number(), state.is_alive());
        self.deadlines.set(&mut self.rows, slot, state.deadline());
        if old_number != new_number {
            self.by_number.remove(&mut self.rows, usize::from(slot));
            self.learn_number(new_number, slot);
        }
        self.alive = self.alive + u16::from(is_alive) - u16::from(was_alive);
    }

    fn learn_number(&mut self, number: Option<i32>, slot: u16) {
        if let Some(number) = number {
            self.by_number.insert(&mut self.rows, usize::from(slot), number as u32);
        }
    }

    pub(super) fn job(&self, slot: u16) -> &Job {
        &self.rows[usize::from(slot)].job
    }

    pub(super) fn job_mut(&mut self, slot: u16) -> &mut Job {
        &mut self.rows[usize::from(slot)].job
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
        let job = &self.rows.get(usize::from(id.slot))?.job;
        (job.generation == id.generation && job.state != State::Vacant).then_some(id.slot)
    }

    /// The job whose first process this is.
    pub(super) fn slot_of_pid(&self, pid: i32) -> Option<u16> {
        self.slot_of_number(pid, |job| job.state.pid().is_some())
    }

    /// The job whose session this is, when its first process has ended.
    pub(super) fn slot_of_session(&self, sid: i32) -> Option<u16> {
        self.slot_of_number(sid, |job| job.state.pid().is_none())
    }

    fn slot_of_number(&self, number: i32, is_it: impl Fn(&Job) -> bool) -> Option<u16> {
        let found = self.by_number.find(&self.rows, number as u32, |row| is_it(&row.job));
        found.map(|row| row as u16)
    }

    pub(super) fn is_any_alive(&self) -> bool {
        self.alive > 0
    }

    pub(super) fn due(&self, now: Instant) -> Option<u16> {
        self.deadlines.due(&self.rows, now)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next(&self.rows)
    }
}
