//! A watcher from outside for promises about every moment: a thread that looks every few milliseconds while the test
//! goes on, and keeps what it saw that should not be.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use super::process::process_alive;
use super::report::WorkerReport;
use super::wait::wait_until;

#[cfg(target_os = "linux")]
#[path = "sampler_linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
mod system {
    /// Not to be known here.
    pub(super) fn listeners_on(_port: u16) -> Option<usize> {
        None
    }
}

#[cfg(target_os = "linux")]
pub(crate) use system::time_waits_on;

/// Longer than any test.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// A process may be seen for a moment after its port was free: so many looks in a row make it a second one.
const LOOKS_IN_A_ROW: u32 = 10;

/// How many sockets listen on a port, as the kernel tells; `None` where it doesn't.
pub(crate) fn listeners_on(port: u16) -> Option<usize> {
    system::listeners_on(port)
}

/// The running watcher.
pub(crate) struct Sampler {
    stopping: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Sampler {
    /// Looks until it is dropped or finished. A look returns what was wrong, if anything was.
    pub(crate) fn start(mut look: impl FnMut() -> Option<String> + Send + 'static) -> Self {
        let (stopping, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ended, counted) = (Arc::clone(&stopping), Arc::clone(&looks));
        let thread = spawn(move || {
            let mut seen = Vec::new();
            wait_until("the end of the sampling", PATIENCE, || {
                seen.extend(look());
                counted.fetch_add(1, Ordering::SeqCst);
                ended.load(Ordering::SeqCst)
            });
            seen
        });
        Self { stopping, looks, thread: Some(thread) }
    }

    /// Watches that never two workers of a report listen on a port at once. Workers should share the port by
    /// SO_REUSEPORT, or the kernel keeps the promise for us.
    pub(crate) fn of_listeners(port: u16, report: PathBuf) -> Self {
        let mut looks = 0;
        Self::start(move || match listeners_on(port) {
            Some(count) => (count > 1).then(|| format!("{count} sockets listen on port {port}")),
            None => {
                let workers = listening_workers(&WorkerReport::read(&report));
                looks = if workers.len() > 1 { looks + 1 } else { 0 };
                (looks >= LOOKS_IN_A_ROW).then(|| format!("{workers:?} live beside each other"))
            }
        })
    }

    /// Ends it, and fails if anything was wrong at any moment.
    #[track_caller]
    pub(crate) fn finish(mut self, details: impl FnOnce() -> String) {
        let seen = self.end();
        assert!(self.looks.load(Ordering::SeqCst) > 0, "the sampler never looked");
        assert!(seen.is_empty(), "{} times, first: {}\n{}", seen.len(), seen[0], details());
    }

    fn end(&mut self) -> Vec<String> {
        self.stopping.store(true, Ordering::SeqCst);
        self.thread.take().map_or_else(Vec::new, |thread| thread.join().unwrap_or_default())
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

fn listening_workers(report: &WorkerReport) -> Vec<i32> {
    report.of("listen").into_iter().map(super::report::Event::pid).filter(|pid| process_alive(*pid)).collect()
}
