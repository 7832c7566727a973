//! The user a job runs as (passwd(5), group(5)).
//!
//! Looked up at every start, in the child: a user that was added a moment ago
//! is found, and a name service that does not answer holds nobody else up.

use core::ffi::{c_char, CStr};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Gid, Uid};

use super::super::std::prelude::v1::*;
use super::child::{at, Failed};
use super::credentials::{self, Groups};
use crate::config::{is_id, numeric_id, JobView};
use crate::supervise::Stage;

/// Reasons of a failure that are not error numbers of the kernel, which are above 0.
pub(super) mod reason {
    /// There is no such user or group.
    pub(in super::super) const UNKNOWN: i32 = 0;
    /// 4294967295, which no process can have as an id.
    pub(in super::super) const NO_ID: i32 = -1;
    /// The kernel has said that it was done, and it was not.
    pub(in super::super) const NOT_AS_ASKED: i32 = -2;
}

/// A user and a group as the databases have them, with strings in libc's memory.
pub struct User<'a> {
    name: &'a CStr,
    uid: Uid,
    gid: Gid,
    home: &'a CStr,
    shell: &'a CStr,
    groups: Groups,
}

impl<'a> User<'a> {
    /// Finds the `user` and the group of a job; `None` if the job has none.
    ///
    /// A name goes before a number (chown(1)). A number without an entry is a user whose group
    /// has the same number. A group takes the place of that in the user's entry; the
    /// supplementary groups stay the user's.
    ///
    /// Only for a process that does nothing else any more: a child.
    pub fn of(job: JobView<'a>) -> Result<Option<Self>, Failed> {
        let Some(name) = job.user() else { return Ok(None) };
        let mut user = User::look_up(name)?;
        if let Some(group) = job.group() {
            user.gid = look_up_group(group)?;
        }
        failed_if(!is_id(user.uid.as_raw()), Stage::Uid, reason::NO_ID)?;
        failed_if(!is_id(user.gid.as_raw()), Stage::Gid, reason::NO_ID)?;
        user.groups = Groups::of(user.name, user.gid).map_err(at(Stage::Groups))?;
        failed_if(!user.groups.are_ids(), Stage::Groups, reason::NO_ID)?;
        Ok(Some(user))
    }

    fn look_up(name: &'a CStr) -> Result<Self, Failed> {
        let entry = entry(name).map_err(at(Stage::User))?;
        let user = entry.or_else(|| User::without_entry(name));
        user.ok_or(Failed { stage: Stage::User, code: reason::UNKNOWN })
    }

    fn from_entry(entry: &'static libc::passwd) -> Self {
        User {
            name: string(entry.pw_name),
            uid: Uid::from_raw(entry.pw_uid),
            gid: Gid::from_raw(entry.pw_gid),
            home: string(entry.pw_dir),
            shell: string(entry.pw_shell),
            groups: Groups::none(),
        }
    }

    /// The user with this number, which nothing else is known of.
    fn without_entry(number: &'a CStr) -> Option<Self> {
        let id = number_of(number)?;
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        Some(User { name: number, uid, gid, home: ROOT, shell: SHELL, groups: Groups::none() })
    }

    /// The user id.
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// The variables that tell a program who it runs as (environ(7)).
    pub fn variables(&self) -> [(&'static str, &'a CStr); 4] {
        [("HOME", self.home), ("USER", self.name), ("LOGNAME", self.name), ("SHELL", self.shell)]
    }

    /// Becomes the user, wholly: credentials(7). There is no way back.
    ///
    /// What is as asked already is not set, so a process without privileges can become the user
    /// that it is. Everything is read back at the end.
    pub fn take_on(&mut self) -> Result<(), Failed> {
        let is_other = !credentials::has_uid(self.uid).map_err(at(Stage::Uid))?;
        if is_other {
            credentials::leave_keyring().map_err(at(Stage::Keyring))?;
        }
        self.groups.set(self.gid).map_err(at(Stage::Groups))?;
        credentials::set_gid(self.gid).map_err(at(Stage::Gid))?;
        credentials::set_uid(self.uid).map_err(at(Stage::Uid))?;
        if !self.uid.is_root() {
            credentials::drop_capabilities().map_err(at(Stage::Capabilities))?;
        }
        self.verify()
    }

    /// Fails if anything is not as asked, whatever the system calls have returned.
    fn verify(&mut self) -> Result<(), Failed> {
        let checks = [
            (Stage::Groups, self.groups.are_set(self.gid)),
            (Stage::Gid, credentials::has_gid(self.gid)),
            (Stage::Uid, credentials::has_uid(self.uid)),
            (Stage::Capabilities, Ok(self.uid.is_root() || credentials::has_no_capability())),
        ];
        checks.into_iter().try_for_each(|(stage, is_as_asked)| {
            failed_if(!is_as_asked.map_err(at(stage))?, stage, reason::NOT_AS_ASKED)
        })
    }
}

/// The home of a user without an entry.
const ROOT: &CStr = super::env::c_str(b"/\0");

/// What an empty field of passwd(5) stands for, too.
const SHELL: &CStr = super::env::c_str(b"/bin/sh\0");

fn failed_if(is_wrong: bool, stage: Stage, code: i32) -> Result<(), Failed> {
    match is_wrong {
        true => Err(Failed { stage, code }),
        false => Ok(()),
    }
}

/// The number, if the word is one. One that is no id is [refused](User::of) by its value.
fn number_of(word: &CStr) -> Option<u32> {
    numeric_id(word.to_bytes()).map(|id| id.unwrap_or(u32::MAX))
}

/// The entry of a user's name or number; `Ok(None)` if there is none (getpwnam(3)).
fn entry(word: &CStr) -> Result<Option<User<'static>>, Errno> {
    Errno::clear();
    // SAFETY: the only thread, and the last look-up of a user that finds one, so the entry stays as
    // it is. What libc allocates is the child's own copy of the heap, and its locks are free.
    let named = unsafe { libc::getpwnam(word.as_ptr()).as_ref() };
    if let Some(entry) = named.map_or_else(not_found, |entry| Ok(Some(entry)))? {
        return Ok(Some(User::from_entry(entry)));
    }
    let Some(id) = number_of(word) else { return Ok(None) };
    Errno::clear();
    // SAFETY: as above.
    let numbered = unsafe { libc::getpwuid(id).as_ref() };
    let entry = numbered.map_or_else(not_found, |entry| Ok(Some(entry)))?;
    Ok(entry.map(User::from_entry))
}

/// The id of a group by its name or number (getgrnam(3)).
fn look_up_group(word: &CStr) -> Result<Gid, Failed> {
    Errno::clear();
    // SAFETY: as in `entry`; nothing of the group's entry is kept.
    let named = unsafe { libc::getgrnam(word.as_ptr()).as_ref() };
    let named = named.map_or_else(not_found, |entry| Ok(Some(entry.gr_gid)));
    let id = named.map_err(at(Stage::Group))?.or_else(|| number_of(word));
    let unknown = Failed { stage: Stage::Group, code: reason::UNKNOWN };
    id.map(Gid::from_raw).ok_or(unknown)
}

/// Tells an entry that does not exist from a look-up that failed: errno may be one of several for
/// the former (getpwnam(3)).
fn not_found<T>() -> Result<Option<T>, Errno> {
    match Errno::last() {
        errno @ (Errno::EIO
        | Errno::EINTR
        | Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOMEM
        | Errno::ERANGE
        | Errno::EAGAIN) => Err(errno),
        _ => Ok(None),
    }
}

/// A string of an entry; a field that is not there is empty.
fn string(field: *const c_char) -> &'static CStr {
    if field.is_null() {
        return super::env::EMPTY;
    }
    // SAFETY: the strings of an entry end with a NUL, and live as long as the entry.
    unsafe { CStr::from_ptr(field) }
}
