//! Session, descriptors, signals: what a process is given without being asked.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::ptr;

use super::skip::skipped;
use super::support::{apart, field, until, Running, World};
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use pmtr::supervise::ExitStatus;

#[test]
fn has_a_session_and_a_group_of_its_own_and_no_terminal() {
    let world = World::new();
    let job = world.start("cmd /bin/sleep 1000");
    job.until_runs("/bin/sleep");
    // proc_pid_stat(5): state, ppid, pgrp, session, tty_nr after the name.
    let stat = fs::read_to_string(job.proc("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let pid = job.pid.to_string();
    assert_eq!(fields[2..5], [pid.as_str(), pid.as_str(), "0"]);
}

#[test]
fn has_descriptors_0_1_and_2_only() {
    let world = World::new();
    let (leaked, _) = nix::unistd::pipe().unwrap(); // not close-on-exec
    let high = 200;
    // SAFETY: makes a copy of an open descriptor.
    assert_eq!(unsafe { libc::dup2(leaked.as_raw_fd(), high) }, high);
    let job = world.start("cmd /bin/sleep 1000");
    job.until_runs("/bin/sleep");
    // The loader may have one of its own open for a moment still.
    until(|| open_descriptors(&job) == ["0", "1", "2"]);
    // SAFETY: the copy made above.
    unsafe { libc::close(high) };
}

fn open_descriptors(job: &Running<'_>) -> Vec<OsString> {
    let entries = fs::read_dir(job.proc("fd")).unwrap();
    let mut open: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    open.sort();
    open
}

#[test]
fn blocks_ignores_and_catches_no_signal() {
    if skipped("blocks_ignores_and_catches_no_signal") {
        return;
    }
    if !apart("process::blocks_ignores_and_catches_no_signal", |_| ()) {
        return;
    }
    SigSet::all().thread_block().unwrap();
    // What libc keeps for itself can have been ignored by who started pmtr, too. SIGPIPE is by Rust.
    let for_libc = 32;
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGRTMAX() - 1, for_libc] {
        ignore(signal);
    }
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    let status = World::new().output("cmd /bin/cat /proc/self/status");
    for set in ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    let ignored = u64::from_str_radix(field(&own, "SigIgn"), 16).unwrap();
    for signal in [libc::SIGUSR1, libc::SIGPIPE, for_libc] {
        assert_ne!(ignored & 1 << (signal - 1), 0, "the test has to ignore {signal}");
    }
}

fn ignore(signal: i32) {
    let ignore: [usize; 8] = [libc::SIG_IGN, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: SIG_IGN without flags and mask; no handler of this program is for these signals.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, &ignore, ptr::null_mut::<u8>(), 8usize)
    };
    assert_eq!(result, 0);
}

#[test]
fn has_its_log_however_many_files_we_have_open() {
    if !apart("process::has_its_log_however_many_files_we_have_open", |_| ()) {
        return;
    }
    let world = World::new();
    let open: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").unwrap()).collect();
    // What it writes comes, and so does the end of it, though others may be started since.
    for _ in 0..2 {
        assert_eq!(world.output("cmd /bin/echo here"), "here\n");
        assert_eq!(world.output("cmd /bin/ls /proc/self/fd"), "0\n1\n2\n3\n");
    }
    assert!(open.iter().all(|file| file.metadata().is_ok()), "it has closed ours");
}

#[test]
fn sigpipe_ends_it() {
    let job = "cmd /bin/sh -c 'yes | true; kill -PIPE $$; echo alive'".replace('\'', "\"");
    assert_eq!(World::new().run(&job).status, ExitStatus::Signal(libc::SIGPIPE));
}

#[test]
fn has_umask_022_whatever_ours_is() {
    if !apart("process::has_umask_022_whatever_ours_is", |_| ()) {
        return;
    }
    let world = World::new();
    for ours in [0o000, 0o077] {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(ours));
        let status = world.output("cmd /bin/cat /proc/self/status");
        assert_eq!(field(&status, "Umask"), "0022");
    }
}

#[test]
fn gets_its_words_as_they_are() {
    let world = World::new();
    let output = world.output("cmd /usr/bin/printf <%s> one \"two words\" $HOME *");
    assert_eq!(output, "<one><two words><$HOME><*>");
}

#[test]
fn sigterm_ends_it_while_it_waits_for_a_fifo() {
    let world = World::new();
    let fifo = world.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // As in the supervisor, whose signals are blocked.
    let blocked =
        SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK).unwrap();
    let job = world.start("in DIR/fifo\n cmd /bin/cat");
    blocked.thread_set_mask().unwrap();
    job.signal(Signal::SIGTERM as i32);
    let ended = job.wait();
    assert_eq!(ended.status, ExitStatus::Signal(libc::SIGTERM));
    assert!(ended.failure.is_none());
}

#[test]
fn nothing_but_the_pid_comes_back() {
    let world = World::new();
    assert!(matches!(world.spawner.next_report(), Ok(None)), "and it does not block");
    let job = world.start("cmd /bin/true");
    assert!(job.pid > 1);
    assert_eq!(job.wait().status, ExitStatus::Code(0));
}
