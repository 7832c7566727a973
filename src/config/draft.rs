//! A job under construction, and how its strings get into the text block.

use super::cpu::CpuMask;
use super::lexer::Place;
use super::option::OPTION_COUNT;
use super::shell::Command;
use super::spec::{self, Config, JobSpec, Span};
use super::ulimit::RESOURCE_COUNT;
use crate::limits::{MAX_CPUS, TEXT_BYTES};

/// A list of strings of a job.
pub(super) type List = fn(&mut JobSpec) -> &mut Span;

/// A job that is being read, and what has to be known about it until its end.
pub(super) struct Draft {
    pub spec: JobSpec,
    /// Where its `job` stands.
    pub place: Place,
    /// The line of each option's first (of one that counts last: latest)
    /// mention, in the order of the table; 0 is none.
    pub lines: [u32; OPTION_COUNT],
    /// Which of them an unknown option is perhaps meant to be: a bit for each.
    pub hinted: u32,
    /// The line of the latest mention of each resource of `ulimit`; 0 is none.
    pub ulimit_lines: [u32; RESOURCE_COUNT],
    /// How many words `cmd` has.
    pub args: usize,
    /// What the words of `cmd` have told of it.
    pub command: Command,
    /// How many `env` there are.
    pub envs: usize,
    /// All `cpu` together.
    pub cpus: CpuMask,
}

impl Draft {
    /// A job that begins at `place`; `ulimits` is how many the configuration has already.
    pub fn new(place: Place, ulimits: usize) -> Self {
        let spec = JobSpec { line: place.line, first_ulimit: ulimits as u16, ..JobSpec::NONE };
        Draft {
            spec,
            place,
            lines: [0; OPTION_COUNT],
            hinted: 0,
            ulimit_lines: [0; RESOURCE_COUNT],
            args: 0,
            command: Command::default(),
            envs: 0,
            cpus: [0; MAX_CPUS / 8],
        }
    }
}

/// A table has no room.
pub(super) struct Full;

impl Config {
    /// Puts a string, and a NUL, before all others of the text block.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<Span, Full> {
        let at = self.make_room(bytes.len() + 1)?;
        self.put(at, bytes);
        Ok(Span { at: at as u32, len: bytes.len() as u32 })
    }

    /// Puts a string at the end of one of `job`'s lists.
    ///
    /// A list is one piece, in its order: it makes room by moving down, and with
    /// it what was kept since its first string. It is all of this job, so that
    /// the work has a bound.
    pub(super) fn append(
        &mut self,
        job: &mut JobSpec,
        list: List,
        bytes: &[u8],
    ) -> Result<(), Full> {
        if list(job).is_empty() {
            *list(job) = self.keep(bytes)?;
            return Ok(());
        }
        let (room, end) = (bytes.len() + 1, list(job).end());
        let at = self.make_room(room)?;
        self.text.copy_within(at + room..end, at);
        self.put(end - room, bytes);
        for span in job.spans() {
            if !span.is_empty() && (span.at as usize) < end {
                span.at -= room as u32;
            }
        }
        list(job).len += room as u32;
        Ok(())
    }

    /// Where the text begins now that so many bytes more of it are in use.
    fn make_room(&mut self, bytes: usize) -> Result<usize, Full> {
        let used = self.text_bytes as usize + bytes;
        let at = TEXT_BYTES.checked_sub(used).ok_or(Full)?;
        self.text_bytes = used as u32;
        Ok(at)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.text[at..][..bytes.len()].copy_from_slice(bytes);
        self.text[at + bytes.len()] = 0;
    }

    /// Adds a job behind the others.
    pub(super) fn add(&mut self, job: JobSpec) -> Result<(), Full> {
        let key = spec::hash(self.bytes(job.name));
        self.jobs.push(job).map_err(|_| Full)?;
        let at = self.jobs.len() - 1;
        self.by_name.insert(&mut self.jobs, at, key);
        Ok(())
    }

    /// Puts the jobs in the order of starting.
    pub(super) fn sort(&mut self) {
        self.jobs.sort_unstable_by_key(|job| (job.order, job.line));
        self.by_name.clear(&mut self.jobs);
        for at in 0..self.jobs.len() {
            let key = spec::hash(self.bytes(self.jobs[at].name));
            self.by_name.insert(&mut self.jobs, at, key);
        }
    }
}
