//! The fixture started by a test itself: a stranger on the supervisor's port, or the subject of a test of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use super::Signal;
use super::place::{PortClaim, TempDir};
use super::process::{process_alive, send_signal};
use super::report::{Event, WorkerReport};
use super::wait::{LIMIT, wait_for};

/// The compiled example, which `cargo test` builds beside the test binaries.
pub(crate) fn worker_program() -> PathBuf {
    let test = std::env::current_exe().expect("a test binary has a path");
    let target = test.parent().and_then(Path::parent).expect("test binaries are in target/PROFILE/deps");
    let program = target.join("examples/worker");
    assert!(program.exists(), "{} is missing; build it: cargo build --example worker", program.display());
    program
}

/// A running fixture. When it is dropped, it and its descendants are killed.
pub(crate) struct Fixture {
    child: Mutex<Child>,
    dir: TempDir,
}

impl Fixture {
    /// Starts it on a port; `arguments` follow `--port` and `--report`.
    pub(crate) fn start(port: &PortClaim, arguments: &[&str]) -> Self {
        Self::start_with(Command::new(worker_program()), port, arguments)
    }

    /// Starts it and waits until it listens.
    pub(crate) fn listening(port: &PortClaim, arguments: &[&str]) -> Self {
        let fixture = Self::start(port, arguments);
        fixture.wait_for_events("listen", 1);
        fixture
    }

    /// Starts it through a command that the test has prepared.
    pub(crate) fn start_with(mut command: Command, port: &PortClaim, arguments: &[&str]) -> Self {
        let dir = TempDir::new();
        command.args(["--port", &port.number().to_string(), "--report"]).arg(dir.join("report")).args(arguments);
        let out = std::fs::File::create(dir.join("out")).expect("a file for its output");
        let errors = out.try_clone().expect("one file for both");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn().expect("the fixture starts");
        Self { child: Mutex::new(child), dir }
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child().id()).expect("a pid")
    }

    /// What it told until now.
    pub(crate) fn report(&self) -> WorkerReport {
        WorkerReport::read(&self.dir.join("report"))
    }

    /// What it wrote to stdout and stderr.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.dir.join("out")).expect("its output can be read")
    }

    /// A path in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits for the first `count` events of a name.
    #[track_caller]
    pub(crate) fn wait_for_events(&self, name: &str, count: usize) -> Vec<Event> {
        let details = || format!("report:\n{}output:\n{}", self.report(), self.output());
        wait_for(&format!("{count} {name} in the fixture's report"), LIMIT, details, || {
            let events: Vec<Event> = self.report().of(name).into_iter().cloned().collect();
            (events.len() >= count).then_some(events)
        })
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.child().try_wait().expect("a child can be waited for").is_none()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.is_alive(), "the fixture has ended");
        send_signal(self.pid(), signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait_exit(&self) -> ExitStatus {
        let details = || format!("report:\n{}output:\n{}", self.report(), self.output());
        wait_for("the end of the fixture", LIMIT, details, || {
            self.child().try_wait().expect("a child can be waited for")
        })
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let mut child = self.child();
        // It may have ended already.
        let _ended = child.kill();
        let _reaped = child.wait();
        for descendant in self.report().descendants().into_iter().filter(|pid| process_alive(*pid)) {
            send_signal(descendant, Signal::SIGKILL);
        }
    }
}
