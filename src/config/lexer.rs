//! Bytes to words.
//!
//! White space is space, tab, CR and newline. `#` begins a comment where a word
//! could begin. `"` there begins a quoted word, which ends at the next `"` of
//! the line; nothing is escaped. Any other word ends at white space, quotes
//! within it are plain, and so is every byte from 0x80.

/// Where a word stands in the text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Counted from 1.
    pub line: u32,
    /// The position of the line's first byte.
    pub line_start: usize,
    /// The position of the word's first byte, a quote included.
    pub start: usize,
    /// The position after its last byte.
    pub end: usize,
}

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bare,
    Quoted,
    /// Quoted, but its line ends before the second quote.
    Unterminated,
}

/// A word, as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'t> {
    /// Its bytes, without quotes.
    pub bytes: &'t [u8],
    pub form: Form,
    /// Whether it is the first one of its line.
    pub first: bool,
    pub place: Place,
}

impl Word<'_> {
    /// Whether it is `symbol` itself: `"{"` in quotes is not `{`.
    pub fn is(&self, symbol: &str) -> bool {
        self.form == Form::Bare && self.bytes == symbol.as_bytes()
    }
}

/// The words of a text, one after the other.
#[derive(Clone)]
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
    line_start: usize,
    /// Whether no word of this line has been read yet.
    first: bool,
}

impl<'t> Lexer<'t> {
    /// Starts at the beginning of `text`, after the byte order mark if it has one.
    pub fn new(text: &'t [u8]) -> Self {
        let at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Lexer { text, at, line: 1, line_start: at, first: true }
    }

    /// The place of the `length` bytes at position `at`, which is not before where the lexer is.
    pub fn place_of(mut self, at: usize, length: usize) -> Place {
        while self.at < at {
            self.step();
        }
        Place { line: self.line, line_start: self.line_start, start: at, end: at + length }
    }

    fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    fn step(&mut self) {
        let newline = self.text[self.at] == b'\n';
        self.at += 1;
        if newline {
            self.line += 1;
            self.line_start = self.at;
            self.first = true;
        }
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.rest().first() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.step(),
                b'#' => self.at += length_until(self.rest(), |byte| byte == b'\n'),
                _ => return,
            }
        }
    }

    /// The length and the form of the word that begins here.
    fn measure(&self) -> (usize, Form) {
        let Some(quoted) = self.rest().strip_prefix(b"\"") else {
            return (length_until(self.rest(), is_blank), Form::Bare);
        };
        let inside = length_until(quoted, |byte| matches!(byte, b'"' | b'\n'));
        match quoted.get(inside) {
            Some(b'"') => (inside + 2, Form::Quoted),
            _ => (inside + 1, Form::Unterminated),
        }
    }
}

impl<'t> Iterator for Lexer<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        self.skip_blank();
        let (length, form) = self.measure();
        if length == 0 {
            return None;
        }
        let whole = &self.rest()[..length];
        let bytes = match form {
            Form::Bare => whole,
            Form::Quoted => &whole[1..length - 1],
            Form::Unterminated => &whole[1..],
        };
        let (start, end) = (self.at, self.at + length);
        let place = Place { line: self.line, line_start: self.line_start, start, end };
        let first = core::mem::take(&mut self.first);
        self.at = end;
        Some(Word { bytes, form, first, place })
    }
}

/// Whether `byte` is white space: what stands between words.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn length_until(bytes: &[u8], end: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| end(byte)).unwrap_or(bytes.len())
}
