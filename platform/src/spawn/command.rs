//! What is to be started, and the steps of starting it.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// What to start, and how. Borrowed throughout: what can be made ready before an exit is made ready then.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// Absolute path of the program.
    pub program: &'a CStr,
    /// All arguments; the first is the program's name as it will see it.
    pub args: &'a [CString],
    /// The whole environment, as `NAME=value`.
    pub env: &'a [CString],
    /// Its working directory, absolute.
    pub dir: &'a Path,
    /// Whether it goes on when this process is killed.
    pub lifetime: Lifetime,
    /// Its descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Its descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Its descriptor 2.
    pub stderr: BorrowedFd<'a>,
}

/// What becomes of a spawned process when the one that spawned it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It lives on.
    ItsOwn,
    /// It is killed, where the system can do that ([`Lifetime::ENDS_WITH_US`]).
    Ours,
}

impl Lifetime {
    /// Whether [`Lifetime::Ours`] is more than a wish: PR_SET_PDEATHSIG of prctl(2), on Linux alone.
    pub const ENDS_WITH_US: bool = cfg!(target_os = "linux");
}

/// The step at which a spawn failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnStage {
    /// Making the descriptors ready (EMFILE).
    Descriptors,
    /// Entering the working directory (ENOENT, ENOTDIR, EACCES).
    Directory,
    /// Making the process (EAGAIN, ENOMEM) or executing the program in it (ENOENT, EACCES, ENOEXEC, ETXTBSY, E2BIG…).
    /// Neither way tells the two apart, but their errnos hardly overlap.
    Program,
}
