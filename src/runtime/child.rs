//! The end of a child: noticed without waiting, and nothing of its group left behind.

use platform::{ExitStatus, Peeked, Pid, Reaped, SendSignal};

/// Whether a child has exited. If so, what it left in its group is killed: until the leader is reaped, the group's id
/// cannot be anybody else's.
pub(super) fn has_ended(pid: Pid) -> bool {
    match platform::peek(pid) {
        Ok(Peeked::Exited) => {
            kill_group(pid);
            true
        }
        Ok(Peeked::NotAChild) => true,
        Ok(Peeked::NotYet) | Err(_) => false,
    }
}

/// Reaps a child that [`has_ended`]. `None`: somebody else has its status.
pub(super) fn bury(pid: Pid) -> Option<ExitStatus> {
    match platform::reap(pid) {
        Ok(Reaped::Exit(status)) => Some(status),
        Ok(Reaped::NotAChild | Reaped::NotYet) | Err(_) => None,
    }
}

/// Reaps a child if it has exited, after killing what it left in its group. `None`: the child runs. `Some(None)`: it is
/// gone and somebody else has its status.
pub(super) fn reap(pid: Pid) -> Option<Option<ExitStatus>> {
    has_ended(pid).then(|| bury(pid))
}

/// Kills what is left of the group that `leader` leads or led. Nobody left is no error, and there is no other.
pub(super) fn kill_group(leader: Pid) {
    let _ = platform::signal_group(leader, SendSignal::Kill);
}
