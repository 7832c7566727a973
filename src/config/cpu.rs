//! Sets of CPUs (manual, "cpu").

use super::value::{digits, NumberFault};
use crate::limits::MAX_CPUS;

/// A set of CPUs: CPU n is bit n % 8 of byte n / 8 (sched_setaffinity(2)).
pub(super) type CpuMask = [u8; MAX_CPUS / 8];

/// What is wrong with a set of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuFault {
    /// It is neither a hexadecimal mask nor a list of numbers and ranges.
    Form,
    /// A range ends before it begins.
    Reversed,
    /// It names a CPU from [`MAX_CPUS`] on.
    TooHigh,
}

/// Adds the CPUs of `text` to `mask`: a hexadecimal mask that begins with `0x`,
/// or numbers and ranges with commas between them (manual, "cpu").
pub(super) fn add(text: &[u8], mask: &mut CpuMask) -> Result<(), CpuFault> {
    if let Some(digits) = text.strip_prefix(b"0x") {
        return cpus_of_mask(digits, mask);
    }
    text.split(|&byte| byte == b',').try_for_each(|range| cpus_of_range(range, mask))
}

fn cpus_of_mask(digits: &[u8], mask: &mut CpuMask) -> Result<(), CpuFault> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(CpuFault::Form);
    }
    for (position, &digit) in digits.iter().rev().enumerate() {
        let nibble = char::from(digit).to_digit(16).map_or(0, |nibble| nibble as u8);
        match mask.get_mut(position / 2) {
            Some(byte) => *byte |= nibble << (position % 2 * 4),
            None if nibble == 0 => {}
            None => return Err(CpuFault::TooHigh),
        }
    }
    Ok(())
}

fn cpus_of_range(range: &[u8], mask: &mut CpuMask) -> Result<(), CpuFault> {
    let mut ends = range.splitn(2, |&byte| byte == b'-');
    let first = cpu(ends.next().unwrap_or_default())?;
    let last = ends.next().map_or(Ok(first), cpu)?;
    if last < first {
        return Err(CpuFault::Reversed);
    }
    (first..=last).for_each(|cpu| mask[cpu / 8] |= 1 << (cpu % 8));
    Ok(())
}

fn cpu(text: &[u8]) -> Result<usize, CpuFault> {
    match digits(text) {
        Ok(number) if number < MAX_CPUS as u64 => Ok(number as usize),
        Err(NumberFault::NotANumber) => Err(CpuFault::Form),
        Ok(_) | Err(NumberFault::TooLarge) => Err(CpuFault::TooHigh),
    }
}
