//! Answers that no worker should give: each is judged right, inside its deadline, and none harms the supervisor.
//! One supervisor gets them all in turn: the worker answers what a file says, and the status file tells the verdict.

mod support;

use std::fs::{remove_file, rename, write};
use std::path::PathBuf;
use std::time::Duration;

use support::words::{SYNC_FAILED, SYNCED, UNHEALTHY};
use support::{LIMIT, Scene, Supervisor, descriptors_of, process_alive, wait_for, wait_until};

/// In the bytes of the fixture's `--raw`: a pause, and as the last one a reset or silence in place of a close.
const PAUSE: &str = "\u{1e}";
const RESET: &str = "\u{04}";
const SILENCE: &str = "\u{05}";

/// The usual answer, which each hostile one is followed by.
const WELL: &str = "status 200";

/// A supervisor whose worker answers from a file, and is not replaced whatever it answers.
struct Stage {
    scene: Scene,
    raw: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let scene = Scene::new();
        let raw = scene.file("raw");
        let path = raw.display().to_string();
        let scene = scene.worker(&["--raw", &path]).set("health_interval_secs", "0.02");
        let scene = scene.set("health_failures_before_restart", 1000).set("health_timeout_secs", 1);
        Self { scene, raw }
    }

    /// The last probe's result and whether it was healthy, and when it was.
    fn last_probe(&self) -> Option<(u64, bool, String)> {
        let status = self.scene.status()?;
        let probe = &status["last_probe"];
        Some((probe["at_ms"].as_u64()?, probe["healthy"].as_bool()?, probe["result"].as_str()?.to_owned()))
    }

    /// Makes the worker answer these bytes, waits for a probe that got them, and returns its result.
    #[track_caller]
    fn verdict_on(&self, bytes: &[u8]) -> (bool, String) {
        let new = self.scene.file("raw.new");
        write(&new, bytes).expect("a file");
        rename(&new, &self.raw).expect("a rename");
        let verdict = self.next_verdict(|result| result != WELL);
        remove_file(&self.raw).expect("the file");
        self.next_verdict(|result| result == WELL);
        verdict
    }

    #[track_caller]
    fn next_verdict(&self, is_awaited: impl Fn(&str) -> bool) -> (bool, String) {
        let look = || self.last_probe().filter(|(_, _, result)| is_awaited(result));
        let (_, is_healthy, result) = wait_for("a probe's verdict", LIMIT, || self.scene.story(), look);
        (is_healthy, result)
    }
}

#[track_caller]
fn assert_all(supervisor: &Supervisor<'_>, stage: &Stage, rows: &[(&str, String, bool, &str)]) {
    let worker = supervisor.wait_ready();
    // The log is ahead of the status, which may still tell of a start-up's refused probe.
    stage.next_verdict(|result| result == WELL);
    for (name, bytes, healthy, expected) in rows {
        let (is_healthy, result) = stage.verdict_on(bytes.as_bytes());
        assert_eq!(is_healthy, *healthy, "{name}: {result}");
        assert!(result.contains(expected), "{name}: {result}");
    }
    assert!(process_alive(worker));
    assert_eq!(supervisor.lines_with(UNHEALTHY), Vec::<String>::new());
}

/// A row whose answer has a status.
fn heard(name: &'static str, bytes: impl Into<String>, status: u16) -> (&'static str, String, bool, &'static str) {
    let result = if status < 500 { "status 2" } else { "status 5" };
    (name, bytes.into(), status < 500, result)
}

/// A row whose answer has none.
fn unheard(
    name: &'static str,
    bytes: impl Into<String>,
    why: &'static str,
) -> (&'static str, String, bool, &'static str) {
    (name, bytes.into(), false, why)
}

#[test]
fn answers_whose_status_can_be_heard_count_by_it() {
    let stage = Stage::new();
    let supervisor = stage.scene.start();
    let head = "HTTP/1.1 204 No Content\r\nX: y\r\n";
    assert_all(
        &supervisor,
        &stage,
        &[
            heard(
                "split in the status line",
                format!("HT{PAUSE}TP/1.{PAUSE}1 20{PAUSE}4 N{PAUSE}o\r{PAUSE}\n\r\n"),
                204,
            ),
            heard("split in the headers", format!("{head}{PAUSE}A: b{PAUSE}\r\n\r{PAUSE}\n"), 204),
            heard("bare line feeds, HTTP/1.0, no reason", "HTTP/1.0 204\n\n", 204),
            heard("blank lines first", "\r\n\r\nHTTP/1.1 204 x\r\n\r\n", 204),
            heard(
                "two interim answers",
                format!("HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 100 C\r\n\r\n{head}\r\n"),
                204,
            ),
            heard("no body where one was promised", "HTTP/1.1 206 x\r\nContent-Length: 10\r\n\r\n", 206),
            heard("a body longer than promised", "HTTP/1.1 206 x\r\nContent-Length: 1\r\n\r\nabcdef", 206),
            heard("two lengths", "HTTP/1.1 206 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 206),
            heard("a length that is none", "HTTP/1.1 206 x\r\nContent-Length: -7\r\n\r\nab", 206),
            heard("chunks that are none", "HTTP/1.1 206 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 206),
            heard("a chunk of 2^64", "HTTP/1.1 206 x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 206),
            heard("silence after the head", format!("{head}Content-Length: 9\r\n\r\n{SILENCE}"), 204),
            heard("a reset after the head", format!("{head}\r\n{PAUSE}{RESET}"), 204),
            heard("a head beyond its limit", format!("{head}{}", "A: b\r\n".repeat(5000)), 204),
            heard("a thousand headers", format!("{head}{}\r\n", "A: b\r\n".repeat(1000)), 204),
            heard("a body of 3 MB", format!("{head}\r\n{}", "x".repeat(3 << 20)), 204),
            heard("trouble, told in full", "HTTP/1.1 503 x\r\nContent-Length: 1\r\n\r\nx", 503),
            heard("trouble, then a reset", format!("HTTP/1.1 503 x\r\n\r\n{PAUSE}{RESET}"), 503),
        ],
    );
}

#[test]
fn answers_without_a_status_are_failures_with_a_reason() {
    let stage = Stage::new();
    let supervisor = stage.scene.start();
    let no_http = "answered something that is not HTTP";
    let interim = "HTTP/1.1 103 x\r\n\r\n";
    assert_all(
        &supervisor,
        &stage,
        &[
            unheard("nothing", "", "closed the connection without an answer"),
            unheard("half a status line", "HTTP/1.1 2", "closed the connection in the middle of its answer"),
            unheard("half a head", "HTTP/1.1 200 OK\r\nA: ", "closed the connection in the middle of its answer"),
            unheard("only interim answers", interim, "closed the connection in the middle of its answer"),
            unheard("a storm of interim answers", interim.repeat(300), "sent more than 8 interim answers"),
            unheard("another version", "HTTP/2.0 200 OK\r\n\r\n", no_http),
            unheard("another protocol", "SSH-2.0-OpenSSH_9\r\n", no_http),
            unheard("TLS", "\u{16}\u{3}\u{1} hello", no_http),
            unheard("HTML at once", "<!doctype html><html>", no_http),
            unheard("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", no_http),
            unheard("blank lines without end", "\r\n".repeat(20_000), "without a final status line"),
            unheard(
                "a status line without end",
                format!("HTTP/1.1 200 {}", "x".repeat(40_000)),
                "without a final status line",
            ),
            unheard("a reset at once", RESET, "connection reset"),
            unheard("a reset in the status line", format!("HTTP/1.1{PAUSE}{RESET}"), "connection reset"),
            unheard("a reset in the head", format!("HTTP/1.1 200 OK\r\nA: b{PAUSE}{RESET}"), "connection reset"),
            unheard("silence at once", SILENCE, "no answer within 1 s"),
            unheard("silence in the status line", format!("HTTP/1.1{SILENCE}"), "no answer within 1 s"),
            unheard("silence in the head", format!("HTTP/1.1 200 OK\r\nA: b\r\n{SILENCE}"), "no answer within 1 s"),
            unheard("a drop now and then", format!("H{PAUSE}T{}", PAUSE.repeat(60)), "no answer within 1 s"),
        ],
    );
}

#[test]
fn hostile_answers_leave_no_descriptor_and_no_memory_of_themselves() {
    let stage = Stage::new();
    let supervisor = stage.scene.start();
    supervisor.wait_ready();
    let before = descriptors_of(supervisor.pid());
    for _ in 0..5 {
        let (is_healthy, _) = stage.verdict_on(format!("HTTP/1.1{PAUSE}{RESET}").as_bytes());
        assert!(!is_healthy);
        let (is_healthy, _) = stage.verdict_on(b"HTTP/1.1 206 x\r\n\r\n");
        assert!(is_healthy);
    }
    // A probe has a descriptor while it is under way.
    wait_until("as many descriptors as before", LIMIT, || descriptors_of(supervisor.pid()) <= before);
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn hostile_worker_is_never_ready_and_is_replaced() {
    for flag in ["--garbage", "--reset", "--close", "--hang"] {
        let scene = Scene::new().worker(&["--life", flag, "--life"]);
        let scene = scene.set("health_timeout_secs", "0.2").set("startup_timeout_secs", "0.5");
        let supervisor = scene.start();
        let ready = supervisor.wait_ready();
        assert_eq!(scene.report().workers()[1..], [ready], "{flag}");
    }
}

#[test]
fn strange_but_healthy_worker_is_ready() {
    for flag in ["--endless", "--big-head", "--interim", "--bare", "--reset-after", "--chunked"] {
        let scene = Scene::new().worker(&[flag]).set("health_interval_secs", "0.02");
        let supervisor = scene.start();
        supervisor.wait_ready();
        wait_until("more probes", LIMIT, || scene.report().requests("GET").len() > 5);
        assert_eq!(scene.report().starts().len(), 1, "{flag}");
        assert_eq!(supervisor.lines_with(support::words::PROBE_FAILED), Vec::<String>::new(), "{flag}");
    }
}

#[test]
fn hostile_answer_to_a_registration_is_a_failed_registration_and_no_more() {
    for (bytes, told) in [
        ("HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\nzz", "status 500"),
        ("SSH-2.0-x\r\n", "not HTTP"),
        ("HTTP/1.1 200", "in the middle of its answer"),
        ("\u{04}", "connection reset"),
    ] {
        let scene = Scene::new();
        let raw = scene.file("raw");
        let path = raw.display().to_string();
        // The health request comes first, and is answered well.
        let scene = scene.worker(&["--raw-sync", &path]).set("sync_endpoint", "\"/\"");
        write(&raw, bytes).expect("a file");
        let supervisor = scene.start();
        let line = supervisor.wait_for_log(SYNC_FAILED);
        assert!(line.contains(told), "{line}");
        remove_file(&raw).expect("the file");
        supervisor.wait_for_log(SYNCED);
        assert_eq!(scene.report().starts().len(), 1);
    }
}

#[test]
fn body_without_an_end_does_not_hold_up_a_registration() {
    let scene = Scene::new();
    let raw = scene.file("raw");
    let path = raw.display().to_string();
    let scene = scene.worker(&["--raw-sync", &path]).set("sync_endpoint", "\"/\"");
    write(&raw, format!("HTTP/1.1 200 OK\r\n\r\n{}{SILENCE}", "x".repeat(3 << 20))).expect("a file");
    let began = std::time::Instant::now();
    scene.start().wait_for_log(SYNCED);
    // Its own deadline is 15 s.
    assert!(began.elapsed() < Duration::from_secs(14));
}
