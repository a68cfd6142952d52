//! One look at a supervisor and its worker, and what is said of it: a verdict, a page, JSON.

use super::found::{Found, Trust};
use super::page::{Style, render};
use crate::config::{Config, Reading};
use crate::error::{Error, ExitCode};
use crate::supervise::report::status::Status;
use crate::time::Now;

/// One look at a supervisor and its worker.
pub(super) struct View<'a> {
    pub(super) config: &'a Config,
    reading: Reading,
    pub(super) found: Found,
    now: Now,
    /// By the clock of the status.
    now_ms: u64,
    pub(super) trust: Trust,
}

impl<'a> View<'a> {
    pub(super) fn look(config: &'a Config, reading: Reading) -> Result<View<'a>, Error> {
        let now = Now::read();
        let found = Found::look(config)?;
        let now_ms = found.now_ms(now);
        let trust = found.trust(now_ms);
        Ok(View { config, reading, found, now, now_ms, trust })
    }

    /// Whether all of the config could be read.
    pub(super) fn is_whole(&self) -> bool {
        self.reading == Reading::Whole
    }

    /// Whether somebody may run where the part of the config that can't be read says.
    pub(super) fn is_unknown(&self) -> bool {
        !self.is_whole() && !self.found.is_running(self.config)
    }

    pub(super) fn is_healthy(&self) -> bool {
        !self.is_unknown() && self.trust == Trust::Fresh && self.found.status().is_some_and(|status| status.healthy)
    }

    pub(super) fn code(&self) -> ExitCode {
        match self.trust {
            _ if self.is_unknown() => ExitCode::Config,
            Trust::Fresh | Trust::Outlived | Trust::Stale if !self.is_whole() => ExitCode::Config,
            Trust::Dead => ExitCode::NotRunning,
            Trust::Fresh if self.is_healthy() => ExitCode::Ok,
            Trust::Fresh | Trust::Outlived | Trust::Stale => ExitCode::Failed,
        }
    }

    /// A time of the status by today's wall clock, which may have been set since.
    pub(super) fn wall_ms_of(&self, at_ms: u64) -> u64 {
        self.now.wall_ms.saturating_sub(self.now_ms.saturating_sub(at_ms))
    }

    pub(super) fn page(&self, style: Style) -> String {
        match self.found.status() {
            _ if self.is_unknown() => format!("{}: {}\n", self.config.name, unknown(self.config)),
            Some(status) => render(status, self.trust, self.now_ms, style),
            None => self.found.without_status(&self.config.name),
        }
    }

    /// What stays the same as long as nothing happens: everything but ages, and when and how the worker was last asked.
    /// None where there is no status to show.
    pub(super) fn gist(self) -> Option<String> {
        let status = if self.is_unknown() { None } else { self.found.into_status() }?;
        Some(format!("{}{}", self.trust as u8, as_json(Some(timeless(status)), true, true)))
    }

    pub(super) fn json(self) -> String {
        if self.is_unknown() {
            return UNKNOWN_JSON.to_owned();
        }
        let (running, healthy) = (self.trust != Trust::Dead, self.is_healthy());
        as_json(self.found.into_status(), running, healthy)
    }
}

/// Where nobody was found, although somebody may run.
pub(crate) fn unknown(config: &Config) -> String {
    let dir = config.state_dir.join(&config.name);
    format!("not known whether a supervisor runs; as far as the config can be read it would be in {dir:?}, and is not")
}

const UNKNOWN_JSON: &str = "{\"running\":null,\"healthy\":false}\n";

fn timeless(status: Status) -> Status {
    Status { updated_ms: 0, updated_boot_ms: 0, last_probe: None, next_deadline_ms: None, ..status }
}

fn as_json(status: Option<Status>, running: bool, healthy: bool) -> String {
    let Some(status) = status else { return format!("{{\"running\":{running},\"healthy\":{healthy}}}\n") };
    let status = Status { running, healthy, ..status };
    serde_json::to_string(&status).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::report::status::Probe;

    #[test]
    fn what_only_time_changes_is_no_news() {
        let probe = Probe { at_ms: 1, healthy: true, result: "200".into(), latency_us: 1 };
        let first = Status { generation: 2, ..Status::default() };
        let later = Status { updated_ms: 1, updated_boot_ms: 1, next_deadline_ms: Some(1), ..first.clone() };
        assert_eq!(timeless(Status { last_probe: Some(probe), ..later }), first);
    }

    #[test]
    fn json_says_whether_it_can_be_believed() {
        let text = as_json(Some(Status { pid: Some(4711), healthy: true, ..Status::default() }), false, false);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["running"], &value["healthy"], &value["pid"]), (&false.into(), &false.into(), &4711.into()));
        assert_eq!(as_json(None, false, false), "{\"running\":false,\"healthy\":false}\n");
    }
}
