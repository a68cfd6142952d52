//! Signals through signalfd(2). They stay blocked for good, and are read from a descriptor; a spawned process gets an
//! empty mask.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::signal::{Signal, disregard_the_unheeded, taken_over};

/// Signals sent to this process, as a pollable queue.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Takes over every signal of [`Signal::LISTENED`], but for a SIGHUP that is ignored, which stays so; those that
    /// mean nothing here do nothing from now on.
    ///
    /// # Errors
    /// No descriptor (EMFILE, ENFILE) or no memory for it; then the signals stay pending.
    pub fn open() -> io::Result<Signals> {
        let taken = taken_over();
        let mask: SigSet = taken.iter().map(|signal| signal.to_nix()).collect();
        // Blocked first, so that no signal acts in between. A blocked signal is queued even when it is ignored, but an
        // ignored SIGCHLD would still make the kernel reap our children, hence the defaults.
        mask.thread_block()?;
        for listened in taken {
            // SAFETY: SIG_DFL installs no code of ours.
            unsafe { signal(listened.to_nix(), SigHandler::SigDfl) }?;
        }
        disregard_the_unheeded()?;
        Ok(Signals(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Takes the next signal, or None when the queue is empty; call until None.
    ///
    /// # Errors
    /// What reading the descriptor reports; never EINTR.
    pub fn take(&mut self) -> io::Result<Option<Signal>> {
        loop {
            match self.0.read_signal() {
                Ok(None) => return Ok(None),
                Ok(Some(info)) => match Signal::listened(info.ssi_signo.cast_signed()) {
                    Some(signal) => return Ok(Some(signal)),
                    // Not one that we asked for: the kernel has no way to send it here.
                    None => continue,
                },
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
