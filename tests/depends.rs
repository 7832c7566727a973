//! Files that a job depends on: the manual's "depends", and what the
//! compatibility list says about it.

mod common;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use common::save::{self, Save};
use common::{alive, job, sleepers, World};

/// A job that depends on files.
fn dependent(name: &str, files: &str) -> String {
    job(name, &format!("cmd /bin/sleep 1000\n  depends {{\n{files}\n  }}"))
}

/// A world with a job, `a`, that depends on the file `dep`, and one, `b`, that does not.
fn world() -> World {
    let mut world = World::new();
    world.file("dep", "one");
    world.config(&(dependent("a", "$DIR/dep") + &sleepers("b")));
    world.start();
    world.running("b");
    world
}

/// The job is restarted when the file is saved in this way: at once, and then ten seconds later,
/// with the last of two saves.
fn restarts_when_saved(how: Save) {
    restarts_in(&world(), how);
}

fn restarts_in(world: &World, how: Save) {
    let old = world.pid_of("a");
    how(&world.path("dep"), "two");
    let new = world.restarted("a", old);
    assert!(!alive(old));
    for text in ["three", ""] {
        how(&world.path("dep"), text);
    }
    world.restarted_again("a", new);
    assert!(!alive(new));
    world.fence();
    assert_eq!((world.starts("a"), world.starts("b")), (3, 1));
}

#[test]
fn a_dependency_written_in_place_restarts_the_job() {
    restarts_when_saved(save::in_place);
}

#[test]
fn a_dependency_renamed_over_restarts_the_job() {
    restarts_when_saved(save::by_rename);
}

#[test]
fn a_dependency_saved_with_a_backup_restarts_the_job() {
    restarts_when_saved(save::with_backup);
}

#[test]
fn a_dependency_deleted_and_created_restarts_the_job() {
    restarts_when_saved(save::delete_and_create);
}

#[test]
fn a_dependency_whose_symlink_is_swapped_restarts_the_job() {
    restarts_when_saved(save::symlink_swap);
}

#[test]
fn a_dependency_whose_data_directory_is_swapped_restarts_the_job() {
    restarts_when_saved(save::data_swap);
}

#[test]
fn a_dependency_edited_behind_its_symlink_restarts_the_job() {
    let mut world = World::new();
    let dep = world.file("dep", "one");
    save::link_elsewhere(&dep);
    world.config(&(dependent("a", "$DIR/dep") + &sleepers("b")));
    world.start();
    world.running("b");
    restarts_in(&world, save::through_symlink);
}

#[test]
fn an_appended_line_restarts_the_job() {
    let world = world();
    let old = world.pid_of("a");
    let append = format!("echo more >> {}", world.path("dep").display());
    assert!(Command::new("/bin/sh").args(["-c", &append]).status().unwrap().success());
    world.restarted("a", old);
}

/// The job keeps its process through `what`, while the one that depends on
/// another file, changed later, does not.
fn is_no_change(what: impl Fn(&World)) {
    let mut world = World::new();
    world.file("dep", "one");
    world.file("other", "one");
    world.config(&(dependent("a", "$DIR/dep") + &dependent("c", "$DIR/other")));
    world.start();
    let (a, c) = (world.running("a"), world.running("c"));
    what(&world);
    world.file("other", "two");
    let c = world.restarted("c", c);
    world.file("other", "three");
    world.restarted_again("c", c);
    assert_eq!(world.starts("a"), 1);
    assert!(alive(a));
}

#[test]
fn a_touch_does_nothing() {
    is_no_change(|world| {
        assert!(Command::new("touch").arg(world.path("dep")).status().unwrap().success());
    });
}

#[test]
fn the_same_content_written_again_does_nothing() {
    is_no_change(|world| save::in_place(&world.path("dep"), "one"));
}

#[test]
fn the_same_content_renamed_over_does_nothing() {
    is_no_change(|world| save::by_rename(&world.path("dep"), "one"));
}

#[test]
fn a_file_beside_it_does_nothing() {
    is_no_change(|world| drop(world.file("dep2", "two")));
}

#[test]
fn a_job_whose_dependency_is_missing_starts_when_it_appears() {
    let mut world = World::new();
    world.config(&(dependent("a", "$DIR/dep") + &sleepers("b")));
    world.start();
    world.started("b");
    let told = world.log().wait_for("dep");
    assert!(told.text.contains("job a"), "{told:?}");
    world.fence();
    assert_eq!(world.starts("a"), 0);
    world.file("dep", "there");
    world.started("a");
}

#[test]
fn a_dependency_may_appear_with_its_directory() {
    let mut world = World::new();
    world.config(&(dependent("a", "$DIR/far/away/dep") + &sleepers("b")));
    world.start();
    world.started("b");
    fs::create_dir_all(world.path("far/away")).unwrap();
    world.file("far/away/dep", "there");
    world.started("a");
}

#[test]
fn a_dependency_may_appear_by_renaming_its_directory() {
    let mut world = World::new();
    fs::create_dir(world.path("new")).unwrap();
    world.file("new/dep", "there");
    world.config(&(dependent("a", "$DIR/here/dep") + &sleepers("b")));
    world.start();
    world.started("b");
    fs::rename(world.path("new"), world.path("here")).unwrap();
    world.started("a");
}

#[test]
fn relative_dependencies_start_at_dir() {
    let mut world = World::new();
    fs::create_dir(world.path("here")).unwrap();
    world.file("here/dep", "one");
    let options = "dir $DIR/here\n  depends {\n    dep\n  }";
    world.config(&job("a", &format!("cmd /bin/sleep 1000\n  {options}")));
    world.start();
    let old = world.running("a");
    world.file("here/dep", "two");
    world.restarted("a", old);
}

#[test]
fn any_of_several_files_restarts_the_job() {
    let mut world = World::new();
    let names = ["one", "two", "three"];
    for name in names {
        world.file(name, "");
    }
    // Several to a line, several lines, several blocks.
    let more = "depends {\n    $DIR/three\n  }";
    let block = "depends {\n    $DIR/one\n    $DIR/two\n  }";
    world.config(&job("a", &format!("cmd /bin/sleep 1000\n  {block}\n  {more}")));
    world.start();
    for name in names {
        let old = world.running("a");
        world.file(name, "changed");
        world.restarted_again("a", old);
    }
}

#[test]
fn all_jobs_that_depend_on_a_file_are_restarted() {
    let mut world = World::new();
    world.file("dep", "one");
    let config = dependent("a", "$DIR/dep") + &dependent("b", "$DIR/dep") + &sleepers("c");
    world.config(&config);
    world.start();
    let (a, b, c) = (world.running("a"), world.running("b"), world.running("c"));
    world.file("dep", "two");
    world.restarted("a", a);
    world.restarted("b", b);
    world.fence();
    assert_eq!(world.pid_of("c"), c);
}

#[test]
fn dependencies_are_watched_after_a_refused_edit() {
    let world = world();
    let old = world.pid_of("a");
    world.config("job {");
    world.log().wait_for("NOTE: using PREVIOUS job config");
    world.file("dep", "two");
    world.restarted("a", old);
}

#[test]
fn dependencies_that_an_edit_adds_are_watched() {
    let mut world = World::new();
    world.file("dep", "one");
    world.config(&sleepers("a"));
    world.start();
    let old = world.running("a");
    world.config(&dependent("a", "$DIR/dep"));
    let old = world.restarted("a", old);
    world.file("dep", "two");
    world.restarted("a", old);
}

/// A deployment writes both at once; the change of the one must not be lost in
/// the reload for the other.
#[test]
fn a_dependency_and_the_configuration_saved_together_both_count() {
    let world = world();
    let old = world.pid_of("a");
    world.file("dep", "two");
    world.config(&(dependent("a", "$DIR/dep") + &sleepers("b c")));
    world.restarted("a", old);
    world.running("c");
    assert_eq!(world.starts("b"), 1);
}

/// As the paths of `in`, `out` and `err` do.
#[test]
fn relative_dependencies_of_a_job_without_dir_start_where_pmtr_was_started() {
    let mut world = World::new();
    world.file("dep", "one");
    world.config(&dependent("a", "dep"));
    world.start();
    let old = world.pid_of("a");
    world.file("dep", "two");
    world.restarted("a", old);
}

/// This made 432 starts in ten seconds.
#[test]
fn a_job_that_writes_what_it_depends_on_is_restarted_once_in_ten_seconds() {
    let mut world = World::new();
    world.file("dep", "");
    let script = "while :; do echo more >> $DIR/dep; sleep 0.1; done";
    let writer = format!("cmd /bin/sh -c \"{script}\"\n  depends {{\n    $DIR/dep\n  }}");
    world.config(&job("a", &writer));
    world.start();
    let first = world.pid_of("a");
    let second = world.restarted("a", first);
    let began = Instant::now();
    world.restarted_again("a", second);
    assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(world.starts("a"), 3);
}
