//! What ps tells of processes, where there is no /proc: on macOS and FreeBSD. It shows no environment that could be
//! relied on, so whether a process is marked stays unknown.

use std::process::Command;

use super::ProcessFacts;

/// Every process of the machine.
pub(crate) fn all() -> Vec<ProcessFacts> {
    ps(&["-ax"])
}

/// One process.
pub(crate) fn facts(pid: i32) -> Option<ProcessFacts> {
    ps(&["-p", &pid.to_string()]).into_iter().next()
}

/// Not to be known here.
pub(crate) fn is_marked(_pid: i32, _marker: &str) -> Option<bool> {
    None
}

/// Not to be known here.
pub(crate) fn descriptors(_pid: i32) -> Option<usize> {
    None
}

fn ps(which: &[&str]) -> Vec<ProcessFacts> {
    let format = ["-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "stat="];
    let output = Command::new("ps").args(which).args(format).output().expect("ps runs");
    String::from_utf8_lossy(&output.stdout).lines().filter_map(parsed).collect()
}

fn parsed(line: &str) -> Option<ProcessFacts> {
    let mut words = line.split_whitespace();
    let mut number = || words.next()?.parse().ok();
    let (pid, ppid, pgid) = (number()?, number()?, number()?);
    Some(ProcessFacts { pid, ppid, pgid, zombie: words.next()?.starts_with('Z') })
}
