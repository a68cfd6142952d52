//! The way from a start script, and from the earlier supervisor's file, as the page on migration shows it: what it
//! shows loads, says the same as what was there before, and does it.

mod pages;
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pages::{HOME, block, load, load_well, page};
use support::{Fixture, Scene, quoted};
use worker_supervisor::config::{Config, ConfigError};

const PAGE: &str = "migration.md";

/// The text between two others, wherever the first stands.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// The variables that the script exports, with the names of their secrets.
fn leased(script: &str) -> Vec<(&str, &str)> {
    let lease = |line| Some((between(line, "export ", "=")?, between(line, "$(secrets lease ", " ")?));
    script.lines().filter_map(lease).collect()
}

/// The variables that the property list sets.
fn plist_variables(plist: &str) -> Vec<(&str, &str)> {
    let dict = between(plist, "<key>EnvironmentVariables</key>", "</dict>").expect("variables");
    let entries = dict.split("<key>").skip(1);
    entries.filter_map(|entry| Some((entry.split_once('<')?.0, between(entry, "<string>", "<")?))).collect()
}

fn secrets_of(config: &Config) -> Vec<(&str, &str)> {
    config.secrets.iter().map(|secret| (secret.variable.as_str(), secret.name.as_str())).collect()
}

#[test]
fn the_config_says_all_that_the_script_and_its_job_said() {
    let page = page(PAGE);
    let (script, plist) = (block(&page, "sh start.sh"), block(&page, "xml com.example.worker.plist"));
    let config = load_well("worker-supervisor", &block(&page, "toml from-script"));
    let sync = config.sync_endpoint.as_deref().expect("a sync");
    assert!(script.contains(&format!("exec {}\n", config.command.join(" "))));
    assert!(script.contains(&format!("lsof -ti :{} ", config.port)));
    assert!(script.contains(&format!("curl -X PUT http://{}{sync})", config.address())));
    let at_home = |text: &str| text.replace("$HOME", HOME);
    assert_eq!(between(&script, "cd \"", "\"").map(at_home).as_deref(), config.worker_dir.to_str());
    assert_eq!(
        between(&script, ". \"", "\"").map(at_home).as_deref(),
        config.env_file.as_ref().and_then(|p| p.to_str())
    );
    assert_eq!(leased(&script), secrets_of(&config));
    assert_eq!(between(&plist, "<string>", "<"), Some(config.launchd_label.as_str()));
    let own = config.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let of_launchd = |name: &str| ["HOME", "PATH"].contains(&name);
    let moved: Vec<_> = plist_variables(&plist).into_iter().filter(|(name, _)| !of_launchd(name)).collect();
    assert_eq!(moved, own.collect::<Vec<_>>());
}

/// The config of the page, with this test's worker, port, directories and secrets tool in it.
fn on_this_machine(content: &str, scene: &Scene) -> String {
    let tool = scene.file("secrets");
    fs::write(&tool, "#!/bin/sh\necho \"the value of $2\"\n").expect("a secrets tool");
    fs::set_permissions(&tool, Permissions::from_mode(0o755)).expect("an executable file");
    fs::write(scene.file("env"), "FROM_FILE=yes\n").expect("an environment file");
    fs::set_permissions(scene.file("env"), Permissions::from_mode(0o600)).expect("a private file");
    let [program, report, dump, state, log] = [
        support::worker_program(),
        scene.file("report"),
        scene.file("dumped"),
        scene.file("state"),
        scene.file("worker.log"),
    ]
    .map(quoted);
    let port = scene.port().number();
    let line = |line: &str| match line.split(' ').next() {
        Some("command") => {
            format!("command = [{program}, \"--port\", \"{port}\", \"--report\", {report}, \"--dump-env\", {dump}]")
        }
        Some("port") => format!("port = {port}"),
        Some("worker_dir") => "worker_dir = \".\"".to_owned(),
        Some("env_file") => format!("env_file = \"env\"\nstate_dir = {state}\nlog_stdout = {log}\nlog_stderr = {log}"),
        _ => line.to_owned(),
    };
    content.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn the_config_does_all_that_the_script_did() {
    let scene = Scene::new();
    let content = on_this_machine(&block(&page(PAGE), "toml from-script"), &scene);
    fs::write(scene.config_file(), content).expect("the config can be replaced");
    // The default secrets tool is a bare name, found on the PATH.
    let path = format!("{}:/usr/bin:/bin", scene.file("").to_str().expect("a path"));
    let scene = scene.environment("PATH", &path);
    // What the script's last run left behind. FreeBSD finds no holders.
    let orphan = (!cfg!(target_os = "freebsd")).then(|| Fixture::listening(scene.port(), &[]));
    let dry = scene.run(&["--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:#?}");
    let supervisor = scene.start();
    supervisor.wait_ready();
    supervisor.wait_for_log(support::words::SYNCED);
    assert!(orphan.is_none_or(|orphan| !orphan.is_alive()));
    let dumped = fs::read_to_string(scene.file("dumped")).expect("the worker's environment");
    for variable in [
        "API_TOKEN=the value of api_token",
        "WEBHOOK_SECRET=the value of webhook_secret",
        "FROM_FILE=yes",
        "INNGEST_DEV=0",
        "WORKER_ROLE=host",
    ] {
        assert!(dumped.split('\0').any(|found| found == variable), "no {variable} in {dumped:?}");
    }
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn the_old_file_is_answered_with_what_replaced_its_two_keys() {
    let page = page(PAGE);
    let Err(ConfigError::Content { problems, .. }) = load("worker-supervisor", &block(&page, "toml old")) else {
        panic!("the old file is no error")
    };
    let path = "worker-supervisor.toml".into();
    assert_eq!(ConfigError::Content { path, problems }.to_string() + "\n", block(&page, "text"));
}

#[test]
fn the_new_file_says_all_that_the_old_one_said() {
    let page = page(PAGE);
    let (old, new) = (block(&page, "toml old"), block(&page, "toml new"));
    let keys = new.split("\n\n").next().expect("keys before the sections");
    for line in old.lines().filter(|line| !line.starts_with("startup_sync_delay_secs")) {
        let renamed = line.replace("http_timeout_secs", "health_timeout_secs");
        assert!(keys.lines().any(|line| line == renamed), "no {renamed}");
    }
    assert_eq!(keys.lines().count() + 1, old.lines().count());
    let config = load_well("worker-supervisor", &new);
    assert_eq!((config.secrets.len(), config.health_timeout), (6, Duration::from_secs(5)));
}

#[test]
fn what_the_page_tells_to_type_is_understood() {
    let page = page(PAGE);
    let typed: Vec<Vec<&str>> = page
        .split("worker-supervisor ")
        .skip(1)
        .map(|rest| rest.split(['`', '#', '\n']).next().unwrap_or_default().split_whitespace().collect())
        .collect();
    let command_lines: Vec<_> = typed.into_iter().filter(|words| !words.is_empty()).collect();
    assert!(command_lines.len() >= 6, "{command_lines:?}");
    for words in command_lines {
        let parsed = worker_supervisor::cli::parse(words.iter().map(Into::into), Some(HOME.as_ref()));
        assert!(parsed.is_ok(), "{words:?}: {parsed:?}");
    }
}
