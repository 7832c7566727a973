//! What a job writes: of each line it is known beforehand what it says.

use crate::dice::Dice;

/// Line `seq`, counted from 1, of the `run`th run of job `job`, with its newline. It is never
/// longer than what a pipe takes as a whole or not at all (`PIPE_BUF`, pipe(7)).
pub fn line(job: u64, run: u64, seq: u64) -> Vec<u8> {
    let mut dice = Dice::new(job << 48 ^ run << 32 ^ seq);
    let most = if dice.percent(5) { 3900 } else { 150 };
    let (letter, count) = (b'a' + dice.below(26) as u8, dice.below(most) as usize);
    let mut line = format!("{job} {run} {seq} ").into_bytes();
    line.resize(line.len() + 1 + count, letter);
    line.push(b'\n');
    line
}

/// Run and line that a text is the beginning of.
pub fn numbers(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(' ').skip(1).map(|word| word.parse().ok());
    Some((words.next()??, words.next()??))
}
