//! How much room there is (`pmtr --limits`), and how much of it a configuration
//! takes (`pmtr -t -v`).

use super::tables::Tables;
use crate::config::Size;
use crate::limits::{self, Capacity, MAX_ADDRESSES, MAX_ARGS, MAX_DEPENDS, MAX_ENV};
use crate::limits::{MAX_JOBS, MAX_SENDERS, MAX_ULIMITS, TEXT_BYTES, TOTAL_BYTES};
use core::fmt;
use core::mem::size_of;

// The bytes that are told are those that there are, or a few more on machines with short pointers.
const _: () = assert!(size_of::<Tables>() <= TOTAL_BYTES);
const _: () = assert!(size_of::<Tables>() + TOTAL_BYTES / 4 > TOTAL_BYTES);

/// The answer to `--limits`, several lines without the last newline.
pub struct Limits;

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "limit                number  each    bytes  of")?;
        let mut written = Ok(());
        limits::each(&mut |capacity| {
            written = written.and_then(|()| write_capacity(f, capacity));
        });
        written?;
        writeln!(f, "{:27} {:>5} {TOTAL_BYTES:>8}  all tables, at most", "", "total")?;
        f.write_str(NOTES)
    }
}

const NOTES: &str = "
* can be set when pmtr is built, by environment variables like PMTR_MAX_JOBS=64

A table takes up memory only as far as it is used. Nothing else is allocated
once pmtr has started.";

fn write_capacity(f: &mut fmt::Formatter<'_>, capacity: Capacity) -> fmt::Result {
    let Capacity { name, what, number, bytes, can_be_set } = capacity;
    write!(f, "{name:<17} {:1} {number:>7} ", if can_be_set { "*" } else { "" })?;
    match bytes {
        0 => writeln!(f, "{:>5} {:>8}  {what}", "-", "-"),
        _ => writeln!(f, "{bytes:>5} {:>8}  {what}", number * bytes),
    }
}

/// What a configuration takes of all that it can take, in one line.
pub struct Taken {
    /// The bytes of the file.
    pub file: usize,
    /// What was read from it.
    pub config: Size,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { jobs, strings, ulimits, depends, addresses, senders, args, env } = self.config;
        write!(f, "jobs {jobs}/{MAX_JOBS}, ")?;
        write!(f, "text {}, strings {}, ", OfText(self.file), OfText(strings))?;
        write!(f, "ulimits {ulimits}/{MAX_ULIMITS}, depends {depends}/{MAX_DEPENDS}, ")?;
        write!(f, "report to and listen on {addresses}/{MAX_ADDRESSES}, ")?;
        write!(f, "from {senders}/{MAX_SENDERS}; of one job: ")?;
        write!(f, "words of cmd {args}/{MAX_ARGS}, env {env}/{MAX_ENV}")
    }
}

/// A number of bytes, of [`TEXT_BYTES`], in KiB, with one decimal that is rounded up.
struct OfText(usize);

impl fmt::Display for OfText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10).div_ceil(1024);
        write!(f, "{}.{}/{} KiB", tenths / 10, tenths % 10, TEXT_BYTES / 1024)
    }
}
