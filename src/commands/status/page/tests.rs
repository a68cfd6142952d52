//! What `status` shows, to the letter.

use super::*;
use crate::supervise::report::status::Transition;

const NOW_MS: u64 = 1_700_000_000_000;

fn healthy() -> Status {
    Status {
        version: "0.1.0".into(),
        supervisor_pid: 7,
        name: "demo".into(),
        config_path: "/etc/demo.toml".into(),
        address: "127.0.0.1:3111".into(),
        log_stdout: "/log/demo.log".into(),
        log_stderr: "/log/demo.err".into(),
        state: "running".into(),
        healthy: true,
        since_ms: NOW_MS - 7_380_000,
        updated_ms: NOW_MS - 12_000,
        health_interval_ms: 30_000,
        pid: Some(4711),
        generation: 3,
        started_ms: Some(NOW_MS - 7_381_000),
        restarts: 2,
        streak_max: 3,
        last_exit: Some(Exit {
            at_ms: NOW_MS - 7_381_500,
            generation: 2,
            pid: 4710,
            reason: "exit code 1".into(),
            uptime_ms: Some(5_200),
            asked_for: false,
            stderr: Some("Error: boom".into()),
        }),
        last_probe: Some(Probe { at_ms: NOW_MS - 12_000, healthy: true, result: "200".into(), latency_us: 1_270 }),
        sync: Some(Sync { at_ms: NOW_MS - 240_000, accepted: true, result: "200".into(), failures: 0 }),
        next_step: Some("probe".into()),
        next_deadline_ms: Some(NOW_MS + 18_000),
        ..Status::default()
    }
}

fn backing_off() -> Status {
    Status {
        state: "backing-off".into(),
        healthy: false,
        since_ms: NOW_MS - 1_000,
        updated_ms: NOW_MS - 1_000,
        pid: None,
        started_ms: None,
        failed_starts: 4,
        last_exit: None,
        last_probe: None,
        sync: Some(Sync { at_ms: NOW_MS - 3_000, accepted: false, result: "401".into(), failures: 9 }),
        next_step: Some("start".into()),
        next_deadline_ms: Some(NOW_MS + 7_000),
        port_holder: Some("pid 99 (nginx, joe)".into()),
        problem: Some("cannot find program \"bun\" in PATH".into()),
        absent_secrets: vec!["EVENT_KEY".into(), "TOKEN".into()],
        stale_secrets: vec!["SIGNING_KEY".into()],
        log_stderr: "/log/demo.log".into(),
        ..healthy()
    }
}

#[test]
fn a_healthy_worker_is_described_line_by_line() {
    let expected = "\
demo: healthy for 2 h 3 min
  worker       pid 4711, generation 3, up 2 h 3 min
  restarts     2; pid 4710 ended 2 h 3 min ago after 5.2 s: exit code 1
  last words   Error: boom
  health       127.0.0.1:3111 200 in 1.3 ms, 12 s ago
  sync         accepted, 200, 4 min ago
  next         probe in 18 s
  logs         /log/demo.log
               /log/demo.err
  supervisor   pid 7, version 0.1.0, config /etc/demo.toml
";
    assert_eq!(render(&healthy(), Trust::Fresh, NOW_MS, Style::Plain), expected);
}

#[test]
fn of_a_first_worker_no_restart_is_told() {
    let shown =
        |restarts| render(&Status { restarts, last_exit: None, ..healthy() }, Trust::Fresh, NOW_MS, Style::Plain);
    assert!(!shown(0).contains("restarts"), "{}", shown(0));
    assert!(shown(1).contains("\n  restarts     1\n"), "{}", shown(1));
}

#[test]
fn what_stands_in_the_way_comes_first() {
    let expected = "\
demo: backing off for 1.0 s
  problem      cannot find program \"bun\" in PATH
  port held by pid 99 (nginx, joe)
  no secret    EVENT_KEY, TOKEN
  old secret   SIGNING_KEY
  worker       none
  restarts     2, 4 failed starts in a row
  sync         failing: 401, 3.0 s ago; 9 failures in a row
  next         start in 7.0 s
  logs         /log/demo.log
  supervisor   pid 7, version 0.1.0, config /etc/demo.toml
";
    assert_eq!(render(&backing_off(), Trust::Fresh, NOW_MS, Style::Plain), expected);
}

#[test]
fn a_failing_worker_shows_its_streak() {
    let probe = Probe { at_ms: NOW_MS, healthy: false, result: "connection refused".into(), latency_us: 40 };
    let status = Status { healthy: false, streak: 2, last_probe: Some(probe), ..healthy() };
    let text = render(&status, Trust::Fresh, NOW_MS, Style::Plain);
    assert!(text.starts_with("demo: unhealthy, ready for 2 h 3 min\n"), "{text}");
    let line = "health       127.0.0.1:3111 connection refused in 0.0 ms, 0 ms ago; 2 of 3 failures in a row\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn answer_of_a_worker_that_is_gone_is_not_shown_as_that_of_one_that_lives() {
    let line = "health       127.0.0.1:3111 200 in 1.3 ms, 12 s ago, by the worker that is gone\n";
    let gone = Status { state: "backing-off".into(), healthy: false, pid: None, ..healthy() };
    let text = render(&gone, Trust::Fresh, NOW_MS, Style::Plain);
    assert!(text.contains(line), "{text}");
    assert!(render(&healthy(), Trust::Outlived, NOW_MS, Style::Plain).contains(line));
}

#[test]
fn last_three_transitions_are_shown_with_their_age_and_bounded() {
    let step = |ago_ms, message: &str| Transition { at_ms: NOW_MS - ago_ms, message: message.into() };
    let long = "x".repeat(500);
    let transitions =
        vec![step(90_000, "ready"), step(62_000, &long), step(61_500, "started pid=2"), step(400, "ready pid=2")];
    let text = render(&Status { transitions, ..healthy() }, Trust::Fresh, NOW_MS, Style::Plain);
    let (_, lately) = text.split_once("  lately       1 min 2 s ago: xxx").expect("the label");
    assert!(lately.contains("xxx…\n               1 min 1 s ago: started pid=2\n"), "{lately}");
    assert!(lately.ends_with("\n               400 ms ago: ready pid=2\n"), "{lately}");
    assert!(lately.len() < 400 && !text.contains("1 min 30 s"), "{text}");
}

#[test]
fn a_dead_supervisor_is_not_running_whatever_its_file_says() {
    let text = render(&healthy(), Trust::Dead, NOW_MS, Style::Plain);
    assert!(text.starts_with("demo: not running, last seen 12 s ago: healthy\n"), "{text}");
    assert!(!text.contains("  worker") && !text.contains("  next"), "{text}");
    let stopped = Status { state: "stopped".into(), healthy: false, ..healthy() };
    assert!(render(&stopped, Trust::Dead, NOW_MS, Style::Plain).starts_with("demo: not running, stopped 12 s ago\n"));
}

#[test]
fn a_worker_that_is_gone_is_not_healthy_although_the_file_says_so() {
    let text = render(&healthy(), Trust::Outlived, NOW_MS, Style::Plain);
    let headline = "demo: not healthy, its worker, pid 4711, is gone, last seen 12 s ago: healthy\n";
    assert!(text.starts_with(headline), "{text}");
}

#[test]
fn a_supervisor_that_wrote_nothing_for_long_may_be_stopped() {
    let text = render(&healthy(), Trust::Stale, NOW_MS, Style::Plain);
    let headline = "demo: not known to be healthy, last seen 12 s ago: healthy; ";
    let advice = "the supervisor, pid 7, may be stopped, hang, or have no room to write\n";
    assert!(text.starts_with(&format!("{headline}{advice}")), "{text}");
}

#[test]
fn states_are_shown_in_words_and_unknown_ones_as_they_are() {
    for (state, words) in [
        ("launching", "launching"),
        ("leasing-secrets", "leasing secrets"),
        ("clearing-port", "clearing the port"),
        ("awaiting-port", "waiting for the port"),
        ("starting", "starting"),
        ("draining", "draining"),
        ("hovering", "hovering"),
    ] {
        assert_eq!(condition(&Status { state: state.into(), ..healthy() }), words);
    }
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    assert_eq!(Style::of(true, None), Style::Coloured);
    assert_eq!(Style::of(true, Some(OsStr::new(""))), Style::Coloured);
    assert_eq!(Style::of(true, Some(OsStr::new("1"))), Style::Plain);
    assert_eq!(Style::of(false, None), Style::Plain);
}

#[test]
fn colour_changes_nothing_but_colour() {
    let text = render(&backing_off(), Trust::Fresh, NOW_MS, Style::Coloured);
    assert!(
        text.starts_with("demo: \x1b[31mbacking off for 1.0 s\x1b[0m\n  \x1b[31mproblem      \x1b[0mcannot"),
        "{text:?}"
    );
    let bare = [RED, YELLOW, GREEN, RESET].iter().fold(text, |text, code| text.replace(code, ""));
    assert_eq!(bare, render(&backing_off(), Trust::Fresh, NOW_MS, Style::Plain));
}

#[test]
fn a_forged_file_cannot_control_the_terminal() {
    let status = Status { problem: Some("a\x1b[2Jb\nc".into()), ..healthy() };
    assert!(render(&status, Trust::Fresh, NOW_MS, Style::Plain).contains("  problem      a?[2Jb?c\n"));
    let status = Status { name: "a\x1b]0;b".into(), state: "x\u{9b}y".into(), ..healthy() };
    for (trust, headline) in [
        (Trust::Fresh, "a?]0;b: x?y for "),
        (Trust::Stale, "a?]0;b: not known to be healthy, last seen 12 s ago: x?y; "),
        (Trust::Dead, "a?]0;b: not running, last seen 12 s ago: x?y\n"),
    ] {
        let page = render(&status, trust, NOW_MS, Style::Plain);
        assert!(page.starts_with(headline), "{page}");
    }
}

#[test]
fn a_clock_that_was_set_back_breaks_nothing() {
    let text = render(&healthy(), Trust::Fresh, 0, Style::Plain);
    assert!(text.starts_with("demo: healthy for 0 ms\n"), "{text}");
}
