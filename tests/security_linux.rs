//! What Linux tells of a process that keeps secrets: no core dump, no listening socket, nothing handed down.
#![cfg(target_os = "linux")]

mod support;

use std::collections::HashSet;
use std::fs::{read_dir, read_link, read_to_string};

use support::Scene;

#[test]
fn supervisor_leaves_no_core_dump() {
    let scene = Scene::new();
    // Whoever starts it allows dumps.
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE).expect("a limit");
    assert!(hard > 0, "no process of this machine may dump core: this test can prove nothing here");
    let program = scene.program();
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "ulimit -S -c $(ulimit -H -c); exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    let supervisor = scene.start_with(&mut command);
    let worker = supervisor.wait_ready();
    let soft = |pid| {
        let limits = read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the limit").to_owned();
        line.split_whitespace().nth(4).expect("the soft limit").to_owned()
    };
    assert_eq!(soft(supervisor.pid()), "0");
    // Its environment holds the secrets.
    assert_eq!(soft(worker), "0");
}

#[test]
fn supervisor_listens_nowhere() {
    let scene = Scene::new().set("sync_endpoint", "\"/sync\"");
    let supervisor = scene.start();
    supervisor.wait_ready();
    supervisor.wait_for_log(support::words::SYNCED);
    let listening: HashSet<String> = ["tcp", "tcp6"].into_iter().flat_map(inodes_that_listen).collect();
    assert!(!listening.is_empty(), "the worker listens");
    let ours = read_dir(format!("/proc/{}/fd", supervisor.pid())).expect("its descriptors");
    for entry in ours {
        let Ok(target) = read_link(entry.expect("an entry").path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        assert!(!listening.contains(&target), "{target}");
        // Nor a socket of another kind by which it could be told anything.
        let unix = read_to_string("/proc/net/unix").expect("the table");
        let inode = target.trim_start_matches("socket:[").trim_end_matches(']');
        assert!(
            !target.starts_with("socket:") || !unix.lines().any(|line| line.split_whitespace().nth(6) == Some(inode))
        );
    }
}

fn inodes_that_listen(table: &str) -> Vec<String> {
    let text = read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&"0A")).map(|row| format!("socket:[{}]", row[9])).collect()
}
