//! From a file to what is meant: what depends on more than one key, and on where the file is.
//!
//! [`Config::load`] reads one TOML file and returns a [`Config`] whose paths are absolute, whose numbers are inside
//! their documented bounds and whose texts are safe where they are used; or every problem it found, each with its place
//! in the file. It changes nothing, runs nothing and touches no file but that one. Programs and directories are not
//! looked for: they may appear later, and each start of the worker checks them.

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::Path;

use toml::de::DeTable;

use super::checks::{self, Roots};
use super::file::{self, ReadError, Trusted};
use super::keys::{KEYS, Kind};
use super::read::{Reader, problem_at};
use super::seconds;
use super::{Config, ConfigError, Loaded, Problem, Reading};
use crate::error::{SHOWN_BYTES_MAX, escape};

/// How much of the parser's own message is shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 300;

/// What to write into a config file that does not exist yet.
const EXAMPLE: &str = "write one, or name another with --config; this is enough to start with:

    command = [\"bun\", \"run\", \"src/serve.ts\"]
    port = 3111
    health_endpoint = \"/api/inngest\"
    sync_endpoint = \"/api/inngest\"
";

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
        let (loaded, problems) = read(path, home)?;
        if problems.is_empty() { Ok(loaded) } else { Err(ConfigError::Content { path: path.into(), problems }) }
    }

    /// As much of the config at `path` as can be made out, for commands that only look: whatever is wrong with it, the
    /// supervisor that runs has an older one in force, and is to be seen just then. What is wrong comes as warnings.
    ///
    /// # Errors
    /// The file can't be read or trusted.
    pub fn load_for_looking(path: &Path) -> Result<(Loaded, Reading), ConfigError> {
        let (mut loaded, problems) = read(path, std::env::var_os("HOME").as_deref())?;
        if problems.is_empty() {
            return Ok((loaded, Reading::Whole));
        }
        let error = ConfigError::Content { path: path.into(), problems };
        loaded.warnings = error.to_string().lines().map(str::to_owned).collect();
        Ok((loaded, Reading::Broken))
    }
}

/// What can be made out of the file at `path`, and all that is wrong with it.
fn read(path: &Path, home: Option<&OsStr>) -> Result<(Loaded, Vec<Problem>), ConfigError> {
    let absolute = std::path::absolute(path).map_err(|error| cannot_read(path, error))?;
    let Trusted { bytes, warning } = file::read_trusted(&absolute).map_err(|error| match error {
        ReadError::Missing => cannot_read(path, format_args!("no such file; {EXAMPLE}")),
        ReadError::Refused(cause) => cannot_read(path, cause),
    })?;
    let (text, table, broken) = parse(&bytes);
    let roots = Roots { dir: absolute.parent().unwrap_or(&absolute), home };
    let mut reader = Reader::new(text, &table, roots);
    let mut config = resolve(&mut reader, &absolute, roots);
    let doubts = doubtful_variables(&config).into_iter().chain(doubtful_paths(&mut config));
    let warnings = warning.into_iter().chain(doubts).collect();
    // Where there is no TOML, all that is missing goes without saying.
    let problems = broken.map_or_else(|| reader.into_problems(), |problem| vec![problem]);
    Ok((Loaded { config, warnings }, problems))
}

fn cannot_read(path: &Path, cause: impl Display) -> ConfigError {
    ConfigError::File(format!("cannot read config {path:?}: {cause}"))
}

/// The text as far as it is one, the table as far as the text makes one, and the first thing that is wrong with either.
fn parse(bytes: &[u8]) -> (&str, DeTable<'_>, Option<Problem>) {
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let text = valid.split('\0').next().unwrap_or_default();
    let what = if text.len() < valid.len() { "a NUL, which no text holds" } else { "not valid UTF-8" };
    let (table, errors) = DeTable::parse_recoverable(text);
    let problem = if text.len() < bytes.len() {
        Some(problem_at(bytes, text.len(), format!("this is {what}; save the file as UTF-8")))
    } else {
        errors.first().map(|error| syntax_problem(text, error))
    };
    (text, table.into_inner(), problem)
}

/// A syntax error in our words where the parser's are bare, in its words otherwise.
fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let message = match error.message() {
        "duplicate key" => {
            let key = text.get(span.clone()).unwrap_or_default();
            format!("duplicate key {}; keep one of the two", escape(key, SHOWN_BYTES_MAX))
        }
        other => format!("{}; this is not valid TOML", escape(other, MESSAGE_BYTES_MAX)),
    };
    problem_at(text.as_bytes(), span.start, message)
}

/// Puts a config together; problems stay in the reader. It is worth something only if there are none.
fn resolve(reader: &mut Reader<'_>, path: &Path, roots: Roots<'_>) -> Config {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut config = Config { path: path.into(), name, worker_dir: roots.dir.into(), ..Config::default() };
    reader.read_all(&mut config);
    if reader.offset("name").is_none()
        && let Err(rest) = checks::name(&config.name)
    {
        reader.note(0, format!("name is missing and its default, the file's stem, {rest}; add name = \"worker\""));
    }
    if config.host_header.is_empty() {
        config.host_header = config.address().to_string();
    }
    if config.launchd_label.is_empty() {
        config.launchd_label = format!("worker-supervisor.{}", config.name);
    }
    if !config.secrets.is_empty() && !config.secrets_command.iter().any(|word| word.contains("{name}")) {
        let message = "secrets_command must hold \"{name}\", which stands for the secret's name";
        reader.note(reader.offset("secrets_command").unwrap_or(0), message.into());
    }
    ensure_backoff_range(reader, &config);
    config
}

fn ensure_backoff_range(reader: &mut Reader<'_>, config: &Config) {
    let (min, max) = (config.restart_backoff_min, config.restart_backoff_max);
    let [min_at, max_at] = ["restart_backoff_min_secs", "restart_backoff_max_secs"].map(|name| reader.offset(name));
    let Some(offset) = min_at.or(max_at) else { return };
    if min <= max || [min_at, max_at].into_iter().flatten().any(|offset| reader.has_problem_at(offset)) {
        return;
    }
    let (min, max) = (seconds::show(min), seconds::show(max));
    let default = if max_at.is_none() { ", the default" } else { "" };
    let message = format!(
        "restart_backoff_min_secs ({min}) must not exceed restart_backoff_max_secs ({max}{default}); change one of them"
    );
    reader.note(offset, message);
}

/// What is odd about the variables, as sentences for the log.
fn doubtful_variables(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for (variable, _) in &config.env {
        if KEYS.iter().any(|row| row.name == variable) {
            warnings.push(format!(
                "{variable} in [env] is a variable for the worker; if it is the key {variable}, move it above [env]"
            ));
        }
        if config.secrets.iter().any(|secret| secret.variable == *variable) {
            let shown = escape(variable, SHOWN_BYTES_MAX);
            warnings.push(format!("{shown} is in [env] and in [secrets]; the secret is used"));
        }
    }
    warnings
}

/// Which paths hold what a shell would expand, as sentences for the log.
fn doubtful_paths(config: &mut Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for row in KEYS {
        let text = if let Kind::Path(field) = row.kind {
            field(config).to_str()
        } else if let Kind::OptionalPath(field) = row.kind {
            field(config).as_deref().and_then(Path::to_str)
        } else if let Kind::Command(field) = row.kind {
            field(config).first().map(String::as_str)
        } else {
            None
        };
        let Some(variable) = text.and_then(variable_in) else { continue };
        let shown = escape(variable, SHOWN_BYTES_MAX);
        warnings.push(format!("{} holds {shown}: no variable is expanded there, but `~/` at the start is", row.name));
    }
    warnings
}

/// What a shell would take for a variable, and what follows it.
fn variable_in(text: &str) -> Option<&str> {
    let is_name = |rest: &str| rest.starts_with(|first: char| first.is_ascii_alphabetic() || "_{".contains(first));
    text.match_indices('$').map(|(at, _)| &text[at..]).find(|found| is_name(&found[1..]))
}
