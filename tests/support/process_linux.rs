//! What /proc tells of processes. They may vanish between two reads: what can't be read is not there.

use std::fs;
use std::io::ErrorKind;

use super::ProcessFacts;

/// Every process of the machine.
pub(crate) fn all() -> Vec<ProcessFacts> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(facts).collect()
}

/// One process.
pub(crate) fn facts(pid: i32) -> Option<ProcessFacts> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain any character; what follows has none.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?;
    let (ppid, pgid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(ProcessFacts { pid, ppid, pgid, zombie: matches!(state, "Z" | "X" | "x") })
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: i32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Whether the environment that a process started with has `marker`.
pub(crate) fn is_marked(pid: i32, marker: &str) -> Option<bool> {
    let environment = match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environment) => environment,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        // It has gone meanwhile.
        Err(_) => return Some(false),
    };
    Some(environment.split(|byte| *byte == 0).any(|record| record.ends_with(marker.as_bytes())))
}
