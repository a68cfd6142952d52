//! The record of the worker on Linux: what strace's delays prove about its moments.
#![cfg(target_os = "linux")]

mod support;

use std::fs::read_to_string;
use std::time::Duration;

use support::words::{ADOPTED, DIED, STARTED};
use support::{LIMIT, Scene, Signal, children_of, process_alive, send_signal, wait_for, wait_until};

#[test]
fn worker_is_on_record_before_it_is_first_probed() {
    let scene = Scene::new();
    // The first connection is the first probe. It is held up for four seconds, of which the record may not take two.
    let delayed = ["-e", "inject=connect:delay_enter=4000000:when=1"];
    let trace = scene.file("trace");
    let first = scene.start_with(&mut support::traced_with(&scene, &trace, "connect", &delayed));
    let orphan = first.worker_pid();
    let record = || read_to_string(scene.file("state/worker/worker.json")).unwrap_or_default();
    wait_until("the record of the worker", Duration::from_secs(2), || record().contains(&format!(":{orphan},")));
    first.kill();
    assert!(process_alive(orphan));
    let second = scene.start();
    second.wait_ready();
    assert!(!process_alive(orphan));
}

#[test]
fn worker_that_has_not_executed_its_program_yet_is_found() {
    // The first of a supervisor, and one that comes after another, also where the record of that one was removed.
    for (before, is_removed) in [(0, false), (1, false), (1, true)] {
        let scene = Scene::new().worker(&["--no-listen"]).set("restart_backoff_min_secs", "0.1");
        // The new process is held up before its program, in the memory of the supervisor that is killed meanwhile.
        let delayed = ["-e", "inject=execve:delay_enter=1500000"];
        let trace = scene.file("trace");
        let first = scene.start_with(&mut support::traced_with(&scene, &trace, "execve", &delayed));
        let record = || read_to_string(scene.file("state/worker/worker.json")).unwrap_or_default();
        wait_until("a launch on record", LIMIT, || record().contains("next"));
        for nth in 1..=before {
            let worker = scene.wait_for_events("start", nth)[nth - 1].pid();
            wait_until("the record of the worker", LIMIT, || record().contains(&format!("\"pid\":{worker},")));
            if is_removed {
                std::fs::remove_file(scene.file("state/worker/worker.json")).expect("removed");
            }
            send_signal(worker, Signal::SIGKILL);
            wait_until("the end of the worker", LIMIT, || !process_alive(worker));
        }
        let child = || children_of(first.pid()).into_iter().find(|pid| process_alive(*pid));
        let orphan = wait_for("the new process", LIMIT, || scene.story(), child);
        first.kill();
        let second = scene.start();
        assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={orphan}")), "{}", scene.story());
        second.wait_for_log(STARTED);
        assert!(!process_alive(orphan));
    }
}

#[test]
fn next_worker_waits_for_the_last_one_to_be_reaped_only_if_that_has_left_somebody() {
    for (arguments, waits) in [(&[][..], false), (&["--life", "--fork-child", "--life"], true)] {
        let scene = Scene::new().set("stable_secs", 0).worker(arguments);
        let trace = scene.file("trace");
        let calls = "clone,clone3,fork,vfork,waitid,wait4,pwrite64";
        let supervisor = scene.start_with(&mut support::traced(&scene, &trace, calls));
        let worker = supervisor.wait_ready();
        send_signal(worker, Signal::SIGKILL);
        supervisor.wait_nth_ready(2);
        let is_seen = |call: &String| call.starts_with("waitid") && call.contains(&format!("si_pid={worker},"));
        let is_reaped = |call: &String| call.starts_with(&format!("wait4({worker},"));
        let calls = support::calls_of(&trace, supervisor.pid(), |calls| calls.iter().any(is_reaped));
        let seen_at = calls.iter().position(is_seen).expect("a look");
        let reaped_at = calls.iter().position(is_reaped).expect("reaped");
        let spawned_at = seen_at + calls[seen_at..].iter().position(|call| support::is_fork(call)).expect("a spawn");
        assert_eq!(reaped_at < spawned_at, waits, "{arguments:?}: {calls:#?}");
        let written = calls[seen_at..spawned_at].iter().filter(|call| call.starts_with("pwrite64"));
        assert_eq!(written.count(), 0, "the record says already who comes next: {calls:#?}");
        assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists(), "not even as a zombie");
    }
}

#[test]
fn orphans_are_reaped_also_by_a_supervisor_that_is_the_first_process_of_a_container() {
    if !support::is_root_to("make a process namespace") {
        return;
    }
    let orphans = "for i in 1 2 3 4 5; do (setsid sh -c 'exit 3' &); (setsid sleep 0.1 &); done; exec sleep 3600";
    let scene = Scene::new().command(&["/bin/sh", "-c", orphans]).set("startup_timeout_secs", 3600);
    let supervisor = scene.start_with(&mut first_of_a_container(&scene));
    supervisor.wait_for_log(STARTED);
    let first = children_of(supervisor.pid())[0];
    let is_worker =
        |pid: i32| read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with("3600\0"));
    // A zombie would be one too.
    wait_until("no child but the worker, which has started all others", LIMIT, || {
        let children = children_of(first);
        children.len() == 1 && is_worker(children[0])
    });
    supervisor.kill();
}

#[test]
fn a_supervisor_that_is_the_first_process_of_a_container_spares_its_worker_after_one_that_was_killed() {
    if !support::is_root_to("make a process namespace") {
        return;
    }
    let scene = Scene::new().set("end_detached", true);
    // Whether the worker could be taken for a predecessor's shows in how far its exec has come.
    for start in 1..=5 {
        let supervisor = scene.start_with(&mut first_of_a_container(&scene));
        supervisor.wait_ready();
        assert_eq!(supervisor.lines_with(DIED), [""; 0], "start {start}");
        supervisor.kill();
    }
}

/// The program as process 1 of a namespace, which ends with it.
fn first_of_a_container(scene: &Scene) -> std::process::Command {
    let program = scene.program();
    let mut command = std::process::Command::new("unshare");
    let options = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    command.args(options).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    command
}
