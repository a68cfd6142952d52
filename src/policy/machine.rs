//! The machine itself: what it decides by, what it holds, its two ways in and out, and what time and an exit mean.
//!
//! The other events have a file per chapter of a worker's life: `start`, `run`, `stop`. Each event is one method, which
//! lists every state, or says with `let … else` which few it matters in. `policy/mod.rs` has the table.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::exchange::{HealthSettings, SyncSettings};
use super::state::{Clearing, Condition, Pause, State, Worker};
use super::types::{Action, Actions, AfterExit, Event, Generation, KillCause, Notice, StopSignal};

/// How long a SIGKILL may take before the worker counts as stuck in the kernel.
pub const KILL_TIME: Duration = Duration::from_secs(2);

/// How many sets of holders are moved from the port before a launch counts as failed.
pub const ROUNDS_MAX: u32 = 3;

/// The configuration, as far as it decides anything. Durations are at most a few years, so that adding one to an
/// `Instant` cannot overflow; the configuration's bounds see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the spawn to the first healthy answer.
    pub startup_timeout: Duration,
    /// A worker that was healthy and lived at least so long is replaced without a pause.
    pub stable: Duration,
    /// Between failed starts.
    pub backoff: Backoff,
    /// From the drain signal to SIGKILL.
    pub drain: Duration,
    /// From asking the port's holders to go to making them.
    pub port_grace: Duration,
    /// Whether a held port is waited for instead of cleared.
    pub wait_for_port: bool,
    /// All leases of one launch together.
    pub lease_timeout: Duration,
    /// The probes.
    pub health: HealthSettings,
    /// The registration.
    pub sync: SyncSettings,
}

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
        if !adopted {
            let actions = machine.launch(None);
            return (machine, actions);
        }
        let generation = Generation::ADOPTED;
        let kill_at = now + machine.settings.drain.max(machine.settings.port_grace);
        machine.state = State::Draining { generation, kill_at, after_exit: AfterExit::Launch };
        let drain = Action::Drain { generation, signal: StopSignal::Term };
        (machine, Actions::of([drain, Action::Tell(Notice::Adopted)]))
    }

    /// Takes note of an event and says what to do. `now` must not run backwards.
    pub fn handle(&mut self, now: Instant, event: Event) -> Actions {
        match event {
            Event::TimePassed => self.time_passed(now),
            Event::Spawned(generation) => self.spawned(now, generation),
            Event::LaunchFailed(generation) => self.launch_failed(now, generation),
            Event::PortHeld { generation, holders } => self.port_held(now, generation, holders),
            Event::LeaseStarted(generation) => self.lease_started(now, generation),
            Event::LeaseEnded(generation) => self.lease_ended(generation),
            Event::LeaderExited(generation) => self.leader_exited(generation),
            Event::Exited(generation) => self.exited(now, generation),
            Event::Probed { generation, outcome } => self.probed(now, generation, outcome),
            Event::OwnerFound { generation, owner } => self.owner_found(now, generation, owner),
            Event::SyncEnded { generation, accepted } => self.sync_ended(now, generation, accepted),
            Event::StopRequested(signal) => self.stop_requested(now, signal),
            Event::RestartRequested => self.restart_requested(now),
            Event::LockLost => self.lock_lost(now),
            Event::Slept => self.slept(now),
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
        let State::Running { probes, .. } = &self.state else { return 0 };
        probes.streak()
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
        if self.next_deadline().is_none_or(|at| now < at) {
            return Actions::NONE;
        }
        match self.state {
            State::Launching { .. } | State::Stopped => Actions::NONE,
            State::Leasing { .. } => Actions::of([Action::CancelLease { timed_out: true }]).chain(self.launch(None)),
            State::Clearing { clearing, .. } => self.launch(Some(clearing)),
            State::Waiting { .. } => self.launch(None),
            State::Starting { .. } => self.watch_startup(now),
            State::Running { .. } => self.watch(now),
            State::Draining { generation, after_exit, .. } => self.kill(now, generation, after_exit, KillCause::Late),
            State::Killing { generation, after_exit, .. } => self.stuck(now, generation, after_exit),
        }
    }

    fn leader_exited(&self, generation: Generation) -> Actions {
        let State::Draining { generation: drained, .. } = self.state else { return Actions::NONE };
        let is_ours = drained == generation;
        if is_ours { Actions::of([Action::Tell(Notice::DrainWaits(generation))]) } else { Actions::NONE }
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
                let is_stable = now.saturating_duration_since(worker.spawned_at) >= self.settings.stable;
                let delay = if is_stable { Duration::ZERO } else { self.settings.backoff.delay(1) };
                self.replace(now, worker, delay)
            }
            State::Draining { after_exit, .. } | State::Killing { after_exit, .. } => {
                self.ended(now, generation, after_exit)
            }
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Stopped => Actions::NONE,
        }
    }

    fn replace(&mut self, now: Instant, gone: Worker, delay: Duration) -> Actions {
        let uptime = now.saturating_duration_since(gone.spawned_at);
        self.pause(now, delay, Pause::Backoff).chain(Actions::of([
            Action::CancelProbe { timed_out: false },
            Action::CancelSync { timed_out: false },
            Action::Tell(Notice::Died { generation: gone.generation, uptime, delay }),
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
