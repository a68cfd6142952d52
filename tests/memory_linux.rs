//! Memory, by the kernel's account: what a supervisor holds once its worker is well.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{read_to_string, remove_file, write};

use support::{Scene, Signal};

/// How much of its program and libraries a process has in memory, in KiB: RssFile, proc_pid_status(5).
fn code_kib(pid: i32) -> u64 {
    let status = read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("Linux 4.5 or newer");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn code_of_start_and_reload_is_given_back_once_the_worker_is_ready() {
    let scene = Scene::new();
    let hang = scene.file("switch");
    let scene = scene.worker(&["--hang-while", &hang.display().to_string()]).set("health_timeout_secs", "0.3");
    let supervisor = scene.start();
    for nth in 1..=2 {
        write(&hang, "").expect("a file");
        if nth == 2 {
            supervisor.signal(Signal::SIGUSR1);
        }
        scene.wait_for_events("start", nth);
        let before = code_kib(supervisor.pid());
        remove_file(&hang).expect("the file");
        supervisor.wait_nth_ready(nth);
        let after = code_kib(supervisor.pid());
        assert!(after < before, "{before} KiB before, {after} KiB after");
    }
}
