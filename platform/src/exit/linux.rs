//! pidfd (5.3 and newer): readable from the process's exit on, and a hold on the process meanwhile.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::files;
use crate::pid::Pid;
use crate::signals::Signal;

/// The exit of one process, through its pidfd.
#[derive(Debug)]
pub struct ExitWatch(OwnedFd);

impl ExitWatch {
    /// Watches a process, our child or not.
    ///
    /// # Errors
    /// No descriptor (EMFILE, ENFILE), no such process (ESRCH), or no such call (ENOSYS, EPERM under a filter).
    pub fn register(pid: Pid) -> io::Result<ExitWatch> {
        pidfd_open(pid).map(ExitWatch)
    }

    /// Whether the process has exited. Once true, always true.
    pub fn has_fired(&mut self) -> bool {
        has_exited(&self.0)
    }
}

impl AsRawFd for ExitWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A process held by its pidfd.
#[derive(Debug)]
pub(crate) struct Pin(OwnedFd);

impl Pin {
    /// None: the kernel is older, or a sandbox filters the call.
    pub(crate) fn open(pid: Pid) -> io::Result<Option<Pin>> {
        match pidfd_open(pid) {
            Ok(pidfd) => Ok(Some(Pin(pidfd))),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the process still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        !has_exited(&self.0)
    }

    /// Sends a signal to the process; a zombie takes signals too.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        let (pidfd, none) = (self.0.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: a null siginfo is allowed and means "as kill(2)"; the other arguments are integers.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal.number(), none, 0) };
        if sent == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A descriptor of the process; close-on-exec by itself.
fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just handed us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn has_exited(pidfd: &OwnedFd) -> bool {
    files::poll_now(pidfd, libc::POLLIN).is_some_and(|events| events & libc::POLLIN != 0)
}
