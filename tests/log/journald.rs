//! journald's reading of what comes through /dev/log, after the rules of its
//! `server_process_syslog_message`: this host need not have one.
//!
//! 1. White space at the end of the datagram goes.
//! 2. `<`, one to three digits, `>`: eight times the facility, and the severity.
//! 3. A stamp is skipped if it is exactly `Mmm dd hh:mm:ss ` (the day and the
//!    hours, minutes and seconds may begin with a space). There is no host name.
//! 4. If the next word (up to white space) ends with `:` it is the identifier;
//!    `[…]` before the colon is the process. Otherwise there is none of them,
//!    and the word is part of the text.
//! 5. One white space after the identifier goes; the rest is the text.

use crate::world::World;
use pmtr::limits::NAME_BYTES;
use pmtr::name::Name;

/// What the journal has of a record: PRIORITY, SYSLOG_FACILITY,
/// SYSLOG_IDENTIFIER, SYSLOG_PID, MESSAGE (systemd.journal-fields(7)).
#[derive(Debug, PartialEq)]
struct Entry {
    priority: u32,
    facility: u32,
    identifier: Option<String>,
    pid: Option<String>,
    message: String,
}

fn is_white(c: char) -> bool {
    " \t\n\r".contains(c)
}

fn read(record: &str) -> Entry {
    let record = record.trim_end_matches(is_white);
    let (number, rest) = priority(record).unwrap_or((6, record));
    let (identifier, pid, message) = identifier(skip_stamp(rest));
    let (priority, facility, message) = (number % 8, number / 8, message.to_string());
    Entry { priority, facility, identifier, pid, message }
}

fn priority(record: &str) -> Option<(u32, &str)> {
    let (digits, rest) = record.strip_prefix('<')?.split_once('>')?;
    let good = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    good.then(|| (digits.parse().unwrap(), rest))
}

fn skip_stamp(text: &str) -> &str {
    let fits = |kind, byte: u8| match kind {
        b'a' => byte.is_ascii_alphabetic(),
        b'9' => byte.is_ascii_digit(),
        b'n' => byte.is_ascii_digit() || byte == b' ',
        kind => byte == kind,
    };
    let form = b"aaa n9 n9:n9:n9 ";
    let good = text.len() >= form.len() && form.iter().zip(text.bytes()).all(|(k, b)| fits(*k, b));
    if good {
        &text[form.len()..]
    } else {
        text
    }
}

fn identifier(text: &str) -> (Option<String>, Option<String>, &str) {
    let start = text.trim_start_matches(is_white);
    let word = start.split(is_white).next().unwrap_or("");
    let Some(name) = word.strip_suffix(':') else { return (None, None, text) };
    let rest = &start[word.len()..];
    let message = rest.strip_prefix(is_white).unwrap_or(rest);
    match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        Some((name, pid)) => (Some(name.into()), Some(pid.into()), message),
        None => (Some(name.into()), None, message),
    }
}

/// The entry of one line of a job.
fn of_line(name: &[u8], pid: i32, text: &str) -> Entry {
    let (mut world, receiver) = World::with_syslog();
    world.log.line(&Name::new(name), pid, text.as_bytes()).unwrap();
    world.flush();
    read(&receiver.read_whole()[0])
}

fn daemon_info(identifier: &str, pid: i32, message: &str) -> Entry {
    let (identifier, pid) = (Some(identifier.into()), Some(pid.to_string()));
    Entry { priority: 6, facility: 3, identifier, pid, message: message.into() }
}

#[test]
fn a_line_has_identifier_pid_facility_and_priority() {
    for text in ["GET / 200", "a: b[1]: c", "<0>Jan  1 00:00:00 kernel: oops", "  indented", ":"] {
        assert_eq!(of_line(b"web", 4711, text), daemon_info("web", 4711, text));
    }
}

#[test]
fn whatever_the_name_of_a_job_its_lines_have_an_identifier() {
    let long = [b'n'; NAME_BYTES];
    let names: [(&[u8], &str); 4] = [
        (b"a b:c[d]", "a_b_c_d_"),
        (b"[1]:", "_1__"),
        ("stra\u{df}e".as_bytes(), "stra\u{df}e"),
        (&long, core::str::from_utf8(&long).unwrap()),
    ];
    for (name, identifier) in names {
        assert_eq!(of_line(name, i32::MAX, "text"), daemon_info(identifier, i32::MAX, "text"));
    }
}

#[test]
fn a_message_of_pmtr_is_local0_under_its_name() {
    let (mut world, receiver) = World::with_syslog();
    world.say("started job web [4711]");
    world.flush();
    let expected = Entry {
        priority: 6,
        facility: 16,
        identifier: Some("pmtr".into()),
        pid: Some("77".into()),
        message: "started job web [4711]".into(),
    };
    assert_eq!(read(&receiver.read_whole()[0]), expected);
}

#[test]
fn with_a_host_name_there_would_be_no_identifier() {
    let entry = read("<30>Jan  3 04:05:06 host web[1]: text");
    assert_eq!((entry.identifier, entry.message), (None, "host web[1]: text".into()));
}
