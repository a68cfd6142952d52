//! What a start and a restart cost with something large to carry: descriptors of the worker, variables, secrets.
//!
//! Each beside the same contender without it, in turn. What the kernel takes for it shows in the bare loop.

use std::time::Duration;

use super::crowded::registering;
use super::recipes::{
    bare_laden, bare_long_environment, descriptors, laden, long_environment, registered, registered_with_descriptors,
    secretive,
};
use crate::support::crowd::grouped;
use crate::support::{Contender, Mark, Recipe, Results, Summary, bare_vfork, product, rounds};

const ROUNDS: usize = 12;
/// In each of them.
const RESTARTS: usize = 4;

/// A contender without something, or with it.
struct Carrier {
    recipe: Recipe,
    starts: Vec<Duration>,
    restarts: Vec<Duration>,
}

/// Adds all of them.
pub(crate) fn measure(results: &mut Results) {
    let (bare, ours) = (bare_vfork(), product());
    compare(results, "Environment file of 1 MB", [bare, bare_long_environment(), ours, long_environment()]);
    compare(results, "100 secrets", [ours, secretive()]);
    let table = &format!("Worker with {} descriptors", grouped(descriptors()));
    let carriers = compare(results, table, [bare, bare_laden(), ours, laden()]);
    beyond(results, table, &carriers);
    registrations(results, table);
}

/// Measures pairs: without it, and with it.
fn compare<const COUNT: usize>(results: &mut Results, table: &str, recipes: [Recipe; COUNT]) -> [Carrier; COUNT] {
    let mut carriers = recipes.map(|recipe| Carrier { recipe, starts: Vec::new(), restarts: Vec::new() });
    for _ in 0..rounds(ROUNDS, 1) {
        carriers.iter_mut().for_each(Carrier::carry);
    }
    for pair in carriers.chunks(2) {
        for (Carrier { recipe, starts, restarts }, how) in pair.iter().zip(["without", "with"]) {
            let who = format!("{}, {how}", recipe.name);
            let floors = [&pair[0].starts, &pair[0].restarts].map(|times| Summary::of_times(times));
            let start = Summary::of_times(starts);
            results.add(table, &who, "from exec to the worker's first instruction, ms", start).against(floors[0]);
            let restart = Summary::of_times(restarts);
            results.add(table, &who, "from SIGKILL to the next worker, ms", restart).against(floors[1]);
        }
    }
    carriers
}

impl Carrier {
    fn carry(&mut self) {
        let mut contender = Contender::start(self.recipe);
        let began = contender.wait_mark(Mark::Began);
        self.starts.push(Duration::from_nanos(began.at_ns - contender.started_at_ns));
        contender.wait_ready();
        for _ in 0..rounds(RESTARTS, 1) {
            self.restarts.push(contender.restart().0);
            contender.wait_ready();
        }
    }
}

/// What descriptors cost a restart, without what it costs to close them, which the bare loop pays as well.
fn beyond(results: &mut Results, table: &str, carriers: &[Carrier; 4]) {
    let restarts = carriers.each_ref().map(|carrier| carrier.restarts.iter().map(|time| time.as_secs_f64() * 1e3));
    let [bare, bare_laden, ours, laden] = restarts;
    let differences = laden.zip(ours).zip(bare_laden.zip(bare));
    let beyond = differences.map(|((laden, ours), (bare_laden, bare))| (laden - ours) - (bare_laden - bare));
    let who = "worker-supervisor, beyond the bare loop";
    results.add(table, who, "what they add to a restart, ms", Summary::of(beyond.collect()));
}

fn registrations(results: &mut Results, table: &str) {
    let mut both = [registered(), registered_with_descriptors()].map(|it| (it.name, registering(it), Vec::new()));
    for _ in 0..rounds(ROUNDS * RESTARTS, 1) {
        both.iter_mut().for_each(|(_, register, times)| times.push(register()));
    }
    let floor = Summary::of_times(&both[0].2);
    for (who, _, times) in &both {
        results.add(table, who, "listen() to the registration, ms", Summary::of_times(times)).against(floor);
    }
}
