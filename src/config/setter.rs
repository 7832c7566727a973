//! What each option does with its value: checks it, and puts it into the job.

use super::address::{self, AddressFault, Prefix};
use super::cpu;
use super::grammar::ends_values;
use super::lexer::{is_blank, Word};
use super::parser::Parser;
use super::problem::{Limit, ProblemKind, ValueFault};
use super::shell::{self, ShellWord};
use super::spec::{Address, AddressUse, JobSpec, Resource, Span, Ulimit};
use super::ulimit;
use super::value::{self, numeric_id, NumberFault};
use crate::limits::{MAX_ARGS, MAX_DEPENDS, MAX_ENV, NAME_BYTES, PATH_BYTES};

/// What is done with the value of an option, by the option. (As a pointer to a function in a
/// table each would take memory, see [`crate::short`].)
#[derive(Clone, Copy)]
pub(super) enum Set {
    ReportTo,
    Name,
    Cmd,
    Dir,
    Out,
    Err,
    Log,
    Stdin,
    Env,
    User,
    Nice,
    Order,
    Cpu,
    BounceEvery,
    Depends,
}

impl Set {
    /// Checks a value, and puts it into the job.
    pub(super) fn set(self, p: &mut Parser<'_>, word: Word<'_>) {
        match self {
            Set::ReportTo => report_to(p, word),
            Set::Name => name(p, word),
            Set::Cmd => cmd(p, word),
            Set::Dir => dir(p, word),
            Set::Out => out(p, word),
            Set::Err => err(p, word),
            Set::Log => log(p, word),
            Set::Stdin => stdin(p, word),
            Set::Env => env(p, word),
            Set::User => user(p, word),
            Set::Nice => nice(p, word),
            Set::Order => order(p, word),
            Set::Cpu => cpu(p, word),
            Set::BounceEvery => bounce_every(p, word),
            Set::Depends => depends(p, word),
        }
    }
}

/// What an option that takes no value says of a job.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Disable,
    Wait,
    Once,
}

impl Mark {
    pub(super) fn mark(self, job: &mut JobSpec) {
        match self {
            Mark::Disable => job.disable = true,
            Mark::Wait => job.wait = true,
            Mark::Once => job.once = true,
        }
    }
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
    let next = p.peek().filter(|next| !ends_values(next));
    if let Some(found) = p.draft.command.check(word, next) {
        tell_shell(p, word, found);
    }
    p.draft.args += 1;
    if p.draft.args == 1 && !is_absolute_path(p, word) {
        return;
    }
    match p.draft.args {
        ..=MAX_ARGS => p.append(word, |job| &mut job.cmd),
        args if args == MAX_ARGS + 1 => p.tell(word.place, ProblemKind::Limit(Limit::MaxArgs)),
        _ => {}
    }
}

/// Warns of a word that a shell would understand, and that no shell reads.
fn tell_shell(p: &mut Parser<'_>, word: Word<'_>, found: ShellWord) {
    p.tell(word.place, ProblemKind::Shell { option: p.option, word: word.bytes, found });
}

fn dir(p: &mut Parser<'_>, word: Word<'_>) {
    if is_absolute_path(p, word) {
        p.keep(word, |job| &mut job.dir);
    }
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

/// What becomes of output that the log does not take.
fn log(p: &mut Parser<'_>, word: Word<'_>) {
    match word.bytes {
        b"block" => p.draft.spec.drops_log = false,
        b"drop" => p.draft.spec.drops_log = true,
        _ => p.refuse(word, ValueFault::Log),
    }
}

fn stdin(p: &mut Parser<'_>, word: Word<'_>) {
    if is_path(p, word) {
        p.keep(word, |job| &mut job.stdin);
    }
}

/// Returns true if `word` can be a path; if not, that is told.
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

/// The same, and warns of a relative one: it is accepted, as it always was.
fn is_absolute_path(p: &mut Parser<'_>, word: Word<'_>) -> bool {
    let good = is_path(p, word);
    if good && !word.bytes.starts_with(b"/") {
        p.refuse(word, ValueFault::Relative);
    }
    good
}

fn env(p: &mut Parser<'_>, word: Word<'_>) {
    let sign = word.bytes.iter().position(|&byte| byte == b'=');
    let Some(sign @ 1..) = sign else { return p.refuse(word, ValueFault::Env) };
    if let Some(found) = shell::in_variable(word, &word.bytes[sign + 1..]) {
        tell_shell(p, word, found);
    }
    p.draft.envs += 1;
    match p.draft.envs {
        ..=MAX_ENV => p.append(word, |job| &mut job.env),
        envs if envs == MAX_ENV + 1 => p.tell(word.place, ProblemKind::Limit(Limit::MaxEnv)),
        _ => {}
    }
}

/// `USER` or `USER:GROUP`, which become one or two strings.
fn user(p: &mut Parser<'_>, word: Word<'_>) {
    if word.bytes.is_empty() {
        return p.refuse(word, ValueFault::Empty);
    }
    let mut parts = word.bytes.splitn(3, |&byte| byte == b':');
    let (user, group) = (parts.next().unwrap_or_default(), parts.next());
    if user.is_empty() || group.is_some_and(<[u8]>::is_empty) || parts.next().is_some() {
        return p.refuse(word, ValueFault::User);
    }
    if [Some(user), group].into_iter().flatten().any(|id| matches!(numeric_id(id), Some(Err(_)))) {
        return p.refuse(word, ValueFault::Id);
    }
    p.keep(Word { bytes: user, ..word }, |job| &mut job.user);
    if let Some(group) = group {
        p.append(Word { bytes: group, ..word }, |job| &mut job.user);
    }
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
    if let Err(fault) = cpu::add(word.bytes, &mut p.draft.cpus) {
        return p.refuse(word, ValueFault::Cpus(fault));
    }
    if p.draft.cpus.iter().all(|&byte| byte == 0) {
        p.refuse(word, ValueFault::NoCpu);
    }
}

/// Standard input, output and error, and one with which libraries are loaded (ld.so(8)).
pub(super) const FEWEST_FILES: u64 = 4;

pub(super) fn ulimit(p: &mut Parser<'_>, flag: Word<'_>, word: Word<'_>) {
    let Some(resource) = Resource::named(flag.bytes) else {
        return p.refuse(flag, ValueFault::Resource);
    };
    match ulimit::value(resource, word.bytes) {
        Ok(value) => {
            if resource == Resource::Nofile && value < FEWEST_FILES {
                p.refuse(word, ValueFault::FewFiles);
            }
            p.set_ulimit(flag, Ulimit { resource, value });
        }
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
    if word.bytes.ends_with(b"/") {
        p.refuse(word, ValueFault::Directory);
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

pub(super) fn listen_on(p: &mut Parser<'_>, word: Word<'_>) {
    address(p, word, AddressUse::Listen);
}

pub(super) fn from(p: &mut Parser<'_>, word: Word<'_>) {
    match Prefix::parse(word.bytes) {
        Some(sender) => p.push_sender(word, sender),
        None => p.refuse(word, ValueFault::Address(AddressFault::Sender)),
    }
}

/// Warns of a listener that anybody can reach.
pub(super) fn end_of_listener(p: &mut Parser<'_>, word: Word<'_>) {
    let is_for_all = p.last_address(word).is_some_and(|address| address.senders == 0);
    let host = address::parts(word.bytes).map(|parts| parts.host);
    if is_for_all && !host.is_ok_and(address::is_loopback) {
        p.refuse(word, ValueFault::Exposed);
    }
}

fn address(p: &mut Parser<'_>, word: Word<'_>, used_for: AddressUse) {
    let parts = match address::parts(word.bytes) {
        Ok(parts) if used_for == AddressUse::Listen && !parts.interface.is_empty() => {
            return p.refuse(word, ValueFault::Address(AddressFault::NoInterface));
        }
        Ok(parts) => parts,
        Err(fault) => return p.refuse(word, ValueFault::Address(fault)),
    };
    let line = word.place.line;
    let host = p.store(word.place, parts.host);
    let interface = p.store(word.place, parts.interface);
    let (first_sender, senders) = (0, 0);
    let port = parts.port;
    let address = Address { used_for, host, port, interface, first_sender, senders, line };
    p.push_address(word, address);
}
