//! What happened, and what is made of it: the line of the log, what hooks are told, and what changes in the status.
//!
//! One `match` over what happened, [`Known::tell`]. Pure: no clock, no file, no log. Errors read "cannot VERB OBJECT:
//! cause", and what can be survived says what happens next. Whatever came from the worker or the network was escaped
//! before it gets here.

use std::time::Duration;

use log::Level;
use platform::Pid;

use super::happening::{Happening, HookEvent, ProbeEnd};
use super::message::{CAUSE_BYTES_MAX, Message};
use super::status::{Exit, Probe, Status, Sync};
use crate::error::{SHOWN_BYTES_MAX, cut, escape};
use crate::policy::{AfterExit, Generation, Health, KillCause, Notice, ROUNDS_MAX};
use crate::time::{millis_and_tenth, secs};

/// The failed start at which a worker counts as failing, and `restart-failing` is fired.
const FAILING_AT: u32 = 5;

/// One kind for accepted and refused, whose words differ: each change between them is news, however often it comes.
const SYNC: &str = "sync";

/// Everything that is known of the supervisor and its worker, as far as lines and the status file need it.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) status: Status,
    /// The worker's pid, also of one that has just gone.
    pub(crate) pid: Option<Pid>,
    pub(crate) probe: ProbeEnd,
    pub(crate) probe_latency: Duration,
    /// How the last registration went.
    pub(crate) sync: String,
    /// Those who go on where the worker's first process has finished.
    pub(crate) rest: Option<String>,
    /// The worker, if it runs as somebody whose processes may not be signalled.
    pub(crate) another_users: Option<String>,
    /// Something was said to be wrong with the worker or its port, and has not been said to be right again.
    is_worker_failing: bool,
    /// The same of the registration.
    is_sync_failing: bool,
    /// The worker that a hint about a 4xx answer was given for.
    hinted: Option<Generation>,
}

impl Known {
    /// Nothing but this is known.
    pub(crate) fn new(status: Status) -> Self {
        Self { status, ..Self::default() }
    }

    /// Takes note of what happened, at `wall_ms`; the line to say, if it is worth one.
    pub(crate) fn tell(&mut self, happening: Happening, wall_ms: u64) -> Option<Message> {
        let message = match happening {
            Happening::Notice(notice) => return self.tell_notice(notice, wall_ms),
            Happening::Spawned { generation, pid } => return self.spawned(generation, pid, wall_ms),
            Happening::Exited(exit) => return self.exited(exit),
            Happening::Warning { kind, text } => Message::new(Level::Warn, kind, text),
            Happening::LeftRunning { names, was_quiet } => {
                let why = if was_quiet { "the worker put itself into the background, or they are" } else { "they are" };
                let text = format!("left running: {names}; {why} in sessions of their own, see end_detached");
                Message::transition(Level::Warn, "left-running", text).keyed(why)
            }
            Happening::ConfigReloaded => Message::new(Level::Info, "reload", "configuration reloaded".to_owned()),
            Happening::ConfigBroken(mut problem) => {
                cut(&mut problem, CAUSE_BYTES_MAX);
                let text = format!("cannot reload the configuration, keeping the old one: {problem}");
                self.status.config_problem = Some(problem);
                Message::new(Level::Error, "reload", text)
            }
            Happening::LeaseFailed { variable, mut reason, has_last_value } => {
                cut(&mut reason, CAUSE_BYTES_MAX);
                let shown = escape(&variable, SHOWN_BYTES_MAX);
                let text = if has_last_value {
                    format!("cannot refresh secret {shown}: {reason}; using its last value")
                } else {
                    format!("cannot lease secret {shown}: {reason}; starting without it")
                };
                Message::new(Level::Warn, "secret", text.clone()).about(variable, text).once()
            }
            Happening::LeasedAgain { variable } => {
                let text = format!("secret {} can be leased again", escape(&variable, SHOWN_BYTES_MAX));
                Message::new(Level::Info, "secret", text).about(variable, "leased")
            }
            Happening::HookFailed { event, mut reason } => {
                cut(&mut reason, CAUSE_BYTES_MAX);
                let text = format!("cannot complete the hook for {}: {reason}; going on without it", event.name());
                Message::new(Level::Warn, "hook", text).keyed(reason).once()
            }
            Happening::HookDone => Message::new(Level::Debug, "hook", "hook done".to_owned()).keyed("done"),
        };
        Some(message)
    }

    fn tell_notice(&mut self, notice: Notice, wall_ms: u64) -> Option<Message> {
        use Level::{Error, Info, Warn};
        let pid = self.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let probe = self.probe.text();
        Some(match notice {
            Notice::Adopted => {
                let text = format!("worker of an earlier supervisor still runs, ending it first pid={pid}");
                Message::transition(Warn, "adopted", text)
            }
            Notice::Started(generation) => self.started(generation, &pid),
            Notice::Ready { after, .. } => self.ready(after, &pid),
            Notice::Probed { generation, health } => return self.probed(generation, health, wall_ms),
            Notice::ProbeFailed { streak, streak_max } => {
                let text = format!("health check failed: {probe} streak={streak} of={streak_max}");
                Message::new(Warn, "probe-failed", text).keyed(probe)
            }
            Notice::HealthRegained => {
                let message = Message::transition(Info, "healthy", format!("healthy again pid={pid}")).keyed("");
                self.worker_recovered(message)
            }
            Notice::Unhealthy(_) => self.unhealthy(&pid),
            Notice::StartupTimedOut(_) => {
                let text = format!("worker did not get healthy in time: {probe}; restarting it pid={pid}");
                Message::transition(Error, "startup-timeout", text).keyed(probe)
            }
            Notice::Died { delay, .. } => self.died(delay),
            Notice::Ended { after_exit, delay, .. } => self.ended(after_exit, delay),
            Notice::LaunchFailed { failures, delay } => self.launch_failed(failures, delay),
            Notice::PortConflict { round } => self.port_conflict(round),
            Notice::PortAwaited => self.port_awaited(),
            Notice::PortLost { failures, delay } => self.port_lost(failures, delay),
            Notice::Impostor(_) => self.impostor(),
            Notice::Draining { after_exit, patience, .. } => {
                let word = after_exit_word(after_exit);
                let text = format!("draining pid={pid} for={} then={word}", secs(patience));
                Message::transition(Info, "draining", text).keyed(word)
            }
            Notice::DrainWaits(_) => {
                let rest = self.rest.as_deref().unwrap_or("others of its session");
                let text = format!("the worker's first process has finished, waiting for {rest} pid={pid}");
                Message::transition(Info, "drain-waits", text).keyed("")
            }
            Notice::Killing { cause, .. } => killing(cause, self.rest.take(), &pid),
            Notice::Stuck(_) => {
                let text = match &self.another_users {
                    Some(who) => {
                        format!("worker runs as another user and can't be ended from here: {who}; end it by hand")
                    }
                    None => format!("worker was killed and the kernel does not let it go pid={pid}"),
                };
                self.status.problem = Some(text.clone());
                Message::transition(Error, "stuck", text)
            }
            Notice::Synced => self.synced(wall_ms),
            Notice::SyncFailed { delay } => self.sync_failed(delay, wall_ms),
            Notice::Stopped => Message::transition(Info, "stopped", "stopped".to_owned()).hook(HookEvent::Stopped),
        })
    }

    /// Nothing to say: what comes of it is told by a notice.
    fn spawned(&mut self, generation: Generation, pid: Pid, wall_ms: u64) -> Option<Message> {
        self.pid = Some(pid);
        let status = &mut self.status;
        status.pid = Some(pid.as_raw());
        status.generation = generation.number();
        status.started_ms = Some(wall_ms);
        status.restarts = generation.number().saturating_sub(1);
        status.last_probe = None;
        status.sync = None;
        None
    }

    /// As [`Known::spawned`].
    fn exited(&mut self, exit: Exit) -> Option<Message> {
        if self.status.generation == exit.generation {
            self.status.pid = None;
            self.status.started_ms = None;
        }
        self.status.last_exit = Some(exit);
        None
    }

    fn started(&mut self, generation: Generation, pid: &str) -> Message {
        self.clear_problem();
        (self.rest, self.another_users) = (None, None);
        let text = format!("started pid={pid} generation={}", generation.number());
        Message::transition(Level::Info, "started", text).keyed("").hook(HookEvent::Started)
    }

    fn ready(&mut self, after: Duration, pid: &str) -> Message {
        self.clear_problem();
        let probe = self.probe.text();
        let text = format!("ready after_ms={} pid={pid} answer=\"{probe}\"", millis_and_tenth(after));
        let message = Message::transition(Level::Info, "ready", text).keyed(probe).hook(HookEvent::Ready);
        self.worker_recovered(message)
    }

    fn unhealthy(&mut self, pid: &str) -> Message {
        let probe = self.probe.text();
        let why = format!("{} checks failed in a row, the last one: {probe}", self.status.streak_max);
        let text = format!("worker is unhealthy: {why}; restarting it pid={pid}");
        self.worker_failed(Message::transition(Level::Error, "unhealthy", text).keyed(probe), HookEvent::Unhealthy)
    }

    fn clear_problem(&mut self) {
        self.status.problem = None;
        self.status.port_holder = None;
    }

    fn probed(&mut self, generation: Generation, health: Health, wall_ms: u64) -> Option<Message> {
        if health == Health::Unknown && !matches!(self.probe, ProbeEnd::LocalError(_)) {
            // Excused: there is nothing to be told of it.
            return None;
        }
        let latency_us = u64::try_from(self.probe_latency.as_micros()).unwrap_or(u64::MAX);
        let (healthy, result) = (health == Health::Healthy, self.probe.text());
        self.status.last_probe = Some(Probe { at_ms: wall_ms, healthy, result, latency_us });
        match &self.probe {
            ProbeEnd::LocalError(reason) => {
                let text = format!("cannot probe: {reason}; says nothing about the worker, trying again");
                Some(Message::new(Level::Warn, "local-error", text))
            }
            ProbeEnd::Answered(400..500) | ProbeEnd::Redirected(..) if healthy && self.hinted != Some(generation) => {
                self.hinted = Some(generation);
                let text = format!(
                    "answer to the health request has {}, which counts as healthy; \
                     check health_endpoint if that is not what you expect",
                    self.probe.text()
                );
                Some(Message::new(Level::Info, "hint", text))
            }
            ProbeEnd::None | ProbeEnd::Answered(_) | ProbeEnd::Redirected(..) | ProbeEnd::Failed(_) => None,
        }
    }

    fn died(&mut self, delay: Duration) -> Message {
        let Some(exit) = &self.status.last_exit else {
            return Message::transition(Level::Warn, "died", "worker died".to_owned());
        };
        let next = if delay.is_zero() { "at once".to_owned() } else { format!("in {}", secs(delay)) };
        let last_words = exit.stderr.as_ref().map_or_else(String::new, |line| format!(", last words \"{line}\""));
        // As one does that puts itself into the background, or a script that does not wait for what it starts.
        let is_short = exit.reason == "exit code 0" && self.status.failed_starts > 0;
        let hint = if is_short { "; a worker has to stay in the foreground" } else { "" };
        let text = format!("worker died: {}{last_words}{hint}; restarting {next}{}", exit.reason, uptime(exit));
        let message = Message::transition(Level::Warn, "died", text).keyed(exit.reason.clone());
        self.start_failed(message.hook(HookEvent::Exited), self.status.failed_starts)
    }

    fn ended(&mut self, after_exit: AfterExit, delay: Duration) -> Message {
        let Some(exit) = &mut self.status.last_exit else {
            return Message::transition(Level::Info, "ended", "worker ended".to_owned());
        };
        exit.asked_for = true;
        exit.stderr = None;
        let next = match after_exit {
            AfterExit::Stop => String::new(),
            AfterExit::Launch | AfterExit::Reload => "; starting the next one".to_owned(),
            AfterExit::Retry => format!("; retrying in {}", secs(delay)),
        };
        let text = format!("worker ended: {}{next}{}", exit.reason, uptime(exit));
        let message = Message::transition(Level::Info, "ended", text).keyed(exit.reason.clone());
        let message = message.hook(HookEvent::Exited);
        if after_exit == AfterExit::Retry { self.start_failed(message, self.status.failed_starts) } else { message }
    }

    fn launch_failed(&mut self, failures: u32, delay: Duration) -> Message {
        let problem = self.status.problem.as_deref().unwrap_or("unknown cause");
        let text = format!("cannot start the worker: {problem}; retrying in {} failures={failures}", secs(delay));
        let message = Message::transition(Level::Error, "launch-failed", text).keyed(problem);
        self.start_failed(message, failures)
    }

    fn port_conflict(&mut self, round: u32) -> Message {
        let text = format!("port {}; asking it to go round={round} of={ROUNDS_MAX}", self.held_by());
        let message = Message::transition(Level::Warn, "port-conflict", text).keyed("");
        if round == 1 { self.worker_failed(message, HookEvent::PortConflict) } else { message }
    }

    fn port_awaited(&mut self) -> Message {
        let text = format!("port {}; waiting until it is free", self.held_by());
        let message = Message::transition(Level::Warn, "port-awaited", text).keyed(self.holder()).once();
        self.worker_failed(message, HookEvent::PortConflict)
    }

    fn port_lost(&mut self, failures: u32, delay: Duration) -> Message {
        let (port, holder, next) = (&self.status.address, self.holder(), secs(delay));
        let text = format!("cannot free port {port}: held by {holder}; retrying in {next} failures={failures}");
        let message = Message::transition(Level::Error, "port-lost", text).keyed("");
        let message = self.worker_failed(message, HookEvent::PortConflict);
        self.start_failed(message, failures)
    }

    fn impostor(&mut self) -> Message {
        let (port, holder) = (&self.status.address, self.holder());
        let text = format!("port {port} was answered by {holder} and not by the worker; restarting it");
        let message = Message::transition(Level::Error, "impostor", text).keyed("");
        self.worker_failed(message, HookEvent::PortConflict)
    }

    fn held_by(&self) -> String {
        format!("{} is held by {}", self.status.address, self.holder())
    }

    fn holder(&self) -> &str {
        self.status.port_holder.as_deref().unwrap_or("nobody")
    }

    fn synced(&mut self, wall_ms: u64) -> Message {
        let was_accepted = self.status.sync.as_ref().is_some_and(|sync| sync.accepted);
        self.status.sync = Some(Sync { at_ms: wall_ms, accepted: true, result: self.sync.clone(), failures: 0 });
        if was_accepted && !self.is_sync_failing {
            return Message::new(Level::Debug, "synced-again", "synced again".to_owned());
        }
        let text = format!("synced answer=\"{}\"", self.sync);
        let message = Message::transition(Level::Info, SYNC, text).keyed(self.sync.clone());
        message.hook_if(std::mem::take(&mut self.is_sync_failing), HookEvent::Recovered)
    }

    fn sync_failed(&mut self, delay: Duration, wall_ms: u64) -> Message {
        let failures = self.status.sync.as_ref().map_or(0, |sync| sync.failures).saturating_add(1);
        self.status.sync = Some(Sync { at_ms: wall_ms, accepted: false, result: self.sync.clone(), failures });
        self.is_sync_failing = true;
        let text = format!("cannot sync: {}; retrying in {}", self.sync, secs(delay));
        let message = Message::transition(Level::Warn, SYNC, text).keyed(self.sync.clone()).once();
        message.hook(HookEvent::SyncFailed)
    }

    fn worker_failed(&mut self, message: Message, event: HookEvent) -> Message {
        self.is_worker_failing = true;
        message.hook(event)
    }

    fn worker_recovered(&mut self, message: Message) -> Message {
        message.hook_if(std::mem::take(&mut self.is_worker_failing), HookEvent::Recovered)
    }

    /// With `restart-failing`, if this is the failure that makes a worker count as failing.
    fn start_failed(&mut self, message: Message, failures: u32) -> Message {
        if failures == FAILING_AT { self.worker_failed(message, HookEvent::RestartFailing) } else { message }
    }
}

fn killing(cause: KillCause, rest: Option<String>, pid: &str) -> Message {
    let why = match cause {
        KillCause::Late => "it did not finish in time",
        KillCause::AskedTwice => "asked twice to stop",
    };
    let rest = rest.map_or_else(String::new, |rest| format!(", with it {rest}"));
    let text = format!("killing the worker's group: {why}{rest} pid={pid}");
    Message::transition(Level::Warn, "killing", text).keyed(why)
}

fn uptime(exit: &Exit) -> String {
    let uptime =
        exit.uptime_ms.map_or_else(String::new, |millis| format!(" uptime={}", secs(Duration::from_millis(millis))));
    format!(" pid={}{uptime}", exit.pid)
}

fn after_exit_word(after_exit: AfterExit) -> &'static str {
    match after_exit {
        AfterExit::Stop => "stop",
        AfterExit::Launch => "restart",
        AfterExit::Reload => "reload",
        AfterExit::Retry => "retry",
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::TEXT_BYTES_MAX;
    use super::super::throttle::{Permit, Throttle};
    use super::*;
    use std::time::Instant;

    fn notice(known: &mut Known, notice: Notice) -> Option<Message> {
        known.tell(Happening::Notice(notice), 0)
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
        let mut known = Known::new(Status { last_exit: Some(exit), ..Status::default() });
        let message = known.died(Duration::from_secs(2));
        assert_eq!(
            message.text,
            "worker died: exit code 1, last words \"no such table\"; restarting in 2 s pid=7 uptime=1.5 s"
        );
        assert_eq!((message.subject.as_str(), message.key.as_str()), ("", "exit code 1"));
        assert_eq!(message.hooks, [HookEvent::Exited]);
    }

    #[test]
    fn a_helper_that_fails_again_is_said_once_until_it_went_well() {
        let (mut known, mut throttle, now) = (Known::new(Status::default()), Throttle::default(), Instant::now());
        let reason = "exit code 1".to_owned();
        let hook_failed = Happening::HookFailed { event: HookEvent::Ready, reason: reason.clone() };
        let lease_failed = |variable: &str| {
            let (variable, reason) = (variable.to_owned(), reason.clone());
            Happening::LeaseFailed { variable, reason, has_last_value: false }
        };
        let leased = Happening::LeasedAgain { variable: "A".to_owned() };
        let mut is_said = |happening: &Happening| {
            let message = known.tell(happening.clone(), 0).unwrap();
            throttle.permit(now, (message.kind, &message.subject), &message.key, message.free) != Permit::Hold
        };
        let hooks = [&hook_failed, &hook_failed, &Happening::HookDone, &hook_failed].map(&mut is_said);
        assert_eq!(hooks, [true, false, true, true]);
        let leases = [&lease_failed("A"), &lease_failed("B"), &lease_failed("A"), &leased, &lease_failed("A")];
        assert_eq!(leases.map(&mut is_said), [true, true, false, true, true]);
    }

    #[test]
    fn a_line_is_bounded_and_what_comes_after_a_long_cause_is_still_read() {
        let mut known = Known::new(Status::default());
        let long = || "x".repeat(1 << 20);
        let hook_failed = Happening::HookFailed { event: HookEvent::Ready, reason: long() };
        let warning = Happening::Warning { kind: "log", text: long() };
        let lease_failed = Happening::LeaseFailed { variable: long(), reason: long(), has_last_value: false };
        for (happening, end) in [
            (hook_failed, "…; going on without it"),
            (Happening::ConfigBroken(long()), "x…"),
            (lease_failed, "…; starting without it"),
            (warning, "x…"),
        ] {
            let message = known.tell(happening, 0).unwrap();
            assert!(message.text.len() <= TEXT_BYTES_MAX + 3 && message.text.ends_with(end), "{}", message.text);
            assert!(message.key.len() <= TEXT_BYTES_MAX + 3);
        }
        assert!(known.status.config_problem.unwrap().len() < TEXT_BYTES_MAX);
    }

    #[test]
    fn two_deaths_in_one_turn_are_told_with_a_reason_each() {
        let mut known = Known::new(Status::default());
        let exit = |generation, reason: &str| {
            Happening::Exited(Exit { generation, pid: 7, reason: reason.to_owned(), ..Exit::default() })
        };
        let died = Happening::Notice(Notice::Died {
            generation: Generation::FIRST,
            uptime: Duration::ZERO,
            delay: Duration::from_secs(1),
        });
        let second = Happening::Spawned { generation: Generation::FIRST.next(), pid: Pid::new(8).unwrap() };
        let news = [exit(1, "signal 9 (SIGKILL)"), died.clone(), second, exit(2, "exit code 1"), died];
        let said: Vec<String> = news.into_iter().filter_map(|it| known.tell(it, 0)).map(|it| it.text).collect();
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("SIGKILL") && said[1].contains("exit code 1"), "{said:?}");
        assert_eq!((known.status.pid, known.status.generation), (None, 2));
    }

    #[test]
    fn recovery_is_told_once_after_a_failure_and_never_without_one() {
        let mut known = Known::new(Status::default());
        let ready = Notice::Ready { generation: Generation::FIRST, after: Duration::ZERO };
        assert_eq!(notice(&mut known, ready).unwrap().hooks, [HookEvent::Ready]);
        assert_eq!(notice(&mut known, Notice::Unhealthy(Generation::FIRST)).unwrap().hooks, [HookEvent::Unhealthy]);
        assert_eq!(notice(&mut known, ready).unwrap().hooks, [HookEvent::Ready, HookEvent::Recovered]);
        assert_eq!(notice(&mut known, ready).unwrap().hooks, [HookEvent::Ready]);
    }

    #[test]
    fn the_fifth_failed_start_is_told_and_no_other() {
        let mut known = Known::new(Status::default());
        let failing = (1..8).filter(|failures| {
            let failed = Notice::LaunchFailed { failures: *failures, delay: Duration::from_secs(1) };
            notice(&mut known, failed).unwrap().hooks == [HookEvent::RestartFailing]
        });
        assert_eq!(failing.collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_registration_is_news_when_it_is_the_first_or_follows_a_failure() {
        let mut known = Known::new(Status::default());
        let level = |known: &mut Known, told| notice(known, told).unwrap().level;
        assert_eq!(level(&mut known, Notice::Synced), Level::Info);
        assert_eq!(level(&mut known, Notice::Synced), Level::Debug);
        assert_eq!(level(&mut known, Notice::SyncFailed { delay: Duration::from_secs(1) }), Level::Warn);
        assert_eq!(known.status.sync.as_ref().map(|sync| (sync.accepted, sync.failures)), Some((false, 1)));
        assert_eq!(notice(&mut known, Notice::Synced).unwrap().hooks, [HookEvent::Recovered]);
        assert_eq!(level(&mut known, Notice::Synced), Level::Debug);
    }

    #[test]
    fn a_registration_that_is_refused_accepted_and_refused_again_is_told_each_time() {
        let (mut known, mut throttle, now) = (Known::new(Status::default()), Throttle::default(), Instant::now());
        let mut said = |answer: &str, told| {
            known.sync = answer.to_owned();
            let message = notice(&mut known, told).unwrap();
            let permit = throttle.permit(now, (message.kind, &message.subject), &message.key, message.free);
            (permit != Permit::Hold && message.level <= Level::Info).then_some(message.text)
        };
        let failed = Notice::SyncFailed { delay: Duration::from_secs(1) };
        for _ in 0..20 {
            assert_eq!(said("status 500", failed).unwrap(), "cannot sync: status 500; retrying in 1 s");
            assert_eq!(said("status 500", failed), None, "no change");
            assert_eq!(said("status 200", Notice::Synced).unwrap(), "synced answer=\"status 200\"");
            assert_eq!(said("status 200", Notice::Synced), None, "no change");
        }
    }

    #[test]
    fn health_in_the_status_is_the_policys_judgement_and_a_4xx_is_hinted_at_once_per_worker() {
        let mut known = Known { probe: ProbeEnd::Answered(404), ..Known::new(Status::default()) };
        let healthy = |generation| Notice::Probed { generation, health: Health::Healthy };
        let refused = Notice::Probed { generation: Generation::FIRST, health: Health::Unhealthy };
        assert!(notice(&mut known, refused).is_none());
        assert_eq!(known.status.last_probe.as_ref().map(|probe| probe.healthy), Some(false));
        assert!(notice(&mut known, healthy(Generation::FIRST)).is_some_and(|message| message.text.contains("404")));
        assert_eq!(known.status.last_probe.as_ref().map(|probe| probe.healthy), Some(true));
        assert!(notice(&mut known, healthy(Generation::FIRST)).is_none());
        assert!(notice(&mut known, healthy(Generation::FIRST.next())).is_some());
        let before = known.status.last_probe.clone();
        let excused = Notice::Probed { generation: Generation::FIRST, health: Health::Unknown };
        assert!(known.tell(Happening::Notice(excused), 1).is_none());
        assert_eq!(known.status.last_probe, before);
    }
}
