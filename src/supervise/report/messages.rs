//! The sentences: what each notice is called in the log.
//!
//! Pure: from a notice and what was seen to one line, `message key=value…`. Errors read "cannot VERB OBJECT: cause",
//! and what can be survived says what happens next. Whatever came from the worker or the network was escaped before.

use std::time::Duration;

use log::Level;
use platform::{ExitStatus, Pid};

use super::throttle::FREE_LINES;
use crate::error::escape;
use crate::http::SyncAnswer;
use crate::policy::{AfterExit, Condition, KillCause, Notice, ROUNDS_MAX};
use crate::supervise::report::status::{Exit, Status};
use crate::time::{millis_and_tenth, secs};

/// What the runtime has seen last, for the sentences.
#[derive(Default)]
pub(crate) struct Seen {
    /// The worker's pid, also of one that has just gone.
    pub(crate) pid: Option<Pid>,
    /// How the last probe went.
    pub(crate) probe: String,
    /// How the last registration went.
    pub(crate) sync: String,
    /// Whether this worker had been registered before.
    pub(crate) is_sync_routine: bool,
}

/// One line of the log.
pub(crate) struct Line {
    pub(crate) level: Level,
    /// What kind of line it is; repeats are told by kind.
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    /// The part of the text that stays the same when the same thing happens again; `None`: all of it.
    key: Option<String>,
    /// How often it may be said in a row before it is held back.
    pub(crate) free: u32,
    /// Whether it belongs among the last transitions of the status file.
    pub(crate) is_transition: bool,
}

impl Line {
    /// A line that is no transition.
    pub(crate) fn new(level: Level, kind: &'static str, text: String) -> Self {
        Self { level, kind, text, key: None, free: FREE_LINES, is_transition: false }
    }

    fn transition(level: Level, kind: &'static str, text: String) -> Self {
        Self { is_transition: true, ..Self::new(level, kind, text) }
    }

    fn keyed(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    fn once(self) -> Self {
        Self { free: 1, ..self }
    }

    /// What to compare for repeats: the subject, and what is said of it. Lines without a part that varies are each a
    /// subject of their own.
    pub(crate) fn subject_and_words(&self) -> (&str, &str) {
        self.key.as_deref().map_or((&self.text, ""), |key| ("", key))
    }
}

/// The line for a notice.
pub(crate) fn line_of(notice: Notice, seen: &Seen, status: &Status) -> Line {
    use Level::{Debug, Error, Info, Warn};
    let pid = seen.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    match notice {
        Notice::Adopted => {
            let text = format!("worker of an earlier supervisor still runs, ending it first pid={pid}");
            Line::transition(Warn, "adopted", text)
        }
        Notice::Started(generation) => {
            let text = format!("started pid={pid} generation={}", generation.number());
            Line::transition(Info, "started", text).keyed("")
        }
        Notice::Ready { after, .. } => {
            let text = format!("ready after_ms={} pid={pid} answer=\"{}\"", millis_and_tenth(after), seen.probe);
            Line::transition(Info, "ready", text).keyed(seen.probe.clone())
        }
        Notice::Died { delay, .. } => died(status, delay),
        Notice::Ended { after_exit, delay, .. } => ended(status, after_exit, delay),
        Notice::LaunchFailed { failures, delay } => launch_failed(status, failures, delay),
        Notice::PortConflict { round } => port_conflict(status, round),
        Notice::PortAwaited => port_awaited(status),
        Notice::PortLost { failures, delay } => port_lost(status, failures, delay),
        Notice::Impostor(_) => impostor(status),
        Notice::Probed { .. } => Line::new(Debug, "probed", "probed".to_owned()),
        Notice::ProbeFailed { streak, streak_max: of } => {
            let text = format!("health check failed: {} streak={streak} of={of}", seen.probe);
            Line::new(Warn, "probe-failed", text).keyed(seen.probe.clone())
        }
        Notice::Unhealthy(_) => unhealthy(status, &seen.probe, &pid),
        Notice::StartupTimedOut(_) => {
            let text = format!("worker did not get healthy in time: {}; restarting it pid={pid}", seen.probe);
            Line::transition(Error, "startup-timeout", text).keyed(seen.probe.clone())
        }
        Notice::HealthRegained => Line::transition(Info, "healthy", format!("healthy again pid={pid}")).keyed(""),
        Notice::Draining { after_exit: then, patience, .. } => {
            let text = format!("draining pid={pid} for={} then={}", secs(patience), then_word(then));
            Line::transition(Info, "draining", text).keyed(then_word(then))
        }
        Notice::Killing { cause, .. } => {
            let why = match cause {
                KillCause::AskedTwice => "asked twice to stop",
                KillCause::Late => "it did not finish in time",
            };
            Line::transition(Warn, "killing", format!("killing the worker's group: {why} pid={pid}")).keyed(why)
        }
        Notice::Stuck(_) => {
            let text = format!("worker was killed and the kernel does not let it go pid={pid}");
            Line::transition(Error, "stuck", text)
        }
        Notice::Synced if seen.is_sync_routine => Line::new(Debug, "synced-again", "synced again".to_owned()),
        Notice::Synced => {
            Line::transition(Info, "synced", format!("synced answer=\"{}\"", seen.sync)).keyed(seen.sync.clone())
        }
        Notice::SyncFailed { delay } => {
            let text = format!("cannot sync: {}; retrying in {}", seen.sync, secs(delay));
            Line::transition(Warn, "sync-failed", text).keyed(seen.sync.clone()).once()
        }
        Notice::Stopped => Line::transition(Info, "stopped", "stopped".to_owned()),
    }
}

fn launch_failed(status: &Status, failures: u32, delay: Duration) -> Line {
    let problem = status.problem.as_deref().unwrap_or("unknown cause");
    let text = format!("cannot start the worker: {problem}; retrying in {} failures={failures}", secs(delay));
    Line::transition(Level::Error, "launch-failed", text).keyed(problem)
}

fn port_conflict(status: &Status, round: u32) -> Line {
    let (port, holder) = port_and_holder(status);
    let text = format!("port {port} is held by {holder}; asking it to go round={round} of={ROUNDS_MAX}");
    Line::transition(Level::Warn, "port-conflict", text).keyed("")
}

fn port_awaited(status: &Status) -> Line {
    let (port, holder) = port_and_holder(status);
    let text = format!("port {port} is held by {holder}; waiting until it is free");
    Line::transition(Level::Warn, "port-awaited", text).keyed(holder).once()
}

fn port_lost(status: &Status, failures: u32, delay: Duration) -> Line {
    let (port, holder) = port_and_holder(status);
    let next = secs(delay);
    let text = format!("cannot free port {port}: held by {holder}; retrying in {next} failures={failures}");
    Line::transition(Level::Error, "port-lost", text).keyed("")
}

fn impostor(status: &Status) -> Line {
    let (port, holder) = port_and_holder(status);
    let text = format!("port {port} was answered by {holder} and not by the worker; restarting it");
    Line::transition(Level::Error, "impostor", text).keyed("")
}

fn port_and_holder(status: &Status) -> (&str, &str) {
    (&status.address, status.port_holder.as_deref().unwrap_or("nobody"))
}

fn unhealthy(status: &Status, probe: &str, pid: &str) -> Line {
    let streak = status.streak_max;
    let why = format!("{streak} checks failed in a row, the last one: {probe}");
    let text = format!("worker is unhealthy: {why}; restarting it pid={pid}");
    Line::transition(Level::Error, "unhealthy", text).keyed(probe)
}

fn died(status: &Status, delay: Duration) -> Line {
    let Some(exit) = &status.last_exit else { return Line::transition(Level::Warn, "died", "worker died".to_owned()) };
    let next = if delay.is_zero() { "restarting at once".to_owned() } else { format!("restarting in {}", secs(delay)) };
    let text = format!("worker died: {}{}; {next}{}", exit.reason, last_words(exit), uptime(exit));
    Line::transition(Level::Warn, "died", text).keyed(exit.reason.clone())
}

fn ended(status: &Status, then: AfterExit, delay: Duration) -> Line {
    let Some(exit) = &status.last_exit else {
        return Line::transition(Level::Info, "ended", "worker ended".to_owned());
    };
    let next = match then {
        AfterExit::Stop => String::new(),
        AfterExit::Launch | AfterExit::Reload => "; starting the next one".to_owned(),
        AfterExit::Retry => format!("; retrying in {}", secs(delay)),
    };
    let text = format!("worker ended: {}{next}{}", exit.reason, uptime(exit));
    Line::transition(Level::Info, "ended", text).keyed(exit.reason.clone())
}

fn last_words(exit: &Exit) -> String {
    exit.stderr.as_ref().map_or_else(String::new, |line| format!(", last words \"{line}\""))
}

fn uptime(exit: &Exit) -> String {
    let uptime =
        exit.uptime_ms.map_or_else(String::new, |millis| format!(" uptime={}", secs(Duration::from_millis(millis))));
    format!(" pid={}{uptime}", exit.pid)
}

fn then_word(then: AfterExit) -> &'static str {
    match then {
        AfterExit::Stop => "stop",
        AfterExit::Launch => "restart",
        AfterExit::Reload => "reload",
        AfterExit::Retry => "retry",
    }
}

/// How a process ended, in words.
pub(crate) fn reason_of_exit(status: Option<ExitStatus>) -> String {
    match status {
        Some(ExitStatus::Code(code)) => format!("exit code {code}"),
        Some(ExitStatus::Signal { number, core }) => {
            let dumped = if core { ", core dumped" } else { "" };
            format!("signal {number} ({}{dumped})", platform::signal_name(number))
        }
        None => "gone, its status unknown".to_owned(),
    }
}

/// How much of the worker's own words on a registration is shown.
const MESSAGE_BYTES_MAX: usize = 120;

/// An answered registration, in words. An accepted one may still say in its message that it registered nothing.
pub(crate) fn sync_result(status: u16, answer: &SyncAnswer) -> String {
    let modified = answer.modified.map_or_else(String::new, |modified| format!(", modified={modified}"));
    let message =
        answer.message.as_ref().map_or_else(String::new, |text| format!(", {}", escape(text, MESSAGE_BYTES_MAX)));
    format!("status {status}{modified}{message}")
}

/// A deadline missed, in words.
pub(crate) fn timed_out(timeout: Duration) -> String {
    format!("no answer within {}", secs(timeout))
}

/// What comes at the next deadline of a condition, in words.
pub(crate) fn next_step(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::Launching | Condition::Stopped => None,
        Condition::Leasing => Some("give up waiting for secrets"),
        Condition::ClearingPort | Condition::AwaitingPort => Some("look at the port again"),
        Condition::BackingOff => Some("start the worker"),
        Condition::Starting => Some("ask whether the worker is up"),
        Condition::Running => Some("check the worker's health or registration"),
        Condition::Draining => Some("kill the worker"),
        Condition::Killing => Some("give up on the kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_by_signal_is_named() {
        assert_eq!(reason_of_exit(Some(ExitStatus::Signal { number: 9, core: false })), "signal 9 (SIGKILL)");
        assert_eq!(reason_of_exit(Some(ExitStatus::Code(3))), "exit code 3");
    }

    #[test]
    fn a_death_tells_reason_last_words_and_what_comes_next() {
        let exit = Exit {
            pid: 7,
            reason: "exit code 1".to_owned(),
            uptime_ms: Some(1500),
            stderr: Some("no such table".to_owned()),
            ..Exit::default()
        };
        let status = Status { last_exit: Some(exit), ..Status::default() };
        let line = died(&status, Duration::from_secs(2));
        assert_eq!(
            line.text,
            "worker died: exit code 1, last words \"no such table\"; restarting in 2 s pid=7 uptime=1.5 s"
        );
        assert_eq!(line.subject_and_words(), ("", "exit code 1"));
    }
}
