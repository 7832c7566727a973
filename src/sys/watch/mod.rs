//! Notices that the configuration, or a file that a job depends on, may have
//! changed, whichever way it was replaced (inotify(7)).
//!
//! A path is watched in all the places where it can change: the directory of
//! every symbolic link on its way (for a swapped link, Kubernetes' `..data`
//! too), the directory of the file itself (for a rename over it, or a new
//! file), the file (for writing through another name of it, or a bind mount),
//! and every directory above for being moved away. A part of the path that
//! does not exist is waited for in the directory above it.
//!
//! An event is only a hint: after a moment of quiet the files are looked at
//! again, and the watches are laid again, since the path may lead elsewhere.
//! Where inotify cannot be had, looking every [`LOOK_EVERY`] takes its place.

mod walk;

use super::errno::Meaning;
use super::std::ffi::CStr;
use super::std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use super::std::os::unix::ffi::OsStrExt;
use super::std::prelude::v1::*;
use super::tell;
use crate::index::{Index, Link, Linked};
use crate::limits::{MAX_WATCHES, WATCH_BYTES};
use crate::list::List;
use crate::short::Short;
use crate::time::Instant;
use core::mem::size_of;
use core::time::Duration;
use inotify::{EventMask, Inotify, WatchMask};
use nix::errno::Errno;
use nix::libc;
use walk::{name_hash, Step, Walk};

/// How long it must have been quiet before files are looked at: the steps of
/// one save follow each other faster.
const SETTLE: Duration = Duration::from_millis(20);

/// How long a stream of events can put that off.
const SETTLE_AT_MOST: Duration = Duration::from_millis(200);

/// How soon a configuration is looked at again that somebody is writing.
const PUT_OFF: Duration = Duration::from_millis(100);

/// How often files are looked at where inotify cannot be had.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Which file a path is to pmtr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The configuration.
    Config,
    /// What some job depends on.
    Depends,
}

/// A directory above: that it is moved or removed.
const SELF: WatchMask =
    WatchMask::MOVE_SELF.union(WatchMask::DELETE_SELF).union(WatchMask::ONLYDIR).union(ADD);

/// A directory in which an entry matters.
const ENTRIES: WatchMask = SELF
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::MOVE)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE);

/// The file itself.
const FILE: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::ATTRIB)
    .union(ADD);

/// One directory can be watched for several reasons.
const ADD: WatchMask = WatchMask::MASK_ADD;

/// The events after which a file has new content: it was closed after writing,
/// or another one took its name.
const WRITE: EventMask = EventMask::CLOSE_WRITE.union(EventMask::MOVED_TO);

/// What may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The configuration was written or replaced.
    pub config_written: bool,
    /// The configuration was created, and not closed since: whoever creates it
    /// may be about to write it.
    pub config_created: bool,
    /// Something that leads to one of the files has changed.
    pub any: bool,
}

/// The watches on all paths. All zeros before [`start`](Self::start); it is
/// large: keep it in a static.
#[repr(C)]
pub struct Watch {
    inotify: Option<Inotify>,
    hints: Hints,
    /// Since when there are hints that were not looked at, and when they will be.
    unsettled: Option<(Instant, Instant)>,
    /// Some watch could not be laid: look now and then as well.
    incomplete: bool,
    /// The error because of which; 0 where there was no room.
    why: i32,
    told: bool,
    look_at: Option<Instant>,
    by_event: Index,
    /// What is waited for, and with it all watches of the kernel: for each of
    /// them there is a row with the name 0.
    expected: List<Expected, MAX_WATCHES>,
}

/// An entry of a directory that matters, or (`name` 0) what is watched itself.
#[derive(Clone, Copy)]
struct Expected {
    watch: i32,
    name: u32,
    role: Role,
    /// A path leads here.
    needed: bool,
    by_event: Link,
}

const _: () = assert!(size_of::<Expected>() <= WATCH_BYTES);

impl Expected {
    /// What stands in a row that is not used. All zeros.
    const NONE: Expected =
        Expected { watch: 0, name: 0, role: Role::Config, needed: false, by_event: Link::NONE };
}

impl Linked for Expected {
    fn link(&self) -> &Link {
        &self.by_event
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.by_event
    }
}

/// The key of [`Expected`].
fn key(watch: i32, name: u32, role: Role) -> u32 {
    name.wrapping_mul(31).wrapping_add(watch as u32 * 2 + role as u32)
}

impl Watch {
    /// Watches nothing.
    pub const fn new() -> Self {
        Watch {
            inotify: None,
            hints: Hints { config_written: false, config_created: false, any: false },
            unsettled: None,
            incomplete: false,
            why: 0,
            told: false,
            look_at: None,
            by_event: Index::new(),
            expected: List::new(Expected::NONE),
        }
    }

    /// Opens what it watches with. Allocates: start-up only.
    pub fn start(&mut self) {
        let inotify = Inotify::init();
        if let Err(error) = &inotify {
            tell::warning!(
                "no inotify ({error}): looking at the files every {} seconds",
                LOOK_EVERY.as_secs()
            );
        }
        self.told = inotify.is_err();
        self.inotify = inotify.ok();
    }

    /// The descriptor to wait for, where there is inotify.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// When [`settled`](Self::settled) is to be asked.
    pub fn deadline(&self) -> Option<Instant> {
        [self.unsettled.map(|(_, at)| at), self.look_at].into_iter().flatten().min()
    }

    /// Begins to lay the watches again: [`lay`](Self::lay) each path, then [`laid`](Self::laid).
    pub fn begin(&mut self) {
        self.incomplete = self.inotify.is_none();
        self.why = 0;
        for expected in self.expected.iter_mut() {
            expected.needed = false;
        }
    }

    /// Takes out the watches that no path needed any more.
    pub fn laid(&mut self, now: Instant) {
        for old in self.expected.iter().filter(|old| old.name == 0 && !old.needed) {
            if !self.is_needed(old.watch) {
                self.remove(old.watch);
            }
        }
        self.expected.retain(|expected| expected.needed);
        self.by_event.clear(&mut self.expected);
        for at in 0..self.expected.len() {
            let Expected { watch, name, role, .. } = self.expected[at];
            self.by_event.insert(&mut self.expected, at, key(watch, name, role));
        }
        self.look_at = self.incomplete.then(|| now + LOOK_EVERY);
        self.tell_incomplete();
    }

    /// Says once that not all can be watched, until it can.
    fn tell_incomplete(&mut self) {
        let was_told = core::mem::replace(&mut self.told, self.incomplete);
        if self.incomplete && !was_told {
            let why = match self.why {
                0 => Short::new("there are too many"),
                errno => Errno::from_raw(errno).meaning(),
            };
            let seconds = LOOK_EVERY.as_secs();
            tell::warning!(
                "not all files can be watched ({why}): looking at them every {seconds} seconds"
            );
        }
    }

    /// Looks at everything again after [`LOOK_EVERY`], though nothing hints at a
    /// change: something could not be read.
    pub fn look_again(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + LOOK_EVERY);
    }

    /// Reads events. Call it when the descriptor is ready.
    ///
    /// Not inlined: the loop's own frame is to be small.
    #[inline(never)]
    pub fn read(&mut self, now: Instant) -> Result<(), Errno> {
        let mut buffer = [0; 4096];
        let Some(inotify) = &mut self.inotify else { return Ok(()) };
        let events = match inotify.read_events(&mut buffer) {
            Ok(events) => events,
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::EAGAIN => return Ok(()),
                errno => return Err(errno),
            },
        };
        let mut found = Hints::default();
        for event in events {
            let watch = event.wd.get_watch_descriptor_id();
            let name = event.name.map_or(0, |name| name_hash(name.as_bytes()));
            let is_expected = |role| find(&self.by_event, &self.expected, watch, name, role);
            let is_config = is_expected(Role::Config).is_some();
            let is_overflow = event.mask.contains(EventMask::Q_OVERFLOW);
            found.any |= is_config || is_expected(Role::Depends).is_some() || is_overflow;
            found.config_written |= event.mask.intersects(WRITE) && is_config;
            found.config_created |= event.mask.contains(EventMask::CREATE) && is_config;
        }
        self.hint(now, found);
        Ok(())
    }

    fn hint(&mut self, now: Instant, found: Hints) {
        if !found.any {
            return;
        }
        self.hints.any = true;
        self.hints.config_written |= found.config_written;
        self.hints.config_created |= found.config_created;
        if found.config_written {
            self.hints.config_created = false;
        }
        let since = self.unsettled.map_or(now, |(since, _)| since);
        self.unsettled = Some((since, (now + SETTLE).min(since + SETTLE_AT_MOST)));
    }

    /// What is to be looked at now, if it was quiet for long enough.
    pub fn settled(&mut self, now: Instant) -> Option<Hints> {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = self.incomplete.then(|| now + LOOK_EVERY);
            self.hints.any = true;
        } else if !self.unsettled.is_some_and(|(_, at)| at <= now) {
            return None;
        }
        self.unsettled = None;
        let next = Hints { config_created: self.hints.config_created, ..Hints::default() };
        Some(core::mem::replace(&mut self.hints, next))
    }

    /// Gives the hint at a new configuration again in a moment.
    pub fn put_off(&mut self, now: Instant) {
        self.hints.any = true;
        self.hints.config_written = true;
        self.unsettled = Some((now, now + PUT_OFF));
    }

    /// Watches everything that can make `path` (absolute) another file.
    pub fn lay(&mut self, path: &CStr, role: Role) {
        let mut walk = Walk::new();
        walk.along(path.to_bytes());
        self.lay_along(&mut walk, role);
        if let Some(errno) = walk.failed() {
            self.is_incomplete(errno as i32);
        }
    }

    fn lay_along(&mut self, walk: &mut Walk, role: Role) {
        loop {
            match walk.step() {
                Step::Directory => self.lay_one(walk, SELF, 0, role),
                Step::Missing { name } => return self.lay_one(walk, ENTRIES, name, role),
                Step::Link { name } => {
                    self.lay_one(walk, ENTRIES, name, role);
                    if !walk.follow() {
                        return;
                    }
                }
                Step::File { name } => {
                    self.lay_one(walk, ENTRIES, name, role);
                    walk.enter();
                    return self.lay_one(walk, FILE, 0, role);
                }
            }
        }
    }

    fn is_incomplete(&mut self, why: i32) {
        (self.incomplete, self.why) = (true, why);
    }

    /// Watches where the walk has come to, for an entry called `name` there (0: for itself).
    fn lay_one(&mut self, walk: &mut Walk, mask: WatchMask, name: u32, role: Role) {
        let Some(Some(watch)) = walk.here(|path| self.add(path, mask)) else { return };
        if !(self.expect(watch, 0, role) && self.expect(watch, name, role)) {
            self.is_incomplete(0);
        }
    }

    /// False: the table is full.
    fn expect(&mut self, watch: i32, name: u32, role: Role) -> bool {
        if let Some(at) = find(&self.by_event, &self.expected, watch, name, role) {
            self.expected[at].needed = true;
            return true;
        }
        let new = Expected { watch, name, role, needed: true, by_event: Link::NONE };
        let at = self.expected.len();
        let is_room = self.expected.push(new).is_ok();
        if is_room {
            self.by_event.insert(&mut self.expected, at, key(watch, name, role));
        }
        is_room
    }

    fn is_needed(&self, watch: i32) -> bool {
        [Role::Config, Role::Depends].into_iter().any(|role| {
            let found = find(&self.by_event, &self.expected, watch, 0, role);
            found.is_some_and(|at| self.expected[at].needed)
        })
    }

    fn add(&mut self, path: &CStr, mask: WatchMask) -> Option<i32> {
        let fd = self.inotify.as_ref()?.as_raw_fd();
        // SAFETY: a NUL-terminated path that outlives the call. The crate's own
        // way allocates, which is for start-up only.
        let watch = unsafe { libc::inotify_add_watch(fd, path.as_ptr(), mask.bits()) };
        match Errno::result(watch) {
            Ok(watch) => return Some(watch),
            // What was there a moment ago is gone again: its directory tells.
            Err(Errno::ENOENT) => {}
            Err(errno) => self.is_incomplete(errno as i32),
        }
        None
    }

    fn remove(&self, watch: i32) {
        if let Some(inotify) = &self.inotify {
            // SAFETY: takes two numbers. A watch that the kernel removed itself is an error that means nothing.
            unsafe { libc::inotify_rm_watch(inotify.as_raw_fd(), watch) };
        }
    }
}

fn find(index: &Index, expected: &[Expected], watch: i32, name: u32, role: Role) -> Option<usize> {
    let is_it = |row: &Expected| (row.watch, row.name, row.role) == (watch, name, role);
    index.find(expected, key(watch, name, role), is_it)
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
