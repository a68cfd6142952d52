//! Health checks of a well worker on a machine that is far too busy, by the settings that one has who sets none: no
//! restart, no failed check. Then the worker hangs right after a check: how long it takes until it is replaced, beside
//! the same without load.
//!
//! `LOAD_SECS` with each load, ten minutes unless set. The busy processes have the priority of all others.

mod support;

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::crowd::Size;
use support::{Contender, Crowd, Mark, Recipe, Results, Summary, is_earnest, product, product_program, supervise};

/// Busy processes, on all cores. Nobody first, to compare with.
const LOADS: [usize; 4] = [0, 4, 16, 64];

const SECS: u64 = 600;
const SECS_SMOKE: u64 = 1;

/// Longer than a check takes to come, and three to fail.
const PATIENCE: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(5);

const TABLE: &str =
    "Health checks of a well worker beside busy processes, and the time until one that hangs is replaced";

fn main() {
    let mut results = Results::new("load");
    for busy in LOADS {
        let mut contender = Contender::ready(by_default());
        let size = Size { busy, ..Size::default() };
        match Crowd::gather(size) {
            Ok(_crowd) => measure(&mut results, &mut contender, size),
            Err(reason) => results.remark(format!("{size}: not measured, {reason}")),
        }
    }
    results.finish();
}

fn measure(results: &mut Results, contender: &mut Contender, size: Size) {
    let who = format!("worker-supervisor, {size}");
    if size != Size::default() {
        let Watched { restarts, checks, failed, slowest_ms } = Watched::over(contender, time());
        for (what, number) in
            [("restarts", restarts), ("checks", checks), ("failed", failed), ("slowest, ms", slowest_ms)]
        {
            results.add(TABLE, &who, what, Summary::once(number));
        }
    }
    let replaced = Summary::once(hang(contender).as_secs_f64());
    results.add(TABLE, &who, "from a hang to the next worker, s", replaced);
}

/// With the settings that are the default; in a smoke test with such that do not take minutes.
fn by_default() -> Recipe {
    Recipe {
        prepare: |dir, site| {
            let (interval_secs, more) = if is_earnest() { (30.0, "") } else { (0.1, "health_timeout_secs = 0.4\n") };
            supervise(&product_program(), dir, site, interval_secs, more)
        },
        ..product()
    }
}

fn time() -> Duration {
    let set = std::env::var("LOAD_SECS").ok().map(|secs| secs.parse().expect("LOAD_SECS is a number of seconds"));
    Duration::from_secs(set.unwrap_or(if is_earnest() { SECS } else { SECS_SMOKE }))
}

/// What the status file told over a while.
#[derive(Default)]
struct Watched {
    restarts: f64,
    checks: f64,
    failed: f64,
    slowest_ms: f64,
}

impl Watched {
    fn over(contender: &Contender, time: Duration) -> Self {
        let end_at = Instant::now() + time;
        let (mut watched, mut last_ms) = (Self::default(), None);
        while Instant::now() < end_at {
            sleep(PAUSE);
            let text = contender.file("state/worker/status.json");
            // In the place of a file that is being replaced there is always one or the other.
            let status: serde_json::Value = serde_json::from_str(&text).expect("a status is JSON");
            let probe = &status["last_probe"];
            let at_ms = probe["at_ms"].as_u64();
            if at_ms.is_none() || at_ms == last_ms {
                continue;
            }
            // The one before the load was not under it.
            if last_ms.is_some() {
                watched.checks += 1.0;
                watched.failed += f64::from(u8::from(probe["healthy"] != true));
                let latency_us = probe["latency_us"].as_f64().expect("a latency");
                watched.slowest_ms = watched.slowest_ms.max(latency_us / 1e3);
            }
            watched.restarts = status["restarts"].as_f64().expect("a number");
            last_ms = at_ms;
        }
        watched
    }
}

/// Stops the worker right after a check, and waits until another has taken its place.
fn hang(contender: &mut Contender) -> Duration {
    let give_up_at = Instant::now() + PATIENCE;
    let checks = contender.marks(Mark::Got).len();
    await_until(give_up_at, "a check", || contender.marks(Mark::Got).len() > checks);
    let old = contender.wait_mark(Mark::Began).pid;
    kill(Pid::from_raw(old), Signal::SIGSTOP).expect("the worker lives");
    let hung_at = Instant::now();
    await_until(give_up_at, "the next worker", || contender.wait_mark(Mark::Began).pid != old);
    hung_at.elapsed()
}

fn await_until(give_up_at: Instant, what: &str, mut is_there: impl FnMut() -> bool) {
    while !is_there() {
        assert!(Instant::now() < give_up_at, "{what} never came");
        sleep(PAUSE);
    }
}
