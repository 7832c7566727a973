//! Manual, "UDP control"; compat.md, "UDP": the real needs_shell, real sockets.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::process::{alive, stat, status};
use common::udp::{host_name, own_address, send, send_from, Collector};
use common::{
    children_of, eventually, job, needs_jobs, needs_root, needs_shell, sleepers, World, LONG,
};

/// The port of listeners; their addresses differ.
const PORT: u16 = 10_000;

fn listen_on(ip: Ipv4Addr) -> String {
    format!("listen on udp://{ip}:{PORT}\n")
}

fn report_to(collector: &Collector) -> String {
    format!("report to {}\n", collector.url())
}

/// The sockets that pmtr has.
fn sockets(pid: i32) -> BTreeSet<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").flatten();
    let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    let text = targets.map(|target| target.to_string_lossy().into_owned());
    text.filter(|target| target.starts_with("socket:")).collect()
}

// Reports.

#[test]
fn a_report_is_the_host_and_a_line_a_job() {
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let jobs = job("b", "cmd /bin/sleep 1000\n  order 1")
        + &job("a", "cmd /bin/sleep \"1000\" 1000")
        + &job("setup", "cmd /bin/sleep 1000\n  once")
        + &job("off", "cmd /bin/nowhere\n  disable")
        + &job("é", "cmd /bin/sh -c \"exit 33\"\n  disable");
    let world = World::with(&(report_to(&collector) + &jobs));
    let report = collector.next();
    let [a, b, setup] = ["a", "b", "setup"].map(|name| world.pid_of(name));
    let lines = format!(
        "a e 0 {a} /bin/sleep\nsetup e 0 {setup} /bin/sleep\noff d 0 0 /bin/nowhere\n\
         é d 0 0 /bin/sh\nb e 0 {b} /bin/sleep\n"
    );
    assert_eq!(report, format!("report {}\n{lines}", host_name()));
}

#[test]
fn jobs_that_have_ended_and_will_not_be_restarted_are_left_out() {
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let jobs = job("setup", "cmd /bin/sh -c \"exit 1\"\n  wait\n  once")
        + &job("bye", "cmd /bin/sh -c \"exit 33\"")
        + &sleepers("a");
    let world = World::with(&(report_to(&collector) + &jobs));
    world.exited("bye");
    let report = collector.wait_line("a e # # /bin/sleep");
    let report = if report.contains("bye ") { collector.next() } else { report };
    let [host, a] = report.lines().collect::<Vec<_>>()[..] else { panic!("{report}") };
    assert_eq!(host, format!("report {}", host_name()));
    assert!(a.starts_with("a e "), "{a}");
}

#[test]
fn there_is_a_report_at_the_start_and_every_ten_seconds() {
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let before = Instant::now();
    let world = World::with(&(report_to(&collector) + &sleepers("a")));
    collector.next();
    assert!(before.elapsed() < common::stretched(5));
    for n in 1..=2 {
        let before = Instant::now();
        let report = collector.next();
        let took = before.elapsed();
        assert!(took > Duration::from_millis(9_500) && took < common::stretched(13), "{took:?}");
        let line = report.lines().nth(1).expect("a line");
        let fields: Vec<&str> = line.split(' ').collect();
        let seconds: u64 = fields[2].parse().expect("seconds");
        assert!((10 * n..10 * n + 3).contains(&seconds), "{line}");
        assert_eq!(fields[3], world.pid_of("a").to_string());
    }
}

#[test]
fn every_report_to_gets_one_by_ipv6_too() {
    let collectors = [
        Collector::at(Ipv4Addr::LOCALHOST),
        Collector::at(own_address()),
        Collector::at(Ipv6Addr::LOCALHOST),
    ];
    let addresses: String = collectors.iter().map(report_to).collect();
    let world = World::with(&(addresses + &sleepers("a")));
    let expected = format!("report {}\na e 0 {} /bin/sleep\n", host_name(), world.pid_of("a"));
    for collector in &collectors {
        assert_eq!(collector.next(), expected);
    }
}

#[test]
fn without_jobs_the_host_reports() {
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let _world = World::with(&report_to(&collector));
    assert_eq!(collector.next(), format!("report {}\n", host_name()));
}

#[test]
fn a_report_that_is_too_long_is_split_at_line_ends() {
    if needs_jobs("a_report_that_is_too_long_is_split_at_line_ends", 900) {
        return;
    }
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let program = format!("/bin/{}", "p".repeat(100));
    let line = |n: usize| format!("{n:0>60} d 0 0 {program}\n");
    let jobs = (0..900).map(|n| job(&format!("{n:0>60}"), &format!("cmd {program}\n  disable")));
    let _world = World::with(&(report_to(&collector) + &jobs.collect::<String>()));
    let head = format!("report {}\n", host_name());
    let mut lines = String::new();
    let mut datagrams = 0;
    while lines.len() < 900 * line(0).len() {
        let datagram = collector.next();
        assert!(datagram.len() <= 65_507);
        lines.push_str(datagram.strip_prefix(&head).expect("a report line"));
        datagrams += 1;
    }
    assert_eq!(lines, (0..900).map(line).collect::<String>());
    assert_eq!(datagrams, 3);
}

#[test]
fn fifty_jobs_are_reported_only_when_all_have_been_started() {
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let names: Vec<String> = (0..50).map(|n| format!("job{n}")).collect();
    let _world = World::with(&(report_to(&collector) + &sleepers(&names.join(" "))));
    let report = collector.next();
    assert_eq!(report.lines().filter(|line| line.contains(" e 0 0 ")).count(), 0, "{report}");
    assert_eq!(report.lines().count(), 51);
}

#[test]
fn a_reload_is_reported_soon() {
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let world = World::with(&(report_to(&collector) + &sleepers("a")));
    collector.next();
    let before = Instant::now();
    world.config(&(report_to(&collector) + &sleepers("a b")));
    collector.wait_line("b e # # /bin/sleep");
    assert!(before.elapsed() < common::stretched(5));
}

#[test]
fn a_collector_that_is_not_there_does_not_matter() {
    let gone = Collector::at(own_address());
    let url = gone.url();
    drop(gone);
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let mut world =
        World::with(&(format!("report to {url}\n") + &report_to(&collector) + &sleepers("a")));
    collector.next();
    collector.next();
    assert_eq!(world.log().own("can't report").len(), 0);
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn what_cannot_be_sent_is_told_once() {
    // Broadcasting is not asked for, so the kernel refuses it.
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let jobs = "report to udp://255.255.255.255:9\n".to_string() + &sleepers("a");
    let world = World::with(&(report_to(&collector) + &jobs));
    world.started("a");
    collector.next();
    collector.next();
    let told = world.log().own("can't report to udp://255.255.255.255:9: ");
    assert_eq!(told.len(), 1, "{told:?}");
}

// Control.

#[test]
fn a_job_is_disabled_and_enabled_and_that_is_reported_soon() {
    let (collector, ip) = (Collector::at(Ipv4Addr::LOCALHOST), own_address());
    let world = World::with(&(report_to(&collector) + &listen_on(ip) + &sleepers("a b")));
    let (a, b) = (world.pid_of("a"), world.pid_of("b"));
    collector.next();
    let before = Instant::now();
    send((ip, PORT), b"disable a");
    collector.wait_line("a d 0 0 /bin/sleep");
    assert!(before.elapsed() < common::stretched(3), "{:?}", before.elapsed());
    world.log().wait_for("disabling a");
    world.log().wait_for(&format!("sending SIGTERM to job a [{a}]"));
    let before = Instant::now();
    send((ip, PORT), b"enable a");
    collector.wait_line("a e # # /bin/sleep");
    assert!(before.elapsed() < common::stretched(3), "{:?}", before.elapsed());
    world.log().wait_for("enabling a");
    assert_ne!(world.restarted("a", a), a);
    assert!(alive(b));
    assert_eq!(world.starts("b"), 1);
}

#[test]
fn verbs_are_mixed_and_white_space_does_not_matter() {
    let ip = own_address();
    let jobs = sleepers("a b c") + &job("d", "cmd /bin/sleep 1000\n  disable");
    let world = World::with(&(listen_on(ip) + &jobs));
    world.started("c");
    send((ip, PORT), b"disable a b enable d disable c\n");
    for said in ["disabling a", "disabling b", "disabling c", "enabling d"] {
        world.log().wait_for(said);
    }
    world.started("d");
    send((ip, PORT), b"\tenable  b\r\n\0");
    world.log().wait_for("enabling b");
    assert_eq!(world.log().own("enabling a").len(), 0);
    assert_eq!(world.log().own("control msg").len(), 0);
}

#[test]
fn what_is_so_already_is_neither_told_nor_reported() {
    let (collector, ip) = (Collector::at(Ipv4Addr::LOCALHOST), own_address());
    let world = World::with(&(report_to(&collector) + &listen_on(ip) + &sleepers("a")));
    world.started("a");
    collector.next();
    send((ip, PORT), b"enable a");
    assert_eq!(collector.within(Duration::from_secs(4)), None);
    assert_eq!(world.log().own("enabling").len(), 0);
}

#[test]
fn many_changes_are_one_report() {
    let (collector, ip) = (Collector::at(Ipv4Addr::LOCALHOST), own_address());
    let world = World::with(&(report_to(&collector) + &listen_on(ip) + &sleepers("a b c d")));
    world.started("d");
    collector.next();
    for name in ["a", "b", "c", "d"] {
        send((ip, PORT), format!("disable {name}").as_bytes());
    }
    let report = collector.next();
    assert_eq!(report.matches(" d ").count(), 4, "{report}");
    assert_eq!(collector.within(Duration::from_secs(3)), None);
}

#[test]
fn all_listeners_are_read_ipv6_too() {
    let (one, two) = (own_address(), own_address());
    // Every port of the IPv6 loopback is everybody's: one that is free now.
    let probe = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a socket");
    let port = probe.local_addr().expect("an address").port();
    drop(probe);
    let listeners = listen_on(one) + &listen_on(two) + &format!("listen on udp://[::1]:{port}\n");
    let world = World::with(&(listeners + &sleepers("a b c")));
    world.started("c");
    send((one, PORT), b"disable a");
    send((two, PORT), b"disable b");
    send_from(Ipv6Addr::LOCALHOST, (Ipv6Addr::LOCALHOST, port), b"disable c");
    for said in ["disabling a", "disabling b", "disabling c"] {
        world.log().wait_for(said);
    }
}

#[test]
fn the_effect_ends_at_the_next_good_reload() {
    let ip = own_address();
    let jobs = sleepers("a") + &job("b", "cmd /bin/sleep 1000\n  disable");
    let text = listen_on(ip) + &jobs;
    let world = World::with(&text);
    let a = world.pid_of("a");
    send((ip, PORT), b"disable a enable b");
    let b = world.pid_of("b");
    world.exited("a");
    world.config(&(text.clone() + "jib\n"));
    world.log().wait_for("NOTE: using PREVIOUS job config");
    assert_eq!((world.starts("a"), alive(b)), (1, true));
    world.config(&text);
    assert_ne!(world.restarted("a", a), a);
    world.exited("b");
}

#[test]
fn the_effect_ends_at_a_restart() {
    let ip = own_address();
    let mut world = World::with(&(listen_on(ip) + &sleepers("a")));
    world.started("a");
    send((ip, PORT), b"disable a");
    world.exited("a");
    assert_eq!(world.stop(), Some(0));
    world.start();
    eventually("a second start", || world.starts("a") == 2);
}

// Bad datagrams.

#[test]
fn a_bad_datagram_is_a_line_in_the_log() {
    let ip = own_address();
    let world = World::with(&(listen_on(ip) + &sleepers("a")));
    world.started("a");
    send((ip, PORT), b"a");
    let invalid = world.log().wait_for("invalid control msg");
    assert_eq!((invalid.text.as_str(), invalid.priority & 7), ("invalid control msg", 3));
    send((ip, PORT), b"disable x enable a");
    let unknown = world.log().wait_for("control msg for unknown job");
    let expected = ("control msg for unknown job x", 6);
    assert_eq!((unknown.text.as_str(), unknown.priority & 7), expected);
    send((ip, PORT), b"enable x\x1b[31m\xff");
    world.log().wait_for("control msg for unknown job x?[31m?");
}

#[test]
fn hostile_datagrams_change_nothing_and_are_told_rarely() {
    let ip = own_address();
    let mut world = World::with(&(listen_on(ip) + &sleepers("a b")));
    let pids = [world.pid_of("a"), world.pid_of("b")];
    let mut long = b"disable ".to_vec();
    long.extend([b'x'; 65_000]);
    let mut cut = b"enable ".repeat(600);
    cut.truncate(4096 - 8);
    cut.extend(b" disable a");
    let mut all: Vec<Vec<u8>> =
        vec![vec![], vec![0; 65_507], vec![b'a'; 65_507], long, cut, b"Disable a".to_vec()];
    all.extend((1..=255u8).map(|byte| vec![byte; 8]));
    all.extend([" ", "\n", "enable", "disable disable", "a disable b"].map(|s| s.into()));
    all.iter().for_each(|datagram| send((ip, PORT), datagram));
    // What the socket has no room for is lost, and this may be among it.
    eventually("the last datagram", || {
        send((ip, PORT), b"disable nobody");
        !world.log().own("control msg for unknown job nobody").is_empty()
    });
    assert!(pids.into_iter().all(alive));
    assert_eq!(world.log().own("abling ").len(), 0);
    world.log().within(LONG).wait_for("more invalid control msgs in 10 s");
    let told = world.log().own("invalid control msg");
    assert!(told.len() <= 8, "{told:?}");
    assert_eq!(world.stop(), Some(0));
}

/// The time for which a process had a CPU, in hundredths of a second.
fn cpu_time(pid: i32) -> u64 {
    let field = |n| stat(pid, n).and_then(|text| text.parse::<u64>().ok()).expect("a process");
    field(14) + field(15)
}

#[test]
fn a_flood_costs_little_and_does_not_slow_supervision() {
    let ip = own_address();
    let world = World::with(&(listen_on(ip) + &sleepers("a")));
    world.started("a");
    let is_over = AtomicBool::new(false);
    let words = b"enable ".repeat(585);
    thread::scope(|scope| {
        for datagram in [&b"x"[..], &words, b"disable nobody"] {
            let is_over = &is_over;
            scope.spawn(move || {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
                while !is_over.load(Ordering::Relaxed) {
                    // A full socket is what a flood is about.
                    let _ = socket.send_to(datagram, (ip, PORT));
                    thread::sleep(Duration::from_micros(200));
                }
            });
        }
        // By then it is no burst any more.
        thread::sleep(Duration::from_secs(5));
        let (begin, before) = (Instant::now(), cpu_time(world.pid()));
        for n in 0..10 {
            world.config(&(listen_on(ip) + &sleepers("a") + &sleepers(&format!("new{n}"))));
            let asked = Instant::now();
            world.started(&format!("new{n}"));
            assert!(asked.elapsed() < common::stretched(3), "{:?}", asked.elapsed());
            thread::sleep(Duration::from_millis(500));
        }
        let share = 10_000 * (cpu_time(world.pid()) - before) / begin.elapsed().as_millis() as u64;
        eprintln!("in a flood pmtr has {} % of a CPU", share / 10);
        is_over.store(true, Ordering::Relaxed);
        // A debug build that is translated as well takes several times as much.
        let is_slow = common::emulated() && std::env::var_os("PMTR_BIN").is_none();
        let most = if is_slow { 800 } else { 500 };
        assert!(share < most, "{} % of a CPU", share / 10);
    });
    assert_eq!(world.starts("a"), 1);
    let told = world.log().own("control msg");
    assert!(told.len() < 40, "{} lines", told.len());
}

#[test]
fn a_command_behind_a_burst_is_obeyed() {
    let ip = own_address();
    let world = World::with(&(listen_on(ip) + &sleepers("a")));
    world.started("a");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for n in 0..10_000 {
        socket.send_to(b"enable a", (ip, PORT)).expect("sending");
        if n % 100 == 99 {
            // A socket of the kernel's usual size holds some hundreds, and drops what is more.
            eventually("room in the socket", || {
                bytes_waiting(ip).is_some_and(|bytes| bytes < 64 * 1024)
            });
        }
    }
    send((ip, PORT), b"disable a");
    world.log().wait_for("disabling a");
}

/// How many bytes of the kernel's memory the socket of the listener has (/proc/net/udp, proc_net(5)).
/// Nothing where that leaves the socket out, as it may while others come and go.
fn bytes_waiting(ip: Ipv4Addr) -> Option<u64> {
    let address = format!("{:08X}:{PORT:04X}", u32::from_ne_bytes(ip.octets()));
    let table = fs::read_to_string("/proc/net/udp").expect("the sockets");
    let row = table.lines().find(|row| row.contains(&address))?;
    let queues = row.split_whitespace().nth(4).expect("tx_queue:rx_queue");
    Some(u64::from_str_radix(queues.rsplit(':').next().unwrap_or(queues), 16).expect("a number"))
}

// From whom.

#[test]
fn only_those_whom_from_names_are_listened_to() {
    let (ip, friend, other) = (own_address(), own_address(), own_address());
    let listener =
        format!("listen on udp://{ip}:{PORT} from 10.0.0.0/8 from {friend} from fe80::/10\n");
    let world = World::with(&(listener + &sleepers("a b")));
    world.started("b");
    send_from(other, (ip, PORT), b"disable a");
    let refused = world.log().wait_for("refused control msg");
    assert_eq!(refused.text, format!("refused control msg from {other}"));
    send_from(friend, (ip, PORT), b"disable b");
    world.log().wait_for("disabling b");
    assert_eq!(world.log().own("disabling a").len(), 0);
}

#[test]
fn a_new_from_counts_at_once_and_the_socket_stays() {
    let (ip, sender) = (own_address(), own_address());
    let text = |from: &str| format!("listen on udp://{ip}:{PORT}{from}\n") + &sleepers("a");
    let world = World::with(&text(" from 10.0.0.0/8"));
    world.started("a");
    send_from(sender, (ip, PORT), b"disable a");
    world.log().wait_for("refused control msg");
    let before = sockets(world.pid());
    world.config(&text(&format!(" from {sender}")));
    world.log().wait_for("rescanning job configuration");
    world.fence();
    send_from(sender, (ip, PORT), b"disable a");
    world.log().wait_for("disabling a");
    assert_eq!(sockets(world.pid()), before);
}

#[test]
fn those_who_are_refused_are_told_of_rarely() {
    let (ip, sender) = (own_address(), own_address());
    let world = World::with(&(format!("listen on udp://{ip}:{PORT} from ::1\n") + &sleepers("a")));
    world.started("a");
    for _ in 0..100 {
        send_from(sender, (ip, PORT), b"disable a");
    }
    world.log().within(LONG).wait_for("96 more refused control msgs in 10 s");
    assert_eq!(world.log().own(&format!("refused control msg from {sender}")).len(), 4);
}

#[test]
fn a_listener_for_everybody_is_warned_of() {
    if needs_shell("a_listener_for_everybody_is_warned_of") {
        return;
    }
    let exposed = "any host that reaches this port can enable and disable jobs";
    let mut world = World::new();
    world.config(&("listen on udp://0.0.0.0:39871\n".to_string() + &sleepers("a")));
    let tested = world.run(&["-t"]);
    assert_eq!(tested.status, Some(0));
    assert!(tested.said().contains(exposed), "{}", tested.said());
    assert_eq!(world.run(&["-t", "--strict"]).status, Some(1));
    world.start();
    assert_eq!(world.log().wait_for(exposed).priority & 7, 4);
    world
        .config(&("listen on udp://0.0.0.0:39871 from 127.0.0.0/8\n".to_string() + &sleepers("a")));
    let tested = world.run(&["-t", "--strict"]);
    assert_eq!(tested.status, Some(0), "{}", tested.said());
}

// What keeps no job from starting.

#[test]
fn a_busy_port_is_told_once_and_tried_again() {
    let ip = own_address();
    let busy = UdpSocket::bind((ip, PORT)).expect("a socket");
    let world = World::with(&(listen_on(ip) + &sleepers("a")));
    world.started("a");
    let said = format!("can't bind to udp://{ip}:{PORT}: Address already in use");
    let told = world.log().wait_for(&said);
    // It is tried again after one second and after two.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(world.log().own("can't bind").len(), 1);
    drop(busy);
    world.log().wait_after(&told, &format!("listening on udp://{ip}:{PORT}"));
    send((ip, PORT), b"disable a");
    world.log().wait_for("disabling a");
}

#[test]
fn an_address_of_another_machine_is_told_once() {
    let world =
        World::with(&("listen on udp://192.0.2.1:9 from ::1\n".to_string() + &sleepers("a")));
    world.started("a");
    world.log().wait_for("can't bind to udp://192.0.2.1:9: Cannot assign requested address");
}

#[test]
fn an_interface_that_is_missing_or_cannot_multicast_is_told() {
    let text = "report to udp://239.0.0.1:9@nowhere0\nreport to udp://239.0.0.1:9@lo\n";
    let world = World::with(&(text.to_string() + &sleepers("a")));
    world.started("a");
    let missing = "can't report to udp://239.0.0.1:9@nowhere0: nowhere0: No such device";
    world.log().wait_for(missing);
    world.log().wait_for("can't report to udp://239.0.0.1:9@lo: lo does not multicast");
}

/// Whether the test called `name` is to be left out because `with_resolver` has nothing to replace.
fn needs_resolver(name: &str) -> bool {
    if !std::path::Path::new("/etc/resolv.conf").exists() {
        eprintln!("skipped: {name}: there is no /etc/resolv.conf");
        return true;
    }
    needs_root(name)
}

/// Gives pmtr files of its own in place of those by which names are looked up.
fn with_resolver(world: World) -> World {
    let script = "mount --bind \"$0/hosts\" /etc/hosts && \
                  mount --bind \"$0/resolv.conf\" /etc/resolv.conf && exec \"$@\"";
    let dir = world.path("").to_str().expect("a plain path").trim_end_matches('/').to_string();
    world.wrapped_in(&["unshare", "--mount", "sh", "-c", script, &dir])
}

#[test]
fn a_name_that_is_unknown_is_told_once_and_looked_up_again() {
    if needs_resolver("a_name_that_is_unknown_is_told_once_and_looked_up_again") {
        return;
    }
    let (ip, collector) = (own_address(), Collector::at(own_address()));
    let url = collector.url();
    let (address, port) = url["udp://".len()..].split_once(':').expect("a port");
    let mut world = with_resolver(World::new());
    world.file("hosts", "127.0.0.1 localhost\n");
    // Nobody is there.
    world.file("resolv.conf", &format!("nameserver {ip}\n"));
    let text = format!("report to udp://collector:{port}\nlisten on udp://listener:{PORT}\n");
    world.config(&(text + &sleepers("a")));
    world.start();
    world.started("a");
    let said = format!("can't report to udp://collector:{port}: lookup [collector]: ");
    let told = world.log().wait_for(&said);
    world.log().wait_for(&format!("can't listen on udp://listener:{PORT}: lookup [listener]: "));
    thread::sleep(Duration::from_secs(4));
    assert_eq!(world.log().own("lookup [").len(), 2);
    fs::write(world.path("hosts"), format!("{address} collector\n{ip} listener\n"))
        .expect("writing");
    collector.wait_line("a e # # /bin/sleep");
    world.log().wait_after(&told, &format!("reporting to udp://collector:{port}"));
    world.log().within(LONG).wait_for(&format!("listening on udp://listener:{PORT}"));
    send((ip, PORT), b"disable a");
    world.log().wait_for("disabling a");
    // Nothing is left of the look-ups.
    world.exited("a");
    eventually("no children", || children_of(world.pid()).is_empty());
}

#[test]
fn a_mute_name_server_costs_a_process_and_nothing_else() {
    if needs_resolver("a_mute_name_server_costs_a_process_and_nothing_else") {
        return;
    }
    let ip = own_address();
    let mute = UdpSocket::bind((ip, 53)).expect("a socket");
    let collector = Collector::at(Ipv4Addr::LOCALHOST);
    let mut world = with_resolver(World::new());
    world.file("hosts", "127.0.0.1 localhost\n");
    world.file("resolv.conf", &format!("nameserver {ip}\noptions timeout:20\n"));
    let udp = "report to udp://mute.example.org:9\n".to_string() + &report_to(&collector);
    world.config(&(udp.clone() + &sleepers("a")));
    world.start();
    let a = world.pid_of("a");
    mute.set_read_timeout(Some(common::stretched(5))).expect("a timeout");
    assert!(mute.recv(&mut [0; 512]).is_ok(), "nobody was asked");
    // While it is waited for, all goes on.
    let others = || children_of(world.pid()).into_iter().filter(|&pid| pid != a).count();
    assert_eq!(others(), 1);
    collector.wait_line("a e # # /bin/sleep");
    world.config(&(udp + &sleepers("a b")));
    world.started("b");
    assert_eq!(children_of(world.pid()).len(), 3, "it was not started anew");
    let lookup = children_of(world.pid());
    let before = Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(before.elapsed() < common::stretched(3));
    eventually("the end of the look-up", || !lookup.iter().any(|&pid| alive(pid)));
}

#[test]
fn a_look_up_has_nothing_of_pmtr_and_goes_with_it() {
    if needs_resolver("a_look_up_has_nothing_of_pmtr_and_goes_with_it") {
        return;
    }
    let ip = own_address();
    let mute = UdpSocket::bind((ip, 53)).expect("a socket");
    let mut world = with_resolver(World::new());
    world.file("hosts", "");
    world.file("resolv.conf", &format!("nameserver {ip}\noptions timeout:20\n"));
    let udp = format!("report to udp://mute.example.org:9\nlisten on udp://{ip}:{PORT}\n");
    world.config(&udp);
    world.start();
    assert!(mute.recv(&mut [0; 512]).is_ok(), "nobody was asked");
    let [lookup] = children_of(world.pid())[..] else { panic!("one child") };
    let files = fs::read_dir(format!("/proc/{lookup}/fd")).expect("a process").count();
    assert!(files <= 5, "{files} files: 0, 1, 2, the answer, the name server");
    assert_eq!(u64::from_str_radix(&status(lookup, "SigBlk"), 16), Ok(0));
    world.kill();
    eventually("the end of the look-up", || !alive(lookup));
}

// Reloads.

#[test]
fn a_refused_reload_keeps_the_sockets() {
    let (collector, ip) = (Collector::at(Ipv4Addr::LOCALHOST), own_address());
    let text = report_to(&collector) + &listen_on(ip) + &sleepers("a");
    let world = World::with(&text);
    world.started("a");
    collector.next();
    let before = sockets(world.pid());
    world.config(&text.replace("cmd", "comand"));
    world.log().wait_for("NOTE: using PREVIOUS job config");
    assert_eq!(sockets(world.pid()), before);
    send((ip, PORT), b"disable a");
    world.log().wait_for("disabling a");
    collector.wait_line("a d 0 0 /bin/sleep");
}

#[test]
fn a_good_reload_keeps_the_sockets_of_addresses_that_are_the_same() {
    let (collector, ip) = (Collector::at(Ipv4Addr::LOCALHOST), own_address());
    let world = World::with(&(report_to(&collector) + &listen_on(ip) + &sleepers("a")));
    world.started("a");
    collector.next();
    let before = sockets(world.pid());
    // Others come before and between them.
    let (new, more) = (own_address(), Collector::at(own_address()));
    let text = listen_on(new) + &listen_on(ip) + &report_to(&more) + &report_to(&collector);
    world.config(&(text + &sleepers("a b")));
    world.started("b");
    more.next();
    let after = sockets(world.pid());
    assert!(before.is_subset(&after) && after.len() == before.len() + 2, "{before:?} {after:?}");
    send((ip, PORT), b"disable a");
    world.log().wait_for("disabling a");
    send((new, PORT), b"disable b");
    world.log().wait_for("disabling b");
    collector.wait_line("b d 0 0 /bin/sleep");
}

#[test]
fn an_address_that_is_taken_out_is_closed() {
    let (collector, ip) = (Collector::at(Ipv4Addr::LOCALHOST), own_address());
    let world = World::with(&(report_to(&collector) + &listen_on(ip) + &sleepers("a")));
    world.started("a");
    collector.next();
    let before = sockets(world.pid()).len();
    world.config(&sleepers("a b"));
    world.started("b");
    assert_eq!(sockets(world.pid()).len(), before - 2);
    UdpSocket::bind((ip, PORT)).expect("a free port");
    // Another use of the same port has to wait for nothing.
    world.config(&(format!("listen on udp://{ip}:{PORT} from ::1\n") + &sleepers("a c")));
    world.started("c");
    assert!(UdpSocket::bind((ip, PORT)).is_err());
}

#[test]
fn a_port_can_go_from_one_address_to_another() {
    // One that is free on every address.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    let (ip, port) = (own_address(), probe.local_addr().expect("an address").port());
    drop(probe);
    let world = World::with(&(format!("listen on udp://{ip}:{port}\n") + &sleepers("a")));
    world.started("a");
    let all = format!("listen on udp://0.0.0.0:{port} from 127.0.0.0/8\n");
    world.config(&(all + &sleepers("a b")));
    world.started("b");
    send((ip, port), b"disable a");
    world.log().wait_for("disabling a");
    assert_eq!(world.log().own("can't bind").len(), 0);
}

#[test]
fn many_reloads_leave_no_socket_behind() {
    let ip = own_address();
    let world = World::with(&sleepers("a"));
    world.started("a");
    let before = sockets(world.pid()).len();
    for n in 1..=30u16 {
        world.config(&(format!("listen on udp://{ip}:{}\nreport to udp://{ip}:{n}\n", PORT + n)));
        world.fence();
    }
    assert_eq!(sockets(world.pid()).len(), before + 2);
}

// Rest.

#[test]
fn without_a_report_to_nothing_wakes_up() {
    let ip: IpAddr = own_address().into();
    let listen = format!("listen on udp://{ip}:{PORT}\n");
    let world = World::undisturbed(&(listen + &sleepers("a")));
    world.started("a");
    let switches = || -> u64 {
        let count = |name| status(world.pid(), name).parse::<u64>().expect("a number");
        count("voluntary_ctxt_switches")
    };
    thread::sleep(Duration::from_secs(2));
    let before = switches();
    thread::sleep(Duration::from_secs(11));
    assert_eq!(switches(), before);
}

#[test]
fn jobs_have_none_of_the_sockets() {
    let (collector, ip) = (Collector::at(Ipv4Addr::LOCALHOST), own_address());
    let world = World::with(&(report_to(&collector) + &listen_on(ip) + &sleepers("a")));
    let first = world.running("a");
    collector.next();
    // One that starts after the sockets were opened.
    send((ip, PORT), b"disable a");
    world.exited("a");
    send((ip, PORT), b"enable a");
    world.restarted("a", first);
    let a = world.running("a");
    assert_eq!(sockets(a), BTreeSet::new());
}
