//! What a process has from whoever started it, and keeps when it becomes another program (execve(2)):
//! pmtr runs whatever it is, and jobs get what docs/attributes.md says.

mod common;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;
use std::{fs, io};

use common::close_range::{refuse_close_range, MOST_DESCRIPTORS};
use common::process::{self, descriptors};
use common::udp::Collector;
use common::{job, needs_root, skipped, sleepers, stretched, World};
use nix::libc;
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::sys::signal::{SigSet, Signal};

// Descriptors.

/// As many descriptors as may be, and no close_range(2).
fn many_without_close_range() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    refuse_close_range()
}

/// Whether the limit is high enough for the test to mean something.
fn may_have_many(test: &str) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let may = hard > 2 * u64::from(MOST_DESCRIPTORS);
    if !may {
        eprintln!("skipped: {test}: needs a higher limit on open files");
    }
    may
}

/// A world whose pmtr has descriptor 7 of its caller, but no close_range(2).
fn without_close_range(before: &str) -> World {
    let script = format!("{before} exec \"$@\" 7</dev/null");
    let words = ["unshare", "-m", "/bin/sh", "-c", &script, "sh"];
    let words = if before.is_empty() { &words[2..] } else { &words[..] };
    World::new().wrapped_in(words).prepared_by(many_without_close_range)
}

fn numbers(pid: i32) -> Vec<i32> {
    descriptors(pid).into_iter().map(|(number, _)| number).collect()
}

/// The bug: a call for each number below the limit, at every start and every look-up of a name.
#[test]
fn where_close_range_is_refused_only_what_is_open_is_looked_at() {
    let test = "where_close_range_is_refused_only_what_is_open_is_looked_at";
    if skipped(test) || !may_have_many(test) {
        return;
    }
    let reports = Collector::at([127, 0, 0, 1]);
    let report = reports.url().replace("127.0.0.1", "localhost");
    let mut world = without_close_range("");
    world.config(&format!("report to {report}\n{}", sleepers("a b")));
    world.start();
    for name in ["a", "b"] {
        let pid = world.running(name);
        common::eventually("its descriptors", || numbers(pid) == [0, 1, 2]);
    }
    assert!(numbers(world.pid()).contains(&7), "pmtr keeps what its caller may wait for");
    assert!(reports.next().contains("b e "));
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn where_close_range_and_proc_are_missing_few_numbers_are_looked_at() {
    let test = "where_close_range_and_proc_are_missing_few_numbers_are_looked_at";
    if needs_root(test) || !may_have_many(test) {
        return;
    }
    let mut world = without_close_range("mount -t tmpfs none /proc &&");
    world.config(&sleepers("a"));
    world.start();
    let pid = world.running("a");
    common::eventually("its descriptors", || numbers(pid) == [0, 1, 2]);
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn a_daemon_without_close_range_keeps_nothing_open_of_its_caller() {
    let test = "a_daemon_without_close_range_keeps_nothing_open_of_its_caller";
    if skipped(test) || !may_have_many(test) {
        return;
    }
    let mut world = without_close_range("");
    world.config(&sleepers("a"));
    world.start_daemon();
    let pid = world.running("a");
    assert_eq!(numbers(pid), [0, 1, 2]);
    let file = PathBuf::from("/dev/null");
    let kept = descriptors(world.pid()).into_iter().filter(|(n, path)| *n > 2 && *path == file);
    assert_eq!(kept.count(), 0);
}

// Signals and timers.

/// Ignores what signal(2) can ignore, and blocks everything.
fn ignore_and_block_all() -> io::Result<()> {
    for signal in 1..=64 {
        // SAFETY: sets a disposition, and no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    Ok(SigSet::all().thread_set_mask()?)
}

fn ignore_sigchld() -> io::Result<()> {
    // SAFETY: sets a disposition, and no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    Ok(())
}

const FIRST_AND_REST: &str =
    "job {\n  name first\n  wait\n  once\n  cmd /bin/sh -c \"exit 3\"\n}\n";

/// The bug: the kernel reaped the jobs, which were never seen to end; a `wait` job held the
/// others for ever, and a shutdown took 20 s.
#[track_caller]
fn jobs_are_seen_to_end(mut world: World, start: fn(&mut World)) {
    world.config(&(FIRST_AND_REST.to_owned() + &sleepers("a b")));
    start(&mut world);
    assert!(world.exited("first").text.ends_with("exit status 3"));
    let a = world.running("a");
    process::send(a, Signal::SIGKILL);
    assert!(world.exited("a").text.ends_with("signal 9"));
    let asked = Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(asked.elapsed() < stretched(5), "{:?}", asked.elapsed());
    assert_eq!(world.processes(), []);
}

#[test]
fn jobs_are_seen_to_end_though_sigchld_was_ignored() {
    jobs_are_seen_to_end(World::new().prepared_by(ignore_sigchld), World::start);
    let words = ["/bin/sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"];
    jobs_are_seen_to_end(World::new().wrapped_in(&words), World::start);
}

#[test]
fn a_daemon_sees_jobs_end_though_sigchld_was_ignored() {
    jobs_are_seen_to_end(World::new().prepared_by(ignore_sigchld), World::start_daemon);
}

#[test]
fn t_finds_what_it_should_though_sigchld_was_ignored() {
    let world = World::new().prepared_by(ignore_sigchld);
    world.config(&sleepers("a"));
    let said = world.run(&["-t", "--strict"]);
    assert_eq!(said.status, Some(0), "{}", said.said());
}

#[test]
fn signals_are_heard_whatever_was_ignored_and_blocked() {
    if skipped("signals_are_heard_whatever_was_ignored_and_blocked") {
        return;
    }
    let mut world = World::new().prepared_by(ignore_and_block_all);
    world.config(&sleepers("a"));
    world.start();
    let a = world.running("a");
    for set in ["SigBlk", "SigIgn"] {
        assert_eq!(process::status(a, set), "0000000000000000", "{set}");
    }
    world.fence(); // SIGHUP
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

fn set_timers() -> io::Result<()> {
    for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        let time = libc::timeval { tv_sec: 0, tv_usec: 1000 };
        let soon = libc::itimerval { it_interval: time, it_value: time };
        let (timer, old) = (libc::c_long::from(timer), std::ptr::null_mut::<libc::itimerval>());
        // SAFETY: reads a time.
        unsafe { libc::syscall(libc::SYS_setitimer, timer, &soon, old) };
    }
    // They wait until pmtr takes care of them.
    Ok(SigSet::all().thread_set_mask()?)
}

#[test]
fn timers_of_the_caller_end_nothing() {
    let mut world = World::new().prepared_by(set_timers);
    world.config(&sleepers("a"));
    world.start();
    world.fence();
    assert!(world.is_up() && world.stop() == Some(0));
    world.config(&sleepers("a"));
    assert_eq!(world.run(&["-t"]).status, Some(0));
}

fn die_with_parent() -> io::Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)
}

#[test]
fn a_parent_that_dies_takes_the_jobs_along() {
    if skipped("a_parent_that_dies_takes_the_jobs_along") {
        return;
    }
    // To the kernel the parent is the thread that started it.
    let thread = std::thread::spawn(|| {
        let mut world = World::new().prepared_by(die_with_parent);
        world.config(&sleepers("a"));
        world.start();
        world.running("a");
        world
    });
    let mut world = thread.join().expect("a pmtr");
    assert_eq!(world.wait(), Some(0));
    world.log().wait_for("pmtr: exiting on signal 15");
    assert_eq!(world.processes(), []);
}

// Limits.

/// Soft limits that would end pmtr.
fn low_soft_limits() -> io::Result<()> {
    for (resource, soft) in LOW {
        let (_, hard) = getrlimit(resource)?;
        setrlimit(resource, soft, hard)?;
    }
    Ok(())
}

const LOW: [(Resource, u64); 3] =
    [(Resource::RLIMIT_FSIZE, 0), (Resource::RLIMIT_CPU, 1), (Resource::RLIMIT_STACK, 256 * 1024)];

/// The bug: the first write to the state file ended pmtr by SIGXFSZ, without a word.
#[test]
fn soft_limits_are_raised_for_pmtr_and_handed_on_to_jobs() {
    if skipped("soft_limits_are_raised_for_pmtr_and_handed_on_to_jobs") {
        return;
    }
    let mut world = World::new().stderr_to(Stdio::null()).prepared_by(low_soft_limits);
    world.config(&(sleepers("a") + &job("b", "ulimit -f 1024\n  cmd /bin/sleep 1000")));
    world.start();
    let (a, b) = (world.running("a"), world.running("b"));
    let soft = |pid, name| process::limits(pid, name).0;
    for (name, value) in
        [("Max file size", "0"), ("Max cpu time", "1"), ("Max stack size", "262144")]
    {
        common::eventually("the limit of the job", || soft(a, name) == value);
        let (soft, hard) = process::limits(world.pid(), name);
        assert_eq!(soft, hard, "{name}");
    }
    assert_ne!(soft(b, "Max file size"), "0");
    assert!(world.log().own("state file").is_empty());
}

fn no_files() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
    Ok(())
}

#[test]
fn a_hard_limit_on_files_is_told_and_jobs_run() {
    let test = "a_hard_limit_on_files_is_told_and_jobs_run";
    if skipped(test) || may_raise_limits(test) {
        return;
    }
    let mut world = World::new().stderr_to(Stdio::null()).prepared_by(no_files);
    world.config(&sleepers("a"));
    world.start();
    world.log().wait_for("pmtr can write no more than 0 bytes to a file: raise its ulimit -f");
    world.running("a");
    assert_eq!(world.stop(), Some(0));
}

fn eight_files() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, 8, 8)?;
    Ok(())
}

#[test]
fn too_few_descriptors_are_told_with_their_limit() {
    let test = "too_few_descriptors_are_told_with_their_limit";
    if skipped(test) || may_raise_limits(test) {
        return;
    }
    let world = World::new().prepared_by(eight_files);
    world.config(&sleepers("a"));
    let said = world.run(&["-F", "-I"]);
    assert_eq!(said.status, Some(1));
    assert!(said.said().contains("the limit (ulimit -n) is 8"), "{}", said.said());
}

/// Whether pmtr can raise hard limits, so that none of them can be seen to hurt it.
fn may_raise_limits(test: &str) -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let caps = process::status(std::process::id() as i32, "CapEff");
    let may = u64::from_str_radix(&caps, 16).expect("a mask") >> CAP_SYS_RESOURCE & 1 == 1;
    if may {
        eprintln!("skipped: {test}: pmtr can raise its hard limits here (CAP_SYS_RESOURCE)");
    }
    may
}

// The directory, and all that goes on to the jobs.

#[test]
fn in_a_directory_that_is_gone_jobs_start_in_the_root() {
    let script = "mkdir $DIR/gone && cd $DIR/gone && rmdir $DIR/gone && exec \"$@\"";
    let world = World::new();
    let script = script.replace("$DIR", world.dir().to_str().unwrap());
    let mut world = world.wrapped_in(&["/bin/sh", "-c", &script, "sh"]);
    world.config(&sleepers("a"));
    assert_eq!(world.run(&["-t"]).status, Some(0));
    world.start();
    world.log().wait_for("the current directory is gone: jobs without dir start in /");
    let a = world.running("a");
    assert_eq!(process::directory(a), PathBuf::from("/"));
    let lost = world.run_bare(&["-F", "-c", "pmtr.conf"]);
    assert!(lost.said().contains("no current directory"), "{}", lost.said());
}

fn no_umask() -> io::Result<()> {
    nix::sys::stat::umask(nix::sys::stat::Mode::all());
    Ok(())
}

#[test]
fn pmtr_has_umask_022_too() {
    let mut world = World::new().prepared_by(no_umask);
    world.config(&sleepers("a"));
    world.start();
    for pid in [world.pid(), world.running("a")] {
        assert_eq!(process::status(pid, "Umask"), "0022");
    }
}

/// Something else than usual of each that can be lowered by everybody.
fn be_odd() -> io::Result<()> {
    const ADDR_NO_RANDOMIZE: libc::c_ulong = 0x0004_0000;
    const BATCH: i32 = 3;
    let idle = 3 << 13; // IOPRIO_CLASS_IDLE
    let parameter = [0_i32; 1];
    // SAFETY: numbers, and a priority of 0.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_TIMERSLACK, 70_000, 0, 0, 0);
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
        libc::personality(ADDR_NO_RANDOMIZE);
        libc::syscall(libc::SYS_ioprio_set, 1, 0, idle);
        libc::syscall(libc::SYS_sched_setscheduler, 0, BATCH, parameter.as_ptr());
        libc::setpriority(libc::PRIO_PROCESS, 0, 3);
    }
    fs::write("/proc/self/oom_score_adj", "345")?;
    fs::write("/proc/self/coredump_filter", "0x1")
}

/// What a process has of what [`be_odd`] changes, its nice value aside.
fn oddities(pid: i32) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let files = ["oom_score_adj", "coredump_filter", "personality", "timerslack_ns", "cgroup"];
    let links = ["ns/mnt", "ns/net", "ns/pid", "root"];
    let fields = ["NoNewPrivs", "THP_enabled", "Seccomp", "Cpus_allowed_list", "Mems_allowed_list"];
    // SAFETY: take numbers.
    let (class, policy) = unsafe {
        let class = libc::syscall(libc::SYS_ioprio_get, 1, pid);
        (class, libc::sched_getscheduler(pid))
    };
    let link = |name| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let mut all: Vec<String> = files.map(read).to_vec();
    all.extend(links.map(|name| link(name).display().to_string()));
    all.extend(fields.map(|name| format!("{name} {}", process::status(pid, name))));
    all.extend([format!("I/O priority {class}"), format!("policy {policy}")]);
    all
}

#[test]
fn what_says_how_a_process_runs_goes_on_to_the_jobs() {
    if skipped("what_says_how_a_process_runs_goes_on_to_the_jobs") {
        return;
    }
    let mut world = World::new().prepared_by(be_odd);
    world.config(&sleepers("a"));
    world.start();
    let (pmtr, a) = (oddities(world.pid()), oddities(world.running("a")));
    assert_eq!(pmtr, a);
    assert_ne!(a, oddities(std::process::id() as i32));
    for odd in ["345\n", "00000001\n", "00040000\n", "NoNewPrivs 1", "THP_enabled 0", "policy 3"] {
        assert!(a.iter().any(|value| value == odd), "{odd:?} in {a:?}");
    }
    assert_eq!(process::nice(world.pid()), 3);
}
