//! The era that pmtr runs in, and its processes as /proc shows them.

use super::super::daemon::is_process_one;
use super::super::std::{fs, os::unix::fs::MetadataExt, prelude::v1::*};
use crate::process::{Process, Ticks};
use crate::state::Era;
use core::ffi::CStr;
use core::fmt::{self, Write};
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{getpid, read, sysconf, SysconfVar};
use nix::NixPath;

/// The era, this process in it, and the clock that both are seen by.
pub(super) struct Here {
    pub(super) era: Era,
    pub(super) this: Process,
    /// How many nanoseconds this time namespace's clock is ahead of the machine's
    /// (time_namespaces(7)).
    pub(super) ahead: i64,
}

impl Here {
    /// None without a /proc of this PID namespace.
    pub(super) fn look() -> Option<Here> {
        let mut id = [0; PROC_BYTES];
        let boot = Era::parse_boot_id(beginning("/proc/sys/kernel/random/boot_id", &mut id)?)?;
        let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |file| file.ino());
        let this = process_at("/proc/self/stat").filter(|this| this.pid == getpid().as_raw())?;
        let ahead = nanos_ahead();
        let init = if is_process_one() { Some(this) } else { process(1) };
        // The first namespace is the only one of its inode: whether /proc hides its process 1 is no matter.
        let init = init.filter(|_| namespace != Era::FIRST_NAMESPACE);
        let init = init.map_or(Ticks(0), |init| on_the_machines_clock(init.started, ahead));
        Some(Here { era: Era { boot, namespace, init }, this, ahead })
    }
}

fn on_the_machines_clock(ticks: Ticks, ahead: i64) -> Ticks {
    let ahead = i128::from(ahead) * i128::from(ticks_per_sec()) / 1_000_000_000;
    Ticks(ticks.0.saturating_add_signed(-ahead as i64))
}

/// 0 where there are no time namespaces. The file tells of the namespace that children begin in: if that is
/// another one, pmtr itself is taken to be in the machine's.
fn nanos_ahead() -> i64 {
    let inode = |path| fs::metadata(path).map_or(0, |file| file.ino());
    if inode("/proc/self/ns/time") != inode("/proc/self/ns/time_for_children") {
        return 0;
    }
    let mut text = [0; PROC_BYTES];
    beginning("/proc/self/timens_offsets", &mut text).and_then(parse_offset).unwrap_or(0)
}

/// The line of CLOCK_BOOTTIME: its name, seconds, nanoseconds.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("boottime"))?;
    let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<i64>().ok());
    let (secs, nanos) = (numbers.next()??, numbers.next()??);
    secs.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// `_SC_CLK_TCK` of sysconf(3): 100 on all that Linux runs on but old Alphas.
pub(super) fn ticks_per_sec() -> u64 {
    let known = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    known.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100)
}

/// The process with an id; none if there is none. Allocates nothing.
pub(super) fn process(pid: i32) -> Option<Process> {
    process_at(ProcPath::new(pid, "stat").as_c_str())
}

fn process_at(stat: &(impl NixPath + ?Sized)) -> Option<Process> {
    let mut line = [0; PROC_BYTES];
    Process::parse(beginning(stat, &mut line)?)
}

/// More than there can be before the last field of /proc/PID/stat that matters.
pub(super) const PROC_BYTES: usize = 1024;

/// The beginning of a file of /proc, as far as it fits. Allocates nothing.
pub(super) fn beginning<'a>(
    path: &(impl NixPath + ?Sized),
    bytes: &'a mut [u8; PROC_BYTES],
) -> Option<&'a [u8]> {
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let len = loop {
        match read(&file, bytes) {
            Err(Errno::EINTR) => {}
            result => break result.ok()?,
        }
    };
    Some(&bytes[..len])
}

/// The path of a file in a process's directory.
pub(super) struct ProcPath {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl ProcPath {
    const BYTES: usize = 32;

    pub(super) fn new(pid: i32, file: &str) -> Self {
        let mut path = ProcPath { bytes: [0; Self::BYTES], len: 0 };
        let written = write!(path, "/proc/{pid}/{file}");
        debug_assert!(written.is_ok());
        path
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

/// One byte stays 0.
impl Write for ProcPath {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes[..Self::BYTES - 1].get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{assert, assert_eq};
    use super::*;

    #[test]
    fn the_offset_of_a_time_namespace_is_read_as_the_kernel_writes_it() {
        let text = b"monotonic           5         0\nboottime         -864        10\n";
        assert_eq!(parse_offset(text), Some(-864_000_000_000 + 10));
        assert_eq!(parse_offset(b"monotonic 0 0\nboottime 0 0\n"), Some(0));
        for garbage in
            [&b""[..], b"boottime", b"boottime 1", b"boottime x 1", b"boottime 9999999999999 0"]
        {
            assert_eq!(parse_offset(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn a_start_is_the_same_moment_in_every_time_namespace() {
        let (per_sec, day) = (ticks_per_sec(), 86_400);
        let ahead = day as i64 * 1_000_000_000;
        assert_eq!(on_the_machines_clock(Ticks((day + 7) * per_sec), ahead), Ticks(7 * per_sec));
        assert_eq!(on_the_machines_clock(Ticks(7 * per_sec), -ahead), Ticks((day + 7) * per_sec));
    }

    #[test]
    fn the_longest_path_fits() {
        let path = ProcPath::new(i32::MAX, "status");
        assert_eq!(path.as_c_str().to_bytes(), b"/proc/2147483647/status");
    }

    #[test]
    fn this_process_is_found() {
        let here = Here::look().expect("a /proc");
        assert_eq!(process(here.this.pid), Some(here.this));
        assert!(process(i32::MAX).is_none());
    }
}
