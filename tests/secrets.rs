//! Secrets: what the worker gets of its tools, what it does without, and that nobody else ever sees a value.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use support::words::{ENDED, ERROR, LAUNCH_FAILED, RELOAD_FAILED, WARN};
use support::{
    LIMIT, Scene, Signal, children_of, descriptors_of, dumped, files_below, group_of, process_alive, quoted,
    send_signal, shell, wait_for, wait_for_pid, wait_until, worker_program,
};

const NEVER: &str = "3600";

/// A scene whose worker writes down its environment and whose tool is a shell script with the secret's name as `$1`.
fn scene_with(script: &str, secrets: &[(&str, &str)]) -> Scene {
    let scene = Scene::new().set("stable_secs", 0);
    let dump = scene.file("dump").display().to_string();
    let command = shell(&scene, script, "{name}");
    let scene = scene.worker(&["--dump-env", &dump]).set("secrets_command", command);
    fs::create_dir(scene.file("vault")).expect("a directory");
    secrets.iter().fold(scene, |scene, (variable, name)| scene.set_in("secrets", variable, name))
}

/// A tool that prints the file in `vault` with the secret's name, fails without one, and notes each of its runs.
const FROM_VAULT: &str =
    "echo \"$1\" >>runs; cat \"vault/$1\" 2>/dev/null || { echo \"no secret is there\" >&2; exit 1; }";

fn store(scene: &Scene, name: &str, value: &str) {
    fs::write(scene.file("vault").join(name), value).expect("a file");
}

/// The names of the secrets that the tool was run for, one a line.
fn runs(scene: &Scene) -> String {
    fs::read_to_string(scene.file("runs")).unwrap_or_default()
}

/// The environment of the worker that was started last.
fn environment(scene: &Scene) -> BTreeMap<String, String> {
    dumped(&scene.file("dump"))
}

#[track_caller]
fn assert_variables(scene: &Scene, expected: &[(&str, Option<&str>)]) {
    let environment = environment(scene);
    for (variable, value) in expected {
        assert_eq!(environment.get(*variable).map(String::as_str), *value, "{variable}");
    }
}

/// Waits until the status, which is written a little later than the log, has this in the field.
#[track_caller]
fn wait_for_field(scene: &Scene, field: &str, expected: &serde_json::Value) {
    let has_it = || scene.status().is_some_and(|status| status[field] == *expected).then_some(());
    wait_for(&format!("{field} to be {expected}"), LIMIT, || scene.story(), has_it);
}

#[track_caller]
fn wait_for_state(scene: &Scene, state: &str) {
    let is_in_state = || scene.status().is_some_and(|status| status["state"] == state);
    wait_for(&format!("the state {state}"), LIMIT, || scene.story(), || is_in_state().then_some(()));
}

/// Waits until the n-th worker is healthy, also where the log holds back that it is.
#[track_caller]
fn wait_for_healthy(scene: &Scene, generation: u64) -> i32 {
    let look = || {
        let status = scene.status().filter(|status| status["generation"] == generation && status["healthy"] == true)?;
        i32::try_from(status["pid"].as_i64()?).ok()
    };
    wait_for(&format!("healthy worker {generation}"), LIMIT, || scene.story(), look)
}

#[test]
fn worker_has_what_the_tools_print_less_one_line_end() {
    let script = "echo noise >&2; case $1 in plain) echo bare;; spaces) printf ' a  b\\n\\n';; \
                  lines) printf 'one\\ntwo\\r\\n';; open) printf 'no end';; esac";
    let secrets = [("V_PLAIN", "plain"), ("V_SPACES", "spaces"), ("V_LINES", "lines"), ("V_OPEN", "open")];
    let scene = scene_with(script, &secrets);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let expected = [("V_PLAIN", "bare"), ("V_SPACES", " a  b\n"), ("V_LINES", "one\ntwo"), ("V_OPEN", "no end")];
    assert_variables(&scene, &expected.map(|(variable, value)| (variable, Some(value))));
    assert_eq!(supervisor.lines_with(WARN), Vec::<String>::new());
}

#[test]
fn envelope_of_agent_secrets_is_opened_and_a_failure_in_it_is_one() {
    let scene = scene_with(FROM_VAULT, &[("V_GOOD", "good"), ("V_BAD", "bad")]);
    store(&scene, "good", "{\n \"success\": true,\n \"data\": {\"value\": \"opened\", \"ttl\": \"24h\"}\n}\n");
    store(&scene, "bad", "{\"success\":false,\"error\":\"no secret is named bad\"}\n");
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_variables(&scene, &[("V_GOOD", Some("opened")), ("V_BAD", None)]);
    let warning = supervisor.wait_for_log("cannot lease secret V_BAD: ");
    assert!(warning.contains("the tool says \"no secret is named bad\"; starting without it"), "{warning}");
    wait_for_field(&scene, "absent_secrets", &serde_json::json!(["V_BAD"]));
}

#[test]
fn failure_in_an_envelope_is_no_value_though_the_tool_exits_well() {
    let scene = scene_with(FROM_VAULT, &[("V_TOKEN", "token")]).set("required_secrets", "[\"V_TOKEN\"]");
    store(
        &scene,
        "token",
        "{\"ok\":false,\"error\":{\"message\":\"it is locked\",\"code\":\"y\"},\"fix\":\"unlock it\"}\n",
    );
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(LAUNCH_FAILED);
    assert!(line.contains("V_TOKEN (the tool says \"it is locked\", fix: \"unlock it\")"), "{line}");
    assert_eq!(scene.report().starts().len(), 0);
}

#[test]
fn no_line_no_status_and_no_hook_has_a_value_that_the_worker_or_a_tool_repeats() {
    const VALUE: &str = "hunter \"22\"";
    let script = "case $1 in token) cat vault/token;; *) cat vault/complaint >&2; exit 1;; esac";
    let scene = scene_with(script, &[("V_TOKEN", "token"), ("V_OTHER", "other")]);
    store(&scene, "token", VALUE);
    store(&scene, "complaint", &format!("nobody with {VALUE} may read it\n"));
    let body = serde_json::json!({ "message": format!("key {VALUE} was refused") }).to_string();
    let answer = format!("HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    fs::write(scene.file("answer"), answer).expect("a file");
    let words = format!("Error: {VALUE} has expired");
    let raw = scene.file("answer").display().to_string();
    let hook = shell(&scene, "cat >>told", "{event}");
    let scene = scene.worker(&["--stderr-line", &words, "--raw-sync", &raw]);
    let scene = scene.set("sync_endpoint", "\"/\"").set("on_event", hook);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let refused = supervisor.wait_for_log("cannot sync: ");
    assert!(refused.contains("key [secret V_TOKEN] was refused"), "{refused}");
    let lease = supervisor.wait_for_log("cannot lease secret V_OTHER: ");
    assert!(lease.contains("saying \"nobody with [secret V_TOKEN] may read it\""), "{lease}");
    send_signal(worker, Signal::SIGKILL);
    let died = supervisor.wait_for_log("worker died: ");
    assert!(died.contains("last words \"Error: [secret V_TOKEN] has expired\""), "{died}");
    let told = || fs::read_to_string(scene.file("told")).ok().filter(|told| told.contains("has expired"));
    let told = wait_for("the hook for the death", LIMIT, || scene.story(), told);
    let status = scene.run(&["status", "--json"]).stdout;
    for text in [&told, &status, &supervisor.stderr()] {
        assert!(!text.contains("hunter") && text.contains("[secret V_TOKEN]"), "{text}");
    }
}

#[test]
fn tools_run_side_by_side_and_those_that_hang_are_ended_together_with_their_children() {
    let names: Vec<String> = (0..7).map(|number| format!("s{number}")).collect();
    let variables: Vec<String> = names.iter().map(|name| format!("V_{name}")).collect();
    let secrets: Vec<(&str, &str)> =
        variables.iter().map(String::as_str).zip(names.iter().map(String::as_str)).collect();
    let scene = scene_with("sleep 600 & echo $! >$1.child; echo $$ >$1.tool; wait", &secrets);
    let scene = scene.set("secrets_timeout_secs", 3);
    let started_at = Instant::now();
    let supervisor = scene.start();
    let pids =
        |kind: &str| -> Vec<i32> { names.iter().map(|name| wait_for_pid(&scene, &format!("{name}.{kind}"))).collect() };
    let (tools, children) = (pids("tool"), pids("child"));
    if started_at.elapsed().as_secs() < 3 {
        assert!(tools.iter().all(|tool| process_alive(*tool)), "they do not run side by side");
    }
    assert!(tools.iter().all(|tool| group_of(*tool).is_none_or(|group| group == *tool)), "no group of its own");
    let worker = supervisor.wait_ready();
    assert!(started_at.elapsed().as_secs() < 12, "their times add up: {:?}", started_at.elapsed());
    for variable in &variables {
        let warning = supervisor.wait_for_log(&format!("cannot lease secret {variable}: timed out after 3 s"));
        assert!(warning.contains("; starting without it"), "{warning}");
    }
    for pid in tools.into_iter().chain(children) {
        wait_until("the end of a tool that hung", LIMIT, || !process_alive(pid));
    }
    assert!(variables.iter().all(|variable| !environment(&scene).contains_key(variable)));
    wait_until("the reaping of all tools", LIMIT, || children_of(supervisor.pid()) == [worker]);
}

#[test]
fn missing_required_secret_keeps_the_worker_from_starting_until_it_is_there() {
    let scene = scene_with(FROM_VAULT, &[("V_TOKEN", "token"), ("V_OTHER", "other")]);
    let scene = scene.set("required_secrets", "[\"V_TOKEN\"]").set("restart_backoff_min_secs", "0.05");
    store(&scene, "other", "x\n");
    let supervisor = scene.start();
    for (nth, delay) in ["50 ms", "100 ms", "200 ms"].into_iter().enumerate() {
        let line = supervisor.wait_for_nth_log(nth + 1, LAUNCH_FAILED);
        let reason =
            "cannot lease required secrets: V_TOKEN (the tool failed: exit code 1, saying \"no secret is there\")";
        assert!(line.contains(ERROR) && line.contains(&format!("{reason}; retrying in {delay} ")), "{line}");
    }
    let told = || Some(scene.status()?["problem"].as_str()?.to_owned());
    let problem = wait_for("a problem", LIMIT, || scene.story(), told);
    assert!(problem.contains("V_TOKEN"), "{problem}");
    wait_for_field(&scene, "absent_secrets", &serde_json::json!(["V_TOKEN"]));
    assert_eq!(scene.report().starts().len(), 0);
    store(&scene, "token", "at last\n");
    supervisor.wait_ready();
    assert_variables(&scene, &[("V_TOKEN", Some("at last")), ("V_OTHER", Some("x"))]);
    wait_for_field(&scene, "problem", &serde_json::Value::Null);
    assert_eq!(runs(&scene).matches("other\n").count(), 1, "what is known is not leased again");
}

#[test]
fn missing_optional_secret_is_left_out_and_warned_about_once() {
    let script = "echo \"$1\" >>runs; case $1 in empty) echo;; nul) printf 'x\\000y';; killed) echo x; kill -9 $$;; \
                  *) echo x; exit 3;; esac";
    let secrets = [("V_EMPTY", "empty"), ("V_NUL", "nul"), ("V_KILLED", "killed"), ("V_FAILED", "failed")];
    let scene = scene_with(script, &secrets);
    let supervisor = scene.start();
    for nth in 1..=3 {
        let worker = supervisor.wait_nth_ready(nth);
        assert_variables(&scene, &secrets.map(|(variable, _)| (variable, None)));
        send_signal(worker, Signal::SIGKILL);
    }
    supervisor.wait_nth_ready(4);
    for (variable, reason) in [
        ("V_EMPTY", "the tool printed an empty value"),
        ("V_NUL", "the value holds a NUL"),
        ("V_KILLED", "signal 9 (SIGKILL)"),
        ("V_FAILED", "exit code 3"),
    ] {
        let warnings = supervisor.lines_with(&format!("cannot lease secret {variable}: "));
        assert!(matches!(&warnings[..], [line] if line.contains(reason) && line.contains(WARN)), "{warnings:#?}");
    }
    assert_eq!(runs(&scene).lines().count(), 4, "a tool that fails without need is left alone for a while");
    wait_for_field(&scene, "absent_secrets", &serde_json::json!(["V_EMPTY", "V_FAILED", "V_KILLED", "V_NUL"]));
}

#[test]
fn restart_after_a_crash_runs_no_tool() {
    let scene = scene_with(FROM_VAULT, &[("V_TOKEN", "token")]);
    store(&scene, "token", "first\n");
    let supervisor = scene.start();
    for nth in 1..=3 {
        let worker = supervisor.wait_nth_ready(nth);
        assert_variables(&scene, &[("V_TOKEN", Some("first"))]);
        store(&scene, "token", "changed\n");
        send_signal(worker, Signal::SIGKILL);
    }
    supervisor.wait_nth_ready(4);
    assert_eq!(runs(&scene), "token\n");
}

#[test]
fn value_that_is_too_old_is_leased_anew() {
    let scene = scene_with(FROM_VAULT, &[("V_TOKEN", "token")]).set("secrets_max_age_secs", 0);
    store(&scene, "token", "first\n");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    assert_variables(&scene, &[("V_TOKEN", Some("first"))]);
    store(&scene, "token", "rotated\n");
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert_variables(&scene, &[("V_TOKEN", Some("rotated"))]);
    assert_eq!(runs(&scene), "token\ntoken\n");
}

#[test]
fn tool_that_hangs_keeps_no_worker_waiting_whose_last_value_is_at_hand() {
    let scene = scene_with("[ -e hang ] && exec sleep 3600; cat \"vault/$1\"", &[("V_TOKEN", "token")]);
    // A wait for the tool would last longer than this test may.
    let scene = scene.set("secrets_max_age_secs", 0.001).set("secrets_timeout_secs", NEVER);
    let scene = scene.set("required_secrets", "[\"V_TOKEN\"]");
    store(&scene, "token", "first\n");
    let supervisor = scene.start();
    supervisor.wait_ready();
    store(&scene, "token", "second\n");
    fs::write(scene.file("hang"), "").expect("a file");
    for nth in 1..=3 {
        send_signal(supervisor.wait_nth_ready(nth), Signal::SIGKILL);
    }
    supervisor.wait_nth_ready(4);
    assert!(environment(&scene).contains_key("V_TOKEN"));
    assert!(children_of(supervisor.pid()).len() <= 2, "a worker and one tool");
}

#[test]
fn value_that_is_too_old_is_refreshed_beside_the_start_and_used_for_the_next() {
    let scene = scene_with(FROM_VAULT, &[("V_TOKEN", "token")]).set("secrets_max_age_secs", 0.001);
    store(&scene, "token", "first\n");
    let supervisor = scene.start();
    supervisor.wait_ready();
    store(&scene, "token", "second\n");
    // What was refreshed beside one start may be just young enough for the next.
    let changed = "secret V_TOKEN has changed; the worker gets the new value at its next start";
    let mut nth = 1;
    while nth < 50 && supervisor.lines_with(changed).is_empty() {
        send_signal(supervisor.wait_nth_ready(nth), Signal::SIGKILL);
        nth += 1;
        supervisor.wait_nth_ready(nth);
    }
    supervisor.wait_for_log(changed);
    send_signal(supervisor.wait_nth_ready(nth), Signal::SIGKILL);
    supervisor.wait_nth_ready(nth + 1);
    assert_variables(&scene, &[("V_TOKEN", Some("second"))]);
}

#[test]
fn failed_refresh_goes_on_with_the_last_value_and_says_so() {
    let scene = scene_with(FROM_VAULT, &[("V_TOKEN", "token")]);
    let scene = scene.set("secrets_max_age_secs", 0).set("required_secrets", "[\"V_TOKEN\"]");
    store(&scene, "token", "good\n");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    wait_for_field(&scene, "stale_secrets", &serde_json::json!([]));
    fs::remove_file(scene.file("vault/token")).expect("a file");
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    send_signal(second, Signal::SIGKILL);
    let third = supervisor.wait_nth_ready(3);
    assert_variables(&scene, &[("V_TOKEN", Some("good"))]);
    let warnings = supervisor.lines_with(
        "cannot refresh secret V_TOKEN: the tool failed: exit code 1, saying \"no secret is there\"; using its last",
    );
    assert!(matches!(&warnings[..], [line] if line.contains(WARN)), "{warnings:#?}");
    wait_for_field(&scene, "stale_secrets", &serde_json::json!(["V_TOKEN"]));
    wait_for_field(&scene, "absent_secrets", &serde_json::json!([]));
    store(&scene, "token", "better\n");
    send_signal(third, Signal::SIGKILL);
    supervisor.wait_nth_ready(4);
    assert_variables(&scene, &[("V_TOKEN", Some("better"))]);
    supervisor.wait_for_log("secret V_TOKEN can be leased again");
    wait_for_field(&scene, "stale_secrets", &serde_json::json!([]));
}

#[test]
fn daemon_that_keeps_the_tools_output_open_is_not_waited_for() {
    let scene = scene_with("", &[("V_TOKEN", "token")]).set("secrets_timeout_secs", NEVER);
    let (program, pid_file) = (worker_program(), scene.file("daemon.pid"));
    let words = [program.as_os_str(), "--tool".as_ref(), pid_file.as_os_str(), "v of {name}".as_ref()];
    let scene = scene.set("secrets_command", format!("[{}]", words.map(quoted).join(", ")));
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    assert_variables(&scene, &[("V_TOKEN", Some("v of token"))]);
    let daemon = wait_for_pid(&scene, "daemon.pid");
    assert!(process_alive(daemon), "it left the tool's group, and is nobody's to kill");
    // An orphan may have become the supervisor's child, as any on Linux: it is nobody's to wait for all the same.
    let children = children_of(supervisor.pid()).into_iter().filter(|pid| *pid != daemon).collect::<Vec<_>>();
    assert_eq!(children, [worker]);
    send_signal(daemon, Signal::SIGKILL);
}

#[test]
fn what_a_tool_leaves_in_its_group_is_ended_with_it() {
    let scene = scene_with("sleep 600 & echo $! >child.pid; echo value", &[("V_TOKEN", "token")]);
    let scene = scene.set("secrets_timeout_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_variables(&scene, &[("V_TOKEN", Some("value"))]);
    let child = wait_for_pid(&scene, "child.pid");
    wait_until("the end of the tool's child", LIMIT, || !process_alive(child));
}

/// A tool that hangs, and says who it and its child are.
const HANGING: &str = "sleep 600 & echo $! >child.pid; echo $$ >tool.pid; wait";

#[test]
fn stop_during_a_lease_ends_at_once_with_the_tool_and_its_children() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let scene = scene_with(HANGING, &[("V_TOKEN", "token")]).set("secrets_timeout_secs", NEVER);
        let supervisor = scene.start();
        let (tool, child) = (wait_for_pid(&scene, "tool.pid"), wait_for_pid(&scene, "child.pid"));
        wait_for_state(&scene, "leasing-secrets");
        supervisor.signal(signal);
        assert_eq!(supervisor.wait_exit(), 0);
        for pid in [tool, child] {
            wait_until("the end of the tool's group", LIMIT, || !process_alive(pid));
        }
        assert_eq!(scene.report().starts().len(), 0);
        scene.wait_until_nothing_is_left();
    }
}

#[test]
fn tool_of_a_supervisor_that_was_killed_is_ended() {
    let script = "[ -e second ] && echo value && exit; echo $$ >pid.new; mv pid.new tool.pid; exec sleep 60";
    let scene = scene_with(script, &[("TOKEN", "t")]).set("secrets_timeout_secs", 60);
    let first = scene.start();
    let tool = wait_for_pid(&scene, "tool.pid");
    first.kill();
    let has_ended = || !process_alive(tool);
    if platform::Lifetime::ENDS_WITH_US {
        wait_until("the end of the tool", LIMIT, has_ended);
    }
    fs::write(scene.file("second"), "").expect("a file");
    let second = scene.start();
    second.wait_ready();
    wait_until("the end of the tool", LIMIT, has_ended);
    assert_eq!(second.stop(), 0);
}

#[test]
fn restart_request_during_a_lease_begins_anew_with_the_configuration_read_anew() {
    let scene = scene_with(HANGING, &[("V_TOKEN", "token")]).set("secrets_timeout_secs", NEVER);
    let supervisor = scene.start();
    let (tool, child) = (wait_for_pid(&scene, "tool.pid"), wait_for_pid(&scene, "child.pid"));
    wait_for_state(&scene, "leasing-secrets");
    let mended = shell(&scene, "echo mended", "{name}");
    scene.reconfigure(|config| {
        config.set("secrets_command", mended);
    });
    supervisor.signal(Signal::SIGUSR1);
    let worker = supervisor.wait_ready();
    assert_variables(&scene, &[("V_TOKEN", Some("mended"))]);
    for pid in [tool, child] {
        wait_until("the end of the first tool's group", LIMIT, || !process_alive(pid));
    }
    wait_until("the reaping of the first tool", LIMIT, || children_of(supervisor.pid()) == [worker]);
    assert_eq!(supervisor.lines_with(ENDED), Vec::<String>::new());
}

#[test]
fn restart_request_during_a_lease_begins_it_anew_also_where_the_new_configuration_is_broken() {
    let script = "echo \"$1\" >>runs; until [ -e go ]; do sleep 0.01; done; echo value";
    let scene = scene_with(script, &[("V_TOKEN", "token")]).set("secrets_timeout_secs", NEVER);
    let supervisor = scene.start();
    wait_for_state(&scene, "leasing-secrets");
    wait_until("the first run of the tool", LIMIT, || runs(&scene) == "token\n");
    scene.reconfigure(|config| {
        config.set("prot", 1);
    });
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_for_log(RELOAD_FAILED);
    fs::write(scene.file("go"), "").expect("a file");
    supervisor.wait_ready();
    assert_variables(&scene, &[("V_TOKEN", Some("value"))]);
    assert_eq!(runs(&scene), "token\ntoken\n");
    assert_eq!(supervisor.lines_with("cannot lease"), Vec::<String>::new());
}

#[test]
fn removed_secret_is_gone_after_a_restart_and_a_new_one_is_there() {
    let scene = scene_with(FROM_VAULT, &[("V_KEPT", "kept")]);
    let also_with = |line: &str| {
        let text = fs::read_to_string(scene.config_file()).expect("a configuration");
        let (head, _) = text.split_once("[secrets]\n").expect("a table");
        fs::write(scene.config_file(), format!("{head}[secrets]\nV_KEPT = \"kept\"\n{line}\n")).expect("a file");
    };
    ["kept", "old", "new"].into_iter().for_each(|name| store(&scene, name, &format!("value of {name}\n")));
    also_with("V_OLD = \"old\"");
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_variables(&scene, &[("V_KEPT", Some("value of kept")), ("V_OLD", Some("value of old"))]);
    also_with("V_NEW = \"new\"");
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_nth_ready(2);
    let expected = [("V_KEPT", Some("value of kept")), ("V_OLD", None), ("V_NEW", Some("value of new"))];
    assert_variables(&scene, &expected);
    assert_eq!(runs(&scene).matches("kept\n").count(), 1, "a value that is known is not leased again");
}

#[test]
fn secret_wins_over_every_other_source_of_a_variable() {
    let scene = scene_with("echo secret", &[("V_ALL", "x")]);
    let env_file = scene.file("worker.env");
    fs::write(&env_file, "V_ALL=file\n").expect("a file");
    let scene = scene.set("env_file", quoted(&env_file)).set_in("env", "V_ALL", "table");
    let scene = scene.environment("V_ALL", "inherited");
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_variables(&scene, &[("V_ALL", Some("secret"))]);
}

#[test]
fn many_leases_leave_no_zombie_and_no_descriptor() {
    let scene = scene_with("cat; [ $1 = a ] && echo x", &[("V_A", "a"), ("V_B", "b"), ("V_C", "c")]);
    let scene = scene.set("secrets_max_age_secs", 0);
    let supervisor = scene.start();
    let mut worker = supervisor.wait_ready();
    let before = descriptors_of(supervisor.pid());
    for nth in 2..=12 {
        send_signal(worker, Signal::SIGKILL);
        worker = wait_for_healthy(&scene, nth);
    }
    wait_until("one child, the worker", LIMIT, || children_of(supervisor.pid()) == [worker]);
    // A probe has a descriptor while it lasts.
    let is_as_before = || descriptors_of(supervisor.pid()) <= before;
    wait_for("no more descriptors than before", LIMIT, || scene.story(), || is_as_before().then_some(()));
}

#[test]
fn tool_that_lies_about_is_never_run() {
    let scene = Scene::new();
    let script = format!("#!/bin/sh\ntouch '{}'\necho evil\n", scene.file("evil").display());
    fs::write(scene.file("secrets"), script).expect("a file");
    fs::set_permissions(scene.file("secrets"), Permissions::from_mode(0o755)).expect("a mode");
    // The supervisor's current directory is the scene's; the tool's default name is `secrets`.
    let scene = scene.set_in("secrets", "V_TOKEN", "token").environment("PATH", ":.:/nowhere");
    let supervisor = scene.start();
    supervisor.wait_ready();
    let warning = supervisor.wait_for_log("cannot lease secret V_TOKEN: cannot find program \"secrets\"");
    assert!(warning.contains("; starting without it"), "{warning}");
    assert!(!scene.file("evil").exists());
}

#[test]
fn tool_knows_the_supervisors_environment_and_none_of_the_workers() {
    let scene = scene_with("echo \"$V_INHERITED,$V_TABLE,$HOME\"", &[("V_TOKEN", "token")]);
    let scene = scene.environment("V_INHERITED", "inherited").set_in("env", "V_TABLE", "table");
    let supervisor = scene.start();
    supervisor.wait_ready();
    let expected = format!("inherited,,{}", scene.file("").display().to_string().trim_end_matches('/'));
    assert_variables(&scene, &[("V_TOKEN", Some(&expected))]);
}

/// What must be found nowhere.
const CANARY: &str = "canary-5d1e0c";

/// A scene with a secret that can be had, and with others that fail in every way after having printed the value.
fn scene_with_canary() -> Scene {
    let script = "show() { cat vault/canary; }; show >&2; case $1 in failed) show; exit 1;; killed) show; kill -9 $$;; \
                  nul) show; printf '\\000';; long) while :; do show; done;; hung) show; sleep 600;; \
                  envelope) printf '{\"success\":true,\"data\":{\"other\":\"'; show; printf '\"}}';; \
                  stale) show; [ ! -e failing ];; *) show;; esac";
    let names = ["failed", "killed", "nul", "long", "hung", "envelope", "stale", "good"];
    let secrets = names.map(|name| (format!("V_{name}"), name));
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(variable, name)| (variable.as_str(), *name)).collect();
    let scene = scene_with(script, &secrets).set("secrets_timeout_secs", 1).set("secrets_max_age_secs", 0);
    store(&scene, "canary", CANARY);
    let hook = shell(&scene, "cat >\"hook.$1\"; env >>\"hook.$1\"", "{event}");
    scene.set("on_event", hook).set("sync_endpoint", "\"/api\"")
}

#[test]
fn no_value_is_found_anywhere_but_in_the_workers_environment() {
    let scene = scene_with_canary();
    let supervisor = scene.start_with(scene.program().arg("--verbose").env("RUST_LOG", "trace"));
    let first = supervisor.wait_ready();
    assert_variables(&scene, &[("V_good", Some(CANARY)), ("V_stale", Some(CANARY)), ("V_failed", None)]);
    fs::write(scene.file("failing"), "").expect("a file");
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert_variables(&scene, &[("V_stale", Some(CANARY))]);
    // A required secret that can't be had: its reason is an error and a problem in the status.
    scene.reconfigure(|config| {
        config.set("required_secrets", "[\"V_failed\", \"V_nul\", \"V_long\", \"V_envelope\"]");
    });
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_for_log(LAUNCH_FAILED);
    for arguments in [&["status"][..], &["status", "--json"], &["--dry-run"], &["logs"]] {
        let ran = scene.run(arguments);
        assert!(!format!("{ran:?}").contains(CANARY), "{arguments:?}: {ran:?}");
    }
    supervisor.stop();
    let known = [scene.file("vault/canary"), scene.file("dump")];
    let files = files_below(&scene.file(""));
    assert!(files.iter().any(|file| file.ends_with("state/worker/status.json")), "{files:?}");
    for file in files.iter().filter(|file| !known.contains(file)) {
        let bytes = fs::read(file).unwrap_or_default();
        assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "{}", file.display());
    }
}
