//! Numbers, and what is made of them: intervals.

/// Why a number was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    NotANumber,
    TooLarge,
}

/// What is wrong with an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalFault {
    /// It is not a number and one of `s`, `m`, `h`, `d`.
    Form,
    /// It is zero.
    Zero,
    /// It does not fit in 32 bits of seconds.
    TooLong,
}

/// A decimal number, with or without a `+`.
pub(super) fn unsigned(text: &[u8]) -> Result<u64, NumberFault> {
    digits(text.strip_prefix(b"+").unwrap_or(text))
}

/// A decimal number with or without a sign.
pub(super) fn signed(text: &[u8]) -> Result<i64, NumberFault> {
    let (size, sign) = match text.strip_prefix(b"-") {
        Some(size) => (digits(size)?, -1),
        None => (unsigned(text)?, 1),
    };
    i64::try_from(size).map(|size| sign * size).map_err(|_| NumberFault::TooLarge)
}

/// A user or group id, if a word is a number at all; `Err` if it is none that a process can have:
/// the largest number of 32 bits means "leave it as it is" to the kernel (setresuid(2)).
pub fn numeric_id(text: &[u8]) -> Option<Result<u32, NotAnId>> {
    let number = match digits(text) {
        Ok(number) => u32::try_from(number).ok(),
        Err(NumberFault::TooLarge) => None,
        Err(NumberFault::NotANumber) => return None,
    };
    Some(number.filter(|&id| is_id(id)).ok_or(NotAnId))
}

/// A number that is no user or group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

/// Returns true if a process can have this user or group id.
pub const fn is_id(id: u32) -> bool {
    id != u32::MAX
}

/// A decimal number without a sign.
pub(super) fn digits(text: &[u8]) -> Result<u64, NumberFault> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(NumberFault::NotANumber);
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    text.iter().try_fold(0, add).ok_or(NumberFault::TooLarge)
}

/// The seconds of an interval: a number and `s`, `m`, `h` or `d` (manual, "bounce every").
pub(super) fn interval(text: &[u8]) -> Result<u32, IntervalFault> {
    let (unit, number) = text.split_last().ok_or(IntervalFault::Form)?;
    let unit: u64 = match unit {
        b's' => 1,
        b'm' => 60,
        b'h' => 60 * 60,
        b'd' => 24 * 60 * 60,
        _ => return Err(IntervalFault::Form),
    };
    let number = unsigned(number).map_err(|fault| match fault {
        NumberFault::NotANumber => IntervalFault::Form,
        NumberFault::TooLarge => IntervalFault::TooLong,
    })?;
    let seconds = number.checked_mul(unit).and_then(|seconds| u32::try_from(seconds).ok());
    match seconds {
        Some(0) => Err(IntervalFault::Zero),
        Some(seconds) => Ok(seconds),
        None => Err(IntervalFault::TooLong),
    }
}
