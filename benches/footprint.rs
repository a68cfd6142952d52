//! What a supervisor costs while its worker is well: memory once it has settled, threads, descriptors, and what it did
//! in a minute. It has restarted its worker twice by then, since code that has run once stays in memory.
//!
//! All run at the same time over workers that nobody disturbs. The program is written to disk first: until then its
//! pages would count as private and dirty. Where the product runs twice, it does so from two files, so that no page is
//! shared between them.

mod support;

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use support::usage::{COUNTERS, GAUGES, Usage};
use support::{
    Contender, Results, Summary, THROTTLE, absent_peers, is_earnest, peers, product, product_apart, product_of_cargo,
    usage,
};

/// After the last worker is ready: interpreters go on for a while.
const SETTLING: Duration = Duration::from_secs(10);
const RESTARTS: usize = 2;
const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(100);

fn main() {
    let mut results = Results::new("footprint");
    let _ = Command::new("sync").status();
    let mut contenders = vec![
        ("worker-supervisor, check every 30 s".to_owned(), Contender::ready(product())),
        ("worker-supervisor, check every hour".to_owned(), Contender::ready(product_apart())),
    ];
    let of_cargo = product_of_cargo().map(Contender::ready);
    contenders.extend(of_cargo.map(|it| ("worker-supervisor of cargo build, check every 30 s".to_owned(), it)));
    let peers = if is_earnest() { peers() } else { Vec::new() };
    contenders.extend(peers.into_iter().map(|recipe| (recipe.name.to_owned(), Contender::ready(recipe))));
    for _ in 0..RESTARTS {
        for (_, contender) in &mut contenders {
            contender.wait_age(if is_earnest() { THROTTLE } else { Duration::ZERO });
            contender.restart();
            contender.wait_ready();
        }
    }
    let (settling, minute) = if is_earnest() { (SETTLING, MINUTE) } else { (MOMENT, MOMENT) };
    sleep(settling);
    let look = || contenders.iter().map(|(_, contender)| usage::of(contender.pid())).collect::<Vec<Usage>>();
    let before = look();
    sleep(minute);
    let after = look();
    for name in GAUGES {
        let table = "At rest";
        for ((who, _), usage) in contenders.iter().zip(&after) {
            if let Some(number) = usage.get(name) {
                results.add(table, who, name, Summary::once(*number));
            }
        }
    }
    for name in COUNTERS {
        for (((who, _), before), after) in contenders.iter().zip(&before).zip(&after) {
            if let Some((before, after)) = before.get(name).zip(after.get(name)) {
                results.add("In a minute of rest", who, name, Summary::once(after - before));
            }
        }
    }
    for name in absent_peers() {
        results.remark(format!("{name}: not installed, not measured"));
    }
    results.finish();
}
