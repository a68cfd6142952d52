//! The machine and the moment that figures belong to.

use std::fmt;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Where and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The day, as the system writes it.
    pub(crate) date: String,
    /// The kernel and its version.
    pub(crate) system: String,
    /// The processor.
    pub(crate) processor: String,
    /// How many of it this process may use.
    pub(crate) cores: usize,
    /// The program's commit, with a `+` when there are changes on top.
    pub(crate) commit: String,
    /// How busy the machine was, over the last minute, when the benchmark began: runnable processes.
    pub(crate) load: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn this() -> Self {
        let changes = if said("git", &["status", "--porcelain", "src", "platform"]).is_empty() { "" } else { "+" };
        Self {
            date: said("date", &["-u", "+%Y-%m-%d"]),
            system: said("uname", &["-srm"]),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            commit: said("git", &["rev-parse", "--short", "HEAD"]) + changes,
            load: load(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, system, processor, cores, commit, load } = self;
        write!(f, "{date}, {processor}, {cores} cores, {system}, commit {commit}, load at the start {load}")
    }
}

fn processor() -> String {
    if cfg!(target_os = "linux") {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        model.map_or_else(|| "unknown processor".to_owned(), |(_, model)| model.to_owned())
    } else if cfg!(target_os = "macos") {
        said("sysctl", &["-n", "machdep.cpu.brand_string"])
    } else {
        said("sysctl", &["-n", "hw.model"])
    }
}

fn load() -> String {
    // "…load average: 0.52, 0.58, 0.59" on Linux, "load averages: 0.52 0.58 0.59" elsewhere.
    let uptime = said("uptime", &[]);
    let averages = uptime.rsplit(": ").next().unwrap_or_default();
    averages.split([',', ' ']).next().unwrap_or_default().to_owned()
}

/// What a program of the system prints; nothing if there is no such program.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
