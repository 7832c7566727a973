//! A configuration as text again.

use crate::support::{accept, job};

#[test]
fn what_was_understood_is_printed_in_the_language_itself() {
    let config = accept(
        "job { name b\n order 5 }\n".replace("order", "cmd /y \"\" \"#x\" 'a\n order")
            + "listen on udp://[::]:5 from 10.0.0.0/8 from fe80::1\nreport to udp://h:6@eth0\njob {\n once\n wait\n disable\n"
            + "bounce every 2m\n ulimit {\n -n 9\n RLIMIT_AS unlimited }\n cpu 9,0\n nice 20\n"
            + "user u\n env \"A=x y\"\n env B=\n in /i\n log drop\n err /e\n out /o\n dir \"/d d\"\n"
            + "depends { \"name\" }\n depends {\n b \"}\" { }\n cmd /x \"a  b\" name\n name a\n}\n",
    );
    let expected = "\
listen on udp://[::]:5 from 10.0.0.0/8 from fe80:0:0:0:0:0:0:1/128
report to udp://h:6@eth0
job {
  name a
  cmd /x \"a  b\" \"name\"
  dir \"/d d\"
  out /o
  err /e
  in /i
  log drop
  env \"A=x y\"
  env B=
  user u
  nice 19
  cpu 0x0201
  ulimit -n 9
  ulimit -v infinity
  bounce every 120s
  depends {
    \"name\"
    b
    \"}\"
    \"{\"
  }
  disable
  wait
  once
}
job {
  name b
  cmd /y \"\" \"#x\" 'a
  order 5
}
";
    assert_eq!(config.as_text().to_string(), expected);
    let mut bytes = Vec::new();
    config.write_text(&mut |piece| bytes.extend_from_slice(piece));
    assert_eq!(bytes, expected.as_bytes());
}

#[test]
fn bytes_that_are_not_text_are_shown_harmless_but_written_as_they_are() {
    let config = accept(&b"job {\n name j\xFF\n cmd /x \"a\tb\"\n}\n"[..]);
    let shown = "job {\n  name j?\n  cmd /x \"a?b\"\n}\n";
    assert_eq!(config.as_text().to_string(), shown);
    let mut bytes = Vec::new();
    config.write_text(&mut |piece| bytes.extend_from_slice(piece));
    assert_eq!(bytes, b"job {\n  name j\xFF\n  cmd /x \"a\tb\"\n}\n");
}

#[test]
fn a_group_is_printed_behind_its_user() {
    let lines = |user: &str| accept(job(&format!("  user {user}\n"))).as_text().to_string();
    for user in ["u:g", "1000:0", "\"u u:g\"", "\"u:g g\""] {
        let text = lines(user);
        assert!(text.contains(&format!("\n  user {user}\n")), "{text}");
        assert_eq!(accept(text.as_bytes()).as_text().to_string(), text);
    }
}

#[test]
fn an_empty_configuration_is_an_empty_text() {
    assert_eq!(accept("").as_text().to_string(), "");
    assert_eq!(accept(job("")).as_text().to_string(), "job {\n  name j\n  cmd /bin/true\n}\n");
}
