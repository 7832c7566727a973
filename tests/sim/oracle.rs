//! What the manual and compat.md say of a machine, whatever happens, checked against the
//! history of a world.
//!
//! The oracle has no states: for each job it keeps plain facts, such as what the file says,
//! whether it is done, and not before when it may start; from these follows what must, and
//! what must not, be the case. Each complaint names the invariant that does not hold.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use pmtr::limits::MAX_JOBS;
use pmtr::supervise::ExitStatus;
use pmtr::time::Instant;

use crate::world::{secs, Entry, What, BEGIN};

/// A job as a file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub name: String,
    /// Stands for all that the machine does not look at.
    pub version: u32,
    pub order: i32,
    pub wait: bool,
    pub once: bool,
    pub disable: bool,
    pub bounce_every: Option<u64>,
    pub depends: Vec<String>,
}

/// What is known of the world's jobs.
pub struct Oracle {
    /// The files of the reloads to come.
    pub files: VecDeque<Vec<Spec>>,
    jobs: BTreeMap<String, Job>,
    /// The names in the order of starting.
    order: Vec<String>,
    /// No start is to be tried before this.
    pause: Instant,
    leaving_since: Option<Instant>,
    has_left: bool,
}

/// What is known of a job: one of the file, or one of an older file that is being stopped.
#[derive(Default)]
struct Job {
    spec: Option<Spec>,
    /// It has a row in the machine's table.
    has_row: bool,
    is_enabled: bool,
    is_done: bool,
    /// It has not started since the file had it so, or since it was enabled.
    is_queued: bool,
    not_before: Option<Instant>,
    files: Files,
    /// The content of its files when all could be read last.
    digest: Option<u64>,
    /// A change of its files has caused the last start: before this another one does not count.
    cool_until: Option<Instant>,
    /// A change of its files causes the next start.
    is_changed: bool,
    /// Its files have changed while that did not count.
    is_unread: bool,
    run: Option<Run>,
    rest: Option<Rest>,
}

#[derive(Default, Clone, Copy, PartialEq, Debug)]
enum Files {
    #[default]
    Unknown,
    Readable,
    Missing,
}

struct Run {
    pid: i32,
    since: Instant,
    /// Jobs behind it may have to wait for it.
    is_in_order: bool,
    bounce_at: Option<Instant>,
    /// Its process cannot become its program.
    is_failing: bool,
    stop: Stop,
    termed_at: Option<Instant>,
    killed_at: Option<Instant>,
    is_told: bool,
}

/// Whether a run has to end.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stop {
    No,
    /// By `bounce every`: a job that is not to be restarted is done then.
    Bounce,
    /// For another reason: it starts again if it may, whatever its status.
    Yes,
}

/// What the first process of a job has left of its session.
struct Rest {
    sid: i32,
    /// Ten seconds after the first SIGTERM that the job got.
    kill_at: Instant,
    is_termed: bool,
    killed_at: Option<Instant>,
    checks: u32,
}

/// A session is checked so often at most before it is given up.
const MOST_CHECKS: u32 = 120;

type Verdict = Result<(), String>;

impl Oracle {
    pub fn new() -> Oracle {
        Oracle {
            files: VecDeque::new(),
            jobs: BTreeMap::new(),
            order: Vec::new(),
            pause: BEGIN,
            leaving_since: None,
            has_left: false,
        }
    }

    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Whether the job is one that is to run, sooner or later.
    pub fn is_wanted(&self, name: &str) -> bool {
        let wanted = |job: &Job| job.spec.is_some() && job.is_enabled && !job.is_done;
        self.leaving_since.is_none() && self.jobs.get(name).is_some_and(wanted)
    }

    /// Whether this process has to end.
    pub fn is_to_end(&self, pid: i32) -> bool {
        self.run_of(pid).is_some_and(|run| run.stop != Stop::No)
    }

    /// Takes in what happened; complains about what must not.
    pub fn read(&mut self, entry: &Entry) -> Verdict {
        let now = entry.at;
        match &entry.what {
            What::Reloaded => self.on_reloaded(),
            What::ExecFailed { name, pid } => self.on_exec_failed(name, *pid),
            What::Ended { name, pid, status, is_alone, is_kept } => {
                self.on_ended(now, name, (*pid, *status), *is_alone, *is_kept)
            }
            What::Enabled { name } => self.on_switch(name, true),
            What::Disabled { name } => self.on_switch(name, false),
            What::Leaving => self.on_leaving(now),
            What::Depends { name, digest } => self.on_depends(now, name, *digest),
            What::SessionGone { name, sid } => self.on_session_gone(name, *sid),
            What::Spawned { name, pid } => self.on_spawned(now, name, *pid),
            What::SpawnFailed { name } => self.on_spawn_failed(now, name),
            What::Termed { name, pid } => self.on_termed(now, name, *pid),
            What::Killed { name, pid } => self.on_killed(now, name, *pid),
            What::SessionTermed { name, sid } => self.on_session_termed(now, name, *sid),
            What::SessionKilled { name, sid } => self.on_session_killed(now, name, *sid),
            What::SessionChecked { name, sid } => self.rest_of(name, *sid).map(drop),
            What::Exit => self.on_exit(),
            What::Said(sentence) => self.on_said(now, sentence),
            What::Quiet { until } => self.on_quiet(now, *until),
        }
    }

    // The file.

    fn on_reloaded(&mut self) -> Verdict {
        let mut specs = self.files.pop_front().ok_or("a reload without a file")?;
        if self.leaving_since.is_some() {
            return Ok(());
        }
        specs.sort_by_key(|spec| spec.order);
        self.order = specs.iter().map(|spec| spec.name.clone()).collect();
        for (name, job) in &mut self.jobs {
            if !self.order.contains(name) {
                job.take_out();
            }
        }
        self.forget();
        for spec in specs {
            self.jobs.entry(spec.name.clone()).or_default().reload(spec);
        }
        self.give_rows();
        Ok(())
    }

    /// Forgets jobs that are taken out and gone.
    fn forget(&mut self) {
        self.jobs.retain(|_, job| job.spec.is_some() || job.is_there());
    }

    fn give_rows(&mut self) {
        let mut used = self.jobs.values().filter(|job| job.has_row).count();
        for name in &self.order {
            let job = self.jobs.get_mut(name).filter(|job| !job.has_row);
            if let Some(job) = job.filter(|_| used < MAX_JOBS) {
                job.has_row = true;
                used += 1;
            }
        }
    }

    /// A job that has nothing left makes room.
    fn make_room(&mut self) {
        self.forget();
        if self.leaving_since.is_none() {
            self.give_rows();
        }
    }

    fn on_switch(&mut self, name: &str, on: bool) -> Verdict {
        let is_leaving = self.leaving_since.is_some();
        let job = self.jobs.get_mut(name).filter(|job| job.spec.is_some() && !is_leaving);
        match job {
            Some(job) if on && !job.is_enabled => job.enable(),
            Some(job) if !on && job.is_enabled && !job.is_done => job.disable(),
            _ => {}
        }
        Ok(())
    }

    fn on_depends(&mut self, now: Instant, name: &str, digest: Option<u64>) -> Verdict {
        let is_leaving = self.leaving_since.is_some();
        if let Some(job) = self.jobs.get_mut(name).filter(|_| !is_leaving) {
            if job.is_enabled || job.is_there() {
                job.look(now, self.pause, digest);
            }
        }
        Ok(())
    }

    // Starts.

    fn on_spawned(&mut self, now: Instant, name: &str, pid: i32) -> Verdict {
        self.may_start(now, name).map_err(|why| format!("{name} is started, but {why}"))?;
        if self.run_of(pid).is_some() {
            return Err(format!("process {pid} belongs to two jobs"));
        }
        for job in self.jobs.values_mut() {
            // The number was free: nothing is left of the session that had it.
            job.rest = job.rest.take().filter(|rest| rest.sid != pid);
        }
        self.pause = now;
        let job = self.jobs.get_mut(name).ok_or("an unknown job is started")?;
        job.start(now, pid);
        self.make_room();
        Ok(())
    }

    fn on_spawn_failed(&mut self, now: Instant, name: &str) -> Verdict {
        self.may_start(now, name).map_err(|why| format!("{name} is tried, but {why}"))?;
        self.pause = now + secs(1);
        let job = self.jobs.get_mut(name).ok_or("an unknown job is tried")?;
        job.not_before = Some(if job.is_queued { now } else { self.pause });
        Ok(())
    }

    /// Whether a job may start now, or why not.
    fn may_start(&self, now: Instant, name: &str) -> Verdict {
        let job = self.jobs.get(name).ok_or("it is in no file")?;
        job.may_start(now)?;
        if now < self.pause {
            return Err("it is too soon after a failed fork".into());
        }
        if self.leaving_since.is_some() {
            return Err("pmtr is leaving".into());
        }
        if job.is_queued {
            self.is_in_turn(now, name)?;
        }
        Ok(())
    }

    /// Whether no job before this one has to start or to finish first.
    fn is_in_turn(&self, now: Instant, name: &str) -> Verdict {
        for before in self.order.iter().take_while(|before| *before != name) {
            let job = &self.jobs[before];
            if job.holds() {
                return Err(format!("it has to wait for {before}"));
            }
            if job.is_queued && job.may_start(now).is_ok() {
                return Err(format!("it is {before}'s turn"));
            }
        }
        Ok(())
    }

    // Ends.

    fn on_exec_failed(&mut self, name: &str, pid: i32) -> Verdict {
        if let Some(run) = self.run_of_mut(name, pid).filter(|run| run.stop == Stop::No) {
            run.is_failing = true;
            run.bounce_at = None;
        }
        Ok(())
    }

    fn on_ended(
        &mut self,
        now: Instant,
        name: &str,
        (pid, status): (i32, ExitStatus),
        is_alone: bool,
        is_kept: bool,
    ) -> Verdict {
        if self.run_of_mut(name, pid).is_none() {
            return complain_if(is_kept, "the zombie of a job that is unknown is kept");
        }
        let job = self.jobs.get_mut(name).ok_or("an unknown job ends")?;
        job.end(now, status, is_alone);
        let is_left = job.rest.is_some();
        complain_if(is_kept != is_left, &format!("{name} is kept: {is_kept}; but {is_left}"))?;
        self.make_room();
        Ok(())
    }

    fn on_termed(&mut self, now: Instant, name: &str, pid: i32) -> Verdict {
        let run = self.run_of_mut(name, pid).ok_or("SIGTERM to a process of no job")?;
        if run.stop == Stop::No && run.bounce_at.is_some_and(|at| at <= now) {
            run.stop = Stop::Bounce;
        }
        complain_if(run.stop == Stop::No, &format!("{name} gets SIGTERM without a reason"))?;
        complain_if(run.termed_at.is_some(), &format!("{name} gets SIGTERM twice"))?;
        run.termed_at = Some(now);
        Ok(())
    }

    fn on_killed(&mut self, now: Instant, name: &str, pid: i32) -> Verdict {
        let run = self.run_of_mut(name, pid).ok_or("SIGKILL to a process of no job")?;
        let termed_at = run.termed_at.ok_or(format!("{name} gets SIGKILL before SIGTERM"))?;
        complain_if(run.killed_at.is_some(), &format!("{name} gets SIGKILL twice"))?;
        complain_if(now < termed_at + secs(10), &format!("{name} gets SIGKILL too soon"))?;
        run.killed_at = Some(now);
        Ok(())
    }

    fn rest_of(&mut self, name: &str, sid: i32) -> Result<&mut Rest, String> {
        let job = self.jobs.get_mut(name).ok_or("a session of no job is ended")?;
        let rest = job.rest.as_mut().filter(|rest| rest.sid == sid);
        let rest = rest.ok_or(format!("session {sid} is ended, which is not {name}'s"))?;
        rest.checks += 1;
        Ok(rest)
    }

    fn on_session_termed(&mut self, now: Instant, name: &str, sid: i32) -> Verdict {
        let rest = self.rest_of(name, sid)?;
        complain_if(rest.is_termed, "what is left gets SIGTERM twice")?;
        complain_if(now >= rest.kill_at, "what is left gets SIGTERM too late")?;
        rest.is_termed = true;
        Ok(())
    }

    fn on_session_killed(&mut self, now: Instant, name: &str, sid: i32) -> Verdict {
        let rest = self.rest_of(name, sid)?;
        complain_if(now < rest.kill_at, "what is left gets SIGKILL too soon")?;
        rest.killed_at.get_or_insert(now);
        Ok(())
    }

    fn on_session_gone(&mut self, name: &str, sid: i32) -> Verdict {
        // What was given up has been told of before, and is forgotten.
        if self.jobs.get(name).is_some_and(|job| job.rest.is_some()) {
            self.rest_of(name, sid)?;
            self.jobs.get_mut(name).ok_or("an unknown job")?.rest = None;
            self.make_room();
        }
        Ok(())
    }

    fn on_leaving(&mut self, now: Instant) -> Verdict {
        if self.leaving_since.is_none() {
            self.leaving_since = Some(now);
            self.order.clear();
            self.jobs.values_mut().for_each(Job::take_out);
            self.forget();
        }
        Ok(())
    }

    fn on_exit(&mut self) -> Verdict {
        complain_if(self.leaving_since.is_none(), "pmtr leaves without being told to")?;
        complain_if(self.has_left, "pmtr leaves twice")?;
        let left = self.jobs.keys().next();
        complain_if(left.is_some(), &format!("pmtr leaves, but there is {left:?}"))?;
        self.has_left = true;
        Ok(())
    }

    /// Some of what is said matters: what is told to be undead is given up.
    fn on_said(&mut self, now: Instant, sentence: &str) -> Verdict {
        if sentence.ends_with("] is still there after SIGKILL") {
            return self.on_undead(now, number_in(sentence, '[', ']'));
        }
        if let Some(sid) = sentence.split(" processes of session ").nth(1) {
            let sid = number_in(&format!("[{sid}"), '[', ' ');
            return self.on_undead_session(now, sid);
        }
        Ok(())
    }

    fn on_undead(&mut self, now: Instant, pid: i32) -> Verdict {
        let leaving_since = self.leaving_since;
        let found = self.jobs.values_mut().find(|job| job.has_process(pid));
        let run = found.and_then(|job| job.run.as_mut()).ok_or("an unknown process is undead")?;
        let due = run.told_at(leaving_since).ok_or("it is told again that a process is undead")?;
        complain_if(now < due, "a process is told to be undead too soon")?;
        run.is_told = true;
        if leaving_since.is_some() {
            self.jobs.retain(|_, job| !job.has_process(pid));
        }
        Ok(())
    }

    fn on_undead_session(&mut self, now: Instant, sid: i32) -> Verdict {
        let mut jobs = self.jobs.values_mut();
        let job = jobs.find(|job| job.rest.as_ref().is_some_and(|rest| rest.sid == sid));
        let rest = job.and_then(|job| job.rest.take()).ok_or("an unknown session is undead")?;
        let killed_at = rest.killed_at.ok_or("a session is given up without SIGKILL")?;
        complain_if(now < killed_at + secs(10), "a session is given up too soon")?;
        self.make_room();
        Ok(())
    }

    // Nothing more to do now.

    fn on_quiet(&mut self, now: Instant, until: Option<Instant>) -> Verdict {
        for (name, job) in &self.jobs {
            job.is_stopping_in_time(now, self.leaving_since)
                .map_err(|why| format!("{name} {why}"))?;
            if self.may_start(now, name).is_ok() {
                return Err(format!("{name} is to run, but does not"));
            }
        }
        let is_to_leave = self.leaving_since.is_some() && self.jobs.is_empty();
        complain_if(is_to_leave && !self.has_left, "all jobs are gone, but pmtr does not leave")?;
        self.is_deadline(now, until)
    }

    /// The next deadline is not too late, and not without a reason.
    fn is_deadline(&self, now: Instant, until: Option<Instant>) -> Verdict {
        let due = self.order.iter().filter_map(|name| self.start_at(now, name));
        let stops = self.jobs.values().filter_map(|job| job.step_at(self.leaving_since));
        let due = due.chain(stops).min();
        let is_clearing = self.jobs.values().any(|job| job.rest.is_some());
        let is_late = due.is_some_and(|due| until.map_or(true, |until| until > due));
        complain_if(is_late, &format!("the next deadline is {until:?}, not {due:?}: too late"))?;
        // After a failed fork there may be a look for nothing when the pause is over.
        let is_idle = until != due && !is_clearing && until != Some(self.pause);
        complain_if(is_idle, &format!("the next deadline is {until:?}, not {due:?}: for nothing"))
    }

    /// When the machine has to think of starting a job that does not start now.
    fn start_at(&self, now: Instant, name: &str) -> Option<Instant> {
        let job = &self.jobs[name];
        [self.turn_at(now, name), job.read_at()].into_iter().flatten().min()
    }

    fn turn_at(&self, now: Instant, name: &str) -> Option<Instant> {
        let job = &self.jobs[name];
        match job.not_before.filter(|&at| at > now && job.is_backing_off()) {
            Some(at) => Some(at),
            None => (self.may_start(self.pause.max(now), name).is_ok()).then_some(self.pause),
        }
    }

    fn run_of(&self, pid: i32) -> Option<&Run> {
        self.jobs.values().find(|job| job.has_process(pid))?.run.as_ref()
    }

    fn run_of_mut(&mut self, name: &str, pid: i32) -> Option<&mut Run> {
        let job = self.jobs.get_mut(name)?;
        job.run.as_mut().filter(|run| run.pid == pid)
    }
}

impl Job {
    /// It has processes.
    fn is_there(&self) -> bool {
        self.run.is_some() || self.rest.is_some()
    }

    fn has_process(&self, pid: i32) -> bool {
        self.run.as_ref().is_some_and(|run| run.pid == pid)
    }

    fn stop(&mut self) {
        if let Some(run) = &mut self.run {
            run.stop = Stop::Yes;
        }
    }

    fn take_out(&mut self) {
        self.spec = None;
        self.stop();
    }

    fn reload(&mut self, spec: Spec) {
        if self.spec.as_ref() != Some(&spec) {
            self.define(spec);
        } else if spec.disable && self.is_enabled {
            self.disable();
            self.is_done = false;
        } else if !spec.disable && !self.is_enabled {
            self.enable();
        }
    }

    /// It has a new definition.
    fn define(&mut self, spec: Spec) {
        self.stop();
        self.is_enabled = !spec.disable;
        self.is_queued = !spec.disable;
        self.is_done = false;
        self.not_before = None;
        self.files = Files::Unknown;
        self.digest = None;
        (self.cool_until, self.is_changed) = (None, false);
        self.spec = Some(spec);
    }

    fn enable(&mut self) {
        self.is_enabled = true;
        self.is_queued = true;
        self.not_before = None;
        if !self.is_there() {
            self.files = Files::Unknown;
            self.digest = None;
            (self.cool_until, self.is_changed) = (None, false);
        }
    }

    fn disable(&mut self) {
        self.is_enabled = false;
        self.is_queued = false;
        self.stop();
    }

    fn look(&mut self, now: Instant, pause: Instant, digest: Option<u64>) {
        let is_start = self.run.is_none() && self.rest.is_none() && !self.is_done;
        let is_due = self.is_queued || self.not_before.is_some_and(|at| at <= now);
        let is_first = self.is_unread && is_start && is_due;
        let Some(digest) = digest else {
            self.files = Files::Missing;
            self.is_unread &= !is_first && self.cool_until.is_some_and(|until| until > now);
            return;
        };
        let is_changed = !is_first && self.digest.is_some_and(|old| old != digest);
        self.files = Files::Readable;
        if is_changed && self.is_enabled && self.is_cool(now) {
            self.is_unread = true;
            return;
        }
        self.is_unread &= !is_first && self.cool_until.is_some_and(|until| until > now);
        self.digest = Some(digest);
        if is_changed && self.is_enabled {
            self.change(now, pause);
        }
    }

    /// A change of its files does not restart it now.
    fn is_cool(&self, now: Instant) -> bool {
        let is_down = self.rest.is_none() && self.is_done;
        let is_steady = self.run.as_ref().map_or(is_down, |run| run.stop == Stop::No);
        is_steady && self.cool_until.is_some_and(|until| until > now)
    }

    /// When its files are to be read, as they have changed while that did not count.
    fn read_at(&self) -> Option<Instant> {
        let is_down = self.rest.is_none() && self.is_enabled && !self.is_queued;
        let is_steady = self.run.as_ref().map_or(is_down, |run| run.stop == Stop::No);
        self.cool_until.filter(|_| self.is_unread && is_steady && !self.is_changed)
    }

    /// What it depends on has changed.
    fn change(&mut self, now: Instant, pause: Instant) {
        let waits = self.spec.as_ref().is_some_and(|spec| spec.wait);
        if let Some(run) = &mut self.run {
            if run.stop != Stop::Yes {
                run.stop = Stop::Yes;
                self.is_changed = true;
                // Those that wait for it go on waiting.
                self.is_queued |= run.is_in_order && waits;
            }
        } else if !self.is_queued {
            // One that was stopped starts anew once its rest is gone.
            let cool_until = self.cool_until.filter(|_| self.rest.is_none() || !self.is_done);
            let sooner = cool_until.map_or(now, |until| until.max(now));
            let until = self.not_before.filter(|_| !self.is_done).unwrap_or(sooner);
            // A pause after a failed fork is not cut short.
            let is_sooner = until > sooner && until != pause;
            self.is_changed |= self.is_done || is_sooner;
            self.is_done = false;
            self.not_before = Some(if is_sooner { sooner } else { until });
        }
    }

    fn start(&mut self, now: Instant, pid: i32) {
        let every = self.spec.as_ref().and_then(|spec| spec.bounce_every);
        self.run = Some(Run {
            pid,
            since: now,
            is_in_order: self.is_queued,
            bounce_at: every.map(|every| now + Duration::from_secs(every)),
            is_failing: false,
            stop: Stop::No,
            termed_at: None,
            killed_at: None,
            is_told: false,
        });
        self.is_queued = false;
        self.is_unread = false;
        self.cool_until = core::mem::take(&mut self.is_changed).then(|| now + secs(10));
    }

    fn end(&mut self, now: Instant, status: ExitStatus, is_alone: bool) {
        let Some(run) = self.run.take() else { return };
        let is_once = self.spec.as_ref().is_some_and(|spec| spec.once);
        let is_final = is_once || status == ExitStatus::Code(33);
        let is_early = run.is_failing || now < run.since + secs(10);
        // What a job that is not restarted leaves behind is left alone.
        let is_restarted = run.stop == Stop::No && !is_final && !run.is_failing;
        if !is_alone && (run.stop != Stop::No || is_restarted) {
            let kill_at = run.termed_at.unwrap_or(now) + secs(10);
            let (is_termed, killed_at) = (false, None);
            self.rest = Some(Rest { sid: run.pid, kill_at, is_termed, killed_at, checks: 0 });
        }
        self.is_done |= is_final && run.stop != Stop::Yes && !run.is_failing;
        let must_wait = is_early && run.stop == Stop::No;
        self.not_before = Some(if must_wait { now + secs(10) } else { now });
    }

    /// Whether nothing about this job alone forbids it to start now, or what.
    fn may_start(&self, now: Instant) -> Verdict {
        let spec = self.spec.as_ref().ok_or("it is taken out")?;
        complain_if(self.run.is_some(), "it is running")?;
        complain_if(self.rest.is_some(), "its old session is there")?;
        complain_if(!self.is_enabled, "it is disabled")?;
        complain_if(self.is_done, "it is done")?;
        complain_if(!self.has_row, "it has no row")?;
        let is_missing = !spec.depends.is_empty() && self.files == Files::Missing;
        complain_if(is_missing, "its files are missing")?;
        let is_early = !self.is_queued && self.not_before.is_some_and(|at| now < at);
        complain_if(is_early, "it has to wait")
    }

    /// Whether the jobs behind it have to wait.
    fn holds(&self) -> bool {
        let Some(spec) = self.spec.as_ref().filter(|spec| spec.wait) else { return false };
        let is_missing = !spec.depends.is_empty() && self.files == Files::Missing;
        let is_blocked = is_missing && !self.is_there() && self.has_row;
        let is_to_run = self.is_enabled && self.is_queued && !is_blocked;
        is_to_run || self.run.as_ref().is_some_and(|run| run.is_in_order)
    }

    /// It waits for a moment of its own, whatever else it may have to wait for then.
    fn is_backing_off(&self) -> bool {
        let is_down = self.spec.is_some() && !self.is_there();
        is_down && self.is_enabled && !self.is_done && !self.is_queued
    }

    /// The next moment in its run or its stop.
    fn step_at(&self, leaving_since: Option<Instant>) -> Option<Instant> {
        let run = self.run.as_ref()?;
        match (run.termed_at, run.killed_at) {
            (None, _) => run.bounce_at,
            (Some(termed_at), None) => Some(termed_at + secs(10)),
            (Some(_), Some(_)) => run.told_at(leaving_since),
        }
    }

    fn is_stopping_in_time(&self, now: Instant, leaving_since: Option<Instant>) -> Verdict {
        if let Some(run) = &self.run {
            let is_to_stop = run.stop != Stop::No;
            complain_if(is_to_stop && run.termed_at.is_none(), "is to go, but has no SIGTERM")?;
            complain_if(!is_to_stop && run.termed_at.is_some(), "goes without a reason")?;
        }
        let is_over = self.step_at(leaving_since).is_some_and(|at| at <= now);
        complain_if(is_over, "is to be bounced, killed or told of, but is not")?;
        let Some(rest) = &self.rest else { return Ok(()) };
        complain_if(rest.checks > MOST_CHECKS, "has a session that is not given up")?;
        let is_late = now >= rest.kill_at && rest.killed_at.is_none();
        complain_if(is_late, "has left something that gets no SIGKILL")?;
        let is_asked = rest.is_termed || rest.killed_at.is_some();
        complain_if(!is_asked, "has left something that gets no SIGTERM")
    }
}

impl Run {
    /// When it is to be told that it outlives SIGKILL, if it still is.
    fn told_at(&self, leaving_since: Option<Instant>) -> Option<Instant> {
        let told_at = self.killed_at? + secs(10);
        match (self.is_told, leaving_since) {
            (false, _) => Some(told_at),
            (true, Some(leaving_since)) => Some(leaving_since + secs(10)),
            (true, None) => None,
        }
    }
}

fn complain_if(is_bad: bool, complaint: &str) -> Verdict {
    if is_bad {
        Err(complaint.into())
    } else {
        Ok(())
    }
}

/// The number between two characters.
fn number_in(sentence: &str, open: char, close: char) -> i32 {
    let after = sentence.rsplit(open).next().unwrap_or_default();
    after.split(close).next().and_then(|number| number.parse().ok()).unwrap_or(-1)
}
