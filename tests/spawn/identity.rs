//! Who a job with `user` is, whatever pmtr is and whatever the databases of users say: ids,
//! groups, capabilities and keyrings (credentials(7)).

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::seccomp::{pretend, refuse};
use super::skip::emulated;
use super::skip::skipped;
use super::support::{apart, apart_under, as_nobody, field, is_root, root_under, World, NOBODY};
use super::users::with_users;
use nix::libc;
use pmtr::supervise::Stage;

/// The stage that a job with these options fails in, and the reason.
fn refusal(world: &World, options: &str) -> (Stage, String) {
    let ended = world.start(&format!("{options}\n cmd /bin/true")).wait();
    let failure = ended.failure.unwrap_or_else(|| panic!("it started: {options}"));
    (failure.stage, failure.errno.text.to_string())
}

/// What /proc says of the process of a job with these options.
fn status(world: &World, options: &str) -> String {
    world.output(&format!("{options}\n cmd /bin/cat /proc/self/status"))
}

#[track_caller]
fn has_ids(status: &str, uid: u32, gid: u32, groups: &[u32]) {
    assert_eq!(field(status, "Uid"), [uid.to_string().as_str(); 4].join("\t"));
    assert_eq!(field(status, "Gid"), [gid.to_string().as_str(); 4].join("\t"));
    let mut found: Vec<u32> =
        field(status, "Groups").split_whitespace().map(|id| id.parse().unwrap()).collect();
    found.sort();
    assert_eq!(found, groups);
}

const SETS: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];

#[track_caller]
fn has_no_capability(status: &str) {
    for set in SETS {
        assert_eq!(field(status, set), "0000000000000000", "{set}");
    }
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(field(status, "CapBnd"), field(&own, "CapBnd"), "for what is setuid");
}

// Ids that are none.

/// To the kernel, -1 is "leave it as it is", which is root (setresuid(2)). Some versions of libc make
/// that also of numbers above 32 bits.
#[test]
fn minus_1_in_passwd_or_group_ends_the_start() {
    let test = "identity::minus_1_in_passwd_or_group_ends_the_start";
    let passwd = "root:x:0:0::/:/bin/sh\nmax:x:4294967295:4322::/:/bin/sh\n\
        huge:x:99999999999:4322::/:/bin/sh\nminus:x:-1:4322::/:/bin/sh\n\
        less:x:-2:4322::/:/bin/sh\nmaxgid:x:4321:4294967295::/:/bin/sh\n\
        minusgid:x:4321:-1::/:/bin/sh\nmember:x:4321:4322::/:/bin/sh\n";
    let group = "ada:x:4322:\nbad:x:4294967295:member\nworse:x:-1:member\n";
    if !is_root(test) || !with_users(test, passwd, group) {
        return;
    }
    let world = World::new();
    let (user, group) = ("4294967295 (-1) is not a user id", "4294967295 (-1) is not a group id");
    for name in ["max", "max:ada", "max:0"] {
        let told = refusal(&world, &format!("user {name}"));
        assert_eq!(told, (Stage::Uid, user.into()), "{name}");
    }
    for name in ["huge", "minus", "less", "minusgid", "root:worse"] {
        refusal(&world, &format!("user {name}")); // some versions of libc know none of these
    }
    for name in ["maxgid", "member:bad", "root:bad", "0:bad"] {
        let told = refusal(&world, &format!("user {name}"));
        assert_eq!(told, (Stage::Gid, group.into()), "{name}");
    }
    assert_eq!(refusal(&world, "user member"), (Stage::Groups, group.into()));
    has_ids(&status(&world, "user maxgid:ada"), 4321, 4322, &[4322]);
}

/// The system calls by which a process becomes another user, each of which does nothing here and
/// says that it has worked.
#[test]
fn what_is_not_as_asked_afterwards_ends_the_start() {
    let test = "identity::what_is_not_as_asked_afterwards_ends_the_start";
    if !is_root(test) || skipped("what_is_not_as_asked_afterwards_ends_the_start") {
        return;
    }
    let calls = [
        ("setgroups", Stage::Groups),
        ("setresgid", Stage::Gid),
        ("setresuid", Stage::Uid),
        ("capset", Stage::Capabilities),
    ];
    for (call, stage) in calls {
        let more = ["setpriv", "--inh-caps=+kill", "--groups=4"];
        let is_inside = apart_under(&more, test, |command| {
            command.env("PRETENDED", call);
        });
        if is_inside && std::env::var("PRETENDED").unwrap() == call {
            pretend(call);
            let told = refusal(&World::new(), "user nobody");
            assert_eq!(told, (stage, "read back, it is not as asked".into()), "{call}");
            let warned = super::check::told(&World::new(), "user nobody\n cmd /bin/true");
            assert_eq!(warned, ["user nobody: read back, it is not as asked"], "{call}");
        }
    }
}

// Capabilities.

/// The command that gives capabilities which outlive execve(2), to root or with these options to
/// another user.
fn ambient<'a>(options: &[&'a str], caps: &'a [String; 2]) -> Vec<&'a str> {
    let caps = caps.iter().map(String::as_str);
    ["setpriv"].into_iter().chain(options.iter().copied()).chain(caps).collect()
}

fn caps(names: &str) -> [String; 2] {
    ["inh", "ambient"].map(|set| format!("--{set}-caps={names}"))
}

#[test]
fn has_no_capability_in_any_set() {
    let test = "identity::has_no_capability_in_any_set";
    let caps = caps("+setuid,+setgid,+kill,+net_raw");
    if !root_under(&ambient(&[], &caps), test) {
        return;
    }
    let world = World::new();
    has_no_capability(&status(&world, "user nobody"));
    has_no_capability(&status(&world, "user 4711:0"));
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert_ne!(field(&own, "CapAmb"), "0000000000000000");
    let root = status(&world, "user root");
    assert_eq!(field(&root, "CapAmb"), field(&own, "CapAmb"), "root is root");
}

const AS_NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// As systemd starts a service with `User=` and `AmbientCapabilities=`.
#[test]
fn nor_has_a_job_of_a_pmtr_that_is_not_root() {
    let test = "identity::nor_has_a_job_of_a_pmtr_that_is_not_root";
    let caps = caps("+setuid,+setgid,+kill,+net_raw");
    if !root_under(&ambient(&AS_NOBODY, &caps), test) {
        return;
    }
    assert_eq!(nix::unistd::getuid().as_raw(), NOBODY);
    let world = World::new();
    for (user, id) in [("nobody", NOBODY), ("4711", 4711)] {
        let status = status(&world, &format!("user {user}"));
        has_ids(&status, id, id, &[id]);
        has_no_capability(&status);
    }
    let root = status(&world, "user root:root");
    assert_eq!(field(&root, "Uid"), "0\t0\t0\t0");
    assert_eq!(field(&root, "CapEff"), field(&root, "CapBnd"), "as root has");
    let own = status(&world, "");
    assert_ne!(field(&own, "CapEff"), "0000000000000000", "without user all is pmtr's");
}

/// Where root keeps its capabilities when it becomes another user (capabilities(7), "securebits"),
/// they are gone before a file is opened.
#[test]
fn nor_where_root_keeps_them() {
    let test = "identity::nor_where_root_keeps_them";
    let keeps = ["setpriv", "--securebits=+no_setuid_fixup,+no_setuid_fixup_locked"];
    if !root_under(&keeps, test) {
        return;
    }
    let world = World::new();
    has_no_capability(&status(&world, "user nobody"));
    world.file("roots", "", 0o600);
    for (option, stage) in [("in", Stage::Stdin), ("out", Stage::Out), ("err", Stage::Err)] {
        let failure = world.failure(&format!("user nobody\n {option} DIR/roots\n cmd /bin/true"));
        assert_eq!(failure, (stage, libc::EACCES), "{option}");
    }
}

// Keyrings.

/// Puts a key into the session keyring of this process, a new one; false if there are none here.
fn has_key(description: &str) -> bool {
    const SESSION: libc::c_long = -3;
    let none = std::ptr::null::<u8>();
    let words = ["user", description].map(|word| CString::new(word).unwrap().into_raw());
    // SAFETY: no name is given to the keyring.
    let joined =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, none) };
    // SAFETY: strings that end with a NUL, and six bytes.
    let added =
        unsafe { libc::syscall(libc::SYS_add_key, words[0], words[1], b"secret", 6usize, SESSION) };
    joined >= 0 && added >= 0 && fs::read_to_string("/proc/keys").is_ok()
}

#[test]
fn has_no_key_of_pmtrs_session() {
    let test = "identity::has_no_key_of_pmtrs_session";
    if !is_root(test) || !apart(test, |_| ()) {
        return;
    }
    if !has_key("pmtr-test-key") {
        return eprintln!("skipped: {test}: there are no keyrings");
    }
    let world = World::new();
    let keys = |options: &str| world.output(&format!("{options}\n cmd /bin/cat /proc/keys"));
    assert!(keys("").contains("pmtr-test-key"), "a job without `user` is in pmtr's session");
    let keys = keys("user nobody");
    assert!(!keys.contains("pmtr-test-key"), "{keys}");
    assert!(keys.contains("_ses"), "it has a keyring of its own: {keys}");
}

/// Where a filter keeps keyrings from all processes, a job has no way to them either; any other
/// failure would leave it in pmtr's.
#[test]
fn a_keyring_that_cannot_be_left_ends_the_start() {
    let test = "identity::a_keyring_that_cannot_be_left_ends_the_start";
    if !is_root(test) || skipped("a_keyring_that_cannot_be_left_ends_the_start") {
        return;
    }
    for errno in [libc::EPERM, libc::ENOSYS, libc::EDQUOT] {
        let is_inside = apart(test, |command| {
            command.env("REFUSED", errno.to_string());
        });
        if is_inside && std::env::var("REFUSED").unwrap() == errno.to_string() {
            refuse("keyctl", errno as u32);
            let world = World::new();
            match errno {
                libc::EDQUOT => {
                    let failure = world.failure("user nobody\n cmd /bin/true");
                    assert_eq!(failure, (Stage::Keyring, libc::EDQUOT));
                }
                _ => drop(world.output("user nobody\n cmd /bin/true")),
            }
        }
    }
}

// Nothing to change.

#[test]
fn where_nothing_is_to_be_changed_nothing_has_to_be_permitted() {
    let test = "identity::where_nothing_is_to_be_changed_nothing_has_to_be_permitted";
    if !as_nobody(test) {
        return;
    }
    let world = World::new();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    for user in ["nobody", "65534", "65534:65534", "nobody:65534"] {
        let status = status(&world, &format!("user {user}"));
        for ids in ["Uid", "Gid", "Groups"] {
            assert_eq!(field(&status, ids), field(&own, ids), "{user}");
        }
    }
    let home = world.output("user nobody\n cmd /usr/bin/printenv HOME USER");
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let entry = passwd.lines().find(|line| line.starts_with("nobody:")).unwrap();
    assert_eq!(home, format!("{}\nnobody\n", entry.split(':').nth(5).unwrap()));
    assert_eq!(world.failure("user root\n cmd /bin/true"), (Stage::Gid, libc::EPERM));
    assert_eq!(world.failure("user nobody:root\n cmd /bin/true"), (Stage::Gid, libc::EPERM));
    assert_eq!(world.failure("user 0:65534\n cmd /bin/true"), (Stage::Uid, libc::EPERM));
}

/// One group too many is not as asked.
#[test]
fn a_group_that_cannot_be_left_ends_the_start() {
    let test = "identity::a_group_that_cannot_be_left_ends_the_start";
    let with_root = ["setpriv", "--reuid=65534", "--regid=65534", "--groups=0,65534"];
    if !root_under(&with_root, test) {
        return;
    }
    let world = World::new();
    assert_eq!(world.failure("user nobody\n cmd /bin/true"), (Stage::Groups, libc::EPERM));
    world.output("cmd /bin/true");
}

// Names and numbers.

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nada:x:4321:4322:Ada:/home/ada:/bin/ash\n\
    4400:x:4500:4322::/home/digits:\n";
const GROUP: &str = "root:x:0:\nada:x:4322:\nother:x:4400:bob\nmore:x:5000:ada,bob\n";

#[test]
fn numbers_and_groups_are_taken_where_names_are() {
    let test = "identity::numbers_and_groups_are_taken_where_names_are";
    if !is_root(test) || !with_users(test, PASSWD, GROUP) {
        return;
    }
    let world = World::new();
    for (user, uid, gid, groups) in [
        ("ada", 4321, 4322, &[4322, 5000][..]),
        ("4321", 4321, 4322, &[4322, 5000]),
        ("ada:other", 4321, 4400, &[4400, 5000]),
        ("4321:4400", 4321, 4400, &[4400, 5000]),
        ("ada:7000", 4321, 7000, &[5000, 7000]),
        ("7777", 7777, 7777, &[7777]),
        ("7777:more", 7777, 5000, &[5000]),
        ("7777:0", 7777, 0, &[0]),
        ("4400", 4500, 4322, &[4322]), // a name goes before a number, as for chown(1)
        ("4294967294", 4_294_967_294, 4_294_967_294, &[4_294_967_294]),
    ] {
        // QEMU takes the id before -1 for an error.
        if uid != 4_294_967_294 || !emulated() {
            has_ids(&status(&world, &format!("user {user}")), uid, gid, groups);
        }
    }
    let variables = |user: &str| {
        world.output(&format!("user {user}\n cmd /usr/bin/printenv HOME USER LOGNAME SHELL"))
    };
    assert_eq!(variables("4321"), "/home/ada\nada\nada\n/bin/ash\n");
    assert_eq!(variables("7777:0"), "/\n7777\n7777\n/bin/sh\n");
    assert_eq!(refusal(&world, "user ada:no-such"), (Stage::Group, "no such group".into()));
    assert_eq!(refusal(&world, "user bob"), (Stage::User, "no such user".into()));
}

/// Neither /etc/passwd nor /etc/group is there, as in a container with one program.
#[test]
fn numbers_need_no_database() {
    let test = "identity::numbers_need_no_database";
    let hide = "mount -t tmpfs none /etc && exec \"$@\"";
    let hidden = ["unshare", "-m", "sh", "-c", hide, "sh"];
    if !root_under(&hidden, test) {
        return;
    }
    let world = World::new();
    has_ids(&status(&world, "user 7777:8888"), 7777, 8888, &[8888]);
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    world.output("user 7777:8888\n out DIR/out\n cmd /bin/true");
}
