//! A tour of everything that happens to a pmtr: for tests of what must never happen meanwhile.

use std::fs;
use std::net::UdpSocket;

use nix::sys::signal::Signal;
use pmtr::limits::{MAX_ARGS, MAX_DEPENDS, MAX_JOBS, TEXT_BYTES};

use super::udp::{own_address, Collector};
use super::world::{job, sleepers, World};
use super::{eventually, patiently, process, save, LONG};

/// The jobs of the first half: one of each kind.
fn jobs(report: &str, listen: &str) -> String {
    [
        format!("report to {report}\nlisten on {listen}\n"),
        job(
            "steady",
            "cmd /bin/sleep 1000\n  env A=b\n  nice 19\n  cpu 0\n  ulimit -n 99\n  order -1",
        ),
        job("setup", "cmd /bin/true\n  wait\n  once"),
        job("crash", "cmd /bin/sh -c \"exit 7\""),
        job("final", "cmd /bin/sh -c \"exit 33\""),
        job("nothing", "cmd /nonexistent/program"),
        job("nowhere", "cmd /bin/sleep 1000\n  dir /nonexistent"),
        job("nobody", "cmd /bin/sleep 1000\n  user no-such-user"),
        job("file", "cmd /bin/echo text\n  out $DIR/out\n  err $DIR/err\n  in /dev/null"),
        job("depends", "cmd /bin/sleep 1000\n  depends {\n    $DIR/depends\n  }"),
        job("missing", "cmd /bin/sleep 1000\n  depends {\n    $DIR/missing\n  }"),
        job("bounced", "cmd /bin/sleep 1000\n  bounce every 1s"),
        job("family", "cmd $DIR/family"),
        job("talk", "cmd $DIR/talk"),
        job("flood", "cmd $DIR/flood"),
        job("drops", "cmd $DIR/flood\n  log drop"),
    ]
    .concat()
}

/// Takes a pmtr that runs through the tour. It ends with jobs that run.
#[track_caller]
pub fn tour(w: &mut World) {
    w.script("talk", "printf 'a line\\nano'; sleep 1.2; printf 'ther \\303\\244\\377\\001\\n'; head -c 9000 /dev/zero; echo; echo done; exec sleep 1000");
    w.script(
        "flood",
        "yes 'a line of a flood, of which there are more' | head -n 10000; exec sleep 1000",
    );
    w.script("family", "trap '' TERM; sleep 1000 & trap - TERM; exec sleep 1000");
    w.file("depends", "1");
    let address = own_address();
    let (reports, control) = (Collector::at(address), UdpSocket::bind((address, 0)).unwrap());
    let (listen, port) = (format!("udp://{address}:4321"), (address, 4321));
    first_jobs(w, &jobs(&reports.url(), &listen));
    what_jobs_depend_on(w);
    commands(w, &control, port);
    reports.next();
    refused_files(w);
    a_log_that_does_not_take(w);
    many_jobs(w);
}

fn first_jobs(w: &mut World, jobs: &str) {
    w.save(save::in_place, jobs);
    for name in ["steady", "setup", "crash", "final", "file", "depends", "family", "talk"] {
        w.started(name);
    }
    let log = w.log();
    log.wait_for("job crash [");
    log.wait_for("/nonexistent/program");
    log.wait_for("no-such-user");
    log.wait_line("talk", "done");
    process::send(w.running("steady"), Signal::SIGKILL);
    w.exited("steady");
    let bounced = w.pid_of("bounced");
    w.restarted("bounced", bounced);
}

fn what_jobs_depend_on(w: &World) {
    let old = w.running("depends");
    w.file("depends", "2");
    let now = w.restarted("depends", old);
    fs::remove_file(w.path("depends")).unwrap();
    w.log().wait_for(w.path("depends").to_str().unwrap());
    w.file("depends", "3");
    w.restarted_again("depends", now);
    w.file("missing", "1");
    w.started("missing");
}

fn commands(w: &World, control: &UdpSocket, port: (std::net::Ipv4Addr, u16)) {
    let send = |text: &[u8]| control.send_to(text, port).unwrap();
    for bad in [&b"nonsense"[..], b"disable no-such-job", b"\xff\x00", b"", &[b'x'; 5000]] {
        send(bad);
    }
    send(b"disable steady family");
    w.log().wait_for("disabling");
    send(b"enable steady family");
    w.log().wait_for("enabling");
}

fn refused_files(w: &World) {
    let args = "x ".repeat(MAX_ARGS);
    let depends = "    /etc/fstab\n".repeat(MAX_DEPENDS + 1);
    let bad = [
        "job {\n  nme x\n  cmd relative\n  nice 99\n  cpu 9999\n  ulimit -n x\n  bounce every 5y\n",
        "}\n",
        &"comand x\n".repeat(50),
        &job("a", &format!("cmd /bin/true {args}")),
        &job("a", &format!("cmd /bin/true\n  depends {{\n{depends}  }}")),
        &sleepers("a b a"),
        &"# too long\n".repeat(TEXT_BYTES / 10),
        "job {\n  name \0\n",
    ];
    for (save, text) in [save::in_place, save::by_rename].into_iter().cycle().zip(bad) {
        let before = w.log().own("FAILED to parse").len();
        w.save(save, text);
        w.log().wait_nth("FAILED to parse", before + 1);
    }
    let before = w.log().own("FAILED to parse").len();
    fs::remove_file(w.config_file()).unwrap();
    w.signal(Signal::SIGHUP);
    w.log().wait_nth("FAILED to parse", before + 1);
}

fn a_log_that_does_not_take(w: &mut World) {
    w.syslog().stall();
    // Everything that repeats is a warning, and the floods start again.
    let steady = job("steady", "cmd /bin/sleep 1000\n  nice 1\n  nice 2\n  order 1\n  order 2");
    let floods = job("flood", "cmd $DIR/flood\n nice 1")
        + &job("drops", "cmd $DIR/flood\n  log drop\n nice 1");
    w.save(save::by_rename, &(steady + &floods));
    eventually("a job that waits for the log", || !w.processes_with("yes").is_empty());
    w.syslog().resume();
    w.log().wait_for("sending SIGTERM to job family");
    w.fence();
    w.syslog().close();
    w.signal(Signal::SIGHUP);
    std::thread::sleep(std::time::Duration::from_millis(300));
    w.syslog().open();
    w.fence();
}

/// Looks at the processes: of so many messages behind floods some may not fit, and are counted.
fn many_jobs(w: &World) {
    let sleeping = || w.processes_with("/bin/sleep");
    let count = MAX_JOBS.min(200);
    let names: Vec<String> = (0..count).map(|n| format!("many{n}")).collect();
    w.save(save::in_place, &sleepers(&names.join(" ")));
    let many = patiently(LONG, "many jobs", || Some(sleeping()).filter(|all| all.len() == count));
    w.save(save::in_place, &sleepers("few some"));
    patiently(LONG, "two others in their place", || {
        let all = sleeping();
        (all.len() == 2 && !all.iter().any(|pid| many.contains(pid))).then_some(())
    });
}
