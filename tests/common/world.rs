//! A directory with a configuration, a syslog daemon, and a pmtr.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{chown, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::log::{Log, Record, MALFORMED};
use super::patience::{patiently, LONG, SHORT};
use super::process;
use super::save::{self, Save};

/// In the environment of every process that a test starts, with the test's
/// directory, so that no other is ever killed.
const MARK: &str = "PMTR_TEST_WORLD";

/// One pmtr and what surrounds it. Dropping it ends what it started.
pub struct World {
    log: Log,
    pmtr: Option<Pmtr>,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    user: Option<u32>,
    stderr: Option<Stdio>,
    // Dropped last: everything else lies in it.
    dir: TempDir,
}

/// A pmtr that was started.
enum Pmtr {
    Foreground(Child),
    /// Reaped by others; known by its pid file.
    Daemon(i32),
}

/// How a pmtr that ran to its end has ended.
pub struct Finished {
    /// Its exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Everything that it said.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
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
            stderr: None,
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

    /// What a file in the directory says; nothing if it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.path("pmtr.conf")
    }

    /// The pid file of [`start_daemon`](Self::start_daemon).
    pub fn pid_file(&self) -> PathBuf {
        self.path("pmtr.pid")
    }

    fn expanded(&self, text: &str) -> String {
        text.replace("$DIR", self.dir.path().to_str().expect("a plain path"))
    }
}

/// Starting and ending pmtr.
impl World {
    /// Starts pmtr in the foreground, and waits until it says so.
    #[track_caller]
    pub fn start(&mut self) {
        let before = self.log.own("pmtr: starting").len();
        self.start_silently();
        self.log.wait_nth("pmtr: starting", before + 1);
    }

    /// Starts pmtr in the foreground.
    pub fn start_silently(&mut self) {
        self.start_with(&["-F"]);
    }

    /// Starts pmtr with these options and the usual ones.
    pub fn start_with(&mut self, options: &[&str]) {
        assert!(self.pmtr.is_none(), "one pmtr in a world at a time");
        let stderr = self.stderr.take().unwrap_or_else(|| self.stderr_file().into());
        let mut command = self.command(options);
        let child = command.args(self.usual_options()).stdout(Stdio::null()).stderr(stderr).spawn();
        self.pmtr = Some(Pmtr::Foreground(child.expect("starting pmtr")));
    }

    /// Starts pmtr in the foreground as an ordinary user, whom its directory then belongs to.
    pub fn start_as_user(&mut self, uid: u32) {
        self.become_user(uid);
        self.start_silently();
    }

    /// From now on everything is started as this user.
    pub fn become_user(&mut self, uid: u32) {
        for path in [self.dir.path().to_path_buf(), self.config_file()] {
            chown(path, Some(uid), Some(uid)).expect("chown");
        }
        // To where the user can execute it; by another process, as in `script`.
        let copied = Command::new("/bin/cp").arg(program()).arg(self.path("pmtr")).status();
        assert!(copied.expect("cp").success(), "copying pmtr");
        self.user = Some(uid);
    }

    /// Starts pmtr as a daemon: its command has to return with status 0.
    #[track_caller]
    pub fn start_daemon(&mut self) {
        assert!(self.pmtr.is_none(), "one pmtr in a world at a time");
        let pid_file = self.pid_file();
        let finished = self.run(&["-p", pid_file.to_str().expect("a plain path")]);
        assert_eq!(finished.status, Some(0), "starting the daemon: {}", finished.said());
        let text = fs::read_to_string(pid_file).expect("a pid file when the command returns");
        self.pmtr = Some(Pmtr::Daemon(text.trim().parse().expect("a pid")));
    }

    /// Runs pmtr with these options and the usual ones to its end.
    #[track_caller]
    pub fn run(&self, options: &[&str]) -> Finished {
        self.finish(self.command(options).args(self.usual_options()))
    }

    /// Runs pmtr with nothing but these options to its end.
    #[track_caller]
    pub fn run_bare(&self, options: &[&str]) -> Finished {
        self.finish(&mut self.command(options))
    }

    /// pmtr's process: the one that was started, in whatever it is wrapped.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        match self.pmtr.as_ref().expect("pmtr was not started") {
            Pmtr::Foreground(child) => child.id() as i32,
            Pmtr::Daemon(pid) => *pid,
        }
    }

    /// Whether pmtr runs.
    pub fn is_up(&mut self) -> bool {
        match self.pmtr.as_mut() {
            Some(Pmtr::Foreground(child)) => child.try_wait().expect("waiting").is_none(),
            Some(Pmtr::Daemon(pid)) => process::alive(*pid),
            None => false,
        }
    }

    /// Sends pmtr a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        process::send(self.pid(), signal);
    }

    /// Sends pmtr SIGTERM and waits for its end; returns its exit status.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for the end of pmtr. Its exit status, if it has one: of a daemon
    /// only others learn it, and 0 is told.
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        let status = match self.pmtr.take().expect("pmtr was not started") {
            Pmtr::Foreground(mut child) => exit_of(&mut child, LONG).code(),
            Pmtr::Daemon(pid) => {
                patiently(LONG, "the end of the daemon", || (!process::alive(pid)).then_some(0));
                Some(0)
            }
        };
        self.check_records();
        status
    }

    /// Kills pmtr so that it can do nothing about it.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// A command line with pmtr in it, in this world's environment.
    pub fn command(&self, options: &[&str]) -> Command {
        let runner = std::env::var("PMTR_RUNNER").unwrap_or_default();
        let mut words: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        words.extend(runner.split_whitespace().map(OsString::from));
        words.push(if self.user.is_some() { self.path("pmtr") } else { program() }.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&self.options).args(options);
        // Those of a host's service manager would change what pmtr does.
        command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        command.env(MARK, self.dir.path()).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null());
        if let Some(uid) = self.user {
            command.uid(uid).gid(uid);
        }
        command
    }

    fn usual_options(&self) -> Vec<OsString> {
        let (config, state) = (self.config_file(), self.path("state"));
        vec![
            "-c".into(),
            config.into(),
            "--log-socket".into(),
            self.log.path().into(),
            "--state-dir".into(),
            state.into(),
        ]
    }

    #[track_caller]
    fn finish(&self, command: &mut Command) -> Finished {
        let (out, err) = (self.path("finish.out"), self.path("finish.err"));
        let create = |path| Stdio::from(File::create(path).expect("a file"));
        let mut child = command.stdout(create(&out)).stderr(create(&err)).spawn().expect("pmtr");
        let status = exit_of(&mut child, SHORT).code();
        let read = |path| fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
        Finished { status, stdout: read(out).expect("a file"), stderr: read(err).expect("a file") }
    }

    fn stderr_file(&self) -> File {
        let path = self.path("stderr");
        OpenOptions::new().create(true).append(true).open(path).expect("a file for stderr")
    }

    /// Every record has to be one that a syslog daemon understands.
    fn check_records(&self) {
        let malformed = self.log.all().into_iter().find(|record| record.tag == MALFORMED);
        assert!(malformed.is_none(), "no syslog record: {malformed:?}");
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
    /// meanwhile is found the next time.
    fn end_all(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in left {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The beginning of what pmtr logs when it has started a job.
fn start_of(job: &str) -> String {
    format!("started job {job} [")
}

/// The program under test.
fn program() -> PathBuf {
    match std::env::var_os("PMTR_BIN") {
        Some(path) => Path::new(&path).canonicalize().expect("PMTR_BIN"),
        None => env!("CARGO_BIN_EXE_pmtr").into(),
    }
}

#[track_caller]
fn exit_of(child: &mut Child, secs: u64) -> ExitStatus {
    let end = Instant::now() + super::stretched(secs);
    loop {
        if let Some(status) = child.try_wait().expect("waiting") {
            return status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("pmtr did not end within {secs} s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
