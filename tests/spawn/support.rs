//! A spawner of its own for every test, and processes with other properties than
//! the one that the tests are run in.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, str};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::libc;
use nix::unistd::pipe2;
use pmtr::config::{parse, Config, Problem};
use pmtr::supervise::{ExitStatus, Failure, Stage};
use pmtr::sys::spawn::{Limit, Report, Spawner};
use tempfile::{NamedTempFile, TempDir};

/// Nobody's uid and gid on Debian, and on most others.
pub const NOBODY: u32 = 65534;

/// In an emulator the tests wait for each other. Whatever one thread has when another one starts a
/// process, a lock of QEMU's too, nobody lets go of in the copy. pmtr has one thread.
static ALONE: Mutex<()> = Mutex::new(());

pub struct World {
    dir: TempDir,
    pub spawner: Spawner,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl World {
    pub fn new() -> Self {
        Self::with_files(Limit { soft: 256, hard: 512 })
    }

    /// A world whose jobs get this limit on open files.
    pub fn with_files(files: Limit) -> Self {
        let alone = || ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let _alone = super::skip::emulated().then(alone);
        let dir = TempDir::new().unwrap();
        // Other users are to get in.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        World { dir, spawner: Spawner::new(files).unwrap(), _alone }
    }

    /// The next process that did not get as far as its program.
    pub fn next_failure(&self) -> Option<Failure> {
        loop {
            match self.spawner.next_report().unwrap()? {
                Report::Failed(failure) => return Some(failure),
                Report::AnyCpu { .. } | Report::Nowhere { .. } | Report::Unrecorded { .. } => {}
            }
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a file with exactly this mode.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let draft = NamedTempFile::new().unwrap();
        fs::write(&draft, content).unwrap();
        copy(draft.path(), &self.path(name), mode);
        self.path(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The configuration with a job `test` with these options, in which `DIR` is
    /// the directory of this world.
    pub fn config(&self, options: &str) -> Box<Config> {
        let options = options.replace("DIR", self.dir.path().to_str().unwrap());
        config(&format!("job {{\n name test\n {options}\n}}\n"))
    }

    /// Starts such a job.
    pub fn start(&self, options: &str) -> Running<'_> {
        let config = self.config(options);
        let (log, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let pid = self.spawner.spawn(config.job(0), Some(end.as_fd()), None).unwrap();
        Running { world: self, pid, log, ended: false }
    }

    /// Starts a job and waits for its end; it has to have started.
    pub fn run(&self, options: &str) -> Ended {
        let ended = self.start(options).wait();
        assert!(ended.failure.is_none(), "{options}: {:?}", ended.failure);
        ended
    }

    /// What a job with these options wrote, having exited with 0.
    pub fn output(&self, options: &str) -> String {
        let ended = self.run(options);
        assert_eq!(ended.status, ExitStatus::Code(0), "{options}: {}", ended.output);
        ended.output
    }

    /// The stage that a job with these options failed in, and the error number.
    pub fn failure(&self, options: &str) -> (Stage, i32) {
        let ended = self.start(options).wait();
        let failure = ended.failure.unwrap_or_else(|| panic!("it started: {options}"));
        assert_eq!(failure.pid, ended.pid);
        assert_eq!(ended.status, ExitStatus::Code(127));
        (failure.stage, failure.errno.code)
    }
}

/// A process that was started, killed when the test is done with it.
pub struct Running<'w> {
    world: &'w World,
    pub pid: i32,
    log: OwnedFd,
    ended: bool,
}

/// What there is to say of a process that has ended.
pub struct Ended {
    pub pid: i32,
    pub status: ExitStatus,
    pub output: String,
    pub failure: Option<Failure>,
}

impl Running<'_> {
    pub fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join(name)
    }

    /// Waits until it has become its program. An emulator with libraries and tools of its own, in a
    /// directory called bin too, does not see that the machine's is a link: only the last name counts.
    pub fn until_runs(&self, program: &str) {
        let program = fs::canonicalize(program).unwrap();
        let is_it = |exe: PathBuf| exe.file_name() == program.file_name();
        until(|| fs::read_link(self.proc("exe")).is_ok_and(is_it));
        // Its command line is there at the end of execve(2), the link a moment before.
        until(|| fs::read(self.proc("cmdline")).is_ok_and(|words| !words.is_empty()));
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a child of this process that has not been reaped.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }

    pub fn wait(mut self) -> Ended {
        let output = self.read_log();
        let mut status = 0;
        // SAFETY: `status` is ours to be written to.
        until(|| unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) } == self.pid);
        self.ended = true;
        let status = match libc::WIFEXITED(status) {
            true => ExitStatus::Code(libc::WEXITSTATUS(status)),
            false => ExitStatus::Signal(libc::WTERMSIG(status)),
        };
        Ended { pid: self.pid, status, output, failure: self.world.next_failure() }
    }

    /// All that it and its children write until the last of them has closed the log.
    fn read_log(&self) -> String {
        let mut log = File::from(self.log.try_clone().unwrap());
        let mut output = Vec::new();
        until(|| match log.read_to_end(&mut output) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        });
        String::from_utf8(output).unwrap()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: a child of this process that has not been reaped; no status is asked for.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}

/// The configuration that a file with this content makes.
pub fn config(text: &str) -> Box<Config> {
    let mut config = Box::default();
    let mut problem = String::new();
    let found = &mut |found: &Problem<'_>| problem = found.report(b"test").to_string();
    let result = parse(text.as_bytes(), &mut config, found);
    assert!(result.is_ok(), "{problem}");
    config
}

pub fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < super::skip::stretched(20), "it takes too long");
        sleep(Duration::from_millis(2));
    }
}

/// The value of a line `key: value` of a file in /proc.
pub fn field<'t>(text: &'t str, key: &str) -> &'t str {
    let line = text.lines().find(|line| line.split(':').next() == Some(key));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).split_once(':').unwrap().1.trim()
}

/// Set where a test is run once more.
const APART: &str = "PMTR_TEST_APART";

/// Runs a test once more, in a process of its own that `change` makes different;
/// returns whether this is that process. `test` is the full name of the test.
pub fn apart(test: &str, change: impl FnOnce(&mut Command)) -> bool {
    apart_under(&[], test, change)
}

/// The same, as the command that `wrapper` runs.
pub fn apart_under(wrapper: &[&str], test: &str, change: impl FnOnce(&mut Command)) -> bool {
    if env::var_os(APART).is_some() {
        return true;
    }
    // Where this program was built, nobody else may get in.
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("test");
    copy(&env::current_exe().unwrap(), &program, 0o755);
    let words: Vec<_> =
        wrapper.iter().map(Into::into).chain(super::again::on_target(&program)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--exact", "--nocapture", test]).current_dir("/");
    change(&mut command);
    let output = command.env(APART, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    assert!(text.contains("1 passed"), "there is no test {test}: {text}");
    false
}

/// Copies a file, by another process: children that other tests fork at this
/// moment would have it open for writing for a while, and it could not be run.
fn copy(from: &Path, to: &Path, mode: u32) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
    fs::set_permissions(to, Permissions::from_mode(mode)).unwrap();
}

/// Runs a test once more as nobody; returns whether this process is that one.
pub fn as_nobody(test: &str) -> bool {
    as_nobody_with(test, |_| ())
}

/// The same, with a process that is different in another way, too.
pub fn as_nobody_with(test: &str, change: impl FnOnce(&mut Command)) -> bool {
    use std::os::unix::process::CommandExt;
    if env::var_os(APART).is_some() {
        assert_eq!(nix::unistd::getuid().as_raw(), NOBODY);
        return true;
    }
    is_root(test)
        && apart(test, |command| {
            command.uid(NOBODY).gid(NOBODY);
            change(command);
        })
}

/// Runs a test once more as the command that `wrapper` runs, which root is needed for; returns
/// whether this process is that one.
pub fn root_under(wrapper: &[&str], test: &str) -> bool {
    env::var_os(APART).is_some() || is_root(test) && apart_under(wrapper, test, |_| ())
}

/// Whether the tests run as root; says what is left out if not.
pub fn is_root(test: &str) -> bool {
    let root = super::skip::is_root();
    if !root {
        eprintln!("skipped: {test} needs root");
    }
    root
}

/// Whether hard limits can be raised; says what is left out if not. In some
/// containers root may not (capabilities(7), `CAP_SYS_RESOURCE`).
pub fn may_raise_limits(test: &str) -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let may = u64::from_str_radix(field(&status, "CapEff"), 16).unwrap() >> CAP_SYS_RESOURCE & 1;
    if may == 0 {
        eprintln!("skipped: {test} needs CAP_SYS_RESOURCE");
    }
    may == 1
}
