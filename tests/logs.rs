//! `logs` through the real program: the end of both logs, and what follows, while the supervisor rotates them.

mod support;

use std::fs::{self, File, OpenOptions, read_to_string};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use support::{LIMIT, Scene, Signal, quoted, request, send_signal, wait_for, wait_until};

/// Writes numbered lines.
fn write_lines(path: &Path, lines: u32) {
    let text: String = (1..=lines).map(|number| format!("line {number}\n")).collect();
    fs::write(path, text).expect("a log");
}

fn append(path: &Path, text: &str) {
    let mut log = OpenOptions::new().append(true).open(path).expect("a log");
    log.write_all(text.as_bytes()).expect("there is room");
}

/// Both logs of a scene without a supervisor: 30 lines, and 3.
fn scene_with_logs() -> Scene {
    let scene = Scene::new();
    write_lines(&scene.file("worker.log"), 30);
    write_lines(&scene.file("worker.err"), 3);
    scene
}

/// `logs -f` under way; killed when it is dropped.
struct Following<'a> {
    scene: &'a Scene,
    child: Child,
}

impl<'a> Following<'a> {
    fn start(scene: &'a Scene, arguments: &[&str]) -> Self {
        let [stdout, stderr] =
            ["logs.out", "logs.err"].map(|name| File::create(scene.file(name)).expect("a file for its output"));
        let mut command = scene.program();
        command.arg("logs").args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        Self { scene, child: command.spawn().expect("the program starts") }
    }

    fn shown(&self) -> String {
        read_to_string(self.scene.file("logs.out")).expect("its output can be read")
    }

    fn notes(&self) -> String {
        read_to_string(self.scene.file("logs.err")).expect("its notes can be read")
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let told = || format!("{}{}", self.shown(), self.notes());
        wait_for(&format!("{text:?} in the output of logs"), LIMIT, told, || self.shown().contains(text).then_some(()));
    }

    #[track_caller]
    fn end_by(&mut self, signal: Signal) -> Option<i32> {
        send_signal(i32::try_from(self.child.id()).expect("a pid"), signal);
        let end = wait_for("the end of logs", LIMIT, String::new, || self.child.try_wait().expect("a child"));
        end.code()
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn end_of_both_logs_is_shown_under_their_names() {
    let scene = scene_with_logs();
    let ran = scene.run(&["logs"]);
    let last_ten: String = (21..=30).map(|number| format!("line {number}\n")).collect();
    let expected = format!(
        "==> {} <==\n{last_ten}\n==> {} <==\nline 1\nline 2\nline 3\n",
        scene.file("worker.log").display(),
        scene.file("worker.err").display()
    );
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), expected.as_str(), ""));
}

#[test]
fn as_many_lines_as_asked_for_are_shown() {
    let scene = scene_with_logs();
    let lines = |arguments: &[&str]| {
        let ran = scene.run(arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout.lines().filter(|line| line.starts_with("line ")).count()
    };
    for (number, shown) in [("0", 0), ("1", 2), ("2", 4), ("5", 8), ("1000", 33)] {
        assert_eq!(lines(&["logs", "-n", number]), shown, "-n {number}");
    }
    assert_eq!(scene.run(&["logs", "-n", "many"]).code, Some(64));
}

#[test]
fn one_log_for_both_streams_is_shown_once_and_without_a_header() {
    let scene = scene_with_logs();
    let log = quoted(scene.file("worker.err"));
    let scene = scene.set("log_stdout", log);
    assert_eq!(scene.run(&["logs"]).stdout, "line 1\nline 2\nline 3\n");
}

#[test]
fn log_that_is_missing_is_noted_and_the_other_one_shown() {
    let scene = scene_with_logs();
    fs::remove_file(scene.file("worker.log")).expect("a log");
    let ran = scene.run(&["logs"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.ends_with("worker.err <==\nline 1\nline 2\nline 3\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("cannot open ") && ran.stderr.contains("worker.log"), "{}", ran.stderr);
}

#[test]
fn what_the_worker_writes_is_shown_as_it_comes_until_a_signal_ends_it() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let scene = Scene::new().worker(&["--stderr-line", "first words"]);
        let supervisor = scene.start();
        supervisor.wait_ready();
        let mut following = Following::start(&scene, &["-f"]);
        following.wait_for("worker.err <==\nfirst words\n");
        assert_eq!(request(scene.port().number(), "GET", "/print/128").expect("an answer").status, 200);
        let header = format!("\n==> {} <==\n", scene.file("worker.log").display());
        following.wait_for(&format!("{header}{:063}\n{:063}\n", 0, 1));
        assert_eq!(following.end_by(signal), Some(0));
        assert_eq!(following.notes(), "");
        assert!(supervisor.is_alive());
    }
}

#[test]
fn following_goes_on_across_rotations_and_misses_nothing_that_it_had_time_for() {
    let scene = Scene::new().set("log_max_bytes", 4096).set("log_keep", 1);
    let (log, older) = (scene.file("worker.log"), scene.file("worker.log.1"));
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let mut following = Following::start(&scene, &["-f", "-n", "0"]);
    following.wait_for("worker.err <==\n");
    for round in 1..=3 {
        append(&log, &format!("before rotation {round}\n"));
        following.wait_for(&format!("before rotation {round}\n"));
        append(&log, &format!("{}\n", "x".repeat(5000)));
        let is_rotated = || {
            let rotated = read_to_string(&older).unwrap_or_default();
            fs::metadata(&log).is_ok_and(|log| log.len() == 0) && rotated.contains(&format!("rotation {round}\n"))
        };
        wait_until("a rotation", LIMIT, is_rotated);
        wait_until("a note on it", LIMIT, || following.notes().matches(" was rotated").count() == round);
        append(&log, &format!("after rotation {round}\n"));
        following.wait_for(&format!("after rotation {round}\n"));
    }
    assert_eq!(following.end_by(Signal::SIGINT), Some(0));
    for round in 1..=3 {
        let count = |text: &str| following.shown().matches(&format!("{text} rotation {round}\n")).count();
        assert_eq!((count("before"), count("after")), (1, 1), "nothing twice");
    }
    assert_eq!(scene.report().workers(), [worker]);
}

#[test]
fn following_goes_over_to_a_log_that_the_next_worker_made_anew() {
    let scene = Scene::new().worker(&["--life", "--stderr-line", "one", "--life", "--stderr-line", "two"]);
    let scene = scene.set("stable_secs", 0);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    let mut following = Following::start(&scene, &["-f"]);
    following.wait_for("one\n");
    fs::remove_file(scene.file("worker.err")).expect("a log");
    send_signal(first, Signal::SIGKILL);
    following.wait_for("two\n");
    assert_eq!(following.end_by(Signal::SIGINT), Some(0));
    assert_eq!(following.shown().matches("one\n").count(), 1);
}

#[test]
fn following_ends_with_its_reader() {
    let scene = scene_with_logs();
    let mut command = scene.program();
    command.args(["logs", "-f"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    let end = wait_for("the end of logs", LIMIT, String::new, || child.try_wait().expect("a child"));
    assert_eq!(end.code(), Some(0));
}
