//! From a worker's listen() to its registration: to the arrival of the PUT, which follows the first healthy answer.
//!
//! Both moments are the worker's own. Each worker is killed to make place for the next, so that this is what a restart
//! sees; the first start is the same. The worker listens at a random moment of its first 40 ms.

mod support;

use std::time::Duration;

use support::{Contender, Mark, Results, Summary, product_with_sync, rounds};

const ROUNDS: usize = 200;
const ROUNDS_SMOKE: usize = 2;
const TABLE: &str = "Registration";

fn main() {
    let mut results = Results::new("sync");
    let mut contender = Contender::ready(product_with_sync());
    let (mut to_get, mut to_put) = (Vec::new(), Vec::new());
    for _ in 0..rounds(ROUNDS, ROUNDS_SMOKE) {
        contender.restart();
        contender.wait_ready();
        let [listens, got, put] = [Mark::Listens, Mark::Got, Mark::Put].map(|mark| contender.wait_mark(mark).at_ns);
        to_get.push(Duration::from_nanos(got - listens));
        to_put.push(Duration::from_nanos(put - listens));
    }
    let who = contender.recipe.name;
    results.add(TABLE, who, "listen() to the first health check, ms", Summary::of_times(&to_get));
    results.add(TABLE, who, "listen() to the registration, ms", Summary::of_times(&to_put));
    results.finish();
}
