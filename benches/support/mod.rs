//! What the benchmarks of whole programs share: contenders, the worker that all of them run, figures and their table.
//!
//! Every contender runs the same worker, a few lines of C, so that ratios compare supervisors and nothing else. Times
//! are read from one clock, CLOCK_MONOTONIC, here and in the worker. A peer that is not installed is absent, never a
//! failure and never a figure. Without `--bench`, which `cargo bench` passes, few rounds are run, as a smoke test, and
//! nothing is saved.
#![allow(dead_code, unused_imports, reason = "each benchmark uses a part of this")]

pub(crate) mod calls;
pub(crate) mod chart;
mod contender;
pub(crate) mod crowd;
mod figures;
mod machine;
pub(crate) mod page;
mod peers;
mod programs;
pub(crate) mod record;
pub(crate) mod size;
pub(crate) mod steps;
pub(crate) mod usage;

#[path = "../../tests/support/api.rs"]
pub(crate) mod api;
#[path = "../../tests/support/client.rs"]
pub(crate) mod client;
#[path = "../../tests/support/place.rs"]
pub(crate) mod place;
#[path = "../../tests/support/wait.rs"]
mod wait;

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

pub(crate) use contender::{Contender, Recipe, Site};
pub(crate) use crowd::Crowd;
pub(crate) use figures::{Figure, Results, Summary};
pub(crate) use machine::{Machine, on_one_processor};
pub(crate) use peers::{
    RARELY_SECS, absent_peers, bare_session, bare_spawn, bare_vfork, peers, product, product_apart, product_before,
    product_before_with_sync, product_of_cargo, product_of_example, product_with_sync, put, shell_loop, supervise,
};
pub(crate) use programs::{bare, helper, product_program, roomy, worker};
pub(crate) use record::{Entry, Mark};

/// How long anything may take before the benchmark gives up.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Longer than the second that some peers leave between two starts, and between a start and a stop.
pub(crate) const THROTTLE: Duration = Duration::from_millis(1_150);

/// Between two looks at a record. Looking costs microseconds, so that the other core stays free for who is measured.
const PAUSE: Duration = Duration::from_millis(1);

/// The worker's clock, in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a monotonic clock");
    u64::try_from(Duration::from(now).as_nanos()).expect("an uptime of less than 584 years")
}

/// Whether to measure in earnest.
pub(crate) fn is_earnest() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// So many rounds, or `smoke` in a smoke test.
pub(crate) fn rounds(earnest: usize, smoke: usize) -> usize {
    if is_earnest() { earnest } else { smoke }
}

/// Waits until `find` finds something.
///
/// # Panics
/// After [`LIMIT`], saying what never came.
pub(crate) fn wait_for<T>(what: impl Fn() -> String, mut find: impl FnMut() -> Option<T>) -> T {
    let give_up_at = Instant::now() + LIMIT;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < give_up_at, "{} never came", what());
        sleep(PAUSE);
    }
}
