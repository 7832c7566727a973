//! The manual pages are complete and true: every option stands in them, and
//! every configuration that they show is accepted by `pmtr -t`.
//!
//! Paths are relative to the package, where cargo runs tests.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::World;
use pmtr::config::{options, Resource};
use pmtr::limits;

#[test]
fn every_configuration_in_the_pages_is_accepted() {
    let world = World::new();
    for page in ["pmtr.conf.5", "pmtr.8"] {
        let page_text = read(page);
        for (n, text) in displays(&page_text).filter(|text| is_configuration(text)).enumerate() {
            let file = world.file(&format!("{page}-{}.conf", n + 1), &text);
            let tested = world.run_bare(&["-t", "-c", file.to_str().unwrap()]);
            assert_eq!(tested.status, Some(0), "{page}:\n{text}\n{}", tested.said());
        }
    }
}

#[test]
fn the_configurations_of_the_manual_are_in_the_page() {
    let page = read("pmtr.conf.5");
    let shown: Vec<String> = displays(&page).filter(|text| is_configuration(text)).collect();
    assert!(shown.len() >= 9, "only {} of them", shown.len());
    for name in ["bitcoin-daemon", "tunnel", "capture", "api", "initial-setup"] {
        assert!(shown.iter().any(|text| text.contains(&format!("name {name}\n"))), "{name}");
    }
}

#[test]
fn pmtr_8_has_every_command_line_option() {
    let page = read("pmtr.8");
    let help = World::new().run_bare(&["--help"]).stdout;
    let options: Vec<&str> = help.split_whitespace().filter(|word| word.starts_with('-')).collect();
    assert!(options.contains(&"-c,") && options.contains(&"--config"), "{options:?}");
    for option in options.iter().map(|option| option.trim_matches([',', ';', ':'])) {
        let option = option.strip_prefix('-').unwrap();
        assert!(has_macro(&page, "Fl", option), "pmtr.8 does not have -{option}");
    }
}

#[test]
fn pmtr_setup_initscript_8_has_every_option() {
    let page = read("pmtr-setup-initscript.8");
    let help = Command::new("sh").args(["init/setup-initscript", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split(|c: char| c.is_whitespace() || "[]|".contains(c));
    let options: BTreeSet<&str> = words.filter_map(|word| word.strip_prefix("--")).collect();
    assert!(options.len() >= 13 && options.contains("no-color"), "{options:?}");
    for option in options {
        let item = format!(".It Fl -{option}");
        let has_item =
            page.lines().any(|line| line == item || line.starts_with(&(item.clone() + " ")));
        assert!(has_item, "pmtr-setup-initscript.8 has no item for --{option}");
    }
}

#[test]
fn sections_that_the_pages_refer_to_are_there() {
    let pages = ["pmtr.8", "pmtr.conf.5", "pmtr-setup-initscript.8"].map(read);
    let lines = || pages.iter().flat_map(|page| page.lines());
    let references: Vec<&str> = lines().filter_map(|line| line.strip_prefix(".Sx ")).collect();
    assert!(references.len() >= 5, "{references:?}");
    for section in references.iter().map(|section| section.trim_end_matches([' ', '.', ','])) {
        assert!(lines().any(|line| line == format!(".Sh {section}")), "no section {section}");
    }
}

#[test]
fn pmtr_conf_5_has_every_option_of_the_language() {
    let page = read("pmtr.conf.5");
    for option in options().filter(|option| &*option.name != "job") {
        let item = format!(".It Ic {}", option.name);
        let has_item =
            page.lines().any(|line| line == item || line.starts_with(&(item.clone() + " ")));
        assert!(has_item, "pmtr.conf.5 has no item for {}", option.name);
    }
}

#[test]
fn pmtr_conf_5_has_every_resource() {
    let page = read("pmtr.conf.5");
    for resource in RESOURCES {
        let item = format!(".It Fl {} No {}\n", &resource.flag()[1..], resource.name());
        assert!(page.contains(&item), "pmtr.conf.5 does not have {}", resource.name());
    }
}

#[test]
fn pmtr_8_has_every_log_line_of_the_readme() {
    let page = read("pmtr.8");
    let readme = fs::read_to_string("README.md").unwrap();
    let table = readme.split("| line | when |\n").nth(1).expect("the table of log lines");
    let rows: Vec<&str> =
        table.lines().skip(1).take_while(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let line = row.split('`').nth(1).unwrap().trim_end_matches([' ', '…']);
        assert!(page.contains(&format!(".It Li {line}")), "pmtr.8 does not have {line:?}");
    }
}

#[test]
fn the_readme_and_pmtr_8_have_the_default_limits() {
    if option_env!("PMTR_MAX_JOBS").or(option_env!("PMTR_TEXT_BYTES")).is_some() {
        eprintln!("skipped: built with capacities other than the default ones");
        return;
    }
    let (page, readme) = (read("pmtr.8"), fs::read_to_string("README.md").unwrap());
    for (name, value) in [
        ("MAX_JOBS", limits::MAX_JOBS),
        ("TEXT_BYTES", limits::TEXT_BYTES),
        ("NAME_BYTES", limits::NAME_BYTES),
        ("MAX_ARGS", limits::MAX_ARGS),
        ("MAX_ENV", limits::MAX_ENV),
        ("MAX_DEPENDS", limits::MAX_DEPENDS),
        ("MAX_ADDRESSES", limits::MAX_ADDRESSES),
        ("MAX_SENDERS", limits::MAX_SENDERS),
        ("CONTROL_BYTES", limits::CONTROL_BYTES),
        ("LINE_BYTES", limits::LINE_BYTES),
    ] {
        assert!(page.contains(&format!(".It {name} Ta {value} Ta ")), "{name} is {value}");
        let mut rows = readme.lines().filter(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(rows.any(|row| row.contains(&format!("| {value} |"))), "{name} is {value}");
    }
}

#[test]
fn a_display_is_taken_out_as_it_is_shown() {
    let page = ".Pp\n.Bd -literal -offset indent\njob {\n  cmd /bin/\\&echo \\ea\n}\n.Ed\ntext\n";
    assert_eq!(displays(page).collect::<Vec<_>>(), ["job {\n  cmd /bin/echo \\a\n}"]);
}

fn read(page: &str) -> String {
    fs::read_to_string(format!("man/{page}")).unwrap()
}

/// What stands between `.Bd -literal` and `.Ed` (mdoc(7)).
fn displays(page: &str) -> impl Iterator<Item = String> + '_ {
    let starts = page.split("\n.Bd -literal").skip(1);
    starts.map(|rest| {
        let body = rest.split_once('\n').unwrap().1;
        let text = body.split("\n.Ed").next().unwrap();
        text.replace("\\&", "").replace("\\e", "\\")
    })
}

fn is_configuration(text: &str) -> bool {
    ["job {", "report to ", "listen on "].iter().any(|start| text.starts_with(start))
}

/// Whether `.Fl c` or the like stands in the page.
fn has_macro(page: &str, name: &str, argument: &str) -> bool {
    page.lines().any(|line| {
        let words: Vec<&str> = line.split([' ', '.']).collect();
        words.windows(2).any(|pair| pair == [name, argument])
    })
}

/// All that `ulimit` knows.
const RESOURCES: [Resource; 14] = [
    Resource::Core,
    Resource::Data,
    Resource::Nice,
    Resource::Fsize,
    Resource::Sigpending,
    Resource::Memlock,
    Resource::Rss,
    Resource::Nofile,
    Resource::Msgqueue,
    Resource::Rtprio,
    Resource::Stack,
    Resource::Cpu,
    Resource::Nproc,
    Resource::As,
];
