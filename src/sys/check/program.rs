//! Whether a file can be run (execve(2), elf(5)), without running it.

use core::fmt::{self, Display};

use super::super::errno::Meaning;
use super::super::stat::stat;
use super::super::std::os::unix::fs::FileExt;
use super::super::std::{ffi::OsStr, fs, fs::File, os::unix::ffi::OsStrExt, prelude::v1::*};

use super::CStr;
use crate::name::write_lossy;
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use nix::unistd::{access, AccessFlags};

/// Why a program cannot be run.
pub(super) struct Refusal {
    /// Whose fault it is, if not the program's own.
    interpreter: Option<Vec<u8>>,
    errno: Errno,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(interpreter) = &self.interpreter {
            f.write_str("its interpreter ")?;
            write_lossy(f, interpreter)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.errno.meaning())
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Refusal { interpreter: None, errno }
    }
}

/// Whether execve(2) would take a program, and the interpreters it needs.
pub(super) fn examine(path: &CStr) -> Result<(), Refusal> {
    let mut interpreter = interpreter_of(path.to_bytes())?;
    for _ in 0..DEEPEST {
        let Some(path) = interpreter else { return Ok(()) };
        interpreter = match interpreter_of(&path) {
            Ok(next) => next,
            Err(errno) => return Err(Refusal { interpreter: Some(path), errno }),
        };
    }
    interpreter.map_or(Ok(()), |_| Err(Errno::ELOOP.into()))
}

/// How many interpreters of interpreters the kernel follows (execve(2)).
const DEEPEST: usize = 5;

/// What a file that can be run needs to be run by, if anything.
fn interpreter_of(path: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    match kind(path)? {
        SFlag::S_IFREG => access(path, AccessFlags::X_OK)?,
        SFlag::S_IFDIR => return Err(Errno::EISDIR),
        _ => return Err(Errno::EACCES),
    }
    // A program need not be readable to be run.
    let Ok(file) = File::open(OsStr::from_bytes(path)) else { return Ok(None) };
    let mut head = [0; HEAD_BYTES];
    let len = file.read_at(&mut head, 0).unwrap_or(0);
    match &head[..len] {
        [b'#', b'!', line @ ..] => first_word(line).map(Some),
        head if is_ours(head) => Ok(Elf { file: &file, head }.interpreter()),
        _ if other_formats() => Ok(None),
        _ => Err(Errno::ENOEXEC),
    }
}

fn kind(path: &[u8]) -> Result<SFlag, Errno> {
    let mode = stat(path)?.st_mode;
    Ok(SFlag::from_bits_truncate(mode) & SFlag::S_IFMT)
}

/// As much of a file as the kernel looks at.
const HEAD_BYTES: usize = 256;

/// The interpreter on a `#!` line.
fn first_word(line: &[u8]) -> Result<Vec<u8>, Errno> {
    let line = line.split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or(line);
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    words.next().map(<[u8]>::to_vec).ok_or(Errno::ENOEXEC)
}

/// Whether the kernel was taught more formats than its own; a file of one of
/// these looks like anything (binfmt_misc).
fn other_formats() -> bool {
    let own = |name: &OsStr| name == "register" || name == "status";
    fs::read_dir("/proc/sys/fs/binfmt_misc")
        .is_ok_and(|formats| formats.flatten().any(|format| !own(&format.file_name())))
}

/// Whether it is the head of an ELF file for a processor of this family: most
/// 64-bit kernels run 32-bit programs, and pmtr itself may be one of these.
fn is_ours(head: &[u8]) -> bool {
    const MACHINE: usize = 18;
    const X86: [u64; 2] = [3, 62]; // EM_386, EM_X86_64
    const ARM: [u64; 2] = [40, 183]; // EM_ARM, EM_AARCH64
    let Some(machine) = half(head, MACHINE) else { return false };
    let family = if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        X86
    } else if cfg!(any(target_arch = "arm", target_arch = "aarch64")) {
        ARM
    } else {
        [machine; 2] // of the other families nothing is known here
    };
    head.starts_with(b"\x7fELF") && family.contains(&machine)
}

/// A file that starts as an ELF file of ours does.
struct Elf<'a> {
    file: &'a File,
    head: &'a [u8],
}

impl Elf<'_> {
    /// The program that loads it and its libraries; none if it is static or cut off.
    fn interpreter(&self) -> Option<Vec<u8>> {
        const CLASS_64: u8 = 2;
        let is_64 = *self.head.get(4)? == CLASS_64;
        let [table, row_len, rows] = if is_64 { [32, 54, 56] } else { [28, 42, 44] };
        let table = word(self.head, table, is_64)?;
        let row_len = half(self.head, row_len)?;
        (0..half(self.head, rows)?)
            .find_map(|n| self.path_in_row(table.checked_add(n * row_len)?, is_64))
    }

    /// The path, if the row of the table of segments that stands at `at` has one.
    fn path_in_row(&self, at: u64, is_64: bool) -> Option<Vec<u8>> {
        const PT_INTERP: [u8; 4] = 3u32.to_ne_bytes();
        let mut row = [0; 56];
        let row = &mut row[..if is_64 { 56 } else { 32 }];
        self.file.read_exact_at(row, at).ok()?;
        if !row.starts_with(&PT_INTERP) {
            return None;
        }
        let [offset, len] = if is_64 { [8, 32] } else { [4, 16] };
        let len = usize::try_from(word(row, len, is_64)?).ok()?;
        let mut path = [0; HEAD_BYTES];
        let path = path.get_mut(..len)?;
        self.file.read_exact_at(path, word(row, offset, is_64)?).ok()?;
        path.strip_suffix(b"\0").map(<[u8]>::to_vec)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u64::from(u16::from_ne_bytes(bytes)))
}

fn word(bytes: &[u8], at: usize, is_64: bool) -> Option<u64> {
    if is_64 {
        bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
    } else {
        bytes.get(at..at + 4)?.try_into().ok().map(|half| u64::from(u32::from_ne_bytes(half)))
    }
}
