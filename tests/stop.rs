//! How it ends: stops in every state, their signals, their deadlines, and restarts that are asked for.

mod support;

use std::fs::read_to_string;
use std::time::Duration;

use support::words::{DIED, DRAINING, ENDED, KILLING, LAUNCH_FAILED, READY, RELOAD_FAILED, STARTED, STOPPED, field};
use support::{
    LIMIT, Scene, Signal, Supervisor, group_members, let_pass, process_alive, quoted, request, send_signal, wait_for,
    wait_until,
};

/// A time that no test would live to see the end of.
const NEVER: &str = "3600";

/// The stop signals, in the order in which a system hands out those that came together.
const STOPS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// The names of the stop signals that a worker saw.
fn stops_of(scene: &Scene, pid: i32) -> Vec<String> {
    let report = scene.report();
    report.signals_of(pid).into_iter().filter(|name| *name != "CONT").map(str::to_owned).collect()
}

/// Waits until a worker has seen its first stop signal.
#[track_caller]
fn wait_for_stop_signal(scene: &Scene, pid: i32) {
    wait_until("a stop signal at the worker", LIMIT, || !stops_of(scene, pid).is_empty());
}

/// The supervisor ends with exit code 0, and nothing of its scene is left.
#[track_caller]
fn assert_ends_in_order(scene: &Scene, supervisor: &Supervisor<'_>) {
    assert_eq!(supervisor.wait_exit(), 0, "{}", scene.story());
    assert_eq!(supervisor.lines_with(STOPPED).len(), 1, "{}", scene.story());
    scene.wait_until_nothing_is_left();
}

#[test]
fn worker_gets_the_very_signal_that_the_supervisor_got() {
    for signal in STOPS {
        let scene = Scene::new();
        let supervisor = scene.start();
        let pid = supervisor.wait_ready();
        supervisor.signal(signal);
        assert_ends_in_order(&scene, &supervisor);
        assert_eq!(stops_of(&scene, pid), [signal.as_str().trim_start_matches("SIG")]);
        assert!(supervisor.wait_for_log(ENDED).contains("exit code 0"));
    }
}

#[test]
fn quit_signal_is_a_stop_that_dumps_no_core_of_the_worker() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    supervisor.signal(Signal::SIGQUIT);
    assert_ends_in_order(&scene, &supervisor);
    assert_eq!(stops_of(&scene, pid), ["TERM"]);
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0"));
}

#[test]
fn running_request_is_answered_before_the_worker_goes() {
    let scene = Scene::new().set("drain_timeout_secs", NEVER).set("health_interval_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let port = scene.port().number();
    let client = std::thread::spawn(move || request(port, "POST", "/wait/0.5"));
    wait_until("the request at the worker", LIMIT, || !scene.report().requests("POST").is_empty());
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(client.join().expect("the client ends").expect("an answer").status, 200);
    assert_ends_in_order(&scene, &supervisor);
    assert_eq!(supervisor.lines_with(KILLING), Vec::<String>::new());
}

#[test]
fn worker_that_ignores_the_stop_is_killed_with_its_group_when_its_time_is_over() {
    let scene = Scene::new().worker(&["--ignore-term", "--fork-child"]).set("drain_timeout_secs", "0.5");
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    assert_eq!(group_members(pid).len(), 2);
    let asked_ns = support::monotonic_ns();
    supervisor.signal(Signal::SIGTERM);
    assert_ends_in_order(&scene, &supervisor);
    let lasted = Duration::from_nanos(support::monotonic_ns() - asked_ns);
    assert!(lasted >= Duration::from_millis(500), "killed after {lasted:?}");
    supervisor.wait_for_log(KILLING);
    assert!(supervisor.wait_for_log(ENDED).contains("signal 9 (SIGKILL)"));
    assert_eq!(group_members(pid), Vec::<i32>::new());
}

#[test]
fn second_stop_signal_kills_at_once() {
    let scene = Scene::new().worker(&["--ignore-term"]).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    supervisor.signal(Signal::SIGTERM);
    wait_for_stop_signal(&scene, pid);
    assert!(process_alive(pid));
    supervisor.signal(Signal::SIGINT);
    assert_ends_in_order(&scene, &supervisor);
    supervisor.wait_for_log(KILLING);
    assert_eq!(stops_of(&scene, pid), ["TERM"]);
}

#[test]
fn no_time_to_drain_means_killed_at_once() {
    let scene = Scene::new().worker(&["--ignore-term"]).set("drain_timeout_secs", 0);
    let supervisor = scene.start();
    supervisor.wait_ready();
    supervisor.signal(Signal::SIGTERM);
    assert_ends_in_order(&scene, &supervisor);
    assert!(supervisor.wait_for_log(ENDED).contains("signal 9 (SIGKILL)"));
}

#[test]
fn stopped_worker_sees_the_stop() {
    let scene = Scene::new().set("health_interval_secs", NEVER).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    send_signal(pid, Signal::SIGSTOP);
    supervisor.signal(Signal::SIGTERM);
    assert_ends_in_order(&scene, &supervisor);
    assert_eq!(stops_of(&scene, pid), ["TERM"]);
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0"));
}

#[test]
fn worker_that_dies_by_itself_while_it_drains_ends_the_wait() {
    let scene = Scene::new().worker(&["--ignore-term"]).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    supervisor.signal(Signal::SIGTERM);
    wait_for_stop_signal(&scene, pid);
    send_signal(pid, Signal::SIGKILL);
    assert_ends_in_order(&scene, &supervisor);
    assert!(supervisor.wait_for_log(ENDED).contains("signal 9 (SIGKILL)"));
    assert_eq!(supervisor.lines_with(KILLING), Vec::<String>::new());
}

#[test]
fn stop_in_a_backoff_ends_it() {
    let scene = Scene::new().command(&["no-such-program"]);
    let scene = scene.set("restart_backoff_min_secs", NEVER).set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_for_log(LAUNCH_FAILED);
    supervisor.signal(Signal::SIGTERM);
    assert_ends_in_order(&scene, &supervisor);
}

#[test]
fn stop_in_a_startup_ends_the_worker() {
    let scene = Scene::new().worker(&["--no-listen"]);
    let supervisor = scene.start();
    let pid = supervisor.worker_pid();
    supervisor.signal(Signal::SIGTERM);
    assert_ends_in_order(&scene, &supervisor);
    assert_eq!(stops_of(&scene, pid), ["TERM"]);
}

#[test]
fn stop_right_after_the_start_leaves_nothing() {
    let scene = Scene::new();
    for _ in 0..10 {
        let supervisor = scene.start();
        // Whatever it is doing when the signal comes: its own start, a launch, the worker's start-up.
        supervisor.wait_for_log(" supervising ");
        supervisor.signal(Signal::SIGTERM);
        assert_ends_in_order(&scene, &supervisor);
    }
}

#[test]
fn stop_in_the_drain_of_a_restart_makes_a_stop_of_it() {
    let scene = Scene::new().worker(&["--ignore-term"]).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    supervisor.signal(Signal::SIGUSR1);
    wait_for_stop_signal(&scene, pid);
    assert_eq!(field(&supervisor.wait_for_log(DRAINING), "then"), Some("reload"));
    supervisor.signal(Signal::SIGINT);
    assert_eq!(field(&supervisor.wait_for_nth_log(2, DRAINING), "then"), Some("stop"));
    wait_until("the second signal at the worker", LIMIT, || stops_of(&scene, pid).len() == 2);
    assert!(process_alive(pid), "the first stop signal is not a second one");
    supervisor.signal(Signal::SIGTERM);
    assert_ends_in_order(&scene, &supervisor);
    assert_eq!(scene.report().starts().len(), 1);
    assert_eq!(stops_of(&scene, pid), ["TERM", "INT"]);
}

#[test]
fn stop_while_the_lock_is_waited_for_ends_at_once_and_leaves_the_other_alone() {
    let scene = Scene::new().set("drain_timeout_secs", NEVER);
    let first = scene.start();
    let worker = first.wait_ready();
    let second = scene.start();
    second.wait_for_log("waiting for it to stop");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.wait_exit(), 0);
    assert!(first.is_alive() && process_alive(worker));
    assert_eq!(scene.report().signals_of(worker), Vec::<&str>::new());
    assert_eq!(first.stop(), 0);
}

#[test]
fn three_stop_signals_at_once_are_one_stop() {
    let scene = Scene::new().worker(&["--drain", "0.5"]).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    // So that it finds all three when it looks.
    supervisor.signal(Signal::SIGSTOP);
    STOPS.into_iter().for_each(|signal| supervisor.signal(signal));
    supervisor.signal(Signal::SIGCONT);
    assert_ends_in_order(&scene, &supervisor);
    assert_eq!(stops_of(&scene, pid).len(), 1);
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0"));
    assert_eq!(supervisor.lines_with(KILLING), Vec::<String>::new());
}

#[test]
fn storm_of_stop_signals_is_one_end() {
    let scene = Scene::new().worker(&["--ignore-term"]).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    for _ in 0..2000 {
        // It may be gone before the storm is over.
        if !supervisor.is_alive() {
            break;
        }
        send_signal(supervisor.pid(), Signal::SIGTERM);
    }
    supervisor.wait_for_log(DRAINING);
    // A storm that it saw in one look is one wish, and not yet one for haste.
    if supervisor.is_alive() {
        send_signal(supervisor.pid(), Signal::SIGTERM);
    }
    assert_ends_in_order(&scene, &supervisor);
    assert!(stops_of(&scene, pid).len() <= 1);
    let lines = supervisor.stderr().lines().count();
    assert!(lines < 12, "{lines} lines\n{}", supervisor.stderr());
}

#[test]
fn stop_signals_reach_the_workers_group_only_if_asked_to() {
    // The leader waits for the worker, and is interrupted by TERM once.
    let script = "trap : TERM; \"$0\" \"$@\" & wait $!; wait $!";
    for whole_group in [true, false] {
        let scene = Scene::new().set("drain_timeout_secs", 1).set("stop_group", whole_group);
        let worker = support::worker_program();
        let [port, report] = [scene.port().number().to_string(), scene.file("report").display().to_string()];
        let program = worker.to_str().expect("UTF-8");
        let scene = scene.command(&["sh", "-c", script, program, "--port", &port, "--report", &report]);
        let supervisor = scene.start();
        let leader = supervisor.wait_ready();
        let worker = scene.report().workers()[0];
        assert_eq!(support::group_of(worker), Some(leader));
        supervisor.signal(Signal::SIGTERM);
        assert_ends_in_order(&scene, &supervisor);
        assert_eq!(!stops_of(&scene, worker).is_empty(), whole_group);
        assert_eq!(supervisor.lines_with(KILLING).is_empty(), whole_group);
    }
}

#[test]
fn restart_drains_and_starts_the_next_one_with_the_configuration_read_anew() {
    let scene = Scene::new();
    let dump = scene.file("dump").display().to_string();
    let scene = scene.worker(&["--dump-env", &dump]).set_in("env", "GREETING", "before");
    let scene = scene.set("restart_backoff_min_secs", NEVER).set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.set_in("env", "GREETING", "after").set("health_status", "[200]");
    });
    supervisor.signal(Signal::SIGUSR1);
    let second = supervisor.wait_nth_ready(2);
    assert_ne!(first, second);
    assert_eq!(stops_of(&scene, first), ["TERM"]);
    let environment = read_to_string(&dump).expect("a dump");
    assert!(environment.split('\0').any(|variable| variable == "GREETING=after"), "{environment}");
    assert_eq!(field(&supervisor.wait_for_nth_log(2, STARTED), "generation"), Some("2"));
    assert_eq!(supervisor.lines_with(DIED), Vec::<String>::new());
}

#[test]
fn restart_moves_the_worker_to_another_port() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    let other = support::free_port();
    let report = scene.file("report").display().to_string();
    let program = support::worker_program().display().to_string();
    scene.reconfigure(|config| {
        config.set("port", other.number());
        config.command(&[&program, "--port", &other.number().to_string(), "--report", &report]);
    });
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_nth_ready(2);
    assert_eq!(request(other.number(), "GET", "/").expect("an answer").status, 200);
}

#[test]
fn restart_with_a_broken_configuration_says_so_and_keeps_the_old_one() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.set("health_interval_secs", quoted("soon"));
    });
    supervisor.signal(Signal::SIGUSR1);
    let line = supervisor.wait_for_log(RELOAD_FAILED);
    assert!(line.contains("worker.toml:") && line.contains("health_interval_secs"), "{line}");
    assert!(line.contains(support::words::ERROR) && line.contains("keeping the old one"), "{line}");
    let second = supervisor.wait_nth_ready(2);
    assert_ne!(first, second);
    // The rest of the story is as if the file had not been touched.
    scene.reconfigure(|config| {
        config.set("health_interval_secs", "0.1");
    });
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_nth_ready(3);
    assert_eq!(supervisor.lines_with(RELOAD_FAILED).len(), 1);
}

#[test]
fn restart_finds_a_configuration_that_was_named_by_a_relative_path() {
    let scene = Scene::new();
    let program = scene.program();
    let mut command = std::process::Command::new(program.get_program());
    command.args(["--config", "worker.toml"]).current_dir(scene.config_file().parent().expect("a directory"));
    command.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let supervisor = scene.start_with(&mut command);
    supervisor.wait_ready();
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_nth_ready(2);
    assert_eq!(supervisor.lines_with(RELOAD_FAILED), Vec::<String>::new());
}

#[test]
fn restart_ends_a_backoff() {
    let scene = Scene::new().command(&["no-such-program"]);
    let scene = scene.set("restart_backoff_min_secs", NEVER).set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_for_log(LAUNCH_FAILED);
    let scene = &scene;
    scene.reconfigure(|config| {
        let program = support::worker_program().display().to_string();
        config.command(&[&program, "--port", &scene.port().number().to_string()]);
    });
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_ready();
}

#[test]
fn many_restarts_at_once_are_few_and_never_two_workers() {
    let scene = Scene::new().worker(&["--drain", "0.05"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    for _ in 0..200 {
        supervisor.signal(Signal::SIGUSR1);
    }
    let_pass(Duration::from_millis(500));
    let last = wait_for(
        "a ready worker after the storm",
        LIMIT,
        || scene.story(),
        || {
            let ready = supervisor.lines_with(READY).last()?.clone();
            let pid: i32 = field(&ready, "pid")?.parse().ok()?;
            (scene.report().workers().last() == Some(&pid) && process_alive(pid)).then_some(pid)
        },
    );
    let others: Vec<i32> = scene.report().workers().into_iter().filter(|pid| *pid != last).collect();
    assert!(others.iter().all(|pid| !process_alive(*pid)), "{others:?} beside {last}");
    assert!(scene.report().starts().len() < 50, "{}", scene.report());
}

#[test]
fn hangup_that_was_ignored_at_the_start_stays_ignored() {
    let scene = Scene::new();
    let program = scene.program();
    let mut nohup = std::process::Command::new("/bin/sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut nohup, &program);
    let supervisor = scene.start_with(&mut nohup);
    let worker = supervisor.wait_ready();
    supervisor.signal(Signal::SIGHUP);
    // Signals are served in order of their numbers: what this one leads to comes after what the first would have.
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_nth_ready(2);
    assert!(!process_alive(worker));
    assert_eq!(scene.report().starts()[0].field("ignored"), "none");
    assert_eq!(scene.report().signals_of(worker).first(), Some(&"TERM"));
    assert_eq!(supervisor.stop(), 0);
}
