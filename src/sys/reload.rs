//! The configuration in the loop: read, read again, and what its jobs depend on.

use super::config_file::Refused;
use super::errno::Meaning;
use super::looks::{Depth, Found, Unfinished};
use super::opened::{Opened, Writers};
use super::pages::give_back;
use super::poll::{Interest, Token as Ready};
use super::run::Shell;
use super::std::format;
use super::std::prelude::v1::*;
use super::tell;
use super::watch::{FileId, Watch, RETRY_EVERY};
use super::{clock, digest, log};
use crate::config::{Problem, Severity, Token};
use crate::supervise::{Event, JobId};
use core::ffi::CStr;
use nix::errno::Errno;

impl Shell {
    /// Reads the configuration for the first time, and stops what a killed pmtr
    /// left behind. For start-up: blocks while that takes.
    pub fn first_load(&mut self) -> Result<(), String> {
        let created = self.config.create_if_missing();
        created.map_err(|errno| format!("can't create {}: {}", self.config, errno.meaning()))?;
        let opened = self.config.open();
        let loaded = self.load(&opened);
        drop(opened);
        loaded.map_err(|refused| format!("parse failed: {}: {refused}", self.config))?;
        if let Some(warning) = self.state.warning() {
            tell::warning!("{warning}");
        }
        self.stop_leftovers();
        if !self.supervisor.is_leaving() {
            tell::info!("pmtr: starting");
            self.apply();
            // It was loaded before it was watched.
            self.files.watch.look_by(clock::now());
        }
        self.tidy();
        Ok(())
    }

    /// Whoever asks pmtr to leave meanwhile is heard; then no job is started any more.
    fn stop_leftovers(&mut self) {
        let Shell { state, signals, supervisor, .. } = self;
        let mut pause = |pause| Shell::hear_while_starting(signals, supervisor, pause);
        state.stop_leftovers(&mut |leftover| tell::warning!("{leftover}"), &mut pause);
    }

    /// Looks at the files if something hinted at a change and it is quiet since.
    #[inline(never)] // as `run`
    pub(super) fn look(&mut self) {
        let Some(hints) = self.files.watch.settled(clock::now()) else { return };
        self.was_deep = true;
        if hints.is_elsewhere {
            self.lay_watches();
        }
        if !self.look_at_config() {
            self.tell_digests();
        }
    }

    /// Reads the configuration again if it is another one, and finished. Returns true if it did.
    fn look_at_config(&mut self) -> bool {
        let found = self.files.look_at(FileId::CONFIG, self.config.path(), Depth::Whole);
        match found {
            Found::Same | Found::Unfinished => false,
            Found::New(opened) => {
                self.reload_from(Ok(opened));
                true
            }
            Found::Gone(errno) if self.files.watch.sight(FileId::CONFIG).vanish() => {
                self.reload_from(Err(errno));
                true
            }
            Found::Gone(errno) => {
                self.files.retry(errno);
                false
            }
        }
    }

    /// Reads the configuration again, whatever it is, and looks at what jobs depend on.
    pub(super) fn reload(&mut self) {
        let opened = self.config.open();
        self.reload_from(opened);
    }

    fn reload_from(&mut self, opened: Result<Opened, Errno>) {
        log::zone_may_have_changed();
        if !self.is_unread {
            tell::info!("rescanning job configuration");
        }
        self.reload_config(opened);
        self.tell_digests();
    }

    /// A configuration with an error changes nothing.
    ///
    /// One that cannot be read now is looked at every [`RETRY_EVERY`]
    /// without a further word, until it can: no event of the file would tell.
    fn reload_config(&mut self, opened: Result<Opened, Errno>) {
        let loaded = self.load(&opened);
        if opened.as_ref().is_ok_and(|opened| self.is_half(opened)) {
            return self.tidy();
        }
        drop(opened);
        let is_unread = loaded.as_ref().is_err_and(Refused::is_passing);
        let was_unread = core::mem::replace(&mut self.is_unread, is_unread);
        match loaded {
            Ok(()) => {
                if was_unread {
                    tell::info!("rescanning job configuration");
                }
                self.apply();
            }
            Err(_) if was_unread && is_unread => {}
            Err(refused) => {
                tell::critical(format_args!("FAILED to parse {}: {refused}", self.config));
                tell::critical(format_args!("NOTE: using PREVIOUS job config"));
            }
        }
        if is_unread {
            // What was not read is another content whenever it is looked at.
            self.files.watch.sight(FileId::CONFIG).vanish();
            self.files.watch.look_by(clock::now() + RETRY_EVERY);
        }
        self.tidy();
    }

    /// Returns true if somebody may have been writing the file while it was read.
    fn is_half(&mut self, opened: &Opened) -> bool {
        let is_unknown = opened.writers == Writers::Unknown;
        is_unknown && self.files.was_written_meanwhile(FileId::CONFIG, opened)
    }

    fn load(&mut self, opened: &Result<Opened, Errno>) -> Result<(), Refused> {
        if let Ok(opened) = opened {
            // What cannot be read has no digest; the load says so.
            let _ = self.files.accept(FileId::CONFIG, opened);
        }
        let (text, standby) = (&mut self.files.text, self.supervisor.standby());
        let loaded = self.config.load(opened, text, standby, &mut tell, &mut show);
        if let Some(exposure) = self.config.exposure() {
            tell::warning!("{}: {exposure}", self.config);
        }
        loaded
    }

    /// Makes the configuration that was just read the live one.
    fn apply(&mut self) {
        self.supervisor.handle(clock::now(), Event::Reloaded);
        self.follow_addresses();
        self.forget_files();
        self.lay_watches();
        tell::debug!("{} jobs are configured", self.supervisor.config().len());
    }

    /// Sends and listens where the live configuration says. One that comes
    /// while pmtr is leaving does not become the live one.
    fn follow_addresses(&mut self) {
        if !self.supervisor.is_leaving() {
            let (new, old) = (self.supervisor.config(), self.supervisor.previous());
            self.udp.follow(clock::now(), new, old, &self.poller);
        }
    }

    /// Gives back the memory that only a load needs.
    fn tidy(&mut self) {
        self.files.text.forget();
        let standby = self.supervisor.standby();
        standby.clear();
        // SAFETY: of an empty configuration only the lengths count, and they are zeros.
        unsafe { give_back(standby) };
    }

    /// Watches what the live configuration needs watched.
    fn lay_watches(&mut self) {
        self.wait_for_mounts();
        self.files.watch.begin();
        self.files.watch.lay(self.config.path(), FileId::CONFIG);
        self.each_dependency(&mut |watch, path| {
            if let Some(id) = watch.file(path) {
                watch.lay(path, id);
            }
        });
        self.files.watch.laid(clock::now());
    }

    /// Waits for changes of the table of mounts, once there is one.
    fn wait_for_mounts(&mut self) {
        if self.files.watch.open_mounts() {
            let fd = self.files.watch.mounts();
            let added = fd.map(|fd| self.poller.add(fd, Ready::Mounts, Interest::Urgent));
            if added.is_some_and(|added| added.is_err()) {
                self.files.watch.close_mounts();
            }
        }
    }

    /// Forgets what is known of files that the live configuration does not name any more.
    fn forget_files(&mut self) {
        self.each_dependency(&mut |watch, path| watch.keep(path));
        self.files.watch.forget();
    }

    fn each_dependency(&mut self, with: &mut dyn FnMut(&mut Watch, &CStr)) {
        for job in self.supervisor.config().jobs() {
            for path in job.depends() {
                let done = digest::with_path(job, &self.cwd, path, |path| {
                    with(&mut self.files.watch, path);
                    Ok(())
                });
                // A path that is too long cannot be read either, which is told.
                let _ = done;
            }
        }
    }

    /// Tells the supervisor the content of what jobs depend on, where that is finished.
    fn tell_digests(&mut self) {
        for position in 0..self.supervisor.config().len() {
            let spec = self.supervisor.config().job(position);
            if spec.depends().next().is_some() {
                if let Some(job) = self.supervisor.job_at(position) {
                    self.tell_digest(job, Unfinished::IsIgnored);
                }
            }
        }
    }

    /// An unfinished file of a job that is about to start is one that is missing.
    pub(super) fn tell_digest(&mut self, job: JobId, unfinished: Unfinished) {
        let Some(spec) = self.supervisor.spec(job) else { return };
        if let Some(digest) = self.files.digest(spec, &self.cwd, unfinished) {
            self.supervisor.handle(clock::now(), Event::Depends { job, digest });
        }
    }
}

/// Puts a problem of the configuration into the log.
fn tell(problem: &Problem<'_>, file: &CStr) {
    let record = problem.record(file.to_bytes());
    match problem.severity() {
        Severity::Error => tell::error!("{record}"),
        Severity::Warning => tell::warning!("{record}"),
    }
}

/// Shows a word of the configuration as it is read (option `-vv`).
fn show(token: &Token<'_>) {
    ::log::trace!("{token}");
}
