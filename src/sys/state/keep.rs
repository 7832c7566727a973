//! Keeps the state file where it belongs as long as pmtr runs.
//!
//! Whoever removes it, or its directory, lets a second pmtr start, and takes from the next one what
//! it has to know of running jobs. So pmtr notices ([`Presence`]), makes the file again with its lock
//! and the records of all jobs, and logs it. What cannot be made or written now is tried again every
//! [`RETRY`], and logged once.

use super::super::errno::Meaning;
use super::super::lock::{lock, Lock};
use super::super::poll::{Interest, Poller, Token};
use super::super::stat::fstat;
use super::super::std::os::fd::{AsFd, OwnedFd};
use super::super::std::prelude::v1::*;
use super::super::{clock, tell};
use super::here::{process, ticks_per_sec};
use super::place::Why;
use super::presence::{Hint, Presence};
use super::{put, Own, State, NAMES};
use crate::limits::MAX_JOBS;
use crate::name::Lossy;
use crate::process::{Process, Ticks};
use crate::state::{offset, Record, BLOCK_BYTES};
use crate::supervise::Supervisor;
use crate::time::Instant;
use core::fmt;
use core::time::Duration;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::off_t;
use nix::sys::uio::pread;

/// How long a directory is left alone from which the file was removed: to make that again would keep `rm -r` from
/// removing the directory, too.
const SETTLE: Duration = Duration::from_millis(10);

/// How soon something is tried again that did not work.
const RETRY: Duration = Duration::from_secs(10);

/// How often the file is looked at where inotify cannot be had.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a process that has just been made may take to write its record.
const BIRTH_SECS: u64 = 1;

/// What is known of the state file besides what is in it.
#[derive(Default)]
pub(super) struct Keep {
    presence: Option<Presence>,
    /// Watching does not work, which was logged.
    is_blind: bool,
    /// When it is to be looked at without an event.
    look_at: Option<Instant>,
    /// A file is gone, and is not made again before this.
    settled_at: Option<Instant>,
    /// It could not be made again, which was logged.
    is_lost: bool,
    /// Something could not be written, which was logged.
    is_failing: bool,
    /// Something could not be written since all was written last.
    is_incomplete: bool,
    /// The largest size that each file has had.
    sizes: [u64; NAMES],
}

/// What has happened to a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its path leads nowhere, or to another file.
    Gone,
    /// Another process has written to it.
    Damaged,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::Gone => "was removed or replaced",
            Loss::Damaged => "was overwritten",
        })
    }
}

impl State {
    /// Begins to watch the files, and lets `poller` know. For start-up.
    pub fn watch(&mut self, poller: &Poller) {
        self.lay(poller);
        if self.own.is_some() {
            self.keep.look_at = Some(clock::now());
        }
    }

    /// When [`look`](Self::look) is to be called if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        self.keep.look_at
    }

    /// Reads what has happened to the files; to be called when [`Token::State`] is ready. Allocates nothing.
    pub fn hear(&mut self, now: Instant) -> Result<(), Errno> {
        let Some(presence) = &self.keep.presence else { return Ok(()) };
        let hint = presence.read()?;
        let is_cause = match hint {
            Hint::Quiet => false,
            // Mostly pmtr itself has written.
            Hint::Written => (0..NAMES).any(|n| self.is_cut(n)),
            Hint::Touched => true,
        };
        if is_cause {
            self.keep.look_at = Some(now);
        }
        Ok(())
    }

    /// Looks after the files if it is time to. Returns true if it was. Allocates nothing.
    pub fn look(&mut self, now: Instant, supervisor: &Supervisor, poller: &Poller) -> bool {
        if !self.keep.look_at.is_some_and(|at| at <= now) {
            return false;
        }
        self.keep.look_at = self.keep.is_blind.then(|| now + LOOK_EVERY);
        for n in 0..NAMES {
            match self.loss(n, supervisor) {
                Some(Loss::Gone) if self.is_unsettled(now) => {}
                Some(loss) => self.repair(n, loss, supervisor, poller),
                None => {}
            }
        }
        if core::mem::take(&mut self.keep.is_incomplete) {
            (0..NAMES).for_each(|n| self.fill(n, supervisor));
        }
        let is_trouble = self.keep.is_lost || self.keep.is_incomplete;
        if is_trouble {
            self.keep.look_at.get_or_insert(now + RETRY);
        }
        true
    }

    /// Returns true if whoever has removed the file may be about to remove its directory.
    fn is_unsettled(&mut self, now: Instant) -> bool {
        let at = *self.keep.settled_at.get_or_insert(now + SETTLE);
        let is_unsettled = now < at && self.place.is_there();
        if is_unsettled {
            let next = self.keep.look_at.get_or_insert(at);
            *next = at.min(*next);
        }
        is_unsettled
    }

    fn fd(&self, n: usize) -> Option<&OwnedFd> {
        self.files[n].as_ref()?.fd.as_ref()
    }

    /// Returns true if another process has made the file shorter, or has overwritten its header. What cannot be
    /// seen now is looked at again.
    fn is_cut(&mut self, n: usize) -> bool {
        self.try_is_cut(n).unwrap_or_else(|_| {
            self.keep.look_at.get_or_insert(clock::now() + RETRY);
            false
        })
    }

    fn try_is_cut(&mut self, n: usize) -> Result<bool, Errno> {
        let (Some(file), Some(own)) = (self.fd(n), self.own) else { return Ok(false) };
        let size = fstat(file)?.st_size;
        let mut block = [0; BLOCK_BYTES];
        let is_whole = pread(file, &mut block, 0)? == BLOCK_BYTES;
        let is_cut = size < self.keep.sizes[n] || !is_whole || block != own.header.encode();
        self.keep.sizes[n] = size.max(self.keep.sizes[n]);
        Ok(is_cut)
    }

    /// What has happened to a file, if anything has.
    fn loss(&mut self, n: usize, supervisor: &Supervisor) -> Option<Loss> {
        let file = self.files[n].as_ref()?;
        let is_there = file.fd.as_ref().map_or(Ok(false), |fd| file.leads_to(fd));
        match is_there {
            Ok(true) => {}
            Ok(false) => return Some(Loss::Gone),
            Err(_) => {
                self.keep.look_at.get_or_insert(clock::now() + RETRY);
                return None;
            }
        }
        let own = self.own?;
        let is_damaged = self.is_cut(n) || self.lacks_record(n, &own, supervisor);
        is_damaged.then_some(Loss::Damaged)
    }

    fn lacks_record(&self, n: usize, own: &Own, supervisor: &Supervisor) -> bool {
        let now = Ticks::of(clock::now(), ticks_per_sec()).0;
        let is_born = |process: Process| process.started.0 + BIRTH_SECS * ticks_per_sec() < now;
        let is_recorded = |slot: u16, pid: i32| {
            let mut block = [0; BLOCK_BYTES];
            let file = self.fd(n)?;
            pread(file, &mut block, off_t::try_from(offset(slot)).ok()?).ok()?;
            let record = Record::decode(&block, &own.header.era, slot);
            Some(record.is_some_and(|record| record.pid == pid))
        };
        supervisor.sessions().any(|(job, pid)| {
            is_recorded(job.slot() as u16, pid) == Some(false) && process(pid).is_some_and(is_born)
        })
    }

    fn repair(&mut self, n: usize, loss: Loss, supervisor: &Supervisor, poller: &Poller) {
        let made = match loss {
            Loss::Gone => self.make(n),
            Loss::Damaged => Ok(()),
        };
        if made.is_ok() {
            self.fill(n, supervisor);
            self.lay(poller);
            // It may have gone again before it was watched.
            self.keep.look_at = Some(clock::now());
        }
        self.keep.settled_at = None;
        let Some(file) = &self.files[n] else { return };
        let path = Lossy(file.path().to_bytes());
        match made {
            Ok(()) => {
                tell::warning!("the state file {path} {loss}: it is made again");
                self.keep.is_lost = false;
            }
            Err(why) if !self.keep.is_lost => {
                tell::error!(
                    "the state file {path} {loss}, and cannot be made again: {why}; it is tried \
                     every {} seconds. If pmtr is killed, jobs will run twice",
                    RETRY.as_secs()
                );
                self.keep.is_lost = true;
            }
            Err(_) => {}
        }
    }

    /// Makes a file again, and locks it.
    fn make(&mut self, n: usize) -> Result<(), Why> {
        let Some(file) = &mut self.files[n] else { return Ok(()) };
        let dir = self.place.open()?;
        let opened = file.open(&dir, OFlag::O_CREAT)?;
        // If it is the same file after all, closing it unlocks it (fcntl(2)): first this, then the lock.
        file.fd = None;
        match lock(opened.as_fd()) {
            Lock::Taken => {}
            Lock::Held { pid } => return Err(Why::Held { pid }),
            Lock::Impossible(errno) => return Err(Why::Failed(errno)),
        }
        let is_there = file.leads_to(&opened);
        file.fd = Some(opened);
        self.keep.sizes[n] = 0;
        is_there?.then_some(()).ok_or(Why::Failed(Errno::ENOENT))
    }

    /// Writes all that a file is to have.
    fn fill(&mut self, n: usize, supervisor: &Supervisor) {
        let Some(own) = self.own else { return };
        let Some(file) = self.fd(n) else { return };
        let write = |block: &[u8; BLOCK_BYTES], at| put([Some(file.as_fd()), None], block, at);
        let era = &own.header.era;
        let mut written = write(&own.header.encode(), 0);
        for (job, pid) in supervisor.sessions() {
            let slot = job.slot() as u16;
            let record = process(pid).map(|process| record(supervisor, job, &process, &own));
            let block = record.map(|record| record.encode(era, slot));
            written = written.and(block.map_or(Ok(()), |block| write(&block, offset(slot))));
        }
        for (slot, record) in (MAX_JOBS as u16..).zip(&self.stay) {
            written = written.and(write(&record.encode(era, slot), offset(slot)));
        }
        self.complain_once(written);
    }

    /// Watches the files anew.
    fn lay(&mut self, poller: &Poller) {
        if self.own.is_none() {
            return;
        }
        let laid = Presence::new().and_then(|presence| {
            for file in self.files.iter().flatten() {
                presence.lay(file.path())?;
            }
            poller.add(presence.as_fd(), Token::State, Interest::Read)?;
            Ok(presence)
        });
        let was_blind = core::mem::replace(&mut self.keep.is_blind, laid.is_err());
        let is_gone = matches!(laid, Err(Errno::ENOENT | Errno::ENOTDIR));
        if let (Err(errno), false) = (&laid, was_blind || is_gone) {
            tell::warning!(
                "the state file cannot be watched ({}): looking at it every {} seconds",
                errno.meaning(),
                LOOK_EVERY.as_secs()
            );
        }
        self.keep.presence = laid.ok();
        if self.keep.is_blind {
            self.keep.look_at.get_or_insert(clock::now() + LOOK_EVERY);
        }
    }

    /// Logs the first error, and then the first after things have gone well again.
    pub(super) fn complain_once(&mut self, written: Result<(), Errno>) {
        if let Err(errno) = written {
            if !self.keep.is_failing {
                tell::warning!(
                    "cannot write to the state file: {}: if pmtr is killed, a job may run twice",
                    errno.meaning()
                );
            }
            self.keep.is_incomplete = true;
            self.keep.look_at.get_or_insert(clock::now() + RETRY);
        }
        self.keep.is_failing = written.is_err();
    }
}

/// The record of a job's process, whose start the kernel knows to a tick.
fn record(
    supervisor: &Supervisor,
    job: crate::supervise::JobId,
    process: &Process,
    own: &Own,
) -> Record {
    let nanos = |ticks: u64| u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_sec());
    let at = |ticks| Instant::from_nanos(nanos(ticks) as u64);
    let (before, after) = (at(process.started.0), at(process.started.0 + 1));
    Record::new(&supervisor.name(job), process.pid, before, after).shifted(-own.ahead)
}
