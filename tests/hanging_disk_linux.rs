//! What the loop asks of a disk: one look a log and health check, none at a stop.
#![cfg(target_os = "linux")]

mod support;

use support::{Scene, calls_of, traced};

/// The last call of each status that is written.
const STATUS_WRITTEN: &str = "\"status.spare\"";
/// What a health check at rest may ask by path: both logs, both locks, five for the status.
const PATHS_MAX: usize = 9;
/// What one life of a worker may ask of one log by path, as long as it needs no second health check: 9, and some.
const LOG_PATHS_MAX: usize = 12;

#[test]
fn at_rest_a_health_check_looks_at_each_log_once() {
    let scene = Scene::new();
    let trace = scene.file("trace");
    let supervisor = scene.start_with(&mut traced(&scene, &trace, "%file"));
    supervisor.wait_ready();
    let is_written = |call: &String| call.contains(STATUS_WRITTEN);
    let begun = calls_of(&trace, supervisor.pid(), |_| true).iter().filter(|call| is_written(call)).count();
    let calls =
        calls_of(&trace, supervisor.pid(), |calls| calls.iter().filter(|call| is_written(call)).count() >= begun + 6);
    // The last is not whole, and the first ones may tell of the start.
    let checks: Vec<&[String]> = calls.split(is_written).collect();
    for check in &checks[checks.len() - 4..checks.len() - 1] {
        let of = |name: &str| check.iter().filter(|call| call.contains(&format!("/{name}\""))).count();
        assert_eq!([of("worker.log"), of("worker.err")], [1, 1], "{check:#?}");
        assert!(check.len() < PATHS_MAX, "{check:#?}");
    }
}

#[test]
fn neither_a_start_that_takes_its_time_nor_a_stop_asks_a_log_for_more() {
    let scene = Scene::new().worker(&["--listen-after", "1"]).set("health_interval_secs", 3600);
    let trace = scene.file("trace");
    let supervisor = scene.start_with(&mut traced(&scene, &trace, "%file,kill"));
    let worker = supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
    let drain = format!("kill({worker}, SIGTERM)");
    let is_over = |calls: &[String]| calls.last().is_some_and(|call| call.starts_with("+++ exited"));
    let calls = calls_of(&trace, supervisor.pid(), is_over);
    for log in ["/worker.log\"", "/worker.err\""] {
        let (mut life, mut stop) = (0, None);
        for call in &calls {
            if call.starts_with(&drain) {
                stop = Some(0);
            }
            if call.contains(log) {
                life += 1;
                stop = stop.map(|count| count + 1);
            }
        }
        assert_eq!(stop, Some(0), "{calls:#?}");
        assert!(life <= LOG_PATHS_MAX, "{life} for {log}: {calls:#?}");
    }
}
