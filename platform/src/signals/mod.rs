//! Signals by name, and the queue of those sent to this process: signalfd on Linux, EVFILT_SIGNAL on macOS and FreeBSD.

#[cfg(not(target_os = "linux"))]
mod kqueue;
#[cfg(target_os = "linux")]
mod linux;
mod signal;

#[cfg(not(target_os = "linux"))]
pub use self::kqueue::Signals;
#[cfg(target_os = "linux")]
pub use self::linux::Signals;
pub use self::signal::Signal;
#[cfg(target_os = "linux")]
pub(crate) use self::signal::is_ignored;
pub(crate) use self::signal::name_of;
