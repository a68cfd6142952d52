//! `status` through the real program: its exit codes, its main lines, its JSON, and that an old file is not believed.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::{Fixture, LIMIT, Ran, Scene, Signal, quoted, send_signal, wait_for};

/// The source that documents the fields of the JSON.
const DOCUMENTED: &str = include_str!("../src/supervise/report/status.rs");

const NEVER: &str = "3600";

/// Waits until `status` says so: an exit code and a text in what it prints.
#[track_caller]
fn wait_for_status(scene: &Scene, code: i32, text: &str) -> Ran {
    let look = || Some(scene.run(&["status"])).filter(|ran| ran.code == Some(code) && ran.stdout.contains(text));
    let told = || format!("{:?}\n{}", scene.run(&["status"]), scene.story());
    wait_for(&format!("status with exit code {code} and {text:?}"), LIMIT, told, look)
}

/// What a line of `status` says; the headline's label is the name.
#[track_caller]
fn line<'a>(ran: &'a Ran, label: &str) -> &'a str {
    let text = ran.stdout.lines().find_map(|line| line.trim_start().strip_prefix(label));
    text.unwrap_or_else(|| panic!("no line {label}:\n{}", ran.stdout)).trim_start()
}

fn json(scene: &Scene) -> Value {
    serde_json::from_str(&scene.run(&["status", "--json"]).stdout).expect("JSON")
}

/// The public fields of a struct in the source.
fn documented(name: &str) -> Vec<&'static str> {
    let (_, rest) = DOCUMENTED.split_once(&format!("pub struct {name} {{\n")).expect("a struct");
    let (body, _) = rest.split_once("\n}\n").expect("its end");
    body.lines().filter_map(|line| line.trim_start().strip_prefix("pub ")?.split(':').next()).collect()
}

#[track_caller]
fn assert_documented(value: &Value, name: &str) {
    let mut expected = documented(name);
    expected.sort_unstable();
    assert!(expected.len() > 1, "{name}: {expected:?}");
    let mut found: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{name}");
}

#[test]
fn status_of_a_healthy_worker_has_a_line_for_all_that_matters() {
    let scene = Scene::new().set("sync_endpoint", "\"/api\"").set("stable_secs", 0);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    let ran = wait_for_status(&scene, 0, "accepted, status 200, modified=true");
    assert!(ran.stdout.starts_with("worker: healthy for "), "{}", ran.stdout);
    let worker = line(&ran, "worker  ");
    assert!(worker.starts_with(&format!("pid {second}, generation 2, up ")), "{worker}");
    let restarts = line(&ran, "restarts");
    assert!(restarts.starts_with(&format!("1; pid {first} ended ")), "{restarts}");
    assert!(restarts.ends_with(": signal 9 (SIGKILL)"), "{restarts}");
    let health = line(&ran, "health");
    assert!(health.starts_with(&format!("127.0.0.1:{} status 200 in ", scene.port().number())), "{health}");
    assert!(line(&ran, "next").contains(" in "), "{}", ran.stdout);
    for name in ["worker.log", "worker.err"] {
        assert!(ran.stdout.contains(&scene.file(name).display().to_string()), "{}", ran.stdout);
    }
    let by = format!("pid {}, version {}", supervisor.pid(), env!("CARGO_PKG_VERSION"));
    assert!(line(&ran, "supervisor").starts_with(&by), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    assert!(!ran.stdout.contains('\u{1b}'), "colours for a file");
}

#[test]
fn json_has_every_documented_field_and_no_other() {
    let scene = Scene::new().set("sync_endpoint", "\"/api\"").set("stable_secs", 0);
    let supervisor = scene.start();
    send_signal(supervisor.wait_ready(), Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    wait_for_status(&scene, 0, "accepted");
    let status = json(&scene);
    assert_documented(&status, "Status");
    assert_documented(&status["last_exit"], "Exit");
    assert_documented(&status["last_probe"], "Probe");
    assert_documented(&status["sync"], "Sync");
    assert_documented(&status["transitions"][0], "Transition");
    assert_eq!([&status["running"], &status["healthy"]], [&Value::from(true), &true.into()]);
    // The file has the same.
    assert_documented(&scene.status().expect("a status file"), "Status");
}

#[test]
fn transitions_are_the_last_sixteen_oldest_first() {
    let scene = Scene::new().set("stable_secs", 0);
    let supervisor = scene.start();
    for nth in 1..=5 {
        send_signal(supervisor.wait_nth_ready(nth), Signal::SIGKILL);
    }
    supervisor.wait_nth_ready(6);
    wait_for_status(&scene, 0, "generation 6");
    let status = json(&scene);
    let transitions = status["transitions"].as_array().expect("a list");
    assert_eq!(transitions.len(), 16);
    let times: Vec<u64> = transitions.iter().map(|transition| transition["at_ms"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted(), "{times:?}");
    let message = |index: usize| transitions[index]["message"].as_str().expect("text");
    assert!(message(15).starts_with("ready after_ms="), "{}", message(15));
    assert!(message(14).starts_with("started pid=") && message(14).ends_with("generation=6"), "{}", message(14));
    assert!(message(13).starts_with("worker died: signal 9"), "{}", message(13));
}

#[test]
fn worker_that_is_not_up_yet_is_not_healthy() {
    let scene = Scene::new().worker(&["--no-listen"]);
    let supervisor = scene.start();
    let ran = wait_for_status(&scene, 1, "worker: starting for ");
    assert!(line(&ran, "worker  ").starts_with(&format!("pid {}, generation 1", supervisor.worker_pid())));
    assert_eq!(json(&scene)["healthy"], false);
}

#[test]
fn worker_that_fails_its_checks_is_not_healthy() {
    let scene = Scene::new();
    let trouble = scene.file("trouble");
    let scene = scene.worker(&["--fail-while", &trouble.display().to_string()]);
    let scene = scene.set("health_failures_before_restart", 1000);
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy");
    fs::write(&trouble, "").expect("a file");
    let ran = wait_for_status(&scene, 1, "worker: unhealthy, ready for ");
    let health = line(&ran, "health");
    assert!(health.contains("status 503") && health.ends_with(" of 1000 failures in a row"), "{health}");
    fs::remove_file(&trouble).expect("a file");
    wait_for_status(&scene, 0, "worker: healthy");
}

#[test]
fn worker_that_cannot_start_is_told_with_the_problem_and_what_comes_next() {
    let scene = Scene::new().command(&["no-such-program"]);
    let scene = scene.set("restart_backoff_min_secs", NEVER).set("restart_backoff_max_secs", NEVER);
    let _supervisor = scene.start();
    let ran = wait_for_status(&scene, 1, "worker: backing off for ");
    assert!(line(&ran, "problem").starts_with("cannot find program \"no-such-program\""), "{}", ran.stdout);
    assert_eq!(line(&ran, "worker  "), "none");
    assert_eq!(line(&ran, "restarts"), "0, 1 failed start");
    assert!(line(&ran, "next").starts_with("start the worker in 59 min"), "{}", ran.stdout);
}

#[test]
fn holder_of_the_port_is_named() {
    let scene = Scene::new().set("port_conflict", quoted("wait"));
    let stranger = Fixture::listening(scene.port(), &[]);
    let _supervisor = scene.start();
    let ran = wait_for_status(&scene, 1, "worker: waiting for the port for ");
    let holder = line(&ran, "port held by");
    assert!(cfg!(target_os = "freebsd") || holder.contains(&stranger.pid().to_string()), "{holder}");
}

#[test]
fn killed_supervisor_is_not_running_whatever_its_file_says() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy");
    supervisor.kill();
    assert_eq!(scene.status().expect("the file is still there")["healthy"], true);
    let ran = scene.run(&["status"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.starts_with("worker: not running, last seen "), "{}", ran.stdout);
    assert_eq!([&json(&scene)["running"], &json(&scene)["healthy"]], [&Value::from(false), &false.into()]);
    assert_eq!(scene.run(&["status", "--json"]).code, Some(3));
}

#[test]
fn stopped_supervisor_is_not_believed_until_it_goes_on() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy");
    supervisor.signal(Signal::SIGSTOP);
    // Not before it should have written again, and a while for a busy machine.
    let ran = wait_for_status(&scene, 1, "worker: not known to be healthy, last seen ");
    let advice = format!("the supervisor, pid {}, may be stopped, hang, or have no room to write", supervisor.pid());
    assert!(ran.stdout.lines().next().is_some_and(|headline| headline.ends_with(&advice)), "{}", ran.stdout);
    assert_eq!([&json(&scene)["running"], &json(&scene)["healthy"]], [&Value::from(true), &false.into()]);
    supervisor.signal(Signal::SIGCONT);
    wait_for_status(&scene, 0, "worker: healthy");
}

#[test]
fn supervisor_that_was_stopped_in_order_is_not_running() {
    let scene = Scene::new();
    assert_eq!(scene.run(&["status", "--json"]).code, Some(3));
    assert_eq!(json(&scene), serde_json::json!({ "running": false, "healthy": false }));
    assert!(!scene.file("state").exists(), "a look changes nothing");
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
    let ran = scene.run(&["status"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.starts_with("worker: not running, stopped "), "{}", ran.stdout);
    assert_eq!(json(&scene)["state"], "stopped");
}

#[test]
fn broken_edit_of_the_configuration_hides_neither_status_nor_logs() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.set("prot", 1);
    });
    send_signal(supervisor.pid(), Signal::SIGUSR1);
    supervisor.wait_nth_ready(2);
    supervisor.wait_for_log("cannot reload the configuration, keeping the old one");
    let ran = wait_for_status(&scene, 78, "worker: healthy for ");
    assert!(ran.stdout.contains("an older one is in force: ") && ran.stdout.contains("prot"), "{}", ran.stdout);
    assert_eq!(scene.run(&["logs"]).code, Some(78));
    assert!(ran.stderr.contains("worker.toml:") && ran.stderr.contains("prot"), "{}", ran.stderr);
}

#[test]
fn config_that_is_no_toml_any_more_is_said_and_whoever_runs_is_found_all_the_same() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy for ");
    fs::write(scene.file("worker.log"), "said before\n").expect("written");
    let whole = fs::read_to_string(scene.config_file()).expect("a config");
    let not_known = "worker: not known whether a supervisor runs; as far as the config can be read it would be in ";
    for broken in
        [format!("{whole}\nhealth_interval_secs 5\n"), format!("{whole}\nlog_keep = \"x"), format!("{whole}\0")]
    {
        fs::write(scene.config_file(), &broken).expect("written");
        let ran = wait_for_status(&scene, 78, "worker: healthy for ");
        assert!(ran.stderr.contains("worker.toml:"), "{}", ran.stderr);
        assert_eq!([&json(&scene)["running"], &json(&scene)["healthy"]], [&Value::from(true), &true.into()]);
        let ran = scene.run(&["logs"]);
        assert_eq!(ran.code, Some(78));
        assert!(ran.stdout.contains("said before\n"), "{ran:?}");
        let ran = scene.run(&["restart"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    }
    // Where the supervisor keeps its state is what can't be read.
    fs::write(scene.config_file(), whole.replace("state_dir =", "state_dir")).expect("written");
    let ran = scene.run(&["status"]);
    assert_eq!(ran.code, Some(78));
    assert!(ran.stdout.starts_with(not_known), "{ran:?}");
    assert_eq!(json(&scene), serde_json::json!({ "running": null, "healthy": false }));
    let ran = scene.run(&["logs"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    assert!(ran.stderr.contains("cannot tell which logs are meant: not known whether"), "{ran:?}");
    assert_eq!(supervisor.worker_pid(), worker, "nobody was asked for anything");
    assert_eq!(supervisor.stop(), 0);
    fs::write(scene.config_file(), format!("{whole}\nhealth_interval_secs 5\n")).expect("written");
    let ran = scene.run(&["status"]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stdout.starts_with(not_known), "{ran:?}");
}

#[test]
fn worker_that_is_gone_is_not_healthy_while_its_supervisor_can_not_say_so() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy");
    supervisor.signal(Signal::SIGSTOP);
    send_signal(worker, Signal::SIGKILL);
    wait_for_status(&scene, 1, &format!("worker: not healthy, its worker, pid {worker}, is gone, last seen "));
    assert_eq!([&json(&scene)["running"], &json(&scene)["healthy"]], [&Value::from(true), &false.into()]);
    supervisor.signal(Signal::SIGCONT);
    wait_for_status(&scene, 0, "worker: healthy");
}

/// Makes the status file what it would be, had the wall clock been set back by so much after it was written.
fn set_clock_back(scene: &Scene, by_ms: i64) {
    fn shift(value: &mut Value, name: &str, by_ms: i64) {
        let is_time = name.ends_with("_ms")
            && !matches!(name, "health_interval_ms" | "startup_timeout_ms" | "uptime_ms" | "updated_boot_ms");
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| shift(value, name, by_ms)),
            Value::Array(values) => values.iter_mut().for_each(|value| shift(value, name, by_ms)),
            Value::Number(number) if is_time => *value = (number.as_i64().expect("a time") + by_ms).into(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut status = scene.status().expect("a status file");
    shift(&mut status, "", by_ms);
    fs::write(scene.file("state/worker/status.json"), status.to_string()).expect("written");
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn wall_clock_that_is_set_makes_no_healthy_worker_doubtful_and_changes_no_age() {
    let scene = Scene::new().set("health_interval_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy");
    for by_ms in [HOUR_MS, -2 * HOUR_MS] {
        set_clock_back(&scene, by_ms);
        let ran = scene.run(&["status"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stdout);
        let ages = [line(&ran, "worker: healthy for"), line(&ran, "worker  "), line(&ran, "health")];
        // None of them in hours or minutes.
        assert!(ages.iter().all(|age| !age.contains(" h") && !age.contains(" min")), "{}", ran.stdout);
        assert!(line(&ran, "next").contains(" in 59 min"), "{}", ran.stdout);
    }
}

#[test]
fn wall_clock_that_is_set_makes_no_stopped_supervisor_believed() {
    for by_ms in [HOUR_MS, -HOUR_MS] {
        let scene = Scene::new();
        let supervisor = scene.start();
        supervisor.wait_ready();
        wait_for_status(&scene, 0, "worker: healthy");
        supervisor.signal(Signal::SIGSTOP);
        set_clock_back(&scene, by_ms);
        wait_for_status(&scene, 1, "worker: not known to be healthy, last seen ");
        supervisor.signal(Signal::SIGCONT);
        wait_for_status(&scene, 0, "worker: healthy");
    }
}

/// What metrics say, each name with its labels and value: one sample a name, after its HELP and TYPE, in that order.
#[track_caller]
fn metrics(scene: &Scene) -> BTreeMap<String, (String, f64)> {
    let ran = scene.run(&["status", "--prometheus"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "whatever they say");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let triple = |lines: &[&str]| {
        let [help, kind, sample] = lines else { panic!("{lines:?}") };
        let (name, rest) = sample.split_once('{').expect("labels");
        let (labels, value) = rest.rsplit_once("} ").expect("a value");
        assert!(name.starts_with("worker_supervisor_") && labels.starts_with("name=\"worker\""), "{sample}");
        assert!(help.strip_prefix(&format!("# HELP {name} ")).is_some_and(|help| help.ends_with('.')), "{help}");
        let expected = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert_eq!(*kind, format!("# TYPE {name} {expected}"));
        (name["worker_supervisor_".len()..].to_owned(), (labels.to_owned(), value.parse().expect("a number")))
    };
    let metrics: BTreeMap<_, _> = lines.chunks(3).map(triple).collect();
    assert_eq!(metrics.len() * 3, lines.len(), "no name twice");
    metrics
}

#[test]
fn metrics_say_whether_it_runs_and_is_healthy_and_their_exit_code_does_not() {
    let scene = Scene::new().set("sync_endpoint", "\"/api\"").set("stable_secs", 0);
    let value = |metrics: &BTreeMap<String, (String, f64)>, name: &str| metrics.get(name).map(|(_, value)| *value);
    let nobody = metrics(&scene);
    assert_eq!((value(&nobody, "up"), value(&nobody, "healthy"), nobody.len()), (Some(0.0), Some(0.0), 3));
    let supervisor = scene.start();
    send_signal(supervisor.wait_ready(), Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    wait_for_status(&scene, 0, "sync         accepted");
    let well = metrics(&scene);
    let expected = [("up", 1.0), ("healthy", 1.0), ("config_ok", 1.0), ("restarts_total", 1.0), ("sync_ok", 1.0)];
    for (name, expected) in expected.into_iter().chain([("failed_starts", 0.0), ("failed_probes", 0.0), ("info", 1.0)])
    {
        assert_eq!(value(&well, name), Some(expected), "{name}: {well:?}");
    }
    assert_eq!(well["last_exit_info"].0, "name=\"worker\",code=\"\",signal=\"9\",asked_for=\"false\"");
    assert!((0.0..10.0).contains(&well["probe_duration_seconds"].1), "{well:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs_f64();
    let times = well.iter().filter(|(name, _)| name.ends_with("timestamp_seconds") || name.ends_with("time_seconds"));
    let ages: Vec<f64> = times.map(|(_, (_, time))| now - time).collect();
    assert!(ages.len() == 5 && ages.iter().all(|age| (-1.0..60.0).contains(age)), "{well:?}");
    supervisor.signal(Signal::SIGSTOP);
    wait_for_status(&scene, 1, "not known to be healthy");
    assert_eq!(value(&metrics(&scene), "healthy"), Some(0.0));
    supervisor.signal(Signal::SIGCONT);
    supervisor.kill();
    assert_eq!(value(&metrics(&scene), "up"), Some(0.0));
}
