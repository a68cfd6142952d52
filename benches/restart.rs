//! How long a restart takes: from SIGKILL of a ready worker to the first instruction of the next.
//!
//! All contenders run side by side, each over a worker of its own, and are killed in turn, round by round, so that a
//! busy machine is busy for all of them. The bare loop is the faster of two, over vfork and over posix_spawn; a
//! third one, with a session for the worker, shows what that costs whoever wants to find all that it starts. Peers
//! that restart no more than once a second are measured in rounds of their own, where every worker has lived longer
//! than that; the product and the bare loop take part in both. On Linux the same once more on one processor, where what
//! a supervisor does after it has started the worker is time that the worker waits for.

mod support;

use std::time::Duration;

use support::{
    Contender, Recipe, Results, Summary, THROTTLE, absent_peers, bare_session, bare_spawn, bare_vfork, calls,
    is_earnest, on_one_processor, peers, product, rounds, steps,
};

const ROUNDS: usize = 400;
const ROUNDS_WITH_PEERS: usize = 100;
const ROUNDS_SMOKE: usize = 2;

/// Who never took less takes part in every fifth round only.
const SLOW: Duration = Duration::from_millis(100);
const SLOW_EVERY: usize = 5;

const RESTART: &str = "from SIGKILL to the next worker, ms";

fn main() {
    let mut results = Results::new("restart");
    let alone = [bare_vfork(), bare_spawn(), bare_session(), product()];
    compare(&mut results, "Restart at once", &alone, rounds(ROUNDS, ROUNDS_SMOKE), Duration::ZERO);
    if is_earnest() {
        let table = "Restart at once, with one processor for everybody";
        on_one_processor(|| compare(&mut results, table, &alone, ROUNDS, Duration::ZERO));
    }
    let peers = peers();
    if !peers.is_empty() && is_earnest() {
        let all = [&alone[..], &peers].concat();
        compare(&mut results, "Restart of a worker older than a second", &all, ROUNDS_WITH_PEERS, THROTTLE);
        let table = "Restart of a worker older than a second, with one processor for everybody";
        on_one_processor(|| compare(&mut results, table, &all, ROUNDS_WITH_PEERS, THROTTLE));
    }
    steps::measure(&mut results, rounds(ROUNDS, ROUNDS_SMOKE));
    calls::count(&mut results, &[&alone[3..], &peers].concat());
    for name in absent_peers() {
        results.remark(format!("{name}: not installed, not measured"));
    }
    results.finish();
}

/// Kills the workers of all contenders in turn, in so many rounds, each when it is `age` old.
fn compare(results: &mut Results, table: &str, recipes: &[Recipe], rounds: usize, age: Duration) {
    let mut contenders: Vec<(Contender, Vec<Duration>)> =
        recipes.iter().map(|recipe| (Contender::ready(*recipe), Vec::with_capacity(rounds))).collect();
    for round in 0..rounds {
        // Whoever goes first meets colder caches: that should not always be the same one.
        let count = contenders.len();
        for turn in 0..count {
            let (contender, times) = &mut contenders[(round + turn) % count];
            if times.iter().min().is_some_and(|time| *time > SLOW) && round % SLOW_EVERY != 0 {
                continue;
            }
            contender.wait_age(age);
            times.push(contender.restart().0);
            contender.wait_ready();
        }
    }
    let summaries: Vec<Summary> = contenders.iter().map(|(_, times)| Summary::of_times(times)).collect();
    let floor = if summaries[0].median < summaries[1].median { summaries[0] } else { summaries[1] };
    for (recipe, summary) in recipes.iter().zip(summaries) {
        let figure = results.add(table, recipe.name, RESTART, summary);
        figure.against(floor);
        figure.note = recipe.note.to_owned();
    }
}
