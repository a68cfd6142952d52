//! The end of a child: noticed without waiting, and nothing of its group left behind.

use platform::{ExitStatus, Peeked, Pid, Reaped, SendSignal};

/// Reaps a child if it has exited, after killing what it left in its group: until the leader is reaped, the group's id
/// cannot be anybody else's. `None`: the child runs, or cannot be reaped yet. `Some(None)`: it is gone and somebody
/// else has its status.
pub(crate) fn reap(pid: Pid) -> Option<ExitStatus> {
    match platform::peek(pid) {
        Ok(Peeked::Exited) => {}
        Ok(Peeked::NotAChild) => return Some(ExitStatus::Unknown),
        Ok(Peeked::NotYet) | Err(_) => return None,
    }
    kill_group(pid);
    match platform::reap(pid) {
        Ok(Reaped::Exit(status)) => Some(status),
        Ok(Reaped::NotAChild) => Some(ExitStatus::Unknown),
        Ok(Reaped::NotYet) | Err(_) => None,
    }
}

/// Kills what is left of the group that `leader` leads or led. Nobody left is no error, and there is no other.
pub(crate) fn kill_group(leader: Pid) {
    let _ = platform::signal_group(leader, SendSignal::Kill);
}
