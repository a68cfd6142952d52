//! Whether a change made the program slower: two builds of it, measured in turn in one run.
//!
//! BENCH_BASE names the program before the change, BENCH_PRODUCT the one after it. The one before runs twice: what
//! its two rows differ by is the machine's doing. Ratios are of pairs, one from each round, so that what disturbs a
//! round disturbs both sides of it.

mod support;

use std::time::Duration;

use support::{
    Contender, Mark, Results, Summary, THROTTLE, is_earnest, product, product_before, product_before_with_sync,
    product_with_sync, rounds, usage,
};

/// The program before the change, the same again, and the one after it.
const WHO: [&str; 3] = ["before", "before, again", "after"];

const RESTARTS: usize = 300;
const LIVES: usize = 40;
const ROUNDS_SMOKE: usize = 2;

/// What was measured of each, round by round.
type Rounds = [Vec<Duration>; WHO.len()];

fn main() {
    let mut results = Results::new("compare");
    let (restarts, lives) = (rounds(RESTARTS, ROUNDS_SMOKE), rounds(LIVES, ROUNDS_SMOKE));
    let mut all = [product_before(), product_before(), product()].map(Contender::ready);
    let times = take_turns(restarts, &mut all, |contender| {
        let took = contender.restart().0;
        contender.wait_ready();
        took
    });
    add(&mut results, "from SIGKILL to the next worker", &times);
    memory(&mut results, &all);
    drop(all);
    let (starts, stops) = lives_of(lives);
    add(&mut results, "from exec to the worker's first instruction", &starts);
    add(&mut results, "from SIGTERM until both are gone", &stops);
    let before = product_before_with_sync();
    let mut all = [before, before, product_with_sync()].map(Contender::ready);
    let times = take_turns(restarts, &mut all, |contender| {
        contender.restart();
        let put = contender.wait_ready();
        Duration::from_nanos(put.at_ns - contender.wait_mark(Mark::Listens).at_ns)
    });
    add(&mut results, "from listen() to the registration", &times);
    results.finish();
}

/// Measures everybody once a round. Whoever goes first meets colder caches: that is somebody else each time.
fn take_turns<T>(rounds: usize, all: &mut [T; WHO.len()], mut measure: impl FnMut(&mut T) -> Duration) -> Rounds {
    let mut times = Rounds::default();
    for round in 0..rounds {
        for turn in 0..all.len() {
            let who = (round + turn) % all.len();
            times[who].push(measure(&mut all[who]));
        }
    }
    times
}

/// Starts and stops.
fn lives_of(rounds: usize) -> (Rounds, Rounds) {
    let (mut starts, mut stops) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        let mut running = [product_before(), product_before(), product()].map(|recipe| (recipe, None));
        let of_round = take_turns(1, &mut running, |(recipe, running)| {
            let mut contender = Contender::start(*recipe);
            let took = contender.began_after();
            contender.wait_ready();
            *running = Some(contender);
            took
        });
        for (all, one) in starts.iter_mut().zip(of_round) {
            all.extend(one);
        }
        for (all, (_, running)) in stops.iter_mut().zip(&mut running) {
            let contender = running.as_mut().expect("it was started");
            contender.wait_age(if is_earnest() { THROTTLE } else { Duration::ZERO });
            all.push(contender.stop());
        }
    }
    (starts, stops)
}

/// Times of each, and ratios to who was first, each of one round.
fn add(results: &mut Results, what: &str, times: &Rounds) {
    let before = &times[0];
    for (who, times) in WHO.into_iter().zip(times) {
        results.add(what, who, "ms", Summary::of_times(times));
    }
    for (who, times) in WHO.into_iter().zip(times).skip(1) {
        let ratios = times.iter().zip(before).map(|(time, before)| time.as_secs_f64() / before.as_secs_f64());
        results.add(what, who, "of the same round's before, ratio", Summary::of(ratios.collect()));
    }
}

fn memory(results: &mut Results, all: &[Contender; WHO.len()]) {
    for (who, contender) in WHO.into_iter().zip(all) {
        for name in ["private dirty, KiB", "resident, KiB"] {
            if let Some(number) = usage::of(contender.pid()).get(name) {
                results.add("memory after the restarts", who, name, Summary::once(*number));
            }
        }
    }
}
