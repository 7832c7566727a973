//! Resources and their limits (manual, "ulimit").

use super::spec::Resource;
use super::value::{unsigned, NumberFault};
use crate::short::Short;

/// What is wrong with the value of a `ulimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitFault {
    /// It is neither a number nor `infinity` nor `unlimited`.
    Form,
    /// It does not fit in 64 bits.
    TooLarge,
    /// `-n` must be finite: the kernel refuses an infinite number of descriptors.
    Infinite,
}

/// The value of a `ulimit`; `u64::MAX` is infinity (prlimit(2)).
pub(super) fn value(resource: Resource, text: &[u8]) -> Result<u64, LimitFault> {
    let value = match text {
        b"infinity" | b"unlimited" => u64::MAX,
        number => unsigned(number).map_err(|fault| match fault {
            NumberFault::NotANumber => LimitFault::Form,
            NumberFault::TooLarge => LimitFault::TooLarge,
        })?,
    };
    match (resource, value) {
        (Resource::Nofile, u64::MAX) => Err(LimitFault::Infinite),
        (_, value) => Ok(value),
    }
}

/// How many resources there are; Rust 1.75 has no length of a static for other types.
pub(super) const RESOURCE_COUNT: usize = 14;

/// The name of each resource: its flag in a shell, and its constant in prlimit(2).
pub(super) static RESOURCES: [(Resource, Short<2>, Short<17>); RESOURCE_COUNT] = [
    resource(Resource::Core, "-c", "RLIMIT_CORE"),
    resource(Resource::Data, "-d", "RLIMIT_DATA"),
    resource(Resource::Nice, "-e", "RLIMIT_NICE"),
    resource(Resource::Fsize, "-f", "RLIMIT_FSIZE"),
    resource(Resource::Sigpending, "-i", "RLIMIT_SIGPENDING"),
    resource(Resource::Memlock, "-l", "RLIMIT_MEMLOCK"),
    resource(Resource::Rss, "-m", "RLIMIT_RSS"),
    resource(Resource::Nofile, "-n", "RLIMIT_NOFILE"),
    resource(Resource::Msgqueue, "-q", "RLIMIT_MSGQUEUE"),
    resource(Resource::Rtprio, "-r", "RLIMIT_RTPRIO"),
    resource(Resource::Stack, "-s", "RLIMIT_STACK"),
    resource(Resource::Cpu, "-t", "RLIMIT_CPU"),
    resource(Resource::Nproc, "-u", "RLIMIT_NPROC"),
    resource(Resource::As, "-v", "RLIMIT_AS"),
];

const fn resource(resource: Resource, flag: &str, name: &str) -> (Resource, Short<2>, Short<17>) {
    (resource, Short::new(flag), Short::new(name))
}

impl Resource {
    /// The resource with this flag (`-n`) or long name (`RLIMIT_NOFILE`).
    pub(super) fn named(text: &[u8]) -> Option<Resource> {
        let mut names = RESOURCES.iter();
        let is = |flag: &str, name: &str| [flag, name].map(str::as_bytes).contains(&text);
        names.find(|(_, flag, name)| is(flag, name)).map(|&(resource, ..)| resource)
    }

    /// Its flag in the configuration language and in shells, such as `-n`.
    pub fn flag(self) -> &'static str {
        &RESOURCES[self as usize].1
    }

    /// Its name in prlimit(2), such as `RLIMIT_NOFILE`.
    pub fn name(self) -> &'static str {
        &RESOURCES[self as usize].2
    }
}
