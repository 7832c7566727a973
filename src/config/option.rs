//! Every option of the language, in one table.

use super::hint::closest;
use super::lexer::{Form, Word};
use super::parser::Parser;
use super::setter;
use super::spec::JobSpec;

/// One option of the language (manual, "Options").
pub struct OptionRule {
    /// Its name; two words for some.
    pub name: &'static str,
    /// What stands behind the name.
    pub usage: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What it may be called by mistake, for hints: words. (As a list they would be
    /// pointers, which take memory of every process where a text is shared.)
    also: &'static str,
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

/// What an option does with a value.
pub(super) type Set = for<'t> fn(&mut Parser<'t>, Word<'t>);

/// What a resource limit does with its flag and its value.
pub(super) type SetLimit = for<'t> fn(&mut Parser<'t>, Word<'t>, Word<'t>);

/// What `listen on` does.
#[derive(Clone, Copy)]
pub(super) struct Listener {
    /// With its address.
    pub address: Set,
    /// With the value of a `from`.
    pub sender: Set,
    /// With its address, after the last `from`.
    pub end: Set,
}

/// Where an option stands, what comes behind it, and what is done with that.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// Outside of jobs: a block of options.
    Options,
    /// Outside of jobs: one value.
    Address(Set),
    /// Outside of jobs: one value, and any number of `from` with a value each.
    Listener(Listener),
    /// In a job: nothing.
    Nothing(fn(&mut JobSpec)),
    /// In a job: one value.
    Value(Set),
    /// In a job: all words up to the next option.
    Words(Set),
    /// In a job: a block of values.
    Block(Set),
    /// In a job: a resource and its value, or a block of those.
    Limits(SetLimit),
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
        "reports", Again::AddsUp, Takes::Address(setter::report_to)),
    rule("listen on", "udp://HOST:PORT [from ADDRESS[/BITS]]...",
        "take commands to enable and disable jobs there (repeatable)",
        "listener", Again::AddsUp, Takes::Listener(setter::LISTENER)),
    rule("name", "NAME", "the job's name, which no other job has",
        "id title", Again::Refused, Takes::Value(setter::name)),
    rule("cmd", "PROGRAM [ARGUMENT...]", "the program, as an absolute path, and its arguments",
        "command exec program run", Again::Refused, Takes::Words(setter::cmd)),
    rule("dir", "DIRECTORY", "the directory to run in, as an absolute path",
        "directory cwd chdir workdir", Again::Refused, Takes::Value(setter::dir)),
    rule("out", "FILE | syslog", "append stdout to this file; syslog is the default",
        "stdout output", Again::Refused, Takes::Value(setter::out)),
    rule("err", "FILE | syslog", "append stderr to this file; syslog is the default",
        "stderr error", Again::Refused, Takes::Value(setter::err)),
    rule("log", "block | drop",
        "what becomes of output that the log does not take: the job waits (the default), or it is dropped",
        "logging", Again::LastCounts, Takes::Value(setter::log)),
    rule("in", "FILE", "take stdin from this file; /dev/null is the default",
        "stdin input", Again::Refused, Takes::Value(setter::stdin)),
    rule("env", "NAME=VALUE", "set an environment variable (repeatable)",
        "environment setenv export", Again::AddsUp, Takes::Value(setter::env)),
    rule("user", "USER", "the user to run as",
        "username uid", Again::LastCounts, Takes::Value(setter::user)),
    rule("nice", "NUMBER", "the priority, from -20 (highest) to 20 (lowest)",
        "priority", Again::LastCounts, Takes::Value(setter::nice)),
    rule("order", "NUMBER", "jobs start in ascending order; 0 is the default",
        "", Again::LastCounts, Takes::Value(setter::order)),
    rule("cpu", "LIST | 0xMASK", "the CPUs to run on (0,2-4 or 0x1d)",
        "cpus cpuset affinity", Again::AddsUp, Takes::Value(setter::cpu)),
    rule("ulimit", "-FLAG VALUE | { -FLAG VALUE... }",
        "set a resource limit, soft and hard (repeatable)",
        "limit rlimit", Again::AddsUp, Takes::Limits(setter::ulimit)),
    rule("bounce every", "N[smhd]", "restart the job so often",
        "restart", Again::LastCounts, Takes::Value(setter::bounce_every)),
    rule("depends", "{ FILE... }",
        "restart the job when the content of one of these files changes (repeatable)",
        "dependencies watch", Again::AddsUp, Takes::Block(setter::depends)),
    rule("disable", "", "do not run the job",
        "disabled", Again::AddsUp, Takes::Nothing(|job| job.disable = true)),
    rule("wait", "", "start later jobs only when this one has finished",
        "", Again::AddsUp, Takes::Nothing(|job| job.wait = true)),
    rule("once", "", "do not restart the job",
        "oneshot", Again::AddsUp, Takes::Nothing(|job| job.once = true)),
];

const fn rule(
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    also: &'static str,
    again: Again,
    takes: Takes,
) -> OptionRule {
    OptionRule { name, usage, about, also, again, takes }
}

/// Every option of the language, for documentation.
pub fn options() -> impl Iterator<Item = &'static OptionRule> {
    OPTIONS.iter()
}

impl OptionRule {
    /// The first word of its name, which makes a line an option.
    pub(super) fn keyword(&self) -> &'static str {
        self.words().0
    }

    /// The second word of its name, if it has one.
    pub(super) fn particle(&self) -> Option<&'static str> {
        self.words().1
    }

    fn words(&self) -> (&'static str, Option<&'static str>) {
        match self.name.split_once(' ') {
            Some((keyword, particle)) => (keyword, Some(particle)),
            None => (self.name, None),
        }
    }

    /// Whether a job must have it (manual, "Overview").
    pub(super) fn is_required(&self) -> bool {
        matches!(self.name, "name" | "cmd")
    }

    /// Whether it stands outside of jobs.
    pub(super) fn is_global(&self) -> bool {
        matches!(self.takes, Takes::Options | Takes::Address(_) | Takes::Listener(_))
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
        let opens =
            matches!(OPTIONS[at].takes, Takes::Options | Takes::Block(_) | Takes::Limits(_));
        (opens && word.form == Form::Bare).then_some(at)
    };
    find(word).or_else(glued)
}

/// Whether `bytes` would be an option at the start of a line.
pub(super) fn is_keyword(bytes: &[u8]) -> bool {
    find_keyword(bytes).is_some()
}

fn find_keyword(bytes: &[u8]) -> Option<usize> {
    OPTIONS.iter().position(|rule| rule.keyword().as_bytes() == bytes)
}

/// The position of the option called `name`.
pub(super) fn position(name: &str) -> Option<usize> {
    OPTIONS.iter().position(|rule| rule.name == name)
}

/// What a word is meant to be that is more than a `}`.
fn meant_to_close(word: &[u8]) -> Option<&'static str> {
    word.starts_with(b"}").then_some("}")
}

/// What an unknown option is meant to be; `name=` and `name:` are close to `name`.
pub(super) fn meant(word: &[u8], global: bool) -> Option<&'static str> {
    let stem = word.split(|byte| matches!(byte, b'=' | b':')).next().unwrap_or(word);
    let rules = || OPTIONS.iter().filter(move |rule| rule.is_global() == global);
    let names = rules().flat_map(|rule| [rule.keyword(), rule.name].map(|name| (name, rule.name)));
    let others =
        rules().flat_map(|rule| rule.also.split_ascii_whitespace().map(|also| (also, rule.name)));
    meant_to_close(word).or_else(|| closest(stem, names.chain(others)))
}

/// What a word that begins a line amid the arguments of `cmd` may be meant to be.
pub(super) fn meant_instead_of_argument(word: &[u8]) -> Option<&'static str> {
    let names = OPTIONS.iter().map(|rule| (rule.keyword(), rule.name));
    meant_to_close(word).or_else(|| closest(word, names))
}
