//! The ways in which editors and tools replace what a file says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A way to make `path` say `text`.
pub type Save = fn(&Path, &str);

/// Opens, truncates, writes: `echo >`, nano.
pub fn in_place(path: &Path, text: &str) {
    fs::write(path, text).expect("writing");
}

/// Writes a new file beside it and renames that over it: ansible, most tools.
pub fn by_rename(path: &Path, text: &str) {
    let new = beside(path, "new");
    fs::write(&new, text).expect("writing");
    fs::rename(&new, path).expect("renaming");
}

/// Renames the old file away and creates a new one: editors that keep a backup.
pub fn with_backup(path: &Path, text: &str) {
    fs::rename(path, beside(path, "backup")).expect("renaming");
    fs::write(path, text).expect("writing");
}

/// Deletes the file and creates it.
pub fn delete_and_create(path: &Path, text: &str) {
    fs::remove_file(path).expect("removing");
    fs::write(path, text).expect("writing");
}

/// Makes the path a symbolic link to another file, by renaming a new link over it.
pub fn symlink_swap(path: &Path, text: &str) {
    let target = beside(path, "version");
    fs::write(&target, text).expect("writing");
    link_over(path, &target);
}

/// Writes into the file that the path is a symbolic link to, which lies in
/// another directory.
pub fn through_symlink(path: &Path, text: &str) {
    let real = fs::canonicalize(path).expect("a file");
    assert_ne!(real.parent(), path.parent(), "make it a link with `link_elsewhere` first");
    fs::write(real, text).expect("writing");
}

/// What Kubernetes does: `path` is a link to `..data/NAME`, `..data` one to a
/// directory of this version; a new directory is made and `..data` renamed over.
pub fn data_swap(path: &Path, text: &str) {
    let directory = beside(path, "..version");
    fs::create_dir(&directory).expect("making a directory");
    let name = path.file_name().expect("a name");
    fs::write(directory.join(name), text).expect("writing");
    link_over(&path.with_file_name("..data"), &directory);
    if fs::read_link(path).is_err() {
        link_over(path, &Path::new("..data").join(name));
    }
}

/// Moves the file into another directory and leaves a symbolic link.
pub fn link_elsewhere(path: &Path) {
    let directory = beside(path, "elsewhere");
    fs::create_dir(&directory).expect("making a directory");
    let target = directory.join("file");
    fs::rename(path, &target).expect("renaming");
    symlink(target, path).expect("linking");
}

fn link_over(path: &Path, target: &Path) {
    let link = beside(path, "link");
    symlink(target, &link).expect("linking");
    fs::rename(link, path).expect("renaming");
}

/// A path in the same directory that was not used before.
fn beside(path: &Path, what: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    path.with_file_name(format!("{what}.{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}
