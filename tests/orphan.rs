//! No orphans: what a killed supervisor leaves behind is ended by the next one before anything is started, and a record
//! that names anybody else harms nobody.

mod support;

use std::fs::{DirBuilder, create_dir_all, set_permissions, write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use platform::{Pid, identify};
use support::words::{ADOPTED, DIED, ENDED, KILLING, PORT_CONFLICT, STARTED};
use support::{Fixture, LIMIT, Sampler, Scene, Seeded, Signal, free_port, process_alive, send_signal};
use support::{wait_for, wait_until};

/// So often the supervisor is killed at a random moment.
const ROUNDS: usize = 50;
#[test]
fn worker_of_a_killed_supervisor_is_ended_before_the_next_one_starts() {
    let scene = Scene::new();
    let first = scene.start();
    let orphan = first.wait_ready();
    first.kill();
    assert!(process_alive(orphan));

    let second = scene.start();
    let worker = second.wait_ready();
    assert_ne!(worker, orphan);
    let report = scene.report();
    assert_eq!(report.signals_of(orphan)[0], "TERM");
    let gone = report.of("exit").iter().find(|event| event.pid() == orphan).expect("it could finish").mono_ns();
    let start = report.starts()[1];
    assert_eq!(start.pid(), worker);
    assert!(gone < start.mono_ns(), "the next worker did not wait for the orphan's end\n{}", scene.story());
    // It was known by its record, not by its port.
    assert_eq!(second.lines_with(PORT_CONFLICT), Vec::<String>::new());
    assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={orphan}")));
    assert!(second.wait_for_log(ENDED).contains(&format!("pid={orphan}")));
}

#[test]
fn recorded_worker_that_holds_no_port_is_ended_too() {
    let scene = Scene::new().worker(&["--life", "--no-listen", "--life"]);
    let first = scene.start();
    let orphan = first.worker_pid();
    wait_until_recorded(&scene, orphan);
    first.kill();
    let second = scene.start();
    second.wait_ready();
    assert!(!process_alive(orphan));
    assert_eq!(scene.report().signals_of(orphan)[0], "TERM");
}

#[test]
fn ending_the_orphan_is_announced_before_it_is_over() {
    let scene = Scene::new().worker(&["--life", "--ignore-term", "--life"]).set("drain_timeout_secs", "60");
    let orphan = orphan_of(&scene);
    let second = scene.start();
    assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={orphan}")));
    assert!(process_alive(orphan));
    wait_until("the orphan in the status file", LIMIT, || {
        scene.status().is_some_and(|status| status["state"] == "draining" && status["pid"] == orphan)
    });
    send_signal(orphan, Signal::SIGKILL);
    second.wait_ready();
}

#[test]
fn orphan_gets_the_longer_of_drain_and_grace_to_finish() {
    for (longer, shorter) in [("drain_timeout_secs", "port_grace_secs"), ("port_grace_secs", "drain_timeout_secs")] {
        let scene = Scene::new().worker(&["--life", "--drain", "1", "--life"]).set(longer, "15").set(shorter, "0.1");
        let orphan = orphan_of(&scene);
        let second = scene.start();
        second.wait_ready();
        let report = scene.report();
        assert!(report.of("exit").iter().any(|event| event.pid() == orphan), "it was killed\n{}", scene.story());
        assert_eq!(second.lines_with(KILLING), Vec::<String>::new());
    }
}

#[test]
fn orphan_that_ignores_term_is_killed_with_its_group() {
    let scene = Scene::new().worker(&["--life", "--ignore-term", "--fork-child", "--life"]);
    let scene = scene.set("drain_timeout_secs", "0.5").set("port_grace_secs", "0.1");
    let orphan = orphan_of(&scene);
    let descendant = scene.wait_for_events("descendant", 1)[0].pid();
    let second = scene.start();
    second.wait_ready();
    assert!(!process_alive(orphan) && !process_alive(descendant), "{}", scene.story());
    let report = scene.report();
    let asked = report.of("signal")[0].mono_ns();
    let waited = Duration::from_nanos(report.starts()[1].mono_ns() - asked);
    assert!(waited > Duration::from_millis(450), "killed after {waited:?}");
    second.wait_for_log(KILLING);
}

#[test]
fn what_an_orphan_leaves_in_its_group_goes_with_it() {
    let scene = Scene::new().worker(&["--life", "--fork-child", "--life"]);
    let orphan = orphan_of(&scene);
    let descendant = scene.wait_for_events("descendant", 1)[0].pid();
    let second = scene.start();
    second.wait_ready();
    assert!(!process_alive(orphan));
    wait_until("the end of the orphan's descendant", LIMIT, || !process_alive(descendant));
}

#[test]
fn stopped_orphan_can_still_finish() {
    let scene = Scene::new().set("drain_timeout_secs", "15");
    let orphan = orphan_of(&scene);
    send_signal(orphan, Signal::SIGSTOP);
    let second = scene.start();
    second.wait_ready();
    assert!(scene.report().of("exit").iter().any(|event| event.pid() == orphan), "{}", scene.story());
}

#[test]
fn stop_while_the_orphan_is_being_ended_still_ends_it() {
    for (arguments, stops) in [(&["--life", "--drain", "0.5"][..], 1), (&["--life", "--ignore-term"][..], 2)] {
        let scene = Scene::new().worker(arguments).set("drain_timeout_secs", "15");
        let orphan = orphan_of(&scene);
        let second = scene.start();
        wait_until("the signal to the orphan", LIMIT, || scene.report().signals_of(orphan).contains(&"TERM"));
        for stop in 0..stops {
            second.signal(Signal::SIGTERM);
            wait_until("the signal passed on", LIMIT, || {
                !second.is_alive() || scene.report().of("signal").iter().filter(is_term).count() > stop + 1
            });
        }
        assert_eq!(second.wait_exit(), 0);
        assert!(!process_alive(orphan), "{}", scene.story());
        assert_eq!(second.lines_with(STARTED), Vec::<String>::new());
        assert_eq!(scene.report().starts().len(), 1);
    }
}

fn is_term(event: &&&support::Event) -> bool {
    event.field("name") == "TERM"
}

#[test]
fn restart_while_the_orphan_is_being_ended_reads_the_configuration_anew() {
    let scene = Scene::new().worker(&["--life", "--drain", "0.7", "--life"]).set("drain_timeout_secs", "15");
    let orphan = orphan_of(&scene);
    let second = scene.start();
    wait_until("the signal to the orphan", LIMIT, || scene.report().signals_of(orphan).contains(&"TERM"));
    scene.reconfigure(|config| {
        config.set_in("env", "EDITED", "yes").set("log_stdout", support::quoted(scene.file("edited.log")));
    });
    second.signal(Signal::SIGUSR1);
    second.wait_ready();
    assert!(scene.file("edited.log").exists(), "{}", scene.story());
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn descendant_that_left_the_group_and_kept_the_port_is_removed_as_its_holder() {
    let scene = Scene::new().worker(&["--life", "--escape", "--life"]);
    let orphan = orphan_of(&scene);
    let escaped = scene.wait_for_events("descendant", 1)[0].pid();
    send_signal(orphan, Signal::SIGKILL);
    wait_until("the end of the orphan", LIMIT, || !process_alive(orphan));
    assert!(process_alive(escaped));
    let second = scene.start();
    second.wait_ready();
    assert!(!process_alive(escaped));
    assert!(second.wait_for_log(PORT_CONFLICT).contains(&format!("pid {escaped} (")));
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn descendant_that_left_the_group_is_removed_at_the_next_launch_too() {
    let scene = Scene::new().worker(&["--life", "--escape", "--life"]).set("stable_secs", "0");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    let escaped = scene.wait_for_events("descendant", 1)[0].pid();
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert!(!process_alive(escaped));
}

#[test]
fn record_that_makes_no_sense_harms_nobody() {
    let own = std::process::id();
    let huge = format!("{{\"pid\":{own},\"started\":\"{}\"}}", "x".repeat(2 << 20));
    let records = [
        "",
        "garbage \u{1b}[31m",
        "{}",
        "[]",
        "{\"pid\":1,\"started\":\"x\"}",
        "{\"pid\":0,\"started\":\"x\"}",
        "{\"pid\":-1,\"started\":\"x\"}",
        "{\"pid\":-2147483648,\"started\":\"\"}",
        "{\"pid\":99999999999,\"started\":\"x\"}",
        "{\"pid\":2147483647,\"started\":\"x\"}",
        "{\"pid\":\"7\",\"started\":7}",
        huge.as_str(),
    ];
    for record in records {
        let scene = Scene::new();
        put_record(&scene, record);
        let supervisor = scene.start();
        supervisor.wait_ready();
        assert_eq!(supervisor.lines_with(ADOPTED), Vec::<String>::new(), "{record:.80}");
        assert_eq!(supervisor.stop(), 0);
    }
}

#[test]
fn record_that_was_damaged_hides_no_worker() {
    for record in ["", "garbage", "{\"pid\":4194", "{\"next\":\"wor", "{\"launching\":\"of an earlier version\"}"] {
        // It holds no port by which it could be known.
        let scene = Scene::new().worker(&["--life", "--no-listen", "--fork-child", "--life"]);
        let first = scene.start();
        let orphan = first.worker_pid();
        let descendant = scene.wait_for_events("descendant", 1)[0].pid();
        wait_until_recorded(&scene, orphan);
        first.kill();
        put_record(&scene, record);
        let second = scene.start();
        assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={orphan}")));
        second.wait_ready();
        assert!(!process_alive(orphan) && !process_alive(descendant), "{}", scene.story());
        assert_eq!(second.stop(), 0);
    }
}

#[test]
fn what_a_recorded_worker_has_left_goes_before_the_next_one_starts() {
    let scene = Scene::new().worker(&["--life", "--fork-child", "--life"]);
    let orphan = orphan_of(&scene);
    let descendant = scene.wait_for_events("descendant", 1)[0].pid();
    send_signal(orphan, Signal::SIGKILL);
    wait_until("the end of the orphan", LIMIT, || !process_alive(orphan));
    let second = scene.start();
    second.wait_ready();
    wait_until("the end of the orphan's descendant", LIMIT, || !process_alive(descendant));
    assert_eq!(second.lines_with(ADOPTED), Vec::<String>::new());
}

#[test]
fn stranger_under_a_recorded_pid_is_left_alone() {
    let (scene, port) = (Scene::new(), free_port());
    let stranger = Fixture::listening(&port, &[]);
    let real = identity_of(stranger.pid());
    for started in ["x", "", &real.started.as_str()[..real.started.as_str().len() - 1], &format!("{}0", real.started)] {
        put_record(&scene, &format!("{{\"pid\":{},\"started\":\"{started}\"}}", stranger.pid()));
        let supervisor = scene.start();
        supervisor.wait_ready();
        assert_eq!(supervisor.stop(), 0);
        assert!(stranger.is_alive());
        assert_eq!(stranger.report().of("signal"), Vec::<&support::Event>::new(), "recorded start {started:?}");
    }
}

#[test]
fn record_of_the_supervisor_itself_or_its_parent_harms_neither() {
    // A shell waits until the record names it, then becomes the supervisor, or its parent.
    for script in ["read line; exec \"$0\" \"$@\"", "read line; \"$0\" \"$@\" & wait"] {
        let scene = Scene::new();
        let mut shell = waiting_shell(&scene, script);
        let pid = i32::try_from(shell.id()).expect("a pid");
        put_record(&scene, &format!("{{\"pid\":{pid},\"started\":\"{}\"}}", identity_of(pid).started));
        drop(shell.stdin.take());
        wait_for("a worker", LIMIT, || scene.story(), || (!scene.report().of("request").is_empty()).then_some(()));
        assert!(shell.try_wait().expect("a child can be asked").is_none(), "{script}\n{}", scene.story());
        // The status is written when all else is done.
        let pid_in_status = || i32::try_from(scene.status()?["supervisor_pid"].as_i64()?).ok();
        send_signal(wait_for("a status file", LIMIT, || scene.story(), pid_in_status), Signal::SIGTERM);
        wait_for("the end of the shell", LIMIT, || scene.story(), || shell.try_wait().expect("it can be asked"));
        assert_eq!(scene.report().starts().len(), 1);
    }
}

#[test]
fn no_moment_to_be_killed_at_leaves_two_workers() {
    let mut chance = Seeded::from_environment("ORPHAN_SEED");
    // The port is shared, so that the kernel would not keep a second worker from listening.
    let scene = Scene::new().worker(&["--reuse-port"]).set("stable_secs", "0").set("restart_backoff_min_secs", "0");
    let sampler = Sampler::of_listeners(scene.port().number(), scene.file("report"));
    for _ in 0..ROUNDS {
        let supervisor = scene.start();
        if chance.below(4) == 0 {
            send_signal(supervisor.wait_ready(), Signal::SIGKILL);
        }
        // From before the lock is taken to long after the worker is ready, or while it is being replaced.
        let moment = Instant::now() + Duration::from_micros(chance.below(40_000));
        wait_until("the moment", LIMIT, || Instant::now() >= moment);
        supervisor.kill();
        let told = || format!("seed {}\n{}", chance.seed(), scene.story());
        let left = scene.living();
        assert!(left.len() <= 1, "{left:?} are left\n{}", told());
    }
    let told = || format!("seed {}\n{}", chance.seed(), scene.story());
    let last = scene.start();
    let worker = last.wait_ready();
    sampler.finish(told);
    assert_eq!(scene.living().into_iter().filter(|pid| *pid != last.pid()).collect::<Vec<_>>(), [worker]);
    assert_eq!(last.stop(), 0);
    scene.wait_until_nothing_is_left();
}

/// The pid in the record.
fn recorded_worker(scene: &Scene) -> Option<i32> {
    let record = std::fs::read(scene.file("state/worker/worker.json")).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&record).expect("a record is replaced as a whole");
    i32::try_from(record["pid"].as_i64()?).ok()
}

#[test]
fn what_left_the_session_of_a_killed_supervisors_worker_is_told_or_ended() {
    for (end_detached, worker_dies) in [(false, false), (false, true), (true, false), (true, true)] {
        let scene = Scene::new().worker(&["--life", "--detach", "--life"]).set("end_detached", end_detached);
        let first = scene.start();
        let worker = first.wait_ready();
        wait_until_recorded(&scene, worker);
        let detached = scene.report().descendants()[0];
        first.kill();
        if worker_dies {
            send_signal(worker, Signal::SIGKILL);
        }
        let second = scene.start();
        second.wait_ready();
        if end_detached {
            wait_until("the end of what was detached", LIMIT, || !process_alive(detached));
        } else {
            let line = second.wait_for_log("left running: ");
            assert!(line.contains(&format!("pid {detached} (")) && process_alive(detached), "{line}");
        }
        assert_eq!(second.stop(), 0);
        send_signal(detached, Signal::SIGKILL);
    }
}

#[test]
fn what_left_the_session_is_told_right_after_the_end_of_its_worker() {
    let scene = Scene::new().worker(&["--detach"]).set("stable_secs", 0);
    let supervisor = scene.start();
    send_signal(supervisor.wait_ready(), Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_nth_ready(3);
    assert_eq!(supervisor.stop(), 0);
    let log = supervisor.stderr();
    let lines: Vec<&str> = log.lines().collect();
    let around = |at: usize| [lines[at - 1], lines[at + 1]];
    let told = (0..lines.len()).filter(|at| lines[*at].contains("left running: ")).map(around);
    let expected = [[DIED, STARTED], [ENDED, "configuration reloaded"], [ENDED, "stopped"]];
    let is_so =
        |(told, expected): ([&str; 2], &[&str; 2])| told[0].contains(expected[0]) && told[1].contains(expected[1]);
    assert_eq!(told.clone().count(), expected.len(), "{log}");
    assert!(told.zip(&expected).all(is_so), "{log}");
}

#[test]
fn what_left_the_session_is_found_by_the_supervisor_after_the_next_too() {
    let scene = Scene::new().worker(&["--life", "--detach", "--ignore-term", "--life"]).set("end_detached", true);
    let scene = scene.set("drain_timeout_secs", 3);
    let orphan = orphan_of(&scene);
    let detached = scene.report().descendants()[0];
    // Killed while it drains the orphan, it has looked after nothing.
    let second = scene.start();
    second.wait_for_log("ending it first");
    wait_until("the word of the second one", LIMIT, || {
        std::fs::read_to_string(scene.file("state/worker/lock")).is_ok_and(|text| text.lines().count() == 2)
    });
    second.kill();
    send_signal(orphan, Signal::SIGKILL);
    let third = scene.start();
    third.wait_ready();
    wait_until("the end of what was detached", LIMIT, || !process_alive(detached));
    assert_eq!(third.stop(), 0);
    let text = std::fs::read_to_string(scene.file("state/worker/lock")).expect("a lock file");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// A worker whose supervisor was killed.
fn orphan_of(scene: &Scene) -> i32 {
    let first = scene.start();
    let orphan = first.wait_ready();
    wait_until_recorded(scene, orphan);
    first.kill();
    orphan
}

fn wait_until_recorded(scene: &Scene, worker: i32) {
    wait_until("the record of the worker", LIMIT, || recorded_worker(scene) == Some(worker));
}

fn put_record(scene: &Scene, record: &str) {
    let dir = scene.file("state/worker");
    create_dir_all(scene.file("state")).expect("a directory");
    if !dir.exists() {
        DirBuilder::new().mode(0o700).create(&dir).expect("a directory");
    }
    let path = dir.join("worker.json");
    write(&path, record).expect("a record");
    set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("our own file");
}

fn identity_of(pid: i32) -> platform::Identity {
    identify(Pid::new(pid).expect("above 1")).expect("it can be identified").expect("it runs")
}

/// A shell that runs a script with the supervisor's command as `$0` and its arguments, once its stdin is closed.
fn waiting_shell(scene: &Scene, script: &str) -> Child {
    let program = scene.program();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut shell, &program);
    let log = std::fs::File::create(scene.file("shell.err")).expect("a file for its log");
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().expect("a shell starts")
}
