//! What a file system can do to a path.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{ffi::CString, io};

use nix::libc;

use crate::dice::Dice;
use crate::truth::{self, Finished};

/// A file that somebody has open for writing.
struct Writer {
    file: File,
    inode: (u64, u64),
    rest: Vec<u8>,
    last: Instant,
}

/// Two paths and what happens to them.
pub struct Life {
    pub dice: Dice,
    root: PathBuf,
    aside: PathBuf,
    can_mount: bool,
    /// pmtr cannot learn who writes.
    pub is_blind: bool,
    version: u32,
    writers: Vec<Writer>,
    pub finished: Finished,
    /// What was done, in its order.
    pub story: Vec<String>,
}

/// Where the configuration lies below the root.
const CONFIG: &str = "etc/app/pmtr.conf";
/// Where the file lies that a job depends on.
const DEP: &str = "srv/site/dep";

/// The directories that the paths begin in.
pub fn begin(root: &Path) {
    for path in [CONFIG, DEP] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    }
}

type Done = io::Result<()>;

impl Life {
    pub fn new(dice: Dice, root: &Path, aside: &Path, can_mount: bool, is_blind: bool) -> Life {
        begin(root);
        let mut life = Life {
            dice,
            root: root.into(),
            aside: aside.into(),
            can_mount,
            is_blind,
            version: 0,
            writers: Vec::new(),
            finished: Finished::default(),
            story: Vec::new(),
        };
        for target in 0..2 {
            let text = life.text(target);
            fs::write(life.path(target), text).unwrap();
        }
        life.observe();
        life
    }

    pub fn config(&self) -> PathBuf {
        self.root.join(CONFIG)
    }

    pub fn dep(&self) -> PathBuf {
        self.root.join(DEP)
    }

    fn dep_word(&self) -> String {
        self.dep().to_str().unwrap().into()
    }

    fn path(&self, target: usize) -> PathBuf {
        [self.config(), self.dep()][target].clone()
    }

    /// New content.
    fn text(&mut self, target: usize) -> String {
        self.version += 1;
        match target {
            0 => truth::config(self.version, &self.dep_word()),
            _ => format!("{:0100}\n", self.version),
        }
    }

    /// A name that was not used before, beside a path or elsewhere.
    fn new_name(&mut self, beside: &Path) -> PathBuf {
        self.version += 1;
        beside.with_file_name(format!("new{}", self.version))
    }

    /// What the path holds, and whether somebody is writing it.
    fn holds(&self, target: usize) -> Option<(Vec<u8>, bool)> {
        let path = self.path(target);
        let stat = fs::metadata(&path).ok().filter(|stat| stat.is_file())?;
        let inode = (stat.dev(), stat.ino());
        let content = fs::read(&path).ok()?;
        // One that does not write for two seconds is not waited for.
        let is_writing = |writer: &Writer| {
            writer.inode == inode && writer.last.elapsed() < Duration::from_millis(1500)
        };
        Some((content, self.writers.iter().any(is_writing)))
    }

    fn observe(&mut self) {
        if let Some((content, false)) = self.holds(0) {
            let names = std::str::from_utf8(&content)
                .ok()
                .and_then(|text| truth::names(text, &self.dep_word()));
            self.finished.configs.extend(names);
        }
        if let Some((content, false)) = self.holds(1) {
            self.finished.digests.insert(truth::digest(&content));
        }
    }

    /// What pmtr has to use in the end.
    pub fn wanted(&self) -> (truth::Names, u64) {
        let (config, _) = self.holds(0).unwrap();
        let text = String::from_utf8(config).unwrap();
        let names = truth::names(&text, &self.dep_word()).unwrap();
        (names, truth::digest(&self.holds(1).unwrap().0))
    }

    // Time.

    /// All that happens, until it is quiet. Returns true if somebody still holds a file open.
    pub fn go(&mut self) -> bool {
        for _ in 0..3 + self.dice.below(14) {
            let target = self.dice.below(2) as usize;
            self.one(target);
            self.observe();
            let pause = match self.dice.below(6) {
                0 | 1 => 0,
                2 | 3 => self.dice.below(5),
                4 => 15 + self.dice.below(20),
                _ => self.dice.below(150),
            };
            sleep(Duration::from_millis(pause));
        }
        while !self.writers.is_empty() {
            self.go_on_writing(0);
            self.observe();
        }
        (0..2).for_each(|target| self.repair(target));
        self.observe();
        !self.writers.is_empty()
    }

    /// Somebody opens a file for writing and does nothing.
    pub fn hold(&mut self) {
        let target = self.dice.below(2) as usize;
        let path = self.path(target);
        if let Ok(file) = OpenOptions::new().append(true).open(path) {
            self.add_writer(file, String::new());
            self.writers.last_mut().unwrap().last -= Duration::from_secs(10);
            self.story.push(format!("hold {target}"));
        }
    }

    /// The path is to hold what can be checked.
    fn repair(&mut self, target: usize) {
        let is_good = |life: &Life| {
            let Some((content, _)) = life.holds(target) else { return false };
            let text = String::from_utf8(content).unwrap_or_default();
            match target {
                0 => !text.is_empty() && truth::names(&text, &life.dep_word()).is_some(),
                _ => text.len() == 101,
            }
        };
        if is_good(self) {
            return;
        }
        self.story.push(format!("repair {target}"));
        let path = self.path(target);
        let parent = path.parent().unwrap();
        if fs::symlink_metadata(parent).is_ok_and(|found| found.is_symlink() && !parent.exists()) {
            let _ = fs::remove_file(parent);
        }
        let _ = fs::create_dir_all(parent);
        if fs::metadata(&path).is_ok_and(|found| found.is_dir()) {
            let _ = fs::remove_dir_all(&path);
        }
        let text = self.text(target);
        if fs::write(&path, &text).is_err() {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
        }
        assert!(is_good(self), "{:?}", self.story);
    }

    /// One thing that happens.
    fn one(&mut self, target: usize) {
        if self.is_blind && !self.writers.is_empty() {
            // Of two who write at once nobody can tell that one of them goes on.
            return self.go_on_writing(target);
        }
        let path = self.path(target);
        let n = self.dice.below(if self.can_mount { 30 } else { 25 });
        let (what, done) = match n {
            0 | 1 => ("write", self.write(target, &path)),
            2..=4 => ("begin", self.begin_to_write(target, &path)),
            5 | 6 => return self.go_on_writing(target),
            7 => ("rename over", self.rename_over(target, &path)),
            8 => ("rename unfinished over", self.rename_unfinished(target, &path)),
            9 => ("backup", fs::rename(&path, path.with_extension("old"))),
            10 => ("exchange", self.exchange(target, &path)),
            11 => ("unlink", fs::remove_file(&path)),
            12 => ("link", self.link(target, &path)),
            13 => ("symlink", self.symlink(target, &path)),
            14 => ("truncate", truncate(&path)),
            15 => ("tmpfile", self.tmpfile(target, &path)),
            16 => ("chmod", self.chmod(&path)),
            17 => ("directory away", self.directory_away(&path)),
            18 => ("directory in", self.directory_in(target, &path)),
            19 => ("rm -r", fs::remove_dir_all(path.parent().unwrap())),
            20 => ("mkdir -p", self.mkdir(target, &path)),
            21 => ("directory link", self.directory_link(target, &path)),
            22 => ("directory exchange", self.directory_exchange(target, &path)),
            23 => ("mkdir at", fs::create_dir(&path)),
            24 => ("rmdir at", fs::remove_dir(&path)),
            25 => ("mount", self.mount(target, &path)),
            26 => ("bind file", self.bind_file(target, &path)),
            27 => ("bind directory", self.bind_directory(target, &path)),
            _ => ("umount", self.umount(&path)),
        };
        let result = done.map_or_else(|error| format!("{:?}", error.kind()), |()| "ok".into());
        self.story.push(format!("{what} {target}: {result}"));
    }

    // Files.

    fn write(&mut self, target: usize, path: &Path) -> Done {
        let text = self.text(target);
        fs::write(path, text)
    }

    fn add_writer(&mut self, file: File, rest: String) {
        let stat = file.metadata().unwrap();
        let inode = (stat.dev(), stat.ino());
        self.writers.push(Writer { file, inode, rest: rest.into(), last: Instant::now() });
    }

    /// Opens, and writes a part of it.
    fn begin_to_write(&mut self, target: usize, path: &Path) -> Done {
        let is_truncated = self.dice.percent(70);
        let file = OpenOptions::new().write(true).create(true).truncate(is_truncated).open(path)?;
        let text = self.text(target);
        self.add_writer(file, text);
        self.write_a_part(self.writers.len() - 1)
    }

    fn write_a_part(&mut self, at: usize) -> Done {
        let len = self.writers[at].rest.len() as u64;
        let part = self.dice.below(len + 1) as usize;
        let writer = &mut self.writers[at];
        let part: Vec<u8> = writer.rest.drain(..part).collect();
        writer.last = Instant::now();
        writer.file.write_all(&part)
    }

    fn go_on_writing(&mut self, _: usize) {
        if self.writers.is_empty() {
            return;
        }
        let at = self.dice.below(self.writers.len() as u64) as usize;
        let result = self.write_a_part(at);
        let is_over = self.writers[at].rest.is_empty();
        self.story.push(format!("write on: {:?}, over: {is_over}", result.is_ok()));
        if is_over {
            self.writers.remove(at);
        }
    }

    fn rename_over(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_name(path);
        self.write(target, &new)?;
        fs::rename(new, path)
    }

    fn rename_unfinished(&mut self, target: usize, path: &Path) -> Done {
        if self.is_blind {
            return Ok(());
        }
        let new = self.new_name(path);
        self.begin_to_write(target, &new)?;
        fs::rename(new, path)
    }

    fn exchange(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_name(path);
        self.write(target, &new)?;
        exchange(&new, path)
    }

    fn link(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_name(path);
        self.write(target, &new)?;
        let _ = fs::remove_file(path);
        if self.dice.percent(50) {
            self.observe();
            sleep(Duration::from_millis(self.dice.below(60)));
        }
        fs::hard_link(new, path)
    }

    fn symlink(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_name(path);
        self.write(target, &new)?;
        let goal =
            if self.dice.percent(50) { PathBuf::from(new.file_name().unwrap()) } else { new };
        if self.dice.percent(50) {
            let link = self.new_name(path);
            symlink(goal, &link)?;
            return fs::rename(link, path);
        }
        let _ = fs::remove_file(path);
        sleep(Duration::from_millis(self.dice.below(2) * self.dice.below(60)));
        symlink(goal, path)
    }

    fn tmpfile(&mut self, target: usize, path: &Path) -> Done {
        let text = self.text(target);
        let parent = path.parent().unwrap();
        let mut file = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(parent)?;
        file.write_all(text.as_bytes())?;
        let _ = fs::remove_file(path);
        let from = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        let to = c_path(path);
        let flags = libc::AT_SYMLINK_FOLLOW;
        // SAFETY: strings with their NUL.
        done(unsafe {
            libc::linkat(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
        })?;
        fs::set_permissions(path, Permissions::from_mode(0o644))
    }

    fn chmod(&mut self, path: &Path) -> Done {
        let mode = if self.is_blind { 0o644 } else { self.dice.pick(&[0o600, 0o640, 0o644]) };
        fs::set_permissions(path, Permissions::from_mode(mode))
    }

    // Directories.

    fn directory_away(&mut self, path: &Path) -> Done {
        let parent = path.parent().unwrap();
        let away = self.new_name(parent);
        fs::rename(parent, away)
    }

    /// A directory beside that of the path, with new content under the path's name.
    fn new_directory(&mut self, target: usize, path: &Path) -> io::Result<PathBuf> {
        let new = self.new_name(path.parent().unwrap());
        fs::create_dir(&new)?;
        self.write(target, &new.join(path.file_name().unwrap()))?;
        Ok(new)
    }

    fn directory_in(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_directory(target, path)?;
        let _ = self.directory_away(path);
        fs::rename(new, path.parent().unwrap())
    }

    fn directory_exchange(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_directory(target, path)?;
        exchange(&new, path.parent().unwrap())
    }

    fn directory_link(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_directory(target, path)?;
        let parent = path.parent().unwrap();
        if !fs::symlink_metadata(parent).is_ok_and(|found| found.is_symlink()) {
            let _ = self.directory_away(path);
        } else if self.dice.percent(50) {
            // As `busybox ln -sfn` does it.
            fs::remove_file(parent)?;
            return symlink(new, parent);
        }
        let link = self.new_name(parent);
        symlink(new, &link)?;
        fs::rename(link, parent)
    }

    fn mkdir(&mut self, target: usize, path: &Path) -> Done {
        fs::create_dir_all(path.parent().unwrap())?;
        sleep(Duration::from_millis(self.dice.below(2) * self.dice.below(40)));
        self.begin_to_write(target, path)
    }

    // Mounts.

    fn mount(&mut self, target: usize, path: &Path) -> Done {
        let parent = path.parent().unwrap();
        mount(Some("tmpfs"), Path::new("none"), parent, 0)?;
        self.observe();
        self.write(target, path)
    }

    fn bind_file(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_name(&self.aside.join("x"));
        self.write(target, &new)?;
        mount(None, &new, path, libc::MS_BIND)
    }

    fn bind_directory(&mut self, target: usize, path: &Path) -> Done {
        let new = self.new_name(&self.aside.join("x"));
        fs::create_dir(&new)?;
        self.write(target, &new.join(path.file_name().unwrap()))?;
        mount(None, &new, path.parent().unwrap(), libc::MS_BIND)
    }

    fn umount(&mut self, path: &Path) -> Done {
        let flags = if self.dice.percent(50) { libc::MNT_DETACH } else { 0 };
        let at = c_path(if self.dice.percent(50) { path } else { path.parent().unwrap() });
        // SAFETY: a string with its NUL.
        done(unsafe { libc::umount2(at.as_ptr(), flags) })
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn done(result: libc::c_int) -> Done {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn truncate(path: &Path) -> Done {
    let path = c_path(path);
    // SAFETY: a string with its NUL.
    done(unsafe { libc::truncate(path.as_ptr(), 0) })
}

fn exchange(one: &Path, other: &Path) -> Done {
    let (one, other) = (c_path(one), c_path(other));
    let (at, flags) = (libc::AT_FDCWD, 2); // RENAME_EXCHANGE
                                           // SAFETY: strings with their NUL. Not every C library has the function.
    let result =
        unsafe { libc::syscall(libc::SYS_renameat2, at, one.as_ptr(), at, other.as_ptr(), flags) };
    done(result as libc::c_int)
}

fn mount(kind: Option<&str>, what: &Path, at: &Path, flags: libc::c_ulong) -> Done {
    let (what, at, kind) = (c_path(what), c_path(at), kind.map(|kind| CString::new(kind).unwrap()));
    let kind = kind.as_ref().map_or(std::ptr::null(), |kind| kind.as_ptr());
    // SAFETY: strings with their NUL, or none.
    done(unsafe { libc::mount(what.as_ptr(), at.as_ptr(), kind, flags, std::ptr::null()) })
}
