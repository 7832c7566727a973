//! What the world tells the supervisor.

use crate::short::Short;
use crate::supervise::JobId;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The standby configuration holds a good file: make it the live one.
    Reloaded,
    /// The start that was asked for has worked; `pid` is between fork and exec, or further.
    Spawned {
        /// The job that [`Action::Spawn`](crate::supervise::Action::Spawn) named.
        job: JobId,
        /// Its process, and the id of its session and group.
        pid: i32,
    },
    /// The start that was asked for could not even be tried: no process, no pipe.
    SpawnFailed {
        /// The job that [`Action::Spawn`](crate::supervise::Action::Spawn) named.
        job: JobId,
        /// Why.
        errno: Errno,
    },
    /// A process could not become its program, and is about to exit.
    ExecFailed(Failure),
    /// A process has ended. If [`keeps`](crate::supervise::Supervisor::keeps) then says so, it must not
    /// be reaped before `SessionGone`.
    Exited {
        /// Which; unknown ones (adopted orphans) are no concern of the supervisor.
        pid: i32,
        /// How.
        status: ExitStatus,
        /// Nothing else is left of its session.
        is_alone: bool,
    },
    /// The signal that [`Action::Signal`](crate::supervise::Action::Signal) named could not be sent.
    Unsent {
        /// The process.
        pid: i32,
    },
    /// Nothing is left of the session that
    /// [`Action::EndSession`](crate::supervise::Action::EndSession) named, or it is given up.
    SessionGone {
        /// The job that was being stopped.
        job: JobId,
    },
    /// What a job depends on was looked at, because
    /// [`Action::Look`](crate::supervise::Action::Look) asked for it or it may have changed.
    Depends {
        /// The job.
        job: JobId,
        /// A digest of the content of all of its files, or the first one that cannot be read.
        digest: Result<u64, Unreadable>,
    },
    /// A control datagram enables a job (manual, "UDP control").
    Enable {
        /// The job.
        job: JobId,
    },
    /// A control datagram disables a job (manual, "UDP control").
    Disable {
        /// The job.
        job: JobId,
    },
    /// Stop everything and leave.
    Shutdown {
        /// The signal that asked for it.
        signal: i32,
    },
}

/// A file of a `depends` block that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its place in the block, from 0.
    pub file: u16,
    /// Why.
    pub errno: Errno,
}

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it; real-time signals too.
    Signal(i32),
}

/// A process that did not get as far as its program.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// The process; its exit is reported after this.
    pub pid: i32,
    /// What it was doing.
    pub stage: Stage,
    /// Why it failed; code 0 or less where no system call did (an unknown user).
    pub errno: Errno,
}

/// How much room there is for the text of an error: none of libc's is longer.
pub const ERRNO_TEXT_BYTES: usize = 64;

/// An error number of the kernel with its text (errno(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno {
    /// The number.
    pub code: i32,
    /// What it means.
    pub text: Short<ERRNO_TEXT_BYTES>,
}

/// The steps between fork and exec, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// A session and process group of its own: setsid(2).
    Session,
    /// Signal mask and dispositions: sigprocmask(2), sigaction(2).
    Signals,
    /// `dir`: chdir(2).
    Dir,
    /// Looking the `user` up: getpwnam(3).
    User,
    /// Looking the group of `user` up: getgrnam(3).
    Group,
    /// `nice`: setpriority(2).
    Nice,
    /// `cpu`: sched_setaffinity(2).
    Cpu,
    /// `ulimit`: prlimit(2).
    Ulimit,
    /// A session keyring of its own: keyctl(2).
    Keyring,
    /// Supplementary groups: setgroups(2).
    Groups,
    /// setresgid(2).
    Gid,
    /// setresuid(2).
    Uid,
    /// No capabilities: capset(2).
    Capabilities,
    /// `in`: open(2), dup2(2).
    Stdin,
    /// `out`: open(2), dup2(2).
    Out,
    /// `err`: open(2), dup2(2).
    Err,
    /// The environment.
    Env,
    /// `cmd`: execve(2).
    Exec,
}

impl Stage {
    /// All stages, in their order: the one with number `n` is at index `n`.
    pub const ALL: [Stage; 18] = [
        Stage::Session,
        Stage::Signals,
        Stage::Dir,
        Stage::User,
        Stage::Group,
        Stage::Nice,
        Stage::Cpu,
        Stage::Ulimit,
        Stage::Keyring,
        Stage::Groups,
        Stage::Gid,
        Stage::Uid,
        Stage::Capabilities,
        Stage::Stdin,
        Stage::Out,
        Stage::Err,
        Stage::Env,
        Stage::Exec,
    ];
}
