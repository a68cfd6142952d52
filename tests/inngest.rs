//! The real thing: the example worker on bun with the Inngest SDK, and a stand-in for the server it registers with.
//! What these tests need is brought by `make test`; where it is missing they fail and say so.

mod support;

use std::fs::{create_dir, read_to_string};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use support::words::{DIED, ENDED, KILLING, PROBE_FAILED, READY, SYNC_FAILED, SYNCED};
use support::{ApiStandIn, PortClaim, Scene, Signal, free_port, process_alive, quoted, request, send_signal, wait_for};

/// bun may take seconds to start where others use the machine too.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A signing key of the right form, and nobody's.
const SIGNING_KEY: &str = "signkey-test-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The example's directory with its dependencies installed.
fn example() -> PathBuf {
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/inngest-bun");
    // npm writes this file last.
    let installed = example.join("node_modules/.package-lock.json");
    assert!(installed.exists(), "bun and the Inngest SDK are missing: run `make test`, which installs them");
    example
}

/// A scene with the example as its worker, on the scene's port, registering at `api`.
fn scene(api: &PortClaim) -> Scene {
    let (example, scene) = (example(), Scene::new());
    let dir = scene.file("worker");
    create_dir(&dir).expect("a directory");
    for part in ["src", "package.json", "node_modules"] {
        symlink(example.join(part), dir.join(part)).expect("a link");
    }
    let base = format!("http://127.0.0.1:{}", api.number());
    let port = scene.port().number().to_string();
    scene
        .command(&["node_modules/.bin/bun", "run", "src/serve.ts"])
        .set("worker_dir", quoted(&dir))
        .set("health_endpoint", "\"/api/inngest\"")
        .set("sync_endpoint", "\"/api/inngest\"")
        .set("startup_timeout_secs", START_LIMIT.as_secs())
        .set("health_timeout_secs", 10)
        .set("drain_timeout_secs", 20)
        .set("stable_secs", 0)
        .set_in("env", "PORT", &port)
        .set_in("env", "INNGEST_DEV", &base)
        .set_in("env", "INNGEST_BASE_URL", &base)
}

/// Waits for the n-th line with `text`, as long as bun may take.
#[track_caller]
fn wait_long_for(scene: &Scene, supervisor: &support::Supervisor<'_>, nth: usize, text: &str) -> String {
    wait_for(
        &format!("line {nth} with {text:?}"),
        START_LIMIT,
        || scene.story(),
        || supervisor.lines_with(text).into_iter().nth(nth - 1),
    )
}

fn pid_in(line: &str) -> i32 {
    support::words::field(line, "pid").and_then(|pid| pid.parse().ok()).expect("a pid")
}

#[test]
fn worker_is_ready_and_registered_and_again_after_a_kill_and_gone_after_a_stop() {
    let port = free_port();
    let api = ApiStandIn::start(&port);
    let scene = scene(&port);
    let supervisor = scene.start();
    let first = pid_in(&wait_long_for(&scene, &supervisor, 1, READY));
    assert!(wait_long_for(&scene, &supervisor, 1, SYNCED).contains("status 200, modified=true"));
    assert_eq!(api.requests(), ["POST /fn/register"]);
    send_signal(first, Signal::SIGKILL);
    let second = pid_in(&wait_long_for(&scene, &supervisor, 2, READY));
    wait_long_for(&scene, &supervisor, 2, SYNCED);
    assert_eq!(api.requests().len(), 2);
    assert!(wait_long_for(&scene, &supervisor, 1, DIED).contains("signal 9 (SIGKILL); restarting at once"));
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_exit(), 0);
    // It drained by itself, and was not killed.
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0"));
    assert_eq!(supervisor.lines_with(KILLING), Vec::<String>::new());
    assert!(!process_alive(first) && !process_alive(second));
    scene.wait_until_nothing_is_left();
}

#[test]
fn registration_is_retried_while_the_server_is_away() {
    let port = free_port();
    let scene = scene(&port);
    let supervisor = scene.start();
    wait_long_for(&scene, &supervisor, 1, READY);
    assert!(wait_long_for(&scene, &supervisor, 1, SYNC_FAILED).contains("status 500"));
    let api = ApiStandIn::start(&port);
    wait_long_for(&scene, &supervisor, 1, SYNCED);
    assert!(api.requests().iter().any(|request| request == "POST /fn/register"));
    assert_eq!(supervisor.lines_with(PROBE_FAILED), Vec::<String>::new());
    assert_eq!(supervisor.lines_with(READY).len(), 1);
}

#[test]
fn worker_in_cloud_mode_answers_401_and_is_healthy() {
    let port = free_port();
    let _api = ApiStandIn::start(&port);
    let scene = scene(&port).set_in("env", "INNGEST_DEV", "0").set_in("env", "INNGEST_SIGNING_KEY", SIGNING_KEY);
    let supervisor = scene.start();
    let ready = wait_long_for(&scene, &supervisor, 1, READY);
    assert!(ready.contains("status 401"), "{ready}");
    supervisor.wait_for_log("status 401, which counts as healthy");
    let answer = request(scene.port().number(), "GET", "/api/inngest").expect("an answer");
    assert_eq!(answer.status, 401);
    assert!(process_alive(pid_in(&ready)));
}

#[test]
fn health_route_of_the_example_is_quiet_with_a_signing_key_and_its_endpoint_is_not() {
    let port = free_port();
    let _api = ApiStandIn::start(&port);
    let scene = scene(&port).set_in("env", "INNGEST_DEV", "0").set_in("env", "INNGEST_SIGNING_KEY", SIGNING_KEY);
    let scene = scene.set("health_endpoint", "\"/health\"").set("health_interval_secs", 0.1);
    let supervisor = scene.start();
    assert!(wait_long_for(&scene, &supervisor, 1, READY).contains("status 200"));
    let log = || read_to_string(scene.file("worker.err")).unwrap_or_default();
    for _ in 0..10 {
        assert_eq!(request(scene.port().number(), "GET", "/health").expect("an answer").status, 200);
    }
    assert_eq!(log(), "");
    // Why it has one.
    assert_eq!(request(scene.port().number(), "GET", "/api/inngest").expect("an answer").status, 401);
    wait_for("the SDK's complaint", START_LIMIT, || scene.story(), || (!log().is_empty()).then_some(()));
}

#[test]
fn worker_in_cloud_mode_without_a_key_is_never_ready() {
    let port = free_port();
    let scene = scene(&port).set_in("env", "INNGEST_DEV", "0").set("startup_timeout_secs", 10);
    let supervisor = scene.start();
    let line = wait_long_for(&scene, &supervisor, 1, support::words::STARTUP_TIMED_OUT);
    assert!(line.contains("status 500"), "{line}");
    assert_eq!(supervisor.lines_with(READY), Vec::<String>::new());
}
