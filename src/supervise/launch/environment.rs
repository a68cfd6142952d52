//! The worker's environment, built from scratch for each of its starts.
//!
//! Later sources win: what the supervisor inherited, with `worker_dir` as PWD, then `env_file`, then `[env]`, then
//! secrets. Nothing is kept from one start to the next, so an edit or a removal takes effect at the next one. The
//! supervisor's own environment is never changed. Values may be secrets: no message, Debug or Display shows one.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::dotenv::{self, WrongLine};
use crate::config::Config;
use crate::config::file::{self, ReadError, Trusted};
use crate::error::{SHOWN_BYTES_MAX, escape};

pub use super::program::{PATH_DEFAULT, ResolveError, ensure_worker_dir, resolve};

/// A secret's value. Debug and Display show that there is one, never what it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes a value out of sight.
    pub fn new(value: Vec<u8>) -> Self {
        Self(value)
    }

    /// The value, for the worker's environment and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// Why an environment could not be built. None of the texts holds a variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvError {
    /// `env_file` can't be read or trusted.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// `env_file` has a line that is none.
    Line {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// A value holds a NUL, which no environment can.
    Nul {
        /// The variable's name.
        variable: OsString,
    },
}

impl fmt::Display for EnvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, cause } => write!(formatter, "cannot read env_file {path:?}: {cause}"),
            Self::Line { path, line, cause } => {
                write!(formatter, "cannot read env_file: {}:{line}: {cause}", path.display())
            }
            Self::Nul { variable } => {
                let shown = escape(variable.as_bytes(), SHOWN_BYTES_MAX);
                write!(formatter, "cannot set variable {shown}: its value holds a NUL")
            }
        }
    }
}

impl std::error::Error for EnvError {}

/// Variables and their values, each name once. Debug shows the names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// Puts the worker's environment together: `inherited` and PWD, then what `config` says, then `secrets`. The
    /// strings are warnings.
    ///
    /// # Errors
    /// If `env_file` is missing, unreadable, no small regular file, writable by anyone, or malformed.
    pub fn build<'a>(
        inherited: impl IntoIterator<Item = (OsString, OsString)>,
        config: &Config,
        secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>,
    ) -> Result<(Self, Vec<String>), EnvError> {
        let mut variables = BTreeMap::new();
        // Not `collect`, which sorts first: inserting needs no sort in the binary.
        variables.extend(inherited);
        // The inherited one says where the supervisor was started.
        variables.insert("PWD".into(), config.worker_dir.clone().into());
        let mut warnings = Vec::new();
        if let Some(path) = &config.env_file {
            let (entries, warning) = read_env_file(path)?;
            warnings.extend(warning);
            variables.extend(entries.into_iter().map(into_os));
        }
        variables.extend(config.env.iter().map(|(name, value)| (name.into(), value.into())));
        let exposed = |secret: &Secret| OsString::from_vec(secret.expose().to_vec());
        variables.extend(secrets.into_iter().map(|(name, secret)| (name.into(), exposed(secret))));
        Ok((Self { variables }, warnings))
    }

    /// A variable's value.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// `NAME=value` strings as exec takes them, sorted by name.
    ///
    /// # Errors
    /// If a name or value holds a NUL.
    pub fn to_exec(&self) -> Result<Vec<CString>, EnvError> {
        let entry = |(name, value): (&OsString, &OsString)| {
            let bytes = [name.as_bytes(), b"=", value.as_bytes()].concat();
            // The error of the conversion holds the value: drop it.
            CString::new(bytes).map_err(|_| EnvError::Nul { variable: name.clone() })
        };
        self.variables.iter().map(entry).collect()
    }
}

/// What is to be said of an `env_file`, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// How many variables it sets.
    pub count: usize,
    /// Those that bun, Node.js or dotenv would read otherwise, by name.
    pub contested: Vec<String>,
    /// Set if a group may write it.
    pub warning: Option<String>,
}

impl EnvFile {
    /// Reads it as a start does.
    ///
    /// # Errors
    /// As [`Environment::build`].
    pub fn examine(path: &Path) -> Result<Self, EnvError> {
        let (text, warning) = read_text(path)?;
        let at_line = at_line(path);
        let mut variables = BTreeMap::new();
        variables.extend(dotenv::parse(&text).map_err(&at_line)?.into_iter().map(into_os));
        Ok(Self { count: variables.len(), contested: dotenv::contested(&text).map_err(&at_line)?, warning })
    }
}

/// The PORT of a file that bun reads by itself in its working directory, and that file (bun: `.env.local` counts before
/// `.env`, and a variable that is set already before both).
pub fn port_in_dotenv(dir: &Path) -> Option<(u16, PathBuf)> {
    [".env.local", ".env"].into_iter().map(|name| dir.join(name)).find_map(|path| {
        let (entries, _) = read_env_file(&path).ok()?;
        let (_, port) = entries.into_iter().rfind(|(name, _)| name == "PORT")?;
        Some((port.parse().ok()?, path))
    })
}

type Entries = Vec<(String, String)>;

fn read_env_file(path: &Path) -> Result<(Entries, Option<String>), EnvError> {
    let (text, warning) = read_text(path)?;
    Ok((dotenv::parse(&text).map_err(at_line(path))?, warning))
}

fn into_os((name, value): (String, String)) -> (OsString, OsString) {
    (name.into(), value.into())
}

fn at_line(path: &Path) -> impl Fn(WrongLine) -> EnvError {
    move |WrongLine { line, cause }| EnvError::Line { path: path.into(), line, cause }
}

fn read_text(path: &Path) -> Result<(String, Option<String>), EnvError> {
    let Trusted { bytes, warning } = file::read_trusted(path).map_err(|error| {
        let cause = match error {
            ReadError::Missing => "no such file".into(),
            ReadError::Refused(cause) => cause,
        };
        EnvError::File { path: path.into(), cause }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let (line, _) = file::position(error.as_bytes(), error.utf8_error().valid_up_to());
        EnvError::Line { path: path.into(), line, cause: "this is not valid UTF-8" }
    })?;
    Ok((text, warning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A config that was read from a directory of its own, with `env_file` set.
    fn config(test: &str, rest: &str) -> Config {
        let dir = std::env::temp_dir().join(format!("ws-env-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("worker.toml");
        let content = format!("command = [\"a\"]\nport = 1\nenv_file = \".env\"\n{rest}");
        write(&path, content.as_bytes(), 0o644);
        Config::load_with_home(&path, Some(OsStr::new("/home/joe"))).unwrap().config
    }

    fn write(path: &Path, content: &[u8], mode: u32) {
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn env_file(config: &Config) -> &Path {
        config.env_file.as_deref().unwrap()
    }

    fn remove(config: &Config) {
        std::fs::remove_dir_all(&config.worker_dir).unwrap();
    }

    fn os(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn later_sources_win() {
        let config = config("order", "[env]\nC = \"env\"\nD = \"env\"\n");
        write(env_file(&config), b"B=file\nC=file\nD=file\n", 0o600);
        let secret = Secret::new(b"secret".to_vec());
        let inherited = os(&[("A", "inherited"), ("B", "inherited"), ("C", "inherited"), ("D", "inherited")]);
        let (environment, warnings) = Environment::build(inherited, &config, [("D", &secret)]).unwrap();
        let exec: Vec<String> = environment.to_exec().unwrap().into_iter().map(|c| c.into_string().unwrap()).collect();
        let pwd = format!("PWD={}", config.worker_dir.display());
        assert_eq!(exec, ["A=inherited", "B=file", "C=env", "D=secret", &pwd]);
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(environment.value("C"), Some(OsStr::new("env")));
        remove(&config);
    }

    #[test]
    fn a_removed_line_is_gone_at_the_next_start() {
        let config = config("removed", "");
        write(env_file(&config), b"A=1\nB=2\n", 0o600);
        assert!(Environment::build([], &config, []).unwrap().0.value("B").is_some());
        write(env_file(&config), b"A=1\n", 0o600);
        let (environment, _) = Environment::build([], &config, []).unwrap();
        assert_eq!((environment.value("A"), environment.value("B")), (Some(OsStr::new("1")), None));
        remove(&config);
    }

    #[test]
    fn an_env_file_that_cannot_be_trusted_is_an_error_with_its_cause() {
        let config = config("trust", "");
        let path = env_file(&config);
        let error = || Environment::build([], &config, []).unwrap_err().to_string();
        assert_eq!(error(), format!("cannot read env_file {path:?}: no such file"));
        write(path, b"A=1\n", 0o606);
        assert!(error().contains("anyone may write it"), "{}", error());
        write(path, b"A=1\nB \xff\n", 0o600);
        assert!(error().ends_with(".env:2: this is not valid UTF-8"), "{}", error());
        write(path, b"A=1\n\ncanary\n", 0o600);
        assert!(error().contains(".env:3: ") && !error().contains("canary"), "{}", error());
        write(path, b"A=1\n", 0o660);
        let (_, warnings) = Environment::build([], &config, []).unwrap();
        assert!(warnings[0].contains("a group may write"), "{warnings:?}");
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
        assert!(error().contains("a directory"), "{}", error());
        remove(&config);
    }

    #[test]
    fn a_nul_is_an_error_that_names_the_variable_only() {
        let variables = os(&[("A", "canary\0")]).into_iter().collect();
        let error = Environment { variables }.to_exec().unwrap_err();
        assert_eq!(error.to_string(), "cannot set variable A: its value holds a NUL");
    }

    #[test]
    fn nothing_that_is_printed_shows_a_value() {
        let secret = Secret::new(b"canary".to_vec());
        let environment = Environment { variables: os(&[("A", "canary")]).into_iter().collect() };
        assert_eq!(format!("{secret:?} {secret}"), "Secret(…) …");
        assert_eq!(format!("{environment:?}"), "{\"A\"}");
        assert!(!format!("{environment:#?}").contains("canary"));
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        let value = OsString::from_vec(b"a\xff\n=b".to_vec());
        let environment = Environment { variables: [(OsString::from("A"), value)].into_iter().collect() };
        assert_eq!(environment.to_exec().unwrap()[0].as_bytes(), b"A=a\xff\n=b");
    }
}
