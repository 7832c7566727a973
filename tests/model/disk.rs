//! A file system for one seed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::statfs::{statfs, EXT4_SUPER_MAGIC, TMPFS_MAGIC};
use tempfile::TempDir;

use crate::common::needs_root;

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Disk {
    Tmpfs,
    Ext4,
    Overlay,
}

/// What a seed has for itself.
pub struct Ground {
    /// Where the paths lie.
    pub root: PathBuf,
    /// What does not belong to them.
    pub aside: PathBuf,
    /// Mounts are allowed.
    pub can_mount: bool,
    _dir: TempDir,
}

impl Disk {
    /// Whether this file system cannot be had, which is then said.
    pub fn is_missing(self, test: &str) -> bool {
        match self {
            // Without rights it is the one of the temporary directory.
            Disk::Tmpfs => false,
            Disk::Ext4 => !is_ext4() && (needs_root(test) || !self.can_be_mounted(test)),
            Disk::Overlay => needs_root(test) || !self.can_be_mounted(test),
        }
    }

    fn can_be_mounted(self, test: &str) -> bool {
        let tried = std::thread::spawn(move || self.ground().is_some()).join();
        let can = tried.unwrap_or(false);
        if !can {
            eprintln!("skipped: {test}: {self:?} cannot be mounted here");
        }
        can
    }

    /// Makes one, in a mount namespace of this thread where that is allowed.
    pub fn ground(self) -> Option<Ground> {
        let can_mount = crate::common::is_root() && own_mounts();
        let shm = Path::new("/dev/shm");
        let is_shm = self == Disk::Tmpfs && !can_mount && is(shm, TMPFS_MAGIC);
        let parent = if is_shm { shm.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("pmtr-").tempdir_in(parent).ok()?;
        open_to_all(dir.path());
        let (root, aside) = (dir.path().join("root"), dir.path().join("aside"));
        for path in [&root, &aside] {
            fs::create_dir(path).ok()?;
            open_to_all(path);
        }
        let is_there = match self {
            Disk::Tmpfs if can_mount => mount("tmpfs", "none", &root, "mode=755"),
            Disk::Tmpfs => true,
            Disk::Ext4 => is_ext4() || mount_ext4(dir.path(), &root),
            Disk::Overlay => mount_overlay(dir.path(), &root),
        };
        is_there.then_some(Ground { root, aside, can_mount, _dir: dir })
    }
}

/// Others have to get in.
fn open_to_all(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn is(path: &Path, magic: nix::sys::statfs::FsType) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == magic)
}

fn is_ext4() -> bool {
    is(&std::env::temp_dir(), EXT4_SUPER_MAGIC)
}

/// Mounts of this thread are nobody else's from now on.
fn own_mounts() -> bool {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    let root = std::ffi::CString::new("/").unwrap();
    let none = std::ptr::null();
    // SAFETY: takes a number, and strings with their NUL or none.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, root.as_ptr(), none, flags, none.cast()) == 0
    }
}

fn mount(kind: &str, what: &str, at: &Path, options: &str) -> bool {
    let arguments = ["-t", kind, "-o", options, what];
    let mount = Command::new("mount").args(arguments).arg(at).stderr(Stdio::null()).status();
    mount.is_ok_and(|status| status.success())
}

fn mount_ext4(dir: &Path, root: &Path) -> bool {
    let image = dir.join("image");
    let file = fs::File::create(&image).unwrap();
    file.set_len(8 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
    made.is_ok_and(|status| status.success())
        && mount("ext4", image.to_str().unwrap(), root, "loop")
}

/// With a lower layer that the paths begin in.
fn mount_overlay(dir: &Path, root: &Path) -> bool {
    let layers = dir.join("layers");
    fs::create_dir(&layers).unwrap();
    if !mount("tmpfs", "none", &layers, "mode=755") {
        return false;
    }
    for name in ["lower", "upper", "work"] {
        fs::create_dir(layers.join(name)).unwrap();
    }
    crate::life::begin(&layers.join("lower"));
    let at = layers.display();
    let options = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work");
    mount("overlay", "none", root, &options)
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.can_mount {
            // Until nothing is mounted below any more.
            while Command::new("umount")
                .arg("-l")
                .arg(&self.root)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
            {}
            let _ = Command::new("umount")
                .arg("-l")
                .arg(self.root.with_file_name("layers"))
                .stderr(Stdio::null())
                .status();
        }
    }
}
