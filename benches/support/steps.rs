//! Where the time of a restart goes: the product's own calls, in the product's order, timed one by one.
//!
//! They run in the benchmark's process, without the policy between them, and so say what each costs, not what a restart
//! of the product takes.

use std::ffi::CString;
use std::fs::{File, Metadata, metadata};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use platform::{ExitWatch, Pid, PortTrial, Reaped, Signal};

use super::place::{PortClaim, TempDir, free_port};
use super::record::{Mark, Record};
use super::{Results, Summary, now_ns, programs, wait_for};

const TABLE: &str = "Where the time of a restart goes (the same calls, one by one, in another process)";

const STEPS: [&str; 7] = [
    "SIGKILL until the exit is noticed",
    "ask how it has ended",
    "try the port, with a socket made before",
    "look whether the logs opened before still hold",
    "spawn, until it returns",
    "spawn, until the first instruction",
    "reap the last worker, meanwhile",
];

const LOGS: [&str; 2] = ["log", "err"];

/// How long a worker lives.
const LIFE: Duration = Duration::from_millis(15);

struct Scene {
    poll: Poll,
    events: Events,
    dir: TempDir,
    port: PortClaim,
    null: File,
    record: Record,
    program: CString,
    env: Vec<CString>,
}

/// Restarts a worker so often, and adds what each step took, in microseconds.
pub(crate) fn measure(results: &mut Results, rounds: usize) {
    let mut scene = Scene::new();
    let mut times = STEPS.map(|_| Vec::with_capacity(rounds));
    let (mut pid, _) = scene.spawn(&scene.open_logs());
    for _ in 0..rounds {
        scene.wait_listening(pid);
        sleep(LIFE);
        let (next, steps) = scene.restart(pid);
        pid = next;
        for (times, step) in times.iter_mut().zip(steps) {
            times.push(step);
        }
    }
    let _ = platform::signal(pid, Signal::Kill);
    wait_for(
        || "the last worker's end".to_owned(),
        || (platform::reap_with_group(pid) != Reaped::NotYet).then_some(()),
    );
    for (step, times) in STEPS.into_iter().zip(times) {
        results.add(TABLE, step, "µs", Summary::of(times));
    }
}

impl Scene {
    fn new() -> Self {
        let (dir, port) = (TempDir::new(), free_port());
        let path = dir.join("record");
        let record = Record::create(&path);
        let text = |path: PathBuf| CString::new(path.as_os_str().as_bytes()).expect("paths have no NUL");
        let variables = [format!("BENCH_RECORD={}", path.display()), format!("BENCH_PORT={}", port.number())];
        Self {
            poll: Poll::new().expect("an event queue"),
            events: Events::with_capacity(4),
            null: File::options().read(true).write(true).open("/dev/null").expect("/dev/null opens"),
            record,
            program: text(programs::worker().to_owned()),
            env: variables.map(|variable| CString::new(variable).expect("no NUL")).to_vec(),
            dir,
            port,
        }
    }

    fn restart(&mut self, pid: Pid) -> (Pid, [f64; 7]) {
        let mut watch = ExitWatch::register(pid).expect("an exit watch");
        let registry = self.poll.registry();
        registry
            .register(&mut SourceFd(&watch.as_raw_fd()), Token(0), Interest::READABLE)
            .expect("it can be waited for");
        let trial = PortTrial::of(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))).expect("a socket");
        let logs = self.open_logs();
        let killed_at = now_ns();
        platform::signal(pid, Signal::Kill).expect("our own worker");
        self.wait_for_exit(&mut watch);
        let noticed_at = now_ns();
        // On kqueue systems the exit may be announced before the worker can be reaped.
        while platform::unreaped(pid).is_none() {}
        let ended_at = now_ns();
        drop(watch);
        let begun_at = now_ns();
        assert!(trial.is_free().is_ok_and(|is_free| is_free), "the port is free once its worker is gone");
        let tried_at = now_ns();
        for (log, name) in logs.iter().zip(LOGS) {
            let inode = |metadata: Metadata| (metadata.dev(), metadata.ino());
            let (held, there) = (log.metadata().map(inode), metadata(self.dir.join(name)).map(inode));
            assert_eq!(held.expect("an open file"), there.expect("a log"));
        }
        let looked_at = now_ns();
        let (next, spawned_at) = self.spawn(&logs);
        platform::reap_with_group(pid);
        let reaped_at = now_ns();
        let first_at = wait_for(|| "the next worker".to_owned(), || self.mark(next, Mark::Began));
        let spans = [
            (killed_at, noticed_at),
            (noticed_at, ended_at),
            (begun_at, tried_at),
            (tried_at, looked_at),
            (looked_at, spawned_at),
            (looked_at, first_at),
            (spawned_at, reaped_at),
        ];
        (next, spans.map(|(from, to)| (to - from) as f64 / 1e3))
    }

    fn open_logs(&self) -> [File; 2] {
        LOGS.map(|name| platform::open_log(&self.dir.join(name)).expect("a log opens"))
    }

    /// The pid, and when spawn returned.
    fn spawn(&self, [stdout, stderr]: &[File; 2]) -> (Pid, u64) {
        let command = platform::Command {
            program: &self.program,
            args: std::slice::from_ref(&self.program),
            env: &self.env,
            dir: self.dir.path(),
            lifetime: platform::Lifetime::ItsOwn,
            stdin: self.null.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
        };
        let pid = platform::spawn(&command).expect("the worker starts");
        (pid, now_ns())
    }

    fn wait_for_exit(&mut self, watch: &mut ExitWatch) {
        while !watch.has_fired() {
            match self.poll.poll(&mut self.events, Some(super::LIMIT)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("cannot wait for the exit: {error}"),
            }
        }
    }

    fn wait_listening(&mut self, pid: Pid) {
        wait_for(|| "a worker that listens".to_owned(), || self.mark(pid, Mark::Listens));
    }

    fn mark(&mut self, pid: Pid, mark: Mark) -> Option<u64> {
        let mut entries = self.record.entries().iter().rev();
        entries.find(|entry| entry.pid == pid.as_raw() && entry.mark == mark).map(|entry| entry.at_ns)
    }
}
