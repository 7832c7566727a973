//! Reports: what every job does, as text in datagrams (manual, "UDP control").
//!
//! The first line is `report HOST`, or `report HOST IP` where an interface is
//! named; then comes one line a job, `NAME e|d SECONDS PID CMD`, in the order of
//! starting (compat.md, "UDP").

#![forbid(unsafe_code)]

use core::fmt::{self, Write};

/// What a report says of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The job's name.
    pub name: &'a [u8],
    /// Whether it is to run: `e`, or `d`.
    pub is_enabled: bool,
    /// How long it has been running, in seconds; 0 if it does not run.
    pub seconds: u64,
    /// Its process; 0 if there is none.
    pub pid: i32,
    /// The first word of its `cmd`.
    pub program: &'a [u8],
}

/// Who reports.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// The host's name.
    pub host: &'a [u8],
    /// The address of the interface that the report leaves by, if one is named.
    pub interface: Option<&'a dyn fmt::Display>,
}

/// Hands a report to `send` in as few datagrams as fit into `buffer`, each with
/// its `report` line, and no line torn. Jobs without any are a report, too. A
/// line that does not fit into any datagram is left out.
pub fn write<'a>(
    sender: Sender<'_>,
    lines: impl Iterator<Item = Line<'a>>,
    buffer: &mut [u8],
    send: &mut dyn FnMut(&[u8]),
) {
    let mut text = Text { buffer, len: 0 };
    if head(&mut text, sender).is_err() {
        return;
    }
    let start = text.len;
    for line in lines {
        if text.add(&line).is_ok() {
            continue;
        }
        if text.len > start {
            send(text.written());
            text.len = start;
            // If it fits, it is in the next datagram.
            let _ = text.add(&line);
        }
    }
    send(text.written());
}

/// There is no room.
struct Full;

fn head(text: &mut Text<'_>, sender: Sender<'_>) -> Result<(), Full> {
    text.put(b"report ")?;
    text.put(sender.host)?;
    if let Some(address) = sender.interface {
        text.print(format_args!(" {address}"))?;
    }
    text.put(b"\n")
}

/// A buffer, and how much of it is written.
struct Text<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Text<'_> {
    fn written(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Adds a job's line as a whole, or nothing.
    fn add(&mut self, line: &Line<'_>) -> Result<(), Full> {
        let before = self.len;
        let added = self.line(line);
        if added.is_err() {
            self.len = before;
        }
        added
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), Full> {
        let state = if line.is_enabled { 'e' } else { 'd' };
        self.put(line.name)?;
        self.print(format_args!(" {state} {} {} ", line.seconds, line.pid))?;
        self.put(line.program)?;
        self.put(b"\n")
    }

    fn print(&mut self, text: fmt::Arguments<'_>) -> Result<(), Full> {
        self.write_fmt(text).map_err(|_| Full)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.buffer.get_mut(self.len..self.len + bytes.len()).ok_or(Full)?;
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|Full| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::limits::DATAGRAM_BYTES;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    fn line(name: &str) -> Line<'_> {
        let name = name.as_bytes();
        Line { name, is_enabled: true, seconds: 0, pid: 0, program: b"/bin/x" }
    }

    /// The datagrams of a report when one holds at most `most` bytes.
    fn datagrams(sender: Sender<'_>, lines: &[Line<'_>], most: usize) -> Vec<String> {
        let mut sent = Vec::new();
        write(sender, lines.iter().copied(), &mut vec![0; most], &mut |datagram| {
            sent.push(String::from_utf8(datagram.to_vec()).unwrap());
        });
        sent
    }

    const HERE: Sender<'_> = Sender { host: b"board", interface: None };

    #[test]
    fn the_host_then_a_line_a_job() {
        let lines = [
            Line { name: b"a", is_enabled: true, seconds: 17, pid: 4711, program: b"/bin/sleep" },
            Line { name: b"b", is_enabled: false, seconds: 0, pid: 0, program: b"/usr/bin/x" },
        ];
        let expected = "report board\na e 17 4711 /bin/sleep\nb d 0 0 /usr/bin/x\n";
        assert_eq!(datagrams(HERE, &lines, DATAGRAM_BYTES), [expected]);
    }

    #[test]
    fn the_address_of_the_interface_stands_behind_the_host() {
        let sender = Sender { interface: Some(&"10.0.0.1"), ..HERE };
        assert_eq!(datagrams(sender, &[], DATAGRAM_BYTES), ["report board 10.0.0.1\n"]);
    }

    #[test]
    fn no_job_is_a_report_too() {
        assert_eq!(datagrams(HERE, &[], DATAGRAM_BYTES), ["report board\n"]);
    }

    #[test]
    fn a_report_is_split_at_line_ends() {
        // "report board\n" are 13 bytes, "a e 0 0 /bin/x\n" are 15.
        let lines = [line("a"), line("b"), line("c")];
        let whole = ["report board\na e 0 0 /bin/x\nb e 0 0 /bin/x\nc e 0 0 /bin/x\n"];
        assert_eq!(datagrams(HERE, &lines, 58), whole);
        let two =
            ["report board\na e 0 0 /bin/x\nb e 0 0 /bin/x\n", "report board\nc e 0 0 /bin/x\n"];
        assert_eq!(datagrams(HERE, &lines, 57), two);
        assert_eq!(datagrams(HERE, &lines, 43), two);
        assert_eq!(datagrams(HERE, &lines, 42).len(), 3);
        assert_eq!(datagrams(HERE, &lines, 27), ["report board\n"]);
        assert_eq!(datagrams(HERE, &lines, 12), [""; 0]);
    }

    #[test]
    fn the_longest_line_fits_into_a_datagram() {
        use crate::limits::{NAME_BYTES, PATH_BYTES};
        let (name, program) = (vec![b'n'; NAME_BYTES], vec![b'p'; PATH_BYTES]);
        let line = Line {
            name: &name,
            is_enabled: false,
            seconds: u64::MAX,
            pid: i32::MIN,
            program: &program,
        };
        let sent = datagrams(HERE, &[line; 16], DATAGRAM_BYTES);
        let lines = sent.iter().map(|datagram| datagram.lines().count() - 1).sum::<usize>();
        assert_eq!((sent.len(), lines), (2, 16));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_torn_or_too_long(
            names in proptest::collection::vec("[a-z]{1,20}", 0..60),
            most in 48usize..300,
        ) {
            let lines: Vec<_> = names.iter().map(|name| line(name)).collect();
            let sent = datagrams(HERE, &lines, most);
            let head = "report board\n";
            let mut joined = String::new();
            for (n, datagram) in sent.iter().enumerate() {
                prop_assert!(datagram.len() <= most && datagram.ends_with('\n'));
                let body = datagram.strip_prefix(head);
                prop_assert!(body.is_some());
                joined.push_str(body.unwrap());
                // No datagram is sent before it is full.
                if let Some(next) = sent.get(n + 1) {
                    let first = next[head.len()..].split_inclusive('\n').next().unwrap();
                    prop_assert!(datagram.len() + first.len() > most);
                }
            }
            let whole = datagrams(HERE, &lines, DATAGRAM_BYTES);
            prop_assert_eq!([head.to_string() + &joined], &whole[..]);
        }
    }
}
