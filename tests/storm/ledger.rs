//! What each job notes down of its runs, so that it is known what it wrote even if it was
//! killed: before a line, and behind it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

const ROW_BYTES: usize = 24;

/// One run of a job. Of a line that was begun and not done nobody knows whether it was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub pid: u64,
    pub begun: u64,
    pub done: u64,
}

/// The ledger of a job, as its running process has it.
pub struct Ledger {
    file: Flock<File>,
    /// Which run this is, from 0.
    pub run: u64,
    row: Run,
}

fn path(dir: &Path, job: u64) -> PathBuf {
    dir.join("ledgers").join(job.to_string())
}

/// Makes empty ledgers that jobs of any user can write to.
pub fn create(dir: &Path, jobs: u64) {
    fs::create_dir(dir.join("ledgers")).expect("a directory");
    let doubles = dir.join("doubles");
    for path in (0..jobs).map(|job| path(dir, job)).chain([doubles]) {
        File::create(&path).expect("a ledger");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
    }
}

/// All runs of a job.
pub fn read(dir: &Path, job: u64) -> Vec<Run> {
    let bytes = fs::read(path(dir, job)).expect("a ledger");
    let number = |row: &[u8], n: usize| u64::from_ne_bytes(row[8 * n..][..8].try_into().unwrap());
    let rows = bytes.chunks_exact(ROW_BYTES);
    rows.map(|row| Run { pid: number(row, 0), begun: number(row, 1), done: number(row, 2) })
        .collect()
}

impl Ledger {
    /// Begins a run. A job that runs already is told of in the file `doubles`.
    pub fn begin(dir: &Path, job: u64) -> Ledger {
        let open = || OpenOptions::new().read(true).write(true).open(path(dir, job));
        let file = match Flock::lock(open().expect("a ledger"), FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((file, _)) => {
                let mut doubles =
                    OpenOptions::new().append(true).open(dir.join("doubles")).unwrap();
                writeln!(doubles, "job {job}").unwrap();
                Flock::lock(file, FlockArg::LockExclusive).expect("a lock")
            }
        };
        let run = file.metadata().expect("a ledger").len() / ROW_BYTES as u64;
        let row = Run { pid: std::process::id().into(), begun: 0, done: 0 };
        let ledger = Ledger { file, run, row };
        ledger.save();
        ledger
    }

    /// The number of the next line, which is about to be written.
    pub fn next(&mut self) -> u64 {
        self.row.begun += 1;
        self.save();
        self.row.begun
    }

    /// The line is written.
    pub fn done(&mut self) {
        self.row.done = self.row.begun;
        self.save();
    }

    /// In one call: a job that is killed has saved it, or not.
    fn save(&self) {
        let numbers = [self.row.pid, self.row.begun, self.row.done].map(u64::to_ne_bytes);
        self.file.write_all_at(&numbers.concat(), self.run * ROW_BYTES as u64).expect("a ledger");
    }
}
