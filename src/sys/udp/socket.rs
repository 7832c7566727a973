//! UDP sockets, and what the kernel knows of interfaces (udp(7), ip(7),
//! ipv6(7), netdevice(7)). All are non-blocking and close-on-exec.

use core::ffi::{c_char, c_int, c_ulong, CStr};
use core::mem::{size_of, MaybeUninit};

use super::super::std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use super::super::std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use super::super::std::prelude::v1::*;
use super::trouble::Trouble;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{bind, connect, getsockname, socket};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage};

/// A socket that takes datagrams at `ip` and `port`. One for IPv6 takes none
/// that came over IPv4: they have a listener of their own.
pub(super) fn listener(ip: IpAddr, port: u16) -> Result<UdpSocket, Trouble> {
    let socket = open(ip)?;
    if ip.is_ipv6() {
        let only: c_int = 1;
        set(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &only).map_err(Trouble::Open)?;
    }
    let address = SockaddrStorage::from(SocketAddr::new(ip, port));
    bind(socket.as_raw_fd(), &address).map_err(Trouble::Bind)?;
    Ok(UdpSocket::from(socket))
}

/// Where reports go, and by which way.
pub(super) struct Destination {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Destination {
    /// The way to `ip` and `port`; multicast leaves by `interface`, if there is
    /// one, which has to be able to (compat.md, "UDP").
    pub(super) fn open(ip: IpAddr, port: u16, interface: Option<&CStr>) -> Result<Self, Trouble> {
        let socket = open(ip)?;
        let mut to = SocketAddr::new(ip, port);
        if let Some(interface) = interface {
            let index = multicast_index(interface)?;
            leave_by(socket.as_fd(), ip, index).map_err(Trouble::Interface)?;
            if let SocketAddr::V6(to) = &mut to {
                to.set_scope_id(index as u32);
            }
        }
        Ok(Destination { socket: UdpSocket::from(socket), to })
    }

    /// Sends a datagram. One for which there is no room now is lost, as it may
    /// be on its way: the next report says the same.
    pub(super) fn send(&self, datagram: &[u8]) -> Result<(), Errno> {
        match self.socket.send_to(datagram, self.to) {
            Ok(_) => Ok(()),
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::EAGAIN | Errno::ECONNREFUSED => Ok(()),
                errno => Err(errno),
            },
        }
    }

    /// The address that `interface` has now: what reports that leave by it are
    /// sent from.
    pub(super) fn own_address(&self, interface: &CStr) -> Result<IpAddr, Errno> {
        match self.to {
            SocketAddr::V4(_) => ipv4_of(interface),
            SocketAddr::V6(to) => ipv6_towards(to),
        }
    }
}

/// The host's name (gethostname(2)), as far as it fits into `buffer`.
pub(super) fn host_name(buffer: &mut [u8]) -> &[u8] {
    // SAFETY: a place of that length, which is ours.
    let result = unsafe { libc::gethostname(buffer.as_mut_ptr().cast::<c_char>(), buffer.len()) };
    let len = buffer.iter().position(|&byte| byte == 0).unwrap_or(buffer.len());
    &buffer[..if result == 0 { len } else { 0 }]
}

fn open(ip: IpAddr) -> Result<OwnedFd, Trouble> {
    let family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    datagram_socket(family).map_err(Trouble::Open)
}

/// Makes multicast leave by an interface.
fn leave_by(socket: BorrowedFd<'_>, ip: IpAddr, index: c_int) -> Result<(), Errno> {
    match ip {
        IpAddr::V4(_) => {
            let any = libc::in_addr { s_addr: 0 };
            let by = libc::ip_mreqn { imr_multiaddr: any, imr_address: any, imr_ifindex: index };
            set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &by)
        }
        IpAddr::V6(_) => set(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, &index),
    }
}

/// The index of an interface that is there and can multicast.
fn multicast_index(interface: &CStr) -> Result<c_int, Trouble> {
    let flags = ask(interface, libc::SIOCGIFFLAGS).map_err(Trouble::Interface)?;
    // SAFETY: the kernel has filled in this field.
    if c_int::from(unsafe { flags.ifr_ifru.ifru_flags }) & libc::IFF_MULTICAST == 0 {
        return Err(Trouble::NoMulticast);
    }
    let index = ask(interface, libc::SIOCGIFINDEX).map_err(Trouble::Interface)?;
    // SAFETY: the kernel has filled in this field.
    Ok(unsafe { index.ifr_ifru.ifru_ifindex })
}

fn ipv4_of(interface: &CStr) -> Result<IpAddr, Errno> {
    let answer = ask(interface, libc::SIOCGIFADDR)?;
    // SAFETY: the kernel has filled in this field; it is an IPv4 address, as long as any.
    let address: libc::sockaddr_in = unsafe { core::mem::transmute(answer.ifr_ifru.ifru_addr) };
    Ok(IpAddr::V4(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr))))
}

/// Where from the kernel would send to an IPv6 address. An interface has many.
fn ipv6_towards(to: SocketAddrV6) -> Result<IpAddr, Errno> {
    let probe = datagram_socket(AddressFamily::Inet6)?;
    let index = to.scope_id() as c_int;
    set(probe.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, &index)?;
    connect(probe.as_raw_fd(), &SockaddrStorage::from(to))?;
    let own = getsockname::<SockaddrStorage>(probe.as_raw_fd())?;
    own.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip())).ok_or(Errno::EADDRNOTAVAIL)
}

/// Asks the kernel about an interface.
fn ask(interface: &CStr, what: c_ulong) -> Result<libc::ifreq, Errno> {
    let socket = datagram_socket(AddressFamily::Inet)?;
    // SAFETY: a structure of numbers, for which all zeros are valid.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    // The last byte stays zero. The parser lets no longer name in.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.to_bytes()) {
        *to = *from as c_char;
    }
    // The C libraries do not agree on the type of a request.
    let what = what as libc::Ioctl;
    // SAFETY: what these questions take is an ifreq (netdevice(7)).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what, &mut request) };
    Errno::result(result).map(|_| request)
}

fn datagram_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

fn set<T>(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> Result<(), Errno> {
    let value: *const T = value;
    let (value, len) = (value.cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the kernel reads as many bytes as the value has.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) };
    Errno::result(result).map(drop)
}
