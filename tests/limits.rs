//! The capacities: shown, set when pmtr is built, and the memory behind them.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, str};

use common::{job, World};
use pmtr::limits;

/// The rows of `pmtr --limits`: number, bytes each, bytes. A row without a name is `""`.
fn table(shown: &str) -> BTreeMap<&str, [&str; 3]> {
    let rows = shown.lines().skip(1).take_while(|line| !line.contains(" total "));
    rows.map(|line| {
        let (name, rest) = line.split_at(19);
        let mut columns = rest.split_whitespace();
        let mut column = || columns.next().expect("three columns");
        (name.trim_end_matches(['*', ' ']), [column(), column(), column()])
    })
    .collect()
}

#[test]
fn limits_shows_every_capacity_and_their_sum() {
    let shown = World::new().run_bare(&["--limits"]);
    assert_eq!((shown.status, shown.stderr.as_str()), (Some(0), ""));
    let table = table(&shown.stdout);
    let mut sum = 0;
    for [number, each, bytes] in table.values().filter(|[_, _, bytes]| *bytes != "-") {
        let [number, each, bytes] = [number, each, bytes].map(|text| text.parse::<u64>().unwrap());
        assert_eq!(number * each, bytes, "{}", shown.stdout);
        sum += bytes;
    }
    assert!(shown.stdout.contains(&format!(" total  {sum}  ")), "{}", shown.stdout);
    assert_eq!(table["MAX_JOBS"][0], limits::MAX_JOBS.to_string());
    assert_eq!(table["LINE_BYTES"][0], limits::LINE_BYTES.to_string());
    assert!(shown.stdout.lines().all(|line| line.len() <= 80), "{}", shown.stdout);
}

#[test]
fn a_limit_that_can_be_set_is_marked() {
    let shown = World::new().run_bare(&["--limits"]).stdout;
    let source = fs::read_to_string("src/limits.rs").unwrap();
    for line in shown.lines().skip(1).take_while(|line| !line.contains(" total ")) {
        let name = line.split_whitespace().next().unwrap();
        let can_be_set = source.contains(&format!("option_env!(\"PMTR_{name}\")"));
        assert_eq!(line.contains(" * "), can_be_set, "{line}");
    }
}

#[test]
fn a_file_is_told_how_much_it_takes_of_each_limit() {
    let world = World::new();
    let first = "cmd /bin/sleep 1000 1 2\n  env A=1\n  env B=2\n  ulimit -n 99\n  depends {\n    /etc/a\n    /etc/b\n  }";
    let text =
        format!("report to udp://127.0.0.1:9\n{}{}", job("a", first), job("b", "cmd /bin/true"));
    world.config(&text);
    let told = world.run(&["-t", "-v"]).stdout;
    for (what, taken, limit) in [
        ("jobs", 2, limits::MAX_JOBS),
        ("ulimits", 1, limits::MAX_ULIMITS),
        ("depends", 2, limits::MAX_DEPENDS),
        ("report to and listen on", 1, limits::MAX_ADDRESSES),
        ("from", 0, limits::MAX_SENDERS),
        ("words of cmd", 4, limits::MAX_ARGS),
        ("env", 2, limits::MAX_ENV),
    ] {
        assert!(told.contains(&format!("{what} {taken}/{limit}")), "{what}: {told}");
    }
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(world.run(&["-t"]).stdout, "");
}

#[test]
fn the_bytes_of_a_file_are_told_in_kib() {
    let world = World::new();
    // 3 KiB and a little: rounded up, so that what does not fit is never told to.
    world.config(&format!("{}#{}", job("a", "cmd /bin/true"), "x".repeat(3072)));
    let told = world.run(&["-tv"]).stdout;
    let limit = limits::TEXT_BYTES / 1024;
    assert!(told.contains(&format!("text 3.1/{limit} KiB, strings 0.1/{limit} KiB")), "{told}");
}

#[test]
fn a_file_with_an_error_is_told_the_limit_and_the_line_and_no_size() {
    let world = World::new();
    let words = "x ".repeat(limits::MAX_ARGS);
    world.config(&format!("\n{}", job("a", &format!("cmd /bin/true {words}"))));
    let told = world.run(&["-tv"]);
    let error = format!("MAX_ARGS is {}", limits::MAX_ARGS);
    assert!(told.stderr.contains(":4:") && told.stderr.contains(&error), "{}", told.stderr);
    assert_eq!(told.stdout, "");
}

// Building with other capacities.

fn tool(name: &str) -> PathBuf {
    let beside_cargo = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name(name));
    beside_cargo.filter(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// Whether the test called `name` is to be left out because the compiler is not here, as on a device.
fn needs_rust(name: &str) -> bool {
    let is_missing = Command::new(tool("cargo")).arg("--version").output().is_err();
    if is_missing {
        eprintln!("skipped: {name}: needs cargo and rustc");
    }
    is_missing
}

/// Compiles src/limits.rs alone, which has no need of anything else.
fn compile(dir: &Path, variable: &str, value: &str) -> Output {
    let mut rustc = Command::new(tool("rustc"));
    rustc.args(["--edition", "2021", "--crate-type", "lib", "--emit", "metadata", "src/limits.rs"]);
    rustc.arg("--out-dir").arg(dir).env(variable, value);
    rustc.output().expect("rustc")
}

#[test]
fn a_wrong_capacity_ends_the_build_with_what_is_allowed() {
    if needs_rust("a_wrong_capacity_ends_the_build_with_what_is_allowed") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (variable, range, wrong) in [
        ("PMTR_MAX_JOBS", "from 1 to 16384", ["many", "", "0", "16385", "-1", "1e3"]),
        (
            "PMTR_TEXT_BYTES",
            "from 4096 to 1048576",
            ["64k", "4095", "1048577", "0x1000", "1 ", "9999999999"],
        ),
    ] {
        for value in wrong {
            let built = compile(dir.path(), variable, value);
            let said = str::from_utf8(&built.stderr).unwrap();
            let sentence = format!("{variable} is to be a decimal number {range}\n");
            assert!(!built.status.success(), "{variable}={value:?} compiles");
            assert!(said.contains(&sentence), "{variable}={value:?}: {said}");
        }
    }
}

#[test]
fn the_bounds_of_each_capacity_compile() {
    if needs_rust("the_bounds_of_each_capacity_compile") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = fs::read_to_string("src/limits.rs").unwrap();
    // As said by the refusal, so that it is true.
    let variables: BTreeSet<&str> = source
        .split("option_env!(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    for variable in variables {
        let refused = compile(dir.path(), variable, "?");
        let said = str::from_utf8(&refused.stderr).unwrap();
        let range = said.split("decimal number from ").nth(1).expect(said).lines().next().unwrap();
        for value in range.split(" to ") {
            let built = compile(dir.path(), variable, value);
            assert!(
                built.status.success(),
                "{variable}={value}: {}",
                str::from_utf8(&built.stderr).unwrap()
            );
        }
    }
}

/// The whole program for a small device: it takes as many jobs as it was built
/// for, and refuses one more.
#[test]
fn a_small_build_runs_and_knows_its_limits() {
    if needs_rust("a_small_build_runs_and_knows_its_limits") {
        return;
    }
    // Above target/debug/deps/TEST, so that the second time is quick. Cargo's macro for it would write
    // the path of the build into the test (see `common::program`).
    let test = env::current_exe().expect("the test's own path");
    let target = test.ancestors().nth(3).expect("target").join("tmp/small");
    let mut cargo = Command::new(tool("cargo"));
    cargo.args(["build", "--quiet", "--bin", "pmtr", "--target-dir"]).arg(&target);
    cargo.env("PMTR_MAX_JOBS", "24").env("PMTR_TEXT_BYTES", "16384").env("PMTR_MAX_DEPENDS", "8");
    cargo.env("PMTR_STREAM_BUFFERS", "4").env("PMTR_RING_BYTES", "16384");
    let built = cargo.output().expect("cargo");
    assert!(built.status.success(), "{}", str::from_utf8(&built.stderr).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let jobs = |count: usize| -> String {
        (0..count).map(|n| job(&format!("job{n}"), "cmd /bin/true")).collect()
    };
    let check = |text: String| {
        fs::write(dir.path().join("conf"), text).unwrap();
        let mut pmtr = Command::new(target.join("debug/pmtr"));
        let ran = pmtr.arg("-tvc").arg(dir.path().join("conf")).output().unwrap();
        (
            ran.status.code(),
            String::from_utf8(ran.stdout).unwrap() + str::from_utf8(&ran.stderr).unwrap(),
        )
    };
    let (status, said) = check(jobs(24));
    assert!(status == Some(0) && said.starts_with("jobs 24/24, "), "{said}");
    let (status, said) = check(jobs(25));
    assert!(
        status == Some(1) && said.contains("conf:97:") && said.contains("MAX_JOBS is 24"),
        "{said}"
    );
}

// The memory behind them.

/// A section's size in the program, from its section headers (elf(5)); little-endian only.
fn section(name: &str) -> u64 {
    let elf = fs::read(common::program()).unwrap();
    assert_eq!((&elf[..4], elf[5]), (&b"\x7fELF"[..], 1));
    let number = |at: usize, len: usize| {
        elf[at..at + len].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)) as usize
    };
    // Where and how large the table of headers is, and what is where in each.
    let (table, sizes, word) = match elf[4] {
        1 => (number(32, 4), 46, 4),
        _ => (number(40, 8), 58, 8),
    };
    let (size_of_one, count, names) =
        (number(sizes, 2), number(sizes + 2, 2), number(sizes + 4, 2));
    let header = |n: usize| table + n * size_of_one;
    let offset = |n: usize| number(header(n) + 8 + 2 * word, word);
    let name_of = |n: usize| {
        let name = &elf[offset(names) + number(header(n), 4)..];
        str::from_utf8(name.split(|&byte| byte == 0).next().unwrap()).unwrap()
    };
    let found = (0..count).find(|&n| name_of(n) == name).unwrap_or_else(|| panic!("no {name}"));
    number(header(found) + 8 + 3 * word, word) as u64
}

#[test]
fn the_tables_are_zeros_of_the_told_size_and_no_part_of_the_file() {
    let (zeros, data) = (section(".llvm.linkonce.b.tables"), section(".data"));
    // Told by the program: where pages are larger, so is what is made of pages.
    let shown = World::new().run_bare(&["--limits"]).stdout;
    let told = shown.split(" total ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let told: u64 = told.expect("a total").parse().expect("a number");
    assert!(
        (told * 3 / 4..told + 4096).contains(&zeros),
        "{zeros} bytes of tables, told are {told}"
    );
    assert!(zeros + section(".bss") < limits::HUGE_PAGE_BYTES as u64);
    assert!(data < 16 * 1024, ".data has {data} bytes: a table that is not all zeros?");
}
