//! `status`: what the supervisor last said of itself and its worker, and whether that still holds.
//!
//! The file alone proves nothing: it stays when a supervisor is killed, and grows old when one is stopped or hangs. So
//! the lock is asked whether somebody runs, the system whether the worker lives, and a file that is older than it may
//! be is called so, by a clock that nobody sets. Healthy, and exit code 0, is only what a living supervisor said a
//! short while ago of a worker that lives.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use platform::Pid;

use crate::config::{Config, Reading};
use crate::error::{Error, ExitCode};
use crate::lock::{self, Held, Lock};
use crate::policy::Condition;
use crate::print::print;
use crate::state_dir::{Record, StateDir, WorkerRecord};
use crate::supervise::report::status::{Exit, Probe, Status, Sync};
use crate::time::{Now, millis_and_tenth, span};

/// How long past its time a status is still taken for fresh: a loaded machine writes late.
const SLACK_MS: u64 = 5_000;
/// The width of the column of labels.
const LABEL_WIDTH: usize = 12;

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

/// How far the last status can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A supervisor runs and wrote it in time.
    Fresh,
    /// A supervisor runs and wrote it in time; but the worker that it calls healthy is gone.
    Outlived,
    /// A supervisor runs, but should have written again by now: it may be stopped, or hang.
    Stale,
    /// No supervisor runs: it is the last one's.
    Dead,
}

/// Prints how the worker is, for people or, with `json`, as the status file's JSON with two fields corrected:
/// `running`, and `healthy`, which is true only if the exit code is 0.
///
/// Returns [`ExitCode::Ok`] for healthy, or for a reader that has gone away, [`ExitCode::Failed`] for not healthy,
/// [`ExitCode::NotRunning`]; and [`ExitCode::Config`] for a config that is broken: then a supervisor is shown if it is
/// found all the same, and what was not read is not taken for what it is by default.
///
/// # Errors
/// The state directory is not ours alone (78); the lock can't be examined, or the output not be written (70).
pub fn status(
    config: &Config,
    reading: Reading,
    json: bool,
    style: Style,
    output: &mut dyn Write,
) -> Result<ExitCode, Error> {
    let now = Now::read();
    let found = Found::look(config)?;
    if reading == Reading::Broken && !found.is_running(config) {
        let text = if json { UNKNOWN_JSON.to_owned() } else { format!("{}: {}\n", config.name, unknown(config)) };
        return print(output, &text, ExitCode::Config);
    }
    let status = found.status();
    let now_ms = found.now_ms(now);
    let trust = found.trust(now_ms);
    let is_healthy = trust == Trust::Fresh && status.is_some_and(|status| status.healthy);
    let code = match trust {
        Trust::Fresh | Trust::Outlived | Trust::Stale if reading == Reading::Broken => ExitCode::Config,
        Trust::Dead => ExitCode::NotRunning,
        Trust::Fresh if is_healthy => ExitCode::Ok,
        Trust::Fresh | Trust::Outlived | Trust::Stale => ExitCode::Failed,
    };
    let text = match (json, status) {
        (true, status) => as_json(status, trust != Trust::Dead, is_healthy),
        (false, Some(status)) => render(status, trust, now_ms, style),
        (false, None) => found.without_status(&config.name),
    };
    print(output, &text, code)
}

/// The status of the supervisor of a config that is broken, if one is found where the rest of it says.
///
/// # Errors
/// As [`status`].
pub(crate) fn find_running(config: &Config) -> Result<Option<Status>, Error> {
    let found = Found::look(config)?;
    Ok(if found.is_running(config) { found.file.ok().flatten() } else { None })
}

/// Where nobody was found, although somebody may run.
pub(crate) fn unknown(config: &Config) -> String {
    let dir = config.state_dir.join(&config.name);
    format!("not known whether a supervisor runs; as far as the config can be read it would be in {dir:?}, and is not")
}

const UNKNOWN_JSON: &str = "{\"running\":null,\"healthy\":false}\n";

/// What the state directory shows.
struct Found {
    held: Held,
    record: Record,
    file: io::Result<Option<Status>>,
}

impl Found {
    fn look(config: &Config) -> Result<Found, Error> {
        let Some(dir) = StateDir::existing(&config.state_dir, &config.name)? else {
            return Ok(Found { held: Held::Free, record: Record::Nobody, file: Ok(None) });
        };
        let held = Lock::holder(&dir).map_err(|error| lock::cannot("examine", &dir, error))?;
        let mut file = Status::read(&dir);
        // After the status: a worker that is gone by then is gone.
        let record = WorkerRecord::read(&dir).unwrap_or(Record::Unclear);
        let is_from_holder = |status: &Status| match &held {
            Held::By(holder) => status.supervisor_pid == holder.pid,
            // The holder could not be named, as on a full disk: at least the writer has to be alive.
            Held::Unknown => is_alive(status.supervisor_pid),
            Held::Free => true,
        };
        if let Ok(Some(status)) = &file
            && !is_from_holder(status)
        {
            // A supervisor that has only just begun has written nothing yet: this is the last one's.
            file = Ok(None);
        }
        Ok(Found { held, record, file })
    }

    fn status(&self) -> Option<&Status> {
        self.file.as_ref().ok().and_then(Option::as_ref)
    }

    /// Whether a supervisor runs there, and says that it is the one of this very config.
    fn is_running(&self, config: &Config) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let is_same =
            |path: &Path| path == config.path || real(path).is_some_and(|path| Some(path) == real(&config.path));
        self.held != Held::Free && self.status().is_some_and(|status| is_same(Path::new(&status.config_path)))
    }

    fn now_ms(&self, now: Now) -> u64 {
        self.status().map_or(now.wall_ms, |status| status.now_ms(now, self.held != Held::Free))
    }

    fn trust(&self, now_ms: u64) -> Trust {
        match (&self.held, self.status()) {
            (Held::Free, _) => Trust::Dead,
            (_, Some(status)) if is_stale(status, now_ms) => Trust::Stale,
            (_, Some(status)) if status.healthy && !self.lives(status.pid) => Trust::Outlived,
            (Held::By(_) | Held::Unknown, _) => Trust::Fresh,
        }
    }

    /// Whether the worker with this pid lives. The record has its start time: its pid may be somebody else's by now.
    fn lives(&self, pid: Option<i32>) -> bool {
        let Some(pid) = pid.and_then(Pid::new) else { return false };
        // Who can't be looked at may live.
        let Ok(found) = platform::identify(pid) else { return true };
        match &self.record {
            Record::Worker(recorded) if recorded.pid == pid => found.as_ref() == Some(recorded),
            Record::Worker(_) | Record::Launching(_) | Record::Nobody | Record::Unclear => found.is_some(),
        }
    }

    /// What to say where there is no status to show.
    fn without_status(&self, name: &str) -> String {
        let cause = match &self.file {
            Ok(_) => "no status has been written yet".to_owned(),
            Err(error) => format!("the status file can't be read: {error}"),
        };
        match (&self.held, &self.file) {
            (Held::Free, Ok(_)) => format!("{name}: not running\n"),
            (Held::Free, Err(_)) => format!("{name}: not running; {cause}\n"),
            (Held::Unknown, _) => format!("{name}: not known to be healthy; a supervisor runs, but {cause}\n"),
            (Held::By(holder), _) => {
                format!("{name}: not known to be healthy; a supervisor runs (pid {}), but {cause}\n", holder.pid)
            }
        }
    }
}

/// Whether the supervisor should have written again by now. It does so at each transition, of which the next is due at
/// its next deadline, and at each periodic probe. A start has many probes and may take all of its time.
fn is_stale(status: &Status, now_ms: u64) -> bool {
    let after_probes = status.updated_ms.saturating_add(status.health_interval_ms.saturating_mul(2));
    let after_start = if status.state == Condition::Starting.word() {
        status.since_ms.saturating_add(status.startup_timeout_ms)
    } else {
        0
    };
    let due_ms = after_probes.max(status.next_deadline_ms.unwrap_or(0)).max(after_start);
    now_ms > due_ms.saturating_add(SLACK_MS)
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::new);
    pid.is_some_and(|pid| platform::identify(pid).is_ok_and(|found| found.is_some()))
}

fn as_json(status: Option<&Status>, running: bool, healthy: bool) -> String {
    let Some(status) = status else { return format!("{{\"running\":{running},\"healthy\":{healthy}}}\n") };
    let status = Status { running, healthy, ..status.clone() };
    serde_json::to_string(&status).unwrap_or_default() + "\n"
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
        ("health", status.last_probe.as_ref().map(|probe| health(status, probe, now_ms))),
        ("sync", status.sync.as_ref().map(|sync| registration(sync, now_ms))),
        ("next", next_step(status, now_ms).filter(|_| is_fresh)),
        ("logs", Some(status.log_stdout.clone())),
        ("", Some(status.log_stderr.clone()).filter(|log| *log != status.log_stdout)),
        ("supervisor", Some(format!("pid {supervisor_pid}, version {version}, config {config_path}"))),
    ];
    let (colour, verdict) = verdict(status, trust, now_ms);
    let mut page = format!("{}: {}\n", shown(&status.name), style.paint(colour, &verdict));
    for (label, value) in rows {
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
            (colour, format!("{known} for {}", span(now_ms.saturating_sub(status.since_ms))))
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

fn health(status: &Status, probe: &Probe, now_ms: u64) -> String {
    let latency = millis_and_tenth(Duration::from_micros(probe.latency_us));
    let mut text = format!("{} {} in {latency} ms, ", status.address, probe.result);
    text += &ago(probe.at_ms, now_ms);
    if status.streak > 0 {
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
