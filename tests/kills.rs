//! pmtr is killed at random moments, again and again: after each new start every
//! job runs exactly once, and nothing of the old ones is left.
//!
//! Every job holds a lock as long as a process of it lives, and leaves a note
//! where it finds it held: so it is seen as well if two of it run for a moment.
//!
//! | variable | meaning |
//! |---|---|
//! | `PMTR_KILLS` | how many times it is killed; default: 10 |
//! | `PMTR_KILLS_SEED` | what all moments and edits follow from; default: 1 |
//! | `PMTR_KILLS_WORLDS` | how many are killed side by side; default: 2 |

mod common;
#[path = "sim/dice.rs"]
mod dice;

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::process::{self, environment, send};
use common::{job, stretched, World};
use dice::Dice;
use nix::sys::signal::Signal;

/// How long it may take until all is as it should be: a leftover that does not
/// hear SIGTERM has ten seconds alone.
const SETTLED: u64 = 60;

const JOB: &str = "\
    exec 9>$DIR/lock.$JOB\n\
    flock -n 9 || echo $JOB >>$DIR/doubles\n\
    case $1 in\n\
    plain) exec sleep 1000;;\n\
    family) sleep 1000 & exec sleep 1000;;\n\
    slow) trap 'sleep 0.05; exit' TERM; sleep 1000 & wait;;\n\
    deaf) trap '' TERM; sleep 1000; exit;;\n\
    crash) exit 1;;\n\
    esac";

/// When pmtr is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Start,
    Rest,
    Reload,
    Stop,
    CrashStorm,
}

impl Moment {
    /// Within how many microseconds after it has begun.
    fn span(self) -> u64 {
        match self {
            Moment::Start => 60_000,
            Moment::Rest => 20_000,
            Moment::Reload => 60_000,
            Moment::Stop => 120_000,
            Moment::CrashStorm => 80_000,
        }
    }
}

#[test]
fn whenever_pmtr_is_killed_every_job_runs_exactly_once_afterwards() {
    let name = "whenever_pmtr_is_killed_every_job_runs_exactly_once_afterwards";
    if Command::new("flock").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: {name}: needs flock");
        return;
    }
    let (kills, worlds) = (number("PMTR_KILLS", 10), number("PMTR_KILLS_WORLDS", 2));
    let seed = number("PMTR_KILLS_SEED", 1);
    eprintln!("{kills} kills in {worlds} worlds, seed {seed}");
    let share = move |n: u64| kills / worlds + u64::from(n < kills % worlds);
    let scenes = (0..worlds).map(|n| thread::spawn(move || Scene::new(seed + n).run(share(n))));
    let scenes: Vec<_> = scenes.collect();
    let mut all = BTreeMap::new();
    for scene in scenes {
        for (moment, count) in scene.join().expect("a world without a fault") {
            *all.entry(moment).or_insert(0) += count;
        }
    }
    eprintln!("killed: {all:?}");
    assert_eq!(all.values().sum::<u64>(), kills);
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().expect(variable))
}

/// A world, and what is known of it.
struct Scene {
    world: World,
    dice: Dice,
    seed: u64,
    /// How many configurations there were.
    edits: u64,
    /// The jobs of the present one, with how many processes each has.
    jobs: BTreeMap<String, usize>,
    killed: BTreeMap<Moment, u64>,
    /// The moments, for who has to find out about a fault.
    told: Vec<String>,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let (world, dice) = (World::new(), Dice::new(seed));
        world.script("job", JOB);
        let (jobs, killed) = (BTreeMap::new(), BTreeMap::new());
        Scene { world, dice, seed, edits: 0, jobs, killed, told: Vec::new() }
    }

    fn run(mut self, kills: u64) -> BTreeMap<Moment, u64> {
        for round in 0..kills {
            self.edit(0);
            let at_start = self.dice.percent(30);
            let moment = if at_start { self.begin_start() } else { self.begin_anything() };
            let micros = self.dice.below(moment.span());
            thread::sleep(Duration::from_micros(micros));
            self.told.push(format!("{round}: {moment:?} after {micros} us"));
            self.world.kill();
            *self.killed.entry(moment).or_insert(0) += 1;
        }
        self.edit(0);
        self.world.start_silently();
        self.settle();
        assert_eq!(self.world.stop(), Some(0));
        assert_eq!(self.world.processes(), []);
        std::mem::take(&mut self.killed)
    }

    /// A start that does not come to its end, or just so.
    fn begin_start(&mut self) -> Moment {
        self.world.start_silently();
        Moment::Start
    }

    /// A start, and when all is as it should be whatever else there is.
    fn begin_anything(&mut self) -> Moment {
        use Moment::{CrashStorm, Reload, Rest, Stop};
        let moment = self.dice.pick(&[Rest, Reload, Reload, Stop, CrashStorm]);
        // What may end by itself has to be a child of this process: its number stays its own.
        // And the command of a daemon returns only when all that does not hear SIGTERM is gone.
        let may_be_daemon = moment != Stop && self.world.processes_with("deaf").is_empty();
        match may_be_daemon && self.dice.percent(25) {
            true => self.world.start_daemon(),
            false => self.world.start_silently(),
        }
        self.settle();
        match moment {
            Reload => self.edit(0),
            Stop => send(self.world.pid(), Signal::SIGTERM),
            CrashStorm => self.edit(12),
            Rest | Moment::Start => {}
        }
        moment
    }

    /// Saves a configuration in which some jobs are new, some changed, and some as they were.
    fn edit(&mut self, crashing: usize) {
        self.edits += 1;
        self.jobs.clear();
        let mut text = String::new();
        for (n, (kind, processes)) in KINDS.into_iter().enumerate() {
            let variant = self.dice.below(2);
            text += &block(&format!("{kind}{n}"), kind, variant);
            self.jobs.insert(format!("{kind}{n}"), processes);
        }
        for (kind, processes, percent) in [("plain", 1, 50), ("deaf", 2, 1)] {
            if self.dice.percent(percent) {
                let name = format!("{kind}-{}", self.edits);
                text += &block(&name, kind, 0);
                self.jobs.insert(name, processes);
            }
        }
        for n in 0..crashing {
            text += &block(&format!("crash-{}-{n}", self.edits), "crash", 0);
        }
        self.world.config(&text);
    }

    /// Waits until there are one pmtr and one of each job, and nothing else; no job may have
    /// run twice meanwhile.
    fn settle(&mut self) {
        let began = Instant::now();
        let mut in_order = 0;
        // For a moment of execve(2) a process cannot be told from others: once is not enough.
        while in_order < 2 {
            let seen = self.seen();
            in_order = if seen == self.expected() { in_order + 1 } else { 0 };
            let took = began.elapsed();
            assert!(took < stretched(SETTLED), "seen {seen:?}\nand not {:?}", self.expected());
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.world.read("doubles"), "", "run twice");
    }

    /// What runs: names, how many processes each has, and how many of these are
    /// children of pmtr that began a session.
    fn seen(&self) -> BTreeMap<String, (usize, usize)> {
        let mut seen = BTreeMap::new();
        for pid in self.world.processes() {
            let strings = environment(pid);
            let name = strings.iter().find_map(|string| string.strip_prefix("JOB="));
            let entry = seen.entry(name.unwrap_or("pmtr").to_string()).or_insert((0, 0));
            entry.0 += 1;
            let of_pmtr = stat(pid, 4) == Some(self.world.pid()) && stat(pid, 6) == Some(pid);
            entry.1 += usize::from(of_pmtr && name.is_some());
        }
        seen
    }

    fn expected(&self) -> BTreeMap<String, (usize, usize)> {
        let jobs = self.jobs.iter().map(|(name, processes)| (name.clone(), (*processes, 1)));
        jobs.chain([("pmtr".to_string(), (1, 0))]).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            let last = self.told.len().saturating_sub(5);
            eprintln!("seed {}, the last kills: {:#?}", self.seed, &self.told[last..]);
        }
    }
}

/// The jobs that are always there, and how many processes each has.
const KINDS: [(&str, usize); 4] = [("plain", 1), ("family", 2), ("slow", 2), ("plain", 1)];

fn block(name: &str, kind: &str, variant: u64) -> String {
    job(name, &format!("env JOB={name}\n  env VARIANT={variant}\n  cmd $DIR/job {kind}"))
}

/// A number of /proc/PID/stat; none if the process is gone.
fn stat(pid: i32, field: usize) -> Option<i32> {
    process::stat(pid, field)?.parse().ok()
}
