//! From a configuration file to a running loop: process, configuration, lock, record, in this order.
//!
//! Whatever can fail here fails before anything is killed or spawned, with an exit code that says whose fault it is.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use log::{info, warn};
use mio::{Events, Poll};

use super::helpers::hooks::Hooks;
use super::helpers::secrets::Secrets;
use super::launch::Launcher;
use super::logs::Logs;
use super::perform::clients;
use super::port::PortWatch;
use super::report::Reporter;
use super::sources::SignalReader;
use super::{Supervisor, adopt};
use crate::config::{Config, Loaded};
use crate::error::{Error, ExitCode};
use crate::lock::{Lock, name_holder};
use crate::policy::{KILL_TIME, Machine};
use crate::state_dir::{StateDir, WorkerRecord};
use crate::time::Now;

/// Between two attempts to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Supervises the worker of the configuration at `path` until a signal says to stop.
///
/// # Errors
/// Whatever keeps the supervisor from starting, and a poll that fails for good. Without an error the code is 0, or 1 if
/// the kernel would not let the worker go.
pub fn run(path: &Path) -> Result<ExitCode, Error> {
    let setup_errors = platform::prepare_process();
    // Without it orphans go to init, which reaps them as well.
    let _ = platform::become_subreaper();
    let Loaded { config, warnings } = Config::load(path)?;
    // Not to keep a file system busy. Every path of the configuration is absolute by now.
    drop(std::env::set_current_dir("/"));
    for error in setup_errors {
        warn!("{error}");
    }
    for warning in warnings {
        warn!("{warning}");
    }
    let cannot = |what: &'static str| move |error: io::Error| Error::cannot(ExitCode::Internal, what, error);
    let mut poll = Poll::new().map_err(cannot("create the event queue"))?;
    let mut signals = SignalReader::open(poll.registry()).map_err(cannot("receive signals"))?;
    let launcher = Launcher::new(&config.name).map_err(cannot("open /dev/null"))?;
    let state_dir = StateDir::open(&config.state_dir, &config.name)?;
    let Some(lock) = wait_for_lock(&config, &state_dir, &mut poll, &mut signals)? else { return Ok(ExitCode::Ok) };
    supervisor(config, poll, signals, launcher, &state_dir, lock)?.supervise()
}

/// The lock, or `None` if a signal said to stop before it was free.
fn wait_for_lock(
    config: &Config,
    state_dir: &StateDir,
    poll: &mut Poll,
    signals: &mut SignalReader,
) -> Result<Option<Lock>, Error> {
    // An old supervisor may be stopping: it ends within its drain and kill time.
    let give_up_at = Instant::now() + config.drain_timeout + KILL_TIME;
    let mut events = Events::with_capacity(4);
    let mut is_announced = false;
    loop {
        let tried = Lock::of_config(state_dir);
        let tried = tried.map_err(|error| Error::cannot(ExitCode::Internal, "lock the state directory", error))?;
        let holder = match tried {
            Ok(lock) => return Ok(Some(lock)),
            Err(holder) => name_holder(holder),
        };
        if Instant::now() >= give_up_at {
            let message = format!(
                "another supervisor ({holder}) runs for {:?}; stop it first, or see `worker-supervisor status`",
                config.path
            );
            return Err(Error::new(ExitCode::AlreadyRunning, message));
        }
        if !is_announced {
            is_announced = true;
            info!("another supervisor ({holder}) holds the lock; waiting for it to stop");
        }
        match poll.poll(&mut events, Some(LOCK_PAUSE)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(Error::cannot(ExitCode::Internal, "wait for the lock", error));
            }
            Ok(()) | Err(_) => {}
        }
        if signals.read().stop.is_some() {
            return Ok(None);
        }
    }
}

fn supervisor(
    config: Config,
    poll: Poll,
    signals: SignalReader,
    launcher: Launcher,
    state_dir: &StateDir,
    lock: Lock,
) -> Result<Supervisor, Error> {
    let now = Now::read();
    let cannot = |error| Error::cannot(ExitCode::Internal, "look for the worker of an earlier supervisor", error);
    let record = WorkerRecord::read(state_dir).map_err(cannot)?;
    let adopted = adopt::find(&record, &config.name, &lock, poll.registry(), now.instant).map_err(cannot)?;
    let mut reporter = Reporter::new(&config, state_dir.clone(), now);
    info!(
        "supervising {:?} at {} pid={} config={:?} version={}",
        config.name,
        config.address(),
        platform::own_pid(),
        config.path,
        env!("CARGO_PKG_VERSION")
    );
    if let Some(worker) = &adopted {
        reporter.saw_adopted(worker.pid());
    }
    let (machine, orders) = Machine::new(config.settings(), now.instant, adopted.is_some());
    let (probe, sync) = clients(&config);
    let mut supervisor = Supervisor {
        secrets: Secrets::new(&config),
        hooks: Hooks::new(&config),
        logs: Logs::new(&config),
        record: WorkerRecord::new(state_dir, record),
        lock: Some(lock),
        poll,
        signals,
        machine,
        worker: adopted,
        probe,
        sync,
        port: PortWatch::default(),
        launcher,
        reporter,
        end: None,
        config,
    };
    supervisor.write_record();
    // Only now: a record that makes no sense is read with the help of the last holder's name.
    if let Some(lock) = &supervisor.lock {
        lock.announce();
    }
    supervisor.carry_out(now, orders);
    Ok(supervisor)
}
