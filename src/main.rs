//! The program: options, start-up, the loop, an exit status.

fn main() {}
