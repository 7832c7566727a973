//! The sentence for each kind of problem.

use core::fmt;

use super::address::AddressFault;
use super::cpu::CpuFault;
use super::problem::{Limit, ProblemKind, ValueFault};
use super::setter::FEWEST_FILES;
use super::shell::ShellWord;
use super::ulimit::{LimitFault, RESOURCES};
use super::value::IntervalFault;
use crate::limits::MAX_CPUS;
use crate::name::write_lossy;

/// More bytes of a word than this would bury the sentence.
const SHOWN_BYTES: usize = 64;

/// A user's word in a sentence, in quotes.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        if self.0.len() <= SHOWN_BYTES {
            write_lossy(f, self.0)?;
        } else {
            write_lossy(f, super::report::head(self.0, SHOWN_BYTES))?;
            f.write_str("...")?;
        }
        f.write_str("'")
    }
}

impl fmt::Display for ProblemKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ProblemKind::*;
        match *self {
            NulByte => write!(f, "a NUL byte: this is not a text file"),
            UnterminatedQuote => write!(f, "the quote that begins here does not end in this line"),
            UnknownOption { word, hint: None } => write!(f, "unknown option {}", Shown(word)),
            UnknownOption { word, hint: Some(hint) } => {
                write!(f, "unknown option {}: did you mean '{hint}'?", Shown(word))
            }
            GluedBrace { word } => write!(f, "{} needs a space before its '{{'", Shown(word)),
            BelongsInJob { option } => write!(f, "'{option}' belongs in a job {{ }}"),
            BelongsOutside { option } => write!(f, "'{option}' belongs outside of a job {{ }}"),
            StrayBrace => write!(f, "this '}}' closes nothing"),
            Unclosed { block, line } => {
                write!(f, "missing '}}': the '{block}' of line {line} is not closed")
            }
            Expected { option, symbol } => write!(f, "'{option}' must be followed by '{symbol}'"),
            MissingValue { option, usage } => {
                write!(f, "'{option}' needs more: {option} {usage}")
            }
            UnexpectedValue { option, word } => {
                write!(f, "unexpected {}: '{option}' takes no value", Shown(word))
            }
            UnexpectedWord { option, word } => {
                write!(f, "unexpected {} after the value of '{option}': ", Shown(word))?;
                f.write_str("a value with white space needs quotes")
            }
            NotOnItsOwnLine { option } => write!(f, "'{option}' must begin a line of its own"),
            Repeated { option, first } => {
                write!(f, "'{option}' is given twice: the first one is in line {first}")
            }
            LastCounts { option, first, last } => {
                write!(f, "'{option}' is given in line {first} and in line {last}: ")?;
                f.write_str("the last one counts")
            }
            NoOption { option } => write!(f, "this job has no '{option}'"),
            NameTaken { name, line } => {
                write!(f, "the name {} is taken by the job of line {line}", Shown(name))
            }
            ContinuedWord { word, hint } => {
                write!(f, "{} is an argument of the 'cmd' above: ", Shown(word))?;
                write!(f, "did you mean '{hint}'?")
            }
            ContinuedBrace => f.write_str(
                "this '{' is an argument of the 'cmd' above: a '{' stands in the line of its option",
            ),
            Shell { option, word, found } => shell(f, option, word, found),
            Value { option, word, fault } => value(f, option, word, fault),
            Limit(limit) => limit.fmt(f),
            TooManyWarnings => write!(f, "too many warnings: the others are not shown"),
            TooManyErrors => write!(f, "too many errors: the rest of the file is not checked"),
        }
    }
}

/// "too many jobs: MAX_JOBS is 1024".
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is {}", self.excess(), self.name(), self.value())
    }
}

fn value(f: &mut fmt::Formatter<'_>, option: &str, word: &[u8], fault: ValueFault) -> fmt::Result {
    let word = Shown(word);
    match fault {
        ValueFault::Empty => write!(f, "the value of '{option}' is empty"),
        ValueFault::Blank => {
            write!(f, "the name {word} has white space in it: UDP control cannot name this job")
        }
        ValueFault::Relative => {
            write!(f, "{word} is not an absolute path, which '{option}' should be")
        }
        ValueFault::NotANumber => write!(f, "{word} is not a number"),
        ValueFault::OutOfRange { min, max } => {
            write!(f, "{word} is out of range: '{option}' goes from {min} to {max}")
        }
        ValueFault::Env => write!(f, "{word} is not NAME=VALUE"),
        ValueFault::Log => write!(f, "{word} is neither 'block' nor 'drop'"),
        ValueFault::User => write!(f, "{word} is neither USER nor USER:GROUP"),
        ValueFault::Id => write!(f, "{word}: an id is a number from 0 to {}", u32::MAX - 1),
        ValueFault::Cpus(fault) => cpus(f, &word, fault),
        ValueFault::Directory => {
            write!(f, "{word} is a directory: '{option}' takes files, name those in it")
        }
        ValueFault::FewFiles => {
            write!(f, "{word} is too low for a program to start: it needs {FEWEST_FILES}, ")?;
            f.write_str("and a shell with a script 12")
        }
        ValueFault::NoCpu => write!(f, "{word} has no CPU in it: the job runs on any"),
        ValueFault::Resource => {
            write!(f, "unknown resource {word}: it is one of")?;
            RESOURCES.iter().try_for_each(|(_, flag, _)| write!(f, " {flag}"))
        }
        ValueFault::Ulimit(fault) => ulimit(f, &word, fault),
        ValueFault::Interval(fault) => interval(f, &word, fault),
        ValueFault::Address(fault) => address(f, &word, fault),
        ValueFault::Exposed => {
            write!(f, "{word}: any host that reaches this port can enable and disable jobs: ")?;
            f.write_str("say whom to listen to with 'from ADDRESS/BITS'")
        }
    }
}

/// A word that no shell reads, and what to do instead.
fn shell(f: &mut fmt::Formatter<'_>, option: &str, word: &[u8], found: ShellWord) -> fmt::Result {
    let is_cmd = option == "cmd";
    write!(f, "{} stays as it is, since no shell reads '{option}': ", Shown(word))?;
    f.write_str(match found {
        ShellWord::Redirection => "use 'in', 'out' or 'err', or wrap it: /bin/sh -c \"...\"",
        ShellWord::Background => {
            "leave it out, a job stays in the foreground; or wrap it: /bin/sh -c \"...\""
        }
        ShellWord::SingleQuote | ShellWord::DoubleQuote => {
            "put double quotes around the whole word, none inside"
        }
        ShellWord::Backslash => {
            "leave it out; double quotes keep a word together, and arguments \
             may go on in the next line"
        }
        ShellWord::Home => "write the directory out",
        ShellWord::Expansion if !is_cmd => "write the value out, or set it in a script",
        ShellWord::Operator | ShellWord::Expansion | ShellWord::Wildcard => {
            "wrap it: /bin/sh -c \"...\""
        }
    })
}

fn cpus(f: &mut fmt::Formatter<'_>, word: &Shown<'_>, fault: CpuFault) -> fmt::Result {
    match fault {
        CpuFault::Form => {
            write!(f, "{word} is neither a list of CPUs (0,2-4) nor a hex mask (0x1d)")
        }
        CpuFault::Reversed => write!(f, "{word} has a range that ends before it begins"),
        CpuFault::TooHigh => write!(f, "{word} names a CPU above {}", MAX_CPUS - 1)
            .and_then(|()| write!(f, ": MAX_CPUS is {MAX_CPUS}")),
    }
}

fn ulimit(f: &mut fmt::Formatter<'_>, word: &Shown<'_>, fault: LimitFault) -> fmt::Result {
    match fault {
        LimitFault::Form => write!(f, "{word} is neither a number nor 'infinity'"),
        LimitFault::TooLarge => write!(f, "{word} does not fit in 64 bits"),
        LimitFault::Infinite => write!(f, "the number of open files must be finite"),
    }
}

fn interval(f: &mut fmt::Formatter<'_>, word: &Shown<'_>, fault: IntervalFault) -> fmt::Result {
    match fault {
        IntervalFault::Form => {
            write!(f, "{word} is not a number with one of s, m, h, d behind it")
        }
        IntervalFault::Zero => write!(f, "{word} is no time at all"),
        IntervalFault::TooLong => write!(f, "{word} is too long: at most {}s", u32::MAX),
    }
}

fn address(f: &mut fmt::Formatter<'_>, word: &Shown<'_>, fault: AddressFault) -> fmt::Result {
    write!(f, "{word}: ")?;
    f.write_str(match fault {
        AddressFault::Form => "an address is udp://HOST:PORT",
        AddressFault::Port => "the port is not a number from 1 to 65535",
        AddressFault::Host => "the host is neither a name nor an IPv4 address",
        AddressFault::Ipv6 => "what stands in brackets is not an IPv6 address",
        AddressFault::Brackets => "an IPv6 address stands in brackets: udp://[::1]:9999",
        AddressFault::Interface => "the name of an interface has 1 to 15 characters",
        AddressFault::NoInterface => "only 'report to' takes an interface",
        AddressFault::Sender => "'from' takes an IPv4 or IPv6 address, or ADDRESS/BITS",
    })
}
