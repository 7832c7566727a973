//! How fast datagrams are read: a burst at once, a flood slowly.

use core::time::Duration;

use crate::limits::{CONTROLS_PER_SECOND, CONTROLS_PER_TURN, CONTROL_BURST};
use crate::time::Instant;

/// How long a listener rests that has read all it may.
const REST: Duration = Duration::from_millis(100);

/// What a listener may read now: a bucket that fills up again with time.
pub(super) struct Pace {
    left: usize,
    /// When it was filled up last.
    filled_at: Instant,
}

impl Pace {
    /// A full one.
    pub(super) const fn new() -> Self {
        Pace { left: CONTROL_BURST, filled_at: Instant::BOOT }
    }

    /// How many datagrams may be read in this turn of the loop.
    pub(super) fn allowance(&mut self, now: Instant) -> usize {
        let millis = usize::try_from(now.since(self.filled_at).as_millis()).unwrap_or(usize::MAX);
        let fresh = millis.saturating_mul(CONTROLS_PER_SECOND) / 1000;
        if fresh > 0 {
            self.left = self.left.saturating_add(fresh).min(CONTROL_BURST);
            self.filled_at = now;
        }
        self.left.min(CONTROLS_PER_TURN)
    }

    /// Takes notice of so many that were read; when to read on.
    pub(super) fn spend(&mut self, now: Instant, read: usize) -> Instant {
        self.left = self.left.saturating_sub(read);
        if self.left == 0 {
            now + REST
        } else {
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::assert_eq;
    use super::*;

    const T0: Instant = Instant::from_secs(100);

    /// Reads as much as it may at one moment; how much that was.
    fn read_all(pace: &mut Pace, now: Instant) -> usize {
        let mut total = 0;
        loop {
            let read = pace.allowance(now);
            total += read;
            if pace.spend(now, read) > now {
                return total;
            }
        }
    }

    #[test]
    fn a_burst_is_read_at_once_in_turns() {
        let mut pace = Pace::new();
        assert_eq!(pace.allowance(T0), CONTROLS_PER_TURN);
        assert_eq!(read_all(&mut pace, T0), CONTROL_BURST);
        assert_eq!((pace.allowance(T0), pace.spend(T0, 0)), (0, T0 + REST));
    }

    #[test]
    fn a_flood_is_read_as_fast_as_is_allowed() {
        let mut pace = Pace::new();
        read_all(&mut pace, T0);
        let rests = (1..=50).map(|n| read_all(&mut pace, T0 + REST * n));
        assert_eq!(rests.sum::<usize>(), 5 * CONTROLS_PER_SECOND);
    }

    #[test]
    fn after_a_pause_a_burst_is_read_again() {
        let mut pace = Pace::new();
        read_all(&mut pace, T0);
        assert_eq!(read_all(&mut pace, T0 + Duration::from_secs(3600)), CONTROL_BURST);
    }
}
