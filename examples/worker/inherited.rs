//! What this process got from the one that started it: ids, signal mask, ignored signals, descriptors, limits.
//! It promises facts from before the Rust runtime's own changes (which ignores SIGPIPE before `main`), and touches
//! nothing itself. The unsafe code of the fixture is in this file alone: nix can set a disposition, but not ask for it.

use std::fmt;
use std::io::{stderr, stdin, stdout};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::null;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal as set_disposition};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{getpgrp, getpid, getppid};

/// Descriptors are looked for up to this one; nobody here opens more.
const FDS_MAX: i32 = 1024;

static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);
static BORN_NS: AtomicU64 = AtomicU64::new(0);

/// Runs before `main` and before the runtime sets SIGPIPE to ignored.
extern "C" fn note_the_beginning() {
    BORN_NS.store(monotonic_ns(), Ordering::Relaxed);
    PIPE_WAS_IGNORED.store(is_ignored(Signal::SIGPIPE), Ordering::Relaxed);
}

// SAFETY: the section holds pointers to functions of this very type, which the loader calls once, before main. The
// function calls only clock_gettime and sigaction and stores into atomics: nothing that needs a set-up runtime.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func,mod_init_funcs"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static AT_THE_BEGINNING: extern "C" fn() = note_the_beginning;

/// The facts, as they were when `read` was called; written as the fields of a `start` event.
pub(crate) struct Inherited {
    /// Signals that were blocked.
    pub(crate) mask: SigSet,
    /// Signals that were ignored.
    pub(crate) ignored: Vec<Signal>,
    fds: Vec<i32>,
}

impl Inherited {
    /// To be called first in `main`, before anything is opened, blocked or caught.
    pub(crate) fn read() -> Self {
        let mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
        let was_ignored = |signal: &Signal| match signal {
            Signal::SIGPIPE => PIPE_WAS_IGNORED.load(Ordering::Relaxed),
            other => is_ignored(*other),
        };
        let ignored = Signal::iterator().filter(was_ignored).collect();
        Self { mask, ignored, fds: (0..FDS_MAX).filter(|fd| is_open(*fd)).collect() }
    }

    /// Whether a signal could reach this process at all when it started.
    pub(crate) fn lets_through(&self, signal: Signal) -> bool {
        !self.mask.contains(signal) && !self.ignored.contains(&signal)
    }
}

impl fmt::Display for Inherited {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocked: Vec<Signal> = Signal::iterator().filter(|signal| self.mask.contains(*signal)).collect();
        let fds = self.fds.iter().map(i32::to_string).collect();
        let nofile = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        let cwd = std::env::current_dir().map_or_else(|_| "unknown".to_owned(), |path| path.display().to_string());
        write!(
            out,
            "born_ns={} ppid={} pgid={} mask={} ignored={} fds={} stdin={} append={} nofile={nofile} cwd={}",
            BORN_NS.load(Ordering::Relaxed),
            getppid(),
            getpgrp(),
            listed(blocked.into_iter().map(short_name).collect()),
            listed(self.ignored.iter().copied().map(short_name).collect()),
            listed(fds),
            if stdin_is_null() { "null" } else { "other" },
            listed(appended()),
            crate::report::escaped(&cwd),
        )
    }
}

/// Nanoseconds on the clock that all processes of one machine share until it restarts.
pub(crate) fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| u64::try_from(std::time::Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
}

/// The name without SIG.
pub(crate) fn short_name(signal: Signal) -> String {
    signal.as_str().trim_start_matches("SIG").to_owned()
}

fn listed(names: Vec<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}

/// Makes this process, and what it becomes, ignore a signal.
pub(crate) fn ignore(signal: Signal) {
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { set_disposition(signal, SigHandler::SigIgn) }.expect("the signal may be ignored");
}

fn is_ignored(signal: Signal) -> bool {
    let mut current = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null action only asks; `current` is writable and of the right type, and all zeroes is a valid value of
    // it, so that it may be read even if the call fails.
    let current = unsafe {
        libc::sigaction(signal as i32, null(), current.as_mut_ptr());
        current.assume_init()
    };
    current.sa_sigaction == libc::SIG_IGN
}

fn is_open(fd: i32) -> bool {
    // SAFETY: F_GETFD takes no pointer and changes nothing; a number that is no descriptor gives EBADF.
    (unsafe { libc::fcntl(fd, libc::F_GETFD) }) != -1
}

fn stdin_is_null() -> bool {
    let ours = stdin().as_fd().try_clone_to_owned().and_then(|fd| std::fs::File::from(fd).metadata());
    let null = std::fs::metadata("/dev/null");
    matches!((ours, null), (Ok(ours), Ok(null)) if ours.rdev() == null.rdev() && ours.mode() == null.mode())
}

/// Which of stdout and stderr were opened O_APPEND.
fn appended() -> Vec<String> {
    let appends = |fd: BorrowedFd<'_>| {
        fcntl(fd, FcntlArg::F_GETFL).is_ok_and(|flags| OFlag::from_bits_truncate(flags).contains(OFlag::O_APPEND))
    };
    let mut found = Vec::new();
    found.extend(appends(stdout().as_fd()).then(|| "1".to_owned()));
    found.extend(appends(stderr().as_fd()).then(|| "2".to_owned()));
    found
}

/// The id of this process, for every line of the report.
pub(crate) fn pid() -> i32 {
    getpid().as_raw()
}
