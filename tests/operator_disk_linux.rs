//! A full disk: what is written before stays, nothing half is left, and a supervisor can start all the same.
//!
//! The disk is a small tmpfs in a mount namespace of its own, where this test binary runs itself once more; it is gone
//! with that process. Where the system allows no such namespace the test says so and passes.
#![cfg(target_os = "linux")]

mod operator_support;
mod support;

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use operator_support::{Dir, names};
use support::{LIMIT, Scene, Signal, copied_programs, give_to, quoted, send_signal, wait_for, wait_until};
use worker_supervisor::lock::Lock;
use worker_supervisor::state_dir::StateDir;
use worker_supervisor::supervise::logs::rotation::Rotation;
use worker_supervisor::supervise::report::status::Status;

const DISK: &str = "WORKER_SUPERVISOR_TEST_DISK";
/// What the shell ends with where there is no namespace or mount for it.
const NO_MOUNT: i32 = 99;

#[test]
fn a_full_disk_costs_nothing_that_was_written_before() {
    run_on_a_small_disk("on_a_disk_of_its_own");
}

#[test]
fn a_full_disk_costs_neither_status_nor_restart() {
    run_on_a_small_disk("status_and_restart_on_a_full_disk");
}

#[test]
fn without_room_for_its_status_a_supervisor_is_not_said_to_hang() {
    run_on_a_small_disk("restart_without_room_for_a_status");
}

#[test]
fn a_disk_that_is_mounted_read_only_is_named() {
    run_on_a_small_disk("state_on_a_read_only_disk");
}

#[test]
fn a_config_that_is_mounted_read_only_is_taken_whoever_owns_it_where_root_can_mount() {
    if !support::is_root_to("mount it and run as two other users") {
        return;
    }
    let scene = Scene::new();
    let supervisor = copied_programs(&scene).supervisor;
    give_to(&scene, 12_345, 12_345);
    let place = scene.file("");
    fs::set_permissions(&place, Permissions::from_mode(0o755)).expect("root may");
    let dry_run = |before: &str| {
        let script = format!("{before} exec setpriv --reuid 54321 --regid 54321 --clear-groups \"$@\" --dry-run");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(&place).arg(&supervisor);
        command.args(scene.program().get_args()).current_dir("/");
        String::from_utf8(command.output().expect("unshare runs").stdout).expect("UTF-8")
    };
    let (mounted, plain) = (dry_run("mount --bind $0 $0 && mount -o remount,bind,ro $0 &&"), dry_run(""));
    assert!(mounted.contains("\nport = ") && !mounted.contains("cannot read config"), "{mounted}");
    assert!(plain.contains("cannot read config") && plain.contains("belongs to user 12345"), "{plain}");
}

/// Runs an ignored test of this file where `DISK` names a small disk.
fn run_on_a_small_disk(test: &str) {
    let dir = Dir::new();
    let script = format!("mount -t tmpfs -o size=256k none \"${DISK}\" || exit {NO_MOUNT}; exec \"$0\" \"$@\"");
    let this = std::env::current_exe().expect("a test binary has a path");
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(this)
        .args(["--ignored", "--exact", test])
        .env(DISK, dir.path())
        .output();
    match ran {
        Err(error) => skip(&format!("no unshare: {error}")),
        // unshare itself ends with 1 and a complaint of its own where it may not.
        Ok(ran) if ran.status.code() == Some(NO_MOUNT) || ran.stderr.starts_with(b"unshare:") => {
            skip(&String::from_utf8_lossy(&ran.stderr));
        }
        Ok(ran) => {
            let told = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && told.contains("1 passed"), "{told}");
        }
    }
}

fn disk() -> PathBuf {
    PathBuf::from(std::env::var_os(DISK).expect("run by another test"))
}

/// Root may always make a namespace: there, nothing is an excuse.
fn skip(why: &str) {
    assert!(!nix::unistd::geteuid().is_root(), "cannot make a small disk: {why}");
    println!("skipped: {why}");
}

#[test]
#[ignore = "run by another test, on a small disk"]
fn on_a_disk_of_its_own() {
    let disk = disk();
    let state = StateDir::open(&disk, "demo").expect("the state directory");
    Status::default().write(&state).expect("there is room");
    let log = disk.join("a.log");
    let content = vec![b'x'; 150_000];
    fs::write(&log, &content).expect("there is room");
    fs::write(state.lock_path(), "").expect("there is room");

    let mut rotation = Rotation::start(&log, 0, 2).expect("no error").expect("long enough");
    let failure = (0..10).find_map(|_| rotation.step().err()).expect("there is no room for a copy");
    assert_eq!(failure.kind(), ErrorKind::StorageFull);
    drop(rotation);
    assert_eq!(names(&disk), ["a.log", "demo"]);
    assert!(fs::read(&log).expect("the log") == content);

    fill(&disk.join("filler"));
    for generation in 1..=5 {
        let new = Status { name: "new".repeat(500), generation, ..Status::default() };
        new.write(&state).expect("the spare one has room");
        assert_eq!(Status::read(&state).expect("the new one"), Some(new));
    }
    let kept = Status::read(&state).expect("the last one");
    let long = Status { name: "long".repeat(5000), ..Status::default() };
    assert_eq!(long.write(&state).expect_err("the disk is full").kind(), ErrorKind::StorageFull);
    assert_eq!(Status::read(&state).expect("the last one"), kept);
    assert_eq!(names(state.path()), ["lock", "status.json", "status.spare"]);
    assert!(Lock::of_config(&state).expect("no error").is_ok(), "a full disk keeps nobody from starting");
}

/// A scene whose state directory is on the small disk, and whose workers, once gone, are not replaced by themselves.
fn scene() -> Scene {
    let scene = Scene::new().set("state_dir", quoted(disk().join("state"))).set("stable_secs", 3600);
    scene.set("restart_backoff_min_secs", 3600).set("restart_backoff_max_secs", 3600)
}

#[track_caller]
fn wait_for_status(scene: &Scene, code: i32, headline: &str) {
    let look = || Some(scene.run(&["status"])).filter(|ran| ran.code == Some(code) && ran.stdout.starts_with(headline));
    let told = || format!("{:?}\n{}", scene.run(&["status"]), scene.story());
    wait_for(headline, LIMIT, told, || look().map(drop));
}

/// Until there is something to fall back on: the spare status is made after the first one.
#[track_caller]
fn wait_for_spare() {
    wait_until("a spare status", LIMIT, || disk().join("state/worker/status.spare").exists());
}

#[test]
#[ignore = "run by another test, on a small disk"]
fn status_and_restart_on_a_full_disk() {
    let scene = scene();
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy for ");
    wait_for_spare();
    fill(&disk().join("filler"));
    for generation in 2..=4 {
        let ran = scene.run(&["restart"]);
        assert_eq!(ran.code, Some(0), "{ran:?}\n{}", scene.story());
        assert!(ran.stdout.ends_with(&format!(", generation {generation}\n")), "{ran:?}");
    }
    let last = supervisor.wait_nth_ready(4);
    assert_eq!(supervisor.lines_with("cannot write status file"), [""; 0]);
    send_signal(last, Signal::SIGKILL);
    wait_for_status(&scene, 1, "worker: backing off for ");
}

#[test]
#[ignore = "run by another test, on a small disk"]
fn restart_without_room_for_a_status() {
    let scene = scene().set("health_interval_secs", 3600);
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_status(&scene, 0, "worker: healthy for ");
    wait_for_spare();
    fs::remove_file(disk().join("state/worker/status.spare")).expect("the spare one");
    fill(&disk().join("filler"));
    let ran = scene.run(&["restart"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let cause = format!("no room in {:?}, so the supervisor, pid {}", disk().join("state/worker"), supervisor.pid());
    assert!(ran.stderr.contains(&cause), "{ran:?}");
    let second = supervisor.wait_nth_ready(2);
    // Its worker is gone, and the file calls it healthy.
    assert_ne!(scene.run(&["status"]).code, Some(0));
    fs::remove_file(disk().join("filler")).expect("the filler");
    send_signal(second, Signal::SIGKILL);
    wait_for_status(&scene, 1, "worker: backing off for ");
}

#[test]
#[ignore = "run by another test, on a small disk"]
fn state_on_a_read_only_disk() {
    let scene = scene();
    let remount = |how: &str| {
        let ran = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(disk()).status();
        assert!(ran.expect("mount runs").success());
    };
    let refused = |said: &str| {
        let ran = scene.run(&[]);
        assert!(ran.code.is_some_and(|code| code != 0) && ran.stderr.contains(said), "{ran:?}");
        assert!(ran.stderr.contains("Read-only file system"), "{ran:?}");
    };
    remount("ro");
    refused(&format!("cannot use the state directory {:?}: ", disk().join("state/worker")));
    // Once there was a supervisor, too.
    remount("rw");
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
    remount("ro");
    refused(&format!("cannot lock {:?}: ", disk().join("state/worker/lock")));
    assert_eq!(scene.report().starts().len(), 1);
}

fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file without a byte has room");
    while file.write_all(&[0; 512]).is_ok() {}
}
