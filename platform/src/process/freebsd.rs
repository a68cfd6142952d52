//! FreeBSD: processes through sysctl(3), KERN_PROC_PID and KERN_PROC_PATHNAME. Everything is told about every process,
//! unless the administrator hides other users' (security.bsd.see_other_uids); then they do not exist. A kernel whose
//! kinfo_proc has another size than the one compiled in is an error, not a guess.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};

use crate::pid::Pid;

/// The longest path that is read.
const PATH_BYTES_MAX: usize = 1024;

/// `SSTOP` of sys/proc.h.
const STOPPED: libc::c_char = 4;

/// `SZOMB` of sys/proc.h.
const ZOMBIE: libc::c_char = 5;

pub(super) fn started(pid: Pid) -> io::Result<Option<String>> {
    let info = kinfo(pid)?.filter(|info| info.ki_stat != ZOMBIE);
    Ok(info.map(|info| format!("{}.{:06}", info.ki_start.tv_sec, info.ki_start.tv_usec)))
}

pub(super) fn parent(pid: Pid) -> Option<i32> {
    kinfo(pid).ok()?.map(|info| info.ki_ppid)
}

pub(super) fn is_stopped(pid: Pid) -> bool {
    kinfo(pid).is_ok_and(|info| info.is_some_and(|info| info.ki_stat == STOPPED))
}

pub(super) fn program(pid: Pid) -> Option<String> {
    path_of(pid).or_else(|| {
        let info = kinfo(pid).ok()??;
        let name: Vec<u8> = info.ki_comm.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
        Some(String::from_utf8_lossy(&name).into_owned())
    })
}

pub(super) fn user_id(pid: Pid) -> Option<u32> {
    kinfo(pid).ok()?.map(|info| info.ki_uid)
}

/// None: there is no such process.
fn kinfo(pid: Pid) -> io::Result<Option<libc::kinfo_proc>> {
    let mut info = MaybeUninit::<libc::kinfo_proc>::zeroed();
    // SAFETY: kinfo_proc is a C structure of integers and raw pointers; the kernel may write any bytes into it.
    let space =
        unsafe { std::slice::from_raw_parts_mut(info.as_mut_ptr().cast::<u8>(), size_of::<libc::kinfo_proc>()) };
    let length = match process_sysctl(libc::KERN_PROC_PID, pid, space) {
        Ok(length) => length,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // SAFETY: zeroed, then written by the kernel; every value of an integer or a raw pointer is valid.
    let info = unsafe { info.assume_init() };
    match length {
        0 => Ok(None),
        _ if usize::try_from(info.ki_structsize) == Ok(size_of::<libc::kinfo_proc>()) => Ok(Some(info)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

fn path_of(pid: Pid) -> Option<String> {
    let mut buffer = [0; PATH_BYTES_MAX];
    let length = process_sysctl(libc::KERN_PROC_PATHNAME, pid, &mut buffer).ok()?;
    let path = buffer.get(..length)?.split(|&byte| byte == 0).next().filter(|path| !path.is_empty())?;
    Some(String::from_utf8_lossy(path).into_owned())
}

/// Asks kern.proc.WHAT.PID, and returns how many bytes were written.
fn process_sysctl(what: c_int, pid: Pid, out: &mut [u8]) -> io::Result<usize> {
    let name = [libc::CTL_KERN, libc::KERN_PROC, what, pid.as_raw()];
    let mut length = out.len();
    let out = out.as_mut_ptr().cast::<c_void>();
    // SAFETY: `name` has the length that is given, `out` has room for `length` bytes, and nothing is set.
    let asked =
        unsafe { libc::sysctl(name.as_ptr(), name.len() as u32, out, &raw mut length, std::ptr::null_mut(), 0) };
    if asked == 0 { Ok(length) } else { Err(io::Error::last_os_error()) }
}
