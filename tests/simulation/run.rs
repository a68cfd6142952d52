//! One seed's run: the clock, the order of events, and the machine held to its promises.

use std::time::{Duration, Instant};

use worker_supervisor::policy::{
    Action, Actions, Condition, Event, Holders, Machine, Owner, ProbeOutcome, Settings, StopSignal, SyncSettings,
};

use super::character::{self, Habits, LATENESSES};
use super::coverage::Coverage;
use super::dice::Dice;
use super::promises::Record;
use super::world::{World, earlier};

/// How many events may come in the same instant before the clock goes on.
const BREATH_MAX: u64 = 6;

/// How many deadlines in a row the machine may have in the same instant.
const ROUNDS_MAX: u32 = 4;

/// How many launches in a row may be answered in the same instant: one, and one retry without a delay.
const REPLIES_MAX: u32 = 12;

/// How many turns a run takes at most once it has been stopped.
const LAST_TURNS_MAX: u32 = 400;

/// One run of one machine in one world.
pub(crate) struct Run {
    dice: Dice,
    begun_at: Instant,
    now: Instant,
    settings: Settings,
    machine: Machine,
    world: World,
    record: Record,
    coverage: Coverage,
    quiet: Quiet,
    traced: bool,
}

/// A time in which nothing comes but deadlines.
struct Quiet {
    since: Instant,
    wakes: u32,
}

impl Run {
    /// Plays a seed to its end. Panics at the first broken promise.
    pub(crate) fn play(seed: u64, traced: bool) -> Coverage {
        let mut run = Self::new(seed, traced);
        for _ in 0..10 + run.dice.below(50) {
            run.turn();
        }
        run.end();
        run.coverage
    }

    fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let settings = character::settings(&mut dice);
        let habits = Habits::draw(&mut dice);
        let now = Instant::now();
        if traced {
            eprintln!("{settings:#?}\n{habits:#?}");
        }
        let adopted = habits.adopted;
        let (machine, actions) = Machine::new(settings.clone(), now, adopted);
        let mut run = Self {
            dice,
            begun_at: now,
            now,
            settings,
            machine,
            world: World::new(habits),
            record: Record::new(adopted),
            coverage: Coverage::default(),
            quiet: Quiet { since: now, wakes: 0 },
            traced,
        };
        run.carry_out(&actions);
        run.hear_replies();
        run
    }

    /// The clock goes on, things happen, and the machine is served.
    fn turn(&mut self) {
        self.clock_goes_on();
        for _ in 0..BREATH_MAX {
            self.somebody_signals();
            let Some(event) = self.world.happens(&mut self.dice, self.now) else { break };
            self.feed(event);
            self.hear_replies();
        }
        self.mischief();
        self.serve_deadlines();
        self.record.turn_is_over(self.now, &self.machine);
    }

    /// Stops the supervisor, if that has not happened yet, and goes on until it is gone.
    fn end(&mut self) {
        if !self.record.has_quit() {
            self.feed(Event::StopRequested(StopSignal::Term));
            self.serve_deadlines();
        }
        for _ in 0..LAST_TURNS_MAX {
            if self.record.has_quit() {
                break;
            }
            self.turn();
        }
        assert!(self.record.has_quit(), "a stop ends");
        let before = self.machine.clone();
        let any = [
            Event::TimePassed,
            Event::StopRequested(StopSignal::Int),
            Event::RestartRequested,
            Event::LockLost,
            Event::Slept,
        ];
        for event in any {
            self.feed(event);
        }
        for _ in 0..4 {
            self.play_a_trick();
        }
        assert_eq!(self.machine, before, "the end is the end");
    }

    /// To the next moment at which anything is due; now and then not quite so far, or too far.
    fn clock_goes_on(&mut self) {
        let Some(next) = earlier(self.world.next_at(), self.machine.next_deadline()) else { return };
        let wait = next.saturating_duration_since(self.now);
        let sleeps = self.world.habits().sleeps;
        if self.dice.one_in(8) {
            self.now += self.dice.part_of(wait);
        } else if self.dice.one_in(sleeps) {
            self.now += wait + self.dice.pick(&LATENESSES);
        } else {
            self.now += wait;
        }
        if let Some(deadline) = self.machine.next_deadline() {
            self.record.was_late(self.now.saturating_duration_since(deadline));
        }
    }

    fn somebody_signals(&mut self) {
        let Habits { stops, restarts, lock_lost, slept, .. } = *self.world.habits();
        if self.dice.one_in(slept) {
            self.feed(Event::Slept);
            self.hear_replies();
        }
        if self.dice.one_in(lock_lost) {
            self.feed(Event::LockLost);
        }
        if self.dice.one_in(restarts) {
            self.feed(Event::RestartRequested);
            self.hear_replies();
        }
        if self.dice.one_in(stops) {
            for _ in 0..=self.dice.below(3) {
                let signal = self.dice.pick(&[StopSignal::Term, StopSignal::Int, StopSignal::Hup]);
                self.feed(Event::StopRequested(signal));
            }
        }
    }

    /// What the machine is owed at once. Even then something may come between, though the runtime promises not to.
    fn hear_replies(&mut self) {
        for _ in 0..REPLIES_MAX {
            if self.world.owes_reply() {
                self.mischief();
            }
            if self.machine.condition() == Condition::Launching && self.dice.one_in(30) {
                let stops = self.dice.one_in(self.world.habits().stops);
                let calm = self.dice.pick(&[Event::TimePassed, Event::RestartRequested, Event::Slept]);
                let end = self.dice.pick(&[Event::StopRequested(StopSignal::Hup), Event::LockLost]);
                self.feed(if stops { end } else { calm });
            }
            let Some(event) = self.world.reply(&mut self.dice, self.now) else { return };
            self.feed(event);
        }
        panic!("a machine that launches without a pause serves nothing else");
    }

    fn mischief(&mut self) {
        let mischief = self.world.habits().mischief;
        if self.dice.one_in(mischief) {
            self.play_a_trick();
        }
    }

    /// Sends something that is not true, or not any more, wherever that can be told.
    fn play_a_trick(&mut self) {
        let generation = self.dice.pick(&self.record.generations());
        let outcome = self.dice.pick(&[ProbeOutcome::Answered(200), ProbeOutcome::Failed, ProbeOutcome::LocalError]);
        let holders = self.dice.pick(&[Holders::Fresh, Holders::Asked, Holders::Untouchable, Holders::Unseen]);
        let owner = self.dice.pick(&[Owner::Own, Owner::Stranger, Owner::Unknown]);
        let event = self.dice.pick(&[
            Event::Spawned(generation),
            Event::LaunchFailed(generation),
            Event::PortHeld { generation, holders },
            Event::LeaseStarted(generation),
            Event::LeaseEnded(generation),
            Event::LeaderExited(generation),
            Event::Exited(generation),
            Event::Probed { generation, outcome },
            Event::OwnerFound { generation, owner },
            Event::SyncEnded { generation, accepted: outcome == ProbeOutcome::Failed },
        ]);
        if self.record.is_stale(event) {
            self.feed_stale(event);
        }
    }

    fn feed_stale(&mut self, event: Event) {
        // Owners are found in the same breath, so the machine does not remember having asked.
        if matches!(event, Event::OwnerFound { generation, .. } if self.record.lives(generation)) {
            return;
        }
        let (actions, changed) = self.handle(event);
        assert_eq!(actions, Actions::NONE, "a stale event leads to nothing: {event:?}");
        assert!(!changed, "a stale event changes nothing: {event:?}");
    }

    fn feed(&mut self, event: Event) {
        if event != Event::TimePassed {
            if self.record.is_stale(event) {
                return self.feed_stale(event);
            }
            self.quiet = Quiet { since: self.now, wakes: 0 };
        }
        self.record.happened(self.now, event, &self.settings);
        if event == Event::TimePassed {
            self.pass_time();
        } else {
            self.handle_and_carry_out(event);
        }
    }

    /// Serves what is due, and answers what that leads to, until the next deadline lies ahead.
    fn serve_deadlines(&mut self) {
        for _ in 0..REPLIES_MAX {
            self.feed(Event::TimePassed);
            let answered = self.world.owes_reply();
            self.hear_replies();
            let is_due = self.machine.next_deadline().is_some_and(|at| at <= self.now);
            if !answered && !is_due {
                return self.wakes_are_few();
            }
        }
        panic!("a machine that always has a deadline now never waits");
    }

    /// Tells the time until nothing is due.
    fn pass_time(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let is_due = self.machine.next_deadline().is_some_and(|at| at <= self.now);
            if !is_due {
                let (actions, changed) = self.handle(Event::TimePassed);
                assert_eq!(actions, Actions::NONE, "coming early leads to nothing");
                assert!(!changed, "coming early changes nothing");
                return;
            }
            self.quiet.wakes += 1;
            self.handle_and_carry_out(Event::TimePassed);
        }
        panic!("a machine that always has a deadline now never waits");
    }

    fn handle_and_carry_out(&mut self, event: Event) {
        let (actions, _) = self.handle(event);
        let registers = self.settings.sync != SyncSettings::Never;
        self.record.expect_sync_if_ready(&actions, registers);
        self.carry_out(&actions);
    }

    /// What the machine says to an event, and whether that changed it.
    fn handle(&mut self, event: Event) -> (Actions, bool) {
        let before = self.machine.clone();
        let actions = self.machine.handle(self.now, event);
        let changed = self.machine != before;
        self.coverage.came(before.condition(), event, changed || !actions.is_empty());
        if self.traced {
            let at = self.now.saturating_duration_since(self.begun_at);
            let (from, to) = (before.condition().word(), self.machine.condition().word());
            let orders: Vec<Action> = actions.clone().into_iter().collect();
            eprintln!("{at:>14?} {from:>15} {event:?} -> {to} {orders:?}");
        }
        (actions, changed)
    }

    fn carry_out(&mut self, actions: &Actions) {
        self.record.ordered(self.now, actions, &self.settings);
        for action in actions.clone() {
            self.world.perform(&mut self.dice, self.now, action);
            if action == Action::Reload && self.dice.one_in(2) {
                self.settings = character::settings(&mut self.dice);
                self.machine.reconfigure(self.settings.clone());
            }
        }
    }

    /// While nothing comes but deadlines, the machine wakes no more often than its pauses explain.
    fn wakes_are_few(&self) {
        let health = &self.settings.health;
        let per_second = 110.0 + 2.0 / health.timeout.min(Duration::from_secs(1)).as_secs_f64();
        let most = 10.0 + per_second * self.now.saturating_duration_since(self.quiet.since).as_secs_f64();
        assert!(f64::from(self.quiet.wakes) <= most, "{} wake-ups where {most} are enough", self.quiet.wakes);
    }
}
