//! What holds for everything that a job can write, however it comes.

use pmtr::limits::LINE_BYTES;
use pmtr::lines::{LineBuffer, MARK, TEXT_BYTES};

/// How the text of a case comes: so many bytes tell, one for each chunk in turn.
const PLAN_BYTES: usize = 16;

/// The sizes of chunks: at and around the limits, and small ones.
const SIZES: [usize; 16] = [
    1,
    2,
    3,
    4,
    7,
    16,
    100,
    LINE_BYTES - 4,
    LINE_BYTES - 1,
    LINE_BYTES,
    LINE_BYTES + 1,
    LINE_BYTES + 4,
    2 * LINE_BYTES,
    5000,
    64,
    65_536,
];

/// The first bytes say how the others come: in which chunks, and where there is a pause.
pub fn check(data: &[u8]) {
    let (plan, text) = data.split_at(data.len().min(PLAN_BYTES));
    let text = &unpacked(text)[..];
    let chunks: Vec<Chunk> = plan.iter().copied().map(Chunk::of).collect();
    if chunks.iter().any(|chunk| chunk.is_pause) {
        check_with_pauses(text, &chunks);
    } else {
        assert_eq!(records(plan, text), expected(text));
    }
}

/// A byte that begins nothing in UTF-8 stands for many of the next one: so short files
/// have lines longer than the limit.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut bytes = packed.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            0xf8.. if text.len() < 4 * LINE_BYTES => {
                let again = bytes.next().copied().unwrap_or(byte);
                text.resize(text.len() + SIZES[usize::from(byte % 8) + 6], again);
            }
            byte => text.push(byte),
        }
    }
    text
}

/// The records of a text that comes as the plan says.
pub fn records(plan: &[u8], text: &[u8]) -> Vec<Vec<u8>> {
    let chunks: Vec<Chunk> = plan.iter().copied().map(Chunk::of).collect();
    read(text, &chunks).into_iter().map(|line| line.bytes).collect()
}

/// How much text comes at once, and what happens then.
struct Chunk {
    size: usize,
    /// The lines are taken; else they stay as long as there is room for more.
    is_taken: bool,
    /// Nothing comes for a while.
    is_pause: bool,
    /// The buffer, if it is empty, is given to another job, and then there is another one.
    is_swap: bool,
}

impl Chunk {
    const WHOLE: Chunk = Chunk { size: 65_536, is_taken: true, is_pause: false, is_swap: false };

    fn of(byte: u8) -> Chunk {
        let has = |bit: u8| byte & bit != 0;
        let size = SIZES[usize::from(byte % 16)];
        Chunk { size, is_taken: !has(16), is_pause: has(64) && has(128), is_swap: has(32) }
    }
}

/// A record for the log.
struct Line {
    bytes: Vec<u8>,
    /// It begins with the mark.
    continues: bool,
}

/// All records of a text that comes in these chunks, and then no more.
fn read(mut text: &[u8], chunks: &[Chunk]) -> Vec<Line> {
    let mut buffer = Box::new(LineBuffer::new());
    let mut lines = Vec::new();
    let mut chunks = chunks.iter().chain([&Chunk::WHOLE]).cycle();
    while !text.is_empty() {
        let chunk = chunks.next().unwrap_or(&Chunk::WHOLE);
        let (mut now, later) = text.split_at(chunk.size.min(text.len()));
        text = later;
        while !now.is_empty() {
            let count = fill(&mut buffer, now);
            now = &now[count..];
            if count == 0 || chunk.is_taken {
                take_lines(&mut buffer, &mut lines);
                assert!(!buffer.space().is_empty(), "it is full of what is no line");
            }
        }
        if chunk.is_pause {
            take_lines(&mut buffer, &mut lines);
            take_rest(&mut buffer, &mut lines, false);
        }
        if chunk.is_swap && buffer.is_empty() {
            let continues = buffer.continues();
            *buffer = LineBuffer::new();
            buffer.begin(continues);
        }
    }
    take_lines(&mut buffer, &mut lines);
    while take_rest(&mut buffer, &mut lines, true) {}
    assert!(buffer.is_empty(), "something stays");
    lines
}

fn fill(buffer: &mut LineBuffer, text: &[u8]) -> usize {
    let count = text.len().min(buffer.space().len());
    buffer.space()[..count].copy_from_slice(&text[..count]);
    buffer.filled(count);
    count
}

fn take_lines(buffer: &mut LineBuffer, lines: &mut Vec<Line>) {
    while let Some(line) = buffer.line().map(<[u8]>::to_vec) {
        push(buffer, lines, line);
    }
}

fn take_rest(buffer: &mut LineBuffer, lines: &mut Vec<Line>, last: bool) -> bool {
    let rest = buffer.rest(last).map(<[u8]>::to_vec);
    let is_any = rest.is_some();
    rest.into_iter().for_each(|rest| push(buffer, lines, rest));
    is_any
}

/// It is the same until it is taken.
fn push(buffer: &mut LineBuffer, lines: &mut Vec<Line>, bytes: Vec<u8>) {
    let continues = buffer.continues();
    assert!((1..=TEXT_BYTES).contains(&bytes.len()), "{} bytes", bytes.len());
    assert!(!continues || bytes.starts_with(MARK), "a line goes on without a mark");
    assert_eq!(cleaned(&bytes), bytes, "a record is not clean");
    lines.push(Line { bytes, continues });
    buffer.take();
}

/// Where pauses cut the text cannot be told beforehand, but with the marks taken out
/// it is all there. (A carriage return before a pause is taken for the end of a line.)
fn check_with_pauses(text: &[u8], chunks: &[Chunk]) {
    let text: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'\r').collect();
    let mut joined: Vec<Vec<u8>> = Vec::new();
    for Line { bytes, continues } in read(&text, chunks) {
        match joined.last_mut() {
            Some(line) if continues => line.extend_from_slice(&bytes[MARK.len()..]),
            _ => joined.push(bytes),
        }
    }
    // A character that a pause has cut in two is only seen when the two are together.
    let joined: Vec<Vec<u8>> = joined.iter().map(|line| cleaned(line)).collect();
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    assert_eq!(joined, lines.map(cleaned).collect::<Vec<_>>());
}

/// What is to be logged of a text that comes without a pause, by the rules of `pmtr::lines`.
fn expected(text: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut lines = text.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (mut record, mut len) = (Vec::new(), 0);
        let (whole, begun) =
            line.split_at(if lines.peek().is_some() { line.len() } else { begun(line) });
        for unit in units(whole).into_iter().chain([begun]) {
            if len + unit.len() > LINE_BYTES {
                records.push(core::mem::replace(&mut record, MARK.to_vec()));
                len = 0;
            }
            record.extend(cleaned(unit));
            len += unit.len();
        }
        if len > 0 {
            records.push(record);
        }
    }
    records
}

/// The text with `?` for every byte of a control character, but for tabs.
fn cleaned(text: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    for unit in units(text) {
        match core::str::from_utf8(unit) {
            Ok(c) if c != "\t" && c.contains(char::is_control) => {
                clean.resize(clean.len() + unit.len(), b'?');
            }
            _ => clean.extend_from_slice(unit),
        }
    }
    clean
}

/// Where a character begins that the text ends in the midst of: it is not cut, as more of it could come.
fn begun(text: &[u8]) -> usize {
    let from = text.len().saturating_sub(3);
    let is_begun = |&at: &usize| {
        core::str::from_utf8(&text[at..])
            .is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (from..text.len()).find(is_begun).unwrap_or(text.len())
}

/// The characters of a text; bytes that are none stand alone.
fn units(mut text: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while !text.is_empty() {
        let char_len = (1..=text.len().min(4)).find(|&n| core::str::from_utf8(&text[..n]).is_ok());
        let (unit, after) = text.split_at(char_len.unwrap_or(1));
        units.push(unit);
        text = after;
    }
    units
}
