//! The command line of the real program: what it prints, how it exits, and that a start that fails leaves no trace.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::{Scene, TempDir, quoted};

const PROGRAM: &str = env!("CARGO_BIN_EXE_worker-supervisor");

/// Runs the program in a directory that is its HOME as well.
fn run_in(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(dir).env_clear().env("HOME", dir).stdin(Stdio::null());
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

/// Everything below a directory, directories too.
fn all_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the directory can be read").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = entries.collect();
    let deeper: Vec<PathBuf> = found.iter().filter(|path| path.is_dir()).flat_map(|dir| all_below(dir)).collect();
    found.extend(deeper);
    found.sort();
    found
}

/// The program fails with this code, prints nothing to stdout, says one thing on stderr, and leaves no file behind.
#[track_caller]
fn assert_fails(dir: &Path, arguments: &[&str], code: i32, mention: &str) -> String {
    let before = all_below(dir);
    let output = run_in(dir, arguments);
    let message = text(&output.stderr).to_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    assert!(message.contains(mention), "{arguments:?}: {mention:?} is not in {message:?}");
    assert!(message.starts_with("worker-supervisor: ") && message.ends_with('\n'), "{message:?}");
    assert_eq!(all_below(dir), before, "{arguments:?} left something");
    message
}

fn write_config(dir: &Path, content: &str) {
    fs::write(dir.join("worker.toml"), content).expect("a file");
    fs::set_permissions(dir.join("worker.toml"), Permissions::from_mode(0o644)).expect("a mode");
}

#[test]
fn version_is_one_line_on_stdout() {
    let dir = TempDir::new();
    for flag in ["--version", "-V"] {
        let output = run_in(dir.path(), &[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), format!("worker-supervisor {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(text(&output.stderr), "");
    }
}

#[test]
fn help_is_on_stdout_and_names_what_there_is() {
    let dir = TempDir::new();
    for flag in ["--help", "-h"] {
        let output = run_in(dir.path(), &[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stderr), "");
        for word in ["--config", "--dry-run", "--version", "status", "restart", "logs", "launchd"] {
            assert!(text(&output.stdout).contains(word), "no {word} in {}", text(&output.stdout));
        }
    }
}

/// Runs each command that prints and ends, with this as its standard output: exit code, what is on standard error.
fn with_stdout(stdout: impl Fn() -> Stdio) -> Vec<(String, Option<i32>, String)> {
    let dir = TempDir::new();
    write_config(dir.path(), "command = [\"true\"]\nport = 3111\nlog_stdout = \"log\"\nlog_stderr = \"log\"\n");
    fs::write(dir.join("log"), "a line\n").expect("a file");
    let run = |words: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(words.split(' ')).args(words.contains("config").then_some("worker.toml"));
        command.current_dir(dir.path()).env("HOME", dir.path()).stdout(stdout()).stderr(Stdio::piped());
        let output = command.output().expect("the program runs");
        (words.to_owned(), output.status.code(), text(&output.stderr).to_owned())
    };
    [
        "--help",
        "--version",
        "--dry-run --config",
        "status --config",
        "status --json --config",
        "logs --config",
        "launchd print --config",
    ]
    .map(run)
    .into()
}

#[test]
fn a_reader_that_has_gone_away_ends_every_command_quietly() {
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer.into()
    };
    for (words, code, stderr) in with_stdout(closed) {
        // No supervisor runs, whether or not that is read.
        let own = if words.starts_with("status") { 3 } else { 0 };
        assert_eq!((code, stderr.as_str()), (Some(own), ""), "{words}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_70() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("it opens").into();
    for (words, code, stderr) in with_stdout(full) {
        assert_eq!(code, Some(70), "{words}: {stderr}");
        assert!(stderr.starts_with("worker-supervisor: cannot print: "), "{words}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{words}: {stderr}");
    }
}

#[test]
fn wrong_usage_is_64_and_one_line() {
    let dir = TempDir::new();
    for (arguments, mention) in [
        (&["--confg", "x"][..], "--confg"),
        (&["start"], "start"),
        (&["--config"], "--config"),
        (&["--config", "a", "--config", "b"], "--config"),
        (&["--config", "a", "status", "--config", "b"], "twice"),
        (&["launchd", "load"], "print, install or uninstall"),
        (&["logs", "-n", "many"], "many"),
        (&["\u{1b}[31m"], "\\x1b[31m"),
    ] {
        let message = assert_fails(dir.path(), arguments, 64, mention);
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.contains("--help"), "{message}");
    }
}

#[test]
fn config_that_cannot_be_used_is_78_and_names_the_place() {
    let required = "command = [\"true\"]\nport = 3111\n";
    for (content, mention) in [
        (format!("{required}prot = 1\n"), "worker.toml:3:1: "),
        (format!("{required}prot = 1\n"), "port"),
        (format!("{required}  drain_timeout_secs = \"5\"\n"), "worker.toml:3:"),
        (format!("{required}health_interval_secs = 0\n"), "health_interval_secs"),
        (format!("{required}port = 3112\n"), "worker.toml:3:1: "),
        (format!("{required}env_file = \n"), "worker.toml:3:"),
        (format!("{required}health_endpoint = \"/a b\"\n"), "health_endpoint"),
        ("port = 3111\n".to_owned(), "command"),
        ("command = [\"true\"]\nport = 0\n".to_owned(), "worker.toml:2:"),
        (String::new(), "command"),
    ] {
        let dir = TempDir::new();
        write_config(dir.path(), &content);
        assert_fails(dir.path(), &["--config", "worker.toml"], 78, mention);
    }
}

#[test]
fn every_problem_of_a_config_is_told_at_once() {
    let dir = TempDir::new();
    write_config(dir.path(), "command = []\nport = 70000\nnonsense = 1\n");
    let message = assert_fails(dir.path(), &["--config", "worker.toml"], 78, "worker.toml:1:");
    assert!(message.contains("worker.toml:2:") && message.contains("worker.toml:3:"), "{message}");
}

#[test]
fn config_that_is_no_file_of_ours_is_78() {
    let dir = TempDir::new();
    assert_fails(dir.path(), &["--config", "none.toml"], 78, "none.toml");
    assert_fails(dir.path(), &[], 78, ".config/worker-supervisor.toml");
    fs::create_dir(dir.join("dir.toml")).expect("a directory");
    assert_fails(dir.path(), &["--config", "dir.toml"], 78, "a directory");
    nix::unistd::mkfifo(&dir.join("fifo.toml"), nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
    assert_fails(dir.path(), &["--config", "fifo.toml"], 78, "FIFO");
    write_config(dir.path(), "command = [\"true\"]\nport = 3111\n");
    fs::set_permissions(dir.join("worker.toml"), Permissions::from_mode(0o666)).expect("a mode");
    assert_fails(dir.path(), &["--config", "worker.toml"], 78, "chmod o-w");
}

#[test]
fn missing_home_is_78_where_it_is_needed() {
    let dir = TempDir::new();
    let output = Command::new(PROGRAM).env_clear().current_dir(dir.path()).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("HOME"), "{}", text(&output.stderr));
    assert_eq!(all_below(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn state_directory_that_others_may_write_is_78_and_nothing_is_started() {
    let scene = Scene::new();
    let state = scene.file("state/worker");
    fs::create_dir_all(&state).expect("a directory");
    fs::set_permissions(&state, Permissions::from_mode(0o777)).expect("a mode");
    let ran = scene.run(&[]);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    assert!(ran.stderr.contains("chmod 700"), "{}", ran.stderr);
    assert_eq!(scene.report().starts().len(), 0);
}

#[test]
fn second_supervisor_of_a_config_is_75_and_leaves_the_first_alone() {
    let scene = Scene::new().set("drain_timeout_secs", "0.1");
    let first = scene.start();
    let worker = first.wait_ready();
    let ran = scene.run(&[]);
    assert_eq!(ran.code, Some(75), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("pid {}", first.pid())), "{}", ran.stderr);
    assert!(first.is_alive() && support::process_alive(worker));
    assert_eq!(scene.report().starts().len(), 1);
}

#[test]
fn files_of_a_run_are_private() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    let mode = |name: &str| fs::metadata(scene.file(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!([mode("state"), mode("state/worker")], [0o700, 0o700]);
    for name in ["state/worker/lock", "state/worker/worker.json", "worker.log", "worker.err"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    support::wait_until("a status file", support::LIMIT, || scene.status().is_some());
    assert_eq!(mode("state/worker/status.json"), 0o600);
}

#[test]
fn log_that_cannot_be_opened_costs_the_output_and_not_the_worker() {
    let scene = Scene::new();
    fs::create_dir(scene.file("dir")).expect("a directory");
    let (dir, deep) = (quoted(scene.file("dir")), scene.file("new/deep/worker.err"));
    let scene = scene.set("log_stdout", dir).set("log_stderr", quoted(&deep));
    let supervisor = scene.start();
    supervisor.wait_ready();
    let line = supervisor.wait_for_log("cannot open log");
    assert!(line.contains("is a directory") && line.contains("its output is discarded"), "{line}");
    assert!(deep.exists());
}
