//! Hardens the process at its start, whatever its parent has left it.
//! Nothing here is fatal: what could not be done is returned, for the log. Files made from here on are private (umask
//! 077), but a spawned process gets the umask that we were started with.
//! Refuses to lower any limit but the core size, and that only softly, so that a worker may raise it again.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal};
use nix::sys::stat::{Mode, umask};

/// The descriptors wanted, for the supervisor and for the worker that inherits the limit. launchd gives 256.
const OPEN_FILES_WANTED: libc::rlim_t = 10_240;

/// Descriptors from here on are nobody's business but ours.
const FIRST_INHERITED_FD: RawFd = 3;

/// Where the system can't mark or close all descriptors at once: how far to look.
const INHERITED_FD_MAX: RawFd = 10_240;

/// The umask that this process was started with.
static INHERITED_UMASK: OnceLock<Mode> = OnceLock::new();

/// Something that [`prepare_process`] could not do.
#[derive(Debug)]
pub struct SetupError {
    /// What it tried, as in "cannot VERB OBJECT".
    pub what: &'static str,
    /// Why it could not.
    pub cause: io::Error,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.cause)
    }
}

/// Call first in `main`, before any thread and any descriptor. Sets SIGCHLD to its default (ignored, the kernel would
/// reap and lose the status), the umask to 077, the core limit to 0, the soft limit of open files to 10,240 or as near
/// as the hard one allows, and close-on-exec on all inherited descriptors but 0-2.
pub fn prepare_process() -> Vec<SetupError> {
    let mut setup_errors = Vec::new();
    let mut note = |what, done: io::Result<()>| {
        if let Err(cause) = done {
            setup_errors.push(SetupError { what, cause });
        }
    };
    note("reset SIGCHLD", default_sigchld());
    INHERITED_UMASK.get_or_init(|| umask(Mode::S_IRWXG | Mode::S_IRWXO));
    note("forbid core dumps", forbid_core_dumps());
    note("raise the limit of open files", raise_open_files());
    note("mark inherited descriptors close-on-exec", mark_inherited());
    setup_errors
}

fn default_sigchld() -> io::Result<()> {
    // SAFETY: SIG_DFL installs no code of ours.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}

/// A dump of ours would hold secrets.
fn forbid_core_dumps() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, hard)?)
}

fn raise_open_files() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = raised_open_files(soft, hard);
    if soft < raised { Ok(setrlimit(Resource::RLIMIT_NOFILE, raised, hard)?) } else { Ok(()) }
}

fn raised_open_files(soft: libc::rlim_t, hard: libc::rlim_t) -> libc::rlim_t {
    soft.max(OPEN_FILES_WANTED.min(open_files_max()).min(hard))
}

/// How many files this process may have open after [`prepare_process`], which need not have run; the worker inherits
/// it.
///
/// # Errors
/// None that getrlimit(2) documents for this resource; passed on if there is one.
pub fn open_files_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // FreeBSD's limits are signed, but never negative.
    #[allow(clippy::useless_conversion, reason = "u64 on Linux and macOS")]
    Ok(u64::try_from(raised_open_files(soft, hard)).unwrap_or(u64::MAX))
}

/// macOS reports an unlimited hard limit and refuses a soft one above kern.maxfilesperproc.
#[cfg(target_os = "macos")]
fn open_files_max() -> libc::rlim_t {
    files_per_process_max().unwrap_or(OPEN_FILES_WANTED)
}

/// kern.maxfilesperproc: no soft limit of open files may be above it.
#[cfg(target_os = "macos")]
fn files_per_process_max() -> Option<u64> {
    const NAME: &std::ffi::CStr = c"kern.maxfilesperproc";
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>();
    let out = (&raw mut value).cast::<libc::c_void>();
    // SAFETY: `out` is a live libc::c_int and `size` its size; nothing is set.
    let asked = unsafe { libc::sysctlbyname(NAME.as_ptr(), out, &raw mut size, std::ptr::null_mut(), 0) };
    if asked == 0 && size == size_of::<libc::c_int>() { u64::try_from(value).ok() } else { None }
}

#[cfg(not(target_os = "macos"))]
fn open_files_max() -> libc::rlim_t {
    OPEN_FILES_WANTED
}

/// In one call on 5.11 and newer, else one by one.
#[cfg(target_os = "linux")]
fn mark_inherited() -> io::Result<()> {
    // SAFETY: the flag CLOSE_RANGE_CLOEXEC closes nothing, it only marks; the arguments are integers.
    let marked = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST_INHERITED_FD, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if marked == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(fd) = name.to_str().and_then(|name| name.parse().ok()).filter(|&fd| fd >= FIRST_INHERITED_FD) {
            close_on_exec(fd);
        }
    }
    Ok(())
}

/// Closes every descriptor but 0-2 and `own`: whatever was inherited, a listening socket on the worker's port for
/// example. Call it while `own` is the only one that this process has opened itself, and what was handed over by
/// number (`/dev/fd/63`) was read.
pub fn close_inherited(own: &impl AsRawFd) {
    let own = own.as_raw_fd();
    #[cfg(target_os = "linux")]
    // SAFETY: nobody here owns any of these descriptors; the arguments are integers. An empty range is EINVAL.
    if unsafe {
        libc::syscall(libc::SYS_close_range, FIRST_INHERITED_FD, own - 1, 0);
        libc::syscall(libc::SYS_close_range, own + 1, libc::c_uint::MAX, 0)
    } == 0
    {
        return;
    }
    for fd in (FIRST_INHERITED_FD..INHERITED_FD_MAX).filter(|fd| *fd != own) {
        // SAFETY: as above; a number that names no descriptor is EBADF.
        unsafe { libc::close(fd) };
    }
}

/// As far as is sensible to look: descriptors above a limit that was lowered later are still there.
#[cfg(not(target_os = "linux"))]
fn mark_inherited() -> io::Result<()> {
    for fd in FIRST_INHERITED_FD..INHERITED_FD_MAX {
        close_on_exec(fd);
    }
    Ok(())
}

/// Marks one descriptor, if there is one of that number.
pub(crate) fn close_on_exec(fd: RawFd) {
    if fd < 0 {
        return;
    }
    // SAFETY: the number is only handed to fcntl, which answers EBADF if it names no descriptor; nothing is closed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let _ = fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
}

/// The umask that this process was started with, which new processes get. None, if [`prepare_process`] has not run.
pub(crate) fn inherited_umask() -> Option<Mode> {
    INHERITED_UMASK.get().copied()
}

/// The longest argument or variable that a program can be given, with its NUL, in bytes: MAX_ARG_STRLEN of Linux, which
/// is 32 pages (execve(2)). Elsewhere only the whole has a limit.
#[must_use]
pub fn exec_string_bytes_max() -> usize {
    if !cfg!(target_os = "linux") {
        return usize::MAX;
    }
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page_bytes).map_or(usize::MAX, |page_bytes| 32 * page_bytes)
}

/// The user whose rights this process has.
#[must_use]
pub fn effective_user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// A user's name, or the number where there is none. May ask the system's directory of users.
#[must_use]
pub fn user_name(id: u32) -> String {
    match nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => id.to_string(),
    }
}

/// Whether an error means that this process or machine ran out of something: descriptors (EMFILE, ENFILE), buffers
/// (ENOBUFS), memory (ENOMEM), processes (EAGAIN), or local ports (EADDRNOTAVAIL, connect(2)).
///
/// EAGAIN stands for "would block" as well; callers that ask have handled that before.
#[must_use]
pub fn is_local_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL | libc::EAGAIN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_is_our_trouble_and_a_refusal_is_not() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL] {
            assert!(is_local_error(&io::Error::from_raw_os_error(errno)), "errno {errno}");
        }
        for errno in [libc::ECONNREFUSED, libc::ECONNRESET, libc::ETIMEDOUT] {
            assert!(!is_local_error(&io::Error::from_raw_os_error(errno)), "errno {errno}");
        }
        assert!(!is_local_error(&io::ErrorKind::ConnectionRefused.into()));
    }
}
