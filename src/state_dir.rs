//! The state directory of one config: its lock, the record of its live worker, and its status file.
//!
//! The directory is ours alone (mode 0700), and one that others could have prepared is refused: what stands in it
//! decides which processes are signalled. Files are replaced as a whole, and the record is written over in one call, so
//! a full disk keeps the old one and leaves no litter; they are not synced, since after a crash of the machine there is
//! no worker left to know about.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use platform::{Identity, Pid};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ExitCode};

/// The longest state file that is read, in bytes; a status takes some thousand.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The state directory of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Opens `<state_dir>/<name>`, and creates it and its parents, for us alone, where they are missing.
    ///
    /// # Errors
    /// Exit code 78: it can't be created, or is not ours alone; see [`StateDir::existing`].
    pub fn open(state_dir: &Path, name: &str) -> Result<StateDir, Error> {
        let path = state_dir.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|error| cannot_use(&path, error))?;
        ensure_fixed_in(state_dir)?;
        ensure_ours_alone(&path)?;
        Ok(StateDir { path })
    }

    /// `<state_dir>/<name>` if it exists; creates nothing.
    ///
    /// # Errors
    /// Exit code 78: it is a symbolic link, is not a directory, belongs to another user, or its group or anybody may
    /// write it.
    pub fn existing(state_dir: &Path, name: &str) -> Result<Option<StateDir>, Error> {
        let path = state_dir.join(name);
        match fs::symlink_metadata(&path) {
            Ok(_) => ensure_ours_alone(&path).map(|()| Some(StateDir { path })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(cannot_use(&path, error)),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that is locked.
    pub fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The record of the live worker.
    pub fn worker_path(&self) -> PathBuf {
        self.path.join("worker.json")
    }

    /// The status file.
    pub fn status_path(&self) -> PathBuf {
        self.path.join("status.json")
    }
}

fn cannot_use(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::cannot(ExitCode::Config, format_args!("use the state directory {path:?}"), cause)
}

/// Whoever may write the directory above could put another in the place of ours, unless it is sticky as /tmp is.
fn ensure_fixed_in(parent: &Path) -> Result<(), Error> {
    let mode = fs::metadata(parent).map_err(|error| cannot_use(parent, error))?.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let advice = format_args!("others may write it (mode {mode:04o}); run `chmod go-w` on it");
        return Err(cannot_use(parent, advice));
    }
    Ok(())
}

fn ensure_ours_alone(path: &Path) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(path).map_err(|error| cannot_use(path, error))?;
    let mode = metadata.mode() & 0o7777;
    if metadata.is_symlink() {
        return Err(cannot_use(path, "it is a symbolic link; set state_dir to where it leads"));
    }
    if !metadata.is_dir() {
        return Err(cannot_use(path, "it is not a directory"));
    }
    if metadata.uid() != platform::effective_user_id() {
        return Err(cannot_use(path, format_args!("it belongs to user {}, not to us", metadata.uid())));
    }
    if mode & 0o022 != 0 {
        let advice = format_args!("others may write it (mode {mode:04o}); run `chmod 700` on it");
        return Err(cannot_use(path, advice));
    }
    Ok(())
}

/// NotFound, or a parent that is not a directory.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Replaces a file, of the state directory or elsewhere, with mode 0600, and returns the new one. On an error the old
/// one stays and nothing is left beside it.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let written = create_new(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        platform::replace(&temporary, path)?;
        Ok(file)
    });
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Creates a file that only we may read, in place of whatever has its name: follows no link. What is there can only be
/// what a writer left that was killed, since the holder of the lock is the only writer.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

/// All of a small file; None where there is none.
pub(crate) fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match platform::open_regular(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than any that we write"));
    }
    Ok(Some(bytes))
}

/// How long a worker record is, in bytes, so that the next one fits into its place. The longest is a mark of some 140
/// bytes.
const RECORD_BYTES: usize = 256;

/// What the record of the worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// No worker lives.
    Nobody,
    /// A worker is being spawned, or has just been: it bears this mark in its environment.
    Launching(String),
    /// This worker lives.
    Worker(Identity),
    /// Nothing that makes sense: any worker may live.
    Unclear,
}

/// The live worker on disk, so that a supervisor that was killed leaves no orphan that nobody knows.
///
/// It is written before each spawn and after it, over the last one in one call of fixed length, which takes a
/// microsecond, needs no descriptor and on most file systems no room, and is not cut short by SIGKILL. So only the very
/// first launch of a state directory needs room for it.
#[derive(Debug)]
pub struct WorkerRecord {
    path: PathBuf,
    file: Option<File>,
    /// As far as it was read or written.
    on_disk: Record,
}

/// Either the mark of a worker that is being spawned, or a worker.
#[derive(Default, Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    launching: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
}

impl WorkerRecord {
    /// Touches nothing yet. `on_disk`: what was read.
    pub fn new(dir: &StateDir, on_disk: Record) -> WorkerRecord {
        WorkerRecord { path: dir.worker_path(), file: None, on_disk }
    }

    /// Whether the record names this worker, or nobody where that is None.
    pub fn names(&self, worker: Option<Pid>) -> bool {
        match &self.on_disk {
            Record::Nobody => worker.is_none(),
            Record::Worker(identity) => worker == Some(identity.pid),
            Record::Launching(_) | Record::Unclear => false,
        }
    }

    /// What is on disk has been removed or was another's: the next write is one from scratch.
    pub fn forget(&mut self) {
        (self.file, self.on_disk) = (None, Record::Unclear);
    }

    /// Records that a worker with this mark is about to be spawned.
    ///
    /// # Errors
    /// What open, write or rename report: the worker is not to be spawned then.
    pub fn launching(&mut self, mark: String) -> io::Result<()> {
        self.put(Some(&Line { launching: Some(mark.clone()), ..Line::default() }))?;
        self.on_disk = Record::Launching(mark);
        Ok(())
    }

    /// Records the live worker.
    ///
    /// # Errors
    /// What open, write or rename report.
    pub fn write(&mut self, worker: &Identity) -> io::Result<()> {
        let (pid, started) = (Some(worker.pid.as_raw()), Some(worker.started.as_str().to_owned()));
        self.put(Some(&Line { launching: None, pid, started }))?;
        self.on_disk = Record::Worker(worker.clone());
        Ok(())
    }

    /// Records that no worker lives.
    ///
    /// # Errors
    /// What open, write or rename report.
    pub fn clear(&mut self) -> io::Result<()> {
        self.put(None)?;
        self.on_disk = Record::Nobody;
        Ok(())
    }

    fn put(&mut self, line: Option<&Line>) -> io::Result<()> {
        let content = format!("{:<width$}\n", serde_json::to_string(&line)?, width = RECORD_BYTES - 1);
        // One that somebody has removed would be written where nobody finds it.
        let held = self.file.take().filter(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0));
        let written_over = held.or_else(|| open_record(&self.path)).and_then(|file| {
            let written = file.write_all_at(content.as_bytes(), 0);
            written.is_ok().then_some(file)
        });
        self.file = Some(match written_over {
            Some(file) => file,
            None => replace_file(&self.path, content.as_bytes())?,
        });
        Ok(())
    }

    /// What the record says; a pid of 1 and below makes no sense.
    ///
    /// # Errors
    /// What open or read report, but for a missing file.
    pub fn read(dir: &StateDir) -> io::Result<Record> {
        let bytes = match read_file(&dir.worker_path()) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Record::Nobody),
            // Longer than any, or no file at all: no record of ours, and what is written next replaces it.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                return Ok(Record::Unclear);
            }
            Err(error) => return Err(error),
        };
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Bool(false));
        let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let pid = value.get("pid").and_then(Value::as_i64).and_then(|pid| Pid::new(pid.try_into().ok()?));
        Ok(match (text("launching"), pid, text("started")) {
            (None, None, None) if value.is_null() => Record::Nobody,
            (Some(mark), None, None) => Record::Launching(mark),
            (None, Some(pid), Some(started)) => Record::Worker(Identity { pid, started: started.into() }),
            _ => Record::Unclear,
        })
    }
}

/// An earlier supervisor's record, if the next can be written over it.
fn open_record(path: &Path) -> Option<File> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let fits = metadata.is_file() && metadata.len() <= RECORD_BYTES as u64;
    fits.then(|| platform::open_regular(OpenOptions::new().write(true), path).ok()).flatten()
}
