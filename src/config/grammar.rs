//! The structure of the language: a file, jobs, options, values, blocks; and how
//! to go on after an error.

use super::lexer::{Form, Place, Word};
use super::option::{self, Again, OptionRule, Takes, OPTIONS};
use super::parser::Parser;
use super::problem::ProblemKind;
use super::setter::{self, Set};
use super::token::TokenKind;

/// From the whole to its parts.
impl<'t> Parser<'t> {
    pub(super) fn file(&mut self) {
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
            Takes::Listener => self.listener(at, name),
            _ => {
                self.tell(name.place, ProblemKind::BelongsInJob { option: self.option });
                self.skip_option(at);
            }
        }
    }

    /// The options of a job, after its `{`.
    fn job(&mut self, place: Place) {
        self.begin_job(place);
        while let Some(word) = self.peek() {
            match option::find_or_glued(&word) {
                _ if word.is("}") => {
                    self.take(TokenKind::Close);
                    self.check_job();
                    return self.end_job();
                }
                Some(at) if matches!(OPTIONS[at].takes, Takes::Options) => break,
                Some(at) => self.option(at, word),
                None if self.unknown_inside(word) == Some("}") => return self.end_job(),
                None => {}
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
            Takes::Nothing(mark) => {
                mark.mark(&mut self.draft.spec);
                self.end_of_option(at);
            }
            Takes::Value(set) => self.value(at, name, set),
            Takes::Words(set) => self.words(at, name, set),
            Takes::Block(set) => {
                if self.open(name) && self.block(name, |p, word| set.set(p, word)) == Some(0) {
                    self.missing(at, name);
                }
            }
            Takes::Limits => self.limits(at, name),
            Takes::Options | Takes::Address(_) | Takes::Listener => {
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
            set.set(self, word);
            self.end_of_option(at);
        }
    }

    /// An address, and from whom it takes datagrams: all in one line.
    fn listener(&mut self, at: usize, name: Word<'t>) {
        if !self.particle(at, name) {
            return;
        }
        let Some(address) = self.one_value(at, name) else { return };
        setter::listen_on(self, address);
        while let Some(from) = self.peek().filter(|word| !word.first && word.is("from")) {
            self.take(TokenKind::Particle);
            let Some(sender) = self.peek().filter(|word| !word.first) else {
                return self.missing(at, from);
            };
            self.take(TokenKind::Value);
            setter::from(self, sender);
        }
        setter::end_of_listener(self, address);
        self.end_of_option(at);
    }

    /// All words up to the next option.
    fn words(&mut self, at: usize, name: Word<'t>, set: Set) {
        let Some(word) = self.one_value(at, name) else { return };
        set.set(self, word);
        while let Some(word) = self.peek().filter(|word| !ends_values(word)) {
            self.take(TokenKind::Value);
            self.check_continued(word);
            set.set(self, word);
        }
    }

    /// Resource limits: one, or a block of them.
    fn limits(&mut self, at: usize, name: Word<'t>) {
        if self.opened || self.peek().is_some_and(|word| word.is("{")) {
            self.open(name);
            self.block(name, |p, flag| _ = p.limit(at, flag));
        } else if let Some(flag) = self.one_value(at, name) {
            if self.limit(at, flag) {
                self.end_of_option(at);
            }
        }
    }

    /// The value of a resource limit; whether there was one.
    fn limit(&mut self, at: usize, flag: Word<'t>) -> bool {
        if self.peek().is_some_and(|word| word.is("}")) {
            self.missing(at, flag);
            return false;
        }
        self.one_value(at, flag).map(|value| setter::ulimit(self, flag, value)).is_some()
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

/// The pieces, and what can be wrong between them.
impl<'t> Parser<'t> {
    /// Takes the name of an option.
    fn begin(&mut self, at: usize, name: Word<'t>) {
        self.option = &OPTIONS[at].name;
        self.opened = !name.is(OPTIONS[at].keyword());
        self.take(TokenKind::Option);
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
            self.tell(name.place, ProblemKind::GluedBrace { word: name.bytes });
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
        let Some(next) = self.peek().filter(|next| !next.first && !next.is("}")) else { return };
        let global = OPTIONS[at].is_global();
        let other = option::find(&next).map(|at| &OPTIONS[at]);
        if let Some(other) = other.filter(|other| other.is_global() == global) {
            return self.tell(next.place, ProblemKind::NotOnItsOwnLine { option: &other.name });
        }
        let (option, word) = (OPTIONS[at].name.as_str(), next.bytes);
        let kind = match OPTIONS[at].takes {
            Takes::Nothing(_) => ProblemKind::UnexpectedValue { option, word },
            _ => ProblemKind::UnexpectedWord { option, word },
        };
        self.tell(next.place, kind);
        self.skip();
    }

    fn skip_line(&mut self) {
        self.take(TokenKind::Unexpected);
        while self.peek().is_some_and(|word| !word.first) {
            self.take(TokenKind::Unexpected);
        }
    }

    /// Leaves out the rest of the line, and the block that begins there.
    fn skip(&mut self) {
        let mut open = false;
        while let Some(word) = self.peek() {
            let closes = open && word.is("}");
            if word.first && !closes && (!open || ends_values(&word)) {
                return;
            }
            self.take(TokenKind::Unexpected);
            if closes {
                return;
            }
            open |= word.is("{");
        }
    }

    /// Leaves out what belongs to the option at this position of the table.
    fn skip_option(&mut self, at: usize) {
        self.skip();
        let goes_on = |word: Word<'_>| {
            !ends_values(&word) && option::meant_instead_of_argument(word.bytes).is_none()
        };
        while matches!(OPTIONS[at].takes, Takes::Words(_)) && self.peek().is_some_and(goes_on) {
            self.skip_line();
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

    /// What it is perhaps meant to be.
    fn unknown_inside(&mut self, word: Word<'t>) -> Option<&'static str> {
        self.take(TokenKind::Unexpected);
        let hint = option::meant(word.bytes, false);
        self.tell(word.place, ProblemKind::UnknownOption { word: word.bytes, hint });
        match hint.and_then(option::position) {
            Some(at) => {
                self.draft.hinted |= 1 << at;
                self.skip_option(at);
            }
            None => self.skip(),
        }
        hint
    }

    /// Warns of a line amid the arguments of `cmd` that was perhaps meant as an option.
    fn check_continued(&mut self, word: Word<'t>) {
        if !word.first || word.form != Form::Bare {
            return;
        }
        if word.is("{") {
            return self.tell(word.place, ProblemKind::ContinuedBrace);
        }
        if let Some(hint) = option::meant_instead_of_argument(word.bytes) {
            self.tell(word.place, ProblemKind::ContinuedWord { word: word.bytes, hint });
        }
    }

    /// Remembers that the job has this option; what a second one means is in the table.
    fn check_again(&mut self, at: usize, place: Place) {
        let (option, last) = (OPTIONS[at].name.as_str(), place.line);
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
        let OptionRule { name: option, usage, .. } = &OPTIONS[at];
        self.tell(name.place, ProblemKind::MissingValue { option, usage });
    }

    /// The block that begins at `place` has no `}` before the next word.
    fn unclosed(&mut self, block: &'static str, place: Place) {
        let next = self.peek().map_or(self.last, |word| word.place);
        self.tell(next, ProblemKind::Unclosed { block, line: place.line });
    }

    /// What a whole job must have. That it is misspelled has been told already.
    fn check_job(&mut self) {
        for (at, rule) in OPTIONS.iter().enumerate() {
            let there = self.draft.lines[at] > 0 || self.draft.hinted & 1 << at != 0;
            if rule.is_required() && !there {
                self.tell(self.draft.place, ProblemKind::NoOption { option: &rule.name });
            }
        }
    }
}

/// Returns true if `word` is no value any more: an option or a `}` that begins a line.
pub(super) fn ends_values(word: &Word<'_>) -> bool {
    word.first && (word.is("}") || option::find(word).is_some())
}
