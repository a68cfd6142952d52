//! A clock that nobody sets: the time since the machine was started, while it slept too; and a name for that start.

use std::sync::OnceLock;
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

/// What this run of the machine is called; another one is called otherwise. Empty where the system has no name for it,
/// or a sandbox hides it. The time of the boot is none: it is counted back from the wall clock, and moves with it.
#[must_use]
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(ask_boot_id)
}

#[cfg(target_os = "linux")]
fn ask_boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map_or_else(|_| String::new(), |id| id.trim_end().to_owned())
}

#[cfg(target_os = "macos")]
fn ask_boot_id() -> String {
    // A UUID and a NUL.
    let mut text = [0_u8; 64];
    let (out, mut length) = (text.as_mut_ptr().cast(), text.len());
    // SAFETY: `out` has room for `length` bytes, the name is a C string, and nothing is set.
    let asked =
        unsafe { libc::sysctlbyname(c"kern.bootsessionuuid".as_ptr(), out, &raw mut length, std::ptr::null_mut(), 0) };
    let text = text.split(|&byte| byte == 0).next().filter(|_| asked == 0).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(target_os = "freebsd")]
fn ask_boot_id() -> String {
    String::new()
}
