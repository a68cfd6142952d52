//! A launch: the worker's environment, its program, its log files, its spawn.
//!
//! An edit takes effect at the next launch, and a mended fault is found mended: what was prepared for the last worker
//! serves the next one only while nothing that it was made from has changed. An error is one line that says what to
//! mend. Spawning needs no descriptor that is not open already: logs that can't be opened fall back to /dev/null, which
//! is held open for that.

mod dotenv;
pub mod environment;
pub mod program;

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use platform::Pid;

use self::environment::{self as env, Environment, Secret};
use crate::config::Config;

/// A file that has rested so long had no edit that a clock too coarse could hide from its [`Stamp`].
const SETTLED: Duration = Duration::from_secs(2);

/// What is ready to be spawned.
pub(crate) struct Prepared {
    program: CString,
    args: Vec<CString>,
    env: Vec<CString>,
    /// The secrets that are part of `env`.
    secrets: Vec<(String, Secret)>,
    /// The env file that `env` was made from; `None`: there is one, and it cannot be told apart from its next edit.
    env_file: Option<Stamp>,
    /// Sentences for the log.
    pub(crate) warnings: Vec<String>,
}

/// The log files that a worker gets as its standard output and error. Each worker gets files that no other had: what it
/// does to their flags stays its own.
pub(crate) struct Outputs {
    stdout: Option<File>,
    /// `None`: the same.
    stderr: Option<Option<File>>,
    /// Sentences for the log.
    warnings: Vec<String>,
}

/// A worker that was spawned.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    /// Sentences for the log.
    pub(crate) warnings: Vec<String>,
}

/// Which content a file had: another inode, size, time or mode is another content. The default stands for no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Prepared {
    /// Whether preparing anew would come to the same. Not asked is whether the program is still there: spawning tells.
    pub(crate) fn still_holds(&self, config: &Config, secrets: &[(String, Secret)]) -> bool {
        self.secrets == secrets && self.env_file.is_some() && self.env_file == stamp(config)
    }
}

impl Outputs {
    /// Opens both. What can't be opened is said, and will be /dev/null.
    pub(crate) fn open(config: &Config) -> Self {
        let mut warnings = Vec::new();
        let stdout = open_log(&config.log_stdout, &mut warnings);
        let is_one = config.log_stderr == config.log_stdout;
        let stderr = (!is_one).then(|| open_log(&config.log_stderr, &mut warnings));
        Self { stdout, stderr, warnings }
    }

    /// Opens both for the next worker. `None`: that one had better try again.
    pub(crate) fn open_ahead(config: &Config) -> Option<Self> {
        Some(Self::open(config)).filter(|opened| opened.warnings.is_empty())
    }

    /// Whether the log paths still lead to these files.
    pub(crate) fn still_hold(&self, config: &Config) -> bool {
        is_at(self.stdout.as_ref(), &config.log_stdout) && is_at(self.stderr().as_ref(), &config.log_stderr)
    }

    fn stderr(&self) -> &Option<File> {
        self.stderr.as_ref().unwrap_or(&self.stdout)
    }
}

fn is_at(file: Option<&File>, path: &Path) -> bool {
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let held = file.and_then(|file| file.metadata().ok()).map(inode);
    held.is_some() && held == fs::metadata(path).ok().map(inode)
}

/// The env file as it is now; `None`: it can't be looked at.
fn stamp(config: &Config) -> Option<Stamp> {
    let Some(path) = &config.env_file else { return Some(Stamp::default()) };
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        file: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        mode: metadata.mode(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// The stamp of a file that was not edited a moment ago, by the wall clock.
fn settled_stamp(config: &Config, wall_ms: u64) -> Option<Stamp> {
    let stamp = stamp(config)?;
    let changed_at = UNIX_EPOCH + Duration::from_secs(u64::try_from(stamp.changed.0).ok()?);
    let now = UNIX_EPOCH + Duration::from_millis(wall_ms);
    now.duration_since(changed_at).is_ok_and(|age| age >= SETTLED).then_some(stamp)
}

/// Builds the environment and finds the program. `wall_ms` is the wall clock, in milliseconds since 1970.
///
/// # Errors
/// One line that says what is wrong with the env file, the directory or the program.
pub(crate) fn prepare(
    config: &Config,
    inherited: &[(OsString, OsString)],
    secrets: Vec<(String, Secret)>,
    wall_ms: u64,
) -> Result<Prepared, String> {
    // Before it is read: an edit in between makes the next launch read it again.
    let env_file = settled_stamp(config, wall_ms);
    let named = secrets.iter().map(|(variable, secret)| (variable.as_str(), secret));
    let (environment, warnings) =
        Environment::build(inherited.iter().cloned(), config, named).map_err(|error| error.to_string())?;
    let env = environment.to_exec().map_err(|error| error.to_string())?;
    env::ensure_worker_dir(&config.worker_dir).map_err(|error| error.to_string())?;
    let program = env::resolve(&config.command[0], environment.value("PATH"), &config.worker_dir)
        .map_err(|error| error.to_string())?;
    let program = CString::new(program.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let args = config.command.iter().map(|arg| CString::new(arg.as_str()));
    let args = args.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok(Prepared { program, args, env, secrets, env_file, warnings })
}

/// Spawns the worker with its standard output and error appended to its logs.
///
/// # Errors
/// One line that says what could not be run and why.
pub(crate) fn spawn(config: &Config, prepared: &Prepared, outputs: Outputs, null: &File) -> Result<Launched, String> {
    let stderr = outputs.stderr();
    let command = platform::Command {
        program: &prepared.program,
        args: &prepared.args,
        env: &prepared.env,
        dir: &config.worker_dir,
        stdin: null.as_fd(),
        stdout: outputs.stdout.as_ref().unwrap_or(null).as_fd(),
        stderr: stderr.as_ref().unwrap_or(null).as_fd(),
    };
    let spawned = platform::spawn(&command);
    // The worker goes first. The kernel often starts it on our own processor and, once it has been executed, gives that
    // back to us: all that we do next would then be time that the worker waits for.
    std::thread::yield_now();
    match spawned {
        Ok(pid) => Ok(Launched { pid, warnings: outputs.warnings }),
        Err(error) => Err(error.to_string()),
    }
}

fn open_log(path: &Path, warnings: &mut Vec<String>) -> Option<File> {
    let opened = match platform::open_log(path) {
        // In a container these are pipes, which by their name alone can't be opened again or told from a stranger's.
        Err(_) if path == Path::new("/dev/stdout") => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        Err(_) if path == Path::new("/dev/stderr") => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| platform::open_log(path))
        }
        opened => opened,
    };
    opened.map_err(|error| warnings.push(format!("cannot open log {path:?}: {error}; its output is discarded"))).ok()
}
