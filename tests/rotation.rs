//! The worker's logs: kept below a size while the worker writes, opened anew for each worker whatever became of them,
//! and read for the last words of a dead one.

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use support::words::{DIED, WARN, field};
use support::{LIMIT, Scene, Signal, quoted, request, send_signal, wait_for, wait_until};

/// A line of the fixture's, with its line feed.
const LINE_BYTES: u64 = 64;

/// The least that `log_max_bytes` may be.
const SMALL: u64 = 4096;

/// The numbers of the fixture's lines in a file, in order; other lines are left out.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.trim_end_matches('.').parse().ok()).collect()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("the log can be read")).into_owned()
}

/// Has the worker print so many lines to its standard output.
#[track_caller]
fn print_lines(scene: &Scene, lines: u64) {
    let path = format!("/print/{}", lines * LINE_BYTES);
    let answer = request(scene.port().number(), "GET", &path).expect("the worker answers");
    assert_eq!(answer.status, 200);
}

/// Makes a log too large in one go, so that no rotation can come in between. Returns what was added.
fn overfill(log: &Path, mark: char) -> String {
    let block = format!("{}\n", mark.to_string().repeat(5000));
    let mut log = File::options().append(true).open(log).expect("a log");
    log.write_all(block.as_bytes()).expect("there is room");
    block
}

#[test]
fn log_that_grows_too_large_is_rotated_while_the_worker_writes_and_loses_at_most_what_falls_between() {
    const LINES: u64 = 20_000;
    let scene = Scene::new().worker(&["--chatter", &LINES.to_string()]).set("health_interval_secs", "0.05");
    let scene = scene.set("log_max_bytes", 100 * LINE_BYTES).set("log_keep", 100);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let log = scene.file("worker.log");
    let older = |number: usize| scene.file(&format!("worker.log.{number}"));
    let is_written = || numbers(&log).last().or(numbers(&older(1)).last()) == Some(&(LINES - 1));
    wait_for("the last line", LIMIT, || scene.story(), || is_written().then_some(()));
    assert_eq!(supervisor.stop(), 0);

    let rotated: Vec<usize> = (1..=100).filter(|number| older(*number).exists()).collect();
    assert!(rotated.len() >= 5, "{} rotations only", rotated.len());
    let mut files: Vec<Vec<u64>> = rotated.iter().rev().map(|number| numbers(&older(*number))).collect();
    files.push(numbers(&log));
    let (mut next, mut lost) = (files[0][0], 0);
    for (index, lines) in files.iter().enumerate() {
        for (at, number) in lines.iter().enumerate() {
            assert!(*number >= next, "{number} twice in file {index}");
            // Whatever is lost is lost between two files.
            assert!(at == 0 || *number == next, "{next} to {number} lost inside of file {index}");
            lost += number - next;
            next = number + 1;
        }
    }
    // A busy machine may stop the supervisor in the two calls between which lines are lost, for one turn of others.
    assert!(lost <= LINES / 20, "{lost} lines lost in {} rotations", rotated.len());
    assert_eq!(scene.report().workers(), [worker], "the worker has not noticed");
    assert_eq!(supervisor.lines_with(WARN), Vec::<String>::new());
}

#[test]
fn rotated_logs_are_numbered_and_the_oldest_goes() {
    let scene = Scene::new().set("log_max_bytes", SMALL).set("log_keep", 2);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let (log, first, second) = (scene.file("worker.log"), scene.file("worker.log.1"), scene.file("worker.log.2"));
    let mut blocks = Vec::new();
    for mark in ['a', 'b', 'c'] {
        blocks.push(overfill(&log, mark));
        let is_rotated = || size(&log) == 0 && first.exists() && text(&first) == blocks[blocks.len() - 1];
        wait_until("a rotation", LIMIT, is_rotated);
    }
    assert_eq!(text(&second), blocks[1]);
    // The worker goes on at the new end, and what is not too large stays.
    print_lines(&scene, SMALL / LINE_BYTES);
    let probes = scene.report().requests("GET").len();
    scene.wait_for_events("request", probes + 3);
    assert_eq!(size(&log), SMALL);
    assert_eq!(text(&first), blocks[2]);
    let mut names: Vec<String> = fs::read_dir(scene.file(""))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("worker.log"))
        .collect();
    names.sort();
    assert_eq!(names, ["worker.log", "worker.log.1", "worker.log.2"]);
    for path in [&log, &first, &second] {
        assert_eq!(fs::metadata(path).expect("a log").mode() & 0o7777, 0o600, "{path:?}");
    }
}

#[test]
fn log_that_is_too_large_at_the_start_is_rotated_then() {
    let scene = Scene::new().set("log_max_bytes", SMALL).set("health_interval_secs", 3600);
    let scene = scene.worker(&["--stderr-line", "new words"]);
    fs::write(scene.file("worker.err"), "old words\n".repeat(1000)).expect("a file");
    let _supervisor = scene.start();
    let older = scene.file("worker.err.1");
    wait_until("a rotation", LIMIT, || older.exists() && size(&scene.file("worker.err")) < SMALL);
    wait_until("the worker's words", LIMIT, || {
        [&older, &scene.file("worker.err")].into_iter().any(|path| text(path).contains("new words\n"))
    });
    assert_eq!(text(&older).matches("old words\n").count(), 1000);
}

#[test]
fn log_is_never_rotated_where_its_size_is_not_limited() {
    let scene = Scene::new().set("log_max_bytes", 0);
    let supervisor = scene.start();
    supervisor.wait_ready();
    print_lines(&scene, 200_000);
    let probes = scene.report().requests("GET").len();
    scene.wait_for_events("request", probes + 3);
    assert_eq!(size(&scene.file("worker.log")), 200_000 * LINE_BYTES);
    assert!(!scene.file("worker.log.1").exists());
}

#[test]
fn one_file_for_both_streams_has_both_in_order_and_is_rotated_once() {
    let scene = Scene::new().worker(&["--stderr-line", "first words"]).set("stable_secs", 0);
    let log = scene.file("both.log");
    let scene = scene.set("log_stdout", quoted(&log)).set("log_stderr", quoted(&log));
    let scene = scene.set("log_max_bytes", SMALL);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    assert_eq!(text(&log), "first words\n");
    print_lines(&scene, 1);
    let block = overfill(&log, 'a');
    let older = scene.file("both.log.1");
    wait_until("a rotation", LIMIT, || older.exists() && size(&log) == 0);
    let (start, end) = (text(&older), format!("\n{block}"));
    assert!(start.starts_with("first words\n0000") && start.ends_with(&end), "{start}");
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    assert_eq!(text(&log), "first words\n");
    assert!(!scene.file("both.log.2").exists());
}

#[test]
fn log_that_was_deleted_or_renamed_is_there_again_with_the_next_worker() {
    let scene = Scene::new().worker(&["--stderr-line", "words"]).set("stable_secs", 0);
    let (out, errors) = (scene.file("worker.log"), scene.file("worker.err"));
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    fs::remove_file(&errors).expect("a log");
    fs::rename(&out, scene.file("renamed.log")).expect("a log");
    print_lines(&scene, 3);
    assert_eq!(size(&scene.file("renamed.log")), 3 * LINE_BYTES, "the worker goes on with the file that it has");
    send_signal(first, Signal::SIGKILL);
    supervisor.wait_nth_ready(2);
    print_lines(&scene, 1);
    assert_eq!([size(&out), size(&scene.file("renamed.log"))], [LINE_BYTES, 3 * LINE_BYTES]);
    assert_eq!(text(&errors), "words\n");
    assert!(supervisor.lines_with(WARN).iter().all(|line| line.contains(DIED)), "{}", supervisor.stderr());
}

#[test]
fn missing_directories_of_a_log_are_made() {
    let scene = Scene::new().worker(&["--stderr-line", "words"]);
    let log = scene.file("a/b/c/worker.err");
    let scene = scene.set("log_stderr", quoted(&log));
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(text(&log), "words\n");
    assert_eq!(fs::metadata(&log).expect("a log").mode() & 0o7777, 0o600);
    assert_eq!(supervisor.lines_with(WARN), Vec::<String>::new());
}

/// The worker starts although its standard output can't be opened, which is said once, with the reason.
#[track_caller]
fn assert_discarded(scene: Scene, log: &Path, reason: &str) {
    let words = "words ".repeat(1000);
    let scene = scene.worker(&["--stderr-line", &words]).set("log_stdout", quoted(log)).set("log_max_bytes", SMALL);
    let supervisor = scene.start();
    supervisor.wait_ready();
    print_lines(&scene, 3);
    let warning = supervisor.wait_for_log(&format!("cannot open log {log:?}: "));
    assert!(warning.contains(WARN) && warning.contains(reason), "{warning}");
    assert!(warning.contains("; its output is discarded"), "{warning}");
    let probes = scene.report().requests("GET").len();
    scene.wait_for_events("request", probes + 3);
    // The other log is none the worse for it, and is rotated as ever.
    assert_eq!(text(&scene.file("worker.err.1")), format!("{words}\n"));
    assert_eq!(supervisor.lines_with("cannot open log").len(), 1, "{}", supervisor.stderr());
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn directory_in_a_logs_place_costs_the_output_and_not_the_worker() {
    let scene = Scene::new();
    let log = scene.file("log");
    fs::create_dir(&log).expect("a directory");
    assert_discarded(scene, &log, "is a directory, not a regular file");
}

#[test]
fn fifo_in_a_logs_place_costs_the_output_and_not_the_worker() {
    let scene = Scene::new();
    let log = scene.file("log");
    nix::unistd::mkfifo(&log, Mode::S_IRWXU).expect("a FIFO");
    assert_discarded(scene, &log, "is a FIFO, not a regular file");
}

#[test]
fn fifo_that_somebody_reads_is_no_log_either() {
    let scene = Scene::new();
    let log = scene.file("log");
    nix::unistd::mkfifo(&log, Mode::S_IRWXU).expect("a FIFO");
    // Both ends, so that opening it waits for nobody.
    let reader = File::options().read(true).write(true).open(&log).expect("it opens");
    assert!(reader.metadata().expect("a FIFO").file_type().is_fifo());
    assert_discarded(scene, &log, "is a FIFO, not a regular file");
}

#[test]
fn file_in_the_place_of_a_logs_directory_costs_the_output_and_not_the_worker() {
    let scene = Scene::new();
    fs::write(scene.file("dir"), "").expect("a file");
    let log = scene.file("dir/worker.log");
    assert_discarded(scene, &log, "");
}

#[test]
fn two_logs_that_cannot_be_opened_do_not_fill_the_supervisors_own_in_a_crash_loop() {
    let scene = Scene::new().command(&["/bin/sh", "-c", "exit 1"]);
    let logs = ["log", "err"].map(|name| scene.file(name));
    logs.iter().for_each(|log| fs::create_dir(log).expect("a directory"));
    let scene = scene.set("log_stdout", quoted(&logs[0])).set("log_stderr", quoted(&logs[1]));
    let scene = scene.set("restart_backoff_min_secs", 0).set("restart_backoff_max_secs", 0);
    let supervisor = scene.start_with(scene.program().arg("--verbose"));
    supervisor.wait_for_nth_log(40, DIED);
    assert!(supervisor.lines_with(" DEBUG cannot open log ").len() > 20, "{}", supervisor.stderr());
    for log in logs {
        let warnings = supervisor.lines_with(&format!(" WARN cannot open log {log:?}")).len();
        assert!((1..10).contains(&warnings), "{warnings} times");
    }
}

#[test]
fn log_that_is_a_device_is_used_and_never_rotated() {
    let scene = Scene::new().set("log_stdout", "\"/dev/null\"").set("log_max_bytes", SMALL);
    let supervisor = scene.start();
    supervisor.wait_ready();
    print_lines(&scene, 3);
    let probes = scene.report().requests("GET").len();
    scene.wait_for_events("request", probes + 3);
    assert_eq!(supervisor.lines_with(WARN), Vec::<String>::new());
}

#[test]
fn log_behind_a_link_is_written_and_rotated_beside_the_link() {
    let scene = Scene::new();
    fs::create_dir(scene.file("elsewhere")).expect("a directory");
    let target = scene.file("elsewhere/real.log");
    fs::write(&target, "").expect("a file");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).expect("a mode");
    symlink(&target, scene.file("worker.log")).expect("a link");
    let scene = scene.set("log_max_bytes", SMALL);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let block = overfill(&target, 'a');
    let older = scene.file("worker.log.1");
    wait_until("a rotation", LIMIT, || older.exists() && text(&older) == block && size(&target) == 0);
    assert!(scene.file("worker.log").is_symlink() && !older.is_symlink());
    print_lines(&scene, 2);
    assert_eq!(size(&target), 2 * LINE_BYTES);
}

#[test]
fn last_words_of_a_dead_worker_are_told_escaped() {
    let words = "early words\nlast \u{1b}[31mred\r\"words\" \u{9b}2J é\n\n";
    let scene = Scene::new().worker(&["--stderr-line", words, "--no-listen", "--exit-after", "0", "--exit-code", "3"]);
    let scene = scene.set("restart_backoff_min_secs", 3600).set("restart_backoff_max_secs", 3600);
    let supervisor = scene.start();
    let died = supervisor.wait_for_log(DIED);
    assert!(died.contains("worker died: exit code 3, last words \""), "{died}");
    assert!(died.contains("last \\x1b[31mred\\r") && died.contains("words"), "{died}");
    assert!(!died.contains("early") && !died.chars().any(char::is_control), "{died:?}");
    let in_status = || Some(scene.status()?["last_exit"]["stderr"].as_str()?.to_owned());
    let told = wait_for("last words in the status", LIMIT, || scene.story(), in_status);
    assert!(told.starts_with("last \\x1b[31mred\\r") && !told.chars().any(char::is_control), "{told:?}");
    let shown = scene.run(&["status"]).stdout;
    assert!(shown.contains("last \\x1b[31mred\\r") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn last_words_are_the_dead_workers_own_however_fast_the_next_one_writes() {
    // Each says who it is and goes; each third says nothing.
    let script = "[ $(($$ % 3)) = 0 ] || echo words of $$ >&2; exit 3";
    let scene = Scene::new().command(&["/bin/sh", "-c", script]);
    let scene = scene.set("restart_backoff_min_secs", 0).set("restart_backoff_max_secs", 0);
    // Repeats are held back from the log, but not from its debug level.
    let supervisor = scene.start_with(scene.program().arg("--verbose"));
    supervisor.wait_for_nth_log(200, DIED);
    for line in supervisor.lines_with(DIED) {
        let pid: i32 = field(&line, "pid").and_then(|pid| pid.parse().ok()).expect("a pid");
        match pid % 3 {
            0 => assert!(!line.contains("last words"), "{line}"),
            _ => assert!(line.contains(&format!("last words \"words of {pid}\";")), "{line}"),
        }
    }
}

#[test]
fn worker_that_ends_because_it_was_told_to_has_no_last_words() {
    let scene = Scene::new().worker(&["--stderr-line", "chatter"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
    let ended = supervisor.wait_for_log(support::words::ENDED);
    assert!(!ended.contains("chatter"), "{ended}");
    assert_eq!(scene.status().expect("a status file")["last_exit"]["stderr"], serde_json::Value::Null);
}

#[test]
fn log_that_is_removed_under_the_worker_is_told_while_it_lasts() {
    for max in [0, SMALL] {
        let scene = Scene::new().set("log_max_bytes", max).set("stable_secs", 0);
        let supervisor = scene.start();
        let worker = supervisor.wait_ready();
        let problems = || Some(scene.status()?["log_problems"].as_array()?.len());
        wait_for("a status without problems", LIMIT, || scene.story(), || (problems() == Some(0)).then_some(()));
        fs::remove_file(scene.file("worker.log")).expect("a log");
        let line = supervisor.wait_for_log("was removed or renamed");
        assert!(line.contains(&format!("WARN log {:?} was removed", scene.file("worker.log"))), "{line}");
        wait_for("the problem in the status", LIMIT, || scene.story(), || (problems() == Some(1)).then_some(()));
        assert!(scene.run(&["status"]).stdout.contains("log problem  log "), "{}", scene.run(&["status"]).stdout);
        let probes = scene.report().requests("GET").len();
        scene.wait_for_events("request", probes + 3);
        assert_eq!(supervisor.lines_with("was removed or renamed").len(), 1);
        send_signal(worker, Signal::SIGKILL);
        supervisor.wait_nth_ready(2);
        wait_for("a status without problems", LIMIT, || scene.story(), || (problems() == Some(0)).then_some(()));
        // A restart that was asked for reads the configuration anew.
        fs::remove_file(scene.file("worker.log")).expect("a log");
        wait_for("the problem in the status", LIMIT, || scene.story(), || (problems() == Some(1)).then_some(()));
        supervisor.signal(Signal::SIGUSR1);
        supervisor.wait_nth_ready(3);
        wait_for("a status without problems", LIMIT, || scene.story(), || (problems() == Some(0)).then_some(()));
    }
}
