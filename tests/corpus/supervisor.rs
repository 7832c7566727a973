//! The whole state machine in a storm that somebody else chooses: what the manual and
//! compat.md say of it holds, as the oracle of the simulation has it.

use crate::dice::Dice;
use crate::storm::Storm;

/// Every decision of the storm is one of these bytes, and the first says how it ends.
pub fn check(data: &[u8]) {
    let Some((&end, storm)) = data.split_first() else { return };
    let mut storm = Storm::new(Dice::loaded(storm), Some(Dice::new(u64::from(end))));
    while !storm.is_over() {
        storm.rage(1);
    }
    if end % 2 == 0 {
        storm.settle();
    }
    storm.shut_down();
}
