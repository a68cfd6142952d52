//! What a process uses: memory and descriptors.

#[cfg(not(target_os = "linux"))]
#[path = "usage_ps.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "usage_linux.rs"]
mod system;

/// One look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// KiB of memory that nobody else uses, or all that is resident where the system can't tell them apart.
    pub(crate) memory_kib: u64,
    /// Open descriptors; 0 where the system doesn't tell.
    pub(crate) descriptors: usize,
    /// Running threads; 0 where the system doesn't tell.
    pub(crate) threads: usize,
}

/// Looks at a process, which must be running.
pub(crate) fn usage_of(pid: i32) -> Usage {
    system::usage_of(pid).unwrap_or_else(|| panic!("process {pid} can't be looked at"))
}
