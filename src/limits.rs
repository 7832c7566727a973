//! Every capacity of pmtr, each with its reason.
//!
//! This is the only place where a number of things is bounded. A table that is
//! full is a value, never a panic: a configuration that does not fit is refused
//! with the name of the limit, everything else waits.
//!
//! The ones read through `setting` can be changed when pmtr is built, with an
//! environment variable of the name given there (a recipe exports it). A value
//! that is not a number, or out of range, does not compile.

#![forbid(unsafe_code)]

/// How many jobs a configuration may hold (`PMTR_MAX_JOBS`).
pub const MAX_JOBS: usize = setting(option_env!("PMTR_MAX_JOBS"), 1024, 1, 16_384);

/// How many bytes a configuration file may have (`PMTR_TEXT_BYTES`), and how
/// many bytes all of its strings may take together, each with its NUL.
pub const TEXT_BYTES: usize = setting(option_env!("PMTR_TEXT_BYTES"), 256 * 1024, 4096, 1 << 20);

/// How many bytes a job's name may have. With its length a name fills 64 bytes.
pub const NAME_BYTES: usize = 63;

/// How many words a `cmd` may have, the program included.
pub const MAX_ARGS: usize = 256;

/// How many `env` lines a job may have.
pub const MAX_ENV: usize = 128;

/// How many variables pmtr's own environment may have to be handed on whole.
pub const MAX_INHERITED_ENV: usize = 256;

/// How many files all `depends` blocks of a configuration may name together.
pub const MAX_DEPENDS: usize = 512;

/// How many `ulimit` settings a configuration may hold: two for every job,
/// which leaves room for a few jobs that set all 14.
pub const MAX_ULIMITS: usize = 2 * MAX_JOBS + 64;

/// How many `report to` and `listen on` lines a configuration may hold.
pub const MAX_ADDRESSES: usize = 16;

/// How many `from` all `listen on` lines of a configuration may have together.
pub const MAX_SENDERS: usize = 64;

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

/// The longest path that is used: the kernel's `PATH_MAX`, NUL included.
pub const PATH_BYTES: usize = 4096;

/// How many job output pipes can be open: one for every job, and some for what
/// ended jobs left behind and still writes.
pub const MAX_STREAMS: usize = MAX_JOBS + 64;

/// The longest line of a job's output that stays whole, without its newline.
pub const LINE_BYTES: usize = 4096;

/// What a job output pipe is read into: a whole line, and the start of the next.
pub const STREAM_BUFFER_BYTES: usize = 8192;

/// How many jobs can have output under way between pipe and log at once; the
/// others' output stays in their pipes meanwhile.
pub const STREAM_BUFFERS: usize = 32;

/// The ring in which log records wait for syslog and stderr.
pub const RING_BYTES: usize = 64 * 1024;

/// What of the ring only pmtr's own messages may fill, so that a flood of job
/// output does not push them out.
pub const RING_RESERVED_BYTES: usize = 16 * 1024;

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

/// Reads a capacity that a build may set: decimal digits, from `min` to `max`.
const fn setting(given: Option<&str>, default: usize, min: usize, max: usize) -> usize {
    let Some(text) = given else { return default };
    let digits = text.as_bytes();
    assert!(!digits.is_empty(), "a PMTR_ capacity is empty: give a decimal number");
    let mut value = 0;
    let mut i = 0;
    while i < digits.len() {
        assert!(digits[i].is_ascii_digit(), "a PMTR_ capacity is not a decimal number");
        value = value * 10 + (digits[i] - b'0') as usize;
        assert!(value <= max, "a PMTR_ capacity is above its maximum (see src/limits.rs)");
        i += 1;
    }
    assert!(value >= min, "a PMTR_ capacity is below its minimum (see src/limits.rs)");
    value
}
