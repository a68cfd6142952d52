//! Whether somebody else could lead a path elsewhere.
//!
//! A path is followed step by step, links and all. Each directory on the way has to belong to root or to us, and nobody
//! else may write it: then nobody else can change where the path leads, now or later, and what was judged is what is
//! opened. Where all may write a directory and each may remove only what is his, as in /tmp, a link has to be root's or
//! ours. Whoever owns `/` counts as root: a user namespace may show him under any number. What is mounted read-only is
//! taken as it is. That a group may write a directory, or whom an access control list names, is told, not refused.

use std::fs::{File, Metadata, OpenOptions, metadata, read_link, symlink_metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Group};

#[cfg(target_os = "macos")]
use crate::acl::lets_change;
use crate::limits::{effective_user_id, user_name};

/// The most links on one path: as many as macOS follows, which are the fewest of the three systems.
const LINKS_MAX: u32 = 32;

/// A path that nobody but root, us, and perhaps members of a group can lead elsewhere.
#[derive(Debug)]
pub struct SafePath {
    /// Without links; as far as it exists, and then what is missing.
    real: PathBuf,
    /// The directories in which a name was looked up.
    entered: Vec<PathBuf>,
    /// Whether others may make files beside it.
    is_shared: bool,
    /// Whether it ends in a link that only the kernel can follow, such as one to a pipe in /proc.
    is_magic: bool,
}

/// Follows an absolute path. What is missing at its end may be made.
///
/// # Errors
/// PermissionDenied that names the directory at fault and what to do; what lstat(2) and readlink(2) report, but not
/// that something is missing, unless the path goes back from there.
pub fn safe_path(path: &Path) -> io::Result<SafePath> {
    let root = symlink_metadata("/")?;
    let (mut real, mut left, mut links) = (PathBuf::from("/"), path.to_owned(), 0);
    // What was found at `real`.
    let mut here_is = root.clone();
    // Whether the last link was one of the kernel's own, which may lead to what has no name.
    let mut is_of_proc = false;
    let mut safe = SafePath { real: PathBuf::new(), entered: Vec::new(), is_shared: false, is_magic: false };
    'links: loop {
        let mut parts = left.components();
        while let Some(part) = parts.next() {
            let name = match part {
                Component::Normal(name) => name,
                Component::RootDir => {
                    (real, here_is) = ("/".into(), root.clone());
                    continue;
                }
                Component::ParentDir => {
                    real.pop();
                    here_is = symlink_metadata(&real)?;
                    continue;
                }
                Component::CurDir | Component::Prefix(_) => continue,
            };
            safe.enter(&real, &here_is)?;
            let rest = parts.as_path();
            real.push(name);
            let found = match symlink_metadata(&real) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if parts.any(|part| part == Component::ParentDir) {
                        return Err(error);
                    }
                    safe.is_magic = is_of_proc && metadata(path).is_ok();
                    real.extend(rest);
                    break 'links;
                }
                found => found?,
            };
            if !found.is_symlink() {
                here_is = found;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::ELOOP.into());
            }
            if safe.is_shared {
                ensure_trusted(&real, &found)?;
            }
            is_of_proc = real.starts_with("/proc");
            let target = read_link(&real)?;
            real.pop();
            left = target.join(rest);
            continue 'links;
        }
        break;
    }
    safe.real = if safe.is_magic { path.to_owned() } else { real };
    Ok(safe)
}

/// Whether a file or directory is root's or ours, so that nobody else decides what is in it.
///
/// # Errors
/// PermissionDenied that names it, and what to do.
pub fn ensure_trusted(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let user = metadata.uid();
    let is_trusted = user == 0 || user == effective_user_id() || symlink_metadata("/")?.uid() == user;
    if is_trusted || is_read_only(path) {
        return Ok(());
    }
    let name = user_name(user);
    let what = if metadata.is_dir() { "who could replace what is in it" } else { "who could change it" };
    Err(refused(format!("{path:?} belongs to user {name} (uid {user}), {what}; use what is yours or root's")))
}

impl SafePath {
    /// Opens what is there, in no case by a link that was put there meanwhile, and without waiting for the other end of
    /// a FIFO.
    ///
    /// # Errors
    /// What open(2) reports, or PermissionDenied for a file that somebody else may have given this name.
    pub fn open(&self, options: &mut OpenOptions) -> io::Result<File> {
        let no_link = if self.is_magic { 0 } else { libc::O_NOFOLLOW };
        let file = options.custom_flags(no_link | libc::O_NOCTTY | libc::O_NONBLOCK).open(&self.real)?;
        if self.is_shared && !self.is_magic && file.metadata()?.nlink() > 1 {
            return Err(refused(format!(
                "{:?} has another name too, and anybody may have given it this one",
                self.real
            )));
        }
        Ok(file)
    }

    /// The path without links, as far as it exists.
    #[must_use]
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Who else could replace what is there or on the way, as a sentence. Asks the system's directory of users, so not
    /// for the restart path.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.entered.iter().find_map(|dir| group_warning(dir)).or_else(|| {
            let granted = self.entered.iter().chain([&self.real]).find(|path| lets_change(path))?;
            let shown = granted.display();
            Some(format!(
                "an access control list lets others change {granted:?}; look at it with `ls -lde {shown}`, and end it \
                 with `chmod -N {shown}`"
            ))
        })
    }

    /// Judges a directory in which a name is about to be looked up.
    fn enter(&mut self, dir: &Path, metadata: &Metadata) -> io::Result<()> {
        if !metadata.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        ensure_trusted(dir, metadata)?;
        let mode = metadata.mode() & 0o7777;
        self.is_shared = mode & 0o1000 != 0 && mode & 0o022 != 0;
        if mode & 0o002 != 0 && !self.is_shared && !is_read_only(dir) {
            let shown = dir.display();
            return Err(refused(format!(
                "anybody may write {dir:?} (mode {mode:04o}), and replace what is in it; run `chmod o-w {shown}`"
            )));
        }
        self.entered.push(dir.to_owned());
        Ok(())
    }
}

/// That a group may write a directory, and whoever removes a file need not own it; but not the group of root.
fn group_warning(dir: &Path) -> Option<String> {
    let metadata = symlink_metadata(dir).ok()?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o020 == 0 || mode & 0o1000 != 0 || metadata.gid() == 0 || is_read_only(dir) {
        return None;
    }
    let group = Group::from_gid(Gid::from_raw(metadata.gid())).ok().flatten();
    if group.as_ref().is_some_and(is_ours_alone) {
        return None;
    }
    let name = group.map_or_else(|| metadata.gid().to_string(), |group| group.name);
    let shown = dir.display();
    Some(format!(
        "group {name} may write {dir:?} (mode {mode:04o}), and replace what is in it; run `chmod g-w {shown}`"
    ))
}

/// Whether an access control list lets others change a file or what is in a directory, and its mode does not show it.
#[cfg(not(target_os = "macos"))]
fn lets_change(_path: &Path) -> bool {
    false
}

/// Whether a group is this user's own, as many systems give each user one: of his name, and with no other members.
fn is_ours_alone(group: &Group) -> bool {
    let user = user_name(effective_user_id());
    group.name == user && group.mem.iter().all(|member| *member == user)
}

/// Whether nobody can change it here, whatever its mode says. Not asked by access(2): Linux looks at the mode before it
/// looks whether a mount is read-only.
fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|mounted| mounted.flags().contains(FsFlags::ST_RDONLY))
}

fn refused(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}
