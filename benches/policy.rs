//! What a decision costs in time and in heap allocations: in the steady state, and when a worker crashes.
//!
//! Prints the median of many rounds and where the middle eight tenths lie; asserts nothing about time. The one
//! assertion is that deciding allocates nothing. Without `--bench` (which `cargo bench` passes) it runs a few rounds,
//! as a smoke test.

mod counting;

use std::hint::black_box;
use std::time::{Duration, Instant};

use worker_supervisor::policy::{
    Action, Backoff, Event, Generation, HealthSettings, Machine, Owner, ProbeOutcome, Settings, StatusRule,
    SyncSettings,
};

const ROUNDS: usize = 2_001;
const ROUNDS_SMOKE: usize = 11;
const CYCLES_PER_ROUND: u32 = 100;

/// A machine with a healthy worker, and a clock that only the cycles move.
struct Scene {
    machine: Machine,
    now: Instant,
    generation: Generation,
    events: u64,
}

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { ROUNDS_SMOKE };
    println!(
        "{:<32} {:>13} {:>16} {:>9} {:>9} {:>12}",
        "cycle", "events", "median ns/event", "10 % ns", "90 % ns", "allocations"
    );
    measure("probe: due, sent, healthy", rounds, Scene::probe);
    measure("nothing: woken too early", rounds, Scene::wake_early);
    measure("crash: exit, launch, healthy", rounds, Scene::crash);
}

/// Runs one kind of cycle again and again on one machine, and prints what an event cost.
fn measure(name: &str, rounds: usize, cycle: fn(&mut Scene)) {
    let mut scene = Scene::healthy();
    cycle(&mut scene);
    let mut nanoseconds = Vec::with_capacity(rounds);
    let (allocations_before, mut events) = (counting::allocations(), 0);
    for _ in 0..rounds {
        scene.events = 0;
        let started_at = Instant::now();
        for _ in 0..CYCLES_PER_ROUND {
            cycle(&mut scene);
        }
        nanoseconds.push(started_at.elapsed().as_nanos() as f64 / scene.events as f64);
        events += scene.events;
    }
    let allocations = counting::allocations() - allocations_before;
    nanoseconds.sort_unstable_by(f64::total_cmp);
    let [low, median, high] = [1, 5, 9].map(|tenths| nanoseconds[rounds * tenths / 10]);
    println!("{name:<32} {events:>13} {median:>16.1} {low:>9.1} {high:>9.1} {allocations:>12}");
    assert_eq!(allocations, 0, "deciding allocated: {name}");
}

impl Scene {
    fn healthy() -> Self {
        let settings = Settings {
            startup_timeout: Duration::from_secs(60),
            stable: Duration::ZERO,
            backoff: Backoff { min: Duration::from_secs(1), max: Duration::from_secs(30) },
            drain: Duration::from_secs(5),
            port_grace: Duration::from_secs(2),
            wait_for_port: false,
            lease_timeout: Duration::from_secs(10),
            health: HealthSettings {
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(5),
                streak_max: 3,
                status: StatusRule::OneOf(vec![200]),
            },
            sync: SyncSettings::Once,
        };
        let now = Instant::now();
        let (machine, _) = Machine::new(settings, now, false);
        let mut scene = Self { machine, now, generation: Generation::FIRST, events: 0 };
        scene.start();
        scene
    }

    fn handle(&mut self, event: Event) {
        self.events += 1;
        for action in black_box(self.machine.handle(self.now, black_box(event))) {
            if let Action::Launch(generation) = action {
                self.generation = generation;
            }
        }
    }

    fn probe(&mut self) {
        self.now = self.machine.next_deadline().unwrap_or(self.now);
        self.handle(Event::TimePassed);
        self.handle(Event::Probed { generation: self.generation, outcome: ProbeOutcome::Answered(200) });
    }

    fn wake_early(&mut self) {
        self.handle(Event::TimePassed);
    }

    fn crash(&mut self) {
        self.handle(Event::Exited(self.generation));
        self.start();
    }

    fn start(&mut self) {
        self.handle(Event::Spawned(self.generation));
        self.handle(Event::Probed { generation: self.generation, outcome: ProbeOutcome::Answered(200) });
        self.handle(Event::OwnerFound { generation: self.generation, owner: Owner::Own });
        self.handle(Event::SyncEnded { generation: self.generation, accepted: true });
    }
}
