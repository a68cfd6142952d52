//! The report: what happened to the worker, one line an event, for a test to read while it happens.
//! `EVENT pid=N mono_ns=N key=value…`, fields free of spaces. Each line is one write to a file opened O_APPEND, so that
//! lines of several workers and descendants never mix. A report that can't be written ends the fixture at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::inherited::{monotonic_ns, pid};

/// Where events go; nowhere without `--report`.
pub(crate) struct Report(Option<File>);

impl Report {
    /// Opens the file, or creates it.
    pub(crate) fn open(path: Option<&Path>) -> Self {
        let open = |path: &Path| OpenOptions::new().append(true).create(true).open(path).expect("the report opens");
        Self(path.map(open))
    }

    /// How many starts the file at `path` tells of; 0 where there is none.
    pub(crate) fn starts_in(path: &Path) -> usize {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("start ")).count()
    }

    /// Appends one event.
    pub(crate) fn event(&self, name: &str, fields: &str) {
        let Some(mut file) = self.0.as_ref() else { return };
        let line = format!("{name} pid={} mono_ns={} {fields}", pid(), monotonic_ns());
        file.write_all(format!("{}\n", line.trim_end()).as_bytes()).expect("the report takes a line");
    }
}

/// Text as the value of a field: no spaces, no control characters.
pub(crate) fn escaped(text: &str) -> String {
    text.escape_debug().to_string().replace(' ', "\\u{20}")
}

/// Writes this process's environment as KEY=VALUE records that end in NUL; whole or not at all, by a rename.
pub(crate) fn dump_environment(path: &Path) {
    let mut bytes = Vec::new();
    for (key, value) in std::env::vars_os() {
        bytes.extend([key.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    let unfinished = path.with_extension(pid().to_string());
    std::fs::write(&unfinished, bytes).expect("the environment is written");
    std::fs::rename(unfinished, path).expect("the environment is put in place");
}
