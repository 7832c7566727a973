//! Notices that a file, the configuration or one that a job depends on, may have
//! changed, whichever way it was replaced (inotify(7)).
//!
//! A path is watched in all the places where it can change: the directory of
//! every symbolic link on its way (for a swapped link, Kubernetes' `..data`
//! too), the directory of the file itself (for a rename over it, or a new
//! file), the file (for writing through any name of it), and every directory
//! above for being moved away. A part of the path that does not exist is waited
//! for in the directory above it, and that directory in the one above, since an
//! open directory is removed without an event of its own. What is mounted over
//! or under a path shows in the table of mounts.
//!
//! A walk along a path that adds a watch may have looked before it was there. So a
//! path is walked until a walk adds none.
//!
//! An event is only a hint: after a moment of quiet the files are looked at
//! again, and the watches are laid again, since the path may lead elsewhere.
//! Where inotify cannot be had, looking every [`POLL_EVERY`] takes its place.

mod mounts;
mod sight;
mod walk;

use super::errno::Meaning;
use super::std::ffi::CStr;
use super::std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use super::std::os::unix::ffi::OsStrExt;
use super::std::prelude::v1::*;
use super::tell;
use crate::index::{Index, Link, Linked};
use crate::limits::{MAX_DEPENDS, MAX_WATCHES, SIGHT_BYTES, WATCH_BYTES};
use crate::list::List;
use crate::short::Short;
use crate::time::Instant;
use core::mem::size_of;
use core::time::Duration;
use inotify::{EventMask, Inotify, WatchMask};
use mounts::Mounts;
use nix::errno::Errno;
use nix::libc;
use sight::path_hash;
pub(super) use sight::Evidence;
pub use sight::{Sight, Verdict};
use walk::{name_hash, Step, Walk};

/// How long it must have been quiet before files are looked at: the steps of
/// one save follow each other faster.
const SETTLE: Duration = Duration::from_millis(20);

/// How long a stream of events can put that off.
const SETTLE_AT_MOST: Duration = Duration::from_millis(200);

/// How often files are looked at where inotify cannot be had.
pub const POLL_EVERY: Duration = Duration::from_millis(500);

/// How often a file is read again that cannot be read for a reason that passes.
pub const RETRY_EVERY: Duration = Duration::from_secs(2);

/// How often a path is walked at once to find nothing new; one that does not stay the same for so
/// long is walked again after [`SETTLE`].
const MOST_WALKS: usize = 8;

/// A watched file: the configuration, or one that jobs depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(u16);

impl FileId {
    /// The configuration.
    pub const CONFIG: FileId = FileId(0);
}

/// A directory above: that it is moved or removed.
const SELF: WatchMask = WatchMask::MOVE_SELF
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::ONLYDIR)
    .union(WatchMask::DONT_FOLLOW)
    .union(WatchMask::MASK_ADD);

/// A directory in which an entry matters.
const ENTRIES: WatchMask = SELF
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::MOVE)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE);

/// The file itself, while it is being written: each write is no event.
const MUTED: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::ATTRIB);

/// The file itself. It can be the directory of another file.
const FILE: WatchMask =
    MUTED.union(WatchMask::MODIFY).union(WatchMask::DONT_FOLLOW).union(WatchMask::MASK_ADD);

/// The events of a file's content; all others tell that a path may lead elsewhere.
const CONTENT: EventMask = EventMask::CLOSE_WRITE.union(EventMask::MODIFY).union(EventMask::ATTRIB);

/// What may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Paths may lead elsewhere: the watches are to be laid again.
    pub is_elsewhere: bool,
    /// Some file may have changed.
    pub any: bool,
}

/// The watches on all paths. All zeros before [`start`](Self::start); it is
/// large: keep it in a static.
#[repr(C)]
pub struct Watch {
    inotify: Option<Inotify>,
    mounts: Mounts,
    hints: Hints,
    /// Since when there are hints that were not looked at, and when they will be.
    unsettled: Option<(Instant, Instant)>,
    /// Some watch could not be laid: look now and then as well.
    incomplete: bool,
    /// The last walk has laid a watch that was not there before.
    is_new: bool,
    /// A path has not stayed the same for long enough to be watched.
    is_unsteady: bool,
    /// The error because of which; 0 where there was no room.
    why: i32,
    told: bool,
    /// When all files are looked at because not all can be watched.
    poll_at: Option<Instant>,
    /// When they are looked at because of a file that is not finished, or cannot be read.
    look_at: Option<Instant>,
    config: Sight,
    by_event: Index,
    /// What is waited for, and with it all watches of the kernel: for each of
    /// them there is a row with the name 0.
    expected: List<Expected, MAX_WATCHES>,
    depends: List<Sight, MAX_DEPENDS>,
}

/// An entry of a directory that matters, or (`name` 0) what is watched itself.
#[derive(Clone, Copy)]
struct Expected {
    watch: i32,
    name: u32,
    whose: Whose,
    /// A path leads here.
    needed: bool,
    by_event: Link,
}

/// The file that an event is about, plus one; 0: a part of the way to any number of them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Whose(u16);

impl Whose {
    const ANY: Whose = Whose(0);

    fn file(id: FileId) -> Self {
        Whose(id.0 + 1)
    }

    fn id(self) -> Option<FileId> {
        self.0.checked_sub(1).map(FileId)
    }
}

const _: () = assert!(size_of::<Expected>() <= WATCH_BYTES && size_of::<Sight>() <= SIGHT_BYTES);

impl Expected {
    /// What stands in a row that is not used. All zeros.
    const NONE: Expected =
        Expected { watch: 0, name: 0, whose: Whose::ANY, needed: false, by_event: Link::NONE };
}

impl Linked for Expected {
    fn link(&self) -> &Link {
        &self.by_event
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.by_event
    }
}

/// The key of [`Expected`]: one event can be about several files.
fn key(watch: i32, name: u32) -> u32 {
    name.wrapping_mul(31).wrapping_add(watch as u32)
}

/// Waiting.
impl Watch {
    /// Watches nothing.
    pub const fn new() -> Self {
        Watch {
            inotify: None,
            mounts: Mounts::new(),
            hints: Hints { is_elsewhere: false, any: false },
            unsettled: None,
            incomplete: false,
            is_new: false,
            is_unsteady: false,
            why: 0,
            told: false,
            poll_at: None,
            look_at: None,
            config: Sight::NONE,
            by_event: Index::new(),
            expected: List::new(Expected::NONE),
            depends: List::new(Sight::NONE),
        }
    }

    /// Opens what it watches with. Allocates: start-up only.
    pub fn start(&mut self) {
        let inotify = Inotify::init();
        if let Err(error) = &inotify {
            tell::warning!("no inotify ({error}): looking at the files twice a second");
        }
        (self.told, self.incomplete) = (inotify.is_err(), inotify.is_err());
        self.inotify = inotify.ok();
    }

    /// The descriptor to wait for, where there is inotify.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Opens the table of mounts if it is not open: /proc may have been mounted meanwhile. Returns
    /// true if it is open now and was not.
    pub fn open_mounts(&mut self) -> bool {
        self.mounts.fd().is_none() && self.mounts.open()
    }

    /// Closes the table of mounts, which cannot be waited for.
    pub fn close_mounts(&mut self) {
        self.mounts = Mounts::new();
    }

    /// The descriptor that has urgent data when something was mounted or unmounted.
    pub fn mounts(&self) -> Option<BorrowedFd<'_>> {
        self.mounts.fd()
    }

    /// When [`settled`](Self::settled) is to be asked.
    pub fn deadline(&self) -> Option<Instant> {
        let settled = self.unsettled.map(|(_, at)| at);
        [settled, self.poll_at, self.look_at].into_iter().flatten().min()
    }

    /// Something was mounted or unmounted.
    pub fn on_mounts(&mut self, now: Instant) {
        self.hint(now, Hints { is_elsewhere: true, any: true });
    }

    /// Looks at everything again at this time, though nothing hints at a change.
    pub fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |look_at| look_at.min(at)));
    }

    /// Reads events. Call it when the descriptor is ready.
    ///
    /// Not inlined: the loop's own frame is to be small.
    #[inline(never)]
    pub fn read(&mut self, now: Instant) -> Result<(), Errno> {
        let mut buffer = [0; 4096];
        let Watch { inotify, by_event, expected, config, depends, .. } = self;
        let Some(inotify) = inotify else { return Ok(()) };
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
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                found = Hints { is_elsewhere: true, any: true };
                core::iter::once(&mut *config).chain(depends.iter_mut()).for_each(Sight::distrust);
            }
            each(by_event, expected, watch, name, &mut |whose| {
                found.any = true;
                found.is_elsewhere |= !CONTENT.contains(event.mask);
                let sight = whose.id().and_then(|id| sight_of(config, depends, id));
                if let Some(sight) = sight {
                    note(sight, event.mask);
                }
            });
        }
        self.hint(now, found);
        Ok(())
    }

    fn hint(&mut self, now: Instant, found: Hints) {
        if !found.any {
            return;
        }
        self.hints.any = true;
        self.hints.is_elsewhere |= found.is_elsewhere;
        let since = self.unsettled.map_or(now, |(since, _)| since);
        self.unsettled = Some((since, (now + SETTLE).min(since + SETTLE_AT_MOST)));
    }

    /// What is to be looked at now, if it was quiet for long enough.
    pub fn settled(&mut self, now: Instant) -> Option<Hints> {
        let is_settled = self.unsettled.is_some_and(|(_, at)| at <= now);
        let is_to_be_polled = self.poll_at.is_some_and(|at| at <= now);
        if !(is_settled || is_to_be_polled || self.look_at.is_some_and(|at| at <= now)) {
            return None;
        }
        // A file that is not finished says when to look again.
        (self.unsettled, self.look_at) = (None, None);
        self.poll_at = self.incomplete.then(|| now + POLL_EVERY);
        let hints = core::mem::take(&mut self.hints);
        Some(Hints { any: true, is_elsewhere: hints.is_elsewhere || is_to_be_polled })
    }
}

/// What was seen of the files.
impl Watch {
    /// What is known of a file.
    pub fn sight(&mut self, id: FileId) -> &mut Sight {
        let Watch { config, depends, .. } = self;
        match usize::from(id.0).checked_sub(1) {
            Some(n) => &mut depends[n],
            None => config,
        }
    }

    /// The file that jobs depend on at `path` (absolute). None: the table is full, and the
    /// configuration names more than `MAX_DEPENDS`.
    pub fn file(&mut self, path: &CStr) -> Option<FileId> {
        let path = path_hash(path.to_bytes());
        let row = |wanted| self.depends.iter().position(|sight| sight.path == wanted);
        let at = row(path).or_else(|| row(0)).or_else(|| {
            self.depends.push(Sight::NONE).ok()?;
            Some(self.depends.len() - 1)
        })?;
        self.depends[at].path = path;
        Some(FileId(at as u16 + 1))
    }

    /// Notes that the configuration names a file, before [`forget`](Self::forget).
    pub fn keep(&mut self, path: &CStr) {
        let path = path_hash(path.to_bytes());
        if let Some(sight) = self.depends.iter_mut().find(|sight| sight.path == path) {
            sight.is_needed = true;
        }
    }

    /// Forgets the files that were not [kept](Self::keep) since this was called last.
    pub fn forget(&mut self) {
        for sight in self.depends.iter_mut() {
            if !core::mem::take(&mut sight.is_needed) {
                *sight = Sight::NONE;
            }
        }
    }

    /// Returns true if each change of a watched file causes an event.
    pub fn is_complete(&self) -> bool {
        !self.incomplete
    }

    /// Has writing to a file cause no events any more: somebody is writing it, and may do so
    /// without end. Its closing, and all else, does.
    pub fn mute(&mut self, id: FileId, path: &CStr) {
        if !self.sight(id).is_muted && self.add_mask(path, MUTED).is_ok() {
            self.sight(id).is_muted = true;
        }
    }

    /// Has writing to a file cause events again. Returns true if it did not.
    pub fn unmute(&mut self, id: FileId, path: &CStr) -> bool {
        let was_muted = core::mem::take(&mut self.sight(id).is_muted);
        if was_muted && self.add_mask(path, MUTED | WatchMask::MODIFY).is_err() {
            self.hint_at_way();
        }
        was_muted
    }

    fn hint_at_way(&mut self) {
        self.hints.is_elsewhere = true;
    }
}

/// Laying watches.
impl Watch {
    /// Begins to lay the watches again: [`lay`](Self::lay) each path, then [`laid`](Self::laid).
    pub fn begin(&mut self) {
        self.incomplete = self.inotify.is_none();
        (self.why, self.is_unsteady) = (0, false);
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
        self.narrow();
        self.expected.retain(|expected| expected.needed);
        self.by_event.clear(&mut self.expected);
        for at in 0..self.expected.len() {
            let Expected { watch, name, .. } = self.expected[at];
            self.by_event.insert(&mut self.expected, at, key(watch, name));
        }
        self.poll_at = self.incomplete.then(|| now + POLL_EVERY);
        if self.is_unsteady {
            self.on_mounts(now);
        }
        self.tell_incomplete();
    }

    /// Takes out the watches of directories whose entries do not matter any more though the
    /// directories themselves do: the next walks lay them anew, with fewer events.
    fn narrow(&mut self) {
        for at in 0..self.expected.len() {
            let Expected { watch, name, needed, .. } = self.expected[at];
            let has_entries = |row: &Expected| row.watch == watch && row.name != 0 && row.needed;
            if name == 0 || needed || self.expected.iter().any(has_entries) {
                continue;
            }
            self.is_unsteady |= self.is_needed(watch);
            self.remove(watch);
            for row in self.expected.iter_mut().filter(|row| row.watch == watch) {
                row.needed = false;
            }
        }
    }

    /// Says once that not all can be watched, until it can.
    fn tell_incomplete(&mut self) {
        let was_told = core::mem::replace(&mut self.told, self.incomplete);
        if self.incomplete && !was_told {
            let why = match self.why {
                0 => Short::new("there are too many"),
                errno => Errno::from_raw(errno).meaning(),
            };
            tell::warning!("not all files can be watched ({why}): looking at them twice a second");
        }
    }

    /// Watches everything that can make `path` (absolute) another file.
    pub fn lay(&mut self, path: &CStr, id: FileId) {
        if self.inotify.is_none() {
            return;
        }
        for _ in 0..MOST_WALKS {
            self.is_new = false;
            self.walk(path, id);
            if !self.is_new {
                return;
            }
        }
        self.is_unsteady = true;
    }

    /// Not inlined: the path's buffer is only needed meanwhile.
    #[inline(never)]
    fn walk(&mut self, path: &CStr, id: FileId) {
        let mut walk = Walk::new();
        walk.along(path.to_bytes());
        self.lay_along(&mut walk, id);
        if let Some(errno) = walk.failed() {
            self.is_incomplete(errno as i32);
        }
    }

    fn lay_along(&mut self, walk: &mut Walk, id: FileId) {
        loop {
            match walk.step() {
                Step::Directory => self.lay_one(walk, SELF, 0, Whose::ANY),
                Step::Missing { name } => {
                    self.lay_one(walk, ENTRIES, name, Whose::file(id));
                    return self.lay_above(walk);
                }
                Step::Link { name } => {
                    self.lay_one(walk, ENTRIES, name, Whose::ANY);
                    if !walk.follow() {
                        return;
                    }
                }
                Step::File { name } => {
                    self.lay_one(walk, ENTRIES, name, Whose::file(id));
                    walk.enter();
                    return self.lay_file(walk, id);
                }
            }
        }
    }

    /// Watches the file that the walk has come to.
    fn lay_file(&mut self, walk: &mut Walk, id: FileId) {
        let was_new = core::mem::take(&mut self.is_new);
        self.lay_one(walk, FILE, 0, Whose::file(id));
        self.sight(id).is_muted = false;
        if self.is_new {
            self.sight(id).on_watched();
        }
        self.is_new |= was_new;
    }

    /// Watches the entry of the directory in which something is missing: it may be removed, and
    /// if somebody has it open it has no event of that itself.
    fn lay_above(&mut self, walk: &mut Walk) {
        if let Some(name) = walk.back() {
            self.lay_one(walk, ENTRIES, name, Whose::ANY);
        }
    }

    fn is_incomplete(&mut self, why: i32) {
        (self.incomplete, self.why) = (true, why);
    }

    /// Watches where the walk has come to, for an entry called `name` there (0: for itself).
    fn lay_one(&mut self, walk: &mut Walk, mask: WatchMask, name: u32, whose: Whose) {
        let itself = if name == 0 { whose } else { Whose::ANY };
        let Some(Some(watch)) = walk.here(|path| self.add(path, mask)) else { return };
        if !(self.expect(watch, 0, itself) && self.expect(watch, name, whose)) {
            self.is_incomplete(0);
        }
    }

    /// False: the table is full.
    fn expect(&mut self, watch: i32, name: u32, whose: Whose) -> bool {
        let is_it = |row: &Expected| (row.watch, row.name, row.whose) == (watch, name, whose);
        if let Some(at) = self.by_event.find(&self.expected, key(watch, name), is_it) {
            self.expected[at].needed = true;
            return true;
        }
        self.is_new = true;
        let new = Expected { watch, name, whose, needed: true, by_event: Link::NONE };
        let at = self.expected.len();
        let is_room = self.expected.push(new).is_ok();
        if is_room {
            self.by_event.insert(&mut self.expected, at, key(watch, name));
        }
        is_room
    }

    fn is_needed(&self, watch: i32) -> bool {
        let is_it = |row: &Expected| (row.watch, row.name, row.needed) == (watch, 0, true);
        self.by_event.find(&self.expected, key(watch, 0), is_it).is_some()
    }

    fn add(&mut self, path: &CStr, mask: WatchMask) -> Option<i32> {
        match self.add_mask(path, mask) {
            Ok(watch) => return Some(watch),
            // What was there a moment ago is gone again, or something else: another walk tells.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => self.is_new = true,
            Err(errno) => self.is_incomplete(errno as i32),
        }
        None
    }

    fn add_mask(&self, path: &CStr, mask: WatchMask) -> Result<i32, Errno> {
        let fd = self.inotify.as_ref().ok_or(Errno::ENOSYS)?.as_raw_fd();
        // SAFETY: a NUL-terminated path that outlives the call. The crate's own
        // way allocates, which is for start-up only.
        Errno::result(unsafe { libc::inotify_add_watch(fd, path.as_ptr(), mask.bits()) })
    }

    fn remove(&self, watch: i32) {
        if let Some(inotify) = &self.inotify {
            // SAFETY: takes two numbers. A watch that the kernel removed itself is an error that means nothing.
            unsafe { libc::inotify_rm_watch(inotify.as_raw_fd(), watch) };
        }
    }
}

/// Calls `found` for each file that an event is about.
fn each(index: &Index, expected: &[Expected], watch: i32, name: u32, found: &mut dyn FnMut(Whose)) {
    let found = core::cell::RefCell::new(found);
    index.find(expected, key(watch, name), |row| {
        if (row.watch, row.name) == (watch, name) {
            (found.borrow_mut())(row.whose);
        }
        false
    });
}

fn sight_of<'a>(
    config: &'a mut Sight,
    depends: &'a mut [Sight],
    id: FileId,
) -> Option<&'a mut Sight> {
    match usize::from(id.0).checked_sub(1) {
        Some(n) => depends.get_mut(n),
        None => Some(config),
    }
}

/// Takes notice of an event of a file's name, or of the file itself.
fn note(sight: &mut Sight, mask: EventMask) {
    if mask.intersects(EventMask::CLOSE_WRITE) {
        sight.on_closed();
    } else if mask.intersects(EventMask::MODIFY) {
        sight.on_modified();
    } else if mask.intersects(EventMask::CREATE) {
        sight.on_created();
    } else if mask.intersects(EventMask::MOVED_TO) {
        sight.on_moved_in();
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
