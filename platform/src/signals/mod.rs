//! Signals by name: the five that the supervisor listens to, the five that it sends, and how it sends them.
//! Both enums convert exhaustively, so a signal that is added here must be thought of on every system.
//! Refuses what kill(2) would read as a group, as every process, or as init: a [`Pid`] is above 1 by construction.

use std::io;

use crate::process::Pid;

/// A signal that the supervisor listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM: stop.
    Term,
    /// SIGINT: stop.
    Int,
    /// SIGHUP: stop.
    Hup,
    /// SIGUSR1: restart gracefully.
    Usr1,
    /// SIGCHLD: some child may have exited.
    Child,
}

impl Signal {
    pub(crate) const ALL: [Signal; 5] = [Signal::Term, Signal::Int, Signal::Hup, Signal::Usr1, Signal::Child];

    pub(crate) fn from_number(number: i32) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.number() == number)
    }

    pub(crate) fn number(self) -> i32 {
        self.to_nix() as i32
    }

    pub(crate) fn to_nix(self) -> nix::sys::signal::Signal {
        use nix::sys::signal::Signal as Nix;
        match self {
            Signal::Term => Nix::SIGTERM,
            Signal::Int => Nix::SIGINT,
            Signal::Hup => Nix::SIGHUP,
            Signal::Usr1 => Nix::SIGUSR1,
            Signal::Child => Nix::SIGCHLD,
        }
    }
}

/// A signal that the supervisor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
    /// SIGKILL.
    Kill,
    /// SIGCONT: without it a stopped process never sees the others.
    Cont,
    /// SIGUSR1: asks another supervisor for a graceful restart.
    Usr1,
}

impl SendSignal {
    /// The name as manuals write it, such as "SIGTERM".
    #[must_use]
    pub fn name(self) -> &'static str {
        self.to_nix().as_str()
    }

    pub(crate) fn to_nix(self) -> nix::sys::signal::Signal {
        use nix::sys::signal::Signal as Nix;
        match self {
            SendSignal::Term => Nix::SIGTERM,
            SendSignal::Int => Nix::SIGINT,
            SendSignal::Hup => Nix::SIGHUP,
            SendSignal::Kill => Nix::SIGKILL,
            SendSignal::Cont => Nix::SIGCONT,
            SendSignal::Usr1 => Nix::SIGUSR1,
        }
    }
}

/// Sends a signal to one process. False: there is no such process. True says nothing about life: a zombie that
/// nobody has reaped takes signals too. For our own children only; others go through [`Pinned`](crate::Pinned).
///
/// # Errors
/// EPERM: the process is another user's.
pub fn signal(pid: Pid, signal: SendSignal) -> io::Result<bool> {
    match send(pid.as_raw(), signal) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether nobody is left in the group that `leader` led; asks and sends nothing. After `leader` was reaped only: until
/// then it counts itself, on Linux even as a zombie. A group that somebody else has made under the same id since then
/// counts too, so the answer is a hint.
#[must_use]
pub fn group_is_gone(leader: Pid) -> bool {
    // EPERM: only zombies are left (XNU), or the id is another user's by now.
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(leader.as_raw()), None).is_err()
}

/// Sends a signal to every process of the group that `leader` leads. False: nothing of ours is left in it. Only
/// before `leader` is reaped: until then nobody else can get the group's id.
///
/// ESRCH and EPERM both mean "none left". XNU skips zombies when it walks a group, and reports EPERM when that leaves
/// nobody; Linux counts a zombie as signalled and returns success. EPERM also stands for "every member is another
/// user's", and those are not ours to end either.
///
/// # Errors
/// None that kill(2) documents for these arguments; passed on if there is one.
pub fn signal_group(leader: Pid, signal: SendSignal) -> io::Result<bool> {
    match send(-leader.as_raw(), signal) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EPERM)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// kill(2) as it is: a negative `target` is a group.
pub(crate) fn send(target: i32, signal: SendSignal) -> io::Result<()> {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(target), signal.to_nix()).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_survives_the_way_to_a_number_and_back() {
        for signal in Signal::ALL {
            assert_eq!(Signal::from_number(signal.number()), Some(signal));
        }
        assert_eq!(Signal::from_number(libc::SIGWINCH), None);
    }

    #[test]
    fn a_sent_signal_is_named_as_in_the_manuals() {
        assert_eq!(SendSignal::Kill.name(), "SIGKILL");
    }
}
