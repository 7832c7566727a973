//! Becoming a daemon, and the pid file, with real processes.

use std::env;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{exit, id, Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;
use nix::sys::signal::{kill, raise, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, close, getpgrp, getpid, getsid, mkfifo, read, write, Pid};
use pmtr::sys::daemon::{detach, has_stderr, sanitise_stdio, Launch};
use pmtr::sys::pidfile::{PidFile, Refused};
use tempfile::TempDir;

#[path = "common/again.rs"]
mod again;
#[path = "common/patience.rs"]
mod patience;
#[path = "common/skip.rs"]
mod skip;

use patience::eventually;
use skip::needs_root;

// The command returns when the start is known to have worked.

#[test]
fn the_command_succeeds_when_the_daemon_is_ready_and_not_before() {
    let house = House::new();
    let mut command = house.command("detach-and-wait").spawn().unwrap();
    let daemon = house.daemon();
    sleep(Duration::from_millis(100));
    assert_eq!(command.try_wait().unwrap(), None, "it does not wait");
    fs::write(house.path("go"), "").unwrap();
    assert!(command.wait().unwrap().success());
    assert!(daemon.runs());
}

#[test]
fn a_daemon_has_a_session_of_its_own_and_no_terminal() {
    let house = House::new();
    fs::write(house.path("go"), "").unwrap();
    let stderr = fs::File::create(house.path("stderr")).unwrap();
    assert!(house.command("detach-and-wait").stderr(stderr).status().unwrap().success());
    assert_eq!(fs::read_to_string(house.path("stderr")).unwrap(), "");

    let daemon = house.daemon();
    let link = |name: &str| fs::read_link(format!("/proc/{}/{name}", daemon.0)).unwrap();
    // Relative paths of its jobs start there, as in the foreground.
    assert_eq!(link("cwd"), std::env::current_dir().unwrap());
    for fd in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(fd), Path::new("/dev/null"), "{fd}");
    }
    let (pid, session, group, umask) = house.facts();
    assert_eq!((pid, pid), (session, group));
    assert_eq!(umask, 0o022);
}

#[test]
fn a_start_that_fails_is_told_once_and_the_command_fails() {
    let output = House::new().output("detach-and-fail");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "the reason\n");
}

#[test]
fn a_start_that_is_killed_is_told_by_the_command() {
    let output = House::new().output("detach-and-die");
    assert_eq!(output.status.code(), Some(1));
    let expected = "pmtr: the start failed: ended by signal 9\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
}

#[test]
fn a_start_that_ends_without_a_word_has_failed() {
    let output = House::new().output("detach-and-leave");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "pmtr: the start failed: ended too early\n"
    );
}

#[test]
fn in_the_foreground_nothing_is_redirected() {
    let output = House::new().output("foreground");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "still here\n");
}

// Descriptors 0 to 2.

#[test]
fn closed_standard_descriptors_become_dev_null_and_no_other() {
    let status = House::new().command("close-and-sanitise").status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn without_dev_null_they_take_everything_and_give_nothing_as_well() {
    if needs_root("without_dev_null_they_take_everything_and_give_nothing_as_well") {
        return;
    }
    let status = House::new().command("sanitise-in-empty-root").status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn stderr_is_there_unless_it_is_closed_or_dev_null() {
    let house = House::new();
    let with = |stderr: Stdio| house.command("has-stderr").stderr(stderr).status().unwrap().code();
    assert_eq!(with(Stdio::piped()), Some(0));
    assert_eq!(with(fs::File::create(house.path("log")).unwrap().into()), Some(0));
    assert_eq!(with(Stdio::null()), Some(1));
    let closed = Command::new("sh")
        .args(["-c", "exec \"$@\" 2>&-", "sh"])
        .args(again::on_target(&env::current_exe().unwrap()))
        .args(ARGS)
        .env(ROLE, "has-stderr")
        .env(HOUSE, house.dir.path())
        .stdout(Stdio::null())
        .status();
    assert_eq!(closed.unwrap().code(), Some(1));
}

// The pid file.

#[test]
fn a_pid_file_holds_the_process_id_and_is_removed() {
    let house = House::new();
    let path = house.path("pmtr.pid");
    let pidfile = PidFile::write(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", id()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7133, 0);
    pidfile.remove();
    assert!(!path.exists());
}

#[test]
fn an_old_pid_file_is_overwritten_whole() {
    let house = House::new();
    let path = house.path("pmtr.pid");
    fs::write(&path, "99999999999999999999\nold\n").unwrap();
    let _pidfile = PidFile::write(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", id()));
}

#[test]
fn a_pid_file_that_is_not_ours_any_more_stays() {
    let house = House::new();
    let path = house.path("pmtr.pid");

    let pidfile = PidFile::write(&path).unwrap();
    fs::write(&path, "1\n").unwrap();
    pidfile.remove();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");

    let pidfile = PidFile::write(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, format!("{}\n", id())).unwrap();
    pidfile.remove();
    assert!(path.exists(), "another file of the same name and content");
}

#[test]
fn a_pid_file_that_is_gone_already_is_no_trouble() {
    let house = House::new();
    let pidfile = PidFile::write(&house.path("pmtr.pid")).unwrap();
    fs::remove_file(house.path("pmtr.pid")).unwrap();
    pidfile.remove();
}

#[test]
fn nothing_but_a_plain_file_is_overwritten() {
    let house = House::new();
    let path = house.path("pmtr.pid");
    let victim = house.path("victim");
    fs::write(&victim, "precious").unwrap();
    let refused = |with: &dyn Fn()| {
        with();
        let refused = PidFile::write(&path).err();
        let _ = fs::remove_file(&path);
        refused
    };
    let is_link = Some(Refused::Failed(Errno::ELOOP));
    assert_eq!(refused(&|| symlink(&victim, &path).unwrap()), is_link);
    assert_eq!(refused(&|| fs::hard_link(&victim, &path).unwrap()), Some(Refused::NotPlain));
    assert_eq!(refused(&|| mkfifo(&path, Mode::S_IRWXU).unwrap()), Some(Refused::NotPlain));
    let is_directory = Some(Refused::Failed(Errno::EISDIR));
    assert_eq!(refused(&|| fs::create_dir(&path).unwrap()), is_directory);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_pid_file_in_no_directory_is_refused() {
    let path = House::new().path("missing/pmtr.pid");
    let refused = PidFile::write(&path).err().unwrap();
    assert_eq!(refused.to_string(), "No such file or directory");
}

#[test]
fn a_second_pmtr_does_not_take_the_pid_file_of_the_first() {
    let house = House::new();
    let first = house.role("hold-pidfile");
    let path = house.path("pmtr.pid");
    let pid = first.0.id() as i32;
    assert_eq!(PidFile::write(&path).err(), Some(Refused::Held { pid }));
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{pid}\n"));
    first.kill();
    assert!(PidFile::write(&path).is_ok(), "a killed pmtr holds nothing");
}

#[test]
fn who_can_only_read_the_pid_file_cannot_keep_pmtr_from_starting() {
    let house = House::new();
    fs::write(house.path("pmtr.pid"), "1\n").unwrap();
    let _reader = house.role("read-lock-pidfile");
    assert!(PidFile::write(&house.path("pmtr.pid")).is_ok());
}

// The scene.

const ROLE: &str = "PMTR_TEST_ROLE";
const HOUSE: &str = "PMTR_TEST_HOUSE";
const ARGS: [&str; 3] = ["role", "--exact", "--nocapture"];

struct House {
    dir: TempDir,
}

impl House {
    fn new() -> House {
        House { dir: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// This test program in another role.
    fn command(&self, role: &str) -> Command {
        let mut command = again::this_program();
        command.args(ARGS).env(ROLE, role).env(HOUSE, self.dir.path()).stdout(Stdio::null());
        command
    }

    fn output(&self, role: &str) -> Output {
        self.command(role).stderr(Stdio::piped()).output().unwrap()
    }

    /// The same, once it says that it is ready.
    fn role(&self, role: &str) -> Role {
        let role = Role(self.command(role).spawn().unwrap());
        eventually("the other process", || self.path("ready").exists());
        role
    }

    /// The process that has written facts about itself.
    fn daemon(&self) -> Daemon {
        eventually("the daemon", || self.path("facts").exists());
        Daemon(Pid::from_raw(self.facts().0))
    }

    /// Process id, session, group, umask.
    fn facts(&self) -> (i32, i32, i32, u32) {
        let text = fs::read_to_string(self.path("facts")).unwrap();
        let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        (next(), next(), next(), next() as u32)
    }
}

/// A child; killed at the end of the test.
struct Role(Child);

impl Role {
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No child any more; killed at the end of the test.
struct Daemon(Pid);

impl Daemon {
    fn runs(&self) -> bool {
        kill(self.0, None).is_ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

// The other processes.

/// Not a test, but what the tests start as a process of its own.
#[test]
fn role() {
    let Ok(role) = env::var(ROLE) else { return };
    let dir = PathBuf::from(env::var_os(HOUSE).unwrap());
    match role.as_str() {
        "detach-and-wait" => detach_and_wait(&dir),
        "detach-and-fail" => {
            let _launch = detach().unwrap();
            eprintln!("the reason");
            exit(1)
        }
        "detach-and-die" => {
            let _launch = detach().unwrap();
            raise(Signal::SIGKILL).unwrap();
        }
        "detach-and-leave" => {
            let _launch = detach().unwrap();
            exit(0)
        }
        "foreground" => {
            Launch::foreground().ready().unwrap();
            eprintln!("still here");
            exit(0)
        }
        "close-and-sanitise" => close_and_sanitise(),
        "sanitise-in-empty-root" => sanitise_in_empty_root(&dir),
        "has-stderr" => exit(i32::from(!has_stderr())),
        "hold-pidfile" => hold_pidfile(&dir),
        "read-lock-pidfile" => read_lock_pidfile(&dir),
        other => panic!("no role {other}"),
    }
}

fn ready_forever(dir: &Path) -> ! {
    fs::write(dir.join("ready"), "").unwrap();
    loop {
        sleep(Duration::from_secs(1000));
    }
}

fn detach_and_wait(dir: &Path) -> ! {
    let launch = detach().unwrap();
    write_facts(dir);
    eventually("the word to go on", || dir.join("go").exists());
    launch.ready().unwrap();
    ready_forever(dir)
}

fn write_facts(dir: &Path) {
    let umask = nix::sys::stat::umask(Mode::empty());
    nix::sys::stat::umask(umask);
    let facts = format!("{} {} {} {}", getpid(), getsid(None).unwrap(), getpgrp(), umask.bits());
    fs::write(dir.join("facts.new"), facts).unwrap();
    fs::rename(dir.join("facts.new"), dir.join("facts")).unwrap();
}

fn close_and_sanitise() -> ! {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    close(0).unwrap();
    close(2).unwrap();
    sanitise_stdio().unwrap();
    let is_null =
        |fd| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap() == Path::new("/dev/null");
    exit(if is_null(0) && is_null(2) && open() == before { 0 } else { 1 })
}

fn sanitise_in_empty_root(dir: &Path) -> ! {
    chroot(dir).unwrap();
    (0..3).for_each(|fd| close(fd).unwrap());
    sanitise_stdio().unwrap();
    let reads_nothing = read(std::io::stdin(), &mut [0]) == Ok(0);
    let takes_nothing = write(std::io::stderr(), b"lost") == Err(Errno::EPIPE);
    exit(if reads_nothing && takes_nothing { 0 } else { 1 })
}

fn hold_pidfile(dir: &Path) -> ! {
    let _pidfile = PidFile::write(&dir.join("pmtr.pid")).unwrap();
    ready_forever(dir)
}

fn read_lock_pidfile(dir: &Path) -> ! {
    let file = fs::File::open(dir.join("pmtr.pid")).unwrap();
    // SAFETY: all zeros are a lock of the whole file, but for its kind.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_RDLCK as libc::c_short;
    fcntl(&file, FcntlArg::F_SETLK(&lock)).unwrap();
    ready_forever(dir)
}
