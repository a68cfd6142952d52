//! Descriptors made with care: a worker's log, and the pipes of helper processes; and whether files could be used,
//! and are the same one.
//! A log is a regular file of ours or a character device, and opening it never blocks. Pipes are close-on-exec on both
//! ends and non-blocking on ours. Refuses FIFOs, directories, sockets and other people's files, saying which it is.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{AccessFlags, Whence, access};

use crate::limits::effective_user_id;
use crate::paths::safe_path;

/// Opens a log to append to, and creates it with mode 0600. A symbolic link is followed, but what it leads to is
/// judged, and so is the way there. /dev/null and other character devices are accepted.
///
/// # Errors
/// What [`safe_path`] and open(2) report, or an error that says why the thing is no log: "is a FIFO, not a regular
/// file".
pub fn open_log(path: &Path) -> io::Result<File> {
    let safe = safe_path(path)?;
    // Never waits, or a FIFO without a reader would stop us here for ever.
    let opened = safe.open(OpenOptions::new().append(true).create(true).mode(0o600));
    let file = opened.map_err(|error| explain(safe.real(), error))?;
    judge(&file.metadata()?)?;
    // The flag belongs to the open file, which the worker will share: a full terminal must block it, not fail it.
    set_blocking(&file)?;
    Ok(file)
}

/// What [`open_log`] would say of a log that exists, without opening it.
///
/// # Errors
/// NotFound: there is none yet, and it would be created. Otherwise what `open_log` would fail with.
pub fn check_log(path: &Path) -> io::Result<()> {
    let safe = safe_path(path)?;
    judge(&std::fs::metadata(safe.real())?)?;
    Ok(access(path, AccessFlags::W_OK)?)
}

/// What a file is known by under all its names: device and inode.
pub type FileId = (u64, u64);

/// Which file this was read from.
#[must_use]
pub fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// Whether two paths lead to one file, as the file system sees it: APFS ignores case by default, and links may lead
/// anywhere. Where one of them does not exist, the paths are compared.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|metadata| file_id(&metadata)).ok();
    one == other || identity(one).is_some_and(|file| identity(other) == Some(file))
}

/// Where the data of a file begins behind a hole at its start, by the system's own account (SEEK_DATA, lseek(2)): 0 if
/// there is none, or the file system does not tell. Moves the file's position.
pub fn data_start(file: &File) -> u64 {
    let start = nix::unistd::lseek(file, 0, Whence::SeekData);
    start.ok().and_then(|start| u64::try_from(start).ok()).unwrap_or(0)
}

/// Whether files and directories could be made in a directory.
///
/// # Errors
/// NotFound, ENOTDIR, EACCES, EROFS: why not.
pub fn check_creatable_in(dir: &Path) -> io::Result<()> {
    if !std::fs::metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// Whether a file could be run, or a directory entered.
///
/// # Errors
/// NotFound, EACCES: why not.
pub fn check_executable(path: &Path) -> io::Result<()> {
    Ok(access(path, AccessFlags::X_OK)?)
}

/// Open fails with ENXIO for a FIFO without a reader and EISDIR for a directory: better words for both.
fn explain(path: &Path, error: io::Error) -> io::Error {
    match std::fs::metadata(path) {
        Ok(metadata) if kind_of(metadata.file_type()).is_some() => judge(&metadata).err().unwrap_or(error),
        Ok(_) | Err(_) => error,
    }
}

/// Whether a worker's output may go there.
fn judge(metadata: &Metadata) -> io::Result<()> {
    if let Some(kind) = kind_of(metadata.file_type()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("is a {kind}, not a regular file")));
    }
    if metadata.is_file() && metadata.uid() != effective_user_id() {
        let message = format!("belongs to user {}, not to us", metadata.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// What a file is, if it can't be a log.
pub(crate) fn kind_of(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() || file_type.is_char_device() {
        None
    } else if file_type.is_dir() {
        Some("directory")
    } else if file_type.is_fifo() {
        Some("FIFO")
    } else if file_type.is_socket() {
        Some("socket")
    } else {
        Some("block device")
    }
}

/// So many bytes a pipe that poll(2) calls writable takes at once: 4,096 on Linux, 512 elsewhere (POSIX).
pub const PIPE_BUF: usize = libc::PIPE_BUF;

/// Whether a descriptor takes [`PIPE_BUF`] bytes now without making the writer wait: no pipe is full behind it, no
/// terminal stopped by ^S. True also where writing fails at once, and for files, which never make one wait.
///
/// Making it non-blocking instead would make it so for everybody who shares it.
pub fn takes_output(fd: &impl AsFd) -> bool {
    poll_now(fd, libc::POLLOUT) != Some(0)
}

/// A terminal, opened anew so that it takes what it can at once and refuses the rest (WouldBlock), for this file alone.
/// Polling does not do for terminals: poll(2) calls one writable that has room for a single byte, and a longer write
/// waits. None: it is no terminal, or not ours to open, as after su.
pub fn open_terminal(fd: &impl AsFd) -> Option<File> {
    let path = nix::unistd::ttyname(fd.as_fd()).ok()?;
    OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path).ok()
}

/// What poll(2) says of one descriptor at once: which of the events, or troubles, it has. None: the call failed.
pub(crate) fn poll_now(fd: &impl AsFd, events: libc::c_short) -> Option<libc::c_short> {
    let mut poll = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events, revents: 0 };
    // SAFETY: `poll` is one live pollfd, and with a timeout of 0 the call returns at once.
    let count = unsafe { libc::poll(&raw mut poll, 1, 0) };
    (count >= 0).then_some(poll.revents)
}

/// A pipe to or from another process; both ends are close-on-exec.
#[derive(Debug)]
pub struct Pipe {
    /// The end that the supervisor keeps; non-blocking.
    pub ours: OwnedFd,
    /// The end for the other process, to be closed here once that is spawned; blocking, as programs expect.
    pub theirs: OwnedFd,
}

/// A pipe that we read and a helper process writes.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn pipe_from_helper() -> io::Result<Pipe> {
    let (read, write) = pipe()?;
    set_non_blocking(&read)?;
    Ok(Pipe { ours: read, theirs: write })
}

/// A pipe that we write and a helper process reads.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn pipe_to_helper() -> io::Result<Pipe> {
    let (read, write) = pipe()?;
    set_non_blocking(&write)?;
    Ok(Pipe { ours: write, theirs: read })
}

#[cfg(not(target_os = "macos"))]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// XNU has no pipe2. Nothing is spawned between the two steps, and spawn closes what is not named anyway.
#[cfg(target_os = "macos")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe()?;
    crate::limits::close_on_exec(read.as_raw_fd());
    crate::limits::close_on_exec(write.as_raw_fd());
    Ok((read, write))
}

fn set_blocking(fd: &impl AsFd) -> io::Result<()> {
    set_status(fd, |flags| flags - OFlag::O_NONBLOCK)
}

fn set_non_blocking(fd: &impl AsFd) -> io::Result<()> {
    set_status(fd, |flags| flags | OFlag::O_NONBLOCK)
}

fn set_status(fd: &impl AsFd, change: impl FnOnce(OFlag) -> OFlag) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(change(flags)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_full_pipe_takes_no_output_and_one_without_a_reader_fails_instead() {
        let Pipe { ours: reader, theirs: writer } = pipe_from_helper().expect("a pipe");
        let mut writer = File::from(writer);
        while takes_output(&writer) {
            writer.write_all(&[b'x'; 512]).expect("room for PIPE_BUF bytes");
        }
        drop(reader);
        assert!(takes_output(&writer));
    }

    #[test]
    fn one_file_under_two_names_is_the_same() {
        let dir = std::env::temp_dir().join(format!("platform-same-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let [file, linked, other, missing] = ["a", "b", "c", "d"].map(|name| dir.join(name));
        std::fs::write(&file, "").expect("a file");
        std::fs::write(&other, "").expect("a file");
        std::os::unix::fs::symlink(&file, &linked).expect("a link");
        let same = [is_same_file(&file, &linked), is_same_file(&missing, &missing)];
        let different = [is_same_file(&file, &other), is_same_file(&file, &missing), is_same_file(&missing, &file)];
        std::fs::remove_dir_all(&dir).expect("removed");
        assert_eq!((same, different), ([true; 2], [false; 3]));
    }
}
