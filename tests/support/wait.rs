//! Waiting for a condition: the single place in the tests that sleeps, for a few milliseconds between two looks.
//! Every wait has a limit and a message that says what never came. On a slow machine limits are longer, all by the same
//! factor: `TEST_SLOWNESS` in the environment, or what a few short processes take, measured when it is first needed.

use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// How long anything may take that should come soon; generous, as only failures wait so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How often limits fit into the time that this machine gets.
static SLOWNESS: LazyLock<u32> = LazyLock::new(|| {
    let set = std::env::var("TEST_SLOWNESS").ok().and_then(|text| text.parse().ok());
    set.unwrap_or_else(measured_slowness).clamp(1, SLOWNESS_MAX)
});

/// Beyond this a limit is none.
const SLOWNESS_MAX: u32 = 30;
/// How many processes are started to see how slow the machine is.
const MEASURED_PROCESSES: u32 = 10;
/// What one of them takes on a machine that is slow, but not slow enough for longer limits.
const PROCESS_TIME: Duration = Duration::from_millis(10);

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
        // Whether the machine is slow is asked once the limit is over: most tests never need to know.
        if started.elapsed() >= limit {
            let limit = slowed(limit);
            assert!(started.elapsed() < limit, "waited {limit:?}, but this never came: {what}\n{}", details());
        }
        sleep(INTERVAL);
    }
}

/// A limit as long as it has to be on this machine.
pub(crate) fn slowed(limit: Duration) -> Duration {
    limit * *SLOWNESS
}

fn measured_slowness() -> u32 {
    let started = Instant::now();
    for _ in 0..MEASURED_PROCESSES {
        let ended = Command::new("/bin/sh").args(["-c", ":"]).stdin(Stdio::null()).status();
        assert!(ended.is_ok_and(|status| status.success()), "a shell does nothing");
    }
    let usual = PROCESS_TIME * MEASURED_PROCESSES;
    u32::try_from(started.elapsed().as_millis().div_ceil(usual.as_millis())).unwrap_or(SLOWNESS_MAX)
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
