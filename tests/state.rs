//! The state file with real processes: what a killed pmtr leaves is found and
//! stopped, nothing else is, and there is one pmtr for each configuration.
//!
//! A pmtr that is killed is a process of its own here ([`role`]), or a
//! `State` that is dropped while its jobs run, which leaves the same file.

use std::env;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{chown, symlink, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{exit, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant as Clock};

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::{kill, signal, SigHandler, Signal};
use nix::sys::stat::Mode;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{execv, fork, getppid, mkfifo, setsid, ForkResult, Pid};
use pmtr::name::Name;
use pmtr::process::{Process, Ticks};
use pmtr::state::{offset, Digest, Era, Header, Record, BLOCK_BYTES};
use pmtr::sys::clock::now;
use pmtr::sys::state::{Leftover, Refused, State, Step, Warning, Why};
use pmtr::time::Instant;
use tempfile::TempDir;

#[path = "common/again.rs"]
mod again;
// What it can do besides is for others.
#[allow(dead_code)]
#[path = "common/cgroup.rs"]
mod cgroup;
#[path = "common/patience.rs"]
mod patience;
#[path = "common/skip.rs"]
mod skip;

use patience::eventually;
use skip::needs_root;

const NOBODY: u32 = 65534;

// What a killed pmtr left is stopped.

#[test]
fn a_job_of_a_killed_pmtr_is_stopped_with_its_children() {
    let house = House::new();
    let job = house.job("web", "sleep 1000 & sleep 1000 & wait");
    eventually("two children", || session(job.pid()).len() == 3);

    let told = house.restart();

    assert_eq!(session(job.pid()), []);
    assert_eq!(
        told,
        [job.told("web", Step::Term), job.told("web", Step::TermRest), job.gone("web")]
    );
}

#[test]
fn a_job_that_goes_when_asked_is_not_killed() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");

    assert_eq!(house.restart(), [job.told("web", Step::Term), job.gone("web")]);
}

#[test]
fn a_job_that_ignores_sigterm_is_killed_after_ten_seconds() {
    let house = House::new();
    let job = house.job("deaf", "trap '' TERM; sleep 1000 & touch ready; while :; do wait; done");
    eventually("the trap", || house.path("ready").exists());

    let began = Clock::now();
    let told = house.restart();
    let took = began.elapsed();

    assert!(took >= Duration::from_secs(10), "{took:?}");
    assert!(took < Duration::from_secs(10) + skip::stretched(3), "{took:?}");
    assert_eq!(session(job.pid()), []);
    assert_eq!(
        told,
        [job.told("deaf", Step::Term), job.told("deaf", Step::Kill), job.gone("deaf")]
    );
}

#[test]
fn what_a_job_left_behind_is_stopped_when_it_ended_after_pmtr() {
    let house = House::new();
    let mut job = house.job("gone", "sleep 1000 & echo");
    job.child.wait().unwrap();
    assert_eq!(session(job.pid()).len(), 1);

    assert_eq!(house.restart(), [job.told("gone", Step::TermRest), job.gone("gone")]);
    assert_eq!(session(job.pid()), []);
}

#[test]
fn what_was_stopped_is_forgotten() {
    let house = House::new();
    let _job = house.job("web", "exec sleep 1000");
    assert_eq!(house.restart().len(), 2);
    assert_eq!(fs::metadata(house.file()).unwrap().len(), BLOCK_BYTES as u64, "only the header");
}

#[test]
fn leftovers_are_remembered_until_they_are_stopped() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    drop(house.open()); // killed before it came to that
    assert_eq!(house.restart(), [job.told("web", Step::Term), job.gone("web")]);
}

/// It was forgotten, and the next pmtr knew nothing of it.
#[test]
fn what_cannot_be_stopped_is_told_and_stays_known() {
    let test = "what_cannot_be_stopped_is_told_and_stays_known";
    if needs_root(test) {
        return;
    }
    let house = House::new();
    let mut state = house.open();
    let gone = house.job_in(&mut state, 0, "gone", "exec sleep 1000");
    let stays = house.job_in(&mut state, 7, "stays", "exec sleep 1000");
    drop(state);
    // Dropped before the job, whose end is waited for.
    let Some(group) = cgroup::Group::new(test, "freezer") else { return };
    group.add(stays.pid());
    group.freeze();

    let told = house.restart();
    assert_eq!(told[..2], [gone.told("gone", Step::Term), stays.told("stays", Step::Term)]);
    assert_eq!(told[2..4], [gone.gone("gone"), stays.told("stays", Step::Kill)]);
    assert_eq!(told[4..], [stays.told("stays", Step::Stays)]);

    // Not in the way of any job of the next ones.
    let mut state = house.open();
    (0..pmtr::limits::MAX_JOBS as u16).for_each(|slot| state.ended(slot));
    drop(state);
    assert_eq!(house.recorded(), ["stays"]);
    group.thaw();
    eventually("its end", || session(stays.pid()).is_empty());
    assert_eq!(house.restart(), []);
    assert!(house.recorded().is_empty());
}

#[test]
fn the_log_lines_name_the_job_in_the_known_words() {
    let line = |step| Leftover { name: Name::new(b"web"), pid: 7, step }.to_string();
    assert!(line(Step::Term).starts_with("sending SIGTERM to job web [7]"));
    assert!(line(Step::TermRest).starts_with("sending SIGTERM to what is left of job web [7]"));
    assert!(line(Step::Kill).starts_with("sending SIGKILL to job web [7]"));
    assert_eq!(line(Step::Gone), "job web [7], left by a killed pmtr, is gone");
}

// Nothing else is.

#[test]
fn what_a_job_left_behind_is_left_alone_when_pmtr_saw_it_end() {
    let house = House::new();
    let mut state = house.open();
    let mut job = house.job_in(&mut state, 5, "gone", "sleep 1000 & echo");
    job.child.wait().unwrap();
    state.ended(5);
    drop(state);

    assert_eq!(house.restart(), []);
    assert_eq!(session(job.pid()).len(), 1);
}

#[test]
fn a_reused_process_id_is_left_alone_with_its_session() {
    let house = House::new();
    let mut state = house.open();
    let job = house.job_in(&mut state, 0, "web", "sleep 1000 & wait");
    eventually("a child", || session(job.pid()).len() == 2);
    // What was recorded ran a second before; its id is another's now.
    let earlier = Instant::from_nanos(now().as_nanos() - 1_000_000_000);
    eventually("a second", || now().since(earlier).as_secs() >= 2);
    let earlier = Instant::from_nanos(earlier.as_nanos() - 1_000_000_000);
    state.started(0, &Name::new(b"web"), job.pid(), earlier, earlier);
    drop(state);

    assert_eq!(house.restart(), []);
    assert_eq!(session(job.pid()).len(), 2);
}

#[test]
fn the_file_of_another_boot_is_nothing() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    house.rewrite(|era| Era { boot: [era.boot[0] ^ 1; 16], ..era });
    assert_eq!(house.restart(), []);
    assert!(job.runs());
    assert_eq!(fs::metadata(house.file()).unwrap().len(), BLOCK_BYTES as u64, "nothing is kept");
}

#[test]
fn the_file_of_another_pid_namespace_is_nothing() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    house.rewrite(|era| Era { namespace: era.namespace ^ 1, ..era });
    assert_eq!(house.restart(), []);
    assert!(job.runs());
}

/// The bug: the inode of a namespace is used again.
#[test]
fn the_file_of_a_namespace_that_had_the_same_inode_is_nothing() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    house.rewrite(|era| Era { init: Ticks(era.init.0 ^ 1), ..era });
    assert_eq!(house.restart(), []);
    assert!(job.runs());
}

#[test]
fn the_file_of_an_older_version_ends_nothing_and_says_so() {
    let house = House::new();
    let job = house.job("web", "sleep 1000 & wait");
    house.rewrite_as_version_1();
    let told = job.told("web", Step::Old);
    assert_eq!(told.to_string().matches("older version").count(), 1);
    assert_eq!(house.restart_all(), ([told].to_vec(), 0));
    assert!(job.runs());
    assert_eq!(house.restart(), [], "once is enough");
    job.kill();

    let job = house.job("web", "exec sleep 1000");
    house.rewrite_as_version_1();
    job.kill();
    assert_eq!(house.restart(), [], "nothing that could be doubled");
}

/// The bug: a session whose leader is gone was killed, whenever its processes had started.
#[test]
fn a_session_without_leader_that_began_after_pmtr_was_killed_is_left_alone_and_said() {
    let house = House::new();
    // The stranger: its child is all that there is of the session.
    let script = "until [ -e go ]; do sleep 0.02; done; sleep 1000 & echo";
    let mut job = house.job("web", script);
    let before = now();
    eventually("a tenth of a second", || now().since(before) > Duration::from_millis(100));
    fs::write(house.path("go"), "").unwrap();
    job.child.wait().unwrap();
    let stranger = session(job.pid());
    assert_eq!(stranger.len(), 1);

    let told = job.told("web", Step::Doubtful);
    assert!(told.to_string().contains("left alone"), "{told}");
    assert_eq!(house.restart_all(), ([told].to_vec(), 0));
    assert_eq!(session(job.pid()), stranger);
}

/// Whatever pmtr has written is a sign that it lived.
#[test]
fn a_session_without_leader_that_began_while_pmtr_lived_is_ended() {
    let house = House::new();
    let script = "until [ -e go ]; do sleep 0.02; done; sleep 1000 & echo";
    let mut state = house.open();
    let mut job = house.job_in(&mut state, 0, "web", script);
    let before = now();
    eventually("a tenth of a second", || now().since(before) > Duration::from_millis(100));
    fs::write(house.path("go"), "").unwrap();
    eventually("its child", || {
        session(job.pid()).len() == 2 || job.child.try_wait().unwrap().is_some()
    });
    job.child.wait().unwrap();
    // Some other job ends.
    state.ended(5);
    drop(state);

    assert_eq!(house.restart(), [job.told("web", Step::TermRest), job.gone("web")]);
    assert_eq!(session(job.pid()), []);
}

/// The bug: what a shell without exec had started never saw SIGTERM, and lost its data.
#[test]
fn what_a_leader_leaves_has_its_ten_seconds_too() {
    let house = House::new();
    let program =
        "trap 'sleep 0.3; echo >saved; exit' TERM; touch ready; while :; do sleep 0.02; done";
    fs::write(house.path("program"), program).unwrap();
    let job = house.job("web", "sh program & sh program & wait");
    eventually("the trap", || house.path("ready").exists() && session(job.pid()).len() >= 3);

    let told = house.restart();

    assert!(house.path("saved").exists());
    assert_eq!(
        told,
        [job.told("web", Step::Term), job.told("web", Step::TermRest), job.gone("web")]
    );
}

#[test]
fn what_is_left_in_a_group_of_its_own_is_ended_too() {
    let house = House::new();
    let job = house.job("web", "timeout 1000 sleep 777; echo done");
    eventually("a group", || session(job.pid()).len() == 3);
    house.restart();
    assert_eq!(session(job.pid()), []);
}

#[test]
fn a_file_that_was_rewritten_for_this_boot_is_read() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    house.rewrite(|era| era);
    assert_eq!(house.restart(), [job.told("web", Step::Term), job.gone("web")]);
}

#[test]
fn a_torn_record_is_nothing_and_the_others_count() {
    let house = House::new();
    let mut state = house.open();
    let torn = house.job_in(&mut state, 0, "torn", "exec sleep 1000");
    let whole = house.job_in(&mut state, 1, "whole", "exec sleep 1000");
    drop(state);
    let mut bytes = fs::read(house.file()).unwrap();
    bytes[offset(0) as usize + 40..offset(1) as usize].fill(0xff);
    fs::write(house.file(), bytes).unwrap();

    assert_eq!(house.restart(), [whole.told("whole", Step::Term), whole.gone("whole")]);
    assert!(torn.runs());
}

#[test]
fn a_torn_header_takes_no_record_with_it() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    let mut bytes = fs::read(house.file()).unwrap();
    bytes[20..BLOCK_BYTES].fill(0xff);
    fs::write(house.file(), bytes).unwrap();
    assert_eq!(house.restart(), [job.told("web", Step::Term), job.gone("web")]);
}

#[test]
fn an_empty_file_or_garbage_or_a_huge_one_does_no_harm() {
    for garbage in [vec![], vec![0xff; 63], vec![0; 64], vec![0x5a; 9 << 20]] {
        let house = House::new();
        let job = house.job("web", "exec sleep 1000");
        fs::write(house.file(), garbage).unwrap();
        assert_eq!(house.restart(), []);
        assert!(job.runs());
        let next = house.job("next", "exec sleep 1000");
        assert_eq!(house.restart(), [next.told("next", Step::Term), next.gone("next")]);
    }
}

// One pmtr for each configuration.

#[test]
fn a_second_pmtr_on_a_configuration_is_told_who_is_first() {
    let house = House::new();
    let first = house.role("hold");
    let (config, pid) = (house.config(), first.pid());
    let refused = house.try_open().err().expect("one pmtr");
    assert_eq!(refused, Refused::Held { config: config.clone(), pid });
    let line = format!("pmtr is already running on {} (pid {pid})", config.display());
    assert_eq!(refused.to_string(), line);
    assert!(State::open(Some(&house.dir()), &house.path("other.conf")).is_ok());
}

#[test]
fn a_killed_pmtr_holds_nothing() {
    let house = House::new();
    let first = house.role("hold");
    first.kill();
    assert!(house.try_open().is_ok());
}

#[test]
fn a_child_that_is_not_yet_its_program_holds_nothing() {
    let house = House::new();
    let first = house.role("hold-with-child");
    let child = house.written_pid("child");
    first.kill();
    let second = house.try_open();
    kill(child, Signal::SIGKILL).unwrap();
    assert!(second.is_ok(), "the child has its parent's lock");
}

#[test]
fn a_configuration_is_one_by_whatever_link_it_is_named() {
    let house = House::new();
    fs::write(house.path("real.conf"), "").unwrap();
    symlink("real.conf", house.config()).unwrap();
    symlink("real.conf", house.path("other-link.conf")).unwrap();
    let _first = house.role("hold");
    for name in ["real.conf", "pmtr.conf", "other-link.conf", "./real.conf"] {
        let second = State::open(Some(&house.dir()), &house.path(name));
        assert!(matches!(second, Err(Refused::Held { .. })), "{name}");
    }
}

#[test]
fn leftovers_are_found_when_the_link_points_elsewhere_now() {
    let house = House::new();
    for release in ["1", "2"] {
        fs::create_dir(house.path(release)).unwrap();
        fs::write(house.path(release).join("pmtr.conf"), "").unwrap();
    }
    symlink("1/pmtr.conf", house.config()).unwrap();
    let job = house.job("web", "exec sleep 1000");
    fs::remove_file(house.config()).unwrap();
    symlink("2/pmtr.conf", house.config()).unwrap();

    assert_eq!(house.restart(), [job.told("web", Step::Term), job.gone("web")]);
}

#[test]
fn leftovers_are_found_when_the_file_is_named_without_the_link() {
    let house = House::new();
    fs::write(house.path("real.conf"), "").unwrap();
    symlink("real.conf", house.config()).unwrap();
    let job = house.job("web", "exec sleep 1000");

    let mut state = State::open(Some(&house.dir()), &house.path("real.conf")).unwrap();
    assert_eq!(state.stop_leftovers(&mut |_| (), &mut sleep), 1);
    assert!(!job.runs());
}

#[test]
fn a_configuration_that_does_not_exist_yet_has_a_state() {
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    fs::write(house.config(), "").unwrap();
    assert_eq!(house.restart(), [job.told("web", Step::Term), job.gone("web")]);
}

// A place that cannot be trusted, or none.

#[test]
fn a_directory_that_others_may_write_to_is_not_used() {
    let house = House::new();
    fs::create_dir(house.dir()).unwrap();
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(house.dir(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(house.why(), Why::NotOurs, "{mode:o}");
    }
    assert_eq!(fs::read_dir(house.dir()).unwrap().count(), 0);
}

#[test]
fn what_belongs_to_another_user_is_not_used() {
    if needs_root("what_belongs_to_another_user_is_not_used") {
        return;
    }
    let house = House::new();
    let job = house.job("web", "exec sleep 1000");
    chown(house.file(), Some(NOBODY), None).unwrap();
    assert_eq!(house.why(), Why::NotOurs);
    chown(house.file(), Some(0), None).unwrap();
    chown(house.dir(), Some(NOBODY), None).unwrap();
    assert_eq!(house.why(), Why::NotOurs);
    assert!(job.runs());
}

#[test]
fn what_is_no_plain_file_is_not_used_or_changed() {
    let house = House::new();
    drop(house.open());
    let file = house.file();
    let victim = house.path("victim");
    let replace = |with: &dyn Fn()| {
        let _ = fs::remove_file(&file);
        with();
        house.why()
    };
    fs::write(&victim, "precious").unwrap();
    assert_eq!(replace(&|| symlink(&victim, &file).unwrap()), Why::Failed(Errno::ELOOP));
    assert_eq!(replace(&|| fs::hard_link(&victim, &file).unwrap()), Why::NotOurs);
    assert_eq!(replace(&|| mkfifo(&file, Mode::S_IRWXU).unwrap()), Why::NotOurs);
    assert_eq!(replace(&|| fs::create_dir(&file).unwrap()), Why::Failed(Errno::EISDIR));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn without_a_place_pmtr_goes_on_and_says_why() {
    let house = House::new();
    let path = house.path("missing/dir");
    let mut state = State::open(Some(&path), &house.config()).unwrap();
    let expected = Warning::Unusable { path, why: Why::Failed(Errno::ENOENT) };
    assert_eq!(state.warning(), Some(&expected));
    assert!(expected.to_string().contains("missing/dir: No such file or directory"));
    state.started(0, &Name::new(b"web"), 2, now(), now());
    state.ended(0);
    assert_eq!(state.stop_leftovers(&mut |_| (), &mut sleep), 0);
}

#[test]
fn nobody_else_may_read_and_so_lock_the_file() {
    let house = House::new();
    drop(house.open());
    assert_eq!(fs::metadata(house.file()).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn an_ordinary_user_has_a_directory_of_its_own() {
    if needs_root("an_ordinary_user_has_a_directory_of_its_own") {
        return;
    }
    let house = House::new();
    fs::set_permissions(house.dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let runtime = house.path("runtime");
    fs::create_dir(&runtime).unwrap();
    chown(&runtime, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut role = house.command("open-default");
    let status = role.uid(NOBODY).gid(NOBODY).env("XDG_RUNTIME_DIR", &runtime).status().unwrap();
    assert!(status.success(), "{status}");
    let mode = fs::metadata(runtime.join("pmtr")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert_eq!(fs::read_dir(runtime.join("pmtr")).unwrap().count(), 1);
}

#[test]
fn without_proc_there_is_a_warning_and_still_one_pmtr_only() {
    if needs_root("without_proc_there_is_a_warning_and_still_one_pmtr_only") {
        return;
    }
    let house = House::new();
    let script = "mount --make-rprivate / && umount -l /proc && exec \"$@\"";
    let role = house.command("no-proc");
    let unshared = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(role.get_program())
        .args(role.get_args())
        .envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))))
        // "running 1 test" of a program within a program would confuse who counts these.
        .stdout(Stdio::null())
        .status();
    assert_eq!(unshared.unwrap().code(), Some(0));
}

// Writing.

#[test]
fn a_full_disk_is_told_once_each_time_and_stops_nothing() {
    let house = House::new();
    let status = house.command("full-disk").status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn a_child_whose_pmtr_is_gone_before_it_has_a_record_goes_too() {
    let house = House::new();
    let first = house.role("orphan");
    let child = house.written_pid("child");
    first.kill();
    fs::write(house.path("go"), "").unwrap();
    eventually("the child's end", || !is_running(child));
    assert!(!house.path("lived-on").exists());
}

#[test]
fn whenever_pmtr_is_killed_no_job_is_left_after_the_next_start() {
    for round in 0..20 {
        let house = House::new();
        let first = house.role("spawner");
        sleep(Duration::from_millis(round * 2));
        first.kill();
        let jobs = house.restart().iter().filter(|told| told.step == Step::Gone).count();
        eventually("the end of all jobs", || marked(&house).is_empty());
        eprintln!("round {round}: {jobs} jobs were stopped");
    }
}

// The scene.

/// A configuration and its state directory.
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

    fn dir(&self) -> PathBuf {
        self.path("state")
    }

    fn config(&self) -> PathBuf {
        self.path("pmtr.conf")
    }

    /// The one state file.
    fn file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.dir()).unwrap();
        files.next().expect("a state file").unwrap().path()
    }

    fn try_open(&self) -> Result<State, Refused> {
        State::open(Some(&self.dir()), &self.config())
    }

    fn open(&self) -> State {
        let state = self.try_open().unwrap();
        assert_eq!(state.warning(), None);
        state
    }

    fn why(&self) -> Why {
        match self.try_open().unwrap().warning() {
            Some(Warning::Unusable { why, .. }) => *why,
            other => panic!("{other:?}"),
        }
    }

    /// A pmtr that is started, and stops what it finds.
    fn restart(&self) -> Vec<Leftover> {
        let (told, stopped) = self.restart_all();
        let is_end = |told: &&Leftover| matches!(told.step, Step::Gone | Step::Stays);
        assert_eq!(stopped, told.iter().filter(is_end).count());
        told
    }

    /// The same, with how many jobs it has found.
    fn restart_all(&self) -> (Vec<Leftover>, usize) {
        let mut told = Vec::new();
        let stopped = self.open().stop_leftovers(&mut |leftover| told.push(leftover), &mut sleep);
        (told, stopped)
    }

    /// A job of a pmtr that was killed after it had started it.
    fn job(&self, name: &str, script: &str) -> Job {
        self.job_in(&mut self.open(), 0, name, script)
    }

    fn job_in(&self, state: &mut State, slot: u16, name: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(self.dir.path()).stdout(Stdio::null());
        // SAFETY: setsid(2) is async-signal-safe.
        unsafe { command.pre_exec(|| Ok(setsid().map(drop)?)) };
        let before = now();
        let job = Job { child: command.spawn().unwrap() };
        state.started(slot, &Name::new(name.as_bytes()), job.pid(), before, now());
        job
    }

    /// The jobs that have a record.
    fn recorded(&self) -> Vec<String> {
        let bytes = fs::read(self.file()).unwrap();
        let era = Header::decode(&bytes).unwrap().era;
        let blocks = bytes.chunks_exact(BLOCK_BYTES).map(|block| block.try_into().unwrap());
        Record::all(blocks, &era).map(|record| record.name.to_string()).collect()
    }

    /// Writes the state file anew as if it were of another era.
    fn rewrite(&self, era: impl Fn(Era) -> Era) {
        let bytes = fs::read(self.file()).unwrap();
        let header = Header::decode(bytes[..BLOCK_BYTES].try_into().unwrap()).unwrap();
        let blocks = bytes.chunks_exact(BLOCK_BYTES).map(|block| block.try_into().unwrap());
        let record = Record::all(blocks, &header.era).next().unwrap();
        let header = Header { era: era(header.era), ..header };
        let blocks = [header.encode(), record.encode(&header.era, 0)];
        fs::write(self.file(), blocks.concat()).unwrap();
    }

    /// Writes the state file anew as the first version of it.
    fn rewrite_as_version_1(&self) {
        let bytes = fs::read(self.file()).unwrap();
        let header = Header::decode(&bytes).unwrap();
        let magic = *b"pmtr st\x01";
        let mut block = header.encode();
        block[8..16].copy_from_slice(&magic);
        block[56..].fill(0);
        let sealed = |mut block: [u8; BLOCK_BYTES], place: Digest| {
            let sum = place.with(&block[8..]).value().to_le_bytes();
            block[..8].copy_from_slice(&sum);
            block
        };
        let mut old = sealed(block, Digest::new()).to_vec();
        for (slot, block) in (0..u16::MAX).zip(bytes.chunks_exact(BLOCK_BYTES).skip(1)) {
            let place = Digest::new().with(&magic).with(&header.era.boot);
            let place = place.with(&header.era.namespace.to_le_bytes()).with(&slot.to_le_bytes());
            old.extend(sealed(block.try_into().unwrap(), place));
        }
        fs::write(self.file(), old).unwrap();
    }

    /// This test program in another role.
    fn command(&self, role: &str) -> Command {
        let mut command = again::this_program();
        command.args(["role", "--exact", "--nocapture"]).stdout(Stdio::null());
        command.env(ROLE, role).env(HOUSE, self.dir.path());
        command
    }

    /// The same, once it says that it is ready.
    fn role(&self, role: &str) -> Job {
        let job = Job { child: self.command(role).spawn().unwrap() };
        eventually("the other process", || self.path("ready").exists());
        job
    }

    /// A process id that a role has written.
    fn written_pid(&self, name: &str) -> Pid {
        let read = || fs::read_to_string(self.path(name)).unwrap_or_default();
        eventually(name, || read().ends_with('\n'));
        Pid::from_raw(read().trim().parse().unwrap())
    }
}

/// A process that is a child of the test; killed with its session at the end of it.
struct Job {
    child: Child,
}

impl Job {
    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn runs(&self) -> bool {
        is_running(Pid::from_raw(self.pid()))
    }

    fn told(&self, name: &str, step: Step) -> Leftover {
        Leftover { name: Name::new(name.as_bytes()), pid: self.pid(), step }
    }

    fn gone(&self, name: &str) -> Leftover {
        self.told(name, Step::Gone)
    }

    /// kill -9, as the subject of these tests.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        for pid in session(self.pid()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap();
    let stats = entries.filter_map(|entry| fs::read(entry.unwrap().path().join("stat")).ok());
    stats.filter_map(|stat| Process::parse(&stat)).filter(|process| !process.ended).collect()
}

/// Which processes of a session run.
fn session(id: i32) -> Vec<i32> {
    let of_it = processes().into_iter().filter(|process| process.session == id);
    of_it.map(|process| process.pid).collect()
}

fn is_running(pid: Pid) -> bool {
    processes().iter().any(|process| process.pid == pid.as_raw())
}

/// The processes that have the house's mark in their environment.
fn marked(house: &House) -> Vec<i32> {
    let mark = format!("{HOUSE}={}\0", house.dir.path().display());
    let has_mark = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    processes().into_iter().map(|process| process.pid).filter(has_mark).collect()
}

// The other processes.

const ROLE: &str = "PMTR_TEST_ROLE";
const HOUSE: &str = "PMTR_TEST_HOUSE";

/// Not a test, but what the tests start as a process of its own.
#[test]
fn role() {
    let Ok(role) = env::var(ROLE) else { return };
    let dir = PathBuf::from(env::var_os(HOUSE).unwrap());
    match role.as_str() {
        "hold" => hold(&dir),
        "hold-with-child" => hold_with_child(&dir),
        "orphan" => orphan(&dir),
        "spawner" => spawner(&dir),
        "full-disk" => full_disk(&dir),
        "no-proc" => no_proc(&dir),
        "open-default" => open_default(&dir),
        other => panic!("no role {other}"),
    }
}

fn open(dir: &Path) -> State {
    State::open(Some(&dir.join("state")), &dir.join("pmtr.conf")).unwrap()
}

/// Says that it is ready, and waits to be killed; it goes with the test at the latest.
fn ready_forever(dir: &Path) -> ! {
    set_pdeathsig(Signal::SIGKILL).unwrap();
    fs::write(dir.join("ready"), "").unwrap();
    loop {
        sleep(Duration::from_secs(1000));
    }
}

fn hold(dir: &Path) -> ! {
    let _state = open(dir);
    ready_forever(dir)
}

fn hold_with_child(dir: &Path) -> ! {
    let _state = open(dir);
    // SAFETY: the child only sleeps.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => loop {
            sleep(Duration::from_secs(60));
        },
        ForkResult::Parent { child } => {
            fs::write(dir.join("child"), format!("{child}\n")).unwrap();
            ready_forever(dir)
        }
    }
}

/// Has a child that waits for its parent's death before it writes its record.
fn orphan(dir: &Path) -> ! {
    let state = open(dir);
    let (supervisor, before) = (std::process::id() as i32, now());
    // SAFETY: this process has no other thread that does anything.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            eventually("the word to go on", || dir.join("go").exists());
            if state.entry(0, &Name::new(b"late")).write_own(supervisor, before).is_ok() {
                fs::write(dir.join("lived-on"), "").unwrap();
            }
            exit(0)
        }
        ForkResult::Parent { child } => {
            fs::write(dir.join("child"), format!("{child}\n")).unwrap();
            ready_forever(dir)
        }
    }
}

/// Starts jobs, one after the other, as pmtr does.
fn spawner(dir: &Path) -> ! {
    set_pdeathsig(Signal::SIGKILL).unwrap();
    let state = open(dir);
    let supervisor = std::process::id() as i32;
    let sleep = ["/bin/sleep", "1000"].map(|word| CString::new(word).unwrap());
    for slot in 0..200 {
        let entry = state.entry(slot, &Name::new(b"job"));
        let before = now();
        // SAFETY: the child calls nothing that another thread may have locked.
        if let ForkResult::Child = unsafe { fork() }.unwrap() {
            if entry.write_own(supervisor, before).is_ok() && setsid().is_ok() {
                let _ = execv(&sleep[0], &sleep);
            }
            exit(1);
        }
        fs::write(dir.join("ready"), "").unwrap();
    }
    ready_forever(dir)
}

/// Counts warnings.
struct Counter(AtomicUsize);

static WARNINGS: Counter = Counter(AtomicUsize::new(0));

impl log::Log for Counter {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn flush(&self) {}
}

/// Files may not grow beyond their header, and then they may again.
fn full_disk(dir: &Path) -> ! {
    log::set_logger(&WARNINGS).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    // SAFETY: ignoring a signal runs no code.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    let mut state = open(dir);
    let mut start = |slot| state.started(slot, &Name::new(b"web"), 2, now(), now());
    for (slot, expected) in [(3, 1), (9, 2)] {
        setrlimit(Resource::RLIMIT_FSIZE, offset(slot - 2) as libc::rlim_t, 1 << 30).unwrap();
        (slot..slot + 3).for_each(&mut start);
        assert_eq!(WARNINGS.0.load(Ordering::Relaxed), expected);
        setrlimit(Resource::RLIMIT_FSIZE, 1 << 30, 1 << 30).unwrap();
        start(slot);
    }
    assert_eq!(WARNINGS.0.load(Ordering::Relaxed), 2);
    exit(0)
}

fn no_proc(dir: &Path) -> ! {
    let mut state = open(dir);
    assert_eq!(state.warning(), Some(&Warning::NoProc));
    state.started(0, &Name::new(b"web"), 2, now(), now());
    assert_eq!(state.stop_leftovers(&mut |_| (), &mut sleep), 0);
    // SAFETY: the child only tries the lock.
    let ForkResult::Parent { child } = unsafe { fork() }.unwrap() else {
        let second = State::open(Some(&dir.join("state")), &dir.join("pmtr.conf"));
        let first = getppid().as_raw();
        let is_told = matches!(second, Err(Refused::Held { pid, .. }) if pid == first);
        exit(if is_told { 0 } else { 1 })
    };
    assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
    exit(0)
}

fn open_default(dir: &Path) -> ! {
    let state = State::open(None, &dir.join("pmtr.conf")).unwrap();
    exit(i32::from(state.warning().is_some()))
}
