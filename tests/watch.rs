//! Every way in which a file can become another one is noticed, and no other
//! traffic in its directory is.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant as Clock};

use pmtr::sys::clock;
use pmtr::sys::watch::{FileId, Hints, Sight, Watch};
use tempfile::TempDir;

/// A directory with the file `conf` in it, which is watched.
struct Scene {
    dir: TempDir,
    path: PathBuf,
    watch: Box<Watch>,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene::without_watch("conf");
        fs::write(&scene.path, "first").unwrap();
        scene.laid()
    }

    fn without_watch(path: &str) -> Scene {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(path);
        let mut watch = Box::new(Watch::new());
        watch.start();
        Scene { dir, path, watch }
    }

    fn laid(mut self) -> Scene {
        self.lay();
        self
    }

    fn lay(&mut self) {
        let path = CString::new(self.path.as_os_str().as_bytes()).unwrap();
        self.watch.begin();
        self.watch.lay(&path, FileId::CONFIG);
        self.watch.laid(clock::now());
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits for a hint, and lays the watches again as the loop does.
    fn notices(&mut self) -> Hints {
        let hints = self.settled_within(Duration::from_secs(5)).expect("a hint");
        self.lay();
        hints
    }

    fn notices_new_content(&mut self) {
        let deadline = Clock::now() + Duration::from_secs(5);
        while !self.watch.sight(FileId::CONFIG).is_written() {
            assert!(Clock::now() < deadline, "no hint at new content");
            self.notices();
        }
        *self.watch.sight(FileId::CONFIG) = Sight::NONE;
    }

    fn settled_within(&mut self, patience: Duration) -> Option<Hints> {
        let deadline = Clock::now() + patience;
        while Clock::now() < deadline {
            self.watch.read(clock::now()).unwrap();
            if let Some(hints) = self.watch.settled(clock::now()) {
                return Some(hints);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Nothing was noticed so far: whatever is noticed next comes from the
    /// write of this fence.
    fn noticed_nothing(&mut self) {
        self.watch.read(clock::now()).unwrap();
        assert_eq!(self.watch.deadline(), None, "a hint at something that does not matter");
        fs::write(&self.path, "fence").unwrap();
        self.notices_new_content();
    }
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn written_in_place() {
    let mut scene = Scene::new();
    fs::write(&scene.path, "second").unwrap();
    scene.notices_new_content();
}

#[test]
fn renamed_over_again_and_again() {
    let mut scene = Scene::new();
    for content in ["second", "third", "fourth"] {
        replace(&scene.path, content);
        scene.notices_new_content();
    }
}

#[test]
fn renamed_away_and_created() {
    let mut scene = Scene::new();
    fs::rename(&scene.path, scene.at("conf~")).unwrap();
    fs::write(&scene.path, "second").unwrap();
    scene.notices_new_content();
    fs::write(&scene.path, "third").unwrap();
    scene.notices_new_content();
}

#[test]
fn deleted_and_created_later() {
    let mut scene = Scene::new();
    fs::remove_file(&scene.path).unwrap();
    assert!(scene.notices().is_elsewhere);
    fs::write(&scene.path, "second").unwrap();
    scene.notices_new_content();
}

#[test]
fn created_but_not_written_yet() {
    let mut scene = Scene::new();
    fs::remove_file(&scene.path).unwrap();
    scene.notices();
    let file = fs::File::create(&scene.path).unwrap();
    scene.notices();
    assert!(!scene.watch.sight(FileId::CONFIG).is_written());
    drop(file);
    scene.notices_new_content();
}

#[test]
fn written_through_another_name() {
    let mut scene = Scene::new();
    fs::create_dir(scene.at("elsewhere")).unwrap();
    let other = scene.at("elsewhere/name");
    fs::hard_link(&scene.path, &other).unwrap();
    fs::write(other, "second").unwrap();
    scene.notices_new_content();
}

#[test]
fn link_swapped() {
    let mut scene = Scene::without_watch("conf");
    for target in ["one", "two"] {
        fs::write(scene.at(target), target).unwrap();
    }
    symlink("one", &scene.path).unwrap();
    scene.lay();
    symlink("two", scene.at("link")).unwrap();
    fs::rename(scene.at("link"), &scene.path).unwrap();
    assert!(scene.notices().is_elsewhere);
    fs::write(scene.at("two"), "third").unwrap();
    scene.notices_new_content();
}

#[test]
fn target_of_a_link_written() {
    let mut scene = Scene::without_watch("conf");
    fs::create_dir(scene.at("elsewhere")).unwrap();
    fs::write(scene.at("elsewhere/target"), "first").unwrap();
    symlink(scene.at("elsewhere/target"), &scene.path).unwrap();
    scene.lay();
    replace(&scene.at("elsewhere/target"), "second");
    scene.notices_new_content();
}

/// What Kubernetes does: `conf -> ..data/conf`, `..data -> ..1`, and then `..data -> ..2`.
#[test]
fn data_link_swapped() {
    let mut scene = Scene::without_watch("conf");
    for version in ["..1", "..2"] {
        fs::create_dir(scene.at(version)).unwrap();
        fs::write(scene.at(version).join("conf"), version).unwrap();
    }
    symlink("..1", scene.at("..data")).unwrap();
    symlink("..data/conf", &scene.path).unwrap();
    scene.lay();
    symlink("..2", scene.at("..tmp")).unwrap();
    fs::rename(scene.at("..tmp"), scene.at("..data")).unwrap();
    scene.notices();
    fs::write(scene.at("..2/conf"), "third").unwrap();
    scene.notices_new_content();
}

#[test]
fn directory_replaced() {
    let mut scene = Scene::without_watch("app/etc/conf");
    for version in ["app/etc", "new/etc"] {
        fs::create_dir_all(scene.at(version)).unwrap();
        fs::write(scene.at(version).join("conf"), version).unwrap();
    }
    scene.lay();
    fs::rename(scene.at("app"), scene.at("old")).unwrap();
    scene.notices();
    fs::rename(scene.at("new"), scene.at("app")).unwrap();
    scene.notices();
    fs::write(scene.at("app/etc/conf"), "third").unwrap();
    scene.notices_new_content();
}

#[test]
fn directories_missing_at_first() {
    let mut scene = Scene::without_watch("a/b/conf").laid();
    fs::create_dir(scene.at("a")).unwrap();
    scene.notices();
    fs::create_dir(scene.at("a/b")).unwrap();
    scene.notices();
    fs::write(&scene.path, "first").unwrap();
    scene.notices_new_content();
}

#[test]
fn other_files_do_not_matter() {
    let mut scene = Scene::new();
    fs::write(scene.at("other"), "x").unwrap();
    replace(&scene.at("other"), "y");
    fs::remove_file(scene.at("other")).unwrap();
    scene.noticed_nothing();
}

#[test]
fn reading_does_not_matter() {
    let mut scene = Scene::new();
    fs::read(&scene.path).unwrap();
    scene.noticed_nothing();
}

#[test]
fn a_stream_of_writes_does_not_put_off_a_look_for_ever() {
    let mut scene = Scene::new();
    let began = Clock::now();
    while scene.watch.settled(clock::now()).is_none() {
        fs::write(&scene.path, "again").unwrap();
        scene.watch.read(clock::now()).unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "never settled");
    }
}

#[test]
fn links_in_a_circle_end() {
    let mut scene = Scene::without_watch("conf");
    symlink("conf", &scene.path).unwrap();
    scene.lay();
    fs::remove_file(&scene.path).unwrap();
    scene.notices();
}
