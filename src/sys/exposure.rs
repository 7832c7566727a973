//! Whether somebody else can change the configuration: whoever can, decides what pmtr runs.
//!
//! Told, and no more than that: who set the modes of a device's files may have meant it.

use super::stat::{stat, Stat};
use super::std::ffi::{CStr, CString};
use super::std::prelude::v1::*;
use core::fmt;
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{getegid, geteuid};

/// How somebody else can change a file. As text, a warning without the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exposure {
    /// By putting another one in its place; else by writing to it.
    in_directory: bool,
    to: Whom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    /// It belongs to somebody who is neither root nor the user that pmtr runs as.
    Owner(u32),
    /// Its mode lets others write.
    Others,
}

/// Who else can change the file that was opened under a name in `directory`. Of a symbolic
/// link that is the directory of the link.
pub(super) fn exposure(file: &Stat, directory: &CStr) -> Option<Exposure> {
    let in_directory = |to| Exposure { in_directory: true, to };
    let own = whom(file).map(|to| Exposure { in_directory: false, to });
    own.or_else(|| whom(&stat(directory).ok()?).map(in_directory))
}

/// The directory that a file with this absolute path is in.
pub(super) fn directory_of(path: &CStr) -> CString {
    let path = path.to_bytes();
    let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    // The slash belongs to the root directory.
    let directory = if end == 0 { &b"/"[..] } else { &path[..end] };
    CString::new(directory).unwrap_or_default()
}

fn whom(file: &Stat) -> Option<Whom> {
    if file.st_uid != 0 && file.st_uid != geteuid().as_raw() {
        return Some(Whom::Owner(file.st_uid));
    }
    let mode = Mode::from_bits_truncate(file.st_mode);
    // A group of one's own is nobody else.
    let is_others_group = file.st_gid != 0 && file.st_gid != getegid().as_raw();
    let by_group = is_others_group && mode.contains(Mode::S_IWGRP);
    // In a directory such as /tmp nobody can rename or remove what is not theirs.
    let is_directory = SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
    let is_protected = is_directory && mode.contains(Mode::S_ISVTX);
    let by_others = mode.contains(Mode::S_IWOTH) || by_group;
    (by_others && !is_protected).then_some(Whom::Others)
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.in_directory { "its directory " } else { "it " })?;
        match self.to {
            Whom::Owner(uid) => write!(f, "belongs to user {uid}")?,
            Whom::Others => f.write_str("can be written to by others")?,
        }
        f.write_str(", who can change what is run here")
    }
}
