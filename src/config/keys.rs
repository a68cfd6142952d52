//! Every key that a config file may hold, as data.
//!
//! The table is the one place that knows a key's type, bounds and default: the reader checks values against it,
//! messages quote it, unknown keys are compared with it, and documentation is tested against it. What a value means
//! lies elsewhere.

use std::time::Duration;

use super::seconds;

/// The longest time that can be configured: 365 days. Far below where arithmetic on time could overflow.
pub const TIME_MAX: Duration = Duration::from_secs(365 * 86_400);

/// The shortest time where zero would make no sense.
pub const TIME_MIN: Duration = Duration::from_millis(1);

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string of a form that the summary describes.
    Text,
    /// A path: `~` expands, a relative one starts at the config file's directory.
    Path,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Switch,
    /// An integer between two bounds, both included.
    Count {
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
    },
    /// An integer of bytes: 0, or between two bounds, both included.
    Bytes {
        /// The smallest value but 0.
        min: u64,
        /// The largest value.
        max: u64,
    },
    /// Seconds, whole or not, from this minimum to [`TIME_MAX`].
    Seconds {
        /// 0 for delays and graces, [`TIME_MIN`] for intervals and timeouts.
        min: Duration,
    },
    /// An array of strings: a program and its arguments.
    Command,
    /// An array of strings.
    Names,
    /// An array of status codes.
    Statuses,
    /// A table of strings.
    Variables,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct KeyDoc {
    /// The key; `launchd.label` for one inside a table.
    pub name: &'static str,
    /// The kind of its value, with bounds.
    pub kind: Kind,
    /// The default as TOML, or in words where it depends on others; "required" or "none" where there is none.
    pub default: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
}

impl Kind {
    /// What a value must be, as it reads after "must be".
    pub fn expected(self) -> String {
        match self {
            Self::Text => "a string".into(),
            Self::Path => "a path in quotes".into(),
            Self::Choice(choices) => {
                let quoted: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
                quoted.join(" or ")
            }
            Self::Switch => "true or false".into(),
            Self::Count { min, max } => format!("an integer from {min} to {max}"),
            Self::Bytes { min, max } => format!("0 or an integer from {min} to {max}"),
            Self::Seconds { min } => {
                format!("a number of seconds from {} to {}", seconds::show(min), seconds::show(TIME_MAX))
            }
            Self::Command => "an array of strings, the program and its arguments".into(),
            Self::Names => "an array of strings".into(),
            Self::Statuses => "a non-empty array of status codes from 100 to 599".into(),
            Self::Variables => "a table of strings".into(),
        }
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, summary: &'static str) -> KeyDoc {
    KeyDoc { name, kind, default, summary }
}

/// For intervals and timeouts.
const TIME: Kind = Kind::Seconds { min: TIME_MIN };
/// For delays and graces.
const TIME_OR_ZERO: Kind = Kind::Seconds { min: Duration::ZERO };

/// All keys, in the order in which documentation lists them.
pub const KEYS: &[KeyDoc] = &[
    key("command", Kind::Command, "required", "the program and its arguments"),
    key("port", Kind::Count { min: 1, max: 65_535 }, "required", "where the worker listens"),
    key("name", Kind::Text, "the config file's stem", "names state, logs and launchd job: letters, digits, . _ -"),
    key("worker_dir", Kind::Path, "the config file's directory", "where the worker runs"),
    key("host", Kind::Text, "\"127.0.0.1\"", "the probed IPv4 or IPv6 address"),
    key("host_header", Kind::Text, "HOST:PORT", "the Host header that the worker sees"),
    key("health_endpoint", Kind::Text, "\"/\"", "the path that is probed"),
    key("sync_endpoint", Kind::Text, "none", "the path that registers the worker by PUT"),
    key("health_status", Kind::Statuses, "any below 500", "the status codes that are healthy"),
    key("health_interval_secs", TIME, "30", "from one probe to the next"),
    key("health_timeout_secs", TIME, "5", "for a whole probe"),
    key(
        "health_failures_before_restart",
        Kind::Count { min: 1, max: 1000 },
        "3",
        "failed probes in a row that end a worker",
    ),
    key("startup_timeout_secs", TIME, "60", "from spawn to the first healthy answer"),
    key("stable_secs", TIME_OR_ZERO, "10", "a healthy worker up this long restarts without delay"),
    key("restart_backoff_min_secs", TIME_OR_ZERO, "1", "the first delay after a failed start"),
    key("restart_backoff_max_secs", TIME_OR_ZERO, "30", "the longest delay"),
    key("sync_interval_secs", TIME_OR_ZERO, "300", "from one sync to the next; 0: only after a start"),
    key("drain_timeout_secs", TIME_OR_ZERO, "5", "what a worker gets to finish its requests"),
    key("stop_group", Kind::Switch, "false", "a stop signals the worker's whole process group"),
    key("port_conflict", Kind::Choice(&["kill", "wait"]), "\"kill\"", "what to do about a stranger on the port"),
    key("port_grace_secs", TIME_OR_ZERO, "2", "from SIGTERM to SIGKILL for a stranger on the port"),
    key("log_stdout", Kind::Path, "~/.local/log/NAME.log", "the worker's standard output"),
    key("log_stderr", Kind::Path, "~/.local/log/NAME.err", "the worker's standard error; may be the same file"),
    key(
        "log_max_bytes",
        Kind::Bytes { min: 4096, max: 1 << 40 },
        "10485760",
        "size from which a log is rotated; 0: never",
    ),
    key("log_keep", Kind::Count { min: 1, max: 100 }, "3", "how many rotated files are kept"),
    key("env_file", Kind::Path, "none", "variables for the worker in dotenv form, read at each start"),
    key("env", Kind::Variables, "none", "variables for the worker"),
    key("secrets", Kind::Variables, "none", "variables for the worker whose values are secrets: VARIABLE = \"name\""),
    key("required_secrets", Kind::Names, "none", "variables of [secrets] without which the worker may not start"),
    key(
        "secrets_command",
        Kind::Command,
        "[\"secrets\", \"lease\", \"{name}\", \"--ttl\", \"24h\"]",
        "prints the secret {name}",
    ),
    key("secrets_timeout_secs", TIME, "10", "for all secrets of one start together"),
    key("secrets_max_age_secs", TIME_OR_ZERO, "43200", "how long a value is used without asking again"),
    key("on_event", Kind::Command, "none", "runs at each event, {event} being its name"),
    key("state_dir", Kind::Path, "~/.local/state/worker-supervisor", "holds lock, worker record and status"),
    key("launchd.label", Kind::Text, "worker-supervisor.NAME", "the launchd job's label"),
];

/// Keys of earlier versions, and what to do about each.
pub(super) const REPLACED: &[(&str, &str)] = &[
    (
        "startup_sync_delay_secs",
        "is gone; delete it: the worker is probed from its start and synced at its first healthy answer",
    ),
    ("http_timeout_secs", "was renamed; write health_timeout_secs"),
];

/// The row of a key that the code reads.
pub(super) fn row(name: &str) -> &'static KeyDoc {
    KEYS.iter().find(|row| row.name == name).expect("every key that is read has a row")
}

/// The candidate that `typed` was most likely meant to be, if any is near.
pub(super) fn nearest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (1 + typed.len() / 3).min(5);
    let near = candidates.map(|candidate| (distance(typed, candidate), candidate));
    near.filter(|(edits, _)| *edits <= limit).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// How many bytes must be inserted, deleted or replaced to turn one into the other, ignoring case and `-` for `_`.
fn distance(from: &str, to: &str) -> usize {
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (a == b'-' && b == b'_');
    // `costs[j]` is the distance between the part of `from` seen so far and the first j bytes of `to`.
    let mut costs: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.bytes().enumerate() {
        let mut diagonal = row;
        costs[0] = row + 1;
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(!same(a, b));
            diagonal = costs[column + 1];
            costs[column + 1] = replaced.min(diagonal + 1).min(costs[column] + 1);
        }
    }
    costs[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        let names = || KEYS.iter().map(|row| row.name);
        for (typed, meant) in [
            ("prot", "port"),
            ("comand", "command"),
            ("health-endpoint", "health_endpoint"),
            ("HOST", "host"),
            ("health_interval", "health_interval_secs"),
            ("restart_backof_max_secs", "restart_backoff_max_secs"),
            ("logstdout", "log_stdout"),
        ] {
            assert_eq!(nearest(typed, names()), Some(meant), "{typed}");
        }
        assert_eq!(nearest("zzzzzz", names()), None);
        assert_eq!(nearest("", names()), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("a-b", "A_b"), 0);
    }

    #[test]
    fn every_number_has_a_default_inside_its_bounds() {
        for row in KEYS.iter().filter(|row| row.default != "required") {
            let is_inside = match row.kind {
                Kind::Count { min, max } | Kind::Bytes { min, max } => {
                    row.default.parse().is_ok_and(|default| (min..=max).contains(&default))
                }
                Kind::Seconds { min } => {
                    seconds::parse(row.default).is_some_and(|default| (min..=TIME_MAX).contains(&default))
                }
                _ => true,
            };
            assert!(is_inside, "{}", row.name);
        }
    }

    #[test]
    fn names_are_unique_and_no_replaced_key_is_among_them() {
        for (index, row) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|earlier| earlier.name != row.name), "{}", row.name);
            assert!(REPLACED.iter().all(|(name, _)| *name != row.name), "{}", row.name);
        }
    }
}
