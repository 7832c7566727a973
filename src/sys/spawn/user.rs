//! The user a job runs as (passwd(5), group(5)).
//!
//! Looked up at every start, in the child: a user that was added a moment ago
//! is found, and a name service that does not answer holds nobody else up.

use core::ffi::{c_char, CStr};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{setresgid, setresuid, Gid, Uid};

/// An entry of the password database, in libc's memory.
pub struct User {
    name: &'static CStr,
    uid: Uid,
    gid: Gid,
    home: &'static CStr,
    shell: &'static CStr,
}

impl User {
    /// Finds the user called `name`; `Ok(None)` if there is none (getpwnam(3)).
    /// Only for a process that does nothing else any more: a child.
    pub fn look_up(name: &CStr) -> Result<Option<Self>, Errno> {
        Errno::clear();
        // SAFETY: the only thread, and the only look-up, of this process, so the entry stays as
        // it is. What libc allocates is the child's own copy of the heap, and its locks are free.
        match unsafe { libc::getpwnam(name.as_ptr()).as_ref() } {
            Some(entry) => Ok(Some(User::from_entry(entry))),
            None => not_found(Errno::last()),
        }
    }

    fn from_entry(entry: &'static libc::passwd) -> Self {
        User {
            name: string(entry.pw_name),
            uid: Uid::from_raw(entry.pw_uid),
            gid: Gid::from_raw(entry.pw_gid),
            home: string(entry.pw_dir),
            shell: string(entry.pw_shell),
        }
    }

    /// The user id.
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// The variables that tell a program who it runs as (environ(7)).
    pub fn variables(&self) -> [(&'static str, &'static CStr); 4] {
        [("HOME", self.home), ("USER", self.name), ("LOGNAME", self.name), ("SHELL", self.shell)]
    }

    /// Takes on the supplementary groups (initgroups(3)).
    pub fn take_groups(&self) -> Result<(), Errno> {
        // SAFETY: as in `look_up`; the name ends with a NUL.
        let result = unsafe { libc::initgroups(self.name.as_ptr(), self.gid.as_raw()) };
        Errno::result(result).map(drop)
    }

    /// Takes on the group: real, effective and saved.
    pub fn take_gid(&self) -> Result<(), Errno> {
        setresgid(self.gid, self.gid, self.gid)
    }

    /// Takes on the user: real, effective and saved; there is no way back.
    pub fn take_uid(&self) -> Result<(), Errno> {
        setresuid(self.uid, self.uid, self.uid)
    }
}

/// Where nothing was found, errno may be one of several that mean just that (getpwnam(3)).
fn not_found(errno: Errno) -> Result<Option<User>, Errno> {
    match errno {
        Errno::EIO
        | Errno::EINTR
        | Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOMEM
        | Errno::ERANGE
        | Errno::EAGAIN => Err(errno),
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
