//! The end of a worker or of the supervisor: stops, restarts, drains, kills, and what follows them.

use std::time::{Duration, Instant};

use super::machine::{KILL_TIME, Machine};
use super::state::{Pause, State};
use super::types::{Action, Actions, AfterExit, Generation, KillCause, Notice, StopSignal};

impl Machine {
    pub(super) fn stop_requested(&mut self, now: Instant, signal: StopSignal) -> Actions {
        match &mut self.state {
            State::Launching { stop, .. } => *stop = Some(signal),
            State::Leasing { .. } => return Actions::of([Action::CancelLease { timed_out: false }]).chain(self.stop()),
            State::Clearing { .. } | State::Waiting { .. } => return self.stop(),
            State::Starting { worker, .. } | State::Running { worker, .. } => {
                let generation = worker.generation;
                return self.drain(now, generation, signal, AfterExit::Stop);
            }
            State::Draining { generation, after_exit, .. } => {
                let generation = *generation;
                return match after_exit {
                    AfterExit::Stop => self.kill(now, generation, AfterExit::Stop, KillCause::AskedTwice),
                    AfterExit::Launch | AfterExit::Reload | AfterExit::Retry => {
                        self.drain(now, generation, signal, AfterExit::Stop)
                    }
                };
            }
            State::Killing { after_exit, .. } => *after_exit = AfterExit::Stop,
            State::Stopped => {}
        }
        Actions::NONE
    }

    pub(super) fn lock_lost(&mut self, now: Instant) -> Actions {
        if let State::Draining { after_exit: AfterExit::Stop, .. } = self.state {
            return Actions::NONE;
        }
        self.stop_requested(now, StopSignal::Term)
    }

    pub(super) fn restart_requested(&mut self, now: Instant) -> Actions {
        match &mut self.state {
            State::Leasing { .. } => {
                Actions::of([Action::CancelLease { timed_out: false }, Action::Reload]).chain(self.launch(None))
            }
            State::Clearing { .. } | State::Waiting { .. } => Actions::of([Action::Reload]).chain(self.launch(None)),
            State::Starting { worker, .. } | State::Running { worker, .. } => {
                let generation = worker.generation;
                self.drain(now, generation, StopSignal::Term, AfterExit::Reload)
            }
            State::Draining { after_exit, .. } | State::Killing { after_exit, .. } => {
                if *after_exit != AfterExit::Stop {
                    *after_exit = AfterExit::Reload;
                }
                Actions::NONE
            }
            State::Launching { .. } | State::Stopped => Actions::NONE,
        }
    }

    /// Asks the worker to finish. A drain that is under way is never made longer.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        generation: Generation,
        signal: StopSignal,
        after_exit: AfterExit,
    ) -> Actions {
        let latest_at = now + self.settings.drain;
        let kill_at = if let State::Draining { kill_at, .. } = self.state { kill_at.min(latest_at) } else { latest_at };
        self.state = State::Draining { generation, kill_at, after_exit };
        let patience = kill_at.saturating_duration_since(now);
        Actions::of([
            Action::Drain { generation, signal },
            Action::CancelProbe { timed_out: false },
            Action::CancelSync { timed_out: false },
            Action::Tell(Notice::Draining { generation, after_exit, patience }),
        ])
    }

    pub(super) fn kill(
        &mut self,
        now: Instant,
        generation: Generation,
        after_exit: AfterExit,
        cause: KillCause,
    ) -> Actions {
        self.state = State::Killing { generation, give_up_at: now + KILL_TIME, after_exit };
        Actions::of([Action::Kill(generation), Action::Tell(Notice::Killing { generation, cause })])
    }

    pub(super) fn stuck(&mut self, now: Instant, generation: Generation, after_exit: AfterExit) -> Actions {
        match after_exit {
            AfterExit::Stop => {
                self.state = State::Stopped;
                Actions::of([Action::Tell(Notice::Stuck(generation)), Action::Quit { is_stuck: true }])
            }
            AfterExit::Launch | AfterExit::Reload | AfterExit::Retry => {
                self.state = State::Killing { generation, give_up_at: now + KILL_TIME, after_exit };
                Actions::of([Action::Kill(generation), Action::Tell(Notice::Stuck(generation))])
            }
        }
    }

    pub(super) fn ended(&mut self, now: Instant, generation: Generation, after_exit: AfterExit) -> Actions {
        let told = |delay| Action::Tell(Notice::Ended { generation, after_exit, delay });
        match after_exit {
            AfterExit::Stop => Actions::of([told(Duration::ZERO)]).chain(self.stop()),
            AfterExit::Launch => self.launch(None).and(told(Duration::ZERO)),
            // Nobody waits for a restart that was asked for: the end is told before what follows it.
            AfterExit::Reload => Actions::of([told(Duration::ZERO), Action::Reload]).chain(self.launch(None)),
            AfterExit::Retry => {
                let delay = self.next_backoff();
                self.pause(now, delay, Pause::Backoff).and(told(delay))
            }
        }
    }

    pub(super) fn stop(&mut self) -> Actions {
        self.state = State::Stopped;
        Actions::of([Action::Tell(Notice::Stopped), Action::Quit { is_stuck: false }])
    }
}
