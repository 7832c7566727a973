//! A configuration as text again.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::lexer::is_blank;
use super::option::is_keyword;
use super::spec::{Address, AddressUse, Config, JobView, Strings};
use crate::name::write_lossy;

impl Config {
    /// The configuration in its own language, jobs in the order of starting:
    /// what pmtr has understood. Bytes that are not UTF-8, and control
    /// characters, become `?`; see [`write_text`](Self::write_text).
    pub fn as_text(&self) -> impl fmt::Display + '_ {
        Text { config: self }
    }

    /// An address as the file gives it, `udp://HOST:PORT[@IFACE]`.
    pub fn address_text<'a>(&'a self, address: &'a Address) -> impl fmt::Display + 'a {
        AddressText { config: self, address }
    }

    /// Writes the same to `out` in pieces, with every byte as it is: parsing
    /// that gives an equal configuration, if it is not longer than `TEXT_BYTES`.
    pub fn write_text(&self, out: &mut dyn FnMut(&[u8])) {
        // Writing to `Bytes` cannot fail.
        let _ = config(self, &mut |piece| match piece {
            Piece::Own(text) => Bytes(out).write_fmt(text),
            Piece::User(bytes) => {
                out(bytes);
                Ok(())
            }
        });
    }
}

struct Text<'a> {
    config: &'a Config,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        config(self.config, &mut |piece| match piece {
            Piece::Own(text) => f.write_fmt(text),
            Piece::User(bytes) => write_lossy(f, bytes),
        })
    }
}

struct AddressText<'a> {
    config: &'a Config,
    address: &'a Address,
}

impl fmt::Display for AddressText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        udp(self.config, self.address, &mut |piece| match piece {
            Piece::Own(text) => f.write_fmt(text),
            Piece::User(bytes) => write_lossy(f, bytes),
        })
    }
}

/// Text for a place that takes bytes.
struct Bytes<'a>(&'a mut dyn FnMut(&[u8]));

impl fmt::Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        (self.0)(text.as_bytes());
        Ok(())
    }
}

/// What the text is made of.
enum Piece<'a> {
    /// Of the language.
    Own(fmt::Arguments<'a>),
    /// Of the user, who may have any bytes in a string.
    User(&'a [u8]),
}

type Out<'o> = dyn FnMut(Piece<'_>) -> fmt::Result + 'o;

fn config(config: &Config, out: &mut Out<'_>) -> fmt::Result {
    config.addresses().try_for_each(|line| address(config, line, out))?;
    config.jobs().try_for_each(|spec| job(spec, out))
}

fn address(config: &Config, address: &Address, out: &mut Out<'_>) -> fmt::Result {
    let option = match address.used_for {
        AddressUse::Report => "report to",
        AddressUse::Listen => "listen on",
    };
    out(Piece::Own(format_args!("{option} ")))?;
    udp(config, address, out)?;
    for sender in config.senders(address) {
        out(Piece::Own(format_args!(" from {sender}")))?;
    }
    out(Piece::Own(format_args!("\n")))
}

fn udp(config: &Config, address: &Address, out: &mut Out<'_>) -> fmt::Result {
    let host = config.host(address).to_bytes();
    let (open, close) = if host.contains(&b':') { ("[", "]") } else { ("", "") };
    out(Piece::Own(format_args!("udp://{open}")))?;
    out(Piece::User(host))?;
    out(Piece::Own(format_args!("{close}:{}", address.port)))?;
    if let Some(interface) = config.interface(address) {
        out(Piece::Own(format_args!("@")))?;
        out(Piece::User(interface.to_bytes()))?;
    }
    Ok(())
}

fn job(job: JobView<'_>, out: &mut Out<'_>) -> fmt::Result {
    out(Piece::Own(format_args!("job {{\n  name ")))?;
    word(job.name(), out)?;
    out(Piece::Own(format_args!("\n  cmd")))?;
    for argument in job.argv() {
        out(Piece::Own(format_args!(" ")))?;
        word(argument.to_bytes(), out)?;
    }
    out(Piece::Own(format_args!("\n")))?;
    let files = [("dir", job.dir()), ("out", job.out()), ("err", job.err()), ("in", job.stdin())];
    files.into_iter().try_for_each(|(option, file)| string(option, file, out))?;
    if job.drops_log() {
        out(Piece::Own(format_args!("  log drop\n")))?;
    }
    job.env().try_for_each(|variable| string("env", Some(variable), out))?;
    user(job, out)?;
    numbers(job, out)?;
    depends(job.depends(), out)?;
    let flags = [("disable", job.is_disabled()), ("wait", job.waits()), ("once", job.is_once())];
    for (option, _) in flags.into_iter().filter(|&(_, set)| set) {
        out(Piece::Own(format_args!("  {option}\n")))?;
    }
    out(Piece::Own(format_args!("}}\n")))
}

fn user(job: JobView<'_>, out: &mut Out<'_>) -> fmt::Result {
    let (Some(user), Some(group)) = (job.user(), job.group()) else {
        return string("user", job.user(), out);
    };
    let (user, group) = (user.to_bytes(), group.to_bytes());
    let quote = if is_bare(user) && is_bare(group) { "" } else { "\"" };
    out(Piece::Own(format_args!("  user {quote}")))?;
    out(Piece::User(user))?;
    out(Piece::Own(format_args!(":")))?;
    out(Piece::User(group))?;
    out(Piece::Own(format_args!("{quote}\n")))
}

fn string(option: &str, value: Option<&CStr>, out: &mut Out<'_>) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    out(Piece::Own(format_args!("  {option} ")))?;
    word(value.to_bytes(), out)?;
    out(Piece::Own(format_args!("\n")))
}

fn numbers(job: JobView<'_>, out: &mut Out<'_>) -> fmt::Result {
    if job.nice() != 0 {
        out(Piece::Own(format_args!("  nice {}\n", job.nice())))?;
    }
    if job.order() != 0 {
        out(Piece::Own(format_args!("  order {}\n", job.order())))?;
    }
    if !job.cpus().is_empty() {
        out(Piece::Own(format_args!("  cpu 0x")))?;
        job.cpus().iter().rev().try_for_each(|b| out(Piece::Own(format_args!("{b:02x}"))))?;
        out(Piece::Own(format_args!("\n")))?;
    }
    for ulimit in job.ulimits() {
        let flag = ulimit.resource.flag();
        match ulimit.value {
            u64::MAX => out(Piece::Own(format_args!("  ulimit {flag} infinity\n")))?,
            value => out(Piece::Own(format_args!("  ulimit {flag} {value}\n")))?,
        }
    }
    if let Some(interval) = job.bounce_every() {
        out(Piece::Own(format_args!("  bounce every {}s\n", interval.as_secs())))?;
    }
    Ok(())
}

fn depends(mut files: Strings<'_>, out: &mut Out<'_>) -> fmt::Result {
    if files.clone().next().is_none() {
        return Ok(());
    }
    out(Piece::Own(format_args!("  depends {{\n")))?;
    files.try_for_each(|file| {
        out(Piece::Own(format_args!("    ")))?;
        word(file.to_bytes(), out)?;
        out(Piece::Own(format_args!("\n")))
    })?;
    out(Piece::Own(format_args!("  }}\n")))
}

/// A value, in quotes where it would be read as something else without. No
/// value has both a `"` and a need for quotes: it came from a file as well.
fn word(bytes: &[u8], out: &mut Out<'_>) -> fmt::Result {
    if is_bare(bytes) {
        return out(Piece::User(bytes));
    }
    out(Piece::Own(format_args!("\"")))?;
    out(Piece::User(bytes))?;
    out(Piece::Own(format_args!("\"")))
}

/// Returns true if the value can stand without quotes.
fn is_bare(bytes: &[u8]) -> bool {
    let special = bytes.is_empty() || bytes.starts_with(b"#") || matches!(bytes, b"{" | b"}");
    !special && !is_keyword(bytes) && !bytes.iter().any(|&byte| is_blank(byte))
}
