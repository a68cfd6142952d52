//! Findings, and how they are printed: one line each, the worst that can happen first in it, a verdict at the end.
//!
//! Pure. Whoever makes a finding has escaped what is foreign in it; a line break in a finding's text is kept, for what
//! is said about a config that can't be read.

use std::fmt::Write;

/// How wide the column of subjects is; none is longer than this less two.
const SUBJECT_WIDTH: usize = 12;

/// What a finding means for a start of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// The worker starts, but not quite as one may think.
    Warn,
    /// The worker would not start.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The key, or what else it is about.
    pub(super) subject: &'static str,
    /// What was found; if it is not well: and, after a semicolon, what to do.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, text: String) -> Self {
        Self { level: Level::Ok, subject, text }
    }

    pub(super) fn warn(subject: &'static str, text: String) -> Self {
        Self { level: Level::Warn, subject, text }
    }

    pub(super) fn fail(subject: &'static str, text: String) -> Self {
        Self { level: Level::Fail, subject, text }
    }
}

/// Whether nothing that was found keeps the worker from starting.
pub(super) fn would_start(findings: &[Finding]) -> bool {
    count(findings, Level::Fail) == 0
}

/// All findings and the verdict.
pub(super) fn render(findings: &[Finding]) -> String {
    let mut page = String::new();
    for Finding { level, subject, text } in findings {
        let level = match level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        // Writing into a String can't fail.
        let _ = writeln!(page, "{level}  {subject:SUBJECT_WIDTH$}{}", text.trim_end());
    }
    let _ = writeln!(page, "\n{}", verdict(count(findings, Level::Fail), count(findings, Level::Warn)));
    page
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

fn verdict(fails: usize, warnings: usize) -> String {
    let counted = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let warnings = (warnings > 0).then(|| counted(warnings, "warning"));
    match (fails, warnings) {
        (0, None) => "The worker can start.".into(),
        (0, Some(warnings)) => format!("The worker can start: {warnings}."),
        (_, None) => format!("The worker can't start: {}.", counted(fails, "problem")),
        (_, Some(warnings)) => format!("The worker can't start: {}, {warnings}.", counted(fails, "problem")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;
    use std::ffi::OsStr;

    /// A config with the required keys alone, for the tests of all findings to change.
    pub(in crate::commands::dry_run) fn config() -> Config {
        let path = std::env::temp_dir().join(format!("ws-dry-run-{}-{:?}.toml", std::process::id(), test_name()));
        std::fs::write(&path, "name = \"w\"\ncommand = [\"bun\"]\nport = 3111\n").unwrap();
        let loaded = Config::load_with_home(&path, Some(OsStr::new("/home/joe"))).unwrap();
        std::fs::remove_file(path).unwrap();
        loaded.config
    }

    fn test_name() -> String {
        std::thread::current().name().unwrap_or_default().replace("::", "-")
    }

    #[test]
    fn findings_are_aligned_and_end_in_a_verdict() {
        let findings = [
            Finding::ok("config", "\"/w.toml\"".into()),
            Finding::warn("log_stdout", "is a FIFO; set another".into()),
            Finding::fail("port", "is taken; take another".into()),
        ];
        assert_eq!(
            render(&findings),
            "ok    config      \"/w.toml\"\n\
             warn  log_stdout  is a FIFO; set another\n\
             FAIL  port        is taken; take another\n\
             \n\
             The worker can't start: 1 problem, 1 warning.\n"
        );
        assert!(!would_start(&findings) && would_start(&findings[..2]));
    }

    #[test]
    fn the_verdict_counts() {
        assert_eq!(verdict(0, 0), "The worker can start.");
        assert_eq!(verdict(0, 2), "The worker can start: 2 warnings.");
        assert_eq!(verdict(2, 0), "The worker can't start: 2 problems.");
    }
}
