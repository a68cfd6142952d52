//! The end of a worker with a tree of processes, from SIGTERM to the supervisor until all of them are gone, beside the
//! end of the same tree by one signal to its process group.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::recipes::{large, large_tree, with_tree};
use crate::support::crowd::grouped;
use crate::support::place::{TempDir, free_port};
use crate::support::record::Record;
use crate::support::{Contender, Mark, Recipe, Results, Summary, rounds, wait_for, worker};

const ROUNDS: usize = 10;
const TABLE: &str = "End of a tree of processes (ratio to one signal to all of it)";
const WHAT: &str = "until all are gone, ms";

/// Adds what an end takes.
pub(crate) fn measure(results: &mut Results) {
    let (mut by_signal, mut by_supervisor) = (Vec::new(), Vec::new());
    for _ in 0..rounds(ROUNDS, 1) {
        by_signal.push(end_by_signal());
        by_supervisor.push(end(large_tree()));
    }
    let floor = Summary::of_times(&by_signal);
    let tree = format!("a worker and {} processes", grouped(large()));
    for (who, times) in [("SIGTERM to the group", by_signal), ("worker-supervisor", by_supervisor)] {
        results.add(TABLE, &format!("{who}, {tree}"), WHAT, Summary::of_times(&times)).against(floor);
    }
}

/// Starts it, and stops it once its tree is grown.
pub(super) fn end(recipe: Recipe) -> Duration {
    let mut contender = Contender::ready(recipe);
    let group = Pid::from_raw(contender.wait_mark(Mark::Began).pid);
    let stopped_at = Instant::now();
    contender.stop();
    wait_until_gone(group);
    stopped_at.elapsed()
}

/// Orphans become ours where the system knows such a thing, so that no time passes until somebody reaps them.
fn end_by_signal() -> Duration {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true).expect("orphans can become ours");
    let (dir, port) = (TempDir::new(), free_port());
    let path = dir.join("record");
    let mut record = Record::create(&path);
    let mut command = with_tree(Command::new(worker()), large());
    command.env("BENCH_RECORD", &path).env("BENCH_PORT", port.number().to_string()).process_group(0);
    let tree = Tree(command.spawn().expect("a tree starts"));
    let listens = || record.entries().iter().any(|entry| entry.mark == Mark::Listens).then_some(());
    wait_for(|| "a tree".to_owned(), listens);
    let group = tree.group();
    let signalled_at = Instant::now();
    killpg(group, Signal::SIGTERM).expect("our own group");
    while waitpid(Pid::from_raw(-group.as_raw()), None).is_ok() {}
    wait_until_gone(group);
    let took = signalled_at.elapsed();
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(false).expect("they can be left to others again");
    took
}

fn wait_until_gone(group: Pid) {
    let is_gone = || kill(Pid::from_raw(-group.as_raw()), None).is_err().then_some(());
    wait_for(|| "the end of a tree".to_owned(), is_gone);
}

/// A worker and all that descends from it, in one group.
struct Tree(std::process::Child);

impl Tree {
    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a pid"))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Until it is reaped its group is nobody else's.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = killpg(self.group(), Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}
