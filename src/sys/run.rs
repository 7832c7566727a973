//! The loop: waits for events, hands them to the supervisor, does what it says.

use super::config_file::ConfigFile;
use super::daemon::is_process_one;
use super::errno::Meaning;
use super::looks::Unfinished;
use super::poll::{Interest, Poller, Ready, Token};
use super::rest::Rest;
use super::signals::{Request, Signals};
use super::spawn::{self, Report, Spawner};
use super::state::State;
use super::std::boxed::Box;
use super::std::os::fd::AsFd;
use super::std::prelude::v1::*;
use super::std::sync::MutexGuard;
use super::std::{env, ffi::CString, io, os::unix::ffi::OsStringExt};
use super::streams::{StreamId, Streams};
use super::tables::{self, Files};
use super::tell;
use super::timer::Timer;
use super::trouble::{Part, Troubles};
use super::udp::Udp;
use super::{clock, heap, log, pages, reap, sessions};
use crate::limits::ACTIONS_PER_TURN;
use crate::name::Name;
use crate::short::Short;
use crate::supervise::{Action, Errno, Event, ExitStatus, JobId, Stage, StopSignal, Supervisor};
use crate::time::Instant;
use core::time::Duration;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;

/// How long the log may take what is still on its way to it when all jobs are
/// gone; a log that does not read must not keep pmtr from leaving.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Everything that the loop works with.
pub struct Shell {
    pub(super) supervisor: MutexGuard<'static, Supervisor>,
    streams: MutexGuard<'static, Streams>,
    pub(super) poller: Poller,
    pub(super) signals: Signals,
    timer: Timer,
    spawner: Spawner,
    pub(super) files: MutexGuard<'static, Files>,
    /// On the heap, of which a page is in use anyway; the stack may need one more for it.
    pub(super) udp: Box<Udp>,
    pub(super) state: State,
    pub(super) config: ConfigFile,
    /// Where relative paths of jobs without a `dir` start.
    pub(super) cwd: CString,
    rest: Rest,
    /// Set when all is gone: until when the log is waited for.
    leaving: Option<Instant>,
    troubles: Troubles,
    /// There may be children that have ended and were not taken in.
    is_unreaped: bool,
    /// Processes whose parent ends become children of pmtr.
    is_adopting: bool,
    /// The configuration could not be read, for a reason that passes, which was told.
    pub(super) is_unread: bool,
    /// Something was done that may have taken more of the stack than waiting does.
    pub(super) was_deep: bool,
}

impl Shell {
    /// Opens what the loop needs; from here on all signals are blocked. For start-up.
    pub fn new(
        supervisor: MutexGuard<'static, Supervisor>,
        streams: MutexGuard<'static, Streams>,
        mut files: MutexGuard<'static, Files>,
        state: State,
        config: ConfigFile,
        limits: spawn::Inherited,
    ) -> io::Result<Self> {
        let is_adopting = adopt_orphans();
        files.watch.start();
        let mut shell = Shell {
            supervisor,
            streams,
            poller: Poller::new()?,
            signals: Signals::new()?,
            timer: Timer::new()?,
            spawner: Spawner::new(limits)?,
            files,
            udp: Box::new(Udp::new()),
            state,
            config,
            cwd: current_dir()?,
            rest: Rest::default(),
            leaving: None,
            troubles: Troubles::new(),
            is_unreaped: false,
            is_adopting,
            is_unread: false,
            was_deep: true,
        };
        shell.register()?;
        shell.state.watch(&shell.poller);
        Ok(shell)
    }

    /// Makes the poller know what to wait for.
    fn register(&self) -> Result<(), nix::errno::Errno> {
        self.poller.add(self.signals.as_fd(), Token::Signals, Interest::Read)?;
        self.poller.add(self.timer.as_fd(), Token::Timer, Interest::Read)?;
        self.poller.add(self.spawner.failures(), Token::Failures, Interest::Read)?;
        match self.files.watch.fd() {
            Some(fd) => self.poller.add(fd, Token::Watch, Interest::Read),
            None => Ok(()),
        }
    }

    /// Supervises until it was told to leave and all jobs are gone.
    ///
    /// Not inlined: what the loop takes of the stack is not needed before, and what
    /// its parts take is not needed while it waits.
    #[inline(never)]
    pub fn run(&mut self) {
        pages::give_back_heap();
        heap::seal();
        let mut ready = Ready::new();
        while let Some(is_more) = self.turn() {
            self.wait(&mut ready, is_more);
            self.look();
        }
    }

    /// Does what is to be done before the next events. Returns whether there is more; None: it is over.
    #[inline(never)] // as `run`
    fn turn(&mut self) -> Option<bool> {
        let is_more_to_do = self.act();
        let now = clock::now();
        if self.rest.look(now) {
            self.leave(now);
        }
        self.was_deep |= self.state.look(now, &self.supervisor, &self.poller);
        self.udp.turn(now, &self.supervisor, &self.poller, is_more_to_do);
        let is_more_to_read = self.streams.turn(now, &self.poller);
        self.hear_of_streams();
        log::flush(now, Some(&self.poller));
        (!self.is_over(now)).then_some(is_more_to_read || is_more_to_do)
    }

    /// Waits for events, but not while there is more to do, and hears them.
    fn wait(&mut self, ready: &mut Ready, is_more: bool) {
        if let Some(armed) = self.timer.arm(self.next_deadline()) {
            self.troubles.note(Part::Alarm, armed);
        }
        // What failed is not waited for: it may not be told of again.
        let is_to_be_retried = self.troubles.rest();
        let is_idle = !is_more && !is_to_be_retried;
        if is_idle && core::mem::take(&mut self.was_deep) {
            pages::give_back_stack();
            tables::give_back_datagram();
        }
        let found = self.poller.wait(ready, is_idle);
        let found = self.troubles.note(Part::Wait, found).unwrap_or(0);
        for n in 0..found {
            self.on_ready(ready.token(n));
        }
        if self.is_unreaped {
            self.reap();
        }
    }

    fn hear_of_streams(&mut self) {
        let (name, result) = self.streams.take_fault();
        self.troubles.note(Part::Output(name), result);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let supervisor = self.supervisor.next_deadline();
        let rest =
            [self.files.watch.deadline(), self.streams.deadline(), log::deadline(), self.leaving];
        let last = [supervisor, self.udp.deadline(), self.rest.deadline(), self.state.deadline()];
        rest.into_iter().chain(last).flatten().min()
    }

    fn is_over(&self, now: Instant) -> bool {
        let is_told = !log::is_taken() || (self.streams.is_quiet() && log::is_empty());
        self.leaving.is_some_and(|until| is_told || until <= now)
    }

    #[inline(never)] // as `run`
    fn on_ready(&mut self, token: Token) {
        let now = clock::now();
        // Lines of jobs alone do not need much, and come often.
        let is_shallow =
            matches!(token, Token::Stream(_) | Token::State | Token::Syslog | Token::Stderr);
        self.was_deep |= !is_shallow;
        match token {
            Token::Signals => self.on_signals(now),
            Token::Timer => {
                let cleared = self.timer.clear();
                self.troubles.note(Part::Timer, cleared);
            }
            Token::Failures => {
                self.hear_failures(now);
            }
            Token::Watch => {
                let read = self.files.watch.read(now);
                self.troubles.note(Part::Watch, read);
            }
            Token::Mounts => self.files.watch.on_mounts(now),
            Token::Syslog | Token::Stderr | Token::Lookout => log::ready(token, now, &self.poller),
            Token::State => {
                let heard = self.state.hear(now);
                self.troubles.note(Part::State, heard);
            }
            Token::Udp(position) => self.udp.ready(position, &mut self.supervisor, now),
            Token::Stream(row) => self.streams.readable(row),
        }
    }

    /// Hears signals while the start waits, for at most `pause`. One that ends pmtr is logged at once; what else
    /// they ask for comes of itself when the loop begins.
    pub(super) fn hear_while_starting(
        signals: &Signals,
        supervisor: &mut Supervisor,
        pause: Duration,
    ) {
        log::flush(clock::now(), None);
        let mut ready = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut ready, timeout);
        while let Ok(Some(request)) = signals.next() {
            if let Request::Leave(signal) = request {
                supervisor.handle(clock::now(), Event::Shutdown { signal });
                log::flush(clock::now(), None);
            }
        }
    }

    fn on_signals(&mut self, now: Instant) {
        self.was_deep = true;
        while let Some(Some(request)) = self.troubles.note(Part::Signals, self.signals.next()) {
            match request {
                Request::Reap => self.reap(),
                Request::Reload => self.reload(),
                Request::Leave(signal) => {
                    self.supervisor.handle(now, Event::Shutdown { signal });
                }
            }
        }
    }

    // Doing.

    /// Does what is to be done now, or a part of it. Returns whether there is more.
    #[inline(never)] // as `run`
    fn act(&mut self) -> bool {
        for _ in 0..ACTIONS_PER_TURN {
            let now = clock::now();
            match self.supervisor.poll(now) {
                Some(action) => self.perform(now, action),
                None => return false,
            }
        }
        true
    }

    fn perform(&mut self, now: Instant, action: Action) {
        self.was_deep = true;
        match action {
            Action::Spawn { job } => self.spawn(job),
            Action::Look { job } => self.tell_digest(job, Unfinished::IsMissing),
            Action::Signal { pid, signal, again } => self.signal(now, pid, signal, again),
            Action::EndSession { job, sid, signal } => self.end_session(job, sid, signal),
            Action::LeaveSession { job, sid } => self.on_session_gone(job, sid),
            Action::Exit if self.rest.ask(now) => self.leave(now),
            Action::Exit => {}
        }
    }

    fn leave(&mut self, now: Instant) {
        self.leaving = Some(now + LAST_WORDS);
    }

    fn spawn(&mut self, job: JobId) {
        let event = match self.try_spawn(job) {
            Ok(pid) => Event::Spawned { job, pid },
            Err(errno) => Event::SpawnFailed { job, errno },
        };
        self.supervisor.handle(clock::now(), event);
    }

    /// A process for the job, with a pipe to the log if any of its output goes there.
    fn try_spawn(&mut self, job: JobId) -> Result<i32, Errno> {
        const GONE: Errno = Errno { code: 0, text: Short::new("the job is gone") };
        let spec = self.supervisor.spec(job).ok_or(GONE)?;
        let name = self.supervisor.name(job);
        let entry = self.state.entry(job.slot() as u16, &name);
        if spec.out().is_some() && spec.err().is_some() {
            return self.spawner.spawn(spec, None, Some(entry));
        }
        let opened = self.streams.open(name, &self.poller);
        let (stream, log) = opened.map_err(super::errno)?;
        let spawned = self.spawner.spawn(spec, Some(log.as_fd()), Some(entry));
        if spec.drops_log() {
            self.streams.drops(stream);
        }
        self.note_spawn(stream, &spawned);
        spawned
    }

    fn note_spawn(&mut self, stream: StreamId, spawned: &Result<i32, Errno>) {
        match spawned {
            Ok(pid) => self.streams.started(stream, *pid),
            Err(_) => self.streams.cancel(stream, &self.poller),
        }
    }

    /// The first time that one cannot be sent is told.
    fn signal(&mut self, now: Instant, pid: i32, signal: StopSignal, again: bool) {
        let Err(errno) = reap::signal(pid, number(signal)) else { return };
        if !again {
            let job = self.supervisor.job_of(pid);
            let name = job.map_or(Name::NONE, |job| self.supervisor.name(job));
            tell::error!("job {name} [{pid}]: cannot send {}: {errno}", number(signal));
        }
        self.supervisor.handle(now, Event::Unsent { pid });
    }

    fn end_session(&mut self, job: JobId, sid: i32, signal: Option<StopSignal>) {
        let ended = sessions::end(sid, signal.map(number));
        if self.troubles.note(Part::Sessions, ended) == Some(false) {
            self.on_session_gone(job, sid);
        }
    }

    /// Nothing of the session counts any more: its number may be that of another process.
    fn on_session_gone(&mut self, job: JobId, sid: i32) {
        self.troubles.note(Part::Reap, reap::reap(sid));
        self.state.ended(job.slot() as u16);
        self.supervisor.handle(clock::now(), Event::SessionGone { job });
    }

    // Reaping.

    /// Takes in all children that have ended; signals coalesce, so one SIGCHLD
    /// can stand for many.
    fn reap(&mut self) {
        // No signal comes a second time for what is not taken in now.
        self.is_unreaped = true;
        while let Some(ended) = self.troubles.note(Part::Ended, reap::peek()) {
            let Some((pid, status)) = ended else {
                self.is_unreaped = false;
                return;
            };
            if self.supervisor.keeps(pid) {
                self.is_unreaped = self.reap_behind_kept().is_none();
                return;
            }
            if self.reap_one(pid, status).is_none() {
                return;
            }
        }
    }

    /// Reaps the ended children that waitid(2) does not show, because it always shows a kept
    /// zombie first. None: something failed, and all of it can be done again.
    fn reap_behind_kept(&mut self) -> Option<()> {
        loop {
            let found = sessions::ended_children(|pid| self.supervisor.keeps(pid));
            let pids = self.troubles.note(Part::Ended, found)?;
            if pids.is_empty() {
                return Some(());
            }
            for pid in pids {
                let status = self.troubles.note(Part::Ended, reap::peek_at(pid))?;
                self.reap_one(pid, status?)?;
            }
        }
    }

    /// Takes notice of the end of one process, and reaps it unless its number is still needed.
    /// None: that failed, and all of it can be done again.
    fn reap_one(&mut self, pid: i32, status: ExitStatus) -> Option<()> {
        // Drain the failure pipe before reaping.
        if status == ExitStatus::Code(spawn::FAILED) && !self.hear_failures(clock::now()) {
            return None;
        }
        let now = clock::now();
        self.streams.ended(pid, now, &self.poller);
        self.udp.ended(pid);
        if let Some(job) = self.supervisor.job_of(pid) {
            let is_alone = !self.supervisor.ends_session_of(pid, status) || self.is_alone(pid);
            self.supervisor.handle(now, Event::Exited { pid, status, is_alone });
            if self.supervisor.keeps(pid) {
                return Some(());
            }
            self.state.ended(job.slot() as u16);
        }
        self.troubles.note(Part::Reap, reap::reap(pid))?;
        if log::ended(pid) {
            tell::error!(
                "the process that writes stderr has ended; nothing is written there any more"
            );
        }
        Some(())
    }

    /// Returns true if an ended first process of a job has left nothing of its session.
    fn is_alone(&self, pid: i32) -> bool {
        let is_first = |child| self.supervisor.knows(child) || log::is_stderr_writer(child);
        let has_orphans = || !self.is_adopting || sessions::has_other_child(is_first);
        // What cannot be found out now counts as left, and is looked for again.
        sessions::is_alone(pid, has_orphans).unwrap_or(false)
    }

    /// Hears all that children have told; false: not all could be read.
    fn hear_failures(&mut self, now: Instant) -> bool {
        while let Some(heard) = self.troubles.note(Part::Failures, self.spawner.next_report()) {
            let Some(report) = heard else { return true };
            match report {
                Report::Failed(failure) => {
                    self.supervisor.handle(now, Event::ExecFailed(failure));
                }
                Report::AnyCpu { pid } => self.warn_of_cpus(pid),
                Report::Nowhere { pid, stage } => self.warn_of_null(pid, stage),
                Report::Unrecorded { errno } => self.state.unrecorded(errno),
            }
        }
        false
    }

    fn warn_of_null(&self, pid: i32, stage: Stage) {
        let option = if stage == Stage::Out { "out" } else { "err" };
        if let Some(job) = self.supervisor.job_of(pid) {
            let name = self.supervisor.name(job);
            tell::warning!("job {name} [{pid}]: {option} goes nowhere: pmtr's own is /dev/null");
        }
    }

    fn warn_of_cpus(&self, pid: i32) {
        if let Some(job) = self.supervisor.job_of(pid) {
            let name = self.supervisor.name(job);
            tell::warning!("job {name} [{pid}]: none of its cpus can be used, it runs on any");
        }
    }
}

fn number(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::SIGTERM,
        StopSignal::Kill => Signal::SIGKILL,
    }
}

fn current_dir() -> io::Result<CString> {
    let dir = env::current_dir()?.into_os_string().into_vec();
    CString::new(dir).map_err(io::Error::other)
}

/// Makes pmtr the parent of what its jobs leave behind, so that it notices its
/// end. A kernel that does not know how leaves them to process 1. Returns false there.
fn adopt_orphans() -> bool {
    let adopted = set_child_subreaper(true);
    if let Err(errno) = adopted {
        tell::debug!("no child subreaper: {}", errno.meaning());
    }
    adopted.is_ok() || is_process_one()
}
