//! Flat over ten thousand restarts and ten thousand failed probes, and a million hours of the policy: prints a table.
//! The worker is an example: `cargo build --release --example worker && cargo bench --bench soak`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{remove_file, write};
use std::hint::black_box;
use std::time::{Duration, Instant};

use support::{Scene, Seeded, children_of, usage_of, wait_for, worker_program};
use worker_supervisor::config::Config;
use worker_supervisor::policy::{Action, Actions, Event, Generation, Machine, Owner, ProbeOutcome};

const TIMES: u64 = 10_000;
/// Failures in a row; 1000 replace the worker, and a few more than these come before the test looks.
const STREAK: u64 = 500;
const HOURS: u64 = 1_000_000;
/// How long ten thousand of anything may take.
const PATIENCE: Duration = Duration::from_secs(1800);

fn main() {
    let heading = ["count", "seconds", "KiB before", "KiB after", "fds before", "fds after", "zombies"];
    let [count, seconds, before, after, fds_before, fds_after, zombies] = heading;
    println!(
        "{:<22} {count:>9} {seconds:>8} {before:>11} {after:>10} {fds_before:>11} {fds_after:>10} {zombies:>8}",
        ""
    );
    restarts();
    failed_probes();
    hours_of_the_policy();
}

/// A worker that ends as soon as it is ready.
fn restarts() {
    let scene = with_worker(Scene::new(), &["--exit-after", "0.002"]).set("stable_secs", "0");
    let scene = scene.set("restart_backoff_min_secs", "0").set("restart_backoff_max_secs", "0.001");
    let mut goal = 0;
    measure("restarts", &scene, || {
        goal += TIMES / 10;
        wait_for_count(&scene, "restarts", goal);
    });
}

/// A worker that answers 503 while a file exists: in streaks that are not long enough for it to be replaced.
fn failed_probes() {
    let scene = Scene::new().set("health_interval_secs", "0.001").set("health_failures_before_restart", "1000");
    let scene = scene.set("stable_secs", "0").set("restart_backoff_min_secs", "0");
    let failing = scene.file("failing");
    let scene = with_worker(scene, &["--fail-while", failing.to_str().expect("a path")]);
    measure("failed probes", &scene, || {
        for _ in 0..TIMES / 10 / STREAK {
            write(&failing, "").expect("a file");
            wait_for_count(&scene, "streak", STREAK);
            remove_file(&failing).expect("it was there");
            wait_for("its end", PATIENCE, || scene.story(), || (count(&scene, "streak") == 0).then_some(()));
        }
    });
}

/// Without a report: it would grow with every probe, and its pids would be used again by others before the end.
fn with_worker(scene: Scene, arguments: &[&str]) -> Scene {
    let (program, port) = (worker_program(), scene.port().number().to_string());
    let command = [program.to_str().expect("a path"), "--port", &port].into_iter().chain(arguments.iter().copied());
    let command: Vec<&str> = command.collect();
    scene.command(&command)
}

fn count(scene: &Scene, key: &str) -> u64 {
    scene.status().and_then(|status| status[key].as_u64()).unwrap_or(0)
}

fn wait_for_count(scene: &Scene, key: &str, goal: u64) {
    wait_for(key, PATIENCE, || scene.story(), || (count(scene, key) >= goal).then_some(()));
}

/// Does a tenth for warmth, looks, does the whole, and looks again.
fn measure(what: &str, scene: &Scene, mut a_tenth: impl FnMut()) {
    let supervisor = scene.start();
    supervisor.wait_ready();
    a_tenth();
    let (before, started) = (usage_of(supervisor.pid()), Instant::now());
    (0..10).for_each(|_| a_tenth());
    let (after, took) = (usage_of(supervisor.pid()), started.elapsed());
    let zombies = children_of(supervisor.pid()).len().saturating_sub(1);
    println!(
        "{what:<22} {TIMES:>9} {:>8.1} {:>11} {:>10} {:>11} {:>10} {zombies:>8}",
        took.as_secs_f64(),
        before.memory_kib,
        after.memory_kib,
        before.descriptors,
        after.descriptors,
    );
    assert_eq!(supervisor.stop(), 0);
}

/// A worker's life as the policy sees it, by a clock that jumps: healthy for days, now and then failing, dying,
/// hanging.
fn hours_of_the_policy() {
    let scene = Scene::new().set("sync_endpoint", "\"/sync\"");
    scene.reconfigure(|config| {
        config.unset("health_interval_secs").unset("restart_backoff_min_secs").unset("restart_backoff_max_secs");
    });
    let settings = Config::load(&scene.config_file()).expect("a configuration").config.settings();
    let (began, started) = (Instant::now(), Instant::now());
    let mut now = began;
    let (machine, actions) = Machine::new(settings, now, false);
    let mut world =
        World { machine, chance: Seeded::from_environment("SOAK_SEED"), living: None, events: 0, launches: 0 };
    world.perform(now, actions);
    while now - began < Duration::from_secs(HOURS * 3600) {
        let deadline = world.machine.next_deadline().expect("something is always due");
        now = deadline.max(now);
        world.handle(now, Event::TimePassed);
        assert!(world.machine.failures() < 100, "it never gets well");
    }
    let took = started.elapsed();
    println!(
        "{:<22} {HOURS:>9} {:>8.1}   {} events, {} launches, {:.0} ns each",
        "hours of the policy",
        took.as_secs_f64(),
        world.events,
        world.launches,
        took.as_nanos() as f64 / world.events as f64
    );
    black_box(world.machine);
}

struct World {
    machine: Machine,
    chance: Seeded,
    living: Option<Generation>,
    events: u64,
    launches: u64,
}

impl World {
    fn handle(&mut self, now: Instant, event: Event) {
        self.events += 1;
        let actions = self.machine.handle(now, event);
        self.perform(now, actions);
    }

    fn perform(&mut self, now: Instant, actions: Actions) {
        for action in actions {
            match action {
                Action::Launch(generation) => self.launch(now, generation),
                Action::Probe(generation) => self.probe(now, generation),
                Action::FindOwner(generation) => self.handle(now, Event::OwnerFound { generation, owner: Owner::Own }),
                Action::Sync(generation) => {
                    let accepted = self.chance.below(100) > 0;
                    self.handle(now, Event::SyncEnded { generation, accepted });
                }
                Action::Drain { generation, .. } | Action::Kill(generation) => {
                    self.living = None;
                    self.handle(now, Event::Exited(generation));
                }
                Action::Quit { .. } => panic!("nobody asked for a stop"),
                Action::CancelLease { .. }
                | Action::AskHolders
                | Action::KillHolders
                | Action::CancelProbe { .. }
                | Action::CancelSync { .. }
                | Action::Reload
                | Action::Tell(_) => {}
            }
        }
    }

    fn launch(&mut self, now: Instant, generation: Generation) {
        assert_eq!(self.living, None, "two workers");
        self.launches += 1;
        if self.chance.below(10) == 0 {
            return self.handle(now, Event::LaunchFailed(generation));
        }
        self.living = Some(generation);
        self.handle(now, Event::Spawned(generation));
    }

    /// One in ten thousand probes meets a death, one in a thousand fails, some are never answered.
    fn probe(&mut self, now: Instant, generation: Generation) {
        match self.chance.below(10_000) {
            0 => {
                self.living = None;
                self.handle(now, Event::Exited(generation));
            }
            1..=10 => self.handle(now, Event::Probed { generation, outcome: ProbeOutcome::Failed }),
            11 => {}
            _ => self.handle(now, Event::Probed { generation, outcome: ProbeOutcome::Answered(200) }),
        }
    }
}
