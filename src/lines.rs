//! Job output as it comes, made into lines for the log.
//!
//! - A line ends at a newline and nowhere else; a carriage return before it goes.
//!   Empty lines are not logged.
//! - A line of up to [`LINE_BYTES`] stays whole. A longer one is cut, never
//!   inside a UTF-8 sequence, and what follows the cut begins with [`MARK`].
//! - What has no newline yet is taken with [`LineBuffer::rest`]: when the job has
//!   ended, or after a pause. If the line goes on later, that begins with
//!   [`MARK`] too. So a record that does not begin with it begins a line.
//! - Control characters become `?`, one for each byte (tabs stay): neither a
//!   terminal nor a log file can be made to do anything by a job. All else is
//!   passed on as it is, UTF-8 or not.

#![forbid(unsafe_code)]

use crate::dropped::Dropped;
use crate::limits::{LINE_BYTES, STREAM_BUFFER_BYTES};

/// Begins a record that continues the line of the record before it.
pub const MARK: &[u8] = b"...";

/// How far beyond a line's limit must be seen to cut it right: the rest of a
/// UTF-8 sequence, or the `\r\n` that still let it stay whole.
const LOOK_AHEAD: usize = 4;

/// What the text of a record can have at most.
pub const TEXT_BYTES: usize = MARK.len() + LINE_BYTES;

// A line that is not finished never fills the buffer.
const _: () = assert!(STREAM_BUFFER_BYTES >= 2 * LINE_BYTES && STREAM_BUFFER_BYTES <= 32768);
const _: () = assert!(LINE_BYTES >= 16);

/// Holds what was read and not yet logged. All zeros when empty.
pub struct LineBuffer {
    /// The text is in `start..end`; before it there is always room for the mark.
    bytes: [u8; STREAM_BUFFER_BYTES],
    /// Counted from behind the first room for a mark, so that 0 is right.
    start: u16,
    end: u16,
    /// Bytes that the line handed out last takes with it, newline included.
    taken: u16,
    /// Whether the line goes on after what was handed out last.
    goes_on: bool,
    /// Whether the text at `start` continues a line.
    continues: bool,
}

impl LineBuffer {
    /// An empty buffer. All zeros.
    pub const fn new() -> Self {
        LineBuffer {
            bytes: [0; STREAM_BUFFER_BYTES],
            start: 0,
            end: 0,
            taken: 0,
            goes_on: false,
            continues: false,
        }
    }

    /// Where to read more to; never empty once [`line`](Self::line) has found nothing more.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            let kept = self.range();
            self.bytes.copy_within(kept, MARK.len());
            self.end -= self.start;
            self.start = 0;
        }
        let free = self.range().end;
        &mut self.bytes[free..]
    }

    /// The first `n` bytes of the [space](Self::space) hold new text.
    pub fn filled(&mut self, n: usize) {
        let room = STREAM_BUFFER_BYTES - self.range().end;
        self.end += n.min(room) as u16;
    }

    /// The next line, made harmless. It stays until it is [taken](Self::take).
    pub fn line(&mut self) -> Option<&[u8]> {
        let mut found = find(&self.bytes[self.range()])?;
        while found.text == 0 {
            self.start += found.taken as u16;
            self.continues = false;
            found = find(&self.bytes[self.range()])?;
        }
        Some(self.hand_out(found))
    }

    /// What is left when there is no whole line. It stays until it is
    /// [taken](Self::take). Unless it is the `last` of all, a UTF-8 sequence that
    /// is not complete waits for its end, once.
    pub fn rest(&mut self, last: bool) -> Option<&[u8]> {
        let bytes = &self.bytes[self.range()];
        let found = match bytes.len() {
            0 => {
                self.continues &= !last;
                return None;
            }
            len if len > LINE_BYTES => cut(bytes),
            len => {
                let complete = if last { len } else { complete(bytes) };
                Found {
                    text: without_return(&bytes[..complete]).len(),
                    taken: complete,
                    goes_on: !last,
                    plain: 0,
                }
            }
        };
        if found.text == 0 {
            self.start += found.taken as u16;
            self.continues &= found.goes_on;
            return None;
        }
        Some(self.hand_out(found))
    }

    /// What [`line`](Self::line) or [`rest`](Self::rest) returned is logged.
    pub fn take(&mut self) {
        self.start += self.taken;
        self.taken = 0;
        self.continues = self.goes_on;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Empties it: all that it holds is dropped.
    pub fn discard(&mut self, dropped: &mut Dropped) {
        dropped.add(&self.bytes[self.range()]);
        self.begin(false);
    }

    /// Drops the rest of a line whose beginning was dropped; as much as there
    /// is of it.
    pub fn discard_line(&mut self, dropped: &mut Dropped) {
        let text = &self.bytes[self.range()];
        let count = newline(text).map_or(text.len(), |at| at + 1);
        dropped.add(&text[..count]);
        self.start += count as u16;
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        usize::from(self.end - self.start)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether what is read next continues a line: what is to be kept of an
    /// empty buffer that is given to another stream.
    pub fn continues(&self) -> bool {
        self.continues
    }

    /// Takes the place of another empty buffer.
    pub fn begin(&mut self, continues: bool) {
        (self.start, self.end, self.taken) = (0, 0, 0);
        self.continues = continues;
    }

    fn range(&self) -> core::ops::Range<usize> {
        MARK.len() + usize::from(self.start)..MARK.len() + usize::from(self.end)
    }

    fn hand_out(&mut self, found: Found) -> &[u8] {
        self.taken = found.taken as u16;
        self.goes_on = found.goes_on;
        let mut at = self.range().start;
        let end = at + found.text;
        clean(&mut self.bytes[at + found.plain.min(found.text)..end]);
        if self.continues {
            at -= MARK.len();
            self.bytes[at..at + MARK.len()].copy_from_slice(MARK);
        }
        &self.bytes[at..end]
    }
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes text harmless in place: every byte of a control character, be it of
/// ASCII or an encoded one of U+0080 to U+009F, becomes `?`. Tabs stay.
pub fn clean(text: &mut [u8]) {
    let mut at = plain(text);
    while let Some(&byte) = text.get(at) {
        let next = text.get(at + 1).copied().unwrap_or(0);
        match byte {
            b' '..=0x7e => {
                at += 1;
                continue;
            }
            b'\t' => {}
            0..=0x1f | 0x7f => text[at] = b'?',
            0xc2 if (0x80..=0x9f).contains(&next) => text[at..at + 2].fill(b'?'),
            _ => {}
        }
        at += 1;
        at += plain(&text[at..]);
    }
}

/// A stretch of text, and how much of the input it takes with it.
struct Found {
    text: usize,
    taken: usize,
    goes_on: bool,
    /// So much at its beginning is known to be harmless.
    plain: usize,
}

/// A whole line, or as much of an over-long one as is to be logged at once.
fn find(bytes: &[u8]) -> Option<Found> {
    let seen = &bytes[..bytes.len().min(LINE_BYTES + LOOK_AHEAD)];
    // Most lines are plain all over, and looked at once only.
    let plain = plain(seen);
    match newline(&seen[plain..]).map(|at| plain + at) {
        Some(newline) => {
            let text = without_return(&bytes[..newline]).len();
            let whole = Found { text, taken: newline + 1, goes_on: false, plain };
            Some(if text <= LINE_BYTES { whole } else { cut(seen) })
        }
        None if seen.len() == LINE_BYTES + LOOK_AHEAD => Some(cut(seen)),
        None => None,
    }
}

/// How many bytes are looked at at once where most are of no interest.
const WORD: usize = 8;

/// The same byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; WORD])
}

/// Whether a byte of `word` is below `limit`, which is at most 0x80.
fn has_below(word: u64, limit: u8) -> bool {
    word.wrapping_sub(each(limit)) & !word & each(0x80) != 0
}

/// Whether eight bytes are nothing but printable ASCII.
fn is_harmless(bytes: &[u8]) -> bool {
    let word = bytes.try_into().map_or(0, u64::from_ne_bytes);
    word & each(0x80) == 0 && !has_below(word, b' ') && !has_below(word ^ each(0x7f), 1)
}

/// How much at the beginning is nothing but printable ASCII, in whole words.
fn plain(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks_exact(WORD);
    WORD * words.by_ref().take_while(|word| is_harmless(word)).count()
}

/// Where the first newline is.
fn newline(bytes: &[u8]) -> Option<usize> {
    let has_one = |word: &[u8]| {
        let word = word.try_into().map_or(0, u64::from_ne_bytes);
        has_below(word ^ each(b'\n'), 1)
    };
    let words = bytes.chunks_exact(WORD);
    let from = WORD * words.clone().position(has_one).unwrap_or(words.len());
    bytes[from..].iter().position(|&byte| byte == b'\n').map(|at| from + at)
}

/// The first part of a text of more than [`LINE_BYTES`].
fn cut(bytes: &[u8]) -> Found {
    let mut at = LINE_BYTES;
    for start in LINE_BYTES - 3..LINE_BYTES {
        if start + sequence(&bytes[start..]) > LINE_BYTES {
            at = start;
            break;
        }
    }
    Found { text: at, taken: at, goes_on: true, plain: 0 }
}

/// How many of the bytes are not part of a UTF-8 sequence that only begins;
/// all of them, where there is nothing else.
fn complete(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let open = (from..bytes.len()).find(|&at| at + sequence(&bytes[at..]) > bytes.len());
    open.filter(|&at| at > 0).unwrap_or(bytes.len())
}

/// How long the UTF-8 sequence is with which the bytes begin, as far as they
/// can tell; 1 if it is none.
fn sequence(bytes: &[u8]) -> usize {
    let len = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return 1,
    };
    match core::str::from_utf8(&bytes[..len.min(bytes.len())]) {
        Ok(_) => len,
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => len,
        Err(_) => 1,
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    match line {
        [text @ .., b'\r'] => text,
        all => all,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{boxed::Box, vec, vec::Vec};

    /// All that comes out when `chunks` are read one after the other, and then no more.
    fn lines_of(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut buffer = Box::new(LineBuffer::new());
        let mut lines = Vec::new();
        for mut chunk in chunks.iter().copied() {
            while !chunk.is_empty() {
                let count = chunk.len().min(buffer.space().len());
                buffer.space()[..count].copy_from_slice(&chunk[..count]);
                buffer.filled(count);
                chunk = &chunk[count..];
                lines.extend(whole_lines(&mut buffer));
            }
        }
        lines.extend(rest(&mut buffer, true));
        assert!(buffer.is_empty());
        lines
    }

    fn whole_lines(buffer: &mut LineBuffer) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(line) = buffer.line() {
            lines.push(line.to_vec());
            buffer.take();
        }
        lines
    }

    fn rest(buffer: &mut LineBuffer, last: bool) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(line) = buffer.rest(last) {
            lines.push(line.to_vec());
            buffer.take();
            if !last {
                break;
            }
        }
        lines
    }

    fn read(buffer: &mut LineBuffer, text: &[u8]) {
        buffer.space()[..text.len()].copy_from_slice(text);
        buffer.filled(text.len());
    }

    #[test]
    fn a_line_of_the_longest_length_stays_whole() {
        for end in ["\n", "\r\n", ""] {
            let line = vec![b'x'; LINE_BYTES];
            assert_eq!(lines_of(&[&line, end.as_bytes()]), [line]);
        }
    }

    #[test]
    fn a_longer_line_goes_on_with_a_mark() {
        let line = vec![b'x'; LINE_BYTES + 1];
        assert_eq!(
            lines_of(&[&line, b"\nnext\n"]),
            [vec![b'x'; LINE_BYTES], b"...x".to_vec(), b"next".to_vec()]
        );
    }

    #[test]
    fn a_character_on_the_limit_goes_to_the_next_record() {
        let line = ["x".repeat(LINE_BYTES - 1), "€ 5\n".into()].concat();
        assert_eq!(lines_of(&[line.as_bytes()]), [vec![b'x'; LINE_BYTES - 1], "...€ 5".into()]);
    }

    #[test]
    fn control_characters_are_made_harmless_byte_by_byte() {
        let lines = lines_of(&[b"a\tb\0c\x1b[2J\x7f\r.\xc2\x9b31m \xff\x9b\n"]);
        assert_eq!(lines, [b"a\tb?c?[2J??.??31m \xff\x9b"]);
    }

    #[test]
    fn empty_lines_are_not_logged() {
        assert_eq!(lines_of(&[b"\n\n\r\na\n\nb"]), [b"a", b"b"]);
    }

    #[test]
    fn what_follows_a_partial_line_is_marked() {
        let mut buffer = LineBuffer::new();
        read(&mut buffer, b"Password: ");
        assert_eq!(buffer.line(), None);
        assert_eq!(rest(&mut buffer, false), [b"Password: "]);
        read(&mut buffer, b"wrong\nbye\n");
        assert_eq!(whole_lines(&mut buffer), [&b"...wrong"[..], b"bye"]);
    }

    #[test]
    fn a_partial_line_whose_newline_comes_later_is_one_record() {
        let mut buffer = LineBuffer::new();
        read(&mut buffer, b"Loading");
        assert_eq!(rest(&mut buffer, false), [b"Loading"]);
        read(&mut buffer, b"\nnext\n");
        assert_eq!(whole_lines(&mut buffer), [b"next"]);
    }

    #[test]
    fn that_a_line_goes_on_survives_the_change_of_buffers() {
        let mut first = LineBuffer::new();
        read(&mut first, b"one");
        assert_eq!(rest(&mut first, false), [b"one"]);
        let mut second = LineBuffer::new();
        second.begin(first.continues());
        read(&mut second, b" two\n");
        assert_eq!(whole_lines(&mut second), [b"... two"]);
    }

    #[test]
    fn a_character_that_is_not_complete_waits_once() {
        let mut buffer = LineBuffer::new();
        read(&mut buffer, b"5 \xe2\x82");
        assert_eq!(rest(&mut buffer, false), [b"5 "]);
        read(&mut buffer, b"\xac");
        assert_eq!(rest(&mut buffer, false), ["...€".as_bytes()]);
        read(&mut buffer, b"\xe2\x82");
        assert_eq!(rest(&mut buffer, false), [b"...\xe2\x82"]);
    }

    #[test]
    fn a_line_that_is_not_taken_comes_again() {
        let mut buffer = LineBuffer::new();
        read(&mut buffer, b"a\x01b\nc\n");
        assert_eq!(buffer.line(), Some(&b"a?b"[..]));
        read(&mut buffer, b"d\n");
        assert_eq!(whole_lines(&mut buffer), [&b"a?b"[..], b"c", b"d"]);
    }
}
