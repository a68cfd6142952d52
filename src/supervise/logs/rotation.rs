//! The worker's logs: kept below a size.
//!
//! The worker holds its log open for appending, so a log is not renamed away: it is copied to `LOG.1` in bounded
//! steps, up to the last byte, and then truncated in place, while the worker goes on writing. Lost is only what is
//! written between the read that finds the end and the truncation, two system calls in a row: of 700,000 lines a
//! second 1 line a rotation (2 µs) and 5 at most (8 µs) in 300 rotations on Linux; up to 20 ms where a loaded machine
//! stops us just there. Until the truncation the log has everything: whatever fails before, such as a full disk, loses
//! nothing and leaves no half copy.
//!
//! A program that opened the log itself, and not for appending, goes on at its old offset after a truncation, so that
//! the log begins with a hole of that length. A hole counts for nothing and is never copied. Refuses logs that are not
//! regular files of ours, and never follows a link where it creates one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What one step copies at most, in bytes: about 2 ms.
const STEP_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// So near to the end the copy is finished in one go, in bytes.
const NEAR_BYTES: u64 = 64 * 1024;
/// How much a log may grow while it is copied, in bytes, before it is truncated all the same: a worker that writes
/// faster than we copy would fill the disk.
const CHASE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// One read close to the end, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// Where the system clones files in one call that may turn into a copy: up to which size, in bytes.
#[cfg(target_os = "macos")]
const CLONE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// One log on its way to `LOG.1`. Dropped before the end, it has changed nothing but the numbers of older copies.
#[derive(Debug)]
pub struct Rotation {
    path: PathBuf,
    log: File,
    copy: File,
    /// Where the copy is now.
    copy_path: PathBuf,
    keep: u32,
    /// Where its data begins.
    hole: u64,
    size_at_start: u64,
    /// How far into the log, its hole included.
    copied: u64,
    skipped: u64,
    is_done: bool,
}

impl Rotation {
    /// Begins with a log that has more than `bytes_max` behind its hole; `keep` older copies are kept, at least 1.
    /// None: it has not, or is not there, or is no regular file.
    ///
    /// # Errors
    /// What open reports for the log or its copy, or PermissionDenied for another user's file.
    pub fn start(path: &Path, bytes_max: u64, keep: u32) -> io::Result<Option<Rotation>> {
        // Looked at before it is opened: opening a FIFO waits for its other end.
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() && metadata.len() > bytes_max => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        // Nobody else can lead it elsewhere from here on, nor what lies beside it.
        let log = platform::safe_path(path)?.open(OpenOptions::new().read(true).write(true))?;
        let metadata = log.metadata()?;
        if !metadata.is_file() || metadata.uid() != platform::effective_user_id() {
            let message = format!("belongs to user {}, not to us", metadata.uid());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let hole = hole_of(&log)?;
        if metadata.len().saturating_sub(hole) <= bytes_max {
            return Ok(None);
        }
        let copy_path = with_suffix(path, ".new");
        let copy = if hole > 0 { create_new(&copy_path)? } else { begin_copy(path, metadata.len(), &copy_path)? };
        let copied = hole + copy.metadata()?.len();
        let (path, size_at_start) = (path.to_owned(), metadata.len());
        let mut rotation =
            Rotation { path, log, copy, copy_path, keep, hole, size_at_start, copied, skipped: 0, is_done: false };
        rotation.seek()?;
        Ok(Some(rotation))
    }

    /// The log's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes were dropped because the worker wrote faster than they could be copied; 0 unless it outran
    /// gigabytes a second.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Both files go on where the copy ends.
    fn seek(&mut self) -> io::Result<()> {
        use io::{Seek, SeekFrom};
        self.log.seek(SeekFrom::Start(self.copied))?;
        self.copy.seek(SeekFrom::Start(self.copied - self.hole)).map(drop)
    }

    /// Copies at most some MiB. True: the log is rotated.
    ///
    /// # Errors
    /// What read, write, rename or ftruncate report, or that somebody else truncated the log. The rotation has then
    /// failed, and must be dropped.
    pub fn step(&mut self) -> io::Result<bool> {
        let size = self.log.metadata()?.len();
        let Some(behind) = size.checked_sub(self.copied) else {
            return Err(io::Error::other("somebody truncated it meanwhile"));
        };
        let is_outrun = self.copied.saturating_sub(self.size_at_start) > CHASE_BYTES_MAX;
        if behind <= NEAR_BYTES || is_outrun || self.copy_some()? == 0 {
            self.finish()?;
        }
        Ok(self.is_done)
    }

    /// Lets the kernel copy, which shares the blocks where the file system can.
    fn copy_some(&mut self) -> io::Result<u64> {
        let bytes = io::copy(&mut (&self.log).take(STEP_BYTES_MAX), &mut self.copy)?;
        self.copied += bytes;
        Ok(bytes)
    }

    /// Copies the rest twice: first so that a full disk shows before anything has a new name, then what came meanwhile.
    fn finish(&mut self) -> io::Result<()> {
        self.copy_rest()?;
        let newest = numbered(&self.path, 1);
        self.shift()?;
        fs::rename(&self.copy_path, &newest)?;
        self.copy_path = newest;
        let reached_end = self.copy_rest()?;
        if !reached_end {
            self.skipped = self.log.metadata()?.len().saturating_sub(self.copied);
        }
        self.log.set_len(0)?;
        self.is_done = true;
        Ok(())
    }

    /// Copies up to the end of the log. False: the worker writes faster than that.
    fn copy_rest(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..STEP_BYTES_MAX / READ_BYTES as u64 {
            let bytes = self.log.read(&mut buffer)?;
            if bytes == 0 {
                return Ok(true);
            }
            self.copy.write_all(&buffer[..bytes])?;
            self.copied += bytes as u64;
        }
        Ok(false)
    }

    /// Makes room for a new `.1`: each older copy gets the next number, and the oldest is gone.
    fn shift(&self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            match fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        if !self.is_done {
            drop(fs::remove_file(&self.copy_path));
        }
    }
}

/// Whether a log has a hole where its data should begin: somebody writes it without O_APPEND, and it was truncated.
pub fn is_hollow(path: &Path) -> bool {
    open_to_read(path).and_then(|log| hole_of(&log)).is_ok_and(|hole| hole > 0)
}

/// Opens a log where nobody else can lead us to another file.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    platform::safe_path(path)?.open(OpenOptions::new().read(true))
}

/// How long the hole is with which a log begins, and the NULs after it: holes end where blocks do.
fn hole_of(log: &File) -> io::Result<u64> {
    let mut hole = platform::data_start(log);
    let mut buffer = [0; READ_BYTES];
    for _ in 0..STEP_BYTES_MAX / READ_BYTES as u64 {
        let bytes = log.read_at(&mut buffer, hole)?;
        let nuls = buffer[..bytes].iter().position(|&byte| byte != 0).unwrap_or(bytes);
        hole += nuls as u64;
        if nuls < bytes || bytes == 0 {
            break;
        }
    }
    Ok(hole)
}

/// Creates a file that only we may read, in place of whatever has its name: follows no link. What is there can only be
/// what a rotation left whose supervisor was killed.
fn create_new(path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    with_suffix(path, &format!(".{number}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An empty copy.
#[cfg(not(target_os = "macos"))]
fn begin_copy(_log: &Path, _size: u64, copy: &Path) -> io::Result<File> {
    create_new(copy)
}

/// A clone of the whole log where it lies on APFS, which takes one call however long the log is. Elsewhere the same
/// call copies all of it, so that it is not made for a long log; an empty copy then, or after any failure.
#[cfg(target_os = "macos")]
fn begin_copy(log: &Path, size: u64, copy: &Path) -> io::Result<File> {
    use std::os::unix::fs::PermissionsExt;
    drop(fs::remove_file(copy));
    if size <= CLONE_BYTES_MAX && fs::copy(log, copy).is_ok() {
        let cloned = OpenOptions::new().write(true).open(copy)?;
        cloned.set_permissions(fs::Permissions::from_mode(0o600))?;
        return Ok(cloned);
    }
    create_new(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_numbered_after_the_whole_name() {
        assert_eq!(numbered(Path::new("/a/b.log"), 12), Path::new("/a/b.log.12"));
    }
}
