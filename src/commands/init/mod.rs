//! `init`: a config for the program in a directory, from what its files say of how it is run.
//!
//! What is guessed is said, a line each, and stands in the config with a comment. An existing file is never written
//! over, and none is left half written: the text is written beside it, read as any config is, and then linked into
//! place. Files are read and nothing is run. What they mean is decided by pure functions, which never
//! see more than bytes.

mod draft;
mod guess;
mod plist;
mod pm2;
mod python;
mod words;

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use draft::{Content, Guess, Project};
pub use guess::{complete, read_named};

use crate::cli::PROGRAM;
use crate::config::file::{ReadError, read_trusted};
use crate::config::{Config, ConfigError};
use crate::error::{Error, ExitCode, printable};
use crate::print::print;
use crate::supervise::launch::environment::port_in_dotenv;

/// Where an installation has the schema, from the program's directory.
const SCHEMA: &str = "../share/worker-supervisor/worker-supervisor.schema.json";

/// Keys that are shown with an example where they are not set.
const SUGGESTED: [&str; 5] = ["sync_endpoint", "drain_timeout_secs", "env_file", "secrets", "on_event"];

/// Writes a config to `path` for the directory in which this runs, or for what the file `named` tells of: a property
/// list of launchd, or an ecosystem file of pm2. What was guessed goes to `output`.
///
/// # Errors
/// Exit code 78: there is such a file, nothing says what to run, or something can't be read or written; 70: it can't be
/// printed.
pub fn init(path: &Path, named: Option<&Path>, output: &mut dyn Write) -> Result<ExitCode, Error> {
    let cannot = |cause: String| Error::cannot(ExitCode::Config, format_args!("make a config {path:?}"), cause);
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| cannot(error.to_string()));
    let (target, here) = (absolute(path)?, absolute(Path::new("."))?);
    if fs::symlink_metadata(&target).is_ok() {
        return Err(cannot("it exists, and is left as it is; name another with --config".into()));
    }
    let mut guess = match named {
        Some(named) => {
            let content = read(&absolute(named)?).and_then(|content| content.ok_or_else(|| "no such file".into()));
            let guess = content.and_then(|content| read_named(&content));
            guess.map_err(|cause| cannot(format!("{named:?}: {cause}")))?
        }
        None => Guess::default(),
    };
    // Joined to nothing, a directory would get a slash at its end.
    let dir: PathBuf = here.join(&guess.config.worker_dir).components().collect();
    let project = Project {
        read: &|name| read(&dir.join(name)),
        exists: &|name| dir.join(name).exists(),
        dotenv_port: port_in_dotenv(&dir).map(|(port, _)| port),
    };
    complete(&mut guess, &project).map_err(cannot)?;
    place(&mut guess, &target, &dir);
    create(&target, &page(&guess)).map_err(cannot)?;
    let next = if path.ends_with(crate::cli::CONFIG_DEFAULT) { String::new() } else { format!(" --config {path:?}") };
    let written = format!("wrote {target:?}\nsee what a start would find: {PROGRAM} --dry-run{next}\n");
    print(output, &printable(&(guess.lines() + &written)), ExitCode::Ok)
}

/// A file's content; `None` where there is none.
fn read(path: &Path) -> Content {
    match read_trusted(path) {
        Ok(trusted) => Ok(Some(trusted.bytes)),
        Err(ReadError::Missing) => Ok(None),
        Err(ReadError::Refused(cause)) => Err(cause),
    }
}

/// What depends on where the config is: a name, where its file's is no name for a worker, and the worker's directory.
fn place(guess: &mut Guess, target: &Path, dir: &Path) {
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let stem = text(target.file_stem());
    let mut name = std::mem::take(&mut guess.config.name);
    if name.is_empty() {
        name = text(dir.file_name());
    }
    if stem == PROGRAM || draft::name_of(&stem) != stem {
        guess.config.name = draft::name_of(&name);
        guess.say("name", "the project's name, or its directory's");
    }
    if target.parent() != Some(dir) {
        let home = std::env::var_os("HOME").unwrap_or_default();
        let below_home = dir.strip_prefix(&home).ok().filter(|_| Path::new(&home).is_absolute());
        guess.config.worker_dir = below_home.map_or_else(|| dir.into(), |below| Path::new("~").join(below));
        guess.say("worker_dir", "the directory of the project");
    }
}

/// The file: where an editor finds what its keys mean, and each key that was guessed or is worth a thought.
fn page(guess: &Guess) -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let schema: PathBuf = program.with_file_name(SCHEMA);
    let directive = if schema.exists() { format!("#:schema {}\n", schema.display()) } else { String::new() };
    let keys = guess.config.commented(&guess.said, &SUGGESTED);
    format!("{directive}# Made by `{PROGRAM} init`, which guesses: read it, then `{PROGRAM} --dry-run`.\n\n{keys}")
}

/// Writes a config where there is none, or leaves nothing.
fn create(target: &Path, page: &str) -> Result<(), String> {
    let dir = target.parent().unwrap_or(target);
    let is_made = fs::create_dir(dir).is_ok();
    let mut beside = target.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let created = write_new(Path::new(&beside), page).map_err(|error| error.to_string()).and_then(|()| {
        // A link is refused where there is something, whoever put it there and when.
        let linked =
            usable(Path::new(&beside)).and_then(|()| fs::hard_link(&beside, target).map_err(|error| error.to_string()));
        let _ = fs::remove_file(&beside);
        linked
    });
    if created.is_err() && is_made {
        let _ = fs::remove_dir(dir);
    }
    created
}

/// For its owner alone: variables may be secrets.
fn write_new(path: &Path, page: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(page.as_bytes()).inspect_err(|_| drop(fs::remove_file(path)))
}

/// Whether what was made is a config: a name or a variable may be none.
fn usable(path: &Path) -> Result<(), String> {
    Config::load(path).map(drop).map_err(|error| match error {
        ConfigError::File(message) => message,
        ConfigError::Content { problems, .. } => problems.into_iter().next().map_or_else(String::new, |it| it.message),
    })
}
