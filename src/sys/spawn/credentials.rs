//! What the kernel knows of the user of a process (credentials(7)): ids, supplementary groups,
//! capabilities, the session keyring. Only for a child, which is about to run its program.

use core::ffi::{c_int, c_uint, CStr};
use core::mem::size_of;
use core::{ptr, slice};

use super::super::std::prelude::v1::*;
use crate::config::is_id;
use nix::errno::Errno;
use nix::libc::{self, gid_t};
use nix::sys::prctl::set_dumpable;
use nix::unistd::{getresgid, getresuid, setfsgid, setfsuid, setresgid, setresuid, Gid, Uid};

/// Returns true if all four user ids are this one: real, effective, saved, and that of the file
/// system.
pub(super) fn has_uid(uid: Uid) -> Result<bool, Errno> {
    let now = getresuid()?;
    // An id that is none changes nothing (setfsuid(2)).
    Ok([now.real, now.effective, now.saved, setfsuid(Uid::from_raw(u32::MAX))] == [uid; 4])
}

/// The same for the group ids.
pub(super) fn has_gid(gid: Gid) -> Result<bool, Errno> {
    let now = getresgid()?;
    Ok([now.real, now.effective, now.saved, setfsgid(Gid::from_raw(u32::MAX))] == [gid; 4])
}

/// Sets all four user ids, unless they are as asked.
pub(super) fn set_uid(uid: Uid) -> Result<(), Errno> {
    match has_uid(uid)? {
        true => Ok(()),
        false => setresuid(uid, uid, uid),
    }
}

/// Sets all four group ids, unless they are as asked.
pub(super) fn set_gid(gid: Gid) -> Result<(), Errno> {
    match has_gid(gid)? {
        true => Ok(()),
        false => setresgid(gid, gid, gid),
    }
}

/// The groups of a process besides that of its group id, sorted, each once.
pub(super) struct Groups {
    ids: &'static [gid_t],
    /// Room to read those of the process. Made beforehand: limits on memory may allow none later.
    room: &'static mut [gid_t],
}

impl Groups {
    /// No group.
    pub(super) fn none() -> Groups {
        Groups { ids: &[], room: &mut [] }
    }

    /// The group `gid`, and the groups that a user is a member of (getgrouplist(3)). `E2BIG`: more
    /// than a process can have.
    pub(super) fn of(user: &CStr, gid: Gid) -> Result<Groups, Errno> {
        let ids = new_room()?;
        let mut count = ids.len() as c_int;
        let (user, at) = (user.as_ptr(), ids.as_mut_ptr());
        // SAFETY: room for `count` ids. The only thread of a child, whose heap is its own.
        let found = unsafe { libc::getgrouplist(user, gid.as_raw(), at, &mut count) };
        let found = usize::try_from(found).map_err(|_| Errno::E2BIG)?;
        let ids = ids.get_mut(..found).ok_or(Errno::E2BIG)?;
        Ok(Groups { ids: sorted(ids), room: new_room()? })
    }

    /// Returns true if the process can have each of them as an id.
    pub(super) fn are_ids(&self) -> bool {
        self.ids.iter().all(|&id| is_id(id))
    }

    /// Sets them for a process of the group `gid`, unless they are as asked. A process that may
    /// not set them has to have them, but for `gid`, which it is in anyhow.
    pub(super) fn set(&mut self, gid: Gid) -> Result<(), Errno> {
        let ids = self.ids;
        if self.current()? == ids {
            return Ok(());
        }
        // SAFETY: the kernel reads as many ids as there are.
        let set = unsafe { libc::setgroups(ids.len() as libc::size_t, ids.as_ptr()) };
        match Errno::result(set) {
            Err(Errno::EPERM) if self.are_set(gid)? => Ok(()),
            set => set.map(drop),
        }
    }

    /// Returns true if this process has them and no other; `gid`, its group id, does not count.
    pub(super) fn are_set(&mut self, gid: Gid) -> Result<bool, Errno> {
        let is_other = |id: &&gid_t| **id != gid.as_raw();
        let ids = self.ids.iter().filter(is_other);
        Ok(ids.eq(self.current()?.iter().filter(is_other)))
    }

    /// Those of this process.
    fn current(&mut self) -> Result<&[gid_t], Errno> {
        // SAFETY: room for so many ids.
        let count = unsafe { libc::getgroups(self.room.len() as c_int, self.room.as_mut_ptr()) };
        let count = Errno::result(count)? as usize;
        Ok(sorted(self.room.get_mut(..count).ok_or(Errno::E2BIG)?))
    }
}

/// Sorts ids, and leaves out those that are there already.
fn sorted(ids: &mut [gid_t]) -> &[gid_t] {
    ids.sort_unstable();
    let mut kept = 0;
    for at in 0..ids.len() {
        if kept == 0 || ids[kept - 1] != ids[at] {
            ids[kept] = ids[at];
            kept += 1;
        }
    }
    &ids[..kept]
}

/// How many supplementary groups a process can have (setgroups(2), `NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Room for so many groups. What is not written to takes no memory, and execve(2) takes it back.
fn new_room() -> Result<&'static mut [gid_t], Errno> {
    let bytes = MAX_GROUPS * size_of::<gid_t>();
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
    let flags = flags | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, wherever the kernel has room for it.
    let at = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: so many bytes, all zeros, which nobody else has, and which are not given back.
    Ok(unsafe { slice::from_raw_parts_mut(at.cast::<gid_t>(), MAX_GROUPS) })
}

/// Gives up all capabilities: permitted, effective, inheritable, and so ambient, which are never
/// more than both permitted and inheritable. The bounding set stays, as it is for programs that
/// are setuid.
///
/// setresuid(2) does the like for who was root, but not for a process that has them as another
/// user, or with the securebit `SECBIT_NO_SETUID_FIXUP`, and leaves the inheritable ones alone.
pub(super) fn drop_capabilities() -> Result<(), Errno> {
    // Until execve(2) this is a copy of pmtr, which others of its user are not to look into.
    let _ = set_dumpable(false);
    if capabilities()? == NO_CAPABILITY {
        return Ok(());
    }
    let header = header();
    let (header, sets) = (ptr::addr_of!(header), NO_CAPABILITY.as_ptr());
    // SAFETY: the kernel reads a header and the sets that belong to its version.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header, sets) }).map(drop)
}

/// Returns true if this process has no capability in any set but the bounding one.
pub(super) fn has_no_capability() -> bool {
    capabilities() == Ok(NO_CAPABILITY)
}

/// Effective, permitted and inheritable ones, twice 32 of them (capget(2)).
type Capabilities = [u32; 6];

const NO_CAPABILITY: Capabilities = [0; 6];

fn capabilities() -> Result<Capabilities, Errno> {
    let (mut header, mut sets) = (header(), NO_CAPABILITY);
    let (header, at) = (ptr::addr_of_mut!(header), sets.as_mut_ptr());
    // SAFETY: the kernel writes the sets that belong to the header's version.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, header, at) })?;
    Ok(sets)
}

/// What the kernel calls `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

/// That of this process.
fn header() -> Header {
    const VERSION_3: u32 = 0x2008_0522;
    Header { version: VERSION_3, pid: 0 }
}

/// Joins a new session keyring, which is empty: who is in pmtr's has all keys there (keyrings(7)).
///
/// Where the kernel has no keyrings, or a filter keeps them from all processes, as in many
/// containers, the job has no way to them either.
pub(super) fn leave_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: c_uint = 1;
    let no_name = ptr::null::<u8>();
    // SAFETY: takes no memory of this process.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) };
    match Errno::result(joined) {
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => Ok(()),
        joined => joined.map(drop),
    }
}
