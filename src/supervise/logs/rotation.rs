//! The worker's logs: kept below a size.
//!
//! The worker holds its log open for appending, so a log is not renamed away: it is copied to `LOG.1` in bounded
//! steps, up to the last byte, and then truncated in place, while the worker goes on writing. Lost is only what is
//! written between the read that finds the end and the truncation, two system calls in a row: of 1.3 million lines a
//! second 4 a rotation (3 µs) and 50 at most (38 µs) in 300 rotations on Linux; up to 20 ms where a loaded machine
//! stops us just there. Until `.1` is whole the log has everything: whatever fails before, such as a full disk, loses
//! nothing and leaves no half copy.
//!
//! What takes a file's blocks away takes the longer the more there are, a second for some gigabytes, and keeps its
//! writers waiting. So big files are taken down piece by piece first: a copy that is to go from its end, and the log
//! itself, once `.1` has all of it, from its beginning, by a hole that grows. A rotation that was cut short meanwhile
//! is known by the `.1` that goes on where the hole ends, and is gone on with.
//!
//! A program that opened the log itself, and not for appending, goes on at its old offset after a truncation, so that
//! the log begins with a hole of that length. A hole counts for nothing and is never copied. Refuses logs that are not
//! regular files of ours, and never follows a link where it creates one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What one step copies or gives back, in bytes: that takes less than a millisecond, 5 at most where the disk keeps up.
const STEP_BYTES_MAX: u64 = 256 * 1024;
/// So near to the end the copy is finished in one go, in bytes.
const NEAR_BYTES: u64 = 64 * 1024;
/// Holes begin and end where blocks do, or they would free less.
const BLOCK_BYTES: u64 = 4096;
/// How many NULs may follow a hole, in bytes: holes begin and end where records do, and those of ZFS have up to 1 MiB
/// unless it is told otherwise (zfsprops(7), recordsize).
const NULS_BYTES_MAX: usize = 1024 * 1024;
/// How much is copied of what came after the start, in bytes, until the worker's haste is judged.
const CHASE_BYTES: u64 = 64 * 1024 * 1024;
/// There is time to rest while the log grows by no more than this part of what is copied, and of `CHASE_BYTES`: so
/// rests alone let no worker outrun the copying.
const GROWTH_PART: u64 = 8;
/// One read close to the end, in bytes.
const READ_BYTES: usize = 16 * 1024;

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
    /// By how much the worker has made it longer since.
    grown: u64,
    /// Where the copy has to be to judge the worker's haste next, and how long the log was at the last time.
    look_at: u64,
    size_at_look: Option<u64>,
    /// Whether the worker writes more than half as fast as we copy: it would fill the disk.
    is_outrun: bool,
    /// How far into the log, its hole included.
    copied: u64,
    skipped: u64,
    /// Up to here the log has been given back.
    freed: u64,
    stage: Stage,
}

/// How far a rotation is.
#[derive(Debug)]
enum Stage {
    Copying,
    /// The copy has its name, and the log is given back.
    Emptying,
    /// For this reason; the copy is taken down.
    Failing(io::Error),
    Done,
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
        let (hole, size) = (hole_of(&log)?, metadata.len());
        let rest = resumable(path, &log, hole);
        if rest.is_none() && size.saturating_sub(hole) <= bytes_max {
            return Ok(None);
        }
        let (copy_path, freed) = (with_suffix(path, ".new"), hole);
        let (copy, copy_path, hole, copied, stage) = if let Some(copy) = rest {
            let copied = copy.metadata()?.len();
            (copy, numbered(path, 1), 0, copied, Stage::Emptying)
        } else if let Some((copy, _)) = big_copy(&copy_path) {
            copy.set_permissions(Permissions::from_mode(0o600))?;
            (copy, copy_path, hole, hole, Stage::Copying)
        } else {
            let copy = begin_copy(&log, hole, &copy_path)?;
            let copied = hole + copy.metadata()?.len();
            (copy, copy_path, hole, copied, Stage::Copying)
        };
        let (path, size_at_start) = (path.to_owned(), size.max(copied));
        let mut rotation = Rotation {
            path,
            log,
            copy,
            copy_path,
            keep,
            hole,
            size_at_start,
            grown: 0,
            look_at: size_at_start,
            size_at_look: None,
            is_outrun: false,
            copied,
            skipped: 0,
            freed,
            stage,
        };
        rotation.seek()?;
        Ok(Some(rotation))
    }

    /// The log's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the log began with a hole that no rotation of ours has left.
    pub fn began_hollow(&self) -> bool {
        self.hole > 0
    }

    /// How many bytes were dropped because the worker wrote faster than they could be copied.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether the next step can wait: the worker writes little meanwhile.
    pub fn may_rest(&self) -> bool {
        self.grown <= self.copied.min(CHASE_BYTES) / GROWTH_PART
    }

    /// Both files go on where the copy ends.
    fn seek(&mut self) -> io::Result<()> {
        use io::{Seek, SeekFrom};
        self.log.seek(SeekFrom::Start(self.copied))?;
        self.copy.seek(SeekFrom::Start(self.copied - self.hole)).map(drop)
    }

    /// Copies some 256 KiB, or gives as much back. True: the log is rotated.
    ///
    /// # Errors
    /// What read, write, rename or ftruncate report, or that somebody else truncated the log. The rotation has then
    /// failed, has taken down its copy unless that is needed, and must be dropped.
    pub fn step(&mut self) -> io::Result<bool> {
        if let Stage::Copying | Stage::Emptying = self.stage
            && let Err(error) = self.proceed()
        {
            self.stage = Stage::Failing(error);
        }
        if let Stage::Failing(error) = &mut self.stage
            && !(self.freed == self.hole && shrink(&self.copy_path))
        {
            return Err(std::mem::replace(error, io::ErrorKind::Other.into()));
        }
        Ok(matches!(self.stage, Stage::Done))
    }

    fn proceed(&mut self) -> io::Result<()> {
        let size = self.log.metadata()?.len();
        let Some(behind) = size.checked_sub(self.copied) else {
            return Err(io::Error::other("somebody truncated it meanwhile"));
        };
        self.grown = size.saturating_sub(self.size_at_start);
        let leftover = self.copy.metadata()?.len();
        if leftover > self.copied - self.hole {
            // An earlier rotation was killed, and this one goes on with its file.
            return self.copy.set_len(leftover.saturating_sub(STEP_BYTES_MAX).max(self.copied - self.hole));
        }
        self.judge_haste(size);
        if behind > NEAR_BYTES && !self.is_outrun && self.copy_some()? > 0 {
            return Ok(());
        }
        if let Stage::Copying = self.stage {
            if self.replaces_oldest() && shrink(&numbered(&self.path, self.keep)) {
                return Ok(());
            }
            self.put_in_place()?;
        }
        if self.free_some() { Ok(()) } else { self.finish() }
    }

    /// However long the log was and however long that took: what counts is whether the rest gets shorter.
    fn judge_haste(&mut self, size: u64) {
        if self.copied < self.look_at {
            return;
        }
        let grown = self.size_at_look.map_or(0, |before| size.saturating_sub(before));
        self.is_outrun |= grown > CHASE_BYTES / 2;
        (self.look_at, self.size_at_look) = (self.copied + CHASE_BYTES, Some(size));
    }

    /// Lets the kernel copy, which shares the blocks where the file system can, and begin to write what it could not
    /// share.
    fn copy_some(&mut self) -> io::Result<u64> {
        let bytes = io::copy(&mut (&self.log).take(STEP_BYTES_MAX), &mut self.copy)?;
        platform::begin_write(&self.copy, self.copied - self.hole, bytes);
        self.copied += bytes;
        Ok(bytes)
    }

    /// Copies the rest first, so that a full disk shows before anything has a new name.
    fn put_in_place(&mut self) -> io::Result<()> {
        self.copy_rest()?;
        let newest = numbered(&self.path, 1);
        self.shift()?;
        // Not in the place of another: ext4 would write all of it to the disk there and then (auto_da_alloc, ext4(5)).
        remove(&newest)?;
        fs::rename(&self.copy_path, &newest)?;
        self.copy_path = newest;
        self.stage = Stage::Emptying;
        Ok(())
    }

    /// Gives back some of what is copied of the log. False: the rest goes in one call, or has to.
    fn free_some(&mut self) -> bool {
        let from = self.freed - self.freed % BLOCK_BYTES;
        let is_last = self.copied.saturating_sub(from) <= STEP_BYTES_MAX;
        if is_last || platform::free(&self.log, from, STEP_BYTES_MAX).is_err() {
            return false;
        }
        self.freed = from + STEP_BYTES_MAX;
        true
    }

    /// Copies what came meanwhile, and truncates the log, unless there is more to copy first.
    fn finish(&mut self) -> io::Result<()> {
        let reached_end = self.copy_rest()?;
        if !reached_end {
            if !self.is_outrun {
                return Ok(());
            }
            self.skipped = self.log.metadata()?.len().saturating_sub(self.copied);
        }
        self.log.set_len(0)?;
        self.stage = Stage::Done;
        Ok(())
    }

    /// Copies up to the end of the log. False: that is more than a step copies.
    fn copy_rest(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; READ_BYTES];
        let until = self.copied + STEP_BYTES_MAX;
        while self.copied < until {
            let bytes = self.log.read(&mut buffer)?;
            if bytes == 0 {
                return Ok(true);
            }
            self.copy.write_all(&buffer[..bytes])?;
            self.copied += bytes as u64;
        }
        Ok(false)
    }

    /// Whether another copy gets the number of the oldest.
    fn replaces_oldest(&self) -> bool {
        self.keep == 1 || fs::symlink_metadata(numbered(&self.path, self.keep - 1)).is_ok()
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
        if !matches!(self.stage, Stage::Done) && self.freed == self.hole {
            drop(fs::remove_file(&self.copy_path));
        }
    }
}

/// The copy of a rotation that was cut short while it gave back the log: it goes on behind the log's hole as the log
/// itself does. No other copy is as long as the hole behind which its log goes on.
fn resumable(path: &Path, log: &File, hole: u64) -> Option<File> {
    let copy = open_copy(&numbered(path, 1))?;
    let size = copy.metadata().ok()?.len();
    if hole == 0 || size <= hole || size > log.metadata().ok()?.len() {
        return None;
    }
    let (mut ours, mut theirs) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    let bytes = copy.read_at(&mut ours, hole).ok()?;
    log.read_exact_at(&mut theirs[..bytes], hole).ok()?;
    (ours[..bytes] == theirs[..bytes]).then_some(copy)
}

/// Takes some off the end of a copy that is to go. False: what is left goes in one call.
fn shrink(copy: &Path) -> bool {
    big_copy(copy).is_some_and(|(copy, size)| copy.set_len(size - STEP_BYTES_MAX).is_ok())
}

/// A copy that is to go, and its size, where that takes more than one call.
fn big_copy(path: &Path) -> Option<(File, u64)> {
    let copy = open_copy(path)?;
    let size = copy.metadata().ok()?.len();
    (size > STEP_BYTES_MAX).then_some((copy, size))
}

/// A copy of ours that has no other name: a backup that links what has not changed keeps what it has.
fn open_copy(path: &Path) -> Option<File> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let is_ours = metadata.is_file() && metadata.nlink() == 1 && metadata.uid() == platform::effective_user_id();
    if is_ours { OpenOptions::new().read(true).write(true).open(path).ok() } else { None }
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
    let mut buffer = vec![0; READ_BYTES];
    for _ in 0..NULS_BYTES_MAX / READ_BYTES {
        let bytes = log.read_at(&mut buffer, hole)?;
        let nuls = buffer[..bytes].iter().position(|&byte| byte != 0).unwrap_or(bytes);
        hole += nuls as u64;
        if nuls < bytes || bytes == 0 {
            break;
        }
    }
    Ok(hole)
}

/// Creates a file for us alone to read, in place of whatever has its name: follows no link. What is there can only be
/// what a rotation left whose supervisor was killed. A clone of a log without a hole where the file system makes one,
/// which takes one call however long the log is; else empty.
fn begin_copy(log: &File, hole: u64, copy: &Path) -> io::Result<File> {
    remove(copy)?;
    if hole == 0 && platform::clone(log, copy).is_ok() {
        let opened = OpenOptions::new().write(true).open(copy);
        // Till then it has the log's mode.
        let closed = opened.and_then(|clone| clone.set_permissions(Permissions::from_mode(0o600)).map(|()| clone));
        return closed.or_else(|error| remove(copy).and(Err(error)));
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy)
}

/// Removes a file or a link that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_numbered_after_the_whole_name() {
        assert_eq!(numbered(Path::new("/a/b.log"), 12), Path::new("/a/b.log.12"));
    }
}
