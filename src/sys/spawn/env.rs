//! The environment of a job (environ(7)): pmtr's own, then what its `user`
//! implies, then its `env`, where what comes later wins.

use core::cell::{RefCell, RefMut};
use core::ffi::{c_char, CStr};
use core::marker::PhantomData;
use core::ptr;

use super::super::std::{prelude::v1::*, vec};
use super::user::User;
use crate::limits::{MAX_ENV, PATH_BYTES};
use nix::errno::Errno;

const USER_VARIABLES: usize = 4;

/// What speaks of pmtr's own process, and would mislead a job (sd_notify(3),
/// sd_listen_fds(3), sd_watchdog_enabled(3), systemd.exec(5)).
const OF_PMTR_ALONE: [&[u8]; 7] = [
    b"NOTIFY_SOCKET",
    b"LISTEN_FDS",
    b"LISTEN_PID",
    b"LISTEN_FDNAMES",
    b"WATCHDOG_USEC",
    b"WATCHDOG_PID",
    b"JOURNAL_STREAM",
];

/// The string without bytes.
pub(super) const EMPTY: &CStr = c_str(b"\0");

/// A string that is part of the program, with its NUL.
pub(super) const fn c_str(bytes: &'static [u8]) -> &'static CStr {
    match CStr::from_bytes_with_nul(bytes) {
        Ok(string) => string,
        Err(_) => unreachable!(),
    }
}

/// Pointers to strings, the last one null: what execve(2) takes.
pub(super) type Pointers<const N: usize> = heapless::Vec<*const c_char, N>;

/// Room for the pointers to all variables of a job, however many pmtr itself has. Allocated at the
/// start; a child fills its own copy.
pub(super) struct Room(RefCell<vec::Vec<*const c_char>>);

impl Room {
    /// For the present environment, a user's variables and a job's `env`. For start-up.
    pub(super) fn new() -> Self {
        let most = own().count() + USER_VARIABLES + MAX_ENV;
        Room(RefCell::new(vec::Vec::with_capacity(most + 1)))
    }
}

/// Makes pmtr's own environment what jobs get of it, each name once: looked through when
/// pmtr starts, and not by every process that it starts. Of a variable that is there
/// twice the first one counts (getenv(3)).
pub(super) fn prune() {
    let mut names: vec::Vec<(&[u8], usize)> = own().map(name).zip(0..).collect();
    let count = names.len();
    // There may be 100,000: the first of each name is found by sorting.
    names.sort_unstable();
    names.dedup_by_key(|(name, _)| *name);
    names.retain(|(name, _)| !OF_PMTR_ALONE.contains(name));
    names.sort_unstable_by_key(|(_, at)| *at);
    names.iter().enumerate().for_each(|(to, (_, from))| move_own(*from, to));
    move_own(count, names.len());
}

/// What jobs that add nothing get, in the form that execve(2) takes.
pub(super) fn own_ptr() -> *const *const c_char {
    // SAFETY: nothing changes it once jobs are started.
    unsafe { environ.cast_const() }
}

/// The environment of a job that adds something: `NAME=VALUE` strings, each name once.
pub(super) struct Environment<'a> {
    pointers: RefMut<'a, vec::Vec<*const c_char>>,
    strings: PhantomData<&'a CStr>,
}

impl<'a> Environment<'a> {
    /// What is inherited. `E2BIG`: `room` is in use, or too small, which cannot be.
    pub(super) fn inherited(room: &'a Room) -> Result<Self, Errno> {
        let pointers = room.0.try_borrow_mut().map_err(|_| Errno::E2BIG)?;
        let mut environment = Environment { pointers, strings: PhantomData };
        environment.pointers.clear();
        let with_null = own().map(CStr::as_ptr).chain([ptr::null()]);
        for pointer in with_null {
            environment.push(pointer)?;
        }
        Ok(environment)
    }

    /// Adds variables, which take the place of those of the same name. `E2BIG` is
    /// too many, which the parser does not let in.
    pub(super) fn put(&mut self, variables: impl Iterator<Item = &'a CStr>) -> Result<(), Errno> {
        variables.into_iter().try_for_each(|variable| self.put_one(variable))
    }

    /// The variables in the form that execve(2) takes.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    fn put_one(&mut self, variable: &'a CStr) -> Result<(), Errno> {
        let end = self.pointers.len() - 1;
        // SAFETY: all but the last pointer are of strings that live for `'a`.
        let is_old = |old: &*const c_char| unsafe { name(CStr::from_ptr(*old)) } == name(variable);
        match self.pointers[..end].iter().position(is_old) {
            Some(at) => self.pointers[at] = variable.as_ptr(),
            None => {
                self.push(ptr::null())?;
                self.pointers[end] = variable.as_ptr();
            }
        }
        Ok(())
    }

    /// Never allocates.
    fn push(&mut self, pointer: *const c_char) -> Result<(), Errno> {
        if self.pointers.len() == self.pointers.capacity() {
            return Err(Errno::E2BIG);
        }
        self.pointers.push(pointer);
        Ok(())
    }
}

/// The text of the variables that a `user` implies, each with its NUL.
pub(super) struct UserText {
    text: heapless::Vec<u8, { 3 * PATH_BYTES }>,
}

impl UserText {
    pub(super) const fn new() -> Self {
        UserText { text: heapless::Vec::new() }
    }

    /// Writes down the variables of a user. `E2BIG` is an entry whose strings take
    /// more than three times the longest path.
    pub(super) fn write(&mut self, user: &User<'_>) -> Result<(), Errno> {
        for (name, value) in user.variables() {
            let parts = [name.as_bytes(), b"=", value.to_bytes_with_nul()];
            parts.iter().try_for_each(|part| self.text.extend_from_slice(part)).map_err(full)?;
        }
        Ok(())
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &CStr> {
        let with_nul = self.text.split_inclusive(|byte| *byte == 0);
        with_nul.filter_map(|string| CStr::from_bytes_with_nul(string).ok())
    }
}

/// Makes `pointers` those to `strings`; `E2BIG` if there are more than `N - 1`.
pub(super) fn point<'a, const N: usize>(
    pointers: &mut Pointers<N>,
    strings: impl Iterator<Item = &'a CStr>,
) -> Result<(), Errno> {
    let mut with_null = strings.map(CStr::as_ptr).chain([ptr::null()]);
    with_null.try_for_each(|pointer| pointers.push(pointer).map_err(|_| Errno::E2BIG))
}

fn full((): ()) -> Errno {
    Errno::E2BIG
}

/// What stands before the `=`.
fn name(variable: &CStr) -> &[u8] {
    variable.to_bytes().split(|byte| *byte == b'=').next().unwrap_or(b"")
}

/// pmtr's own environment.
fn own() -> impl Iterator<Item = &'static CStr> {
    (0..).map_while(own_at)
}

fn own_at(at: usize) -> Option<&'static CStr> {
    // SAFETY: null (clearenv(3)), or an array whose last pointer is null, which ends every walk.
    let variable = unsafe { environ.wrapping_add(at).as_ref().filter(|v| !v.is_null()) }?;
    // SAFETY: the strings of the environment end with a NUL (environ(7)).
    Some(unsafe { CStr::from_ptr(*variable) })
}

/// Moves a variable, or the null behind the last one, towards the beginning.
fn move_own(from: usize, to: usize) {
    if from != to {
        // SAFETY: both are in the array, and pmtr has one thread.
        unsafe { *environ.add(to) = *environ.add(from) };
    }
}

extern "C" {
    static environ: *mut *const c_char;
}
