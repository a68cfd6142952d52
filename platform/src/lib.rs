//! The system seam of worker-supervisor: everything that is unsafe or differs between Linux, macOS and FreeBSD.
//!
//! # What a system must supply
//! The traits below are the contract; a system implements each once, and callers name the concrete types:
//! - [`Signals`], a [`SignalQueue`]: one pollable descriptor that queues the signals sent to this process.
//! - [`ExitWatch`], an [`ExitNotice`]: one pollable descriptor per process, which rings when that process exits.
//! - `Processes`, a `ProcessTable` (`process.rs`): what can be asked about any process by its pid.
//! - `Pin`, a `PinProcess` (`process.rs`): as firm a hold on a process that is not our child as the system has.
//! - `holders` and `ownership` in a module of its own under `owners`: who listens on a TCP port.
//!
//! Everything else is written once, over POSIX. Any other system is a compile error, not a stub.
//!
//! # The contract
//! Descriptors are watched edge-triggered (mio does so), hence the methods are called until they return nothing.
//! A bell only wakes. Whether a child is gone, and how, only [`reap`] says, and it never blocks: the exit may be
//! announced before the child can be reaped. On XNU NOTE_EXIT is posted before the process becomes a zombie, and a
//! real FreeBSD 12.3 did the same in one or two of a hundred exits; there is no second event. The caller retries.
//! SIGCHLD is a second wake, and merges: one may stand for many exits.
//!
//! Nothing here blocks (but for the microseconds that a program takes to be executed, or to fail to be), forks for its
//! own needs, or starts a thread. The process is taken to have one thread: signal masks are set on the calling one, and
//! on kqueue systems [`spawn()`] moves the working directory (under a lock, so that tests may have more).
//!
//! # Kernel facts that shaped this
//! - XNU: adding EVFILT_PROC for a child that has begun to exit fails with ESRCH, long before waitpid can reap it.
//! - XNU: kill(2) of a group that holds only zombies is EPERM, where Linux reports success.
//! - kqueue: EVFILT_SIGNAL does not replace a signal's disposition, so a default SIGTERM would still kill.
//! - SIGCHLD ignored (also by inheritance) makes the kernel reap, and the exit status is lost.
//! - Until a group's leader is reaped, no other process or group can get its id.

#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
compile_error!("worker-supervisor runs on Linux, macOS and FreeBSD");

mod files;
#[cfg(any(target_os = "macos", target_os = "freebsd"))]
mod kqueue;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod local_error;
mod ports;
mod process;
mod signals;
mod spawn;

use std::io;
use std::os::fd::AsRawFd;

/// The system's own implementations, under the names that portable code uses.
mod sys {
    #[cfg(any(target_os = "macos", target_os = "freebsd"))]
    pub(crate) use crate::kqueue::{ExitWatch, Pin, Signals};
    #[cfg(target_os = "linux")]
    pub(crate) use crate::linux::{ExitWatch, Pin, Processes, Signals};
    #[cfg(target_os = "freebsd")]
    pub(crate) use crate::process::freebsd::Processes;
    #[cfg(target_os = "macos")]
    pub(crate) use crate::process::macos::Processes;
}

pub use crate::files::{
    Pipe, check_creatable_in, check_executable, check_log, open_log, pipe_from_helper, pipe_to_helper, replace,
    takes_output,
};
pub use crate::limits::{SetupError, effective_user_id, open_files_limit, prepare_process};
pub use crate::local_error::is_local_error;
pub use crate::ports::{Ownership, PortTrial, holders, holding_users, ownership, port_is_free};
pub use crate::process::{
    ExitStatus, Identity, Peeked, Pid, Pinned, ProcessInfo, Reaped, StartTime, describe, identify, is_self_or_ancestor,
    own_pid, peek, reap, signal_name,
};
pub use crate::signals::{SendSignal, Signal, group_is_gone, signal, signal_group};
pub use crate::spawn::{Command, SpawnError, SpawnStage, spawn};

/// The queue of signals on this system: signalfd on Linux, EVFILT_SIGNAL on macOS and FreeBSD.
pub type Signals = sys::Signals;

/// The exit bell on this system: pidfd on Linux, EVFILT_PROC on macOS and FreeBSD.
pub type ExitWatch = sys::ExitWatch;

/// Signals sent to this process, as a pollable queue. Open it once, before any process is spawned.
pub trait SignalQueue: AsRawFd + Sized {
    /// Takes over every signal of [`Signal`]: from here on none of them acts on the process, each is queued instead.
    /// Whatever mask or disposition the parent left (SIGTERM blocked, SIGCHLD ignored) is undone. A signal that was
    /// pending while blocked is queued. SIGPIPE is not touched: the Rust runtime ignores it. The calling thread
    /// must be the only one.
    ///
    /// # Errors
    /// No descriptor (EMFILE, ENFILE) or no memory for it; then the signals act as before or stay pending.
    fn open() -> io::Result<Self>;

    /// The next signal, or None when the queue is empty; call until None. Equal signals merge, order is not kept.
    ///
    /// # Errors
    /// What reading the descriptor reports; never EINTR.
    fn next(&mut self) -> io::Result<Option<Signal>>;
}

/// Rings once when one process exits. Dropping it is how it is taken down.
pub trait ExitNotice: AsRawFd + Sized {
    /// Hangs the bell on a process, our child or not. Ask [`has_fired`](ExitNotice::has_fired) once right after: on
    /// kqueue systems a bell hung on a process that is already exiting has rung, but its descriptor stays silent.
    ///
    /// # Errors
    /// No descriptor for it (EMFILE, ENFILE), or the system has no such thing (ENOSYS, EPERM under a filter of
    /// system calls): the caller then relies on SIGCHLD and on asking [`reap`] now and then. ESRCH, on Linux, when
    /// there is no such process; a child that has not been reaped is one.
    fn register(pid: Pid) -> io::Result<Self>;

    /// Whether the process has exited, or begun to. Once true, always true. Empties the descriptor.
    fn has_fired(&mut self) -> bool;
}
