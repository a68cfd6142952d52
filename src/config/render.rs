//! The effective config as TOML: every key with the value that counts, defaults included.
//!
//! What comes out means the same when it is read again, wherever it is put. Secrets are shown by name; their values
//! never enter a config. Keys without a value are left out, since TOML can't say "none".

use std::fmt::Write;
use std::path::Path;

use super::seconds;
use super::{Config, PortConflict};
use crate::policy::StatusRule;

impl Config {
    /// Every key with its effective value, as TOML.
    pub fn effective(&self) -> String {
        let mut page = Page(String::new());
        self.render_worker(&mut page);
        self.render_times(&mut page);
        self.render_files(&mut page);
        self.render_secrets(&mut page);
        page.0
    }

    fn render_worker(&self, page: &mut Page) {
        page.line("name", &quoted(&self.name));
        page.line("command", &array(&self.command));
        page.line("worker_dir", &path(&self.worker_dir));
        page.line("host", &quoted(&self.host.to_string()));
        page.line("port", &self.port.to_string());
        page.line("host_header", &quoted(&self.host_header));
        page.line("health_endpoint", &quoted(&self.health_endpoint));
        page.optional("sync_endpoint", self.sync_endpoint.as_deref().map(quoted));
        page.optional(
            "health_status",
            match &self.health_status {
                StatusRule::Below500 => None,
                StatusRule::OneOf(statuses) => Some(format!("{statuses:?}")),
            },
        );
        let conflict = match self.port_conflict {
            PortConflict::Kill => "kill",
            PortConflict::Wait => "wait",
        };
        page.line("port_conflict", &quoted(conflict));
        page.line("stop_group", &self.stop_group.to_string());
        page.line("health_failures_before_restart", &self.health_failures_before_restart.to_string());
    }

    fn render_times(&self, page: &mut Page) {
        for (key, time) in [
            ("health_interval_secs", self.health_interval),
            ("health_timeout_secs", self.health_timeout),
            ("startup_timeout_secs", self.startup_timeout),
            ("stable_secs", self.stable),
            ("restart_backoff_min_secs", self.restart_backoff_min),
            ("restart_backoff_max_secs", self.restart_backoff_max),
            ("sync_interval_secs", self.sync_interval.unwrap_or_default()),
            ("drain_timeout_secs", self.drain_timeout),
            ("port_grace_secs", self.port_grace),
            ("secrets_timeout_secs", self.secrets_timeout),
            ("secrets_max_age_secs", self.secrets_max_age),
        ] {
            page.line(key, &seconds::show(time));
        }
    }

    fn render_files(&self, page: &mut Page) {
        page.line("log_stdout", &path(&self.log_stdout));
        page.line("log_stderr", &path(&self.log_stderr));
        page.line("log_max_bytes", &self.log_bytes_max.unwrap_or_default().to_string());
        page.line("log_keep", &self.log_keep.to_string());
        page.line("state_dir", &path(&self.state_dir));
        page.optional("env_file", self.env_file.as_deref().map(path));
    }

    /// Tables come last: whatever follows a table's header belongs to it.
    fn render_secrets(&self, page: &mut Page) {
        let required = self.secrets.iter().filter(|secret| secret.required);
        page.line("required_secrets", &array(&required.map(|secret| secret.variable.clone()).collect::<Vec<_>>()));
        page.line("secrets_command", &array(&self.secrets_command));
        page.line("on_event", &array(&self.on_event));
        page.header("env");
        for (variable, value) in &self.env {
            page.line(&quoted(variable), &quoted(value));
        }
        page.header("secrets");
        for secret in &self.secrets {
            page.line(&quoted(&secret.variable), &quoted(&secret.name));
        }
        page.header("launchd");
        page.line("label", &quoted(&self.launchd_label));
    }
}

struct Page(String);

impl Page {
    fn line(&mut self, key: &str, value: &str) {
        for part in [key, " = ", value, "\n"] {
            self.0.push_str(part);
        }
    }

    fn optional(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.line(key, &value);
        }
    }

    fn header(&mut self, table: &str) {
        for part in ["\n[", table, "]\n"] {
            self.0.push_str(part);
        }
    }
}

fn array(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing into a String can't fail.
            _ if character.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
