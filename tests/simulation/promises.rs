//! What must hold whatever the machine thinks: each promise is one check, made on the record of events and orders
//! alone.
//!
//! Nothing here knows how the machine decides. A check that fails names the promise.

use std::time::{Duration, Instant};

use worker_supervisor::policy::{
    Action, Actions, Condition, Event, Generation, KILL_TIME, Machine, Notice, Settings, StopSignal,
};

use super::judge::Judge;

/// What has been ordered and has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Record {
    live: Option<Generation>,
    /// Ordered and not answered.
    launch: Option<Generation>,
    owner: Option<Generation>,
    lease: Option<Generation>,
    probe: Option<Generation>,
    sync: Option<Generation>,
    judge: Judge,
    newest: Option<Generation>,
    ending: bool,
    killed: bool,
    stops: u32,
    stop_due_at: Option<Instant>,
    owes_drain: Option<StopSignal>,
    owes_kill: bool,
    owes_sync: bool,
    quit: Option<bool>,
}

impl Record {
    pub(crate) fn new(adopted: bool) -> Self {
        Self { live: adopted.then_some(Generation::ADOPTED), ..Self::default() }
    }

    pub(crate) fn has_quit(&self) -> bool {
        self.quit.is_some()
    }

    /// Some generations that events may name: of the worker that lives or the next one, and others.
    pub(crate) fn generations(&self) -> [Generation; 4] {
        let newest = self.newest.unwrap_or(Generation::FIRST);
        [newest, newest.next(), newest.next().next(), Generation::ADOPTED]
    }

    /// Whether the event is about a worker, a launch or an exchange that there isn't, or not any more.
    pub(crate) fn is_stale(&self, event: Event) -> bool {
        match event {
            Event::TimePassed | Event::StopRequested(_) | Event::RestartRequested | Event::LockLost | Event::Slept => {
                false
            }
            Event::Spawned(generation)
            | Event::LaunchFailed(generation)
            | Event::PortHeld { generation, .. }
            | Event::LeaseStarted(generation) => self.launch != Some(generation),
            Event::LeaseEnded(generation) => self.lease != Some(generation),
            Event::LeaderExited(generation) | Event::Exited(generation) => self.live != Some(generation),
            Event::Probed { generation, .. } => self.probe != Some(generation),
            Event::OwnerFound { generation, .. } => self.owner != Some(generation),
            Event::SyncEnded { generation, .. } => self.sync != Some(generation),
        }
    }

    pub(crate) fn lives(&self, generation: Generation) -> bool {
        self.live == Some(generation)
    }

    /// Writes down an event that is not stale, before the machine has it.
    pub(crate) fn happened(&mut self, now: Instant, event: Event, settings: &Settings) {
        match event {
            Event::TimePassed | Event::RestartRequested | Event::LeaderExited(_) => {}
            Event::LaunchFailed(_) | Event::PortHeld { .. } => self.launch = None,
            Event::LeaseStarted(_) => self.lease = self.launch.take(),
            Event::LeaseEnded(_) => self.lease = None,
            Event::Probed { outcome, .. } => {
                self.probe = None;
                self.judge.ended(now, outcome, &settings.health);
            }
            Event::OwnerFound { .. } => self.owner = None,
            Event::SyncEnded { .. } => self.sync = None,
            Event::Spawned(generation) => {
                (self.live, self.launch, self.newest) = (Some(generation), None, Some(generation));
                (self.ending, self.killed, self.judge) = (false, false, Judge::default());
            }
            Event::Exited(_) => {
                self.live = None;
                self.owner = None;
            }
            Event::StopRequested(signal) => self.stop_requested(now, signal, settings.drain),
            // A stop, but never one that asks for haste.
            Event::LockLost if self.stops == 0 => self.stop_requested(now, StopSignal::Term, settings.drain),
            Event::LockLost => {}
            Event::Slept => self.judge.slept(),
        }
    }

    fn stop_requested(&mut self, now: Instant, signal: StopSignal, drain: Duration) {
        if self.quit.is_some() {
            return;
        }
        if self.live.is_some() && !self.killed {
            self.owes_drain = (self.stops == 0).then_some(signal);
            self.owes_kill = self.stops > 0;
        }
        self.stops += 1;
        self.stop_due_at.get_or_insert(now + drain + KILL_TIME);
    }

    /// Grants a stop the time during which nobody served the machine's deadlines.
    pub(crate) fn was_late(&mut self, by: Duration) {
        self.stop_due_at = self.stop_due_at.map(|due_at| due_at + by);
    }

    /// Checks the orders that an event led to, one by one, as they are carried out.
    pub(crate) fn ordered(&mut self, now: Instant, actions: &Actions, settings: &Settings) {
        for action in actions.clone() {
            assert!(self.quit.is_none(), "the end is the end, but then came {action:?}");
            self.orders_fit_the_worker_that_lives(action);
            self.nothing_new_begins_after_a_stop(action);
            let is_kept = self.live.is_some() && !self.ending;
            self.judge.ordered(now, action, is_kept, &settings.health);
            self.note(action);
        }
        self.judge.is_heard();
        assert_eq!(self.owes_drain, None, "a stop is passed on to the worker with the very signal");
        assert!(!self.owes_kill, "a second stop kills at once");
        assert!(!self.owes_sync, "each healthy start is followed by a sync at once");
        assert!(self.live.is_some() || (self.probe, self.sync) == (None, None), "no exchange outlives its worker");
        assert!(
            !self.ending || (self.probe, self.sync) == (None, None),
            "no probe and no sync while a worker is ended"
        );
    }

    fn orders_fit_the_worker_that_lives(&self, action: Action) {
        let live = self.live;
        match action {
            Action::Launch(_) => {
                assert_eq!((live, self.launch), (None, None), "at most one worker lives");
                assert_eq!(self.lease, None, "one launch at a time");
            }
            Action::Probe(generation) => {
                assert_eq!(live, Some(generation), "only the worker that lives is probed");
                assert_eq!(self.probe, None, "one probe at a time");
                assert!(!self.ending, "no probe while a worker is ended");
            }
            Action::Sync(generation) => {
                assert_eq!(live, Some(generation), "only the worker that lives is registered");
                assert_eq!(self.sync, None, "one sync at a time");
                assert!(!self.ending, "no sync while a worker is ended");
            }
            Action::FindOwner(generation) => assert_eq!(live, Some(generation), "only who lives owns a socket"),
            Action::Drain { generation, .. } => {
                assert_eq!(live, Some(generation), "only the worker that lives is drained");
                assert!(!self.killed, "a killed worker is not asked to finish");
            }
            Action::Kill(generation) => assert_eq!(live, Some(generation), "only the worker that lives is killed"),
            Action::AskHolders | Action::KillHolders => {
                assert_eq!((live, self.launch), (None, None), "nobody is moved from the worker's port while it lives");
            }
            Action::Reload => assert_eq!((live, self.launch), (None, None), "a launch sees the new configuration"),
            Action::CancelProbe { .. }
            | Action::CancelSync { .. }
            | Action::CancelLease { .. }
            | Action::Tell(_)
            | Action::Quit { .. } => {}
        }
    }

    fn nothing_new_begins_after_a_stop(&self, action: Action) {
        let begins = match action {
            Action::Launch(_)
            | Action::AskHolders
            | Action::KillHolders
            | Action::Probe(_)
            | Action::FindOwner(_)
            | Action::Sync(_)
            | Action::Reload => true,
            Action::CancelLease { .. }
            | Action::CancelProbe { .. }
            | Action::CancelSync { .. }
            | Action::Drain { .. }
            | Action::Kill(_)
            | Action::Tell(_)
            | Action::Quit { .. } => false,
        };
        assert!(self.stops == 0 || !begins, "nothing new begins after a stop, but then came {action:?}");
    }

    fn note(&mut self, action: Action) {
        match action {
            Action::Launch(generation) => self.launch = Some(generation),
            Action::CancelLease { .. } => self.lease = None,
            Action::Probe(generation) => self.probe = Some(generation),
            Action::CancelProbe { .. } => self.probe = None,
            Action::FindOwner(generation) => self.owner = Some(generation),
            Action::Sync(generation) => (self.sync, self.owes_sync) = (Some(generation), false),
            Action::CancelSync { .. } => self.sync = None,
            Action::Drain { signal, .. } => {
                (self.ending, self.owner) = (true, None);
                self.owes_drain = self.owes_drain.filter(|owed| *owed != signal);
            }
            Action::Kill(_) => (self.ending, self.killed, self.owes_kill) = (true, true, false),
            Action::Quit { is_stuck: stuck } => {
                assert!(self.stops > 0, "nothing but a signal ends the supervisor");
                assert_eq!(self.live.is_some(), stuck, "the exit code tells whether the worker is gone");
                assert!(!stuck || self.killed, "a worker is not given up before it was killed");
                assert_eq!(self.lease, None, "nothing is left behind");
                self.quit = Some(stuck);
            }
            Action::Tell(_) | Action::AskHolders | Action::KillHolders | Action::Reload => {}
        }
    }

    /// Notes that a sync is owed as soon as a worker is told to be ready. Before the orders are checked.
    pub(crate) fn expect_sync_if_ready(&mut self, actions: &Actions, registers: bool) {
        let ready = actions.clone().into_iter().any(|action| matches!(action, Action::Tell(Notice::Ready { .. })));
        let sent = actions.clone().into_iter().any(|action| matches!(action, Action::Sync(_)));
        self.owes_sync = ready && registers && !sent;
    }

    /// What must hold when the machine has had its say and waits for the next event.
    pub(crate) fn turn_is_over(&self, now: Instant, machine: &Machine) {
        assert_eq!(machine.worker().is_some(), self.live.is_some() && !self.has_quit(), "the machine knows who lives");
        let streak = if machine.condition() == Condition::Running { self.judge.streak() } else { 0 };
        assert_eq!(machine.streak(), streak, "failed probes are counted right");
        assert_ne!(machine.condition(), Condition::Launching, "a launch is answered in the same breath");
        assert!(
            machine.next_deadline().is_some_and(|at| at > now) || self.has_quit(),
            "there is always a next deadline, and it lies ahead"
        );
        assert!(
            self.has_quit() || self.stop_due_at.is_none_or(|due_at| now < due_at),
            "a stop ends within drain and kill time"
        );
        assert!(!machine.condition().eq(&Condition::Stopped) || self.has_quit(), "a machine that stops says so");
    }
}
