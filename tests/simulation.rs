//! Holds the policy to its promises in many small worlds, each made of one number.
//!
//! A world has a worker, a port, a secrets tool, HTTP, an operator and a clock, and each of them may fail at any
//! moment. Nobody waits: the clock jumps. `SIMULATION_SEED=n` plays one seed and tells what happens;
//! `SIMULATION_SEEDS=n` plays the first n.

mod simulation {
    pub(crate) mod character;
    pub(crate) mod coverage;
    pub(crate) mod dice;
    pub(crate) mod judge;
    pub(crate) mod promises;
    pub(crate) mod run;
    pub(crate) mod world;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use simulation::coverage::Coverage;
use simulation::run::Run;

/// How many seeds are played unless `SIMULATION_SEEDS` says otherwise.
const SEEDS: u64 = 20_000;

/// How often each cell of the table has to be entered by that many seeds.
const VISITS_MIN: u64 = 20;

#[test]
fn the_machine_keeps_its_promises_whatever_happens() {
    if let Some(seed) = number("SIMULATION_SEED") {
        Run::play(seed, true);
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let coverage = play_all(seeds);
    println!("{seeds} seeds, {} events", coverage.events());
    if seeds < SEEDS {
        return;
    }
    assert_eq!(coverage.rare(VISITS_MIN), [""; 0], "every cell of the table is tried");
    let documentation = include_str!("../src/policy/mod.rs");
    assert_eq!(coverage.untrue_cells(documentation), [""; 0], "the table in the documentation is true");
}

#[test]
fn a_seed_is_a_whole_run() {
    for seed in 0..20 {
        assert_eq!(Run::play(seed, false), Run::play(seed, false), "seed {seed}");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number of seeds, or the number of one"))
}

/// Plays seeds side by side until one fails.
fn play_all(seeds: u64) -> Coverage {
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let failed = &AtomicBool::new(false);
    let mut total = Coverage::default();
    thread::scope(|scope| {
        let shares: Vec<_> =
            (0..threads).map(|first| scope.spawn(move || play_share(first, threads, seeds, failed))).collect();
        for share in shares {
            match share.join().expect("a share catches its panics") {
                Ok(coverage) => total.add(&coverage),
                Err(seed) => panic!(
                    "seed {seed} breaks a promise, see above; to watch it:\n\
                     SIMULATION_SEED={seed} cargo test --test simulation whatever_happens -- --nocapture"
                ),
            }
        }
    });
    total
}

/// Plays every `step`th seed. The seed that failed, if one did.
fn play_share(first: u64, step: u64, seeds: u64, failed: &AtomicBool) -> Result<Coverage, u64> {
    let mut coverage = Coverage::default();
    for seed in (first..seeds).step_by(step as usize) {
        if failed.load(Ordering::Relaxed) {
            break;
        }
        match catch_unwind(AssertUnwindSafe(|| Run::play(seed, false))) {
            Ok(played) => coverage.add(&played),
            Err(_) => {
                failed.store(true, Ordering::Relaxed);
                return Err(seed);
            }
        }
    }
    Ok(coverage)
}
