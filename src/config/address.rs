//! Addresses of UDP reports and commands (manual, "UDP control").

use super::value::digits;

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
pub(super) fn parts(text: &[u8]) -> Result<UdpAddress<'_>, AddressFault> {
    let text = text.strip_prefix(b"udp://").ok_or(AddressFault::Form)?;
    let (text, interface) = match split_at_last(text, b'@') {
        Some((text, interface)) => (text, checked_interface(interface)?),
        None => (text, &[][..]),
    };
    let (host, port) = split_at_last(text, b':').ok_or(AddressFault::Form)?;
    let port = match digits(port).map(u16::try_from) {
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
            (Some(before), Some(after)) => before + after < 8 && !text[..at].contains(&b'.'),
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
