//! Descriptors made with care: a worker's log, and the pipes of helper processes; and whether files could be used,
//! and are the same one.
//! A log is a regular file of ours or a character device, and opening it never blocks. Pipes are close-on-exec on both
//! ends and non-blocking on ours. Refuses FIFOs, directories, sockets and other people's files, saying which it is.

use std::ffi::CStr;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{AccessFlags, Whence, access};

use crate::limits::effective_user_id;

/// Puts a file in the place of another, or where there is none: whoever opens `path` finds the old one or the new one,
/// whole. The file must lie in the same directory.
///
/// # Errors
/// What rename(2) reports; the old file is then in its place.
pub fn replace(file: &Path, path: &Path) -> io::Result<()> {
    // A rename over a file makes ext4 write the new one to the disk at once (auto_da_alloc, ext4(5)): 127 µs where
    // swapping and removing take 30, and a write to the disk for a file that is soon replaced.
    if cfg!(target_os = "linux") && exchange(file, path).is_ok() {
        // Killed in between, the next writer finds the old one under the new one's name.
        return std::fs::remove_file(file);
    }
    std::fs::rename(file, path)
}

/// Swaps two regular files of one directory, which takes no room: whoever opens either name finds one of them, whole.
///
/// # Errors
/// What renameat2(2) or renamex_np(2) report, where the system or the file system can't (FreeBSD never can), or `path`
/// is no regular file; then nothing has changed.
pub fn exchange(file: &Path, path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let [file, path] =
        [file, path].map(|path| std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())));
    if rename_swap(&file?, &path?) == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(target_os = "linux")]
fn rename_swap(from: &CStr, to: &CStr) -> libc::c_long {
    let (from, to, flags) = (from.as_ptr(), to.as_ptr(), libc::RENAME_EXCHANGE);
    // SAFETY: both names are live C strings; AT_FDCWD stands for the working directory, and absolute names ignore it.
    unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, flags) }
}

#[cfg(target_os = "macos")]
fn rename_swap(from: &CStr, to: &CStr) -> libc::c_int {
    // SAFETY: both names are live C strings.
    unsafe { libc::renamex_np(from.as_ptr(), to.as_ptr(), libc::RENAME_SWAP) }
}

#[cfg(target_os = "freebsd")]
fn rename_swap(_: &CStr, _: &CStr) -> libc::c_int {
    nix::errno::Errno::ENOSYS.set();
    -1
}

/// Opens a file that can only be a regular one, without following a link in its place, and without waiting for the
/// other end of a FIFO.
///
/// # Errors
/// What open(2) reports, or InvalidInput that says what it is: "is a FIFO, not a regular file".
pub fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let not_regular = |kind| io::Error::new(io::ErrorKind::InvalidInput, format!("is a {kind}, not a regular file"));
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = options.custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        // FreeBSD says EMLINK of a link.
        Some(libc::ELOOP | libc::EMLINK) => not_regular("symbolic link"),
        Some(libc::EISDIR) => not_regular("directory"),
        // A FIFO without a reader, or a socket.
        Some(libc::ENXIO) => not_regular("FIFO or socket"),
        _ => error,
    })?;
    let file_type = file.metadata()?.file_type();
    if file_type.is_file() {
        return Ok(file);
    }
    Err(not_regular(kind_of(file_type).unwrap_or("character device")))
}

/// Opens a log to append to, and creates it with mode 0600. A symbolic link is followed, but what it leads to is
/// judged. /dev/null and other character devices are accepted.
///
/// # Errors
/// What open(2) reports, or an error that says why the thing is no log: "is a FIFO, not a regular file".
pub fn open_log(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        // Non-blocking, or a FIFO without a reader would stop us here for ever.
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(path);
    let file = opened.map_err(|error| explain(path, error))?;
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
    judge(&std::fs::metadata(path)?)?;
    Ok(access(path, AccessFlags::W_OK)?)
}

/// Whether two paths lead to one file, as the file system sees it: APFS ignores case by default, and links may lead
/// anywhere. Where one of them does not exist, the paths are compared.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
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
fn kind_of(file_type: FileType) -> Option<&'static str> {
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
