//! The record of the worker on Linux: what strace's delays prove about its moments.
#![cfg(target_os = "linux")]

mod support;

use std::fs::read_to_string;
use std::time::Duration;

use support::words::{ADOPTED, STARTED};
use support::{LIMIT, Scene, process_alive, wait_for, wait_until};

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
    let child = || support::children_of(first.pid()).pop();
    let orphan = wait_for("the new process", LIMIT, || scene.story(), child);
    first.kill();
    let second = scene.start();
    assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={orphan}")), "{}", scene.story());
    second.wait_for_log(STARTED);
    assert!(!process_alive(orphan));
}
