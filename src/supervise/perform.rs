//! How each order of the policy is carried out.
//!
//! None of it waits. An order that is answered at once returns the fact; the rest come back through the loop.

use std::io;

use platform::{Peer, Pid};

use super::Supervisor;
use super::client::{Answer, Client, Ended, Verdict};
use super::helpers::secrets::Provision;
use super::launch::Spawned;
use super::port::{PortWatch, describe, describe_elsewhere};
use super::report::happening::{Happening, ProbeEnd, no_answer, sync_result};
use super::sources::Source;
use super::worker::Worker;
use crate::config::Config;
use crate::error::ExitCode;
use crate::http::{LOCATION_BYTES_MAX, Method, Request};
use crate::policy::{Action, Event, Generation, Holders, ProbeOutcome, SYNC_TIMEOUT, StopSignal};
use crate::time::Now;

impl Supervisor {
    /// Carries out one order. Some: the fact that follows from it at once.
    pub(super) fn perform(&mut self, now: Now, action: Action) -> Option<Event> {
        match action {
            Action::Launch(generation) => return Some(self.launch(generation, now)),
            Action::FindOwner(generation) => return Some(self.find_owner(generation)),
            Action::Probe(generation) => return self.begin_probe(generation, now),
            Action::Sync(generation) => return self.begin_sync(generation, now),
            Action::CancelLease { timed_out } => {
                self.secrets.cancel(now.instant, timed_out, &mut self.reporter.news);
            }
            Action::AskHolders => self.press_holders(PortWatch::ask),
            Action::KillHolders => self.press_holders(PortWatch::kill),
            Action::CancelProbe { timed_out } => self.cancel_probe(timed_out),
            Action::CancelSync { timed_out } => self.cancel_sync(timed_out),
            Action::Drain { generation, signal } => self.drain(generation, signal),
            Action::Kill(generation) => self.kill(generation),
            Action::Reload => self.reload(),
            Action::Tell(notice) => self.tell_of(notice),
            Action::Quit { is_stuck } => self.quit(is_stuck),
        }
        None
    }

    fn launch(&mut self, generation: Generation, now: Now) -> Event {
        let address = self.config.address();
        // Where the lock can't be had, the marks of workers still keep supervisors from each other's.
        let is_claimed = self.port.claim(address).unwrap_or_else(|error| {
            self.reporter.warn("address-lock", format!("cannot claim the address: {error}; going on without it"));
            true
        });
        if !is_claimed {
            self.reporter.saw_holders(self.port.names());
            return Event::PortHeld { generation, holders: Holders::Untouchable };
        }
        match self.port.check(address, self.launcher.take_trial()) {
            Ok(None) => {}
            Ok(Some(holders)) => {
                self.reporter.saw_holders(self.port.names());
                return Event::PortHeld { generation, holders };
            }
            // Whoever answers there is on another machine.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                return self.launch_failed(generation, describe_elsewhere(address.ip()));
            }
            // The worker will meet the same error, and may know better than to call it one.
            Err(error) => self.reporter.warn("port-check", format!("cannot try port {address}: {error}")),
        }
        let news = &mut self.reporter.news;
        let secrets = match self.secrets.provide(self.poll.registry(), generation, now.instant, news) {
            Provision::Ready(secrets) => secrets,
            Provision::Failed(reason) => return self.launch_failed(generation, reason),
            Provision::Pending => return Event::LeaseStarted(generation),
        };
        // From here on a supervisor that is killed, at whatever moment, leaves no worker that the next can't find.
        let mark = self.launcher.mark(generation);
        if let Err(error) = self.record.launching(&mark) {
            return self
                .launch_failed(generation, format!("cannot record the worker in {:?}: {error}", self.record.path()));
        }
        self.logs.worker_starts();
        // Until it is reaped a dead process counts against the limit of processes.
        let bury = || self.departed.take().into_iter().for_each(Worker::bury);
        match self.launcher.spawn(&self.config, &mark, secrets, now.wall_ms, bury) {
            Ok(spawned) => self.spawned(generation, spawned, now),
            Err(reason) => self.launch_failed(generation, reason),
        }
    }

    fn spawned(&mut self, generation: Generation, spawned: Spawned, now: Now) -> Event {
        let (worker, error) = Worker::spawned(self.poll.registry(), generation, spawned.pid, now.instant);
        self.reporter.news.push(Happening::Spawned { generation, pid: worker.pid() });
        self.worker = Some(worker);
        // Who it is, in place of its mark. The worker needs the time to be executed anyway.
        self.write_record();
        for text in spawned.warnings {
            self.reporter.warn("launch", text);
        }
        if let Some(error) = error {
            let text = format!("cannot watch the worker's exit: {error}; relying on SIGCHLD and health checks");
            self.reporter.warn("exit-watch", text);
        }
        self.secrets.refresh(self.poll.registry(), now.instant, &mut self.reporter.news);
        self.reporter.saw_secrets(self.secrets.stale(), self.secrets.left_out());
        Event::Spawned(generation)
    }

    fn launch_failed(&mut self, generation: Generation, reason: String) -> Event {
        self.reporter.saw_secrets(self.secrets.stale(), self.secrets.left_out());
        self.reporter.saw_launch_error(reason);
        Event::LaunchFailed(generation)
    }

    fn begin_probe(&mut self, generation: Generation, now: Now) -> Option<Event> {
        if let Some(worker) = &mut self.worker {
            worker.look_soon();
        }
        let ended = self.probe.begin(self.poll.registry(), generation, now.instant);
        // The first probe comes with the spawn, so this is at each spawn and at each health tick.
        self.logs.look(now.instant, &mut self.reporter.news);
        self.reporter.saw_log_problems(self.logs.problems());
        ended.map(|ended| self.probed(ended, now))
    }

    fn begin_sync(&mut self, generation: Generation, now: Now) -> Option<Event> {
        let ended = self.sync.begin(self.poll.registry(), generation, now.instant)?;
        Some(self.synced(ended))
    }

    /// Notes how a probe has ended, and puts it as a fact.
    pub(super) fn probed(&mut self, ended: Ended, now: Now) -> Event {
        let Ended { generation, verdict, latency } = ended;
        let (outcome, end) = match verdict {
            Verdict::Answered(Answer { status, redirect: None, .. }) => {
                (ProbeOutcome::Answered(status), ProbeEnd::Answered(status))
            }
            Verdict::Answered(Answer { status, redirect: Some(location), .. }) => {
                let location = self.secrets.redactor().show(&location, LOCATION_BYTES_MAX);
                (ProbeOutcome::Answered(status), ProbeEnd::Redirected(status, location))
            }
            Verdict::Failed(reason) => {
                self.explain_start(now);
                (ProbeOutcome::Failed, ProbeEnd::Failed(reason))
            }
            Verdict::LocalError(reason) => (ProbeOutcome::LocalError, ProbeEnd::LocalError(reason)),
        };
        self.reporter.saw_probe(end, latency);
        Event::Probed { generation, outcome }
    }

    /// Notes how a registration has ended, and puts it as a fact.
    pub(super) fn synced(&mut self, ended: Ended) -> Event {
        let (result, accepted) = match ended.verdict {
            Verdict::Answered(answer) => {
                let endpoint = self.config.sync_endpoint.as_deref().unwrap_or_default();
                let result = sync_result(&answer, self.sync.sync_answer(), endpoint, self.secrets.redactor());
                (result, answer.accepts)
            }
            Verdict::Failed(reason) | Verdict::LocalError(reason) => (reason, false),
        };
        self.reporter.saw_sync(result);
        Event::SyncEnded { generation: ended.generation, accepted }
    }

    fn cancel_probe(&mut self, timed_out: bool) {
        self.probe.cancel();
        if timed_out {
            let timeout = self.config.health_timeout;
            self.reporter.saw_probe(ProbeEnd::Failed(no_answer(timeout)), timeout);
        }
    }

    fn cancel_sync(&mut self, timed_out: bool) {
        if timed_out {
            // Of a refusal, whose reason is in its body, the status may have been heard.
            let redactor = self.secrets.redactor();
            let endpoint = self.config.sync_endpoint.as_deref().unwrap_or_default();
            let told = |answer| sync_result(&answer, self.sync.sync_answer(), endpoint, redactor);
            let heard = self.sync.heard().map(told);
            self.reporter.saw_sync(heard.unwrap_or_else(|| no_answer(SYNC_TIMEOUT)));
        }
        self.sync.cancel();
    }

    fn press_holders(&mut self, press: fn(&mut PortWatch) -> io::Result<()>) {
        if let Err(error) = press(&mut self.port) {
            self.reporter.warn("port-holders", format!("cannot signal the port's holder: {error}"));
        }
    }

    fn drain(&mut self, generation: Generation, signal: StopSignal) {
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.generation() == generation) else { return };
        let pid = worker.pid();
        if let Err(error) = worker.drain(signal, self.config.stop_group) {
            self.not_signalled("drain", pid, &error);
        }
        // The worker goes first: where it shares our processor, it may be gone before there is anything to tell.
        std::thread::yield_now();
    }

    fn kill(&mut self, generation: Generation) {
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.generation() == generation) else { return };
        worker.look_soon();
        let (pid, killed) = (worker.pid(), worker.kill());
        if !worker.rest().is_empty() {
            self.reporter.saw_rest(describe(worker.rest()));
        }
        if let Err(error) = killed {
            self.not_signalled("kill", pid, &error);
        }
    }

    fn not_signalled(&mut self, kind: &'static str, pid: Pid, error: &io::Error) {
        let cause = if error.kind() == io::ErrorKind::PermissionDenied {
            let who = describe(&[pid]);
            self.reporter.saw_another_users(who.clone());
            format!("it runs as another user: {who}")
        } else {
            error.to_string()
        };
        self.reporter.warn(kind, format!("cannot signal the worker: {cause}"));
    }

    fn reload(&mut self) {
        // Leases that were cancelled for this begin anew, also where the configuration stays: taken over, they would
        // start the worker without its secrets.
        self.secrets.abort();
        let loaded = match Config::load(&self.config.path) {
            Ok(loaded) => loaded,
            Err(error) => return self.reporter.news.push(Happening::ConfigBroken(error.to_string())),
        };
        for warning in loaded.warnings {
            self.reporter.warn("config", warning);
        }
        let mut config = loaded.config;
        if config.name != self.config.name || !platform::is_same_file(&config.state_dir, &self.config.state_dir) {
            let text = "name and state_dir change at the supervisor's next start only";
            self.reporter.warn("config", text.to_owned());
            config.name.clone_from(&self.config.name);
            config.state_dir.clone_from(&self.config.state_dir);
        }
        self.launcher.forget();
        self.machine.reconfigure(config.settings());
        (self.probe, self.sync) = clients(&config);
        self.secrets.reconfigure(&config);
        self.hooks.reconfigure(&config);
        self.logs.reconfigure(&config);
        self.reporter.reconfigured(&config);
        self.config = config;
        self.reporter.news.push(Happening::ConfigReloaded);
    }

    fn quit(&mut self, is_stuck: bool) {
        self.secrets.abort();
        self.end = Some(match (is_stuck, &self.lock) {
            (true, _) => ExitCode::Failed,
            (false, Some(_)) => ExitCode::Ok,
            (false, None) => ExitCode::AlreadyRunning,
        });
    }
}

/// The clients of a configuration: for health and for the sync.
pub(super) fn clients(config: &Config) -> (Client, Client) {
    let worker = Peer::at(config.address());
    let health = Request::new(Method::Get, &config.health_endpoint, &config.host_header);
    // Without a sync endpoint the policy never orders a sync.
    let endpoint = config.sync_endpoint.as_deref().unwrap_or("/");
    let sync = Request::new(Method::Put, endpoint, &config.host_header);
    (Client::new(Source::Probe, worker, health, false), Client::new(Source::Sync, worker, sync, true))
}
