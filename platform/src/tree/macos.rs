//! The process tree of macOS: libproc lists everybody in one call, getsid(2) answers for any process, and sysctl(3)
//! shows the environment of our own. There is no subreaper: orphans go to launchd.

use std::ffi::c_void;
use std::io;

use super::procargs;
use super::unlisted::ChildList;
use crate::pid::Pid;
use crate::process::{Listed, is_closing, list};

/// ARG_MAX of sys/syslimits.h: a longer buffer is refused (`sysctl_procargsx`).
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// There is nothing like it.
pub(super) fn become_subreaper() -> Option<ChildList> {
    None
}

/// Every process, also those of other users.
pub(super) fn everybody() -> io::Result<Vec<Pid>> {
    list(Listed::Everybody)
}

/// All processes: who descends from us can't be told once a parent is gone.
pub(super) fn descendants() -> io::Result<Vec<Pid>> {
    everybody()
}

/// Nobody becomes our child that we have not made.
pub(super) fn children() -> io::Result<Vec<Pid>> {
    Ok(Vec::new())
}

/// The value of an environment variable, as it was when the process executed its program. None: it has none, or it may
/// not be looked at.
pub(super) fn variable(pid: Pid, name: &str) -> Option<Vec<u8>> {
    let mut request = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid.as_raw()];
    let mut buffer = vec![0_u8; ARGUMENTS_BYTES_MAX];
    let mut length = buffer.len();
    let out = buffer.as_mut_ptr().cast::<c_void>();
    // SAFETY: `request` has the length that is given, `out` has room for `length` bytes, and nothing is set.
    let asked = unsafe { libc::sysctl(request.as_mut_ptr(), 3, out, &raw mut length, std::ptr::null_mut(), 0) };
    if asked != 0 {
        return None;
    }
    procargs::variable(buffer.get(..length)?, name).map(<[u8]>::to_vec)
}

/// Whether a process is none any more, or a zombie: getsid(2) finds neither (`proc_find`).
pub(super) fn has_ended(pid: Pid) -> bool {
    super::session_of(pid).is_none()
}

/// Whether a group that kill(2) finds nobody in has members whose sockets are open still. From `proc_prepareexit` on,
/// long before it closes anything, a process is found by nobody, and its group is EPERM as one of zombies is: it stands
/// in the list of zombies, and its status tells it from one (XNU 11417: kern_exit.c:2110 and 2225, kern_sig.c
/// `killpg1`).
pub(super) fn group_is_closing(leader: Pid) -> bool {
    list(Listed::Group(leader)).is_ok_and(|members| members.into_iter().any(is_closing))
}
