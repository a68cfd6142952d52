//! Every key that a config file may hold: one row a key, and nothing else to keep in step.
//!
//! A row knows its key's kind and bounds, its default, what the documentation says, and where in [`Config`] the value
//! goes. The reader goes through the rows, [`Config::effective`] goes through them the other way, and the documentation
//! is made from them. What needs more than one key is not decided here.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checks;
use super::seconds;
use super::{Config, Host, PortConflict, SecretEntry};
use crate::error::hides_or_reorders;
use crate::policy::StatusRule;

/// The longest time that can be configured: 365 days. Far below where arithmetic on time could overflow.
pub const TIME_MAX: Duration = Duration::from_secs(365 * 86_400);
/// The smallest size of a log that may be asked for, in bytes.
pub const BYTES_MIN: u64 = 4096;
/// The largest one.
pub const BYTES_MAX: u64 = 1 << 40;

/// Where a row's value goes.
pub type Field<T> = fn(&mut Config) -> &mut T;
/// What a string must look like: the string, or the end of a sentence that starts with the key's name.
pub type Check = fn(&str) -> Result<String, String>;

/// What kind of value a key takes, and where it goes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string of a form that is checked.
    Text(Field<String>, Check),
    /// Such a string, or none.
    OptionalText(Field<Option<String>>, Check),
    /// An IPv4 or IPv6 address.
    Host(Field<Host>),
    /// A path: `~` expands, a relative one starts at the config file's directory.
    Path(Field<PathBuf>),
    /// Such a path, or none.
    OptionalPath(Field<Option<PathBuf>>),
    /// `"kill"` or `"wait"`.
    Conflict(Field<PortConflict>),
    /// `true` or `false`.
    Switch(Field<bool>),
    /// An integer from 1 to 65535.
    Port(Field<u16>),
    /// An integer from 1.
    Count {
        /// The largest value.
        max: u32,
        /// Where it goes.
        field: Field<u32>,
    },
    /// An integer of bytes between two bounds; 0: none.
    Bytes(Field<Option<u64>>),
    /// Seconds, whole or not, up to 365 days.
    Seconds {
        /// 0 for delays and graces, a millisecond for intervals and timeouts.
        min: Duration,
        /// Where they go.
        field: Field<Duration>,
    },
    /// Seconds, whole or not, up to 365 days; 0: never.
    Interval(Field<Option<Duration>>),
    /// An array of strings: a program and its arguments.
    Command(Field<Vec<String>>),
    /// An array of status codes.
    Statuses(Field<StatusRule>),
    /// A table of strings.
    Variables(Field<Vec<(String, String)>>),
    /// A table of secrets' names.
    Secrets(Field<Vec<SecretEntry>>),
    /// An array of variables that `[secrets]` holds.
    RequiredSecrets(Field<Vec<SecretEntry>>),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key; `launchd.label` for one inside a table.
    pub name: &'static str,
    /// The kind of its value, with bounds, and where it goes.
    pub kind: Kind,
    /// The default as TOML, or in words where it depends on others; "required" or "none" where there is none.
    pub default: &'static str,
    /// What it does, in a few words.
    pub text: &'static str,
    /// A value that is not the default, as TOML.
    pub example: &'static str,
}

impl Kind {
    /// What a value must be, as it reads after "must be".
    pub fn expected(self) -> String {
        match self {
            Self::Text(..) | Self::OptionalText(..) | Self::Host(_) => "a string".into(),
            Self::Path(_) | Self::OptionalPath(_) => "a path in quotes".into(),
            Self::Conflict(_) => "\"kill\" or \"wait\"".into(),
            Self::Switch(_) => "true or false".into(),
            Self::Port(_) => "an integer from 1 to 65535".into(),
            Self::Count { max, .. } => format!("an integer from 1 to {max}"),
            Self::Bytes(_) => format!("0 or an integer from {BYTES_MIN} to {BYTES_MAX}"),
            Self::Seconds { min, .. } => {
                format!("a number of seconds from {} to {}", seconds::show(min), seconds::show(TIME_MAX))
            }
            Self::Interval(_) => format!("a number of seconds from 0 to {}", seconds::show(TIME_MAX)),
            Self::Command(_) => "an array of strings, the program and its arguments".into(),
            Self::RequiredSecrets(_) => "an array of strings".into(),
            Self::Statuses(_) => "a non-empty array of status codes from 100 to 599".into(),
            Self::Variables(_) | Self::Secrets(_) => "a table of strings".into(),
        }
    }

    /// The value that counts as TOML, for a table its lines; `None` if there is none, which TOML can't say.
    fn render(self, config: &mut Config) -> Option<String> {
        Some(match self {
            Self::Text(field, _) => quoted(field(config)),
            Self::OptionalText(field, _) => quoted(field(config).as_deref()?),
            Self::Host(field) => quoted(&field(config).0.to_string()),
            Self::Path(field) => quoted_path(field(config)),
            Self::OptionalPath(field) => quoted_path(field(config).as_deref()?),
            Self::Conflict(field) => quoted(field(config).name()),
            Self::Switch(field) => field(config).to_string(),
            Self::Port(field) => field(config).to_string(),
            Self::Count { field, .. } => field(config).to_string(),
            Self::Bytes(field) => field(config).unwrap_or_default().to_string(),
            Self::Seconds { field, .. } => seconds::show(*field(config)),
            Self::Interval(field) => seconds::show(field(config).unwrap_or_default()),
            Self::Command(field) => array(field(config).iter()),
            Self::Statuses(field) => match field(config) {
                StatusRule::Below500 => return None,
                StatusRule::OneOf(statuses) => format!("{statuses:?}"),
            },
            Self::Variables(field) => lines(field(config).iter().map(|(variable, value)| (variable, value))),
            Self::Secrets(field) => lines(field(config).iter().map(|secret| (&secret.variable, &secret.name))),
            Self::RequiredSecrets(field) => {
                array(field(config).iter().filter(|secret| secret.required).map(|secret| &secret.variable))
            }
        })
    }
}

/// A key that is set, as it stands in a file: tables come last there.
enum Entry {
    Line(String),
    Table(String),
}

impl Kind {
    fn entry(self, name: &str, value: &str) -> Entry {
        match (self, name.split_once('.')) {
            (Self::Variables(_) | Self::Secrets(_), _) => Entry::Table(format!("[{name}]\n{value}")),
            (_, Some((table, key))) => Entry::Table(format!("[{table}]\n{key} = {value}\n")),
            (_, None) => Entry::Line(format!("{name} = {value}\n")),
        }
    }
}

impl Key {
    const fn says(self, text: &'static str, example: &'static str) -> Self {
        Self { text, example, ..self }
    }
}

impl Config {
    /// Every key with its effective value, as TOML. What comes out means the same when it is read again, wherever it is
    /// put. Secrets are shown by name; their values never enter a config.
    pub fn effective(&self) -> String {
        let mut config = self.clone();
        // Tables come last: whatever follows a table's header belongs to it.
        let (mut page, mut tables) = (String::new(), String::new());
        for Key { name, kind, .. } in KEYS {
            let Some(value) = kind.render(&mut config) else { continue };
            match kind.entry(name, &value) {
                Entry::Line(line) => page += &line,
                Entry::Table(table) => tables.extend(["\n", &table]),
            }
        }
        page + &tables
    }

    /// What a key is set to, as TOML; of variables their names alone.
    pub(crate) fn shown(&self, key: &str) -> String {
        let row = KEYS.iter().find(|row| row.name == key);
        let value = row.and_then(|row| match row.kind {
            Kind::Variables(_) => Some(self.env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")),
            kind => kind.render(&mut self.clone()),
        });
        value.unwrap_or_default()
    }

    /// A config file that sets some keys, each with its text and why it is set, and shows examples of others.
    pub(crate) fn commented(&self, said: &[(&'static str, String)], suggested: &[&str]) -> String {
        let mut config = self.clone();
        let (mut page, mut tables) = (String::new(), String::new());
        for Key { name, kind, text, example, .. } in KEYS {
            let why = said.iter().find(|(key, _)| key == name).map(|(_, why)| why);
            match (why, kind.render(&mut config)) {
                (Some(why), Some(value)) => {
                    let (part, entry) = match kind.entry(name, &value) {
                        Entry::Line(line) => (&mut page, line),
                        Entry::Table(table) => (&mut tables, table),
                    };
                    *part += &format!("# {text}\n# ({why})\n{entry}\n");
                }
                _ if suggested.contains(name) => page += &format!("# {text}\n# {name} = {example}\n\n"),
                _ => {}
            }
        }
        (page + &tables).trim_end().to_owned() + "\n"
    }
}

fn array<'a>(words: impl Iterator<Item = &'a String>) -> String {
    format!("[{}]", words.map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
}

fn lines<'a>(entries: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    entries.map(|(variable, value)| format!("{} = {}\n", quoted(variable), quoted(value))).collect()
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing into a String can't fail.
            _ if hides_or_reorders(character) => drop(write!(quoted, "\\U{:08x}", u32::from(character))),
            _ if character.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

const fn key(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key { name, kind, default, text: "", example: "" }
}

/// For intervals and timeouts, which can't be 0.
const fn time(field: Field<Duration>) -> Kind {
    Kind::Seconds { min: Duration::from_millis(1), field }
}

/// For delays and graces.
const fn delay(field: Field<Duration>) -> Kind {
    Kind::Seconds { min: Duration::ZERO, field }
}

/// All keys, in the order in which they are read, shown and documented.
pub const KEYS: &[Key] = &[
    key("name", Kind::Text(|c| &mut c.name, checks::name), "the config file's stem")
        .says("names state, logs and launchd job: letters, digits, . _ -", r#""system-bus""#),
    key("command", Kind::Command(|c| &mut c.command), "required")
        .says("the program and its arguments", r#"["bun", "run", "src/serve.ts"]"#),
    key("port", Kind::Port(|c| &mut c.port), "required").says("where the worker listens", "3111"),
    key("worker_dir", Kind::Path(|c| &mut c.worker_dir), "the config file's directory")
        .says("where the worker runs", r#""~/code/worker""#),
    key("host", Kind::Host(|c| &mut c.host), "\"127.0.0.1\"").says("the probed IPv4 or IPv6 address", r#""::1""#),
    key("host_header", Kind::Text(|c| &mut c.host_header, checks::host_header), "HOST:PORT")
        .says("the Host header that the worker sees", r#""worker.example:3111""#),
    key("health_endpoint", Kind::Text(|c| &mut c.health_endpoint, checks::endpoint), "\"/\"")
        .says("the path that is probed", r#""/api/inngest""#),
    key("sync_endpoint", Kind::OptionalText(|c| &mut c.sync_endpoint, checks::endpoint), "none")
        .says("the path that registers the worker by PUT", r#""/api/inngest""#),
    key("health_status", Kind::Statuses(|c| &mut c.health_status), "any below 500")
        .says("the status codes that are healthy", "[200, 401]"),
    key("health_interval_secs", time(|c| &mut c.health_interval), "30").says("from one probe to the next", "10"),
    key("health_timeout_secs", time(|c| &mut c.health_timeout), "5").says("for a whole probe", "2.5"),
    key(
        "health_failures_before_restart",
        Kind::Count { max: 1000, field: |c| &mut c.health_failures_before_restart },
        "3",
    )
    .says("failed probes in a row that end a worker", "5"),
    key("startup_timeout_secs", time(|c| &mut c.startup_timeout), "60")
        .says("from spawn to the first healthy answer", "120"),
    key("stable_secs", delay(|c| &mut c.stable), "10")
        .says("a healthy worker up this long restarts without delay", "60"),
    key("restart_backoff_min_secs", delay(|c| &mut c.restart_backoff_min), "1")
        .says("the first delay after a failed start", "0.5"),
    key("restart_backoff_max_secs", delay(|c| &mut c.restart_backoff_max), "30").says("the longest delay", "60"),
    key("sync_interval_secs", Kind::Interval(|c| &mut c.sync_interval), "300")
        .says("from one sync to the next; 0: only after a start", "0"),
    key("drain_timeout_secs", delay(|c| &mut c.drain_timeout), "5")
        .says("what a worker gets to finish its requests", "30"),
    key("stop_group", Kind::Switch(|c| &mut c.stop_group), "false")
        .says("a stop signals all of the worker's session", "true"),
    key("end_detached", Kind::Switch(|c| &mut c.end_detached), "false")
        .says("what the worker put into a session of its own ends with it", "true"),
    key("port_conflict", Kind::Conflict(|c| &mut c.port_conflict), "\"kill\"")
        .says("what to do about a stranger on the port", r#""wait""#),
    key("port_grace_secs", delay(|c| &mut c.port_grace), "2")
        .says("from SIGTERM to SIGKILL for a stranger on the port", "0.5"),
    key("log_stdout", Kind::Path(|c| &mut c.log_stdout), "~/.local/log/NAME.log")
        .says("the worker's standard output", r#""~/logs/worker.log""#),
    key("log_stderr", Kind::Path(|c| &mut c.log_stderr), "~/.local/log/NAME.err")
        .says("the worker's standard error; may be the same file", r#""~/logs/worker.log""#),
    key("log_max_bytes", Kind::Bytes(|c| &mut c.log_bytes_max), "10485760")
        .says("size from which a log is rotated; 0: never", "0"),
    key("log_keep", Kind::Count { max: 100, field: |c| &mut c.log_keep }, "3")
        .says("how many rotated files are kept", "7"),
    key("env_file", Kind::OptionalPath(|c| &mut c.env_file), "none")
        .says("variables for the worker in dotenv form, read at each start", r#""~/.config/worker.env""#),
    key("env", Kind::Variables(|c| &mut c.env), "none").says("variables for the worker", r#"{ PORT = "3112" }"#),
    key("secrets", Kind::Secrets(|c| &mut c.secrets), "none").says(
        "variables for the worker whose values are secrets: VARIABLE = \"name\"",
        r#"{ API_TOKEN = "api_token" }"#,
    ),
    key("required_secrets", Kind::RequiredSecrets(|c| &mut c.secrets), "none")
        .says("variables of [secrets] without which the worker may not start", r#"["API_TOKEN"]"#),
    key(
        "secrets_command",
        Kind::Command(|c| &mut c.secrets_command),
        r#"["secrets", "lease", "{name}", "--ttl", "24h"]"#,
    )
    .says("prints the secret {name}", r#"["op", "read", "op://work/{name}/token"]"#),
    key("secrets_timeout_secs", time(|c| &mut c.secrets_timeout), "10")
        .says("for all secrets of one start together", "30"),
    key("secrets_max_age_secs", delay(|c| &mut c.secrets_max_age), "43200")
        .says("how long a value is used without asking again", "3600"),
    key("on_event", Kind::Command(|c| &mut c.on_event), "none")
        .says("runs at each event, {event} being its name", r#"["~/bin/notify", "{event}"]"#),
    key("state_dir", Kind::Path(|c| &mut c.state_dir), "~/.local/state/worker-supervisor")
        .says("holds lock, worker record and status", r#""~/.worker-state""#),
    key("launchd.label", Kind::Text(|c| &mut c.launchd_label, checks::label), "worker-supervisor.NAME")
        .says("the launchd job's label", r#""com.example.worker""#),
];

/// Keys of earlier versions, and what to do about each.
pub(super) const REPLACED: &[(&str, &str)] = &[
    (
        "startup_sync_delay_secs",
        "is gone; delete it: the worker is probed from its start and synced at its first healthy answer",
    ),
    ("http_timeout_secs", "was renamed; write health_timeout_secs"),
];

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
    fn names_are_unique_and_no_replaced_key_is_among_them() {
        for (index, row) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|earlier| earlier.name != row.name), "{}", row.name);
            assert!(REPLACED.iter().all(|(name, _)| *name != row.name), "{}", row.name);
        }
    }
}
