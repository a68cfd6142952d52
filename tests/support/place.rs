//! Places that belong to one test: a directory and a port.
//! Ports are taken from below the systems' usual ephemeral ranges and claimed by a lock on a file, so that neither a
//! client's own port nor another test, in this or another test binary, gets in the way. Lock files are never unlinked.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, socket};
use nix::unistd::getuid;

const PORTS: Range<u16> = 20_000..32_000;
const PORT_TRIES: usize = 1000;

/// A directory of its own, 0700, removed with everything in it.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Creates it; its path has no symbolic links, and no spaces unless the system's temporary directory has.
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// The same in another place than the system's.
    pub(crate) fn within(parent: &Path) -> Self {
        let parent = parent.canonicalize().expect("the directory above has a path");
        let path = parent.join(format!("worker-supervisor-{:016x}", random()));
        DirBuilder::new().mode(0o700).create(&path).expect("a temporary directory can be created");
        Self(path)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A port that no other test uses while this lives.
pub(crate) struct PortClaim {
    port: u16,
    _lock: File,
}

impl PortClaim {
    /// The number.
    pub(crate) fn number(&self) -> u16 {
        self.port
    }
}

/// Claims a port on which nobody listens, and where no connection of an earlier test is in TIME-WAIT.
pub(crate) fn free_port() -> PortClaim {
    let locks = std::env::temp_dir().join(format!("worker-supervisor-ports-{}", getuid()));
    std::fs::create_dir_all(&locks).expect("the directory of port locks can be created");
    for _ in 0..PORT_TRIES {
        let port = PORTS.start + u16::try_from(random() % PORTS.len() as u64).expect("a port below the range's end");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(locks.join(port.to_string()));
        let lock = lock.expect("a port's lock file opens");
        if lock.try_lock().is_ok() && is_unused(port) {
            return PortClaim { port, _lock: lock };
        }
    }
    panic!("found no free port in {PORTS:?} in {PORT_TRIES} tries");
}

/// Whether it can be bound without SO_REUSEADDR, which the standard library always sets: that refuses what TIME-WAIT
/// has left as well.
fn is_unused(port: u16) -> bool {
    // Apple has no SOCK_CLOEXEC. Elsewhere no program that another test starts may have the socket.
    #[cfg(target_os = "macos")]
    let flags = SockFlag::empty();
    #[cfg(not(target_os = "macos"))]
    let flags = SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    fcntl(&probe, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor's flags can be set");
    bind(probe.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))).is_ok()
}

/// A number that differs at each call and in each process: the standard library's hash keys are random.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one("")
}
