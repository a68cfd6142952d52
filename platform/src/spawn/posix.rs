//! posix_spawn(3): on macOS and FreeBSD the one call that starts a process without copying ours first.

use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::umask;

use super::command::{Command, SpawnStage};
use crate::limits;

/// Starts the program with these descriptors as its 0, 1 and 2.
///
/// The directory is entered here, before, and left after: two cheap calls that are the same on both systems and tell a
/// missing directory from a missing program. posix_spawn's own chdir action does not (one errno for all), and is
/// missing before FreeBSD 13.
pub(super) fn start(command: &Command<'_>, fds: [RawFd; 3]) -> Result<i32, (SpawnStage, Errno)> {
    let at = |stage| move |errno| (stage, errno);
    let actions = file_actions(fds).map_err(at(SpawnStage::Descriptors))?;
    let attributes = attributes().map_err(at(SpawnStage::Descriptors))?;
    // The supervisor has one thread, and never waits here. Tests have more.
    static WORKING_DIRECTORY: Mutex<()> = Mutex::new(());
    let guard = WORKING_DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner);
    nix::unistd::chdir(command.dir).map_err(at(SpawnStage::Directory))?;
    let own_umask = limits::inherited_umask().map(umask);
    let spawned = posix_spawn(command.program, &actions, &attributes, command.args, command.env);
    if let Some(own_umask) = own_umask {
        umask(own_umask);
    }
    // Not to keep a file system busy. `/` can always be entered; if it could not, nothing here depends on it.
    let _ = nix::unistd::chdir("/");
    drop(guard);
    spawned.map(nix::unistd::Pid::as_raw).map_err(at(SpawnStage::Program))
}

/// A session (on FreeBSD a group) of its own, an empty mask, default dispositions. On macOS also: every descriptor that
/// no action named is closed, which covers what a library has opened without close-on-exec.
fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    if cfg!(target_os = "macos") {
        /// spawn.h of macOS, since 10.15; nix names neither.
        const POSIX_SPAWN_SETSID: i32 = 0x0400;
        const POSIX_SPAWN_CLOEXEC_DEFAULT: i32 = 0x4000;
        flags |= PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_SETSID | POSIX_SPAWN_CLOEXEC_DEFAULT);
    } else {
        // spawn.h of FreeBSD 12 has no flag for a session.
        flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(flags)?;
    attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&settable_signals())?;
    Ok(attributes)
}

/// The 31 classic signals but SIGKILL and SIGSTOP, whose disposition is the default anyway. Naming those is in order on
/// XNU (`setsigvec` of bsd/kern/kern_sig.c refuses them a handler, and only that), but nowhere promised. FreeBSD's
/// threading library refuses signal 32, and the spawn with it.
fn settable_signals() -> SigSet {
    let mut signals: SigSet = Signal::iterator().collect();
    signals.remove(Signal::SIGKILL);
    signals.remove(Signal::SIGSTOP);
    signals
}

fn file_actions(fds: [RawFd; 3]) -> nix::Result<PosixSpawnFileActions> {
    let mut actions = PosixSpawnFileActions::init()?;
    for (source, target) in fds.into_iter().zip(0..) {
        actions.add_dup2(source, target)?;
    }
    Ok(actions)
}
