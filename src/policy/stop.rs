//! The end of a worker or of the supervisor: stops, restarts, drains, kills, and what follows them.

use std::time::{Duration, Instant};

use super::machine::{KILL_TIME, Machine};
use super::state::{Pause, State};
use super::types::{Action, Actions, AfterExit, Generation, Notice, StopSignal};

impl Machine {
    pub(super) fn stop_requested(&mut self, now: Instant, signal: StopSignal) -> Actions {
        match self.state {
            State::Launching { clearing, .. } => {
                self.state = State::Launching { clearing, stop: Some(signal) };
                Actions::NONE
            }
            State::Leasing { .. } => Actions::of([Action::CancelLease]).then(self.stop()),
            State::Clearing { .. } | State::Waiting { .. } => self.stop(),
            State::Starting { worker, .. } | State::Running { worker, .. } => {
                self.drain(now, worker.generation, signal, AfterExit::Stop)
            }
            State::Draining { generation, then: AfterExit::Stop, .. } => {
                self.kill(now, generation, AfterExit::Stop, true)
            }
            State::Draining { generation, kill_at, then: AfterExit::Launch | AfterExit::Reload | AfterExit::Retry } => {
                self.drain_until(now, kill_at.min(now + self.settings.drain), generation, signal, AfterExit::Stop)
            }
            State::Killing { generation, give_up_at, .. } => {
                self.state = State::Killing { generation, give_up_at, then: AfterExit::Stop };
                Actions::NONE
            }
            State::Stopped => Actions::NONE,
        }
    }

    pub(super) fn restart_requested(&mut self, now: Instant) -> Actions {
        match self.state {
            State::Leasing { .. } => Actions::of([Action::CancelLease, Action::Reload]).then(self.launch(None)),
            State::Clearing { .. } | State::Waiting { .. } => Actions::of([Action::Reload]).then(self.launch(None)),
            State::Starting { worker, .. } | State::Running { worker, .. } => {
                self.drain(now, worker.generation, StopSignal::Term, AfterExit::Reload)
            }
            State::Draining { generation, kill_at, then: AfterExit::Launch | AfterExit::Retry | AfterExit::Reload } => {
                self.state = State::Draining { generation, kill_at, then: AfterExit::Reload };
                Actions::NONE
            }
            State::Killing {
                generation,
                give_up_at,
                then: AfterExit::Launch | AfterExit::Retry | AfterExit::Reload,
            } => {
                self.state = State::Killing { generation, give_up_at, then: AfterExit::Reload };
                Actions::NONE
            }
            State::Launching { .. }
            | State::Draining { then: AfterExit::Stop, .. }
            | State::Killing { then: AfterExit::Stop, .. }
            | State::Stopped => Actions::NONE,
        }
    }

    pub(super) fn drain(
        &mut self,
        now: Instant,
        generation: Generation,
        signal: StopSignal,
        then: AfterExit,
    ) -> Actions {
        self.drain_until(now, now + self.settings.drain, generation, signal, then)
    }

    fn drain_until(
        &mut self,
        now: Instant,
        kill_at: Instant,
        generation: Generation,
        signal: StopSignal,
        then: AfterExit,
    ) -> Actions {
        let patience = kill_at.saturating_duration_since(now);
        self.state = State::Draining { generation, kill_at, then };
        Actions::of([
            Action::Drain(generation, signal),
            Action::CancelProbe,
            Action::CancelSync,
            Action::Tell(Notice::Draining(generation, then, patience)),
        ])
    }

    pub(super) fn kill(&mut self, now: Instant, generation: Generation, then: AfterExit, in_haste: bool) -> Actions {
        self.state = State::Killing { generation, give_up_at: now + KILL_TIME, then };
        Actions::of([Action::Kill(generation), Action::Tell(Notice::Killing(generation, in_haste))])
    }

    pub(super) fn stuck(&mut self, now: Instant, generation: Generation, then: AfterExit) -> Actions {
        match then {
            AfterExit::Stop => {
                self.state = State::Stopped;
                Actions::of([Action::Tell(Notice::Stuck(generation)), Action::Quit(true)])
            }
            AfterExit::Launch | AfterExit::Reload | AfterExit::Retry => {
                self.state = State::Killing { generation, give_up_at: now + KILL_TIME, then };
                Actions::of([Action::Kill(generation), Action::Tell(Notice::Stuck(generation))])
            }
        }
    }

    pub(super) fn ended(&mut self, now: Instant, generation: Generation, then: AfterExit) -> Actions {
        let told = |delay| Action::Tell(Notice::Ended(generation, then, delay));
        match then {
            AfterExit::Stop => Actions::of([told(Duration::ZERO)]).then(self.stop()),
            AfterExit::Launch => self.launch(None).and(told(Duration::ZERO)),
            // Nobody waits for a restart that was asked for: the end is told before what follows it.
            AfterExit::Reload => Actions::of([told(Duration::ZERO), Action::Reload]).then(self.launch(None)),
            AfterExit::Retry => {
                let delay = self.next_backoff();
                self.pause(now, delay, Pause::Backoff).and(told(delay))
            }
        }
    }

    pub(super) fn stop(&mut self) -> Actions {
        self.state = State::Stopped;
        Actions::of([Action::Tell(Notice::Stopped), Action::Quit(false)])
    }
}
