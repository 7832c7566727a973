//! Words to a [`Config`]: the structure of the language.

use core::fmt;
use core::iter::Peekable;

use super::draft::{Draft, Full, List};
use super::lexer::{Form, Lexer, Place, Word};
use super::option::{self, Again, OptionRule, Set, SetLimit, Takes, OPTIONS};
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

/// After so many warnings the others are not told.
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
    last: Place,
    /// The name of the option that is being read.
    option: &'static str,
    /// Whether its `{` was stuck to its name.
    opened: bool,
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

/// For the setters of the options.
impl Parser<'_> {
    /// Reports what is wrong with the word at `place`.
    pub(super) fn tell(&mut self, place: Place, kind: ProblemKind<'_>) {
        if self.stopped {
            return;
        }
        let count = match kind.severity() {
            Severity::Error => &mut self.errors,
            Severity::Warning if self.warnings == MOST_WARNINGS => return,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
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
    pub(super) fn push_address(&mut self, word: Word<'_>, address: Address) {
        if self.config.addresses.push(address).is_err() {
            self.tell(word.place, ProblemKind::Limit(Limit::MaxAddresses));
        }
    }

    /// The line of the job that is called so already.
    pub(super) fn line_of_job(&self, name: &[u8]) -> Option<u32> {
        let at = self.config.by_name[self.config.rank(name).ok()?];
        Some(self.config.jobs[usize::from(at)].line)
    }
}

/// The structure: a file, jobs, options, values, blocks.
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

    fn file(&mut self) {
        while let Some(word) = self.peek() {
            match option::find_or_glued(&word) {
                Some(at) => self.global(at, word),
                None => self.unknown_outside(word),
            }
        }
    }

    /// An option outside of jobs.
    fn global(&mut self, at: usize, name: Word<'t>) {
        self.begin(at, name);
        match OPTIONS[at].takes {
            Takes::Options => {
                self.open(name);
                self.job(name.place);
            }
            Takes::Address(set) => self.value(at, name, set),
            _ => {
                self.tell(name.place, ProblemKind::BelongsInJob { option: self.option });
                self.skip();
            }
        }
    }

    /// The options of a job, after its `{`.
    fn job(&mut self, place: Place) {
        self.draft = Draft::new(place, self.config.ulimits.len());
        while let Some(word) = self.peek() {
            match option::find_or_glued(&word) {
                _ if word.is("}") => {
                    self.take(TokenKind::Close);
                    self.check_job();
                    return self.end_job();
                }
                Some(at) if matches!(OPTIONS[at].takes, Takes::Options) => break,
                Some(at) => self.option(at, word),
                None => self.unknown_inside(word),
            }
        }
        self.unclosed("job", place);
        self.end_job();
    }

    /// An option in a job.
    fn option(&mut self, at: usize, name: Word<'t>) {
        self.begin(at, name);
        self.check_again(at, name.place);
        match OPTIONS[at].takes {
            Takes::Nothing(set) => {
                set(&mut self.draft.spec);
                self.end_of_option(at);
            }
            Takes::Value(set) => self.value(at, name, set),
            Takes::Words(set) => self.words(at, name, set),
            Takes::Block(set) => {
                if self.open(name) && self.block(name, set) == Some(0) {
                    self.missing(at, name);
                }
            }
            Takes::Limits(set) => self.limits(at, name, set),
            Takes::Options | Takes::Address(_) => {
                self.tell(name.place, ProblemKind::BelongsOutside { option: self.option });
                self.skip();
            }
        }
    }

    /// The value of an option that takes one.
    fn value(&mut self, at: usize, name: Word<'t>, set: Set) {
        if !self.particle(at, name) {
            return;
        }
        if let Some(word) = self.one_value(at, name) {
            set(self, word);
            self.end_of_option(at);
        }
    }

    /// All words up to the next option.
    fn words(&mut self, at: usize, name: Word<'t>, set: Set) {
        let Some(word) = self.one_value(at, name) else { return };
        set(self, word);
        while let Some(word) = self.peek().filter(|word| !ends_values(word)) {
            self.take(TokenKind::Value);
            self.check_continued(word);
            set(self, word);
        }
    }

    /// Resource limits: one, or a block of them.
    fn limits(&mut self, at: usize, name: Word<'t>, set: SetLimit) {
        if self.opened || self.peek().is_some_and(|word| word.is("{")) {
            self.open(name);
            self.block(name, |p, flag| _ = p.limit(at, flag, set));
        } else if let Some(flag) = self.one_value(at, name) {
            if self.limit(at, flag, set) {
                self.end_of_option(at);
            }
        }
    }

    /// The value of a resource limit; whether there was one.
    fn limit(&mut self, at: usize, flag: Word<'t>, set: SetLimit) -> bool {
        if self.peek().is_some_and(|word| word.is("}")) {
            self.missing(at, flag);
            return false;
        }
        self.one_value(at, flag).map(|value| set(self, flag, value)).is_some()
    }

    /// The words of a block after its `{`, up to its `}`: how many there were, if it has one.
    fn block(&mut self, name: Word<'t>, item: impl Fn(&mut Self, Word<'t>)) -> Option<usize> {
        let mut count = 0;
        while let Some(word) = self.peek().filter(|word| !ends_values(word) || word.is("}")) {
            if word.is("}") {
                self.take(TokenKind::Close);
                return Some(count);
            }
            self.take(TokenKind::Value);
            item(self, word);
            count += 1;
        }
        self.unclosed(self.option, name.place);
        None
    }
}

/// The pieces: words, and what can be wrong between them.
impl<'t> Parser<'t> {
    /// The next word, which stays.
    fn peek(&mut self) -> Option<Word<'t>> {
        if self.stopped {
            return None;
        }
        self.words.peek().copied()
    }

    /// Takes the next word, as what it was understood.
    fn take(&mut self, kind: TokenKind) {
        let Some(word) = self.words.next() else { return };
        self.last = word.place;
        (self.read)(&Token { line: word.place.line, kind, word: word.bytes });
        if word.form == Form::Unterminated {
            self.tell(word.place, ProblemKind::UnterminatedQuote);
        }
    }

    /// Takes the name of an option.
    fn begin(&mut self, at: usize, name: Word<'t>) {
        self.option = OPTIONS[at].name;
        self.opened = !name.is(OPTIONS[at].keyword());
        self.take(TokenKind::Option);
        if self.opened {
            self.tell(name.place, ProblemKind::GluedBrace { word: name.bytes });
        }
    }

    /// Takes the second word of an option's name; whether it is there.
    fn particle(&mut self, at: usize, name: Word<'t>) -> bool {
        let Some(symbol) = OPTIONS[at].particle() else { return true };
        let next = self.peek().filter(|word| !ends_values(word));
        if next.is_some_and(|word| word.is(symbol)) {
            self.take(TokenKind::Particle);
            return true;
        }
        let place = next.map_or(name.place, |word| word.place);
        let option = OPTIONS[at].keyword();
        self.tell(place, ProblemKind::Expected { option, symbol });
        self.skip();
        false
    }

    /// Takes the `{` behind an option's name; whether what follows is a block.
    fn open(&mut self, name: Word<'t>) -> bool {
        if self.opened {
            return true;
        }
        let next = self.peek();
        if next.is_some_and(|word| word.is("{")) {
            self.take(TokenKind::Open);
            return true;
        }
        let same_line = next.filter(|word| !word.first);
        let place = same_line.map_or(name.place, |word| word.place);
        self.tell(place, ProblemKind::Expected { option: self.option, symbol: "{" });
        match same_line {
            Some(_) => self.skip_to_open(),
            None => next.is_some_and(|word| !ends_values(&word)),
        }
    }

    /// Leaves out the rest of the line up to a `{`; whether there is one.
    fn skip_to_open(&mut self) -> bool {
        while let Some(word) = self.peek().filter(|word| !word.first) {
            if word.is("{") {
                self.take(TokenKind::Open);
                return true;
            }
            self.take(TokenKind::Unexpected);
        }
        false
    }

    /// Takes the value behind an option's name.
    fn one_value(&mut self, at: usize, name: Word<'t>) -> Option<Word<'t>> {
        let next = self.peek().filter(|word| !ends_values(word));
        if next.is_some() {
            self.take(TokenKind::Value);
        } else {
            self.missing(at, name);
        }
        next
    }

    /// After a whole option its line must end; a `}` may end a block of one line.
    fn end_of_option(&mut self, at: usize) {
        let Some(word) = self.peek().filter(|word| !word.first && !word.is("}")) else { return };
        let (option, word) = (OPTIONS[at].name, word);
        if let Some(next) = option::find(&word) {
            let option = OPTIONS[next].name;
            return self.tell(word.place, ProblemKind::NotOnItsOwnLine { option });
        }
        let word_kind = match OPTIONS[at].takes {
            Takes::Nothing(_) => ProblemKind::UnexpectedValue { option, word: word.bytes },
            _ => ProblemKind::UnexpectedWord { option, word: word.bytes },
        };
        self.tell(word.place, word_kind);
        self.skip();
    }

    /// Leaves out the rest of the line, and the block that begins there.
    fn skip(&mut self) {
        let mut open = false;
        while let Some(word) = self.peek() {
            let ends = if open { ends_values(&word) } else { word.first };
            if ends && !word.is("}") || word.first && !open {
                return;
            }
            self.take(TokenKind::Unexpected);
            if open && word.is("}") {
                return;
            }
            open |= word.is("{");
        }
    }

    fn unknown_outside(&mut self, word: Word<'t>) {
        if word.is("}") {
            self.take(TokenKind::Close);
            return self.tell(word.place, ProblemKind::StrayBrace);
        }
        self.take(TokenKind::Unexpected);
        let hint = option::meant(word.bytes, true);
        self.tell(word.place, ProblemKind::UnknownOption { word: word.bytes, hint });
        if self.peek().is_some_and(|next| next.is("{") && !next.first) {
            self.take(TokenKind::Open);
            self.job(word.place);
        } else {
            self.skip();
        }
    }

    fn unknown_inside(&mut self, word: Word<'t>) {
        self.take(TokenKind::Unexpected);
        let hint = option::meant(word.bytes, false);
        self.tell(word.place, ProblemKind::UnknownOption { word: word.bytes, hint });
        self.skip();
    }

    /// Warns of a line amid the arguments of `cmd` that was perhaps meant as an option.
    fn check_continued(&mut self, word: Word<'t>) {
        if !word.first || word.form != Form::Bare {
            return;
        }
        if let Some(hint) = option::meant_instead_of_argument(word.bytes) {
            self.tell(word.place, ProblemKind::ContinuedWord { word: word.bytes, hint });
        }
    }

    /// Remembers that the job has this option; what a second one means is in the table.
    fn check_again(&mut self, at: usize, place: Place) {
        let (option, last) = (OPTIONS[at].name, place.line);
        let first = self.draft.lines[at];
        match OPTIONS[at].again {
            Again::Refused if first > 0 => {
                return self.tell(place, ProblemKind::Repeated { option, first });
            }
            Again::LastCounts if first > 0 => {
                self.tell(place, ProblemKind::LastCounts { option, first, last });
            }
            Again::Refused | Again::LastCounts | Again::AddsUp => {}
        }
        self.draft.lines[at] = last;
    }

    fn missing(&mut self, at: usize, name: Word<'t>) {
        let OptionRule { name: option, usage, .. } = OPTIONS[at];
        self.tell(name.place, ProblemKind::MissingValue { option, usage });
    }

    /// The block that begins at `place` has no `}` before the next word.
    fn unclosed(&mut self, block: &'static str, place: Place) {
        let next = self.peek().map_or(self.last, |word| word.place);
        self.tell(next, ProblemKind::Unclosed { block, line: place.line });
    }

    /// What a whole job must have.
    fn check_job(&mut self) {
        for (at, rule) in OPTIONS.iter().enumerate() {
            if rule.is_required() && self.draft.lines[at] == 0 {
                self.tell(self.draft.place, ProblemKind::NoOption { option: rule.name });
            }
        }
    }

    /// Adds the job to the configuration.
    fn end_job(&mut self) {
        let cpus = self.draft.cpus;
        let length = cpus.iter().rposition(|&byte| byte > 0).map_or(0, |last| last + 1);
        self.draft.spec.cpus = self.store(self.draft.place, &cpus[..length]);
        if self.config.add(self.draft.spec).is_err() {
            self.tell(self.draft.place, ProblemKind::Limit(Limit::MaxJobs));
        }
    }
}

/// Whether `word` is no value any more: an option or a `}` that begins a line.
fn ends_values(word: &Word<'_>) -> bool {
    word.first && (word.is("}") || option::find(word).is_some())
}
