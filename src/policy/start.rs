//! From an ordered launch to a live worker: the answers to a launch, the leases, the port's holders.

use std::time::{Duration, Instant};

use super::health::Probes;
use super::machine::{KILL_TIME, Machine, ROUNDS_MAX};
use super::state::{Clearing, Pause, Stage, State, Worker};
use super::types::{Action, Actions, AfterExit, Generation, Holders, Notice, StopSignal};

/// Between two looks at a port that is being cleared.
const RECHECK_PAUSE: Duration = Duration::from_millis(10);

/// Between two looks at a port that is being waited for.
const AWAIT_PAUSE: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn spawned(&mut self, now: Instant, generation: Generation) -> Actions {
        let Some(stop) = self.answered(generation) else { return Actions::NONE };
        self.next = generation.next();
        let started = Actions::of([Action::Tell(Notice::Started(generation))]);
        if let Some(signal) = stop {
            return started.then(self.drain(now, generation, signal, AfterExit::Stop));
        }
        let mut probes = Probes::due(now);
        probes.sent(now, &self.settings.health);
        self.state = State::Starting {
            worker: Worker { generation, spawned_at: now },
            startup_at: now + self.settings.startup_timeout,
            probes,
        };
        Actions::of([Action::Probe(generation)]).then(started)
    }

    pub(super) fn launch_failed(&mut self, now: Instant, generation: Generation) -> Actions {
        match self.answered(generation) {
            None => Actions::NONE,
            Some(Some(_)) => self.stop(),
            Some(None) => {
                let delay = self.next_backoff();
                self.pause(now, delay, Pause::Backoff).and(Action::Tell(Notice::LaunchFailed(self.failures, delay)))
            }
        }
    }

    pub(super) fn port_held(&mut self, now: Instant, generation: Generation, holders: Holders) -> Actions {
        let State::Launching { clearing, .. } = self.state else { return Actions::NONE };
        match self.answered(generation) {
            None => return Actions::NONE,
            Some(Some(_)) => return self.stop(),
            Some(None) => {}
        }
        if self.settings.wait_for_port {
            return self.pause(now, AWAIT_PAUSE, Pause::PortHeld).and(Action::Tell(Notice::PortAwaited));
        }
        match holders {
            Holders::Untouchable | Holders::Unseen => self.lose_port(now),
            Holders::Fresh => self.ask_holders(now, clearing.map_or(1, |clearing| clearing.round + 1)),
            Holders::Asked => match clearing {
                None => self.ask_holders(now, 1),
                Some(clearing) => self.press_holders(now, clearing),
            },
        }
    }

    pub(super) fn ask_holders(&mut self, now: Instant, round: u32) -> Actions {
        if round > ROUNDS_MAX {
            return self.lose_port(now);
        }
        let stage = Stage::Asked { kill_at: now + self.settings.port_grace };
        self.state = State::Clearing { clearing: Clearing { round, stage }, recheck_at: now + RECHECK_PAUSE };
        Actions::of([Action::AskHolders, Action::Tell(Notice::PortConflict(round))])
    }

    pub(super) fn press_holders(&mut self, now: Instant, clearing: Clearing) -> Actions {
        let (stage, actions) = match clearing.stage {
            Stage::Asked { kill_at } if now >= kill_at => {
                (Stage::Killed { give_up_at: now + KILL_TIME }, Actions::of([Action::KillHolders]))
            }
            Stage::Killed { give_up_at } if now >= give_up_at => return self.lose_port(now),
            Stage::Asked { .. } | Stage::Killed { .. } => (clearing.stage, Actions::NONE),
        };
        self.state = State::Clearing { clearing: Clearing { stage, ..clearing }, recheck_at: now + RECHECK_PAUSE };
        actions
    }

    pub(super) fn lose_port(&mut self, now: Instant) -> Actions {
        let delay = self.next_backoff();
        self.pause(now, delay, Pause::Backoff).and(Action::Tell(Notice::PortLost(self.failures, delay)))
    }

    pub(super) fn lease_started(&mut self, now: Instant, generation: Generation) -> Actions {
        match self.answered(generation) {
            None => Actions::NONE,
            Some(Some(_)) => Actions::of([Action::CancelLease]).then(self.stop()),
            Some(None) => {
                self.state = State::Leasing { give_up_at: now + self.settings.lease_timeout };
                Actions::NONE
            }
        }
    }

    pub(super) fn lease_ended(&mut self, generation: Generation) -> Actions {
        match self.state {
            State::Leasing { .. } if generation == self.next => self.launch(None),
            State::Leasing { .. }
            | State::Launching { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Draining { .. }
            | State::Killing { .. }
            | State::Stopped => Actions::NONE,
        }
    }

    /// `None`: no launch of this generation is under way. Otherwise whether a stop was noted meanwhile.
    pub(super) fn answered(&self, generation: Generation) -> Option<Option<StopSignal>> {
        match self.state {
            State::Launching { stop, .. } if generation == self.next => Some(stop),
            State::Launching { .. }
            | State::Leasing { .. }
            | State::Clearing { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Draining { .. }
            | State::Killing { .. }
            | State::Stopped => None,
        }
    }
}
