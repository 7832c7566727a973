//! UDP between hosts: network namespaces with a cable (veth(4)) between them.

mod common;

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use common::udp::{host_name, Collector};
use common::{needs_root, sleepers, World, LONG};
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sched::{setns, CloneFlags};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 1);

/// Two hosts, and cables between them: `eth0`, `eth1` … at both ends, with
/// 10.0.N.1 here and 10.0.N.2 there.
struct Net {
    here: String,
    there: String,
}

impl Net {
    /// Two hosts with so many cables; none where there can be no such hosts,
    /// which is then said.
    fn new(test: &str, cables: u8) -> Option<Net> {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        if needs_root(test) {
            return None;
        }
        let id = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let net = Net { here: format!("pmtr-a-{id}"), there: format!("pmtr-b-{id}") };
        if !ip(&["netns", "add", &net.here]) || !ip(&["netns", "add", &net.there]) {
            eprintln!("skipped: {test}: ip netns does not work here");
            return None;
        }
        for host in [&net.here, &net.there] {
            assert!(ip(&["-n", host, "link", "set", "lo", "up"]));
        }
        for n in 0..cables {
            if !net.cable(n) {
                eprintln!("skipped: {test}: there is no veth here");
                return None;
            }
        }
        Some(net)
    }

    fn cable(&self, n: u8) -> bool {
        let name = format!("eth{n}");
        let ends = ["type", "veth", "peer", "name", &name, "netns", &self.there];
        let add = [&["-n", &self.here, "link", "add", &name][..], &ends[..]].concat();
        let up = |host: &str, last: u8| {
            let address = format!("10.0.{n}.{last}/24");
            ip(&["-n", host, "address", "add", &address, "dev", &name])
                && ip(&["-n", host, "link", "set", &name, "up"])
        };
        ip(&add) && up(&self.here, 1) && up(&self.there, 2)
    }

    /// `ip` with these arguments, here.
    fn ip_here(&self, arguments: &[&str]) {
        assert!(ip(&[&["-n", &self.here][..], arguments].concat()), "ip {arguments:?}");
    }

    /// A world whose pmtr is here.
    fn world(&self) -> World {
        World::new().wrapped_in(&["ip", "netns", "exec", &self.here])
    }

    /// Makes something there.
    fn there<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> T {
        let file = File::open(format!("/run/netns/{}", self.there)).expect("a namespace");
        // A namespace belongs to a thread.
        let made = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).expect("setns");
            make()
        });
        made.join().expect("made")
    }

    /// What comes there to the group by a cable, on a port of its own.
    fn group_there(&self, cable: u8, port: u16) -> Collector {
        Collector::new(self.there(move || {
            let socket = UdpSocket::bind((GROUP, port)).expect("a socket");
            let interface = Ipv4Addr::new(10, 0, cable, 2);
            only_own_memberships(&socket);
            socket.join_multicast_v4(&GROUP, &interface).expect("joining");
            socket
        }))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // With it go the cables.
        ip(&["netns", "del", &self.here]);
        ip(&["netns", "del", &self.there]);
    }
}

/// Linux gives a socket what others of its host have joined, too (ip(7), `IP_MULTICAST_ALL`).
fn only_own_memberships(socket: &UdpSocket) {
    const IP_MULTICAST_ALL: libc::c_int = 49;
    let (no, len) = ([0u8; 4], 4);
    let value = no.as_ptr().cast();
    // SAFETY: the kernel reads a number, as long as `no`.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, IP_MULTICAST_ALL, value, len)
    };
    assert_eq!(result, 0);
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn multicast_leaves_by_the_interface_that_is_named() {
    let Some(net) = Net::new("multicast_leaves_by_the_interface_that_is_named", 2) else { return };
    // The route would be the other one.
    net.ip_here(&["route", "add", "239.0.0.0/8", "dev", "eth0"]);
    let (wrong, right) = (net.group_there(0, 9998), net.group_there(1, 9999));
    let mut world = net.world();
    world.config(&("report to udp://239.0.0.1:9999@eth1\n".to_string() + &sleepers("a")));
    world.start();
    let a = world.pid_of("a");
    let expected = format!("report {} 10.0.1.1\na e 0 {a} /bin/sleep\n", host_name());
    assert_eq!(right.next(), expected);
    drop(wrong);
    let wrong = net.group_there(0, 9997);
    world.config(&("report to udp://239.0.0.1:9997@eth1\n".to_string() + &sleepers("a")));
    assert_eq!(wrong.within(Duration::from_secs(3)), None);
}

#[test]
fn each_report_to_has_the_address_of_its_own_interface() {
    let test = "each_report_to_has_the_address_of_its_own_interface";
    let Some(net) = Net::new(test, 2) else { return };
    let collectors = [net.group_there(0, 9990), net.group_there(1, 9991)];
    let plain = net.there(|| UdpSocket::bind("10.0.0.2:9992").expect("a socket"));
    let mut world = net.world();
    world.config(
        "report to udp://239.0.0.1:9990@eth0\nreport to udp://239.0.0.1:9991@eth1\n\
         report to udp://10.0.0.2:9992\n",
    );
    world.start();
    let host = host_name();
    assert_eq!(collectors[0].next(), format!("report {host} 10.0.0.1\n"));
    assert_eq!(collectors[1].next(), format!("report {host} 10.0.1.1\n"));
    assert_eq!(Collector::new(plain).next(), format!("report {host}\n"));
}

#[test]
fn an_interface_that_comes_goes_and_comes_again_is_used_when_it_is_there() {
    let test = "an_interface_that_comes_goes_and_comes_again_is_used_when_it_is_there";
    let Some(net) = Net::new(test, 0) else { return };
    let mut world = net.world();
    world.config(&("report to udp://239.0.0.1:9999@eth7\n".to_string() + &sleepers("a")));
    world.start();
    world.started("a");
    world.log().wait_for("can't report to udp://239.0.0.1:9999@eth7: eth7: No such device");
    assert!(net.cable(7));
    let collector = net.group_there(7, 9999);
    assert!(collector.next().starts_with(&format!("report {} 10.0.7.1\n", host_name())));
    let back = world.log().wait_for("reporting to udp://239.0.0.1:9999@eth7");
    drop(collector);
    net.ip_here(&["link", "del", "eth7"]);
    let gone = "can't report to udp://239.0.0.1:9999@eth7";
    let gone = world.log().within(LONG).wait_after(&back, gone);
    assert!(net.cable(7));
    let collector = net.group_there(7, 9999);
    assert!(collector.next().starts_with(&format!("report {} 10.0.7.1\n", host_name())));
    world.log().within(LONG).wait_after(&gone, "reporting to");
    assert_eq!(world.starts("a"), 1);
}

#[test]
fn a_new_address_of_the_interface_is_in_the_next_report() {
    let test = "a_new_address_of_the_interface_is_in_the_next_report";
    let Some(net) = Net::new(test, 1) else { return };
    let collector = net.group_there(0, 9999);
    let mut world = net.world();
    world.config("report to udp://239.0.0.1:9999@eth0\n");
    world.start();
    assert_eq!(collector.next(), format!("report {} 10.0.0.1\n", host_name()));
    net.ip_here(&["address", "flush", "dev", "eth0"]);
    net.ip_here(&["address", "add", "10.0.0.77/24", "dev", "eth0"]);
    assert_eq!(collector.next(), format!("report {} 10.0.0.77\n", host_name()));
}

#[test]
fn ipv6_multicast_leaves_by_the_interface_that_is_named() {
    let test = "ipv6_multicast_leaves_by_the_interface_that_is_named";
    let Some(net) = Net::new(test, 1) else { return };
    net.ip_here(&["address", "add", "fd00::1/64", "dev", "eth0", "nodad"]);
    let group: Ipv6Addr = "ff05::1234".parse().expect("an address");
    let collector = Collector::new(net.there(move || {
        let index = if_nametoindex("eth0").expect("an interface");
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 9999)).expect("a socket");
        socket.join_multicast_v6(&group, index).expect("joining");
        socket
    }));
    let mut world = net.world();
    world.config("report to udp://[ff05::1234]:9999@eth0\n");
    world.start();
    assert_eq!(collector.next(), format!("report {} fd00::1\n", host_name()));
}

#[test]
fn only_the_hosts_of_from_are_listened_to() {
    let Some(net) = Net::new("only_the_hosts_of_from_are_listened_to", 2) else { return };
    let mut world = net.world();
    let listener = "listen on udp://0.0.0.0:10000 from 10.0.0.0/24\n";
    world.config(&(listener.to_string() + &sleepers("a")));
    world.start();
    world.started("a");
    let send = |from: &'static str, to: &'static str, datagram: &'static [u8]| {
        net.there(move || {
            let socket = UdpSocket::bind(from).expect("a socket");
            socket.send_to(datagram, to).expect("sending");
        });
    };
    send("10.0.1.2:0", "10.0.1.1:10000", b"disable a");
    world.log().wait_for("refused control msg from 10.0.1.2");
    // The weak host model: it is the sender that counts, not the way.
    send("10.0.1.2:0", "10.0.0.1:10000", b"disable a");
    assert_eq!(world.log().wait_nth("refused control msg from 10.0.1.2", 2).priority & 7, 4);
    assert_eq!(world.log().own("disabling").len(), 0);
    send("10.0.0.2:0", "10.0.0.1:10000", b"disable a");
    world.log().wait_for("disabling a");
}

#[test]
fn from_is_for_ipv6_too() {
    let Some(net) = Net::new("from_is_for_ipv6_too", 1) else { return };
    net.ip_here(&["address", "add", "fd00::1/64", "dev", "eth0", "nodad"]);
    for address in ["fd00::2/64", "fd00::1:2/64"] {
        assert!(ip(&["-n", &net.there, "address", "add", address, "dev", "eth0", "nodad"]));
    }
    let mut world = net.world();
    world.config(
        &("listen on udp://[::]:10000 from fd00::/112 from 0.0.0.0/0\n".to_string()
            + &sleepers("a")),
    );
    world.start();
    world.started("a");
    let send = |from: &'static str| {
        net.there(move || {
            let socket = UdpSocket::bind(from).expect("a socket");
            socket.send_to(b"disable a", "[fd00::1]:10000").expect("sending");
        });
    };
    send("[fd00::1:2]:0");
    world.log().wait_for("refused control msg from fd00::1:2");
    send("[fd00::2]:0");
    world.log().wait_for("disabling a");
}
