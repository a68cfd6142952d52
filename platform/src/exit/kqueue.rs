//! Exits through EVFILT_PROC. Each watch is a kqueue of its own, so that dropping it is all the deregistration there
//! is. An inner kqueue that is left undrained does not wake its outer one again, hence everything is read until empty.
//! No kqueue is inherited by a spawned process.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use crate::limits;
use crate::pid::Pid;
use crate::signals::Signal;

/// The most events read at once from a watch; it has one registration, which fires once.
const WATCH_EVENTS_MAX: usize = 16;

/// The exit of one process. One watcher each, and `watch` once: it submits every pid that it remembers again, and stops
/// at the first that has gone.
#[derive(Debug)]
pub struct ExitWatch {
    watcher: kqueue::Watcher,
    fired: bool,
}

impl ExitWatch {
    /// Watches a process, our child or not. One that is exiting already, or that nobody has, has fired.
    ///
    /// # Errors
    /// No descriptor (EMFILE, ENFILE).
    pub fn register(pid: Pid) -> io::Result<ExitWatch> {
        let mut watcher = kqueue::Watcher::new()?;
        limits::close_on_exec(watcher.as_raw_fd());
        watcher.add_pid(pid.as_raw(), kqueue::EventFilter::EVFILT_PROC, kqueue::FilterFlag::NOTE_EXIT)?;
        let fired = match watcher.watch() {
            Ok(()) => false,
            // XNU answers so from the moment on that the exit begins (P_REF_DEAD is set in proc_prepareexit), which may
            // be long before waitpid can reap: closing sockets takes time. The same for a pid that nobody has.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => true,
            Err(error) => return Err(error),
        };
        Ok(ExitWatch { watcher, fired })
    }

    /// Whether the process has exited, or begun to. Once true, always true. Empties the descriptor.
    pub fn has_fired(&mut self) -> bool {
        for _ in 0..WATCH_EVENTS_MAX {
            match self.watcher.poll(None) {
                None => break,
                // The one registration is an exit, so whatever the event says, this is it; but for an interrupted read.
                Some(event) => self.fired |= !is_interrupted(&event),
            }
        }
        self.fired
    }
}

fn is_interrupted(event: &kqueue::Event) -> bool {
    match &event.data {
        kqueue::EventData::Error(error) => error.kind() == io::ErrorKind::Interrupted,
        _ => false,
    }
}

impl AsRawFd for ExitWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.watcher.as_raw_fd()
    }
}

/// Nothing holds a process here, so there is no value of this.
#[derive(Debug)]
pub(crate) enum Pin {}

impl Pin {
    /// Always None.
    pub(crate) fn open(_pid: Pid) -> io::Result<Option<Pin>> {
        Ok(None)
    }

    pub(crate) fn is_alive(&self) -> bool {
        match *self {}
    }

    pub(crate) fn send(&self, _signal: Signal) -> io::Result<()> {
        match *self {}
    }
}
