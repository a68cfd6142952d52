//! Full disks: logs and state on a tmpfs of 64 KiB, in a mount namespace that the supervisor has to itself.
//! Where the system allows no such namespace, the tests say so and pass.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::words::{DIED, ENDED, ERROR};
use support::{
    LIMIT, Scene, Signal, Supervisor, quoted, request, same_surroundings, send_signal, wait_for, wait_until,
};

const NAMESPACE: [&str; 3] = ["--user", "--map-root-user", "--mount"];

fn can_mount() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(NAMESPACE).args(["mount", "-t", "tmpfs", "none", "/mnt"]);
    let is_possible = unshare.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_possible {
        assert!(!nix::unistd::geteuid().is_root(), "root may always make a mount namespace");
        println!("skipped: no mount namespace to be had");
    }
    is_possible
}

/// Starts the supervisor with a small disk on `disk` in the scene, after a shell has run `prepare` there.
fn start_on_small_disk<'a>(scene: &'a Scene, prepare: &str) -> Supervisor<'a> {
    let program = scene.program();
    let script = format!("mount -t tmpfs -o size=64k none disk && {prepare}; exec \"$0\" \"$@\"");
    let mut unshare = Command::new("unshare");
    unshare.args(NAMESPACE).args(["/bin/sh", "-c", &script]).arg(program.get_program()).args(program.get_args());
    same_surroundings(&mut unshare, &program);
    scene.start_with(&mut unshare)
}

/// A path on the supervisor's disk, as others reach it.
fn on_disk(supervisor: &Supervisor<'_>, scene: &Scene, name: &str) -> PathBuf {
    let inside = scene.file("disk").join(name);
    let relative = inside.strip_prefix("/").expect("an absolute path");
    Path::new("/proc").join(supervisor.pid().to_string()).join("root").join(relative)
}

#[test]
fn logs_on_a_full_disk_cost_the_output_and_neither_worker_nor_supervisor() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new().set("stable_secs", 0).set("log_max_bytes", 4096).set("log_keep", 1);
    fs::create_dir(scene.file("disk")).expect("a directory");
    let log = scene.file("disk/worker.log");
    let scene = scene.set("log_stdout", quoted(&log)).set("log_stderr", quoted(&log));
    let supervisor = start_on_small_disk(&scene, "true");
    let first = supervisor.wait_ready();
    assert_eq!(request(scene.port().number(), "GET", "/print/200000").expect("the worker lives").status, 200);
    let warning = supervisor.wait_for_log(&format!("cannot rotate {log:?}: "));
    assert!(warning.contains("No space left on device") && warning.contains("; it goes on growing"), "{warning}");
    let disk = on_disk(&supervisor, &scene, "");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&disk).expect("the disk can be listed");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    wait_until("a disk without a half copy", LIMIT, || !names().contains(&"worker.log.new".to_owned()));
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    assert_ne!(first, second);
    supervisor.wait_for_log(DIED);
    assert_eq!(supervisor.lines_with(ERROR), Vec::<String>::new());
    assert_eq!(supervisor.stop(), 0);
    let warnings = supervisor.lines_with("cannot rotate").len();
    assert!(warnings <= 6, "{warnings} times the same\n{}", supervisor.stderr());
}

#[test]
fn state_on_a_full_disk_is_missed_and_written_once_there_is_room() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    fs::create_dir(scene.file("disk")).expect("a directory");
    let state = quoted(scene.file("disk/state"));
    let scene = scene.set("state_dir", state);
    let fill = "{ head -c 200000 /dev/zero >disk/filler 2>/dev/null || true; }";
    let supervisor = start_on_small_disk(&scene, fill);
    let warning = supervisor.wait_for_log("cannot write status file in ");
    assert!(warning.contains("No space left on device") && warning.contains("; the old one stays"), "{warning}");
    supervisor.wait_for_log("cannot start the worker: cannot record the worker in ");
    let status = || fs::read_to_string(on_disk(&supervisor, &scene, "state/worker/status.json")).ok();
    assert_eq!(status(), None);
    fs::remove_file(on_disk(&supervisor, &scene, "filler")).expect("a file");
    let worker = supervisor.wait_ready();
    let is_told = |text: &String| text.contains(&format!("\"pid\":{worker},"));
    wait_for("a status file", LIMIT, || scene.story(), || status().filter(is_told));
    let record = || fs::read_to_string(on_disk(&supervisor, &scene, "state/worker/worker.json")).ok();
    wait_for("a record of the worker", LIMIT, || scene.story(), || record().filter(is_told));
    assert_eq!(supervisor.stop(), 0);
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0"));
}

#[test]
fn log_of_a_writer_that_does_not_append_is_rotated_by_its_data_and_told_once() {
    // Opened anew through /proc, a file has an offset of its own, and no O_APPEND.
    let script =
        "exec 3>/dev/stdout; trap 'exit 0' TERM; i=0; while sleep 0.02; do i=$((i+1)); printf '%063d\\n' $i >&3; done";
    let scene = Scene::new().command(&["/bin/sh", "-c", script]).set("startup_timeout_secs", 3600);
    let scene = scene.set("log_max_bytes", 4096).set("log_keep", 3);
    let supervisor = scene.start();
    let copies = || (1..=3).rev().map(|number| scene.file(&format!("worker.log.{number}")));
    wait_until("three rotations", LIMIT, || copies().all(|copy| copy.exists()));
    let numbers = |path: PathBuf| -> Vec<u64> {
        let text = fs::read(&path).expect("a copy");
        assert!(!text.contains(&0), "{path:?} has NULs");
        text.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok()).collect()
    };
    for copy in copies() {
        let numbers = numbers(copy);
        // One health check is as long as some lines take.
        assert!((64..200).contains(&numbers.len()), "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    }
    assert_eq!(supervisor.lines_with("is not opened for appending").len(), 1, "{}", supervisor.stderr());
    assert_eq!(supervisor.stop(), 0);
}
