//! Starts a program in a session of its own with nothing of ours in it. Promises an empty signal mask, default
//! dispositions, descriptors 0-2 and no others (given [`prepare_process`]), the umask that the supervisor was started
//! with, and errno with the stage that failed. One vfork-like call whose cost does not grow with our memory:
//! posix_spawn(3), or on Linux the clone(2) under it. Refuses a PATH search: the program is an absolute path (macOS
//! reports ENOENT for some relative ones that it has started).
//!
//! [`prepare_process`]: crate::limits::prepare_process

mod command;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod posix;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use self::command::{Command, Lifetime, SpawnStage};
#[cfg(target_os = "linux")]
use self::linux as sys;
#[cfg(not(target_os = "linux"))]
use self::posix as sys;
use crate::pid::Pid;

/// The first descriptor that is not standard input, output or error.
const FIRST_OTHER_FD: RawFd = 3;

/// A spawn that failed; nothing was started.
#[derive(Debug)]
pub struct SpawnError {
    /// The step that failed.
    pub stage: SpawnStage,
    /// The directory or program of that step.
    pub path: PathBuf,
    /// Why; `raw_os_error` is always there.
    pub cause: io::Error,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.stage {
            SpawnStage::Descriptors => "cannot prepare the descriptors of",
            SpawnStage::Directory => "cannot enter directory",
            SpawnStage::Program => "cannot run",
        };
        write!(f, "{verb} {:?}: {}", self.path, self.cause)
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Starts the program and returns its pid, which is its process group's id too. Returns once the program is being
/// executed, or has failed to be. On kqueue systems this process's working directory is `/` afterwards.
///
/// # Errors
/// A [`SpawnError`] with the stage and the errno.
pub fn spawn(command: &Command<'_>) -> Result<Pid, SpawnError> {
    let mut moved = Vec::new();
    let fds = descriptors(command, &mut moved).map_err(|errno| (SpawnStage::Descriptors, errno));
    let pid = fds.and_then(|fds| sys::start(command, fds)).map_err(|(stage, errno)| {
        let path = match stage {
            SpawnStage::Directory => command.dir,
            SpawnStage::Descriptors | SpawnStage::Program => Path::new(OsStr::from_bytes(command.program.to_bytes())),
        };
        SpawnError { stage, path: path.to_owned(), cause: errno.into() }
    })?;
    Ok(Pid::new(pid).expect("the kernel gives a new process a pid above 1"))
}

/// What will be the descriptors 0, 1 and 2. One that lies below 3 itself is first copied above, into `moved`: dup2 onto
/// the same number would keep close-on-exec on some systems, and onto another's source would overwrite it.
fn descriptors(command: &Command<'_>, moved: &mut Vec<OwnedFd>) -> nix::Result<[RawFd; 3]> {
    let mut fds = [-1; 3];
    for (source, fd) in [command.stdin, command.stdout, command.stderr].into_iter().zip(&mut fds) {
        *fd = source.as_raw_fd();
        if *fd < FIRST_OTHER_FD {
            *fd = nix::fcntl::fcntl(source, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(FIRST_OTHER_FD))?;
            // SAFETY: fcntl has just made this descriptor for us.
            moved.push(unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
    Ok(fds)
}
