//! What a configuration file says, in tables of fixed size.
//!
//! All bytes of all strings stand in one block of text; a job is a row of
//! [`Span`]s into it. Every string in the block is followed by a NUL, so that
//! the kernel can be handed it as it is.

use core::ffi::CStr;
use core::mem::size_of;
use core::num::NonZeroU32;
use core::time::Duration;

use super::address::Prefix;
use crate::index::{Index, Link, Linked};
use crate::limits::{ADDRESS_BYTES, SENDER_BYTES, SMALL_PAGE_BYTES, SPEC_BYTES, ULIMIT_BYTES};
use crate::limits::{MAX_ADDRESSES, MAX_JOBS, MAX_SENDERS, MAX_ULIMITS, TEXT_BYTES};
use crate::list::List;

/// A stretch of a configuration's text block, its last NUL not counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Span {
    /// Nothing. All zeros.
    pub(super) const NONE: Span = Span { at: 0, len: 0 };

    /// Behind its last NUL.
    pub(super) const fn end(self) -> usize {
        self.at as usize + self.len as usize + 1
    }

    /// Returns true if there is nothing: an option that was not given.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// One `ulimit` of a job; soft and hard limit are the same (manual, "ulimit").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// What is limited.
    pub resource: Resource,
    /// The value in the units of prlimit(2); `u64::MAX` is infinity.
    pub value: u64,
}

impl Ulimit {
    /// What stands where there is none. All zeros.
    const NONE: Ulimit = Ulimit { resource: Resource::Core, value: 0 };
}

/// The resources that `ulimit` can limit (manual, "ulimit flags"; prlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as in prlimit(2)
pub enum Resource {
    Core,
    Data,
    Nice,
    Fsize,
    Sigpending,
    Memlock,
    Rss,
    Nofile,
    Msgqueue,
    Rtprio,
    Stack,
    Cpu,
    Nproc,
    As,
}

/// One job as the file describes it. Its strings are read through [`JobView`].
#[derive(Clone, Copy, Debug, Default)]
pub struct JobSpec {
    pub(super) name: Span,
    /// NUL-separated words.
    pub(super) cmd: Span,
    pub(super) dir: Span,
    /// Empty: the log.
    pub(super) out: Span,
    /// Empty: the log.
    pub(super) err: Span,
    /// Empty: /dev/null.
    pub(super) stdin: Span,
    /// The user, and its group if there is one, with a NUL between them.
    pub(super) user: Span,
    /// NUL-separated `NAME=VALUE`s.
    pub(super) env: Span,
    /// NUL-separated paths.
    pub(super) depends: Span,
    /// Affinity mask, least significant byte first, without trailing zeros.
    pub(super) cpus: Span,
    pub(super) first_ulimit: u16,
    pub(super) ulimits: u8,
    pub(super) nice: i8,
    pub(super) order: i32,
    /// Seconds; 0 is never.
    pub(super) bounce_every: u32,
    pub(super) disable: bool,
    pub(super) wait: bool,
    pub(super) once: bool,
    pub(super) drops_log: bool,
    /// Where its `job` stands in the file; no part of what the job is.
    pub(super) line: u32,
    /// Finds it by its name.
    pub(super) by_name: Link,
    /// See [`Config::row`].
    pub(super) row: u16,
}

impl Linked for JobSpec {
    fn link(&self) -> &Link {
        &self.by_name
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.by_name
    }
}

const _: () = assert!(size_of::<JobSpec>() <= SPEC_BYTES);
const _: () = assert!(2 * size_of::<Ulimit>() <= ULIMIT_BYTES);
const _: () = assert!(2 * size_of::<Address>() <= ADDRESS_BYTES);
const _: () = assert!(2 * size_of::<Prefix>() <= SENDER_BYTES);

impl JobSpec {
    /// Nothing. All zeros.
    pub(super) const NONE: JobSpec = JobSpec {
        name: Span::NONE,
        cmd: Span::NONE,
        dir: Span::NONE,
        out: Span::NONE,
        err: Span::NONE,
        stdin: Span::NONE,
        user: Span::NONE,
        env: Span::NONE,
        depends: Span::NONE,
        cpus: Span::NONE,
        first_ulimit: 0,
        ulimits: 0,
        nice: 0,
        order: 0,
        bounce_every: 0,
        disable: false,
        wait: false,
        once: false,
        drops_log: false,
        line: 0,
        by_name: Link::NONE,
        row: 0,
    };

    /// Every string and list of strings.
    pub(super) fn spans(&mut self) -> [&mut Span; 10] {
        [
            &mut self.name,
            &mut self.cmd,
            &mut self.dir,
            &mut self.out,
            &mut self.err,
            &mut self.stdin,
            &mut self.user,
            &mut self.env,
            &mut self.depends,
            &mut self.cpus,
        ]
    }
}

/// What a `report to` or `listen on` line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressUse {
    /// Send a status datagram there (manual, "UDP control").
    Report,
    /// Take control datagrams there (manual, "UDP control").
    Listen,
}

/// An address as the file gives it: `udp://HOST:PORT[@IFACE]`.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// What it is for.
    pub used_for: AddressUse,
    pub(super) host: Span,
    /// The UDP port, 1 to 65535.
    pub port: u16,
    pub(super) interface: Span,
    pub(super) first_sender: u8,
    pub(super) senders: u8,
    /// The line of the file.
    pub line: u32,
}

impl Address {
    /// What stands where there is none. All zeros.
    const NONE: Address = Address {
        used_for: AddressUse::Report,
        host: Span::NONE,
        port: 0,
        interface: Span::NONE,
        first_sender: 0,
        senders: 0,
        line: 0,
    };
}

/// A whole configuration. Two exist, the live one and the one that the next
/// file is parsed into; both are part of the supervisor, never on the stack.
#[repr(C)]
pub struct Config {
    /// Moves what follows so that the first strings of 24 jobs, and the jobs, are in one page.
    before: [u8; STRINGS_OF_A_FEW],
    /// All strings, from the end of the block down, so that the first ones are
    /// next to the first jobs, in the same page.
    pub(super) text: [u8; TEXT_BYTES],
    /// How much of the block is in use.
    pub(super) text_bytes: u32,
    pub(super) by_name: Index,
    pub(super) jobs: List<JobSpec, MAX_JOBS>,
    pub(super) ulimits: List<Ulimit, MAX_ULIMITS>,
    pub(super) addresses: List<Address, MAX_ADDRESSES>,
    /// All `from`, those of one address side by side.
    pub(super) senders: List<Prefix, MAX_SENDERS>,
    unused: [u8; UNUSED_BYTES],
}

const STRINGS_OF_A_FEW: usize = 960;

/// Makes the size a number of whole pages, so that it is the same in the next configuration.
const UNUSED_BYTES: usize = SMALL_PAGE_BYTES - USED_BYTES % SMALL_PAGE_BYTES;

const USED_BYTES: usize = STRINGS_OF_A_FEW
    + TEXT_BYTES
    + 8
    + size_of::<List<JobSpec, MAX_JOBS>>()
    + size_of::<List<Ulimit, MAX_ULIMITS>>()
    + size_of::<List<Address, MAX_ADDRESSES>>()
    + size_of::<List<Prefix, MAX_SENDERS>>();

impl Config {
    /// The configuration without jobs.
    pub const fn new() -> Self {
        Config {
            before: [0; STRINGS_OF_A_FEW],
            unused: [0; UNUSED_BYTES],
            text: [0; TEXT_BYTES],
            text_bytes: 0,
            by_name: Index::new(),
            jobs: List::new(JobSpec::NONE),
            ulimits: List::new(Ulimit::NONE),
            addresses: List::new(Address::NONE),
            senders: List::new(Prefix::NONE),
        }
    }

    /// Forgets everything. What nobody wrote to is not written to now: that
    /// would take up pages.
    pub fn clear(&mut self) {
        if self.is_untouched() {
            return;
        }
        self.by_name.clear(&mut self.jobs);
        self.jobs.clear();
        self.text_bytes = 0;
        self.ulimits.clear();
        self.addresses.clear();
        self.senders.clear();
    }

    fn is_untouched(&self) -> bool {
        let is_untouched = self.text_bytes == 0 && self.jobs.is_empty();
        is_untouched && self.ulimits.is_empty() && self.addresses.is_empty()
    }

    /// How many jobs there are.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Returns true if there is no job.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The job at `position` in the order of starting: ascending `order`, then
    /// as in the file. Panics when there is none.
    pub fn job(&self, position: usize) -> JobView<'_> {
        JobView { config: self, spec: &self.jobs[position] }
    }

    /// All jobs in the order of starting.
    pub fn jobs(&self) -> impl Iterator<Item = JobView<'_>> {
        self.jobs.iter().map(move |spec| JobView { config: self, spec })
    }

    /// The position of the job called `name`.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let is_it = |job: &JobSpec| self.bytes(job.name) == name;
        self.by_name.find(&self.jobs, hash(name), is_it)
    }

    /// A number that is kept with the job at `position` for whoever keeps a
    /// table of jobs: its row there, plus one, or 0, as it is at first.
    pub(crate) fn row(&self, position: usize) -> u16 {
        self.jobs.get(position).map_or(0, |job| job.row)
    }

    /// See [`row`](Self::row). Panics when there is no job at `position`.
    pub(crate) fn set_row(&mut self, position: usize, row: u16) {
        self.jobs[position].row = row;
    }

    /// The `report to` and `listen on` lines, in the order of the file.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// The `report to` or `listen on` line at a position in the order of the file.
    pub fn address(&self, position: usize) -> Option<&Address> {
        self.addresses.get(position)
    }

    /// The host part of an address: a name, or an IPv4 or IPv6 address without brackets.
    pub fn host(&self, address: &Address) -> &CStr {
        self.cstr(address.host)
    }

    /// The interface of an address, if it names one.
    pub fn interface(&self, address: &Address) -> Option<&CStr> {
        (!address.interface.is_empty()).then(|| self.cstr(address.interface))
    }

    /// The senders that an address takes datagrams `from`; none: all.
    pub fn senders(&self, address: &Address) -> &[Prefix] {
        &self.senders[usize::from(address.first_sender)..][..usize::from(address.senders)]
    }

    /// How much of each capacity is taken.
    pub fn size(&self) -> Size {
        let most = |count: fn(JobView<'_>) -> usize| self.jobs().map(count).max().unwrap_or(0);
        Size {
            jobs: self.jobs.len(),
            strings: self.text_bytes as usize,
            ulimits: self.ulimits.len(),
            depends: self.jobs().map(|job| job.depends().count()).sum(),
            addresses: self.addresses.len(),
            senders: self.senders.len(),
            args: most(|job| job.argv().count()),
            env: most(|job| job.env().count()),
        }
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.at as usize..][..span.len as usize]
    }

    /// Panics on a span that the parser did not end with a NUL.
    fn cstr(&self, span: Span) -> &CStr {
        let with_nul = &self.text[span.at as usize..][..span.len as usize + 1];
        CStr::from_bytes_until_nul(with_nul).expect("strings in the text block end with a NUL")
    }
}

/// The key by which a name or a program is found (FNV-1a).
pub(super) fn hash(name: &[u8]) -> u32 {
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.iter().fold(0x811c_9dc5, step)
}

/// How much of each [capacity](crate::limits) a configuration takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Jobs, of `MAX_JOBS`.
    pub jobs: usize,
    /// Bytes of all strings with their NULs, of `TEXT_BYTES`.
    pub strings: usize,
    /// Settings, of `MAX_ULIMITS`.
    pub ulimits: usize,
    /// Files of all jobs, of `MAX_DEPENDS`.
    pub depends: usize,
    /// `report to` and `listen on`, of `MAX_ADDRESSES`.
    pub addresses: usize,
    /// `from` of all `listen on`, of `MAX_SENDERS`.
    pub senders: usize,
    /// Words of the longest `cmd`, of `MAX_ARGS`.
    pub args: usize,
    /// Of the job that has most, of `MAX_ENV`.
    pub env: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// A job together with the configuration that holds its strings.
///
/// Two views are equal when the jobs are the same in every field: the answer
/// to "has it changed?" (manual, "Operator notes").
#[derive(Clone, Copy)]
pub struct JobView<'a> {
    config: &'a Config,
    spec: &'a JobSpec,
}

impl<'a> JobView<'a> {
    /// The job's name: unique, 1 to `NAME_BYTES` bytes.
    pub fn name(self) -> &'a [u8] {
        self.config.bytes(self.spec.name)
    }

    /// The program (an absolute path) and its arguments.
    pub fn argv(self) -> Strings<'a> {
        Strings::new(self.config, self.spec.cmd)
    }

    /// The program: the first word of `cmd`.
    pub fn program(self) -> &'a CStr {
        self.argv().next().unwrap_or(c_empty())
    }

    /// A digest of the program, by which jobs of the same program find each other.
    pub fn program_digest(self) -> NonZeroU32 {
        NonZeroU32::new(hash(self.program().to_bytes())).unwrap_or(NonZeroU32::MIN)
    }

    /// The directory to run in.
    pub fn dir(self) -> Option<&'a CStr> {
        self.optional(self.spec.dir)
    }

    /// The file for stdout; none: the log.
    pub fn out(self) -> Option<&'a CStr> {
        self.optional(self.spec.out)
    }

    /// The file for stderr; none: the log.
    pub fn err(self) -> Option<&'a CStr> {
        self.optional(self.spec.err)
    }

    /// The file for stdin; none: /dev/null.
    pub fn stdin(self) -> Option<&'a CStr> {
        self.optional(self.spec.stdin)
    }

    /// The user to run as, by name or [number](super::numeric_id); none: pmtr's own.
    pub fn user(self) -> Option<&'a CStr> {
        Strings::new(self.config, self.spec.user).next()
    }

    /// The group to run in, by name or number; none: the [user](Self::user)'s.
    pub fn group(self) -> Option<&'a CStr> {
        Strings::new(self.config, self.spec.user).nth(1)
    }

    /// `NAME=VALUE` strings to add to the environment, in the order of the file.
    pub fn env(self) -> Strings<'a> {
        Strings::new(self.config, self.spec.env)
    }

    /// The files whose content the job depends on; a relative one starts at [`dir`](Self::dir).
    pub fn depends(self) -> Strings<'a> {
        Strings::new(self.config, self.spec.depends)
    }

    /// The CPU affinity as a mask, least significant byte first; empty: any.
    pub fn cpus(self) -> &'a [u8] {
        self.config.bytes(self.spec.cpus)
    }

    /// The resource limits to set, in the order of the file.
    pub fn ulimits(self) -> &'a [Ulimit] {
        let first = usize::from(self.spec.first_ulimit);
        &self.config.ulimits[first..][..usize::from(self.spec.ulimits)]
    }

    /// The nice value, -20 to 19 (setpriority(2)).
    pub fn nice(self) -> i8 {
        self.spec.nice
    }

    /// Smaller ones start first.
    pub fn order(self) -> i32 {
        self.spec.order
    }

    /// How long after its start the job is to be restarted.
    pub fn bounce_every(self) -> Option<Duration> {
        (self.spec.bounce_every > 0).then(|| Duration::from_secs(u64::from(self.spec.bounce_every)))
    }

    /// Returns true if the job is not to be run.
    pub fn is_disabled(self) -> bool {
        self.spec.disable
    }

    /// Returns true if later jobs are to start only when this one has finished.
    pub fn waits(self) -> bool {
        self.spec.wait
    }

    /// Returns true if the job is not to be restarted.
    pub fn is_once(self) -> bool {
        self.spec.once
    }

    /// Returns true if output that the log does not take is dropped and counted (`log
    /// drop`); otherwise the job waits.
    pub fn drops_log(self) -> bool {
        self.spec.drops_log
    }

    /// The line of the file where the job begins.
    pub fn line(self) -> u32 {
        self.spec.line
    }

    fn optional(self, span: Span) -> Option<&'a CStr> {
        (!span.is_empty()).then(|| self.config.cstr(span))
    }

    fn numbers(self) -> (i8, i32, u32) {
        let s = self.spec;
        (s.nice, s.order, s.bounce_every)
    }

    fn flags(self) -> [bool; 4] {
        let s = self.spec;
        [s.disable, s.wait, s.once, s.drops_log]
    }

    fn texts(self) -> [&'a [u8]; 10] {
        let s = self.spec;
        [s.name, s.cmd, s.dir, s.out, s.err, s.stdin, s.user, s.env, s.depends, s.cpus]
            .map(|span| self.config.bytes(span))
    }
}

impl PartialEq for JobView<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.numbers() == other.numbers()
            && self.flags() == other.flags()
            && self.texts() == other.texts()
            && self.ulimits() == other.ulimits()
    }
}

const fn c_empty() -> &'static CStr {
    match CStr::from_bytes_with_nul(b"\0") {
        Ok(empty) => empty,
        Err(_) => unreachable!(),
    }
}

/// The NUL-separated strings of a span, one after the other.
#[derive(Clone)]
pub struct Strings<'a> {
    /// What is left, each string with its NUL.
    rest: &'a [u8],
}

impl<'a> Strings<'a> {
    fn new(config: &'a Config, span: Span) -> Self {
        let len = if span.is_empty() { 0 } else { span.len as usize + 1 };
        Strings { rest: &config.text[span.at as usize..][..len] }
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        let string = CStr::from_bytes_until_nul(self.rest).ok()?;
        self.rest = &self.rest[string.to_bytes().len() + 1..];
        Some(string)
    }
}
