//! A clock that nobody sets: the time since the machine was started, while it slept too; and a name for that start.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Goes on while the machine sleeps, unlike CLOCK_MONOTONIC (clock_gettime(2)).
#[cfg(target_os = "linux")]
const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
/// Goes on while the machine sleeps, and is not adjusted, unlike CLOCK_MONOTONIC (clock_gettime(3)).
#[cfg(target_os = "macos")]
const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
/// FreeBSD's only clock of this kind.
#[cfg(target_os = "freebsd")]
const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// The time since the machine was started. Equal for all processes.
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::from_raw(CLOCK)).map_or(Duration::ZERO, Duration::from)
}
