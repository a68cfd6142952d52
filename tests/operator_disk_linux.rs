//! A full disk: what is written before stays, nothing half is left, and a supervisor can start all the same.
//!
//! The disk is a small tmpfs in a mount namespace of its own, where this test binary runs itself once more; it is gone
//! with that process. Where the system allows no such namespace the test says so and passes.
#![cfg(target_os = "linux")]

mod operator_support;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use operator_support::{Dir, names};
use worker_supervisor::lock::Lock;
use worker_supervisor::state_dir::StateDir;
use worker_supervisor::supervise::logs::rotation::Rotation;
use worker_supervisor::supervise::report::status::Status;

const DISK: &str = "WORKER_SUPERVISOR_TEST_DISK";
/// What the shell ends with where there is no namespace or mount for it.
const NO_MOUNT: i32 = 99;

#[test]
fn a_full_disk_costs_nothing_that_was_written_before() {
    let dir = Dir::new();
    let script = format!("mount -t tmpfs -o size=256k none \"${DISK}\" || exit {NO_MOUNT}; exec \"$0\" \"$@\"");
    let this = std::env::current_exe().expect("a test binary has a path");
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(this)
        .args(["--ignored", "--exact", "on_a_disk_of_its_own"])
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

/// Root may always make a namespace: there, nothing is an excuse.
fn skip(why: &str) {
    assert!(!nix::unistd::geteuid().is_root(), "cannot make a small disk: {why}");
    println!("skipped: {why}");
}

#[test]
#[ignore = "run by the other test, on a small disk"]
fn on_a_disk_of_its_own() {
    let disk = PathBuf::from(std::env::var_os(DISK).expect("run by the other test"));
    let state = StateDir::open(&disk, "demo").expect("the state directory");
    let old = Status { name: "old".into(), ..Status::default() };
    old.write(&state).expect("there is room");
    let log = disk.join("a.log");
    fs::write(&log, [b'x'; 150_000]).expect("there is room");
    fs::write(state.lock_path(), "").expect("there is room");

    let mut rotation = Rotation::start(&log, 0, 2).expect("no error").expect("long enough");
    let failure = (0..10).find_map(|_| rotation.step().err()).expect("there is no room for a copy");
    assert_eq!(failure.kind(), ErrorKind::StorageFull);
    drop(rotation);
    assert_eq!(names(&disk), ["a.log", "demo"]);
    assert!(fs::read(&log).expect("the log") == [b'x'; 150_000]);

    fill(&disk.join("filler"));
    let new = Status { name: "new".repeat(2000), ..Status::default() };
    assert_eq!(new.write(&state).expect_err("the disk is full").kind(), ErrorKind::StorageFull);
    assert_eq!(Status::read(&state).expect("the old one"), Some(old));
    assert_eq!(names(state.path()), ["lock", "status.json"]);
    assert!(Lock::of_config(&state).expect("no error").is_ok(), "a full disk keeps nobody from starting");
}

fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file without a byte has room");
    while file.write_all(&[0; 512]).is_ok() {}
}
