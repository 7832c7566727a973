//! `user`: ids, groups, the four variables.

use std::fs;

use super::support::{apart_under, field, is_root, World, NOBODY};
use nix::libc;
use pmtr::supervise::Stage;

/// Runs a test where these are /etc/passwd and /etc/group; returns whether this is there.
pub fn with_users(test: &str, passwd: &str, group: &str) -> bool {
    let world = World::new();
    let (p, g) = (world.file("passwd", passwd, 0o644), world.file("group", group, 0o644));
    let mount = format!(
        "mount --bind {} /etc/passwd && mount --bind {} /etc/group && exec \"$@\"",
        p.display(),
        g.display()
    );
    apart_under(&["unshare", "-m", "sh", "-c", &mount, "sh"], test, |_| ())
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nada:x:4321:4322:Ada:/home/ada:/bin/ash\n";

#[test]
fn has_all_ids_and_groups_of_the_user() {
    let test = "users::has_all_ids_and_groups_of_the_user";
    let many: String = (5000..5100).map(|gid| format!("g{gid}:x:{gid}:bob,ada\n")).collect();
    let group = format!("root:x:0:ada\nada:x:4322:\nother:x:4400:bob\n{many}");
    if !is_root(test) || !with_users(test, PASSWD, &group) {
        return;
    }
    let status = World::new().output("user ada\n cmd /bin/cat /proc/self/status");
    assert_eq!(field(&status, "Uid"), "4321\t4321\t4321\t4321");
    assert_eq!(field(&status, "Gid"), "4322\t4322\t4322\t4322");
    let mut groups: Vec<u32> =
        field(&status, "Groups").split_whitespace().map(|gid| gid.parse().unwrap()).collect();
    groups.sort();
    let expected: Vec<u32> = [0, 4322].into_iter().chain(5000..5100).collect();
    assert_eq!(groups, expected);
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
}

#[test]
fn has_the_four_variables_of_the_user_unless_the_file_says_otherwise() {
    let test = "users::has_the_four_variables_of_the_user_unless_the_file_says_otherwise";
    if !is_root(test) || !with_users(test, PASSWD, "ada:x:4322:\n") {
        return;
    }
    let world = World::new();
    let seen = |options: &str| {
        let output = world.output(&format!("user ada\n {options}\n cmd /usr/bin/env"));
        ["HOME=", "USER=", "LOGNAME=", "SHELL="]
            .map(|name| output.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_string())
    };
    assert_eq!(seen(""), ["/home/ada", "ada", "ada", "/bin/ash"]);
    assert_eq!(seen("env HOME=/tmp\n env SHELL="), ["/tmp", "ada", "ada", ""]);
}

#[test]
fn a_home_that_is_too_long_for_the_environment_is_told() {
    let test = "users::a_home_that_is_too_long_for_the_environment_is_told";
    let passwd = format!("ada:x:4321:4322:Ada:/{}:/bin/sh\n", "h".repeat(20_000));
    if is_root(test) && with_users(test, &passwd, "") {
        let failure = World::new().failure("user ada\n cmd /bin/true");
        assert_eq!(failure, (Stage::Env, libc::E2BIG));
    }
}

#[test]
fn without_user_nothing_is_changed() {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let status = World::new().output("cmd /bin/cat /proc/self/status");
    for ids in ["Uid", "Gid", "Groups"] {
        assert_eq!(field(&status, ids), field(&own, ids));
    }
}

#[test]
fn the_directory_is_entered_as_root() {
    if !is_root("the_directory_is_entered_as_root") {
        return;
    }
    let world = World::new();
    let closed = world.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    world.output("user nobody\n dir DIR/closed\n cmd /bin/true");
}

#[test]
fn nobody_is_nobody() {
    if is_root("nobody_is_nobody") {
        let id = World::new().output("user nobody\n cmd /usr/bin/id -u");
        assert_eq!(id.trim(), NOBODY.to_string());
    }
}
