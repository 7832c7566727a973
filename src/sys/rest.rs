//! What is left in a PID namespace when all jobs are gone, for its process 1: daemons that jobs have started,
//! and what somebody else has put there.
//!
//! The kernel kills all of it as soon as process 1 ends (pid_namespaces(7)). So that it can tidy up, it gets
//! SIGTERM first, and the time that a job has.

use super::daemon::is_process_one;
use super::errno::Meaning;
use super::tell;
use crate::time::Instant;
use core::time::Duration;
use nix::errno::Errno;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

/// From SIGTERM to SIGKILL, as for every job.
const GRACE: Duration = Duration::from_secs(10);

/// Between two looks: of the end of somebody else's child nobody is told.
const PAUSE: Duration = Duration::from_millis(100);

/// All other processes of the namespace, which are not pmtr's to end but as its process 1.
#[derive(Debug, Default)]
pub struct Rest {
    step: Step,
}

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    /// Jobs still run, or never will again: nothing is to be done.
    #[default]
    Idle,
    /// They have got SIGTERM.
    Asked { kill_at: Instant, look_at: Instant },
}

impl Rest {
    /// All jobs are gone: asks the rest to go. Returns whether there is none, as there
    /// always is not but for process 1.
    pub fn ask(&mut self, now: Instant) -> bool {
        if !is_there() {
            return true;
        }
        tell::info!("sending SIGTERM to what jobs have left");
        send(Signal::SIGTERM);
        self.step = Step::Asked { kill_at: now + GRACE, look_at: now + PAUSE };
        false
    }

    /// Looks after those that were asked. Returns whether they have just gone, or were killed.
    pub fn look(&mut self, now: Instant) -> bool {
        let Step::Asked { kill_at, look_at } = self.step else { return false };
        if is_there() && now < kill_at {
            let look_at = if look_at <= now { now + PAUSE } else { look_at };
            self.step = Step::Asked { kill_at, look_at };
            return false;
        }
        if is_there() {
            tell::info!("sending SIGKILL to what jobs have left");
            send(Signal::SIGKILL);
        }
        self.step = Step::Idle;
        true
    }

    /// When [`look`](Self::look) is to be called if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match self.step {
            Step::Idle => None,
            Step::Asked { kill_at, look_at } => Some(kill_at.min(look_at)),
        }
    }
}

/// Whether there is anything that [`signal`] would reach.
fn is_there() -> bool {
    signal(None) != Err(Errno::ESRCH)
}

fn send(what: Signal) {
    if let Err(error) = signal(what) {
        tell::error!("cannot send {what} to what jobs have left: {}", error.meaning());
    }
}

/// Signals every process of the namespace but this one (kill(2)). Only here is it looked whether that is
/// right: anybody but process 1 would end the whole machine, and has nothing to signal (`ESRCH`).
fn signal(signal: impl Into<Option<Signal>>) -> Result<(), Errno> {
    if is_process_one() {
        kill(Pid::from_raw(-1), signal)
    } else {
        Err(Errno::ESRCH)
    }
}
