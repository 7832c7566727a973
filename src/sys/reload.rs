//! The configuration in the loop: read, read again, and what its jobs depend on.

use super::config_file::Refused;
use super::errno::Meaning;
use super::pages::give_back;
use super::run::Shell;
use super::std::format;
use super::std::prelude::v1::*;
use super::tell;
use super::watch::Role;
use super::{clock, digest, is_passing, log};
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
        let loaded = self.load();
        loaded.map_err(|refused| format!("parse failed: {}: {refused}", self.config))?;
        if let Some(warning) = self.state.warning() {
            tell::warning!("{warning}");
        }
        self.stop_leftovers();
        if !self.supervisor.is_leaving() {
            tell::info!("pmtr: starting");
            self.apply();
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
        self.lay_watches();
        let may_be_half = hints.config_created && !self.config.is_link();
        let is_new = hints.config_written || (!may_be_half && self.config.has_changed());
        if !is_new {
            self.tell_digests();
        } else if self.config.is_being_written() {
            // Looked at again even if no event follows: the kernel tells of the
            // closing of a file a moment before it counts one writer less.
            self.files.watch.put_off(clock::now());
            self.tell_digests();
        } else {
            self.reload();
        }
    }

    /// Reads the configuration again, and looks at what jobs depend on.
    pub(super) fn reload(&mut self) {
        log::zone_may_have_changed();
        if !self.is_unread {
            tell::info!("rescanning job configuration");
        }
        self.reload_config();
        self.tell_digests();
    }

    /// A configuration with an error changes nothing.
    ///
    /// One that cannot be read now is looked at every [`LOOK_EVERY`](super::watch::LOOK_EVERY)
    /// without a further word, until it can: no event of the file would tell.
    fn reload_config(&mut self) {
        let loaded = self.load();
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
            self.files.watch.look_again(clock::now());
        }
        self.tidy();
    }

    fn load(&mut self) -> Result<(), Refused> {
        let standby = self.supervisor.standby();
        let loaded = self.config.load(&mut self.files.text, standby, &mut tell, &mut show);
        if let Some(exposure) = self.config.exposure() {
            tell::warning!("{}: {exposure}", self.config);
        }
        loaded
    }

    /// Makes the configuration that was just read the live one.
    fn apply(&mut self) {
        self.supervisor.handle(clock::now(), Event::Reloaded);
        self.follow_addresses();
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
        self.files.watch.begin();
        self.files.watch.lay(self.config.path(), Role::Config);
        for job in self.supervisor.config().jobs() {
            for path in job.depends() {
                let laid = digest::with_path(job, &self.cwd, path, |path| {
                    self.files.watch.lay(path, Role::Depends);
                    Ok(())
                });
                // A path that is too long cannot be read either, which is told.
                let _ = laid;
            }
        }
        self.files.watch.laid(clock::now());
    }

    /// Tells the supervisor the content of what jobs depend on.
    fn tell_digests(&mut self) {
        for position in 0..self.supervisor.config().len() {
            let spec = self.supervisor.config().job(position);
            if spec.depends().next().is_some() {
                if let Some(job) = self.supervisor.job_at(position) {
                    self.tell_digest(job);
                }
            }
        }
    }

    pub(super) fn tell_digest(&mut self, job: JobId) {
        if let Some(spec) = self.supervisor.spec(job) {
            let digest = digest::digest(spec, &self.cwd);
            if digest.is_err_and(|unreadable| is_passing(Errno::from_raw(unreadable.errno.code))) {
                self.files.watch.look_again(clock::now());
            }
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
