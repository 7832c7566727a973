//! A fake shell around the state machine, in a world of numbers: a clock, processes, groups,
//! files. It does what the machine asks for, and writes down what happened when.
//!
//! What a machine may never do, whatever the test is about, is checked here: asking for
//! something without end, being asked again and then wanting something, a deadline that is over.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CStr;
use std::fmt;
use std::sync::Once;
use std::thread;
use std::time::Duration;

use pmtr::config;
use pmtr::short::Short;
use pmtr::supervise::{
    Action, Errno, Event, ExitStatus, Failure, JobId, Stage, StopSignal, Supervisor, Unreadable,
};
use pmtr::time::Instant;

use crate::sealed::{sealed, text_of, unsealed};
use crate::watchdog::watch;

pub const EAGAIN: Errno = Errno { code: 11, text: Short::new("Resource temporarily unavailable") };
pub const ENOENT: Errno = Errno { code: 2, text: Short::new("No such file or directory") };

/// The clock when a test begins: not zero, which is the moment of booting.
pub const BEGIN: Instant = Instant::from_secs(1000);

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub at: Instant,
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    // What the world did.
    Reloaded,
    ExecFailed {
        name: String,
        pid: i32,
    },
    /// `is_kept`: the machine wants what is left of the session ended first.
    Ended {
        name: String,
        pid: i32,
        status: ExitStatus,
        is_alone: bool,
        is_kept: bool,
    },
    Enabled {
        name: String,
    },
    Disabled {
        name: String,
    },
    Leaving,
    /// The digest of the files a job depends on; none: one of them is missing.
    Depends {
        name: String,
        digest: Option<u64>,
    },
    /// Nothing is left of a session that was looked at, or it was given up.
    SessionGone {
        name: String,
        sid: i32,
    },
    // What the machine did.
    Spawned {
        name: String,
        pid: i32,
    },
    SpawnFailed {
        name: String,
    },
    Termed {
        name: String,
        pid: i32,
    },
    Killed {
        name: String,
        pid: i32,
    },
    SessionTermed {
        name: String,
        sid: i32,
    },
    SessionKilled {
        name: String,
        sid: i32,
    },
    SessionChecked {
        name: String,
        sid: i32,
    },
    Exit,
    Said(String),
    /// It wants nothing more now, and nothing before its next deadline.
    Quiet {
        until: Option<Instant>,
    },
}

/// The world.
pub struct World {
    machine: Box<Supervisor>,
    now: Instant,
    last_number: i32,
    /// Numbers for the next processes, the next one last.
    pub numbers: Vec<i32>,
    /// The names of the jobs of all processes that run, or are not reaped.
    pub processes: BTreeMap<i32, String>,
    /// The sessions that have processes though their first one has ended.
    pub sessions: BTreeSet<i32>,
    /// The content of the files that there are.
    pub files: BTreeMap<String, u64>,
    /// No process can be created.
    pub forks_fail: bool,
    pub signals_fail: bool,
    /// Jobs whose processes fail before their program runs.
    pub broken: BTreeMap<String, Stage>,
    /// Every process ends when it gets a signal.
    pub is_obedient: bool,
    /// Nobody asks the machine what it wants: several things happen before its next turn.
    pub is_asleep: bool,
    /// What happens as soon as the machine is quiet.
    soon: VecDeque<(i32, Soon)>,
    pub history: Vec<Entry>,
}

/// What a process does by itself.
enum Soon {
    FailsExec(Stage),
    Ends(ExitStatus),
}

impl World {
    pub fn new() -> World {
        listen();
        World {
            machine: machine(),
            now: BEGIN,
            last_number: 100,
            numbers: Vec::new(),
            processes: BTreeMap::new(),
            sessions: BTreeSet::new(),
            files: BTreeMap::new(),
            forks_fail: false,
            signals_fail: false,
            broken: BTreeMap::new(),
            is_obedient: false,
            is_asleep: false,
            soon: VecDeque::new(),
            history: Vec::new(),
        }
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn machine(&self) -> &Supervisor {
        &self.machine
    }

    // The clock.

    /// Moves the clock and asks the machine what it wants then: nothing before its deadline.
    pub fn move_to(&mut self, at: Instant) {
        assert!(at >= self.now, "the clock goes forward");
        let is_due = self.machine.next_deadline().is_some_and(|due| due <= at);
        let before = self.history.len();
        self.now = at;
        self.act();
        let is_quiet = matches!(self.history[before..], [Entry { what: What::Quiet { .. }, .. }]);
        self.check(
            is_due || is_quiet || self.is_asleep,
            "the machine wanted something before its deadline",
        );
    }

    /// Asks the machine what it wants after it was asleep.
    pub fn wake(&mut self) {
        self.is_asleep = false;
        self.act();
    }

    /// Moves the clock as the timer would: it stops at every deadline.
    pub fn pass_until(&mut self, at: Instant) {
        while let Some(due) = self.machine.next_deadline().filter(|&due| due <= at) {
            self.move_to(due.max(self.now));
        }
        self.move_to(at);
    }

    // What happens in the world.

    /// Puts a file into the standby configuration; whether it is good.
    pub fn parse(&mut self, text: &str) -> bool {
        sealed(|| config::parse(text.as_bytes(), self.machine.standby(), &mut |_| {}).is_ok())
    }

    pub fn reload(&mut self, text: &str) {
        assert!(self.parse(text), "not a good configuration:\n{text}");
        self.feed(Event::Reloaded, What::Reloaded);
    }

    /// A process is gone.
    pub fn end(&mut self, pid: i32, status: ExitStatus) {
        self.tell_end(pid, status);
        self.act();
    }

    fn tell_end(&mut self, pid: i32, status: ExitStatus) {
        let name = self.processes.remove(&pid).expect("a process that is there");
        self.tell_exited(name, pid, status);
    }

    fn tell_exited(&mut self, name: String, pid: i32, status: ExitStatus) {
        let is_alone = !self.sessions.contains(&pid);
        let event = Event::Exited { pid, status, is_alone };
        watch(|| sealed(|| self.machine.handle(self.now, event)));
        let is_kept = self.machine.keeps(pid);
        self.note(What::Ended { name, pid, status, is_alone, is_kept });
        self.hear();
    }

    /// A process ends that is none of the machine's: an orphan that pmtr has adopted.
    pub fn end_orphan(&mut self, pid: i32) {
        self.tell_exited(String::new(), pid, ExitStatus::Code(0));
        self.act();
    }

    /// A process cannot become its program; it is to end soon after.
    pub fn fail_exec(&mut self, pid: i32, stage: Stage) {
        self.tell_exec_failure(pid, stage);
        self.act();
    }

    fn tell_exec_failure(&mut self, pid: i32, stage: Stage) {
        let name = self.processes[&pid].clone();
        let failure = Failure { pid, stage, errno: ENOENT };
        self.tell(Event::ExecFailed(failure), What::ExecFailed { name, pid });
    }

    pub fn enable(&mut self, name: &str) {
        if let Some(job) = self.find(name) {
            self.enable_job(job);
        }
    }

    pub fn enable_job(&mut self, job: JobId) {
        self.feed(Event::Enable { job }, What::Enabled { name: self.name(job) });
    }

    pub fn disable(&mut self, name: &str) {
        if let Some(job) = self.find(name) {
            self.disable_job(job);
        }
    }

    pub fn disable_job(&mut self, job: JobId) {
        self.feed(Event::Disable { job }, What::Disabled { name: self.name(job) });
    }

    pub fn shut_down(&mut self, signal: i32) {
        self.feed(Event::Shutdown { signal }, What::Leaving);
    }

    /// Writes a file, or takes it away; all jobs that depend on files are looked at, as by
    /// the real shell.
    pub fn change_file(&mut self, path: &str, content: Option<u64>) {
        match content {
            Some(content) => self.files.insert(path.into(), content),
            None => self.files.remove(path),
        };
        self.tell_digests();
    }

    fn tell_digests(&mut self) {
        for position in 0..self.machine.config().len() {
            let has_depends = self.machine.config().job(position).depends().next().is_some();
            if let Some(job) = self.machine.job_at(position).filter(|_| has_depends) {
                self.tell_digest(job);
            }
        }
        self.act();
    }

    /// A job of the live configuration that has a row.
    pub fn find(&self, name: &str) -> Option<JobId> {
        let position = self.machine.config().find(name.as_bytes())?;
        self.machine.job_at(position)
    }

    /// All that can be seen of the machine from outside.
    pub fn fingerprint(&self) -> String {
        let machine = &self.machine;
        let mut text = format!("next {:?}\n", machine.next_deadline());
        for (position, spec) in machine.config().jobs().enumerate() {
            let argv: Vec<_> = spec.argv().collect();
            let depends: Vec<_> = spec.depends().collect();
            let flags = (spec.is_disabled(), spec.waits(), spec.is_once(), spec.bounce_every());
            let numbers = (spec.nice(), spec.order(), flags);
            text += &format!("{argv:?} {depends:?} {numbers:?} {:?}\n", machine.job_at(position));
        }
        for &pid in self.processes.keys() {
            text += &format!("{pid} {:?}", machine.job_of(pid));
            text += &format!(" {}\n", machine.knows(pid));
        }
        text
    }

    fn feed(&mut self, event: Event, what: What) {
        self.tell(event, what);
        self.act();
    }

    fn tell(&mut self, event: Event, what: What) {
        self.note(what);
        watch(|| sealed(|| self.machine.handle(self.now, event)));
        self.hear();
    }

    // What the machine wants.

    /// Does what the machine wants, and then what processes do by themselves.
    fn act(&mut self) {
        if self.is_asleep {
            return;
        }
        self.drain();
        while let Some((pid, soon)) = self.soon.pop_front() {
            if self.processes.contains_key(&pid) {
                match soon {
                    Soon::FailsExec(stage) => self.tell_exec_failure(pid, stage),
                    Soon::Ends(status) => self.tell_end(pid, status),
                }
                self.drain();
            }
        }
    }

    /// Does what the machine wants until it wants nothing more.
    fn drain(&mut self) {
        let things = self.machine.config().len() + self.processes.len() + self.sessions.len();
        for _ in 0..16 * things + 64 {
            let action = watch(|| sealed(|| self.machine.poll(self.now)));
            self.hear();
            let Some(action) = action else { return self.check_quiet() };
            self.perform(action);
        }
        self.fail("the machine does not stop asking for actions");
    }

    fn check_quiet(&mut self) {
        let until = self.machine.next_deadline();
        let is_over = until.is_some_and(|until| until <= self.now);
        self.check(!is_over, "the next deadline is over, but the machine wants nothing");
        let again = self.machine.poll(self.now);
        self.check(again.is_none(), "the machine wanted nothing, and then wanted something");
        self.check(take_said().is_empty(), "the machine wanted nothing, but said something");
        let same = self.machine.next_deadline() == until;
        self.check(same, "the machine wanted nothing, but has another deadline");
        self.note(What::Quiet { until });
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn { job } => self.spawn(job),
            Action::Look { job } => self.tell_digest(job),
            Action::Signal { pid, signal, .. } => self.signal(pid, signal),
            Action::EndSession { job, sid, signal } => self.end_session(job, sid, signal),
            Action::LeaveSession { job, sid } => self.on_session_gone(job, sid),
            Action::Exit => self.note(What::Exit),
        }
    }

    fn spawn(&mut self, job: JobId) {
        self.check(self.machine.spec(job).is_some(), "a job that is not in the file is spawned");
        let name = self.name(job);
        let event = if self.forks_fail {
            self.note(What::SpawnFailed { name });
            Event::SpawnFailed { job, errno: EAGAIN }
        } else {
            Event::Spawned { job, pid: self.fork(name) }
        };
        watch(|| sealed(|| self.machine.handle(self.now, event)));
        self.hear();
    }

    fn fork(&mut self, name: String) -> i32 {
        let pid = self.numbers.pop().unwrap_or_else(|| {
            self.last_number += 1;
            self.last_number
        });
        if let Some(&stage) = self.broken.get(&name) {
            self.soon.push_back((pid, Soon::FailsExec(stage)));
            self.soon.push_back((pid, Soon::Ends(ExitStatus::Code(127))));
        }
        self.processes.insert(pid, name.clone());
        self.note(What::Spawned { name, pid });
        pid
    }

    fn tell_digest(&mut self, job: JobId) {
        let name = self.name(job);
        let Some(spec) = self.machine.spec(job) else { return };
        let digest = digest(&self.files, spec.depends());
        self.note(What::Depends { name, digest: digest.ok() });
        self.machine.handle(self.now, Event::Depends { job, digest });
        self.hear();
    }

    fn signal(&mut self, pid: i32, signal: StopSignal) {
        let name = self.processes.get(&pid).cloned();
        self.check(name.is_some(), "a process that is not there gets a signal");
        let name = name.unwrap_or_default();
        let (what, number) = match signal {
            StopSignal::Term => (What::Termed { name, pid }, 15),
            StopSignal::Kill => (What::Killed { name, pid }, 9),
        };
        self.note(what);
        if self.signals_fail {
            self.machine.handle(self.now, Event::Unsent { pid });
        } else if self.is_obedient {
            self.soon.push_back((pid, Soon::Ends(ExitStatus::Signal(number))));
        }
    }

    fn end_session(&mut self, job: JobId, sid: i32, signal: Option<StopSignal>) {
        let name = self.name(job);
        self.check(!self.processes.contains_key(&sid), "the session of a living job is ended");
        if !self.sessions.contains(&sid) {
            return self.on_session_gone(job, sid);
        }
        self.note(match signal {
            Some(StopSignal::Term) => What::SessionTermed { name, sid },
            Some(StopSignal::Kill) => What::SessionKilled { name, sid },
            None => What::SessionChecked { name, sid },
        });
    }

    fn on_session_gone(&mut self, job: JobId, sid: i32) {
        self.note(What::SessionGone { name: self.name(job), sid });
        self.machine.handle(self.now, Event::SessionGone { job });
        self.hear();
    }

    // The history.

    fn name(&self, job: JobId) -> String {
        self.machine.name(job).to_string()
    }

    fn note(&mut self, what: What) {
        self.history.push(Entry { at: self.now, what });
    }

    fn hear(&mut self) {
        for sentence in take_said() {
            self.note(What::Said(sentence));
        }
    }

    #[track_caller]
    fn check(&self, is_good: bool, complaint: &str) {
        if !is_good {
            self.fail(complaint);
        }
    }

    /// Ends the test with what happened before.
    #[track_caller]
    pub fn fail(&self, complaint: &str) -> ! {
        panic!("at {}: {complaint}\nwhat happened:\n{}", Seconds(self.now), self.tail());
    }

    /// The end of the history, as text.
    fn tail(&self) -> String {
        let is_told = |entry: &&Entry| !matches!(entry.what, What::Quiet { .. });
        let told: Vec<_> = self.history.iter().filter(is_told).map(Entry::to_string).collect();
        told[told.len().saturating_sub(60)..].join("\n")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", Seconds(self.at), self.what)
    }
}

/// A time of the world, in seconds from the beginning.
pub struct Seconds(pub Instant);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0.since(BEGIN).as_secs_f64())
    }
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A machine in a box. It is too large for a stack of the usual size, through which it goes
/// on its way.
pub fn machine() -> Box<Supervisor> {
    let built = thread::Builder::new().stack_size(64 << 20).spawn(|| Box::new(Supervisor::new()));
    built.unwrap().join().unwrap()
}

/// A digest of the content of files, or the first that is not there.
fn digest<'a>(
    files: &BTreeMap<String, u64>,
    paths: impl Iterator<Item = &'a CStr>,
) -> Result<u64, Unreadable> {
    let mut digest = 0u64;
    for (file, path) in paths.enumerate() {
        let content = files.get(path.to_str().unwrap());
        let content = content.ok_or(Unreadable { file: file as u16, errno: ENOENT })?;
        digest = digest.wrapping_mul(1_000_003).wrapping_add(*content);
    }
    Ok(digest)
}

thread_local! {
    /// What was said on this thread since somebody listened; a test is one thread.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn take_said() -> Vec<String> {
    SAID.with(|said| said.borrow_mut().drain(..).collect())
}

struct Ear;

impl log::Log for Ear {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = text_of(record.args());
        unsealed(|| SAID.with(|said| said.borrow_mut().push(text)));
    }

    fn flush(&self) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Ear).expect("nobody else listens");
        log::set_max_level(log::LevelFilter::Trace);
    });
    take_said();
}
