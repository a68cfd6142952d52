//! `restart` through the real program: it returns when the next worker is healthy, or says why there is none.

mod support;

use std::fs;
use std::process::Stdio;

use support::words::{DIED, ENDED, RELOAD_FAILED};
use support::{LIMIT, Ran, Scene, Signal, dumped, process_alive, quoted, wait_for, wait_until};

const NEVER: &str = "3600";

#[track_caller]
fn assert_fails(ran: &Ran, code: i32, reason: &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{}", ran.stderr);
    // After what was waited for.
    let message = ran.stderr.lines().last().and_then(|line| line.strip_prefix("worker-supervisor: "));
    let message = message.unwrap_or_else(|| panic!("{}", ran.stderr));
    assert!(message.contains(reason), "{reason}: {message}");
    assert_eq!(ran.stderr.matches("worker-supervisor: ").count(), 1, "{}", ran.stderr);
}

#[test]
fn restart_ends_when_a_newer_worker_is_healthy_and_the_old_one_was_drained() {
    let scene = Scene::new().worker(&["--listen-after", "0.3"]);
    let supervisor = scene.start();
    let old = supervisor.wait_ready();
    let ran = scene.run(&["restart"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // At this very moment, not a little later.
    let status = scene.status().expect("a status file");
    assert_eq!((&status["generation"], &status["healthy"]), (&2.into(), &true.into()));
    let new = status["pid"].as_i64().expect("a pid");
    assert!(new != i64::from(old) && !process_alive(old));
    assert!(ran.stdout.starts_with("worker: healthy again after "), "{}", ran.stdout);
    assert_eq!(
        ran.stderr.lines().last(),
        Some(&*format!("worker: started, waiting for the first healthy answer of pid {new}"))
    );
    assert!(ran.stdout.ends_with(&format!(", pid {new}, generation 2\n")), "{}", ran.stdout);
    assert_eq!(scene.report().signals_of(old).first(), Some(&"TERM"));
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0"));
}

#[test]
fn restart_says_once_what_it_waits_for() {
    let scene = Scene::new().worker(&["--drain", "0.4", "--listen-after", "0.3"]);
    let supervisor = scene.start();
    let old = supervisor.wait_ready();
    let ran = scene.run(&["restart"]);
    let draining = format!("worker: draining, waiting for pid {old} to finish its requests\n");
    assert_eq!(ran.stderr.matches(&draining).count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("worker: started, waiting for the first healthy answer of pid "), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}') && ran.stdout.lines().count() == 1, "{ran:?}");
}

#[test]
fn changed_configuration_takes_effect() {
    let scene = Scene::new();
    let dump = scene.file("dump");
    let scene = scene.worker(&["--dump-env", &dump.display().to_string()]).set_in("env", "V_MODE", "before");
    let supervisor = scene.start();
    supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.set_in("env", "V_MODE", "after");
    });
    assert_eq!(scene.run(&["restart"]).code, Some(0));
    assert_eq!(dumped(&dump)["V_MODE"], "after");
}

#[test]
fn broken_configuration_is_refused_with_its_error_and_the_worker_untouched() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.set("drain_timeout_secs", quoted("soon"));
    });
    let ran = scene.run(&["restart"]);
    assert_fails(&ran, 78, "drain_timeout_secs");
    assert!(ran.stderr.contains("worker.toml:2:"), "line and column: {}", ran.stderr);
    // The supervisor has not even been asked.
    let probes = scene.report().requests("GET").len();
    scene.wait_for_events("request", probes + 3);
    assert!(process_alive(worker));
    assert_eq!(scene.report().workers(), [worker]);
    assert_eq!(scene.report().signals_of(worker), Vec::<&str>::new());
    assert_eq!(supervisor.lines_with(RELOAD_FAILED), Vec::<String>::new());
}

#[test]
fn new_worker_that_dies_is_a_failure_with_its_last_words() {
    let lives = ["--life", "--life", "--stderr-line", "no such table", "--exit-after", "0", "--exit-code", "4"];
    let scene = Scene::new().worker(&lives).set("restart_backoff_min_secs", NEVER);
    let scene = scene.set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let ran = scene.run(&["restart"]);
    assert_fails(&ran, 1, "cannot restart the worker: the new worker ended after ");
    assert!(ran.stderr.contains(": exit code 4: no such table; "), "{}", ran.stderr);
    assert!(ran.stderr.contains("start the worker in 59 min"), "{}", ran.stderr);
    supervisor.wait_for_log(DIED);
}

#[test]
fn new_worker_that_does_not_get_healthy_is_a_failure_with_the_last_answer() {
    let scene = Scene::new().worker(&["--life", "--life", "--health", "503"]).set("startup_timeout_secs", "0.5");
    let supervisor = scene.start();
    supervisor.wait_ready();
    let ran = scene.run(&["restart"]);
    assert_fails(&ran, 1, "the new worker did not become healthy: status 503");
}

#[test]
fn new_configuration_that_cannot_start_a_worker_is_a_failure_with_the_reason() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.command(&["no-such-program"]);
    });
    assert_fails(&scene.run(&["restart"]), 1, "cannot find program \"no-such-program\"");
    assert!(supervisor.is_alive());
}

#[test]
fn restart_that_fails_as_the_last_start_did_says_so_at_once() {
    let scene = Scene::new().command(&["/nowhere/program"]).set("restart_backoff_min_secs", NEVER);
    let scene = scene.set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_for_log("failures=1");
    wait_until("a pause in the status", LIMIT, || {
        scene.status().is_some_and(|status| status["state"] == "backing-off")
    });
    assert_fails(&scene.run(&["restart"]), 1, "/nowhere/program");
    supervisor.wait_for_log("failures=2");
}

#[test]
fn without_a_supervisor_there_is_nothing_to_restart() {
    let scene = Scene::new();
    assert_fails(&scene.run(&["restart"]), 3, "no supervisor runs for ");
    let supervisor = scene.start();
    supervisor.wait_ready();
    supervisor.stop();
    drop(supervisor);
    assert_fails(&scene.run(&["restart"]), 3, "no supervisor runs for ");
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    supervisor.kill();
    assert_fails(&scene.run(&["restart"]), 3, "no supervisor runs for ");
    assert!(process_alive(worker), "what a killed supervisor left is the next one's to end");
}

#[test]
fn supervisor_that_stops_meanwhile_is_a_failure() {
    let scene = Scene::new().worker(&["--ignore-term"]).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let output = scene.file("restart.err");
    let mut command = scene.program();
    command.arg("restart").stdin(Stdio::null()).stdout(Stdio::null());
    let mut restart = command.stderr(fs::File::create(&output).expect("a file")).spawn().expect("it starts");
    wait_until("the signal of the drain", LIMIT, || !scene.report().signals_of(worker).is_empty());
    supervisor.signal(Signal::SIGTERM);
    supervisor.wait_for_nth_log(2, support::words::DRAINING);
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_exit(), 0);
    let end = wait_for("the end of restart", LIMIT, || scene.story(), || restart.try_wait().expect("a child"));
    let told = fs::read_to_string(&output).expect("its complaints");
    assert_eq!(end.code(), Some(3), "{told}");
    assert!(told.contains("the supervisor has stopped meanwhile"), "{told}");
}

#[test]
fn supervisor_that_does_not_react_is_a_failure_that_names_it() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    supervisor.signal(Signal::SIGSTOP);
    let ran = scene.run(&["restart"]);
    supervisor.signal(Signal::SIGCONT);
    assert_fails(&ran, 1, &format!("the supervisor, pid {}, does not react", supervisor.pid()));
    // It does as it was told, though late.
    supervisor.wait_nth_ready(2);
}

#[test]
fn restart_ends_a_long_pause_between_starts() {
    let scene = Scene::new().worker(&["--life", "--no-listen", "--exit-after", "0", "--life"]);
    let scene = scene.set("restart_backoff_min_secs", NEVER).set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_for_log(DIED);
    let ran = scene.run(&["restart"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.ends_with(", generation 2\n"), "{}", ran.stdout);
}

#[test]
fn restarts_at_the_same_time_all_end_with_a_healthy_worker() {
    let scene = Scene::new().worker(&["--listen-after", "0.2"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let codes: Vec<Option<i32>> = std::thread::scope(|scope| {
        let first = scope.spawn(|| scene.run(&["restart"]).code);
        // The second comes while the first one's worker is not up yet.
        scene.wait_for_events("start", 2);
        let second = scope.spawn(|| scene.run(&["restart"]).code);
        [first, second].map(|restart| restart.join().expect("it ends")).into()
    });
    assert_eq!(codes, [Some(0); 2], "{}", scene.story());
    assert!(supervisor.is_alive());
}
