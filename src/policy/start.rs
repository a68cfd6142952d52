//! From an ordered launch to a live worker: the answers to a launch, the leases, the port's holders.

use std::time::{Duration, Instant};

use super::exchange::Probes;
use super::machine::{KILL_TIME, Machine, ROUNDS_MAX};
use super::state::{Clearing, Pause, Stage, State, Worker};
use super::types::{Action, Actions, AfterExit, Generation, Holders, Notice, StopSignal};

/// Between two looks at a port that is being cleared.
const RECHECK_PAUSE: Duration = Duration::from_millis(10);

/// How long a holder that can't be found is looked for.
const UNSEEN_TIME: Duration = Duration::from_millis(300);

/// Between two looks at a port that is being waited for.
const AWAIT_PAUSE: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn spawned(&mut self, now: Instant, generation: Generation) -> Actions {
        let Some(stop) = self.answered(generation) else { return Actions::NONE };
        self.next = generation.next();
        let started = Actions::of([Action::Tell(Notice::Started(generation))]);
        if let Some(signal) = stop {
            return started.chain(self.drain(now, generation, signal, AfterExit::Stop));
        }
        let mut probes = Probes::due(now);
        probes.sent(now, &self.settings.health);
        self.state = State::Starting {
            worker: Worker { generation, spawned_at: now },
            startup_at: now + self.settings.startup_timeout,
            probes,
        };
        Actions::of([Action::Probe(generation)]).chain(started)
    }

    pub(super) fn launch_failed(&mut self, now: Instant, generation: Generation) -> Actions {
        let Some(stop) = self.answered(generation) else { return Actions::NONE };
        if stop.is_some() {
            return self.stop();
        }
        let delay = self.next_backoff();
        let told = Action::Tell(Notice::LaunchFailed { failures: self.failures, delay });
        self.pause(now, delay, Pause::Backoff).and(told)
    }

    pub(super) fn port_held(&mut self, now: Instant, generation: Generation, holders: Holders) -> Actions {
        let State::Launching { clearing, stop } = self.state else { return Actions::NONE };
        if generation != self.next {
            return Actions::NONE;
        }
        if stop.is_some() {
            return self.stop();
        }
        if self.settings.wait_for_port {
            return self.pause(now, AWAIT_PAUSE, Pause::PortHeld).and(Action::Tell(Notice::PortAwaited));
        }
        match (holders, clearing) {
            (Holders::Untouchable, _) => self.lose_port(now),
            (Holders::Unseen, clearing) => self.look_for_holders(now, clearing),
            (Holders::Fresh, Some(clearing)) => self.ask_holders(now, clearing.round + 1),
            (Holders::Fresh | Holders::Asked, None) => self.ask_holders(now, 1),
            (Holders::Asked, Some(clearing)) => self.press_holders(now, clearing),
        }
    }

    /// A process that has begun to exit can't be seen, and holds its sockets for some milliseconds more (XNU, from
    /// `proc_prepareexit` until `fdt_invalidate`): it is looked for a while before the launch counts as failed.
    fn look_for_holders(&mut self, now: Instant, clearing: Option<Clearing>) -> Actions {
        let round = clearing.map_or(0, |clearing| clearing.round);
        let give_up_at = match clearing {
            Some(Clearing { stage: Stage::Unseen { give_up_at }, .. }) => give_up_at,
            Some(_) | None => now + UNSEEN_TIME,
        };
        if now >= give_up_at {
            return self.lose_port(now);
        }
        let clearing = Clearing { round, stage: Stage::Unseen { give_up_at } };
        self.state = State::Clearing { clearing, recheck_at: now + RECHECK_PAUSE };
        Actions::NONE
    }

    fn ask_holders(&mut self, now: Instant, round: u32) -> Actions {
        if round > ROUNDS_MAX {
            return self.lose_port(now);
        }
        let stage = Stage::Asked { kill_at: now + self.settings.port_grace };
        self.state = State::Clearing { clearing: Clearing { round, stage }, recheck_at: now + RECHECK_PAUSE };
        Actions::of([Action::AskHolders, Action::Tell(Notice::PortConflict { round })])
    }

    fn press_holders(&mut self, now: Instant, clearing: Clearing) -> Actions {
        let (stage, actions) = match clearing.stage {
            Stage::Asked { kill_at } if now >= kill_at => {
                (Stage::Killed { give_up_at: now + KILL_TIME }, Actions::of([Action::KillHolders]))
            }
            Stage::Killed { give_up_at } if now >= give_up_at => return self.lose_port(now),
            Stage::Asked { .. } | Stage::Killed { .. } | Stage::Unseen { .. } => (clearing.stage, Actions::NONE),
        };
        self.state = State::Clearing { clearing: Clearing { stage, ..clearing }, recheck_at: now + RECHECK_PAUSE };
        actions
    }

    fn lose_port(&mut self, now: Instant) -> Actions {
        let delay = self.next_backoff();
        self.pause(now, delay, Pause::Backoff).and(Action::Tell(Notice::PortLost { failures: self.failures, delay }))
    }

    pub(super) fn lease_started(&mut self, now: Instant, generation: Generation) -> Actions {
        let Some(stop) = self.answered(generation) else { return Actions::NONE };
        if stop.is_some() {
            return Actions::of([Action::CancelLease { timed_out: false }]).chain(self.stop());
        }
        self.state = State::Leasing { give_up_at: now + self.settings.lease_timeout };
        Actions::NONE
    }

    pub(super) fn lease_ended(&mut self, generation: Generation) -> Actions {
        let State::Leasing { .. } = self.state else { return Actions::NONE };
        if generation == self.next { self.launch(None) } else { Actions::NONE }
    }

    /// `None`: no launch of this generation is under way. Otherwise whether a stop was noted meanwhile.
    fn answered(&self, generation: Generation) -> Option<Option<StopSignal>> {
        let State::Launching { stop, .. } = self.state else { return None };
        (generation == self.next).then_some(stop)
    }
}
