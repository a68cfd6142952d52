//! What kind of file system something lies on, room on a disk that is given back piece by piece, and copies that take
//! none. Linux punches holes, macOS too (APFS); FreeBSD can from 14 on, which is not used.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::sys::statfs::statfs;

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

/// Makes a new file that has all of another's content and shares its room, in one call of whatever size: on macOS,
/// fclonefileat(2) on APFS. On Linux whoever copies by copy_file_range(2) shares room too, where that can be.
///
/// # Errors
/// What fclonefileat(2) reports: AlreadyExists, also for a link, or that the file system can't. Always elsewhere.
#[cfg(target_os = "macos")]
pub fn clone(file: &File, copy: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    // Of sys/clonefile.h: the copy is ours, not that of the file's owner.
    const CLONE_NOOWNERCOPY: u32 = 2;
    let copy = std::ffi::CString::new(copy.as_os_str().as_bytes())?;
    // SAFETY: the descriptor is open, and `copy` is a C string.
    let result = unsafe { libc::fclonefileat(file.as_raw_fd(), libc::AT_FDCWD, copy.as_ptr(), CLONE_NOOWNERCOPY) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Never.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "macos"))]
pub fn clone(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "freebsd"))]
fn offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(io::Error::other)
}

/// Has the system begin to write these bytes of a file to the disk, and does not wait for that: else they pile up until
/// somebody has to. Only on Linux, sync_file_range(2); where it can't, nothing is lost.
pub fn begin_write(file: &File, from: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    if let (Ok(from), Ok(bytes)) = (offset(from), offset(bytes)) {
        use std::os::fd::AsRawFd;
        // SAFETY: a system call on an open descriptor and integers.
        unsafe { libc::sync_file_range(file.as_raw_fd(), from, bytes, libc::SYNC_FILE_RANGE_WRITE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, bytes);
}

/// What kind of network or FUSE file system a path lies on, as a word; None: a local one.
///
/// # Errors
/// What statfs(2) reports, such as NotFound.
pub fn remote_file_system(path: &Path) -> io::Result<Option<String>> {
    let found = statfs(path)?;
    #[cfg(target_os = "linux")]
    return Ok(remote_kind(u32::try_from(found.filesystem_type().0 & 0xFFFF_FFFF).unwrap_or(0)).map(str::to_owned));
    #[cfg(not(target_os = "linux"))]
    {
        let name = found.filesystem_type_name();
        #[cfg(target_os = "macos")]
        let is_local = found.flags().contains(nix::mount::MntFlags::MNT_LOCAL);
        // nix does not know the flag there.
        #[cfg(target_os = "freebsd")]
        let is_local = !matches!(name, "nfs" | "smbfs" | "p9fs");
        Ok((!is_local || name.contains("fuse")).then(|| name.to_owned()))
    }
}

/// By the numbers of statfs(2) and linux/magic.h.
#[cfg(target_os = "linux")]
fn remote_kind(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9P",
        0x00C3_6400 => "Ceph",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0BD0_0BD0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x786F_4256 => "VirtualBox",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_and_fuse_file_systems_are_told_from_local_ones() {
        // ext4, tmpfs, btrfs, XFS, overlay, ZFS, proc.
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x5846_5342, 0x794C_7630, 0x2FC1_2FC1, 0x9FA0] {
            assert_eq!(remote_kind(local), None, "{local:x}");
        }
        let remote = [(0x6969, "NFS"), (0x6573_5546, "FUSE"), (0xFF53_4D42, "SMB"), (0x0102_1997, "9P")];
        assert!(remote.into_iter().all(|(magic, word)| remote_kind(magic) == Some(word)));
        assert_eq!(remote_file_system(Path::new("/proc")).expect("a file system"), None);
        assert!(remote_file_system(Path::new("/proc/none")).is_err());
    }
}
