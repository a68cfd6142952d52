//! What the machine should do, worked out a second time and in another way.
//!
//! No states here: a flat list of facts and moments, and for each event the orders and notices that the promises ask
//! for. Where the two disagree, one of them breaks a promise. Cancelled exchanges are left to `promises`.

mod events;

use std::time::{Duration, Instant};

use worker_supervisor::policy::{
    Action, AfterExit, Condition, Event, Generation, KillCause, Notice, Settings, StopSignal,
};

const LATE: Duration = Duration::from_millis(250);
const KILL_TIME: Duration = Duration::from_secs(2);
const SYNC_TIMEOUT: Duration = Duration::from_secs(15);
const SYNC_PAUSES: [u64; 7] = [1, 2, 4, 8, 16, 32, 60];
const ROUNDS_MAX: u32 = 3;
const RECHECK_PAUSE: Duration = Duration::from_millis(10);
const AWAIT_PAUSE: Duration = Duration::from_secs(1);
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
const SHORTEST_RUNG: Duration = Duration::from_millis(10);

/// The machine's double.
pub(crate) struct Reference {
    pub(crate) settings: Settings,
    next: Generation,
    failures: u32,
    launching: bool,
    stop_noted: Option<StopSignal>,
    lease_until: Option<Instant>,
    effort: Option<Effort>,
    recheck_at: Option<Instant>,
    launch_at: Option<Instant>,
    awaits_port: bool,
    life: Option<Life>,
    over: bool,
    orders: Vec<Action>,
}

#[derive(Clone, Copy)]
struct Effort {
    round: u32,
    kill_at: Instant,
    give_up_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Life {
    generation: Generation,
    spawned_at: Instant,
    startup_at: Instant,
    ready: bool,
    probe_due_at: Instant,
    probe_sent_at: Option<Instant>,
    excused: bool,
    streak: u32,
    sync_due_at: Option<Instant>,
    sync_sent_at: Option<Instant>,
    sync_failures: usize,
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct End {
    then: AfterExit,
    by: Instant,
    killed: bool,
}

impl Reference {
    pub(crate) fn new(settings: Settings, now: Instant, adopted: bool) -> Self {
        let patience = settings.drain.max(settings.port_grace);
        let mut reference = Self {
            settings,
            next: Generation::FIRST,
            failures: 0,
            launching: false,
            stop_noted: None,
            lease_until: None,
            effort: None,
            recheck_at: None,
            launch_at: None,
            awaits_port: false,
            life: None,
            over: false,
            orders: Vec::new(),
        };
        if adopted {
            let end = End { then: AfterExit::Launch, by: now + patience, killed: false };
            reference.life = Some(Life { end: Some(end), ..Life::begun(Generation::ADOPTED, now, now) });
            reference.order(Action::Drain { generation: Generation::ADOPTED, signal: StopSignal::Term });
            reference.tell(Notice::Adopted);
        } else {
            reference.launch(None);
        }
        reference
    }

    /// The orders and notices that have been due since this was last asked, in no special order.
    pub(crate) fn orders(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.orders)
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn streak(&self) -> u32 {
        self.life.filter(|life| life.end.is_none()).map_or(0, |life| life.streak)
    }

    pub(crate) fn condition(&self) -> Condition {
        match self.life {
            _ if self.over => Condition::Stopped,
            Some(Life { end: Some(End { killed: true, .. }), .. }) => Condition::Killing,
            Some(Life { end: Some(_), .. }) => Condition::Draining,
            Some(Life { ready: true, .. }) => Condition::Running,
            Some(_) => Condition::Starting,
            None if self.launching => Condition::Launching,
            None if self.lease_until.is_some() => Condition::Leasing,
            None if self.recheck_at.is_some() => Condition::ClearingPort,
            None if self.awaits_port => Condition::AwaitingPort,
            None => Condition::BackingOff,
        }
    }

    /// When the next thing is due.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let Some(life) = self.life else { return self.lease_until.or(self.recheck_at).or(self.launch_at) };
        if let Some(end) = life.end {
            return Some(end.by);
        }
        let probe_at = life.probe_sent_at.map_or(life.probe_due_at, |sent_at| sent_at + self.settings.health.timeout);
        let startup_at = if life.ready { None } else { Some(life.startup_at) };
        let sync_due_at = life.sync_due_at.filter(|_| life.streak == 0);
        let sync_at = life.sync_sent_at.map(|sent_at| sent_at + SYNC_TIMEOUT).or(sync_due_at);
        [Some(probe_at), startup_at, sync_at].into_iter().flatten().min()
    }

    /// What is owed for an event that says something new.
    pub(crate) fn take(&mut self, now: Instant, event: Event) {
        match event {
            Event::TimePassed => self.time_passed(now),
            Event::Spawned(generation) => self.spawned(now, generation),
            Event::LaunchFailed(_) => self.launch_failed(now),
            Event::PortHeld { holders, .. } => self.port_held(now, holders),
            Event::LeaseStarted(_) => self.lease_started(now),
            Event::LeaseEnded(_) => self.launch(None),
            Event::Exited(_) => self.exited(now),
            Event::Probed { outcome, .. } => self.probed(now, outcome),
            Event::OwnerFound { owner, .. } => self.owner_found(now, owner),
            Event::SyncEnded { accepted, .. } => self.sync_ended(now, accepted),
            Event::StopRequested(signal) => self.stop_requested(now, signal),
            Event::RestartRequested => self.restart_requested(now),
        }
    }

    fn order(&mut self, action: Action) {
        self.orders.push(action);
    }

    fn tell(&mut self, notice: Notice) {
        self.order(Action::Tell(notice));
    }

    fn time_passed(&mut self, now: Instant) {
        while !self.launching && self.due_at().is_some_and(|at| at <= now) {
            match self.life {
                None => self.serve_nobody(),
                Some(Life { end: Some(end), generation, .. }) => self.serve_end(now, generation, end),
                Some(life) => self.serve_life(now, life),
            }
        }
    }

    fn serve_nobody(&mut self) {
        if self.lease_until.is_some() {
            self.order(Action::CancelLease { timed_out: true });
        }
        self.launch(if self.recheck_at.is_some() { self.effort } else { None });
    }

    fn serve_end(&mut self, now: Instant, generation: Generation, end: End) {
        if end.killed && end.then == AfterExit::Stop {
            self.tell(Notice::Stuck(generation));
            return self.quit(true);
        }
        self.order(Action::Kill(generation));
        self.tell(if end.killed {
            Notice::Stuck(generation)
        } else {
            Notice::Killing { generation, cause: KillCause::Late }
        });
        self.end_by(now + KILL_TIME, end.then, true);
    }

    fn serve_life(&mut self, now: Instant, mut life: Life) {
        let timeout = self.settings.health.timeout;
        if !life.ready && life.startup_at <= now {
            if !life.excuse(now, life.startup_at) {
                self.tell(Notice::StartupTimedOut(life.generation));
                return self.drain(now, StopSignal::Term, AfterExit::Retry);
            }
            life.startup_at = now + timeout;
            return self.send_probe(now, life);
        }
        match life.probe_sent_at {
            None if life.probe_due_at <= now => self.send_probe(now, life),
            Some(sent_at) if sent_at + timeout <= now => self.probe_failed(now, life),
            None | Some(_) => self.serve_sync(now, life),
        }
    }

    fn send_probe(&mut self, now: Instant, mut life: Life) {
        life.probe_sent_at = Some(now);
        self.life = Some(life);
        self.order(Action::Probe(life.generation));
    }

    /// No answer, or a bad one, from a worker that had none before (then it does not count) or that had been healthy.
    fn probe_failed(&mut self, now: Instant, mut life: Life) {
        let sent_at = life.probe_sent_at.unwrap_or(now);
        let excused = life.excuse(now, sent_at + self.settings.health.timeout);
        if excused || !life.ready {
            return self.send_probe(now, life);
        }
        life.streak += 1;
        life.probe_sent_at = None;
        life.probe_due_at = now.max(sent_at + self.settings.health.interval);
        self.life = Some(life);
        if life.streak < self.settings.health.streak_max {
            self.tell(Notice::ProbeFailed { streak: life.streak, streak_max: self.settings.health.streak_max });
        } else {
            self.tell(Notice::Unhealthy(life.generation));
            self.drain(now, StopSignal::Term, AfterExit::Launch);
        }
    }

    fn serve_sync(&mut self, now: Instant, mut life: Life) {
        if life.sync_sent_at.is_some() {
            return self.sync_failed(now, life);
        }
        life.sync_due_at = None;
        life.sync_sent_at = Some(now);
        self.life = Some(life);
        self.order(Action::Sync(life.generation));
    }

    fn sync_failed(&mut self, now: Instant, mut life: Life) {
        let pause = Duration::from_secs(SYNC_PAUSES[life.sync_failures.min(SYNC_PAUSES.len() - 1)]);
        life.sync_failures += 1;
        life.sync_sent_at = None;
        life.sync_due_at = Some(now + pause);
        self.life = Some(life);
        self.tell(Notice::SyncFailed { delay: pause });
    }

    /// Asks the worker to finish. A drain that is under way is never made longer.
    fn drain(&mut self, now: Instant, signal: StopSignal, then: AfterExit) {
        let Some(life) = self.life else { return };
        let by = now + self.settings.drain;
        let by = life.end.map_or(by, |end| end.by.min(by));
        self.order(Action::Drain { generation: life.generation, signal });
        self.tell(Notice::Draining {
            generation: life.generation,
            after_exit: then,
            patience: by.saturating_duration_since(now),
        });
        self.end_by(by, then, false);
    }

    fn end_by(&mut self, by: Instant, then: AfterExit, killed: bool) {
        if let Some(life) = &mut self.life {
            life.probe_sent_at = None;
            life.sync_sent_at = None;
            life.end = Some(End { then, by, killed });
        }
    }

    fn quit(&mut self, stuck: bool) {
        if !stuck {
            self.tell(Notice::Stopped);
        }
        self.order(Action::Quit { is_stuck: stuck });
        self.forget_waits();
        self.life = None;
        self.over = true;
    }

    fn answered(&mut self) -> Option<StopSignal> {
        self.launching = false;
        self.stop_noted.take()
    }

    fn forget_waits(&mut self) {
        (self.lease_until, self.recheck_at, self.launch_at) = (None, None, None);
        self.awaits_port = false;
    }

    fn launch(&mut self, effort: Option<Effort>) {
        self.forget_waits();
        self.effort = effort;
        self.launching = true;
        self.order(Action::Launch(self.next));
    }

    fn launch_after(&mut self, now: Instant, delay: Duration) {
        if delay.is_zero() {
            self.launch(None);
        } else {
            self.launch_at = Some(now + delay);
        }
    }

    /// One more failed start: 1, 2, 4, 8, 16, 30, 30… times the minimum. With a minimum or a maximum of zero only the
    /// first retry comes at once.
    fn next_backoff(&mut self) -> Duration {
        self.failures += 1;
        let (min, max) = (self.settings.backoff.min, self.settings.backoff.max);
        if self.failures == 1 {
            return min.min(max);
        }
        let mut rung = min.max(SHORTEST_RUNG);
        for _ in 1..self.failures.min(64) {
            rung = rung.saturating_mul(2);
        }
        rung.min(max.max(SHORTEST_RUNG))
    }
}

impl Life {
    fn begun(generation: Generation, now: Instant, startup_at: Instant) -> Self {
        Self {
            generation,
            spawned_at: now,
            startup_at,
            ready: false,
            probe_due_at: now,
            probe_sent_at: None,
            excused: false,
            streak: 0,
            sync_due_at: None,
            sync_sent_at: None,
            sync_failures: 0,
            end: None,
        }
    }

    /// A deadline that is found late says that the supervisor was away: it does not count, unless the one before it
    /// was excused too and nothing has been heard since.
    fn excuse(&mut self, now: Instant, deadline: Instant) -> bool {
        self.excused = !self.excused && now.saturating_duration_since(deadline) > LATE;
        self.excused
    }

    fn startup_pause(&self, now: Instant) -> Duration {
        match now.saturating_duration_since(self.spawned_at).as_secs() {
            0..2 => Duration::from_millis(5),
            2..10 => Duration::from_millis(50),
            10.. => Duration::from_millis(500),
        }
    }
}
