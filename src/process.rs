//! A process as the kernel shows it: the line of /proc/PID/stat (proc_pid_stat(5)).

#![forbid(unsafe_code)]

use crate::time::Instant;

/// What tells one process from another that has had the same id, and how the
/// two belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The id of its parent; 0 if that is in no namespace of ours.
    pub parent: i32,
    /// The process group that it is in.
    pub group: i32,
    /// The session that it is in: the id of the process that began it.
    pub session: i32,
    /// When it started, in ticks since booting.
    pub started: Ticks,
    /// Whether it has ended, and only waits to be reaped.
    pub ended: bool,
}

impl Process {
    /// Reads a line of /proc/PID/stat.
    pub fn parse(line: &[u8]) -> Option<Process> {
        // The name, in parentheses, is chosen by the program: it may hold
        // spaces, parentheses and newlines. No field behind it does.
        let open = line.iter().position(|&byte| byte == b'(')?;
        let close = line.iter().rposition(|&byte| byte == b')')?;
        let pid = core::str::from_utf8(&line[..open]).ok()?.trim().parse().ok()?;
        let rest = core::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(THREADS - SESSION - 1)?.parse().ok()?;
        let started = Ticks(fields.nth(START_TIME - THREADS - 1)?.parse().ok()?);
        // A first thread that has ended looks like a zombie while others go on.
        let ended = matches!(state, "Z" | "X" | "x") && threads <= 1;
        Some(Process { pid, parent, group, session, started, ended })
    }
}

/// The fields' numbers in proc_pid_stat(5).
const SESSION: usize = 6;
const THREADS: usize = 20;
const START_TIME: usize = 22;

/// A point in time as /proc shows it: clock ticks since booting (sysconf(3), `_SC_CLK_TCK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The tick in which `time` lies; `per_sec` is the value of `_SC_CLK_TCK`.
    pub fn of(time: Instant, per_sec: u64) -> Ticks {
        let ticks = u128::from(time.as_nanos()) * u128::from(per_sec) / 1_000_000_000;
        Ticks(ticks as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: &str = "7015 (cat) R 6997 6996 2876 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 155442 \
                       3133440 393 18446744073709551615 1 2 3 0 0 0 0 0 0 0 0 0 17 0\n";

    #[test]
    fn the_fields_are_those_of_the_manual_page() {
        let cat = Process {
            pid: 7015,
            parent: 6997,
            group: 6996,
            session: 2876,
            started: Ticks(155_442),
            ended: false,
        };
        assert_eq!(Process::parse(CAT.as_bytes()), Some(cat));
    }

    #[test]
    fn a_name_cannot_pretend_to_be_fields() {
        extern crate std;
        for name in ["(a) Z 1 1 1 1 1) (", ") (", ")", "(", "a b\nc", "\u{e9}"] {
            let line = CAT.replace("cat", name);
            assert_eq!(Process::parse(line.as_bytes()), Process::parse(CAT.as_bytes()), "{name}");
        }
        let bytes: std::vec::Vec<u8> =
            CAT.bytes().map(|byte| if byte == b'c' { 0xff } else { byte }).collect();
        assert_eq!(Process::parse(&bytes), Process::parse(CAT.as_bytes()));
    }

    #[test]
    fn a_zombie_has_ended_unless_other_threads_of_it_go_on() {
        extern crate std;
        let zombie = CAT.replace(") R ", ") Z ");
        assert!(Process::parse(zombie.as_bytes()).unwrap().ended);
        let first_thread_gone = zombie.replace(" 20 0 1 0 ", " 20 0 2 0 ");
        assert!(!Process::parse(first_thread_gone.as_bytes()).unwrap().ended);
    }

    #[test]
    fn what_is_no_such_line_is_nothing() {
        for line in ["", "1", "1 (", ")1 (", "1 (a) R", "x (a) R 1 1 1", &CAT[..CAT.len() / 3]] {
            assert_eq!(Process::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn an_instant_lies_in_the_tick_that_has_begun() {
        assert_eq!(Ticks::of(Instant::from_nanos(1_009_999_999), 100), Ticks(100));
        assert_eq!(Ticks::of(Instant::from_nanos(1_010_000_000), 100), Ticks(101));
        assert_eq!(Ticks::of(Instant::from_nanos(u64::MAX), 1000), Ticks(u64::MAX / 1_000_000));
    }
}
