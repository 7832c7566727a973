//! A directory with a configuration, a syslog daemon, and a pmtr.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::log::{Log, Record};
use super::patience::{eventually, LONG, SHORT};
use super::process;
use super::run::Pmtr;
use super::save::{self, Save};

/// In the environment of every process that a test starts, with the test's
/// directory, so that no other is ever killed.
pub(super) const MARK: &str = "PMTR_TEST_WORLD";

/// One pmtr and what surrounds it. Dropping it ends what it started.
pub struct World {
    pub(super) log: Log,
    pub(super) pmtr: Option<Pmtr>,
    pub(super) options: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) wrapper: Vec<String>,
    pub(super) user: Option<u32>,
    pub(super) stdout: Option<Stdio>,
    pub(super) prepare: Option<fn() -> io::Result<()>>,
    /// The configuration's path in the directory.
    config: &'static str,
    pub(super) stderr: Option<Stdio>,
    pub(super) stderr_copy: Option<std::thread::JoinHandle<()>>,
    /// When it began, for the kernel: in seconds since the machine was started.
    born: f64,
    // Dropped last: everything else lies in it.
    pub(super) dir: TempDir,
}

/// A `job` block: its name, and its other lines.
pub fn job(name: &str, lines: &str) -> String {
    format!("job {{\n  name {name}\n  {lines}\n}}\n")
}

/// A job for each of the names that does nothing until SIGTERM ends it.
pub fn sleepers(names: &str) -> String {
    names.split(' ').map(|name| job(name, "cmd /bin/sleep 1000")).collect()
}

/// Setting up.
impl World {
    /// One without a configuration, in which nothing runs yet.
    pub fn new() -> World {
        let dir = tempfile::Builder::new().prefix("pmtr-").tempdir().expect("a directory");
        // Jobs of other users have to get in.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
        World {
            log: Log::at(dir.path().join("log")),
            pmtr: None,
            options: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            user: None,
            stdout: None,
            prepare: None,
            config: "pmtr.conf",
            stderr: None,
            stderr_copy: None,
            born: process::uptime().floor(),
            dir,
        }
    }

    /// One in which a pmtr runs with this configuration.
    #[track_caller]
    pub fn with(config: &str) -> World {
        let mut world = World::new();
        world.config(config);
        world.start();
        world
    }

    /// Starts a pmtr with a mount table of its own: every mount of another test would wake it.
    pub fn undisturbed(config: &str) -> World {
        let mut world = World::new();
        if super::is_root() {
            world = world.wrapped_in(&["unshare", "-m"]);
        }
        world.config(config);
        world.start();
        world
    }

    /// Has the configuration somewhere else in the directory.
    pub fn config_at(mut self, path: &'static str) -> World {
        self.config = path;
        self
    }

    /// Adds an option for pmtr.
    pub fn option(mut self, option: &str) -> World {
        self.options.push(self.expanded(option));
        self
    }

    /// Adds a variable to pmtr's environment.
    pub fn variable(mut self, name: &str, value: &str) -> World {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// Puts words in front of pmtr's command line: a program that ends in
    /// executing the rest.
    pub fn wrapped_in(mut self, words: &[&str]) -> World {
        self.wrapper = words.iter().map(|word| word.to_string()).collect();
        self
    }

    /// Gives pmtr another standard output than /dev/null.
    pub fn stdout_to(mut self, stdout: impl Into<Stdio>) -> World {
        self.stdout = Some(stdout.into());
        self
    }

    /// Has a new process do something before it becomes pmtr, or what that is wrapped in: only what
    /// is async-signal-safe.
    pub fn prepared_by(mut self, prepare: fn() -> io::Result<()>) -> World {
        self.prepare = Some(prepare);
        self
    }

    /// Gives pmtr another standard error than the file that [`stderr`](Self::stderr) reads.
    pub fn stderr_to(mut self, stderr: impl Into<Stdio>) -> World {
        self.stderr = Some(stderr.into());
        self
    }

    /// Writes the configuration in place. `$DIR` in it is the directory.
    pub fn config(&self, text: &str) {
        self.save(save::in_place, text);
    }

    /// Writes the configuration in the way `how`.
    pub fn save(&self, how: Save, text: &str) {
        how(&self.config_file(), &self.expanded(text));
    }

    /// Creates or overwrites a file in the directory.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, self.expanded(text)).expect("writing");
        path
    }

    /// Makes an executable shell script in the directory.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        // Written by a process of its own: while another thread forks, a
        // descriptor that this one writes through would be open there too, and
        // executing the file fail (ETXTBSY).
        let path = self.path(name);
        let text = format!("#!/bin/sh\n{}\n", self.expanded(text));
        let shell = ["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &text];
        let written = Command::new("/bin/sh").args(shell).arg(&path).status();
        assert!(written.expect("a shell").success(), "writing {}", path.display());
        path
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What a file in the directory says; nothing if it is not there.
    pub fn read(&self, name: &str) -> String {
        // What jobs write need not be text.
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.path(self.config)
    }

    /// The pid file of [`start_daemon`](Self::start_daemon).
    pub fn pid_file(&self) -> PathBuf {
        self.path("pmtr.pid")
    }

    fn expanded(&self, text: &str) -> String {
        text.replace("$DIR", self.dir.path().to_str().expect("a plain path"))
    }
}

/// Watching pmtr.
impl World {
    /// What pmtr and its jobs logged.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The syslog daemon, to stop and start it.
    pub fn syslog(&mut self) -> &mut Log {
        &mut self.log
    }

    /// What pmtr wrote to its standard error.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits for the job's first start; its record.
    #[track_caller]
    pub fn started(&self, job: &str) -> Record {
        self.log.wait_for(&start_of(job))
    }

    /// Waits for the job's first exit; its record.
    #[track_caller]
    pub fn exited(&self, job: &str) -> Record {
        self.log.within(SHORT).wait_exit(job)
    }

    /// How often the job was started so far.
    pub fn starts(&self, job: &str) -> usize {
        self.log.own(&start_of(job)).len()
    }

    /// The job's process, from its latest start; waits for the first.
    #[track_caller]
    pub fn pid_of(&self, job: &str) -> i32 {
        self.started(job);
        self.log.own(&start_of(job)).last().expect("a start").job_pid()
    }

    /// Waits until the job is started again after it was process `old`; its new process.
    #[track_caller]
    pub fn restarted(&self, job: &str, old: i32) -> i32 {
        let start = self.log.wait_for(&format!("{}{old}]", start_of(job)));
        self.log.wait_after(&start, &start_of(job)).job_pid()
    }

    /// Like [`restarted`](Self::restarted), for a job that `depends` has restarted before: the
    /// second restart comes at the end of ten seconds.
    #[track_caller]
    pub fn restarted_again(&self, job: &str, old: i32) -> i32 {
        let log = self.log.within(LONG);
        let start = log.wait_for(&format!("{}{old}]", start_of(job)));
        log.wait_after(&start, &start_of(job)).job_pid()
    }

    /// The job's process, once it runs its program.
    #[track_caller]
    pub fn running(&self, job: &str) -> i32 {
        let pid = self.pid_of(job);
        let own = process::program(self.pid()).expect("a running pmtr");
        process::exec_after(&own, pid);
        pid
    }

    /// Waits until something of pmtr has happened that was asked for after all
    /// that the test did before: a reload of the unchanged file.
    #[track_caller]
    pub fn fence(&self) {
        let before = self.log.own("rescanning job configuration").len();
        self.signal(Signal::SIGHUP);
        self.log.wait_nth("rescanning job configuration", before + 1);
    }

    /// All living processes that this world has started, pmtr too.
    pub fn processes(&self) -> Vec<i32> {
        let mut unclear = process::all_in_exec(self.born);
        eventually("no process amid an execve(2), where it has no mark", || {
            unclear.retain(|&pid| process::is_in_exec(pid));
            unclear.is_empty()
        });
        process::marked(&self.mark())
    }

    /// All living processes that this world has started with `word` in their command line.
    pub fn processes_with(&self, word: &str) -> Vec<i32> {
        let has_word = |&pid: &i32| process::words(pid).iter().any(|w| w == word);
        self.processes().into_iter().filter(has_word).collect()
    }

    fn mark(&self) -> String {
        format!("{MARK}={}", self.dir.path().display())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}stderr:\n{}", self.log.dump(), self.stderr());
        }
        if let Some(Pmtr::Foreground(mut child)) = self.pmtr.take() {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.end_all();
    }
}

impl World {
    /// Kills what is left of this world, until nothing is: a process that forks
    /// meanwhile is found the next time, one without a mark for the moment when
    /// it has one again.
    fn end_all(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut unclear = process::all_in_exec(self.born);
        while Instant::now() < deadline {
            unclear.retain(|&pid| process::is_in_exec(pid));
            let left = process::marked(&self.mark());
            if left.is_empty() && unclear.is_empty() {
                return;
            }
            for &pid in &left {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            }
            if !left.is_empty() {
                unclear = process::all_in_exec(self.born);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The beginning of what pmtr logs when it has started a job.
fn start_of(job: &str) -> String {
    format!("started job {job} [")
}
