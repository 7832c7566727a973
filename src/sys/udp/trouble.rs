//! Why an address cannot be used now.

use super::super::errno::Meaning;
use core::ffi::CStr;
use core::fmt;

use super::lookup::NoAddress;
use crate::config::{Address, AddressUse, Config};
use crate::name::Lossy;
use nix::errno::Errno;

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No socket, or nobody to wait for it.
    Open(Errno),
    /// The port is taken, or the address is not of this machine: bind(2).
    Bind(Errno),
    /// There is no such interface, or it has no address.
    Interface(Errno),
    /// The interface does not multicast.
    NoMulticast,
    /// There is no process for the look-up.
    Fork(Errno),
    /// The name has no address.
    Lookup(NoAddress),
    /// The network does not take it.
    Send(Errno),
    /// Datagrams cannot be read.
    Receive(Errno),
}

/// The trouble with an address, as a sentence.
pub(super) struct Told<'a> {
    pub(super) config: &'a Config,
    pub(super) address: &'a Address,
    pub(super) trouble: Trouble,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.config.address_text(self.address);
        // These are the words of the original.
        match (self.trouble, self.address.used_for) {
            (Trouble::Bind(errno), _) => write!(f, "can't bind to {address}: {}", errno.meaning()),
            (trouble, AddressUse::Report) => {
                write!(f, "can't report to {address}: {}", self.reason(trouble))
            }
            (trouble, AddressUse::Listen) => {
                write!(f, "can't listen on {address}: {}", self.reason(trouble))
            }
        }?;
        f.write_str("; it is tried again")
    }
}

impl<'a> Told<'a> {
    fn reason(&self, trouble: Trouble) -> Reason<'a> {
        let host = self.config.host(self.address);
        let interface = self.config.interface(self.address).unwrap_or(host);
        Reason { trouble, host, interface }
    }
}

struct Reason<'a> {
    trouble: Trouble,
    host: &'a CStr,
    interface: &'a CStr,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interface = Lossy(self.interface.to_bytes());
        match self.trouble {
            Trouble::Open(errno) | Trouble::Bind(errno) => f.write_str(&errno.meaning()),
            Trouble::Send(errno) | Trouble::Receive(errno) => f.write_str(&errno.meaning()),
            Trouble::Interface(errno) => write!(f, "{interface}: {}", errno.meaning()),
            Trouble::NoMulticast => write!(f, "{interface} does not multicast"),
            Trouble::Fork(errno) => write!(f, "no process for the lookup: {}", errno.meaning()),
            Trouble::Lookup(why) => {
                write!(f, "lookup [{}]: {}", Lossy(self.host.to_bytes()), said(why))
            }
        }
    }
}

fn said(why: NoAddress) -> &'static str {
    match why {
        NoAddress::Unknown => "Unknown host",
        NoAddress::NotNow => "Host name lookup failure",
        NoAddress::Failed => "Unknown server error",
    }
}
