//! Processes by pid: how a child ended, who a process is, and signals that can't hit the wrong one.
//! Status comes from waitpid alone and never blocks. A process that is not our child is known by its [`Identity`] (pid
//! and start time), since a pid alone may be reused between two looks; [`Pinned`] checks it at each signal.
//! Refuses pids of 1 and below: kill(2) would read them as init, as a group, or as everybody.

#[cfg(target_os = "freebsd")]
pub(crate) mod freebsd;
#[cfg(target_os = "macos")]
pub(crate) mod macos;

use std::fmt;
use std::io;
use std::mem::MaybeUninit;

use crate::signals::{self, SendSignal};
use crate::sys;

/// The most parents that are followed from this process upwards.
const ANCESTORS_MAX: usize = 256;

/// A process id above 1, so that no signal can reach init, a group by accident, or every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// None for 1 and below.
    #[must_use]
    pub fn new(raw: i32) -> Option<Pid> {
        (raw > 1).then_some(Pid(raw))
    }

    /// The number, always above 1.
    #[must_use]
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// This process's id, for messages and records. A plain number, since in a container it may be 1.
#[must_use]
pub fn own_pid() -> u32 {
    std::process::id()
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited by itself, with this code (0-255).
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number; [`signal_name`] names it.
        number: i32,
        /// Whether it left a core dump.
        core: bool,
    },
    /// It is gone, and somebody else has reaped it.
    Unknown,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal { number, core } => {
                let dumped = if core { ", core dumped" } else { "" };
                write!(f, "signal {number} ({}{dumped})", signal_name(number))
            }
            ExitStatus::Unknown => f.write_str("gone, its status unknown"),
        }
    }
}

/// The answer of [`reap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// Still there, or exiting and not yet a zombie.
    NotYet,
    /// Gone, and its pid is free for others from now on.
    Exit(ExitStatus),
    /// Not a child of ours, or reaped before: no status will come.
    NotAChild,
}

/// The answer of [`peek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peeked {
    /// Still there, or exiting and not yet a zombie.
    NotYet,
    /// A zombie: [`reap`] will not say NotYet, and until it is called the pid and group id stay taken.
    Exited,
    /// Not a child of ours, or reaped before: its pid may be anybody's.
    NotAChild,
}

/// Reaps a child if it has exited. Never waits.
///
/// # Errors
/// None that waitpid(2) documents for these arguments; passed on if there is one.
pub fn reap(pid: Pid) -> io::Result<Reaped> {
    let mut status = 0;
    // nix's waitpid is not used: it fails for a child that died by a real-time signal, after having reaped it.
    // SAFETY: `status` is a live i32 that waitpid may write.
    match unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::WNOHANG) } {
        0 => Ok(Reaped::NotYet),
        -1 => child_error(Reaped::NotAChild, Reaped::NotYet),
        _ if libc::WIFEXITED(status) => Ok(Reaped::Exit(ExitStatus::Code(libc::WEXITSTATUS(status)))),
        _ if libc::WIFSIGNALED(status) => {
            Ok(Reaped::Exit(ExitStatus::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }))
        }
        _ => Ok(Reaped::NotYet),
    }
}

/// Whether a child has exited, without reaping it: while it is a zombie its group can still be killed safely.
///
/// # Errors
/// None that waitid(2) documents for these arguments; passed on if there is one.
pub fn peek(pid: Pid) -> io::Result<Peeked> {
    // XNU leaves the structure untouched when there is nothing to tell, so the zeroes are the answer then.
    // SAFETY: siginfo_t is plain data, for which all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a live siginfo_t that waitid may write.
    if unsafe { libc::waitid(libc::P_PID, pid.as_raw() as libc::id_t, &raw mut info, options) } == -1 {
        return child_error(Peeked::NotAChild, Peeked::NotYet);
    }
    // SAFETY: either waitid filled the structure for a child's exit, or it is all zeroes.
    let found = unsafe { info.si_pid() };
    Ok(if found == pid.as_raw() { Peeked::Exited } else { Peeked::NotYet })
}

/// ECHILD and EINTR as answers, everything else as the error that it is.
fn child_error<T>(not_a_child: T, interrupted: T) -> io::Result<T> {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ECHILD) => Ok(not_a_child),
        Some(libc::EINTR) => Ok(interrupted),
        _ => Err(error),
    }
}

/// A signal's name as manuals write it, such as "SIGKILL"; "unknown signal" for a number without one (real-time
/// signals have none).
#[must_use]
pub fn signal_name(number: i32) -> &'static str {
    nix::sys::signal::Signal::try_from(number).map_or("unknown signal", nix::sys::signal::Signal::as_str)
}

/// When a process started, in the system's own words: opaque, equal only for the same process, also across reboots
/// where the system allows. It may be written down and read back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartTime(String);

impl StartTime {
    /// The text to write down.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for StartTime {
    fn from(text: String) -> StartTime {
        StartTime(text)
    }
}

impl fmt::Display for StartTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One process for all time: a pid alone may be reused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its pid.
    pub pid: Pid,
    /// When it started.
    pub started: StartTime,
}

/// Who has this pid now. None: nobody, or a zombie.
///
/// # Errors
/// EPERM on macOS for another user's process; EMFILE and the like on Linux, where this opens a file.
pub fn identify(pid: Pid) -> io::Result<Option<Identity>> {
    Ok(sys::Processes::started(pid)?.map(|started| Identity { pid, started }))
}

/// What a system can tell about any process. Zombies count as gone, except for `parent`.
pub(crate) trait ProcessTable {
    /// When the process started; None when there is none. May need to be the same user.
    fn started(pid: Pid) -> io::Result<Option<StartTime>>;
    /// The parent's pid. No privilege needed.
    fn parent(pid: Pid) -> Option<i32>;
    /// The program's path, or its name where the path can't be had.
    fn program(pid: Pid) -> Option<String>;
    /// The effective user.
    fn user_id(pid: Pid) -> Option<u32>;
}

/// A hold on one process that is not our child: a signal sent through it reaches that process or nobody, as far as
/// the system can promise it.
pub(crate) trait PinProcess: Sized {
    /// None: there is no such process.
    fn pin(pid: Pid) -> io::Result<Option<Self>>;
    /// Whether the process still runs, and still is `identity`.
    fn holds(&self, identity: &Identity) -> bool;
    /// Sends after [`holds`](PinProcess::holds); ESRCH when it has gone.
    fn send(&self, identity: &Identity, signal: SendSignal) -> io::Result<()>;
}

/// A process that is not our child, pinned so that a signal reaches it or nobody. On Linux a pidfd does that without a
/// gap. macOS and FreeBSD have nothing like it: the identity is compared right before kill(2), which leaves the
/// microseconds between the two.
#[derive(Debug)]
pub struct Pinned {
    identity: Identity,
    pin: sys::Pin,
}

impl Pinned {
    /// Pins the process that has this pid now. None: nobody has, or a zombie.
    ///
    /// # Errors
    /// As [`identify`], and no descriptor for it (EMFILE, ENFILE).
    pub fn open(pid: Pid) -> io::Result<Option<Pinned>> {
        // The pin comes first: what is read afterwards is about the pinned process if that one still lives then.
        let Some(pin) = sys::Pin::pin(pid)? else { return Ok(None) };
        let Some(identity) = identify(pid)? else { return Ok(None) };
        Ok(pin.holds(&identity).then_some(Pinned { identity, pin }))
    }

    /// Who was pinned.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it still runs; a zombie counts as gone.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.pin.holds(&self.identity)
    }

    /// Whether this user may signal it, as far as kill(2) tells without a signal. True for one that has gone.
    #[must_use]
    pub fn may_be_signalled(&self) -> bool {
        let pid = nix::unistd::Pid::from_raw(self.identity.pid.as_raw());
        nix::sys::signal::kill(pid, None) != Err(nix::errno::Errno::EPERM)
    }

    /// Sends a signal to it. False: it has gone.
    ///
    /// # Errors
    /// EPERM: it is another user's.
    pub fn signal(&self, signal: SendSignal) -> io::Result<bool> {
        gone_is_false(self.pin.send(&self.identity, signal))
    }

    /// Sends a signal to the group that it leads. False, and nothing is sent, when it has gone (its group's id may be
    /// another's by now) or leads no group.
    ///
    /// # Errors
    /// EPERM: all of the group is another user's.
    pub fn signal_group(&self, signal: SendSignal) -> io::Result<bool> {
        let raw = self.identity.pid.as_raw();
        if group_of(self.identity.pid) != Some(raw) || !self.is_alive() {
            return Ok(false);
        }
        gone_is_false(signals::send(-raw, signal))
    }
}

fn gone_is_false(sent: io::Result<()>) -> io::Result<bool> {
    match sent {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process group of a process; None when there is no such process.
pub(crate) fn group_of(pid: Pid) -> Option<i32> {
    nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid.as_raw()))).ok().map(nix::unistd::Pid::as_raw)
}

/// A process for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its pid.
    pub pid: Pid,
    /// The program's path, or its name, or "?". Comes from the process: escape it before it is logged.
    pub program: String,
    /// The user's name, or number, or "?".
    pub user: String,
}

/// Describes a process for a message. Never fails; "?" stands for what is not known. May ask the system's directory of
/// users, so not for the restart path.
#[must_use]
pub fn describe(pid: Pid) -> ProcessInfo {
    let unknown = || "?".to_owned();
    let program = sys::Processes::program(pid).unwrap_or_else(unknown);
    let user = sys::Processes::user_id(pid).map_or_else(unknown, user_name);
    ProcessInfo { pid, program, user }
}

/// A user's name, or the number where there is none.
pub(crate) fn user_name(id: u32) -> String {
    match nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => id.to_string(),
    }
}

/// Whether ending `pid` would end this process, or one that it descends from.
#[must_use]
pub fn is_self_or_ancestor(pid: Pid) -> bool {
    let wanted = pid.as_raw();
    let mut current = std::process::id().cast_signed();
    for _ in 0..ANCESTORS_MAX {
        if current == wanted {
            return true;
        }
        let Some(parent) = Pid::new(current).and_then(sys::Processes::parent) else { return false };
        current = parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_above_one() {
        assert_eq!([-1, 0, 1].map(Pid::new), [None, None, None]);
        assert_eq!(Pid::new(2).map(Pid::as_raw), Some(2));
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(libc::SIGKILL), "SIGKILL");
        assert_eq!(signal_name(127), "unknown signal");
    }

    #[test]
    fn we_and_our_parents_are_spared() {
        let own = Pid::new(std::process::id().cast_signed()).expect("tests are not init");
        assert!(is_self_or_ancestor(own));
        let parent = Pid::new(std::os::unix::process::parent_id().cast_signed());
        assert!(parent.is_none_or(is_self_or_ancestor));
        assert!(!is_self_or_ancestor(Pid(i32::MAX)));
    }

    #[test]
    fn a_process_that_is_not_there_is_described_all_the_same() {
        let info = describe(Pid(i32::MAX));
        assert_eq!((info.program.as_str(), info.user.as_str()), ("?", "?"));
    }

    #[test]
    fn identity_of_this_process_is_stable_and_survives_being_written_down() {
        let own = Pid::new(std::process::id().cast_signed()).expect("tests are not init");
        let identity = identify(own).expect("identified").expect("alive");
        assert_eq!(identify(own).expect("identified"), Some(identity.clone()));
        assert_eq!(StartTime::from(identity.started.as_str().to_owned()), identity.started);
        assert_eq!(identify(Pid(i32::MAX)).expect("no error"), None);
    }
}
