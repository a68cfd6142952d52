//! What ps tells of a process's memory, where there is no /proc.

use std::process::Command;

use super::Usage;

/// One look; `None` where there is no such process.
pub(super) fn usage_of(pid: i32) -> Option<Usage> {
    let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().expect("ps runs");
    let memory_kib = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some(Usage { memory_kib, descriptors: 0, threads: 0 })
}
