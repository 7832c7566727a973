//! A control group of a test's own (cgroups(7)), of the first version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::patience::eventually;

/// A group below the one that this process is in. Dropping it lets all in it go.
pub struct Group {
    path: PathBuf,
    above: PathBuf,
}

impl Group {
    /// A group of a controller, where there is one that may be used; says why not.
    pub fn new(test: &str, controller: &str) -> Option<Group> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let above = Path::new("/sys/fs/cgroup").join(controller);
        let path = above.join(format!("pmtr-test-{}-{number}", process::id()));
        let is_ours = fs::create_dir(&path).is_ok();
        let group = Group { path, above };
        if !is_ours || !group.path.join("cgroup.procs").exists() {
            eprintln!("skipped: {test}: no group of {controller} can be made");
            return None;
        }
        Some(group)
    }

    /// Puts a process into it.
    pub fn add(&self, pid: i32) {
        self.set("cgroup.procs", &pid.to_string());
    }

    pub fn set(&self, file: &str, value: &str) {
        fs::write(self.path.join(file), value).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).expect(file).trim().to_string()
    }

    /// Stops all that is in it, and waits until that is so.
    pub fn freeze(&self) {
        self.set("freezer.state", "FROZEN");
        eventually("a frozen group", || self.read("freezer.state") == "FROZEN");
    }

    pub fn thaw(&self) {
        self.set("freezer.state", "THAWED");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.path.join("freezer.state").exists() {
            let _ = fs::write(self.path.join("freezer.state"), "THAWED");
        }
        let all = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in all.lines() {
            let _ = fs::write(self.above.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.path);
    }
}
