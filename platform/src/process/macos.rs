//! macOS: processes through libproc.
//! What needs no privilege (parent, user, path) works for every process; the start time only for processes of the same
//! user, or for root (XNU: proc_security_policy). Zombies and processes that have begun to exit are not found, which is
//! how this program counts them anyway.

use std::ffi::c_int;
use std::io;
use std::mem::{MaybeUninit, size_of};

use crate::pid::Pid;

pub(super) fn started(pid: Pid) -> io::Result<Option<String>> {
    let info: io::Result<libc::proc_bsdinfo> = pid_info(pid, libc::PROC_PIDTBSDINFO);
    match info {
        Ok(info) => Ok(Some(format!("{}.{:06}", info.pbi_start_tvsec, info.pbi_start_tvusec))),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn parent(pid: Pid) -> Option<i32> {
    short_info(pid).map(|info| info.pbsi_ppid.cast_signed())
}

pub(super) fn program(pid: Pid) -> Option<String> {
    path_of(pid).or_else(|| {
        let info = short_info(pid)?;
        let name: Vec<u8> = info.pbsi_comm.iter().map(|&c| c.cast_unsigned()).take_while(|&byte| byte != 0).collect();
        Some(String::from_utf8_lossy(&name).into_owned())
    })
}

pub(super) fn user_id(pid: Pid) -> Option<u32> {
    short_info(pid).map(|info| info.pbsi_uid)
}

fn short_info(pid: Pid) -> Option<libc::proc_bsdshortinfo> {
    pid_info(pid, libc::PROC_PIDT_SHORTBSDINFO).ok()
}

/// One structure about one process. `T` must be the plain C structure that `flavor` fills.
fn pid_info<T>(pid: Pid, flavor: c_int) -> io::Result<T> {
    let mut info = MaybeUninit::<T>::zeroed();
    let size = size_of::<T>() as c_int;
    // SAFETY: the kernel writes at most `size` bytes, the size of `info`. The last argument 0 leaves zombies out.
    let written = unsafe { libc::proc_pidinfo(pid.as_raw(), flavor, 0, info.as_mut_ptr().cast(), size) };
    if written <= 0 {
        return Err(io::Error::last_os_error());
    }
    if written != size {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    // SAFETY: filled completely, with a structure of integers for which every value is valid.
    Ok(unsafe { info.assume_init() })
}

fn path_of(pid: Pid) -> Option<String> {
    let mut buffer = [0_u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    // SAFETY: the kernel writes at most `buffer.len()` bytes into it.
    let length = unsafe { libc::proc_pidpath(pid.as_raw(), buffer.as_mut_ptr().cast(), buffer.len() as u32) };
    let path = buffer.get(..usize::try_from(length).ok().filter(|&length| length > 0)?)?;
    let path = path.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(path).into_owned())
}
