//! Every option of the language: one table, and below it what each one does
//! with its value.

use super::hint::closest;
use super::lexer::{is_blank, Form, Word};
use super::parser::Parser;
use super::problem::{Limit, ProblemKind, ValueFault};
use super::spec::{Address, AddressUse, JobSpec, Resource, Span, Ulimit};
use super::value::{self, AddressFault, NumberFault};
use crate::limits::{MAX_ARGS, MAX_DEPENDS, MAX_ENV, NAME_BYTES, PATH_BYTES};

/// One option of the language (manual, "Options").
pub struct OptionRule {
    /// Its name; two words for some.
    pub name: &'static str,
    /// What stands behind the name.
    pub usage: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What it may be called by mistake, for hints.
    also: &'static [&'static str],
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

/// Where an option stands, what comes behind it, and what is done with that.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// Outside of jobs: a block of options.
    Options,
    /// Outside of jobs: one value.
    Address(Set),
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
pub(super) const OPTION_COUNT: usize = 20;

/// The table, in the order in which a job is best written.
#[rustfmt::skip]
pub(super) static OPTIONS: [OptionRule; OPTION_COUNT] = [
    rule("job", "{ OPTION... }", "a process to run (repeatable)",
        &["jobs", "service", "process"], Again::AddsUp, Takes::Options),
    rule("report to", "udp://HOST:PORT[@INTERFACE]", "send the status of all jobs there, every 10 seconds (repeatable)",
        &["reports"], Again::AddsUp, Takes::Address(report_to)),
    rule("listen on", "udp://HOST:PORT", "take commands to enable and disable jobs there (repeatable)",
        &["listener"], Again::AddsUp, Takes::Address(listen_on)),
    rule("name", "NAME", "the job's name, which no other job has",
        &["id", "title"], Again::Refused, Takes::Value(name)),
    rule("cmd", "PROGRAM [ARGUMENT...]", "the program, as an absolute path, and its arguments",
        &["command", "exec", "program", "run"], Again::Refused, Takes::Words(cmd)),
    rule("dir", "DIRECTORY", "the directory to run in, as an absolute path",
        &["directory", "cwd", "chdir", "workdir"], Again::Refused, Takes::Value(dir)),
    rule("out", "FILE | syslog", "append stdout to this file; syslog is the default",
        &["stdout", "output"], Again::Refused, Takes::Value(out)),
    rule("err", "FILE | syslog", "append stderr to this file; syslog is the default",
        &["stderr", "error"], Again::Refused, Takes::Value(err)),
    rule("in", "FILE", "take stdin from this file; /dev/null is the default",
        &["stdin", "input"], Again::Refused, Takes::Value(stdin)),
    rule("env", "NAME=VALUE", "set an environment variable (repeatable)",
        &["environment", "setenv", "export"], Again::AddsUp, Takes::Value(env)),
    rule("user", "USER", "the user to run as",
        &["username", "uid"], Again::LastCounts, Takes::Value(user)),
    rule("nice", "NUMBER", "the priority, from -20 (highest) to 20 (lowest)",
        &["priority"], Again::LastCounts, Takes::Value(nice)),
    rule("order", "NUMBER", "jobs start in ascending order; 0 is the default",
        &[], Again::LastCounts, Takes::Value(order)),
    rule("cpu", "LIST | 0xMASK", "the CPUs to run on (0,2-4 or 0x1d)",
        &["cpus", "cpuset", "affinity"], Again::AddsUp, Takes::Value(cpu)),
    rule("ulimit", "-FLAG VALUE | { -FLAG VALUE... }", "set a resource limit, soft and hard (repeatable)",
        &["limit", "rlimit"], Again::AddsUp, Takes::Limits(ulimit)),
    rule("bounce every", "N[smhd]", "restart the job so often",
        &["restart"], Again::LastCounts, Takes::Value(bounce_every)),
    rule("depends", "{ FILE... }", "restart the job when the content of one of these files changes (repeatable)",
        &["dependencies", "watch"], Again::AddsUp, Takes::Block(depends)),
    rule("disable", "", "do not run the job",
        &["disabled"], Again::AddsUp, Takes::Nothing(|job| job.disable = true)),
    rule("wait", "", "start later jobs only when this one has finished",
        &[], Again::AddsUp, Takes::Nothing(|job| job.wait = true)),
    rule("once", "", "do not restart the job",
        &["oneshot"], Again::AddsUp, Takes::Nothing(|job| job.once = true)),
];

const fn rule(
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    also: &'static [&'static str],
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
    fn is_global(&self) -> bool {
        matches!(self.takes, Takes::Options | Takes::Address(_))
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

fn find_keyword(bytes: &[u8]) -> Option<usize> {
    OPTIONS.iter().position(|rule| rule.keyword().as_bytes() == bytes)
}

/// What an unknown option is meant to be; `name=` and `name:` are close to `name`.
pub(super) fn meant(word: &[u8], global: bool) -> Option<&'static str> {
    let stem = word.split(|byte| matches!(byte, b'=' | b':')).next().unwrap_or(word);
    let rules = || OPTIONS.iter().filter(move |rule| rule.is_global() == global);
    let keywords = rules().map(|rule| (rule.keyword(), rule.name));
    let others = rules().flat_map(|rule| rule.also.iter().map(|also| (*also, rule.name)));
    closest(stem, keywords.chain(others))
}

/// What a word that begins a line amid the arguments of `cmd` may be meant to be.
pub(super) fn meant_instead_of_argument(word: &[u8]) -> Option<&'static str> {
    closest(word, OPTIONS.iter().map(|rule| (rule.keyword(), rule.name)))
}

fn name(p: &mut Parser<'_>, word: Word<'_>) {
    if word.bytes.is_empty() {
        return p.refuse(word, ValueFault::Empty);
    }
    if word.bytes.len() > NAME_BYTES {
        return p.tell(word.place, ProblemKind::Limit(Limit::NameBytes));
    }
    if word.bytes.iter().any(|&byte| is_blank(byte)) {
        p.refuse(word, ValueFault::Blank);
    }
    if let Some(line) = p.line_of_job(word.bytes) {
        p.tell(word.place, ProblemKind::NameTaken { name: word.bytes, line });
    }
    p.keep(word, |job| &mut job.name);
}

fn cmd(p: &mut Parser<'_>, word: Word<'_>) {
    p.draft.args += 1;
    if p.draft.args == 1 && !is_path(p, word) {
        return;
    }
    if p.draft.args == 1 && !word.bytes.starts_with(b"/") {
        p.refuse(word, ValueFault::Relative);
    }
    match p.draft.args {
        ..=MAX_ARGS => p.append(word, |job| &mut job.cmd),
        args if args == MAX_ARGS + 1 => p.tell(word.place, ProblemKind::Limit(Limit::MaxArgs)),
        _ => {}
    }
}

fn dir(p: &mut Parser<'_>, word: Word<'_>) {
    if !is_path(p, word) {
        return;
    }
    if !word.bytes.starts_with(b"/") {
        p.refuse(word, ValueFault::Relative);
    }
    p.keep(word, |job| &mut job.dir);
}

fn out(p: &mut Parser<'_>, word: Word<'_>) {
    output(p, word, |job| &mut job.out);
}

fn err(p: &mut Parser<'_>, word: Word<'_>) {
    output(p, word, |job| &mut job.err);
}

/// `syslog` is a reserved word for the default.
fn output(p: &mut Parser<'_>, word: Word<'_>, file: fn(&mut JobSpec) -> &mut Span) {
    if word.bytes != b"syslog" && is_path(p, word) {
        p.keep(word, file);
    }
}

fn stdin(p: &mut Parser<'_>, word: Word<'_>) {
    if is_path(p, word) {
        p.keep(word, |job| &mut job.stdin);
    }
}

/// Whether `word` can be a path; if not, that is told.
fn is_path(p: &mut Parser<'_>, word: Word<'_>) -> bool {
    if word.bytes.is_empty() {
        p.refuse(word, ValueFault::Empty);
    } else if word.bytes.len() >= PATH_BYTES {
        p.tell(word.place, ProblemKind::Limit(Limit::PathBytes));
    } else {
        return true;
    }
    false
}

fn env(p: &mut Parser<'_>, word: Word<'_>) {
    if !matches!(word.bytes.iter().position(|&byte| byte == b'='), Some(1..)) {
        return p.refuse(word, ValueFault::Env);
    }
    p.draft.envs += 1;
    match p.draft.envs {
        ..=MAX_ENV => p.append(word, |job| &mut job.env),
        envs if envs == MAX_ENV + 1 => p.tell(word.place, ProblemKind::Limit(Limit::MaxEnv)),
        _ => {}
    }
}

fn user(p: &mut Parser<'_>, word: Word<'_>) {
    if word.bytes.is_empty() {
        return p.refuse(word, ValueFault::Empty);
    }
    p.keep(word, |job| &mut job.user);
}

/// The kernel has no 20; the manual does (setpriority(2); manual, "nice").
fn nice(p: &mut Parser<'_>, word: Word<'_>) {
    if let Some(nice) = number(p, word, -20, 20) {
        p.draft.spec.nice = nice.min(19) as i8;
    }
}

fn order(p: &mut Parser<'_>, word: Word<'_>) {
    if let Some(order) = number(p, word, i32::MIN, i32::MAX) {
        p.draft.spec.order = order;
    }
}

/// A number from `min` to `max`; if it is not, that is told.
fn number(p: &mut Parser<'_>, word: Word<'_>, min: i32, max: i32) -> Option<i32> {
    let fault = match value::signed(word.bytes).map(i32::try_from) {
        Ok(Ok(number)) if (min..=max).contains(&number) => return Some(number),
        Ok(_) | Err(NumberFault::TooLarge) => ValueFault::OutOfRange { min, max },
        Err(NumberFault::NotANumber) => ValueFault::NotANumber,
    };
    p.refuse(word, fault);
    None
}

fn cpu(p: &mut Parser<'_>, word: Word<'_>) {
    if let Err(fault) = value::cpus(word.bytes, &mut p.draft.cpus) {
        return p.refuse(word, ValueFault::Cpus(fault));
    }
    if p.draft.cpus.iter().all(|&byte| byte == 0) {
        p.refuse(word, ValueFault::NoCpu);
    }
}

fn ulimit(p: &mut Parser<'_>, flag: Word<'_>, word: Word<'_>) {
    let Some(resource) = Resource::named(flag.bytes) else {
        return p.refuse(flag, ValueFault::Resource);
    };
    match value::limit(resource, word.bytes) {
        Ok(value) => p.set_ulimit(flag, Ulimit { resource, value }),
        Err(fault) => p.refuse(word, ValueFault::Ulimit(fault)),
    }
}

fn bounce_every(p: &mut Parser<'_>, word: Word<'_>) {
    match value::interval(word.bytes) {
        Ok(seconds) => p.draft.spec.bounce_every = seconds,
        Err(fault) => p.refuse(word, ValueFault::Interval(fault)),
    }
}

fn depends(p: &mut Parser<'_>, word: Word<'_>) {
    if !is_path(p, word) {
        return;
    }
    p.depends += 1;
    if p.depends > MAX_DEPENDS {
        return p.tell(word.place, ProblemKind::Limit(Limit::MaxDepends));
    }
    p.append(word, |job| &mut job.depends);
}

fn report_to(p: &mut Parser<'_>, word: Word<'_>) {
    address(p, word, AddressUse::Report);
}

fn listen_on(p: &mut Parser<'_>, word: Word<'_>) {
    address(p, word, AddressUse::Listen);
}

fn address(p: &mut Parser<'_>, word: Word<'_>, used_for: AddressUse) {
    let parts = match value::address(word.bytes) {
        Ok(parts) if used_for == AddressUse::Listen && !parts.interface.is_empty() => {
            return p.refuse(word, ValueFault::Address(AddressFault::NoInterface));
        }
        Ok(parts) => parts,
        Err(fault) => return p.refuse(word, ValueFault::Address(fault)),
    };
    let line = word.place.line;
    let host = p.store(word.place, parts.host);
    let interface = p.store(word.place, parts.interface);
    p.push_address(word, Address { used_for, host, port: parts.port, interface, line });
}
