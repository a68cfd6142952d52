//! The system seam of worker-supervisor: everything that is unsafe or differs between Linux, macOS and FreeBSD.
//!
//! It is made for that program, which keeps one worker alive, and its interface follows the program's needs: whoever
//! wants the program installs `worker-supervisor`. Others may find here how one spawns a process in a session of its
//! own, waits for its exit by a descriptor, receives signals by another, and finds out who listens on a TCP port, on
//! three systems, without a thread: [`spawn()`], [`ExitWatch`], [`Signals`], [`holders`].
//!
//! ```
//! use worker_supervisor_platform::{Pid, identify, own_pid};
//!
//! // A pid may be used again; with the start time it is one process and no other.
//! let pid = Pid::new(own_pid() as i32).expect("a pid");
//! let identity = identify(pid)?.expect("it runs");
//! assert_eq!(identify(pid)?, Some(identity));
//! # std::io::Result::Ok(())
//! ```
//!
//! # What a system must supply
//! Types and functions of the same names, each in a file of its own, chosen by `cfg` in the module above it. What is
//! portable is written once, over POSIX. Any other system is a compile error, not a stub.
//!
//! - [`Signals`] (`signals/linux`, `signals/kqueue`): the signals sent to this process as a queue behind one pollable
//!   descriptor. `open()` takes over every signal of [`Signal::LISTENED`]: from then on none of them acts on the
//!   process, each is queued instead. Whatever mask or disposition the parent left (SIGTERM blocked, SIGCHLD ignored)
//!   is undone, and a signal that was pending while blocked is queued. SIGPIPE is not touched: the Rust runtime ignores
//!   it. What means nothing here and would end the process (SIGALRM, SIGXFSZ, SIGUSR2, real-time signals and the like)
//!   does nothing from then on, and its default in whatever is spawned. Open it once, before any process is spawned,
//!   while there is one thread. It fails for want of a descriptor or memory; then the signals act as before or stay
//!   pending. `take()` is the next signal, or None when the queue is empty. Equal signals merge, and their order is not
//!   kept. It never fails with EINTR.
//! - [`ExitWatch`] (`exit/linux`, `exit/kqueue`): one pollable descriptor per process, our child or not, which fires
//!   when that process exits. `register(pid)` fails for want of a descriptor, or where the system has no such thing
//!   (ENOSYS, EPERM under a filter of system calls): the caller then relies on SIGCHLD and on looking now and then.
//!   ESRCH, on Linux: there is no such process; a child that has not been reaped is one. `has_fired()` says whether the
//!   process has exited, or begun to; once true, always true; it empties the descriptor. Ask it once right after
//!   `register`: on kqueue systems a watch that is registered on a process that is already exiting has fired, but its
//!   descriptor stays silent. Dropping the watch takes it down.
//! - `Pin` (beside it): a process held so that a signal reaches it or nobody, where the system has such a thing. `open`
//!   answers None where it has not, and [`Pinned`] compares identities instead.
//! - `started`, `parent`, `program`, `user_id`, `is_stopped` (`process/`): what can be asked about any process by its
//!   pid. Zombies count as gone, except for `parent`. Only `started` may need to be the same user.
//! - `since_boot` and `boot_id` (`clock`): a clock that nobody sets, and that counts the machine's sleep. Every process
//!   reads the same.
//! - `holders`, `holding_users`, `ownership` and `places` (`ports/`): who listens on a TCP port, and who where.
//!
//! # The contract
//! Descriptors are watched edge-triggered (mio does so), hence the methods are called until they return nothing.
//! A watch only wakes. Whether a child is gone, and how, only waitid and waitpid say ([`unreaped`],
//! [`reap_with_group`]), which never block: the exit may be announced before the child can be reaped. On XNU
//! NOTE_EXIT is posted before the process becomes a zombie, and a real FreeBSD 12.3 did the same in one or two of a
//! hundred exits; there is no second event. The caller retries.
//! SIGCHLD is a second wake, and merges: one may stand for many exits.
//!
//! Nothing here blocks (but for the microseconds that a program takes to be executed, or to fail to be), forks for its
//! own needs, or starts a thread. The process is taken to have one thread: signal masks are set on the calling one, and
//! on kqueue systems [`spawn()`] moves the working directory (under a lock, so that tests may have more).
//!
//! # Kernel facts that shaped this
//! - XNU: adding EVFILT_PROC for a child that has begun to exit fails with ESRCH, long before waitpid can reap it.
//! - XNU: kill(2) of a group that holds only zombies is EPERM, where Linux reports success; so it is of one whose
//!   members have begun to exit, although their sockets are open still.
//! - kqueue: EVFILT_SIGNAL does not replace a signal's disposition, so a default SIGTERM would still kill.
//! - SIGCHLD ignored (also by inheritance) makes the kernel reap, and the exit status is lost.
//! - Until a group's leader is reaped, no other process or group can get its id.

#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
compile_error!("worker-supervisor runs on Linux, macOS and FreeBSD");

#[cfg(any(target_os = "macos", test))]
mod acl;
mod clock;
mod dir;
mod exit;
mod files;
mod limits;
mod locks;
mod paths;
mod pid;
mod ports;
mod process;
mod signals;
mod space;
mod spawn;
mod terminal;
mod tree;

pub use crate::clock::{boot_id, since_boot};
pub use crate::dir::{Access, Dir};
pub use crate::exit::{ExitStatus, ExitWatch};
pub use crate::files::{
    FileId, PIPE_BUF, Pipe, check_creatable_in, check_executable, check_log, data_start, file_id, is_same_file,
    open_log, open_terminal, pipe_from_helper, pipe_to_helper, takes_output,
};
pub use crate::limits::{
    SetupError, close_inherited, effective_user_id, exec_string_bytes_max, is_local_error, open_files_limit,
    prepare_process, user_name,
};
pub use crate::locks::{ByteLock, is_locked, lock_byte, show_lock};
pub use crate::paths::{SafePath, ensure_trusted, safe_path};
pub use crate::pid::{Pid, own_pid};
pub use crate::ports::{
    Listening, Occupant, Ownership, Peer, PortTrial, ephemeral_ports, holders, holding_users, listeners, listening_of,
    occupants, ownership, port_is_free,
};
pub use crate::process::{
    Identity, Pinned, ProcessInfo, StartTime, descends_from_us, describe, identify, is_self_or_ancestor, is_stopped,
    own_identity, pid_namespace,
};
pub use crate::signals::{Signal, Signals};
pub use crate::space::{begin_write, clone, free, remote_file_system};
pub use crate::spawn::{Command, Lifetime, SpawnError, SpawnStage, spawn};
pub use crate::terminal::{TerminalSize, terminal_size};
pub use crate::tree::{
    ChildList, Reaped, Scope, become_subreaper, group_is_gone, is_session_member, processes_with, reap_orphans,
    reap_with_group, session_members, session_of, signal, signal_group, unreaped, variable_of,
};
