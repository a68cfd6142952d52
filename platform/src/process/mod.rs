//! Who a process is, and signals that can't hit the wrong one.
//! A process that is not our child is known by its [`Identity`] (pid and start time), since a pid alone may be reused
//! between two looks; [`Pinned`] checks it at each signal.

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::fmt;
use std::io;
use std::sync::OnceLock;

#[cfg(target_os = "freebsd")]
use self::freebsd as sys;
#[cfg(target_os = "linux")]
use self::linux as sys;
#[cfg(target_os = "macos")]
use self::macos as sys;
#[cfg(target_os = "macos")]
pub(crate) use self::macos::{Listed, is_closing, list};
use crate::exit::Pin;
use crate::limits::user_name;
use crate::pid::{Pid, own_pid};
use crate::signals::Signal;

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{ensure_own_proc, other_thread};

/// The most parents that are followed from this process upwards.
const ANCESTORS_MAX: usize = 256;

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

/// Who has this pid now. None: nobody, or a zombie. On Linux only the kernel's own calls say that nobody has: a process
/// that /proc does not show (hidepid) is an error, and one whose first thread has ended lives as long as another does.
///
/// # Errors
/// EPERM for another user's process, on macOS and where Linux hides it; EMFILE and the like on Linux, where this opens
/// a file, and where /proc is not this process's own.
pub fn identify(pid: Pid) -> io::Result<Option<Identity>> {
    Ok(sys::started(pid)?.map(|started| Identity { pid, started: StartTime(started) }))
}

/// The number of the namespace that our pids are of, as a container has one of its own: pid_namespaces(7). Empty where
/// that can't be told, and on other systems than Linux.
#[must_use]
pub fn pid_namespace() -> String {
    #[cfg(target_os = "linux")]
    return sys::pid_namespace().map_or_else(String::new, |number| number.to_string());
    #[cfg(not(target_os = "linux"))]
    String::new()
}

/// Who this process is, `PID:START`; the start is empty where the system won't tell it, as in a container where this is
/// pid 1. Asked once.
pub fn own_identity() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let pid = own_pid();
        let started = Pid::new(pid.cast_signed()).and_then(|pid| sys::started(pid).ok().flatten());
        format!("{pid}:{}", started.unwrap_or_default())
    })
}

/// A process that is not our child, pinned so that a signal reaches it or nobody. On Linux a pidfd does that without a
/// gap. macOS and FreeBSD have nothing like it: the identity is compared right before kill(2), which leaves the
/// microseconds between the two.
#[derive(Debug)]
pub struct Pinned {
    identity: Identity,
    pin: Option<Pin>,
}

impl Pinned {
    /// Pins the process that has this pid now. None: nobody has, or a zombie.
    ///
    /// # Errors
    /// As [`identify`], and no descriptor for it (EMFILE, ENFILE).
    pub fn open(pid: Pid) -> io::Result<Option<Pinned>> {
        // The pin comes first: what is read afterwards is about the pinned process if that one still lives then.
        let pin = match Pin::open(pid) {
            Ok(pin) => pin,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        let pinned = identify(pid)?.map(|identity| Pinned { identity, pin });
        Ok(pinned.filter(Pinned::is_alive))
    }

    /// Who was pinned.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it still runs; a zombie counts as gone.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match &self.pin {
            Some(pin) => pin.is_alive(),
            None => identify(self.identity.pid).is_ok_and(|now| now.as_ref() == Some(&self.identity)),
        }
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
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        gone_is_false(match &self.pin {
            Some(pin) => pin.send(signal),
            None => signal.send(self.identity.pid.as_raw()),
        })
    }

    /// Sends a signal to the group that it leads. False, and nothing is sent, when it has gone (its group's id may be
    /// another's by now) or leads no group.
    ///
    /// # Errors
    /// EPERM: all of the group is another user's.
    pub fn signal_group(&self, signal: Signal) -> io::Result<bool> {
        let raw = self.identity.pid.as_raw();
        if group_of(self.identity.pid) != Some(raw) || !self.is_alive() {
            return Ok(false);
        }
        gone_is_false(signal.send(-raw))
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
    let program = sys::program(pid).unwrap_or_else(unknown);
    let user = sys::user_id(pid).map_or_else(unknown, user_name);
    ProcessInfo { pid, program, user }
}

/// The user that a process runs as; None where that can't be told.
#[cfg(target_os = "linux")]
pub(crate) fn user_id(pid: Pid) -> Option<u32> {
    sys::user_id(pid)
}

/// Whether a process is stopped, by a signal or a tracer, so that it does nothing at all.
#[must_use]
pub fn is_stopped(pid: Pid) -> bool {
    sys::is_stopped(pid)
}

/// Whether ending `pid` would end this process, or one that it descends from.
#[must_use]
pub fn is_self_or_ancestor(pid: Pid) -> bool {
    lineage().any(|one| one == pid.as_raw())
}

/// Whether a process that lives descends from this one. An orphan is the child of the nearest process that asked for it
/// (`become_subreaper`), or of the system's first.
#[must_use]
pub fn descends_from_us(pid: Pid) -> bool {
    let own = own_pid().cast_signed();
    lineage_of(pid.as_raw()).skip(1).any(|one| one == own) && matches!(identify(pid), Ok(Some(_)))
}

/// This process, its parent, and so on.
pub(crate) fn lineage() -> impl Iterator<Item = i32> {
    lineage_of(own_pid().cast_signed())
}

fn lineage_of(pid: i32) -> impl Iterator<Item = i32> {
    let parent = |pid: &i32| Pid::new(*pid).and_then(sys::parent);
    std::iter::successors(Some(pid), parent).take(ANCESTORS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Pid {
        Pid::new(i32::MAX).expect("above 1")
    }

    #[test]
    fn we_and_our_parents_are_spared() {
        let own = Pid::new(std::process::id().cast_signed()).expect("tests are not init");
        assert!(is_self_or_ancestor(own));
        let parent = Pid::new(std::os::unix::process::parent_id().cast_signed());
        assert!(parent.is_none_or(is_self_or_ancestor));
        assert!(!is_self_or_ancestor(nobody()));
        assert!(!descends_from_us(own) && !parent.is_some_and(descends_from_us) && !descends_from_us(nobody()));
    }

    #[test]
    fn a_grandchild_descends_from_us_until_it_has_ended() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        let mut shell = Command::new("/bin/sh");
        // What runs in the background of a shell reads nothing, unless it is told to.
        shell.args(["-c", "exec 3<&0; cat <&3 & echo $!; wait"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let grandchild = Pid::new(line.trim().parse().expect("a number")).expect("a pid");
        let child = Pid::new(shell.id().cast_signed()).expect("a pid");
        assert!(descends_from_us(grandchild) && descends_from_us(child));
        shell.kill().expect("ended");
        // Not reaped.
        while descends_from_us(child) {
            std::thread::yield_now();
        }
        drop(shell.stdin.take());
        shell.wait().expect("reaped");
    }

    #[test]
    fn a_process_that_is_not_there_is_described_all_the_same() {
        let info = describe(nobody());
        assert_eq!((info.program.as_str(), info.user.as_str()), ("?", "?"));
    }

    #[test]
    fn identity_of_this_process_is_stable_and_survives_being_written_down() {
        let own = Pid::new(std::process::id().cast_signed()).expect("tests are not init");
        let identity = identify(own).expect("identified").expect("alive");
        assert_eq!(identify(own).expect("identified"), Some(identity.clone()));
        assert_eq!(StartTime::from(identity.started.as_str().to_owned()), identity.started);
        assert_eq!(identify(nobody()).expect("no error"), None);
    }
}
