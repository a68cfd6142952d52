//! `status` and `restart` against a state directory: what they make of locks and files, and their exit codes.

mod operator_support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use operator_support::Dir;
use worker_supervisor::cli::StatusForm;
use worker_supervisor::commands::restart::restart;
use worker_supervisor::commands::status::{Style, status};
use worker_supervisor::config::{Config, Reading};
use worker_supervisor::error::ExitCode;
use worker_supervisor::lock::Lock;
use worker_supervisor::state_dir::StateDir;
use worker_supervisor::supervise::report::status::Status;
use worker_supervisor::time::Now;

fn config(dir: &Dir) -> Config {
    let text = "name = \"demo\"\ncommand = [\"true\"]\nport = 1\nstate_dir = \"state\"\n";
    fs::write(dir.join("worker.toml"), text).expect("written");
    Config::load_with_home(&dir.join("worker.toml"), Some(dir.path().as_os_str())).expect("a config").config
}

fn state_dir(config: &Config) -> StateDir {
    StateDir::open(&config.state_dir, &config.name).expect("the state directory")
}

fn lock(config: &Config) -> Lock {
    let lock = Lock::of_config(&state_dir(config)).expect("no error").expect("the lock is free");
    lock.announce(&[]);
    lock
}

/// What a supervisor leaves that is gone: its lock file.
fn leave_lock(config: &Config) {
    fs::write(state_dir(config).lock_path(), "1 another-start\n").expect("written");
}

/// What a supervisor in this process would have written just now.
fn healthy() -> Status {
    let now_ms = Now::read().wall_ms;
    Status {
        supervisor_pid: std::process::id(),
        name: "demo".into(),
        state: "running".into(),
        healthy: true,
        pid: Some(std::process::id().cast_signed()),
        since_ms: now_ms,
        updated_ms: now_ms,
        health_interval_ms: 30_000,
        ..Status::default()
    }
}

/// Exit code and headline.
fn ask(config: &Config) -> (ExitCode, String) {
    let mut output = Vec::new();
    let code = status(config, Reading::Whole, StatusForm::Page, Style::Plain, &mut output).expect("a status");
    let text = String::from_utf8(output).expect("text");
    (code, text.lines().next().unwrap_or_default().to_owned())
}

fn ask_json(config: &Config) -> (ExitCode, serde_json::Value) {
    let mut output = Vec::new();
    let code = status(config, Reading::Whole, StatusForm::Json, Style::Plain, &mut output).expect("a status");
    (code, serde_json::from_slice(&output).expect("JSON"))
}

#[test]
fn a_config_that_was_never_run_is_not_running_and_nothing_is_created() {
    let dir = Dir::new();
    let config = config(&dir);
    assert_eq!(ask(&config), (ExitCode::NotRunning, "demo: not running".into()));
    assert_eq!(ask_json(&config).1, serde_json::json!({ "running": false, "healthy": false }));
    assert_eq!(dir.names(), ["worker.toml"]);
}

#[test]
fn a_healthy_worker_is_exit_code_0_and_any_other_1() {
    let dir = Dir::new();
    let config = config(&dir);
    let _lock = lock(&config);
    healthy().write(&state_dir(&config)).expect("written");
    let (code, headline) = ask(&config);
    assert!(code == ExitCode::Ok && headline.starts_with("demo: healthy for "), "{headline}");
    let (code, json) = ask_json(&config);
    assert_eq!((code, &json["running"], &json["healthy"]), (ExitCode::Ok, &true.into(), &true.into()));
    let starting = Status { state: "starting".into(), healthy: false, ..healthy() };
    starting.write(&state_dir(&config)).expect("written");
    let (code, headline) = ask(&config);
    assert!(code == ExitCode::Failed && headline.starts_with("demo: starting for "), "{headline}");
}

#[test]
fn the_file_of_a_dead_supervisor_proves_nothing() {
    let dir = Dir::new();
    let config = config(&dir);
    leave_lock(&config);
    healthy().write(&state_dir(&config)).expect("written");
    let (code, headline) = ask(&config);
    assert_eq!(code, ExitCode::NotRunning);
    assert!(headline.starts_with("demo: not running, last seen ") && headline.ends_with(" ago: healthy"), "{headline}");
    let (code, json) = ask_json(&config);
    assert_eq!((code, &json["running"], &json["healthy"]), (ExitCode::NotRunning, &false.into(), &false.into()));
}

#[test]
fn an_old_file_of_a_living_supervisor_is_not_believed() {
    let dir = Dir::new();
    let config = config(&dir);
    let _lock = lock(&config);
    let old = Status { updated_ms: Now::read().wall_ms - 600_000, ..healthy() };
    old.write(&state_dir(&config)).expect("written");
    let (code, headline) = ask(&config);
    assert_eq!(code, ExitCode::Failed);
    assert!(headline.starts_with("demo: not known to be healthy, last seen 10 min"), "{headline}");
    assert_eq!(ask_json(&config).1["healthy"], false);
}

#[test]
fn a_supervisor_without_a_status_of_its_own_is_not_healthy() {
    let dir = Dir::new();
    let config = config(&dir);
    let _lock = lock(&config);
    let pid = std::process::id();
    let expected =
        format!("demo: not known to be healthy; a supervisor runs (pid {pid}), but no status has been written yet");
    assert_eq!(ask(&config), (ExitCode::Failed, expected.clone()));
    Status { supervisor_pid: 1, ..healthy() }.write(&state_dir(&config)).expect("written");
    assert_eq!(ask(&config), (ExitCode::Failed, expected));
}

#[test]
fn a_damaged_file_is_reported_as_such() {
    let dir = Dir::new();
    let config = config(&dir);
    fs::write(state_dir(&config).status_path(), "{").expect("written");
    let (code, headline) = ask(&config);
    assert_eq!(code, ExitCode::NotRunning);
    assert!(headline.contains("the status file can't be read"), "{headline}");
    let _lock = lock(&config);
    let (code, headline) = ask(&config);
    assert_eq!(code, ExitCode::Failed);
    assert!(headline.contains("the status file can't be read"), "{headline}");
    assert_eq!(ask_json(&config).1, serde_json::json!({ "running": true, "healthy": false }));
}

#[test]
fn a_directory_that_others_may_write_is_not_believed() {
    let dir = Dir::new();
    let config = config(&dir);
    fs::set_permissions(state_dir(&config).path(), Permissions::from_mode(0o777)).expect("the mode to be set");
    let error = status(&config, Reading::Whole, StatusForm::Page, Style::Plain, &mut Vec::new()).expect_err("refused");
    assert_eq!(error.code, ExitCode::Config);
    assert_eq!(restart(&config, &mut Vec::new(), &mut Vec::new()).expect_err("refused").code, ExitCode::Config);
}

#[test]
fn a_restart_needs_a_supervisor() {
    let dir = Dir::new();
    let config = config(&dir);
    assert_eq!(restart(&config, &mut Vec::new(), &mut Vec::new()).expect_err("none").code, ExitCode::NotRunning);
    leave_lock(&config);
    healthy().write(&state_dir(&config)).expect("written");
    let error = restart(&config, &mut Vec::new(), &mut Vec::new()).expect_err("none");
    assert_eq!(error.code, ExitCode::NotRunning);
    assert!(error.message.starts_with("cannot restart the worker: no supervisor runs for"), "{error}");
}

#[test]
fn nobody_is_signalled_in_the_place_of_an_unknown_holder() {
    let dir = Dir::new();
    let config = config(&dir);
    let _lock = lock(&config);
    // SIGUSR1 would end this test.
    for left in ["", "x\n", &format!("{} another-start\n", std::process::id()), &format!("{}\n", std::process::id())] {
        fs::write(state_dir(&config).lock_path(), left).expect("written");
        assert_eq!(
            restart(&config, &mut Vec::new(), &mut Vec::new()).expect_err("refused").code,
            ExitCode::Failed,
            "{left:?}"
        );
    }
}
