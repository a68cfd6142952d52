//! From TOML to checked values, row by row, collecting every problem instead of stopping at the first.
//!
//! A [`Reader`] goes through the table of keys and puts each value where its row says. Where one is missing or wrong
//! the default stands; what is wrong is noted, so that the rest can still be checked. Whoever uses a reader asks for
//! its problems in the end. It knows what one key may say; what needs more than one is not decided here.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::checks::{self, Roots};
use super::file::position;
use super::keys::{BYTES_MAX, BYTES_MIN, KEYS, Key, Kind, REPLACED, TIME_MAX, nearest};
use super::seconds;
use super::{Config, PortConflict, Problem, SecretEntry};
use crate::error::{SHOWN_BYTES_MAX, escape};
use crate::policy::StatusRule;

/// How many problems are looked at. Whoever has more will mend these first.
const PROBLEMS_MAX: usize = 100;

/// A value that knows its place.
type Value<'a> = Spanned<DeValue<'a>>;

/// A parsed config file, and what is wrong with it.
pub(super) struct Reader<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    roots: Roots<'a>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader over a parsed file; unknown keys are noted at once.
    pub(super) fn new(text: &'a str, table: &'a DeTable<'a>, roots: Roots<'a>) -> Self {
        let mut reader = Self { text, table, roots, problems: Vec::new() };
        for (key, value) in table {
            reader.note_unknown(None, key);
            if key.get_ref() == "launchd" {
                reader.note_unknown_inside("launchd", value);
            }
        }
        reader
    }

    /// Puts every key's value, or else its default, where its row says.
    pub(super) fn read_all(&mut self, config: &mut Config) {
        for row in KEYS {
            let found = self.find(row.name);
            if found.is_some_and(|value| self.read(row, value, config).is_some()) {
                continue;
            }
            let noted = self.problems.len();
            if let Some(value) = default_value(row.default, &config.name) {
                self.read(row, &value, config);
            }
            if found.is_some() {
                // Whatever the default lacks, HOME that is, is no matter now.
                self.problems.truncate(noted);
            } else if row.default == "required" {
                self.note(0, format!("{} is missing; add a line such as `{0} = {}`", row.name, row.example));
            }
        }
    }

    /// Notes a problem at a place in the file; after [`PROBLEMS_MAX`] no more.
    pub(super) fn note(&mut self, offset: usize, message: String) {
        if !self.is_full() {
            self.problems.push(problem_at(self.text.as_bytes(), offset, message));
        }
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// All problems, by place.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    /// Where a key's value stands; `None` if it stands nowhere.
    pub(super) fn offset(&self, name: &str) -> Option<usize> {
        Some(self.find(name)?.span().start)
    }

    /// Whether a problem is noted at this very place.
    pub(super) fn has_problem_at(&self, offset: usize) -> bool {
        let place = position(self.text.as_bytes(), offset);
        self.problems.iter().any(|problem| (problem.line, problem.column) == place)
    }

    /// Puts a value where its row says. `None`: it is wrong, which is noted, and nothing was changed.
    fn read(&mut self, row: &Key, value: &Value<'_>, config: &mut Config) -> Option<()> {
        let (toml, roots) = (value.get_ref(), self.roots);
        match row.kind {
            Kind::Text(field, check) => *field(config) = self.text(row, value, check)?,
            Kind::OptionalText(field, check) => *field(config) = Some(self.text(row, value, check)?),
            Kind::Host(field) => *field(config) = self.text(row, value, str::parse)?,
            Kind::Path(field) => *field(config) = self.text(row, value, |text| roots.path(text))?,
            Kind::OptionalPath(field) => *field(config) = Some(self.text(row, value, |text| roots.path(text))?),
            Kind::Conflict(field) => {
                let all = [PortConflict::Kill, PortConflict::Wait];
                let meant = all.into_iter().find(|conflict| toml.as_str() == Some(conflict.name()));
                *field(config) = self.typed(row, value, meant)?;
            }
            Kind::Switch(field) => *field(config) = self.typed(row, value, toml.as_bool())?,
            Kind::Port(field) => *field(config) = self.count(row, value, 1, u16::MAX.into())? as u16,
            Kind::Count { max, field } => *field(config) = self.count(row, value, 1, max.into())? as u32,
            Kind::Bytes(field) if count_of(toml) == Some(0) => *field(config) = None,
            Kind::Bytes(field) => *field(config) = Some(self.count(row, value, BYTES_MIN, BYTES_MAX)?),
            Kind::Seconds { min, field } => *field(config) = self.time(row, value, min)?,
            Kind::Interval(field) => {
                *field(config) = Some(self.time(row, value, Duration::ZERO)?).filter(|time| !time.is_zero());
            }
            Kind::Statuses(field) => *field(config) = StatusRule::OneOf(self.statuses(row, value)?),
            Kind::Command(field) => *field(config) = self.command(row, value)?,
            Kind::Variables(field) => *field(config) = self.variables(row, value)?,
            Kind::Secrets(field) => {
                let entry = |(variable, name)| SecretEntry { variable, name, required: false };
                *field(config) = self.variables(row, value)?.into_iter().map(entry).collect();
            }
            Kind::RequiredSecrets(field) => self.require_secrets(row, value, field(config))?,
        }
        Some(())
    }

    /// What was found, or a note that the value is not what its row takes.
    fn typed<T>(&mut self, row: &Key, value: &Value<'_>, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.note_mistyped(row, value);
        }
        found
    }

    /// The checked value, or a note that starts with the key's name.
    fn checked<T>(&mut self, name: &str, offset: usize, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|rest| self.note(offset, format!("{name} {rest}"))).ok()
    }

    fn text<T>(&mut self, row: &Key, value: &Value<'_>, check: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.typed(row, value, value.get_ref().as_str())?;
        self.checked(row.name, value.span().start, check(text))
    }

    fn count(&mut self, row: &Key, value: &Value<'_>, min: u64, max: u64) -> Option<u64> {
        self.typed(row, value, count_of(value.get_ref()).filter(|count| (min..=max).contains(count)))
    }

    fn time(&mut self, row: &Key, value: &Value<'_>, min: Duration) -> Option<Duration> {
        self.typed(row, value, time_of(value.get_ref()).filter(|time| (min..=TIME_MAX).contains(time)))
    }

    fn statuses(&mut self, row: &Key, value: &Value<'_>) -> Option<Vec<u16>> {
        let array = self.typed(row, value, value.get_ref().as_array().filter(|array| !array.is_empty()))?;
        array.iter().map(|element| Some(self.count(row, element, 100, 599)? as u16)).collect()
    }

    /// A program and its arguments. `~` expands in the program, not in arguments.
    fn command(&mut self, row: &Key, value: &Value<'_>) -> Option<Vec<String>> {
        let array = self.typed(row, value, value.get_ref().as_array())?;
        let mut words = Vec::with_capacity(array.len());
        for element in array.iter() {
            let text = self.typed(row, element, element.get_ref().as_str())?;
            let word = if words.is_empty() { self.roots.program(text) } else { checks::no_nul(text) };
            words.push(self.checked(row.name, element.span().start, word).unwrap_or_default());
        }
        if !words.is_empty() || row.default == "none" {
            return Some(words);
        }
        let advice = match row.default {
            "required" => format!("write for example {} = {}", row.name, row.example),
            _ => "delete it for the default".into(),
        };
        self.note(value.span().start, format!("{} must not be empty; {advice}", row.name));
        None
    }

    /// The entries of `[env]` or `[secrets]`, sorted by variable. A secret's name may not be empty, a value may.
    fn variables(&mut self, row: &Key, value: &Value<'_>) -> Option<Vec<(String, String)>> {
        let table = self.typed(row, value, value.get_ref().as_table())?;
        let mut entries = Vec::with_capacity(table.len());
        for (variable, value) in table {
            let (offset, variable_at) = (value.span().start, variable.span().start);
            let variable: &str = variable.get_ref();
            let name = format!("{}.{}", row.name, escape(variable, SHOWN_BYTES_MAX));
            let Some(text) = value.get_ref().as_str() else {
                self.note_no_variable(row.name, variable, value.get_ref(), offset);
                continue;
            };
            self.checked(&format!("[{}]:", row.name), variable_at, checks::variable(variable));
            self.checked(&name, offset, checks::no_nul(text));
            if text.is_empty() && matches!(row.kind, Kind::Secrets(_)) {
                self.note(offset, format!("{name} must name a secret; write its name or delete the line"));
            }
            entries.push((variable.to_owned(), text.to_owned()));
        }
        Some(entries)
    }

    /// Marks those without which the worker may not start.
    fn require_secrets(&mut self, row: &Key, value: &Value<'_>, secrets: &mut [SecretEntry]) -> Option<()> {
        for element in self.typed(row, value, value.get_ref().as_array())?.iter() {
            let text = self.typed(row, element, element.get_ref().as_str())?;
            if let Some(secret) = secrets.iter_mut().find(|secret| secret.variable == text) {
                secret.required = true;
                continue;
            }
            let near = nearest(text, secrets.iter().map(|secret| secret.variable.as_str()));
            let advice = near.map_or("add it there".into(), |near| format!("did you mean {near}?"));
            let shown = escape(text, SHOWN_BYTES_MAX);
            let message = format!("{} names \"{shown}\", which is not in [secrets]; {advice}", row.name);
            self.note(element.span().start, message);
        }
        Some(())
    }

    fn find(&self, name: &str) -> Option<&'a Value<'a>> {
        match name.split_once('.') {
            None => self.table.get(name),
            Some((table, name)) => self.table.get(table)?.get_ref().as_table()?.get(name),
        }
    }

    fn note_unknown_inside(&mut self, name: &str, value: &Value<'_>) {
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
        let full = table.map_or_else(|| typed.to_owned(), |table| format!("{table}.{typed}"));
        let is_known = |row: &Key| match row.name.strip_prefix(&*full) {
            // A key with a dot in quotes is none of a table.
            Some("") => table.is_some() || !typed.contains('.'),
            Some(rest) => table.is_none() && rest.starts_with('.'),
            None => false,
        };
        if KEYS.iter().any(is_known) || self.is_full() {
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

    fn note_mistyped(&mut self, row: &Key, value: &Value<'_>) {
        let found = value.get_ref();
        let mut message = format!("{} must be {}, not {}", row.name, row.kind.expected(), describe(found));
        if let Some(advice) = advice(row.kind, found) {
            message.push_str("; ");
            message.push_str(advice);
        }
        self.note(value.span().start, message);
    }
}

/// A row's default as it would be typed; `None` if it is told in words. A path stands in the table without its quotes.
fn default_value<'a>(default: &'a str, name: &str) -> Option<Value<'a>> {
    if default.starts_with('~') {
        return Some(Spanned::new(0..0, DeValue::String(default.replace("NAME", name).into())));
    }
    let is_typed = |first: char| first.is_ascii_digit() || "\"[".contains(first);
    (default.starts_with(is_typed) || matches!(default, "true" | "false")).then(|| DeValue::parse(default).ok())?
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
        Kind::Port(_) | Kind::Count { .. } | Kind::Bytes(_) | Kind::Seconds { .. } | Kind::Interval(_) => {
            seconds::parse(text).map(|_| "write it without quotes")
        }
        Kind::Switch(_) => matches!(text, "true" | "false").then_some("write it without quotes"),
        Kind::Command(_) => Some("write [\"program\", \"argument\"]"),
        Kind::RequiredSecrets(_) | Kind::Statuses(_) => Some("put it in brackets"),
        Kind::Text(..) | Kind::OptionalText(..) | Kind::Host(_) | Kind::Path(_) | Kind::OptionalPath(_) => None,
        Kind::Conflict(_) | Kind::Variables(_) | Kind::Secrets(_) => None,
    }
}
