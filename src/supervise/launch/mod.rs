//! What a launch needs, made ahead as far as it can be: the worker's environment, its program, its log files, and a
//! socket to try the port with; and the spawn.
//!
//! An edit takes effect at the next launch, and a mended fault is found mended: what was made ahead is used only while
//! it still holds, which is asked once, and else made anew. An error is one line that says what to mend. Spawning needs
//! no descriptor that is not open already: logs that can't be opened fall back to /dev/null, which is held open.

mod dotenv;
pub mod environment;
pub mod program;
pub mod refusal;

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use platform::{FileId, Lifetime, Pid, PortTrial, file_id};

use self::environment::{Environment, Secret};
use self::program::{ensure_worker_dir, resolve};
use super::mark::{self, Marker};
use crate::config::Config;
use crate::policy::Generation;

/// A file that has rested so long had no edit that a clock too coarse could hide from its [`Stamp`].
const SETTLED: Duration = Duration::from_secs(2);

/// From so many descriptors on there are some to spare: the loop has 15 at rest, and two or three for each helper.
const DESCRIPTORS_ENOUGH: u64 = 128;

/// Launches workers, and holds what was made ahead for the next one.
pub(crate) struct Launcher {
    /// The environment that this process was started with.
    inherited: Vec<(OsString, OsString)>,
    /// /dev/null, held open so that a launch finds it even when descriptors have run out.
    null: File,
    /// Whether this process has descriptors to keep for later: where they are few, a probe or the status file may need
    /// them sooner.
    pub(super) has_descriptors_to_spare: bool,
    marker: Marker,
    ahead: Option<Ahead>,
}

/// What the last worker was spawned from, and what was made since for the next one.
struct Ahead {
    program: CString,
    args: Vec<CString>,
    /// Without a mark.
    env: Vec<CString>,
    /// The secrets that are part of `env`.
    secrets: Vec<(String, Secret)>,
    /// The env file that `env` was made from; `None`: there is one, and it cannot be told apart from its next edit.
    env_file: Option<Stamp>,
    /// Sentences for the log.
    warnings: Vec<String>,
    outputs: Option<Outputs>,
    trial: Option<PortTrial>,
}

/// The log files that a worker gets as its standard output and error. Each worker gets files that no other had: what it
/// does to their flags stays its own.
struct Outputs {
    stdout: Option<LogFile>,
    /// `None`: the same.
    stderr: Option<Option<LogFile>>,
    /// Sentences for the log.
    warnings: Vec<String>,
}

/// An open log, and which file it is.
struct LogFile {
    file: File,
    id: Option<FileId>,
}

/// A worker that was spawned.
pub(crate) struct Spawned {
    pub(crate) pid: Pid,
    /// Sentences for the log.
    pub(crate) warnings: Vec<String>,
}

/// Which content a file had: another inode, size, time or mode is another content. The default stands for no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    file: FileId,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Launcher {
    /// A launcher that has made nothing ahead yet.
    ///
    /// # Errors
    /// /dev/null can't be opened.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        Ok(Self {
            inherited: std::env::vars_os().collect(),
            null: File::options().read(true).write(true).open("/dev/null")?,
            has_descriptors_to_spare: platform::open_files_limit().is_ok_and(|limit| limit >= DESCRIPTORS_ENOUGH),
            marker: Marker::new(name),
            ahead: None,
        })
    }

    /// What the worker of this generation bears in its environment.
    pub(crate) fn mark(&self, generation: Generation) -> String {
        self.marker.mark(generation)
    }

    /// Whether a process descends from any of the workers.
    pub(crate) fn is_of_any_worker(&self, pid: Pid) -> bool {
        self.marker.is_of_any_worker(pid)
    }

    /// The socket for the look at the port, if one was made.
    pub(crate) fn take_trial(&mut self) -> Option<PortTrial> {
        self.ahead.as_mut()?.trial.take()
    }

    /// Spawns the worker from what was made ahead, if that still holds and works, or from scratch, when `make_room` is
    /// called first. It bears `mark`. `wall_ms` is the wall clock, in milliseconds since 1970.
    ///
    /// # Errors
    /// One line that says what is wrong with the env file, the directory or the program, or what could not be run.
    pub(crate) fn spawn(
        &mut self,
        config: &Config,
        mark: &str,
        secrets: Vec<(String, Secret)>,
        wall_ms: u64,
        make_room: impl FnOnce(),
    ) -> Result<Spawned, String> {
        if let Some(mut ahead) = self.ahead.take().filter(|ahead| ahead.still_holds(config, &secrets))
            && let Ok(spawned) = ahead.spawn(config, mark, &self.null)
        {
            self.ahead = Some(ahead);
            return Ok(spawned);
        }
        make_room();
        let mut ahead = Ahead::prepare(config, &self.inherited, secrets, wall_ms)?;
        let spawned = ahead.spawn(config, mark, &self.null)?;
        self.ahead = Some(ahead);
        Ok(spawned)
    }

    /// While the worker is well, makes what the next launch would have to make first.
    pub(crate) fn make_ahead(&mut self, config: &Config) {
        let Some(ahead) = self.ahead.as_mut().filter(|_| self.has_descriptors_to_spare) else { return };
        if ahead.trial.is_none() {
            ahead.trial = PortTrial::of(config.address()).ok();
        }
        if ahead.outputs.is_none() {
            // Those that can't be opened are tried again at the launch, which says so.
            ahead.outputs = Some(Outputs::open(config)).filter(|outputs| outputs.warnings.is_empty());
        }
    }

    /// Makes everything anew at the next launch.
    pub(crate) fn forget(&mut self) {
        self.ahead = None;
    }
}

impl Ahead {
    /// Builds the environment and finds the program.
    fn prepare(
        config: &Config,
        inherited: &[(OsString, OsString)],
        secrets: Vec<(String, Secret)>,
        wall_ms: u64,
    ) -> Result<Self, String> {
        // Before it is read: an edit in between makes the next launch read it again.
        let env_file = settled_stamp(config, wall_ms);
        let named = secrets.iter().map(|(variable, secret)| (variable.as_str(), secret));
        let (environment, warnings) =
            Environment::build(inherited.iter().cloned(), config, named).map_err(|error| error.to_string())?;
        let mut env = environment.to_exec().map_err(|error| error.to_string())?;
        // One that is there is of another supervisor, whose worker this process is.
        env.retain(|entry| !is_mark(entry.as_bytes()));
        ensure_worker_dir(&config.worker_dir).map_err(|error| error.to_string())?;
        let program = resolve(&config.command[0], environment.value("PATH"), &config.worker_dir)
            .map_err(|error| error.to_string())?;
        let program = CString::new(program.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        let args = config.command.iter().map(|arg| CString::new(arg.as_str()));
        let args = args.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(Self { program, args, env, secrets, env_file, warnings, outputs: None, trial: None })
    }

    /// Whether making it anew would come to the same. Not asked is whether the program is still there: spawning tells.
    fn still_holds(&self, config: &Config, secrets: &[(String, Secret)]) -> bool {
        self.secrets == secrets
            && self.env_file.is_some()
            && self.env_file == stamp(config)
            && self.outputs.as_ref().is_none_or(|outputs| outputs.lie_at(config))
    }

    /// Spawns the worker with its standard output and error appended to its logs.
    fn spawn(&mut self, config: &Config, mark: &str, null: &File) -> Result<Spawned, String> {
        let mark = CString::new(format!("{}={mark}", mark::VARIABLE)).map_err(|error| error.to_string())?;
        self.env.push(mark);
        let outputs = self.outputs.take().unwrap_or_else(|| Outputs::open(config));
        let command = platform::Command {
            program: &self.program,
            args: &self.args,
            env: &self.env,
            dir: &config.worker_dir,
            lifetime: Lifetime::ItsOwn,
            stdin: null.as_fd(),
            stdout: outputs.stdout().unwrap_or(null).as_fd(),
            stderr: outputs.stderr().unwrap_or(null).as_fd(),
        };
        let spawned = platform::spawn(&command).map_err(|error| refusal::explain(&error, &command));
        // The worker goes first. The kernel often starts it on our own processor and, once it has been executed, gives
        // that back to us: all that we do next would then be time that the worker waits for.
        std::thread::yield_now();
        self.env.pop();
        let pid = spawned?;
        let warnings = self.warnings.iter().cloned().chain(outputs.warnings).collect();
        Ok(Spawned { pid, warnings })
    }
}

impl Outputs {
    /// Opens both. What can't be opened is said, and will be /dev/null.
    fn open(config: &Config) -> Self {
        let mut warnings = Vec::new();
        let stdout = open_log(&config.log_stdout, &mut warnings);
        let is_one = config.log_stderr == config.log_stdout;
        let stderr = (!is_one).then(|| open_log(&config.log_stderr, &mut warnings));
        Self { stdout, stderr, warnings }
    }

    /// Whether the log paths still lead to these files.
    fn lie_at(&self, config: &Config) -> bool {
        let is_at = |log: &Option<LogFile>, path| log.as_ref().is_some_and(|log| log.lies_at(path));
        is_at(&self.stdout, &config.log_stdout)
            && self.stderr.as_ref().is_none_or(|stderr| is_at(stderr, &config.log_stderr))
    }

    fn stdout(&self) -> Option<&File> {
        self.stdout.as_ref().map(|log| &log.file)
    }

    fn stderr(&self) -> Option<&File> {
        self.stderr.as_ref().unwrap_or(&self.stdout).as_ref().map(|log| &log.file)
    }
}

/// Whether an entry of an environment is a mark.
fn is_mark(entry: &[u8]) -> bool {
    entry.strip_prefix(mark::VARIABLE.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
}

impl LogFile {
    fn of(file: File) -> Self {
        let id = file.metadata().ok().map(|metadata| file_id(&metadata));
        Self { file, id }
    }

    fn lies_at(&self, path: &Path) -> bool {
        self.id.is_some() && self.id == fs::metadata(path).ok().map(|metadata| file_id(&metadata))
    }
}

/// The env file as it is now; `None`: it can't be looked at.
fn stamp(config: &Config) -> Option<Stamp> {
    let Some(path) = &config.env_file else { return Some(Stamp::default()) };
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        file: file_id(&metadata),
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

/// Whether a worker's output could go there, by the look that opening it would begin with. It creates nothing.
///
/// # Errors
/// NotFound: there is none yet, and it would be created. Otherwise what keeps it from being used.
pub fn check_log(path: &Path) -> io::Result<()> {
    match platform::check_log(path) {
        Err(error) => own_stream(path).map_or(Err(error), |stream| stream.map(drop)),
        Ok(()) => Ok(()),
    }
}

fn open_log(path: &Path, warnings: &mut Vec<String>) -> Option<LogFile> {
    let opened = match (platform::open_log(path), own_stream(path)) {
        (Err(_), Some(stream)) => stream.map(File::from),
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| platform::open_log(path))
        }
        (opened, _) => opened,
    };
    let said = |error| warnings.push(format!("cannot open log {path:?}: {error}; its output is discarded"));
    opened.map_err(said).map(LogFile::of).ok()
}

/// What this process writes to, by the name of it. In a container, and before a pipe to another program, these are
/// pipes, which by the name alone can't be opened again or told from a stranger's.
fn own_stream(path: &Path) -> Option<io::Result<OwnedFd>> {
    match path.to_str() {
        Some("/dev/stdout") => Some(io::stdout().as_fd().try_clone_to_owned()),
        Some("/dev/stderr") => Some(io::stderr().as_fd().try_clone_to_owned()),
        _ => None,
    }
}
