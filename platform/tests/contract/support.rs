//! The vocabulary of the contract tests: waiting with a limit, helper processes that never outlive a test, temporary
//! directories, counting descriptors.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use worker_supervisor_platform::{
    Command, ExitStatus, Lifetime, Pid, Pipe, Reaped, Signal, pipe_from_helper, reap_with_group, signal_group, spawn,
};

/// How long anything may take before the test fails. Long, because it only matters when something is wrong; longer
/// still by `TEST_SLOWNESS` of the environment.
fn limit() -> Duration {
    let slowness = std::env::var("TEST_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_secs(20) * slowness
}

/// mio's edge-triggered poll.
pub(crate) struct Ears(Poll);

impl Ears {
    pub(crate) fn new() -> Ears {
        Ears(Poll::new().expect("a poll"))
    }

    pub(crate) fn hear(&self, fd: &impl AsRawFd) {
        let raw = fd.as_raw_fd();
        self.0.registry().register(&mut SourceFd(&raw), Token(0), Interest::READABLE).expect("registered");
    }

    pub(crate) fn forget(&self, fd: &impl AsRawFd) {
        self.0.registry().deregister(&mut SourceFd(&fd.as_raw_fd())).expect("deregistered");
    }

    /// Waits until `check` yields something. Asked first, then after each wake; it must empty what it listens to.
    pub(crate) fn wait<T>(&mut self, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
        let limit_at = Instant::now() + limit();
        let mut events = Events::with_capacity(8);
        loop {
            if let Some(found) = check() {
                return found;
            }
            let left = limit_at.checked_duration_since(Instant::now()).unwrap_or_else(|| panic!("never came: {what}"));
            match self.0.poll(&mut events, Some(left)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("poll: {error}"),
            }
        }
    }
}

/// Asks again every millisecond, for what no descriptor announces.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let limit_at = Instant::now() + limit();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < limit_at, "never came: {what}");
        nix::poll::poll(&mut [], 1_u8).ok();
    }
}

/// Reaps a child that exits sooner or later.
pub(crate) fn reap_soon(pid: Pid) -> ExitStatus {
    eventually("the child's exit", || match reap_with_group(pid) {
        Reaped::NotYet => None,
        Reaped::Gone(status) => Some(status),
    })
}

/// Waits until a child is a zombie, and leaves it so.
pub(crate) fn wait_for_zombie(pid: Pid) {
    // SAFETY: siginfo_t is plain data, for which all zeroes is a valid value, and waitid may write it.
    let waited = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid.as_raw() as libc::id_t, &raw mut info, libc::WEXITED | libc::WNOWAIT)
    };
    assert_eq!(waited, 0, "{pid} is no child");
}

/// A helper process in a group of its own; killed with its group, and reaped, when it goes out of scope.
pub(crate) struct Helper {
    pub(crate) pid: Pid,
    stdout: OwnedFd,
    seen: Vec<u8>,
}

impl Helper {
    /// Starts this program in a role of `fixture`, with its standard output as a pipe.
    pub(crate) fn start(role: &str, args: &[&str]) -> Helper {
        Helper::start_in(Path::new("/"), role, args)
    }

    pub(crate) fn start_in(dir: &Path, role: &str, args: &[&str]) -> Helper {
        let Pipe { ours, theirs } = pipe_from_helper().expect("a pipe");
        let null = File::open("/dev/null").expect("/dev/null");
        let program = own_program();
        let arguments = arguments(role, args);
        let stderr = io::stderr();
        let command = Command {
            program: &program,
            args: &arguments,
            env: &[],
            dir,
            lifetime: Lifetime::ItsOwn,
            stdin: null.as_fd(),
            stdout: theirs.as_fd(),
            stderr: stderr.as_fd(),
        };
        let pid = spawn(&command).expect("spawned");
        Helper { pid, stdout: ours, seen: Vec::new() }
    }

    /// One line of its standard output, without the line's end.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.seen.iter().position(|&byte| byte == b'\n') {
                let line = self.seen.drain(..=end).collect::<Vec<_>>();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.read_more(), "a line of the helper's output never came");
        }
    }

    /// All that it writes, until it closes its standard output.
    pub(crate) fn rest(&mut self) -> String {
        while self.read_more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }

    fn read_more(&mut self) -> bool {
        let mut file = File::from(self.stdout.try_clone().expect("a copy"));
        let mut buffer = [0; 4096];
        let mut ears = Ears::new();
        ears.hear(&self.stdout);
        let count = ears.wait("output of the helper", || match file.read(&mut buffer) {
            Ok(count) => Some(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("read: {error}"),
        });
        self.seen.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Asked first: once the test has reaped it, its pid may be anybody's.
        if reap_with_group(self.pid) == Reaped::NotYet {
            signal_group(self.pid, Signal::Kill).ok();
            reap_soon(self.pid);
        }
    }
}

pub(crate) fn own_program() -> CString {
    let path = std::env::current_exe().expect("our own path");
    CString::new(path.as_os_str().as_bytes()).expect("no NUL in a path")
}

pub(crate) fn arguments(role: &str, args: &[&str]) -> Vec<CString> {
    let all = ["contract", "fixture", role].into_iter().chain(args.iter().copied());
    all.map(|arg| CString::new(arg).expect("no NUL in an argument")).collect()
}

/// The descriptors that are open, found without opening one. FreeBSD's /dev/fd lists only three.
pub(crate) fn open_descriptors() -> Vec<RawFd> {
    // SAFETY: the numbers are only handed to fcntl, which answers EBADF for those that are not open.
    (0..1024).filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1).collect()
}

/// A directory that goes with the test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        let path = std::env::temp_dir().join(format!("platform-contract-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a temporary directory");
        // Without symbolic links, as a process is told its working directory (/tmp is one on macOS).
        TempDir(path.canonicalize().expect("a real path"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
