//! A running contender: a supervisor, or the bare loop, over the worker.
//!
//! Its worker is known by its record. When it is dropped, the supervisor is ended the way it wants to be, then by
//! SIGKILL, and its last worker too, so that no benchmark leaves a process behind.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::{PortClaim, TempDir, free_port};
use super::record::{Entry, Mark, Record};
use super::{LIMIT, now_ns, programs, wait_for};

/// How long a supervisor may take to end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// After a worker is as ready as it gets: its supervisor may have something left to write.
const SETTLING: Duration = Duration::from_millis(15);

/// How a contender is made, run and ended.
#[derive(Clone, Copy)]
pub(crate) struct Recipe {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// Writes what it needs into a directory and returns how to run it.
    pub(crate) prepare: fn(&Path, &Site) -> Command,
    /// Orders it to end, its worker included. The supervisor's pid and the directory.
    pub(crate) stop: fn(Pid, &Path),
    /// What it writes down once its worker is as ready as its supervisor wants it.
    pub(crate) ready: Mark,
    /// It ends without its worker.
    pub(crate) leaves_worker: bool,
    /// What a reader of the figures has to know.
    pub(crate) note: &'static str,
}

/// What a contender is told.
pub(crate) struct Site {
    /// The worker's program.
    pub(crate) worker: PathBuf,
    /// The worker's port.
    pub(crate) port: u16,
}

/// One that runs.
pub(crate) struct Contender {
    /// How it was made.
    pub(crate) recipe: Recipe,
    /// When its program was about to be started.
    pub(crate) started_at_ns: u64,
    child: Child,
    record: Record,
    dir: Arc<TempDir>,
    port: Option<PortClaim>,
}

impl Contender {
    /// Starts it over the worker of all contenders, which may not run yet.
    pub(crate) fn start(recipe: Recipe) -> Self {
        Self::start_in(recipe, TempDir::new())
    }

    /// The same, in this directory, where an earlier one may have run.
    pub(crate) fn start_in(recipe: Recipe, dir: impl Into<Arc<TempDir>>) -> Self {
        let port = free_port();
        let mut contender = Self::start_at(recipe, programs::worker(), port.number(), dir.into());
        contender.port = Some(port);
        contender
    }

    /// Starts it over another worker, on a port that the caller has claimed.
    pub(crate) fn start_over(recipe: Recipe, worker: &Path, port: u16) -> Self {
        Self::start_at(recipe, worker, port, Arc::new(TempDir::new()))
    }

    fn start_at(recipe: Recipe, worker: &Path, port: u16, dir: Arc<TempDir>) -> Self {
        let site = Site { worker: worker.to_owned(), port };
        let mut command = (recipe.prepare)(dir.path(), &site);
        let path = dir.join("record");
        let record = Record::create(&path);
        let output = File::create(dir.join("output")).expect("a file for its output");
        let errors = output.try_clone().expect("one file for both");
        command.env("BENCH_RECORD", &path).env("BENCH_PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let started_at_ns = now_ns();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", recipe.name));
        Self { recipe, started_at_ns, child, record, dir, port: None }
    }

    /// Starts it and waits until its first worker is ready.
    pub(crate) fn ready(recipe: Recipe) -> Self {
        let mut contender = Self::start(recipe);
        contender.wait_ready();
        contender
    }

    /// The supervisor's pid.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// The first entry of this kind of the latest worker; waits for it.
    pub(crate) fn wait_mark(&mut self, mark: Mark) -> Entry {
        let Self { record, recipe, dir, .. } = self;
        wait_for(missing(recipe, dir, mark), || {
            let entries = record.entries();
            let pid = entries.iter().rfind(|entry| entry.mark == Mark::Began)?.pid;
            entries.iter().find(|entry| entry.pid == pid && entry.mark == mark).copied()
        })
    }

    /// All of a kind that the latest worker has written down so far.
    pub(crate) fn marks(&mut self, mark: Mark) -> Vec<Entry> {
        let pid = self.wait_mark(Mark::Began).pid;
        self.record.entries().iter().filter(|entry| entry.pid == pid && entry.mark == mark).copied().collect()
    }

    /// Waits until the latest worker is ready and its supervisor at rest.
    pub(crate) fn wait_ready(&mut self) -> Entry {
        let entry = self.wait_mark(self.recipe.ready);
        sleep(SETTLING);
        entry
    }

    /// Waits until the latest worker is so old.
    pub(crate) fn wait_age(&mut self, age: Duration) {
        let began = self.wait_mark(Mark::Began);
        sleep(age.saturating_sub(Duration::from_nanos(now_ns() - began.at_ns)));
    }

    /// How long after its start the first worker began.
    pub(crate) fn began_after(&mut self) -> Duration {
        // The worker writes it down. To look for that sooner would take time from a shared processor.
        sleep(SETTLING);
        Duration::from_nanos(self.wait_mark(Mark::Began).at_ns - self.started_at_ns)
    }

    /// Kills the worker, and returns how long after that the next one began, and that one's entry.
    pub(crate) fn restart(&mut self) -> (Duration, Entry) {
        let old = self.wait_mark(Mark::Began);
        let killed_at_ns = now_ns();
        kill(Pid::from_raw(old.pid), Signal::SIGKILL).expect("the worker lives");
        // To look sooner for what the next one writes down would take time from a shared processor.
        sleep(SETTLING);
        let Self { record, recipe, dir, .. } = self;
        let began = wait_for(missing(recipe, dir, Mark::Began), || {
            let last = record.entries().iter().rfind(|entry| entry.mark == Mark::Began).copied();
            last.filter(|entry| entry.pid != old.pid)
        });
        (Duration::from_nanos(began.at_ns - killed_at_ns), began)
    }

    /// Orders it to end and returns how long it took until both it and its worker were gone. Some leave their worker to
    /// be reaped by whoever adopts it, so that its end is watched, and not its pid.
    pub(crate) fn stop(&mut self) -> Duration {
        let worker = self.wait_mark(Mark::Began).pid;
        let worker = platform::Pid::new(worker).expect("a pid");
        let watch = platform::ExitWatch::register(worker).expect("the worker lives");
        let mut poll = Poll::new().expect("an event queue");
        let watched = poll.registry().register(&mut SourceFd(&watch.as_raw_fd()), Token(0), Interest::READABLE);
        watched.expect("it can be waited for");
        let ordered_at = Instant::now();
        (self.recipe.stop)(Pid::from_raw(self.pid()), self.dir.path());
        self.child.wait().expect("a child can be waited for");
        let mut events = Events::with_capacity(1);
        while events.is_empty() {
            assert!(ordered_at.elapsed() < LIMIT, "the worker of {} never ended", self.recipe.name);
            poll.poll(&mut events, Some(LIMIT)).expect("an event queue");
        }
        ordered_at.elapsed()
    }

    /// The path of something in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A file of its directory, as text.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    fn ends_in_time(&mut self) -> bool {
        let give_up_at = Instant::now() + STOP_LIMIT;
        while Instant::now() < give_up_at {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            sleep(Duration::from_millis(1));
        }
        false
    }
}

/// What to say when a mark does not come: what the supervisor has said.
fn missing(recipe: &Recipe, dir: &TempDir, mark: Mark) -> impl Fn() -> String {
    let output = dir.join("output");
    move || {
        let said = std::fs::read_to_string(&output).unwrap_or_default();
        format!("{mark:?} of the next worker of {}, which has said:\n{said}\nIt", recipe.name)
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            (self.recipe.stop)(Pid::from_raw(self.pid()), self.dir.path());
            if !self.ends_in_time() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        // The bare loop leaves its worker, and so does a supervisor that had to be killed.
        if let Some(last) = self.record.entries().iter().rfind(|entry| entry.mark == Mark::Began) {
            let _ = kill(Pid::from_raw(last.pid), Signal::SIGKILL);
        }
    }
}
