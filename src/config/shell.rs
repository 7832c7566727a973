//! Words of `cmd` and `env` that only a shell would understand.
//!
//! A word counts, not a character: `&` in a URL and `>` in a filter are ordinary arguments. What stands
//! in double quotes is meant as it is, but for a variable that is the whole argument.

use super::lexer::{Form, Word};

/// What of a shell's language a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShellWord {
    /// `>`, `2>&1`, `</dev/null`.
    Redirection,
    /// `|`, `&&`, `;` and the like.
    Operator,
    /// `&`.
    Background,
    /// `'` at the beginning of a word or of an option's value.
    SingleQuote,
    /// `"` amid a word.
    DoubleQuote,
    /// `$X`, `$(…)`, or backticks.
    Expansion,
    /// `*` in a path.
    Wildcard,
    /// `~/`.
    Home,
    /// `\` at the end of a word, or before a shell's character.
    Backslash,
}

/// Programs that have the rest of their words run by a shell.
const SHELLS_ELSEWHERE: [&[u8]; 6] = [b"ssh", b"autossh", b"rsh", b"mosh", b"watch", b"parallel"];

/// Programs whose arguments may be `>`, `&` or `|`.
const HAVE_OPERATORS: [&[u8]; 9] =
    [b"tcpdump", b"tshark", b"dumpcap", b"ngrep", b"nft", b"expr", b"test", b"[", b"jq"];

/// Programs whose arguments may have a `$`.
const HAVE_VARIABLES: [&[u8]; 16] = [
    b"awk",
    b"gawk",
    b"mawk",
    b"nawk",
    b"sed",
    b"perl",
    b"php",
    b"ruby",
    b"tclsh",
    b"expect",
    b"jq",
    b"gdb",
    b"envsubst",
    b"grep",
    b"mosquitto_sub",
    b"mosquitto_pub",
];

/// Programs whose arguments may be patterns of paths.
const HAVE_PATTERNS: [&[u8]; 4] = [b"find", b"fd", b"rsync", b"locate"];

/// What is known of a `cmd` from its words so far.
#[derive(Default)]
pub(super) struct Command {
    words: usize,
    has_shell_elsewhere: bool,
    has_operators: bool,
    has_variables: bool,
    has_patterns: bool,
    /// There was an option of find(1) that ends with `;`.
    ends_with_semicolon: bool,
    /// The last word is an option.
    after_option: bool,
    /// It is one whose value is a pattern or a script.
    after_pattern: bool,
    after_script: bool,
}

impl Command {
    /// What of a shell's language the next word is; `next` is the one behind it.
    pub(super) fn check(&mut self, word: Word<'_>, next: Option<Word<'_>>) -> Option<ShellWord> {
        let found = match word.form {
            _ if self.has_shell_elsewhere => None,
            Form::Bare => self.bare(word.bytes, next.map(|next| next.bytes)),
            Form::Quoted => self.quoted(word.bytes),
            Form::Unterminated => None,
        };
        self.learn(word.bytes);
        found
    }

    fn learn(&mut self, bytes: &[u8]) {
        let program = bytes.rsplit(|&byte| byte == b'/').next().unwrap_or(bytes);
        let is_one_of = |list: &[&[u8]]| list.contains(&program);
        self.has_shell_elsewhere |= is_one_of(&SHELLS_ELSEWHERE);
        self.has_operators |= is_one_of(&HAVE_OPERATORS);
        self.has_variables |= is_one_of(&HAVE_VARIABLES);
        self.has_patterns |= is_one_of(&HAVE_PATTERNS);
        self.ends_with_semicolon |= matches!(bytes, b"-exec" | b"-execdir" | b"-ok" | b"-okdir");
        self.after_option = bytes.len() > 1 && bytes.starts_with(b"-");
        self.after_pattern = bytes.starts_with(b"--")
            || matches!(bytes, b"-name" | b"-iname" | b"-path" | b"-ipath" | b"-wholename");
        self.after_script = self.after_option && bytes.len() <= 4 && bytes.ends_with(b"c");
        self.words += 1;
    }

    fn bare(&self, bytes: &[u8], next: Option<&[u8]>) -> Option<ShellWord> {
        if bytes.len() > 1 && (bytes.starts_with(b"'") || has(bytes, b"='")) {
            return Some(ShellWord::SingleQuote);
        }
        if is_quoted_value(bytes) {
            return Some(ShellWord::DoubleQuote);
        }
        if self.is_backslash(bytes) {
            return Some(ShellWord::Backslash);
        }
        if self.after_script {
            return None; // A shell's own.
        }
        if let Some(operator) = self.operator(bytes, next) {
            return Some(operator);
        }
        if !self.has_variables && expands(bytes) {
            return Some(ShellWord::Expansion);
        }
        if bytes.starts_with(b"~/") || has(bytes, b"=~/") {
            return Some(ShellWord::Home);
        }
        let is_path = bytes.starts_with(b"/") || bytes.starts_with(b"./");
        let is_pattern = is_path && bytes.contains(&b'*');
        let is_meant = self.has_patterns || self.after_pattern;
        (is_pattern && !is_meant).then_some(ShellWord::Wildcard)
    }

    /// A variable that is the whole argument: double quotes do not keep a shell from it.
    fn quoted(&self, bytes: &[u8]) -> Option<ShellWord> {
        if self.has_variables || self.after_script {
            return None;
        }
        let is_whole = |begin: &[u8], end: &[u8]| {
            bytes.len() > 2 && bytes.starts_with(begin) && bytes.ends_with(end)
        };
        let is_one_word = bytes.starts_with(b"$") && !bytes.contains(&b' ') && expands(bytes);
        let is_command = is_whole(b"$(", b")") || is_whole(b"`", b"`");
        (is_one_word || is_command).then_some(ShellWord::Expansion)
    }

    fn is_backslash(&self, bytes: &[u8]) -> bool {
        match bytes {
            [b'\\', b'|'] => !self.after_option, // A separator.
            [b'\\', escaped] => b";()!{}&<>*?$\"'#~\\".contains(escaped),
            _ => bytes.ends_with(b"\\") && !has(bytes, b":\\"),
        }
    }

    fn operator(&self, bytes: &[u8], next: Option<&[u8]>) -> Option<ShellWord> {
        if let Some(redirection) = Redirection::of(bytes) {
            let target =
                if redirection.target.is_empty() { next } else { Some(redirection.target) };
            let is_one = !target.is_some_and(is_number) || redirection.is_certain;
            let is_certain = redirection.is_certain || target.is_some_and(is_path);
            let is_one = is_one && (is_certain || !self.has_operators);
            return is_one.then_some(ShellWord::Redirection);
        }
        match bytes {
            b"&" => self.is_background(next).then_some(ShellWord::Background),
            b"|" | b"||" | b"&&" | b"|&" | b";" | b";;" => {
                self.is_operator(bytes, next).then_some(ShellWord::Operator)
            }
            _ => self.glued(bytes, next),
        }
    }

    fn is_background(&self, next: Option<&[u8]>) -> bool {
        match next {
            None => true,
            Some(next) => !self.has_operators && !is_number(next) && !next.starts_with(b"("),
        }
    }

    /// Returns true if a command follows; `cut -d | -f 2` and the `;` of find(1) are something else.
    fn is_operator(&self, bytes: &[u8], next: Option<&[u8]>) -> bool {
        match next {
            Some(next) if is_path(next) => true,
            _ if self.has_operators || (bytes == b";" && self.ends_with_semicolon) => false,
            Some(next) => !next.starts_with(b"-") && !is_number(next),
            None => !self.after_option,
        }
    }

    /// An operator that is stuck to a word, where that cannot be anything else.
    fn glued(&self, bytes: &[u8], next: Option<&[u8]>) -> Option<ShellWord> {
        if self.has_operators || self.after_option || has(bytes, b"://") || bytes.len() < 2 {
            return None;
        }
        let is_word = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.'))
        };
        let begins = [&b"&&"[..], b"||", b"|", b";"];
        let begins = begins.iter().find(|operator| bytes.starts_with(operator));
        if begins.is_some_and(|operator| is_word(bytes.get(operator.len()))) {
            return Some(ShellWord::Operator);
        }
        let goes_on = next.is_some_and(|next| !next.starts_with(b"-"));
        let ends = bytes.ends_with(b";") || bytes.ends_with(b"|") || bytes.ends_with(b"&&");
        if goes_on && ends && is_word(bytes.first()) && !self.ends_with_semicolon {
            return Some(ShellWord::Operator);
        }
        let is_background = next.is_none() && bytes.ends_with(b"&") && !bytes.contains(&b'=');
        is_background.then_some(ShellWord::Background)
    }
}

/// What of a shell's language the value of an `env` is.
pub(super) fn in_variable(word: Word<'_>, value: &[u8]) -> Option<ShellWord> {
    match (word.form, value) {
        (Form::Bare, [b'"', ..]) => Some(ShellWord::DoubleQuote),
        (Form::Bare, [b'\'', ..]) => Some(ShellWord::SingleQuote),
        (Form::Bare, _) if word.bytes.starts_with(b"'") => Some(ShellWord::SingleQuote),
        (Form::Quoted, [b'\'', .., b'\''] | [b'\'']) => Some(ShellWord::SingleQuote),
        (Form::Bare, [b'~', b'/', ..]) => Some(ShellWord::Home),
        (Form::Bare, _) if expands(value) => Some(ShellWord::Expansion),
        (Form::Bare | Form::Quoted | Form::Unterminated, _) => None,
    }
}

/// `>FILE`, `2>&1` and the like.
struct Redirection<'a> {
    /// What is stuck to it.
    target: &'a [u8],
    /// Whether it cannot be a comparison.
    is_certain: bool,
}

impl<'a> Redirection<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (has_number, rest) = match bytes {
            [b'0'..=b'9' | b'&', rest @ ..] => (true, rest),
            _ => (false, bytes),
        };
        let symbols = [&b">>"[..], b">|", b">&", b">", b"<<<", b"<<", b"<&", b"<"];
        let symbol = symbols.iter().find(|symbol| rest.starts_with(symbol))?;
        let target = &rest[symbol.len()..];
        let is_copy = symbol.ends_with(b"&");
        // "<=", "<>", "<file>", "1<2".
        let is_other = target.starts_with(b"=") || target.ends_with(b">");
        let is_comparison = has_number && !is_copy && is_number(target);
        let is_certain = is_copy || (has_number && !is_comparison);
        (!is_other && !is_comparison).then_some(Redirection { target, is_certain })
    }
}

/// `NAME="…`: of a value whose quotes stay in it. `up{job="a"}` is none.
fn is_quoted_value(bytes: &[u8]) -> bool {
    let Some(at) = bytes.windows(2).position(|pair| pair == b"=\"") else { return false };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    at > 0 && bytes[..at].iter().all(is_name)
}

/// Returns true if a shell would put something in the place of a variable or of a command.
fn expands(bytes: &[u8]) -> bool {
    let is_single = matches!(bytes, [b'$', b'0'..=b'9' | b'@' | b'*' | b'?' | b'!' | b'#' | b'$']);
    let has_command = (bytes.len() > 1 && bytes.starts_with(b"`")) || has(bytes, b"=`");
    is_single || has_command || (0..bytes.len()).any(|at| is_variable(bytes, at))
}

/// Returns true if a variable begins here. `Outer$Inner`, `$apr1$…` and `?$filter` are none.
fn is_variable(bytes: &[u8], at: usize) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let Some(name) = bytes[at..].strip_prefix(b"$") else { return false };
    match name.first() {
        Some(b'{' | b'(') => return true,
        Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') if !has(bytes, b"://") => {}
        _ => return false,
    }
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let begins = before.map_or(true, |byte| b"/=:,@([+-%\"'{".contains(&byte));
    let end = name.iter().position(|byte| !is_name(byte));
    begins && end.map_or(true, |end| name[end] != b'$')
}

fn is_number(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_digit)
        && bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'x')
}

/// Returns true if it is a path that cannot be a word of an expression.
fn is_path(bytes: &[u8]) -> bool {
    bytes.starts_with(b"/") || bytes.starts_with(b"./") || bytes.starts_with(b"~/")
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
