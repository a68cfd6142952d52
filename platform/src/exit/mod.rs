//! The exit of a process: how it ended, the watch that fires when it does, and the pin that holds it until then. A
//! pidfd is watch and pin on Linux; macOS and FreeBSD watch by EVFILT_PROC, and have no pin.

#[cfg(not(target_os = "linux"))]
mod kqueue;
#[cfg(target_os = "linux")]
mod linux;

use std::fmt;

#[cfg(not(target_os = "linux"))]
pub use self::kqueue::ExitWatch;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::kqueue::Pin;
#[cfg(target_os = "linux")]
pub use self::linux::ExitWatch;
#[cfg(target_os = "linux")]
pub(crate) use self::linux::Pin;
use crate::signals;

/// How a process ended; in words, what a log says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited by itself, with this code (0-255).
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether it left a core dump.
        core: bool,
    },
    /// It is gone, and somebody else has its status: it was never our child, or was reaped before.
    Unknown,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal { number, core } => {
                let dumped = if core { ", core dumped" } else { "" };
                write!(f, "signal {number} ({}{dumped})", signals::name_of(number))
            }
            ExitStatus::Unknown => f.write_str("gone, its status unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        assert_eq!(ExitStatus::Code(3).to_string(), "exit code 3");
        assert_eq!(ExitStatus::Signal { number: libc::SIGKILL, core: false }.to_string(), "signal 9 (SIGKILL)");
        let dumped = ExitStatus::Signal { number: libc::SIGSEGV, core: true };
        assert_eq!(dumped.to_string(), "signal 11 (SIGSEGV, core dumped)");
        assert_eq!(ExitStatus::Unknown.to_string(), "gone, its status unknown");
    }
}
