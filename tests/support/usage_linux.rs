//! What /proc tells of a process's memory and descriptors.

use std::fs::{read_dir, read_to_string};

use super::Usage;

/// One look; `None` where there is no such process.
pub(super) fn usage_of(pid: i32) -> Option<Usage> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let descriptors = read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let threads = usize::try_from(value("Threads:")?).ok()?;
    Some(Usage { memory_kib: value("RssAnon:")?, descriptors, threads })
}
