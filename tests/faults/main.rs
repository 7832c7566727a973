//! Nothing that happens after the start ends the supervisor: every system call
//! that it makes is made to fail (strace(1), "Tampering"), and it goes on.
//!
//! A round is what a pmtr can go through in two seconds. It is taken once for each
//! call in it, with that very call failing; which calls there are is seen from a round
//! in which none fails.
//!
//! `PMTR_FAULTS=all` has every call fail in every way instead of in one of them;
//! `PMTR_FAULTS=NAME` only those of one name.

#[path = "../common/mod.rs"]
mod common;
mod round;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use common::tour::tour;
use common::{skipped, World};
use nix::errno::Errno;
use round::{attached, finish, Round};
use trace::{Call, Trace};

/// What a call can fail with.
const ERRORS: [Errno; 8] = [
    Errno::EINTR,
    Errno::EAGAIN,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOMEM,
    Errno::ENOSPC,
    Errno::EPERM,
    Errno::EIO,
];

/// Whether a failed call is told, which is so once.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    /// With the name of the job that it was for.
    OfJob,
    Once,
    /// Where it matters: it is made for several reasons.
    Perhaps,
    /// Another way is taken, or the log itself is what failed.
    Not,
}

/// All calls of a pmtr that runs, what they are made on (the beginning of the path of
/// their descriptor, or of the path itself; `$DIR` is the test's directory), and what is told.
const CALLS: &[(&str, &str, Told)] = &[
    ("epoll_wait", "anon_inode:[eventpoll]", Told::Once),
    // A child may have a copy of what is closed; it tells once at most.
    ("epoll_ctl EPOLL_CTL_DEL", "", Told::Not),
    ("epoll_ctl", "pipe:", Told::OfJob),
    // UDP; or the log, which is tried again.
    ("epoll_ctl", "socket:", Told::Once),
    ("epoll_ctl", "UNIX", Told::Not),
    ("epoll_ctl", "UDP", Told::Once),
    ("epoll_ctl", "$DIR/stderr", Told::Not),
    ("read", "anon_inode:[signalfd]", Told::Once),
    ("read", "anon_inode:[timerfd]", Told::Once),
    ("read", "anon_inode:inotify", Told::Once),
    ("read", "pipe:", Told::Once),
    ("read", "$DIR/pmtr.conf", Told::Once),
    ("read", "$DIR/", Told::OfJob),
    // The zone of the stamps: the one that was read before stays.
    ("openat", "/etc/localtime", Told::Not),
    ("pread64", "/usr/share/zoneinfo/", Told::Not),
    ("pread64", "/etc/localtime", Told::Not),
    // The echo to standard error, and the watch for a receiver, which is looked for as well.
    ("writev", "pipe:", Told::Not),
    ("epoll_ctl", "anon_inode:inotify", Told::Perhaps),
    ("inotify_init1", "", Told::Perhaps),
    // What cannot be found out of an ended job's session counts as left, and is looked for again.
    ("openat", "/proc", Told::Perhaps),
    ("read", "/proc/", Told::Perhaps),
    ("lseek", "/proc", Told::Perhaps),
    ("getdents64", "/proc", Told::Perhaps),
    ("pidfd_open", "", Told::Not),
    ("pidfd_send_signal", "", Told::Not),
    ("timerfd_settime", "anon_inode:[timerfd]", Told::Once),
    ("inotify_add_watch", "anon_inode:inotify", Told::Once),
    ("inotify_rm_watch", "anon_inode:inotify", Told::Not),
    // To read it, or to see whether it has changed or is being written.
    ("openat", "$DIR/pmtr.conf", Told::Perhaps),
    ("openat", "$DIR/", Told::OfJob),
    ("statx AT_STATX_SYNC_AS_STAT, STATX", "", Told::Not),
    // The state file, which is looked at again.
    ("statx", "$DIR/state/", Told::Not),
    ("statx", "", Told::Once),
    ("readlink", "", Told::Once),
    // For its digest, or to see whether it looks finished.
    // To see whether another process has written there; it is looked at again.
    ("pread64", "$DIR/state/", Told::Not),
    ("pread64", "$DIR/pmtr.conf", Told::Not),
    ("pread64", "$DIR/", Told::OfJob),
    // A lease is a help, no more; where it is refused, the file system is looked at.
    ("fcntl", "$DIR/", Told::Not),
    ("fstatfs", "$DIR/", Told::Not),
    ("fcntl", "pipe:", Told::OfJob),
    ("pipe2", "", Told::OfJob),
    ("clone", "", Told::OfJob),
    // Before the first process of the group is reaped, and then until nothing is left.
    ("kill (-", "", Told::Perhaps),
    ("kill", "", Told::OfJob),
    ("waitid", "", Told::Once),
    ("wait4", "", Told::Once),
    ("pwrite64", "$DIR/state/", Told::Once),
    ("sendmmsg", "UNIX", Told::Not),
    ("sendmsg", "UNIX", Told::Not),
    ("connect", "UNIX", Told::Not),
    ("connect", "socket:", Told::Not),
    ("writev", "$DIR/stderr", Told::Not),
    ("socket AF_UNIX", "", Told::Not),
    ("socket", "", Told::Once),
    ("bind", "", Told::Once),
    ("sendto", "UNIX", Told::Not),
    ("sendto", "UDP", Told::Once),
    ("recvfrom", "UDP", Told::Once),
    ("madvise", "", Told::Not),
    ("prlimit64", "", Told::Not),
    ("dup3", "", Told::Not),
];

/// Each test here has the machine for itself: they are longer than others.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls that are not made to fail, and why.
const NEVER: &[(&str, &str)] = &[
    ("close", "the kernel closes a descriptor whatever it answers, strace would keep it open"),
    ("fcntl F_GETFD", "a check of std's in debug builds"),
    ("getpid", "cannot fail"),
    ("uname", "cannot fail; a report would have no name in it"),
    ("poll", "is how the loop rests after a fault"),
    ("exit_group", "cannot fail"),
    ("munmap", "std, when the program has ended"),
    ("sigaltstack", "std, when the program has ended"),
    ("restart_syscall", "the rest of a poll(2) that a signal has interrupted"),
];

fn never(call: &Call) -> bool {
    NEVER.iter().any(|(name, _)| call.is_called(name))
}

/// What is told when this call fails.
fn told(call: &Call) -> Option<Told> {
    let is_it = |(name, on, _): &&(&str, &str, Told)| call.is_called(name) && call.is_on(on);
    CALLS.iter().find(is_it).map(|&(_, _, told)| told)
}

fn lacks_strace(test: &str) -> bool {
    if skipped(test) || common::emulated() {
        eprintln!("skipped: {test}: strace would fail the calls of the emulator");
        return true;
    }
    let is_there = std::process::Command::new("strace").arg("-V").output();
    if !is_there.is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: {test}: needs strace");
        return true;
    }
    false
}

/// One call of the round, and how it fails.
#[derive(Clone, Debug)]
struct Fault {
    call: String,
    /// Which one of its name, from 1.
    number: usize,
    error: Errno,
}

#[test]
fn every_system_call_may_fail_once_and_all_jobs_are_up_again() {
    if lacks_strace("every_system_call_may_fail_once_and_all_jobs_are_up_again") {
        return;
    }
    let _alone = alone();
    let plain = round_with(None);
    for call in plain.calls.iter().filter(|call| !never(call)) {
        assert!(told(call).is_some(), "not in the table: {call:?}");
    }
    let faults = Mutex::new(faults_of(&plain));
    let total = faults.lock().unwrap().len();
    let names: BTreeSet<_> = faults.lock().unwrap().iter().map(|f| f.call.clone()).collect();
    let (failed, hit) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| loop {
                let Some(fault) = faults.lock().unwrap().pop() else { return };
                match catch_unwind(AssertUnwindSafe(|| round_with(Some(&fault)))) {
                    Ok(trace) => note(&mut hit.lock().unwrap(), &fault, &trace),
                    Err(_) => failed.lock().unwrap().push(fault),
                }
            });
        }
    });
    let (failed, hit) = (failed.into_inner().unwrap(), hit.into_inner().unwrap());
    println!("{total} faults, of which hit: {hit:?}");
    assert!(failed.is_empty(), "{failed:#?}");
    let missed: Vec<_> = names.iter().filter(|name| !hit.contains_key(*name)).collect();
    assert!(missed.is_empty(), "never failed: {missed:?}");
}

fn note(hit: &mut BTreeMap<String, usize>, fault: &Fault, trace: &Trace) {
    if trace.injected.is_some() {
        *hit.entry(fault.call.clone()).or_default() += 1;
    }
}

/// Each call of a round, and each error of its name at least once.
fn faults_of(plain: &Trace) -> Vec<Fault> {
    let mut counts = BTreeMap::<&str, usize>::new();
    plain
        .calls
        .iter()
        .filter(|call| !NEVER.iter().any(|(name, _)| *name == call.name))
        .for_each(|call| *counts.entry(&call.name).or_default() += 1);
    let wanted = std::env::var("PMTR_FAULTS").unwrap_or_default();
    let is_all = wanted == "all";
    if !is_all && !wanted.is_empty() {
        counts.retain(|call, _| *call == wanted);
    }
    let mut faults = Vec::new();
    for (call, count) in counts {
        let kinds = ERRORS.len();
        let ways = if is_all { count * kinds } else { count.max(kinds) };
        faults.extend((0..ways).map(|n| Fault {
            call: call.to_string(),
            number: n % count + 1,
            // Another error for the same call in every pass.
            error: ERRORS[(n + n / count * usize::from(count % kinds == 0)) % kinds],
        }));
    }
    faults
}

/// Takes a pmtr through a round, with a fault, and checks that nothing came of it.
fn round_with(fault: Option<&Fault>) -> Trace {
    let mut round = Round::start();
    let inject = fault.map(|f| format!("inject={}:error={:?}:when={}", f.call, f.error, f.number));
    let strace = attached(&round.world, inject.as_deref());
    round.go();
    assert_eq!(round.world.stop(), Some(0));
    assert_eq!(round.world.processes(), []);
    let trace = finish(&round.world, strace);
    if let (Some(fault), Some(call)) = (fault, trace.injected.as_ref().filter(|call| !never(call)))
    {
        check_told(fault, call, &told_of(&round.world, fault.error));
    }
    trace
}

/// The words of libc for an error.
fn meaning(error: Errno) -> String {
    let text = io::Error::from(error).to_string();
    text.split(" (os error").next().expect("a text").to_owned()
}

/// What pmtr has told of an error. It is to be seen on stderr, too: what is on its way to a syslog daemon
/// that ends is lost.
fn told_of(world: &World, error: Errno) -> Vec<String> {
    let meaning = meaning(error);
    let is_it = |text: &String| text.contains(&meaning);
    let logged: Vec<_> = world.log().own("").into_iter().map(|r| r.text).filter(is_it).collect();
    let own = |line: &str| Some(line.strip_prefix("pmtr[")?.split_once("]: ")?.1.to_string());
    let shown: Vec<_> = world.stderr().lines().filter_map(own).filter(is_it).collect();
    if shown.len() > logged.len() {
        shown
    } else {
        logged
    }
}

/// A fault is told once or not at all, as the table has it.
fn check_told(fault: &Fault, call: &Call, messages: &[String]) {
    let told = told(call).unwrap_or_else(|| panic!("not in the table: {call:?}"));
    let what = format!("{fault:?} of {call:?}: {messages:#?}");
    assert!(messages.len() <= 1, "told more than once: {what}");
    // These two are nothing but life.
    if matches!(fault.error, Errno::EINTR | Errno::EAGAIN) {
        return;
    }
    match told {
        Told::Not => assert!(messages.is_empty(), "{what}"),
        Told::Perhaps => {}
        Told::Once => assert_eq!(messages.len(), 1, "{what}"),
        Told::OfJob => {
            assert_eq!(messages.len(), 1, "{what}");
            assert!(messages[0].starts_with("job "), "{what}");
        }
    }
}

#[test]
fn the_table_of_calls_is_complete() {
    if lacks_strace("the_table_of_calls_is_complete") {
        return;
    }
    let _alone = alone();
    let mut world = World::new();
    world.config("");
    world.start();
    world.fence();
    let strace = attached(&world, None);
    tour(&mut world);
    assert_eq!(world.stop(), Some(0));
    let trace = finish(&world, strace);
    let unknown: BTreeSet<String> = trace
        .calls
        .iter()
        .filter(|call| !never(call) && told(call).is_none())
        .map(|call| format!("{call:?}"))
        .collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:#?}");
}

/// Takes a pmtr through half a round while a call fails always, for a second and a half.
fn endures(call: &str, error: Errno) {
    let mut round = Round::start();
    let inject = format!("inject={call}:error={error:?}:when=1+");
    let strace = attached(&round.world, Some(&inject));
    round.change_files();
    round.send("nonsense");
    thread::sleep(Duration::from_millis(1500));
    let trace = round::detach(&round.world, strace);
    let (calls, failed) = (trace.calls.len(), trace.failed);
    assert!(failed > 0, "{call} was not made to fail");
    // A loop that does not rest makes some ten thousand.
    assert!(calls < 1500 && failed < 150, "{call}: {calls} calls, of which failed {failed}");
    round.see_files_changed();
    let killed = round.world.log().own("sending SIGKILL");
    assert!(killed.is_empty(), "{call}: not asked to go: {killed:?}");
    round.go();
    assert_eq!(round.world.stop(), Some(0));
    assert_eq!(round.world.processes(), []);
    let all = round.world.log().own(&meaning(error));
    for (n, record) in all.iter().enumerate() {
        let is_again = all[..n].iter().any(|earlier| earlier.text == record.text);
        assert!(!is_again, "{call}: told again: {}", record.text);
    }
}

#[test]
fn a_call_that_fails_for_a_while_is_no_busy_loop() {
    if lacks_strace("a_call_that_fails_for_a_while_is_no_busy_loop") {
        return;
    }
    let _alone = alone();
    let calls = ["epoll_wait", "timerfd_settime", "read", "waitid", "wait4", "epoll_ctl"];
    let more = ["inotify_add_watch", "openat", "statx", "pipe2", "clone", "recvfrom", "sendmmsg"];
    // Of two jobs that are changed.
    let signals = ["kill"];
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (call, error) in calls
            .into_iter()
            .chain(more)
            .chain(signals)
            .zip([Errno::ENOMEM, Errno::EIO].into_iter().cycle())
        {
            let failed = &failed;
            scope.spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| endures(call, error))).is_err() {
                    failed.lock().unwrap().push((call, error));
                }
            });
        }
    });
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}
