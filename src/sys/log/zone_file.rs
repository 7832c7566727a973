//! The time zone of the system: `TZ`, or /etc/localtime (tzset(3)).

use super::super::is_passing;
use super::super::std::prelude::v1::*;
use crate::zone::{by_file, by_rule, Offset};
use core::ffi::CStr;
use heapless::Vec;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::libc;
use nix::sys::stat::Mode;
use nix::sys::uio::pread;

/// The zone where `TZ` says nothing.
const LOCAL: &[u8] = b"/etc/localtime";

/// The directory of the files that `TZ` names, unless `TZDIR` says otherwise.
const DIRECTORY: &[u8] = b"/usr/share/zoneinfo";

/// The longest path of such a file.
const PATH_BYTES: usize = 256;

/// How long the offset before is used when the file cannot be read at the moment, in seconds.
const AGAIN: i64 = 60;

/// The offset from UTC at `second`; UTC where nothing says otherwise. `before` counts a little
/// longer when it cannot be read for a reason that passes.
pub(super) fn offset_at(second: i64, before: Offset) -> Offset {
    match read(second) {
        Ok(offset) => offset,
        Err(errno) if is_passing(errno) => Offset { from: second, until: second + AGAIN, ..before },
        Err(_) => Offset::UTC,
    }
}

fn read(second: i64) -> Result<Offset, Errno> {
    let Some(zone) = variable(b"TZ\0") else { return read_file(second, LOCAL) };
    let zone = zone.strip_prefix(b":").unwrap_or(zone);
    if zone.is_empty() {
        return Ok(Offset::UTC);
    }
    let from_file = if zone.starts_with(b"/") {
        read_file(second, zone)
    } else {
        let directory = variable(b"TZDIR\0").unwrap_or(DIRECTORY);
        let path: Vec<u8, PATH_BYTES> =
            directory.iter().chain(b"/").chain(zone).take(PATH_BYTES).copied().collect();
        read_file(second, &path)
    };
    match from_file {
        Err(errno) if !is_passing(errno) => by_rule(second, zone).ok_or(errno),
        read => read,
    }
}

fn read_file(second: i64, path: &[u8]) -> Result<Offset, Errno> {
    // Of a FIFO nobody is waited for.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open(path, flags, Mode::empty())?;
    let offset = by_file(second, &mut |at, buffer| {
        let at = libc::off_t::try_from(at).unwrap_or(libc::off_t::MAX);
        pread(&file, buffer, at) == Ok(buffer.len())
    });
    offset.ok_or(Errno::EINVAL)
}

/// A variable of pmtr's own environment, which never changes. `name` ends with a NUL.
fn variable(name: &[u8]) -> Option<&'static [u8]> {
    let name = CStr::from_bytes_with_nul(name).ok()?;
    // SAFETY: a string with its NUL; pmtr has one thread, and it changes no variable that is read here.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: what is not null is a string with its NUL, which stays where it is.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes())
}
