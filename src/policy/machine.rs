//! The machine itself: what it holds, its two ways in and out, and what time and an exit mean.
//!
//! The other events have a file per chapter of a worker's life: `start`, `run`, `stop`. Each event is one
//! method, and each method lists every state. `policy/mod.rs` has the table.

use std::time::{Duration, Instant};

use super::settings::Settings;
use super::state::{Clearing, Condition, Pause, State, Worker};
use super::types::{Action, Actions, AfterExit, Event, Generation, Notice, StopSignal};

/// How long a SIGKILL may take before the worker counts as stuck in the kernel.
pub const KILL_TIME: Duration = Duration::from_secs(2);

/// How many sets of holders are moved from the port before a launch counts as failed.
pub const ROUNDS_MAX: u32 = 3;

/// Decides for one worker at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) state: State,
    /// The generation of the next launch.
    pub(super) next: Generation,
    /// Failed starts in a row.
    pub(super) failures: u32,
}

impl Machine {
    /// A machine at its beginning. `adopted`: a worker of an earlier supervisor still runs; it is ended first, as
    /// [`Generation::ADOPTED`].
    pub fn new(settings: Settings, now: Instant, adopted: bool) -> (Self, Actions) {
        let mut machine = Self { settings, state: State::Stopped, next: Generation::FIRST, failures: 0 };
        let actions = if adopted {
            let patience = machine.settings.drain.max(machine.settings.port_grace);
            machine.state =
                State::Draining { generation: Generation::ADOPTED, kill_at: now + patience, then: AfterExit::Launch };
            Actions::of([Action::Drain(Generation::ADOPTED, StopSignal::Term), Action::Tell(Notice::Adopted)])
        } else {
            machine.launch(None)
        };
        (machine, actions)
    }

    /// Takes note of an event and says what to do. `now` must not run backwards.
    pub fn handle(&mut self, now: Instant, event: Event) -> Actions {
        match event {
            Event::TimePassed => self.time_passed(now),
            Event::Spawned(generation) => self.spawned(now, generation),
            Event::LaunchFailed(generation) => self.launch_failed(now, generation),
            Event::PortHeld(generation, holders) => self.port_held(now, generation, holders),
            Event::LeaseStarted(generation) => self.lease_started(now, generation),
            Event::LeaseEnded(generation) => self.lease_ended(generation),
            Event::Exited(generation) => self.exited(now, generation),
            Event::Probed(generation, outcome) => self.probed(now, generation, outcome),
            Event::OwnerFound(generation, owner) => self.owner_found(now, generation, owner),
            Event::SyncEnded(generation, accepted) => self.sync_ended(now, generation, accepted),
            Event::StopRequested(signal) => self.stop_requested(now, signal),
            Event::RestartRequested => self.restart_requested(now),
        }
    }

    /// When to come back with [`Event::TimePassed`] if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }

    /// What the machine is doing, in one word.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.state.condition()
    }

    /// The worker that lives, as far as is known.
    #[must_use]
    pub fn worker(&self) -> Option<Generation> {
        self.state.worker()
    }

    /// Failed probes in a row of the worker that lives.
    #[must_use]
    pub fn streak(&self) -> u32 {
        match &self.state {
            State::Starting { probes, .. } | State::Running { probes, .. } => probes.streak(),
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Draining { .. }
            | State::Killing { .. }
            | State::Stopped => 0,
        }
    }

    /// Failed starts in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Decides by other settings from now on. Deadlines that run already stay.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    fn time_passed(&mut self, now: Instant) -> Actions {
        match self.state {
            State::Leasing { give_up_at } if now >= give_up_at => {
                Actions::of([Action::CancelLease]).then(self.launch(None))
            }
            State::Clearing { clearing, recheck_at } if now >= recheck_at => self.launch(Some(clearing)),
            State::Waiting { until, .. } if now >= until => self.launch(None),
            State::Starting { worker, startup_at, probes } => self.watch_startup(now, worker, startup_at, probes),
            State::Running { worker, probes, sync } => self.watch(now, worker, probes, sync),
            State::Draining { generation, kill_at, then } if now >= kill_at => self.kill(now, generation, then, false),
            State::Killing { generation, give_up_at, then } if now >= give_up_at => self.stuck(now, generation, then),
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Draining { .. }
            | State::Killing { .. }
            | State::Stopped => Actions::NONE,
        }
    }

    fn exited(&mut self, now: Instant, generation: Generation) -> Actions {
        if self.state.worker() != Some(generation) {
            return Actions::NONE;
        }
        match self.state {
            State::Starting { worker, .. } => {
                let delay = self.next_backoff();
                self.replace(now, worker, delay)
            }
            State::Running { worker, .. } => {
                let steady = now.saturating_duration_since(worker.spawned_at) >= self.settings.stable;
                let delay = if steady { Duration::ZERO } else { self.settings.backoff.delay(1) };
                self.replace(now, worker, delay)
            }
            State::Draining { then, .. } | State::Killing { then, .. } => self.ended(now, generation, then),
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Stopped => Actions::NONE,
        }
    }

    fn replace(&mut self, now: Instant, gone: Worker, delay: Duration) -> Actions {
        let uptime = now.saturating_duration_since(gone.spawned_at);
        self.pause(now, delay, Pause::Backoff).then(Actions::of([
            Action::CancelProbe,
            Action::CancelSync,
            Action::Tell(Notice::Died(gone.generation, uptime, delay)),
        ]))
    }

    pub(super) fn launch(&mut self, clearing: Option<Clearing>) -> Actions {
        self.state = State::Launching { clearing, stop: None };
        Actions::of([Action::Launch(self.next)])
    }

    /// Launches after the delay, or at once if there is none.
    pub(super) fn pause(&mut self, now: Instant, delay: Duration, why: Pause) -> Actions {
        if delay.is_zero() {
            return self.launch(None);
        }
        self.state = State::Waiting { until: now + delay, why };
        Actions::NONE
    }

    /// One more failed start: the delay before the next.
    pub(super) fn next_backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.settings.backoff.delay(self.failures)
    }
}
