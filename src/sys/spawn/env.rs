//! The environment of a job (environ(7)): pmtr's own, then what its `user`
//! implies, then its `env`, where what comes later wins.

use core::ffi::{c_char, CStr};
use core::ptr;

use heapless::Vec;

use super::user::User;
use crate::config::JobView;
use crate::limits::{MAX_ENV, MAX_INHERITED_ENV, PATH_BYTES};
use nix::errno::Errno;

/// How many variables a job can have.
pub(super) const MAX_VARIABLES: usize = MAX_INHERITED_ENV + USER_VARIABLES + MAX_ENV;

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
pub(super) const EMPTY: &CStr = match CStr::from_bytes_with_nul(b"\0") {
    Ok(empty) => empty,
    Err(_) => unreachable!(),
};

/// `NAME=VALUE` strings, each name once.
pub(super) struct Environment<'a> {
    variables: Vec<&'a CStr, MAX_VARIABLES>,
}

impl<'a> Environment<'a> {
    /// The environment of `job`, in which `user` has been written down.
    /// `E2BIG` is too many variables, which the parser does not let in.
    pub(super) fn new(job: JobView<'a>, user: &'a UserText) -> Result<Self, Errno> {
        let mut environment = Environment { variables: Vec::new() };
        inherited().take(MAX_INHERITED_ENV).try_for_each(|own| environment.inherit(own))?;
        user.variables().try_for_each(|variable| environment.put(variable))?;
        job.env().try_for_each(|variable| environment.put(variable))?;
        Ok(environment)
    }

    /// The variables in the form that execve(2) takes.
    pub(super) fn pointers<const N: usize>(&self) -> Result<Pointers<N>, Errno> {
        pointers(self.variables.iter().copied())
    }

    /// Of a variable that is there twice the first one counts (getenv(3)).
    fn inherit(&mut self, variable: &'a CStr) -> Result<(), Errno> {
        let name = name(variable);
        if OF_PMTR_ALONE.contains(&name) || self.variables.iter().any(|v| self::name(v) == name) {
            return Ok(());
        }
        self.push(variable)
    }

    fn put(&mut self, variable: &'a CStr) -> Result<(), Errno> {
        match self.variables.iter_mut().find(|old| name(old) == name(variable)) {
            Some(old) => {
                *old = variable;
                Ok(())
            }
            None => self.push(variable),
        }
    }

    fn push(&mut self, variable: &'a CStr) -> Result<(), Errno> {
        self.variables.push(variable).map_err(|_| Errno::E2BIG)
    }
}

/// The text of the variables that a `user` implies, each with its NUL.
pub(super) struct UserText {
    text: Vec<u8, { 3 * PATH_BYTES }>,
}

impl UserText {
    /// Writes down the variables of a user, or nothing. `E2BIG` is an entry whose
    /// strings take more than three times the longest path.
    pub(super) fn new(user: Option<&User>) -> Result<Self, Errno> {
        let mut text = UserText { text: Vec::new() };
        for (name, value) in user.into_iter().flat_map(User::variables) {
            let parts = [name.as_bytes(), b"=", value.to_bytes_with_nul()];
            parts.iter().try_for_each(|part| text.text.extend_from_slice(part)).map_err(full)?;
        }
        Ok(text)
    }

    fn variables(&self) -> impl Iterator<Item = &CStr> {
        let with_nul = self.text.split_inclusive(|byte| *byte == 0);
        with_nul.filter_map(|string| CStr::from_bytes_with_nul(string).ok())
    }
}

/// Pointers to strings, the last one null: what execve(2) takes.
pub(super) type Pointers<const N: usize> = Vec<*const c_char, N>;

/// The pointers to `strings`; `E2BIG` if there are more than `N - 1`.
pub(super) fn pointers<'a, const N: usize>(
    strings: impl Iterator<Item = &'a CStr>,
) -> Result<Pointers<N>, Errno> {
    let mut pointers = Vec::new();
    let with_null = strings.map(CStr::as_ptr).chain([ptr::null()]);
    for pointer in with_null {
        pointers.push(pointer).map_err(|_| Errno::E2BIG)?;
    }
    Ok(pointers)
}

/// How many variables of pmtr's own environment jobs do not get, because there are more than
/// [`MAX_INHERITED_ENV`].
pub(in crate::sys) fn left_out() -> usize {
    inherited().skip(MAX_INHERITED_ENV).count()
}

fn full((): ()) -> Errno {
    Errno::E2BIG
}

/// What stands before the `=`.
fn name(variable: &CStr) -> &[u8] {
    variable.to_bytes().split(|byte| *byte == b'=').next().unwrap_or(b"")
}

/// pmtr's own environment.
fn inherited() -> impl Iterator<Item = &'static CStr> {
    extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: nothing changes the environment once jobs are started.
    let mut at = unsafe { environ };
    core::iter::from_fn(move || {
        // SAFETY: `at` is null (clearenv(3)), or in the array, whose last pointer is null.
        let variable = unsafe { at.as_ref().filter(|v| !v.is_null()) }?;
        at = at.wrapping_add(1);
        // SAFETY: the strings of the environment end with a NUL (environ(7)).
        Some(unsafe { CStr::from_ptr(*variable) })
    })
}
