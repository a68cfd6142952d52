//! The operator's commands against a supervisor that runs: what they say and how they end.

mod support;

use std::fs::{File, read_to_string};
use std::process::{Command, Stdio};

use support::{LIMIT, Scene, Signal, send_signal, wait_for, wait_until};

/// Waits until `status` ends with a code, and returns its first line.
#[track_caller]
fn wait_for_status(scene: &Scene, code: i32) -> String {
    wait_for(
        &format!("exit code {code} of status"),
        LIMIT,
        || scene.story(),
        || {
            let ran = scene.run(&["status"]);
            (ran.code == Some(code)).then(|| ran.stdout.lines().next().unwrap_or_default().to_owned())
        },
    )
}

#[test]
fn status_follows_a_supervisor_from_before_its_start_to_after_its_end() {
    let scene = Scene::new();
    assert_eq!(wait_for_status(&scene, 3), "worker: not running");
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    assert!(wait_for_status(&scene, 0).starts_with("worker: healthy for "));
    let details = scene.run(&["status"]).stdout;
    assert!(details.contains(&format!("pid {worker}, generation 1, up ")), "{details}");
    let json: serde_json::Value = serde_json::from_str(&scene.run(&["status", "--json"]).stdout).expect("JSON");
    assert_eq!((&json["running"], &json["healthy"], &json["pid"]), (&true.into(), &true.into(), &worker.into()));
    supervisor.stop();
    assert!(wait_for_status(&scene, 3).starts_with("worker: not running, stopped "));
}

#[test]
fn status_does_not_believe_the_file_of_a_killed_supervisor() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_status(&scene, 0);
    supervisor.kill();
    let headline = wait_for_status(&scene, 3);
    assert!(headline.starts_with("worker: not running, last seen ") && headline.ends_with(": healthy"), "{headline}");
}

#[test]
fn restart_returns_when_a_newer_worker_is_healthy() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let old = supervisor.wait_ready();
    let ran = scene.run(&["restart"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("worker: healthy again after ") && ran.stdout.ends_with(", generation 2\n"));
    let new = supervisor.wait_nth_ready(2);
    assert!(new != old && ran.stdout.contains(&format!(", pid {new},")), "{}", ran.stdout);
}

#[test]
fn restart_says_why_the_new_worker_is_not_healthy() {
    let scene =
        Scene::new().worker(&["--life", "--life", "--exit-after", "0", "--exit-code", "4", "--stderr-line", "boom"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let ran = scene.run(&["restart"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    let message = "worker-supervisor: cannot restart the worker: the new worker ended after ";
    assert!(ran.stderr.contains(message) && ran.stderr.contains(": exit code 4"), "{}", ran.stderr);
}

#[test]
fn restart_refuses_a_broken_config_and_leaves_the_worker_alone() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.set("prot", 1);
    });
    let ran = scene.run(&["restart"]);
    assert_eq!(ran.code, Some(78));
    assert!(ran.stderr.contains("prot"), "{}", ran.stderr);
    assert_eq!(scene.report().workers(), [worker]);
    assert!(supervisor.is_alive());
}

#[test]
fn restart_without_a_supervisor_is_exit_code_3() {
    let scene = Scene::new();
    assert_eq!(scene.run(&["restart"]).code, Some(3));
}

#[test]
fn restart_during_a_pause_starts_at_once() {
    let scene = Scene::new().worker(&["--life", "--exit-after", "0", "--exit-code", "4", "--life"]);
    let scene = scene.set("restart_backoff_min_secs", 30).set("restart_backoff_max_secs", 30);
    let _supervisor = scene.start();
    wait_until("a pause", LIMIT, || scene.status().is_some_and(|status| status["state"] == "backing-off"));
    let ran = scene.run(&["restart"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

/// `logs` with these arguments, its output in a file of the scene.
fn logs(scene: &Scene, arguments: &[&str], stdout: impl Into<Stdio>) -> Command {
    let mut command = scene.program();
    command.arg("logs").args(arguments).stdin(Stdio::null()).stdout(stdout);
    command.stderr(File::create(scene.file("logs.err")).expect("a file for its complaints"));
    command
}

#[test]
fn logs_follow_until_a_signal_ends_them_quietly() {
    let scene = Scene::new().worker(&["--stderr-line", "first words"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let output = File::create(scene.file("logs.out")).expect("a file for the logs");
    let mut child = logs(&scene, &["-f"], output).spawn().expect("it starts");
    let shown = || read_to_string(scene.file("logs.out")).expect("the logs can be read");
    wait_until("the first words", LIMIT, || shown().contains("first words\n"));
    scene.run(&["restart"]);
    wait_until("the first words again", LIMIT, || shown().matches("first words\n").count() == 2);
    send_signal(i32::try_from(child.id()).expect("a pid"), Signal::SIGINT);
    let end = wait_for("the end of logs", LIMIT, shown, || child.try_wait().expect("waited for"));
    assert_eq!(end.code(), Some(0));
    assert_eq!(read_to_string(scene.file("logs.err")).expect("its complaints"), "");
}

#[test]
fn logs_end_quietly_when_their_reader_goes_away_although_nothing_more_is_logged() {
    let scene = Scene::new().worker(&["--stderr-line", "first words"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let mut child = logs(&scene, &["-f"], Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let end = wait_for("the end of logs", LIMIT, String::new, || child.try_wait().expect("waited for"));
    assert_eq!(end.code(), Some(0));
    assert_eq!(read_to_string(scene.file("logs.err")).expect("its complaints"), "");
}

#[test]
fn launchd_print_needs_no_launchd() {
    let scene = Scene::new();
    let ran = scene.run(&["launchd", "print"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let list = plist::Value::from_reader_xml(ran.stdout.as_bytes()).expect("a property list");
    let label = list.as_dictionary().and_then(|list| list["Label"].as_string());
    assert_eq!(label, Some("worker-supervisor.worker"));
}
