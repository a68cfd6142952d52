//! The record of the worker on Linux: what strace's delays prove about its moment.
#![cfg(target_os = "linux")]

mod support;

use std::fs::read_to_string;
use std::time::Duration;

use support::{Scene, process_alive, wait_until};

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
