//! A job's name, held apart from the configuration that gave it.

#![forbid(unsafe_code)]

use core::fmt;

use crate::limits::NAME_BYTES;

/// A job's name of 1 to [`NAME_BYTES`] bytes. It outlives the configuration
/// that it came from: a job that was taken out of the file still has one while
/// it is being stopped, and so has its output while that is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_BYTES],
}

impl Name {
    /// No name: what an unused row of a table holds. All zeros.
    pub const NONE: Name = Name { len: 0, bytes: [0; NAME_BYTES] };

    /// The name `bytes`; what is longer than [`NAME_BYTES`] is cut off (the
    /// parser lets no such name in).
    pub fn new(bytes: &[u8]) -> Self {
        let mut name = Name::NONE;
        let len = bytes.len().min(NAME_BYTES);
        name.bytes[..len].copy_from_slice(&bytes[..len]);
        name.len = len as u8;
        name
    }

    /// The name as the file has it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// As text: what is not UTF-8 or would not print becomes `?`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lossy(f, self.as_bytes())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Bytes that a user chose, such as a path, shown as text by [`write_lossy`].
pub struct Lossy<'a>(pub &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lossy(f, self.0)
    }
}

/// Writes bytes that a user chose as text: control characters and what is not
/// UTF-8 become `?`, one for each byte of the latter.
pub fn write_lossy(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    use fmt::Write;
    for chunk in (Utf8Chunks { rest: bytes }) {
        match chunk {
            Ok(text) => {
                text.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))?
            }
            Err(invalid) => (0..invalid).try_for_each(|_| f.write_char('?'))?,
        }
    }
    Ok(())
}

/// Stretches of valid UTF-8, and how many bytes of something else stand between them.
struct Utf8Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Utf8Chunks<'a> {
    type Item = Result<&'a str, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let error = match core::str::from_utf8(self.rest) {
            Ok(text) => {
                self.rest = &[];
                return Some(Ok(text));
            }
            Err(error) => error,
        };
        let (valid, rest) = self.rest.split_at(error.valid_up_to());
        if !valid.is_empty() {
            self.rest = rest;
            return core::str::from_utf8(valid).ok().map(Ok);
        }
        let invalid = error.error_len().unwrap_or(rest.len());
        self.rest = &rest[invalid..];
        Some(Err(invalid))
    }
}
