//! A configuration as TOML text, key by key: what a test doesn't set has a value that suits tests.
//! Values are TOML as written by the test (`"0.5"`, `"[200]"`, `quoted(path)`), so that invalid ones can be tried too.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result as Formatted, Write};

/// Short times, so that a test ends soon, yet long enough for a busy machine of two cores.
const SUITABLE: [(&str, &str); 6] = [
    ("health_interval_secs", "0.1"),
    ("health_timeout_secs", "2"),
    ("restart_backoff_min_secs", "0.1"),
    ("restart_backoff_max_secs", "0.8"),
    ("drain_timeout_secs", "3"),
    ("port_grace_secs", "1"),
];

/// The keys of the file, and its tables.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    keys: BTreeMap<String, String>,
    tables: BTreeMap<String, BTreeMap<String, String>>,
}

impl Config {
    /// A configuration with suitable times and nothing else.
    pub(crate) fn new() -> Self {
        let keys = SUITABLE.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { keys, tables: BTreeMap::new() }
    }

    /// Sets a key to a TOML value.
    pub(crate) fn set(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.keys.insert(key.to_owned(), value.to_string());
        self
    }

    /// Removes a key, so that the program's own default holds.
    pub(crate) fn unset(&mut self, key: &str) -> &mut Self {
        self.keys.remove(key);
        self
    }

    /// Sets a key of a table (`env`, `secrets`, `launchd`) to a string.
    pub(crate) fn set_in(&mut self, table: &str, key: &str, text: &str) -> &mut Self {
        self.tables.entry(table.to_owned()).or_default().insert(key.to_owned(), quoted(text));
        self
    }

    /// Sets `command`.
    pub(crate) fn command<T: AsRef<str>>(&mut self, words: &[T]) -> &mut Self {
        let words: Vec<String> = words.iter().map(|word| quoted(word.as_ref())).collect();
        self.set("command", format!("[{}]", words.join(", ")))
    }
}

impl Display for Config {
    fn fmt(&self, out: &mut Formatter<'_>) -> Formatted {
        self.keys.iter().try_for_each(|(key, value)| writeln!(out, "{key} = {value}"))?;
        self.tables.iter().try_for_each(|(table, keys)| {
            writeln!(out, "[{table}]")?;
            keys.iter().try_for_each(|(key, value)| writeln!(out, "{key} = {value}"))
        })
    }
}

/// Text, or a path's text, as a TOML string.
pub(crate) fn quoted(text: impl AsRef<std::ffi::OsStr>) -> String {
    let text = text.as_ref().to_str().expect("text in a configuration is UTF-8");
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                write!(quoted, "\\u{:04x}", u32::from(control)).expect("a string takes text");
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
