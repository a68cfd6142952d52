//! How long a start and a stop take: from exec of the supervisor to the worker's first instruction, and from the order
//! to stop until both are gone. The worker ends at once when it is asked to.
//!
//! Contenders take turns, round by round. A stop is ordered the way each wants it: SIGTERM, or what its manual says,
//! and not before the worker is older than the second that some let pass first.

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::place::TempDir;
use support::{
    Contender, Recipe, Results, Summary, THROTTLE, absent_peers, bare_vfork, is_earnest, on_one_processor, peers,
    product, product_of_cargo, rounds,
};

const ROUNDS: usize = 60;
const ROUNDS_SMOKE: usize = 2;

/// Who never took less for a start or a stop takes part in every fifth round only.
const SLOW: Duration = Duration::from_millis(100);
const SLOW_EVERY: usize = 5;

const START: &str = "from exec to the worker's first instruction, ms";
const STOP: &str = "from the order until both are gone, ms";

/// What one contender took.
struct Times {
    recipe: Recipe,
    first_starts: Vec<Duration>,
    starts: Vec<Duration>,
    stops: Vec<Duration>,
}

fn main() {
    let mut results = Results::new("stop");
    // The bare loop can start, but not stop.
    let mut recipes = vec![bare_vfork(), product()];
    recipes.extend(product_of_cargo());
    recipes.extend(if is_earnest() { peers() } else { Vec::new() });
    compare(&mut results, "", &recipes);
    if is_earnest() {
        on_one_processor(|| compare(&mut results, ", with one processor for everybody", &recipes));
    }
    for name in absent_peers() {
        results.remark(format!("{name}: not installed, not measured"));
    }
    results.finish();
}

/// Starts and stops all of them in turn, twice in a directory: what they make for good, they make at the first start.
fn compare(results: &mut Results, surroundings: &str, recipes: &[Recipe]) {
    let none = Vec::new;
    let times = |recipe: &Recipe| Times { recipe: *recipe, first_starts: none(), starts: none(), stops: none() };
    let mut all: Vec<Times> = recipes.iter().map(times).collect();
    for round in 0..rounds(ROUNDS, ROUNDS_SMOKE) {
        let of_round = all.iter_mut().filter(|times| round % SLOW_EVERY == 0 || !times.is_slow());
        let mut of_round: Vec<(&mut Times, Arc<TempDir>)> =
            of_round.map(|times| (times, Arc::new(TempDir::new()))).collect();
        for is_first in [true, false] {
            let mut running: Vec<(&mut Times, Contender)> =
                of_round.iter_mut().map(|(times, dir)| times.start(dir.clone(), is_first)).collect();
            for (times, contender) in &mut running {
                contender.wait_age(THROTTLE);
                if !times.recipe.leaves_worker {
                    times.stops.push(contender.stop());
                }
            }
        }
    }
    let to_floor = format!("{surroundings} (ratio to the bare loop)");
    add(results, &format!("Start{to_floor}"), START, &all, |it| &it.starts);
    add(results, &format!("First start in a directory{to_floor}"), START, &all, |it| &it.first_starts);
    add(results, &format!("Stop{surroundings} (ratio to {})", all[1].recipe.name), STOP, &all[1..], |it| &it.stops);
}

/// Adds a table, measured against its first row.
fn add(results: &mut Results, table: &str, what: &str, all: &[Times], of: fn(&Times) -> &Vec<Duration>) {
    let floor = Summary::of_times(of(&all[0]));
    for times in all {
        let Recipe { name, note, .. } = times.recipe;
        let figure = results.add(table, name, what, Summary::of_times(of(times)));
        figure.against(floor);
        figure.note = note.to_owned();
    }
}

impl Times {
    fn start(&mut self, dir: Arc<TempDir>, is_first: bool) -> (&mut Self, Contender) {
        let mut contender = Contender::start_in(self.recipe, dir);
        let times = if is_first { &mut self.first_starts } else { &mut self.starts };
        times.push(contender.began_after());
        contender.wait_ready();
        (self, contender)
    }

    fn is_slow(&self) -> bool {
        [&self.starts, &self.stops].iter().any(|times| times.iter().min().is_some_and(|time| *time > SLOW))
    }
}
