//! A live worker: its start-up, its probes, the question whose answer it was, and its registration.

use std::time::Instant;

use super::exchange::{Due, HealthSettings, LOCAL_ERROR_PAUSE, Probes, Sync, startup_pause};
use super::machine::Machine;
use super::state::{Condition, State, Worker};
use super::types::{Action, Actions, AfterExit, Generation, Health, Notice, Owner, ProbeOutcome, StopSignal};

impl Machine {
    pub(super) fn watch_startup(&mut self, now: Instant) -> Actions {
        let State::Starting { worker, startup_at, probes } = &mut self.state else { return Actions::NONE };
        let (generation, settings) = (worker.generation, &self.settings.health);
        if now < *startup_at {
            let actions = serve_probes(now, generation, probes, settings);
            if probes.has_timed_out(now) {
                probes.reschedule(now);
            }
            return actions;
        }
        if probes.excuses(now, *startup_at) {
            *startup_at = now + settings.timeout;
            return probe_again(now, generation, probes, settings);
        }
        let actions = if probes.has_timed_out(now) { give_up_probe(generation) } else { Actions::NONE };
        let told = actions.and(Action::Tell(Notice::StartupTimedOut(generation)));
        told.chain(self.drain(now, generation, StopSignal::Term, AfterExit::Retry))
    }

    pub(super) fn watch(&mut self, now: Instant) -> Actions {
        let State::Running { worker, probes, sync } = &mut self.state else { return Actions::NONE };
        let generation = worker.generation;
        let probing = serve_probes(now, generation, probes, &self.settings.health);
        if probes.has_timed_out(now) {
            return probing.chain(self.probe_failed(now));
        }
        match sync.on_time(now, probes.streak() == 0) {
            Due::Quiet => probing,
            Due::Send => probing.and(Action::Sync(generation)),
            Due::TimedOut => {
                let told = Action::Tell(Notice::SyncFailed { delay: sync.failed(now) });
                probing.and(Action::CancelSync { timed_out: true }).and(told)
            }
        }
    }

    /// Asks a healthy worker anew, at once, and registers it again where that is done now and then.
    pub(super) fn slept(&mut self, now: Instant) -> Actions {
        let State::Running { worker, probes, sync } = &mut self.state else { return Actions::NONE };
        sync.repeat(now, self.settings.sync);
        probe_again(now, worker.generation, probes, &self.settings.health)
    }

    pub(super) fn probed(&mut self, now: Instant, generation: Generation, outcome: ProbeOutcome) -> Actions {
        let (State::Starting { worker, probes, .. } | State::Running { worker, probes, .. }) = self.state else {
            return Actions::NONE;
        };
        if worker.generation != generation || !probes.is_in_flight() {
            return Actions::NONE;
        }
        let health = self.settings.health.judge(outcome);
        if let State::Starting { .. } = self.state {
            self.probed_in_startup(now, generation, health)
        } else {
            self.probed_in_service(now, generation, health)
        }
    }

    fn probed_in_startup(&mut self, now: Instant, generation: Generation, health: Health) -> Actions {
        let State::Starting { worker, startup_at, probes } = &mut self.state else { return Actions::NONE };
        let told = judged(generation, health);
        match health {
            Health::Healthy | Health::Unhealthy => {
                probes.heard(now + startup_pause(now.saturating_duration_since(worker.spawned_at)));
            }
            Health::Unknown => {
                // A worker that could not be asked has not failed to answer: it gets at least one more probe.
                *startup_at = (*startup_at).max(now + LOCAL_ERROR_PAUSE + self.settings.health.timeout);
                probes.reschedule(now + LOCAL_ERROR_PAUSE);
            }
        }
        match health {
            Health::Healthy => Actions::of([Action::FindOwner(generation), told]),
            Health::Unhealthy | Health::Unknown => Actions::of([told]),
        }
    }

    fn probed_in_service(&mut self, now: Instant, generation: Generation, health: Health) -> Actions {
        let State::Running { probes, .. } = &mut self.state else { return Actions::NONE };
        let settings = &self.settings.health;
        let told = Actions::of([judged(generation, health)]);
        match health {
            Health::Healthy => {
                let has_regained = probes.succeeded(now, settings);
                let told = told.and(Action::FindOwner(generation));
                if has_regained { told.and(Action::Tell(Notice::HealthRegained)) } else { told }
            }
            Health::Unhealthy if probes.excuses_failure(now) => {
                probes.sent(now, settings);
                Actions::of([judged(generation, Health::Unknown), Action::Probe(generation)])
            }
            Health::Unhealthy => told.chain(self.probe_failed(now)),
            Health::Unknown => {
                probes.reschedule(now + settings.interval.min(LOCAL_ERROR_PAUSE));
                told
            }
        }
    }

    fn probe_failed(&mut self, now: Instant) -> Actions {
        let State::Running { worker, probes, .. } = &mut self.state else { return Actions::NONE };
        let (generation, streak_max) = (worker.generation, self.settings.health.streak_max);
        let streak = probes.failed(now, &self.settings.health);
        if streak < streak_max {
            return Actions::of([Action::Tell(Notice::ProbeFailed { streak, streak_max })]);
        }
        let told = Actions::of([Action::Tell(Notice::Unhealthy(generation))]);
        told.chain(self.drain(now, generation, StopSignal::Term, AfterExit::Launch))
    }

    pub(super) fn owner_found(&mut self, now: Instant, generation: Generation, owner: Owner) -> Actions {
        let (State::Starting { worker, .. } | State::Running { worker, .. }) = self.state else { return Actions::NONE };
        if worker.generation != generation {
            return Actions::NONE;
        }
        match owner {
            Owner::Own | Owner::Unknown if self.condition() == Condition::Starting => self.ready(now, worker),
            Owner::Own | Owner::Unknown => Actions::NONE,
            Owner::Stranger => {
                let told = Actions::of([Action::Tell(Notice::Impostor(generation))]);
                told.chain(self.drain(now, generation, StopSignal::Term, AfterExit::Retry))
            }
        }
    }

    fn ready(&mut self, now: Instant, worker: Worker) -> Actions {
        self.failures = 0;
        let probes = Probes::due(now + self.settings.health.interval);
        let sync = Sync::after_ready(now, self.settings.sync);
        self.state = State::Running { worker, probes, sync };
        let after = now.saturating_duration_since(worker.spawned_at);
        self.watch(now).and(Action::Tell(Notice::Ready { generation: worker.generation, after }))
    }

    pub(super) fn sync_ended(&mut self, now: Instant, generation: Generation, accepted: bool) -> Actions {
        let State::Running { worker, sync, .. } = &mut self.state else { return Actions::NONE };
        if worker.generation != generation || !sync.is_in_flight() {
            return Actions::NONE;
        }
        let notice = if accepted {
            sync.accepted(now, self.settings.sync);
            Notice::Synced
        } else {
            Notice::SyncFailed { delay: sync.failed(now) }
        };
        Actions::of([Action::Tell(notice)])
    }
}

/// What the passing of time asks of the probes. One given up is left in flight, for the caller to count.
fn serve_probes(now: Instant, generation: Generation, probes: &mut Probes, settings: &HealthSettings) -> Actions {
    match probes.on_time(now, settings) {
        Due::Quiet => Actions::NONE,
        Due::Send => Actions::of([Action::Probe(generation)]),
        Due::TimedOut if probes.excuses_failure(now) => probe_again(now, generation, probes, settings),
        Due::TimedOut => give_up_probe(generation),
    }
}

/// Sends a fresh probe; the one in flight, if there is one, says nothing.
fn probe_again(now: Instant, generation: Generation, probes: &mut Probes, settings: &HealthSettings) -> Actions {
    let excused = if probes.is_in_flight() {
        Actions::of([Action::CancelProbe { timed_out: false }, judged(generation, Health::Unknown)])
    } else {
        Actions::NONE
    };
    probes.sent(now, settings);
    excused.and(Action::Probe(generation))
}

/// Gives up the probe in flight, and that counts.
fn give_up_probe(generation: Generation) -> Actions {
    Actions::of([Action::CancelProbe { timed_out: true }, judged(generation, Health::Unhealthy)])
}

fn judged(generation: Generation, health: Health) -> Action {
    Action::Tell(Notice::Probed { generation, health })
}
