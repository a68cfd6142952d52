//! macOS: processes through libproc.
//! What needs no privilege (parent, user, path) works for every process; the start time only for processes of the same
//! user, or for root (XNU: proc_security_policy). Zombies and processes that have begun to exit are not found, which is
//! how this program counts them anyway.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, offset_of, size_of};

use crate::pid::Pid;

/// The most processes that are listed.
const PROCESSES_MAX: usize = 1 << 15;

/// Of bsd/sys/proc.h: awaiting collection by its parent.
const SZOMB: u32 = 5;

/// Of bsd/sys/proc_info.h: working its way through exit, or a zombie.
const PROC_FLAG_INEXIT: u32 = 4;

// The layout that XNU's bsd/sys/proc_info.h gives.
const _: () = {
    assert!(size_of::<libc::proc_bsdinfo>() == 136 && offset_of!(libc::proc_bsdinfo, pbi_start_tvsec) == 120);
    assert!(size_of::<libc::proc_bsdshortinfo>() == 64 && offset_of!(libc::proc_bsdshortinfo, pbsi_status) == 12);
    assert!(
        offset_of!(libc::proc_bsdshortinfo, pbsi_ppid) == 4 && offset_of!(libc::proc_bsdshortinfo, pbsi_comm) == 16
    );
    assert!(
        offset_of!(libc::proc_bsdshortinfo, pbsi_flags) == 32 && offset_of!(libc::proc_bsdshortinfo, pbsi_uid) == 36
    );
};

/// Which processes [`list`] lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    Everybody,
    /// Those of an effective user.
    User(u32),
    /// Those of a process group; zombies, and those that are becoming one, too.
    Group(Pid),
}

/// Lists processes, also those of other users. libproc answers 0 for an error as for an empty list, so that errno tells
/// (`proc_listpids` of libsyscall/wrappers/libproc).
pub(crate) fn list(which: Listed) -> io::Result<Vec<Pid>> {
    // Of bsd/sys/proc_info.h.
    let (kind, of) = match which {
        Listed::Everybody => (1, 0),
        Listed::Group(leader) => (2, leader.as_raw().cast_unsigned()),
        Listed::User(id) => (4, id),
    };
    let mut raw = vec![0_i32; PROCESSES_MAX];
    let size = size_of_val(raw.as_slice()) as c_int;
    nix::errno::Errno::clear();
    // SAFETY: the kernel writes at most `size` bytes, which `raw` has.
    let written = unsafe { libc::proc_listpids(kind, of, raw.as_mut_ptr().cast::<c_void>(), size) };
    let error = io::Error::last_os_error();
    if written <= 0 && error.raw_os_error() != Some(0) {
        return Err(error);
    }
    raw.truncate(usize::try_from(written).unwrap_or(0) / size_of::<i32>());
    Ok(raw.into_iter().filter_map(Pid::new).collect())
}

/// Whether a process has begun to exit and is not a zombie yet: its descriptors may be open still. Nobody else finds it
/// then (`proc_find`), but for this question with an argument other than 0 (`proc_pidinfo` of bsd/kern/proc_info.c).
pub(crate) fn is_closing(pid: Pid) -> bool {
    let info: io::Result<libc::proc_bsdshortinfo> = pid_info(pid, libc::PROC_PIDT_SHORTBSDINFO, 1);
    info.is_ok_and(|info| info.pbsi_flags & PROC_FLAG_INEXIT != 0 && info.pbsi_status != SZOMB)
}

pub(super) fn started(pid: Pid) -> io::Result<Option<String>> {
    let info: io::Result<libc::proc_bsdinfo> = pid_info(pid, libc::PROC_PIDTBSDINFO, 0);
    match info {
        Ok(info) => Ok(Some(format!("{}.{:06}", info.pbi_start_tvsec, info.pbi_start_tvusec))),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn parent(pid: Pid) -> Option<i32> {
    short_info(pid).map(|info| info.pbsi_ppid.cast_signed())
}

pub(super) fn is_stopped(pid: Pid) -> bool {
    /// `SSTOP` of bsd/sys/proc.h.
    const STOPPED: u32 = 4;
    short_info(pid).is_some_and(|info| info.pbsi_status == STOPPED)
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
    pid_info(pid, libc::PROC_PIDT_SHORTBSDINFO, 0).ok()
}

/// One structure about one process. `T` must be the plain C structure that `flavor` fills. An argument of 0 leaves out
/// zombies, and those that are becoming one.
fn pid_info<T>(pid: Pid, flavor: c_int, argument: u64) -> io::Result<T> {
    let mut info = MaybeUninit::<T>::zeroed();
    let size = size_of::<T>() as c_int;
    // SAFETY: the kernel writes at most `size` bytes, the size of `info`.
    let written = unsafe { libc::proc_pidinfo(pid.as_raw(), flavor, argument, info.as_mut_ptr().cast(), size) };
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
