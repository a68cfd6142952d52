//! Locks on single bytes of a file (fcntl(2), `F_SETLK`), which need not have that byte. A lock ends with the process
//! that holds it, however that dies; no new process inherits it; and the kernel tells whoever asks the holder's pid.
//!
//! All such locks that a process has on a file end when it closes any descriptor of that file: open it once, keep it.
//!
//! And whether somebody has a flock(2), asked without a try to take it, which would be in the way of whoever starts
//! just then, and for as long as the asker is stopped. F_GETLK takes nothing. It tells of flock locks too on macOS and
//! FreeBSD, which keep all kinds in one list (`lf_getblock` in kern_lockf.c); on Linux the kinds know nothing of each
//! other, flock(2), and so the holder takes one of each.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// The answer of [`lock_byte`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteLock {
    /// It is this process's now.
    Taken,
    /// The process of this pid has it. A plain number: in a container it may be 1.
    HeldBy(u32),
    /// A process of another pid namespace, or of another machine, has it.
    HeldUnseen,
}

/// Takes the lock on a byte of a file that was opened for writing, if no other process has it. Never waits.
///
/// # Errors
/// ENOLCK: the file system has no locks. Else none that fcntl(2) documents for these arguments.
pub fn lock_byte(file: &File, byte: u32) -> io::Result<ByteLock> {
    let mut lock = libc::flock { l_start: byte.into(), l_len: 1, ..whole_file(libc::F_WRLCK as _) };
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_SETLK(&lock)) {
            Ok(_) => return Ok(ByteLock::Taken),
            Err(Errno::EACCES | Errno::EAGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut found = lock;
        fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut found))?;
        // Let go meanwhile: once more.
        if found.l_type != libc::F_UNLCK as libc::c_short {
            // 0 and -1 are what Linux tells of a process that has no pid here.
            let pid = u32::try_from(found.l_pid).ok().filter(|&pid| pid > 0);
            return Ok(pid.map_or(ByteLock::HeldUnseen, ByteLock::HeldBy));
        }
        lock.l_pid = 0;
    }
}

/// Makes a flock that is held visible to [`is_locked`], where the file system has such locks at all. It ends with the
/// open file, as the flock does, and is shared with a new process as that is.
#[cfg(target_os = "linux")]
pub fn show_lock(file: &File) {
    let _ = fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK as _)));
}

/// Makes a flock that is held visible to [`is_locked`]; here, it is.
#[cfg(not(target_os = "linux"))]
pub fn show_lock(_: &File) {}

/// Whether somebody else holds an exclusive flock that is shown. A shared one does not count.
///
/// # Errors
/// What fcntl(2) reports.
pub fn is_locked(file: &File) -> io::Result<bool> {
    let mut found = whole_file(libc::F_RDLCK as _);
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut found))?;
    Ok(found.l_type != libc::F_UNLCK as libc::c_short)
}

fn whole_file(kind: libc::c_short) -> libc::flock {
    libc::flock {
        l_type: kind,
        l_whence: libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
        #[cfg(target_os = "freebsd")]
        l_sysid: 0,
    }
}
