//! What the options of a job do: the manual's sections on each of them, and
//! the lines of the compatibility list that go with those.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use common::process::{self, environment, limits, nice, status};
use common::{eventually, job, needs_root, skipped, sleepers, World};

/// Prints each of its arguments in brackets.
const SHOW_ARGUMENTS: &str = "for word; do echo \"[$word]\"; done; exec sleep 1000";

/// A world with one job, `a`, that prints its arguments.
fn arguments(words: &str) -> World {
    let mut world = World::new();
    world.script("show", SHOW_ARGUMENTS);
    world.config(&job("a", &format!("cmd $DIR/show {words} last")));
    world.start();
    world.log().wait_line("a", "[last]");
    world
}

/// A world with one job, `a`, that has these options and sleeps.
fn sleeping_with(options: &str) -> World {
    World::with(&job("a", &format!("cmd /bin/sleep 1000\n  {options}")))
}

// cmd

#[test]
fn cmd_may_have_arguments_after_the_executable() {
    let world = arguments("one -2 three=3");
    assert_eq!(world.log().lines("a"), ["[one]", "[-2]", "[three=3]", "[last]"]);
}

#[test]
fn double_quotes_make_one_argument() {
    let world = arguments(r##"one "two words" "# 'three' \""##);
    assert_eq!(world.log().lines("a"), ["[one]", "[two words]", "[# 'three' \\]", "[last]"]);
}

#[test]
fn there_is_no_shell_expansion() {
    let world = arguments("/bin/s* $HOME ~ `id` a;b >x {p,q}");
    let lines = ["[/bin/s*]", "[$HOME]", "[~]", "[`id`]", "[a;b]", "[>x]", "[{p,q}]", "[last]"];
    assert_eq!(world.log().lines("a"), lines);
}

#[test]
fn keywords_are_plain_words_unless_they_begin_a_line() {
    let world = arguments("name cmd job wait on to every {");
    let words = ["name", "cmd", "job", "wait", "on", "to", "every", "{", "last"];
    assert_eq!(world.log().lines("a"), words.map(|word| format!("[{word}]")));
}

#[test]
fn arguments_may_go_on_in_the_next_lines() {
    let world = arguments("one\n    two three\n    # a comment\n\n    four wait");
    let lines = ["[one]", "[two]", "[three]", "[four]", "[wait]", "[last]"];
    assert_eq!(world.log().lines("a"), lines);
}

#[test]
fn a_quoted_string_can_be_a_shell_script() {
    let script = "cmd /bin/sh -c \"echo one; echo two; exec /bin/sleep 1000\"";
    let world = World::with(&job("a", script));
    world.log().wait_line("a", "two");
    assert_eq!(world.log().lines("a"), ["one", "two"]);
}

#[test]
fn the_path_is_not_searched_for_the_executable() {
    let world = World::new();
    fs::create_dir(world.path("bin")).unwrap();
    world.script("bin/program", "echo found");
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    world.config(&job("a", "cmd program"));
    let mut world = world.variable("PATH", &path);
    world.start();
    let failure = world.log().wait_for("job a: ");
    assert!(failure.text.contains("program: No such file or directory"), "{failure:?}");
    assert_eq!(world.log().lines("a"), Vec::<String>::new());
}

// dir

#[test]
fn dir_is_the_working_directory() {
    let mut world = World::new();
    fs::create_dir(world.path("here")).unwrap();
    world.config(&job("a", "cmd /bin/sleep 1000\n  dir $DIR/here"));
    world.start();
    assert_eq!(process::directory(world.running("a")), world.path("here"));
}

// env

#[test]
fn env_pushes_variables_into_the_job() {
    let world = sleeping_with("env DEBUG=1\n  env EMPTY=\n  env SUM=1+1=2\n  env \"TWO=a b\"");
    let environment = environment(world.running("a"));
    for string in ["DEBUG=1", "EMPTY=", "SUM=1+1=2", "TWO=a b"] {
        assert!(environment.contains(&string.to_string()), "{string} in {environment:?}");
    }
}

#[test]
fn env_goes_before_what_pmtr_was_started_with() {
    let mut world = World::new().variable("INHERITED", "yes").variable("MODE", "old");
    world.config(&job("a", "cmd /bin/sleep 1000\n  env MODE=new\n  env MODE=newest"));
    world.start();
    let environment = environment(world.running("a"));
    let modes: Vec<_> = environment.iter().filter(|s| s.starts_with("MODE=")).collect();
    assert_eq!(modes, ["MODE=newest"]);
    assert!(environment.contains(&"INHERITED=yes".to_string()));
}

// disable

#[test]
fn disable_on_a_line_by_itself_disables_the_job() {
    let mut world = World::new();
    world.config(&(job("a", "cmd /bin/sleep 1000\n  disable") + &sleepers("b")));
    world.start();
    world.started("b");
    assert_eq!(world.starts("a"), 0);
}

// out, err, in

#[test]
fn out_and_err_send_output_to_files() {
    let run = "cmd /bin/sh -c \"echo o; echo e >&2; exec sleep 1000\"";
    let world = World::with(&job("a", &format!("{run}\n  out $DIR/o\n  err $DIR/e")));
    eventually("the output", || world.read("o") == "o\n" && world.read("e") == "e\n");
    assert_eq!(world.log().lines("a"), Vec::<String>::new());
}

#[test]
fn output_files_are_created_with_mode_0644() {
    let mut world = World::new().wrapped_in(&["/bin/sh", "-c", "umask 077; exec \"$@\"", "sh"]);
    world.config(&job("a", "cmd /bin/sleep 1000\n  out $DIR/o\n  err $DIR/e"));
    world.start();
    world.running("a");
    for name in ["o", "e"] {
        let mode = fs::metadata(world.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644, "{name}");
    }
}

#[test]
fn output_files_are_appended_to() {
    let mut world = World::new();
    world.file("o", "before\n");
    let run = "cmd /bin/sh -c \"echo up; exec sleep 1000\"\n  out $DIR/o";
    world.config(&job("a", run));
    world.start();
    eventually("the first line", || world.read("o") == "before\nup\n");
    world.config(&job("a", &format!("{run}\n  env AGAIN=1")));
    eventually("the second line", || world.read("o") == "before\nup\nup\n");
}

#[test]
fn out_and_err_can_be_one_file() {
    let run = "cmd /bin/sh -c \"echo 1; echo 2 >&2; echo 3; exec sleep 1000\"";
    let world = World::with(&job("a", &format!("{run}\n  out $DIR/o\n  err $DIR/o")));
    eventually("three lines", || world.read("o") == "1\n2\n3\n");
}

#[test]
fn stdout_and_stderr_go_to_syslog_by_default() {
    let run = "cmd /bin/sh -c \"echo o; echo e >&2; exec sleep 1000\"";
    let world = World::with(&job("a", run));
    world.log().wait_line("a", "o");
    world.log().wait_line("a", "e");
}

#[test]
fn syslog_is_the_word_for_the_default() {
    let run = "cmd /bin/sh -c \"echo o; echo e >&2; exec sleep 1000\"";
    let world = World::with(&job("a", &format!("{run}\n  dir $DIR\n  out syslog\n  err syslog")));
    world.log().wait_line("a", "o");
    world.log().wait_line("a", "e");
    assert!(!world.path("syslog").exists());
}

#[test]
fn stdin_is_dev_null_by_default() {
    let world = sleeping_with("");
    let stdin = &process::descriptors(world.running("a"))[0];
    assert_eq!((stdin.0, stdin.1.to_str()), (0, Some("/dev/null")));
}

#[test]
fn in_takes_stdin_from_a_file() {
    let mut world = World::new();
    world.file("i", "from the file\n");
    world.config(&job("a", "cmd /bin/cat\n  in $DIR/i\n  once"));
    world.start();
    world.log().wait_line("a", "from the file");
}

#[test]
fn relative_in_out_and_err_start_at_dir() {
    let mut world = World::new();
    fs::create_dir(world.path("here")).unwrap();
    world.file("here/i", "text\n");
    let run = "cmd /bin/sh -c \"cat; echo e >&2; exec sleep 1000\"";
    world.config(&job("a", &format!("in i\n  out o\n  err e\n  dir $DIR/here\n  {run}")));
    world.start();
    eventually("output", || world.read("here/o") == "text\n" && world.read("here/e") == "e\n");
}

// nice

#[test]
fn nice_changes_the_priority() {
    if needs_root("nice_changes_the_priority") {
        return;
    }
    let config: String = [-20, -19, 0, 7, 19, 20]
        .map(|n| job(&format!("nice{n}"), &format!("cmd /bin/sleep 1000\n  nice {n}")))
        .concat();
    let world = World::with(&config);
    for n in [-20, -19, 0, 7, 19] {
        assert_eq!(nice(world.running(&format!("nice{n}"))), n);
    }
    assert_eq!(nice(world.running("nice20")), 19, "the kernel's lowest priority");
}

#[test]
fn nice_is_zero_by_default_whatever_that_of_pmtr_is() {
    if needs_root("nice_is_zero_by_default_whatever_that_of_pmtr_is") {
        return;
    }
    let mut world = World::new().wrapped_in(&["nice", "-n", "5"]);
    world.config(&sleepers("a"));
    world.start();
    assert_ne!(nice(world.pid()), 0);
    assert_eq!(nice(world.running("a")), 0);
}

// cpu

/// The CPUs that this machine has: the numbers of the first and the last, and
/// the range as the kernel writes it.
fn cpus() -> (String, String, String) {
    let range = fs::read_to_string("/sys/devices/system/cpu/online").unwrap().trim().to_string();
    let numbers: Vec<_> = range.split([',', '-']).map(String::from).collect();
    (numbers[0].clone(), numbers[numbers.len() - 1].clone(), range)
}

fn affinity(world: &World, job: &str) -> String {
    status(world.running(job), "Cpus_allowed_list")
}

#[test]
fn cpu_takes_numbers_ranges_and_a_mask() {
    let (first, last, range) = cpus();
    let bit = 1_u64 << first.parse::<u32>().unwrap();
    let wanted = [
        ("number", first.clone()),
        ("last", last.clone()),
        ("range", range.clone()),
        ("same", format!("{first}-{first}")),
        ("mask", format!("{bit:#x}")),
        ("upper", format!("0x{bit:X}")),
    ];
    let config = wanted.map(|(name, cpu)| job(name, &format!("cmd /bin/sleep 1000\n  cpu {cpu}")));
    let world = World::with(&config.concat());
    let list = |job| affinity(&world, job);
    assert_eq!([list("number"), list("same")], [first.clone(), first.clone()]);
    assert_eq!([list("mask"), list("upper")], [first.clone(), first]);
    assert_eq!([list("last"), list("range")], [last, range]);
}

#[test]
fn cpus_that_are_absent_are_ignored() {
    let (first, last, _) = cpus();
    assert!(last.parse::<u32>().unwrap() < 200, "this test takes CPU 200 for absent");
    let world = sleeping_with(&format!("cpu {first},200-203"));
    assert_eq!(affinity(&world, "a"), first);
}

#[test]
fn a_job_for_absent_cpus_only_runs_on_any_and_a_warning_says_so() {
    let world = sleeping_with("cpu 200-203");
    let own = status(world.pid(), "Cpus_allowed_list");
    assert_eq!(affinity(&world, "a"), own);
    world.log().wait_for("cpu");
}

// user

#[test]
fn the_users_ids_become_those_of_the_process() {
    if needs_root("the_users_ids_become_those_of_the_process") {
        return;
    }
    let mut world = World::new().wrapped_in(&["setpriv", "--groups", "4,20"]);
    world.config(&job("a", "cmd /bin/sleep 1000\n  user nobody"));
    world.start();
    let pid = world.running("a");
    assert_eq!(status(pid, "Uid"), "65534\t65534\t65534\t65534");
    assert_eq!(status(pid, "Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(status(pid, "Groups"), "65534", "none of pmtr's own");
}

/// A user who is a member of a group that is not his own, with that group's id.
fn member() -> Option<(String, String)> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    groups.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let user = fields[3].split(',').find(|user| {
            let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
            lines.any(|entry| entry[0] == *user && entry[3] != fields[2])
        })?;
        Some((user.to_string(), fields[2].to_string()))
    })
}

#[test]
fn the_supplementary_groups_of_the_user_are_set() {
    let name = "the_supplementary_groups_of_the_user_are_set";
    if needs_root(name) {
        return;
    }
    let Some((user, group)) = member() else {
        eprintln!("skipped: {name}: no user here is a member of another group");
        return;
    };
    let world = sleeping_with(&format!("user {user}"));
    let groups = status(world.running("a"), "Groups");
    assert!(groups.split(' ').any(|id| id == group), "{group} of {user} in {groups}");
}

#[test]
fn home_user_logname_and_shell_are_those_of_the_user() {
    if needs_root("home_user_logname_and_shell_are_those_of_the_user") {
        return;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let entry = passwd.lines().find(|line| line.starts_with("nobody:")).unwrap();
    let fields: Vec<_> = entry.split(':').collect();
    let mut world = World::new().variable("HOME", "/root").variable("USER", "root");
    world.config(&job("a", "cmd /bin/sleep 1000\n  user nobody"));
    world.start();
    let mut found = environment(world.running("a"));
    found.retain(|s| ["HOME=", "USER=", "LOGNAME=", "SHELL="].iter().any(|v| s.starts_with(v)));
    found.sort();
    let (home, shell) = (format!("HOME={}", fields[5]), format!("SHELL={}", fields[6]));
    assert_eq!(found, [home.as_str(), "LOGNAME=nobody", &shell, "USER=nobody"]);
}

#[test]
fn env_goes_before_the_users_home() {
    if needs_root("env_goes_before_the_users_home") {
        return;
    }
    let world = sleeping_with("user nobody\n  env HOME=/data");
    let found = environment(world.running("a"));
    let homes: Vec<_> = found.iter().filter(|s| s.starts_with("HOME=")).collect();
    assert_eq!(homes, ["HOME=/data"]);
}

#[test]
fn user_defaults_to_root_when_pmtr_runs_as_root() {
    if needs_root("user_defaults_to_root_when_pmtr_runs_as_root") {
        return;
    }
    let world = sleeping_with("");
    assert_eq!(status(world.running("a"), "Uid"), "0\t0\t0\t0");
}

#[test]
fn the_jobs_user_can_open_dev_stdout_and_dev_stderr() {
    if needs_root("the_jobs_user_can_open_dev_stdout_and_dev_stderr") {
        return;
    }
    let run = "cmd /bin/sh -c \"echo o > /dev/stdout; echo e > /dev/stderr; exec sleep 1000\"";
    let world = World::with(&job("a", &format!("user nobody\n  {run}")));
    world.log().wait_line("a", "o");
    world.log().wait_line("a", "e");
}

#[test]
fn output_files_are_opened_as_the_user() {
    if needs_root("output_files_are_opened_as_the_user") {
        return;
    }
    let mut world = World::new();
    fs::create_dir(world.path("open")).unwrap();
    fs::set_permissions(world.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    world.config(&job("a", "cmd /bin/sleep 1000\n  user nobody\n  out $DIR/open/o"));
    world.start();
    world.running("a");
    assert_eq!(fs::metadata(world.path("open/o")).unwrap().uid(), 65534);
}

// ulimit

/// Flag, long name, a value that a sleeping process can live with, and the
/// kernel's name.
type Row = [&'static str; 4];

const ULIMITS: [Row; 11] = [
    ["-c", "RLIMIT_CORE", "1001", "Max core file size"],
    ["-e", "RLIMIT_NICE", "12", "Max nice priority"],
    ["-f", "RLIMIT_FSIZE", "5000000000", "Max file size"],
    ["-i", "RLIMIT_SIGPENDING", "1003", "Max pending signals"],
    ["-l", "RLIMIT_MEMLOCK", "65536", "Max locked memory"],
    ["-m", "RLIMIT_RSS", "100000000", "Max resident set"],
    ["-n", "RLIMIT_NOFILE", "30", "Max open files"],
    ["-q", "RLIMIT_MSGQUEUE", "10005", "Max msgqueue size"],
    ["-r", "RLIMIT_RTPRIO", "6", "Max realtime priority"],
    ["-t", "RLIMIT_CPU", "1007", "Max cpu time"],
    ["-u", "RLIMIT_NPROC", "10008", "Max processes"],
];

/// Those of a process's memory.
const MEMORY_ULIMITS: [Row; 3] = [
    ["-d", "RLIMIT_DATA", "1000000000", "Max data size"],
    ["-s", "RLIMIT_STACK", "4194304", "Max stack size"],
    ["-v", "RLIMIT_AS", "3000000000", "Max address space"],
];

/// The value of a row, or what this process may set at most: not everywhere
/// has root the right to raise a limit.
fn value([_, _, wanted, kernel]: &Row) -> String {
    let (_, hard) = limits(std::process::id() as i32, kernel);
    let may = hard.parse().map_or(true, |hard: u64| wanted.parse::<u64>().unwrap() <= hard);
    if may {
        wanted.to_string()
    } else {
        hard
    }
}

/// A job with all limits of the table, which it calls by what is in `column`.
fn limited(name: &str, table: &[Row], column: usize) -> String {
    let lines = table.iter().map(|row| format!("  ulimit {} {}\n", row[column], value(row)));
    job(name, &format!("cmd /bin/sleep 1000\n{}", lines.collect::<String>()))
}

fn check_ulimits(table: &[Row]) {
    let world = World::with(&(limited("flags", table, 0) + &limited("names", table, 1)));
    for name in ["flags", "names"] {
        let pid = world.running(name);
        for row in table {
            let [flag, .., kernel] = row;
            assert_eq!(limits(pid, kernel), (value(row), value(row)), "{flag}, soft and hard");
        }
    }
}

#[test]
fn ulimit_sets_soft_and_hard_limits_by_flag_and_by_name() {
    if needs_root("ulimit_sets_soft_and_hard_limits_by_flag_and_by_name") {
        return;
    }
    check_ulimits(&ULIMITS);
}

#[test]
fn ulimit_sets_the_limits_of_memory() {
    if skipped("ulimit_sets_the_limits_of_memory") {
        return;
    }
    check_ulimits(&MEMORY_ULIMITS);
}

#[test]
fn ulimit_takes_a_block() {
    let world = sleeping_with("ulimit {\n    -n 30\n    RLIMIT_CORE 0\n  }");
    let pid = world.running("a");
    assert_eq!(limits(pid, "Max open files"), ("30".into(), "30".into()));
    assert_eq!(limits(pid, "Max core file size"), ("0".into(), "0".into()));
}

#[test]
fn ulimit_values_can_be_infinity_and_unlimited() {
    // Soft limits only: these two are not limited anywhere else.
    let mut world = World::new().wrapped_in(&["prlimit", "--fsize=9000000000:", "--cpu=900:"]);
    let limited = job("a", "cmd /bin/sleep 1000\n  ulimit -f infinity\n  ulimit -t unlimited");
    world.config(&(limited + &sleepers("b")));
    world.start();
    let pid = world.running("a");
    let unlimited = ("unlimited".to_string(), "unlimited".to_string());
    assert_eq!(limits(world.running("b"), "Max file size").0, "9000000000");
    assert_eq!(limits(pid, "Max file size"), unlimited);
    assert_eq!(limits(pid, "Max cpu time"), unlimited);
}

#[test]
fn an_error_in_setting_a_limit_is_logged() {
    // Above what the kernel allows even to root (fs.nr_open).
    let world = sleeping_with("ulimit -n 4000000000");
    let record = world.log().wait_for("job a: ");
    assert!(record.text.contains("Operation not permitted"), "{record:?}");
}
