//! From TOML to checked values, key by key, collecting every problem instead of stopping at the first.
//!
//! A [`Reader`] hands out values of the type that the table of keys promises. Where a value is missing the key's
//! default takes its place; where it is wrong a problem is noted and the default takes its place too, so that the rest
//! can still be checked. Whoever uses a reader asks for its problems in the end. It knows no file and no meaning of any
//! key.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::position;
use super::keys::{KEYS, KeyDoc, Kind, REPLACED, TIME_MAX, nearest, row};
use super::seconds;
use super::{Problem, SHOWN_BYTES_MAX};
use crate::error::escape;

/// How many problems are looked at. Whoever has more will mend these first.
const PROBLEMS_MAX: usize = 100;

/// A value with the offset of its first byte in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) offset: usize,
}

/// Typed access to a parsed config file.
pub(super) struct Reader<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    /// By place.
    problems: Vec<Placed<String>>,
}

impl<'a> Reader<'a> {
    /// A reader over a parsed file; unknown keys are noted at once.
    pub(super) fn new(text: &'a str, table: &'a DeTable<'a>) -> Self {
        let mut reader = Self { text, table, problems: Vec::new() };
        for (key, value) in table {
            reader.note_unknown(None, key);
            if key.get_ref() == "launchd" {
                reader.note_unknown_inside("launchd", value);
            }
        }
        reader
    }

    /// Notes a problem at a place in the file; after [`PROBLEMS_MAX`] no more.
    pub(super) fn note(&mut self, offset: usize, message: String) {
        if !self.is_full() {
            let after = self.problems.partition_point(|earlier| earlier.offset <= offset);
            self.problems.insert(after, Placed { value: message, offset });
        }
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// All problems, by place.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let text = self.text.as_bytes();
        self.problems.into_iter().map(|problem| problem_at(text, problem.offset, problem.value)).collect()
    }

    /// Where a key's value stands; the start of the file if it stands nowhere.
    pub(super) fn offset(&self, name: &str) -> usize {
        self.find(name).map_or(0, |value| value.span().start)
    }

    /// Whether a problem is noted at this very place.
    pub(super) fn has_problem_at(&self, offset: usize) -> bool {
        offset > 0 && self.problems.iter().any(|problem| problem.offset == offset)
    }

    /// Whether a key is in the file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Notes a missing key.
    pub(super) fn require(&mut self, name: &str, example: &str) {
        if !self.has(name) {
            self.note(0, format!("{name} is missing; add a line such as `{example}`"));
        }
    }

    /// A string; `None` if there is none.
    pub(super) fn text(&mut self, name: &str) -> Option<Placed<&'a str>> {
        let value = self.find(name)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Placed { value: text.as_ref(), offset: value.span().start }),
            _ => self.mistyped(row(name), value),
        }
    }

    /// The index of a choice; `None` if none was made.
    pub(super) fn choice(&mut self, name: &str) -> Option<usize> {
        let (row, value) = (row(name), self.find(name)?);
        let Kind::Choice(choices) = row.kind else { return None };
        let chosen = value.get_ref().as_str().and_then(|text| choices.iter().position(|choice| *choice == text));
        chosen.or_else(|| self.mistyped(row, value))
    }

    /// A switch, off by default.
    pub(super) fn switch(&mut self, name: &str) -> bool {
        let Some(value) = self.find(name) else { return false };
        value.get_ref().as_bool().or_else(|| self.mistyped(row(name), value)).unwrap_or(false)
    }

    /// A time between its bounds.
    pub(super) fn seconds(&mut self, name: &str) -> Duration {
        let row = row(name);
        let is_inside = |time: &Duration| matches!(row.kind, Kind::Seconds { min } if (min..=TIME_MAX).contains(time));
        let typed = self.find(name).and_then(|value| {
            let time = time_of(value.get_ref()).filter(is_inside);
            time.or_else(|| self.mistyped(row, value))
        });
        typed.or_else(|| seconds::parse(row.default)).unwrap_or_default()
    }

    /// An integer between its bounds.
    pub(super) fn count(&mut self, name: &str) -> u64 {
        let row = row(name);
        let is_inside = |count: &u64| match row.kind {
            Kind::Count { min, max } => (min..=max).contains(count),
            Kind::Bytes { min, max } => *count == 0 || (min..=max).contains(count),
            _ => false,
        };
        let typed = self.find(name).and_then(|value| {
            let count = count_of(value.get_ref()).filter(is_inside);
            count.or_else(|| self.mistyped(row, value))
        });
        typed.or_else(|| row.default.parse().ok()).unwrap_or_default()
    }

    /// The strings of an array; `None` if there is none or if anything in it is no string.
    pub(super) fn strings(&mut self, name: &str) -> Option<Vec<Placed<&'a str>>> {
        let (row, value) = (row(name), self.find(name)?);
        let Some(array) = value.get_ref().as_array() else { return self.mistyped(row, value) };
        let mut strings = Vec::with_capacity(array.len());
        for element in array.iter() {
            match element.get_ref() {
                DeValue::String(text) => strings.push(Placed { value: text.as_ref(), offset: element.span().start }),
                _ => self.mistyped(row, element)?,
            }
        }
        Some(strings)
    }

    /// Status codes; `None` if there are none or if anything is no such code.
    pub(super) fn statuses(&mut self, name: &str) -> Option<Vec<u16>> {
        let (row, value) = (row(name), self.find(name)?);
        let Some(array) = value.get_ref().as_array() else { return self.mistyped(row, value) };
        let mut statuses = Vec::with_capacity(array.len());
        for element in array.iter() {
            match count_of(element.get_ref()).filter(|code| (100..600).contains(code)) {
                Some(code) => statuses.push(code as u16),
                None => self.mistyped(row, element)?,
            }
        }
        if statuses.is_empty() { self.mistyped(row, value) } else { Some(statuses) }
    }

    /// The entries of a table of strings, sorted by key; each key and value with its place.
    pub(super) fn variables(&mut self, name: &str) -> Vec<(Placed<&'a str>, Placed<&'a str>)> {
        let Some(value) = self.find(name) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            return self.mistyped(row(name), value).unwrap_or_default();
        };
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let key = Placed { value: key.get_ref().as_ref(), offset: key.span().start };
            match value.get_ref() {
                DeValue::String(text) => {
                    entries.push((key, Placed { value: text.as_ref(), offset: value.span().start }));
                }
                other => self.note_no_variable(name, key.value, other, value.span().start),
            }
        }
        entries
    }

    fn find(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        match name.split_once('.') {
            None => self.table.get(name),
            Some((table, name)) => self.table.get(table)?.get_ref().as_table()?.get(name),
        }
    }

    fn note_unknown_inside(&mut self, name: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref().as_table() {
            Some(table) => table.keys().for_each(|key| self.note_unknown(Some(name), key)),
            None => {
                let found = describe(value.get_ref());
                self.note(value.span().start, format!("{name} must be a table, not {found}; write [{name}]"));
            }
        }
    }

    fn note_unknown(&mut self, table: Option<&str>, key: &Spanned<toml::de::DeString<'_>>) {
        let typed = key.get_ref().as_ref();
        let prefix = table.map(|table| format!("{table}.")).unwrap_or_default();
        let full = format!("{prefix}{typed}");
        let is_known = KEYS.iter().any(|row| match table {
            None => row.name.split('.').next() == Some(typed),
            Some(_) => row.name == full,
        });
        if is_known || self.is_full() {
            return;
        }
        let shown = escape(&full, SHOWN_BYTES_MAX);
        let message = if let Some((_, advice)) = REPLACED.iter().find(|(name, _)| *name == full) {
            format!("{shown} {advice}")
        } else if table.is_some() && KEYS.iter().any(|row| row.name == typed) {
            format!("unknown key {shown}; {typed} belongs above the first [table] of the file")
        } else if let Some(name) = nearest(&full, KEYS.iter().map(|row| row.name)) {
            format!("unknown key {shown}; did you mean {name}?")
        } else {
            format!("unknown key {shown}; delete it (the documentation lists all keys)")
        };
        self.note(key.span().start, message);
    }

    fn note_no_variable(&mut self, table: &str, key: &str, found: &DeValue<'_>, offset: usize) {
        let advice = match found {
            _ if KEYS.iter().any(|row| row.name == key) => format!("if it is the key {key}, move it above [{table}]"),
            DeValue::Table(_) | DeValue::Array(_) => "write VARIABLE = \"text\"".to_string(),
            _ => "put it in quotes".to_string(),
        };
        let key = escape(key, SHOWN_BYTES_MAX);
        self.note(offset, format!("{table}.{key} must be a string, not {}; {advice}", describe(found)));
    }

    /// Notes that a value is not what its key takes. Always `None`, to be used as "no value".
    fn mistyped<T>(&mut self, row: &KeyDoc, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let found = value.get_ref();
        let mut message = format!("{} must be {}, not {}", row.name, row.kind.expected(), describe(found));
        if let Some(advice) = advice(row.kind, found) {
            message.push_str("; ");
            message.push_str(advice);
        }
        self.note(value.span().start, message);
        None
    }
}

/// A problem at a byte of the file.
pub(super) fn problem_at(text: &[u8], offset: usize, message: String) -> Problem {
    let (line, column) = position(text, offset);
    Problem { line, column, message }
}

/// A non-negative integer. What does not even fit is outside every bound.
fn count_of(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn time_of(value: &DeValue<'_>) -> Option<Duration> {
    match value.as_float() {
        Some(float) => seconds::parse(float.as_str()),
        None => count_of(value).map(Duration::from_secs),
    }
}

/// A wrong value as it reads after "not".
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{}\"", escape(text.as_ref(), SHOWN_BYTES_MAX)),
        DeValue::Integer(integer) => escape(integer.to_string(), SHOWN_BYTES_MAX),
        DeValue::Float(float) => escape(float.as_str(), SHOWN_BYTES_MAX),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(_) => "a date or time".into(),
        DeValue::Array(array) if array.is_empty() => "an empty array".into(),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// What to do about a value of the wrong type, where the type alone does not say it.
fn advice(kind: Kind, found: &DeValue<'_>) -> Option<&'static str> {
    let text = found.as_str()?;
    match kind {
        Kind::Count { .. } | Kind::Bytes { .. } | Kind::Seconds { .. } => {
            seconds::parse(text).map(|_| "write it without quotes")
        }
        Kind::Switch => matches!(text, "true" | "false").then_some("write it without quotes"),
        Kind::Command => Some("write [\"program\", \"argument\"]"),
        Kind::Names | Kind::Statuses => Some("put it in brackets"),
        Kind::Text | Kind::Path | Kind::Choice(_) | Kind::Variables => None,
    }
}
