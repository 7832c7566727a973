//! Random storms, from seeds.
//!
//! `PMTR_SEED` runs the storm with that seed only, `PMTR_STORM_STEPS` makes it longer.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::dice::Dice;
use crate::storm::Storm;
use crate::watchdog::SEED;

/// How many storms there are unless one is asked for.
const STORMS: u64 = 32;

#[test]
fn storms_break_no_promise() {
    for seed in seeds() {
        let _told = Told::new(seed);
        let mut storm = storm(seed, true);
        storm.rage(steps());
        storm.settle();
        storm.shut_down();
    }
}

#[test]
fn a_shutdown_in_the_middle_of_a_storm_breaks_no_promise() {
    for seed in seeds() {
        let _told = Told::new(seed);
        let mut storm = storm(seed, true);
        storm.rage(steps() / 4);
        storm.shut_down();
    }
}

#[test]
fn refused_reloads_change_nothing_at_all() {
    for seed in seeds().into_iter().step_by(4) {
        let _told = Told::new(seed);
        let (mut with, mut without) = (storm(seed, true), storm(seed, false));
        with.rage(steps() / 2);
        without.rage(steps() / 2);
        let pairs = with.world.history.iter().zip(&without.world.history);
        if let Some((with, without)) = pairs.into_iter().find(|(with, without)| with != without) {
            panic!("with refused reloads: {with}\nwithout: {without}");
        }
        assert_eq!(with.world.history.len(), without.world.history.len());
    }
}

/// Refused reloads have chance of their own: without them it is the same storm.
fn storm(seed: u64, has_refusals: bool) -> Storm {
    Storm::new(Dice::new(seed), has_refusals.then(|| Dice::new(!seed)))
}

fn seeds() -> Vec<u64> {
    let asked = std::env::var("PMTR_SEED").ok();
    if let Some(seed) = asked {
        return vec![seed.parse().expect("PMTR_SEED is a number")];
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let first = now.as_millis() as u64;
    (first..first + STORMS).collect()
}

fn steps() -> u64 {
    let asked = std::env::var("PMTR_STORM_STEPS").ok();
    asked.map_or(400, |steps| steps.parse().expect("PMTR_STORM_STEPS is a number"))
}

/// Says how to have a storm again when a test ends in it.
struct Told {
    seed: u64,
}

impl Told {
    fn new(seed: u64) -> Told {
        SEED.set(Some(seed));
        Told { seed }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, steps) = (self.seed, steps());
            eprintln!(
                "again: PMTR_SEED={seed} PMTR_STORM_STEPS={steps} cargo test --test sim storm"
            );
        }
    }
}
