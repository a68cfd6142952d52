//! Figures: what was measured, how often, the median and where the middle half lies. Printed as a table, and kept for
//! the report. A figure that was not measured does not exist.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::is_earnest;
use super::machine::Machine;

/// From one end of the middle half to the other, as a factor: from here on a machine was busy with something else.
const NOISE: f64 = 1.5;

/// Many measurements of one thing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many.
    pub(crate) count: usize,
    /// A quarter of them were lower.
    pub(crate) low: f64,
    /// Half of them were.
    pub(crate) median: f64,
    /// Three quarters of them were.
    pub(crate) high: f64,
}

impl Summary {
    /// Of durations, in milliseconds.
    pub(crate) fn of_times(times: &[Duration]) -> Self {
        Self::of(times.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// Of numbers.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Self {
        assert!(!numbers.is_empty(), "a summary of nothing");
        numbers.sort_by(f64::total_cmp);
        let at = |quarters: usize| numbers[(numbers.len() - 1) * quarters / 4];
        Self { count: numbers.len(), low: at(1), median: at(2), high: at(3) }
    }

    /// Whether the middle half is so wide that the median says little.
    pub(crate) fn is_noisy(&self) -> bool {
        self.high > self.low * NOISE
    }

    /// Of one number.
    pub(crate) fn once(number: f64) -> Self {
        Self { count: 1, low: number, median: number, high: number }
    }
}

/// One row of a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The table it belongs to.
    pub(crate) table: String,
    /// Who was measured.
    pub(crate) who: String,
    /// What was measured, with its unit.
    pub(crate) what: String,
    /// The measurements.
    pub(crate) summary: Summary,
    /// Over what this is measured against.
    pub(crate) ratio: Option<Ratio>,
    /// What a reader has to know.
    pub(crate) note: String,
}

impl Figure {
    /// Measures it against another.
    pub(crate) fn against(&mut self, other: Summary) {
        let ratio = |of: fn(&Summary) -> f64| of(&self.summary) / of(&other);
        self.ratio = Some(Ratio { low: ratio(|it| it.low), median: ratio(|it| it.median), is_noisy: other.is_noisy() });
    }
}

/// A figure over another. On a machine that is busy with something else the medians are that something's, and the
/// lower quarters tell more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// Of the lower quarters' ends.
    pub(crate) low: f64,
    /// Of the medians.
    pub(crate) median: f64,
    /// Whether the other one is too noisy to measure against.
    pub(crate) is_noisy: bool,
}

/// All figures of one benchmark.
#[derive(Serialize, Deserialize)]
pub(crate) struct Results {
    /// The benchmark.
    pub(crate) name: String,
    /// Where and when.
    pub(crate) machine: Machine,
    /// The figures, in order.
    pub(crate) figures: Vec<Figure>,
    /// Peers that the machine does not have, and whatever else could not be measured.
    pub(crate) remarks: Vec<String>,
}

impl Results {
    /// Nothing yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), machine: Machine::this(), figures: Vec::new(), remarks: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, table: &str, who: &str, what: &str, summary: Summary) -> &mut Figure {
        let (table, who, what) = (table.to_owned(), who.to_owned(), what.to_owned());
        self.figures.push(Figure { table, who, what, summary, ratio: None, note: String::new() });
        self.figures.last_mut().expect("one was pushed")
    }

    /// Adds something that a reader has to know.
    pub(crate) fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    /// Prints them, and keeps them for the report unless this was a smoke test.
    pub(crate) fn finish(&self) {
        println!("{}", self.machine);
        let mut table = "";
        for figure in &self.figures {
            if figure.table != table {
                table = &figure.table;
                println!(
                    "\n{table}\n{:<36} {:<44} {:>6} {:>10} {:>10} {:>10} {:>8} {:>8}",
                    "", "", "count", "25 %", "median", "75 %", "ratio", "of 25 %"
                );
            }
            let Figure { who, what, summary, ratio, .. } = figure;
            let ratio = ratio.map_or(String::new(), |ratio| format!("{:>8.2} {:>8.2}", ratio.median, ratio.low));
            let Summary { count, low, median, high } = summary;
            println!("{who:<36} {what:<44} {count:>6} {low:>10.3} {median:>10.3} {high:>10.3} {ratio}");
        }
        for remark in &self.remarks {
            println!("{remark}");
        }
        if is_earnest() {
            let text = serde_json::to_string_pretty(self).expect("figures are JSON");
            std::fs::write(path(&self.name), text).expect("the target directory can be written");
        }
    }

    /// Those of an earlier run, if there was one.
    pub(crate) fn load(name: &str) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(path(name)).ok()?).ok()
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}.json"))
}
