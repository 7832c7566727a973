//! The jobs of the storm: this program once more, with other arguments.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{exit, Child, Command};
use std::thread::sleep;
use std::time::Duration;

use nix::libc;
use nix::sys::prctl::set_name;
use nix::sys::signal::{raise, SigSet, Signal};

use crate::common::emulated;
use crate::config::{self, Plan};
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::text;

/// What a job does besides writing lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Steady,
    /// It exits, or ends itself by a signal.
    Crash,
    /// It writes more than the log takes.
    Flood,
    /// It does not hear SIGTERM, nor anything else.
    Deaf,
    /// It stops itself.
    Frozen,
    /// It has children that outlive it if it ends by itself; for a while, as nobody stops these.
    Family,
    /// It changes the configuration.
    Editor,
    /// Nothing, not even lines: what all become that start when it is calm.
    Quiet,
}

const KINDS: [Kind; 7] = {
    use Kind::*;
    [Steady, Crash, Flood, Deaf, Frozen, Family, Editor]
};

/// The name of a process of a job that does nothing (proc_pid_comm(5)).
pub const QUIET: &str = "quiet";

/// `DIR KIND JOB JOBS`
pub fn main(words: &[String]) -> ! {
    let [dir, kind, job, jobs] = words else { panic!("{words:?}") };
    let mut kind = KINDS.into_iter().find(|known| format!("{known:?}") == *kind).expect("a kind");
    let (job, jobs) = (job.parse().expect("a number"), jobs.parse().expect("a number"));
    let (dir, ledger) = (PathBuf::from(dir), Ledger::begin(Path::new(dir), job));
    let dice = Dice::new(job << 32 | ledger.run);
    if config::is_calm(&dir) {
        kind = Kind::Quiet;
        set_name(&CString::new(QUIET).unwrap()).expect("prctl");
    }
    Job { dir, kind, job, jobs, ledger, dice, children: Vec::new() }.run()
}

struct Job {
    dir: PathBuf,
    kind: Kind,
    job: u64,
    jobs: u64,
    ledger: Ledger,
    dice: Dice,
    children: Vec<Child>,
}

impl Job {
    fn run(&mut self) -> ! {
        self.prepare();
        loop {
            match self.kind {
                Kind::Quiet => sleep(Duration::from_secs(1000)),
                Kind::Flood => (0..self.dice.below(200)).for_each(|_| self.write()),
                Kind::Steady | Kind::Deaf | Kind::Family => self.write(),
                Kind::Crash => self.crash(),
                Kind::Frozen => self.freeze(),
                Kind::Editor => self.edit(),
            }
            sleep(Duration::from_millis(20 + self.dice.below(200)));
        }
    }

    fn prepare(&mut self) {
        match self.kind {
            Kind::Deaf => SigSet::all().thread_block().expect("sigprocmask"),
            Kind::Family => {
                let child = |_| Command::new("/bin/sleep").arg("5").spawn().expect("a child");
                self.children.extend((0..3).map(child));
            }
            Kind::Steady | Kind::Crash | Kind::Flood | Kind::Frozen => {}
            Kind::Editor | Kind::Quiet => {}
        }
    }

    /// A line, in one piece.
    fn write(&mut self) {
        let line = text::line(self.job, self.ledger.run, self.ledger.next());
        if std::io::stderr().write_all(&line).is_err() {
            // Whoever read it was killed.
            exit(1);
        }
        self.ledger.done();
    }

    fn crash(&mut self) {
        self.write();
        // Of other signals QEMU would tell in the job's output.
        match self.dice.below(12) {
            0 => exit(0),
            1 => exit(1),
            2 => raise(Signal::SIGKILL).expect("raise"),
            _ if emulated() => {}
            3 => std::process::abort(),
            4 => raise(Signal::SIGSEGV).expect("raise"),
            5 => {
                let pid = std::process::id() as libc::pid_t;
                // SAFETY: takes numbers. Of the real-time signals nix knows nothing.
                unsafe { libc::kill(pid, libc::SIGRTMIN() + 3) };
            }
            _ => {}
        }
    }

    fn freeze(&mut self) {
        self.write();
        if self.dice.percent(2) {
            raise(Signal::SIGSTOP).expect("raise");
        }
    }

    /// Saves another configuration, by one of the ways that people have.
    fn edit(&mut self) {
        self.write();
        sleep(Duration::from_millis(self.dice.below(2000)));
        let Some(_lock) = config::may_edit(&self.dir) else { return };
        let plan = Plan::here(&self.dir, self.jobs);
        let seed = self.dice.below(u32::MAX.into());
        let mut text = plan.storm(seed);
        if self.dice.percent(10) {
            text.truncate(self.dice.below(text.len() as u64) as usize);
        }
        if self.dice.percent(50) {
            let draft = self.dir.join(format!("draft-{}", self.job));
            fs::write(&draft, text).expect("a draft");
            fs::rename(draft, plan.file()).expect("rename");
        } else {
            fs::write(plan.file(), text).expect("the configuration");
        }
    }
}
