//! One state file for each configuration, where several may have the same path.
//!
//! Containers that share a state directory have a /etc/pmtr.conf each. Who comes second finds the
//! file of that path locked by a pmtr of another PID namespace, or of the same one with another
//! root directory, and takes the next one of [`CANDIDATES`]. A pmtr that runs the same
//! configuration is found whichever of them it has.

use super::super::daemon::is_process_one;
use super::super::lock::{holder, lock, Lock};
use super::super::stat::stat;
use super::super::std::os::fd::{AsFd, OwnedFd};
use super::super::std::os::unix::ffi::OsStrExt;
use super::super::std::{format, path::Path, prelude::v1::*, thread};
use super::super::tell;
use super::here::{beginning, ProcPath, PROC_BYTES};
use super::place::{Place, StateFile, Warning, Why};
use super::{blocks, header};
use crate::state::{Era, Record};
use core::time::Duration;
use nix::errno::Errno;
use nix::fcntl::OFlag;

/// How many state files a path of a configuration can have.
const CANDIDATES: usize = 16;

/// How long a file that is missing is left to a pmtr that may have had it, and is about to make it again: some
/// times as long as [`keep`](super::keep) takes. Process 1 is the first of its namespace.
const HEAD_START: Duration = Duration::from_millis(50);

/// How often it is tried again because somebody else was faster.
const TRIES: usize = 10;

/// What came of asking for a state file.
pub(super) enum Claim {
    /// It is locked.
    Taken(StateFile),
    /// The configuration runs already.
    Held {
        /// Its pmtr.
        pid: i32,
    },
}

/// Asks for the state file called `base` in `place` for the configuration at `config`, now in `era`.
pub(super) fn claim(
    place: &Place,
    base: &str,
    config: &Path,
    era: Option<&Era>,
) -> Result<Claim, Warning> {
    let dir = place.open().map_err(|why| place.unusable(why))?;
    let (mut why, mut is_early) = (Why::Crowded, true);
    for _ in 0..TRIES {
        let mut file = match choose(place, &dir, base, config, era)? {
            Choice::Held { pid } => return Ok(Claim::Held { pid }),
            Choice::File(Worth::Blank, _) if is_early && !is_process_one() => {
                is_early = false;
                thread::sleep(HEAD_START);
                continue;
            }
            Choice::File(_, file) => file,
        };
        let opened = file.open(&dir, OFlag::O_CREAT).map_err(|why| file.unusable(why))?;
        match lock(opened.as_fd()) {
            Lock::Taken if file.leads_to(&opened).unwrap_or(true) => {
                file.fd = Some(opened);
                return Ok(Claim::Taken(file));
            }
            // Removed just now.
            Lock::Taken => {}
            Lock::Held { pid } => why = Why::Held { pid },
            Lock::Impossible(errno) => return Err(file.unusable(Why::Failed(errno))),
        }
    }
    Err(place.unusable(why))
}

enum Choice {
    Held { pid: i32 },
    File(Worth, StateFile),
}

/// Looks at all candidates. The best is one that a pmtr of this era had before, then one that means nothing any more,
/// then one whose pmtr is gone, but not surely its era.
fn choose(
    place: &Place,
    dir: &OwnedFd,
    base: &str,
    config: &Path,
    era: Option<&Era>,
) -> Result<Choice, Warning> {
    let mut best: Option<(Worth, StateFile)> = None;
    for n in 1..=CANDIDATES {
        let file = place.file(&candidate(base, n));
        let worth = match file.open(dir, OFlag::empty()) {
            Ok(opened) => match holder(opened.as_fd()) {
                Some(pid) if is_same(pid, config) => return Ok(Choice::Held { pid }),
                Some(_) => continue,
                None => worth(&opened, era),
            },
            Err(Why::Failed(Errno::ENOENT)) => Worth::Blank,
            Err(why) if n == 1 => return Err(file.unusable(why)),
            Err(_) => continue,
        };
        if best.as_ref().map_or(true, |(most, _)| worth.rank() > most.rank()) {
            best = Some((worth, file));
        }
    }
    let (worth, file) = best.ok_or_else(|| place.unusable(Why::Crowded))?;
    if worth == Worth::Others {
        tell::warning!(
            "state file {}: jobs of a container are forgotten",
            file.path().to_string_lossy()
        );
    }
    Ok(Choice::File(worth, file))
}

fn candidate(base: &str, n: usize) -> String {
    match n {
        1 => format!("{base}.state"),
        _ => format!("{base}.{n}.state"),
    }
}

/// How good a file is that nobody has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// It has records of another namespace, which may go on.
    Others,
    /// It is not there, or nobody has written to it yet.
    Blank,
    /// It has nothing that is of use to anybody.
    Free,
    /// It is of this era.
    Ours,
}

impl Worth {
    /// Of the same rank the first one is taken.
    fn rank(self) -> u8 {
        match self {
            Worth::Others => 0,
            Worth::Blank | Worth::Free => 1,
            Worth::Ours => 2,
        }
    }
}

fn worth(file: &OwnedFd, era: Option<&Era>) -> Worth {
    let Some(header) = header(file) else { return Worth::Blank };
    // A namespace ends with its process 1.
    let is_over = header.pid == 1 || era.is_some_and(|era| header.era.is_over(era));
    if era == Some(&header.era) {
        Worth::Ours
    } else if is_over || Record::all(blocks(file), &header.era).next().is_none() {
        Worth::Free
    } else {
        Worth::Others
    }
}

/// Returns true if the pmtr `pid` runs the configuration at `config`: not if it is not of this PID namespace, or
/// if the same path leads it to another file. What cannot be seen is taken to be the same.
fn is_same(pid: i32, config: &Path) -> bool {
    pid > 0 && !is_of_nested_namespace(pid) && !has_another(pid, config)
}

/// NSpid of proc_pid_status(5): the ids in all namespaces from this one to the process's own.
fn is_of_nested_namespace(pid: i32) -> bool {
    let mut status = [0; PROC_BYTES];
    let path = ProcPath::new(pid, "status");
    let Some(status) = beginning(path.as_c_str(), &mut status) else { return false };
    let ids = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"));
    let ids = ids.and_then(|ids| core::str::from_utf8(ids).ok());
    ids.is_some_and(|ids| ids.split_ascii_whitespace().count() > 1)
}

fn has_another(pid: i32, config: &Path) -> bool {
    let path = config.as_os_str().as_bytes();
    let theirs = [format!("/proc/{pid}/root").as_bytes(), path].concat();
    match (stat(path), stat(&theirs[..])) {
        (Ok(ours), Ok(theirs)) => (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino),
        (Ok(_), Err(_)) | (Err(_), _) => false,
    }
}
