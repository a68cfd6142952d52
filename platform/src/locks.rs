//! Locks on single bytes of a file (fcntl(2), `F_SETLK`), which need not have that byte. A lock ends with the process
//! that holds it, however that dies; no new process inherits it; and the kernel tells whoever asks the holder's pid.
//!
//! All such locks that a process has on a file end when it closes any descriptor of that file: open it once, keep it.

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
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: byte.into(),
        l_len: 1,
        l_pid: 0,
        #[cfg(target_os = "freebsd")]
        l_sysid: 0,
    };
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
