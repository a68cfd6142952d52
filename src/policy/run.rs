//! A live worker: its start-up, its probes, the question whose answer it was, and its registration.

use std::time::Instant;

use super::health::{self, Due, Probes, TROUBLE_PAUSE};
use super::machine::Machine;
use super::state::{State, Worker};
use super::sync::{self, Sync};
use super::types::{Action, Actions, AfterExit, Generation, Notice, Owner, ProbeOutcome, StopSignal};

impl Machine {
    pub(super) fn watch_startup(
        &mut self,
        now: Instant,
        worker: Worker,
        startup_at: Instant,
        mut probes: Probes,
    ) -> Actions {
        let generation = worker.generation;
        let health = &self.settings.health;
        if now >= startup_at {
            if !probes.excuses(now, startup_at) {
                let told = Actions::of([Action::Tell(Notice::StartupTimedOut(generation))]);
                return told.then(self.drain(now, generation, StopSignal::Term, AfterExit::Retry));
            }
            probes.sent(now, health);
            self.state = State::Starting { worker, startup_at: now + health.timeout, probes };
            return Actions::of([Action::CancelProbe, Action::Probe(generation)]);
        }
        let actions = match probes.on_time(now, health) {
            Due::Quiet => Actions::NONE,
            Due::Send => Actions::of([Action::Probe(generation)]),
            Due::SendAgain => Actions::of([Action::CancelProbe, Action::Probe(generation)]),
            Due::TimedOut => {
                probes.reschedule(now);
                Actions::of([Action::CancelProbe])
            }
        };
        self.state = State::Starting { worker, startup_at, probes };
        actions
    }

    pub(super) fn watch(&mut self, now: Instant, worker: Worker, mut probes: Probes, mut sync: Sync) -> Actions {
        let generation = worker.generation;
        let probing = match probes.on_time(now, &self.settings.health) {
            Due::Quiet => Actions::NONE,
            Due::Send => Actions::of([Action::Probe(generation)]),
            Due::SendAgain => Actions::of([Action::CancelProbe, Action::Probe(generation)]),
            Due::TimedOut => {
                let cancelled = Actions::of([Action::CancelProbe]);
                return cancelled.then(self.probe_failed(now, worker, probes, sync));
            }
        };
        let syncing = match sync.on_time(now, probes.streak() == 0) {
            sync::Due::Quiet => Actions::NONE,
            sync::Due::Send => Actions::of([Action::Sync(generation)]),
            sync::Due::TimedOut => {
                Actions::of([Action::CancelSync, Action::Tell(Notice::SyncFailed(sync.failed(now)))])
            }
        };
        self.state = State::Running { worker, probes, sync };
        probing.then(syncing)
    }

    pub(super) fn probe_failed(&mut self, now: Instant, worker: Worker, mut probes: Probes, sync: Sync) -> Actions {
        let streak_max = self.settings.health.streak_max;
        let streak = probes.failed(now, &self.settings.health);
        if streak >= streak_max {
            let told = Actions::of([Action::Tell(Notice::Unhealthy(worker.generation))]);
            return told.then(self.drain(now, worker.generation, StopSignal::Term, AfterExit::Launch));
        }
        self.state = State::Running { worker, probes, sync };
        Actions::of([Action::Tell(Notice::ProbeFailed(streak, streak_max))])
    }

    pub(super) fn probed(&mut self, now: Instant, generation: Generation, outcome: ProbeOutcome) -> Actions {
        match self.state {
            State::Starting { worker, startup_at, probes } if worker.generation == generation && probes.in_flight() => {
                self.probed_in_startup(now, worker, startup_at, probes, outcome)
            }
            State::Running { worker, probes, sync } if worker.generation == generation && probes.in_flight() => {
                self.probed_in_service(now, worker, probes, sync, outcome)
            }
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Draining { .. }
            | State::Killing { .. }
            | State::Stopped => Actions::NONE,
        }
    }

    pub(super) fn probed_in_startup(
        &mut self,
        now: Instant,
        worker: Worker,
        mut startup_at: Instant,
        mut probes: Probes,
        outcome: ProbeOutcome,
    ) -> Actions {
        let pause = health::startup_pause(now.saturating_duration_since(worker.spawned_at));
        let actions = match outcome {
            ProbeOutcome::Answered(status) if self.settings.health.status.accepts(status) => {
                probes.heard(now + pause);
                Actions::of([Action::FindOwner(worker.generation)])
            }
            ProbeOutcome::Answered(_) | ProbeOutcome::Failed => {
                probes.heard(now + pause);
                Actions::NONE
            }
            ProbeOutcome::LocalError => {
                // A worker that could not be asked has not failed to answer: it gets at least one more probe.
                startup_at = startup_at.max(now + TROUBLE_PAUSE + self.settings.health.timeout);
                probes.reschedule(now + TROUBLE_PAUSE);
                Actions::NONE
            }
        };
        self.state = State::Starting { worker, startup_at, probes };
        actions
    }

    pub(super) fn probed_in_service(
        &mut self,
        now: Instant,
        worker: Worker,
        mut probes: Probes,
        sync: Sync,
        outcome: ProbeOutcome,
    ) -> Actions {
        let generation = worker.generation;
        let health = &self.settings.health;
        let regained = match outcome {
            ProbeOutcome::Answered(status) if health.status.accepts(status) => probes.succeeded(now, health),
            ProbeOutcome::Answered(_) | ProbeOutcome::Failed if probes.excuses_failure(now) => {
                probes.sent(now, health);
                self.state = State::Running { worker, probes, sync };
                return Actions::of([Action::Probe(generation)]);
            }
            ProbeOutcome::Answered(_) | ProbeOutcome::Failed => return self.probe_failed(now, worker, probes, sync),
            ProbeOutcome::LocalError => {
                probes.voided(now, health);
                false
            }
        };
        self.state = State::Running { worker, probes, sync };
        if regained { Actions::of([Action::Tell(Notice::HealthRegained)]) } else { Actions::NONE }
    }

    pub(super) fn owner_found(&mut self, now: Instant, generation: Generation, owner: Owner) -> Actions {
        match self.state {
            State::Starting { worker, .. } if worker.generation == generation => match owner {
                Owner::Own | Owner::Unknown => self.ready(now, worker),
                Owner::Stranger => Actions::of([Action::Tell(Notice::Impostor(generation))]).then(self.drain(
                    now,
                    generation,
                    StopSignal::Term,
                    AfterExit::Retry,
                )),
            },
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Draining { .. }
            | State::Killing { .. }
            | State::Stopped => Actions::NONE,
        }
    }

    pub(super) fn ready(&mut self, now: Instant, worker: Worker) -> Actions {
        self.failures = 0;
        let sync = Sync::after_ready(now, self.settings.sync);
        let probes = Probes::due(now + self.settings.health.interval);
        let uptime = now.saturating_duration_since(worker.spawned_at);
        self.watch(now, worker, probes, sync).and(Action::Tell(Notice::Ready(worker.generation, uptime)))
    }

    pub(super) fn sync_ended(&mut self, now: Instant, generation: Generation, accepted: bool) -> Actions {
        match self.state {
            State::Running { worker, probes, mut sync } if worker.generation == generation && sync.in_flight() => {
                let notice = if accepted {
                    sync.accepted(now, self.settings.sync);
                    Notice::Synced
                } else {
                    Notice::SyncFailed(sync.failed(now))
                };
                self.state = State::Running { worker, probes, sync };
                Actions::of([Action::Tell(notice)])
            }
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Draining { .. }
            | State::Killing { .. }
            | State::Stopped => Actions::NONE,
        }
    }
}
