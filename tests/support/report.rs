//! The report of the fixture worker, read back: one event a line, `EVENT pid=N mono_ns=N key=value…`.

use std::path::Path;
use std::str::FromStr;

use super::words::field;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    line: String,
}

impl Event {
    /// Its name: `start`, `listen`, `request`, `closed`, `signal`, `descendant`, `exit`, `crash`.
    pub(crate) fn name(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The process that it tells of.
    pub(crate) fn pid(&self) -> i32 {
        self.number("pid")
    }

    /// When it was written, on the clock of `monotonic_ns`.
    pub(crate) fn mono_ns(&self) -> u64 {
        self.number("mono_ns")
    }

    /// The value of a field.
    ///
    /// # Panics
    /// Where the event has no such field.
    #[track_caller]
    pub(crate) fn field(&self, key: &str) -> &str {
        field(&self.line, key).unwrap_or_else(|| panic!("no {key} in the event: {}", self.line))
    }

    /// The value of a field that is a number.
    #[track_caller]
    pub(crate) fn number<T: FromStr>(&self, key: &str) -> T {
        self.field(key).parse().unwrap_or_else(|_| panic!("{key} is no number in the event: {}", self.line))
    }
}

/// All events until now, of all starts, in the order of their writing.
#[derive(Clone, Debug)]
pub(crate) struct WorkerReport {
    events: Vec<Event>,
}

impl WorkerReport {
    /// Reads the file; a missing one is an empty report. A last line that is still being written is left out.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Self { events: whole.map(|line| Event { line: line.to_owned() }).collect() }
    }

    /// All of them.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Those of one name.
    pub(crate) fn of(&self, name: &str) -> Vec<&Event> {
        self.events.iter().filter(|event| event.name() == name).collect()
    }

    /// The starts of workers.
    pub(crate) fn starts(&self) -> Vec<&Event> {
        self.of("start")
    }

    /// The requests of one method.
    pub(crate) fn requests(&self, method: &str) -> Vec<&Event> {
        self.of("request").into_iter().filter(|event| event.field("method") == method).collect()
    }

    /// The names of the signals that one worker saw.
    pub(crate) fn signals_of(&self, pid: i32) -> Vec<&str> {
        let signals = self.of("signal").into_iter().filter(|event| event.pid() == pid);
        signals.map(|event| event.field("name")).collect()
    }

    /// The pids of all workers, the latest last.
    pub(crate) fn workers(&self) -> Vec<i32> {
        self.starts().into_iter().map(Event::pid).collect()
    }

    /// The pids of all descendants that workers started.
    pub(crate) fn descendants(&self) -> Vec<i32> {
        self.of("descendant").into_iter().map(Event::pid).collect()
    }
}

impl std::fmt::Display for WorkerReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.events.iter().try_for_each(|event| writeln!(out, "{}", event.line))
    }
}
