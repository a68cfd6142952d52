//! Says what happens: in the log, in the status file, and to the event hooks.
//!
//! The policy knows what was decided; the loop has seen pids, reasons and answers, and notes them here as they come.
//! At the end of a turn the two become lines that a person understands (`messages`), of which repeats are held back
//! (`throttle`). All of it comes after the decisions were carried out: nothing waits for a log or a disk.

pub(crate) mod happening;
pub(crate) mod message;
pub(crate) mod messages;
pub mod own_log;
pub(crate) mod redact;
pub mod status;
mod status_reader;
pub(crate) mod throttle;

use std::time::Duration;

use log::Level;
use platform::{Identity, Pid};
use serde::Serialize;

use self::happening::{Happening, HookEvent, ProbeEnd};
use self::message::{CAUSE_BYTES_MAX, Message};
use self::messages::Known;
use self::status::{Exit, Status, Transition, next_step};
use self::throttle::{Permit, Throttle};
use super::port::{UNSEEN, describe};
use super::worker::Departure;
use crate::config::Config;
use crate::error::cut;
use crate::policy::{Condition, Machine, Notice};
use crate::state_dir::StateDir;
use crate::time::{Now, millis};

/// A wall clock that is off by so much since the last look was set; by less, it was only adjusted.
const SET_MS_MIN: u64 = 1_000;

/// What an event hook reads.
#[derive(Serialize)]
struct Details<'a> {
    event: &'static str,
    message: &'a str,
    status: &'a Status,
}

/// How the status file stands to what is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Fresh,
    Stale,
    /// Stale for a turn already, since there was more to tell.
    PutOff,
}

/// Collects what was seen and tells it.
pub(crate) struct Reporter {
    known: Known,
    dir: StateDir,
    throttle: Throttle,
    /// As the status file has it.
    condition: Condition,
    freshness: Freshness,
    /// By the clock that all times of the status are told by.
    wall_ahead_ms: i64,
    /// What workers that are gone have left outside of their sessions, and how each is called.
    left_running: Vec<(Identity, String)>,
    /// What is to be told at the end of the turn, in the order in which it came about.
    pub(crate) news: Vec<Happening>,
}

impl Reporter {
    /// A reporter that writes its status file into `dir`.
    pub(crate) fn new(config: &Config, dir: StateDir, now: Now) -> Self {
        let status = Status {
            running: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            supervisor_pid: platform::own_pid(),
            since_ms: now.wall_ms,
            boot_id: platform::boot_id().to_owned(),
            ..Status::default()
        };
        let mut reporter = Self {
            known: Known::new(status),
            dir,
            throttle: Throttle::default(),
            condition: Condition::Launching,
            freshness: Freshness::Stale,
            wall_ahead_ms: now.wall_ahead_ms(),
            left_running: Vec::new(),
            news: Vec::new(),
        };
        reporter.reconfigured(config);
        reporter
    }

    /// Takes over what the status file says of the configuration.
    pub(crate) fn reconfigured(&mut self, config: &Config) {
        let status = &mut self.known.status;
        status.name.clone_from(&config.name);
        status.config_path = config.path.display().to_string();
        status.address = config.address().to_string();
        status.log_stdout = config.log_stdout.display().to_string();
        status.log_stderr = config.log_stderr.display().to_string();
        status.health_interval_ms = millis(config.health_interval);
        status.startup_timeout_ms = millis(config.startup_timeout);
        status.streak_max = config.health_failures_before_restart;
        status.config_problem = None;
    }

    /// The state directory has been made anew.
    pub(crate) fn moved_to(&mut self, dir: StateDir) {
        self.dir = dir;
    }

    /// A worker of an earlier supervisor runs under this pid, since nobody knows when.
    pub(crate) fn saw_adopted(&mut self, pid: Pid) {
        self.known.pid = Some(pid);
        self.known.status.pid = Some(pid.as_raw());
    }

    /// A worker is gone, and these were its last words, as they may be shown. It is to be told before all that followed
    /// from it: at this place among the news.
    pub(crate) fn saw_exit(&mut self, departure: &Departure, words: Option<String>, place: usize, now: Now) {
        let exit = Exit {
            at_ms: now.wall_ms,
            generation: departure.generation.number(),
            pid: departure.pid.as_raw(),
            reason: departure.status.to_string(),
            uptime_ms: departure.lived.map(millis),
            asked_for: false,
            stderr: words,
        };
        self.news.insert(place, Happening::Exited(exit));
    }

    /// A probe has ended, or was given up after so long. What it says of the worker is for the policy to judge.
    pub(crate) fn saw_probe(&mut self, end: ProbeEnd, latency: Duration) {
        (self.known.probe, self.known.probe_latency) = (end, latency);
    }

    /// A registration has ended, or was given up, with this result.
    pub(crate) fn saw_sync(&mut self, result: String) {
        self.known.sync = result;
    }

    /// A launch failed for this reason.
    pub(crate) fn saw_launch_error(&mut self, mut reason: String) {
        cut(&mut reason, CAUSE_BYTES_MAX);
        self.known.status.problem = Some(reason);
    }

    /// These secrets are used although a refresh failed, and those are left out. Names of variables, no values.
    pub(crate) fn saw_secrets<'a>(
        &mut self,
        stale: impl Iterator<Item = &'a str>,
        absent: impl Iterator<Item = &'a str>,
    ) {
        self.known.status.stale_secrets = stale.map(str::to_owned).collect();
        self.known.status.absent_secrets = absent.map(str::to_owned).collect();
    }

    /// These go on where the worker's first process has finished.
    pub(crate) fn saw_rest(&mut self, names: String) {
        // They may have gone meanwhile.
        self.known.rest = Some(names).filter(|names| !names.is_empty());
    }

    /// The worker runs as somebody whose processes may not be signalled.
    pub(crate) fn saw_another_users(&mut self, names: String) {
        self.known.another_users = Some(names);
    }

    /// These have left the session of a worker that is gone, and run on. `was_quiet`: it had ended without an error.
    /// Told right after its end, which is found from this place among the news on.
    pub(crate) fn saw_left_running(&mut self, pids: Vec<Pid>, was_quiet: bool, place: usize) {
        if !pids.is_empty() {
            let is_end =
                |told: &Happening| matches!(told, Happening::Notice(Notice::Died { .. } | Notice::Ended { .. }));
            let after = self.news[place..].iter().position(is_end).map_or(place, |end| place + end + 1);
            self.news.insert(after, Happening::LeftRunning { names: describe(&pids), was_quiet });
        }
        for pid in pids {
            if let Ok(Some(identity)) = platform::identify(pid) {
                self.left_running.push((identity, describe(&[pid])));
            }
        }
    }

    /// What is wrong with the worker's logs from now on.
    pub(crate) fn saw_log_problems(&mut self, problems: &[String]) {
        self.known.status.log_problems = problems.to_vec();
    }

    /// What is known of a worker that was just asked in vain; it is told with why.
    pub(crate) fn saw_fault(&mut self, fault: &str) {
        if let ProbeEnd::Failed(reason) = &mut self.known.probe {
            *reason += &format!("; {fault}");
        }
    }

    /// Somebody holds the port.
    pub(crate) fn saw_holders(&mut self, names: Option<&str>) {
        self.known.status.port_holder = Some(names.unwrap_or(UNSEEN).to_owned());
    }

    /// Something went wrong that can be survived; told at the end of the turn.
    pub(crate) fn warn(&mut self, kind: &'static str, text: String) {
        self.news.push(Happening::Warning { kind, text });
    }

    /// Tells one happening, and returns what the event hooks are to be told with it.
    pub(crate) fn tell(&mut self, happening: Happening, machine: &Machine, now: Now) -> Vec<HookEvent> {
        self.follow_clock(now);
        // The status is brought up to date after the telling; which failure in a row this one is has to be known now.
        self.known.status.failed_starts = machine.failures();
        if happening == Happening::ConfigReloaded {
            // Another command may have been meant to mend it.
            self.throttle.forget("hook");
        }
        let is_news = self.is_news_for_status(&happening, machine);
        if is_news && self.freshness == Freshness::Fresh {
            self.freshness = Freshness::Stale;
        }
        let Some(message) = self.known.tell(happening, now.wall_ms) else { return Vec::new() };
        self.say(now, &message);
        if message.is_transition {
            self.remember(&message, now);
        }
        message.hooks
    }

    /// A start asks every few milliseconds, and is mostly refused: there only another result is news.
    fn is_news_for_status(&self, happening: &Happening, machine: &Machine) -> bool {
        match happening {
            Happening::Notice(Notice::Probed { .. }) => {
                let last = self.known.status.last_probe.as_ref();
                machine.condition() == Condition::Running
                    || last.is_none_or(|last| last.result != self.known.probe.text())
            }
            Happening::Notice(_)
            | Happening::Spawned { .. }
            | Happening::Exited(_)
            | Happening::LeftRunning { .. }
            | Happening::ConfigReloaded
            | Happening::ConfigBroken(_)
            | Happening::LeaseFailed { .. }
            | Happening::LeasedAgain { .. } => true,
            Happening::Warning { .. } | Happening::HookFailed { .. } | Happening::HookDone => false,
        }
    }

    /// Whether the status file is out of date: something was told, or the machine is in another condition.
    pub(crate) fn is_status_stale(&mut self, machine: &Machine) -> bool {
        if self.freshness == Freshness::Fresh && machine.condition() != self.condition {
            self.freshness = Freshness::Stale;
        }
        self.freshness != Freshness::Fresh
    }

    /// Puts the status file off for a turn, in which there is more to tell; not twice in a row. Whether it was put off.
    pub(crate) fn put_status_off(&mut self) -> bool {
        let is_first = self.freshness == Freshness::Stale;
        if is_first {
            self.freshness = Freshness::PutOff;
        }
        is_first
    }

    /// Brings the status up to date and writes it. Nothing is lost if it can't be written but the file's freshness.
    pub(crate) fn write_status(&mut self, machine: &Machine, now: Now) {
        self.follow_clock(now);
        let condition = machine.condition();
        let status = &mut self.known.status;
        if condition != self.condition {
            self.condition = condition;
            status.since_ms = now.wall_ms;
        }
        condition.word().clone_into(&mut status.state);
        status.streak = machine.streak();
        status.failed_starts = machine.failures();
        status.healthy = condition == Condition::Running && status.streak == 0;
        (status.updated_ms, status.updated_boot_ms) = (now.wall_ms, now.boot_ms);
        self.left_running.retain(|(left, _)| platform::identify(left.pid).is_ok_and(|now| now.as_ref() == Some(left)));
        status.left_running = self.left_running.iter().map(|(_, name)| name.clone()).collect();
        status.next_step = next_step(condition).map(str::to_owned);
        status.next_deadline_ms = machine.next_deadline().map(|deadline| now.wall_ms_of(deadline));
        status.bound();
        match status.write(&self.dir) {
            Ok(()) => self.freshness = Freshness::Fresh,
            // Tried again before the next wait.
            Err(error) => {
                let text = format!("cannot write status file in {:?}: {error}; the old one stays", self.dir.path());
                self.say(now, &Message::new(Level::Warn, "status-file", text).once());
            }
        }
    }

    /// The details that an event hook gets on its standard input: one JSON object.
    pub(crate) fn details(&self, event: HookEvent) -> String {
        let status = &self.known.status;
        let message = status.transitions.last().map_or("", |transition| transition.message.as_str());
        serde_json::to_string(&Details { event: event.name(), message, status }).unwrap_or_default()
    }

    /// Where somebody has set the wall clock, all times are told by it as it is now.
    fn follow_clock(&mut self, now: Now) {
        let by_ms = now.wall_ahead_ms().wrapping_sub(self.wall_ahead_ms);
        if by_ms.unsigned_abs() >= SET_MS_MIN {
            self.wall_ahead_ms = now.wall_ahead_ms();
            self.known.status.follow_clock(by_ms);
        }
    }

    fn remember(&mut self, message: &Message, now: Now) {
        let transitions = &mut self.known.status.transitions;
        if transitions.len() >= status::TRANSITIONS_MAX {
            transitions.remove(0);
        }
        transitions.push(Transition { at_ms: now.wall_ms, message: message.text.clone() });
    }

    /// Says a line, unless it was said too often already.
    fn say(&mut self, now: Now, message: &Message) {
        let of = (message.kind, message.subject.as_str());
        match self.throttle.permit(now.instant, of, &message.key, message.free) {
            Permit::Say(0) => log::log!(message.level, "{}", message.text),
            Permit::Say(held_back) => {
                log::log!(message.level, "{} (and {held_back} times more since last said)", message.text);
            }
            Permit::Hold => log::debug!("{}", message.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_clock_that_is_set_changes_no_time_between_two_times_of_the_status() {
        let config = Config::default();
        let path = std::env::temp_dir().join(format!("ws-report-{}", platform::own_pid()));
        let dir = StateDir::open(&path, "demo").unwrap();
        let at = |wall_ms, boot_ms| Now { instant: Instant::now(), wall_ms, boot_ms };
        let (machine, _) = Machine::new(config.settings(), Instant::now(), false);
        let mut reporter = Reporter::new(&config, dir.clone(), at(10_000_000, 5_000));
        // Adjusted by half a second, set back by an hour, set right again.
        for (wall_ms, boot_ms, since_ms) in
            [(10_060_500, 65_000, 10_000_000), (6_460_000, 65_000, 6_400_000), (10_061_000, 66_000, 10_000_000)]
        {
            reporter.write_status(&machine, at(wall_ms, boot_ms));
            let status = Status::read(&dir).unwrap().unwrap();
            assert_eq!((status.since_ms, status.updated_ms, status.updated_boot_ms), (since_ms, wall_ms, boot_ms));
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}
