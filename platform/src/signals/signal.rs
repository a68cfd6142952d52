//! Signals by name: those that the supervisor listens to, those that it sends, and those that must not end it.
//! The conversion is exhaustive, so a signal that is added here must be thought of on every system.

use std::io;
use std::mem::MaybeUninit;

use libc::c_int;
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
    /// SIGQUIT: stop.
    Quit,
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
    pub const LISTENED: [Signal; 6] =
        [Signal::Term, Signal::Int, Signal::Hup, Signal::Quit, Signal::Usr1, Signal::Child];

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
            Signal::Quit => Nix::SIGQUIT,
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

/// Signals that say nothing to this program, and that end a process by default: timers, limits of time and size, and
/// those that are for a program's own use.
const UNHEEDED: &[c_int] = &[
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGUSR2,
    libc::SIGIO,
    #[cfg(target_os = "linux")]
    libc::SIGPWR,
    #[cfg(target_os = "linux")]
    libc::SIGSTKFLT,
];

/// Real-time signals.
#[cfg(target_os = "linux")]
fn real_time() -> impl Iterator<Item = c_int> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// Real-time signals: SIGRTMIN and SIGRTMAX of FreeBSD's sys/signal.h.
#[cfg(target_os = "freebsd")]
fn real_time() -> impl Iterator<Item = c_int> {
    65..=126
}

/// macOS has no real-time signals.
#[cfg(target_os = "macos")]
fn real_time() -> impl Iterator<Item = c_int> {
    std::iter::empty()
}

/// From now on no signal of [`UNHEEDED`] ends this process, nor a real-time one. A write beyond a limit of size
/// (SIGXFSZ) then fails with EFBIG, as one to a full disk fails with ENOSPC.
pub(super) fn disregard_the_unheeded() -> io::Result<()> {
    UNHEEDED.iter().copied().chain(real_time()).try_for_each(|number| catch(number, libc::SA_RESTART))
}

/// Has a signal do nothing. By a handler and never by SIG_IGN: exec makes a caught signal a default one again, at no
/// cost, but passes an ignored one on; and an ignored SIGCHLD lets the kernel reap.
pub(super) fn catch(number: c_int, flags: c_int) -> io::Result<()> {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: all zeroes is a valid sigaction, with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = nothing as extern "C" fn(c_int) as libc::sighandler_t;
    action.sa_flags = flags;
    // SAFETY: `action` lives, and a handler that does nothing is safe at any moment.
    if unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Those of [`Signal::LISTENED`] that are taken over. A SIGHUP that is ignored is left so: nohup(1) asks for that, and
/// the terminal's end is not ours then.
pub(super) fn taken_over() -> Vec<Signal> {
    let is_taken = |signal: &Signal| *signal != Signal::Hup || !is_ignored(signal.number());
    Signal::LISTENED.into_iter().filter(is_taken).collect()
}

/// Whether a signal is ignored. False also for the numbers that the C library keeps for itself.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: null sets nothing, `action` is there to be written, and all zeroes is a valid value of it.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
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
