//! What the policy decides, one sentence a test. `simulation.rs` tries everything else.

use std::time::{Duration, Instant};

use worker_supervisor::policy::{
    Action, AfterExit, Backoff, Condition, Event, Generation, Health, HealthSettings, Holders, KILL_TIME, Machine,
    Notice, Owner, ProbeOutcome, Settings, StatusRule, StopSignal, SyncSettings,
};

const WELL: ProbeOutcome = ProbeOutcome::Answered(200);
const ILL: ProbeOutcome = ProbeOutcome::Failed;
const TERM: StopSignal = StopSignal::Term;
const STOP: Event = Event::StopRequested(TERM);

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The defaults of the configuration, with a sync.
fn settings() -> Settings {
    Settings {
        startup_timeout: secs(60),
        stable: secs(10),
        backoff: Backoff { min: secs(1), max: secs(30) },
        drain: secs(5),
        port_grace: secs(2),
        wait_for_port: false,
        lease_timeout: secs(10),
        health: HealthSettings { interval: secs(30), timeout: secs(5), streak_max: 3, status: StatusRule::Below500 },
        sync: SyncSettings::Every(secs(300)),
    }
}

/// A machine and a clock that only tests move.
struct Scene {
    machine: Machine,
    now: Instant,
    /// The newest worker launched.
    generation: Generation,
}

impl Scene {
    fn new(settings: Settings) -> Self {
        let now = Instant::now();
        let (machine, actions) = Machine::new(settings, now, false);
        assert_eq!(actions.into_iter().collect::<Vec<_>>(), [Action::Launch(Generation::FIRST)]);
        Self { machine, now, generation: Generation::FIRST }
    }

    fn starting(settings: Settings) -> Self {
        let mut scene = Self::new(settings);
        scene.spawned();
        scene
    }

    fn running(settings: Settings) -> Self {
        let mut scene = Self::starting(settings);
        scene.healthy();
        scene
    }

    /// A worker that has been healthy, with a probe in flight and no sync.
    fn probing() -> Self {
        let mut scene = Self::running(Settings { sync: SyncSettings::Never, ..settings() });
        assert_eq!(scene.wait().1, [Action::Probe(Generation::FIRST)]);
        scene
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let actions: Vec<Action> = self.machine.handle(self.now, event).into_iter().collect();
        for action in &actions {
            if let Action::Launch(generation) = action {
                self.generation = *generation;
            }
        }
        actions
    }

    fn spawned(&mut self) -> Vec<Action> {
        self.handle(Event::Spawned(self.generation))
    }

    fn probed(&mut self, outcome: ProbeOutcome) -> Vec<Action> {
        self.handle(Event::Probed { generation: self.generation, outcome })
    }

    fn healthy(&mut self) -> Vec<Action> {
        assert_eq!(self.probed(WELL), [Action::FindOwner(self.generation), self.judged(Health::Healthy)]);
        self.handle(Event::OwnerFound { generation: self.generation, owner: Owner::Own })
    }

    /// What the policy tells of a probe that has ended.
    fn judged(&self, health: Health) -> Action {
        Action::Tell(Notice::Probed { generation: self.generation, health })
    }

    fn exited(&mut self) -> Vec<Action> {
        self.handle(Event::Exited(self.generation))
    }

    /// Jumps to the next deadline and serves it. How long that took, and what it led to.
    fn wait(&mut self) -> (Duration, Vec<Action>) {
        let at = self.machine.next_deadline().expect("something is due");
        let waited = at.saturating_duration_since(self.now);
        self.now = at;
        (waited, self.handle(Event::TimePassed))
    }

    /// Waits for the next launch, which must come by itself. How long it took.
    fn wait_for_launch(&mut self) -> Duration {
        let (waited, actions) = self.wait();
        assert_eq!(actions, [Action::Launch(self.generation)]);
        waited
    }
}

fn judgements(actions: &[Action]) -> Vec<Health> {
    let health = |action: &Action| match action {
        Action::Tell(Notice::Probed { health, .. }) => Some(*health),
        _ => None,
    };
    actions.iter().filter_map(health).collect()
}

fn launches(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Launch(_)))
}

#[test]
fn a_worker_that_never_got_healthy_is_retried_after_1_2_4_8_16_30_30() {
    let mut scene = Scene::new(settings());
    let delays: Vec<u64> = (0..7)
        .map(|_| {
            scene.spawned();
            scene.exited();
            scene.wait_for_launch().as_secs()
        })
        .collect();
    assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
}

#[test]
fn every_kind_of_failed_start_counts_towards_the_same_backoff() {
    let mut scene = Scene::new(settings());
    scene.handle(Event::LaunchFailed(scene.generation));
    assert_eq!(scene.wait_for_launch(), secs(1));
    scene.handle(Event::PortHeld { generation: scene.generation, holders: Holders::Untouchable });
    assert_eq!(scene.wait_for_launch(), secs(2));
    scene.spawned();
    scene.probed(WELL);
    scene.handle(Event::OwnerFound { generation: scene.generation, owner: Owner::Stranger });
    scene.exited();
    assert_eq!(scene.wait_for_launch(), secs(4));
    scene.spawned();
    scene.exited();
    assert_eq!(scene.wait_for_launch(), secs(8));
    assert_eq!(scene.machine.failures(), 4);
}

#[test]
fn an_answer_in_a_start_puts_off_the_next_probe() {
    for outcome in [WELL, ProbeOutcome::Answered(500), ProbeOutcome::Failed] {
        let mut scene = Scene::starting(settings());
        scene.probed(outcome);
        assert_eq!(scene.machine.next_deadline(), Some(scene.now + millis(5)), "{outcome:?}");
    }
}

#[test]
fn a_worker_not_healthy_in_time_is_drained_and_counts_as_a_failed_start() {
    let mut scene = Scene::starting(settings());
    scene.probed(ProbeOutcome::Answered(500));
    scene.now += secs(60);
    let actions = scene.handle(Event::TimePassed);
    assert!(actions.contains(&Action::Tell(Notice::StartupTimedOut(Generation::FIRST))));
    assert!(actions.contains(&Action::Drain { generation: Generation::FIRST, signal: TERM }));
    scene.exited();
    assert_eq!((scene.machine.failures(), scene.wait_for_launch()), (1, secs(1)));
}

#[test]
fn one_healthy_answer_resets_the_backoff() {
    let mut scene = Scene::new(settings());
    for _ in 0..5 {
        scene.handle(Event::LaunchFailed(scene.generation));
        scene.wait_for_launch();
    }
    scene.spawned();
    scene.healthy();
    scene.exited();
    assert_eq!(scene.wait_for_launch(), secs(1));
    scene.spawned();
    scene.exited();
    assert_eq!(scene.wait_for_launch(), secs(1));
}

#[test]
fn a_worker_is_stable_from_the_very_second_on() {
    for (uptime, at_once) in [(millis(9_999), false), (secs(10), true)] {
        let mut scene = Scene::running(settings());
        scene.now += uptime;
        assert_eq!(launches(&scene.exited()), at_once, "after {uptime:?}");
    }
}

#[test]
fn with_delays_of_zero_a_launch_that_keeps_failing_still_pauses() {
    let mut settings = settings();
    settings.backoff = Backoff { min: Duration::ZERO, max: Duration::ZERO };
    let mut scene = Scene::new(settings);
    assert!(launches(&scene.handle(Event::LaunchFailed(scene.generation))));
    assert!(!launches(&scene.handle(Event::LaunchFailed(scene.generation))));
    assert_eq!(scene.wait_for_launch(), millis(10));
}

#[test]
fn leases_that_take_too_long_are_ended_and_the_launch_tells_what_that_means() {
    let mut scene = Scene::new(settings());
    assert_eq!(scene.handle(Event::LeaseStarted(scene.generation)), []);
    assert_eq!(
        scene.wait(),
        (secs(10), vec![Action::CancelLease { timed_out: true }, Action::Launch(Generation::FIRST)])
    );
}

#[test]
fn a_probe_that_the_supervisor_could_not_send_is_no_failed_start() {
    let mut scene = Scene::starting(settings());
    scene.now += millis(59_999);
    scene.probed(ProbeOutcome::LocalError);
    assert_eq!(scene.wait(), (secs(1), vec![Action::Probe(Generation::FIRST)]));
    assert_eq!(scene.machine.next_deadline(), Some(scene.now + secs(5)), "it has the time of a whole probe");
    scene.healthy();
    assert_eq!(scene.machine.condition(), Condition::Running);
}

#[test]
fn a_probe_that_the_supervisor_could_not_send_counts_for_nothing_and_is_sent_a_second_later() {
    let mut scene = Scene::probing();
    assert_eq!(scene.probed(ProbeOutcome::LocalError), [scene.judged(Health::Unknown)]);
    assert_eq!(scene.wait(), (secs(1), vec![Action::Probe(Generation::FIRST)]));
    assert_eq!(scene.machine.streak(), 0);
}

#[test]
fn a_stranger_who_answers_in_the_workers_place_is_no_health() {
    let mut scene = Scene::starting(settings());
    scene.probed(WELL);
    let actions = scene.handle(Event::OwnerFound { generation: scene.generation, owner: Owner::Stranger });
    assert!(actions.contains(&Action::Tell(Notice::Impostor(Generation::FIRST))));
    assert!(!actions.contains(&Action::Sync(Generation::FIRST)));
    assert_eq!(scene.machine.condition(), Condition::Draining);
}

#[test]
fn a_stranger_who_answers_in_a_healthy_workers_place_is_a_conflict() {
    let mut scene = Scene::probing();
    assert_eq!(scene.probed(WELL), [scene.judged(Health::Healthy), Action::FindOwner(Generation::FIRST)]);
    let found = |owner| Event::OwnerFound { generation: Generation::FIRST, owner };
    assert_eq!(scene.handle(found(Owner::Own)), []);
    assert_eq!(scene.handle(found(Owner::Unknown)), []);
    let actions = scene.handle(found(Owner::Stranger));
    assert!(actions.contains(&Action::Tell(Notice::Impostor(Generation::FIRST))));
    assert_eq!(scene.machine.condition(), Condition::Draining);
}

#[test]
fn after_a_sleep_the_worker_is_probed_and_registered_at_once() {
    let every = Settings { sync: SyncSettings::Every(secs(300)), ..settings() };
    for (settings, repeats) in [(every, true), (Settings { sync: SyncSettings::Once, ..settings() }, false)] {
        let mut scene = Scene::running(settings);
        scene.handle(Event::SyncEnded { generation: Generation::FIRST, accepted: true });
        assert_eq!(scene.handle(Event::Slept), [Action::Probe(Generation::FIRST)]);
        // One that was in flight says nothing.
        let unknown = scene.judged(Health::Unknown);
        let afresh = [Action::CancelProbe { timed_out: false }, unknown, Action::Probe(Generation::FIRST)];
        assert_eq!(scene.handle(Event::Slept), afresh);
        let synced = scene.handle(Event::TimePassed).contains(&Action::Sync(Generation::FIRST));
        assert_eq!(synced, repeats);
    }
}

#[test]
fn a_lost_lock_is_a_stop_that_never_asks_for_haste() {
    let mut scene = Scene::running(settings());
    let drain = Action::Drain { generation: Generation::FIRST, signal: TERM };
    assert!(scene.handle(Event::LockLost).contains(&drain));
    assert_eq!(scene.handle(Event::LockLost), []);
    assert!(scene.handle(Event::Exited(Generation::FIRST)).contains(&Action::Quit { is_stuck: false }));
}

#[test]
fn three_rounds_of_holders_then_backoff() {
    let mut scene = Scene::new(settings());
    for round in 1..=3 {
        let actions = scene.handle(Event::PortHeld { generation: scene.generation, holders: Holders::Fresh });
        assert_eq!(actions, [Action::AskHolders, Action::Tell(Notice::PortConflict { round })]);
        assert_eq!(scene.wait_for_launch(), millis(10));
    }
    let actions = scene.handle(Event::PortHeld { generation: scene.generation, holders: Holders::Fresh });
    assert_eq!(actions, [Action::Tell(Notice::PortLost { failures: 1, delay: secs(1) })]);
    assert_eq!((scene.machine.condition(), scene.wait_for_launch()), (Condition::BackingOff, secs(1)));
    let actions = scene.handle(Event::PortHeld { generation: scene.generation, holders: Holders::Fresh });
    assert_eq!(actions, [Action::AskHolders, Action::Tell(Notice::PortConflict { round: 1 })]);
}

#[test]
fn holders_are_asked_then_killed_then_given_up() {
    let mut scene = Scene::new(settings());
    let begun_at = scene.now;
    scene.handle(Event::PortHeld { generation: scene.generation, holders: Holders::Fresh });
    let mut told = Vec::new();
    while scene.machine.condition() == Condition::ClearingPort {
        scene.wait_for_launch();
        for action in scene.handle(Event::PortHeld { generation: scene.generation, holders: Holders::Asked }) {
            told.push((scene.now.saturating_duration_since(begun_at), action));
        }
    }
    let lost = Action::Tell(Notice::PortLost { failures: 1, delay: secs(1) });
    assert_eq!(told, [(secs(2), Action::KillHolders), (secs(2) + KILL_TIME, lost)]);
}

#[test]
fn a_port_to_be_waited_for_costs_nobody_anything() {
    let mut scene = Scene::new(Settings { wait_for_port: true, ..settings() });
    for _ in 0..100 {
        let actions = scene.handle(Event::PortHeld { generation: scene.generation, holders: Holders::Fresh });
        assert_eq!(actions, [Action::Tell(Notice::PortAwaited)]);
        assert_eq!(scene.machine.condition(), Condition::AwaitingPort);
        scene.wait_for_launch();
    }
    assert_eq!(scene.machine.failures(), 0);
}

#[test]
fn a_restart_after_failed_checks_comes_at_once() {
    let mut scene = Scene::running(Settings { sync: SyncSettings::Never, ..settings() });
    for streak in 1..3 {
        assert_eq!(scene.wait(), (secs(30), vec![Action::Probe(Generation::FIRST)]));
        let told = [scene.judged(Health::Unhealthy), Action::Tell(Notice::ProbeFailed { streak, streak_max: 3 })];
        assert_eq!(scene.probed(ILL), told);
    }
    scene.wait();
    assert!(scene.probed(ILL).contains(&Action::Drain { generation: Generation::FIRST, signal: TERM }));
    let actions = scene.exited();
    assert!(launches(&actions));
    assert!(actions.contains(&Action::Tell(Notice::Ended {
        generation: Generation::FIRST,
        after_exit: AfterExit::Launch,
        delay: Duration::ZERO
    })));
}

#[test]
fn a_streak_is_never_inherited() {
    let mut scene = Scene::running(Settings { sync: SyncSettings::Never, stable: secs(0), ..settings() });
    for _ in 0..2 {
        scene.wait();
        scene.probed(ILL);
    }
    assert_eq!(scene.machine.streak(), 2);
    scene.exited();
    scene.spawned();
    scene.healthy();
    assert_eq!(scene.machine.streak(), 0);
    scene.wait();
    assert!(scene.probed(ILL).contains(&Action::Tell(Notice::ProbeFailed { streak: 1, streak_max: 3 })));
}

#[test]
fn a_supervisor_that_was_away_takes_one_fresh_probe_before_it_counts() {
    let mut scene = Scene::running(Settings { sync: SyncSettings::Never, ..settings() });
    scene.wait();
    scene.now += secs(5) + millis(251);
    let excused = scene.judged(Health::Unknown);
    let again = [Action::CancelProbe { timed_out: false }, excused, Action::Probe(Generation::FIRST)];
    assert_eq!((scene.handle(Event::TimePassed), scene.machine.streak()), (again.to_vec(), 0));
    scene.probed(WELL);
    scene.wait();
    scene.now += secs(3600);
    assert_eq!((scene.probed(ILL), scene.machine.streak()), (vec![excused, Action::Probe(Generation::FIRST)], 0));
    scene.now += secs(5) + millis(250);
    scene.handle(Event::TimePassed);
    assert_eq!(scene.machine.streak(), 1);
}

#[test]
fn an_excused_probe_is_cancelled_without_having_timed_out_and_a_counted_one_with_it() {
    for (late, timed_out, health) in [(millis(251), false, Health::Unknown), (millis(250), true, Health::Unhealthy)] {
        for mut scene in [Scene::starting(settings()), Scene::probing()] {
            scene.now += secs(5) + late;
            let actions = scene.handle(Event::TimePassed);
            assert_eq!(actions[..2], [Action::CancelProbe { timed_out }, scene.judged(health)], "{late:?}");
        }
    }
}

#[test]
fn a_probe_that_is_not_needed_any_more_has_not_timed_out_and_is_not_judged() {
    for ending in [STOP, Event::RestartRequested, Event::Exited(Generation::FIRST)] {
        let mut scene = Scene::probing();
        let actions = scene.handle(ending);
        assert!(actions.contains(&Action::CancelProbe { timed_out: false }), "{ending:?}");
        assert!(actions.contains(&Action::CancelSync { timed_out: false }), "{ending:?}");
        assert_eq!(judgements(&actions), []);
    }
}

#[test]
fn each_probe_is_judged_once() {
    let outcomes = [
        (WELL, Health::Healthy),
        (ProbeOutcome::Answered(500), Health::Unhealthy),
        (ILL, Health::Unhealthy),
        (ProbeOutcome::LocalError, Health::Unknown),
    ];
    for (outcome, health) in outcomes {
        for mut scene in [Scene::starting(settings()), Scene::probing()] {
            assert_eq!(judgements(&scene.probed(outcome)), [health], "{outcome:?}");
            assert_eq!(scene.probed(outcome), [], "{outcome:?}, heard twice");
        }
    }
}

#[test]
fn a_judgement_comes_before_what_follows_from_it() {
    let mut settings = settings();
    (settings.startup_timeout, settings.health.streak_max) = (secs(5), 1);
    let mut hung_from_the_start = Scene::starting(settings.clone());
    let mut hung_later = Scene::probing();
    hung_later.machine.reconfigure(settings);
    for (scene, notice) in [
        (&mut hung_from_the_start, Notice::StartupTimedOut(Generation::FIRST)),
        (&mut hung_later, Notice::Unhealthy(Generation::FIRST)),
    ] {
        let (_, actions) = scene.wait();
        let told = [scene.judged(Health::Unhealthy), Action::Tell(notice)];
        assert_eq!((actions[0], &actions[1..3]), (Action::CancelProbe { timed_out: true }, &told[..]));
    }
}

#[test]
fn each_sleep_during_a_start_is_followed_by_a_fresh_probe() {
    let mut scene = Scene::starting(settings());
    scene.now += secs(30);
    scene.handle(Event::TimePassed);
    scene.probed(ILL);
    scene.now += secs(600);
    scene.handle(Event::TimePassed);
    assert_eq!(scene.machine.condition(), Condition::Starting);
    scene.probed(ILL);
    scene.now += secs(5);
    scene.handle(Event::TimePassed);
    assert_eq!(scene.machine.condition(), Condition::Draining);
}

#[test]
fn a_hung_worker_costs_a_few_wake_ups_and_then_its_life() {
    let mut scene = Scene::running(Settings { sync: SyncSettings::Never, ..settings() });
    let mut wakes = 0;
    while scene.machine.condition() == Condition::Running {
        scene.wait();
        wakes += 1;
    }
    assert_eq!(wakes, 6);
}

#[test]
fn each_healthy_start_is_registered_at_once() {
    let mut scene = Scene::starting(Settings { stable: secs(0), ..settings() });
    for _ in 0..3 {
        assert_eq!(scene.healthy()[0], Action::Sync(scene.generation));
        scene.exited();
        scene.spawned();
    }
}

#[test]
fn a_registration_is_retried_after_1_2_4_and_at_most_60_seconds_without_touching_health() {
    let mut scene = Scene::running(settings());
    let mut delays = Vec::new();
    while delays.len() < 8 {
        let actions = scene.handle(Event::SyncEnded { generation: scene.generation, accepted: false });
        let failed_at = scene.now;
        assert!(matches!(actions[..], [Action::Tell(Notice::SyncFailed { .. })]));
        while !scene.wait().1.contains(&Action::Sync(scene.generation)) {
            scene.probed(WELL);
        }
        scene.probed(WELL);
        delays.push(scene.now.saturating_duration_since(failed_at).as_secs());
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!((scene.machine.streak(), scene.machine.failures()), (0, 0));
}

#[test]
fn a_late_answer_to_the_registration_of_a_dead_worker_changes_nothing() {
    let mut scene = Scene::running(Settings { stable: secs(0), ..settings() });
    scene.exited();
    scene.spawned();
    scene.healthy();
    let before = scene.machine.clone();
    assert_eq!(scene.handle(Event::SyncEnded { generation: Generation::FIRST, accepted: true }), []);
    assert_eq!(scene.machine, before);
}

#[test]
fn a_stop_passes_its_signal_on_and_kills_after_the_drain() {
    for signal in [StopSignal::Term, StopSignal::Int, StopSignal::Hup] {
        let mut scene = Scene::running(settings());
        assert!(
            scene
                .handle(Event::StopRequested(signal))
                .contains(&Action::Drain { generation: Generation::FIRST, signal })
        );
        let (waited, actions) = scene.wait();
        assert_eq!((waited, actions[0]), (secs(5), Action::Kill(Generation::FIRST)));
        assert!(scene.exited().contains(&Action::Quit { is_stuck: false }));
    }
}

#[test]
fn second_stop_request_kills_at_once() {
    let mut scene = Scene::running(settings());
    scene.handle(STOP);
    assert_eq!(scene.handle(STOP)[0], Action::Kill(Generation::FIRST));
    assert_eq!(scene.handle(STOP), []);
}

#[test]
fn a_worker_that_the_kernel_never_lets_go_does_not_hold_up_a_stop() {
    let mut scene = Scene::running(settings());
    scene.handle(STOP);
    scene.wait();
    assert_eq!(
        scene.wait(),
        (KILL_TIME, vec![Action::Tell(Notice::Stuck(Generation::FIRST)), Action::Quit { is_stuck: true }])
    );
}

#[test]
fn a_worker_that_the_kernel_never_lets_go_is_never_replaced_beside_itself() {
    let mut scene = Scene::running(settings());
    scene.handle(Event::RestartRequested);
    scene.wait();
    for _ in 0..100 {
        let (waited, actions) = scene.wait();
        assert_eq!((waited, actions[0]), (KILL_TIME, Action::Kill(Generation::FIRST)));
    }
    assert!(launches(&scene.exited()));
}

#[test]
fn a_stop_during_a_restarts_drain_becomes_a_stop() {
    let mut scene = Scene::running(settings());
    scene.handle(Event::RestartRequested);
    scene.now += secs(4);
    let actions = scene.handle(Event::StopRequested(StopSignal::Int));
    assert_eq!(actions[0], Action::Drain { generation: Generation::FIRST, signal: StopSignal::Int });
    assert!(actions.contains(&Action::Tell(Notice::Draining {
        generation: Generation::FIRST,
        after_exit: AfterExit::Stop,
        patience: secs(1)
    })));
    let actions = scene.exited();
    assert!(actions.contains(&Action::Quit { is_stuck: false }) && !launches(&actions));
}

#[test]
fn a_stop_is_not_undone_by_a_restart() {
    let mut scene = Scene::running(settings());
    scene.handle(STOP);
    assert_eq!(scene.handle(Event::RestartRequested), []);
    assert!(scene.exited().contains(&Action::Quit { is_stuck: false }));
}

#[test]
fn a_stop_without_a_worker_ends_at_once() {
    let replies: [fn(Generation) -> Event; 3] = [Event::LaunchFailed, Event::LeaseStarted, |generation| {
        Event::PortHeld { generation, holders: Holders::Fresh }
    }];
    for reply in replies {
        let mut scene = Scene::new(settings());
        scene.handle(reply(Generation::FIRST));
        assert_eq!(scene.handle(STOP).last(), Some(&Action::Quit { is_stuck: false }));
        assert_eq!(scene.machine.next_deadline(), None);
    }
}

#[test]
fn a_graceful_restart_reads_the_configuration_before_it_launches() {
    let mut scene = Scene::running(settings());
    assert!(
        scene.handle(Event::RestartRequested).contains(&Action::Drain { generation: Generation::FIRST, signal: TERM })
    );
    assert_eq!(scene.exited()[1..], [Action::Reload, Action::Launch(Generation::FIRST.next())]);
}

#[test]
fn a_restart_does_not_sit_out_a_backoff() {
    let mut scene = Scene::new(settings());
    scene.handle(Event::LaunchFailed(scene.generation));
    assert_eq!(scene.handle(Event::RestartRequested), [Action::Reload, Action::Launch(Generation::FIRST)]);
}

#[test]
fn an_adopted_worker_is_ended_before_the_first_launch() {
    let (now, adopted) = (Instant::now(), Generation::ADOPTED);
    let (machine, actions) = Machine::new(Settings { port_grace: secs(7), ..settings() }, now, true);
    let mut scene = Scene { machine, now, generation: adopted };
    let actions: Vec<Action> = actions.into_iter().collect();
    assert_eq!(actions, [Action::Drain { generation: adopted, signal: TERM }, Action::Tell(Notice::Adopted)]);
    let (waited, actions) = scene.wait();
    assert_eq!((waited, actions[0]), (secs(7), Action::Kill(adopted)));
    assert_eq!(scene.exited()[0], Action::Launch(Generation::FIRST));
}

#[test]
fn a_stop_while_an_adopted_worker_is_ended_does_not_wait_for_the_ports_grace() {
    let now = Instant::now();
    let (machine, _) = Machine::new(Settings { port_grace: secs(60), ..settings() }, now, true);
    let mut scene = Scene { machine, now, generation: Generation::ADOPTED };
    scene.handle(STOP);
    assert_eq!(scene.wait().0, secs(5));
}

#[test]
fn a_holder_that_nobody_can_find_is_looked_for_every_10_ms_for_300_ms() {
    let mut scene = Scene::new(settings());
    let unseen = |scene: &Scene| Event::PortHeld { generation: scene.generation, holders: Holders::Unseen };
    for _ in 0..30 {
        let event = unseen(&scene);
        assert_eq!(scene.handle(event), []);
        assert_eq!(scene.wait_for_launch(), Duration::from_millis(10));
    }
    let event = unseen(&scene);
    assert_eq!(scene.handle(event), [Action::Tell(Notice::PortLost { failures: 1, delay: secs(1) })]);
}
