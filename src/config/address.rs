//! Addresses of UDP reports and commands (manual, "UDP control").

use core::fmt;

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
    /// What stands behind `from` is no address, or no prefix of one.
    Sender,
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
    ipv4(text).is_some()
}

fn is_ipv6(text: &[u8]) -> bool {
    ipv6(text).is_some()
}

/// Four numbers from 0 to 255, without leading zeros.
fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    let mut address = [0; 4];
    let mut parts = text.split(|&byte| byte == b'.');
    for byte in &mut address {
        let part = parts.next()?;
        let is_plain = part.len() <= 3 && (part.len() == 1 || !part.starts_with(b"0"));
        *byte = u8::try_from(digits(part).ok().filter(|_| is_plain)?).ok()?;
    }
    parts.next().is_none().then_some(address)
}

/// RFC 4291, 2.2: eight groups, of which one `::` may stand for some.
fn ipv6(text: &[u8]) -> Option<[u8; 16]> {
    let mut address = [0; 16];
    let Some(at) = text.windows(2).position(|pair| pair == b"::") else {
        return (groups(text, &mut address)? == 16).then_some(address);
    };
    let (before, after) = (&text[..at], &text[at + 2..]);
    let head = groups_or_none(before, &mut address)?;
    let mut rest = [0; 16];
    let tail = groups_or_none(after, &mut rest)?;
    if head + tail >= 16 || before.contains(&b'.') {
        return None;
    }
    address[16 - tail..].copy_from_slice(&rest[..tail]);
    Some(address)
}

fn groups_or_none(text: &[u8], into: &mut [u8; 16]) -> Option<usize> {
    if text.is_empty() {
        Some(0)
    } else {
        groups(text, into)
    }
}

/// How many bytes the groups of `text` have; an IPv4 address at its end has four.
fn groups(text: &[u8], into: &mut [u8; 16]) -> Option<usize> {
    let mut parts = text.split(|&byte| byte == b':').peekable();
    let mut len = 0;
    while let Some(part) = parts.next() {
        if let Some(group) = group(part) {
            into.get_mut(len..len + 2)?.copy_from_slice(&group.to_be_bytes());
            len += 2;
        } else {
            let address = ipv4(part).filter(|_| parts.peek().is_none())?;
            into.get_mut(len..len + 4)?.copy_from_slice(&address);
            len += 4;
        }
    }
    Some(len)
}

/// Up to four hexadecimal digits.
fn group(text: &[u8]) -> Option<u16> {
    let is_group = (1..=4).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit);
    let text = core::str::from_utf8(text).ok().filter(|_| is_group)?;
    u16::from_str_radix(text, 16).ok()
}

/// Whether only this machine can send to a host: a loopback address (RFC 1122,
/// 3.2.1.3; RFC 4291, 2.5.3), or the name that always means one.
pub(super) fn is_loopback(host: &[u8]) -> bool {
    let numeric = ipv4(host).map(mapped).or_else(|| ipv6(host));
    match numeric {
        Some(address) => LOOPBACKS.iter().any(|prefix| prefix.contains(address)),
        None => host.eq_ignore_ascii_case(b"localhost"),
    }
}

const LOOPBACKS: [Prefix; 2] = [
    Prefix { address: mapped([127, 0, 0, 0]), bits: MAPPED_BITS + 8 },
    Prefix { address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], bits: 128 },
];

/// How many bits stand before an IPv4 address that is written as an IPv6 one.
const MAPPED_BITS: u8 = 96;

/// An IPv4 address as an IPv6 one (RFC 4291, 2.5.5.2).
pub(super) const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The addresses that begin with the same bits: `10.0.0.0/8`, `fe80::/10`, or
/// a single one. Its `Display` is that form again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// IPv4 as mapped into IPv6.
    address: [u8; 16],
    /// How many of its bits count, from 0 to 128.
    bits: u8,
}

impl Prefix {
    /// What stands where there is none. All zeros.
    pub(super) const NONE: Prefix = Prefix { address: [0; 16], bits: 0 };

    /// Reads `ADDRESS` or `ADDRESS/BITS`. What stands behind the bits that
    /// count does not matter.
    pub(super) fn parse(text: &[u8]) -> Option<Prefix> {
        let (address, bits) = match split_at_last(text, b'/') {
            Some((address, bits)) => (address, Some(digits(bits).ok()?)),
            None => (text, None),
        };
        let (address, before) = match ipv4(address) {
            Some(address) => (mapped(address), MAPPED_BITS),
            None => (ipv6(address)?, 0),
        };
        let most = 128 - before;
        let bits = u8::try_from(bits.unwrap_or(u64::from(most))).ok()?;
        (bits <= most).then_some(Prefix { address, bits: before + bits })
    }

    /// Whether `address`, which is an IPv6 one or an IPv4 one mapped into
    /// IPv6, begins with these bits.
    pub fn contains(&self, address: [u8; 16]) -> bool {
        let differing = u128::from_be_bytes(self.address) ^ u128::from_be_bytes(address);
        differing.leading_zeros() >= u32::from(self.bits)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [.., a, b, c, d] = self.address;
        if self.address == mapped([a, b, c, d]) && self.bits >= MAPPED_BITS {
            return write!(f, "{a}.{b}.{c}.{d}/{}", self.bits - MAPPED_BITS);
        }
        for (n, pair) in self.address.chunks_exact(2).enumerate() {
            let colon = if n == 0 { "" } else { ":" };
            write!(f, "{colon}{:x}", u16::from_be_bytes([pair[0], pair[1]]))?;
        }
        write!(f, "/{}", self.bits)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::string::ToString;

    fn of(text: &str) -> [u8; 16] {
        ipv4(text.as_bytes()).map(mapped).or_else(|| ipv6(text.as_bytes())).expect("an address")
    }

    #[test]
    fn a_prefix_has_the_addresses_that_begin_with_it() {
        for (prefix, inside, outside) in [
            ("10.0.0.0/8", &["10.0.0.1", "10.255.255.255"][..], &["11.0.0.0", "9.255.255.255"][..]),
            ("10.1.2.3/8", &["10.0.0.0"], &["11.1.2.3"]),
            ("192.168.1.5", &["192.168.1.5"], &["192.168.1.4", "::1"]),
            ("192.168.1.4/31", &["192.168.1.4", "192.168.1.5"], &["192.168.1.6", "192.168.1.3"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "fe80::1"]),
            ("fe80::/10", &["fe80::1", "febf::"], &["fec0::", "10.0.0.1"]),
            ("::/0", &["::1", "ffff::", "10.0.0.1"], &[]),
            ("::1", &["::1"], &["::", "::2", "127.0.0.1"]),
            ("::ffff:10.0.0.0/104", &["10.2.3.4"], &["11.0.0.1"]),
        ] {
            let parsed = Prefix::parse(prefix.as_bytes()).expect(prefix);
            for address in inside {
                assert!(parsed.contains(of(address)), "{address} in {prefix}");
            }
            for address in outside {
                assert!(!parsed.contains(of(address)), "{address} in {prefix}");
            }
        }
    }

    #[test]
    fn what_is_no_prefix() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "::/",
            "[::]/8",
            "host",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/256",
            "10.0.0.0/99999999999999999999",
        ] {
            assert_eq!(Prefix::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_what_only_this_machine_can_send_to() {
        for host in ["127.0.0.1", "127.255.0.9", "::1", "localhost", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host.as_bytes()), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.1", "::2", "128.0.0.1", "example.org"] {
            assert!(!is_loopback(host.as_bytes()), "{host}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_read_as_std_reads_them(text in "[0-9a-f:.]{0,24}") {
            let std4 = text.parse::<Ipv4Addr>().ok().map(|address| address.octets());
            prop_assert_eq!(ipv4(text.as_bytes()), std4);
            let std6 = text.parse::<Ipv6Addr>().ok().map(|address| address.octets());
            prop_assert_eq!(ipv6(text.as_bytes()), std6);
        }

        #[test]
        fn every_address_is_read_as_std_writes_it(octets: [u8; 16], zeros in 0u32..0x10000) {
            let groups = core::array::from_fn::<u8, 16, _>(|n| {
                if zeros & 1 << n == 0 { octets[n] } else { 0 }
            });
            let text = Ipv6Addr::from(groups).to_string();
            prop_assert_eq!(ipv6(text.as_bytes()), Some(groups));
        }

        #[test]
        fn a_prefix_is_read_as_it_is_shown(address: [u8; 16], v4: [u8; 4], bits in 0u8..=128) {
            for prefix in [
                Prefix { address, bits },
                Prefix { address: mapped(v4), bits: MAPPED_BITS + bits % 33 },
            ] {
                prop_assert_eq!(Prefix::parse(prefix.to_string().as_bytes()), Some(prefix));
            }
        }
    }
}
