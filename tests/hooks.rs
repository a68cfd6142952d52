//! Event hooks: which events run them, what they are told, and that nobody ever waits for them.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::words::{DIED, LAUNCH_FAILED, PORT_AWAITED, READY, STARTED, SYNC_FAILED, SYNCED, WARN};
use support::{
    Fixture, LIMIT, Scene, Signal, children_of, files_below, process_alive, quoted, send_signal, shell, wait_for,
    wait_for_line, wait_for_pid, wait_until,
};

/// How long a hook may run, and from one start for an event to the next.
const HOOK_TIME: Duration = Duration::from_secs(10);

/// Puts what it is told into `told/EVENT.PID`; whole or not at all.
const TELLING: &str = "cat >\"part.$$\" && mv \"part.$$\" \"told/$1.$$\"";

/// Hangs in a child of its own, with the child's pid in `$1.child` and its own in `$1.pid`. Where nobody ends it,
/// because the test has failed, it goes with the scene's directory: not every system shows whose a process was.
const HANGING: &str = "{ while [ -d told ]; do sleep 0.1; done; } & echo $! >\"$1.child\"; echo $$ >\"$1.pid\"; wait";

/// A scene whose hook is a shell script with the event as `$1`.
fn scene_with(script: &str) -> Scene {
    let scene = Scene::new().set("stable_secs", 0);
    fs::create_dir(scene.file("told")).expect("a directory");
    let hook = shell(&scene, script, "{event}");
    scene.set("on_event", hook)
}

/// What was told of an event until now, in no order.
fn told(scene: &Scene, event: &str) -> Vec<Value> {
    let is_of_event = |path: &std::path::PathBuf| path.file_stem().is_some_and(|stem| stem == event);
    let files = files_below(&scene.file("told")).into_iter().filter(is_of_event);
    files.map(|file| parsed(event, &fs::read_to_string(file).expect("a file"))).collect()
}

/// One line of JSON, with everything that a hook is promised.
#[track_caller]
fn parsed(event: &str, text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    let details: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(details["event"], event);
    assert!(details["message"].as_str().is_some_and(|message| !message.is_empty()), "{details:#}");
    for field in ["state", "supervisor_pid", "generation", "restarts", "transitions", "config_path", "version"] {
        assert!(!details["status"][field].is_null(), "no {field} in {details:#}");
    }
    details
}

/// Waits until an event was told, and returns the details.
#[track_caller]
fn wait_for_told(scene: &Scene, event: &str) -> Value {
    let what = format!("a hook for {event}");
    wait_for(&what, LIMIT, || scene.story(), || told(scene, event).into_iter().next())
}

#[track_caller]
fn assert_message(details: &Value, text: &str) {
    assert!(details["message"].as_str().is_some_and(|message| message.contains(text)), "{text}: {details:#}");
}

#[test]
fn start_ready_exit_and_stop_of_a_worker_are_told() {
    let scene = scene_with(TELLING).worker(&["--life", "--stderr-line", "last words", "--life"]);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    let started = wait_for_told(&scene, "started");
    assert_message(&started, &format!("started pid={first} generation=1"));
    assert_eq!([&started["status"]["state"], &started["status"]["pid"]], [&Value::from("starting"), &first.into()]);
    let ready = wait_for_told(&scene, "ready");
    assert_message(&ready, "ready after_ms=");
    assert_eq!([&ready["status"]["state"], &ready["status"]["healthy"]], [&Value::from("running"), &true.into()]);
    send_signal(first, Signal::SIGKILL);
    let exited = wait_for_told(&scene, "exited");
    assert_message(&exited, "worker died: signal 9 (SIGKILL), last words \"last words\"; restarting at once");
    let last_exit = &exited["status"]["last_exit"];
    assert_eq!([&last_exit["pid"], &last_exit["stderr"]], [&Value::from(first), &Value::from("last words")]);
    supervisor.wait_nth_ready(2);
    assert_eq!(supervisor.stop(), 0);
    let stopped = wait_for_told(&scene, "stopped");
    assert_message(&stopped, "stopped");
    assert_eq!([&stopped["status"]["state"], &stopped["status"]["pid"]], [&Value::from("stopped"), &Value::Null]);
    assert_eq!(supervisor.lines_with(WARN).len(), 1, "the death alone\n{}", supervisor.stderr());
}

#[test]
fn event_is_filled_in_wherever_the_command_has_its_place() {
    let scene = Scene::new();
    let output = scene.file("{event}.told").display().to_string();
    let words = ["/bin/sh", "-c", "echo \"$1|$2|$3\" >\"$0\"", &output, "a {event} b", "{event}{event}", "{ev}"];
    let scene = scene.set("on_event", format!("[{}]", words.map(quoted).join(", ")));
    let _supervisor = scene.start();
    assert_eq!(wait_for_line(&scene, "ready.told"), "a ready b|readyready|{ev}");
}

#[test]
fn unhealthy_worker_and_its_recovery_are_told() {
    let scene = scene_with(TELLING);
    let trouble = scene.file("trouble").display().to_string();
    let scene = scene.worker(&["--fail-while", &trouble]).set("startup_timeout_secs", 3600);
    let supervisor = scene.start();
    supervisor.wait_ready();
    fs::write(&trouble, "").expect("a file");
    let unhealthy = wait_for_told(&scene, "unhealthy");
    assert_message(&unhealthy, "worker is unhealthy: 3 checks failed in a row, the last one: status 503");
    assert!(told(&scene, "recovered").is_empty());
    fs::remove_file(&trouble).expect("a file");
    let recovered = wait_for_told(&scene, "recovered");
    assert_message(&recovered, "ready after_ms=");
    assert_eq!(recovered["status"]["generation"], 2);
}

#[test]
fn fifth_failed_start_in_a_row_is_told_once_and_the_recovery_from_it() {
    let failing = ["--life", "--no-listen", "--exit-after", "0", "--exit-code", "7"].repeat(7);
    let scene = scene_with(TELLING).worker(&[&failing[..], &["--life"]].concat());
    let scene = scene.set("restart_backoff_min_secs", "0.05").set("restart_backoff_max_secs", "0.1");
    let supervisor = scene.start();
    let failing = wait_for_told(&scene, "restart-failing");
    assert_eq!(failing["status"]["failed_starts"], 5, "{failing:#}");
    assert_message(&failing, "worker died: exit code 7");
    supervisor.wait_ready();
    let recovered = wait_for_told(&scene, "recovered");
    assert_eq!(recovered["status"]["generation"], 8);
    assert_eq!(told(&scene, "restart-failing").len(), 1);
}

#[test]
fn fifth_start_that_does_not_get_healthy_in_time_is_told() {
    let scene = scene_with(TELLING).worker(&["--health", "500"]).set("startup_timeout_secs", "0.2");
    let scene = scene.set("restart_backoff_min_secs", "0.05").set("restart_backoff_max_secs", "0.1");
    let _supervisor = scene.start();
    let failing = wait_for_told(&scene, "restart-failing");
    assert_eq!(failing["status"]["failed_starts"], 5, "{failing:#}");
}

#[test]
fn fifth_launch_that_fails_is_told() {
    let scene = scene_with(TELLING).command(&["no-such-program"]);
    let scene = scene.set("restart_backoff_min_secs", "0.05").set("restart_backoff_max_secs", "0.1");
    let supervisor = scene.start();
    let failing = wait_for_told(&scene, "restart-failing");
    assert_eq!(failing["status"]["failed_starts"], 5, "{failing:#}");
    assert_message(&failing, "cannot find program \"no-such-program\"");
    assert!(supervisor.wait_for_nth_log(5, LAUNCH_FAILED).contains("failures=5"));
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn port_conflict_and_its_end_are_told() {
    let scene = scene_with(TELLING);
    let stranger = Fixture::listening(scene.port(), &[]);
    let supervisor = scene.start();
    let conflict = wait_for_told(&scene, "port-conflict");
    let holder = conflict["status"]["port_holder"].as_str().expect("a holder").to_owned();
    assert_message(&conflict, &format!("is held by {holder}; asking it to go"));
    supervisor.wait_ready();
    stranger.wait_exit();
    let recovered = wait_for_told(&scene, "recovered");
    assert_eq!(recovered["status"]["port_holder"], Value::Null);
}

#[test]
fn port_that_is_waited_for_is_a_conflict_too() {
    let scene = scene_with(TELLING).set("port_conflict", quoted("wait"));
    let stranger = Fixture::listening(scene.port(), &[]);
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_AWAITED);
    assert_message(&wait_for_told(&scene, "port-conflict"), "waiting until it is free");
    assert!(stranger.is_alive());
}

#[test]
fn failed_registration_and_its_recovery_are_told() {
    let scene = scene_with(TELLING).set("sync_endpoint", "\"/api\"");
    let trouble = scene.file("trouble");
    fs::write(&trouble, "").expect("a file");
    let scene = scene.worker(&["--sync-fail-while", &trouble.display().to_string()]);
    let supervisor = scene.start();
    supervisor.wait_for_log(SYNC_FAILED);
    let failed = wait_for_told(&scene, "sync-failed");
    assert_message(&failed, "cannot sync: status 500");
    assert_eq!(failed["status"]["sync"]["accepted"], false);
    fs::remove_file(&trouble).expect("a file");
    supervisor.wait_for_log(SYNCED);
    let recovered = wait_for_told(&scene, "recovered");
    assert_message(&recovered, "synced answer=");
    assert_eq!(recovered["status"]["sync"]["accepted"], true);
}

#[test]
fn hook_for_the_end_outlives_the_supervisor_and_no_other_does() {
    let script = format!(
        "if [ $1 = stopped ]; then until [ -e go ]; do [ -d told ] || exit; sleep 0.01; done; \
         cat >stopped.part; mv stopped.part told/stopped; else {HANGING}; fi"
    );
    let scene = scene_with(&script);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let hooks: Vec<i32> = ["started", "ready"]
        .iter()
        .flat_map(|event| ["pid", "child"].map(|kind| wait_for_pid(&scene, &format!("{event}.{kind}"))))
        .collect();
    assert!(hooks.iter().all(|pid| process_alive(*pid)));
    assert_eq!(supervisor.stop(), 0);
    for pid in hooks {
        wait_until("the end of a hook and its child", LIMIT, || !process_alive(pid));
    }
    fs::write(scene.file("go"), "").expect("a file");
    let stopped = wait_for_told(&scene, "stopped");
    assert_eq!(stopped["status"]["state"], "stopped");
}

#[test]
fn hook_that_hangs_delays_nothing_and_is_ended_with_its_child() {
    let scene = scene_with(&format!("echo . >>\"$1.runs\"; {HANGING}"));
    let started_at = Instant::now();
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    let hung = [wait_for_pid(&scene, "started.pid"), wait_for_pid(&scene, "started.child")];
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    if started_at.elapsed() < HOOK_TIME {
        assert!(hung.iter().all(|pid| process_alive(*pid)), "the hook did not hang");
    }
    for pid in hung {
        wait_until("the end of a hook that hung", HOOK_TIME + LIMIT, || !process_alive(pid));
    }
    assert!(started_at.elapsed() >= HOOK_TIME, "ended after {:?}", started_at.elapsed());
    let warning = supervisor.wait_for_log("cannot complete the hook for ");
    assert!(warning.contains(WARN) && warning.contains("it ran longer than 10 s; going on without it"), "{warning}");
    // A hook for the same event may run again now.
    let second = supervisor.wait_nth_ready(2);
    send_signal(second, Signal::SIGKILL);
    supervisor.wait_nth_ready(3);
    let runs = || fs::read_to_string(scene.file("started.runs")).map_or(0, |text| text.lines().count());
    wait_until("a second hook for started", LIMIT, || runs() == 2);
    assert_eq!(supervisor.lines_with("it ran longer").len(), 1, "the same words once");
}

#[test]
fn one_event_starts_one_hook_in_ten_seconds() {
    let scene = scene_with(TELLING);
    let supervisor = scene.start_with(scene.program().arg("--verbose"));
    for nth in 1..=3 {
        send_signal(supervisor.wait_nth_ready(nth), Signal::SIGKILL);
    }
    supervisor.wait_nth_ready(4);
    supervisor.wait_for_nth_log(2, "hook not started, this event had one a moment ago event=exited");
    wait_for_told(&scene, "exited");
    assert_eq!(supervisor.stop(), 0);
    wait_for_told(&scene, "stopped");
    assert_eq!(["started", "ready", "exited"].map(|event| told(&scene, event).len()), [1, 1, 1]);
}

#[test]
fn hook_that_cannot_be_run_is_a_warning_and_nothing_else() {
    let scene = scene_with("").set("on_event", "[\"no-such-hook\", \"{event}\"]");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    let warning = supervisor.wait_for_log("cannot complete the hook for started: ");
    assert!(warning.contains("\"no-such-hook\"") && warning.contains("; going on without it"), "{warning}");
    assert_eq!(children_of(supervisor.pid()), [second]);
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(supervisor.lines_with("cannot complete the hook").len(), 1, "{}", supervisor.stderr());
}

#[test]
fn hook_that_never_reads_and_one_that_fails_are_no_matter() {
    let scene = scene_with("exec <&-; echo \"$1\" >>runs; exit 9");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    wait_until("the end of all hooks", LIMIT, || children_of(supervisor.pid()) == [second]);
    assert_eq!(supervisor.stop(), 0);
    let warnings = supervisor.lines_with(WARN);
    let of_hooks: Vec<&String> = warnings.iter().filter(|line| !line.contains(DIED)).collect();
    assert!(matches!(of_hooks[..], [line] if line.contains("exit code 9; going on without it")), "{warnings:#?}");
}

#[test]
fn another_hook_of_an_edited_configuration_is_run_after_a_restart() {
    let scene = scene_with("echo \"$1\" >>before");
    let supervisor = scene.start();
    supervisor.wait_ready();
    let other = shell(&scene, "echo \"$1\" >>after", "{event}");
    scene.reconfigure(|config| {
        config.set("on_event", other);
    });
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_for_nth_log(2, STARTED);
    supervisor.wait_for_nth_log(2, READY);
    assert_eq!(supervisor.stop(), 0);
    let after = || fs::read_to_string(scene.file("after")).unwrap_or_default();
    wait_until("the new hook", LIMIT, || after().contains("stopped\n"));
    let before = fs::read_to_string(scene.file("before")).expect("the first hook ran");
    assert!(!before.contains("stopped"), "{before}");
}

#[test]
fn no_secret_is_told_to_a_hook() {
    const CANARY: &str = "canary-77ab20";
    let scene = scene_with("{ cat; env; echo \"$*\"; } >\"part.$$\" && mv \"part.$$\" \"told/$1\"");
    fs::write(scene.file("vault"), CANARY).expect("a file");
    let tool = shell(&scene, "cat vault; [ $1 = good ]", "{name}");
    let scene = scene.set("secrets_command", tool).set_in("secrets", "V_GOOD", "good");
    let scene = scene.set_in("secrets", "V_BAD", "bad");
    let dump = scene.file("dump").display().to_string();
    let scene = scene.worker(&["--dump-env", &dump]);
    let supervisor = scene.start();
    send_signal(supervisor.wait_ready(), Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert_eq!(support::dumped(&scene.file("dump"))["V_GOOD"], CANARY);
    supervisor.stop();
    wait_until("the last hook", LIMIT, || scene.file("told/stopped").exists());
    let files = files_below(&scene.file("told"));
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let text = fs::read_to_string(file).expect("a file");
        assert!(text.contains("WORKER_SUPERVISOR_TEST=") && !text.contains(CANARY), "{text}");
    }
}
