//! The state directory of one config: its lock, the record of its live worker, and its status file.
//!
//! The directory is ours alone (mode 0700), and one that others could have prepared or could replace is refused: what
//! stands in it decides which processes are signalled. It is held open. Files are replaced as a whole, and the record
//! is written over in one call, so a full disk keeps the old one and leaves no litter; they are not synced, since after
//! a crash of the machine there is no worker left to know about.

use std::ffi::{CStr, OsStr};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use platform::{Access, Dir, Identity, Pid};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ExitCode};

/// The longest state file that is read, in bytes; a status takes some thousand.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The file that is locked.
pub(crate) const LOCK: &CStr = c"lock";

/// The record of the live worker.
const WORKER: &CStr = c"worker.json";

/// The status file.
pub(crate) const STATUS: &CStr = c"status.json";

/// What takes its place where there is no room for a new one.
pub(crate) const STATUS_SPARE: &CStr = c"status.spare";

/// What shows whether there is room.
pub(crate) const STATUS_TRIAL: &CStr = c"status.try";

/// The state directory of one config, held open.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    /// What is done to its files is done in here, whatever the path leads to by then.
    pub(crate) files: Dir,
}

impl StateDir {
    /// Opens `<state_dir>/<name>`, and creates it and its parents, for us alone, where they are missing.
    ///
    /// # Errors
    /// Exit code 78: it can't be created, or is not ours alone; see [`StateDir::existing`].
    pub fn open(state_dir: &Path, name: &str) -> Result<StateDir, Error> {
        // Before anything is made: not where somebody else may lead it.
        if let Some(found) = Self::existing(state_dir, name)? {
            return Ok(found);
        }
        let path = state_dir.join(name);
        let cannot_use = |error| cannot_use(&path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(cannot_use)?;
        Self::existing(state_dir, name)?.ok_or_else(|| cannot_use(io::ErrorKind::NotFound.into()))
    }

    /// `<state_dir>/<name>` if it exists; creates nothing.
    ///
    /// # Errors
    /// Exit code 78: it is a symbolic link, is not a directory, belongs to another user, or its group or anybody may
    /// write it; or somebody else could put another in its place.
    pub fn existing(state_dir: &Path, name: &str) -> Result<Option<StateDir>, Error> {
        let path = state_dir.join(name);
        let opened = platform::safe_path(&path).and_then(|safe| {
            ensure_directory(&path)?;
            let files = Dir::open(safe.real())?;
            ensure_ours_alone(&files.metadata()?)?;
            Ok(files)
        });
        match opened {
            Ok(files) => Ok(Some(StateDir { path, files })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(cannot_use(&path, error)),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file that is locked.
    pub fn lock_path(&self) -> PathBuf {
        self.path_of(LOCK)
    }

    /// The path of the record of the live worker.
    pub fn worker_path(&self) -> PathBuf {
        self.path_of(WORKER)
    }

    /// The path of the status file.
    pub fn status_path(&self) -> PathBuf {
        self.path_of(STATUS)
    }

    /// The path of a file in it.
    pub(crate) fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    /// All of a small file; None where there is none.
    pub(crate) fn read(&self, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let file = match self.files.open_file(name, Access::Read) {
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
}

fn cannot_use(path: &Path, cause: io::Error) -> Error {
    let code = if platform::is_local_error(&cause) { ExitCode::Internal } else { ExitCode::Config };
    Error::cannot(code, format_args!("use the state directory {path:?}"), cause)
}

/// Not even a link of ours: whose it is would be one more thing to judge.
fn ensure_directory(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Err(io::Error::other("it is a symbolic link; set state_dir to where it leads"));
    }
    if !metadata.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    Ok(())
}

fn ensure_ours_alone(metadata: &fs::Metadata) -> io::Result<()> {
    let mode = metadata.mode() & 0o7777;
    if metadata.uid() != platform::effective_user_id() {
        return Err(io::Error::other(format!("it belongs to user {}, not to us", metadata.uid())));
    }
    if mode & 0o022 != 0 {
        return Err(io::Error::other(format!("others may write it (mode {mode:04o}); run `chmod 700` on it")));
    }
    Ok(())
}

/// NotFound, or a parent that is not a directory.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// How long a worker record is, in bytes, so that the next one fits into its place. Most of it is a mark of at most
/// some 140 bytes and a start time.
const RECORD_BYTES: usize = 384;

/// What the record of the worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// No worker lives.
    Nobody,
    /// One may live.
    Somebody {
        /// The one that was spawned last.
        worker: Option<Identity>,
        /// What the one after it bears in its environment, which is known before that is spawned. Empty in records of
        /// earlier versions.
        next: String,
    },
    /// Nothing that makes sense: any worker may live.
    Unclear,
}

impl Record {
    /// The worker that was spawned last, if it is known.
    pub fn worker(&self) -> Option<&Identity> {
        let Record::Somebody { worker, .. } = self else { return None };
        worker.as_ref()
    }
}

/// The live worker on disk, so that a supervisor that was killed leaves no orphan that nobody knows.
///
/// It is written before the first spawn and after each, and says by its mark who comes next: no spawn after an exit has
/// to wait for a disk. It is written over the last one in one call of fixed length, which takes some microseconds,
/// needs no descriptor and on most file systems no room, and is not cut short by SIGKILL. So only the very first launch
/// of a state directory needs room for it.
#[derive(Debug)]
pub struct WorkerRecord {
    dir: StateDir,
    file: Option<File>,
    /// As far as it was read or written. Without the worker, once that is gone and the next is spawned.
    on_disk: Record,
}

/// A worker, and the mark of the one that comes next.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<&'a str>,
    next: &'a str,
}

impl WorkerRecord {
    /// Touches nothing yet. `on_disk`: what was read.
    pub fn new(dir: &StateDir, on_disk: Record) -> WorkerRecord {
        WorkerRecord { dir: dir.clone(), file: None, on_disk }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.worker_path()
    }

    /// Whether the record names this worker, or nobody where that is None.
    pub fn names(&self, worker: Option<Pid>) -> bool {
        match worker {
            None => self.on_disk == Record::Nobody,
            Some(pid) => self.on_disk.worker().is_some_and(|recorded| recorded.pid == pid),
        }
    }

    /// Makes sure that a worker with this mark, which is about to be spawned, can be found: the last record says so, if
    /// a worker came before it.
    ///
    /// # Errors
    /// What open, write or rename report: the worker is not to be spawned then.
    pub fn launching(&mut self, mark: &str) -> io::Result<()> {
        let is_named = matches!(&self.on_disk, Record::Somebody { next, .. } if next == mark);
        if !is_named || !self.is_in_place() {
            self.put(Some(&Line { pid: None, started: None, next: mark }))?;
        }
        self.on_disk = Record::Somebody { worker: None, next: mark.to_owned() };
        Ok(())
    }

    /// Whether what was written still is where the next supervisor finds it: somebody may have removed the file.
    fn is_in_place(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0))
    }

    /// Counts what was written of a worker as lost if somebody has removed the file.
    pub fn notice_removal(&mut self) {
        if self.on_disk.worker().is_some() && !self.is_in_place() {
            self.on_disk = Record::Unclear;
        }
    }

    /// Records the live worker, and the mark of the next.
    ///
    /// # Errors
    /// What open, write or rename report.
    pub fn write(&mut self, worker: Identity, next: String) -> io::Result<()> {
        let (pid, started) = (Some(worker.pid.as_raw()), Some(worker.started.as_str()));
        self.put(Some(&Line { pid, started, next: &next }))?;
        self.on_disk = Record::Somebody { worker: Some(worker), next };
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

    fn put(&mut self, line: Option<&Line<'_>>) -> io::Result<()> {
        let mut content = serde_json::to_vec(&line)?;
        // In one piece: a formatter would pad it character by character, which is a fifth of what a restart computes.
        content.resize(content.len().max(RECORD_BYTES - 1), b' ');
        content.push(b'\n');
        // One that somebody has removed would be written where nobody finds it.
        let held = self.is_in_place().then(|| self.file.take()).flatten();
        let written_over = held.or_else(|| open_record(&self.dir)).and_then(|file| {
            let written = file.write_all_at(&content, 0);
            written.is_ok().then_some(file)
        });
        self.file = Some(match written_over {
            Some(file) => file,
            None => self.dir.files.replace_file(WORKER, &content)?,
        });
        Ok(())
    }

    /// What the record says; a pid of 1 and below makes no sense.
    ///
    /// # Errors
    /// What open or read report, but for a missing file.
    pub fn read(dir: &StateDir) -> io::Result<Record> {
        let bytes = match dir.read(WORKER) {
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
        Ok(match (pid, text("started"), text("next")) {
            (None, None, None) if value.is_null() => Record::Nobody,
            (None, None, Some(next)) => Record::Somebody { worker: None, next },
            (Some(pid), Some(started), next) => {
                let worker = Some(Identity { pid, started: started.into() });
                Record::Somebody { worker, next: next.unwrap_or_default() }
            }
            _ => Record::Unclear,
        })
    }
}

/// An earlier supervisor's record, if the next can be written over it.
fn open_record(dir: &StateDir) -> Option<File> {
    let fits = dir.files.length_of(WORKER)? <= RECORD_BYTES as u64;
    fits.then(|| dir.files.open_file(WORKER, Access::Write).ok()).flatten()
}
