//! Every option of the language, in one table.

use super::hint::closest;
use super::lexer::{Form, Word};
use super::setter::{Mark, Set};
use crate::short::Short;

/// One option of the language (manual, "Options").
pub struct OptionRule {
    /// Its name; two words for some.
    pub name: Short<12>,
    /// What stands behind the name.
    pub usage: Short<40>,
    /// What it is for.
    pub about: Short<100>,
    /// What it may be called by mistake, for hints: words.
    also: Short<28>,
    /// What a second one means.
    pub(super) again: Again,
    /// Where it stands and what comes behind it.
    pub(super) takes: Takes,
}

/// What a second option of the same name means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing: it is an error.
    Refused,
    /// The first one is forgotten.
    LastCounts,
    /// Both count.
    AddsUp,
}

/// Where an option stands, what comes behind it, and what is done with that.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// Outside of jobs: a block of options.
    Options,
    /// Outside of jobs: one value.
    Address(Set),
    /// Outside of jobs: one value, and any number of `from` with a value each.
    Listener,
    /// In a job: nothing.
    Nothing(Mark),
    /// In a job: one value.
    Value(Set),
    /// In a job: all words up to the next option.
    Words(Set),
    /// In a job: a block of values.
    Block(Set),
    /// In a job: a resource and its value, or a block of those.
    Limits,
}

/// How many options there are.
pub(super) const OPTION_COUNT: usize = 21;

/// The table, in the order in which a job is best written.
#[rustfmt::skip]
pub(super) static OPTIONS: [OptionRule; OPTION_COUNT] = [
    rule("job", "{ OPTION... }", "a process to run (repeatable)",
        "jobs service process", Again::AddsUp, Takes::Options),
    rule("report to", "udp://HOST:PORT[@INTERFACE]",
        "send the status of all jobs there, every 10 seconds (repeatable)",
        "reports", Again::AddsUp, Takes::Address(Set::ReportTo)),
    rule("listen on", "udp://HOST:PORT [from ADDRESS[/BITS]]...",
        "take commands to enable and disable jobs there (repeatable)",
        "listener", Again::AddsUp, Takes::Listener),
    rule("name", "NAME", "the job's name, which no other job has",
        "id title", Again::Refused, Takes::Value(Set::Name)),
    rule("cmd", "PROGRAM [ARGUMENT...]", "the program, as an absolute path, and its arguments",
        "command exec program run", Again::Refused, Takes::Words(Set::Cmd)),
    rule("dir", "DIRECTORY", "the directory to run in, as an absolute path",
        "directory cwd chdir workdir", Again::Refused, Takes::Value(Set::Dir)),
    rule("out", "FILE | syslog", "append stdout to this file; syslog is the default",
        "stdout output", Again::Refused, Takes::Value(Set::Out)),
    rule("err", "FILE | syslog", "append stderr to this file; syslog is the default",
        "stderr error", Again::Refused, Takes::Value(Set::Err)),
    rule("log", "block | drop",
        "what becomes of output that the log does not take: the job waits (the default), or it is dropped",
        "logging", Again::LastCounts, Takes::Value(Set::Log)),
    rule("in", "FILE", "take stdin from this file; /dev/null is the default",
        "stdin input", Again::Refused, Takes::Value(Set::Stdin)),
    rule("env", "NAME=VALUE", "set an environment variable (repeatable)",
        "environment setenv export", Again::AddsUp, Takes::Value(Set::Env)),
    rule("user", "USER[:GROUP]", "the user to run as, and the group: names or numbers",
        "username uid", Again::LastCounts, Takes::Value(Set::User)),
    rule("nice", "NUMBER", "the priority, from -20 (highest) to 20 (lowest)",
        "priority", Again::LastCounts, Takes::Value(Set::Nice)),
    rule("order", "NUMBER", "jobs start in ascending order; 0 is the default",
        "", Again::LastCounts, Takes::Value(Set::Order)),
    rule("cpu", "LIST | 0xMASK", "the CPUs to run on (0,2-4 or 0x1d)",
        "cpus cpuset affinity", Again::AddsUp, Takes::Value(Set::Cpu)),
    rule("ulimit", "-FLAG VALUE | { -FLAG VALUE... }",
        "set a resource limit, soft and hard (repeatable)",
        "limit rlimit", Again::AddsUp, Takes::Limits),
    rule("bounce every", "N[smhd]", "restart the job so often",
        "restart", Again::LastCounts, Takes::Value(Set::BounceEvery)),
    rule("depends", "{ FILE... }",
        "restart the job when the content of one of these files changes (repeatable)",
        "dependencies watch", Again::AddsUp, Takes::Block(Set::Depends)),
    rule("disable", "", "do not run the job",
        "disabled", Again::AddsUp, Takes::Nothing(Mark::Disable)),
    rule("wait", "", "start later jobs only when this one has finished",
        "", Again::AddsUp, Takes::Nothing(Mark::Wait)),
    rule("once", "", "do not restart the job",
        "oneshot", Again::AddsUp, Takes::Nothing(Mark::Once)),
];

const fn rule(
    name: &str,
    usage: &str,
    about: &str,
    also: &str,
    again: Again,
    takes: Takes,
) -> OptionRule {
    OptionRule {
        name: Short::new(name),
        usage: Short::new(usage),
        about: Short::new(about),
        also: Short::new(also),
        again,
        takes,
    }
}

/// Every option of the language, for documentation.
pub fn options() -> impl Iterator<Item = &'static OptionRule> {
    OPTIONS.iter()
}

impl OptionRule {
    /// The first word of its name, which makes a line an option.
    pub(super) fn keyword(&self) -> &str {
        self.words().0
    }

    /// The second word of its name, if it has one.
    pub(super) fn particle(&self) -> Option<&str> {
        self.words().1
    }

    fn words(&self) -> (&str, Option<&str>) {
        match self.name.split_once(' ') {
            Some((keyword, particle)) => (keyword, Some(particle)),
            None => (&self.name, None),
        }
    }

    /// Returns true if a job must have it (manual, "Overview").
    pub(super) fn is_required(&self) -> bool {
        matches!(self.name.as_str(), "name" | "cmd")
    }

    /// Returns true if it stands outside of jobs.
    pub(super) fn is_global(&self) -> bool {
        matches!(self.takes, Takes::Options | Takes::Address(_) | Takes::Listener)
    }
}

/// The position in the table of the option that `word` names.
pub(super) fn find(word: &Word<'_>) -> Option<usize> {
    (word.form == Form::Bare).then(|| find_keyword(word.bytes)).flatten()
}

/// The same, or of one that takes a `{` which is stuck to it.
pub(super) fn find_or_glued(word: &Word<'_>) -> Option<usize> {
    let glued = || {
        let at = find_keyword(word.bytes.strip_suffix(b"{")?)?;
        let opens = matches!(OPTIONS[at].takes, Takes::Options | Takes::Block(_) | Takes::Limits);
        (opens && word.form == Form::Bare).then_some(at)
    };
    find(word).or_else(glued)
}

/// Returns true if `bytes` would be an option at the start of a line.
pub(super) fn is_keyword(bytes: &[u8]) -> bool {
    find_keyword(bytes).is_some()
}

fn find_keyword(bytes: &[u8]) -> Option<usize> {
    OPTIONS.iter().position(|rule| rule.keyword().as_bytes() == bytes)
}

/// The position of the option called `name`.
pub(super) fn position(name: &str) -> Option<usize> {
    OPTIONS.iter().position(|rule| rule.name.as_str() == name)
}

/// What a word is meant to be that is more than a `}`.
fn meant_to_close(word: &[u8]) -> Option<&'static str> {
    word.starts_with(b"}").then_some("}")
}

/// What an unknown option is meant to be; `name=` and `name:` are close to `name`.
pub(super) fn meant(word: &[u8], global: bool) -> Option<&'static str> {
    let stem = word.split(|byte| matches!(byte, b'=' | b':')).next().unwrap_or(word);
    let rules = || OPTIONS.iter().filter(move |rule| rule.is_global() == global);
    let names =
        rules().flat_map(|rule| [rule.keyword(), &rule.name].map(|name| (name, &*rule.name)));
    let others =
        rules().flat_map(|rule| rule.also.split_ascii_whitespace().map(|also| (also, &*rule.name)));
    meant_to_close(word).or_else(|| closest(stem, names.chain(others)))
}

/// What a word that begins a line amid the arguments of `cmd` may be meant to be.
pub(super) fn meant_instead_of_argument(word: &[u8]) -> Option<&'static str> {
    let names = OPTIONS.iter().map(|rule| (rule.keyword(), &*rule.name));
    meant_to_close(word).or_else(|| closest(word, names))
}
