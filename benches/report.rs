//! Puts what the other benchmarks have measured on one page, with a chart, and adds what the binary holds.
//!
//! Takes figures from the last run of each; what was not run is said to be missing. Writes docs/bench, and nothing in a
//! smoke test.

mod support;

use std::path::Path;
use std::process::ExitCode;

use support::{Results, Summary, chart, is_earnest, page, size};

/// In the order of the page.
const BENCHMARKS: [&str; 7] = ["restart", "footprint", "stop", "sync", "felt", "scale", "load"];
/// Takes so long that the page is complete without it.
const OPTIONAL: &str = "load";
const CHART: &str = "restart.svg";

fn main() -> ExitCode {
    let (mut results, mut is_complete) = (Vec::new(), true);
    for name in BENCHMARKS {
        match Results::load(name) {
            Some(loaded) => results.push(loaded),
            None => {
                is_complete &= name == OPTIONAL;
                eprintln!("no figures of {name}: run cargo bench --bench {name}");
            }
        }
    }
    if !is_earnest() {
        return ExitCode::SUCCESS;
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bench");
    std::fs::create_dir_all(&place).expect("docs/bench can be made");
    if let Some(bars) = bars(&results) {
        let caption = "From SIGKILL of the worker to the first instruction of the next";
        chart::draw(&place.join(CHART), &bars, caption).expect("the chart can be drawn");
    }
    let text = page::write(&results, CHART, &size::binaries(), size::make().as_ref());
    std::fs::write(place.join("README.md"), &text).expect("the page can be written");
    println!("{text}");
    if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What restarts took: the table with the peers, if there was any.
fn bars(results: &[Results]) -> Option<Vec<(String, Summary, f64)>> {
    let restarts = &results.iter().find(|results| results.name == "restart")?.figures;
    let of = |table: &str| {
        let figures = restarts.iter().filter(|figure| figure.table.starts_with(table));
        figures.filter_map(|it| Some((it.who.clone(), it.summary, it.ratio?.median))).collect::<Vec<_>>()
    };
    [of("Restart of a worker older"), of("Restart at once")].into_iter().find(|bars| !bars.is_empty())
}
