//! A scene: the directory, port, configuration and marker that the supervisors of one test share.
//! Supervisors of one scene follow each other or compete; they borrow the scene, so it is the last to go. Then it kills
//! every worker and descendant of the report by pid, and whatever else still has its marker in the environment.

use std::fs::{File, read, read_to_string, write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::panicking;
use std::time::Duration;

use super::Signal;
use super::config::{Config, quoted};
use super::fixture::worker_program;
use super::place::{PortClaim, TempDir, free_port, random};
use super::process::{marked, may_be_marked, process_alive, send_signal};
use super::report::{Event, WorkerReport};
use super::supervisor::Supervisor;
use super::wait::{LIMIT, wait_for, wait_until};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_worker-supervisor");
/// The variable by which the processes of a scene are recognised.
const MARKER: &str = "WORKER_SUPERVISOR_TEST";
/// How long killed processes may take to go.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// What a subcommand printed and returned.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
}

/// Where supervisors run.
pub(crate) struct Scene {
    dir: TempDir,
    port: PortClaim,
    marker: String,
    config: Mutex<Config>,
    environment: Vec<(String, String)>,
    processes: AtomicU32,
    /// Whether the last supervisor ended in order, so that no worker may be left.
    pub(super) ended_in_order: AtomicBool,
}

impl Scene {
    /// A scene whose worker is the fixture, healthy, on a port of its own.
    pub(crate) fn new() -> Self {
        let (dir, port) = (TempDir::new(), free_port());
        let mut config = Config::new();
        config.set("port", port.number());
        for (key, file) in [("state_dir", "state"), ("log_stdout", "worker.log"), ("log_stderr", "worker.err")] {
            config.set(key, quoted(dir.join(file)));
        }
        let scene = Self {
            dir,
            port,
            marker: format!("{:016x}", random()),
            config: Mutex::new(config),
            environment: Vec::new(),
            processes: AtomicU32::new(0),
            ended_in_order: AtomicBool::new(false),
        };
        scene.worker(&[])
    }

    /// The worker is the fixture with these arguments, after `--port` and `--report`.
    pub(crate) fn worker(self, arguments: &[&str]) -> Self {
        let (program, report, port) = (worker_program(), self.file("report"), self.port.number().to_string());
        let text = |path: &PathBuf| path.to_str().expect("paths of tests are UTF-8").to_owned();
        let mut words = vec![text(&program), "--port".to_owned(), port, "--report".to_owned(), text(&report)];
        words.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self.command(&words)
    }

    /// The worker is another program.
    pub(crate) fn command<T: AsRef<str>>(self, words: &[T]) -> Self {
        self.reconfigure(|config| {
            config.command(words);
        });
        self
    }

    /// Sets a key of the configuration to a TOML value.
    pub(crate) fn set(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.reconfigure(|config| {
            config.set(key, value);
        });
        self
    }

    /// Sets a key of a table to a string.
    pub(crate) fn set_in(self, table: &str, key: &str, text: &str) -> Self {
        self.reconfigure(|config| {
            config.set_in(table, key, text);
        });
        self
    }

    /// Sets a variable of the supervisor's own environment, which has else PATH, HOME and the marker.
    pub(crate) fn environment(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Edits the configuration and writes it, also while a supervisor runs.
    pub(crate) fn reconfigure(&self, edit: impl FnOnce(&mut Config)) {
        let mut config = self.config.lock().expect("no edit panics");
        edit(&mut config);
        write(self.config_file(), config.to_string()).expect("the configuration can be written");
    }

    /// The configuration's path.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.file("worker.toml")
    }

    /// A path in the scene's directory, which is HOME too.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The port of the worker.
    pub(crate) fn port(&self) -> &PortClaim {
        &self.port
    }

    /// Starts a supervisor.
    pub(crate) fn start(&self) -> Supervisor<'_> {
        self.start_with(&mut self.program())
    }

    /// Starts a supervisor by a command made from `program`.
    pub(crate) fn start_with(&self, command: &mut Command) -> Supervisor<'_> {
        let log = self.file(&format!("supervisor-{}.err", self.processes.fetch_add(1, Ordering::SeqCst)));
        let stderr = File::create(&log).expect("a file for the supervisor's log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        Supervisor::new(self, child.expect("the supervisor starts"), log)
    }

    /// The program with this scene's configuration and environment; arguments and descriptors are the test's to add.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.config_file()).current_dir(self.dir.path());
        command.env_clear().env("HOME", self.dir.path()).env(MARKER, &self.marker);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Runs the program with arguments (`["status", "--json"]`) to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let number = self.processes.fetch_add(1, Ordering::SeqCst);
        let [out, err] = ["out", "err"].map(|kind| self.file(&format!("run-{number}.{kind}")));
        let [stdout, stderr] = [&out, &err].map(|path| File::create(path).expect("a file for its output"));
        let mut command = self.program();
        command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let mut child = command.spawn().expect("the program starts");
        let [stdout, stderr] = [out, err].map(|path| move || read_to_string(&path).expect("its output can be read"));
        let what = format!("the end of {arguments:?}");
        let status = wait_for(&what, LIMIT, || format!("{}{}", stdout(), stderr()), || child.try_wait().ok().flatten());
        Ran { code: status.code(), stdout: stdout(), stderr: stderr() }
    }

    /// What workers told until now.
    pub(crate) fn report(&self) -> WorkerReport {
        WorkerReport::read(&self.file("report"))
    }

    /// Waits for the first `count` events of a name, of all workers together.
    #[track_caller]
    pub(crate) fn wait_for_events(&self, name: &str, count: usize) -> Vec<Event> {
        wait_for(
            &format!("{count} {name} in the worker's report"),
            LIMIT,
            || self.story(),
            || {
                let events: Vec<Event> = self.report().of(name).into_iter().cloned().collect();
                (events.len() >= count).then_some(events)
            },
        )
    }

    /// The content of the status file; `None` before there is one.
    pub(crate) fn status(&self) -> Option<serde_json::Value> {
        let text = read(self.file("state/worker/status.json")).ok()?;
        Some(serde_json::from_slice(&text).expect("a status file is replaced as a whole"))
    }

    /// Waits until no process of this scene is left, the supervisor included.
    #[track_caller]
    pub(crate) fn wait_until_nothing_is_left(&self) {
        wait_for("a scene without processes", LIMIT, || self.story(), || self.living().is_empty().then_some(()));
    }

    /// What the logs and the report say, for the message of a failure.
    pub(crate) fn story(&self) -> String {
        let logs = (0..self.processes.load(Ordering::SeqCst)).map(|number| format!("supervisor-{number}.err"));
        let files = logs.chain(["worker.toml", "worker.err", "report"].map(str::to_owned));
        let told = files.filter_map(|name| Some(format!("--- {name}\n{}", read_to_string(self.file(&name)).ok()?)));
        told.collect()
    }

    /// The processes of this scene that run: those of the report, and those with the marker.
    pub(crate) fn living(&self) -> Vec<i32> {
        let report = self.report();
        let told = [report.workers(), report.descendants()].concat();
        let mut living: Vec<i32> = told.into_iter().filter(|pid| may_be_marked(*pid, &self.marker)).collect();
        living.extend(marked(&self.marker));
        living.sort_unstable();
        living.dedup();
        living
    }

    /// Workers that should not be there any more: descendants may have left their group, and are not the supervisor's.
    fn orphans(&self) -> Vec<i32> {
        let ended = self.ended_in_order.load(Ordering::SeqCst);
        let workers = self.report().workers().into_iter().filter(|pid| ended && may_be_marked(*pid, &self.marker));
        workers.collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let (orphans, story) = (self.orphans(), self.story());
        // Again and again: a shell may have started one since the last look.
        let end_all = || {
            let living: Vec<i32> = self.living().into_iter().filter(|pid| process_alive(*pid)).collect();
            for pid in &living {
                send_signal(*pid, Signal::SIGKILL);
            }
            living.is_empty()
        };
        if panicking() {
            end_all();
            return;
        }
        let were_ended = end_all();
        assert!(orphans.is_empty(), "workers {orphans:?} outlived an orderly stop\n{story}");
        wait_until("the end of the scene's processes", KILL_LIMIT, || were_ended || end_all());
    }
}
