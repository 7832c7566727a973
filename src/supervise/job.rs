//! A job as the supervisor has it: what it is called, and the state that it is in.
//!
//! ```text
//!              its turn            Spawned            exits by itself
//!   Queued ──────────────► Starting ──────► Running ──────────────────► BackingOff ─► Starting
//!     ▲                        ▲              │ │ └── once, or status 33 ─► Idle(Done)
//!     │                        │              │ │ changed, bounced, disabled, removed, shutdown
//!     │ new definition         │ at once      │ ▼
//!     └───────────────── Clearing ◄───────────┴─ Stopping (SIGTERM, SIGKILL 10 s later)
//! ```
//!
//! `Clearing` is entered only if the first process has left others of its session behind.
//!
//! A job that cannot start because a file that it depends on cannot be read is
//! `Blocked` until it can, and `Yielding` until a removed job with the same program is gone. A
//! process that fails before its program runs is `Failing` until it is reaped. A row that holds no job is `Vacant`.
//!
//! Deadlines live inside the state that needs them: one of a state that was
//! left cannot fire.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::name::Name;
use crate::supervise::cooldown::Cooldown;
use crate::time::Instant;

/// How long a job must live to be restarted at once, and how long its restart
/// is put off otherwise (manual, "Job exits").
pub const RESTART_DELAY: Duration = Duration::from_secs(10);

/// How long after SIGTERM a job gets SIGKILL (compat.md, "Running").
pub const KILL_DELAY: Duration = Duration::from_secs(10);

/// How long after SIGKILL a process that is still there is told of; at a
/// shutdown it is not waited for any longer.
pub const TELL_DELAY: Duration = Duration::from_secs(10);

/// How long no start is tried after one for which there was no process.
pub const SPAWN_PAUSE: Duration = Duration::from_secs(1);

/// The delay between two checks whether a session is gone, after so many in one step: from 2 ms
/// on it doubles, up to 256 ms.
pub(super) fn check_delay(checks: u8) -> Duration {
    Duration::from_millis(2 << checks.min(7))
}

/// A row of the table.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) name: Name,
    pub(super) generation: u16,
    /// Its position in the live configuration; none once it was taken out.
    pub(super) spec: Option<u16>,
    /// Once it was taken out: a digest of its program.
    pub(super) leaves: Option<NonZeroU32>,
    pub(super) depends: Depends,
    /// How many runs in a row have ended as that of a program that goes into the background.
    pub(super) short_runs: u8,
    pub(super) cooldown: Cooldown,
    pub(super) state: State,
}

/// What is known of the files that a job depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depends {
    /// They were not looked at; also: there are none.
    Unknown,
    /// One of them could never be read.
    Missing,
    /// All can be read; the digest of their content.
    Readable(u64),
    /// One cannot be read any more; the digest from before.
    Lost(u64),
}

/// What a job is doing. There is one list of them: here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The row holds no job.
    Vacant,
    /// The job is not to run.
    Idle(Idle),
    /// It starts when its turn comes in the order of the configuration.
    Queued,
    /// It starts at a moment of its own.
    BackingOff { until: Instant },
    /// It starts when the files that it depends on can be read.
    Blocked { turn: Turn },
    /// It starts when the removed jobs that run its program are gone.
    Yielding,
    /// Its start was asked for.
    Starting { turn: Turn },
    /// It runs.
    Running { pid: i32, since: Instant, turn: Turn, bounce_at: Option<Instant> },
    /// Its process did not become its program, and is about to be reaped.
    Failing { pid: i32, since: Instant, turn: Turn },
    /// It was told to go.
    Stopping { pid: i32, since: Instant, turn: Turn, step: Step, then: Then },
    /// Its first process has ended; the rest of its session is being ended.
    Clearing { sid: i32, step: ClearStep, check_at: Instant, checks: u8, then: Then },
}

/// Why a job does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// It is disabled, by the file or by a control datagram.
    Disabled,
    /// It has run and is not to be restarted.
    Done,
}

/// Whether a job was started in the order of the configuration, where a `wait`
/// holds back the jobs behind it, or restarted on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    InOrder,
    Restart,
}

/// How far the stopping of a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// SIGTERM is to be sent now.
    Term,
    /// SIGTERM was sent; SIGKILL follows.
    Kill { at: Instant },
    /// SIGKILL was sent; a process that outlives it is told of.
    Tell { at: Instant },
    /// It was told of. The kernel ends the process when it can.
    Wait,
}

/// The progress of ending what the first process of a job has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClearStep {
    /// SIGTERM is to be sent now, or SIGKILL if its time has come.
    Term { kill_at: Instant },
    /// SIGTERM was sent; SIGKILL follows.
    Kill { at: Instant },
    /// SIGKILL is sent at every check; what outlives it is given up.
    GiveUp { at: Instant },
}

/// What becomes of a job once it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It starts again at a moment of its own: it has exited by itself.
    BackOff { until: Instant },
    /// It starts again at once, unless it is `once` or exits with status 33.
    Bounce,
    /// It starts again at once.
    Restart,
    /// It starts in its turn, with a new definition.
    Queue,
    /// It stays down, disabled.
    Disable,
    /// It stays down, done.
    Finish,
    /// It is forgotten.
    Remove,
}

impl State {
    /// The first process of the job, while there is one.
    pub(super) fn pid(self) -> Option<i32> {
        match self {
            State::Running { pid, .. } | State::Failing { pid, .. } => Some(pid),
            State::Stopping { pid, .. } => Some(pid),
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => None,
            State::Blocked { .. } | State::Yielding | State::Starting { .. } => None,
            State::Clearing { .. } => None,
        }
    }

    /// The number of its first process, and then of what is left of its session.
    pub(super) fn number(self) -> Option<i32> {
        match self {
            State::Clearing { sid, .. } => Some(sid),
            State::Running { .. } | State::Failing { .. } | State::Stopping { .. } => self.pid(),
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => None,
            State::Blocked { .. } | State::Yielding | State::Starting { .. } => None,
        }
    }

    /// When something is to be done about a job in this state.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            State::BackingOff { until } => Some(until),
            State::Running { bounce_at, .. } => bounce_at,
            State::Stopping { step, .. } => step.deadline(),
            State::Clearing { check_at, .. } => Some(check_at),
            State::Vacant | State::Idle(_) | State::Queued | State::Blocked { .. } => None,
            State::Yielding | State::Starting { .. } | State::Failing { .. } => None,
        }
    }

    /// Returns true if there is, or may be, a process of the job.
    pub(super) fn is_alive(&self) -> bool {
        match self {
            State::Starting { .. } | State::Running { .. } | State::Failing { .. } => true,
            State::Stopping { .. } | State::Clearing { .. } => true,
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => false,
            State::Blocked { .. } | State::Yielding => false,
        }
    }

    /// Returns true if a `wait` job in this state has yet to finish before the jobs
    /// behind it may start.
    pub(super) fn holds(self) -> bool {
        match self {
            State::Queued | State::Yielding => true,
            State::Starting { turn } | State::Running { turn, .. } => turn == Turn::InOrder,
            State::Failing { turn, .. } => turn == Turn::InOrder,
            State::Stopping { turn, then, .. } => turn == Turn::InOrder || then == Then::Queue,
            State::Clearing { then, .. } => then == Then::Queue,
            State::Vacant | State::Idle(_) | State::BackingOff { .. } | State::Blocked { .. } => {
                false
            }
        }
    }

    /// The state after a running job was told to go; one that is going
    /// already only gets another end.
    pub(super) fn stopped(self, then: Then) -> State {
        match self {
            State::Running { pid, since, turn, .. } | State::Failing { pid, since, turn } => {
                State::Stopping { pid, since, turn, step: Step::Term, then }
            }
            State::Stopping { pid, since, turn, step, .. } => {
                State::Stopping { pid, since, turn, step, then }
            }
            State::Clearing { sid, step, check_at, checks, .. } => {
                State::Clearing { sid, step, check_at, checks, then }
            }
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => self,
            State::Blocked { .. } | State::Yielding | State::Starting { .. } => self,
        }
    }

    /// The state in which the rest of a session is ended, beginning now.
    pub(super) fn clearing(sid: i32, kill_at: Instant, then: Then) -> State {
        let (step, check_at) = (ClearStep::Term { kill_at }, Instant::BOOT);
        State::Clearing { sid, step, check_at, checks: 0, then }
    }
}

impl Step {
    /// When what a first process that ends now leaves behind gets SIGKILL: ten seconds after the
    /// first SIGTERM, or now if that time is over.
    pub(super) fn kill_at(self, now: Instant) -> Instant {
        match self {
            Step::Term => now + KILL_DELAY,
            Step::Kill { at } => at,
            Step::Tell { .. } | Step::Wait => now,
        }
    }

    fn deadline(self) -> Option<Instant> {
        match self {
            Step::Term => Some(Instant::BOOT),
            Step::Kill { at } | Step::Tell { at } => Some(at),
            Step::Wait => None,
        }
    }
}

impl ClearStep {
    /// When the step is over.
    pub(super) fn until(self) -> Instant {
        match self {
            ClearStep::Term { kill_at: at } => at,
            ClearStep::Kill { at } | ClearStep::GiveUp { at } => at,
        }
    }
}
