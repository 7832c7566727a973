//! What can be wrong with a configuration, as values; only `Display` makes sentences.

use core::fmt;

use super::address::AddressFault;
use super::cpu::CpuFault;
use super::lexer::Place;
use super::shell::ShellWord;
use super::ulimit::LimitFault;
use super::value::IntervalFault;
use crate::limits;

/// How much a [`Problem`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken, but perhaps not as it was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One error or warning. Its `Display` is the sentence alone; see
/// [`report`](Self::report) and [`record`](Self::record) for the place as well.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The line of the file, from 1.
    pub line: u32,
    /// Where in the line, from 1: characters, of which a byte that is not UTF-8 is one.
    pub column: u32,
    /// What is wrong.
    pub kind: ProblemKind<'a>,
    /// The line itself, without its end.
    pub(super) source: &'a [u8],
    /// What of the line is meant: position and length in bytes.
    pub(super) at: usize,
    pub(super) length: usize,
}

impl<'a> Problem<'a> {
    pub(super) fn new(text: &'a [u8], place: Place, kind: ProblemKind<'a>) -> Self {
        let line = &text[place.line_start..];
        let end = line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len());
        let at = place.start - place.line_start;
        let column = super::report::characters(&line[..at]) as u32 + 1;
        let length = place.end - place.start;
        let source = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
        Problem { line: place.line, column, kind, source, at, length }
    }

    /// Whether it makes the configuration refused.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

/// A capacity that a file does not fit into (see [`limits`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as in `limits`
pub enum Limit {
    MaxJobs,
    TextBytes,
    NameBytes,
    MaxArgs,
    MaxEnv,
    MaxDepends,
    MaxUlimits,
    MaxAddresses,
    MaxSenders,
    PathBytes,
}

impl Limit {
    /// Its name in [`limits`].
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// How much fits.
    pub fn value(self) -> usize {
        self.facts().1
    }

    /// What there is too much of.
    pub(super) fn excess(self) -> &'static str {
        self.facts().2
    }

    /// Returns true if it bounds the file as a whole, so that what comes after does not fit either.
    pub(super) fn is_shared(self) -> bool {
        match self {
            Limit::NameBytes | Limit::MaxArgs | Limit::MaxEnv | Limit::PathBytes => false,
            Limit::MaxJobs
            | Limit::TextBytes
            | Limit::MaxDepends
            | Limit::MaxUlimits
            | Limit::MaxAddresses
            | Limit::MaxSenders => true,
        }
    }

    /// Name, value, and what there is too much of.
    fn facts(self) -> (&'static str, usize, &'static str) {
        match self {
            Limit::MaxJobs => ("MAX_JOBS", limits::MAX_JOBS, "too many jobs"),
            Limit::TextBytes => ("TEXT_BYTES", limits::TEXT_BYTES, "too much text"),
            Limit::NameBytes => ("NAME_BYTES", limits::NAME_BYTES, "the name is too long"),
            Limit::MaxArgs => ("MAX_ARGS", limits::MAX_ARGS, "too many words in this 'cmd'"),
            Limit::MaxEnv => ("MAX_ENV", limits::MAX_ENV, "too many 'env' in this job"),
            Limit::MaxDepends => ("MAX_DEPENDS", limits::MAX_DEPENDS, "too many 'depends' files"),
            Limit::MaxUlimits => ("MAX_ULIMITS", limits::MAX_ULIMITS, "too many 'ulimit' settings"),
            Limit::MaxAddresses => {
                ("MAX_ADDRESSES", limits::MAX_ADDRESSES, "too many 'report to' and 'listen on'")
            }
            Limit::MaxSenders => {
                ("MAX_SENDERS", limits::MAX_SENDERS, "too many 'from' of 'listen on'")
            }
            Limit::PathBytes => ("PATH_BYTES", limits::PATH_BYTES, "the path is too long"),
        }
    }
}

/// What is wrong. `option` is an option's name, `word` the user's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each one's sentence is in its `Display`
pub enum ProblemKind<'a> {
    NulByte,
    UnterminatedQuote,
    UnknownOption { word: &'a [u8], hint: Option<&'static str> },
    GluedBrace { word: &'a [u8] },
    BelongsInJob { option: &'static str },
    BelongsOutside { option: &'static str },
    StrayBrace,
    Unclosed { block: &'static str, line: u32 },
    Expected { option: &'static str, symbol: &'static str },
    MissingValue { option: &'static str, usage: &'static str },
    UnexpectedValue { option: &'static str, word: &'a [u8] },
    UnexpectedWord { option: &'static str, word: &'a [u8] },
    NotOnItsOwnLine { option: &'static str },
    Repeated { option: &'static str, first: u32 },
    LastCounts { option: &'static str, first: u32, last: u32 },
    NoOption { option: &'static str },
    NameTaken { name: &'a [u8], line: u32 },
    ContinuedWord { word: &'a [u8], hint: &'static str },
    ContinuedBrace,
    Shell { option: &'static str, word: &'a [u8], found: ShellWord },
    Value { option: &'static str, word: &'a [u8], fault: ValueFault },
    Limit(Limit),
    TooManyErrors,
    TooManyWarnings,
}

impl ProblemKind<'_> {
    /// Whether it makes the configuration refused.
    pub fn severity(&self) -> Severity {
        use ProblemKind::{
            ContinuedBrace, ContinuedWord, LastCounts, Shell, TooManyWarnings, Value,
        };
        use ValueFault::{Blank, Directory, Exposed, FewFiles, NoCpu, Relative};
        match self {
            LastCounts { .. }
            | ContinuedWord { .. }
            | ContinuedBrace
            | Shell { .. }
            | TooManyWarnings => Severity::Warning,
            Value { fault: Blank | Directory | Exposed | FewFiles | NoCpu | Relative, .. } => {
                Severity::Warning
            }
            _ => Severity::Error,
        }
    }
}

/// What is wrong with the value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFault {
    /// There is nothing between the quotes.
    Empty,
    /// A job's name has white space in it, so that UDP control cannot name it.
    Blank,
    /// A path that should be absolute does not begin with `/`.
    Relative,
    /// It is not a decimal number.
    NotANumber,
    /// It is a number, but not from `min` to `max`.
    OutOfRange {
        /// The smallest.
        min: i32,
        /// The largest.
        max: i32,
    },
    /// It is not `NAME=VALUE`.
    Env,
    /// It is neither `block` nor `drop`.
    Log,
    /// It is neither `USER` nor `USER:GROUP`.
    User,
    /// Its user or group is a number that is no id.
    Id,
    /// It is not a set of CPUs.
    Cpus(CpuFault),
    /// A file that is to be read is called as a directory is.
    Directory,
    /// It leaves a program no descriptor to load its libraries with.
    FewFiles,
    /// It is a set without any CPU.
    NoCpu,
    /// `ulimit` knows no such resource.
    Resource,
    /// It is not the value of a `ulimit`.
    Ulimit(LimitFault),
    /// It is not an interval.
    Interval(IntervalFault),
    /// It is not an address.
    Address(AddressFault),
    /// Other hosts can send to this address, and nothing says which may.
    Exposed,
}
