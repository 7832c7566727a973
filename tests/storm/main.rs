//! A storm on the real program: jobs that crash, flood the log, hear no signal, stop themselves,
//! run as others and save other configurations, while the log stalls. When it is over nothing
//! is leaked, left behind, lost or doubled, and every byte that a job wrote is accounted for.
//!
//! This is two programs: the test, and what it has as jobs.
//!
//! | variable | meaning |
//! |---|---|
//! | `PMTR_STORM_JOBS` | how many jobs there are; default: 24 |
//! | `PMTR_STORM_SECS` | for how long; default: 8 |
//! | `PMTR_STORM_SEED` | what the test itself does follows from it; default: 1 |

mod account;
#[path = "../common/again.rs"]
mod again;
#[path = "../common/mod.rs"]
mod common;
mod config;
#[path = "../sim/dice.rs"]
mod dice;
mod job;
mod ledger;
mod receiver;
mod text;

use std::env;
use std::fs;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use account::{Account, Balance};
use common::process::{self, children_of, descriptors, send};
use common::{alive, emulated, patiently, World};
use config::Plan;
use dice::Dice;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use receiver::Receiver;

const NAME: &str = "after_a_storm_nothing_is_leaked_left_behind_lost_or_doubled";

/// What the memory of pmtr may grow by in the second half of a storm: pages of its fixed tables that
/// are touched late.
const MORE_KB: u64 = 128;

/// How long it may take until all is calm.
const CALM: u64 = 120;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("job") => job::main(&words[2..]),
        _ => common::run_alone(NAME, storm),
    }
}

fn storm() {
    if !runs_here() {
        return eprintln!("skipped: {NAME}: its jobs are of another processor than this machine's");
    }
    let mut scene = Scene::new();
    scene.start();
    let descriptors = scene.descriptors();
    scene.save(&scene.plan.storm(0));
    scene.rage(0.5);
    let memory = scene.memory();
    scene.rage(0.5);
    scene.calm_down();
    let with_jobs = descriptors + scene.jobs as usize;
    patiently(CALM, "a pipe for each job", || (scene.descriptors() == with_jobs).then_some(()));
    let later = scene.memory();
    eprintln!("descriptors: {descriptors}, {with_jobs} with all jobs");
    eprintln!("anonymous memory, and of that the heap: {memory:?} kB, {later:?} kB later");
    scene.save("");
    patiently(CALM, "the end of all jobs, no zombie either", || {
        children_of(scene.pid()).is_empty().then_some(())
    });
    patiently(CALM, "no descriptor too many", || {
        (scene.descriptors() == descriptors).then_some(())
    });
    if let (Some(memory), Some(later)) = (memory, later) {
        assert!(later.0 <= memory.0 + MORE_KB, "{memory:?} kB, and {later:?} kB later");
        assert_eq!(later.1, memory.1, "kB of heap");
    }
    let account = scene.end();
    scene.settle(account);
}

/// Whether this program can be a job here: what an emulator has started may need it.
fn runs_here() -> bool {
    let program = env::current_exe().expect("a path");
    let no_test = Command::new(program).arg("another-test").stdout(Stdio::null()).status();
    no_test.is_ok_and(|status| status.success())
}

/// Which job a process is, if it does nothing.
fn quiet(pid: i32) -> Option<u64> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let job = process::words(pid).iter().rev().nth(1)?.parse().ok();
    job.filter(|_| name.trim_end() == job::QUIET)
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().expect(variable))
}

struct Scene {
    world: World,
    plan: Plan,
    jobs: u64,
    dice: Dice,
    secs: u64,
    receiver: Option<Receiver>,
    pmtr: Option<Child>,
}

impl Scene {
    fn new() -> Scene {
        let (jobs, secs) = (number("PMTR_STORM_JOBS", 24), number("PMTR_STORM_SECS", 8));
        let seed = number("PMTR_STORM_SEED", 1);
        eprintln!("{jobs} jobs, {secs} s, seed {seed}");
        let world = World::new();
        // Where this program was built others may not get in.
        let program = env::current_exe().expect("a path");
        let copied = Command::new("cp").arg(program).arg(world.path("storm")).status();
        assert!(copied.expect("cp").success());
        let plan = Plan::here(world.dir(), jobs);
        ledger::create(world.dir(), jobs);
        let receiver = Some(Receiver::at(&world.path("storm.log")));
        Scene { world, plan, jobs, secs, dice: Dice::new(seed), receiver, pmtr: None }
    }

    fn start(&mut self) {
        self.world.config("");
        let stderr = fs::File::create(self.world.path("stderr")).expect("a file");
        let mut command = self.world.command(&["-F", "-c"]);
        command.arg(self.plan.file()).arg("--log-socket").arg(self.world.path("storm.log"));
        command.arg("--state-dir").arg(self.world.path("state"));
        self.pmtr = Some(command.stdout(Stdio::null()).stderr(stderr).spawn().expect("pmtr"));
        let is_up = || self.world.stderr().contains("pmtr: starting").then_some(());
        patiently(CALM, "the start", is_up);
    }

    /// The jobs do what they are for, and this lets nothing be.
    fn rage(&mut self, share: f64) {
        let end = Instant::now() + Duration::from_secs(self.secs).mul_f64(share);
        while Instant::now() < end {
            match self.dice.below(10) {
                0..=2 => self.stall(),
                3..=6 => self.signal_a_job(),
                7 => send(self.pid(), Signal::SIGHUP),
                _ => {}
            }
            sleep(Duration::from_millis(self.dice.below(200)));
        }
        assert!(alive(self.pid()), "pmtr is gone: {}", self.world.stderr());
    }

    fn stall(&mut self) {
        let millis = self.dice.below(800);
        self.receiver.as_ref().expect("a receiver").stall(millis);
    }

    fn signal_a_job(&mut self) {
        use Signal::{SIGABRT, SIGCONT, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM};
        let jobs = children_of(self.pid());
        if jobs.is_empty() {
            return;
        }
        let job = self.dice.pick(&jobs);
        let signals = [SIGCONT, SIGKILL, SIGSTOP, SIGTERM, SIGABRT, SIGSEGV];
        // Of the last two QEMU would tell in the job's output.
        let signal = self.dice.pick(&signals[..if emulated() { 4 } else { 6 }]);
        // It may be gone, and nobody else can have its number so soon.
        let _ = kill(Pid::from_raw(job), signal);
    }

    /// Ends all jobs once more, and waits until each of them runs, once.
    fn calm_down(&mut self) {
        config::end_storm(self.world.dir());
        self.save(&self.plan.calm());
        for job in children_of(self.pid()) {
            // It may be gone already.
            let _ = kill(Pid::from_raw(job), Signal::SIGKILL);
        }
        patiently(CALM, "every job once, and nothing else", || {
            let mut quiet: Vec<_> = children_of(self.pid()).into_iter().filter_map(quiet).collect();
            quiet.sort_unstable();
            let only = self.world.processes().len() == quiet.len() + 1;
            (only && quiet.into_iter().eq(0..self.jobs)).then_some(())
        });
    }

    /// Stops pmtr; returns what it logged.
    fn end(&mut self) -> Account {
        let mut pmtr = self.pmtr.take().expect("a pmtr");
        send(pmtr.id() as i32, Signal::SIGTERM);
        let status = patiently(CALM, "the end", || pmtr.try_wait().expect("waiting"));
        assert_eq!(status.code(), Some(0));
        assert_eq!(self.world.processes(), []);
        assert_eq!(self.world.read("doubles"), "", "jobs that ran twice");
        self.receiver.take().expect("a receiver").end()
    }

    /// Holds what went in against what came out.
    fn settle(&self, mut account: Account) {
        let mut balance = Balance::default();
        let mut unknown = 0;
        for job in 0..self.jobs {
            let runs = ledger::read(self.world.dir(), job);
            account.settle(job, Plan::drops(job), &runs, &mut balance);
            for run in &runs {
                let started = account.started.get_mut(&(job, run.pid)).filter(|n| **n > 0);
                match started {
                    Some(count) => *count -= 1,
                    None => unknown += 1,
                }
            }
        }
        eprintln!("{} records, {} of pmtr's own lost; {balance:?}", account.records, account.lost);
        assert!(account.is_settled(), "more was logged than written");
        assert!(unknown <= account.lost, "{unknown} starts without a word, {}", account.lost);
        assert!(balance.runs >= self.jobs && balance.logged > 0);
        assert_eq!(balance.written, balance.logged + balance.dropped);
    }

    fn save(&self, text: &str) {
        let draft = self.world.file("draft", text);
        fs::rename(draft, self.plan.file()).expect("rename");
    }

    fn pid(&self) -> i32 {
        self.pmtr.as_ref().expect("a pmtr").id() as i32
    }

    fn descriptors(&self) -> usize {
        descriptors(self.pid()).len()
    }

    /// The anonymous memory in kB (proc_pid_smaps(5)), all of it and that of the heap; an
    /// emulator's own says nothing.
    fn memory(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(format!("/proc/{}/smaps", self.pid()));
        let text = text.ok().filter(|_| !emulated())?;
        let (mut all, mut heap, mut is_heap) = (0, 0, false);
        for line in text.lines() {
            if let Some(size) = line.strip_prefix("Anonymous:") {
                let size = size.trim_end_matches("kB").trim().parse::<u64>().expect("kB");
                (all, heap) = (all + size, heap + if is_heap { size } else { 0 });
            } else if line.contains('-') {
                is_heap = line.ends_with("[heap]");
            }
        }
        Some((all, heap))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut pmtr) = self.pmtr.take() {
            // It may be gone already.
            let _ = pmtr.kill();
            let _ = pmtr.wait();
        }
    }
}
