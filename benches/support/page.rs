//! The page: goals first, then every table, as Markdown. Nothing on it is written by hand.

use std::fmt::Write;

use super::size::{Making, Size};
use super::{Figure, Results};

/// What is to be reached.
pub(crate) struct Goal {
    /// In words.
    pub(crate) what: &'static str,
    /// At most this.
    pub(crate) limit: f64,
    /// The benchmark, and where the figure stands: table, who (their beginnings), what.
    pub(crate) place: (&'static str, &'static str, &'static str, &'static str),
    /// Which of its numbers counts.
    pub(crate) by: By,
}

/// Which number of a figure is held against a goal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The ratio of the medians.
    Ratio,
    /// The ratio of the medians to that of another one in the table.
    RatioTo(&'static str),
    /// The median.
    Median,
    /// The median of something that varies by its nature, also where nothing disturbs.
    MedianOfMany,
}

/// The goals that hold for any machine, as ratios, and those of a small Linux machine, in units.
pub(crate) const GOALS: [Goal; 21] = [
    Goal {
        what: "restart among all contenders, × the bare loop",
        limit: 1.1,
        place: ("restart", "Restart of a worker older", "worker-supervisor", "from SIGKILL"),
        by: By::Ratio,
    },
    Goal {
        what: "restart at once, × the bare loop",
        limit: 1.1,
        place: ("restart", "Restart at once", "worker-supervisor", "from SIGKILL"),
        by: By::Ratio,
    },
    Goal {
        what: "the first, with one processor for everybody",
        limit: 1.1,
        place: ("restart", "Restart of a worker older than a second, with one", "worker-supervisor", "from SIGKILL"),
        by: By::Ratio,
    },
    Goal {
        what: "the second, with one processor for everybody",
        limit: 1.1,
        place: ("restart", "Restart at once, with one", "worker-supervisor", "from SIGKILL"),
        by: By::Ratio,
    },
    Goal {
        what: "private dirty memory, KiB",
        limit: 130.0,
        place: ("footprint", "At rest", "worker-supervisor, check every 30 s", "private dirty"),
        by: By::Median,
    },
    Goal {
        what: "CPU of a minute at rest, ms",
        limit: 2.0,
        place: ("footprint", "In a minute", "worker-supervisor, check every 30 s", "CPU"),
        by: By::Median,
    },
    Goal {
        what: "voluntary switches of a minute without a check",
        limit: 0.0,
        place: ("footprint", "In a minute", "worker-supervisor, check every hour", "voluntary"),
        by: By::Median,
    },
    Goal {
        what: "start, until the worker's first instruction, × the bare loop",
        limit: 1.1,
        place: ("stop", "Start", "worker-supervisor", "from exec"),
        by: By::Ratio,
    },
    Goal {
        what: "start with one processor for everybody, × the bare loop",
        limit: 1.1,
        place: ("stop", "Start, with one", "worker-supervisor", "from exec"),
        by: By::Ratio,
    },
    Goal {
        what: "start, × runit",
        limit: 1.0,
        place: ("stop", "Start", "worker-supervisor", "from exec"),
        by: By::RatioTo("runit runsv"),
    },
    Goal {
        what: "stop, until both are gone, × runit",
        limit: 1.0,
        place: ("stop", "Stop", "worker-supervisor", "from the order"),
        by: By::RatioTo("runit runsv"),
    },
    Goal {
        what: "registration after listen(), ms",
        limit: 6.0,
        place: ("sync", "Registration", "worker-supervisor", "listen() to the registration"),
        by: By::MedianOfMany,
    },
    Goal {
        what: "kill -9 of bun until it is registered, ms more than bun's own",
        limit: 5.0,
        place: ("felt", "What a person waits for: kill -9", "worker-supervisor", "until it is registered, ms more"),
        by: By::MedianOfMany,
    },
    Goal {
        what: "restart beside 10,000 processes and 50,000 sockets, × without",
        limit: 1.1,
        place: (
            "scale",
            "Restart on a crowded",
            "worker-supervisor, 50,000 sockets in 10,000 processes",
            "from SIGKILL",
        ),
        by: By::Ratio,
    },
    Goal {
        what: "registration of a worker behind a shell, beside the same, ms",
        limit: 50.0,
        place: (
            "scale",
            "What looks",
            "worker-supervisor, a child of the worker listens, 50,000 sockets in 10,000 processes",
            "listen() to",
        ),
        by: By::MedianOfMany,
    },
    Goal {
        what: "start until a stranger on the port is named, beside the same, ms",
        limit: 50.0,
        place: ("scale", "What looks", "a stranger has the port, 50,000 sockets in 10,000 processes", "from exec"),
        by: By::Median,
    },
    Goal {
        what: "end of 1,000 processes, beside the same, ms",
        limit: 50.0,
        place: (
            "scale",
            "What looks",
            "a worker and 1,000 processes, 50,000 sockets in 10,000 processes",
            "from SIGTERM",
        ),
        by: By::Median,
    },
    Goal {
        what: "what 20,000 descriptors of the worker add to a restart, beyond the bare loop, ms",
        limit: 1.0,
        place: ("scale", "Worker with", "worker-supervisor, beyond the bare loop", "what they add"),
        by: By::Median,
    },
    Goal {
        what: "longest pause of the loop while 10 GB of log are rotated, ms",
        limit: 5.0,
        place: ("scale", "Pauses of the loop", "while it is rotated", "longest"),
        by: By::Median,
    },
    Goal {
        what: "restarts of a well worker beside 64 busy processes",
        limit: 0.0,
        place: ("load", "Health checks", "worker-supervisor, 64 busy processes", "restarts"),
        by: By::Median,
    },
    Goal {
        what: "failed checks of it",
        limit: 0.0,
        place: ("load", "Health checks", "worker-supervisor, 64 busy processes", "failed"),
        by: By::Median,
    },
];

const HEAD: &str = "# Measurements

Written by `make bench`, which measures all of it anew on any machine.

";

const LEGEND: &str = "
A count is how many were measured; 25 % and 75 % are the ends of the middle half. Ratios are between medians, and
between the 25 % ends, which suffer less from whatever else the machine did.
";

const LIST_HEAD: &str = "| | | count | 25 % | median | 75 % | ratio | of 25 % | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

/// The whole page.
pub(crate) fn write(results: &[Results], chart: &str, sizes: &[Size], making: Option<&Making>) -> String {
    let mut page = String::from(HEAD);
    for Results { name, machine, .. } in results {
        let _ = writeln!(page, "- `{name}`: {machine}");
    }
    page.push_str(LEGEND);
    let _ = writeln!(page, "\n![Restart times]({chart})");
    goals(&mut page, results);
    for Results { figures, remarks, .. } in results {
        for table in figures.chunk_by(|one, next| one.table == next.table) {
            let _ = writeln!(page, "\n## {}\n", table[0].table);
            if table.iter().all(|figure| figure.summary.count == 1) {
                overview(&mut page, table);
            } else {
                list(&mut page, table);
            }
        }
        if !remarks.is_empty() {
            let _ = writeln!(
                page,
                "\n{}",
                remarks.iter().map(|remark| format!("- {remark}\n")).collect::<String>().trim_end()
            );
        }
    }
    binaries(&mut page, sizes, making);
    page
}

fn goals(page: &mut String, results: &[Results]) {
    page.push_str(
        "\n## Goals\n\nThose in milliseconds were set on a machine where the bare loop takes 0.80 ms for a restart.\n",
    );
    page.push_str("\n| goal | at most | measured | |\n| --- | --- | --- | --- |\n");
    for Goal { what, limit, place: (name, table, who, figure), by } in GOALS {
        let all = results.iter().filter(|results| results.name == name).flat_map(|results| &results.figures);
        let of_table = all.filter(|it| it.table.starts_with(table) && it.what.starts_with(figure));
        let find = |who: &str| of_table.clone().find(|it| it.who == who);
        let number = |it: &Figure| match by {
            By::Ratio => it.ratio.map(|ratio| ratio.median),
            By::RatioTo(other) => Some(it.summary.median / find(other)?.summary.median),
            By::Median | By::MedianOfMany => Some(it.summary.median),
        };
        let found = find(who).and_then(|it| Some((it, number(it)?)));
        let (measured, verdict) = found.map_or(("not measured".to_owned(), ""), |(it, number)| {
            let high = it.summary.high;
            let is_scattered = match by {
                By::Ratio => it.ratio.is_some_and(|ratio| ratio.is_noisy),
                By::Median => it.summary.is_noisy() && number <= limit && limit < high,
                By::RatioTo(other) => find(other).is_some_and(|it| it.summary.is_noisy()),
                By::MedianOfMany => false,
            };
            let verdict = if number <= limit { "reached" } else { "missed" };
            (plain(number), if is_scattered { "too scattered to tell" } else { verdict })
        });
        let _ = writeln!(page, "| {what} | {limit} | {measured} | {verdict} |");
    }
}

/// One row per figure.
fn list(page: &mut String, table: &[Figure]) {
    page.push_str(LIST_HEAD);
    for Figure { who, what, summary, ratio, note, .. } in table {
        let [low, median, high] = [summary.low, summary.median, summary.high].map(plain);
        let ratio = ratio.map_or(" |".to_owned(), |ratio| format!("{:.2} | {:.2}", ratio.median, ratio.low));
        let _ = writeln!(page, "| {who} | {what} | {} | {low} | {median} | {high} | {ratio} | {note} |", summary.count);
    }
}

/// One row per contender, one column per figure.
fn overview(page: &mut String, table: &[Figure]) {
    let distinct = |name: fn(&Figure) -> &String| {
        let mut names: Vec<&String> = Vec::new();
        for figure in table {
            if !names.contains(&name(figure)) {
                names.push(name(figure));
            }
        }
        names
    };
    let columns = distinct(|figure| &figure.what);
    let _ = writeln!(page, "| | {} |", columns.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" | "));
    let _ = writeln!(page, "| --- |{}", " --- |".repeat(columns.len()));
    for who in distinct(|figure| &figure.who) {
        let cell = |what: &&String| {
            let mut found = table.iter().filter(|figure| figure.who == *who && figure.what == ***what);
            found.next().map_or(String::new(), |figure| plain(figure.summary.median))
        };
        let _ = writeln!(page, "| {who} | {} |", columns.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
}

fn binaries(page: &mut String, sizes: &[Size], making: Option<&Making>) {
    page.push_str("\n## The binary\n\n| release binary | bytes |\n| --- | --- |\n");
    for Size { target, bytes } in sizes {
        let _ = writeln!(page, "| {target} | {bytes} |");
    }
    let Some(Making { secs, dependencies, crates }) = making else { return };
    let _ = writeln!(
        page,
        "\n`cargo build --release` from nothing: {} s. Crates of others, linked or used to build it: {dependencies}.",
        plain(*secs)
    );
    if !crates.is_empty() {
        page.push_str("\n| machine code of `cargo build --release`, by crate | bytes |\n| --- | --- |\n");
        for (name, bytes) in crates {
            let _ = writeln!(page, "| {name} | {bytes} |");
        }
    }
}

/// Three figures that mean something; whole numbers as they are.
pub(crate) fn plain(number: f64) -> String {
    let decimals = match number.abs() {
        size if size == size.trunc() || size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}
