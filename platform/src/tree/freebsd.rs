//! The process tree of FreeBSD, through sysctl(3): everybody (KERN_PROC_PROC) and their environment (KERN_PROC_ENV).
//! With PROC_REAP_ACQUIRE of procctl(2) orphans among our descendants become our children.

use std::ffi::{c_int, c_void};
use std::io;

use super::unlisted::ChildList;
use crate::pid::Pid;

/// The longest environment of which a variable is looked for, in bytes.
const ENVIRONMENT_BYTES_MAX: usize = 256 * 1024;

/// How much room is left for processes that come between the two questions.
const SPARE: usize = 64;

/// Makes this process the one that orphans among its descendants are given to (procctl(2)). Where that fails they go to
/// init.
pub(super) fn become_subreaper() -> Option<ChildList> {
    // SAFETY: this command takes no argument and touches no memory of ours.
    unsafe { libc::procctl(libc::P_PID, 0, libc::PROC_REAP_ACQUIRE, std::ptr::null_mut()) };
    None
}

/// Every process that may be seen.
pub(super) fn everybody() -> io::Result<Vec<Pid>> {
    Ok(table()?.into_iter().filter_map(|info| Pid::new(info.ki_pid)).collect())
}

/// All processes: the caller tells by session, group and mark.
pub(super) fn descendants() -> io::Result<Vec<Pid>> {
    everybody()
}

/// Our children; zombies too.
pub(super) fn children() -> io::Result<Vec<Pid>> {
    let own = crate::pid::own_pid().cast_signed();
    Ok(table()?.into_iter().filter(|info| info.ki_ppid == own).filter_map(|info| Pid::new(info.ki_pid)).collect())
}

fn table() -> io::Result<Vec<libc::kinfo_proc>> {
    let name = [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PROC];
    let wanted = ask(&name, std::ptr::null_mut(), 0)?;
    let mut table: Vec<libc::kinfo_proc> = Vec::with_capacity(wanted / size_of::<libc::kinfo_proc>() + SPARE);
    let room = table.capacity() * size_of::<libc::kinfo_proc>();
    let written = ask(&name, table.as_mut_ptr().cast(), room)?;
    // SAFETY: the kernel has written so many whole structures of integers and raw pointers, of which any value is
    // valid.
    unsafe { table.set_len(written / size_of::<libc::kinfo_proc>()) };
    Ok(table)
}

/// The value of an environment variable, as it is now. None: it has none, or it may not be looked at.
pub(super) fn variable(pid: Pid, name: &str) -> Option<Vec<u8>> {
    let mut environment = vec![0_u8; ENVIRONMENT_BYTES_MAX];
    let request = [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_ENV, pid.as_raw()];
    let length = ask(&request, environment.as_mut_ptr().cast(), environment.len()).ok()?;
    let mut variables = environment.get(..length)?.split(|&byte| byte == 0);
    variables.find_map(|variable| Some(variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec()))
}

/// Whether a process is none any more, or a zombie.
pub(super) fn has_ended(pid: Pid) -> bool {
    crate::process::identify(pid).is_ok_and(|identity| identity.is_none())
}

/// Asks for a part of the system's tables, and returns how many bytes were written, or would be.
fn ask(name: &[c_int], out: *mut c_void, room: usize) -> io::Result<usize> {
    let mut length = room;
    // SAFETY: `name` has the length that is given, `out` has room for `length` bytes or is null, and nothing is set.
    let asked =
        unsafe { libc::sysctl(name.as_ptr(), name.len() as u32, out, &raw mut length, std::ptr::null_mut(), 0) };
    if asked == 0 { Ok(length) } else { Err(io::Error::last_os_error()) }
}

/// Who has begun to exit is found by kill(2) until its parent reaps it.
pub(super) fn group_is_closing(_leader: Pid) -> bool {
    false
}
