//! The machine and the moment that figures belong to.

use std::fmt;
use std::process::Command;

#[cfg(target_os = "linux")]
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
#[cfg(target_os = "linux")]
use nix::unistd::Pid;

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

/// Lets this process and all that it starts meanwhile use one processor only, as on the smallest machines.
#[cfg(target_os = "linux")]
pub(crate) fn on_one_processor(measure: impl FnOnce()) {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).expect("our own processors");
    let last = (0..CpuSet::count()).rfind(|number| all.is_set(*number).unwrap_or(false)).expect("one processor");
    let mut one = CpuSet::new();
    one.set(last).expect("a processor that there is");
    sched_setaffinity(this, &one).expect("one of our own processors");
    measure();
    sched_setaffinity(this, &all).expect("our own processors");
}

/// Nothing: other systems bind nobody to a processor.
#[cfg(not(target_os = "linux"))]
pub(crate) fn on_one_processor(_: impl FnOnce()) {}

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
