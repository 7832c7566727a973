//! What `-vv` shows of the parsing.

use core::fmt;

use crate::name::write_lossy;

/// A word of a configuration file, and as what it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The line of the file, from 1.
    pub line: u32,
    /// As what it was read.
    pub kind: TokenKind,
    /// The word, without quotes.
    pub word: &'a [u8],
}

/// As what a word was read: words are special only in their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The name of an option.
    Option,
    /// The second word of an option's name, such as `every`.
    Particle,
    /// A `{` that begins a block.
    Open,
    /// A `}` that ends one.
    Close,
    /// A value, or an argument of `cmd`.
    Value,
    /// A word that has no place here.
    Unexpected,
}

/// "line 3 option: cmd".
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TokenKind::Option => "option",
            TokenKind::Particle => "option's second word",
            TokenKind::Open => "block begins",
            TokenKind::Close => "block ends",
            TokenKind::Value => "value",
            TokenKind::Unexpected => "unexpected",
        };
        write!(f, "line {} {kind}: ", self.line)?;
        write_lossy(f, self.word)
    }
}
