//! Every sentence that the supervisor puts into the log, as a value.
//!
//! People search their logs for these words: those of the original are kept
//! (compat.md, "Logging").

use core::fmt;
use core::time::Duration;

use crate::config::JobView;
use crate::name::{Lossy, Name};
use crate::supervise::{Errno, ExitStatus, Stage};

/// The error of reading a directory as a file (errno(3)); the same on every processor.
const EISDIR: i32 = 21;

/// Something worth telling.
pub(super) enum Notice<'a> {
    Started { name: Name, pid: i32 },
    Pausing { name: Name },
    Finished { name: Name },
    Background { name: Name },
    Exited { name: Name, pid: i32, lived: Duration, status: ExitStatus },
    SendingTerm { name: Name, pid: i32 },
    SendingKill { name: Name, pid: i32 },
    Undead { name: Name, pid: i32 },
    SendingTermToRest { name: Name, sid: i32 },
    SendingKillToRest { name: Name, sid: i32 },
    SessionUndead { name: Name, sid: i32 },
    CannotSpawn { name: Name, errno: Errno },
    CannotExec { name: Name, stage: Stage, errno: Errno, spec: Option<JobView<'a>> },
    DependsMissing { name: Name, path: &'a [u8], errno: Errno },
    DependsChanged { name: Name },
    Bouncing { name: Name },
    Yielding { name: Name, other: Name },
    Enabling { name: Name },
    Disabling { name: Name },
    Leaving { signal: i32 },
}

impl Notice<'_> {
    /// Hands the sentence to the log facade.
    pub(super) fn log(&self) {
        log::log!(target: "pmtr", self.level(), "{self}");
    }

    fn level(&self) -> log::Level {
        match self {
            Notice::Started { .. } | Notice::Pausing { .. } | Notice::Finished { .. } => {
                log::Level::Info
            }
            Notice::Exited { .. } | Notice::SendingTerm { .. } | Notice::SendingKill { .. } => {
                log::Level::Info
            }
            Notice::SendingTermToRest { .. } | Notice::SendingKillToRest { .. } => log::Level::Info,
            Notice::DependsChanged { .. } | Notice::Bouncing { .. } => log::Level::Info,
            Notice::Yielding { .. } => log::Level::Info,
            Notice::Enabling { .. } | Notice::Disabling { .. } | Notice::Leaving { .. } => {
                log::Level::Info
            }
            Notice::Undead { .. } | Notice::SessionUndead { .. } => log::Level::Warn,
            Notice::Background { .. } => log::Level::Warn,
            Notice::DependsMissing { .. } => log::Level::Warn,
            Notice::CannotSpawn { .. } | Notice::CannotExec { .. } => log::Level::Error,
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Started { name, pid } => write!(f, "started job {name} [{pid}]"),
            Notice::Pausing { name } => write!(f, "pausing for job {name} to finish"),
            Notice::Finished { name } => write!(f, "job {name} finished"),
            Notice::Background { name } => {
                write!(f, "job {name} has ended with status 0 within a second, again and again: ")?;
                f.write_str("if it goes into the background, have it stay in the foreground ")?;
                f.write_str(
                    "(often -f, -F, -D or --foreground); if it has done its work, add 'once'",
                )
            }
            Notice::Exited { name, pid, lived, status } => {
                write!(f, "job {name} [{pid}] exited after {} sec: {status}", lived.as_secs())
            }
            Notice::SendingTerm { name, pid } => write!(f, "sending SIGTERM to job {name} [{pid}]"),
            Notice::SendingKill { name, pid } => write!(f, "sending SIGKILL to job {name} [{pid}]"),
            Notice::Undead { name, pid } => {
                write!(f, "job {name} [{pid}] is still there after SIGKILL")
            }
            Notice::SendingTermToRest { name, sid } => {
                write!(f, "sending SIGTERM to what is left of job {name} [{sid}]")
            }
            Notice::SendingKillToRest { name, sid } => {
                write!(f, "sending SIGKILL to what is left of job {name} [{sid}]")
            }
            Notice::SessionUndead { name, sid } => {
                write!(f, "job {name}: processes of session {sid} are still there after SIGKILL")
            }
            Notice::Yielding { name, other } => {
                write!(
                    f,
                    "job {name} waits for the end of job {other}, which runs the same program"
                )
            }
            Notice::CannotSpawn { name, errno } => {
                write!(f, "job {name}: cannot create a process: {errno}; trying every second")
            }
            Notice::CannotExec { name, stage, errno, spec } => {
                write!(f, "job {name}: {}: {errno}", Step { stage: *stage, spec: *spec })
            }
            Notice::DependsMissing { name, path, errno } => {
                write!(f, "job {name}: depends on {}: {errno}", Lossy(path))?;
                let is_directory = errno.code == EISDIR;
                f.write_str(if is_directory { "; name the files in it" } else { "" })
            }
            Notice::DependsChanged { name } => {
                write!(f, "job {name}: a file that it depends on has changed")
            }
            Notice::Bouncing { name } => write!(f, "bouncing job {name}"),
            Notice::Enabling { name } => write!(f, "enabling {name}"),
            Notice::Disabling { name } => write!(f, "disabling {name}"),
            Notice::Leaving { signal } => write!(f, "pmtr: exiting on signal {signal}"),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "exit status {code}"),
            ExitStatus::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The kernel's words, as perror(3) has them.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A step between fork and exec with what it was about, as far as the job says.
struct Step<'a> {
    stage: Stage,
    spec: Option<JobView<'a>>,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Session => "creating a session",
            Stage::Signals => "resetting signals",
            Stage::User => "looking up user",
            Stage::Group => "looking up group",
            Stage::Ulimit => "setting ulimit",
            Stage::Nice => "setting nice",
            Stage::Cpu => "setting cpu affinity",
            Stage::Dir => "changing directory to",
            Stage::Keyring => "joining a session keyring for user",
            Stage::Groups => "setting groups of user",
            Stage::Gid => "setting group id of user",
            Stage::Uid => "setting user id of user",
            Stage::Capabilities => "dropping capabilities for user",
            Stage::Stdin => "opening in",
            Stage::Out => "opening out",
            Stage::Err => "opening err",
            Stage::Env => "setting env",
            Stage::Exec => "executing",
        })?;
        let about = self.spec.and_then(|spec| subject(self.stage, spec));
        about.map_or(Ok(()), |about| write!(f, " {}", Lossy(about)))
    }
}

/// What a stage was about: a path or a user.
fn subject(stage: Stage, spec: JobView<'_>) -> Option<&[u8]> {
    let text = match stage {
        Stage::User | Stage::Keyring | Stage::Groups => spec.user(),
        Stage::Gid | Stage::Uid | Stage::Capabilities => spec.user(),
        Stage::Group => spec.group(),
        Stage::Dir => spec.dir(),
        Stage::Stdin => spec.stdin(),
        Stage::Out => spec.out(),
        Stage::Err => spec.err(),
        Stage::Exec => Some(spec.program()),
        Stage::Session | Stage::Signals | Stage::Ulimit | Stage::Nice => None,
        Stage::Cpu | Stage::Env => None,
    };
    text.map(core::ffi::CStr::to_bytes)
}
