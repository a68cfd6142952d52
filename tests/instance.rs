//! One supervisor per configuration: a second one waits for the lock as long as an old one may need to stop, touches
//! nothing meanwhile, and gives up with a code of its own.

mod support;

use std::fs::{metadata, read, read_to_string, remove_dir_all, remove_file};
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, Instant};

use support::words::{PORT_LOST, READY, STARTED};
use support::{LIMIT, Scene, Signal, process_alive, slowed, wait_for, wait_until};
use worker_supervisor::lock::{Held, Lock};
use worker_supervisor::state_dir::StateDir;

/// What a second supervisor says when it begins to wait.
const WAITING: &str = "holds the lock; waiting for it to stop";
/// How long a killed worker may take, on top of its drain.
const KILL_TIME: Duration = Duration::from_secs(2);

/// A scene in which a healthy supervisor writes no status by itself.
fn quiet_scene() -> Scene {
    Scene::new().set("health_interval_secs", "600").set("drain_timeout_secs", "0.3")
}

#[test]
fn second_instance_waits_then_gives_up_and_has_touched_nothing() {
    let scene = quiet_scene();
    let first = scene.start();
    let worker = first.wait_ready();
    let before = wait_for("a settled status file", LIMIT, || scene.story(), || settled(&scene));
    let lock_before = metadata(scene.file("state/worker/lock")).expect("a lock file");

    let started = Instant::now();
    let second = scene.run(&[]);
    let waited = started.elapsed();
    assert_eq!(second.code, Some(75), "{second:?}");
    assert!(second.stderr.contains(&format!("another supervisor (pid {}) runs for", first.pid())), "{second:?}");
    assert!(second.stderr.contains(WAITING), "{second:?}");
    let patience = Duration::from_millis(300) + KILL_TIME;
    assert!(waited >= patience && waited < slowed(patience * 3), "it waited {waited:?} and not {patience:?}");

    assert!(process_alive(worker));
    assert_eq!(scene.report().starts().len(), 1, "{}", scene.story());
    assert_eq!(scene.report().of("signal"), Vec::<&support::Event>::new());
    assert_eq!(settled(&scene), Some(before), "the status file was touched");
    let lock_after = metadata(scene.file("state/worker/lock")).expect("a lock file");
    assert_eq!((lock_after.ino(), lock_after.mtime_nsec()), (lock_before.ino(), lock_before.mtime_nsec()));
    assert_eq!(first.lines_with(STARTED).len(), 1);
    assert_eq!(first.stop(), 0);
}

/// Inode, modification time and content of the status file of a running supervisor.
fn settled(scene: &Scene) -> Option<(u64, i64, i64, Vec<u8>)> {
    let path = scene.file("state/worker/status.json");
    if scene.status()?["state"] != "running" {
        return None;
    }
    let found = metadata(&path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), read(path).ok()?))
}

#[test]
fn second_instance_takes_over_when_the_first_one_ends_meanwhile() {
    let scene = quiet_scene().set("drain_timeout_secs", "15");
    let first = scene.start();
    let old = first.wait_ready();
    let second = scene.start();
    second.wait_for_log(WAITING);
    assert_eq!(first.stop(), 0);
    let new = second.wait_ready();
    assert_ne!(old, new);
    let report = scene.report();
    assert!(report.of("exit")[0].mono_ns() < report.starts()[1].mono_ns(), "{}", scene.story());
    assert_eq!(second.stop(), 0);
}

#[test]
fn second_instance_takes_over_from_a_killed_one_at_once() {
    let scene = quiet_scene().set("drain_timeout_secs", "15");
    let first = scene.start();
    let old = first.wait_ready();
    let second = scene.start();
    second.wait_for_log(WAITING);
    first.kill();
    let new = second.wait_ready();
    assert_ne!(old, new);
    assert!(!process_alive(old));
}

#[test]
fn of_many_instances_one_works() {
    let scene = quiet_scene();
    let all: Vec<_> = (0..5).map(|_| scene.start()).collect();
    let working = || all.iter().filter(|one| one.is_alive()).collect::<Vec<_>>();
    wait_until("the end of all but one", LIMIT, || working().len() == 1);
    assert_eq!(all.iter().filter(|one| !one.lines_with(READY).is_empty()).count(), 1, "{}", scene.story());
    for one in all.iter().filter(|one| !one.is_alive()) {
        assert_eq!(one.wait_exit(), 75);
    }
    assert_eq!(scene.report().starts().len(), 1);
    assert_eq!(working()[0].stop(), 0);
}

#[test]
fn lock_is_free_as_soon_as_its_holder_is_gone_though_the_worker_lives() {
    let scene = quiet_scene().worker(&["--fork-child"]);
    let first = scene.start();
    let worker = first.wait_ready();
    let dir = StateDir::existing(&scene.file("state"), "worker").expect("it is ours").expect("it exists");
    let held = Lock::holder(&dir).expect("the lock can be looked at");
    assert!(matches!(&held, Held::By(holder) if holder.pid == first.pid().cast_unsigned()), "{held:?}");
    first.kill();
    assert!(process_alive(worker));
    assert_eq!(Lock::holder(&dir).expect("the lock can be looked at"), Held::Free);
}

#[test]
fn lock_file_is_never_replaced() {
    let scene = quiet_scene();
    let inode = |scene: &Scene| metadata(scene.file("state/worker/lock")).expect("a lock file").ino();
    let first = scene.start();
    first.wait_ready();
    let at_first = inode(&scene);
    assert_eq!(first.stop(), 0);
    assert_eq!(inode(&scene), at_first, "after a stop");
    let second = scene.start();
    second.wait_ready();
    second.kill();
    let third = scene.start();
    third.wait_ready();
    assert_eq!(inode(&scene), at_first, "after a kill");
    assert_eq!(third.stop(), 0);
    let text = String::from_utf8(read(scene.file("state/worker/lock")).expect("a lock file")).expect("text");
    assert!(text.starts_with(&format!("{} ", third.pid())), "it names its last holder: {text:?}");
}

#[test]
fn stop_while_waiting_for_the_lock_ends_at_once_and_well() {
    let scene = quiet_scene().set("drain_timeout_secs", "60");
    let first = scene.start();
    let worker = first.wait_ready();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let second = scene.start();
        second.wait_for_log(WAITING);
        second.signal(signal);
        assert_eq!(second.wait_exit(), 0, "{signal}");
    }
    assert!(process_alive(worker) && first.is_alive());
    assert_eq!(scene.report().of("signal"), Vec::<&support::Event>::new());
    assert_eq!(first.stop(), 0);
}

#[test]
fn restart_request_while_waiting_for_the_lock_changes_nothing() {
    let scene = quiet_scene().set("drain_timeout_secs", "15");
    let first = scene.start();
    let worker = first.wait_ready();
    let second = scene.start();
    second.wait_for_log(WAITING);
    second.signal(Signal::SIGUSR1);
    second.signal(Signal::SIGCHLD);
    assert_eq!(first.stop(), 0);
    second.wait_ready();
    assert_eq!(scene.report().workers().first(), Some(&worker));
}

#[test]
fn two_configurations_do_not_meet() {
    let (one, other) = (quiet_scene(), quiet_scene());
    let (first, second) = (one.start(), other.start());
    first.wait_ready();
    second.wait_ready();
    assert_eq!(first.lines_with(WAITING), Vec::<String>::new());
    assert_eq!(second.lines_with(WAITING), Vec::<String>::new());
}

#[test]
fn a_state_directory_that_is_removed_is_made_anew_and_still_guards_the_worker() {
    let scene = quiet_scene().set("health_interval_secs", "0.05");
    let first = scene.start();
    let worker = first.wait_ready();
    remove_dir_all(scene.file("state")).expect("removed");
    first.wait_for_log("somebody removed the state directory or its lock; made it anew");
    wait_for("a status", LIMIT, || scene.story(), || scene.status()?["pid"].as_i64());
    let recorded = read_to_string(scene.file("state/worker/worker.json")).expect("a record");
    assert!(recorded.contains(&format!("\"pid\":{worker},")), "{recorded}");
    let second = scene.run(&[]);
    assert_eq!(second.code, Some(75), "{second:?}");
    assert_eq!(scene.run(&["status"]).code, Some(0));
    assert_eq!(scene.run(&["restart"]).code, Some(0));
    assert_eq!(scene.report().starts().len(), 2, "{}", scene.story());
    assert_eq!(first.stop(), 0);
}

#[test]
fn a_record_that_is_removed_alone_is_made_anew() {
    let scene = quiet_scene().set("health_interval_secs", "0.05");
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let record = scene.file("state/worker/worker.json");
    let names_worker = || read_to_string(&record).is_ok_and(|text| text.contains(&format!("\"pid\":{worker},")));
    wait_until("the record", LIMIT, names_worker);
    remove_file(&record).expect("removed");
    wait_until("the record anew", LIMIT, names_worker);
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn a_lock_that_is_removed_alone_is_made_anew() {
    let scene = quiet_scene().set("health_interval_secs", "0.05");
    let first = scene.start();
    first.wait_ready();
    remove_file(scene.file("state/worker/lock")).expect("removed");
    first.wait_for_log("somebody removed the state directory or its lock; made it anew");
    assert_eq!(scene.run(&[]).code, Some(75));
    assert_eq!(scene.report().starts().len(), 1, "{}", scene.story());
    assert_eq!(first.stop(), 0);
}

#[test]
fn a_supervisor_gives_way_to_one_that_has_taken_its_place() {
    let scene = quiet_scene().set("health_interval_secs", "0.05");
    let first = scene.start();
    let worker = first.wait_ready();
    // The second one is faster.
    first.signal(Signal::SIGSTOP);
    remove_dir_all(scene.file("state")).expect("removed");
    let second = scene.start();
    let line = second.wait_for_log(PORT_LOST);
    assert!(line.contains(&format!("the worker of another supervisor: pid {}", first.pid())), "{line}");
    assert!(process_alive(worker));
    first.signal(Signal::SIGCONT);
    assert_eq!(first.wait_exit(), 75);
    let said = first.wait_for_log("giving way");
    assert!(said.contains(&format!("another supervisor (pid {}) has the state directory now", second.pid())), "{said}");
    let heir = second.wait_ready();
    assert_eq!(scene.report().starts().len(), 2, "{}", scene.story());
    wait_until("a status of the second one", LIMIT, || {
        scene.status().is_some_and(|status| status["supervisor_pid"] == second.pid())
    });
    let record = read_to_string(scene.file("state/worker/worker.json")).expect("not taken away by the first one");
    assert!(record.contains(&heir.to_string()), "{record}");
    assert_eq!(second.stop(), 0);
}

#[test]
fn one_configuration_under_two_names_has_one_worker() {
    let scene = quiet_scene();
    let first = scene.start();
    let worker = first.wait_ready();
    let link = scene.file("alias.toml");
    symlink(scene.config_file(), &link).expect("a link");
    let mut alias = std::process::Command::new(scene.program().get_program());
    alias.arg("--config").arg(&link).env("HOME", scene.file("another-home"));
    let second = scene.start_with(&mut alias);
    let line = second.wait_for_nth_log(2, PORT_LOST);
    assert!(line.contains(&format!("pid {} for configuration worker", first.pid())), "{line}");
    // Not even while the first one's worker is away.
    first.signal(Signal::SIGUSR1);
    first.wait_nth_ready(2);
    assert_eq!(second.lines_with(STARTED), Vec::<String>::new());
    assert!(!process_alive(worker));
    assert_eq!(first.stop(), 0);
    second.wait_ready();
    assert_eq!(second.stop(), 0);
}
