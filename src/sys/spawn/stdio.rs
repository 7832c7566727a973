//! Standard input, output and error of a job: `in`, `out` and `err`.
//!
//! `/dev/stdout` and its like name a descriptor that pmtr was started with, not one of the job: in a
//! container that is where output goes. The job's user could not open it, as it may be a pipe of
//! root's, or a socket. So it is duplicated, before the job becomes that user.

use core::ffi::{c_int, CStr};
use core::mem::ManuallyDrop;

use super::super::std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use super::super::std::prelude::v1::*;
use super::child::{at, Failed};
use super::env::c_str;
use crate::config::JobView;
use crate::supervise::Stage;
use crate::sys::daemon::is_null;
use crate::sys::stat::fstat;
use nix::errno::Errno;
use nix::fcntl::{fcntl, open, FcntlArg, OFlag};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

/// The standard input of a job without `in`.
pub(in crate::sys) const DEV_NULL: &CStr = c_str(b"/dev/null\0");

/// A stream of a job: one of the options `in`, `out` and `err`.
#[derive(Clone, Copy)]
struct Stream<'a> {
    stage: Stage,
    path: Option<&'a CStr>,
    /// How it is opened: for reading, or to be appended to.
    flags: OFlag,
    onto: fn(BorrowedFd<'_>) -> Result<(), Errno>,
}

/// Those of a job, in the order of their descriptors.
fn streams(job: JobView<'_>) -> [Stream<'_>; 3] {
    let append = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND;
    let stream = |stage, path, flags, onto| Stream { stage, path, flags, onto };
    [
        stream(Stage::Stdin, job.stdin(), OFlag::O_RDONLY, |fd| dup2_stdin(fd)),
        stream(Stage::Out, job.out(), append, |fd| dup2_stdout(fd)),
        stream(Stage::Err, job.err(), append, |fd| dup2_stderr(fd)),
    ]
}

/// The streams of pmtr that a job is given, as descriptors above 2.
pub(super) struct OwnStreams([Option<OwnedFd>; 3]);

impl OwnStreams {
    /// Duplicates what `in`, `out` and `err` of a job name; `nowhere` learns which of its outputs
    /// are /dev/null.
    pub(super) fn of(job: JobView<'_>, nowhere: impl Fn(Stage)) -> Result<Self, Failed> {
        let mut own = OwnStreams([None, None, None]);
        for (own, stream) in own.0.iter_mut().zip(streams(job)) {
            let Some(number) = stream.path.and_then(own_number) else { continue };
            let fd =
                duplicate(number, stream.flags & OFlag::O_ACCMODE).map_err(at(stream.stage))?;
            if stream.stage != Stage::Stdin && is_null(&fd) {
                nowhere(stream.stage);
            }
            *own = Some(fd);
        }
        Ok(own)
    }

    /// Makes 0, 1 and 2 what `in`, `out` and `err` say; `log` is where output goes that has no
    /// file.
    pub(super) fn redirect(
        &self,
        job: JobView<'_>,
        log: Option<BorrowedFd<'_>>,
    ) -> Result<(), Failed> {
        for (own, stream) in self.0.iter().zip(streams(job)) {
            let log = log.filter(|_| stream.stage != Stage::Stdin);
            let done = match (own, stream.path, log) {
                (Some(own), ..) => (stream.onto)(own.as_fd()),
                (None, Some(path), _) => open_onto(path, stream),
                (None, None, Some(log)) => (stream.onto)(log),
                (None, None, None) => open_onto(DEV_NULL, stream),
            };
            done.map_err(at(stream.stage))?;
        }
        Ok(())
    }
}

fn open_onto(path: &CStr, stream: Stream<'_>) -> Result<(), Errno> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
    let file = open(path, stream.flags | OFlag::O_NOCTTY | OFlag::O_LARGEFILE, mode)?;
    // Closed by exec, not here: where 0, 1 or 2 was not open, this can be that very one.
    (stream.onto)(ManuallyDrop::new(file).as_fd())
}

/// The descriptor of pmtr that a path names, whether or not there is a /proc that it leads to. A
/// symbolic link to such a path names none: whoever can make it is not to get pmtr's streams.
pub(in crate::sys) fn own_number(path: &CStr) -> Option<c_int> {
    let path = path.to_bytes();
    let digit = |path: &[u8]| match path {
        b"0" => Some(0),
        b"1" => Some(1),
        b"2" => Some(2),
        _ => None,
    };
    match path {
        b"/dev/stdin" => Some(0),
        b"/dev/stdout" => Some(1),
        b"/dev/stderr" => Some(2),
        _ => {
            let fd = path.strip_prefix(b"/dev/fd/").or(path.strip_prefix(b"/proc/self/fd/"));
            fd.and_then(digit)
        }
    }
}

/// Duplicates a descriptor of pmtr for a job that is to have this access; `EBADF` if it has
/// another one.
///
/// A terminal, which as a rule is open for reading and writing, is opened anew where that can be:
/// a job that writes there is not to read what is typed.
fn duplicate(number: c_int, access: OFlag) -> Result<OwnedFd, Errno> {
    // SAFETY: 0, 1 and 2 are open all the time, see `daemon::sanitise_stdio`.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let has = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?) & OFlag::O_ACCMODE;
    if has != access && has != OFlag::O_RDWR {
        return Err(Errno::EBADF);
    }
    if has == OFlag::O_RDWR {
        if let Ok(anew) = open_anew(fd, number, access) {
            return Ok(anew);
        }
    }
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Opens a terminal, another device or a FIFO once more, without waiting.
fn open_anew(fd: BorrowedFd<'_>, number: c_int, access: OFlag) -> Result<OwnedFd, Errno> {
    let kind = fstat(fd)?.st_mode & SFlag::S_IFMT.bits();
    if kind != SFlag::S_IFCHR.bits() && kind != SFlag::S_IFIFO.bits() {
        return Err(Errno::EINVAL);
    }
    let path = match number {
        0 => c_str(b"/proc/self/fd/0\0"),
        1 => c_str(b"/proc/self/fd/1\0"),
        _ => c_str(b"/proc/self/fd/2\0"),
    };
    let flags = access | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_LARGEFILE;
    let anew = open(path, flags | OFlag::O_NONBLOCK, Mode::empty())?;
    fcntl(&anew, FcntlArg::F_SETFL(access))?;
    Ok(anew)
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{assert_eq, prelude::v1::*};
    use super::own_number;
    use core::ffi::CStr;

    #[test]
    fn a_path_names_a_descriptor_of_ours_or_none() {
        for (path, number) in [
            (&b"/dev/stdin\0"[..], Some(0)),
            (b"/dev/stdout\0", Some(1)),
            (b"/dev/stderr\0", Some(2)),
            (b"/dev/fd/0\0", Some(0)),
            (b"/proc/self/fd/2\0", Some(2)),
            (b"/dev/fd/3\0", None),
            (b"/dev/fd/\0", None),
            (b"/dev/stdout2\0", None),
            (b"dev/stdout\0", None),
        ] {
            let path = CStr::from_bytes_with_nul(path).unwrap();
            assert_eq!(own_number(path), number, "{path:?}");
        }
    }
}
