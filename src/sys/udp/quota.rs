//! How often something is told that others can make happen at will.

use core::time::Duration;

use crate::time::Instant;

/// How often a thing is told before it is only counted.
const BURST: u8 = 4;

/// After this time it is told again, and how often it was not.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// Lets a few sentences through, and counts the others.
pub(super) struct Quota {
    /// The end of the time in which `told` were let through.
    until: Option<Instant>,
    told: u8,
    held: u32,
}

impl Quota {
    pub(super) const fn new() -> Self {
        Quota { until: None, told: 0, held: 0 }
    }

    /// Whether it may be told now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        // Those of the last window are told first: see `overdue`.
        if self.held == 0 && self.until.map_or(true, |until| until <= now) {
            self.until = Some(now + WINDOW);
            self.told = 0;
        }
        let is_allowed = self.held == 0 && self.told < BURST;
        if is_allowed {
            self.told += 1;
        } else {
            self.held = self.held.saturating_add(1);
        }
        is_allowed
    }

    /// When to ask for what is [overdue](Self::overdue).
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until.filter(|_| self.held > 0)
    }

    /// How often it was not told, once that is to be told itself.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<u32> {
        self.deadline().filter(|&until| until <= now)?;
        self.until = None;
        Some(core::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::prelude::v1::*;
    use super::super::super::std::{assert, assert_eq};
    use super::*;

    const T0: Instant = Instant::from_secs(100);

    #[test]
    fn a_few_are_told_the_rest_is_counted_and_told_at_the_end_of_the_time() {
        let mut quota = Quota::new();
        assert_eq!((0..50).filter(|_| quota.allows(T0)).count(), 4);
        assert_eq!((quota.deadline(), quota.overdue(T0)), (Some(T0 + WINDOW), None));
        assert_eq!(quota.overdue(T0 + WINDOW), Some(46));
        assert_eq!((quota.deadline(), quota.overdue(T0 + WINDOW)), (None, None));
        assert!(quota.allows(T0 + WINDOW));
    }

    #[test]
    fn a_few_need_no_deadline_and_are_forgotten() {
        let mut quota = Quota::new();
        assert!((0..4).all(|_| quota.allows(T0)));
        assert_eq!(quota.deadline(), None);
        assert!((0..4).all(|_| quota.allows(T0 + WINDOW)));
        assert!(!quota.allows(T0 + WINDOW));
    }

    #[test]
    fn what_was_counted_is_told_however_long_it_goes_on() {
        let mut quota = Quota::new();
        for ms in 0..10_000 {
            quota.allows(T0 + Duration::from_millis(ms));
        }
        // It goes on before anybody asks what is overdue.
        assert!(!quota.allows(T0 + WINDOW));
        assert_eq!(quota.overdue(T0 + WINDOW), Some(9_997));
    }
}
