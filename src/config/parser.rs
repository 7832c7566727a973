//! A configuration file on its way into a [`Config`]: what goes in and what comes out.

use core::fmt;
use core::iter::Peekable;

use super::address::Prefix;
use super::draft::{Draft, Full, List};
use super::lexer::{Form, Lexer, Place, Word};
use super::problem::{Limit, Problem, ProblemKind, Severity, ValueFault};
use super::spec::{Address, Config, Span, Ulimit};
use super::token::{Token, TokenKind};
use crate::limits::TEXT_BYTES;

/// A configuration that was not taken, because of its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many were found, at least one.
    pub errors: u32,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} error{}", self.errors, if self.errors == 1 { "" } else { "s" })
    }
}

/// After so many errors the rest of the file is left alone.
const MOST_ERRORS: u32 = 20;

/// After so many warnings the others are only mentioned.
const MOST_WARNINGS: u32 = 20;

/// Reads a configuration file (manual, "Config file") into `into`, whatever
/// that held before. `found` is told every error and warning, mostly in the
/// order of the file. When there is an error, `into` is left empty.
pub fn parse(
    text: &[u8],
    into: &mut Config,
    found: &mut dyn FnMut(&Problem<'_>),
) -> Result<(), Refused> {
    parse_traced(text, into, found, &mut |_| {})
}

/// The same, and tells each word as what it was read (manual, "-vv shows parsing").
pub fn parse_traced(
    text: &[u8],
    into: &mut Config,
    found: &mut dyn FnMut(&Problem<'_>),
    read: &mut dyn FnMut(&Token<'_>),
) -> Result<(), Refused> {
    into.clear();
    let mut parser = Parser {
        text,
        words: Lexer::new(text).peekable(),
        last: Place { line: 1, ..Place::default() },
        option: "",
        opened: false,
        draft: Draft::new(Place::default(), 0),
        depends: 0,
        config: into,
        found,
        read,
        errors: 0,
        warnings: 0,
        stopped: false,
    };
    parser.check_text();
    parser.file();
    let errors = parser.errors;
    if errors > 0 {
        into.clear();
        return Err(Refused { errors });
    }
    into.sort();
    Ok(())
}

/// A file on its way into a configuration. The setters of the options fill
/// `draft`; everything that is wrong goes to [`tell`](Self::tell).
pub(super) struct Parser<'t> {
    text: &'t [u8],
    words: Peekable<Lexer<'t>>,
    /// Where the last word was.
    pub(super) last: Place,
    /// The name of the option that is being read.
    pub(super) option: &'static str,
    /// Whether its `{` was stuck to its name.
    pub(super) opened: bool,
    pub(super) draft: Draft,
    /// How many files all `depends` have named.
    pub(super) depends: usize,
    config: &'t mut Config,
    found: &'t mut dyn FnMut(&Problem<'_>),
    read: &'t mut dyn FnMut(&Token<'_>),
    errors: u32,
    warnings: u32,
    /// Nothing more is read, nothing more is told.
    stopped: bool,
}

/// Words in, problems out.
impl<'t> Parser<'t> {
    fn check_text(&mut self) {
        let nul = self.text.iter().position(|&byte| byte == 0);
        let (at, kind) = match nul {
            _ if self.text.len() > TEXT_BYTES => (TEXT_BYTES, ProblemKind::Limit(Limit::TextBytes)),
            Some(at) => (at, ProblemKind::NulByte),
            None => return,
        };
        self.tell(Lexer::new(self.text).place_of(at, 1), kind);
    }

    /// The next word, which stays.
    pub(super) fn peek(&mut self) -> Option<Word<'t>> {
        if self.stopped {
            return None;
        }
        self.words.peek().copied()
    }

    /// Takes the next word, as what it was understood.
    pub(super) fn take(&mut self, kind: TokenKind) {
        let Some(word) = self.words.next() else { return };
        self.last = word.place;
        (self.read)(&Token { line: word.place.line, kind, word: word.bytes });
        if word.form == Form::Unterminated {
            self.tell(word.place, ProblemKind::UnterminatedQuote);
        }
    }

    /// Reports what is wrong with the word at `place`.
    pub(super) fn tell(&mut self, place: Place, kind: ProblemKind<'_>) {
        if self.stopped {
            return;
        }
        let count = match kind.severity() {
            Severity::Error => &mut self.errors,
            Severity::Warning if self.warnings > MOST_WARNINGS => return,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        let is_shown = self.warnings <= MOST_WARNINGS || kind.severity() == Severity::Error;
        let kind = if is_shown { kind } else { ProblemKind::TooManyWarnings };
        (self.found)(&Problem::new(self.text, place, kind));
        if self.errors == MOST_ERRORS {
            (self.found)(&Problem::new(self.text, place, ProblemKind::TooManyErrors));
        }
        let full = matches!(kind, ProblemKind::Limit(limit) if limit.is_shared());
        self.stopped = full || kind == ProblemKind::NulByte || self.errors == MOST_ERRORS;
    }

    /// Reports what is wrong with a value of the option that is being read.
    pub(super) fn refuse(&mut self, word: Word<'_>, fault: ValueFault) {
        let kind = ProblemKind::Value { option: self.option, word: word.bytes, fault };
        self.tell(word.place, kind);
    }
}

/// What the setters of options put into the configuration.
impl Parser<'_> {
    /// Makes `word` the value of a string of the job.
    pub(super) fn keep(&mut self, word: Word<'_>, string: List) {
        let span = self.store(word.place, word.bytes);
        *string(&mut self.draft.spec) = span;
    }

    /// Adds `word` to a list of strings of the job.
    pub(super) fn append(&mut self, word: Word<'_>, list: List) {
        if let Err(Full) = self.config.append(&mut self.draft.spec, list, word.bytes) {
            self.tell(word.place, ProblemKind::Limit(Limit::TextBytes));
        }
    }

    /// Puts a string into the text block. Nothing is stored for an empty one.
    pub(super) fn store(&mut self, place: Place, bytes: &[u8]) -> Span {
        if bytes.is_empty() {
            return Span::default();
        }
        self.config.keep(bytes).unwrap_or_else(|Full| {
            self.tell(place, ProblemKind::Limit(Limit::TextBytes));
            Span::default()
        })
    }

    /// Begins the job whose `job` stands at `place`.
    pub(super) fn begin_job(&mut self, place: Place) {
        self.draft = Draft::new(place, self.config.ulimits.len());
    }

    /// Adds the job to the configuration.
    pub(super) fn end_job(&mut self) {
        let cpus = self.draft.cpus;
        let length = cpus.iter().rposition(|&byte| byte > 0).map_or(0, |last| last + 1);
        self.draft.spec.cpus = self.store(self.draft.place, &cpus[..length]);
        if self.config.add(self.draft.spec).is_err() {
            self.tell(self.draft.place, ProblemKind::Limit(Limit::MaxJobs));
        }
    }

    /// Adds a resource limit to the job, in place of one for the same resource.
    pub(super) fn set_ulimit(&mut self, flag: Word<'_>, ulimit: Ulimit) {
        let line = &mut self.draft.ulimit_lines[ulimit.resource as usize];
        let first = core::mem::replace(line, flag.place.line);
        let own = &mut self.config.ulimits[usize::from(self.draft.spec.first_ulimit)..];
        if let Some(same) = own.iter_mut().find(|known| known.resource == ulimit.resource) {
            *same = ulimit;
            let (option, last) = (ulimit.resource.flag(), flag.place.line);
            self.tell(flag.place, ProblemKind::LastCounts { option, first, last });
        } else if self.config.ulimits.push(ulimit).is_ok() {
            self.draft.spec.ulimits += 1;
        } else {
            self.tell(flag.place, ProblemKind::Limit(Limit::MaxUlimits));
        }
    }

    /// Adds a `report to` or `listen on`.
    pub(super) fn push_address(&mut self, word: Word<'_>, mut address: Address) {
        // A table of senders is far smaller.
        address.first_sender = self.config.senders.len() as u8;
        if self.config.addresses.push(address).is_err() {
            self.tell(word.place, ProblemKind::Limit(Limit::MaxAddresses));
        }
    }

    /// The address of the line that `word` stands in, if it was good.
    pub(super) fn last_address(&self, word: Word<'_>) -> Option<Address> {
        let last = self.config.addresses.last().copied();
        last.filter(|address| address.line == word.place.line)
    }

    /// Adds a `from` to the address of its line.
    pub(super) fn push_sender(&mut self, word: Word<'_>, sender: Prefix) {
        if self.last_address(word).is_none() {
            return;
        }
        if self.config.senders.push(sender).is_err() {
            self.tell(word.place, ProblemKind::Limit(Limit::MaxSenders));
        } else if let Some(address) = self.config.addresses.last_mut() {
            address.senders += 1;
        }
    }

    /// The line of the job that is called so already.
    pub(super) fn line_of_job(&self, name: &[u8]) -> Option<u32> {
        let at = self.config.find(name)?;
        Some(self.config.jobs[at].line)
    }
}
