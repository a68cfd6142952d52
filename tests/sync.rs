//! The registration: when it is sent, what it looks like, how it is retried, and that it disturbs nothing else.

mod support;

use std::fs::{remove_file, write};
use std::time::Duration;

use support::words::{DIED, PROBE_FAILED, READY, SYNC_FAILED, SYNCED, UNHEALTHY};
use support::{ApiStandIn, Event, LIMIT, Scene, Signal, let_pass, send_signal, wait_until};

/// A time that no test would live to see the end of.
const NEVER: &str = "3600";

/// What is told at debug level of a registration that is only repeated.
const SYNCED_AGAIN: &str = " synced again";

fn scene(arguments: &[&str]) -> Scene {
    Scene::new().worker(arguments).set("sync_endpoint", "\"/api/inngest?a=b\"")
}

fn syncs(scene: &Scene) -> Vec<Event> {
    scene.report().requests("PUT").into_iter().cloned().collect()
}

#[track_caller]
fn wait_for_syncs(scene: &Scene, count: usize) -> Vec<Event> {
    wait_until("registrations at the worker", LIMIT, || syncs(scene).len() >= count);
    syncs(scene)
}

fn between(from: &Event, to: &Event) -> Duration {
    Duration::from_nanos(to.mono_ns().checked_sub(from.mono_ns()).expect("events in order"))
}

#[test]
fn registration_follows_the_first_healthy_answer_and_says_that_it_has_no_body() {
    let scene = scene(&["--fail-first", "3"]).set("host_header", "\"worker.test:80\"");
    let supervisor = scene.start();
    assert!(supervisor.wait_for_log(SYNCED).contains("status 200, modified=true"));
    let report = scene.report();
    let (sync, probes) = (&report.requests("PUT")[0], report.requests("GET"));
    assert_eq!([sync.field("path"), sync.field("content-length")], ["/api/inngest?a=b", "0"]);
    assert_eq!([sync.field("host"), probes[0].field("host")], ["worker.test:80", "worker.test:80"]);
    assert_eq!(probes[0].field("content-length"), "none");
    let before = probes.iter().filter(|probe| probe.mono_ns() < sync.mono_ns()).count();
    assert_eq!(before, 4, "three failures and one success\n{report}");
}

#[test]
fn without_an_endpoint_nobody_is_registered() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_until("some probes", LIMIT, || scene.report().requests("GET").len() > 5);
    assert_eq!(syncs(&scene).len(), 0);
}

#[test]
fn failed_registration_is_retried_told_once_and_costs_the_worker_nothing() {
    let scene = scene(&["--sync-fail-first", "2"]);
    let supervisor = scene.start();
    supervisor.wait_for_log(SYNCED);
    let tries = syncs(&scene);
    assert_eq!(tries.len(), 3);
    let pauses = [between(&tries[0], &tries[1]), between(&tries[1], &tries[2])];
    assert!(pauses[0] >= Duration::from_millis(990) && pauses[1] >= Duration::from_millis(1990), "{pauses:?}");
    let failures = supervisor.lines_with(SYNC_FAILED);
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert!(failures[0].contains("status 500, cannot register; retrying in 1 s"), "{failures:#?}");
    assert_eq!(scene.report().starts().len(), 1);
    assert_eq!(supervisor.lines_with(PROBE_FAILED), Vec::<String>::new());
}

#[test]
fn each_change_of_a_failures_reason_is_told() {
    let scene = Scene::new();
    let [raw, fail] = ["raw", "fail"].map(|name| scene.file(name));
    let paths = [&raw, &fail].map(|path| path.display().to_string());
    let scene = scene.worker(&["--sync-fail-while", &paths[1]]).set("sync_endpoint", "\"/\"");
    write(&fail, "").expect("a file");
    let api = support::free_port();
    let address = format!("127.0.0.1:{}", api.number());
    let scene = scene.worker(&["--sync-fail-while", &paths[1], "--sync", "404", "--register-at", &address]);
    let supervisor = scene.start();
    supervisor.wait_for_log("cannot sync: status 500");
    let _api = ApiStandIn::start(&api);
    remove_file(&fail).expect("the file");
    supervisor.wait_for_log("cannot sync: status 404");
    assert_eq!(supervisor.lines_with(SYNC_FAILED).len(), 2, "{}", supervisor.stderr());
}

#[test]
fn refused_registration_never_restarts_the_worker() {
    for status in ["401", "404", "302"] {
        let scene = scene(&["--sync", status]);
        let supervisor = scene.start();
        assert!(supervisor.wait_for_log(SYNC_FAILED).contains(&format!("status {status}")));
        wait_for_syncs(&scene, 2);
        assert_eq!(scene.report().starts().len(), 1);
        assert_eq!(supervisor.lines_with(UNHEALTHY), Vec::<String>::new());
    }
}

#[test]
fn what_the_answer_says_of_a_change_is_told() {
    for (body, told) in [
        ("unmodified", "status 200, modified=false"),
        ("json", "status 200, modified=true"),
        ("none", "\"status 200\""),
    ] {
        let scene = scene(&["--sync-body", body]);
        let supervisor = scene.start();
        let line = supervisor.wait_for_log(SYNCED);
        assert!(line.contains(told), "{body}: {line}");
    }
}

#[test]
fn page_is_no_registration_whatever_its_status() {
    let scene = scene(&["--sync-body", "html"]);
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(SYNC_FAILED);
    assert!(line.contains("status 200, answered with a page, not a registration; retrying in 1 s"), "{line}");
    wait_for_syncs(&scene, 2);
    assert_eq!(supervisor.lines_with(SYNCED), Vec::<String>::new());
}

/// A scene whose registrations are answered by these bytes.
fn scene_answering(bytes: &str) -> Scene {
    let scene = Scene::new();
    let raw = scene.file("raw");
    write(&raw, bytes).expect("a file");
    scene.worker(&["--raw-sync", raw.to_str().expect("a path")]).set("sync_endpoint", "\"/\"")
}

#[test]
fn inngest_endpoint_that_says_no_more_than_500_lacks_a_key() {
    let scene =
        scene_answering("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n").set("sync_endpoint", "\"/api/inngest\"");
    let line = scene.start().wait_for_log(SYNC_FAILED);
    let told = "status 500, as of an Inngest endpoint without INNGEST_SIGNING_KEY or INNGEST_DEV=1; retrying in 1 s";
    assert!(line.contains(told), "{line}");
    let scene = scene_answering("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    assert!(scene.start().wait_for_log(SYNC_FAILED).contains("status 500; retrying"), "another endpoint");
}

#[test]
fn registration_counts_as_soon_as_its_status_is_heard() {
    // The rest never comes, and the connection stays open.
    let scene = scene_answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\u{5}");
    assert!(scene.start().wait_for_log(SYNCED).contains("answer=\"status 200\""));
}

#[test]
fn redirect_of_a_registration_says_where_to_and_is_not_followed() {
    for (location, told) in [
        ("Location: /api/\u{202e}/\r\n", "status 308, a redirect to /api/\\u{202e}/; retrying"),
        ("", "status 308, a redirect without Location; retrying"),
    ] {
        let scene = scene_answering(&format!("HTTP/1.1 308 Moved\r\n{location}Content-Length: 0\r\n\r\n"));
        let supervisor = scene.start();
        let line = supervisor.wait_for_log(SYNC_FAILED);
        assert!(line.contains(told), "{line}");
    }
}

#[test]
fn long_answer_in_chunks_is_understood() {
    let scene = scene(&["--chunked", "--body-bytes", "60000"]);
    assert!(scene.start().wait_for_log(SYNCED).contains("answer=\"status 200"));
}

#[test]
fn registration_is_repeated_and_told_once() {
    let scene = scene(&[]).set("sync_interval_secs", "0.2");
    let supervisor = scene.start_with(scene.program().arg("--verbose"));
    let tries = wait_for_syncs(&scene, 4);
    assert!(tries.windows(2).all(|pair| between(&pair[0], &pair[1]) >= Duration::from_millis(190)));
    supervisor.wait_for_nth_log(2, SYNCED_AGAIN);
    assert_eq!(supervisor.lines_with(SYNCED).len(), 1, "{}", supervisor.stderr());
}

#[test]
fn interval_of_zero_means_once_a_start() {
    let scene = scene(&[]).set("sync_interval_secs", 0).set("stable_secs", 0);
    let supervisor = scene.start();
    supervisor.wait_for_log(SYNCED);
    wait_until("some probes", LIMIT, || scene.report().requests("GET").len() > 10);
    assert_eq!(syncs(&scene).len(), 1);
    send_signal(supervisor.wait_ready(), Signal::SIGKILL);
    supervisor.wait_for_nth_log(2, SYNCED);
    assert_eq!(syncs(&scene).len(), 2);
}

#[test]
fn success_after_a_failure_is_told_although_it_is_a_repetition() {
    let scene = Scene::new();
    let fail = scene.file("fail");
    let path = fail.display().to_string();
    let scene =
        scene.worker(&["--sync-fail-while", &path]).set("sync_endpoint", "\"/\"").set("sync_interval_secs", "0.1");
    let supervisor = scene.start();
    supervisor.wait_for_log(SYNCED);
    write(&fail, "").expect("a file");
    supervisor.wait_for_log(SYNC_FAILED);
    remove_file(&fail).expect("the file");
    supervisor.wait_for_nth_log(2, SYNCED);
}

#[test]
fn unhealthy_worker_is_not_registered_until_it_is_well_again() {
    let scene = Scene::new();
    let fail = scene.file("fail");
    let path = fail.display().to_string();
    let scene = scene.worker(&["--fail-while", &path]).set("sync_endpoint", "\"/\"").set("sync_interval_secs", "0.2");
    let scene = scene.set("health_failures_before_restart", 1000);
    let supervisor = scene.start();
    wait_for_syncs(&scene, 2);
    write(&fail, "").expect("a file");
    supervisor.wait_for_log(PROBE_FAILED);
    // One may be on its way.
    let_pass(Duration::from_millis(100));
    let before = syncs(&scene).len();
    let_pass(Duration::from_millis(800));
    assert_eq!(syncs(&scene).len(), before);
    remove_file(&fail).expect("the file");
    wait_for_syncs(&scene, before + 1);
}

#[test]
fn registration_that_hangs_does_not_hold_up_the_probes() {
    let scene = scene(&["--sync", "hang"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_syncs(&scene, 1);
    let before = scene.report().requests("GET").len();
    wait_until("probes beside it", LIMIT, || scene.report().requests("GET").len() >= before + 10);
    assert_eq!(syncs(&scene).len(), 1);
    assert_eq!(supervisor.lines_with(PROBE_FAILED), Vec::<String>::new());
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn worker_that_dies_in_its_registration_is_followed_by_one_that_is_registered() {
    let scene = scene(&["--life", "--sync", "hang", "--life"]).set("stable_secs", 0);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    wait_for_syncs(&scene, 1);
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    supervisor.wait_for_log(SYNCED);
    assert_eq!(syncs(&scene).iter().map(Event::pid).collect::<Vec<_>>(), [first, second]);
    // A dying worker closes its connections before it can be waited for, so a failed registration may be told first.
    assert!(supervisor.lines_with(SYNC_FAILED).len() <= 1);
}

#[test]
fn graceful_restart_in_a_registration_drops_it() {
    let scene = scene(&["--life", "--sync", "hang", "--life"]).set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    wait_for_syncs(&scene, 1);
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_for_log(SYNCED);
    assert_ne!(syncs(&scene)[1].pid(), first);
    assert_eq!(supervisor.lines_with(READY).len(), 2);
    assert_eq!(supervisor.lines_with(DIED), Vec::<String>::new());
}

#[test]
fn registration_waits_for_the_other_server() {
    let api = support::free_port();
    let scene = scene(&["--register-at", &format!("127.0.0.1:{}", api.number())]);
    let supervisor = scene.start();
    supervisor.wait_for_log(SYNC_FAILED);
    let api = ApiStandIn::start(&api);
    supervisor.wait_for_log(SYNCED);
    assert_eq!(api.requests(), ["POST /fn/register"]);
}
