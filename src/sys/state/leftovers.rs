//! Finding and stopping what a killed pmtr left. All of this is start-up.

use super::super::clock;
use super::super::sessions::Processes;
use super::super::std::os::fd::OwnedFd;
use super::super::std::{fmt, prelude::v1::*};
use super::here::ticks_per_sec;
use super::{blocks, header, wait_for, Own};
use crate::name::Name;
use crate::process::Process;
use crate::state::{Owner, Record};
use crate::time::Instant;
use core::time::Duration;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::getpid;

/// From the first SIGTERM to SIGKILL, as for every job.
const GRACE: Duration = Duration::from_secs(10);

/// From SIGKILL to giving up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at all processes.
const PAUSE: Duration = Duration::from_millis(20);

/// A step in stopping a job that a killed pmtr left: as text, a line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The job; only the beginning of a long name.
    pub name: Name,
    /// Its first process.
    pub pid: i32,
    /// What is done now, or has happened.
    pub step: Step,
}

/// What is reported of a leftover job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its first process is sent SIGTERM.
    Term,
    /// Its first process is gone; what is left of its session is sent SIGTERM.
    TermRest,
    /// All that is left of its session is sent SIGKILL.
    Kill,
    /// Nothing is left.
    Gone,
    /// Something is left that SIGKILL does not end.
    Stays,
    /// A session of its number runs, and nothing proves that it is the job's.
    Doubtful,
    /// An older pmtr recorded it, too vaguely to end anything.
    Old,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Leftover { name, pid, step } = self;
        let before = match step {
            Step::Term => "sending SIGTERM to ",
            Step::TermRest => "sending SIGTERM to what is left of ",
            Step::Kill => "sending SIGKILL to ",
            Step::Gone | Step::Stays | Step::Doubtful | Step::Old => "",
        };
        let after = match step {
            Step::Term | Step::TermRest | Step::Kill => "",
            Step::Gone => ", is gone",
            Step::Stays => ", cannot be stopped",
            Step::Doubtful => {
                ": a session of this number is left alone, as nothing proves that it is the job's; \
                 the job may run twice"
            }
            Step::Old => {
                ", is recorded by an older version: it is left alone, and the job may run twice"
            }
        };
        write!(f, "{before}job {name} [{pid}], left by a killed pmtr{after}")
    }
}

/// What is recorded of a killed pmtr, on this time namespace's clock.
pub(super) struct Left {
    records: Vec<Record>,
    /// A moment at which that pmtr lived.
    alive: Instant,
    /// The records of an older version.
    old: Vec<Record>,
}

impl Default for Left {
    fn default() -> Self {
        Left { records: Vec::new(), alive: Instant::BOOT, old: Vec::new() }
    }
}

impl Left {
    /// Reads a file. The header tells whether there may be more in a moment.
    pub(super) fn read(&mut self, file: &OwnedFd, own: &Own) {
        let era = &own.header.era;
        if let Some(header) = header(file).filter(|header| header.era == *era) {
            wait_for(&header);
        }
        let here = |record: Record| record.shifted(own.ahead);
        self.records.extend(Record::all(blocks(file), era).map(here));
        let alive = Record::last_sign(blocks(file), era).on_clock(own.ahead);
        self.alive = self.alive.max(alive);
        self.old.extend(Record::all_of_version_1(blocks(file), era));
    }

    /// Both files of a configuration say the same.
    pub(super) fn sort(&mut self) {
        for records in [&mut self.records, &mut self.old] {
            records.sort_unstable_by_key(|record| (record.pid, record.before));
            records.dedup();
        }
    }
}

/// What became of the recorded jobs.
#[derive(Default)]
pub(super) struct Stopped {
    /// How many of them were there.
    pub(super) count: usize,
    /// Those that could not be stopped.
    pub(super) stay: Vec<Record>,
}

/// Stops what is left of the recorded jobs.
pub(super) fn stop(
    left: Left,
    report: &mut dyn FnMut(Leftover),
    pause: &mut dyn FnMut(Duration),
) -> Stopped {
    report_old(&left.old, report);
    let alive = left.alive;
    let mut jobs: Vec<Job> =
        left.records.into_iter().map(|record| Job::new(record, alive)).collect();
    let began = clock::now();
    let mut found = 0;
    while !jobs.is_empty() {
        let waited = clock::now().since(began);
        let proc = Processes::open();
        let seen = proc.and_then(|proc| all(&proc).map(|seen| (proc, seen)));
        if let Ok((proc, seen)) = seen {
            jobs.iter_mut().for_each(|job| job.advance(&proc, &seen, waited, report));
        }
        found += take_gone(&mut jobs);
        if waited > GRACE + PATIENCE {
            jobs.iter().for_each(|job| report(job.reported(Step::Stays)));
            let stay: Vec<Record> = jobs.into_iter().map(|job| job.record).collect();
            return Stopped { count: found + stay.len(), stay };
        }
        pause(if jobs.is_empty() { Duration::ZERO } else { PAUSE });
    }
    Stopped { count: found, ..Stopped::default() }
}

/// Nothing is ended because of a record of an older version, and no job of it is doubled without a word.
fn report_old(old: &[Record], report: &mut dyn FnMut(Leftover)) {
    if old.is_empty() {
        return;
    }
    let seen = Processes::open().and_then(|proc| all(&proc)).unwrap_or_default();
    for record in old.iter().filter(|record| record.remains(&seen).next().is_some()) {
        report(Leftover { name: record.name, pid: record.pid, step: Step::Old });
    }
}

/// Forgets what is gone or nobody's business; returns how much of it had been there.
fn take_gone(jobs: &mut Vec<Job>) -> usize {
    let gone = |job: &Job| job.missed >= Job::LOOKS || job.doubted >= Job::LOOKS;
    let were_there = jobs.iter().filter(|job| gone(job) && job.step.is_some()).count();
    jobs.retain(|job| !gone(job));
    were_there
}

/// A recorded job that may still be there.
struct Job {
    record: Record,
    /// When the killed pmtr is known to have lived; the end of time once the session was found to be the job's.
    alive: Instant,
    /// What was done about it; none as long as nothing of it was seen.
    step: Option<Step>,
    /// After what time the first SIGTERM was sent.
    asked_at: Duration,
    /// What has been sent SIGTERM.
    asked: Vec<Process>,
    /// How many times in a row nothing of it was seen.
    missed: u8,
    /// How many times in a row it was not to be told whose its session is.
    doubted: u8,
}

impl Job {
    /// How often nothing is to be seen for something to be gone. Looking takes a
    /// while: a process can be made behind one's back by another that ends in front.
    const LOOKS: u8 = 2;

    fn new(record: Record, alive: Instant) -> Self {
        let (asked_at, asked) = (Duration::ZERO, Vec::new());
        Job { record, alive, step: None, asked_at, asked, missed: 0, doubted: 0 }
    }

    fn advance(
        &mut self,
        proc: &Processes,
        processes: &[Process],
        waited: Duration,
        report: &mut dyn FnMut(Leftover),
    ) {
        let owner = self.record.owner(processes, ticks_per_sec(), self.alive);
        let remains = if owner == Owner::Job { self.remains(processes) } else { Vec::new() };
        self.doubted = if owner == Owner::Unknown { self.doubted + 1 } else { 0 };
        let is_missed = remains.is_empty() && owner != Owner::Unknown;
        self.missed = if is_missed { self.missed + 1 } else { 0 };
        if !remains.is_empty() {
            // It stays the job's while there is anything of it.
            self.alive = Instant::from_nanos(u64::MAX);
            self.push(proc, &remains, waited, report);
        } else if self.missed == Self::LOOKS && self.step.is_some() {
            report(self.reported(Step::Gone));
        } else if self.doubted == Self::LOOKS {
            report(self.reported(Step::Doubtful));
        }
    }

    /// Does what is next.
    fn push(
        &mut self,
        proc: &Processes,
        remains: &[Process],
        waited: Duration,
        report: &mut dyn FnMut(Leftover),
    ) {
        let first = remains.iter().find(|process| process.pid == self.record.pid);
        let step = match self.step {
            Some(_) if waited >= self.asked_at + GRACE => Step::Kill,
            Some(_) | None if first.is_some() => Step::Term,
            Some(_) | None => Step::TermRest,
        };
        if self.step.is_none() {
            self.asked_at = waited;
        }
        if self.step.replace(step) != Some(step) {
            report(self.reported(step));
        }
        match (step, first) {
            (Step::Kill, _) => {
                remains.iter().for_each(|process| proc.send(*process, Signal::SIGKILL))
            }
            (_, Some(first)) => self.ask(proc, first),
            (_, None) => remains.iter().for_each(|process| self.ask(proc, process)),
        }
    }

    fn ask(&mut self, proc: &Processes, process: &Process) {
        let is_same =
            |asked: &Process| (asked.pid, asked.started) == (process.pid, process.started);
        if !self.asked.iter().any(is_same) {
            self.asked.push(*process);
            proc.send(*process, Signal::SIGTERM);
        }
    }

    /// This process may be of the session, if a leftover job has started it.
    fn remains(&self, processes: &[Process]) -> Vec<Process> {
        let this = getpid().as_raw();
        self.record.remains(processes).filter(|process| process.pid != this).copied().collect()
    }

    fn reported(&self, step: Step) -> Leftover {
        Leftover { name: self.record.name, pid: self.record.pid, step }
    }
}

/// Everything that runs, as /proc shows it.
fn all(processes: &Processes) -> Result<Vec<Process>, Errno> {
    let mut all = Vec::new();
    processes.each(|process| all.push(process))?;
    Ok(all)
}
