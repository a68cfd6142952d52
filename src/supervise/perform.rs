//! How each order of the policy is carried out.
//!
//! None of it waits. An order that is answered at once returns the fact; the rest come back through the loop.

use log::Level;

use super::client::Exchanger;
use super::helpers::secrets::Provision;
use super::launch::{self, Launched, Outputs, Prepared};
use super::report::Now;
use super::report::messages::{self as words, Line};
use super::sources::Source;
use super::worker::Worker;
use super::{ExitCode, Supervisor, Told};
use crate::config::Config;
use crate::http::{Method, Request};
use crate::policy::{Action, Event, Generation, Notice, Owner, SYNC_TIMEOUT, StopSignal};
use crate::supervise::launch::environment::Secret;

impl Supervisor {
    /// Carries out one order. Some: the fact that follows from it at once.
    pub(super) fn perform(&mut self, now: Now, action: Action) -> Option<Event> {
        match action {
            Action::Launch(generation) => return Some(self.launch(generation, now)),
            Action::FindOwner(generation) => return Some(self.find_owner(generation)),
            Action::Probe(generation) => return self.begin_probe(generation, now),
            Action::Sync(generation) => return self.begin_sync(generation, now),
            Action::CancelLease { .. } => self.secrets.cancel(now.instant),
            Action::AskHolders => self.press_holders(|port| port.ask()),
            Action::KillHolders => self.press_holders(|port| port.kill()),
            Action::CancelProbe { .. } => self.cancel_probe(now),
            Action::CancelSync { .. } => self.cancel_sync(now),
            Action::Drain { generation, signal } => self.drain(generation, signal),
            Action::Kill(generation) => self.kill(generation),
            Action::Reload => self.reload(),
            Action::Tell(Notice::Probed { .. }) => {}
            Action::Tell(notice) => self.told.push(Told::Notice(notice)),
            Action::Quit { is_stuck } => self.quit(is_stuck),
        }
        None
    }

    fn launch(&mut self, generation: Generation, now: Now) -> Event {
        match self.port.check(self.config.address()) {
            Ok(None) => {}
            Ok(Some(holders)) => {
                self.reporter.saw_holders(self.port.names());
                return Event::PortHeld { generation, holders };
            }
            // The worker will meet the same error, and may know better than to call it one.
            Err(error) => self.warn("port-check", format!("cannot try port {}: {error}", self.config.address())),
        }
        let secrets = match self.secrets.provide(self.poll.registry(), now.instant) {
            Provision::Ready(secrets) => secrets,
            Provision::Failed(reason) => return self.launch_failed(generation, reason),
            Provision::Pending => {
                self.leasing = Some(generation);
                return Event::LeaseStarted(generation);
            }
        };
        self.logs.worker_starts();
        match self.spawn(secrets, now) {
            Ok((launched, prepared)) => self.spawned(generation, launched, prepared, now),
            Err(reason) => self.launch_failed(generation, reason),
        }
    }

    /// Spawns the worker from what was prepared for the last one, if that still holds and works, or from scratch.
    fn spawn(&mut self, secrets: Vec<(String, Secret)>, now: Now) -> Result<(Launched, Prepared), String> {
        let config = &self.config;
        let ahead = self.outputs.take().filter(|outputs| outputs.still_hold(config));
        if let Some(kept) = self.prepared.take()
            && kept.still_holds(config, &secrets)
            && let outputs = ahead.unwrap_or_else(|| Outputs::open(config))
            && let Ok(launched) = launch::spawn(config, &kept, outputs, &self.null)
        {
            return Ok((launched, kept));
        }
        let prepared = launch::prepare(config, &self.inherited, secrets, now.wall_ms)?;
        let launched = launch::spawn(config, &prepared, Outputs::open(config), &self.null)?;
        Ok((launched, prepared))
    }

    /// While the worker is well, makes what the next launch would have to make first. Where descriptors are few none is
    /// kept for later: a probe or the status file may need it sooner.
    pub(super) fn prepare_next(&mut self) {
        if self.has_few_descriptors {
            return;
        }
        self.port.prepare(self.config.address());
        if self.outputs.is_none() {
            self.outputs = Outputs::open_ahead(&self.config);
        }
    }

    fn spawned(&mut self, generation: Generation, launched: Launched, prepared: Prepared, now: Now) -> Event {
        let (worker, trouble) = Worker::spawned(self.poll.registry(), generation, launched.pid, now.instant);
        self.reporter.saw_worker(generation, worker.pid(), now);
        self.worker = Some(worker);
        // Before anything else: until then, a supervisor that is killed leaves a worker that is known by its port only.
        // The worker needs the time to be executed anyway.
        self.is_record_stale = false;
        self.write_record(now);
        for text in prepared.warnings.iter().chain(&launched.warnings) {
            self.warn("launch", text.clone());
        }
        if let Some(error) = trouble {
            let text = format!("cannot watch the worker's exit: {error}; relying on SIGCHLD and health checks");
            self.warn("bell", text);
        }
        self.reporter.saw_secrets(self.secrets.stale(), self.secrets.left_out());
        self.prepared = Some(prepared);
        Event::Spawned(generation)
    }

    fn launch_failed(&mut self, generation: Generation, reason: String) -> Event {
        self.reporter.saw_secrets(self.secrets.stale(), self.secrets.left_out());
        self.reporter.saw_launch_error(reason);
        Event::LaunchFailed(generation)
    }

    fn find_owner(&mut self, generation: Generation) -> Event {
        let Some(worker) = self.worker.as_ref() else { return Event::OwnerFound { generation, owner: Owner::Unknown } };
        let owner = match platform::ownership(self.config.address(), worker.pid()) {
            Ok(platform::Ownership::Own) => Owner::Own,
            Ok(platform::Ownership::Stranger(strangers)) => {
                self.port.name(&strangers);
                self.reporter.saw_holders(self.port.names());
                Owner::Stranger
            }
            Ok(platform::Ownership::Unknown) | Err(_) => Owner::Unknown,
        };
        Event::OwnerFound { generation, owner }
    }

    fn begin_probe(&mut self, generation: Generation, now: Now) -> Option<Event> {
        self.is_sweep_due = true;
        let ended = self.probe.begin(self.poll.registry(), generation, now.instant);
        // The first probe comes with the spawn, so this is at each spawn and at each health tick.
        for problem in self.logs.look(now.instant) {
            self.warn("log-rotation", problem);
        }
        ended.map(|ended| self.probed(&ended, now))
    }

    fn begin_sync(&mut self, generation: Generation, now: Now) -> Option<Event> {
        let ended = self.sync.begin(self.poll.registry(), generation, now.instant)?;
        Some(self.synced(&ended, now))
    }

    fn cancel_probe(&mut self, now: Now) {
        let timeout = self.config.health_timeout;
        if self.probe.cancel(now.instant).is_some_and(|(_, lasted)| lasted >= timeout) {
            self.reporter.saw_probe_timeout(timeout, now);
        }
    }

    fn cancel_sync(&mut self, now: Now) {
        if let Some((generation, lasted)) = self.sync.cancel(now.instant)
            && lasted >= SYNC_TIMEOUT
        {
            self.reporter.saw_sync(generation, words::timed_out(SYNC_TIMEOUT), false, now);
        }
    }

    fn press_holders(&mut self, press: fn(&mut super::PortWatch) -> std::io::Result<()>) {
        if let Err(error) = press(&mut self.port) {
            self.warn("port-holders", format!("cannot signal the port's holder: {error}"));
        }
    }

    fn drain(&mut self, generation: Generation, signal: StopSignal) {
        let drained = self.worker_of(generation).map_or(Ok(()), |worker| worker.drain(signal, self.config.stop_group));
        if let Err(error) = drained {
            self.warn("drain", format!("cannot signal the worker: {error}"));
        }
    }

    fn kill(&mut self, generation: Generation) {
        self.is_sweep_due = true;
        if let Err(error) = self.worker_of(generation).map_or(Ok(()), Worker::kill) {
            self.warn("kill", format!("cannot kill the worker: {error}"));
        }
    }

    fn worker_of(&self, generation: Generation) -> Option<&Worker> {
        self.worker.as_ref().filter(|worker| worker.generation() == generation)
    }

    fn reload(&mut self) {
        // Leases that were cancelled for this begin anew, also where the configuration stays: settled, they would start
        // the worker without its secrets.
        self.secrets.abort();
        self.has_read_config = true;
        let loaded = match Config::load(&self.config.path) {
            Ok(loaded) => loaded,
            Err(error) => {
                let line = self.reporter.saw_broken_config(error.to_string());
                return self.told.push(Told::Line(line));
            }
        };
        for warning in loaded.warnings {
            self.warn("config", warning);
        }
        let mut config = loaded.config;
        if config.name != self.config.name || config.state_dir != self.config.state_dir {
            self.warn("config", "name and state_dir change at the supervisor's next start only".to_owned());
            config.name.clone_from(&self.config.name);
            config.state_dir.clone_from(&self.config.state_dir);
        }
        (self.prepared, self.outputs) = (None, None);
        self.machine.reconfigure(config.settings());
        (self.probe, self.sync) = exchangers(&config);
        self.secrets.reconfigure(&config);
        self.hooks.reconfigure(&config);
        self.logs.reconfigure(&config);
        self.reporter.reconfigured(&config);
        self.config = config;
        self.told.push(Told::Line(Line::new(Level::Info, "reload", "configuration reloaded".to_owned())));
    }

    fn quit(&mut self, is_stuck: bool) {
        self.secrets.abort();
        self.end = Some(if is_stuck { ExitCode::Failed } else { ExitCode::Ok });
    }

    fn warn(&mut self, kind: &'static str, text: String) {
        self.told.push(Told::Line(Line::new(Level::Warn, kind, text)));
    }
}

/// The exchangers of a configuration: health and sync.
pub(super) fn exchangers(config: &Config) -> (Exchanger, Exchanger) {
    let address = config.address();
    let health = Request::new(Method::Get, &config.health_endpoint, &config.host_header);
    // Without a sync endpoint the policy never orders a sync.
    let endpoint = config.sync_endpoint.as_deref().unwrap_or("/");
    let sync = Request::new(Method::Put, endpoint, &config.host_header);
    (Exchanger::new(Source::Probe, address, health, false), Exchanger::new(Source::Sync, address, sync, true))
}
