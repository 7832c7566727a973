//! Processes as /proc shows them (proc(5)).

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use super::patience::patiently;

/// Whether the process exists and is not a zombie.
pub fn alive(pid: i32) -> bool {
    let has_ended = |state| matches!(state, 'Z' | 'X');
    // The first thread of an emulator can end before others, which still have its files and locks.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state(pid).is_some_and(|state| !has_ended(state) || threads > 1)
}

/// Whether the process has ended and nobody has reaped it.
pub fn is_zombie(pid: i32) -> bool {
    state(pid) == Some('Z')
}

/// The letter for what a process is doing; none if there is no such process.
pub fn state(pid: i32) -> Option<char> {
    stat(pid, 3)?.chars().next()
}

/// Field `number` of /proc/PID/stat, counted from 1 as in proc(5); 3 and above.
pub fn stat(pid: i32, number: usize) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &line[line.rfind(')')? + 2..];
    after_name.split_whitespace().nth(number - 3).map(String::from)
}

/// The process that would be told of this one's end.
pub fn parent(pid: i32) -> i32 {
    number(pid, 4)
}

/// Its process group.
pub fn group(pid: i32) -> i32 {
    number(pid, 5)
}

/// Its session.
pub fn session(pid: i32) -> i32 {
    number(pid, 6)
}

/// Its nice value.
pub fn nice(pid: i32) -> i32 {
    number(pid, 19)
}

fn number(pid: i32, field: usize) -> i32 {
    let text = stat(pid, field).unwrap_or_else(|| panic!("process {pid} is gone"));
    text.parse().expect("a number in /proc/PID/stat")
}

/// A line of /proc/PID/status, without its name.
pub fn status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in /proc/{pid}/status")).trim().to_string()
}

/// The strings of the environment that its program was started with; none if it has ended.
///
/// Waits for the program: between fork(2) and the end of execve(2) the kernel shows nothing here.
#[track_caller]
pub fn environment(pid: i32) -> Vec<String> {
    let mut before = None;
    patiently(super::SHORT, &format!("the environment of process {pid}"), || {
        let found = strings(pid, "environ");
        // Twice at the same address: execve(2) begins with an empty one, too.
        let empty_at = empty_environment(pid);
        let is_whole = !found.is_empty() || (empty_at.is_some() && empty_at == before);
        before = empty_at;
        (is_whole || !alive(pid)).then_some(found)
    })
}

/// Where the environment of a program is that was started without any variable: it begins and ends
/// there (`env_start`, `env_end`).
fn empty_environment(pid: i32) -> Option<String> {
    let end = stat(pid, 51).filter(|end| end != "0");
    end.filter(|end| stat(pid, 50).as_ref() == Some(end))
}

/// The words of its command line; none if it has ended. Waits for the program, as
/// [`environment`] does.
#[track_caller]
pub fn words(pid: i32) -> Vec<String> {
    patiently(super::SHORT, &format!("the command line of process {pid}"), || {
        let found = strings(pid, "cmdline");
        (!found.is_empty() || !alive(pid)).then_some(found)
    })
}

/// Whether execve(2) is over: only then has a process a command line, and each of pmtr's has one.
fn has_program(pid: i32) -> bool {
    !strings(pid, "cmdline").is_empty()
}

fn strings(pid: i32, file: &str) -> Vec<String> {
    let bytes = at_once(&format!("/proc/{pid}/{file}")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split_terminator('\0').map(String::from).collect()
}

/// Reads a file of /proc in one read(2): of a process that calls execve(2) between two of them
/// the second one finds nothing, so that the text would be cut off.
fn at_once(path: &str) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut bytes = vec![0; 64 << 10];
    loop {
        let len = file.read(&mut bytes)?;
        if len < bytes.len() {
            bytes.truncate(len);
            return Ok(bytes);
        }
        file = fs::File::open(path)?;
        bytes.resize(2 * len, 0);
    }
}

/// The program that it runs.
pub fn program(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The directory that it is in.
pub fn directory(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/cwd")).expect("a process")
}

/// Its open descriptors in ascending order, with what they are.
pub fn descriptors(pid: i32) -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process");
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?))
        })
        .collect();
    found.sort();
    found
}

/// Soft and hard limit from /proc/PID/limits.
pub fn limits(pid: i32, name: &str) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let mut columns = line.unwrap_or_else(|| panic!("no limit {name}")).split_whitespace();
    let mut column = || columns.next().expect("two columns").to_string();
    (column(), column())
}

/// Every process whose parent is `pid`, zombies too.
pub fn children_of(pid: i32) -> Vec<i32> {
    all().into_iter().filter(|&child| stat(child, 4) == Some(pid.to_string())).collect()
}

/// The living processes whose environment has the string `mark`.
pub fn marked(mark: &str) -> Vec<i32> {
    // Without waiting: most of these are the kernel's, and never have an environment.
    let has_mark = |&pid: &i32| strings(pid, "environ").iter().any(|string| string == mark);
    all().into_iter().filter(has_mark).filter(|&pid| alive(pid)).collect()
}

/// The processes, started at `since` or later, that are just becoming other
/// programs.
pub fn all_in_exec(since: f64) -> Vec<i32> {
    all().into_iter().filter(|&pid| start(pid) >= since && is_in_exec(pid)).collect()
}

/// Whether a process is just becoming another program: for a moment it has no
/// environment then, and so no mark.
pub fn is_in_exec(pid: i32) -> bool {
    /// kthreadd, whose children never have an environment.
    const KERNEL: &str = "2";
    let environment = at_once(&format!("/proc/{pid}/environ"));
    let is_empty = environment.is_ok_and(|bytes| bytes.is_empty());
    is_empty
        && alive(pid)
        && empty_environment(pid).is_none()
        && stat(pid, 4) != Some(KERNEL.into())
}

/// When the process was started, in seconds since the machine was.
fn start(pid: i32) -> f64 {
    // The kernel counts hundredths for everyone (USER_HZ).
    stat(pid, 22).and_then(|ticks| ticks.parse().ok()).map_or(0.0, |ticks: f64| ticks / 100.0)
}

/// The time, in seconds since the machine was started.
pub fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").expect("/proc/uptime");
    text.split(' ').next().and_then(|secs| secs.parse().ok()).expect("seconds")
}

/// Every process there is.
fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Waits until the process is gone.
#[track_caller]
pub fn gone(pid: i32) {
    super::eventually(&format!("the end of process {pid}"), || !alive(pid));
}

/// Waits until the process runs another program than `old`; returns its path.
///
/// The kernel shows the new program a moment before its command line, environment and ids: those
/// are there at the end of execve(2).
#[track_caller]
pub fn exec_after(old: &std::path::Path, pid: i32) -> PathBuf {
    patiently(super::SHORT, &format!("process {pid} becoming its program"), || {
        program(pid).filter(|now| now != old && has_program(pid))
    })
}

/// Sends a signal to a process that a test knows to be its own.
pub fn send(pid: i32, signal: Signal) {
    assert!(pid > 1, "no signal to process {pid}");
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
}
