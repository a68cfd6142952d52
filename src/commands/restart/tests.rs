//! What becomes of a restart, told from two looks at the status file.

use super::*;
use crate::supervise::report::status::{Exit, Probe};

const SINCE_MS: u64 = 1_000_000;

fn status(state: &str, generation: u64, since_ms: u64) -> Status {
    let (state, updated_ms) = (state.into(), since_ms);
    Status { supervisor_pid: 7, state, generation, since_ms, updated_ms, ..Status::default() }
}

fn before(state: &str) -> Before {
    Before { supervisor_pid: 7, signalled_ms: SINCE_MS + 10, status: Some(status(state, 3, SINCE_MS)) }
}

fn waits(before: &Before, now: &Status) -> bool {
    matches!(judge(before, now), Outcome::Waiting(_))
}

#[test]
fn only_a_newer_worker_that_is_healthy_is_a_success() {
    let before = before("running");
    let running = |generation, healthy| Status { healthy, ..status("running", generation, SINCE_MS + 50) };
    assert!(waits(&before, &running(3, true)), "the old worker, still healthy");
    assert!(waits(&before, &running(4, false)), "a new one, not healthy");
    assert_eq!(judge(&before, &running(4, true)), Outcome::Ready);
    assert_eq!(judge(&before, &running(5, true)), Outcome::Ready);
}

#[test]
fn every_step_on_the_way_is_waited_for() {
    let before = before("running");
    for state in ["draining", "killing", "launching", "leasing-secrets", "clearing-port"] {
        let now = status(state, 3, SINCE_MS + 50);
        assert_eq!(judge(&before, &now), Outcome::Waiting(step(&now)));
    }
    let draining = Status { pid: Some(4711), ..status("draining", 3, SINCE_MS + 50) };
    assert_eq!(step(&draining), "draining, waiting for pid 4711 to finish its requests");
    assert!(waits(&before, &status("starting", 4, SINCE_MS + 50)));
    assert!(waits(&before, &Status::default()), "no file yet");
}

#[test]
fn a_pause_that_began_before_the_signal_is_no_failure() {
    let before = before("backing-off");
    assert!(waits(&before, &status("backing-off", 3, SINCE_MS)));
    assert!(matches!(judge(&before, &status("backing-off", 3, SINCE_MS + 50)), Outcome::Failed(_)));
    let failed_again = Status { failed_starts: 1, ..status("backing-off", 3, SINCE_MS) };
    assert!(matches!(judge(&before, &failed_again), Outcome::Failed(_)));
}

#[test]
fn a_port_that_is_waited_for_is_told_at_once() {
    let now = Status {
        address: "127.0.0.1:3111".into(),
        port_holder: Some("pid 7 (bun, user joe)".into()),
        ..status("awaiting-port", 3, SINCE_MS + 50)
    };
    let reason = "port 127.0.0.1:3111 is held by pid 7 (bun, user joe); the worker starts when it is free";
    assert_eq!(judge(&before("running"), &now), Outcome::Failed(reason.into()));
    assert_eq!(judge(&before("awaiting-port"), &now), Outcome::Failed(reason.into()));
    let not_looked_at = Status { updated_ms: SINCE_MS, ..now };
    assert!(waits(&before("awaiting-port"), &not_looked_at));
}

#[test]
fn a_launch_that_failed_says_why_and_what_comes_next() {
    let now = Status {
        problem: Some("cannot find program \"bun\" in PATH".into()),
        next_step: Some("start the worker".into()),
        next_deadline_ms: Some(SINCE_MS + 50 + 2_000),
        ..status("backing-off", 3, SINCE_MS + 50)
    };
    let reason = "cannot find program \"bun\" in PATH; the supervisor will start the worker in 2.0 s";
    assert_eq!(judge(&before("running"), &now), Outcome::Failed(reason.into()));
}

#[test]
fn a_new_worker_that_died_is_told_with_its_last_words() {
    let exit = Exit {
        generation: 4,
        reason: "exit code 1".into(),
        uptime_ms: Some(250),
        stderr: Some("Error: boom".into()),
        ..Exit::default()
    };
    let now = Status { last_exit: Some(exit), ..status("backing-off", 4, SINCE_MS + 50) };
    let reason = "the new worker ended after 250 ms: exit code 1: Error: boom";
    assert_eq!(judge(&before("running"), &now), Outcome::Failed(reason.into()));
}

#[test]
fn a_new_worker_that_is_drained_before_it_was_healthy_has_failed_if_a_pause_follows() {
    let before = before("running");
    let exit = |generation| Exit { generation, asked_for: true, reason: "SIGTERM".into(), ..Exit::default() };
    let probe = Probe { result: "status 503".into(), ..Probe::default() };
    let drained = |state, generation, ended| Status {
        last_exit: Some(exit(ended)),
        last_probe: Some(probe.clone()),
        ..status(state, generation, SINCE_MS + 50)
    };
    assert!(waits(&before, &drained("draining", 4, 3)));
    let reason = "the new worker did not become healthy: status 503";
    assert_eq!(judge(&before, &drained("backing-off", 4, 4)), Outcome::Failed(reason.into()));
    let next = Status { healthy: true, ..drained("running", 5, 4) };
    assert_eq!(judge(&before, &next), Outcome::Ready, "it was in the way of another restart");
}

#[test]
fn without_a_file_from_before_a_worker_is_new_if_it_started_after_the_signal() {
    let before = Before { supervisor_pid: 7, signalled_ms: SINCE_MS, status: None };
    let running = |started_ms| Status { healthy: true, started_ms, ..status("running", 1, SINCE_MS + 50) };
    assert!(waits(&before, &running(None)));
    assert!(waits(&before, &running(Some(SINCE_MS - 1))));
    assert_eq!(judge(&before, &running(Some(SINCE_MS))), Outcome::Ready);
}

#[test]
fn another_supervisor_ends_the_wait() {
    let now = Status { supervisor_pid: 8, ..status("running", 1, SINCE_MS + 50) };
    assert!(matches!(judge(&before("running"), &now), Outcome::Failed(_)));
}

#[test]
fn a_supervisor_that_writes_nothing_has_not_reacted() {
    assert!(!has_reacted(&before("running"), &status("running", 3, SINCE_MS)));
    assert!(has_reacted(&before("running"), &status("draining", 3, SINCE_MS + 1)));
    assert!(has_reacted(&before("draining"), &status("draining", 3, SINCE_MS)));
    let unseen = Before { supervisor_pid: 7, signalled_ms: SINCE_MS, status: None };
    assert!(!has_reacted(&unseen, &Status::default()));
    assert!(has_reacted(&unseen, &status("running", 1, SINCE_MS)));
}

#[test]
fn silence_is_explained_by_a_state_directory_that_cannot_be_written() {
    let root = std::env::temp_dir().join(format!("ws-silence-{}", std::process::id()));
    let dir = StateDir::open(&root, "demo").unwrap();
    assert!(silence(&dir, 7).contains("does not react"), "{}", silence(&dir, 7));
    std::fs::remove_dir_all(root).unwrap();
    assert!(silence(&dir, 7).starts_with("cannot write in "), "{}", silence(&dir, 7));
}
