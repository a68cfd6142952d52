//! The life of a worker: how it starts, that it is ready, how its end is noticed, and when the next one comes.

mod support;

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{OpenptyResult, openpty};
use support::words::{DIED, LAUNCH_FAILED, PORT_CONFLICT, READY, SYNCED, field};
use support::{
    Event, LIMIT, Scene, Signal, Supervisor, children_of, descriptors_of, group_of, process_alive, quoted, request,
    send_signal, slowed, wait_for, wait_until, worker_program,
};

/// A delay that no test would live to see the end of.
const NEVER: &str = "3600";

/// Nanoseconds from the first event to the second.
fn gap(from: &Event, to: &Event) -> Duration {
    Duration::from_nanos(to.mono_ns().checked_sub(from.mono_ns()).expect("events in order"))
}

#[test]
fn ready_is_told_with_the_time_since_the_spawn() {
    let scene = Scene::new().worker(&["--listen-after", "0.2"]);
    let supervisor = scene.start();
    let pid = supervisor.wait_ready();
    let line = supervisor.wait_for_log(READY);
    let told_ms: f64 = field(&line, "after_ms").and_then(|text| text.parse().ok()).expect("a time in milliseconds");
    let start = &scene.wait_for_events("start", 1)[0];
    let listen = &scene.wait_for_events("listen", 1)[0];
    assert_eq!(start.pid(), pid);
    let at_least_ms = gap(start, listen).as_secs_f64() * 1e3;
    assert!(
        told_ms >= at_least_ms.floor() && told_ms < slowed(LIMIT).as_secs_f64() * 1e3,
        "{line}: not {at_least_ms} or more"
    );
    assert!(line.contains("answer=\"status 200\""), "{line}");
}

#[test]
fn killed_worker_is_replaced_at_once_and_registered_anew() {
    let scene = Scene::new().set("stable_secs", 0).set("sync_endpoint", "\"/api\"");
    let scene = scene.set("restart_backoff_min_secs", NEVER).set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    supervisor.wait_for_log(SYNCED);
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    supervisor.wait_for_nth_log(2, SYNCED);
    assert_ne!(first, second);
    let died = supervisor.wait_for_log(DIED);
    assert!(died.contains("signal 9 (SIGKILL)") && died.contains("restarting at once"), "{died}");
    let syncs: Vec<i32> = scene.report().requests("PUT").iter().map(|sync| sync.pid()).collect();
    assert_eq!(syncs, [first, second]);
}

#[test]
fn worker_that_was_ready_but_not_for_long_waits_the_minimum_each_time() {
    let scene = Scene::new().set("stable_secs", NEVER).set("restart_backoff_min_secs", "0.3");
    let supervisor = scene.start();
    for nth in 1..=3 {
        send_signal(supervisor.wait_nth_ready(nth), Signal::SIGKILL);
        let died = supervisor.wait_for_nth_log(nth, DIED);
        assert!(died.contains("restarting in 300 ms"), "{died}");
    }
    supervisor.wait_nth_ready(4);
}

#[test]
fn worker_that_cannot_start_is_retried_on_a_doubling_ladder() {
    let scene = Scene::new().worker(&["--no-listen", "--exit-after", "0", "--exit-code", "7"]);
    let scene = scene.set("restart_backoff_min_secs", "0.05").set("restart_backoff_max_secs", "1.5");
    // Repeats are held back from the log, but not from its debug level.
    let supervisor = scene.start_with(scene.program().arg("--verbose"));
    let starts = scene.wait_for_events("start", 8);
    supervisor.wait_for_nth_log(7, DIED);
    let ladder = ["50 ms", "100 ms", "200 ms", "400 ms", "800 ms", "1.5 s", "1.5 s"];
    for (line, delay) in supervisor.lines_with(DIED).iter().zip(ladder) {
        assert!(line.contains(&format!("exit code 7; restarting in {delay} ")), "not {delay}: {line}");
    }
    let steps_ms = [50, 100, 200, 400, 800, 1500, 1500];
    for (pair, step_ms) in starts.windows(2).zip(steps_ms) {
        let (gap, step) = (gap(&pair[0], &pair[1]), Duration::from_millis(step_ms));
        // The delay runs from the exit, which is after the start; the top is for a machine that is busy.
        assert!(gap >= step && gap < step + slowed(LIMIT / 4), "{gap:?} instead of {step:?}");
    }
}

#[test]
fn one_healthy_answer_starts_the_ladder_anew() {
    let failing = ["--no-listen", "--exit-after", "0", "--exit-code", "7"];
    let lives =
        [&["--life"][..], &failing, &["--life"], &failing, &["--life", "--life"], &failing, &["--life"]].concat();
    let scene = Scene::new().worker(&lives).set("stable_secs", NEVER);
    let scene = scene.set("restart_backoff_min_secs", "0.05").set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert!(request(scene.port().number(), "GET", "/exit/3").is_err());
    supervisor.wait_nth_ready(2);
    let delays: Vec<String> = supervisor.lines_with(DIED);
    let expected = ["50 ms", "100 ms", "50 ms", "50 ms"];
    assert_eq!(delays.len(), expected.len(), "{delays:#?}");
    for (line, delay) in delays.iter().zip(expected) {
        assert!(line.contains(&format!("restarting in {delay} ")), "not {delay}: {line}");
    }
}

#[test]
fn exit_code_0_is_a_death_like_any_other() {
    let scene = Scene::new().worker(&["--life", "--no-listen", "--exit-after", "0", "--life"]);
    let supervisor = scene.start();
    let died = supervisor.wait_for_log(DIED);
    assert!(died.contains("exit code 0; a worker has to stay in the foreground; restarting in 100 ms "), "{died}");
    supervisor.wait_ready();
}

#[test]
fn failed_launch_is_told_before_its_backoff_begins() {
    let scene = Scene::new().command(&["no-such-program"]);
    let scene = scene.set("restart_backoff_min_secs", NEVER).set("restart_backoff_max_secs", NEVER);
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(LAUNCH_FAILED);
    assert!(line.contains("\"no-such-program\"") && line.contains("retrying in 3600 s failures=1"), "{line}");
}

/// A scene whose program is `bin/program`, which is for the test to put there.
fn scene_without_program() -> Scene {
    let scene = Scene::new();
    fs::create_dir(scene.file("bin")).expect("a directory");
    let program = scene.file("bin/program");
    let [port, report] = [scene.port().number().to_string(), path_text(&scene.file("report"))];
    scene.command(&[&path_text(&program), "--port", &port, "--report", &report])
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("paths of tests are UTF-8").to_owned()
}

/// The launch fails for this reason, more than once, in one line each; and succeeds once the fault is mended.
#[track_caller]
fn assert_told_and_mended(scene: &Scene, reason: &str, mend: impl FnOnce()) -> i32 {
    let supervisor = scene.start();
    let line = supervisor.wait_for_nth_log(2, LAUNCH_FAILED);
    assert!(line.contains(reason) && line.contains("retrying in ") && line.contains("failures=2"), "{line}");
    let errors = supervisor.lines_with(support::words::ERROR);
    assert!(errors.iter().all(|line| line.contains(LAUNCH_FAILED)), "{errors:#?}");
    assert_eq!(scene.report().starts().len(), 0);
    mend();
    let pid = supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
    pid
}

#[test]
fn missing_program_is_told_and_started_once_it_is_there() {
    let scene = scene_without_program();
    assert_told_and_mended(&scene, "bin/program\": there is none", || {
        symlink(worker_program(), scene.file("bin/program")).expect("a link");
    });
}

#[test]
fn program_that_is_not_executable_is_told_and_started_once_it_is() {
    let scene = scene_without_program();
    fs::copy(worker_program(), scene.file("bin/program")).expect("a copy");
    let set_mode = |mode| fs::set_permissions(scene.file("bin/program"), Permissions::from_mode(mode)).expect("a mode");
    set_mode(0o644);
    assert_told_and_mended(&scene, "it is not executable", || set_mode(0o755));
}

#[test]
fn file_that_is_no_program_is_told_and_started_once_it_is_one() {
    let scene = scene_without_program();
    fs::write(scene.file("bin/program"), "This is no program.\n").expect("a file");
    fs::set_permissions(scene.file("bin/program"), Permissions::from_mode(0o755)).expect("a mode");
    assert_told_and_mended(&scene, "it is no program, and has no first line", || {
        symlink(worker_program(), scene.file("bin/new")).expect("a link");
        fs::rename(scene.file("bin/new"), scene.file("bin/program")).expect("a rename");
    });
}

/// XNU lets a program be executed that somebody has open for writing.
#[cfg(not(target_os = "macos"))]
#[test]
fn program_that_is_being_written_is_told_and_started_once_it_is_closed() {
    let scene = scene_without_program();
    fs::copy(worker_program(), scene.file("bin/program")).expect("a copy");
    let writer = fs::OpenOptions::new().append(true).open(scene.file("bin/program")).expect("it opens");
    assert_told_and_mended(&scene, "Text file busy", || drop(writer));
}

#[test]
fn missing_worker_dir_is_told_and_entered_once_it_is_there() {
    let scene = Scene::new();
    let dir = scene.file("work");
    let scene = scene.set("worker_dir", quoted(&dir));
    let reason = format!("cannot run in worker_dir {dir:?}: there is none");
    assert_told_and_mended(&scene, &reason, || fs::create_dir(&dir).expect("a directory"));
    assert_eq!(scene.report().starts()[0].field("cwd"), path_text(&dir));
}

#[test]
fn environment_that_is_too_big_is_told_and_the_worker_started_once_it_is_smaller() {
    let scene = Scene::new();
    let env_file = scene.file("worker.env");
    // Together more than any of the systems takes: 128 KiB a string on Linux, 1 MiB in all on macOS.
    fs::write(&env_file, format!("BIG={}\n", "x".repeat(1_000_000))).expect("a file");
    let scene = scene.set("env_file", quoted(&env_file)).set_in("env", "ALSO_BIG", &"y".repeat(120_000));
    assert_told_and_mended(&scene, "variable BIG has 1000000 bytes", || {
        fs::write(&env_file, "BIG=x\n").expect("a file");
    });
}

#[test]
fn missing_env_file_is_told_and_read_once_it_is_there() {
    let scene = Scene::new();
    let env_file = scene.file("worker.env");
    let scene = scene.set("env_file", quoted(&env_file));
    assert_told_and_mended(&scene, "worker.env\": no such file", || fs::write(&env_file, "A=1\n").expect("a file"));
}

#[test]
fn worker_starts_clean_even_if_the_supervisor_did_not() {
    let scene = Scene::new().set("stable_secs", 0);
    fs::create_dir(scene.file("work")).expect("a directory");
    let dir = scene.file("work");
    let scene = scene.set("worker_dir", quoted(&dir));
    let program = scene.program();
    let mut burdened = std::process::Command::new(worker_program());
    burdened.arg("--burden").arg(program.get_program()).args(program.get_args());
    burdened.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let supervisor = scene.start_with(&mut burdened);
    let pid = supervisor.wait_ready();
    let start = scene.report().starts()[0].clone();
    assert_eq!(start.pid(), pid);
    assert_eq!([start.field("mask"), start.field("ignored"), start.field("fds")], ["none", "none", "0,1,2"]);
    assert_eq!([start.field("stdin"), start.field("append")], ["null", "1,2"]);
    assert_eq!([start.number::<i32>("pgid"), start.number("ppid")], [pid, supervisor.pid()]);
    assert_eq!(start.field("cwd"), path_text(&dir));
    // An ignored SIGCHLD would have lost the status.
    send_signal(pid, Signal::SIGKILL);
    assert!(supervisor.wait_for_log(DIED).contains("signal 9 (SIGKILL)"));
    supervisor.wait_nth_ready(2);
    assert_eq!(supervisor.stop(), 0);
}

/// The variables of a dump whose names begin with `V_`, sorted.
fn dumped(scene: &Scene) -> Vec<String> {
    let bytes = fs::read(scene.file("dump")).expect("the worker has written its environment");
    let records = bytes.split(|byte| *byte == 0).map(|record| String::from_utf8_lossy(record).into_owned());
    let mut variables: Vec<String> = records.filter(|record| record.starts_with("V_")).collect();
    variables.sort();
    variables
}

#[test]
fn environment_is_layered_and_made_anew_at_each_start() {
    let scene = Scene::new();
    let dump = path_text(&scene.file("dump"));
    let env_file = scene.file("worker.env");
    fs::write(&env_file, "export V_B=file\nV_C='file'\nV_D=file\n").expect("a file");
    let scene = scene.worker(&["--dump-env", &dump]).set("stable_secs", 0).set("env_file", quoted(&env_file));
    let scene = scene.set_in("env", "V_C", "table");
    let scene = ["V_A", "V_B", "V_C"].into_iter().fold(scene, |scene, name| scene.environment(name, "inherited"));
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    assert_eq!(dumped(&scene), ["V_A=inherited", "V_B=file", "V_C=table", "V_D=file"]);
    fs::write(&env_file, "V_D=edited\n").expect("a file");
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert_eq!(dumped(&scene), ["V_A=inherited", "V_B=inherited", "V_C=table", "V_D=edited"]);
}

#[test]
fn program_is_looked_up_in_the_path_that_the_worker_gets() {
    let scene = scene_without_program();
    symlink(worker_program(), scene.file("bin/some-worker")).expect("a link");
    let [port, report] = [scene.port().number().to_string(), path_text(&scene.file("report"))];
    let path = path_text(&scene.file("bin"));
    let scene = scene.command(&["some-worker", "--port", &port, "--report", &report]).set_in("env", "PATH", &path);
    scene.start().wait_ready();
}

#[test]
fn what_a_worker_leaves_in_its_group_is_gone_before_the_next_one_starts() {
    let scene = Scene::new().worker(&["--fork-child"]).set("stable_secs", 0);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    let left = scene.report().descendants()[0];
    assert_eq!(group_of(left), Some(first));
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert!(!process_alive(left));
}

#[test]
fn descendant_that_keeps_the_port_in_the_workers_group_is_no_conflict() {
    let lives = ["--life", "--hand-over"].repeat(10);
    let scene = Scene::new().worker(&[&lives[..], &["--life"]].concat()).set("restart_backoff_min_secs", 0);
    let scene = scene.set("restart_backoff_max_secs", 0);
    let supervisor = scene.start_with(scene.program().arg("--verbose"));
    let starts = scene.wait_for_events("start", 11);
    let last = starts.last().expect("eleven starts").pid();
    wait_for_ready(&scene, &supervisor, last);
    // A machine that is very busy may need longer to kill than a start is worth waiting for.
    assert!(supervisor.lines_with(PORT_CONFLICT).len() <= 1, "{}", scene.story());
    assert!(scene.report().descendants().into_iter().all(|pid| !process_alive(pid)));
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn worker_that_becomes_a_daemon_has_died_and_its_daemon_is_moved_from_the_port() {
    let scene = Scene::new().worker(&["--life", "--hand-over", "--escape", "--life"]).set("port_grace_secs", 10);
    let supervisor = scene.start();
    let starts = scene.wait_for_events("start", 2);
    let second = starts[1].pid();
    wait_for_ready(&scene, &supervisor, second);
    // Whether its exit is seen first or an answer of its daemon.
    supervisor.wait_for_log("worker died: exit code 0; ");
    let daemon = scene.report().descendants()[0];
    // Who had answered before is one of the worker's, and killed with it; else it is a holder like any other.
    assert!([None, Some(&"TERM")].contains(&scene.report().signals_of(daemon).first()));
    assert!(!process_alive(daemon));
}

/// Repeats go to the debug level, with its own word.
const READY_AT_ANY_LEVEL: &str = " ready after_ms=";

/// Waits until the worker with this pid is ready.
#[track_caller]
fn wait_for_ready(scene: &Scene, supervisor: &Supervisor<'_>, pid: i32) {
    let is_of_it = |line: &String| field(line, "pid") == Some(&pid.to_string());
    wait_for(
        &format!("readiness of {pid}"),
        LIMIT,
        || scene.story(),
        || supervisor.lines_with(READY_AT_ANY_LEVEL).iter().any(is_of_it).then_some(()),
    );
}

/// Kills a worker as soon as it runs, and its successor once that is ready.
fn crash_twice(supervisor: &Supervisor<'_>, scene: &Scene, round: usize) {
    let running = scene.wait_for_events("start", 2 * round - 1)[2 * round - 2].pid();
    send_signal(running, Signal::SIGKILL);
    let next = scene.wait_for_events("start", 2 * round)[2 * round - 1].pid();
    wait_for_ready(scene, supervisor, next);
    send_signal(next, Signal::SIGKILL);
}

/// More than are ever held for one probe and the next launch.
const DESCRIPTORS_AHEAD: usize = 10;

#[test]
fn a_hundred_double_crashes_leave_no_zombie_and_no_descriptor() {
    let scene = Scene::new().set("stable_secs", 0);
    let scene = scene.set("restart_backoff_min_secs", 0).set("restart_backoff_max_secs", 0);
    let supervisor = scene.start_with(scene.program().arg("--verbose"));
    crash_twice(&supervisor, &scene, 1);
    let settled = |starts: usize, expected: Option<Option<usize>>| {
        let newest = scene.wait_for_events("start", starts)[starts - 1].pid();
        wait_for_ready(&scene, &supervisor, newest);
        wait_until("one worker and no zombie", LIMIT, || children_of(supervisor.pid()) == [newest]);
        // A probe has a descriptor while it is under way, and the next launch some that are made ahead: of a leak there
        // would be one for each crash.
        wait_until("as many descriptors as before", LIMIT, || {
            expected.is_none_or(|expected: Option<usize>| {
                descriptors_of(supervisor.pid()) <= expected.map(|expected| expected + DESCRIPTORS_AHEAD)
            })
        });
        descriptors_of(supervisor.pid())
    };
    let before = settled(3, None);
    for round in 2..=100 {
        crash_twice(&supervisor, &scene, round);
    }
    settled(201, Some(before));
}

#[test]
fn a_terminal_is_told_what_happens() {
    let scene = Scene::new();
    let OpenptyResult { master, slave } = openpty(None, None).expect("a terminal");
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a terminal that doesn't wait");
    let mut program = scene.program();
    let mut supervisor = program.stdin(Stdio::null()).stderr(slave).spawn().expect("the supervisor starts");
    let (mut screen, mut shown) = (File::from(master), String::new());
    let mut buffer = [0; 4096];
    let mut look = || {
        let count = screen.read(&mut buffer).unwrap_or(0);
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        shown.contains(READY).then_some(())
    };
    wait_for("a line on the terminal", LIMIT, || scene.story(), &mut look);
    send_signal(i32::try_from(supervisor.id()).expect("a pid"), Signal::SIGTERM);
    let ended = wait_for("its end", LIMIT, || scene.story(), || supervisor.try_wait().expect("a child"));
    assert!(ended.success(), "{ended}");
}
