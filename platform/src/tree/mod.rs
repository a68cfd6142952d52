//! Children, their groups and sessions, and what descends from them: signals to them, and the end of a child with what
//! it left in its group.
//! Status comes from waitpid alone, and nothing here waits. A process that is not our child is signalled through
//! [`Pinned`](crate::Pinned), since its pid may be another's by now. A session's id is nobody else's as long as it has
//! members, and so is a group's (Linux: kernel/pid.c; XNU: forkproc skips ids of living groups and sessions).

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(target_os = "macos", test))]
mod procargs;
#[cfg(not(target_os = "linux"))]
mod unlisted;

use std::io;
use std::mem::MaybeUninit;

use nix::errno::Errno;

#[cfg(target_os = "freebsd")]
use self::freebsd as sys;
#[cfg(target_os = "linux")]
use self::linux as sys;
#[cfg(target_os = "macos")]
use self::macos as sys;
#[cfg(target_os = "linux")]
pub use self::sys::ChildList;
#[cfg(not(target_os = "linux"))]
pub use self::unlisted::ChildList;
use crate::exit::ExitStatus;
use crate::pid::Pid;
use crate::process::{group_of, lineage};
use crate::signals::Signal;

/// The answer of [`reap_with_group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// Still there, or exiting and not yet a zombie, or the system did not say: to be asked again.
    NotYet,
    /// Gone, and its pid is free for others from now on.
    Gone(ExitStatus),
}

/// Reaps a child if it has exited, after killing what it left in its group: until the leader is reaped, the group's id
/// can't be anybody else's. Never waits.
pub fn reap_with_group(pid: Pid) -> Reaped {
    match zombie(pid) {
        Ok(Some(_)) => {}
        Ok(None) => return Reaped::NotYet,
        Err(errno) => return without_status(errno),
    }
    // Nobody left is no error, and there is no other.
    let _ = signal_group(pid, Signal::Kill);
    let mut status = 0;
    // nix's waitpid is not used: it fails for a child that died by a real-time signal, after having reaped it.
    // SAFETY: `status` is a live i32 that waitpid may write.
    match unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::WNOHANG) } {
        0 => Reaped::NotYet,
        -1 => without_status(Errno::last()),
        _ if libc::WIFEXITED(status) => Reaped::Gone(ExitStatus::Code(libc::WEXITSTATUS(status))),
        _ if libc::WIFSIGNALED(status) => {
            Reaped::Gone(ExitStatus::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) })
        }
        _ => Reaped::NotYet,
    }
}

/// How a child has ended that has not been reaped; None: it has not, or is no child of ours. Until it is reaped its
/// pid, group and session are nobody else's. macOS does not tell here which signal ended it (`waitid` of
/// bsd/kern/kern_exit.c): [`reap_with_group`] does.
#[must_use]
pub fn unreaped(pid: Pid) -> Option<ExitStatus> {
    let info = zombie(pid).ok()??;
    // SAFETY: waitid has filled the structure for a child's exit.
    let status = unsafe { info.si_status() };
    Some(match info.si_code {
        libc::CLD_EXITED => ExitStatus::Code(status),
        code => ExitStatus::Signal { number: status, core: code == libc::CLD_DUMPED },
    })
}

/// What waitid(2) says of a child that has exited, without reaping it.
fn zombie(pid: Pid) -> nix::Result<Option<libc::siginfo_t>> {
    exited(libc::P_PID, pid.as_raw() as libc::id_t)
}

/// What waitid(2) says of a child that has exited, of those that it is asked for. Reaps nobody.
fn exited(kind: libc::idtype_t, id: libc::id_t) -> nix::Result<Option<libc::siginfo_t>> {
    // XNU leaves the structure untouched when there is nothing to tell, so the zeroes are the answer then.
    // SAFETY: siginfo_t is plain data, for which all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a live siginfo_t that waitid may write.
    Errno::result(unsafe { libc::waitid(kind, id, &raw mut info, options) })?;
    // SAFETY: either waitid filled the structure for a child's exit, or it is all zeroes.
    let pid = unsafe { info.si_pid() };
    Ok((pid != 0).then_some(info))
}

/// What a failed look at a child means. ECHILD: it is none of ours, or was reaped before.
fn without_status(errno: Errno) -> Reaped {
    if errno == Errno::ECHILD { Reaped::Gone(ExitStatus::Unknown) } else { Reaped::NotYet }
}

/// Sends a signal to one process. False: there is no such process. True says nothing about life: a zombie that
/// nobody has reaped takes signals too.
///
/// # Errors
/// EPERM: the process is another user's.
pub fn signal(pid: Pid, signal: Signal) -> io::Result<bool> {
    match signal.send(pid.as_raw()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends a signal to every process of the group that `leader` leads. False: nothing of ours is left in it. Only
/// before `leader` is reaped: until then nobody else can get the group's id.
///
/// ESRCH and EPERM both mean "none left to signal". XNU skips zombies when it walks a group, and those that have begun
/// to exit, and reports EPERM when that leaves nobody; Linux counts a zombie as signalled and returns success. EPERM
/// also stands for "every member is another user's", and those are not ours to end either.
///
/// # Errors
/// None that kill(2) documents for these arguments; passed on if there is one.
pub fn signal_group(leader: Pid, signal: Signal) -> io::Result<bool> {
    match signal.send(-leader.as_raw()) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EPERM)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether nobody is left in the group that `leader` led; asks and sends nothing. After `leader` was reaped only: until
/// then it counts itself, on Linux even as a zombie. A group that somebody else has made under the same id since then
/// counts too, so the answer is a hint.
#[must_use]
pub fn group_is_gone(leader: Pid) -> bool {
    match nix::sys::signal::killpg(nix::unistd::Pid::from_raw(leader.as_raw()), None) {
        Ok(()) => false,
        // Nobody but zombies and those that are becoming one (XNU), or the id is another user's by now.
        Err(Errno::EPERM) => !sys::group_is_closing(leader),
        Err(_) => true,
    }
}

/// Where to look for processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Among all that descends from this process, where the system can tell ([`become_subreaper`]); else everywhere.
    Descendants,
    /// Everywhere.
    Everybody,
}

/// From now on orphans among our descendants become our children, to be reaped by [`reap_orphans`]. Linux: prctl(2),
/// PR_SET_CHILD_SUBREAPER; FreeBSD: procctl(2), PROC_REAP_ACQUIRE; nothing on macOS. Where that fails, as in an old
/// kernel, orphans go to init. The list is Linux's alone, and only there if the kernel keeps one.
pub fn become_subreaper() -> Option<ChildList> {
    sys::become_subreaper()
}

/// Our children, and theirs, and so on; zombies too. None where the kernel keeps no lists of children.
#[cfg(target_os = "linux")]
pub(crate) fn descendants() -> Vec<Pid> {
    sys::descendants().unwrap_or_default()
}

/// Reaps the children that have exited and are none of `known`: what descendants left to us.
pub fn reap_orphans(known: &[Pid]) {
    // One call, where a list of our children takes many.
    if !exited(libc::P_ALL, 0).is_ok_and(|zombie| zombie.is_some()) {
        return;
    }
    for pid in sys::children().unwrap_or_default() {
        if !known.contains(&pid) {
            let mut status = 0;
            // SAFETY: `status` is a live i32 that waitpid may write.
            unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::WNOHANG) };
        }
    }
}

/// The processes but `leader` that are in the session or group that it leads or led; zombies are left out, and this
/// process with those that it descends from.
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn session_members(leader: Pid, scope: Scope) -> io::Result<Vec<Pid>> {
    let pids = candidates(scope)?;
    Ok(pids.into_iter().filter(|pid| *pid != leader && is_member(*pid, leader) && !sys::has_ended(*pid)).collect())
}

/// Whether a process lives and is in the session or group that `leader` leads or led.
#[must_use]
pub fn is_session_member(pid: Pid, leader: Pid) -> bool {
    is_member(pid, leader) && !sys::has_ended(pid)
}

/// The session of a process, by its leader's pid, who may be gone; None when there is no such process, and for the
/// kernel's own.
#[must_use]
pub fn session_of(pid: Pid) -> Option<Pid> {
    let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid.as_raw()))).ok()?;
    Pid::new(session.as_raw())
}

/// The living processes whose environment has the variable `name`, with a value that `is_wanted`. Those that can't be
/// looked at (another user's, or restricted ones on macOS) have none. Never this process or one that it descends from.
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn processes_with(name: &str, is_wanted: impl Fn(&[u8]) -> bool, scope: Scope) -> io::Result<Vec<Pid>> {
    let has_it = |pid: &Pid| variable_of(*pid, name).is_some_and(|value| is_wanted(&value));
    Ok(candidates(scope)?.into_iter().filter(|pid| has_it(pid) && !sys::has_ended(*pid)).collect())
}

/// The value of an environment variable of a process, as it was when that executed its program; None: it has none, or
/// it may not be looked at.
#[must_use]
pub fn variable_of(pid: Pid, name: &str) -> Option<Vec<u8>> {
    sys::variable(pid, name)
}

/// Never this process, nor one that it descends from.
fn candidates(scope: Scope) -> io::Result<Vec<Pid>> {
    // Elsewhere that is everybody.
    if cfg!(target_os = "linux")
        && scope == Scope::Descendants
        && let Ok(found) = sys::descendants()
    {
        return Ok(found);
    }
    let spared: Vec<i32> = lineage().collect();
    Ok(sys::everybody()?.into_iter().filter(|pid| !spared.contains(&pid.as_raw())).collect())
}

/// FreeBSD's posix_spawn makes no session, so there the group has to do.
fn is_member(pid: Pid, leader: Pid) -> bool {
    session_of(pid) == Some(leader) || group_of(pid) == Some(leader.as_raw())
}
