//! Chance that can be had again: xorshift64*, from a seed; or what somebody chose before.

// A fuzzer has no seeds, and tests have no bytes.
#![allow(dead_code)]

pub struct Dice {
    /// What comes first, and how much of it has come.
    bytes: Vec<u8>,
    used: usize,
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        // Close seeds give unlike numbers, and zero is no state.
        let state = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1;
        Dice { bytes: Vec::new(), used: 0, state }
    }

    /// The bytes decide, and when they are used up always the same chance.
    pub fn loaded(bytes: &[u8]) -> Dice {
        Dice { bytes: bytes.to_vec(), ..Dice::new(0) }
    }

    /// Whether the bytes are used up.
    pub fn is_chance(&self) -> bool {
        self.used >= self.bytes.len()
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next bytes as a number, as many of them as `bound` needs.
    fn chosen(&mut self, bound: u64) -> u64 {
        let len = (bound.ilog2() as usize / 8 + 1).min(self.bytes.len() - self.used);
        let bytes = &self.bytes[self.used..][..len];
        self.used += len;
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        let number = if self.is_chance() { self.next() >> 11 } else { self.chosen(bound) };
        number % bound
    }

    /// Whether something happens that does so `percent` times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
