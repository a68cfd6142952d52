//! Health: who is found ill and replaced, who is left alone, and that the supervisor's own absence counts for nothing.

mod support;

use std::fs::{remove_file, write};
use std::time::Duration;

#[cfg(not(target_os = "freebsd"))]
use support::free_port;
use support::words::{
    DIED, DRAINING, ENDED, HEALTHY_AGAIN, KILLING, PROBE_FAILED, READY, STARTED, STARTUP_TIMED_OUT, UNHEALTHY, field,
};
use support::{Event, LIMIT, Scene, Signal, let_pass, process_alive, send_signal, wait_until};

/// A time that no test would live to see the end of.
const NEVER: &str = "3600";

/// What a hint about an answer of 4xx contains.
const HINT: &str = "which counts as healthy";

/// A scene whose worker takes commands through a file of this name, given to `flag`.
fn scene_with_switch(flag: &str) -> (Scene, std::path::PathBuf) {
    let scene = Scene::new();
    let file = scene.file("switch");
    let path = file.display().to_string();
    (scene.worker(&[flag, &path]), file)
}

/// Waits until so many more health requests have reached the workers.
#[track_caller]
fn wait_for_more_probes(scene: &Scene, count: usize) {
    let before = scene.report().requests("GET").len();
    wait_until("more probes", LIMIT, || scene.report().requests("GET").len() >= before + count);
}

#[test]
fn hung_worker_is_replaced_after_three_failures_in_a_row() {
    let (scene, hang) = scene_with_switch("--hang-while");
    let scene = scene.set("health_timeout_secs", "0.3");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    write(&hang, "").expect("a file");
    let line = supervisor.wait_for_log(UNHEALTHY);
    remove_file(&hang).expect("the file");
    assert!(line.contains("3 checks failed in a row") && line.contains("no answer within 300 ms"), "{line}");
    let streaks: Vec<String> = supervisor.lines_with(PROBE_FAILED);
    assert_eq!(streaks.iter().filter_map(|line| field(line, "streak")).collect::<Vec<_>>(), ["1", "2"]);
    assert_ne!(supervisor.wait_nth_ready(2), first);
    // Nothing is waited for after the drain.
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0; starting the next one"));
}

#[test]
fn stopped_worker_is_replaced() {
    let scene = Scene::new().set("health_timeout_secs", "0.3");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    send_signal(first, Signal::SIGSTOP);
    let line = supervisor.wait_for_log(PROBE_FAILED);
    assert!(
        line.contains(&format!("; pid {first} is stopped, by a signal (`kill -CONT {first}`) or a debugger streak=1")),
        "{line}"
    );
    assert!(supervisor.wait_for_log(UNHEALTHY).contains("or a debugger; restarting it"), "{}", supervisor.stderr());
    assert_ne!(supervisor.wait_nth_ready(2), first);
    assert_eq!(scene.report().signals_of(first).first(), Some(&"TERM"));
}

#[test]
fn worker_that_does_not_even_drain_is_killed_and_replaced() {
    let (scene, hang) = scene_with_switch("--hang-while");
    let path = hang.display().to_string();
    let scene = scene.worker(&["--ignore-term", "--hang-while", &path]);
    let scene = scene.set("health_timeout_secs", "0.2").set("drain_timeout_secs", "0.2");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    write(&hang, "").expect("a file");
    supervisor.wait_for_log(KILLING);
    remove_file(&hang).expect("the file");
    assert_ne!(supervisor.wait_nth_ready(2), first);
    assert!(supervisor.wait_for_log(ENDED).contains("signal 9 (SIGKILL); starting the next one"));
}

#[test]
fn answers_below_500_are_left_alone_and_hinted_at_once() {
    for status in ["401", "404", "302"] {
        let scene = Scene::new().worker(&["--health", status]).set("health_interval_secs", "0.02");
        let supervisor = scene.start();
        supervisor.wait_ready();
        wait_for_more_probes(&scene, 10);
        let hints = supervisor.lines_with(HINT);
        assert_eq!(hints.len(), 1, "{status}: {hints:#?}");
        assert!(hints.iter().all(|line| line.contains(status) && line.contains("health_endpoint")), "{hints:#?}");
        assert_eq!(supervisor.lines_with(PROBE_FAILED), Vec::<String>::new());
        assert_eq!(scene.report().starts().len(), 1);
    }
}

#[test]
fn redirect_is_healthy_and_says_where_it_leads() {
    let scene = Scene::new();
    let raw = scene.file("raw");
    write(&raw, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/login\r\nContent-Length: 0\r\n\r\n").expect("a file");
    let scene = scene.worker(&["--raw", raw.to_str().expect("a path")]);
    let supervisor = scene.start();
    let hint = supervisor.wait_for_log(HINT);
    assert!(hint.contains("has status 302, a redirect to http://127.0.0.1/login, which counts as healthy"), "{hint}");
}

/// The line that a worker with these arguments ends in, which is probed on this port and is never reached there.
#[cfg(not(target_os = "freebsd"))]
fn never_reached(scene: Scene, arguments: &[&str], port: u16) -> String {
    let scene = scene.worker(arguments).set("port", port).set("startup_timeout_secs", "1");
    let supervisor = scene.start();
    supervisor.wait_for_log(STARTUP_TIMED_OUT)
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn worker_that_is_not_reached_is_told_where_it_listens() {
    let scene = Scene::new();
    let (here, elsewhere) = (scene.port().number(), free_port());
    let line = never_reached(scene, &[], elsewhere.number());
    let told =
        format!("connection refused; it listens on 127.0.0.1:{here}, not on port {}; set port", elsewhere.number());
    assert!(line.contains(&told) && !line.contains("bun"), "{line}");
    let scene = Scene::new();
    let here = scene.port().number();
    write(scene.file(".env"), format!("# by itself\nPORT={here}\n")).expect("a file");
    let line = never_reached(scene, &[], elsewhere.number());
    assert!(line.contains("(PORT is in \"") && line.contains("/.env\", which bun reads by itself)"), "{line}");
    let scene = Scene::new();
    let here = scene.port().number();
    assert!(
        never_reached(scene, &["--no-listen"], here).contains("connection refused; it listens nowhere; restarting")
    );
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let scene = Scene::new();
        let here = scene.port().number();
        let line = never_reached(scene, &["--host", "::1"], here);
        assert!(line.contains(&format!("it listens on [::1]:{here}; set host = \"::1\"; restarting")), "{line}");
    }
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn start_that_takes_long_is_explained_before_its_time_is_up() {
    let scene = Scene::new();
    let elsewhere = free_port();
    let scene = scene.set("port", elsewhere.number()).set("startup_timeout_secs", NEVER);
    let supervisor = scene.start();
    let line = supervisor.wait_for_log("worker is not reached at ");
    assert!(line.contains(&format!("{} yet: it listens on ", elsewhere.number())), "{line}");
}

#[test]
fn server_that_speaks_tls_is_told_as_one() {
    let scene = Scene::new();
    let raw = scene.file("raw");
    // An alert: fatal, unexpected message.
    write(&raw, "\u{15}\u{3}\u{1}\0\u{2}\u{2}\n").expect("a file");
    let scene = scene.worker(&["--raw", raw.to_str().expect("a path")]).set("startup_timeout_secs", "0.3");
    let line = scene.start().wait_for_log(STARTUP_TIMED_OUT);
    assert!(line.contains("answered by TLS, and is asked by plain HTTP"), "{line}");
}

#[test]
fn each_worker_is_hinted_at_anew() {
    let scene = Scene::new().worker(&["--health", "401"]).set("stable_secs", 0);
    let supervisor = scene.start();
    send_signal(supervisor.wait_ready(), Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    supervisor.wait_for_nth_log(2, HINT);
}

#[test]
fn list_of_statuses_is_strict() {
    let scene = Scene::new().worker(&["--life", "--health", "401", "--life"]).set("health_status", "[200]");
    let scene = scene.set("startup_timeout_secs", "0.4");
    let supervisor = scene.start();
    assert!(supervisor.wait_for_log(STARTUP_TIMED_OUT).contains("status 401"));
    supervisor.wait_ready();
    assert_eq!(scene.report().starts().len(), 2);
    assert_eq!(supervisor.lines_with(HINT), Vec::<String>::new());
}

#[test]
fn worker_that_answers_500_for_ever_climbs_the_ladder() {
    let scene = Scene::new().worker(&["--health", "500"]).set("startup_timeout_secs", "0.2");
    let scene = scene.set("restart_backoff_min_secs", "0.05").set("restart_backoff_max_secs", 1);
    let supervisor = scene.start();
    supervisor.wait_for_nth_log(5, ENDED);
    for (line, delay) in supervisor.lines_with(ENDED).iter().zip(["50 ms", "100 ms", "200 ms", "400 ms", "800 ms"]) {
        assert!(line.contains(&format!("; retrying in {delay} ")), "not {delay}: {line}");
    }
    assert!(supervisor.wait_for_log(STARTUP_TIMED_OUT).contains("status 500"));
    assert_eq!(supervisor.lines_with(READY), Vec::<String>::new());
}

#[test]
fn worker_that_never_listens_is_ended_when_its_time_to_start_is_over() {
    let scene = Scene::new().worker(&["--life", "--no-listen", "--life"]).set("startup_timeout_secs", "0.3");
    let supervisor = scene.start();
    assert!(supervisor.wait_for_log(STARTUP_TIMED_OUT).contains("connection refused"));
    supervisor.wait_ready();
    let first = scene.report().workers()[0];
    assert_eq!(scene.report().signals_of(first).first(), Some(&"TERM"));
    assert!(!process_alive(first));
}

#[test]
fn worker_that_starts_late_is_waited_for() {
    let scene = Scene::new().worker(&["--listen-after", "2.5"]).set("startup_timeout_secs", 60);
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(scene.report().starts().len(), 1);
    assert_eq!(supervisor.lines_with(PROBE_FAILED), Vec::<String>::new());
}

#[test]
fn deadline_of_a_probe_is_one_for_all_its_bytes() {
    // A byte a second: no single read is slow.
    let scene = Scene::new().worker(&["--slow-bytes"]).set("health_timeout_secs", "1.5");
    let scene = scene.set("startup_timeout_secs", 3);
    let supervisor = scene.start();
    assert!(supervisor.wait_for_log(STARTUP_TIMED_OUT).contains("no answer within 1.5 s"));
    assert_eq!(supervisor.lines_with(READY), Vec::<String>::new());
}

#[test]
fn full_listen_queue_is_inside_the_deadline() {
    let scene = Scene::new().worker(&["--no-accept", "--backlog", "1"]).set("health_timeout_secs", "0.2");
    let scene = scene.set("startup_timeout_secs", "1.5").set("restart_backoff_max_secs", "0.1");
    let supervisor = scene.start();
    assert!(supervisor.wait_for_log(STARTUP_TIMED_OUT).contains("no answer within 200 ms"));
    scene.wait_for_events("start", 2);
    assert_eq!(supervisor.lines_with(READY), Vec::<String>::new());
}

#[test]
fn draining_worker_is_not_probed() {
    let scene = Scene::new().worker(&["--drain", "1"]).set("health_interval_secs", "0.02");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    wait_for_more_probes(&scene, 5);
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_nth_ready(2);
    let report = scene.report();
    let of_first = |name: &str| -> Vec<Event> {
        report.of(name).into_iter().filter(|event| event.pid() == first).cloned().collect()
    };
    let asked = of_first("signal")[0].mono_ns();
    let late = of_first("request").iter().filter(|probe| probe.mono_ns() > asked).count();
    // One may have been on its way.
    assert!(late <= 1, "{late} probes in a drain\n{report}");
}

#[test]
fn streak_is_not_inherited() {
    // Each of the first two hangs from its second request on.
    let hanging = ["--life", "--hang-after", "1"];
    let scene = Scene::new().worker(&[&hanging[..], &hanging, &["--life"]].concat()).set("stable_secs", 0);
    // Long enough between two probes to be killed there: else the third failure may be seen before the death.
    let scene = scene.set("health_timeout_secs", "0.3").set("health_interval_secs", 1);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    supervisor.wait_for_log("streak=2 ");
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(3);
    let log = supervisor.stderr();
    let told: Vec<&str> = log.lines().filter(|line| line.contains(PROBE_FAILED)).collect();
    let streaks: Vec<&str> = told.iter().filter_map(|line| field(line, "streak")).collect();
    assert_eq!(streaks, ["1", "2", "1", "2"], "{log}");
    assert_eq!(supervisor.lines_with(UNHEALTHY).len(), 1, "{}", scene.story());
}

#[test]
fn success_ends_a_streak() {
    let (scene, fail) = scene_with_switch("--fail-while");
    let supervisor = scene.start();
    supervisor.wait_ready();
    for nth in 1..=2 {
        write(&fail, "").expect("a file");
        supervisor.wait_for_nth_log(nth, "status 503 streak=1 ");
        remove_file(&fail).expect("the file");
        supervisor.wait_for_nth_log(nth, HEALTHY_AGAIN);
    }
    assert_eq!(supervisor.lines_with(UNHEALTHY), Vec::<String>::new());
    assert_eq!(scene.report().starts().len(), 1);
}

#[test]
fn worker_that_is_killed_in_the_drain_of_its_restart_is_replaced_all_the_same() {
    let (scene, hang) = scene_with_switch("--hang-while");
    let path = hang.display().to_string();
    let scene = scene.worker(&["--ignore-term", "--hang-while", &path]).set("health_timeout_secs", "0.2");
    let scene = scene.set("drain_timeout_secs", NEVER);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    write(&hang, "").expect("a file");
    supervisor.wait_for_log(DRAINING);
    remove_file(&hang).expect("the file");
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert!(supervisor.wait_for_log(ENDED).contains("signal 9 (SIGKILL); starting the next one"));
    assert_eq!(supervisor.lines_with(DIED), Vec::<String>::new());
}

#[test]
fn probes_go_one_at_a_time_however_slow_they_are() {
    let scene = Scene::new().worker(&["--answer-after", "0.3"]).set("health_interval_secs", "0.02");
    let supervisor = scene.start();
    supervisor.wait_ready();
    wait_for_more_probes(&scene, 5);
    let report = scene.report();
    let probes = report.requests("GET");
    assert!(probes.iter().all(|probe| probe.field("open") == "1"), "{report}");
    for pair in probes.windows(2) {
        let gap = Duration::from_nanos(pair[1].mono_ns() - pair[0].mono_ns());
        assert!(gap >= Duration::from_millis(290), "{gap:?} between two probes\n{report}");
    }
}

#[test]
fn supervisor_that_was_stopped_does_not_blame_a_worker_that_answered_meanwhile() {
    let scene = Scene::new().worker(&["--answer-after", "0.2"]).set("health_interval_secs", "0.02");
    let scene = scene.set("health_timeout_secs", 1).set("health_failures_before_restart", 1);
    let supervisor = scene.start();
    supervisor.wait_ready();
    for _ in 0..2 {
        wait_for_more_probes(&scene, 1);
        supervisor.signal(Signal::SIGSTOP);
        let_pass(Duration::from_secs(2));
        supervisor.signal(Signal::SIGCONT);
        wait_for_more_probes(&scene, 2);
    }
    assert_eq!(supervisor.lines_with(STARTED).len(), 1, "{}", scene.story());
    assert_eq!(supervisor.lines_with(UNHEALTHY), Vec::<String>::new());
}

#[test]
fn machine_that_slept_does_not_blame_the_worker_that_slept_too() {
    // The probe that is under way is not answered before it is looked at, long after its deadline.
    let scene = Scene::new().worker(&["--answer-after", "0.5"]).set("health_interval_secs", "0.02");
    let scene = scene.set("health_timeout_secs", "1.5").set("health_failures_before_restart", 1);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    wait_for_more_probes(&scene, 1);
    send_signal(worker, Signal::SIGSTOP);
    supervisor.signal(Signal::SIGSTOP);
    let_pass(Duration::from_secs(3));
    supervisor.signal(Signal::SIGCONT);
    // It has looked once its new probe waits at the worker; the first failure would have ended the worker.
    let_pass(Duration::from_millis(100));
    send_signal(worker, Signal::SIGCONT);
    wait_for_more_probes(&scene, 3);
    assert_eq!(supervisor.lines_with(UNHEALTHY), Vec::<String>::new());
    assert_eq!(scene.report().workers(), [worker]);
}

#[test]
fn absence_excuses_one_failure_and_no_more() {
    let scene = Scene::new().set("health_timeout_secs", 1).set("health_failures_before_restart", 1);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    send_signal(first, Signal::SIGSTOP);
    // A probe is due every tenth of a second, so one is under way now.
    let_pass(Duration::from_millis(300));
    supervisor.signal(Signal::SIGSTOP);
    let_pass(Duration::from_secs(2));
    supervisor.signal(Signal::SIGCONT);
    supervisor.wait_for_log(UNHEALTHY);
    assert_ne!(supervisor.wait_nth_ready(2), first);
}

#[test]
fn words_of_the_worker_reach_the_log_without_control_characters() {
    let red = "\u{1b}[31mred\u{7}";
    let life = ["--life", "--reason", red, "--stderr-line", red, "--health", "404", "--exit-after", "0.2"];
    let scene = Scene::new().worker(&[&life[..], &["--life"]].concat());
    let supervisor = scene.start();
    supervisor.wait_ready();
    supervisor.wait_for_log("exit code 0");
    assert!(!supervisor.stderr().contains(['\u{1b}', '\u{7}']), "{}", supervisor.stderr());
}
