//! One seed: a pmtr, two paths, and what becomes of them.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::common::{emulated, is_root, program};
use crate::dice::Dice;
use crate::disk::{Disk, Ground};
use crate::life::Life;
use crate::truth;

/// How pmtr learns of changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Eyes {
    Inotify,
    /// By looking now and then.
    Polling,
    /// Of some files by inotify, and else by looking.
    FewWatches,
    /// By inotify, but it cannot learn who writes a file of another user.
    NoLease,
}

/// pmtr; killed at the end.
struct Pmtr(Child);

impl Drop for Pmtr {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.id() as i32);
        let _ = kill(pid, Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(2));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn one(seed: u64, disk: Disk) {
    let mut dice = Dice::new(seed);
    let ground = disk.ground().expect("a file system");
    let eyes = eyes(&mut dice);
    let is_blind = eyes == Eyes::NoLease;
    let mut life = Life::new(dice, &ground.root, &ground.aside, ground.can_mount, is_blind);
    let pmtr = start(&ground, &life.config(), eyes);
    let log = ground.aside.join("log");
    wait_for_start(&log);
    life.go();
    let is_held = !is_blind && life.dice.percent(8);
    if is_held {
        life.hold();
    }
    let seconds = match eyes {
        _ if is_held => 3.5,
        // Where nobody says that a writer is gone, two seconds of quiet do.
        Eyes::NoLease => 3.5,
        Eyes::Inotify | Eyes::Polling | Eyes::FewWatches => 1.0,
    };
    let checked = check(&log, &life, seconds * if emulated() { 5.0 } else { 1.0 });
    drop(pmtr);
    if let Err(complaint) = checked {
        println!("seed {seed}, {disk:?}, {eyes:?}: {complaint}\n{}", life.story.join("\n"));
        println!("{}", fs::read_to_string(log).unwrap_or_default());
        panic!("{complaint}");
    }
}

fn eyes(dice: &mut Dice) -> Eyes {
    let all = match dice.below(10) {
        0..=4 => Eyes::Inotify,
        5 | 6 => Eyes::Polling,
        7 | 8 => Eyes::FewWatches,
        _ => Eyes::NoLease,
    };
    if is_root() {
        all
    } else {
        Eyes::Inotify
    }
}

fn start(ground: &Ground, config: &Path, eyes: Eyes) -> Pmtr {
    let copy = ground.aside.join("pmtr");
    assert!(Command::new("cp").arg(program()).arg(&copy).status().unwrap().success());
    let limit = |what: &str, n: u32| format!("echo {n} > /proc/sys/user/{what} && exec \"$@\"");
    let script = match eyes {
        Eyes::Inotify | Eyes::NoLease => None,
        Eyes::Polling => Some(limit("max_inotify_instances", 0)),
        Eyes::FewWatches => Some(limit("max_inotify_watches", 5)),
    };
    let mut words: Vec<String> = Vec::new();
    if let Some(script) = script {
        words.extend(["unshare", "--user", "--map-root-user", "/bin/sh", "-c"].map(String::from));
        words.extend([script, "sh".into()]);
    }
    words.extend(
        std::env::var("PMTR_RUNNER").unwrap_or_default().split_whitespace().map(String::from),
    );
    words.push(copy.to_str().unwrap().into());
    let state = ground.aside.join("state");
    fs::create_dir(&state).unwrap();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["-F", "-v", "-I", "-c"]).arg(config);
    command.arg("--log-socket").arg(ground.aside.join("none")).arg("--state-dir").arg(&state);
    if eyes == Eyes::NoLease {
        chown(&state, Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
    }
    let log = File::create(ground.aside.join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
    Pmtr(command.spawn().unwrap())
}

fn wait_for_start(log: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !fs::read_to_string(log).unwrap_or_default().contains("started job b") {
        assert!(Instant::now() < deadline, "no start: {}", fs::read_to_string(log).unwrap());
        sleep(Duration::from_millis(2));
    }
}

/// Waits until pmtr runs what the paths hold.
fn check(log: &Path, life: &Life, seconds: f64) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    let (names, digest) = life.wanted();
    let dep = life.dep().to_str().unwrap().to_string();
    loop {
        let is_over = Instant::now() > deadline;
        let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        let said = truth::read(&text, &dep, &life.finished)?;
        if said.running == names && said.last_digest == Some(digest) && said.is_d_running {
            return Ok(());
        }
        if is_over {
            return Err(format!(
                "after {seconds} s {:?} run, not {names:?}; {:?} is the digest, not {digest:016x}; d runs: {}",
                said.running, said.last_digest, said.is_d_running
            ));
        }
        sleep(Duration::from_millis(5));
    }
}
