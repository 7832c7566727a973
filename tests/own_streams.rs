//! `out /dev/stdout` and the like: the streams that pmtr was started with, as in a container.

mod common;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{symlink, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{eventually, job, needs_root, needs_shell, World};
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::libc;
use nix::unistd::pipe;

/// `user nobody` where that can be.
fn user() -> &'static str {
    if common::is_root() {
        "user nobody"
    } else {
        "log block"
    }
}

/// A job that says its name on both of its outputs, with these lines more.
fn speaker(name: &str, lines: &str) -> String {
    let cmd = format!("cmd /bin/sh -c \"echo {name}-out; echo {name}-err >&2; exec sleep 1000\"");
    job(name, &format!("{cmd}\n  {lines}"))
}

/// Waits until these lines have come out of `end`, without others that jobs have said.
#[track_caller]
fn says(end: &OwnedFd, expected: &[&str]) {
    let mut file = File::from(end.try_clone().unwrap());
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut text = Vec::new();
    eventually(&expected.join(" "), || {
        match file.read_to_end(&mut text) {
            Ok(_) => {}
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock), "{error}"),
        }
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let is_of_job = |line: &&str| line.ends_with("-out") || line.ends_with("-err");
        let mut lines: Vec<&str> = text.lines().filter(is_of_job).collect();
        lines.sort();
        lines == expected
    });
}

/// Starts pmtr with pipes as its outputs, which nobody but its user can open.
fn with_pipes(world: World) -> (World, OwnedFd, OwnedFd) {
    let (out, to_out) = pipe().unwrap();
    let (err, to_err) = pipe().unwrap();
    let mut world = world.stdout_to(to_out).stderr_to(to_err);
    world.start();
    (world, out, err)
}

#[test]
fn out_and_err_can_be_pmtrs_own_streams() {
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    for (name, other) in names.iter().zip(["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"]) {
        for user in [user(), ""] {
            let world = World::new();
            let lines = |out: &str, err: &str| format!("out {out}\n  err {err}\n  {user}");
            let both = speaker("both", &lines(name, other));
            let crossed = speaker("crossed", &lines(other, name));
            let alone = speaker("alone", &format!("err {name}\n  {user}"));
            let file = speaker("file", &format!("out $DIR/out\n  err {name}"));
            world.config(&(both + &crossed + &alone + &file));
            let (world, out, err) = with_pipes(world);
            says(&out, &["alone-err", "both-out", "crossed-err", "file-err"]);
            eventually("the log", || world.log().lines("alone") == ["alone-out"]);
            eventually("the file", || world.read("out") == "file-out\n");
            says_in(&err, &["both-err", "crossed-out"]);
        }
    }
}

/// The same for stderr, where pmtr echoes the log: only what has no tag is the jobs' own.
#[track_caller]
fn says_in(end: &OwnedFd, expected: &[&str]) {
    let mut file = File::from(end.try_clone().unwrap());
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut text = Vec::new();
    eventually(&expected.join(" "), || {
        let _ = file.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        expected.iter().all(|word| text.lines().any(|line| line == *word))
    });
}

/// A pseudoterminal: the end of whoever shows it, and that of programs (pty(7)).
fn terminal() -> (OwnedFd, OwnedFd) {
    let open = |path: &Path| {
        let flags = libc::O_NOCTTY;
        File::options().read(true).write(true).custom_flags(flags).open(path).expect("a terminal")
    };
    let master = open(Path::new("/dev/ptmx"));
    let mut number: libc::c_int = 0;
    // SAFETY: a number to be written to.
    let number_read = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &mut number) };
    // SAFETY: changes nothing but the terminal.
    let unlocked = unsafe { libc::unlockpt(master.as_raw_fd()) };
    assert_eq!((number_read, unlocked), (0, 0));
    let terminal = open(&Path::new("/dev/pts").join(number.to_string()));
    (master.into(), terminal.into())
}

/// A terminal is open for reading, too: what is typed there is none of the job's concern.
#[test]
fn a_terminal_is_given_to_jobs_for_writing_only() {
    let (master, terminal) = terminal();
    let mut world = World::new().stdout_to(terminal);
    world.config(&speaker("a", &format!("out /dev/stdout\n  {}", user())));
    world.start();
    says(&master, &["a-out"]);
    let info = fs::read_to_string(format!("/proc/{}/fdinfo/1", world.running("a"))).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim();
    let flags = i32::from_str_radix(flags, 8).unwrap();
    assert_eq!(flags & libc::O_ACCMODE, libc::O_WRONLY, "{info}");
    assert_eq!(flags & libc::O_NONBLOCK, 0, "{info}");
}

/// Only the name in the configuration stands for pmtr's stream: the user of a job may be able to
/// make such a link.
#[test]
fn a_link_to_dev_stdout_is_opened_as_the_user() {
    if needs_root("a_link_to_dev_stdout_is_opened_as_the_user") {
        return;
    }
    let world = World::new();
    symlink("/dev/stdout", world.path("out")).unwrap();
    world.config(&speaker("a", "out $DIR/out\n  user nobody"));
    let (world, ..) = with_pipes(world);
    let told = world.log().wait_for("job a: opening out");
    assert!(told.text.ends_with(": Permission denied"), "{}", told.text);
}

/// As the journal is one: it cannot be opened by its name, not even by root.
#[test]
fn a_socket_is_handed_on() {
    let (end, to_end) = UnixStream::pair().unwrap();
    end.shutdown(Shutdown::Write).unwrap();
    let mut world = World::new().stdout_to(OwnedFd::from(to_end));
    world.config(&speaker("a", &format!("out /dev/stdout\n  {}", user())));
    world.start();
    says(&end.into(), &["a-out"]);
}

#[test]
fn in_can_be_pmtrs_own_too() {
    // /dev/null, which the tests start pmtr with.
    let mut world = World::new();
    let reads = format!("cmd /bin/sh -c \"cat; echo done\"\n  once\n  in /dev/stdin\n  {}", user());
    world.config(&job("a", &reads));
    world.start();
    world.log().wait_line("a", "done");
}

/// A daemon's streams are /dev/null, and so are those of some services.
#[test]
fn that_a_stream_leads_nowhere_is_told() {
    let config = speaker("a", &format!("out /dev/stdout\n  err /dev/stderr\n  {}", user()));
    let mut world = World::new();
    world.config(&config);
    world.start_daemon();
    let pid = world.running("a");
    for option in ["out", "err"] {
        let told = format!("job a [{pid}]: {option} goes nowhere: pmtr's own is /dev/null");
        world.log().wait_for(&told);
    }
    assert_eq!(world.log().own("opening").len(), 0);
}

#[test]
fn t_knows_that_they_need_not_be_opened() {
    if needs_shell("t_knows_that_they_need_not_be_opened") {
        return;
    }
    let world = World::new();
    let lines = format!("out /dev/stdout\n  err /proc/self/fd/2\n  {}", user());
    world.config(&speaker("a", &lines));
    let finished = world.run(&["-t", "--strict"]);
    assert_eq!((finished.status, &*finished.said()), (Some(0), ""));
}
