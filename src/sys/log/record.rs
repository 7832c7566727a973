//! The form of a record: `<PRI>Mmm dd hh:mm:ss TAG[PID]: text` (RFC 3164,
//! section 4.1), in local time and without a host name, as syslog(3) writes it
//! to /dev/log: journald, rsyslog and busybox syslogd find the tag in it.

use super::super::std::io::Write;
use super::super::std::prelude::v1::*;
use super::zone_file::offset_at;
use crate::limits::NAME_BYTES;
use crate::zone::{wall, Offset, Wall};
use core::mem::size_of;
use nix::libc;
use nix::time::{clock_gettime, ClockId};
use syslog::{Facility, LogFormat, Severity};

/// What stands before a record's text, at most: priority, time and tag.
pub(super) const PREFIX_BYTES: usize =
    "<191>Mmm dd hh:mm:ss ".len() + NAME_BYTES + "[-2147483648]: ".len();

/// A time as RFC 3164 has it: `Mmm dd hh:mm:ss`, the day padded with a space.
type Stamp = [u8; 15];

/// Formats the records of one writer.
pub(super) struct Rfc3164<'a> {
    pub facility: Facility,
    pub stamp: &'a Stamp,
    /// The writer's name: a job's, or `pmtr`.
    pub name: &'a [u8],
    pub pid: i32,
}

impl LogFormat<&[u8]> for Rfc3164<'_> {
    fn format<W: Write>(&self, w: &mut W, severity: Severity, text: &[u8]) -> syslog::Result<()> {
        let priority = self.facility as u8 | severity as u8;
        write!(w, "<{priority}>")?;
        w.write_all(self.stamp)?;
        w.write_all(b" ")?;
        let mut tag = [0; NAME_BYTES];
        w.write_all(make_tag(self.name, &mut tag))?;
        write!(w, "[{}]: ", self.pid)?;
        w.write_all(text)?;
        Ok(())
    }
}

/// Where the echo of a record begins: at its tag.
pub(super) fn echo_at(record: &[u8]) -> usize {
    let priority = record.iter().position(|&byte| byte == b'>').unwrap_or(0);
    (priority + 1 + "Mmm dd hh:mm:ss ".len()).min(record.len())
}

/// A name as a tag: what would end the tag for a receiver, or does not print,
/// becomes `_`, and so does every byte of a name that is not UTF-8 above 0x7f.
fn make_tag<'a>(name: &[u8], tag: &'a mut [u8; NAME_BYTES]) -> &'a [u8] {
    let tag = &mut tag[..name.len().min(NAME_BYTES)];
    tag.copy_from_slice(&name[..tag.len()]);
    match core::str::from_utf8(name) {
        Ok(text) => {
            for (at, c) in text.char_indices().filter(|(_, c)| !is_tag_char(*c)) {
                tag[at..at + c.len_utf8()].fill(b'_');
            }
        }
        Err(_) => {
            for byte in
                tag.iter_mut().filter(|byte| !byte.is_ascii() || !is_tag_char(**byte as char))
            {
                *byte = b'_';
            }
        }
    }
    tag
}

fn is_tag_char(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && !matches!(c, ':' | '[' | ']' | '/')
}

/// The local time of the last record. All zeros before the first one.
pub(super) struct LocalTime {
    second: i64,
    offset: Offset,
    stamp: Stamp,
}

impl LocalTime {
    pub const fn new() -> Self {
        LocalTime { second: 0, offset: Offset { seconds: 0, from: 0, until: 0 }, stamp: [0; 15] }
    }

    /// The stamp of this moment; made once a second.
    pub fn stamp(&mut self) -> &Stamp {
        let second = now();
        if second != self.second {
            self.second = second;
            if !self.offset.holds(second) {
                self.offset = offset_at(second, self.offset);
            }
            self.stamp = make_stamp(wall(second + i64::from(self.offset.seconds)));
        }
        &self.stamp
    }

    /// Has the time zone read again.
    pub fn zone_may_have_changed(&mut self) {
        self.second = 0;
        self.offset.until = self.offset.from;
    }
}

/// The seconds since 1970; 1 where the clock cannot be read.
#[allow(clippy::unnecessary_cast)] // where they have 64 bits
fn now() -> i64 {
    match clock_gettime(ClockId::CLOCK_REALTIME) {
        Ok(time) if time.tv_sec() >= 0 => time.tv_sec() as i64,
        _ => wide_now().unwrap_or(1),
    }
}

/// The same where the C library's clock ends in January 2038: the kernel's
/// (since 5.1) does not.
fn wide_now() -> Option<i64> {
    // clock_gettime64, which has this number on all machines of 32 bits (clock_gettime(2)).
    let call = if size_of::<usize>() == 4 { 403 } else { libc::SYS_clock_gettime };
    let mut time = [0_i64; 2];
    // SAFETY: seconds and nanoseconds of 64 bits each are what it writes.
    let result = unsafe { libc::syscall(call, libc::CLOCK_REALTIME, time.as_mut_ptr()) };
    (result == 0).then_some(time[0])
}

fn make_stamp(wall: Wall) -> Stamp {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = usize::from(wall.month) * 3;
    let mut stamp = *b"Mmm dd hh:mm:ss";
    stamp[..3].copy_from_slice(&MONTHS[month..month + 3]);
    let numbers = [(4, wall.day), (7, wall.hour), (10, wall.minute), (13, wall.second)];
    for (at, number) in numbers {
        stamp[at] = b'0' + number / 10;
        stamp[at + 1] = b'0' + number % 10;
    }
    if stamp[4] == b'0' {
        stamp[4] = b' ';
    }
    stamp
}

#[cfg(test)]
mod tests {
    use super::super::super::std::time::{SystemTime, UNIX_EPOCH};
    use super::*;

    const JANUARY: Wall = Wall { month: 0, day: 3, hour: 4, minute: 5, second: 6 };

    #[test]
    fn the_29th_of_february_2040_is_one_whatever_the_width_of_time_t() {
        assert_eq!(&make_stamp(wall(2_214_129_600)), b"Feb 29 12:00:00");
    }

    #[test]
    fn both_clocks_are_that_of_std() {
        let std = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        for second in [now(), wide_now().unwrap()] {
            assert!((second - std.as_secs() as i64).abs() <= 1);
        }
    }

    #[test]
    fn a_day_of_one_digit_is_padded_with_a_space() {
        assert_eq!(&make_stamp(JANUARY), b"Jan  3 04:05:06");
    }

    #[test]
    fn all_months_have_their_names() {
        let names =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        for (month, name) in names.iter().enumerate() {
            let wall = Wall { month: month as u8, day: 31, ..JANUARY };
            assert_eq!(&make_stamp(wall)[..6], [name.as_bytes(), b" 31"].concat());
        }
    }

    #[test]
    fn the_longest_prefix_has_room() {
        let name = [b'n'; NAME_BYTES];
        let writer = Rfc3164 {
            facility: Facility::LOG_LOCAL7,
            stamp: b"Mmm dd hh:mm:ss",
            name: &name,
            pid: i32::MIN,
        };
        let mut record = Vec::new();
        writer.format(&mut record, Severity::LOG_DEBUG, b"").unwrap();
        assert_eq!(record.len(), PREFIX_BYTES);
        assert!(record[echo_at(&record)..].starts_with(&name));
    }
}
