//! The time zone: the offset from UTC at a moment, by a file of tzfile(5) (RFC 8536) or by
//! a rule of tzset(3), and the calendar.
//!
//! In place of the C library's tzset(3), which allocates when the zone changes, and in musl
//! reads a file only once.

#![forbid(unsafe_code)]

/// The seconds of a day.
const DAY: i64 = 86_400;

/// The longest rule in a file; the longest one in use has 42 bytes.
const RULE_BYTES: usize = 128;

/// The offset from UTC in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Seconds east of Greenwich.
    pub seconds: i32,
    /// The first second since 1970 that has it.
    pub from: i64,
    /// The first one after `from` that may have another one.
    pub until: i64,
}

impl Offset {
    /// None, always.
    pub const UTC: Offset = Offset { seconds: 0, from: i64::MIN, until: i64::MAX };

    /// Returns true if it holds at `second`.
    pub fn holds(&self, second: i64) -> bool {
        (self.from..self.until).contains(&second)
    }
}

/// A moment as a clock on the wall shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// From 0.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From 0.
    pub hour: u8,
    /// From 0.
    pub minute: u8,
    /// From 0.
    pub second: u8,
}

/// The wall time of `second`, which is since 1970 and has the offset already.
pub fn wall(second: i64) -> Wall {
    let (year, day_of_year) = date(second.div_euclid(DAY));
    let mut month = 0;
    while month < 11 && month_start(year, month + 1) <= day_of_year {
        month += 1;
    }
    let of_day = second.rem_euclid(DAY);
    Wall {
        month: month as u8,
        day: (day_of_year - month_start(year, month) + 1) as u8,
        hour: (of_day / 3600) as u8,
        minute: (of_day / 60 % 60) as u8,
        second: (of_day % 60) as u8,
    }
}

/// The offset at `second` by a file of tzfile(5). `read` fills a buffer from a position of
/// the file, or returns false. None if the file is malformed.
pub fn by_file(second: i64, read: &mut dyn FnMut(u64, &mut [u8]) -> bool) -> Option<Offset> {
    let first = Table::read(0, 4, read)?;
    if first.version == 0 {
        return first.offset(second, read).map(|(offset, _)| offset);
    }
    // All of it comes again, with times of 64 bits.
    let table = Table::read(first.end, 8, read)?;
    let (offset, is_last) = table.offset(second, read)?;
    if !is_last {
        return Some(offset);
    }
    let mut rule = [0; RULE_BYTES];
    let by_rule = table.rule(&mut rule, read).and_then(|rule| by_rule(second, rule));
    Some(by_rule.map_or(offset, |rule| Offset { from: rule.from.max(offset.from), ..rule }))
}

/// One of the two tables of a file: positions and numbers of its parts.
struct Table {
    version: u8,
    /// The bytes of a time.
    width: u64,
    times: u64,
    time_count: u64,
    types: u64,
    type_count: u64,
    end: u64,
}

impl Table {
    fn read(at: u64, width: u64, read: &mut dyn FnMut(u64, &mut [u8]) -> bool) -> Option<Table> {
        const HEADER: u64 = 44;
        let mut header = [0; HEADER as usize];
        if !read(at, &mut header) || !header.starts_with(b"TZif") {
            return None;
        }
        let count = |n: usize| u64::from(u32::from_be_bytes(quad(&header[20 + 4 * n..])));
        let [ut, std, leap, time_count, type_count, chars] = [0, 1, 2, 3, 4, 5].map(count);
        let times = at + HEADER;
        let types = times + time_count * (width + 1);
        let end = types + type_count * 6 + chars + leap * (width + 4) + std + ut;
        let version = header[4];
        Some(Table { version, width, times, time_count, types, type_count, end })
    }

    /// The offset at `second`, and whether its span is the one behind the last time.
    fn offset(
        &self,
        second: i64,
        read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    ) -> Option<(Offset, bool)> {
        // Times before `low` are not later than `second`, those from `high` on are.
        let (mut low, mut high) = (0, self.time_count);
        while low < high {
            let middle = (low + high) / 2;
            match self.time(middle, read)? <= second {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let mut kind = [0];
        let from = match low.checked_sub(1) {
            Some(last) => {
                read(self.times + self.time_count * self.width + last, &mut kind).then_some(())?;
                self.time(last, read)?
            }
            None => i64::MIN,
        };
        let is_last = low == self.time_count;
        let until = if is_last { i64::MAX } else { self.time(low, read)? };
        let seconds = self.seconds(kind[0].into(), read)?;
        Some((Offset { seconds, from, until }, is_last))
    }

    fn time(&self, number: u64, read: &mut dyn FnMut(u64, &mut [u8]) -> bool) -> Option<i64> {
        let mut bytes = [0; 8];
        let width = self.width as usize;
        read(self.times + number * self.width, &mut bytes[..width]).then_some(())?;
        Some(match width {
            4 => i32::from_be_bytes(quad(&bytes)).into(),
            _ => i64::from_be_bytes(bytes),
        })
    }

    fn seconds(&self, kind: u64, read: &mut dyn FnMut(u64, &mut [u8]) -> bool) -> Option<i32> {
        let mut bytes = [0; 4];
        let is_there = kind < self.type_count && read(self.types + kind * 6, &mut bytes);
        let seconds = i32::from_be_bytes(bytes);
        (is_there && i64::from(seconds).abs() < 2 * DAY).then_some(seconds)
    }

    /// The rule behind the table, for all that comes after its last time.
    fn rule<'a>(
        &self,
        rule: &'a mut [u8; RULE_BYTES],
        read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    ) -> Option<&'a [u8]> {
        let mut len = 0;
        let mut byte = [0];
        while len < RULE_BYTES && read(self.end + 1 + len as u64, &mut byte) {
            if byte == *b"\n" {
                return Some(&rule[..len]);
            }
            rule[len] = byte[0];
            len += 1;
        }
        None
    }
}

fn quad(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

/// The offset at `second` by a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`. None if it is none.
pub fn by_rule(second: i64, rule: &[u8]) -> Option<Offset> {
    let mut rest = Rest(rule);
    rest.name()?;
    let standard = -rest.time(24)?;
    if rest.0.is_empty() {
        return Some(Offset { seconds: standard, ..Offset::UTC });
    }
    rest.name()?;
    let is_given = !rest.0.is_empty() && !rest.0.starts_with(b",");
    let summer = if is_given { -rest.time(24)? } else { standard + 3600 };
    let [begin, end] = rest.changes()?;
    let (year, _) = date((second + i64::from(standard)).div_euclid(DAY));
    let mut found = Offset { seconds: standard, ..Offset::UTC };
    for year in year - 1..=year + 1 {
        // Where both are at once, summer goes on.
        let changes = [(end.at(year, summer), standard), (begin.at(year, standard), summer)];
        for (at, seconds) in changes {
            if at > second {
                found.until = found.until.min(at);
            } else if at >= found.from {
                (found.from, found.seconds) = (at, seconds);
            }
        }
    }
    Some(found)
}

/// What is not read yet of a rule.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.0.first() == Some(&byte);
        if is_next {
            self.0 = &self.0[1..];
        }
        is_next
    }

    /// Three letters or more, or anything between `<` and `>`.
    fn name(&mut self) -> Option<()> {
        let len = if self.take(b'<') {
            self.0.iter().position(|&byte| byte == b'>')? + 1
        } else {
            let len = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            (len >= 3).then_some(len)?
        };
        self.0 = &self.0[len..];
        Some(())
    }

    fn number(&mut self, most: i32) -> Option<i32> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.0.get(..len).filter(|_| (1..=3).contains(&len))?;
        let number = digits.iter().fold(0, |sum, digit| 10 * sum + i32::from(digit - b'0'));
        self.0 = &self.0[len..];
        (number <= most).then_some(number)
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    fn time(&mut self, most_hours: i32) -> Option<i32> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let _ = sign == 1 && self.take(b'+');
        let mut seconds = 3600 * self.number(most_hours)?;
        for unit in [60, 1] {
            if self.take(b':') {
                seconds += unit * self.number(59)?;
            } else {
                break;
            }
        }
        Some(sign * seconds)
    }

    /// When summer begins, and when it ends; that of the United States if nothing is said.
    fn changes(&mut self) -> Option<[Change; 2]> {
        if self.0.is_empty() {
            *self = Rest(b",M3.2.0,M11.1.0");
        }
        let changes = [self.change()?, self.change()?];
        self.0.is_empty().then_some(changes)
    }

    fn change(&mut self) -> Option<Change> {
        self.take(b',').then_some(())?;
        let day = if self.take(b'J') {
            Day::WithoutLeap(self.number(365)?)
        } else if self.take(b'M') {
            let month = self.number(12)?;
            self.take(b'.').then_some(())?;
            let week = self.number(5)?;
            self.take(b'.').then_some(())?;
            let weekday = self.number(6)?;
            (month > 0 && week > 0).then_some(Day::OfWeek { month: month - 1, week, weekday })?
        } else {
            Day::OfYear(self.number(365)?)
        };
        let time = if self.take(b'/') { self.time(167)? } else { 2 * 3600 };
        Some(Change { day, time })
    }
}

/// A change between standard time and summer, once a year.
struct Change {
    day: Day,
    /// Seconds since midnight of the time before the change.
    time: i32,
}

enum Day {
    /// From 1, without the 29th of February.
    WithoutLeap(i32),
    /// From 0.
    OfYear(i32),
    /// Month and weekday from 0; the fifth week is the last one.
    OfWeek { month: i32, week: i32, weekday: i32 },
}

impl Change {
    /// When it is in `year`, where the offset is `before` until then.
    fn at(&self, year: i64, before: i32) -> i64 {
        let first = year_start(year);
        let day = match self.day {
            Day::WithoutLeap(day) => i64::from(day) - 1 + i64::from(is_leap(year) && day > 59),
            Day::OfYear(day) => day.into(),
            Day::OfWeek { month, week, weekday } => {
                let (month, next) =
                    (month_start(year, month.into()), month_start(year, i64::from(month) + 1));
                // The 1st of January 1970 was a Thursday.
                let until = (i64::from(weekday) - (first + month + 4)).rem_euclid(7);
                let day = month + until + 7 * (i64::from(week) - 1);
                if day < next {
                    day
                } else {
                    day - 7
                }
            }
        };
        (first + day) * DAY + i64::from(self.time) - i64::from(before)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The days from 1970 to the first one of `year`.
fn year_start(year: i64) -> i64 {
    let before = year - 1;
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    (year - 1970) * 365 + leaps(before) - leaps(1969)
}

/// The day of the year, from 0, on which a month, from 0, begins.
fn month_start(year: i64, month: i64) -> i64 {
    const STARTS: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    STARTS[month as usize] + i64::from(month > 1 && is_leap(year))
}

/// The year of a day since 1970, and the day of that year, from 0.
fn date(day: i64) -> (i64, i64) {
    // Not later than the right one.
    let mut year = 1970 + day.div_euclid(if day < 0 { 365 } else { 366 });
    while year_start(year + 1) <= day {
        year += 1;
    }
    (year, day - year_start(year))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{format, fs, process::Command, string::String, vec::Vec};

    fn of_bytes(second: i64, bytes: &[u8]) -> Option<Offset> {
        by_file(second, &mut |at, buffer| {
            let found =
                usize::try_from(at).ok().and_then(|at| bytes.get(at..)?.get(..buffer.len()));
            found.map(|found| buffer.copy_from_slice(found)).is_some()
        })
    }

    /// What date(1) says of each second in a zone.
    fn by_date(zone: &str, seconds: &[i64]) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = seconds.iter().map(|second| format!("@{second}\n")).collect();
        fs::write(file.path(), lines.concat()).unwrap();
        let mut date = Command::new("date");
        date.args(["+%m %d %H %M %S", "-f"]).arg(file.path()).env("TZ", zone).env("LC_ALL", "C");
        let said = String::from_utf8(date.output().unwrap().stdout).unwrap();
        said.lines().map(String::from).collect()
    }

    fn ours(offset: Offset, second: i64) -> String {
        assert!(offset.holds(second));
        let Wall { month, day, hour, minute, second } = wall(second + i64::from(offset.seconds));
        format!("{:02} {day:02} {hour:02} {minute:02} {second:02}", month + 1)
    }

    /// Some of each month until 2099, and those next to changes.
    fn seconds(offset: impl Fn(i64) -> Offset) -> Vec<i64> {
        let some = (0..1500_i64).map(|n| n * 2_720_011);
        let next_to = |second: i64| {
            let until = offset(second).until;
            let near = [until.saturating_sub(1), until, until.saturating_add(1)];
            near.into_iter().filter(|second| (0..4_000_000_000).contains(second)).chain([second])
        };
        some.flat_map(next_to).collect()
    }

    #[test]
    fn rules_are_read_as_by_the_c_library() {
        let rules = [
            "UTC0",
            "TEST5",
            "ABC-5:30",
            "XYZ+9:15:20",
            "<+0330>-3:30",
            "QQQ5QQD,M3.2.0,M11.1.0",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "NZST-12NZDT,M9.5.0,M4.1.0/3",
            "IST-1GMT0,M10.5.0,M3.5.0/1",
            "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",
            "AAA3BBB,J60,J300/4:05:06",
            "AAA-3BBB,59/1,300",
            "EET-2EEST,M3.4.4/50,M10.4.4/50",
        ];
        for rule in rules {
            let offset = |second| by_rule(second, rule.as_bytes()).unwrap();
            let seconds = seconds(offset);
            let expected = by_date(rule, &seconds);
            assert_eq!(expected.len(), seconds.len());
            for (second, expected) in seconds.into_iter().zip(expected) {
                assert_eq!(ours(offset(second), second), expected, "{rule}, {second}");
            }
        }
    }

    #[test]
    fn files_are_read_as_by_the_c_library() {
        let zones = [
            "Europe/Berlin",
            "America/New_York",
            "Asia/Tokyo",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "America/St_Johns",
            "Asia/Kolkata",
            "Pacific/Apia",
            "Etc/UTC",
            "Europe/Dublin",
            "Asia/Gaza",
        ];
        for zone in zones {
            let Ok(bytes) = fs::read(format!("/usr/share/zoneinfo/{zone}")) else {
                std::eprintln!("skipped: files_are_read_as_by_the_c_library: no {zone} here");
                continue;
            };
            let offset = |second| of_bytes(second, &bytes).unwrap();
            let seconds = seconds(offset);
            for (second, expected) in seconds.iter().zip(by_date(zone, &seconds)) {
                assert_eq!(ours(offset(*second), *second), expected, "{zone}, {second}");
            }
        }
    }

    #[test]
    fn summer_without_dates_is_that_of_the_united_states() {
        let second = 1_750_000_000;
        assert_eq!(by_rule(second, b"QQQ5QQD"), by_rule(second, b"QQQ5QQD,M3.2.0,M11.1.0"));
        assert_eq!(by_rule(second, b"QQQ5QQD").unwrap().seconds, -4 * 3600);
    }

    #[test]
    fn what_is_no_rule_is_none() {
        for rule in [
            "",
            "A1",
            "UTC",
            "UTC25",
            "AAA1BBB,",
            "AAA1BBB,M13.1.0,M1.1.0",
            "AAA1BBB,M1.0.0,M2.1.0",
            "AAA1BBB,J1",
            "AAA1BBB,1,2x",
            "<A",
            "AAA1:60",
            "AAA1BBB,1,2,3",
        ] {
            assert_eq!(by_rule(0, rule.as_bytes()), None, "{rule}");
        }
    }

    /// A file as zic(8) writes it, of version 2, with one change and a rule.
    fn file() -> Vec<u8> {
        let header = |times: u8| {
            let mut header = b"TZif2".to_vec();
            header.resize(44, 0);
            (header[35], header[39], header[43]) = (times, 2, 4);
            header
        };
        let types =
            [&3600_i32.to_be_bytes()[..], &[0, 0], &7200_i32.to_be_bytes()[..], &[1, 0], b"AAA\0"]
                .concat();
        [
            header(0),
            types.clone(),
            header(1),
            1000_i64.to_be_bytes().to_vec(),
            std::vec![1],
            types,
            b"\nAAA-3\n".to_vec(),
        ]
        .concat()
    }

    #[test]
    fn a_file_has_a_table_and_then_a_rule() {
        let file = file();
        assert_eq!(
            of_bytes(999, &file),
            Some(Offset { seconds: 3600, from: i64::MIN, until: 1000 })
        );
        assert_eq!(
            of_bytes(1000, &file),
            Some(Offset { seconds: 10_800, from: 1000, until: i64::MAX })
        );
        let without_rule = &file[..file.len() - 6];
        assert_eq!(of_bytes(1000, without_rule).unwrap().seconds, 7200);
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_zone_make_it_panic(
            changes in proptest::collection::vec((0..150_usize, any::<u8>()), 0..20), rule in ".{0,60}", second: i64,
        ) {
            let second = second >> 16;
            let mut file = file();
            for (at, byte) in changes {
                if let Some(place) = file.get_mut(at) {
                    *place = byte;
                }
            }
            let _ = of_bytes(second, &file);
            let _ = by_rule(second, rule.as_bytes());
            wall(second);
        }
    }
}
