//! A running supervisor. Its log goes to a file of the scene; every wait shows that log when it fails.
//! When it is dropped it is stopped: in order, then at once, then by SIGKILL.

use std::fs::read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::panicking;
use std::time::{Duration, Instant};

use super::Signal;
use super::process::send_signal;
use super::report::WorkerReport;
use super::scene::Scene;
use super::wait::{LIMIT, slowed, wait_for, wait_until};
use super::words::{READY, field};

/// How long each step of the stop at the end of a test may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// One process of the program under test.
pub(crate) struct Supervisor<'a> {
    scene: &'a Scene,
    child: Mutex<Child>,
    log: PathBuf,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(scene: &'a Scene, child: Child, log: PathBuf) -> Self {
        scene.ended_in_order.store(false, Ordering::SeqCst);
        Self { scene, child: Mutex::new(child), log }
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child().id()).expect("a pid")
    }

    /// Its own log until now.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&read(&self.log).expect("the supervisor's log can be read")).into_owned()
    }

    /// Waits for a line of its log that contains `text`, and returns the first.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.wait_for_nth_log(1, text)
    }

    /// Waits for the n-th line (from 1) of its log that contains `text`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_nth_log(&self, nth: usize, text: &str) -> String {
        let what = format!("line {nth} with {text:?} in the supervisor's log");
        wait_for(&what, LIMIT, || self.scene.story(), || self.lines_with(text).into_iter().nth(nth - 1))
    }

    /// The lines of its log until now that contain `text`.
    pub(crate) fn lines_with(&self, text: &str) -> Vec<String> {
        let log = self.stderr();
        let whole = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole.filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Waits until it calls its first worker ready, and returns that worker's pid.
    #[track_caller]
    pub(crate) fn wait_ready(&self) -> i32 {
        self.wait_nth_ready(1)
    }

    /// Waits until it calls a worker ready for the n-th time, and returns that worker's pid.
    #[track_caller]
    pub(crate) fn wait_nth_ready(&self, nth: usize) -> i32 {
        let line = self.wait_for_nth_log(nth, READY);
        let pid = field(&line, "pid").and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("no pid in {line:?}"))
    }

    /// Waits until a worker has started, and returns the pid of the latest.
    #[track_caller]
    pub(crate) fn worker_pid(&self) -> i32 {
        self.scene.wait_for_events("start", 1).last().expect("at least one").pid()
    }

    /// What its workers told until now.
    pub(crate) fn worker_report(&self) -> WorkerReport {
        self.scene.report()
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.is_alive(), "the supervisor has ended\n{}", self.scene.story());
        send_signal(self.pid(), signal);
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.ended().is_none()
    }

    /// Waits for its end and returns the exit code.
    ///
    /// # Panics
    /// Where a signal ended it, or nothing did in time.
    #[track_caller]
    pub(crate) fn wait_exit(&self) -> i32 {
        let status = self.wait_end();
        status.code().unwrap_or_else(|| panic!("a signal ended the supervisor: {status}\n{}", self.scene.story()))
    }

    /// Waits for its end, whatever it is.
    #[track_caller]
    pub(crate) fn wait_end(&self) -> ExitStatus {
        wait_for("the end of the supervisor", LIMIT, || self.scene.story(), || self.ended())
    }

    /// Sends SIGTERM and waits for its end; returns the exit code.
    #[track_caller]
    pub(crate) fn stop(&self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait_exit()
    }

    /// Ends it as `launchctl kickstart -k` does; its worker lives on.
    #[track_caller]
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait_end().signal(), Some(Signal::SIGKILL as i32));
    }

    fn ended(&self) -> Option<ExitStatus> {
        let status = self.child().try_wait().expect("a child can be waited for")?;
        self.scene.ended_in_order.store(status.success(), Ordering::SeqCst);
        Some(status)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let (started, limit) = (Instant::now(), slowed(limit));
        wait_until("the end of the supervisor or of patience", limit * 2, || {
            !self.is_alive() || started.elapsed() > limit
        });
        !self.is_alive()
    }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        // The second SIGTERM asks to kill the worker at once.
        let in_order = [Signal::SIGTERM, Signal::SIGTERM];
        let steps = if panicking() { &in_order[1..] } else { &in_order[..] };
        for signal in steps {
            if !self.is_alive() {
                return;
            }
            send_signal(self.pid(), *signal);
            if self.ends_within(STOP_LIMIT) {
                return;
            }
        }
        send_signal(self.pid(), Signal::SIGKILL);
        self.ends_within(STOP_LIMIT);
        if !panicking() {
            panic!("the supervisor did not stop\n{}", self.scene.story());
        }
    }
}
