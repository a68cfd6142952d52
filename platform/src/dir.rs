//! A directory that is held open, and the regular files in it.
//!
//! Everything is done in this very directory, whatever its path leads to by then, and to the file of that name itself:
//! no link is followed, nothing but a regular file is opened, and no FIFO is waited for. Files are made for us alone.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
#[cfg(not(target_os = "freebsd"))]
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::files::kind_of;

/// A directory that is held open until the last of its clones is dropped.
#[derive(Clone, Debug)]
pub struct Dir(Arc<File>);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be written over.
    Write,
    /// To be read and written, and made where it is missing.
    Create,
}

impl Dir {
    /// Opens a directory. A link in its place is not followed.
    ///
    /// # Errors
    /// What open(2) reports.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        Ok(Self(Arc::new(options.open(path)?)))
    }

    /// Whose it is, and who may write it.
    ///
    /// # Errors
    /// What fstat(2) reports.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    /// How long a regular file is; None where there is none.
    #[must_use]
    pub fn length_of(&self, name: &CStr) -> Option<u64> {
        let found = fstatat(&*self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        (found.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(found.st_size.cast_unsigned())
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// What open(2) reports, or InvalidInput that says what it is: "is a FIFO, not a regular file".
    pub fn open_file(&self, name: &CStr, access: Access) -> io::Result<File> {
        let not_regular =
            |kind| io::Error::new(io::ErrorKind::InvalidInput, format!("is a {kind}, not a regular file"));
        let flags = match access {
            Access::Read => OFlag::O_RDONLY,
            Access::Write => OFlag::O_WRONLY,
            Access::Create => OFlag::O_RDWR | OFlag::O_CREAT,
        };
        let file = self.open_at(name, flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).map_err(|errno| match errno {
            // FreeBSD says EMLINK of a link.
            Errno::ELOOP | Errno::EMLINK => not_regular("symbolic link"),
            Errno::EISDIR => not_regular("directory"),
            // A FIFO without a reader, or a socket.
            Errno::ENXIO => not_regular("FIFO or socket"),
            _ => errno.into(),
        })?;
        let file_type = file.metadata()?.file_type();
        if file_type.is_file() {
            return Ok(file);
        }
        Err(not_regular(kind_of(file_type).unwrap_or("character device")))
    }

    /// Puts a file in the place of another, or where there is none, and returns it: whoever opens `name` finds the old
    /// one or the new one, whole. On an error the old one stays, and nothing is left beside it.
    ///
    /// # Errors
    /// What open(2), write(2) or rename(2) report.
    pub fn replace_file(&self, name: &CStr, content: &[u8]) -> io::Result<File> {
        let new = CString::new([name.to_bytes(), b".new"].concat())?;
        let written = self.create_new(&new).and_then(|mut file| {
            file.write_all(content)?;
            self.replace(&new, name)?;
            Ok(file)
        });
        if written.is_err() {
            drop(self.remove(&new));
        }
        written
    }

    /// Swaps two regular files, which takes no room: whoever opens either name finds one of them, whole.
    ///
    /// # Errors
    /// What renameat2(2) or renameatx_np(2) report, where the system or the file system can't (FreeBSD never can), or
    /// `name` is no regular file; then nothing has changed.
    pub fn exchange(&self, other: &CStr, name: &CStr) -> io::Result<()> {
        self.length_of(name).ok_or(io::ErrorKind::InvalidInput)?;
        if swap(&self.0, other, name) == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Removes a file, a link or the like.
    ///
    /// # Errors
    /// What unlink(2) reports.
    pub fn remove(&self, name: &CStr) -> io::Result<()> {
        Ok(unlinkat(&*self.0, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Creates a file in place of whatever has its name. What is there can only be what a writer left that was killed.
    fn create_new(&self, name: &CStr) -> io::Result<File> {
        let create = || self.open_at(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL);
        Ok(match create() {
            Err(Errno::EEXIST) => {
                self.remove(name)?;
                create()
            }
            created => created,
        }?)
    }

    fn replace(&self, new: &CStr, name: &CStr) -> io::Result<()> {
        // A rename over a file makes ext4 write the new one to the disk at once (auto_da_alloc, ext4(5)): 127 µs where
        // swapping and removing take 30, and a write to the disk for a file that is soon replaced.
        if cfg!(target_os = "linux") && self.exchange(new, name).is_ok() {
            // Killed in between, the next writer finds the old one under the new one's name.
            return self.remove(new);
        }
        Ok(renameat(&*self.0, new, &*self.0, name)?)
    }

    fn open_at(&self, name: &CStr, flags: OFlag) -> nix::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&*self.0, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
    }
}

#[cfg(target_os = "linux")]
fn swap(dir: &File, from: &CStr, to: &CStr) -> libc::c_long {
    let (dir, from, to, flags) = (dir.as_raw_fd(), from.as_ptr(), to.as_ptr(), libc::RENAME_EXCHANGE);
    // SAFETY: the descriptor is open, and both names are live C strings.
    unsafe { libc::syscall(libc::SYS_renameat2, dir, from, dir, to, flags) }
}

#[cfg(target_os = "macos")]
fn swap(dir: &File, from: &CStr, to: &CStr) -> libc::c_int {
    let dir = dir.as_raw_fd();
    // SAFETY: the descriptor is open, and both names are live C strings.
    unsafe { libc::renameatx_np(dir, from.as_ptr(), dir, to.as_ptr(), libc::RENAME_SWAP) }
}

#[cfg(target_os = "freebsd")]
fn swap(_: &File, _: &CStr, _: &CStr) -> libc::c_int {
    Errno::ENOSYS.set();
    -1
}
