//! What the machine meets: a worker, a port, a secrets tool, HTTP. It obeys orders when and how it likes.
//!
//! It keeps to the contract of the vocabulary and to nothing else: a launch is answered at once, what is cancelled does
//! not come, and a worker exits once.

use std::time::Instant;

use worker_supervisor::policy::{Action, Event, Generation, Holders, Owner, ProbeOutcome};

use super::character::{Habits, Mood, REACTIONS};
use super::dice::Dice;

/// The world around one machine.
pub(crate) struct World {
    habits: Habits,
    worker: Option<Worker>,
    probe: Option<Exchange>,
    sync: Option<Exchange>,
    lease: Option<Exchange>,
    party: Option<Party>,
    launch: Option<Generation>,
    owner: Option<Generation>,
}

struct Worker {
    generation: Generation,
    exits_at: Option<Instant>,
    /// Its first process has gone, and others of its session are left.
    is_leaderless: bool,
    mood: Mood,
}

/// Something under way that ends by itself, or never.
#[derive(Clone, Copy)]
struct Exchange {
    generation: Generation,
    ends_at: Option<Instant>,
}

/// Those who hold the port.
struct Party {
    holders: Holders,
    leaves_at: Option<Instant>,
}

impl World {
    pub(crate) fn new(habits: Habits) -> Self {
        let worker = habits.adopted.then_some(Worker {
            generation: Generation::ADOPTED,
            exits_at: None,
            is_leaderless: false,
            mood: Mood::Mixed,
        });
        Self { habits, worker, probe: None, sync: None, lease: None, party: None, launch: None, owner: None }
    }

    pub(crate) fn habits(&self) -> &Habits {
        &self.habits
    }

    /// Carries out an order. What follows from it comes later, through `happens` and `reply`.
    pub(crate) fn perform(&mut self, dice: &mut Dice, now: Instant, action: Action) {
        let never_ends = self.habits.never_ends;
        let mut begin = |generation| Some(Exchange { generation, ends_at: reaction(dice, now, never_ends) });
        match action {
            Action::Launch(generation) => self.launch = Some(generation),
            Action::FindOwner(generation) => self.owner = Some(generation),
            Action::Probe(generation) => self.probe = begin(generation),
            Action::Sync(generation) => self.sync = begin(generation),
            Action::CancelProbe { .. } => self.probe = None,
            Action::CancelSync { .. } => self.sync = None,
            Action::CancelLease { .. } => self.lease = None,
            Action::AskHolders | Action::KillHolders => self.press_party(dice, now),
            Action::Drain { .. } => self.end_worker(dice, now, self.habits.ignores_drain),
            Action::Kill(_) => self.end_worker(dice, now, self.habits.unkillable),
            Action::Reload | Action::Tell(_) | Action::Quit { .. } => {}
        }
    }

    fn end_worker(&mut self, dice: &mut Dice, now: Instant, refuses: u64) {
        if let Some(worker) = &mut self.worker {
            worker.exits_at = earlier(worker.exits_at, reaction(dice, now, refuses));
        }
    }

    fn press_party(&mut self, dice: &mut Dice, now: Instant) {
        if let Some(party) = &mut self.party {
            party.holders = Holders::Asked;
            party.leaves_at = earlier(party.leaves_at, reaction(dice, now, 2));
        }
    }

    /// The answer that the machine is owed at once, if it is owed one.
    pub(crate) fn reply(&mut self, dice: &mut Dice, now: Instant) -> Option<Event> {
        if let Some(generation) = self.owner.take() {
            let stranger = dice.one_in(self.habits.stranger);
            let owner = if stranger { Owner::Stranger } else { dice.pick(&[Owner::Own, Owner::Unknown]) };
            return Some(Event::OwnerFound { generation, owner });
        }
        let generation = self.launch.take()?;
        if let Some(holders) = self.holders(dice, now) {
            return Some(Event::PortHeld { generation, holders });
        }
        if dice.one_in(self.habits.leases) {
            self.lease = Some(Exchange { generation, ends_at: reaction(dice, now, self.habits.never_ends) });
            return Some(Event::LeaseStarted(generation));
        }
        if dice.one_in(self.habits.launch_fails) {
            return Some(Event::LaunchFailed(generation));
        }
        let crashes = dice.one_in(self.habits.crashes);
        let exits_at = if crashes { reaction(dice, now, 0) } else { None };
        self.worker = Some(Worker { generation, exits_at, is_leaderless: false, mood: dice.pick(&self.habits.moods) });
        Some(Event::Spawned(generation))
    }

    pub(crate) fn owes_reply(&self) -> bool {
        self.launch.is_some() || self.owner.is_some()
    }

    /// Who holds the port now. A party that left may be followed by another one at once.
    fn holders(&mut self, dice: &mut Dice, now: Instant) -> Option<Holders> {
        let gone = self.party.as_ref().is_none_or(|party| is_due(party.leaves_at, now));
        if gone {
            let kinds = [Holders::Fresh, Holders::Fresh, Holders::Fresh, Holders::Untouchable, Holders::Unseen];
            let comes = dice.one_in(self.habits.port_held);
            self.party = comes.then(|| Party { holders: dice.pick(&kinds), leaves_at: reaction(dice, now, 2) });
        } else if dice.one_in(10) {
            // Somebody joined them, or the list could not be read this time.
            return Some(dice.pick(&[Holders::Fresh, Holders::Asked, Holders::Untouchable, Holders::Unseen]));
        }
        self.party.as_ref().map(|party| party.holders)
    }

    /// When something happens next without being asked for.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let exits_at = self.worker.as_ref().and_then(|worker| worker.exits_at);
        [self.probe, self.sync, self.lease].iter().flatten().fold(exits_at, |at, one| earlier(at, one.ends_at))
    }

    /// One of the things that have happened by now: exits before exchanges, as the runtime has it, or out of order.
    pub(crate) fn happens(&mut self, dice: &mut Dice, now: Instant) -> Option<Event> {
        let first = if dice.one_in(4) { dice.below(4) } else { 0 };
        (first..first + 4).find_map(|which| match which % 4 {
            0 => self.exits(dice, now),
            1 => self.probe_ends(dice, now),
            2 => take_due(&mut self.sync, now)
                .map(|generation| Event::SyncEnded { generation, accepted: !dice.one_in(self.habits.sync_refused) }),
            _ => take_due(&mut self.lease, now).map(Event::LeaseEnded),
        })
    }

    /// A worker may go in two steps: its first process, and later the rest of its session.
    fn exits(&mut self, dice: &mut Dice, now: Instant) -> Option<Event> {
        let worker = self.worker.as_mut().filter(|worker| is_due(worker.exits_at, now))?;
        if !worker.is_leaderless && dice.one_in(3) {
            worker.is_leaderless = true;
            worker.exits_at = reaction(dice, now, self.habits.ignores_drain);
            return Some(Event::LeaderExited(worker.generation));
        }
        if dice.one_in(self.habits.leaves_listener) {
            self.party = Some(Party { holders: Holders::Fresh, leaves_at: None });
        }
        self.worker.take().map(|worker| Event::Exited(worker.generation))
    }

    fn probe_ends(&mut self, dice: &mut Dice, now: Instant) -> Option<Event> {
        let moods = self.habits.moods;
        let mood = match &mut self.worker {
            Some(worker) => {
                if dice.one_in(20) {
                    worker.mood = dice.pick(&moods);
                }
                worker.mood
            }
            None => Mood::Ill,
        };
        let (well, ill) = (ProbeOutcome::Answered(200), ProbeOutcome::Failed);
        let outcome = match mood {
            Mood::Hung => {
                // It will not be heard of again: the machine has to lose its patience.
                self.probe.as_mut().filter(|probe| is_due(probe.ends_at, now))?.ends_at = None;
                return None;
            }
            Mood::Well => dice.pick(&[well, well, well, ProbeOutcome::Answered(401)]),
            Mood::Ill => dice.pick(&[ill, ill, ProbeOutcome::Answered(500), ProbeOutcome::LocalError]),
            Mood::Mixed => dice.pick(&[well, ill, ProbeOutcome::Answered(503), ProbeOutcome::LocalError]),
        };
        take_due(&mut self.probe, now).map(|generation| Event::Probed { generation, outcome })
    }
}

fn take_due(exchange: &mut Option<Exchange>, now: Instant) -> Option<Generation> {
    exchange.take_if(|exchange| is_due(exchange.ends_at, now)).map(|exchange| exchange.generation)
}

fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

/// When an order that came now shows its effect; never, once in `refuses` times.
fn reaction(dice: &mut Dice, now: Instant, refuses: u64) -> Option<Instant> {
    if dice.one_in(refuses) { None } else { Some(now + dice.pick(&REACTIONS)) }
}

/// The earlier of two moments of which either may never come.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
