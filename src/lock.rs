//! The right to supervise: a lock for each config, in its state directory, and one for each address that is probed, in
//! a fixed place of the user's, whatever the config is called and wherever its state lies.
//!
//! A lock ends with the process that holds it, however that dies, and no worker inherits it. Its file is created where
//! it is missing and never removed: whoever removes it lets a second supervisor lock another file of the same name,
//! which [`Lock::is_in_place`] notices. A config's is a flock, which a new process holds too until it executes its
//! program, so that the next supervisor finds no worker that is only half there.

use std::ffi::CStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use platform::{Access, ByteLock, FileId, Identity, Pid, StartTime, file_id};

use crate::error::{Error, ExitCode};
use crate::state_dir::{LOCK, StateDir, is_missing};

/// Where the directory with the locks of addresses lies. Not TMPDIR nor a home: both depend on who starts a supervisor.
const SHARED_DIR: &str = "/tmp";

/// The file with the locks of addresses.
const ADDRESSES: &CStr = c"addresses";

/// How many holders the lock file names: the one that has it, and those before that were killed one after the other.
const HOLDERS_MAX: usize = 16;

/// The longest text that they write into it, in bytes: 128 each.
const HOLDERS_BYTES_MAX: usize = 128 * HOLDERS_MAX;

/// How often a lock is tried whose file goes just then.
const TRIES_MAX: usize = 8;

/// A lock that is held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    id: FileId,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its pid. A plain number: in a container it may be 1.
    pub pid: u32,
    /// Who that is, for a signal that must reach no other process; None where it can't be told.
    pub identity: Option<Identity>,
}

/// What [`Lock::holder`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody holds the lock: no supervisor runs.
    Free,
    /// It is held by a supervisor that has not yet said who it is.
    Unknown,
    /// It is held.
    By(Holder),
}

impl Lock {
    /// Takes the lock of a config, or tells the holder's pid, if it can be known. Never waits. The file (mode 0600)
    /// names the last holder until [`Lock::announce`].
    ///
    /// # Errors
    /// What open or flock report.
    pub fn of_config(dir: &StateDir) -> io::Result<Result<Lock, Option<u32>>> {
        acquire(dir, LOCK, |file| match file.try_lock() {
            Ok(()) => {
                platform::show_lock(file);
                Ok(Ok(()))
            }
            Err(TryLockError::WouldBlock) => Ok(Err(read_holder(file).map(|holder| holder.pid))),
            Err(TryLockError::Error(error)) => Err(error),
        })
    }

    /// Takes the lock of an address, or tells the holder's pid; None: it has none here. Never waits. All of a user's
    /// lie in one file, an address a byte: drop the last one before another is taken.
    ///
    /// # Errors
    /// The directory can't be made or is not ours alone; what open or fcntl report.
    pub fn of_address(address: SocketAddr) -> Result<Result<Lock, Option<u32>>, Error> {
        let dir =
            StateDir::open(Path::new(SHARED_DIR), &format!("worker-supervisor-{}", platform::effective_user_id()))?;
        let byte = byte_of(address);
        let taken = acquire(&dir, ADDRESSES, |file| {
            Ok(match platform::lock_byte(file, byte)? {
                ByteLock::Taken => Ok(()),
                ByteLock::HeldBy(pid) => Err(Some(pid)),
                ByteLock::HeldUnseen => Err(None),
            })
        });
        let task = || format!("lock {:?}", dir.path_of(ADDRESSES));
        taken.map_err(|error| Error::cannot(ExitCode::Internal, task(), error))
    }

    /// Whether the file that is locked is still the one that others find.
    pub fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| file_id(&found) == self.id)
    }

    /// Pids and start times of the holders before us, the last one first, that are not looked after yet: none after a
    /// first start, and where that can't be read.
    pub fn last_holders(&self) -> Vec<(u32, String)> {
        parse_holders(&self.file)
    }

    /// Writes into the file who holds it, our pid and start time, and below those before us whose workers' descendants
    /// are not looked after yet, if the disk has room for them; else an unknown one holds it. Readers take the first
    /// line only, and one that comes too early finds the last holder, whose start time is no living process's.
    pub fn announce(&self, before: &[(u32, String)]) {
        let mut text = format!("{}\n", platform::own_identity().replacen(':', " ", 1));
        for (pid, started) in before.iter().take(HOLDERS_MAX - 1) {
            text += &format!("{pid} {started}\n");
        }
        drop(self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64)));
    }

    /// Whether the lock of a config is held, and by whom. A holder that has announced itself and lives is believed.
    /// Takes nothing, so that no look is ever in the way of a supervisor that starts.
    ///
    /// # Errors
    /// What open or fcntl report; a missing file is no error.
    pub fn holder(dir: &StateDir) -> io::Result<Held> {
        let file = match dir.files.open_file(LOCK, Access::Read) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(Held::Free),
            Err(error) => return Err(error),
        };
        let holder = read_holder(&file);
        if let Some(Holder { identity: Some(_), .. }) = &holder {
            return Ok(holder.map_or(Held::Unknown, Held::By));
        }
        Ok(if platform::is_locked(&file)? { holder.map_or(Held::Unknown, Held::By) } else { Held::Free })
    }
}

/// Who a locked file says its holder is; None for no text or a process that is gone.
fn read_holder(file: &File) -> Option<Holder> {
    let (pid, started) = parse_holders(file).into_iter().next()?;
    if started.is_empty() {
        return Some(Holder { pid, identity: None });
    }
    let written = Identity { pid: Pid::new(pid.try_into().ok()?)?, started: StartTime::from(started) };
    match platform::identify(written.pid) {
        Ok(found) => (found.as_ref() == Some(&written)).then_some(Holder { pid, identity: Some(written) }),
        Err(_) => Some(Holder { pid, identity: None }),
    }
}

/// Pids and start times in a file, a whole line each, up to the first that is none; the start is empty where the system
/// would not tell it.
fn parse_holders(file: &File) -> Vec<(u32, String)> {
    let mut bytes = [0; HOLDERS_BYTES_MAX];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    let Ok(text) = std::str::from_utf8(&bytes[..length]) else { return Vec::new() };
    let holder = |line: &str| {
        let line = line.strip_suffix('\n')?;
        let (pid, started) = line.split_once(' ').unwrap_or((line, ""));
        let pid = pid.parse().ok().filter(|&pid| pid > 0)?;
        Some((pid, started.to_owned()))
    };
    text.split_inclusive('\n').map_while(holder).collect()
}

/// Something (`verb`) can't be done to the lock of a config: for want of a proper file, which is the user's to mend, or
/// of something else.
pub(crate) fn cannot(verb: &str, dir: &StateDir, error: io::Error) -> Error {
    let is_no_file = error.kind() == io::ErrorKind::InvalidInput;
    let code = if is_no_file { ExitCode::Config } else { ExitCode::Internal };
    let advice = if is_no_file { "; remove it" } else { "" };
    Error::cannot(code, format_args!("{verb} {:?}", dir.lock_path()), format_args!("{error}{advice}"))
}

/// The holder of a lock, in words.
pub(crate) fn name_holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "an unknown pid".to_owned(), |pid| format!("pid {pid}"))
}

/// Opens and locks a file; once more, if it was removed in between.
fn acquire(
    dir: &StateDir,
    name: &CStr,
    take: impl Fn(&File) -> io::Result<Result<(), Option<u32>>>,
) -> io::Result<Result<Lock, Option<u32>>> {
    for _ in 0..TRIES_MAX {
        let file = dir.files.open_file(name, Access::Create)?;
        if let Err(holder) = take(&file)? {
            return Ok(Err(holder));
        }
        let lock = Lock { id: file_id(&file.metadata()?), file, path: dir.path_of(name) };
        if lock.is_in_place() {
            return Ok(Ok(lock));
        }
    }
    Err(io::Error::other("somebody keeps removing it"))
}

/// The byte that stands for an address in this network namespace: a digest (FNV-1a), so that two may share one, once
/// in four thousand million.
fn byte_of(address: SocketAddr) -> u32 {
    let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |metadata| metadata.ino());
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let parts = [&namespace.to_ne_bytes()[..], &ip.octets(), &address.port().to_ne_bytes()];
    parts.into_iter().flatten().fold(0x811c_9dc5, |digest, byte| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_bytes_of_their_own() {
        let bytes = ["127.0.0.1:3111", "127.0.0.1:3112", "127.0.0.2:3111", "[::1]:3111"]
            .map(|address| byte_of(address.parse().expect("an address")));
        let mut distinct = bytes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), bytes.len());
        assert_eq!(byte_of("127.0.0.1:3111".parse().expect("an address")), bytes[0]);
    }
}
