//! What a process uses, as its system tells it.
//!
//! Linux: /proc, with memory from smaps_rollup. macOS: libproc, through a program in C. Elsewhere: what `ps` knows.

use std::collections::BTreeMap;

/// Something that is as large as it is.
pub(crate) const GAUGES: [&str; 7] = [
    "resident, KiB",
    "proportional (PSS), KiB",
    "unique (USS), KiB",
    "private dirty, KiB",
    "footprint, KiB",
    "threads",
    "descriptors",
];

/// Something that only grows.
pub(crate) const COUNTERS: [&str; 5] =
    ["CPU, ms", "voluntary switches", "involuntary switches", "switches", "wake-ups"];

/// What one process uses, by the names above; what its system does not tell is missing.
pub(crate) type Usage = BTreeMap<&'static str, f64>;

/// What a process uses now.
#[cfg(target_os = "linux")]
pub(crate) fn of(pid: i32) -> Usage {
    use std::fs::{read_dir, read_to_string};

    let read = |name: &str| read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (memory, status) = (read("smaps_rollup"), read("status"));
    let number = |text: &str, key: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let clean = number(&memory, "Private_Clean");
    let dirty = number(&memory, "Private_Dirty");
    let tasks = read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // Nanoseconds on a processor; the clock ticks of /proc/PID/stat are ten milliseconds each.
    let times = tasks.filter_map(|task| read_to_string(task.path().join("schedstat")).ok());
    let times = times.filter_map(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok());
    let descriptors = read_dir(format!("/proc/{pid}/fd")).ok().map(|descriptors| descriptors.count() as f64);
    let told = [
        ("resident, KiB", number(&memory, "Rss")),
        ("proportional (PSS), KiB", number(&memory, "Pss")),
        ("unique (USS), KiB", clean.zip(dirty).map(|(clean, dirty)| clean + dirty)),
        ("private dirty, KiB", dirty),
        ("threads", number(&status, "Threads")),
        ("descriptors", descriptors),
        ("CPU, ms", Some(times.sum::<f64>() / 1e6)),
        ("voluntary switches", number(&status, "voluntary_ctxt_switches")),
        ("involuntary switches", number(&status, "nonvoluntary_ctxt_switches")),
    ];
    told.into_iter().filter_map(|(name, number)| Some((name, number?))).collect()
}

/// What a process uses now.
#[cfg(target_os = "macos")]
pub(crate) fn of(pid: i32) -> Usage {
    let names = [
        ("resident_kib", "resident, KiB"),
        ("footprint_kib", "footprint, KiB"),
        ("threads", "threads"),
        ("descriptors", "descriptors"),
        ("switches", "switches"),
        ("wakeups", "wake-ups"),
        ("cpu_ms", "CPU, ms"),
    ];
    let output = std::process::Command::new(super::programs::usage()).arg(pid.to_string()).output();
    let text = output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let told = text.lines().filter_map(|line| {
        let (key, number) = line.split_once(' ')?;
        let (_, name) = names.iter().find(|(told, _)| *told == key)?;
        Some((*name, number.parse().ok()?))
    });
    told.collect()
}

/// What a process uses now.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn of(pid: i32) -> Usage {
    let output = std::process::Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output();
    let text = output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.trim().parse().ok().map(|resident| ("resident, KiB", resident)).into_iter().collect()
}
