//! The command line (manual, "Command line options"; pmtr(8)).

use super::log::MAX_PATH_BYTES;
use super::std::{
    env,
    ffi::{OsStr, OsString},
    fmt, format, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    prelude::v1::*,
};
use crate::name::write_lossy;
use crate::short::Short;
use lexopt::{Arg, Error, Parser};

/// The configuration that is used when the command line names none.
pub const DEFAULT_CONFIG: &str = "/etc/pmtr.conf";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to do at all.
    pub mode: Mode,
    /// `-F`: do not become a daemon. Always set in [`Mode::Test`].
    pub foreground: bool,
    /// `-I`: echo the log to stderr even where stderr is the journal's own stream.
    pub echo: bool,
    /// `-c`: the configuration file.
    pub config: PathBuf,
    /// How often `-v` was given.
    pub verbose: u8,
    /// `-p`: where the process id is to be written.
    pub pidfile: Option<PathBuf>,
    /// `--log-socket`: the socket that takes log records, in place of /dev/log.
    pub log_socket: Option<PathBuf>,
    /// `--state-dir`: where [`State`](super::state::State) keeps its file.
    pub state_dir: Option<PathBuf>,
}

/// The things that pmtr can be started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Run the jobs.
    Supervise,
    /// `-t`: check the configuration.
    Test {
        /// `--strict`: warnings count as errors.
        strict: bool,
    },
    /// `-h`: print [`Help`].
    Help,
    /// `-V`: print [`Version`].
    Version,
    /// `--limits`: print [`Limits`](super::room::Limits).
    Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::Supervise,
            foreground: false,
            echo: false,
            config: PathBuf::from(DEFAULT_CONFIG),
            verbose: 0,
            pidfile: None,
            log_socket: None,
            state_dir: None,
        }
    }
}

impl Options {
    /// The same with every path starting at the root: for a process that is
    /// about to leave its directory. Fails when that directory has no name any more.
    pub fn absolute(self) -> io::Result<Options> {
        let optional = |path: Option<PathBuf>| path.map(|path| absolute(&path)).transpose();
        Ok(Options {
            config: absolute(&self.config)?,
            pidfile: optional(self.pidfile)?,
            log_socket: optional(self.log_socket)?,
            state_dir: optional(self.state_dir)?,
            ..self
        })
    }
}

fn absolute(path: &Path) -> io::Result<PathBuf> {
    Ok(if path.is_absolute() { path.to_path_buf() } else { env::current_dir()?.join(path) })
}

/// Reads a command line; the first of `args` is the program's name, as in
/// [`Arguments`](super::arguments::Arguments).
///
/// Of an option that is given twice the last one counts. `-h`, `-V` and `--limits`
/// end the reading: what stands behind them is not looked at.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Options, Usage> {
    let mut parser = Parser::from_iter(args);
    let mut options = Options::default();
    let (mut test, mut strict) = (false, false);
    while let Some(arg) = parser.next()? {
        match recognise(arg)? {
            Key::Help => return Ok(Options { mode: Mode::Help, ..options }),
            Key::Version => return Ok(Options { mode: Mode::Version, ..options }),
            Key::Limits => return Ok(Options { mode: Mode::Limits, ..options }),
            Key::Foreground => options.foreground = true,
            Key::Echo => options.echo = true,
            Key::Test => test = true,
            Key::Strict => strict = true,
            Key::Verbose => options.verbose = options.verbose.saturating_add(1),
            Key::Config => options.config = path(&mut parser, "--config")?,
            Key::Pidfile => options.pidfile = Some(path(&mut parser, "--pidfile")?),
            Key::LogSocket => options.log_socket = Some(socket(&mut parser, "--log-socket")?),
            Key::StateDir => options.state_dir = Some(path(&mut parser, "--state-dir")?),
        }
    }
    match (test, strict) {
        (false, false) => Ok(options),
        (false, true) => Err(Usage::StrictAlone),
        (true, strict) => Ok(Options { mode: Mode::Test { strict }, foreground: true, ..options }),
    }
}

/// The value of the option that was just read; an empty one names no file.
fn path(parser: &mut Parser, option: &'static str) -> Result<PathBuf, Usage> {
    let value = parser.value()?;
    if value.is_empty() {
        return Err(Usage::NoValue { option: option.into() });
    }
    Ok(PathBuf::from(value))
}

/// The same of a socket, whose path the kernel limits (unix(7)).
fn socket(parser: &mut Parser, option: &'static str) -> Result<PathBuf, Usage> {
    let path = path(parser, option)?;
    if path.as_os_str().len() > MAX_PATH_BYTES {
        return Err(Usage::TooLong { option: option.into(), limit: MAX_PATH_BYTES });
    }
    Ok(path)
}

fn recognise(arg: Arg<'_>) -> Result<Key, Usage> {
    match arg {
        Arg::Short(short) => find(|row| row.short == Some(short), || format!("-{short}")),
        Arg::Long(long) => find(|row| row.long.as_str() == long, || format!("--{long}")),
        Arg::Value(word) => Err(Usage::Stray { word }),
    }
}

fn find(is_it: impl Fn(&Row) -> bool, given: impl Fn() -> String) -> Result<Key, Usage> {
    let row = ROWS.iter().find(|row| is_it(row));
    row.map(|row| row.key).ok_or_else(|| Usage::Unknown { option: given() })
}

/// An option by its meaning.
#[derive(Clone, Copy)]
enum Key {
    Config,
    Foreground,
    Echo,
    Test,
    Strict,
    Verbose,
    Pidfile,
    LogSocket,
    StateDir,
    Help,
    Version,
    Limits,
}

/// An option: how it is written, and what the help says of it, line by line.
struct Row {
    key: Key,
    short: Option<char>,
    long: Short<10>,
    value: Short<4>,
    help: Short<107>,
}

static ROWS: [Row; 12] = [
    Row {
        key: Key::Config,
        short: Some('c'),
        long: Short::new("config"),
        value: Short::new("FILE"),
        help: Short::new(
            "configuration file (default: /etc/pmtr.conf);\n\
               a missing one is created, empty",
        ),
    },
    Row {
        key: Key::Foreground,
        short: Some('F'),
        long: Short::new("foreground"),
        value: Short::new(""),
        help: Short::new(
            "stay in the foreground (default: become a daemon,\n\
               except as process 1)",
        ),
    },
    Row {
        key: Key::Echo,
        short: Some('I'),
        long: Short::new("echo"),
        value: Short::new(""),
        help: Short::new(
            "echo the log to stderr (the default, except where\n\
               stderr is the journal's own stream)",
        ),
    },
    Row {
        key: Key::Test,
        short: Some('t'),
        long: Short::new("test"),
        value: Short::new(""),
        help: Short::new("check the configuration and exit"),
    },
    Row {
        key: Key::Strict,
        short: None,
        long: Short::new("strict"),
        value: Short::new(""),
        help: Short::new("with -t: exit with 1 on warnings, too"),
    },
    Row {
        key: Key::Verbose,
        short: Some('v'),
        long: Short::new("verbose"),
        value: Short::new(""),
        help: Short::new(
            "log more; -vv shows how the configuration is parsed;\n\
               with -t: show how much of each limit it takes",
        ),
    },
    Row {
        key: Key::Pidfile,
        short: Some('p'),
        long: Short::new("pidfile"),
        value: Short::new("FILE"),
        help: Short::new(
            "write the process id there, and remove it at the end\n\
               (default: none)",
        ),
    },
    Row {
        key: Key::LogSocket,
        short: None,
        long: Short::new("log-socket"),
        value: Short::new("PATH"),
        help: Short::new("send the log there (default: /dev/log)"),
    },
    Row {
        key: Key::StateDir,
        short: None,
        long: Short::new("state-dir"),
        value: Short::new("DIR"),
        help: Short::new(
            "remember there which jobs run (default: /run/pmtr;\n\
               not as root: $XDG_RUNTIME_DIR/pmtr or /tmp/pmtr-UID)",
        ),
    },
    Row {
        key: Key::Help,
        short: Some('h'),
        long: Short::new("help"),
        value: Short::new(""),
        help: Short::new("show this help and exit"),
    },
    Row {
        key: Key::Version,
        short: Some('V'),
        long: Short::new("version"),
        value: Short::new(""),
        help: Short::new("show the version and exit"),
    },
    Row {
        key: Key::Limits,
        short: None,
        long: Short::new("limits"),
        value: Short::new(""),
        help: Short::new("show all limits and their memory, and exit"),
    },
];

/// The answer to `-h`, several lines without the last newline.
pub struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Usage: pmtr [OPTION]...\n")?;
        f.write_str("Runs the jobs of a configuration file, and keeps them running.\n\n")?;
        ROWS.iter().try_for_each(|row| row.write_help(f))?;
        f.write_str(EXIT_STATUSES)
    }
}

const EXIT_STATUSES: &str = "
Exit status:
  0  the end was asked for; with -t: a start would take the configuration
  1  the start failed, or the configuration is wrong; with -t --strict: or
     there are warnings
  2  wrong usage";

impl Row {
    fn write_help(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = match self.short {
            Some(short) => format!("-{short}, --{}", self.long),
            None => format!("    --{}", self.long),
        };
        if !self.value.is_empty() {
            left = format!("{left} {}", self.value);
        }
        for line in self.help.lines() {
            writeln!(f, "  {left:<23} {line}")?;
            left.clear();
        }
        Ok(())
    }
}

/// The answer to `-V`.
pub struct Version;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(concat!("pmtr ", env!("CARGO_PKG_VERSION")))
    }
}

/// What is wrong with a command line. As text: a sentence that names the word,
/// and a second line with a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// No such option.
    Unknown {
        /// With its hyphens.
        option: String,
    },
    /// An option without the value that it needs.
    NoValue {
        /// With its hyphens.
        option: String,
    },
    /// A value that is longer than the kernel permits.
    TooLong {
        /// With its hyphens.
        option: String,
        /// The most bytes.
        limit: usize,
    },
    /// A value for an option that takes none.
    Unwanted {
        /// With its hyphens.
        option: String,
        /// The value.
        value: OsString,
    },
    /// A word that belongs to no option.
    Stray {
        /// The word.
        word: OsString,
    },
    /// `--strict` without `-t`.
    StrictAlone,
}

/// Only three kinds come out of [`Parser::next`] and [`Parser::value`].
impl From<Error> for Usage {
    fn from(error: Error) -> Self {
        match error {
            Error::MissingValue { option } => Usage::NoValue { option: option.unwrap_or_default() },
            Error::UnexpectedValue { option, value } => Usage::Unwanted { option, value },
            Error::UnexpectedOption(option) => Usage::Unknown { option },
            other => Usage::Stray { word: format!("{other}").into() },
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Usage::Unknown { option } => {
                write!(f, "unknown option '{}'", Printable(option.as_ref()))?;
                meant(option).map_or(Ok(()), |long| write!(f, ": did you mean '--{long}'?"))?;
            }
            Usage::NoValue { option } => write!(f, "option '{option}' needs a value")?,
            Usage::TooLong { option, limit } => {
                write!(f, "the path of option '{option}' is longer than {limit} bytes")?
            }
            Usage::Unwanted { option, value } => {
                write!(f, "option '{option}' takes no value, but is given '{}'", Printable(value))?
            }
            Usage::Stray { word } => {
                let word = Printable(word);
                write!(f, "unexpected argument '{word}': a configuration is given with -c FILE")?
            }
            Usage::StrictAlone => f.write_str("option '--strict' works only together with '-t'")?,
        }
        f.write_str("\nTry 'pmtr --help'.")
    }
}

/// The long option that an unknown one is one slip away from, or begins.
fn meant(option: &str) -> Option<&'static str> {
    let given = option.strip_prefix("--").filter(|given| given.len() > 1)?;
    let close = |row: &&Row| row.long.starts_with(given) || one_slip(given, &row.long);
    ROWS.iter().find(close).map(|row| row.long.as_str())
}

/// Returns true if two words differ in one letter that is wrong, missing or too many.
fn one_slip(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let before = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[before..], &b[before..]);
    let after = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    a.len() - after <= 1 && b.len() - after <= 1
}

/// A word of the command line that cannot upset a terminal.
struct Printable<'a>(&'a OsStr);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lossy(f, self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::std::{borrow::ToOwned, os::unix::ffi::OsStringExt, string::ToString};

    #[test]
    fn a_command_line_without_a_name_is_one_without_options() {
        assert_eq!(parse(core::iter::empty()), parse([OsString::from("pmtr")].into_iter()));
    }

    fn options(line: &str) -> Result<Options, Usage> {
        parse(["pmtr"].into_iter().chain(line.split_whitespace()).map(OsString::from))
    }

    fn complaint(line: &str) -> String {
        options(line).expect_err(line).to_string()
    }

    #[test]
    fn without_options_it_is_a_daemon_with_the_default_configuration() {
        assert_eq!(
            options("").unwrap(),
            Options {
                mode: Mode::Supervise,
                foreground: false,
                echo: false,
                config: "/etc/pmtr.conf".into(),
                verbose: 0,
                pidfile: None,
                log_socket: None,
                state_dir: None,
            }
        );
    }

    #[test]
    fn short_options_work_alone_together_and_with_their_value_attached() {
        let expected =
            Options { foreground: true, echo: true, config: "a.conf".into(), ..Options::default() };
        for line in ["-IFc a.conf", "-IFca.conf", "-I -F -c a.conf", "-c a.conf -FI"] {
            assert_eq!(options(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn long_options_take_their_value_as_a_word_or_after_an_equals_sign() {
        let expected = Options {
            foreground: true,
            config: "a.conf".into(),
            pidfile: Some("p".into()),
            log_socket: Some("l".into()),
            state_dir: Some("s".into()),
            verbose: 1,
            ..Options::default()
        };
        for line in [
            "--foreground --config a.conf --pidfile p --log-socket l --state-dir s --verbose",
            "--foreground --config=a.conf --pidfile=p --log-socket=l --state-dir=s -v",
        ] {
            assert_eq!(options(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn verbose_is_counted_and_saturates() {
        assert_eq!(options("-vv").unwrap().verbose, 2);
        assert_eq!(options("-v -c x --verbose").unwrap().verbose, 2);
        assert_eq!(options(&"-v ".repeat(300)).unwrap().verbose, 255);
    }

    #[test]
    fn of_an_option_given_twice_the_last_counts() {
        assert_eq!(options("-c a -c b").unwrap().config, Path::new("b"));
    }

    #[test]
    fn test_mode_stays_in_the_foreground_and_may_be_strict_in_any_order() {
        for (line, strict) in [("-t", false), ("-t --strict", true), ("--strict --test", true)] {
            let options = options(line).unwrap();
            assert_eq!(options.mode, Mode::Test { strict }, "{line}");
            assert!(options.foreground, "{line}");
        }
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        assert_eq!(options("-h --nonsense").unwrap().mode, Mode::Help);
        assert_eq!(options("-V stray").unwrap().mode, Mode::Version);
    }

    #[test]
    fn a_hyphen_is_no_hindrance_to_a_value() {
        assert_eq!(options("-c -F").unwrap().config, Path::new("-F"));
    }

    #[test]
    fn what_is_wrong_is_named_with_a_hint() {
        for (line, sentence) in [
            ("-x", "unknown option '-x'"),
            ("-Fx", "unknown option '-x'"),
            ("--nonsense", "unknown option '--nonsense'"),
            ("--comfig f", "unknown option '--comfig': did you mean '--config'?"),
            ("--conf f", "unknown option '--conf': did you mean '--config'?"),
            ("--pid-file f", "unknown option '--pid-file': did you mean '--pidfile'?"),
            ("-c", "option '-c' needs a value"),
            ("--config", "option '--config' needs a value"),
            ("--config=", "option '--config' needs a value"),
            ("--strict=yes -t", "option '--strict' takes no value, but is given 'yes'"),
            ("a.conf", "unexpected argument 'a.conf': a configuration is given with -c FILE"),
            ("-F -- -c", "unexpected argument '-c': a configuration is given with -c FILE"),
            ("--strict", "option '--strict' works only together with '-t'"),
        ] {
            assert_eq!(complaint(line), format!("{sentence}\nTry 'pmtr --help'."), "{line}");
        }
    }

    #[test]
    fn a_word_that_would_upset_a_terminal_is_made_harmless() {
        let word = OsString::from_vec(b"\x1b[2J\xff".to_vec());
        let error = parse([OsString::from("pmtr"), word].into_iter()).unwrap_err();
        assert!(error.to_string().contains("'?[2J?'"), "{error}");
    }

    #[test]
    fn a_path_that_is_not_utf8_is_kept() {
        let word = OsString::from_vec(b"/\xff.conf".to_vec());
        let options = parse(["pmtr".into(), "-c".into(), word.clone()].into_iter()).unwrap();
        assert_eq!(options.config, PathBuf::from(word));
    }

    #[test]
    fn paths_can_be_made_absolute() {
        let here = env::current_dir().unwrap();
        let options = options("-c a.conf -p /run/p --state-dir s").unwrap().absolute().unwrap();
        assert_eq!(options.config, here.join("a.conf"));
        assert_eq!(options.pidfile, Some("/run/p".into()));
        assert_eq!(options.state_dir, Some(here.join("s")));
        assert_eq!(options.log_socket, None);
    }

    #[test]
    fn the_help_is_aligned_narrow_and_names_every_option_and_exit_status() {
        let help = Help.to_string();
        for option in ["c", "F", "I", "t", "v", "p", "h", "V"] {
            assert!(help.contains(&format!("\n  -{option}, --")), "{option}");
        }
        for option in ["strict", "log-socket PATH", "state-dir DIR"] {
            assert!(help.contains(&format!("\n      --{option} ")), "{option}");
        }
        assert!(help.contains(DEFAULT_CONFIG));
        let statuses = help.split("Exit status:").nth(1).unwrap();
        assert!(["  0  ", "  1  ", "  2  "].iter().all(|status| statuses.contains(status)));
        let column = |line: &str| line.as_bytes()[25] == b' ' && line.as_bytes()[26] != b' ';
        let mut options = help.lines().filter(|line| line.trim_start().starts_with('-'));
        assert!(options.all(column), "{help}");
        assert!(help.lines().all(|line| line.len() < 80), "{help}");
    }

    #[test]
    fn the_version_is_the_package_version() {
        assert_eq!(Version.to_string(), "pmtr ".to_owned() + env!("CARGO_PKG_VERSION"));
    }
}
