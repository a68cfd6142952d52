//! The configuration: what is meant, after everything that was typed has been checked.
//!
//! [`Config::load`] reads one TOML file and returns a [`Config`] whose paths are absolute, whose numbers are inside
//! their documented bounds and whose texts are safe where they are used; or every problem it found, each with its place
//! in the file. It changes nothing, runs nothing and touches no file but that one. Programs and directories are not
//! looked for: they may appear later, and each start of the worker checks them.

mod checks;
pub(crate) mod file;
mod keys;
mod read;
mod render;
mod resolve;
mod seconds;

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use crate::error::{Error, ExitCode, escape};
use crate::policy::{Backoff, HealthSettings, Settings, StatusRule, SyncSettings};
use checks::Roots;
use file::{ReadError, Trusted};
pub use keys::{KEYS, KeyDoc, Kind, TIME_MAX, TIME_MIN};
use read::{Reader, problem_at};

/// How much of the parser's own message is shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 300;
/// How much of what was typed a message repeats, in bytes.
const SHOWN_BYTES_MAX: usize = 60;

/// Everything that a config file can say, with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
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
    pub host: IpAddr,
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

/// What to do about a stranger that listens on the worker's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortConflict {
    /// End it: SIGTERM, SIGKILL after `port_grace`.
    Kill,
    /// Report it and wait until it is gone.
    Wait,
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
    /// Reads and checks the config file at `path`, expanding `~` from HOME.
    ///
    /// # Errors
    /// Whatever makes the file unusable; see [`ConfigError`]. All of them mean exit code 78.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        Self::load_with_home(path, std::env::var_os("HOME").as_deref())
    }

    /// [`Config::load`] with another home directory than HOME says; `None` as if HOME were unset.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with_home(path: &Path, home: Option<&OsStr>) -> Result<Loaded, ConfigError> {
        let absolute = std::path::absolute(path).map_err(|error| cannot_read(path, error))?;
        let Trusted { bytes, warning } = file::read_trusted(&absolute).map_err(|error| match error {
            ReadError::Missing => ConfigError::File(format!("cannot read config {path:?}: no such file; {EXAMPLE}")),
            ReadError::Refused(cause) => cannot_read(path, cause),
        })?;
        let content = |problems| ConfigError::Content { path: path.into(), problems };
        let text = std::str::from_utf8(&bytes).map_err(|error| content(vec![not_utf8(&bytes, error)]))?;
        let mut loaded = Self::from_text(text, &absolute, home).map_err(content)?;
        loaded.warnings.splice(0..0, warning);
        Ok(loaded)
    }

    /// Checks the content of a config file that stands, or would stand, at the absolute path `path`.
    /// As much of the config at `path` as can be made out, for commands that only look: whatever is wrong with it, the
    /// supervisor that runs has an older one in force, and is to be seen just then. What is wrong comes as warnings.
    ///
    /// # Errors
    /// The file can't be read or trusted.
    pub fn load_for_looking(path: &Path) -> Result<Loaded, ConfigError> {
        let error = match Self::load(path) {
            Err(error @ ConfigError::Content { .. }) => error,
            loaded => return loaded,
        };
        let absolute = std::path::absolute(path).map_err(|error| cannot_read(path, error))?;
        let text = std::fs::read_to_string(&absolute).unwrap_or_default();
        let table = DeTable::parse(&text).or_else(|_| DeTable::parse("")).map_err(|_| error.clone())?;
        let mut reader = Reader::new(&text, table.get_ref());
        let home = std::env::var_os("HOME");
        let roots = Roots { dir: absolute.parent().unwrap_or(&absolute), home: home.as_deref() };
        let (config, _) = resolve::config(&mut reader, &absolute, roots);
        Ok(Loaded { config, warnings: error.to_string().lines().map(str::to_owned).collect() })
    }

    fn from_text(text: &str, path: &Path, home: Option<&OsStr>) -> Result<Loaded, Vec<Problem>> {
        if let Some(offset) = text.find('\0') {
            let message = "this is a NUL, which no text holds; save the file as UTF-8".into();
            return Err(vec![problem_at(text.as_bytes(), offset, message)]);
        }
        let table = DeTable::parse(text).map_err(|error| vec![syntax_problem(text, &error)])?;
        let mut reader = Reader::new(text, table.get_ref());
        let roots = Roots { dir: path.parent().unwrap_or(path), home };
        let (config, warnings) = resolve::config(&mut reader, path, roots);
        let problems = reader.into_problems();
        if problems.is_empty() { Ok(Loaded { config, warnings }) } else { Err(problems) }
    }

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
        SocketAddr::new(self.host, self.port)
    }
}

/// What to write into a config file that does not exist yet.
const EXAMPLE: &str = "write one, or name another with --config; this is enough to start with:

    command = [\"bun\", \"run\", \"src/serve.ts\"]
    port = 3111
    health_endpoint = \"/api/inngest\"
    sync_endpoint = \"/api/inngest\"
";

fn cannot_read(path: &Path, cause: impl fmt::Display) -> ConfigError {
    ConfigError::File(format!("cannot read config {path:?}: {cause}"))
}

fn not_utf8(bytes: &[u8], error: std::str::Utf8Error) -> Problem {
    problem_at(bytes, error.valid_up_to(), "this is no UTF-8 text; save the file as UTF-8".into())
}

/// A syntax error in our words where the parser's are bare, in its words otherwise.
fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let message = match error.message() {
        "duplicate key" => {
            let key = text.get(span.clone()).unwrap_or_default();
            format!("duplicate key {}; keep one of the two", escape(key, SHOWN_BYTES_MAX))
        }
        other => format!("{}; this is no TOML", escape(other, MESSAGE_BYTES_MAX)),
    };
    problem_at(text.as_bytes(), span.start, message)
}
