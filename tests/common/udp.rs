//! The other end of pmtr's UDP: addresses of a test's own, reports, commands.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::patience::{stretched, LONG, SHORT};

/// A loopback address that no other test of this machine uses, so that every
/// port of it is free.
pub fn own_address() -> Ipv4Addr {
    static USED: AtomicU32 = AtomicU32::new(0);
    // Programs of tests that run beside each other have pids that are near each other: they begin
    // far apart in the 2^23 addresses.
    let first = std::process::id().wrapping_mul(0x9e37_79b1) >> 9;
    let number = first.wrapping_add(USED.fetch_add(1, Ordering::Relaxed));
    let [_, a, b, c] = number.to_be_bytes();
    Ipv4Addr::new(127, a | 0x80, b, c)
}

/// The name that reports begin with.
pub fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").expect("a name").trim().to_string()
}

/// Where reports come to.
pub struct Collector {
    socket: UdpSocket,
}

impl Collector {
    /// One on a free port of an address.
    pub fn at(ip: impl Into<IpAddr>) -> Collector {
        Collector::new(UdpSocket::bind((ip.into(), 0)).expect("a socket"))
    }

    pub fn new(socket: UdpSocket) -> Collector {
        Collector { socket }
    }

    /// Its `udp://` address.
    pub fn url(&self) -> String {
        format!("udp://{}", self.socket.local_addr().expect("an address"))
    }

    /// Waits for the next datagram.
    #[track_caller]
    pub fn next(&self) -> String {
        self.within(stretched(SHORT + 5)).expect("a report")
    }

    /// The next datagram, if it comes so soon.
    pub fn within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
        let mut buffer = vec![0; 1 << 16];
        let len = loop {
            match self.socket.recv(&mut buffer) {
                Ok(len) => break len,
                // A process that was stopped meanwhile is interrupted, too (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("cannot receive: {error}"),
            }
        };
        Some(String::from_utf8(buffer[..len].to_vec()).expect("a report is text here"))
    }

    /// Waits for a datagram that has this line, but for numbers, which are `#`.
    #[track_caller]
    pub fn wait_line(&self, line: &str) -> String {
        let end = Instant::now() + stretched(LONG);
        let mut all = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let Some(report) = self.within(left) else { panic!("no {line:?} in {all:#?}") };
            if report.lines().any(|found| without_numbers(found) == line) {
                return report;
            }
            all.push(report);
        }
    }
}

/// The line of a job in a report with `#` in place of its seconds and its pid,
/// if that is not 0.
pub fn without_numbers(line: &str) -> String {
    let mut words: Vec<&str> = line.splitn(5, ' ').collect();
    if let [_, _, seconds, pid, _] = &mut words[..] {
        if *pid != "0" {
            (*seconds, *pid) = ("#", "#");
        }
    }
    words.join(" ")
}

/// Sends a datagram from an address.
pub fn send_from(from: impl Into<IpAddr>, to: (impl Into<IpAddr>, u16), datagram: &[u8]) {
    let socket = UdpSocket::bind((from.into(), 0)).expect("a socket");
    socket.send_to(datagram, (to.0.into(), to.1)).expect("sending");
}

/// Sends a datagram from the usual address.
pub fn send(to: (Ipv4Addr, u16), datagram: &[u8]) {
    send_from(Ipv4Addr::LOCALHOST, to, datagram);
}
