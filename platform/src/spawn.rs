//! Starts a program in a process group of its own with nothing of ours in it, through posix_spawn(3). Promises an empty
//! signal mask, default dispositions, descriptors 0-2 and no others (given [`prepare_process`]), the umask that the
//! supervisor was started with, and errno with the stage that failed. One vfork-like call whose cost does not grow with
//! our memory, no code of ours between fork and exec. Refuses a PATH search: the program is an absolute path (macOS
//! reports ENOENT for some relative ones that it has started).
//!
//! [`prepare_process`]: crate::prepare_process

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};

use crate::prepare::WithInheritedUmask;
use crate::process::Pid;

/// The first descriptor that is not standard input, output or error.
const FIRST_OTHER_FD: RawFd = 3;

/// What to start, and how. Borrowed throughout: what can be made ready before an exit is made ready then.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// Absolute path of the program.
    pub program: &'a CStr,
    /// All arguments; the first is the program's name as it will see it.
    pub args: &'a [CString],
    /// The whole environment, as `NAME=value`.
    pub env: &'a [CString],
    /// Its working directory, absolute.
    pub dir: &'a Path,
    /// Its descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Its descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Its descriptor 2.
    pub stderr: BorrowedFd<'a>,
}

/// The step at which a spawn failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnStage {
    /// Making the descriptors ready (EMFILE).
    Descriptors,
    /// Entering the working directory (ENOENT, ENOTDIR, EACCES).
    Directory,
    /// Making the process (EAGAIN, ENOMEM) or executing the program in it (ENOENT, EACCES, ENOEXEC, ETXTBSY, E2BIG…).
    /// posix_spawn does not tell the two apart, but their errnos hardly overlap.
    Program,
}

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
/// executed, or has failed to be. Afterwards this process's working directory is `/`.
///
/// The directory is entered here, before, and left after: two cheap calls that are the same on all three systems and
/// tell a missing directory from a missing program. posix_spawn's own chdir action does not (one errno for all), is
/// missing before FreeBSD 13, and is new in glibc 2.29.
///
/// Counted with strace under glibc 2.36: 15 system calls here (six prlimit64 of the three dup2 actions, two each of
/// chdir, umask, rt_sigprocmask and the child's stack, one clone3), and 62 rt_sigaction among the 68 of the new process
/// before execve; glibc asks for every disposition in any case. From start to reaped it took no longer than
/// plain fork and exec.
///
/// # Errors
/// A [`SpawnError`] with the stage and the errno.
pub fn spawn(command: &Command<'_>) -> Result<Pid, SpawnError> {
    let failed = |stage, path: &Path, errno: Errno| SpawnError { stage, path: path.to_owned(), cause: errno.into() };
    let program = Path::new(OsStr::from_bytes(command.program.to_bytes()));
    let mut moved = Vec::new();
    let (actions, attributes) = file_actions(command, &mut moved)
        .and_then(|actions| Ok((actions, attributes()?)))
        .map_err(|errno| failed(SpawnStage::Descriptors, program, errno))?;

    // The supervisor has one thread, and never waits here. Tests have more.
    static WORKING_DIRECTORY: Mutex<()> = Mutex::new(());
    let guard = WORKING_DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner);
    nix::unistd::chdir(command.dir).map_err(|errno| failed(SpawnStage::Directory, command.dir, errno))?;
    let spawned = {
        let _umask = WithInheritedUmask::new();
        posix_spawn(command.program, &actions, &attributes, command.args, command.env)
    };
    // Not to keep a file system busy. `/` can always be entered; if it could not, nothing here depends on it.
    let _ = nix::unistd::chdir("/");
    drop(guard);

    let raw = spawned.map_err(|errno| failed(SpawnStage::Program, program, errno))?.as_raw();
    Ok(Pid::new(raw).expect("the kernel gives a new process a pid above 1"))
}

/// A group of its own, an empty mask, default dispositions. On macOS also: every descriptor that no action named is
/// closed, which covers what a library has opened without close-on-exec.
fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
        | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
        | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    if cfg!(target_os = "macos") {
        /// spawn.h of macOS; nix does not name it.
        const POSIX_SPAWN_CLOEXEC_DEFAULT: i32 = 0x4000;
        flags |= PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_CLOEXEC_DEFAULT);
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(flags)?;
    attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&settable_signals())?;
    Ok(attributes)
}

/// Every signal whose disposition may be set. SIGKILL and SIGSTOP are not: naming them is EINVAL on XNU. On kqueue
/// systems only the 31 classic ones are named: FreeBSD's threading library refuses signal 32, and the spawn with it.
fn settable_signals() -> SigSet {
    let mut signals = if cfg!(target_os = "linux") { SigSet::all() } else { Signal::iterator().collect() };
    signals.remove(Signal::SIGKILL);
    signals.remove(Signal::SIGSTOP);
    signals
}

/// Puts the three descriptors at 0, 1 and 2. One that lies below 3 itself is first copied above, into `moved`: dup2
/// onto the same number would keep close-on-exec on some systems, and onto another's source would overwrite it.
fn file_actions(command: &Command<'_>, moved: &mut Vec<OwnedFd>) -> nix::Result<PosixSpawnFileActions> {
    let mut actions = PosixSpawnFileActions::init()?;
    for (source, target) in [(command.stdin, 0), (command.stdout, 1), (command.stderr, 2)] {
        let mut raw = source.as_raw_fd();
        if raw < FIRST_OTHER_FD {
            raw = nix::fcntl::fcntl(source, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(FIRST_OTHER_FD))?;
            // SAFETY: fcntl has just made this descriptor for us.
            moved.push(unsafe { OwnedFd::from_raw_fd(raw) });
        }
        actions.add_dup2(raw, target)?;
    }
    Ok(actions)
}
