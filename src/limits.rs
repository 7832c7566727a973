//! Every capacity of pmtr, each with its reason and its bytes.
//!
//! This is the only place where a number of things is bounded. A table that is
//! full is a value, never a panic: a configuration that does not fit is refused
//! with the name of the limit, everything else waits.
//!
//! The ones read through `setting` can be changed when pmtr is built, with an
//! environment variable of the name given there (a recipe exports it). A value
//! that is not a number, or out of range, does not compile.
//!
//! All tables are zeros at first (see `sys::tables`), so a capacity takes up address
//! space, and memory only as far as it is used: 1,024 jobs of which 24 are
//! there cost what 24 of 24 cost. What the tables take at most is
//! [`TOTAL_BYTES`]; `pmtr --limits` shows it, and there is nothing else but
//! the stack, as nothing is allocated after the start.

#![forbid(unsafe_code)]

/// How many jobs a configuration may hold (`PMTR_MAX_JOBS`). More than any
/// appliance has, and few enough for all tables to stay below [`HUGE_PAGE_BYTES`].
pub const MAX_JOBS: usize = setting("PMTR_MAX_JOBS", option_env!("PMTR_MAX_JOBS"), 1024, 1, 16_384);

/// What a job takes, at most: its definition in two configurations, and what it is doing.
pub const JOB_BYTES: usize = 2 * SPEC_BYTES + ROW_BYTES;

/// What the definition of a job takes besides its strings.
pub const SPEC_BYTES: usize = 112;

/// What is known of a job while pmtr runs.
pub const ROW_BYTES: usize = 192;

/// How many bytes a configuration file may have (`PMTR_TEXT_BYTES`), and how
/// many bytes all of its strings may take together, each with its NUL. Three
/// blocks of that size: the file, and the strings of two configurations. A file
/// of 1,000 jobs with four lines each has 60 kB.
pub const TEXT_BYTES: usize =
    setting("PMTR_TEXT_BYTES", option_env!("PMTR_TEXT_BYTES"), 256 * 1024, 4096, 1 << 20);

/// How many such blocks there are.
pub const TEXTS: usize = 3;

/// How many bytes a job's name may have. With its length a name fills 64 bytes.
pub const NAME_BYTES: usize = 63;

/// How many words a `cmd` may have, the program included. They are pointers on
/// the stack of a process that is being started.
pub const MAX_ARGS: usize = 256;

/// How many `env` lines a job may have: pointers on the heap, allocated at the start.
pub const MAX_ENV: usize = 128;

/// How many files all `depends` blocks of a configuration may name together
/// (`PMTR_MAX_DEPENDS`). Each takes some watches, and time at every look.
pub const MAX_DEPENDS: usize =
    setting("PMTR_MAX_DEPENDS", option_env!("PMTR_MAX_DEPENDS"), 512, 1, 8192);

/// How many `ulimit` settings a configuration may hold: two for every job,
/// which leaves room for a few jobs that set all 14.
pub const MAX_ULIMITS: usize = 2 * MAX_JOBS + 64;

/// What one takes in two configurations.
pub const ULIMIT_BYTES: usize = 2 * 16;

/// How many `report to` and `listen on` lines a configuration may hold. They
/// are looked through one by one.
pub const MAX_ADDRESSES: usize = 16;

/// What one takes in two configurations.
pub const ADDRESS_BYTES: usize = 2 * 28;

/// How many `from` all `listen on` lines of a configuration may have together.
pub const MAX_SENDERS: usize = 64;

/// What one takes in two configurations.
pub const SENDER_BYTES: usize = 2 * 20;

/// The longest control datagram; twice what there ever was room for. A longer
/// one is refused as a whole: its last name might be cut to that of another job.
pub const CONTROL_BYTES: usize = 4096;

/// How many control datagrams one socket hands over in one turn of the loop;
/// the others come next, so that no burst keeps pmtr from its other work for long.
pub const CONTROLS_PER_TURN: usize = 32;

/// How many control datagrams one socket hands over as fast as they come: far
/// more than a socket holds, so that a command behind a burst is not lost.
pub const CONTROL_BURST: usize = 16_384;

/// How many control datagrams a second one socket hands over after that, so
/// that a flood costs little; the kernel drops the rest.
pub const CONTROLS_PER_SECOND: usize = 1000;

/// The longest report: the most that one datagram over IPv4 can hold (udp(7)).
/// What does not fit goes into a further one.
pub const DATAGRAM_BYTES: usize = 65_507;

/// How many CPUs `cpu` can name: the kernel's `CPU_SETSIZE` (CPU_SET(3)).
pub const MAX_CPUS: usize = 1024;

/// The longest path that is used: the kernel's `PATH_MAX`, NUL included. Paths
/// are put together on the stack.
pub const PATH_BYTES: usize = 4096;

/// How many job output pipes can be open: one for every job, and some for what
/// ended jobs left behind and still writes.
pub const MAX_STREAMS: usize = MAX_JOBS + 64;

/// What a job output pipe takes besides its [buffer](STREAM_BUFFERS): what is known of it, and what of
/// it was dropped.
pub const STREAM_BYTES: usize = 88 + 24 + 1;

/// The longest line of a job's output that stays whole, without its newline.
pub const LINE_BYTES: usize = 4096;

/// What a job output pipe is read into: a whole line, and the start of the next.
pub const STREAM_BUFFER_BYTES: usize = 8192;

/// How many jobs can have output under way between pipe and log at once
/// (`PMTR_STREAM_BUFFERS`); the others' output stays in their pipes meanwhile.
pub const STREAM_BUFFERS: usize =
    setting("PMTR_STREAM_BUFFERS", option_env!("PMTR_STREAM_BUFFERS"), 32, 1, 64);

/// The ring in which log records wait for syslog and stderr (`PMTR_RING_BYTES`).
pub const RING_BYTES: usize =
    setting("PMTR_RING_BYTES", option_env!("PMTR_RING_BYTES"), 64 * 1024, 16 * 1024, 1 << 20);

/// What of the ring only pmtr's own messages may fill, so that a flood of job
/// output does not push them out.
pub const RING_RESERVED_BYTES: usize = RING_BYTES / 4;

/// How many records go to the log in one system call, where they are there.
pub const LOG_BATCH: usize = 32;

/// How many jobs are started or signalled in one turn of the loop; then the log is
/// handed on, whose ring has no room for what is to be said of 1,000 jobs.
pub const ACTIONS_PER_TURN: usize = 16;

/// How many job output pipes are read in one turn of the loop; the others come
/// next, so that no number of busy jobs keeps it from its other work for long.
pub const STREAMS_PER_TURN: usize = 64;

/// How many directories and files are watched for changes of the configuration
/// and of what jobs depend on. Each path needs one, each symbolic link on its
/// way one more.
pub const MAX_WATCHES: usize = 2 * MAX_DEPENDS + 64;

/// What one takes.
pub const WATCH_BYTES: usize = 20;

/// What is known of a file of `depends`: see [`MAX_DEPENDS`].
pub const SIGHT_BYTES: usize = 56;

/// The largest pages that kernels for this machine have. Two of them are lost
/// where the file is read to, which is to be whole pages.
pub const PAGE_BYTES: usize =
    if cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "arm")) {
        4096
    } else {
        1 << 16
    };

/// The smallest pages that kernels have, to which tables are aligned so that a
/// small configuration takes few of them.
pub const SMALL_PAGE_BYTES: usize = 4096;

/// What a panic may allocate, which happens nowhere but in Rust's report of it
/// (`sys::heap`): several times the longest message that it has.
pub const LAST_WORDS_BYTES: usize = 4096;

/// What there is one of: lengths, states of sockets, messages of pmtr that are kept for syslog, and
/// what alignment leaves unused.
pub const OTHER_BYTES: usize =
    10 * 1024 + LAST_WORDS_BYTES + RING_RESERVED_BYTES + 6 * SMALL_PAGE_BYTES + 2 * PAGE_BYTES;

/// The size of all tables, at most: the sum of what [`each`] shows.
pub const TOTAL_BYTES: usize = MAX_JOBS * JOB_BYTES
    + TEXT_BYTES * TEXTS
    + MAX_ULIMITS * ULIMIT_BYTES
    + MAX_ADDRESSES * ADDRESS_BYTES
    + MAX_SENDERS * SENDER_BYTES
    + MAX_DEPENDS * SIGHT_BYTES
    + MAX_WATCHES * WATCH_BYTES
    + MAX_STREAMS * STREAM_BYTES
    + STREAM_BUFFERS * (STREAM_BUFFER_BYTES + 32)
    + RING_BYTES
    + DATAGRAM_BYTES
    + OTHER_BYTES;

/// Where a kernel may begin to give out memory by 2 MiB at a time, used or not
/// (transparent huge pages).
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

// A build that changes nothing stays below that; one that wants more knows why.
const _: () = assert!(
    option_env!("PMTR_MAX_JOBS").is_some()
        || option_env!("PMTR_TEXT_BYTES").is_some()
        || option_env!("PMTR_MAX_DEPENDS").is_some()
        || option_env!("PMTR_STREAM_BUFFERS").is_some()
        || option_env!("PMTR_RING_BYTES").is_some()
        || TOTAL_BYTES < HUGE_PAGE_BYTES
);

/// A line of the table that `pmtr --limits` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Its name here. What [can be set](Self::can_be_set) is so by `PMTR_` and this.
    pub name: &'static str,
    /// What is bounded.
    pub what: &'static str,
    /// How many there can be.
    pub number: usize,
    /// What one takes in the tables; 0: it takes nothing there.
    pub bytes: usize,
    /// Whether a build can set it.
    pub can_be_set: bool,
}

/// Calls `show` with every capacity that a user or an integrator can meet.
#[rustfmt::skip] // a table
pub fn each(show: &mut dyn FnMut(Capacity)) {
    const SET: bool = true;
    const FIXED: bool = false;
    let mut row = |name, number, bytes, can_be_set, what| {
        show(Capacity { name, what, number, bytes, can_be_set });
    };
    row("MAX_JOBS", MAX_JOBS, JOB_BYTES, SET, "jobs");
    row("TEXT_BYTES", TEXT_BYTES, TEXTS, SET, "bytes of the file and of its strings");
    row("MAX_ULIMITS", MAX_ULIMITS, ULIMIT_BYTES, FIXED, "ulimits of all jobs");
    row("MAX_DEPENDS", MAX_DEPENDS, SIGHT_BYTES, SET, "files of all depends");
    row("MAX_WATCHES", MAX_WATCHES, WATCH_BYTES, FIXED, "watched directories and files");
    row("MAX_ADDRESSES", MAX_ADDRESSES, ADDRESS_BYTES, FIXED, "report to and listen on");
    row("MAX_SENDERS", MAX_SENDERS, SENDER_BYTES, FIXED, "from of all listen on");
    row("MAX_STREAMS", MAX_STREAMS, STREAM_BYTES, FIXED, "output pipes");
    row("STREAM_BUFFERS", STREAM_BUFFERS, STREAM_BUFFER_BYTES + 32, SET, "output pipes with text under way");
    row("RING_BYTES", RING_BYTES, 1, SET, "bytes of log under way");
    row("DATAGRAM_BYTES", DATAGRAM_BYTES, 1, FIXED, "bytes of a report");
    row("", 1, OTHER_BYTES, FIXED, "all else");
    row("NAME_BYTES", NAME_BYTES, 0, FIXED, "bytes of a job's name");
    row("MAX_ARGS", MAX_ARGS, 0, FIXED, "words of a cmd");
    row("MAX_ENV", MAX_ENV, 0, FIXED, "env of a job");
    row("MAX_CPUS", MAX_CPUS, 0, FIXED, "CPUs");
    row("PATH_BYTES", PATH_BYTES, 0, FIXED, "bytes of a path");
    row("LINE_BYTES", LINE_BYTES, 0, FIXED, "bytes of a line of output");
    row("CONTROL_BYTES", CONTROL_BYTES, 0, FIXED, "bytes of a control datagram");
}

/// Reads a capacity that a build may set: decimal digits, from `min` to `max`.
const fn setting(name: &str, given: Option<&str>, default: usize, min: usize, max: usize) -> usize {
    let Some(text) = given else { return default };
    match number(text.as_bytes()) {
        Some(value) if value >= min && value <= max => value,
        _ => refuse(name, min, max),
    }
}

const fn number(digits: &[u8]) -> Option<usize> {
    // 9 digits fit in 32 bits.
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut value = 0;
    let mut i = 0;
    while i < digits.len() {
        if !digits[i].is_ascii_digit() {
            return None;
        }
        value = value * 10 + (digits[i] - b'0') as usize;
        i += 1;
    }
    Some(value)
}

/// Ends the build with a sentence that says what is allowed.
const fn refuse(name: &str, min: usize, max: usize) -> ! {
    let text = Sentence::EMPTY.with(name.as_bytes()).with(b" is to be a decimal number from ");
    let text = text.with_number(min).with(b" to ").with_number(max);
    match core::str::from_utf8(text.bytes.split_at(text.len).0) {
        Ok(text) => panic!("{}", text),
        Err(_) => panic!(),
    }
}

/// Text that is put together while pmtr is compiled.
#[derive(Clone, Copy)]
struct Sentence {
    bytes: [u8; 80],
    len: usize,
}

impl Sentence {
    const EMPTY: Sentence = Sentence { bytes: [0; 80], len: 0 };

    const fn with(mut self, more: &[u8]) -> Self {
        let mut i = 0;
        while i < more.len() {
            self.bytes[self.len] = more[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn with_number(self, number: usize) -> Self {
        let digit = [b'0' + (number % 10) as u8];
        let before = if number > 9 { self.with_number(number / 10) } else { self };
        before.with(&digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_table() {
        let mut sum = 0;
        each(&mut |row| sum += row.number * row.bytes);
        assert_eq!(sum, TOTAL_BYTES);
    }

    #[test]
    fn a_setting_is_a_decimal_number() {
        let good = [("24", 24), ("0024", 24), ("999999999", 999_999_999)];
        good.iter().for_each(|(text, value)| assert_eq!(number(text.as_bytes()), Some(*value)));
        for text in ["", " 24", "24 ", "+24", "-1", "0x10", "1e3", "1,024", "1234567890", "\u{663}"]
        {
            assert_eq!(number(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(setting("PMTR_X", None, 5, 1, 9), 5);
        assert_eq!(setting("PMTR_X", Some("9"), 5, 1, 9), 9);
    }
}
