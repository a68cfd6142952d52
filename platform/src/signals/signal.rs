//! Signals by name: those that the supervisor listens to, and those that it sends.
//! The conversion is exhaustive, so a signal that is added here must be thought of on every system.

use std::io;

use nix::sys::signal::{Signal as Nix, kill};
use nix::unistd::Pid as RawPid;

/// A signal that the supervisor listens to or sends.
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
    /// SIGCHLD: some child may have exited. Never sent.
    Child,
    /// SIGKILL. Only sent.
    Kill,
    /// SIGCONT: without it a stopped process never sees the others. Only sent.
    Cont,
}

impl Signal {
    /// Those that [`Signals`](crate::Signals) queues.
    pub const LISTENED: [Signal; 5] = [Signal::Term, Signal::Int, Signal::Hup, Signal::Usr1, Signal::Child];

    /// The name as manuals write it, such as "SIGTERM".
    #[must_use]
    pub fn name(self) -> &'static str {
        self.to_nix().as_str()
    }

    pub(crate) fn to_nix(self) -> Nix {
        match self {
            Signal::Term => Nix::SIGTERM,
            Signal::Int => Nix::SIGINT,
            Signal::Hup => Nix::SIGHUP,
            Signal::Usr1 => Nix::SIGUSR1,
            Signal::Child => Nix::SIGCHLD,
            Signal::Kill => Nix::SIGKILL,
            Signal::Cont => Nix::SIGCONT,
        }
    }

    pub(crate) fn number(self) -> i32 {
        self.to_nix() as i32
    }

    /// The one of [`Signal::LISTENED`] that has this number.
    pub(super) fn listened(number: i32) -> Option<Signal> {
        Signal::LISTENED.into_iter().find(|signal| signal.number() == number)
    }

    /// kill(2) as it is: a negative `target` is a group.
    pub(crate) fn send(self, target: i32) -> io::Result<()> {
        Ok(kill(RawPid::from_raw(target), self.to_nix())?)
    }
}

/// A signal's name as manuals write it, such as "SIGKILL"; "unknown signal" for a number without one (real-time
/// signals have none).
pub(crate) fn name_of(number: i32) -> &'static str {
    Nix::try_from(number).map_or("unknown signal", Nix::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listened_signal_survives_the_way_to_a_number_and_back() {
        for signal in Signal::LISTENED {
            assert_eq!(Signal::listened(signal.number()), Some(signal));
        }
        assert_eq!(Signal::listened(libc::SIGWINCH), None);
    }

    #[test]
    fn signals_are_named_as_in_the_manuals() {
        assert_eq!(Signal::Kill.name(), "SIGKILL");
        assert_eq!(name_of(libc::SIGKILL), "SIGKILL");
        assert_eq!(name_of(127), "unknown signal");
    }
}
