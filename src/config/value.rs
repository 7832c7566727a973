//! The values that are more than text: numbers, intervals, CPUs, limits, addresses.

use super::spec::Resource;
use crate::limits::MAX_CPUS;

/// A set of CPUs: CPU n is bit n % 8 of byte n / 8 (sched_setaffinity(2)).
pub(super) type CpuMask = [u8; MAX_CPUS / 8];

/// Why a number was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    NotANumber,
    TooLarge,
}

/// What is wrong with an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalFault {
    /// It is not a number and one of `s`, `m`, `h`, `d`.
    Form,
    /// It is zero.
    Zero,
    /// It does not fit in 32 bits of seconds.
    TooLong,
}

/// What is wrong with a set of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuFault {
    /// It is neither a hexadecimal mask nor a list of numbers and ranges.
    Form,
    /// A range ends before it begins.
    Reversed,
    /// It names a CPU from [`MAX_CPUS`] on.
    TooHigh,
}

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

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// It does not begin with `udp://`, or has no `:PORT`.
    Form,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The host is neither a name nor an IPv4 address.
    Host,
    /// The part in brackets is not an IPv6 address.
    Ipv6,
    /// An IPv6 address that is not in brackets.
    Brackets,
    /// The interface's name is empty, longer than 15 bytes or not a name.
    Interface,
    /// `listen on` takes no interface.
    NoInterface,
}

/// The longest name that DNS knows (RFC 1035, 2.3.4), as text.
const HOST_BYTES: usize = 253;

/// The longest name of an interface: the kernel's `IFNAMSIZ` without the NUL.
const INTERFACE_BYTES: usize = 15;

/// A decimal number, with or without a `+`.
pub(super) fn unsigned(text: &[u8]) -> Result<u64, NumberFault> {
    digits(text.strip_prefix(b"+").unwrap_or(text))
}

/// A decimal number with or without a sign.
pub(super) fn signed(text: &[u8]) -> Result<i64, NumberFault> {
    let (size, sign) = match text.strip_prefix(b"-") {
        Some(size) => (digits(size)?, -1),
        None => (unsigned(text)?, 1),
    };
    i64::try_from(size).map(|size| sign * size).map_err(|_| NumberFault::TooLarge)
}

fn digits(text: &[u8]) -> Result<u64, NumberFault> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(NumberFault::NotANumber);
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    text.iter().try_fold(0, add).ok_or(NumberFault::TooLarge)
}

/// The seconds of an interval: a number and `s`, `m`, `h` or `d` (manual, "bounce every").
pub(super) fn interval(text: &[u8]) -> Result<u32, IntervalFault> {
    let (unit, number) = text.split_last().ok_or(IntervalFault::Form)?;
    let unit: u64 = match unit {
        b's' => 1,
        b'm' => 60,
        b'h' => 60 * 60,
        b'd' => 24 * 60 * 60,
        _ => return Err(IntervalFault::Form),
    };
    let number = unsigned(number).map_err(|fault| match fault {
        NumberFault::NotANumber => IntervalFault::Form,
        NumberFault::TooLarge => IntervalFault::TooLong,
    })?;
    let seconds = number.checked_mul(unit).and_then(|seconds| u32::try_from(seconds).ok());
    match seconds {
        Some(0) => Err(IntervalFault::Zero),
        Some(seconds) => Ok(seconds),
        None => Err(IntervalFault::TooLong),
    }
}

/// Adds the CPUs of `text` to `mask`: a hexadecimal mask that begins with `0x`,
/// or numbers and ranges with commas between them (manual, "cpu").
pub(super) fn cpus(text: &[u8], mask: &mut CpuMask) -> Result<(), CpuFault> {
    if let Some(digits) = text.strip_prefix(b"0x") {
        return cpus_of_mask(digits, mask);
    }
    text.split(|&byte| byte == b',').try_for_each(|range| cpus_of_range(range, mask))
}

fn cpus_of_mask(digits: &[u8], mask: &mut CpuMask) -> Result<(), CpuFault> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(CpuFault::Form);
    }
    for (position, &digit) in digits.iter().rev().enumerate() {
        let nibble = char::from(digit).to_digit(16).map_or(0, |nibble| nibble as u8);
        match mask.get_mut(position / 2) {
            Some(byte) => *byte |= nibble << (position % 2 * 4),
            None if nibble == 0 => {}
            None => return Err(CpuFault::TooHigh),
        }
    }
    Ok(())
}

fn cpus_of_range(range: &[u8], mask: &mut CpuMask) -> Result<(), CpuFault> {
    let mut ends = range.splitn(2, |&byte| byte == b'-');
    let first = cpu(ends.next().unwrap_or_default())?;
    let last = ends.next().map_or(Ok(first), cpu)?;
    if last < first {
        return Err(CpuFault::Reversed);
    }
    (first..=last).for_each(|cpu| mask[cpu / 8] |= 1 << (cpu % 8));
    Ok(())
}

fn cpu(text: &[u8]) -> Result<usize, CpuFault> {
    match digits(text) {
        Ok(number) if number < MAX_CPUS as u64 => Ok(number as usize),
        Err(NumberFault::NotANumber) => Err(CpuFault::Form),
        Ok(_) | Err(NumberFault::TooLarge) => Err(CpuFault::TooHigh),
    }
}

/// The value of a `ulimit`; `u64::MAX` is infinity (prlimit(2)).
pub(super) fn limit(resource: Resource, text: &[u8]) -> Result<u64, LimitFault> {
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

/// The parts of `udp://HOST:PORT[@IFACE]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UdpAddress<'t> {
    /// Without brackets.
    pub host: &'t [u8],
    pub port: u16,
    /// Empty: none.
    pub interface: &'t [u8],
}

/// Takes `udp://HOST:PORT[@IFACE]` apart (manual, "UDP control"). An IPv6
/// address stands in brackets. No name is looked up.
pub(super) fn address(text: &[u8]) -> Result<UdpAddress<'_>, AddressFault> {
    let text = text.strip_prefix(b"udp://").ok_or(AddressFault::Form)?;
    let (text, interface) = match split_at_last(text, b'@') {
        Some((text, interface)) => (text, checked_interface(interface)?),
        None => (text, &[][..]),
    };
    let (host, port) = split_at_last(text, b':').ok_or(AddressFault::Form)?;
    let port = match unsigned(port).map(u16::try_from) {
        Ok(Ok(port @ 1..)) => port,
        _ => return Err(AddressFault::Port),
    };
    Ok(UdpAddress { host: checked_host(host)?, port, interface })
}

fn split_at_last(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

fn checked_interface(name: &[u8]) -> Result<&[u8], AddressFault> {
    let good = |&byte: &u8| byte > b' ' && byte != b'/' && byte != 0x7f;
    let fits = (1..=INTERFACE_BYTES).contains(&name.len());
    (fits && name.iter().all(good)).then_some(name).ok_or(AddressFault::Interface)
}

fn checked_host(host: &[u8]) -> Result<&[u8], AddressFault> {
    if let Some(inside) = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) {
        return is_ipv6(inside).then_some(inside).ok_or(AddressFault::Ipv6);
    }
    if is_ipv6(host) {
        return Err(AddressFault::Brackets);
    }
    let numeric = host.iter().all(|&byte| byte.is_ascii_digit() || byte == b'.');
    let good = if numeric { is_ipv4(host) } else { is_host_name(host) };
    good.then_some(host).ok_or(AddressFault::Host)
}

fn is_host_name(text: &[u8]) -> bool {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= HOST_BYTES && text.iter().all(part)
}

fn is_ipv4(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b'.');
    let good = |part: &[u8]| {
        part.len() <= 3
            && (part.len() == 1 || !part.starts_with(b"0"))
            && digits(part).is_ok_and(|number| number <= 255)
    };
    parts.clone().count() == 4 && parts.all(good)
}

/// RFC 4291, 2.2: eight groups, of which one `::` may stand for some.
fn is_ipv6(text: &[u8]) -> bool {
    match text.windows(2).position(|pair| pair == b"::") {
        None => groups(text) == Some(8),
        Some(at) => match (groups_or_none(&text[..at]), groups_or_none(&text[at + 2..])) {
            (Some(before), Some(after)) => before + after < 8,
            _ => false,
        },
    }
}

fn groups_or_none(text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        Some(0)
    } else {
        groups(text)
    }
}

/// How many groups of 16 bits `text` has; an IPv4 address at its end counts as two.
fn groups(text: &[u8]) -> Option<usize> {
    let mut parts = text.split(|&byte| byte == b':').peekable();
    let mut count = 0;
    while let Some(part) = parts.next() {
        let is_group = (1..=4).contains(&part.len()) && part.iter().all(u8::is_ascii_hexdigit);
        count += match (is_group, parts.peek()) {
            (true, _) => 1,
            (false, None) if is_ipv4(part) => 2,
            _ => return None,
        };
    }
    Some(count)
}

/// The name of each resource: its flag in a shell, and its constant in prlimit(2).
pub(super) const RESOURCES: [(Resource, &str, &str); 14] = [
    (Resource::Core, "-c", "RLIMIT_CORE"),
    (Resource::Data, "-d", "RLIMIT_DATA"),
    (Resource::Nice, "-e", "RLIMIT_NICE"),
    (Resource::Fsize, "-f", "RLIMIT_FSIZE"),
    (Resource::Sigpending, "-i", "RLIMIT_SIGPENDING"),
    (Resource::Memlock, "-l", "RLIMIT_MEMLOCK"),
    (Resource::Rss, "-m", "RLIMIT_RSS"),
    (Resource::Nofile, "-n", "RLIMIT_NOFILE"),
    (Resource::Msgqueue, "-q", "RLIMIT_MSGQUEUE"),
    (Resource::Rtprio, "-r", "RLIMIT_RTPRIO"),
    (Resource::Stack, "-s", "RLIMIT_STACK"),
    (Resource::Cpu, "-t", "RLIMIT_CPU"),
    (Resource::Nproc, "-u", "RLIMIT_NPROC"),
    (Resource::As, "-v", "RLIMIT_AS"),
];

impl Resource {
    /// The resource with this flag (`-n`) or long name (`RLIMIT_NOFILE`).
    pub(super) fn named(text: &[u8]) -> Option<Resource> {
        let is =
            |&&(_, flag, name): &&(_, &str, &str)| [flag, name].map(str::as_bytes).contains(&text);
        RESOURCES.iter().find(is).map(|&(resource, ..)| resource)
    }

    /// Its flag in the configuration language and in shells, such as `-n`.
    pub fn flag(self) -> &'static str {
        RESOURCES[self as usize].1
    }

    /// Its name in prlimit(2), such as `RLIMIT_NOFILE`.
    pub fn name(self) -> &'static str {
        RESOURCES[self as usize].2
    }
}
