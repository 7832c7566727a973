//! Finding and stopping what a killed pmtr left. All of this is start-up.

use super::super::clock;
use super::super::std::{fmt, format, fs, io, io::Read, path::Path, prelude::v1::*, thread};
use crate::name::Name;
use crate::process::Process;
use crate::state::Record;
use core::time::Duration;
use nix::sys::signal::{kill, Signal};
use nix::unistd::{getpid, sysconf, Pid, SysconfVar};

/// From SIGTERM to SIGKILL, as for every job.
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

/// What is told of a leftover job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its first process is sent SIGTERM.
    Term,
    /// All that is left of its session is sent SIGKILL.
    Kill,
    /// Nothing is left.
    Gone,
    /// Something is left that SIGKILL does not end.
    Stays,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Leftover { name, pid, step } = self;
        match step {
            Step::Term => write!(f, "sending SIGTERM to job {name} [{pid}], left by a killed pmtr"),
            Step::Kill => write!(f, "sending SIGKILL to job {name} [{pid}], left by a killed pmtr"),
            Step::Gone => write!(f, "job {name} [{pid}], left by a killed pmtr, is gone"),
            Step::Stays => {
                write!(f, "job {name} [{pid}], left by a killed pmtr, cannot be stopped")
            }
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
pub(super) fn stop(records: Vec<Record>, report: &mut dyn FnMut(Leftover)) -> Stopped {
    let mut jobs: Vec<Job> = records.into_iter().map(Job::new).collect();
    let began = clock::now();
    let mut found = 0;
    while !jobs.is_empty() {
        let waited = clock::now().since(began);
        if let Ok(processes) = all_processes() {
            for job in &mut jobs {
                job.advance(&processes, waited, report);
            }
        }
        found += take_gone(&mut jobs);
        if waited > GRACE + PATIENCE {
            jobs.iter().for_each(|job| report(job.told(Step::Stays)));
            let stay: Vec<Record> = jobs.into_iter().map(|job| job.record).collect();
            return Stopped { count: found + stay.len(), stay };
        }
        thread::sleep(if jobs.is_empty() { Duration::ZERO } else { PAUSE });
    }
    Stopped { count: found, ..Stopped::default() }
}

/// Forgets what is gone; returns how much of it had been there.
fn take_gone(jobs: &mut Vec<Job>) -> usize {
    let gone = |job: &Job| job.missed >= Job::LOOKS;
    let were_there = jobs.iter().filter(|job| gone(job) && job.step.is_some()).count();
    jobs.retain(|job| !gone(job));
    were_there
}

/// A recorded job that may still be there.
struct Job {
    record: Record,
    /// What was done about it; none as long as nothing of it was seen.
    step: Option<Step>,
    /// How many times in a row nothing of it was seen.
    missed: u8,
}

impl Job {
    /// How often nothing is to be seen for something to be gone. Looking takes a
    /// while: a process can be made behind one's back by another that ends in front.
    const LOOKS: u8 = 2;

    fn new(record: Record) -> Self {
        Job { record, step: None, missed: 0 }
    }

    fn advance(
        &mut self,
        processes: &[Process],
        waited: Duration,
        report: &mut dyn FnMut(Leftover),
    ) {
        let remains = self.remains(processes);
        self.missed = if remains.is_empty() { self.missed + 1 } else { 0 };
        if self.missed == 0 {
            self.push(&remains, waited, report);
        } else if self.missed == Self::LOOKS && self.step.is_some() {
            report(self.told(Step::Gone));
        }
    }

    /// Does what is next.
    fn push(&mut self, remains: &[i32], waited: Duration, report: &mut dyn FnMut(Leftover)) {
        let first_runs = remains.contains(&self.record.pid);
        let step = match self.step {
            None if first_runs => Step::Term,
            Some(Step::Term) if first_runs && waited < GRACE => return,
            Some(_) | None => Step::Kill,
        };
        if self.step.replace(step) != Some(step) {
            report(self.told(step));
        }
        match step {
            Step::Term => send(self.record.pid, Signal::SIGTERM),
            Step::Kill | Step::Gone | Step::Stays => {
                remains.iter().for_each(|pid| send(*pid, Signal::SIGKILL))
            }
        }
    }

    /// This process may be of the session, if a leftover job has started it.
    fn remains(&self, processes: &[Process]) -> Vec<i32> {
        let this = getpid().as_raw();
        self.record.remains(processes, ticks_per_sec()).filter(|pid| *pid != this).collect()
    }

    fn told(&self, step: Step) -> Leftover {
        Leftover { name: self.record.name, pid: self.record.pid, step }
    }
}

/// What is gone meanwhile needs no signal; what may not be killed shows in that it stays.
fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// `_SC_CLK_TCK` of sysconf(3): 100 on all that Linux runs on but old Alphas.
fn ticks_per_sec() -> u64 {
    let known = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    known.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100)
}

/// Everything that runs, as /proc shows it.
fn all_processes() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        processes.extend(pid.and_then(process));
    }
    Ok(processes)
}

/// The process with an id; none if there is none.
pub(super) fn process(pid: i32) -> Option<Process> {
    process_at(format!("/proc/{pid}/stat"))
}

/// The process of a file such as /proc/self/stat.
pub(super) fn process_at(stat: impl AsRef<Path>) -> Option<Process> {
    let mut line = [0; PROC_BYTES];
    Process::parse(beginning(stat, &mut line)?)
}

/// More than there can be before the last field of /proc/PID/stat that matters.
pub(super) const PROC_BYTES: usize = 1024;

/// The beginning of a file of /proc, as far as it fits: fs::read would leave a
/// second page of the heap in use.
pub(super) fn beginning(path: impl AsRef<Path>, bytes: &mut [u8; PROC_BYTES]) -> Option<&[u8]> {
    let len = fs::File::open(path).ok()?.read(bytes).ok()?;
    Some(&bytes[..len])
}
