//! Room on a disk that is given back piece by piece. Linux punches holes, macOS too (APFS); FreeBSD can from 14 on,
//! which is not used.

use std::fs::File;
use std::io;

/// Gives back what so many bytes of a file take; they read as NULs from then on, and the file is as long as before.
/// On macOS both numbers have to be multiples of a block of the file system, 4,096 on APFS.
///
/// # Errors
/// That the system or the file system can't, or what it reports; nothing has changed then.
#[cfg(target_os = "linux")]
pub fn free(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    use nix::fcntl::{FallocateFlags, fallocate};
    let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(file, mode, offset(from)?, offset(bytes)?)?)
}

/// As on Linux.
///
/// # Errors
/// As on Linux.
#[cfg(target_os = "macos")]
pub fn free(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let hole = libc::fpunchhole_t { fp_flags: 0, reserved: 0, fp_offset: offset(from)?, fp_length: offset(bytes)? };
    // SAFETY: the descriptor is open, and `hole` is the live structure that F_PUNCHHOLE reads.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PUNCHHOLE, &raw const hole) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Never.
///
/// # Errors
/// Always.
#[cfg(target_os = "freebsd")]
pub fn free(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "freebsd"))]
fn offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(io::Error::other)
}
