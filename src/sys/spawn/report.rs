//! What children tell over the pipe on their way to their programs.

use super::super::std::prelude::v1::*;
use super::child::Failed;
use super::user::reason;
use crate::short::Short;
use crate::supervise::{Errno, Failure, Stage};
use nix::unistd::getpid;

/// What a process tells before it runs its program, or instead.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    /// It did not get that far, and is about to exit.
    Failed(Failure),
    /// None of the CPUs of its `cpu` exists, or is pmtr's to use: it runs on any.
    AnyCpu {
        /// The process.
        pid: i32,
    },
    /// An output of it is a stream of pmtr's own, and that is /dev/null.
    Nowhere {
        /// The process.
        pid: i32,
        /// Which of its outputs: [`Stage::Out`] or [`Stage::Err`].
        stage: Stage,
    },
    /// It runs, but could not be recorded in the state file.
    Unrecorded {
        /// Why.
        errno: nix::errno::Errno,
    },
}

/// The same, as the process itself has it.
#[derive(Clone, Copy)]
pub(super) enum Told {
    Failed(Failed),
    AnyCpu,
    Nowhere(Stage),
    Unrecorded(nix::errno::Errno),
}

/// A report on its way: pid, stage, error number. Far less than `PIPE_BUF`, so
/// reports of several children do not mix (pipe(7)).
pub(super) const RECORD_BYTES: usize = 12;

// What stands where the stage would be.
const ANY_CPU: i32 = -1;
const UNRECORDED: i32 = -2;
const NOWHERE: i32 = -3;

pub(super) fn encode(told: Told) -> [u8; RECORD_BYTES] {
    let (stage, code) = match told {
        Told::Failed(failed) => (failed.stage as i32, failed.code),
        Told::AnyCpu => (ANY_CPU, 0),
        Told::Nowhere(stage) => (NOWHERE, stage as i32),
        Told::Unrecorded(errno) => (UNRECORDED, errno as i32),
    };
    let mut record = [0; RECORD_BYTES];
    for (bytes, field) in record.chunks_exact_mut(4).zip([getpid().as_raw(), stage, code]) {
        bytes.copy_from_slice(&field.to_ne_bytes());
    }
    record
}

pub(super) fn decode(record: &[u8; RECORD_BYTES]) -> Option<Report> {
    let field = |n: usize| record.chunks_exact(4).nth(n)?.try_into().ok().map(i32::from_ne_bytes);
    let (pid, stage, code) = (field(0)?, field(1)?, field(2)?);
    Some(match stage {
        ANY_CPU => Report::AnyCpu { pid },
        NOWHERE => Report::Nowhere { pid, stage: stage_of(code)? },
        UNRECORDED => Report::Unrecorded { errno: nix::errno::Errno::from_raw(code) },
        stage => {
            let stage = stage_of(stage)?;
            Report::Failed(Failure { pid, stage, errno: Failed { stage, code }.reason() })
        }
    })
}

fn stage_of(number: i32) -> Option<Stage> {
    Stage::ALL.get(usize::try_from(number).ok()?).copied()
}

impl Failed {
    /// Returns the reason with its text.
    pub fn reason(self) -> Errno {
        let text = match (self.code, self.stage) {
            (reason::UNKNOWN, Stage::Group) => "no such group",
            (reason::UNKNOWN, _) => "no such user",
            (reason::NO_ID, Stage::Uid) => "4294967295 (-1) is not a user id",
            (reason::NO_ID, _) => "4294967295 (-1) is not a group id",
            (reason::NOT_AS_ASKED, _) => "read back, it is not as asked",
            _ => return super::super::errno(nix::errno::Errno::from_raw(self.code)),
        };
        Errno { code: self.code, text: Short::new(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::prelude::v1::*;
    use super::super::super::std::{assert_eq, panic};
    use super::*;

    fn failure(stage: Stage, code: i32) -> Failure {
        match decode(&encode(Told::Failed(Failed { stage, code }))) {
            Some(Report::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_failure_says_who_where_and_why() {
        let failure = failure(Stage::Nice, 13);
        assert_eq!((failure.pid, failure.stage), (getpid().as_raw(), Stage::Nice));
        assert_eq!((failure.errno.code, &*failure.errno.text), (13, "Permission denied"));
    }

    #[test]
    fn every_stage_comes_back_as_itself() {
        for stage in Stage::ALL {
            assert_eq!(failure(stage, 1).stage, stage);
        }
    }

    #[test]
    fn what_is_not_fatal_is_no_failure() {
        let any_cpu = decode(&encode(Told::AnyCpu));
        assert!(matches!(any_cpu, Some(Report::AnyCpu { pid }) if pid == getpid().as_raw()));
        let nowhere = decode(&encode(Told::Nowhere(Stage::Err)));
        assert!(matches!(nowhere, Some(Report::Nowhere { stage: Stage::Err, .. })));
        let errno = nix::errno::Errno::ENOSPC;
        let unrecorded = decode(&encode(Told::Unrecorded(errno)));
        assert!(matches!(unrecorded, Some(Report::Unrecorded { errno: told }) if told == errno));
    }

    #[test]
    fn what_is_no_report_is_none() {
        let mut record = [0; RECORD_BYTES];
        record[4..8].copy_from_slice(&99_i32.to_ne_bytes());
        assert!(decode(&record).is_none());
    }
}
