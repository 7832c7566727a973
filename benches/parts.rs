//! The parts of `ci/bench` that have to be fast: receivers for the log, jobs
//! that write lines, and a bare loop of fork and exec.
//!
//! - `parts receive SOCKET COUNT`: reads records there until COUNT of them end with `payload`.
//! - `parts delays SOCKET COUNT`: reads records there until COUNT of them were of `tick`, and prints
//!   how many microseconds each of these took.
//! - `parts tick`: writes a line with the time, fifty times a second.
//! - `parts write COUNT BYTES LINES`: writes COUNT lines of BYTES bytes, LINES of them at
//!   once, and sleeps.
//! - `parts bare COUNT PROGRAM ARGUMENT…`: keeps COUNT processes running until SIGTERM: what
//!   no supervisor can do with less.

use std::ffi::CString;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::exit;
use std::time::Duration;

use nix::sys::signal::{kill, SigSet, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{execv, fork, ForkResult, Pid};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words[at].parse::<usize>().expect("a number");
    match words[0].as_str() {
        "receive" => receive(&words[1], number(2)),
        "delays" => delays(&words[1], number(2)),
        "tick" => tick(),
        "write" => write(number(1), number(2), number(3)),
        "bare" => bare(number(1), &words[2..]),
        other => panic!("what is {other}?"),
    }
}

fn receive(path: &str, count: usize) {
    let socket = UnixDatagram::bind(path).expect("binding");
    let (mut left, mut record) = (count, [0; 65536]);
    while left > 0 {
        let len = socket.recv(&mut record).expect("receiving");
        // The same in a build that is not optimized, as this has to keep up.
        left -= usize::from(record[..len].ends_with(b"payload"));
    }
}

fn delays(path: &str, count: usize) {
    let socket = UnixDatagram::bind(path).expect("binding");
    let (mut left, mut record) = (count, [0; 65536]);
    while left > 0 {
        let len = socket.recv(&mut record).expect("receiving");
        let text = std::str::from_utf8(&record[..len]).unwrap_or("");
        if let Some((_, at)) = text.rsplit_once(" ticks at ") {
            println!("{}", (now() - at.trim_end().parse::<u128>().expect("a time")) / 1000);
            left -= 1;
        }
    }
}

fn tick() {
    loop {
        println!("it ticks at {}", now());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nanoseconds of a clock that all processes share.
fn now() -> u128 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    Duration::from(time).as_nanos()
}

fn write(count: usize, bytes: usize, lines: usize) {
    let mut line = vec![b'x'; bytes];
    line[bytes - 8..].copy_from_slice(b"payload\n");
    let (block, mut out) = (line.repeat(lines), std::io::stdout().lock());
    for _ in 0..count / lines {
        out.write_all(&block).expect("writing");
    }
    std::thread::sleep(Duration::from_secs(100_000));
}

fn bare(count: usize, words: &[String]) {
    let words: Vec<CString> = words.iter().map(|word| CString::new(&word[..]).unwrap()).collect();
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGTERM);
    signals.thread_block().expect("blocking signals");
    let mut jobs: Vec<Pid> = (0..count).map(|_| start(&words)).collect();
    while signals.wait().expect("a signal") == Signal::SIGCHLD {
        while let Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) =
            waitpid(None, Some(WaitPidFlag::WNOHANG))
        {
            jobs.iter_mut().filter(|job| **job == pid).for_each(|job| *job = start(&words));
        }
    }
    jobs.iter().for_each(|job| _ = kill(*job, Signal::SIGTERM));
    while waitpid(None, None).is_ok() {}
    exit(0);
}

fn start(words: &[CString]) -> Pid {
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("forking") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let _ = SigSet::empty().thread_set_mask();
            let _ = execv(&words[0], words);
            exit(127)
        }
    }
}
