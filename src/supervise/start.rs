//! From a configuration file to a running loop: process, configuration, lock, record, in this order.
//!
//! Whatever can fail here fails before anything is killed or spawned, with an exit code that says whose fault it is.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use mio::{Events, Poll};
use platform::{ChildList, Lifetime, Signals};

use super::disks::remote;
use super::helpers::hooks::Hooks;
use super::helpers::secrets::Secrets;
use super::launch::Launcher;
use super::logs::{Logs, shared};
use super::perform::clients;
use super::port::{PortWatch, doubt};
use super::report::status::Status;
use super::report::{Reporter, own_log};
use super::sources::SignalReader;
use super::worker::Worker;
use super::{Supervisor, adopt};
use crate::config::file::path_warnings;
use crate::config::{Config, Loaded};
use crate::error::{Error, ExitCode};
use crate::lock::{self, Lock, name_holder};
use crate::policy::{Condition, Generation, KILL_TIME, Machine};
use crate::state_dir::{Record, StateDir, WorkerRecord};
use crate::time::{Now, SleepWatch, secs};

/// Between two attempts to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Supervises the worker of the configuration at `path` until one of the `signals` says to stop. Whoever calls this has
/// taken them over first of all, so that none ends the process before it can be served.
///
/// # Errors
/// Whatever keeps the supervisor from starting, and a poll that fails for good. Without an error the code is 0, or 1 if
/// the kernel would not let the worker go.
pub fn run(path: &Path, verbose: bool, signals: Signals) -> Result<ExitCode, Error> {
    let setup_errors = platform::prepare_process();
    let Loaded { config, warnings } = Config::load(path)?;
    // What the configuration was read from may have been handed over. The log may open a terminal, which is to stay.
    platform::close_inherited(&signals);
    own_log::init(verbose);
    // Not to keep a file system busy. Every path of the configuration is absolute by now.
    drop(std::env::set_current_dir("/"));
    for error in setup_errors {
        warn!("{error}");
    }
    for warning in warnings {
        warn!("{warning}");
    }
    let cannot = |what: &'static str| move |error: io::Error| Error::cannot(ExitCode::Internal, what, error);
    let poll = Poll::new().map_err(cannot("create the event queue"))?;
    let signals = SignalReader::new(signals, poll.registry()).map_err(cannot("receive signals"))?;
    let launcher = Launcher::new(&config.name).map_err(cannot("open /dev/null"))?;
    let child_list = platform::become_subreaper().filter(|_| launcher.has_descriptors_to_spare);
    let mut setup = Setup { config, poll, signals, launcher, child_list, was_locked: false };
    let Some((lock, dir)) = setup.wait_for_lock()? else { return Ok(ExitCode::Ok) };
    let Some(left) = setup.find_left(&lock, &dir)? else { return Ok(ExitCode::Ok) };
    supervisor(setup, lock, &dir, left).supervise()
}

/// What is at hand before there is a lock.
struct Setup {
    config: Config,
    poll: Poll,
    signals: SignalReader,
    launcher: Launcher,
    child_list: Option<ChildList>,
    /// Whether another process had the lock at first.
    was_locked: bool,
}

/// What an earlier supervisor has left: its record, and its worker if one lives.
struct Left {
    record: Record,
    worker: Option<Worker>,
    /// Which supervisor it was, if it was killed and its helpers may live.
    killed: Vec<(u32, String)>,
}

impl Setup {
    /// The lock and the directory that it lies in, or `None` if a signal said to stop before it was free.
    fn wait_for_lock(&mut self) -> Result<Option<(Lock, StateDir)>, Error> {
        // An old supervisor may be stopping: it ends within its drain and kill time.
        let give_up_at = Instant::now() + self.config.drain_timeout + KILL_TIME;
        loop {
            // Each time anew: the other supervisor may have made it anew.
            let dir = StateDir::open(&self.config.state_dir, &self.config.name)?;
            let tried = Lock::of_config(&dir).map_err(|error| lock::cannot("lock", &dir, error))?;
            let holder = match tried {
                Ok(lock) => return Ok(Some((lock, dir))),
                Err(holder) => name_holder(holder),
            };
            if Instant::now() >= give_up_at {
                let path = &self.config.path;
                let advice = "stop it first, or see `worker-supervisor status`";
                let message = format!("another supervisor ({holder}) runs for {path:?}; {advice}");
                return Err(Error::new(ExitCode::AlreadyRunning, message));
            }
            if !std::mem::replace(&mut self.was_locked, true) {
                info!("another supervisor ({holder}) holds the lock; waiting for it to stop");
            }
            if !self.pause(LOCK_PAUSE)? {
                return Ok(None);
            }
        }
    }

    /// Whom an earlier supervisor has left. As long as that can't be known nothing is launched beside a worker that may
    /// live. `None`: a signal said to stop.
    fn find_left(&mut self, lock: &Lock, dir: &StateDir) -> Result<Option<Left>, Error> {
        let backoff = self.config.settings().backoff;
        let mut failures = 0;
        loop {
            let found = WorkerRecord::read(dir).and_then(|record| {
                let registry = self.poll.registry();
                let worker = adopt::find(&record, &self.config.name, lock, self.was_locked, registry, Instant::now())?;
                Ok(Left { record, worker, killed: killed_supervisors(lock, dir) })
            });
            let error = match found {
                Ok(left) => return Ok(Some(left)),
                Err(error) => error,
            };
            failures += 1;
            let pause = backoff.delay(failures);
            error!("cannot tell whether an earlier supervisor's worker lives: {error}; retrying in {}", secs(pause));
            if !self.pause(pause)? {
                return Ok(None);
            }
        }
    }

    /// Waits for so long. False: a signal says to stop.
    fn pause(&mut self, pause: Duration) -> Result<bool, Error> {
        let until = Instant::now() + pause;
        let mut events = Events::with_capacity(4);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Error::cannot(ExitCode::Internal, "wait for events", error));
                }
                Ok(()) | Err(_) => {}
            }
            if self.signals.read().stop.is_some() {
                return Ok(false);
            }
            if left.is_zero() {
                return Ok(true);
            }
        }
    }
}

/// The last supervisor, if its helpers do not end with it and it did not end in order, when it ends them itself.
fn killed_supervisors(lock: &Lock, dir: &StateDir) -> Vec<(u32, String)> {
    let has_stopped = |status: Status| status.state == Condition::Stopped.word();
    if Lifetime::ENDS_WITH_US || Status::read(dir).ok().flatten().is_some_and(has_stopped) {
        return Vec::new();
    }
    lock.last_holders()
}

fn is_us(pid: u32, started: &str) -> bool {
    platform::own_identity().split_once(':').is_some_and(|own| own == (&*pid.to_string(), started))
}

fn supervisor(setup: Setup, lock: Lock, dir: &StateDir, left: Left) -> Supervisor {
    let Setup { config, poll, signals, launcher, child_list, was_locked: _ } = setup;
    let now = Now::read();
    let mut reporter = Reporter::new(&config, dir.clone(), now);
    info!(
        "supervising {:?} at {} pid={} config={:?} version={}",
        config.name,
        config.address(),
        platform::own_pid(),
        config.path,
        env!("CARGO_PKG_VERSION")
    );
    if let Some(worker) = &left.worker {
        reporter.saw_adopted(worker.pid());
    }
    let (machine, orders) = Machine::new(config.settings(), now.instant, left.worker.is_some());
    let (probe, sync) = clients(&config);
    // The last one had no worker to look after, if it says so; those before it may have left theirs to it.
    let has_ended = usize::from(left.record == Record::Nobody);
    let predecessors = lock.last_holders().into_iter().skip(has_ended);
    // The first process of a container has no start time: one before us would be taken for us, and left nobody.
    let predecessors: Vec<_> = predecessors.filter(|(pid, started)| !is_us(*pid, started)).collect();
    let is_worker_gone = left.worker.is_none() && !predecessors.is_empty();
    let mut supervisor = Supervisor {
        secrets: Secrets::new(&config),
        hooks: Hooks::new(&config),
        logs: Logs::new(&config),
        record: WorkerRecord::new(dir, left.record),
        predecessors,
        lock: Some(lock),
        poll,
        signals,
        machine,
        worker: left.worker,
        departed: None,
        probe,
        sync,
        port: PortWatch::default(),
        launcher,
        child_list,
        reporter,
        sleep: SleepWatch::new(now),
        end: None,
        config,
    };
    supervisor.write_record();
    // Only now: a record that makes no sense is read with the help of the last holder's name.
    if let Some(lock) = &supervisor.lock {
        lock.announce(&supervisor.predecessors);
    }
    supervisor.carry_out(now, orders);
    // Only now, with the worker under way: it takes a look at everybody.
    if is_worker_gone {
        supervisor.look_after_detached(Generation::ADOPTED, None, false, supervisor.reporter.news.len());
    }
    for killed in left.killed {
        adopt::end_helpers(killed);
    }
    // The worker is under way: there is time to look around.
    let doubts =
        doubt(supervisor.config.port).into_iter().chain(shared(&supervisor.config)).chain(remote(&supervisor.config));
    for text in doubts.chain(path_warnings(&supervisor.config)) {
        supervisor.reporter.warn("config", text);
    }
    supervisor
}
