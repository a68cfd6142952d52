//! The record of the worker on Linux: what strace's delays prove about its moments.
#![cfg(target_os = "linux")]

mod support;

use std::fs::read_to_string;
use std::time::Duration;

use support::words::{ADOPTED, DIED, STARTED};
use support::{LIMIT, Scene, children_of, process_alive, wait_for, wait_until};

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
    let scene = Scene::new().worker(&["--no-listen"]);
    // The new process is held up before its program, in the memory of the supervisor that is killed meanwhile.
    let delayed = ["-e", "inject=execve:delay_enter=1500000"];
    let trace = scene.file("trace");
    let first = scene.start_with(&mut support::traced_with(&scene, &trace, "execve", &delayed));
    let record = || read_to_string(scene.file("state/worker/worker.json")).unwrap_or_default();
    wait_until("a launch on record", LIMIT, || record().contains("launching"));
    let child = || children_of(first.pid()).pop();
    let orphan = wait_for("the new process", LIMIT, || scene.story(), child);
    first.kill();
    let second = scene.start();
    assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={orphan}")), "{}", scene.story());
    second.wait_for_log(STARTED);
    assert!(!process_alive(orphan));
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
