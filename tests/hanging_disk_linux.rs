//! What the loop asks of a disk, and what it does where the disk takes its time: one look a log and health check, none
//! at a stop; a rotation under way, or a disk that is frozen, keeps no signal from being served.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{File, create_dir, read_to_string};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{LIMIT, Scene, TempDir, calls_of, quoted, request, traced, traced_with, wait_until};

/// The last call of each status that is written.
const STATUS_WRITTEN: &str = "\"status.spare\"";
/// What a health check at rest may ask by path: both logs, both locks, five for the status; the locks twice where the
/// status was put off for a turn that had more to tell.
const PATHS_MAX: usize = 11;
/// What one life of a worker may ask of one log by path, as long as it needs no second health check: 9, and some.
const LOG_PATHS_MAX: usize = 12;

#[test]
fn at_rest_a_health_check_looks_at_each_log_once() {
    let scene = Scene::new();
    let trace = scene.file("trace");
    let supervisor = scene.start_with(&mut traced(&scene, &trace, "%file,connect"));
    supervisor.wait_ready();
    let count = |calls: &[String], part: &str| calls.iter().filter(|call| call.contains(part)).count();
    let begun = count(&calls_of(&trace, supervisor.pid(), |_| true), STATUS_WRITTEN);
    let calls = calls_of(&trace, supervisor.pid(), |calls| count(calls, STATUS_WRITTEN) >= begun + 10);
    // The first ones tell of the start.
    let is_written = |call: &String| call.contains(STATUS_WRITTEN);
    let (rest_at, _) = calls.iter().enumerate().filter(|(_, call)| is_written(call)).nth(begun + 2).expect("ten more");
    let calls = &calls[rest_at..];
    // On a busy machine one status may tell of two checks, and one of them be under way at either end.
    let checks = count(calls, "connect(") + 1;
    for log in ["/worker.log\"", "/worker.err\""] {
        assert!(count(calls, log) <= checks, "{checks} checks: {calls:#?}");
    }
    assert!(calls.len() - count(calls, "connect(") <= checks * PATHS_MAX, "{checks} checks: {calls:#?}");
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

#[test]
fn a_stop_is_served_in_the_middle_of_the_rotation_of_a_big_log() {
    const LOG_BYTES: u64 = 100 * 1024 * 1024;
    // While it is copied, and while it is given back.
    for (copy, other) in [("worker.log.new", "worker.log.1"), ("worker.log.1", "worker.log.new")] {
        let scene = Scene::new().set("log_max_bytes", 1024 * 1024).set("log_keep", 1);
        let [log, copy, other] = ["worker.log", copy, other].map(|name| scene.file(name));
        let mut file = File::create(&log).expect("a log");
        let piece = vec![b'x'; 1024 * 1024];
        (0..LOG_BYTES).step_by(piece.len()).for_each(|_| file.write_all(&piece).expect("room for a big log"));
        // Each MiB takes as long as on a slow disk, so that there is a middle on any machine.
        let slow = ["-e", "inject=copy_file_range:delay_exit=5000", "-e", "inject=fallocate:delay_exit=20000"];
        let calls = "copy_file_range,fallocate";
        let supervisor = scene.start_with(&mut traced_with(&scene, &scene.file("trace"), calls, &slow));
        let length = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        wait_until("a rotation under way", LIMIT, || length(&copy) > 0);
        assert_eq!(supervisor.stop(), 0);
        assert!(!other.exists(), "the stop was not in the middle");
        assert!(length(&log) >= LOG_BYTES, "the log was given back to its end");
        let whole = if copy.ends_with("worker.log.1") { &copy } else { &log };
        assert!(whole.metadata().expect("the whole log").blocks() * 512 >= LOG_BYTES, "what was logged is lost");
    }
}

#[test]
fn a_frozen_disk_stops_no_worker_and_with_logs_alone_no_supervisor_where_root_can_mount() {
    let Some(disk) = Disk::new() else { return };
    let (all, logs) = (Scene::new(), Scene::new());
    let place = |name: &str| quoted(disk.mount.join(name));
    let all = all.set("state_dir", place("state")).set("log_stdout", place("a.log")).set("log_stderr", place("a.err"));
    let logs = logs.set("log_stdout", place("b.log")).set("log_stderr", place("b.err"));
    let (of_all, of_logs) = (all.start(), logs.start());
    let worker = of_all.wait_ready();
    of_logs.wait_ready();
    disk.freeze();
    let state = || read_to_string(format!("/proc/{}/stat", of_all.pid())).unwrap_or_default();
    wait_until("a supervisor that waits for its disk", LIMIT, || state().contains(") D "));
    // The worker of the one that stands, and all of the other.
    for _ in 0..3 {
        request(all.port().number(), "GET", "/").expect("an answer of the worker");
    }
    let updated = || logs.status()?["updated_ms"].as_u64();
    for _ in 0..3 {
        let before = updated();
        wait_until("another status", LIMIT, || updated() > before);
    }
    assert_eq!(of_logs.stop(), 0);
    disk.thaw();
    wait_until("a supervisor that goes on", LIMIT, || !state().contains(") D "));
    assert_eq!(of_all.worker_pid(), worker);
    assert_eq!(of_all.stop(), 0);
    assert_eq!(all.report().starts().len(), 1, "{}", all.story());
}

/// A file system of its own in a file. Thawed and unmounted when it is dropped.
struct Disk {
    mount: PathBuf,
    _dir: TempDir,
}

impl Disk {
    /// None: this user may not mount one. Root may: there, nothing is an excuse.
    fn new() -> Option<Disk> {
        if !support::is_root_to("mount a file system") {
            return None;
        }
        let dir = TempDir::new();
        let (image, mount) = (dir.join("image"), dir.join("mount"));
        File::create(&image).and_then(|file| file.set_len(16 * 1024 * 1024)).expect("an image");
        create_dir(&mount).expect("a directory");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mount]));
        Some(Disk { mount, _dir: dir })
    }

    fn freeze(&self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.mount));
    }

    fn thaw(&self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.mount));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may be thawed already; what still runs of a test that failed keeps it until it ends.
        drop(Command::new("fsfreeze").arg("--unfreeze").arg(&self.mount).output());
        drop(Command::new("umount").arg("--lazy").arg(&self.mount).output());
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
