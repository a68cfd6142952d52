//! The configuration: what is meant, after everything that was typed has been checked.
//!
//! The types that the rest of the program uses, and nothing that makes them: `keys` has one row a key, `read` puts each
//! value where its row says, `resolve` loads a file. Nothing in this file uses those, so that each of them may use it.

mod checks;
pub(crate) mod file;
pub mod keys;
mod read;
mod resolve;
mod seconds;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ExitCode};
use crate::policy::{Backoff, HealthSettings, Settings, StatusRule, SyncSettings};

/// Everything that a config file can say, with defaults filled in. One that is default has nothing filled in yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The config file itself, absolute.
    pub path: PathBuf,
    /// Names the state, the logs and the launchd job: letters, digits, `.`, `_` and `-`, at most 64.
    pub name: String,
    /// The program and its arguments; never empty, free of NUL.
    pub command: Vec<String>,
    /// Where the worker runs, absolute. Need not exist yet.
    pub worker_dir: PathBuf,
    /// The address that is probed.
    pub host: Host,
    /// The port that the worker listens on; never 0.
    pub port: u16,
    /// The Host header that the worker sees.
    pub host_header: String,
    /// The path that probes ask for; starts with `/`, visible ASCII only.
    pub health_endpoint: String,
    /// The path that a sync is PUT to, of the same form; `None`: no sync.
    pub sync_endpoint: Option<String>,
    /// Which answers to a probe are healthy.
    pub health_status: StatusRule,
    /// From one probe to the next.
    pub health_interval: Duration,
    /// For connect, write and read of one probe together.
    pub health_timeout: Duration,
    /// That many failed probes in a row end a worker; at least 1.
    pub health_failures_before_restart: u32,
    /// From spawn to the first healthy answer.
    pub startup_timeout: Duration,
    /// A worker that was up this long restarts without delay.
    pub stable: Duration,
    /// The first delay after a failed start.
    pub restart_backoff_min: Duration,
    /// The longest delay; never shorter than `restart_backoff_min`.
    pub restart_backoff_max: Duration,
    /// From one successful sync to the next; `None`: only after a start.
    pub sync_interval: Option<Duration>,
    /// What a worker gets to finish its requests; may be zero.
    pub drain_timeout: Duration,
    /// Whether a stop signals the worker's whole process group.
    pub stop_group: bool,
    /// Whether what left the worker's session is ended with it.
    pub end_detached: bool,
    /// What to do about a stranger on the port.
    pub port_conflict: PortConflict,
    /// From SIGTERM to SIGKILL for a stranger on the port; may be zero.
    pub port_grace: Duration,
    /// The worker's standard output, absolute.
    pub log_stdout: PathBuf,
    /// The worker's standard error, absolute; may equal `log_stdout`.
    pub log_stderr: PathBuf,
    /// Size from which a log is rotated; `None`: never.
    pub log_bytes_max: Option<u64>,
    /// How many rotated files are kept; at least 1.
    pub log_keep: u32,
    /// Variables for the worker in dotenv form, absolute; read at each start.
    pub env_file: Option<PathBuf>,
    /// Variables for the worker, sorted by name; names are valid, values free of NUL.
    pub env: Vec<(String, String)>,
    /// Secrets for the worker, sorted by variable.
    pub secrets: Vec<SecretEntry>,
    /// Prints one secret; `{name}` stands for the secret's name. Never empty.
    pub secrets_command: Vec<String>,
    /// For all secrets of one start together.
    pub secrets_timeout: Duration,
    /// How long a fetched value is used without asking again; may be zero.
    pub secrets_max_age: Duration,
    /// Runs at each event; `{event}` stands for its name. Empty: nothing runs.
    pub on_event: Vec<String>,
    /// Holds lock, worker record and status of every config, absolute.
    pub state_dir: PathBuf,
    /// The launchd job's label; same form as `name`, at most 128 long.
    pub launchd_label: String,
}

/// An IPv4 or IPv6 address, of this machine by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host(pub IpAddr);

impl Default for Host {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// What to do about a stranger that listens on the worker's port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortConflict {
    /// End it: SIGTERM, SIGKILL after `port_grace`.
    #[default]
    Kill,
    /// Report it and wait until it is gone.
    Wait,
}

impl PortConflict {
    /// As the config file has it.
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Wait => "wait",
        }
    }
}

/// One entry of `[secrets]`: what to ask for and where to put it. Holds no secret's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretEntry {
    /// The worker's environment variable.
    pub variable: String,
    /// The secret's name for `secrets_command`.
    pub name: String,
    /// Whether the worker may not start without it.
    pub required: bool,
}

/// A config that can be used, and what is odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// Sentences for the log; none of them stops anything.
    pub warnings: Vec<String>,
}

/// How much of a config file could be made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All of it.
    Whole,
    /// Something is wrong with it: what it says of name, state directory and logs may not be what it is meant to say.
    Broken,
}

/// One thing wrong with a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1. What is missing from the file is reported at 1:1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong; then, after a semicolon, what to do about it.
    pub message: String,
}

/// Why a config can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file can't be read or trusted: the whole message.
    File(String),
    /// Its content is wrong: everything that was found, by place. Never empty.
    Content {
        /// The config file, as it was named.
        path: PathBuf,
        /// At least one.
        problems: Vec<Problem>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(message) => formatter.write_str(message),
            Self::Content { path, problems } => {
                for (index, problem) in problems.iter().enumerate() {
                    let end_of_last = if index == 0 { "" } else { "\n" };
                    let Problem { line, column, message } = problem;
                    write!(formatter, "{end_of_last}{}:{line}:{column}: {message}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ExitCode::Config, error.to_string())
    }
}

impl Config {
    /// The part of it that the policy decides by.
    pub fn settings(&self) -> Settings {
        Settings {
            startup_timeout: self.startup_timeout,
            stable: self.stable,
            backoff: Backoff { min: self.restart_backoff_min, max: self.restart_backoff_max },
            drain: self.drain_timeout,
            port_grace: self.port_grace,
            wait_for_port: self.port_conflict == PortConflict::Wait,
            lease_timeout: self.secrets_timeout,
            health: HealthSettings {
                interval: self.health_interval,
                timeout: self.health_timeout,
                streak_max: self.health_failures_before_restart,
                status: self.health_status.clone(),
            },
            sync: match (&self.sync_endpoint, self.sync_interval) {
                (None, _) => SyncSettings::Never,
                (Some(_), None) => SyncSettings::Once,
                (Some(_), Some(interval)) => SyncSettings::Every(interval),
            },
        }
    }

    /// Where the worker is expected to listen and where probes go.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host.0, self.port)
    }
}
