//! The parts of `ci/bench` that have to be fast: a receiver for the log, a job
//! that writes lines, and a bare loop of fork and exec.
//!
//! - `parts receive SOCKET COUNT`: reads records there until COUNT of them end with `payload`.
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
