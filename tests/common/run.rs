//! Starting and ending the pmtr of a world.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::log::MALFORMED;
use super::patience::{patiently, LONG, SHORT};
use super::process;
use super::world::{World, MARK};

/// A pmtr that was started.
pub(super) enum Pmtr {
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
        let stderr = self.stderr.take().unwrap_or_else(|| self.stderr_pipe().into());
        let stdout = self.stdout.take().unwrap_or_else(Stdio::null);
        let mut command = self.command(options);
        let child = command.args(self.usual_options()).stdout(stdout).stderr(stderr).spawn();
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
        self.finish_stderr();
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
        command.stdin(Stdio::null()).current_dir(self.dir.path());
        if let Some(uid) = self.user {
            command.uid(uid).gid(uid);
        }
        let prepare = self.prepare.unwrap_or(|| Ok(()));
        // By fork(2), as an init does it: posix_spawn(3) ignores the signals that libc keeps for itself.
        // SAFETY: a few system calls.
        unsafe { command.pre_exec(prepare) };
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

    /// A pipe to a file: of a file itself pmtr makes one, with a process of its own.
    fn stderr_pipe(&mut self) -> OwnedFd {
        let path = self.path("stderr");
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.expect("a file for stderr");
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
        let mut reader = File::from(reader);
        self.stderr_copy = Some(std::thread::spawn(move || {
            let _ = std::io::copy(&mut reader, &mut file);
        }));
        writer
    }

    /// Waits until all that pmtr has written is in the file; not for long, as others may have the pipe.
    fn finish_stderr(&mut self) {
        let Some(copy) = self.stderr_copy.take() else { return };
        let end = Instant::now() + super::stretched(1);
        while !copy.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Every record has to be one that a syslog daemon understands.
    fn check_records(&self) {
        let malformed = self.log.all().into_iter().find(|record| record.tag == MALFORMED);
        assert!(malformed.is_none(), "no syslog record: {malformed:?}");
    }
}

/// The program under test.
pub fn program() -> PathBuf {
    match std::env::var_os("PMTR_BIN") {
        Some(path) => Path::new(&path).canonicalize().expect("PMTR_BIN"),
        // Above the tests: target/debug/pmtr, and target/debug/deps/TEST. Cargo's macro for it would
        // write the path of the build into the tests, which are packaged, too (meta-pmtr).
        None => {
            let test = std::env::current_exe().expect("the test's own path");
            test.ancestors().nth(2).expect("target/debug").join("pmtr")
        }
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
