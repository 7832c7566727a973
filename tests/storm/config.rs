//! The configurations of the storm, and who may save one.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use crate::again::on_target;
use crate::dice::Dice;
use crate::job::Kind;

/// What all configurations of a storm have in common.
pub struct Plan {
    dir: PathBuf,
    jobs: u64,
    is_root: bool,
    program: String,
}

impl Plan {
    /// The plan of the storm in a directory, which has this program in it.
    pub fn here(dir: &Path, jobs: u64) -> Plan {
        let words = on_target(&dir.join("storm"));
        let words: Vec<_> = words.iter().map(|word| word.to_str().expect("text")).collect();
        let program = match words[..] {
            [program] => program.to_string(),
            // An emulator is found where the shell would.
            _ => format!("/usr/bin/env {}", words.join(" ")),
        };
        Plan { dir: dir.to_path_buf(), jobs, is_root: geteuid().is_root(), program }
    }

    pub fn file(&self) -> PathBuf {
        self.dir.join("pmtr.conf")
    }

    /// Is this job's output dropped when the log does not take it? The same in all.
    pub fn drops(job: u64) -> bool {
        job % 2 == 1
    }

    /// All jobs, a few of them changed or disabled by the seed.
    pub fn storm(&self, seed: u64) -> String {
        let mut dice = Dice::new(seed);
        let job = |job| {
            let mut lines = self.job(job, kind_of(job));
            lines += &variant(if dice.percent(4) { seed } else { 0 });
            lines += if dice.percent(2) { "  disable\n" } else { "" };
            lines += if dice.percent(2) { "  bounce every 3s\n" } else { "" };
            lines + "}\n"
        };
        (0..self.jobs).map(job).chain([String::from(MISSING)]).collect()
    }

    /// All jobs, as most of them are most of the time.
    pub fn calm(&self) -> String {
        (0..self.jobs).map(|job| self.job(job, kind_of(job)) + &variant(0) + "}\n").collect()
    }

    /// The block of a job, but for its end.
    fn job(&self, job: u64, kind: Kind) -> String {
        let (program, dir, jobs) = (&self.program, self.dir.display(), self.jobs);
        let mut lines = format!("job {{\n  name j{job}\n");
        lines += &format!("  cmd {program} job {dir} {kind:?} {job} {jobs}\n");
        let is_someone_else = self.is_root && job % 5 == 3 && kind != Kind::Editor;
        lines += if is_someone_else { "  user nobody\n" } else { "" };
        lines += if Plan::drops(job) { "  log drop\n" } else { "" };
        lines
    }
}

fn variant(number: u64) -> String {
    format!("  env VARIANT={number}\n")
}

/// One that never starts.
const MISSING: &str = "job {\n  name missing\n  cmd /no/such/program\n}\n";

fn kind_of(job: u64) -> Kind {
    use Kind::{Crash, Deaf, Editor, Family, Flood, Frozen, Steady};
    // Odd and even ones of all that write much: odd ones have `log drop`.
    match job {
        0 | 1 => Editor,
        _ => {
            [Flood, Flood, Crash, Crash, Steady, Family, Flood, Flood, Deaf, Steady, Crash, Frozen]
                [job as usize % 12]
        }
    }
}

/// The right to save a configuration; nobody has it any more once it is calm.
pub fn may_edit(dir: &Path) -> Option<Flock<File>> {
    let lock = lock(dir);
    (!is_calm(dir)).then_some(lock)
}

/// From now on the jobs change nothing, and those that start do nothing.
pub fn end_storm(dir: &Path) {
    let _lock = lock(dir);
    File::create(dir.join("calm")).expect("a file");
}

pub fn is_calm(dir: &Path) -> bool {
    dir.join("calm").exists()
}

fn lock(dir: &Path) -> Flock<File> {
    let file = File::create(dir.join("edits")).expect("a file");
    Flock::lock(file, FlockArg::LockExclusive).expect("a lock")
}
