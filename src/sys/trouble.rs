//! What the kernel refuses the loop itself: told once, and tried again in a moment.
//!
//! A descriptor whose reading fails stays ready, and a poller that fails does not
//! wait. So after a turn in which something failed the loop rests, which is the
//! only time that it does: else it would go round without end.

use super::errno::Meaning;
use super::std::prelude::v1::*;
use super::tell;
use crate::name::Name;
use core::fmt;
use core::time::Duration;
use nix::errno::Errno;
use nix::poll::{poll, PollTimeout};

/// How long the loop rests; a fault that lasts costs as many turns of it as fit into a second.
const REST: Duration = Duration::from_millis(100);

/// What of the loop failed.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// Waiting for descriptors.
    Wait,
    /// Reading signals.
    Signals,
    /// Reading the timer.
    Timer,
    /// Arming it.
    Alarm,
    /// Reading what children tell that could not start.
    Failures,
    /// Reading what has become of files.
    Watch,
    /// Reading what has become of the state file.
    State,
    /// Learning which children have ended.
    Ended,
    /// Taking them in.
    Reap,
    /// Looking for what an ended job has left.
    Sessions,
    /// Reading, or waiting for, the output of this job.
    Output(Name),
}

/// What has failed since it worked last. All zeros: nothing.
pub(super) struct Troubles {
    /// A bit for each [`Part`] that was told of.
    told: u16,
    /// Something has failed in this turn of the loop.
    is_fresh: bool,
}

impl Troubles {
    pub const fn new() -> Self {
        Troubles { told: 0, is_fresh: false }
    }

    /// Takes notice of a result: tells an error when it is the first one. None
    /// where it failed: the loop comes back to it after a [rest](Self::rest).
    pub fn note<T>(&mut self, part: Part, result: Result<T, Errno>) -> Option<T> {
        let bit = part.bit();
        match result {
            Ok(value) => {
                self.told &= !bit;
                Some(value)
            }
            Err(errno) => {
                self.is_fresh = true;
                if self.told & bit == 0 && errno != Errno::EINTR {
                    self.told |= bit;
                    tell::error!("{part}: {}; it is tried again", errno.meaning());
                }
                None
            }
        }
    }

    /// Rests if something has failed since the last time; whether that was so.
    pub fn rest(&mut self) -> bool {
        let was_fresh = core::mem::take(&mut self.is_fresh);
        if was_fresh {
            // If not even this works there is no way to wait at all.
            let _ = poll(&mut [], PollTimeout::from(REST.as_millis() as u8));
        }
        was_fresh
    }
}

impl Part {
    fn bit(self) -> u16 {
        1 << match self {
            Part::Wait => 0,
            Part::Signals => 1,
            Part::Timer => 2,
            Part::Alarm => 3,
            Part::Failures => 4,
            Part::Watch => 5,
            Part::Ended => 6,
            Part::Reap => 7,
            Part::Output(_) => 8,
            Part::Sessions => 9,
            Part::State => 10,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Wait => f.write_str("cannot wait for events"),
            Part::Signals => f.write_str("cannot read signals"),
            Part::Timer => f.write_str("cannot read the timer"),
            Part::Alarm => f.write_str("cannot arm the timer"),
            Part::Failures => f.write_str("cannot read why jobs do not start"),
            Part::Watch => f.write_str("cannot read which files have changed"),
            Part::State => f.write_str("cannot read what has become of the state file"),
            Part::Ended => f.write_str("cannot learn which processes have ended"),
            Part::Reap => f.write_str("cannot reap a process"),
            Part::Sessions => f.write_str("cannot look for what ended jobs have left"),
            Part::Output(name) => write!(f, "job {name}: cannot read its output"),
        }
    }
}
