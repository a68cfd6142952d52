//! Waiting for a condition: the single place in the tests that sleeps, for a few milliseconds between two looks.
//! Every wait has a limit and a message that says what never came.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// How long anything may take that should come soon; generous, as only failures wait so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(3);

/// Looks until the condition holds.
///
/// # Panics
/// After `limit`, saying that `what` never came.
#[track_caller]
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, String::new, || condition().then_some(()));
}

/// Looks until there is something, and returns it. `details` is added to the message of a failure.
///
/// # Panics
/// After `limit`, saying that `what` never came.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    details: impl FnOnce() -> String,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {limit:?}, but this never came: {what}\n{}", details());
        sleep(INTERVAL);
    }
}

/// Lets time pass, where time itself is what a test waits for: a stall of the supervisor, a time without any event.
pub(crate) fn let_pass(time: Duration) {
    let started = Instant::now();
    wait_until("the end of a time", time + LIMIT, || started.elapsed() >= time);
}

/// The clock of the events' `mono_ns`, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a monotonic clock");
    u64::try_from(Duration::from(now).as_nanos()).expect("an uptime of less than 584 years")
}
