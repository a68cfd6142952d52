//! What is done over and over costs nothing for good: memory, descriptors and threads of the supervisor stay as they
//! are over many restarts and many failed probes, and neither zombies nor files are left behind.
//!
//! `cargo bench --bench soak` does the same ten thousand times.

mod support;

use std::fs::{read_dir, remove_file, write};
use std::time::Duration;

use support::words::{DIED, UNHEALTHY, field};
use support::{Scene, Supervisor, Usage, children_of, process_alive, usage_of, wait_for};

/// How often each thing is done after the warm-up.
const TIMES: u64 = 300;
/// By then the allocator has what it needs: on a busy machine after 30 restarts it still took 72 KiB, and from 330 on
/// none in 10,000.
const WARM_UP: u64 = 150;
/// How long that may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// An allocator takes a few pages more or less.
const SLACK_KIB: u64 = 64;

#[test]
fn hundreds_of_restarts_leave_nothing_behind() {
    let scene = restless_scene();
    let supervisor = scene.start();
    wait_for_count(&scene, "restarts", WARM_UP);
    let before = usage_of(supervisor.pid());
    let restarts = count(&scene, "restarts");
    wait_for_count(&scene, "restarts", restarts + TIMES);
    assert_flat(before, &supervisor, &scene);

    let children = children_of(supervisor.pid());
    assert!(children.len() <= 1, "zombies among {children:?}");
    let mut names: Vec<_> = read_dir(scene.file("state/worker"))
        .expect("the state directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        // What is being replaced right now.
        .filter(|name| !name.ends_with(".new"))
        .collect();
    names.sort();
    names.retain(|name| name != "worker.json");
    assert_eq!(names, ["lock", "status.json", "status.spare"]);
    // A crash loop fills no disk.
    let told = supervisor.stderr().len();
    assert!(told < 64 * 1024, "{told} bytes of log for {TIMES} restarts");
    assert!(supervisor.lines_with(DIED).len() < 20);
    assert_eq!(supervisor.stop(), 0);
    scene.wait_until_nothing_is_left();
}

/// A worker that ends as soon as it is ready, and is replaced at once.
fn restless_scene() -> Scene {
    let scene = Scene::new().worker(&["--exit-after", "0.005"]).set("stable_secs", "0");
    scene.set("restart_backoff_min_secs", "0").set("restart_backoff_max_secs", "0.01")
}

#[test]
fn hundreds_of_failed_probes_leave_nothing_behind() {
    let scene = Scene::new().set("health_interval_secs", "0.003").set("health_failures_before_restart", "1000");
    let failing = scene.file("failing");
    let scene = scene.worker(&["--fail-while", failing.to_str().expect("a path")]);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    write(&failing, "").expect("a file");
    wait_for_count(&scene, "streak", WARM_UP);
    let before = usage_of(supervisor.pid());
    wait_for_count(&scene, "streak", WARM_UP + TIMES);
    assert_flat(before, &supervisor, &scene);
    remove_file(&failing).expect("it was there");
    wait_for("the end of the streak", PATIENCE, || scene.story(), || (count(&scene, "streak") == 0).then_some(()));
    assert!(process_alive(worker));
    assert_eq!(supervisor.lines_with(UNHEALTHY), Vec::<String>::new());
    let failed = supervisor.lines_with(support::words::PROBE_FAILED);
    assert!(failed.len() < 20, "{} lines for {TIMES} failures", failed.len());
    assert_eq!(failed.first().and_then(|line| field(line, "streak")), Some("1"));
}

#[test]
fn probes_that_time_out_leave_no_connection_open() {
    let scene = Scene::new().set("health_interval_secs", "0.001").set("health_timeout_secs", "0.005");
    let hanging = scene.file("hanging");
    let scene = scene.worker(&["--hang-while", hanging.to_str().expect("a path")]);
    let scene = scene.set("health_failures_before_restart", "1000").set("startup_timeout_secs", "20");
    let supervisor = scene.start();
    supervisor.wait_ready();
    write(&hanging, "").expect("a file");
    wait_for_count(&scene, "streak", WARM_UP);
    let before = usage_of(supervisor.pid());
    wait_for_count(&scene, "streak", WARM_UP + TIMES);
    assert_flat(before, &supervisor, &scene);
    remove_file(&hanging).expect("it was there");
}

fn count(scene: &Scene, key: &str) -> u64 {
    scene.status().and_then(|status| status[key].as_u64()).unwrap_or(0)
}

#[track_caller]
fn wait_for_count(scene: &Scene, key: &str, at_least: u64) {
    let what = format!("{key} of {at_least}");
    wait_for(&what, PATIENCE, || scene.story(), || (count(scene, key) >= at_least).then_some(()));
}

#[track_caller]
fn assert_flat(before: Usage, supervisor: &Supervisor<'_>, scene: &Scene) {
    // A probe, a spawn or a status file is under way now and then: what counts is that it comes back to what it was.
    let is_flat = |now: Usage| {
        now.descriptors <= before.descriptors
            && now.threads <= before.threads
            && now.memory_kib <= before.memory_kib + SLACK_KIB
    };
    let details = || format!("{before:?} before, {:?} now\n{}", usage_of(supervisor.pid()), scene.story());
    wait_for("what it used before", support::LIMIT, details, || is_flat(usage_of(supervisor.pid())).then_some(()));
}
