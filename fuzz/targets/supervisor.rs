//! Any storm around the state machine: configurations, events, jumps of the clock.

#![no_main]

#[path = "../../tests/sim/dice.rs"]
mod dice;
#[path = "../../tests/sim/oracle.rs"]
mod oracle;
#[path = "../../tests/common/sealed.rs"]
mod sealed;
#[path = "../../tests/sim/storm.rs"]
mod storm;
#[path = "../../tests/corpus/supervisor.rs"]
mod supervisor;
#[path = "../../tests/sim/watchdog.rs"]
mod watchdog;
#[path = "../../tests/sim/world.rs"]
#[allow(dead_code)]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| supervisor::check(data));
