//! Looks at the configuration and at what jobs depend on: whether a file is another one than the
//! one that was read last, and whether it is finished.

use super::opened::{Opened, Writers};
use super::stat::stat;
use super::std::prelude::v1::*;
use super::tables::Files;
use super::watch::{Evidence, FileId, Verdict, RETRY_EVERY};
use super::{clock, digest, is_passing, tell};
use crate::config::JobView;
use crate::name::Lossy;
use crate::supervise::Unreadable;
use crate::time::Instant;
use core::ffi::CStr;
use nix::errno::Errno;

/// What was found at a path.
pub(super) enum Found {
    /// The content that was accepted last.
    Same,
    /// Another content, which is finished. It is not [accepted](Files::accept) yet.
    New(Opened),
    /// Content that somebody is writing. It is looked at again when that can be over.
    Unfinished,
    /// There is no file, or none that can be opened.
    Gone(Errno),
}

/// What makes a held file look unfinished.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// It does not end with a line: the configuration.
    Whole,
    /// It is empty: any file.
    Any,
}

/// What an unfinished file is for the job that depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// No news.
    IsIgnored,
    /// A file that cannot be read.
    IsMissing,
}

impl Files {
    /// Looks at what there is.
    pub(super) fn look_at(&mut self, id: FileId, path: &CStr, depth: Depth) -> Found {
        // Opening it tells why there is none.
        if stat(path).is_ok_and(|stat| !self.watch.sight(id).is_news(&stat)) {
            return Found::Same;
        }
        match Opened::new(path) {
            Ok(opened) => self.examine(id, path, opened, depth),
            Err(errno) => Found::Gone(errno),
        }
    }

    fn examine(&mut self, id: FileId, path: &CStr, opened: Opened, depth: Depth) -> Found {
        if !self.watch.sight(id).is_news(&opened.stat) || self.is_as_it_was(id, &opened) {
            return Found::Same;
        }
        let verdict = self.judge(id, &opened, depth);
        if self.watch.sight(id).is_to_be_logged(verdict) {
            log_holder(path, verdict);
        }
        match verdict {
            Verdict::Wait(at) => {
                self.wait(id, path, at, opened.writers);
                Found::Unfinished
            }
            // What was written before it caused events again was not seen.
            _ if self.watch.unmute(id, path) && opened.has_changed() => {
                self.watch.look_by(clock::now());
                Found::Unfinished
            }
            Verdict::Finished | Verdict::Held => Found::New(opened),
        }
    }

    /// Returns true if only the stamp was not precise enough to tell that content is the same.
    fn is_as_it_was(&mut self, id: FileId, opened: &Opened) -> bool {
        let is_watched = self.watch.is_complete();
        let sight = self.watch.sight(id);
        let Some(old) = sight.digest() else { return false };
        let is_same = sight.is_only_doubtful(&opened.stat)
            && opened.writers != Writers::Some
            && digest::of_content(opened) == Ok(old);
        if is_same {
            sight.accept(clock::now(), old, is_watched);
        }
        is_same
    }

    fn judge(&mut self, id: FileId, opened: &Opened, depth: Depth) -> Verdict {
        let (now, is_watched) = (clock::now(), self.watch.is_complete());
        let sight = self.watch.sight(id);
        sight.observe(now, &opened.stat);
        let is_unfinished = match depth {
            Depth::Whole => !opened.ends_with_a_line(),
            Depth::Any => opened.stat.st_size == 0,
        };
        // What is no plain file is never written to an end.
        let writers = if opened.is_plain() { opened.writers } else { Writers::None };
        sight.judge(now, &Evidence { writers, is_unfinished, is_watched })
    }

    /// Where writers are unknown, only the order of events tells a file that one has closed from a
    /// file that another one writes since.
    fn wait(&mut self, id: FileId, path: &CStr, at: Option<Instant>, writers: Writers) {
        if at.is_some() && writers == Writers::Some {
            self.watch.mute(id, path);
        } else {
            self.watch.unmute(id, path);
        }
        if let Some(at) = at {
            self.watch.look_by(at);
        }
    }

    /// From now on the file's content is the one that counts. Returns its digest.
    pub(super) fn accept(&mut self, id: FileId, opened: &Opened) -> Result<u64, Errno> {
        let (now, is_watched) = (clock::now(), self.watch.is_complete());
        let digest = if opened.is_plain() { digest::of_content(opened) } else { Ok(0) };
        let sight = self.watch.sight(id);
        let digest = digest.map_err(|errno| {
            // What was not read is another content whenever it is looked at.
            sight.vanish();
            errno
        })?;
        sight.observe(now, &opened.stat);
        sight.accept(now, digest, is_watched);
        Ok(digest)
    }

    /// The digest of what a job depends on, or the first file that cannot be read. None: one of
    /// them is not finished. Relative ones: see [`digest::with_path`].
    pub(super) fn digest(
        &mut self,
        job: JobView<'_>,
        cwd: &CStr,
        unfinished: Unfinished,
    ) -> Option<Result<u64, Unreadable>> {
        let mut is_unfinished = false;
        let mut combined = digest::Combined::new();
        for (n, path) in job.depends().enumerate() {
            let errno = match digest::with_path(job, cwd, path, |path| self.digest_at(path)) {
                Ok(Some(digest)) => {
                    combined.add(digest);
                    continue;
                }
                Ok(None) if unfinished == Unfinished::IsIgnored => {
                    is_unfinished = true;
                    continue;
                }
                Ok(None) => Errno::ETXTBSY,
                Err(errno) => errno,
            };
            self.retry(errno);
            return Some(Err(Unreadable { file: n as u16, errno: super::errno(errno) }));
        }
        (!is_unfinished).then(|| Ok(combined.digest()))
    }

    fn digest_at(&mut self, path: &CStr) -> Result<Option<u64>, Errno> {
        let id = self.watch.file(path).ok_or(Errno::ENOSPC)?;
        self.digest_of(id, path)
    }

    /// None: it is not finished.
    fn digest_of(&mut self, id: FileId, path: &CStr) -> Result<Option<u64>, Errno> {
        match self.look_at(id, path, Depth::Any) {
            Found::Same => Ok(self.watch.sight(id).digest()),
            Found::Unfinished => Ok(None),
            Found::New(opened) if opened.is_directory() => Err(Errno::EISDIR),
            Found::New(opened) if !opened.is_plain() => Err(Errno::EINVAL),
            Found::New(opened) => {
                let digest = self.accept(id, &opened)?;
                if self.was_written_meanwhile(id, &opened) {
                    return Ok(None);
                }
                tell::debug!("{}: its content is {digest:016x}", Lossy(path.to_bytes()));
                Ok(Some(digest))
            }
            Found::Gone(errno) => {
                self.watch.sight(id).vanish();
                Err(errno)
            }
        }
    }

    /// Returns true if a file may have been written to while it was read: then it is looked at
    /// again. Where writers are unknown, an event that was not read yet tells.
    pub(super) fn was_written_meanwhile(&mut self, id: FileId, opened: &Opened) -> bool {
        if opened.has_changed() {
            self.watch.sight(id).on_modified();
            self.watch.look_by(clock::now());
            return true;
        }
        // An error is told when the loop reads them.
        let _ = (opened.writers == Writers::Unknown).then(|| self.watch.read(clock::now()));
        self.watch.sight(id).is_written()
    }

    /// Looks again after a while if an error is one that passes: no event tells of its end.
    pub(super) fn retry(&mut self, errno: Errno) {
        if is_passing(errno) && errno != Errno::ETXTBSY {
            self.watch.look_by(clock::now() + RETRY_EVERY);
        }
    }
}

fn log_holder(path: &CStr, verdict: Verdict) {
    let path = Lossy(path.to_bytes());
    match verdict {
        Verdict::Held => {
            tell::warning!("{path}: somebody holds it open for writing; it counts as it is");
        }
        Verdict::Wait(_) => {
            tell::warning!(
                "{path}: somebody holds it open for writing, and it looks unfinished; \
                 it counts when it is closed"
            );
        }
        Verdict::Finished => {}
    }
}
