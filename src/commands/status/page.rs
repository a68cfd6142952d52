//! A status for people: the condition first, then what stands in the way, then the rest.

use std::ffi::OsStr;
use std::time::Duration;

use super::found::Trust;
use crate::error::cut;
use crate::supervise::report::status::{Exit, Probe, Status, Sync};
use crate::time::{millis_and_tenth, span};

/// The width of the column of labels.
const LABEL_WIDTH: usize = 12;
/// How many of the last transitions are shown, and how much of each, in bytes: the log has all of it.
const LATELY_MAX: usize = 3;
const LATELY_BYTES_MAX: usize = 200;

/// Whether output may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With colours, for a terminal.
    Coloured,
}

impl Style {
    /// Coloured on a terminal, unless NO_COLOR is set to something.
    pub fn of(is_terminal: bool, no_color: Option<&OsStr>) -> Style {
        let is_refused = no_color.is_some_and(|value| !value.is_empty());
        if is_terminal && !is_refused { Style::Coloured } else { Style::Plain }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Coloured => format!("{colour}{text}{RESET}"),
        }
    }
}

/// A status for people: the condition first, then what stands in the way, then the rest.
pub fn render(status: &Status, trust: Trust, now_ms: u64, style: Style) -> String {
    let is_fresh = trust == Trust::Fresh;
    let has_restarted = status.restarts > 0 || status.last_exit.is_some() || status.failed_starts > 0;
    let older = |problem: &String| format!("an older one is in force: {problem}");
    let Status { supervisor_pid, version, config_path, .. } = status;
    let rows = [
        ("problem", status.problem.clone()),
        ("config", status.config_problem.as_ref().map(older)),
        ("port held by", status.port_holder.clone()),
        ("no secret", listed(&status.absent_secrets)),
        ("old secret", listed(&status.stale_secrets)),
        ("left running", listed(&status.left_running)),
        ("log problem", listed(&status.log_problems)),
        ("worker", is_fresh.then(|| worker(status, now_ms))),
        ("restarts", has_restarted.then(|| restarts(status, now_ms))),
        ("last words", status.last_exit.as_ref().and_then(|exit| exit.stderr.clone())),
        ("health", status.last_probe.as_ref().map(|probe| health(status, probe, trust, now_ms))),
        ("sync", status.sync.as_ref().map(|sync| registration(sync, now_ms))),
        ("next", next_step(status, now_ms).filter(|_| is_fresh)),
        ("logs", Some(status.log_stdout.clone())),
        ("", Some(status.log_stderr.clone()).filter(|log| *log != status.log_stdout)),
        ("supervisor", Some(format!("pid {supervisor_pid}, version {version}, config {config_path}"))),
    ];
    let (colour, verdict) = verdict(status, trust, now_ms);
    let lately = lately(status, now_ms);
    let labels = std::iter::once("lately").chain(std::iter::repeat(""));
    let lately = labels.zip(lately.into_iter().map(Some));
    let mut page = format!("{}: {}\n", shown(&status.name), style.paint(colour, &verdict));
    for (label, value) in rows.into_iter().chain(lately) {
        let Some(value) = value else { continue };
        let padded = format!("{label:LABEL_WIDTH$} ");
        let padded = if label == "problem" { style.paint(RED, &padded) } else { padded };
        page += &format!("  {padded}{}\n", shown(&value));
    }
    page
}

/// How the worker is, in a word or two, and the colour for that.
fn verdict(status: &Status, trust: Trust, now_ms: u64) -> (&'static str, String) {
    let known = shown(condition(status));
    let written = ago(status.updated_ms, now_ms);
    match trust {
        Trust::Dead if status.state == "stopped" => (RED, format!("not running, stopped {written}")),
        Trust::Dead => (RED, format!("not running, last seen {written}: {known}")),
        Trust::Outlived => {
            let pid = status.pid.unwrap_or_default();
            (RED, format!("not healthy, its worker, pid {pid}, is gone, last seen {written}: {known}"))
        }
        Trust::Stale => {
            let advice = format!(
                "the supervisor, pid {}, may be stopped, hang, or have no room to write",
                status.supervisor_pid
            );
            (RED, format!("not known to be healthy, last seen {written}: {known}; {advice}"))
        }
        Trust::Fresh => {
            let colour = match status.state.as_str() {
                "running" if status.healthy => GREEN,
                "running" | "backing-off" | "awaiting-port" => RED,
                _ => YELLOW,
            };
            // It may have become so only now.
            let since = if known == "unhealthy" { "unhealthy, ready" } else { &*known };
            (colour, format!("{since} for {}", span(now_ms.saturating_sub(status.since_ms))))
        }
    }
}

/// How long ago a time was; a time to come, as after a change of the clock, was just now.
fn ago(at_ms: u64, now_ms: u64) -> String {
    format!("{} ago", span(now_ms.saturating_sub(at_ms)))
}

fn listed(variables: &[String]) -> Option<String> {
    (!variables.is_empty()).then(|| variables.join(", "))
}

/// The state in words.
fn condition(status: &Status) -> &str {
    match status.state.as_str() {
        "running" if status.healthy => "healthy",
        "running" => "unhealthy",
        "leasing-secrets" => "leasing secrets",
        "clearing-port" => "clearing the port",
        "awaiting-port" => "waiting for the port",
        "backing-off" => "backing off",
        other => other,
    }
}

fn worker(status: &Status, now_ms: u64) -> String {
    let Some(pid) = status.pid else { return "none".into() };
    let up = status.started_ms.map(|started_ms| format!(", up {}", span(now_ms.saturating_sub(started_ms))));
    format!("pid {pid}, generation {}{}", status.generation, up.unwrap_or_default())
}

fn restarts(status: &Status, now_ms: u64) -> String {
    let mut text = status.restarts.to_string();
    match status.failed_starts {
        0 => {}
        1 => text += ", 1 failed start",
        starts => text += &format!(", {starts} failed starts in a row"),
    }
    if let Some(Exit { at_ms, pid, reason, uptime_ms, asked_for, .. }) = &status.last_exit {
        let uptime = uptime_ms.map_or_else(|| "a while".to_owned(), span);
        let why = if *asked_for { ", as asked" } else { "" };
        text += &format!("; pid {pid} ended {} after {uptime}: {reason}{why}", ago(*at_ms, now_ms));
    }
    text
}

/// The last answer. Until the next worker is there, it is that of one that has ended, which says nothing of today.
fn health(status: &Status, probe: &Probe, trust: Trust, now_ms: u64) -> String {
    let latency = millis_and_tenth(Duration::from_micros(probe.latency_us));
    let mut text = format!("{} {} in {latency} ms, ", status.address, probe.result);
    text += &ago(probe.at_ms, now_ms);
    if status.pid.is_none() || trust == Trust::Outlived {
        text += ", by the worker that is gone";
    } else if status.streak > 0 {
        text += &format!("; {} of {} failures in a row", status.streak, status.streak_max);
    }
    text
}

fn registration(sync: &Sync, now_ms: u64) -> String {
    let when = ago(sync.at_ms, now_ms);
    match (sync.accepted, sync.failures) {
        (true, _) => format!("accepted, {}, {when}", sync.result),
        (false, failures) => {
            let times = if failures == 1 { "1 failure".to_owned() } else { format!("{failures} failures in a row") };
            format!("failing: {}, {when}; {times}", sync.result)
        }
    }
}

fn next_step(status: &Status, now_ms: u64) -> Option<String> {
    let step = status.next_step.as_ref()?;
    let due = status.next_deadline_ms.map(|due_ms| format!(" in {}", span(due_ms.saturating_sub(now_ms))));
    Some(step.clone() + &due.unwrap_or_default())
}

/// The last transitions, oldest first, as the log has them.
fn lately(status: &Status, now_ms: u64) -> Vec<String> {
    let first = status.transitions.len().saturating_sub(LATELY_MAX);
    let told = status.transitions[first..].iter().map(|transition| {
        let mut text = format!("{}: {}", ago(transition.at_ms, now_ms), transition.message);
        cut(&mut text, LATELY_BYTES_MAX);
        text
    });
    told.collect()
}

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const RESET: &str = "\x1b[0m";

/// Text of the status file, which is escaped already, so that even a forged one can't reach the terminal's controls.
fn shown(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests;
