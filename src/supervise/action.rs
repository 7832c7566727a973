//! What the supervisor asks for.

use crate::supervise::JobId;

/// One thing to do now. Its result comes back as an [`Event`](crate::supervise::Event)
/// before the next action is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the job; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// The job.
        job: JobId,
    },
    /// Look at the files that the job depends on, before its start; answer with `Depends`.
    Look {
        /// The job.
        job: JobId,
    },
    /// Send a signal to a job's first process; answer with `Unsent` if that cannot be done.
    Signal {
        /// The process.
        pid: i32,
        /// Which.
        signal: StopSignal,
        /// It could not be sent before.
        again: bool,
    },
    /// Send a signal to what is left of a session whose first process has ended; answer with
    /// `SessionGone` if nothing is left.
    EndSession {
        /// The job.
        job: JobId,
        /// The session: the id of its first process.
        sid: i32,
        /// Which signal; None: only check whether anything is left.
        signal: Option<StopSignal>,
    },
    /// Give up what SIGKILL has not ended of a session; answer with `SessionGone`.
    LeaveSession {
        /// The job.
        job: JobId,
        /// The session: the id of its first process.
        sid: i32,
    },
    /// All is stopped: leave.
    Exit,
}

/// The two signals that stop a job (manual, "How pmtr kills a job").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM: please.
    Term,
    /// SIGKILL: now.
    Kill,
}
