//! The fixture worker does what it says: other tests rely on it.

use worker_supervisor::config::Config;

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use support::{
    ApiStandIn, Fixture, Scene, Signal, connect, free_port, group_of, is_listening, process_alive, request, wait_until,
    worker_program,
};

#[test]
fn default_worker_is_healthy_and_registers() {
    let port = free_port();
    let _worker = Fixture::listening(&port, &[]);
    assert_eq!(request(port.number(), "GET", "/").expect("an answer").status, 200);
    let answer = request(port.number(), "PUT", "/api/inngest").expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("\"modified\":true"), "{answer:?}");
}

#[test]
fn start_tells_what_was_inherited() {
    let worker = Fixture::listening(&free_port(), &[]);
    let start = worker.wait_for_events("start", 1).remove(0);
    assert_eq!(start.pid(), worker.pid());
    assert_eq!(start.number::<u32>("ppid"), std::process::id());
    assert_eq!(start.number::<i32>("pgid"), group_of(worker.pid()).expect("it runs"));
    // Whoever runs the tests may hand down more than nothing; the runtime's own SIGPIPE must not show.
    assert!(!start.field("ignored").contains("PIPE"), "{start:?}");
    assert!(start.field("fds").starts_with("0,1,2"), "{start:?}");
    assert!(!start.field("mask").contains("TERM"), "{start:?}");
    assert_eq!(start.field("stdin"), "null");
    assert!(start.number::<u64>("born_ns") <= start.mono_ns());
}

#[test]
fn blocked_signal_is_told_and_stays_blocked() {
    use nix::sys::signal::SigSet;
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTERM);
    let port = free_port();
    // The mask belongs to this thread, which ends with the test.
    blocked.thread_block().expect("SIGTERM can be blocked");
    let worker = Fixture::listening(&port, &[]);
    assert!(worker.wait_for_events("start", 1)[0].field("mask").contains("TERM"));
    worker.signal(Signal::SIGTERM);
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.wait_exit().code(), Some(0));
    assert_eq!(worker.report().signals_of(worker.pid()), ["INT"]);
}

#[test]
fn term_lets_the_running_request_finish() {
    let port = free_port();
    let worker = Fixture::listening(&port, &[]);
    let number = port.number();
    let client = std::thread::spawn(move || request(number, "GET", "/wait/0.3"));
    worker.wait_for_events("request", 1);
    worker.signal(Signal::SIGTERM);
    assert_eq!(client.join().expect("the client ends").expect("an answer").status, 200);
    assert_eq!(worker.wait_exit().code(), Some(0));
    let report = worker.report();
    assert_eq!(report.signals_of(worker.pid()), ["TERM"]);
    assert_eq!(report.of("exit").len(), 1);
}

#[test]
fn term_is_ignored_when_told_so() {
    let worker = Fixture::listening(&free_port(), &["--ignore-term"]);
    worker.signal(Signal::SIGTERM);
    worker.wait_for_events("signal", 1);
    worker.signal(Signal::SIGCONT);
    worker.wait_for_events("signal", 2);
    assert!(worker.is_alive());
    assert_eq!(worker.report().signals_of(worker.pid()), ["TERM", "CONT"]);
}

#[test]
fn exits_and_crashes_as_told() {
    use std::os::unix::process::ExitStatusExt;
    let port = free_port();
    let exits = Fixture::start(&port, &["--exit-after", "0.05", "--exit-code", "3", "--stderr-line", "out of luck"]);
    assert_eq!(exits.wait_exit().code(), Some(3));
    assert_eq!(exits.output(), "out of luck\n");
    let crashes = Fixture::start(&port, &["--crash-signal", "KILL"]);
    assert_eq!(crashes.wait_exit().signal(), Some(Signal::SIGKILL as i32));
    let asked = Fixture::listening(&port, &["--hang"]);
    assert!(request(port.number(), "GET", "/exit/7").is_err());
    assert_eq!(asked.wait_exit().code(), Some(7));
}

#[test]
fn fails_first_then_answers() {
    let port = free_port();
    let _worker = Fixture::listening(&port, &["--fail-first", "2", "--sync-fail-first", "1", "--sync-body", "html"]);
    let status = |method| request(port.number(), method, "/").expect("an answer").status;
    assert_eq!([status("GET"), status("GET"), status("GET")], [503, 503, 200]);
    assert_eq!(status("PUT"), 500);
    assert!(request(port.number(), "PUT", "/").expect("an answer").body.contains("<title>"));
}

#[test]
fn fails_while_a_file_exists() {
    let port = free_port();
    let directory = support::TempDir::new();
    let trouble = directory.join("trouble");
    let _worker = Fixture::listening(&port, &["--fail-while", trouble.to_str().expect("UTF-8")]);
    let status = || request(port.number(), "GET", "/").expect("an answer").status;
    assert_eq!(status(), 200);
    std::fs::write(&trouble, "").expect("a file");
    assert_eq!(status(), 503);
    std::fs::remove_file(&trouble).expect("the file");
    assert_eq!(status(), 200);
}

#[test]
fn hung_request_is_told_when_its_client_closes() {
    let port = free_port();
    let worker = Fixture::listening(&port, &["--hang-after", "1"]);
    assert_eq!(request(port.number(), "GET", "/").expect("the first answer").status, 200);
    let mut client = connect(port.number()).expect("a connection");
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a request");
    assert_eq!(worker.wait_for_events("request", 2)[1].field("open"), "1");
    drop(client);
    worker.wait_for_events("closed", 1);
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait_exit().code(), Some(0));
}

#[test]
fn shapes_differ_on_the_wire() {
    let raw = |flag: &str| {
        let port = free_port();
        let _worker = Fixture::listening(&port, &[flag]);
        let mut client = connect(port.number()).expect("a connection");
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a request");
        let mut bytes = Vec::new();
        let end = client.read_to_end(&mut bytes);
        (String::from_utf8_lossy(&bytes).into_owned(), end.is_ok())
    };
    assert!(raw("--chunked").0.contains("Transfer-Encoding: chunked"));
    assert!(raw("--interim").0.starts_with("HTTP/1.1 103 "));
    assert!(raw("--bare").0.starts_with("HTTP/1.0 200\n\n"));
    assert!(!raw("--garbage").0.contains("HTTP/1."));
    assert!(raw("--big-head").0.len() > 10_000_000);
    assert_eq!(raw("--close"), (String::new(), true));
    assert_eq!(raw("--reset"), (String::new(), false));
}

#[test]
fn slow_bytes_come_one_a_second() {
    let port = free_port();
    let _worker = Fixture::listening(&port, &["--slow-bytes"]);
    let mut client = connect(port.number()).expect("a connection");
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a request");
    let (started, mut byte) = (Instant::now(), [0]);
    client.read_exact(&mut byte).expect("the first byte");
    client.read_exact(&mut byte).expect("the second byte");
    assert!(started.elapsed() > Duration::from_millis(900));
}

#[test]
fn taken_port_ends_the_worker_and_reuse_port_shares_it() {
    let port = free_port();
    let first = Fixture::listening(&port, &["--reuse-port"]);
    let second = Fixture::start(&port, &[]);
    assert_eq!(second.wait_exit().code(), Some(1));
    assert!(second.output().contains("cannot listen"), "{}", second.output());
    let third = Fixture::listening(&port, &["--reuse-port"]);
    assert!(first.is_alive() && third.is_alive());
}

#[test]
fn child_in_the_group_survives_term() {
    let worker = Fixture::listening(&free_port(), &["--fork-child"]);
    let child = worker.wait_for_events("descendant", 1)[0].pid();
    assert_eq!(group_of(child), group_of(worker.pid()));
    support::send_signal(child, Signal::SIGTERM);
    worker.signal(Signal::SIGTERM);
    worker.wait_exit();
    assert!(process_alive(child));
}

#[test]
fn escaped_descendant_keeps_the_port() {
    let port = free_port();
    let worker = Fixture::listening(&port, &["--escape"]);
    let descendant = worker.wait_for_events("descendant", 1)[0].clone();
    assert_eq!(group_of(descendant.pid()), Some(descendant.pid()));
    worker.signal(Signal::SIGTERM);
    worker.wait_exit();
    assert!(is_listening(port.number()));
    support::send_signal(descendant.pid(), Signal::SIGTERM);
    wait_until("a free port", support::LIMIT, || !is_listening(port.number()));
}

#[test]
fn worker_that_hands_over_leaves_a_serving_descendant() {
    let port = free_port();
    let worker = Fixture::start(&port, &["--hand-over"]);
    assert_eq!(worker.wait_exit().code(), Some(0));
    assert_eq!(request(port.number(), "GET", "/").expect("an answer").status, 200);
    let server = worker.report().of("request")[0].pid();
    assert_eq!(worker.report().descendants(), [server]);
}

#[test]
fn lives_differ_by_start() {
    let (port, directory) = (free_port(), support::TempDir::new());
    let live = || {
        let mut command = std::process::Command::new(worker_program());
        command.args(["--no-listen", "--report"]).arg(directory.join("lives"));
        command.args(["--life", "--exit-after", "0", "--exit-code", "1", "--life", "--exit-after", "0"]);
        command.status().expect("the fixture runs").code()
    };
    assert_eq!([live(), live(), live()], [Some(1), Some(0), Some(0)]);
    drop(port);
}

#[test]
fn environment_is_dumped_before_the_start_is_told() {
    let directory = support::TempDir::new();
    let dump = directory.join("env");
    let mut command = std::process::Command::new(worker_program());
    command.env_clear().env("GREETING", "two words");
    let arguments = ["--dump-env", dump.to_str().expect("UTF-8")];
    let worker = Fixture::start_with(command, &free_port(), &arguments);
    worker.wait_for_events("start", 1);
    assert_eq!(std::fs::read_to_string(dump).expect("a dump"), "GREETING=two words\0");
}

#[test]
fn registration_goes_on_to_the_other_server() {
    let (port, other) = (free_port(), free_port());
    let _worker = Fixture::listening(&port, &["--register-at", &format!("127.0.0.1:{}", other.number())]);
    let status = || request(port.number(), "PUT", "/api/inngest").expect("an answer").status;
    assert_eq!(status(), 500);
    let api = ApiStandIn::start(&other);
    assert_eq!(status(), 200);
    assert_eq!(api.requests(), ["POST /fn/register"]);
}

#[test]
fn printed_lines_are_numbered() {
    let port = free_port();
    let worker = Fixture::listening(&port, &[]);
    request(port.number(), "GET", "/print/200").expect("an answer");
    let output = worker.output();
    assert_eq!(output.len(), 256);
    assert!(output.lines().enumerate().all(|(number, line)| line.parse() == Ok(number)));
}

#[test]
fn scene_writes_a_configuration_that_parses() {
    let scene = Scene::new().worker(&["--reason", "a \"b\"\\ \u{1b}"]).set("health_status", "[200]");
    scene.reconfigure(|config| {
        config.set_in("env", "KEY", "value");
    });
    let config = Config::load(&scene.config_file()).expect("a configuration").config;
    assert_eq!(config.port, scene.port().number());
    assert_eq!(config.command.last().map(String::as_str), Some("a \"b\"\\ \u{1b}"));
    assert_eq!(config.env, [("KEY".to_owned(), "value".to_owned())]);
}

/// The fixture in the place of the supervisor, with the scene's environment.
fn stand_in(scene: &Scene, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(worker_program());
    let program = scene.program();
    command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.arg("--no-listen").arg("--report").arg(scene.file("report")).args(arguments);
    command
}

#[test]
fn supervisor_is_waited_for_by_its_log_and_stopped() {
    let scene = Scene::new();
    let line = "2026-11-24T06:00:00.123Z INFO ready pid=4711 after_ms=12 program=\"a b\"";
    let supervisor = scene.start_with(&mut stand_in(&scene, &["--stderr-line", line]));
    assert_eq!(supervisor.wait_ready(), 4711);
    let ready = supervisor.wait_for_log(support::words::READY);
    assert_eq!(support::words::field(&ready, "program"), Some("a b"));
    assert_eq!(support::words::field(&ready, "ms"), None, "a key is a whole word");
    assert_eq!(supervisor.worker_pid(), supervisor.pid());
    assert_eq!(supervisor.stop(), 0);
    scene.wait_until_nothing_is_left();
}

#[test]
fn scene_ends_what_its_supervisor_leaves() {
    let scene = Scene::new();
    let supervisor = scene.start_with(&mut stand_in(&scene, &["--fork-child"]));
    let descendant = scene.wait_for_events("descendant", 1)[0].pid();
    supervisor.kill();
    assert!(process_alive(descendant));
    drop(supervisor);
    drop(scene);
    assert!(!process_alive(descendant));
}

#[test]
#[should_panic(expected = "outlived an orderly stop")]
fn worker_that_outlives_an_orderly_stop_fails_the_test() {
    let scene = Scene::new();
    // Forgotten, so that nobody but the scene ends it.
    std::mem::forget(scene.start_with(&mut stand_in(&scene, &[])));
    scene.wait_for_events("start", 1);
    let supervisor = scene.start_with(&mut stand_in(&scene, &["--exit-after", "0"]));
    assert_eq!(supervisor.wait_exit(), 0);
}

#[test]
#[should_panic(expected = "this never came: a miracle")]
fn wait_that_fails_says_what_never_came() {
    wait_until("a miracle", Duration::from_millis(10), || false);
}
