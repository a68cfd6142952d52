//! Questions about processes, and signals to them. A zombie counts as gone: only its parent can still see it.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

#[cfg(not(target_os = "linux"))]
#[path = "process_ps.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "process_linux.rs"]
mod system;

/// What the systems' files tell of a process.
pub(crate) struct ProcessFacts {
    /// Its id.
    pub(crate) pid: i32,
    /// Its parent's.
    pub(crate) ppid: i32,
    /// Its group's.
    pub(crate) pgid: i32,
    /// Whether it has ended, but was not waited for.
    pub(crate) zombie: bool,
}

/// Whether a process runs (or is stopped, but not ended).
pub(crate) fn process_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH) && system::facts(pid).is_some_and(|facts| !facts.zombie)
}

/// The group of a process; `None` where there is no such process.
pub(crate) fn group_of(pid: i32) -> Option<i32> {
    getpgid(Some(Pid::from_raw(pid))).ok().map(Pid::as_raw)
}

/// The running processes of a group.
pub(crate) fn group_members(pgid: i32) -> Vec<i32> {
    selected(|facts| facts.pgid == pgid && !facts.zombie)
}

/// The children of a process; zombies are among them.
pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    selected(|facts| facts.ppid == pid)
}

/// How many descriptors a process has open; `None` where the system doesn't tell.
pub(crate) fn descriptors_of(pid: i32) -> Option<usize> {
    system::descriptors(pid)
}

/// The running processes whose environment has `marker`. Systems that don't show it tell of none.
pub(crate) fn marked(marker: &str) -> Vec<i32> {
    let ours = i32::try_from(std::process::id()).expect("a pid");
    selected(|facts| !facts.zombie && facts.pid != ours && system::is_marked(facts.pid, marker) == Some(true))
}

/// Whether a process may belong to the scene of `marker`; to be asked before a pid that was read in a file is killed.
pub(crate) fn may_be_marked(pid: i32, marker: &str) -> bool {
    process_alive(pid) && system::is_marked(pid, marker) != Some(false)
}

/// Sends a signal; false where there is no such process.
pub(crate) fn send_signal(pid: i32, signal: Signal) -> bool {
    assert!(pid > 1, "a test signals one process, not {pid}");
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => true,
        Err(Errno::ESRCH) => false,
        Err(errno) => panic!("cannot send {signal} to {pid}: {errno}"),
    }
}

fn selected(choose: impl Fn(&ProcessFacts) -> bool) -> Vec<i32> {
    system::all().into_iter().filter(choose).map(|facts| facts.pid).collect()
}
