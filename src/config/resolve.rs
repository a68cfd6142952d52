//! From what was typed to what is meant: defaults that depend on other keys, absolute paths, and the checks that need
//! more than one key.
//!
//! Every function notes what is wrong and goes on with something harmless, so that one run finds all problems. The
//! config that comes out is worth something only if the reader noted none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::checks::{self, LABEL_BYTES_MAX, NAME_BYTES_MAX, Roots};
use super::keys::nearest;
use super::read::{Placed, Reader};
use super::seconds;
use super::{Config, KEYS, PortConflict, SHOWN_BYTES_MAX, SecretEntry};
use crate::error::escape;
use crate::policy::StatusRule;

/// Puts a config together; problems stay in the reader. The strings are warnings.
pub(super) fn config(reader: &mut Reader<'_>, path: &Path, roots: Roots<'_>) -> (Config, Vec<String>) {
    let mut warnings = Vec::new();
    let name = name(reader, path);
    let host = host(reader);
    reader.require("port", "port = 3111");
    let port = reader.count("port") as u16;
    let (secrets, env) = (secrets(reader), env(reader, &mut warnings));
    warn_about_hidden_variables(&env, &secrets, &mut warnings);
    let config = Config {
        path: path.into(),
        command: worker_command(reader, roots),
        worker_dir: optional_path(reader, roots, "worker_dir").unwrap_or_else(|| roots.dir.into()),
        host,
        port,
        host_header: checked_text(reader, "host_header", checks::host_header)
            .unwrap_or_else(|| SocketAddr::new(host, port).to_string()),
        health_endpoint: checked_text(reader, "health_endpoint", checks::endpoint).unwrap_or_else(|| "/".into()),
        sync_endpoint: checked_text(reader, "sync_endpoint", checks::endpoint),
        health_status: reader.statuses("health_status").map_or(StatusRule::Below500, StatusRule::OneOf),
        health_interval: reader.seconds("health_interval_secs"),
        health_timeout: reader.seconds("health_timeout_secs"),
        health_failures_before_restart: reader.count("health_failures_before_restart") as u32,
        startup_timeout: reader.seconds("startup_timeout_secs"),
        stable: reader.seconds("stable_secs"),
        restart_backoff_min: reader.seconds("restart_backoff_min_secs"),
        restart_backoff_max: reader.seconds("restart_backoff_max_secs"),
        sync_interval: Some(reader.seconds("sync_interval_secs")).filter(|interval| !interval.is_zero()),
        drain_timeout: reader.seconds("drain_timeout_secs"),
        stop_group: reader.switch("stop_group"),
        port_conflict: match reader.choice("port_conflict") {
            Some(1) => PortConflict::Wait,
            _ => PortConflict::Kill,
        },
        port_grace: reader.seconds("port_grace_secs"),
        log_stdout: path_or(reader, roots, "log_stdout", &format!("~/.local/log/{name}.log")),
        log_stderr: path_or(reader, roots, "log_stderr", &format!("~/.local/log/{name}.err")),
        log_bytes_max: Some(reader.count("log_max_bytes")).filter(|bytes| *bytes > 0),
        log_keep: reader.count("log_keep") as u32,
        env_file: optional_path(reader, roots, "env_file"),
        env,
        secrets_command: secrets_command(reader, roots, secrets.is_empty()),
        secrets,
        secrets_timeout: reader.seconds("secrets_timeout_secs"),
        secrets_max_age: reader.seconds("secrets_max_age_secs"),
        on_event: command(reader, roots, "on_event").unwrap_or_default(),
        state_dir: path_or(reader, roots, "state_dir", "~/.local/state/worker-supervisor"),
        launchd_label: launchd_label(reader, &name),
        name,
    };
    ensure_backoff_range(reader, &config);
    (config, warnings)
}

/// A string that passes a check; `None` if there is none.
fn checked_text(reader: &mut Reader<'_>, name: &str, check: fn(&str) -> Result<(), String>) -> Option<String> {
    let typed = reader.text(name)?;
    note_if_wrong(reader, name, typed.offset, check(typed.value))?;
    Some(typed.value.to_owned())
}

/// The checked value, or a noted problem that starts with the key's name.
fn note_if_wrong<T>(reader: &mut Reader<'_>, name: &str, offset: usize, checked: Result<T, String>) -> Option<T> {
    checked.map_err(|rest| reader.note(offset, format!("{name} {rest}"))).ok()
}

fn name(reader: &mut Reader<'_>, path: &Path) -> String {
    if reader.has("name") {
        return checked_text(reader, "name", |text| checks::name(text, NAME_BYTES_MAX)).unwrap_or_default();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if let Err(rest) = checks::name(&stem, NAME_BYTES_MAX) {
        reader.note(0, format!("name is missing and its default, the file's stem, {rest}; add name = \"worker\""));
    }
    stem
}

fn launchd_label(reader: &mut Reader<'_>, name: &str) -> String {
    checked_text(reader, "launchd.label", |text| checks::name(text, LABEL_BYTES_MAX))
        .unwrap_or_else(|| format!("worker-supervisor.{name}"))
}

fn host(reader: &mut Reader<'_>) -> IpAddr {
    let typed = reader.text("host");
    let host = typed.and_then(|typed| note_if_wrong(reader, "host", typed.offset, checks::host(typed.value)));
    host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn ensure_backoff_range(reader: &mut Reader<'_>, config: &Config) {
    let (min, max) = (config.restart_backoff_min, config.restart_backoff_max);
    let [at_min, at_max] = ["restart_backoff_min_secs", "restart_backoff_max_secs"].map(|name| reader.offset(name));
    if min <= max || reader.has_problem_at(at_min) || reader.has_problem_at(at_max) {
        return;
    }
    let (min, max) = (seconds::show(min), seconds::show(max));
    let default = if at_max == 0 { ", the default" } else { "" };
    let message = format!(
        "restart_backoff_min_secs ({min}) must not exceed restart_backoff_max_secs ({max}{default}); change one of them"
    );
    reader.note(if at_min == 0 { at_max } else { at_min }, message);
}

fn optional_path(reader: &mut Reader<'_>, roots: Roots<'_>, name: &str) -> Option<PathBuf> {
    let typed = reader.text(name)?;
    note_if_wrong(reader, name, typed.offset, roots.path(typed.value))
}

/// A path that was typed or a default, which may need HOME.
fn path_or(reader: &mut Reader<'_>, roots: Roots<'_>, name: &str, default: &str) -> PathBuf {
    if reader.has(name) {
        return optional_path(reader, roots, name).unwrap_or_default();
    }
    note_if_wrong(reader, name, 0, roots.path(default)).unwrap_or_default()
}

/// A program and its arguments; `None` if there are none. `~` expands in the program, not in arguments.
fn command(reader: &mut Reader<'_>, roots: Roots<'_>, name: &str) -> Option<Vec<String>> {
    let typed = reader.strings(name)?;
    let mut words = Vec::with_capacity(typed.len());
    for Placed { value, offset } in typed {
        let word =
            if words.is_empty() { program(value, roots) } else { checks::no_nul(value).map(|()| value.to_owned()) };
        words.push(note_if_wrong(reader, name, offset, word).unwrap_or_default());
    }
    Some(words)
}

fn program(text: &str, roots: Roots<'_>) -> Result<String, String> {
    if text.is_empty() {
        return Err("must start with a program, not with an empty string".into());
    }
    checks::no_nul(text)?;
    let program = roots.expand_home(text)?.into_os_string().into_string();
    program.map_err(|path| format!("starts with {path:?}, which is no UTF-8 text; write an absolute path"))
}

fn worker_command(reader: &mut Reader<'_>, roots: Roots<'_>) -> Vec<String> {
    const EXAMPLE: &str = "command = [\"bun\", \"run\", \"src/serve.ts\"]";
    reader.require("command", EXAMPLE);
    let Some(words) = command(reader, roots, "command") else { return Vec::new() };
    if words.is_empty() {
        reader.note(reader.offset("command"), format!("command must not be empty; write for example {EXAMPLE}"));
    }
    words
}

fn secrets_command(reader: &mut Reader<'_>, roots: Roots<'_>, has_no_secrets: bool) -> Vec<String> {
    let Some(words) = command(reader, roots, "secrets_command") else {
        return ["secrets", "lease", "{name}", "--ttl", "24h"].map(str::to_owned).into();
    };
    let offset = reader.offset("secrets_command");
    if words.is_empty() {
        reader.note(offset, "secrets_command must not be empty; delete it for the default".into());
    } else if !has_no_secrets && !words.iter().any(|word| word.contains("{name}")) {
        reader.note(offset, "secrets_command must hold \"{name}\", which stands for the secret's name".into());
    }
    words
}

fn env(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Vec<(String, String)> {
    let entries = variables(reader, "env");
    for (variable, _) in &entries {
        if KEYS.iter().any(|row| row.name == variable) {
            warnings.push(format!(
                "{variable} in [env] is a variable for the worker; if it is the key {variable}, move it above [env]"
            ));
        }
    }
    entries
}

fn secrets(reader: &mut Reader<'_>) -> Vec<SecretEntry> {
    let entries = variables(reader, "secrets");
    let required = reader.strings("required_secrets").unwrap_or_default();
    for Placed { value, offset } in &required {
        if entries.iter().all(|(variable, _)| variable != value) {
            let near = nearest(value, entries.iter().map(|(variable, _)| variable.as_str()));
            let advice = near.map_or("add it there".into(), |near| format!("did you mean {near}?"));
            let shown = escape(value, SHOWN_BYTES_MAX);
            reader.note(*offset, format!("required_secrets names \"{shown}\", which is not in [secrets]; {advice}"));
        }
    }
    let entry = |(variable, name): (String, String)| {
        let required = required.iter().any(|required| required.value == variable);
        SecretEntry { variable, name, required }
    };
    entries.into_iter().map(entry).collect()
}

/// The entries of `[env]` or `[secrets]`, checked. A secret's name may not be empty, a variable's value may.
fn variables(reader: &mut Reader<'_>, table: &str) -> Vec<(String, String)> {
    let entries = reader.variables(table);
    for (variable, text) in &entries {
        note_if_wrong(reader, &format!("[{table}]:"), variable.offset, checks::variable(variable.value));
        let name = format!("{table}.{}", escape(variable.value, SHOWN_BYTES_MAX));
        note_if_wrong(reader, &name, text.offset, checks::no_nul(text.value));
        if table == "secrets" && text.value.is_empty() {
            reader.note(text.offset, format!("{name} must name a secret; write its name or delete the line"));
        }
    }
    entries.into_iter().map(|(variable, text)| (variable.value.to_owned(), text.value.to_owned())).collect()
}

fn warn_about_hidden_variables(env: &[(String, String)], secrets: &[SecretEntry], warnings: &mut Vec<String>) {
    for (variable, _) in env {
        if secrets.iter().any(|secret| secret.variable == *variable) {
            let shown = escape(variable, SHOWN_BYTES_MAX);
            warnings.push(format!("{shown} is in [env] and in [secrets]; the secret is used"));
        }
    }
}
