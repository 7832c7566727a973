//! Host names, looked up by a child process (getaddrinfo(3)).
//!
//! A look-up can take as long as the slowest name server likes, and allocates:
//! nothing for the supervisor. The child has nothing of pmtr but a pipe, and
//! ends by itself: when it knows, after [`SECONDS`], or with pmtr.

use core::ffi::{c_int, c_uint, CStr};
use core::mem;
use core::ptr;

use super::super::std::net::{IpAddr, Ipv6Addr};
use super::super::std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use super::super::std::prelude::v1::*;
use super::mapped;
use crate::sys::descriptors::close_from;
use crate::sys::reap;
use crate::sys::spawn::NoWayBack;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{sigprocmask, SigSet, SigmaskHow, Signal};
use nix::unistd::{fork, pipe2, read, write, ForkResult};

/// How long a look-up may take: longer than the resolver tries two silent name
/// servers, with its defaults (resolv.conf(5)).
const SECONDS: c_uint = 30;

/// A look-up that is under way. Dropping it ends it.
pub(super) struct Lookup {
    /// Of the child; 0 once it was reaped.
    pid: i32,
    answer: OwnedFd,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// There is no host of that name, or it has none.
    Unknown,
    /// Nobody answers, or not now.
    NotNow,
    /// Anything else.
    Failed,
}

/// An answer: what getaddrinfo(3) returned, and an address as IPv6 has it.
/// Written at once, as it is far shorter than `PIPE_BUF` (pipe(7)).
type Answer = [u8; 20];

impl Lookup {
    /// Begins to look for an address of `host`, an IPv4 one if there is any.
    pub(super) fn start(host: &CStr) -> Result<Lookup, Errno> {
        let (answer, out) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&answer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // SAFETY: the supervisor has one thread, so no lock is held by another one.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Lookup { pid: child.as_raw(), answer }),
            ForkResult::Child => look_up(host, &out),
        }
    }

    /// What becomes readable when there is an [answer](Self::answer).
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }

    /// The answer; none yet. Never blocks.
    pub(super) fn answer(&self) -> Option<Result<IpAddr, NoAddress>> {
        let mut answer: Answer = [0; 20];
        match read(&self.answer, &mut answer) {
            Ok(len) if len == answer.len() => Some(decode(answer)),
            Ok(_) => Some(Err(NoAddress::NotNow)), // Its time was over.
            Err(Errno::EAGAIN) => None,
            Err(_) => Some(Err(NoAddress::Failed)),
        }
    }

    /// Process `pid` was reaped: its number may be that of another one now.
    pub(super) fn ended(&mut self, pid: i32) {
        if self.pid == pid {
            self.pid = 0;
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if self.pid > 0 {
            // A child that is not reaped; one that has ended does not mind.
            let _ = reap::signal(self.pid, Signal::SIGKILL);
        }
    }
}

/// The child.
#[inline(never)]
fn look_up(host: &CStr, out: &OwnedFd) -> ! {
    let _no_way_back = NoWayBack;
    prepare();
    let only = keep_only(out.as_fd());
    let found = find(host, libc::AF_INET).or_else(|code| match code {
        // Whom nobody answers now need not be asked again.
        libc::EAI_AGAIN => Err(code),
        _ => find(host, libc::AF_INET6).map_err(|_| code),
    });
    // If nobody reads it any more nobody needs it.
    let _ = write(only, &encode(found));
    // SAFETY: ends the process, and nothing else.
    unsafe { libc::_exit(0) }
}

/// Makes the process one that ends by itself.
fn prepare() {
    // SAFETY: sets a disposition, and no handler.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_DFL) };
    // SAFETY: takes a number.
    unsafe { libc::alarm(SECONDS) };
    // Without them it ends all the same, only later.
    let _ = set_pdeathsig(Signal::SIGKILL);
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// Closes everything above 2 but `out`, which gets a number of its own: a port
/// that pmtr gives up is not to be kept busy by this process.
fn keep_only(out: BorrowedFd<'_>) -> BorrowedFd<'static> {
    const OUT: c_int = 3;
    // SAFETY: nothing of this process uses descriptor 3 any more.
    unsafe { libc::dup2(out.as_raw_fd(), OUT) };
    close_from(OUT + 1);
    // SAFETY: it is open, and stays so.
    unsafe { BorrowedFd::borrow_raw(OUT) }
}

/// The first address of a family, as IPv6 has it; or what getaddrinfo(3) says.
fn find(host: &CStr, family: c_int) -> Result<[u8; 16], c_int> {
    // SAFETY: a structure of numbers and pointers, for which all zeros are valid.
    let mut hints: libc::addrinfo = unsafe { mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_DGRAM;
    let mut list = ptr::null_mut();
    // SAFETY: a string that ends with a NUL, and two places that are ours.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &hints, &mut list) };
    if code != 0 || list.is_null() {
        return Err(if code == 0 { libc::EAI_NONAME } else { code });
    }
    // SAFETY: the list is valid, and never freed: this process is about to end.
    let first = unsafe { &*list };
    if family == libc::AF_INET {
        // SAFETY: the kind of address that was asked for.
        let address = unsafe { &*first.ai_addr.cast::<libc::sockaddr_in>() };
        let number = u32::from_be(address.sin_addr.s_addr);
        Ok(mapped(IpAddr::V4(number.into())))
    } else {
        // SAFETY: the kind of address that was asked for.
        let address = unsafe { &*first.ai_addr.cast::<libc::sockaddr_in6>() };
        Ok(address.sin6_addr.s6_addr)
    }
}

fn encode(found: Result<[u8; 16], c_int>) -> Answer {
    let (code, address) = match found {
        Ok(address) => (0, address),
        Err(code) => (code, [0; 16]),
    };
    let mut answer = [0; 20];
    answer[..4].copy_from_slice(&code.to_ne_bytes());
    answer[4..].copy_from_slice(&address);
    answer
}

fn decode(answer: Answer) -> Result<IpAddr, NoAddress> {
    let (code, address) = answer.split_at(4);
    let code = code.try_into().map(i32::from_ne_bytes).unwrap_or(libc::EAI_FAIL);
    match (code, <[u8; 16]>::try_from(address)) {
        (0, Ok(address)) => Ok(IpAddr::V6(Ipv6Addr::from(address)).to_canonical()),
        (libc::EAI_NONAME | libc::EAI_NODATA, _) => Err(NoAddress::Unknown),
        (libc::EAI_AGAIN, _) => Err(NoAddress::NotNow),
        _ => Err(NoAddress::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{assert_eq, time::Duration, time::Instant};
    use super::*;

    fn wait(host: &[u8]) -> Result<IpAddr, NoAddress> {
        let lookup = Lookup::start(CStr::from_bytes_with_nul(host).unwrap()).unwrap();
        let end = Instant::now() + Duration::from_secs(u64::from(SECONDS) + 5);
        loop {
            if let Some(answer) = lookup.answer() {
                return answer;
            }
            assert!(Instant::now() < end, "no answer");
            super::super::super::std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_name_that_is_known_here_has_its_ipv4_address() {
        assert_eq!(wait(b"localhost\0"), Ok(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_name_that_nobody_can_have_has_none() {
        // RFC 6761, 6.4. Without any network nobody can be asked.
        let answer = wait(b"no-such-host.invalid\0");
        assert!(matches!(answer, Err(NoAddress::Unknown | NoAddress::NotNow)), "{answer:?}");
    }

    #[test]
    fn an_answer_comes_back_as_itself() {
        let v6: Ipv6Addr = "fe80::1".parse().unwrap();
        assert_eq!(decode(encode(Ok(v6.octets()))), Ok(IpAddr::V6(v6)));
        assert_eq!(decode(encode(Err(libc::EAI_AGAIN))), Err(NoAddress::NotNow));
        assert_eq!(decode(encode(Err(libc::EAI_NONAME))), Err(NoAddress::Unknown));
        assert_eq!(decode(encode(Err(libc::EAI_FAIL))), Err(NoAddress::Failed));
    }
}
