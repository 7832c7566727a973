//! The state file: one pmtr for each configuration, and every job once, even
//! when pmtr itself is killed.
//!
//! The file is locked as long as pmtr lives, so a second pmtr on the same
//! configuration learns who is first ([`State::open`]). Whoever removes the file, or its directory, takes
//! that away: it is made again at once (`keep`). It holds a record for
//! every running job ([`crate::state`]), so the next pmtr finds what a killed
//! one left, and stops it before it starts the jobs anew
//! ([`State::stop_leftovers`]).
//!
//! They are stopped, and not taken over: the pipes through which they wrote to
//! the log lost their reader together with pmtr, so the next line that they
//! print ends them by SIGPIPE or is lost; and who is not their parent does not
//! learn how they end. A job that is started anew is as the file wants it.
//!
//! As process 1 there is nothing to find: the kernel ends a PID namespace with
//! its process 1 (pid_namespaces(7)).

mod claim;
mod here;
mod keep;
mod leftovers;
mod place;
mod presence;

pub use keep::Loss;
pub use leftovers::{Leftover, Step};
pub use place::{Warning, Why};

use super::clock;
use super::daemon::is_process_one;
use super::std::{
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    prelude::v1::*,
    thread, vec,
};
use crate::limits::MAX_JOBS;
use crate::name::Name;
use crate::state::{offset, Era, Header, Record, BLOCK_BYTES};
use crate::time::Instant;
use claim::Claim;
use core::time::Duration;
use here::{process, Here};
use keep::Keep;
use leftovers::Left;
use nix::errno::Errno;
use nix::libc::off_t;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{ftruncate, getpid, getppid};
use place::{Place, StateFile};

/// How many names a configuration can have: the given one, and the one behind all links.
const NAMES: usize = 2;

/// The state file of a configuration, held by this pmtr.
///
/// Where the configuration is a symbolic link there are two: one by the
/// link's name, which stays when the link is changed to point elsewhere, and
/// one by the file's, which others may use to name it. Both say the same.
pub struct State {
    place: Place,
    files: [Option<StateFile>; NAMES],
    /// None where processes cannot be told apart: nothing is recorded.
    own: Option<Own>,
    left: Left,
    /// What could not be stopped, and stays recorded.
    stay: Vec<Record>,
    warning: Option<Warning>,
    keep: Keep,
}

/// What this pmtr writes of itself.
#[derive(Clone, Copy)]
struct Own {
    header: Header,
    /// As [`Here::ahead`].
    ahead: i64,
}

impl State {
    /// Opens or creates the state file of `config` in `dir`, or in the
    /// directory of this user, and locks it for as long as the process lives.
    ///
    /// Where that cannot be, the result is a state that records nothing, and
    /// has a [`warning`](Self::warning). To be called in the process that will
    /// supervise, as locks of fcntl(2) do not survive a fork.
    pub fn open(dir: Option<&Path>, config: &Path) -> Result<State, Refused> {
        let here = Here::look();
        let mut state = State::without_file(dir);
        match state.claim(config, here.as_ref().map(|here| &here.era)) {
            Ok(None) => state.take_over(here),
            Ok(Some(refused)) => return Err(refused),
            Err(warning) => {
                state = State { warning: Some(warning), ..State::without_file(dir) };
            }
        }
        Ok(state)
    }

    /// Why jobs that a killed pmtr leaves will not be found, if so: to be
    /// logged. Process 1 leaves none.
    pub fn warning(&self) -> Option<&Warning> {
        self.warning.as_ref().filter(|_| !is_process_one())
    }

    /// Stops what a killed pmtr has left of its jobs, and waits for its end, as a running job is stopped: SIGTERM to
    /// each job's first process, then to what that leaves of its session, and SIGKILL to all of
    /// it ten seconds after the first SIGTERM. Reports each step, and returns how many jobs there were.
    ///
    /// For start-up: takes up to 15 seconds, in which it does nothing but look and `pause`. What cannot
    /// be killed by then (uninterruptible, or not permitted) is reported, and left for the next pmtr to try.
    pub fn stop_leftovers(
        &mut self,
        report: &mut dyn FnMut(Leftover),
        pause: &mut dyn FnMut(Duration),
    ) -> usize {
        let mut left = core::mem::take(&mut self.left);
        if is_process_one() {
            left = Left::default();
        }
        let ahead = self.own.map_or(0, |own| own.ahead);
        let stopped = leftovers::stop(left, report, pause);
        self.stay = stopped.stay.into_iter().map(|record| record.shifted(-ahead)).collect();
        self.forget_all_but_what_stays();
        stopped.count
    }

    /// Old records name processes which are no more. Those of what is there still are kept behind
    /// the records of all jobs, where no job's will be written.
    fn forget_all_but_what_stays(&mut self) {
        let end = BLOCK_BYTES as u64;
        let Some(own) = &self.own else { return };
        let slots = MAX_JOBS as u16..;
        let written = slots.zip(&self.stay).try_fold(end, |_, (slot, record)| {
            put(self.files(), &record.encode(&own.header.era, slot), offset(slot))?;
            Ok(offset(slot + 1))
        });
        self.complain_once(written.map(drop));
        if !self.stay.is_empty() {
            (0..MAX_JOBS as u16).for_each(|slot| self.write(slot, &[0; BLOCK_BYTES]));
        }
        for file in self.files().into_iter().flatten() {
            let _ = ftruncate(file, written.unwrap_or(end) as off_t);
        }
    }

    /// Records that the job in `slot` was started: `pid` was made after `before` and before
    /// `after`. Allocates nothing. The first error is logged, and then the
    /// first after things have gone well again.
    pub fn started(&mut self, slot: u16, name: &Name, pid: i32, before: Instant, after: Instant) {
        let written = self.entry(slot, name).write(pid, before, after);
        self.complain_once(written);
    }

    /// Records that the job in `slot` has ended. As for [`started`](Self::started).
    pub fn ended(&mut self, slot: u16) {
        let end = self.own.map_or([0; BLOCK_BYTES], |own| {
            let now = clock::now().on_clock(-own.ahead);
            Record::encode_end(now, &own.header.era, slot)
        });
        self.write(slot, &end);
    }

    fn write(&mut self, slot: u16, block: &[u8; BLOCK_BYTES]) {
        let written = put(self.files(), block, offset(slot));
        self.complain_once(written);
    }

    /// The place for a record of the job in `slot`, to be handed to the job's process.
    pub fn entry<'a>(&'a self, slot: u16, name: &Name) -> Entry<'a> {
        Entry { files: self.files(), own: self.own, slot, name: *name }
    }

    fn without_file(dir: Option<&Path>) -> State {
        State {
            place: Place::new(dir),
            files: [None, None],
            own: None,
            left: Left::default(),
            stay: vec![],
            warning: None,
            keep: Keep::default(),
        }
    }

    fn files(&self) -> [Option<BorrowedFd<'_>>; NAMES] {
        fn fd(file: &Option<StateFile>) -> Option<BorrowedFd<'_>> {
            file.as_ref()?.fd.as_ref().map(AsFd::as_fd)
        }
        let [given, real] = &self.files;
        [fd(given), fd(real)]
    }

    /// Opens and locks the files by both names.
    fn claim(&mut self, config: &Path, era: Option<&Era>) -> Result<Option<Refused>, Warning> {
        for (file, base) in self.files.iter_mut().zip(place::names(config)) {
            match claim::claim(&self.place, &base, config, era)? {
                Claim::Taken(taken) => *file = Some(taken),
                Claim::Held { pid } => {
                    return Ok(Some(Refused::Held { config: config.into(), pid }))
                }
            }
        }
        Ok(None)
    }

    /// Reads what the pmtr before this one wrote, and writes this one's header.
    fn take_over(&mut self, here: Option<Here>) {
        let Some(Here { era, this, ahead }) = here else {
            self.warning = Some(Warning::NoProc);
            return;
        };
        let started = this.started;
        let own = Own { header: Header { era, pid: this.pid, started }, ahead };
        self.own = Some(own);
        for n in 0..NAMES {
            let Some(file) = self.files[n].as_ref().and_then(|file| file.fd.as_ref()) else {
                continue;
            };
            self.left.read(file, &own);
            let written = put([Some(file.as_fd()), None], &own.header.encode(), 0);
            self.complain_once(written);
        }
        self.left.sort();
    }

    /// A job's process could not [write its own record](Entry::write_own).
    pub fn unrecorded(&mut self, errno: Errno) {
        self.complain_once(Err(errno));
    }
}

/// Where a job's record goes; see [`State::entry`].
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    files: [Option<BorrowedFd<'a>>; NAMES],
    own: Option<Own>,
    slot: u16,
    name: Name,
}

impl Entry<'_> {
    /// Writes the record. Async-signal-safe (signal-safety(7)).
    pub fn write(&self, pid: i32, before: Instant, after: Instant) -> Result<(), Errno> {
        let Some(own) = &self.own else { return Ok(()) };
        let record = Record::new(&self.name, pid, before, after).shifted(-own.ahead);
        put(self.files, &record.encode(&own.header.era, self.slot), offset(self.slot))
    }

    /// Writes the record of the calling process, a child that `supervisor` has
    /// forked after `before`, and that has done nothing yet. `ESRCH` if the
    /// supervisor was killed: then the child is to go, too.
    ///
    /// Only so there is no moment in which a job exists without a record: until the
    /// record is written the child dies with its parent (`PR_SET_PDEATHSIG`,
    /// prctl(2)). Async-signal-safe.
    pub fn write_own(&self, supervisor: i32, before: Instant) -> Result<(), Errno> {
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid().as_raw() != supervisor {
            return Err(Errno::ESRCH);
        }
        let written = self.write(getpid().as_raw(), before, clock::now());
        set_pdeathsig(None)?;
        written
    }
}

/// Writes a block into all files; the first error counts.
fn put(
    files: [Option<BorrowedFd<'_>>; NAMES],
    block: &[u8; BLOCK_BYTES],
    at: u64,
) -> Result<(), Errno> {
    let at = off_t::try_from(at).map_err(|_| Errno::EFBIG)?;
    let write = |file| loop {
        match pwrite(file, block, at) {
            Ok(BLOCK_BYTES) => return Ok(()),
            Ok(_) => return Err(Errno::ENOSPC),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    };
    let mut result = Ok(());
    for file in files.into_iter().flatten() {
        result = result.and(write(file));
    }
    result
}

/// Who wrote a file; none if it is not of this version.
fn header(file: &OwnedFd) -> Option<Header> {
    blocks(file).next().and_then(|block| Header::decode(&block))
}

/// Waits until the pmtr that held the file before is gone. Its lock is already,
/// but only when it is a zombie have its children been sent their signal
/// ([`Entry::write_own`]), and can no record be added. (One that has become
/// this pmtr by execve(2) has the same process.)
fn wait_for(header: &Header) {
    if header.pid == getpid().as_raw() {
        return;
    }
    for _ in 0..100 {
        match process(header.pid) {
            Some(process) if process.started == header.started && !process.ended => {
                thread::sleep(Duration::from_millis(10));
            }
            Some(_) | None => return,
        }
    }
}

/// The blocks of the file, one after the other: a buffer for all of it would be
/// most of what pmtr ever allocates.
fn blocks(file: &OwnedFd) -> impl Iterator<Item = [u8; BLOCK_BYTES]> + '_ {
    let starts = (0..).step_by(BLOCK_BYTES);
    starts.map_while(move |at| {
        let mut block = [0; BLOCK_BYTES];
        matches!(pread(file, &mut block, at), Ok(BLOCK_BYTES)).then_some(block)
    })
}

/// Why pmtr is not to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another pmtr runs this configuration.
    Held {
        /// The configuration, as it was named.
        config: PathBuf,
        /// Which; 0 if it is not of this process's PID namespace.
        pid: i32,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused::Held { config, pid } = self;
        write!(f, "pmtr is already running on {}", config.display())?;
        match pid {
            0 => Ok(()),
            pid => write!(f, " (pid {pid})"),
        }
    }
}
