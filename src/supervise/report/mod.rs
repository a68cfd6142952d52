//! Says what happens: in the log, in the status file, and to the event hooks.
//!
//! The policy knows what was decided; the runtime has seen pids, reasons and answers. Here the two become one sentence
//! that a person understands. All of it comes after the decision was carried out: nothing waits for a log or a disk.

pub(crate) mod messages;
pub mod own_log;
pub mod status;
pub(crate) mod throttle;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use log::Level;
use serde::Serialize;

use self::messages::{Line, Seen, line_of};
use self::status::{Status, Transition};
use self::throttle::{Permit, Throttle};
use super::client::{Ended, Verdict};
use super::helpers::hooks::HookEvent;
use super::worker::Departure;
use crate::config::Config;
use crate::policy::{AfterExit, Condition, Generation, Machine, Notice};

/// The failed start at which a worker counts as failing, and `restart-failing` is fired.
const FAILING_AT: u32 = 5;

/// The time of one turn of the loop, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// For deadlines.
    pub(crate) instant: Instant,
    /// For people, in milliseconds since 1970.
    pub(crate) wall_ms: u64,
}

impl Now {
    fn wall_ms_of(self, instant: Instant) -> u64 {
        let ahead = instant.saturating_duration_since(self.instant);
        let behind = self.instant.saturating_duration_since(instant);
        self.wall_ms.saturating_add(millis(ahead)).saturating_sub(millis(behind))
    }
}

/// What an event hook reads.
#[derive(Serialize)]
struct Details<'a> {
    event: &'static str,
    message: &'a str,
    status: &'a Status,
}

/// Collects what was seen and tells it.
pub(crate) struct Reporter {
    status: Status,
    dir: PathBuf,
    throttle: Throttle,
    condition: Condition,
    seen: Seen,
    /// Something was said to be wrong with the worker or its port, and has not been said to be right again.
    worker_trouble: bool,
    /// The same of the registration.
    sync_trouble: bool,
    /// The last worker that was registered.
    synced: Option<Generation>,
    /// The worker that a hint about a 4xx answer was given for.
    hinted: Option<Generation>,
}

impl Reporter {
    /// A reporter that writes its status file into `dir`.
    pub(crate) fn new(config: &Config, dir: PathBuf, now: Now) -> Self {
        let status = Status {
            running: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            supervisor_pid: platform::own_pid(),
            since_ms: now.wall_ms,
            ..Status::default()
        };
        let mut reporter = Self {
            status,
            dir,
            throttle: Throttle::default(),
            condition: Condition::Launching,
            seen: Seen::default(),
            worker_trouble: false,
            sync_trouble: false,
            synced: None,
            hinted: None,
        };
        reporter.reconfigured(config);
        reporter
    }

    /// Takes over what the status file says of the configuration.
    pub(crate) fn reconfigured(&mut self, config: &Config) {
        let status = &mut self.status;
        status.name.clone_from(&config.name);
        status.config_path = config.path.display().to_string();
        status.address = config.address().to_string();
        status.log_stdout = config.log_stdout.display().to_string();
        status.log_stderr = config.log_stderr.display().to_string();
        status.health_interval_ms = millis(config.health_interval);
        status.streak_max = config.health_failures_before_restart;
        status.config_problem = None;
    }

    /// A worker runs under this pid.
    pub(crate) fn saw_worker(&mut self, generation: Generation, pid: platform::Pid, now: Now) {
        self.seen.pid = Some(pid);
        self.status.pid = Some(pid.as_raw());
        self.status.generation = generation.number();
        self.status.started_ms = Some(now.wall_ms);
        self.status.restarts = generation.number().saturating_sub(1);
        self.status.last_probe = None;
        self.status.sync = None;
    }

    /// A worker of an earlier supervisor runs under this pid, since nobody knows when.
    pub(crate) fn saw_adopted(&mut self, pid: platform::Pid) {
        self.seen.pid = Some(pid);
        self.status.pid = Some(pid.as_raw());
    }

    /// A worker is gone, and this was the last line of its standard error. The next one may run already.
    pub(crate) fn saw_exit(&mut self, departure: &Departure, last_line: Option<String>, now: Now) {
        self.status.last_exit = Some(status::Exit {
            at_ms: now.wall_ms,
            generation: departure.generation.number(),
            pid: departure.pid.as_raw(),
            reason: messages::reason_of_exit(departure.status),
            uptime_ms: departure.lived.map(millis),
            asked_for: false,
            stderr: last_line,
        });
        if self.status.generation == departure.generation.number() {
            self.status.pid = None;
            self.status.started_ms = None;
        }
    }

    /// A probe has ended. Returns whether in another way than the one before it.
    pub(crate) fn saw_probe(&mut self, ended: &Ended, is_healthy: bool, now: Now) -> bool {
        let result = match &ended.verdict {
            Verdict::Answered(status) => format!("status {status}"),
            Verdict::Failed(reason) | Verdict::LocalError(reason) => reason.clone(),
        };
        let is_other = self.status.last_probe.as_ref().is_none_or(|last| last.result != result);
        self.saw_probe_result(result, is_healthy, ended.latency, now);
        if let Verdict::LocalError(reason) = &ended.verdict {
            let text = format!("cannot probe: {reason}; says nothing about the worker, trying again");
            self.say(now, &Line::new(Level::Warn, "own-trouble", text));
        }
        if let Verdict::Answered(status @ 400..500) = ended.verdict
            && is_healthy
            && self.hinted != Some(ended.generation)
        {
            self.hinted = Some(ended.generation);
            let text = format!(
                "answer to the health request has status {status}, which counts as healthy; \
                 check health_endpoint if that is not what you expect"
            );
            self.say(now, &Line::new(Level::Info, "hint", text));
        }
        is_other
    }

    /// A probe was given up at its deadline.
    pub(crate) fn saw_probe_timeout(&mut self, timeout: Duration, now: Now) {
        self.saw_probe_result(messages::timed_out(timeout), false, timeout, now);
    }

    fn saw_probe_result(&mut self, result: String, healthy: bool, latency: Duration, now: Now) {
        self.seen.probe.clone_from(&result);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.status.last_probe = Some(status::Probe { at_ms: now.wall_ms, healthy, result, latency_us });
    }

    /// A registration has ended or was given up.
    pub(crate) fn saw_sync(&mut self, generation: Generation, result: String, accepted: bool, now: Now) {
        self.seen.is_sync_routine = accepted && self.synced == Some(generation) && !self.sync_trouble;
        if accepted {
            self.synced = Some(generation);
        }
        let failures = self.status.sync.as_ref().map_or(0, |sync| sync.failures);
        let failures = if accepted { 0 } else { failures.saturating_add(1) };
        self.seen.sync.clone_from(&result);
        self.status.sync = Some(status::Sync { at_ms: now.wall_ms, accepted, result, failures });
    }

    /// A launch failed for this reason.
    pub(crate) fn saw_launch_error(&mut self, reason: String) {
        self.status.problem = Some(reason);
    }

    /// These secrets are used although a refresh failed, and those are left out. Names of variables, no values.
    pub(crate) fn saw_secrets<'a>(
        &mut self,
        stale: impl Iterator<Item = &'a str>,
        absent: impl Iterator<Item = &'a str>,
    ) {
        self.status.stale_secrets = stale.map(str::to_owned).collect();
        self.status.absent_secrets = absent.map(str::to_owned).collect();
    }

    /// Somebody holds the port.
    pub(crate) fn saw_holders(&mut self, names: Option<&str>) {
        self.status.port_holder = Some(names.unwrap_or("a process that this user cannot see").to_owned());
    }

    /// Says something that is no transition.
    pub(crate) fn warn(&mut self, kind: &'static str, text: String, now: Now) {
        self.say(now, &Line::new(Level::Warn, kind, text));
    }

    /// Notes that the configuration could not be read anew, and says so.
    pub(crate) fn saw_broken_config(&mut self, problem: String) -> Line {
        let text = format!("cannot reload the configuration, keeping the old one: {problem}");
        self.status.config_problem = Some(problem);
        Line::new(Level::Error, "reload", text)
    }

    /// Tells a notice, and returns what the event hooks are to be told with it.
    pub(crate) fn tell(&mut self, notice: Notice, machine: &Machine, now: Now) -> Vec<HookEvent> {
        // The status is brought up to date after the telling; which failure in a row this one is has to be known now.
        self.status.failed_starts = machine.failures();
        self.note(notice);
        let line = line_of(notice, &self.seen, &self.status);
        self.say(now, &line);
        if line.is_transition {
            self.remember(&line, now);
        }
        self.events_of(notice)
    }

    /// Brings the status up to date and writes it. Nothing is lost if it can't be written but the file's freshness.
    pub(crate) fn write(&mut self, machine: &Machine, now: Now) {
        let condition = machine.condition();
        if condition != self.condition {
            self.condition = condition;
            self.status.since_ms = now.wall_ms;
        }
        let status = &mut self.status;
        condition.word().clone_into(&mut status.state);
        status.streak = machine.streak();
        status.failed_starts = machine.failures();
        status.healthy = condition == Condition::Running && status.streak == 0;
        status.updated_ms = now.wall_ms;
        status.next_step = messages::next_step(condition).map(str::to_owned);
        status.next_deadline_ms = machine.next_deadline().map(|deadline| now.wall_ms_of(deadline));
        if let Err(error) = self.status.write(&self.dir) {
            let text = format!("cannot write status file in {:?}: {error}; the old one stays", self.dir);
            self.say(now, &Line::new(Level::Warn, "status-file", text));
        }
    }

    /// The details that an event hook gets on its standard input: one JSON object.
    pub(crate) fn details(&self, event: HookEvent) -> String {
        let message = self.status.transitions.last().map_or("", |transition| transition.message.as_str());
        let details = Details { event: event.name(), message, status: &self.status };
        serde_json::to_string(&details).unwrap_or_default()
    }

    /// What a notice changes in what is known.
    fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Started(_) | Notice::Ready { .. } => {
                self.status.problem = None;
                self.status.port_holder = None;
            }
            Notice::Ended { .. } => {
                if let Some(exit) = &mut self.status.last_exit {
                    exit.asked_for = true;
                    exit.stderr = None;
                }
            }
            Notice::Adopted
            | Notice::Died { .. }
            | Notice::LaunchFailed { .. }
            | Notice::PortConflict { .. }
            | Notice::PortAwaited
            | Notice::PortLost { .. }
            | Notice::Impostor(_)
            | Notice::Probed { .. }
            | Notice::ProbeFailed { .. }
            | Notice::HealthRegained
            | Notice::Unhealthy(_)
            | Notice::StartupTimedOut(_)
            | Notice::Draining { .. }
            | Notice::Killing { .. }
            | Notice::Stuck(_)
            | Notice::Synced
            | Notice::SyncFailed { .. }
            | Notice::Stopped => {}
        }
    }

    fn events_of(&mut self, notice: Notice) -> Vec<HookEvent> {
        let failing = |failures: u32| if failures == FAILING_AT { vec![HookEvent::RestartFailing] } else { Vec::new() };
        let events = match notice {
            Notice::Started(_) => vec![HookEvent::Started],
            Notice::Ready { .. } if self.worker_trouble => vec![HookEvent::Ready, HookEvent::Recovered],
            Notice::Ready { .. } => vec![HookEvent::Ready],
            Notice::HealthRegained if self.worker_trouble => vec![HookEvent::Recovered],
            Notice::Died { .. } => [vec![HookEvent::Exited], failing(self.status.failed_starts)].concat(),
            Notice::Ended { after_exit: AfterExit::Retry, .. } => {
                [vec![HookEvent::Exited], failing(self.status.failed_starts)].concat()
            }
            Notice::Ended { .. } => vec![HookEvent::Exited],
            Notice::LaunchFailed { failures, .. } => failing(failures),
            Notice::PortConflict { round: 1 } | Notice::PortAwaited | Notice::Impostor(_) => {
                vec![HookEvent::PortConflict]
            }
            Notice::PortLost { failures, .. } => [vec![HookEvent::PortConflict], failing(failures)].concat(),
            Notice::Unhealthy(_) => vec![HookEvent::Unhealthy],
            Notice::SyncFailed { .. } => vec![HookEvent::SyncFailed],
            Notice::Synced if self.sync_trouble => vec![HookEvent::Recovered],
            Notice::Stopped => vec![HookEvent::Stopped],
            Notice::Adopted
            | Notice::PortConflict { .. }
            | Notice::Probed { .. }
            | Notice::ProbeFailed { .. }
            | Notice::HealthRegained
            | Notice::StartupTimedOut(_)
            | Notice::Draining { .. }
            | Notice::Killing { .. }
            | Notice::Stuck(_)
            | Notice::Synced => Vec::new(),
        };
        self.follow_trouble(&events, notice);
        events
    }

    fn follow_trouble(&mut self, events: &[HookEvent], notice: Notice) {
        for event in events {
            match event {
                HookEvent::RestartFailing | HookEvent::PortConflict | HookEvent::Unhealthy => {
                    self.worker_trouble = true;
                }
                HookEvent::SyncFailed => self.sync_trouble = true,
                HookEvent::Recovered if notice == Notice::Synced => self.sync_trouble = false,
                HookEvent::Recovered => self.worker_trouble = false,
                HookEvent::Started | HookEvent::Ready | HookEvent::Exited | HookEvent::Stopped => {}
            }
        }
    }

    fn remember(&mut self, line: &Line, now: Now) {
        let transitions = &mut self.status.transitions;
        if transitions.len() >= status::TRANSITIONS_MAX {
            transitions.remove(0);
        }
        transitions.push(Transition { at_ms: now.wall_ms, message: line.text.clone() });
    }

    /// Says a line, unless it was said too often already.
    pub(crate) fn say(&mut self, now: Now, line: &Line) {
        let (subject, words) = line.subject_and_words();
        match self.throttle.permit(now.instant, (line.kind, subject), words, line.free) {
            Permit::Say(0) => log::log!(line.level, "{}", line.text),
            Permit::Say(held_back) => {
                log::log!(line.level, "{} (and {held_back} times more since last said)", line.text);
            }
            Permit::Hold => log::debug!("{}", line.text),
        }
    }
}

/// Whole milliseconds, as far as they fit.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
