//! The longest pause of the loop while a huge log is rotated, as the worker sees it: from one health check to the next,
//! without the interval. The same worker is checked as often before: what the machine does anyway. Another one is
//! checked meanwhile by a supervisor that rotates nothing: what the machine does beside so much writing.
//!
//! The log is on the disk before the rotation begins: its writing is not measured.

use std::fs::{OpenOptions, metadata};
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

use super::recipes::{OFTEN_SECS, rotating};
use crate::support::place::TempDir;
use crate::support::{Contender, Mark, Results, Summary, is_earnest, now_ns, roomy};

const WANTED_BYTES: u64 = 10_000_000_000;
const SMOKE_BYTES: u64 = 4_000_000;
/// The log and its copy are there together for a while, and others want some of the disk too.
const PART_OF_DISK: u64 = 3;

/// How long the worker is watched before.
const QUIET: Duration = Duration::from_secs(20);
const QUIET_SMOKE: Duration = Duration::from_millis(200);
/// For the rotation of all of it on a slow disk.
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(10);

/// Adds the pauses before and during a rotation.
pub(crate) fn measure(results: &mut Results) {
    let [mut contender, mut bystander] = [(); 2].map(|()| Contender::start_in(rotating(), TempDir::within(roomy())));
    contender.wait_ready();
    bystander.wait_ready();
    let quiet_from = now_ns();
    sleep(if is_earnest() { QUIET } else { QUIET_SMOKE });
    let quiet_to = now_ns();
    let log = contender.path("worker.log");
    fill(&log);
    let rotated_from = now_ns();
    rotate(&log);
    let rotated_to = now_ns();
    let [of_contender, of_bystander] = [&mut contender, &mut bystander]
        .map(|one| -> Vec<u64> { one.marks(Mark::Got).iter().map(|entry| entry.at_ns).collect() });
    let size = log_bytes() as f64 / 1e9;
    let table = &format!("Pauses of the loop (between two health checks, without the interval); a log of {size:.1} GB");
    let pauses = [
        ("before the rotation", pauses(&of_contender, quiet_from, quiet_to)),
        ("while it is rotated", pauses(&of_contender, rotated_from, rotated_to)),
        ("meanwhile, of one that rotates nothing", pauses(&of_bystander, rotated_from, rotated_to)),
    ];
    let longest = pauses.each_ref().map(|(_, pauses)| Summary::once(pauses.iter().copied().fold(0.0, f64::max)));
    for ((who, pauses), longest) in pauses.into_iter().zip(longest) {
        let count = pauses.len();
        results.add(table, who, "pause, ms", Summary::of(pauses));
        let figure = results.add(table, who, "longest pause, ms", longest);
        figure.note = format!("of {count}");
    }
    let took = Summary::once((rotated_to - rotated_from) as f64 / 1e9);
    results.add(table, "while it is rotated", "the whole rotation, s", took);
}

/// How large the log becomes: what was wanted, or what the disk allows.
pub(crate) fn log_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let disk = statvfs(roomy()).expect("the disk says what is free");
        let free = disk.blocks_available() as u64 * disk.fragment_size() as u64;
        if is_earnest() { WANTED_BYTES.min(free / PART_OF_DISK) } else { SMOKE_BYTES }
    })
}

/// Writes as much to the log as it may hold, and waits until it is on the disk.
fn fill(log: &Path) {
    let mut file = OpenOptions::new().append(true).open(log).expect("the worker has a log");
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let block = line.repeat(10_000);
    let mut left = log_bytes();
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        file.write_all(&block[..part]).expect("the disk has room");
        left -= part as u64;
    }
    file.sync_all().expect("a log can be written to disk");
}

/// One more line, and it is too long.
fn rotate(log: &Path) {
    let mut file = OpenOptions::new().append(true).open(log).expect("the worker has a log");
    file.write_all(b"the last line\n").expect("the disk has room");
    let give_up_at = Instant::now() + PATIENCE;
    while metadata(log).expect("the log is there").len() > 0 {
        assert!(Instant::now() < give_up_at, "the log was never rotated");
        sleep(PAUSE);
    }
}

/// Between the checks of a period.
fn pauses(checked_at: &[u64], from: u64, to: u64) -> Vec<f64> {
    let gaps = checked_at.windows(2).filter(|pair| pair[0] >= from && pair[1] <= to);
    gaps.map(|pair| ((pair[1] - pair[0]) as f64 / 1e6 - OFTEN_SECS * 1e3).max(0.0)).collect()
}
